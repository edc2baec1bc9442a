"""Embeddings of several modalities in one space, learnt by contrast."""

import numbers
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Literal

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from ..backend import random
from ..backend.random import derive
from ..base import RepresentationMixin
from ..checkpoint import Checkpoint
from ..engine import encoders as engine
from ..hints import Modalities, Seed
from ..parameters import choose, layer_sizes, require
from ..training import NetworkEstimator

__all__ = ["ContrastiveEmbedding"]

FIT = 0  # what a derived key is used for


class ContrastiveEmbedding(RepresentationMixin, NetworkEstimator):
    r"""Encoders that put what belongs together close, and what does not apart.

    Each modality m has an encoder, linear or with hidden layers beside the linear part, whose
    output is scaled to unit length: :math:`z_m = f_m(x_m) / |f_m(x_m)|`. Learning makes the inner
    products of one row's modalities large and those of different rows small. With
    :math:`s_{ij} = z_{a,i}^\top z_{b,j} / \tau` for a pair of modalities (a, b), the loss
    ``"clip"`` is

    .. math:: -\frac{1}{2n} \sum_i \Big(\log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}}
       + \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}}\Big)

    over the n rows of a batch that show both, averaged over the pairs. ``"sigmoid"`` asks of each
    pair of rows whether they belong together, and ``"ranking"`` only pushes the best wrong partner
    of each row below the right one by a margin (see the user guide).

    `transform` is the mean of the unit vectors of the modalities that a row shows (zeros where it
    shows none), and `embed` the unit vector of one of them: cosines between the embeddings of
    different modalities are what is learnt.

    Parameters
    ----------
    n_components : int, default=64
        Size of the space.
    hidden : tuple of int, or dict of str to tuple of int, default=()
        Sizes of the hidden layers of rectified units of each encoder, from the data up: the same
        for all modalities or by name (modalities that are not named have none). What they compute
        is added to a linear map.
    loss : {"clip", "sigmoid", "ranking"}, default="clip"
        What is minimised.
    init : {"random", "cca"}, default="cca"
        Where learning starts: at small random weights, or with linear maps that compute regularised
        canonical variates (of one modality: principal components of equal variance).
    temperature : float, default=0.1
        The temperature :math:`\tau` at the start. The ranking loss has none.
    learn_temperature : bool, default=True
        Whether it is learnt. It stays above 0.01.
    margin : float, default=0.2
        Margin of the ranking loss.
    learning_rate : float, default=0.001
        Step size of Adam at the start.
    learning_rate_schedule : {"linear", "constant", "inverse"}, default="linear"
        Falling linearly to zero over `max_iter`, constant, or as 1 / (1 + 10 t / max_iter).
    batch_size : int, default=256
        Rows a gradient step. They are what each row is told apart from, so the more the better.
        Memory grows with it and not with its square.
    max_iter : int, default=50
        Passes over the rows (fewer with early stopping).
    dropout : float, default=0.0
        Probability that a hidden unit is left out of a step.
    input_dropout : float, default=0.0
        Probability that a column of X is left out of a step.
    l2 : float, default=0.0
        Weight decay.
    early_stopping : bool, default=False
        Hold out rows, and stop when their `score` gets no better. The best epoch is kept.
    validation_fraction : float, default=0.1
        Share of rows held out.
    n_iter_no_change : int, default=10
        Epochs without improvement after which to stop.
    tol : float, default=0.0
        What counts as an improvement of the score.
    dtype : {"float32", "float64"}, default="float32"
        Precision of learning.
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
        File that learning writes every few seconds, and goes on from if it exists, so that a fit
        that was killed ends as if nothing had happened.

    Attributes
    ----------
    model_ : Encoders
        The fitted encoders, and how rows enter them.
    temperature_ : float
        The temperature at the end.
    history_ : dict of str to list
        Course of learning by epoch: ``epoch``, ``learning_rate``, ``weight_norm``, ``loss`` (of
        batches of some training rows, without dropout), ``temperature`` and, with `early_stopping`,
        ``validation_score`` (the `score` of the rows held out).
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
    BimodalDeepAutoencoder : Reconstructs modalities from each other.

    Notes
    -----
    Columns are standardised. A row takes part in the pairs of modalities that it shows; a row that
    shows only one is not learnt from, but for its columns' means. With one modality in all, each
    row is told apart from the other rows, which spreads them over the sphere; `dropout` or
    `input_dropout` then make the two copies of a row differ in what the loss compares.

    The n x n similarities of a batch are computed a block at a time and never held.

    References
    ----------
    .. [1] Radford et al. (2021), Learning transferable visual models from natural language
       supervision. ICML.
    .. [2] Zhai, Mustafa, Kolesnikov & Beyer (2023), Sigmoid loss for language image pre-training.
       ICCV.
    .. [3] Faghri, Fleet, Kiros & Fidler (2018), VSE++: improving visual-semantic embeddings with
       hard negatives. BMVC.
    .. [4] Khosla et al. (2020), Supervised contrastive learning. NeurIPS.

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(image=digits.image, text=digits.counts)
    >>> model = mg.ContrastiveEmbedding(16, modalities=modalities, max_iter=5, random_state=0)
    >>> y = digits.captions  # rows of one caption belong together
    >>> names = model.fit(X[digits.train], [y[i] for i in digits.train])
    >>> image, text = (model.embed(X[digits.test], name) for name in modalities)
    >>> best = (image @ text.T).argmax(axis=1)
    >>> bool((digits.target[digits.test][best] == digits.target[digits.test]).mean() > 0.9)
    True
    """

    def __init__(
        self,
        n_components: int = 64,
        *,
        hidden: tuple[int, ...] | Mapping = (),
        loss: Literal["clip", "sigmoid", "ranking"] = "clip",
        init: Literal["random", "cca"] = "cca",
        temperature: float = 0.1,
        learn_temperature: bool = True,
        margin: float = 0.2,
        learning_rate: float = 0.001,
        learning_rate_schedule: Literal["linear", "constant", "inverse"] = "linear",
        batch_size: int = 256,
        max_iter: int = 50,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
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
        self.n_components = n_components
        self.hidden = hidden
        self.loss = loss
        self.init = init
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        self.margin = margin
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.dropout = dropout
        self.input_dropout = input_dropout
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

    def fit(self, X, y=None):
        """Fit the encoders to rows that may lack some modalities.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,), optional
            Classes. Rows of one class then belong together like the modalities of one row: all are
            partners to each other (supervised contrast). None, or values that all differ: each row
            is a class.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, a modality does not vary, or is never shown together
            with another.
        """
        self._check_parameters()
        views = self._check(X, reset=True)
        labels = _labels(X, y)
        hidden = self._hidden()
        blocks, present = list(views.blocks.values()), list(views.present.values())
        rows = self._paired(present)
        checkpoint = Checkpoint(self, views, derive(random.key(self.random_state), FIT), y=labels)
        columns = [engine.measure_columns(b, mask) for b, mask in zip(blocks, present, strict=True)]
        for name, mask, (_, gain) in zip(self.layout_.names, present, columns, strict=True):
            if not gain.any():
                raise ValueError(
                    f"modality {name!r} has zero variance: its n_samples={mask.sum()} row(s) are "
                    "all equal, and there is nothing to tell them apart by. Drop its columns."
                )
        start = engine.build(
            self.layout_.names,
            *zip(*columns, strict=True),
            hidden,
            self.n_components,
            -float(np.log(self.temperature)),
            checkpoint.key,
            dtype=np.dtype(self.dtype),
        )
        source = engine.rows_of(start, blocks, present, labels)
        if self.init == "cca" and checkpoint.course.last is None:
            start = engine.start_at_correlations(start, source, rows, present)
        if self.loss == "sigmoid" and checkpoint.course.last is None:
            start = engine.balance(start, source(rows[: self.batch_size]))
        objective = engine.Objective(self.loss, self.margin, bool(self.learn_temperature))

        def measure(network, watched, held_out):
            model = replace(start, network=network)
            n_batches = max(1, round(len(watched) / self.batch_size))
            batches = (source(watched[i::n_batches]) for i in range(n_batches))
            losses = [engine.mean_loss(network, batch, objective) for batch in batches]
            found = {"loss": float(np.mean(losses)), "temperature": 1 / model.scale}
            if held_out is not None:
                found["validation_score"] = engine.mean_reciprocal_rank(model, source, held_out)
            return found

        network = self._train(
            start.network,
            source,
            rows,
            self._settings(start.network, n_plain=len(blocks)),
            checkpoint,
            measure,
            descend=partial(engine.gradient, objective=objective),
        )
        self.model_ = replace(start, network=network)
        return self

    @property
    def temperature_(self):
        """The temperature at the end of the fit."""
        return 1 / self.model_.scale

    def score(self, X, y=None):
        """Mean reciprocal rank of the partner of each row: higher is better, 1 is the most.

        Each row's embedding from one modality ranks the embeddings of all rows from another, by
        their cosine; the reciprocal of its partner's rank is averaged over rows, both directions
        and pairs of modalities. It depends on how many rows there are. (Of one modality, it is 1.)

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities. A row counts in the pairs of modalities that it shows.
        y : array-like of shape (n_rows,), optional
            Classes: the best one of the rows of a class then is its partner.

        Returns
        -------
        float
        """
        views, labels = self._check(X), _labels(X, y)
        blocks, present = list(views.blocks.values()), list(views.present.values())
        rows = _showing_pairs(present)
        if not len(rows):
            raise ValueError("no row of X shows two modalities: there is no partner to find.")
        model = self.model_.astype(views.dtype)
        source = engine.rows_of(model, blocks, present, labels)
        return engine.mean_reciprocal_rank(model, source, rows)

    @property
    def _n_features_out(self):
        return self.model_.n_components

    def _represent(self, views):
        model = self.model_.astype(views.dtype)
        blocks, present = list(views.blocks.values()), list(views.present.values())
        source = engine.rows_of(model, blocks, present)
        parts = np.array_split(np.arange(views.n_rows), -(-views.n_rows // engine.AT_ONCE))
        return views.xp.concatenate([engine.represent(model, source(rows)) for rows in parts])

    def _check_parameters(self):
        super()._check_parameters()
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        require("temperature", self.temperature, "<0", "<inf", numbers.Real)
        require("margin", self.margin, "0", "<inf", numbers.Real)
        for name, allowed in _CHOICES.items():
            choose(name, getattr(self, name), allowed)

    def _hidden(self):
        """Sizes of the hidden layers of each modality."""
        named = isinstance(self.hidden, dict)
        for name in self.hidden if named else ():
            self.layout_.require(name)
        stacks = [self.hidden.get(n, ()) if named else self.hidden for n in self.layout_.names]
        return [layer_sizes("hidden", stack, allow_empty=True) for stack in stacks]

    def _paired(self, present):
        """The rows to learn from; each modality must be shown beside another."""
        rows = _showing_pairs(present)
        for name, mask in zip(self.layout_.names, present, strict=True):
            count = int(mask[rows].sum())
            if count < 2:
                beside = "" if len(present) == 1 else " together with another modality"
                raise ValueError(
                    f"modality {name!r} is shown{beside} by n_samples={count} row(s), but to tell "
                    "rows apart takes 2 or more. Add rows, or leave it out."
                )
        return rows


def _showing_pairs(present):
    """Rows that show two modalities or more; with one modality in all, those that show it."""
    return np.flatnonzero(np.sum(present, axis=0) >= min(2, len(present)))


def _labels(X, y):
    """The number of each row's class; None where each row is one."""
    if y is None:
        return None
    y = check_array(y, ensure_2d=False, dtype=None, ensure_min_samples=0, input_name="y")
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    classes, labels = np.unique(y, return_inverse=True)
    return None if len(classes) == len(y) else labels


_CHOICES = {
    "loss": ("clip", "sigmoid", "ranking"),
    "init": ("random", "cca"),
    "learn_temperature": (True, False),
}
