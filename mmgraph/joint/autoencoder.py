"""Autoencoders that reconstruct every modality from any."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any, Literal

import numpy as np

from ..backend import random
from ..backend.arrays import beside, to_numpy
from ..backend.random import derive
from ..base import GenerativeMixin, RepresentationMixin
from ..checkpoint import Checkpoint
from ..engine import autoencoder as engine
from ..engine import learning
from ..engine.boltzmann import begin
from ..engine.learning import construct
from ..engine.network import forward
from ..engine.units import Noise
from ..engine.unrolling import stack_of
from ..hints import Modalities, Seed
from .dbm import MultimodalDBM
from .machine import CHAINS_AT_ONCE, DRAW_SHIFT, _chunks, _empty_blocks
from .network import NetworkEstimator

__all__ = ["BimodalDeepAutoencoder"]

FIT = 0  # what a derived key is used for


class BimodalDeepAutoencoder(RepresentationMixin, GenerativeMixin, NetworkEstimator):
    r"""Deep autoencoder of two or more modalities, which reconstructs all of them from any.

    Each modality has a stack of hidden layers, and the last one of each is joined to the joint
    layer, which is the representation. The decoder is the mirror image. A step minimises

    .. math:: -\sum_m \log p\big(t_m \mid \eta_m(t_S)\big)

    over the modalities m that a row has, where :math:`\eta_m` is what the decoder computes when the
    encoder sees only some of them, S. S is drawn anew each time, every choice of one or more being
    equally likely: with two modalities a third of the rows shows both, a third only the one and a
    third only the other, as the original has it. Hidden modalities enter as zeros (about the mean),
    and those that a row lacks have no part in the loss.

    Parameters
    ----------
    hidden : "auto", tuple of int, or dict of str to tuple of int, default="auto"
        Sizes of the hidden layers of each pathway, from the data up: the same for all modalities or
        by name. An empty tuple joins a modality to the joint layer itself. ``"auto"`` does so for
        modalities of fewer than 50 columns, and gives the others one layer of 256.
    joint : int, default=128
        Size of the joint layer.
    units : str, Units or dict of str to str or Units, default="auto"
        Unit type of each modality, which settles the loss: ``"bernoulli"``, ``"binomial"``,
        ``"gaussian"``, ``"rectified"``, ``"categorical"``, ``"replicated_softmax"`` or an object of
        :mod:`mmgraph.engine.units`. ``"auto"`` looks at the values and states its choice in
        ``units_``.
    activation : {"auto", "relu", "tanh", "sigmoid"}, default="auto"
        Function of the hidden layers. ``"auto"`` is the sigmoid with ``init="rbm"``, which needs
        it, and else the rectified linear unit.
    init : {"random", "rbm"}, default="random"
        Where training starts: at small random weights, or at a stack of restricted Boltzmann
        machines, one a hidden layer, fitted from the data up and unrolled.
    init_max_iter : int, default=10
        Passes of each machine over the rows.
    optimizer : {"adam", "nesterov"}, default="adam"
        Adam, or stochastic gradient descent with Nesterov's momentum.
    learning_rate : float, default=0.001
        Step size at the start.
    learning_rate_schedule : {"linear", "constant", "inverse"}, default="linear"
        Falling linearly to zero over `max_iter`, constant, or as 1 / (1 + 10 t / max_iter).
    momentum : float, default=0.9
        Share of the last step, or with Adam of the last mean gradient, that the next one keeps.
    batch_size : int, default=20
        Rows a gradient step.
    max_iter : int, default=100
        Passes over the rows (fewer with early stopping).
    dropout : float, default=0.0
        Probability that a hidden unit is left out of a step.
    input_dropout : float, default=0.0
        Probability that a column of X is left out of a step.
    max_norm : float, default=None
        Largest norm of the weights into a hidden unit; None: no limit.
    l2 : float, default=0.0
        Weight decay.
    early_stopping : bool, default=False
        Hold out rows, and stop when they are reconstructed no better. The best epoch is kept.
    validation_fraction : float, default=0.1
        Share of rows held out.
    n_iter_no_change : int, default=10
        Epochs without improvement after which to stop.
    tol : float, default=0.0
        What counts as an improvement, in nats.
    dtype : {"float32", "float64"}, default="float32"
        Precision of training.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` follows X. See :doc:`/gpu`.
    random_state : int, RandomState, Generator or None, default=None
        Seed. Equal seeds give equal results.
    verbose : int, default=0
        1 shows a progress bar.
    checkpoint : str or Path, default=None
        File that training writes every few seconds, and goes on from if it exists, so that a fit
        that was killed ends as if nothing had happened. The machines of ``init="rbm"`` are not in
        it: a fit that is killed while it fits them starts anew.

    Attributes
    ----------
    model_ : Autoencoder
        The fitted network, and how rows enter it.
    units_ : dict of str to str
        Unit type of each modality.
    history_ : dict of str to list
        Course of training by epoch: ``epoch``, ``learning_rate``, ``weight_norm``, ``loss`` (of
        some training rows, without dropout, averaged over showing all that they have and hiding
        each modality in turn) and, with `early_stopping`, ``validation_score`` (minus that loss of
        the rows held out).
    n_iter_ : int
        Passes done.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    MultimodalDBM : A joint distribution, whose draws differ in kind where the data do.

    Notes
    -----
    An autoencoder is a regression: it says what to expect of a modality. Draws
    (``sample``, ``generate(n_samples=...)``) are made of the noise of the units around that one
    mean, column by column: the residual of training rows for real values, draws of the units for
    binary ones, categories and counts. Where a modality could be one thing or another, a draw is
    neither; see :class:`MultimodalDBM` for draws that are. ``sample`` without `given` draws around
    the answer to a row that shows nothing.

    There is no ``score_samples``, since there is no joint density. ``log_conditional`` is the
    log-density of a modality given the others under these draws.

    References
    ----------
    .. [1] Ngiam, Khosla, Kim, Nam, Lee & Ng (2011), Multimodal deep learning. ICML.
    .. [2] Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(image=digits.image, text=digits.counts)
    >>> autoencoder = mg.BimodalDeepAutoencoder((32,), 32, modalities=modalities, max_iter=5,
    ...     units={"text": "replicated_softmax"}, random_state=0).fit(X[digits.train])
    >>> autoencoder.generate(X[digits.test], "text").shape
    (364, 18)
    >>> autoencoder.transform(X[digits.test]).shape
    (364, 32)
    """

    def __init__(
        self,
        hidden: Literal["auto"] | tuple[int, ...] | Mapping = "auto",
        joint: int = 128,
        *,
        units: Any = "auto",
        activation: Literal["auto", "relu", "tanh", "sigmoid"] = "auto",
        init: Literal["random", "rbm"] = "random",
        init_max_iter: int = 10,
        optimizer: Literal["adam", "nesterov"] = "adam",
        learning_rate: float = 0.001,
        learning_rate_schedule: Literal["linear", "constant", "inverse"] = "linear",
        momentum: float = 0.9,
        batch_size: int = 20,
        max_iter: int = 100,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        l2: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 0.0,
        dtype: Literal["float32", "float64"] = "float32",
        modalities: Modalities | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        random_state: Seed = None,
        verbose: int = 0,
        checkpoint: str | PathLike | None = None,
    ):
        self.hidden = hidden
        self.joint = joint
        self.units = units
        self.activation = activation
        self.init = init
        self.init_max_iter = init_max_iter
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.max_norm = max_norm
        self.l2 = l2
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.modalities = modalities
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.checkpoint = checkpoint

    _graph = MultimodalDBM._graph
    _streams = True

    def fit(self, X, y=None):
        """Fit the autoencoder to rows that may lack some modalities.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or X has values that its units cannot take.
        """
        self._check_parameters()
        activation = self._activation()
        views = self._check(X, reset=True)
        checkpoint = Checkpoint(self, views, derive(random.key(self.random_state), FIT))
        key, last = checkpoint.key, checkpoint.course.last
        kinds = self._kinds(views)
        data = self._data(views, kinds)
        rows = np.flatnonzero(np.any(data.present, axis=0))
        names = list(self.layout_.names)
        hidden, sizes, edges = self._graph(names)
        sizes = [*(len(self.layout_.columns[name]) for name in names), *sizes]
        marginals = construct(
            names, kinds, len(names), sizes, [], data.take(rows), key, dtype=np.dtype(self.dtype)
        ).to(self._device)
        start = engine.build(
            marginals, [*names, *hidden], sizes, edges, activation, data, rows, key
        )
        if self.init == "rbm" and last is None:
            stack = stack_of(marginals, sizes, edges, data, rows, self._init_settings(), key)
            start = engine.start_from(start, stack)

        def loss(network, rows):
            return engine.objective(replace(start, network=network), data, rows)

        network = self._train(
            start.network,
            engine.source(start, data),
            rows,
            self._settings(start.network, n_plain=len(names)),
            checkpoint,
            loss,
        )
        self.model_ = engine.measure_noise(replace(start, network=network), data, rows)
        return self

    def _activation(self):
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in allowed:
                raise ValueError(f"{name}={value!r}: choose one of {list(allowed)}.")
        if self.init == "random":
            return "relu" if self.activation == "auto" else self.activation
        if self.activation not in ("auto", "sigmoid"):
            raise ValueError(
                f"activation={self.activation!r} with init='rbm': the hidden units of a Boltzmann "
                "machine are sigmoids. Set activation='sigmoid', or init='random'."
            )
        return "sigmoid"

    def _init_settings(self):
        return learning.Settings(batch_size=self.batch_size, max_epochs=self.init_max_iter)

    @property
    def units_(self):
        """Name of the unit type of each modality."""
        marginals = self.model_.marginals
        return {n: k.name for n, k in zip(marginals.names, marginals.units, strict=True)}

    @property
    def _n_features_out(self):
        return self.model_.n_components

    # What the family implements for the generative verbs -----------------------------------------

    def _parts(self, views):
        """The rows in chunks: slice, what is shown and where, the model in their precision."""
        model = self.model_.astype(views.dtype)
        for rows in _chunks(views.n_rows, CHAINS_AT_ONCE):
            shown, present = self._data(views.take(rows), model.marginals.units).batch(
                model.marginals, slice(None)
            )
            yield rows, shown, present, model

    def _represent(self, views):
        parts = [
            to_numpy(engine.encode(model, shown, present, rows.stop - rows.start)[0])
            for rows, shown, present, model in self._parts(views)
        ]
        return np.concatenate(parts)

    def _reconstruct(self, Z):
        model = self.model_.astype(Z.dtype)
        marginals, decoder = model.marginals, model.decoder
        blocks = _empty_blocks(marginals, len(Z))
        for rows in _chunks(len(Z), CHAINS_AT_ONCE):
            values = forward(decoder, [decoder.xp.asarray(Z[rows])])
            etas = [values[layer] for layer in decoder.outputs]
            totals = begin(marginals, {}, rows.stop - rows.start).totals
            for k, t in enumerate(engine.complete(model, etas, totals)):
                blocks[marginals.names[k]][rows] = to_numpy(marginals.decode(k, t))
        return blocks

    def _complete(self, views, n_draws=None, key=None):
        lead = () if n_draws is None else (n_draws,)
        blocks = _empty_blocks(self.model_.astype(views.dtype).marginals, *lead, views.n_rows)
        for rows, shown, present, model in self._parts(views):
            n, marginals = rows.stop - rows.start, model.marginals
            _, etas = engine.encode(model, shown, present, n)
            if n_draws is None:
                totals = begin(marginals, shown, n, present=present).totals
                for k, t in enumerate(engine.complete(model, etas, totals)):
                    blocks[marginals.names[k]][rows] = to_numpy(marginals.decode(k, t))
                continue
            at_once = 1 << (max(1, CHAINS_AT_ONCE // n).bit_length() - 1)
            for first in range(0, n_draws, at_once):
                draws = np.arange(first, min(first + at_once, n_draws))
                noise, xp = _noise(key, rows, draws), model.network.xp
                noise = noise._replace(rows=xp.asarray(noise.rows))
                shown_, present_, etas_ = (
                    {k: xp.tile(x, (len(draws), *[1] * (x.ndim - 1))) for k, x in by_layer.items()}
                    for by_layer in (shown, present, dict(enumerate(etas)))
                )
                totals = begin(marginals, shown_, noise.rows.size, present=present_, noise=noise)
                found = engine.draw(model, list(etas_.values()), totals.totals, noise)
                for k, t in enumerate(found):
                    x = to_numpy(marginals.decode(k, t)).reshape(len(draws), n, -1)
                    blocks[marginals.names[k]][first : first + len(draws), rows] = x
        return blocks

    def log_conditional(self, X, target):
        """Log-density of one modality given the others that each row shows, in nats.

        Column by column around the one mean (see Notes): values of different models are comparable
        as predictions of the target.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        target : str
            Name of the modality.

        Returns
        -------
        ndarray of shape (n_rows,)
            0 where the target is absent.
        """
        views = self._check(X)
        self.layout_.require(target)
        place = self.layout_.names.index(target)
        out = np.zeros(views.n_rows)
        for rows, shown, present, model in self._parts(views):
            n = rows.stop - rows.start
            kept = {k: m & (k != place) for k, m in self._masks(present, n).items()}
            out[rows] = to_numpy(engine.log_density(model, shown, present, kept, n)[place])
        return beside(out, X)

    def score(self, X, y=None):
        """Mean log-density of what rows show, from all of it and with each modality hidden in turn.

        Higher is better, so that model selection works. It is what training maximises (for more
        than two modalities it hides any number of them), and no joint log-density.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : ignored

        Returns
        -------
        float
            In nats a row.
        """
        views, total, count = self._check(X), 0.0, 0
        for rows, shown, present, model in self._parts(views):
            n = rows.stop - rows.start
            for kept in engine.patterns(self._masks(present, n).values()):
                found = engine.log_density(model, shown, present, dict(enumerate(kept)), n)
                total, count = total + float(sum(each.sum() for each in found)), count + n
        return total / count

    def _masks(self, present, n_rows):
        """The rows that show each modality."""
        none = self.model_.network.xp.zeros(n_rows, bool)
        return {k: present.get(k, none) for k in range(len(self.layout_.names))}


def _noise(key, rows, draws):
    """Random numbers of some draws of some rows, which name row and draw and nothing else."""
    number = np.arange(rows.start, rows.stop) % (1 << DRAW_SHIFT)
    number = number + (draws[:, None] % (1 << 12) << DRAW_SHIFT)
    here = derive(key, rows.start >> DRAW_SHIFT)
    return Noise(here, number.ravel().astype(np.uint32), int(draws[0] >> 12), 0)


_CHOICES = {"activation": ("auto", "relu", "tanh", "sigmoid"), "init": ("random", "rbm")}
