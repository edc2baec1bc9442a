"""Hidden Markov models of one or more streams."""

import numbers
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from ..backend import random
from ..backend.arrays import beside, to_device
from ..backend.random import derive
from ..base import GenerativeMixin, MultimodalEstimator, RepresentationMixin, drive
from ..engine import markov, segmentation
from ..engine.emissions import COVARIANCES, KINDS, Prior, Scale, blank
from ..engine.markov import Data, Model, Priors, Stream
from ..engine.ties import Lasting
from ..engine.transitions import transition
from ..hints import Modalities, Seed
from ..parameters import choose, require
from .frames import dense, encoded
from .topology import possible_moves

__all__ = ["MultiStreamHMM"]

FIT = 0  # what a derived key is used for
LEAST_FLOOR = 1e-10
PRIORS = {
    "start": 0.0,
    "transition": 0.0,
    "mean": 0.0,
    "covariance": 0.0,
    "scatter": 0.0,
    "counts": 0.0,
    "floor": 1e-3,
}


class MultiStreamHMM(RepresentationMixin, GenerativeMixin, MultimodalEstimator):
    r"""Hidden Markov model of one or more streams that share its states.

    Rows are frames, modalities are streams. In each frame of a sequence the model is in one state
    z, which depends on the one before, and every stream m emits given that state by itself:

    .. math:: p(x, z) = p(z_1) \prod_t p(z_t \mid z_{t-1}) \prod_t \prod_m p(x_{mt} \mid z_t)^{w_m}

    A stream that a frame does not show (NaN) is left out of the product: streams may be absent from
    frames or from sequences, and slow ones emit only at their ticks.

    Parameters
    ----------
    n_states : int, default=3
        Number of states.
    emissions : str or dict of str to str, default="gaussian"
        What the states emit, for all streams or by name: ``"gaussian"``, ``"gmm"`` (a mixture of
        Gaussians), ``"categorical"`` (one-hot columns), ``"poisson"`` (counts) or ``"bernoulli"``
        (zeros and ones).
    covariance_type : {"diag", "full", "spherical", "tied"} or dict, default="diag"
        Of Gaussians and mixtures, for all streams or by name.
    n_mix : int or dict of str to int, default=2
        Gaussians in each state's mixture.
    topology : {"ergodic", "left-right"} or array of shape (n_states, n_states), default="ergodic"
        Which transitions are possible: all; those to the same and to the next state, starting in
        the first; or those that are above 0 in a matrix, whose rows are where learning starts.
    durations : int, default=1
        How many frames long a state's duration has a distribution of its own; beyond, the state is
        left with the same probability in each frame. 1: so it is from the first frame on. Each
        state then stands for `durations` states of the chain, with shared emissions.
    tied : array-like of shape (n_states,), or dict of str to array-like, default=None
        Which states share what they emit, in all streams or by name: those with equal entries, as
        the first and the last of ``["rest", "up", "down", "rest"]``. None: each has its own.
    stream_weights : dict of str to float, default=None
        Exponents w of the streams; 1 where not given. With weights other than 1 the likelihood is
        that of no distribution, but its use in inference is the same. A stream of weight 0 is
        still learnt.
    init : {"auto", "kmeans", "uniform"}, default="auto"
        First guess of the states: clusters of the frames, or parts of equal length of each
        sequence. ``"auto"``: parts for left-right models, else clusters.
    n_init : int, default=1
        Number of starts, with clusters; the best result is kept.
    max_iter : int, default=100
        Iterations, at most.
    tol : float, default=1e-4
        Stop where the objective gains less than this, in nats a frame.
    priors : dict of str to float, default=None
        Pseudo-counts that parameters are drawn to: ``"start"`` and ``"transition"`` (of each state
        and of each arc), ``"counts"`` (of each category or mixture weight, of 0 and of 1, and of
        frames at the mean rate), ``"mean"`` (frames at the mean of the stream), ``"covariance"``
        and ``"scatter"`` (frames that count for the covariance, and their sum of squares in units
        of the columns' variance), and ``"floor"``, the least variance in these units, which is
        0.001 (and never below 1e-10); all others are 0.
    algorithm : {"em", "viterbi"}, default="em"
        Learn over all paths, or along the most probable one.
    learning_decay : float, default=0.7
        The t-th batch that `partial_fit` sees has the weight t ** -learning_decay beside those
        before it; above 0.5, and at most 1, with which all count the same.
    warm_start : bool, default=False
        Whether learning goes on from the model of the last fit.
    dtype : {"float32", "float64"}, default="float64"
        Precision of the computation; statistics are added up in float64 in either.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the frames are worked on: ``"auto"`` follows X. Parameters, and the first guess of
        the states, are found on the CPU.
    sequence : int or str, default=None
        Column of the sequence ids; rows of a sequence are next to each other. None: all rows are
        one sequence.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each stream. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one stream, ``"X"``.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the clusters. Equal seeds give equal results.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : Model
        The fitted model: start, transition, and a stream a modality. Real-valued emissions are in
        the units of their stream's ``scale``.
    start_ : ndarray of shape (n_states * durations,)
        Distribution of the first state.
    transition_ : ndarray of shape (n_states * durations, n_states * durations)
        Probability of the column's state after the row's. Those of a state's frames stand next to
        each other.
    durations_ : ndarray of shape (n_states, durations)
        Probability that a state lasts 1, 2, ... frames; the last column is that of all more.
    means_ : dict of str to ndarray of shape (n_states, n_columns)
        What each state emits on average.
    history_ : dict of str to list
        By iteration: ``log_likelihood`` and ``objective``, which has the log-prior added; in nats
        a frame, and of scaled values.
    n_iter_ : int
        Iterations done, or batches seen.
    statistics_ : Counts
        Mean statistics of a frame, where `partial_fit` has learnt.
    layout_ : Layout
        Columns of each stream.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    CoupledHMM : A chain a stream.
    FactorialHMM : Independent chains behind all streams.
    HMMClassifier : One model a class, for sequences with a label.
    TrajectoryHMM : Streams that vary together within a state, generated as trajectories.

    Notes
    -----
    ``score_samples`` gives the log-density of each frame given those before it in its sequence, so
    its sum over a sequence is the log-likelihood of that. ``sample(n)`` draws one sequence of n
    frames. ``generate(X, target)`` gives the posterior mean: the mean of each state, weighted with
    its probability given the whole sequence. ``transform`` gives these probabilities.

    Since frames depend on their neighbours, the answer about a row is another one when other rows
    of its sequence are left out.

    Learning shares the sequences out among the workers of joblib's active backend: one, unless
    :func:`joblib.parallel_config` says otherwise. Their statistics are added up, so the result is
    the same to rounding. A sequence is never cut.

    Probabilities are scaled from frame to frame, and states are dropped from a frame whose
    probability given the frames before is below 1e-200 (1e-24 in float32). Where what follows could
    bring such a state back, as in models whose states cannot all follow each other, the sequence is
    taken again on logarithms, so nothing that counts is lost.

    References
    ----------
    .. [1] Rabiner (1989), A tutorial on hidden Markov models and selected applications in speech
       recognition. Proceedings of the IEEE 77(2), 257-286; sections III and V.
    .. [2] Cappe & Moulines (2009), On-line expectation-maximization algorithm for latent data
       models. Journal of the Royal Statistical Society B 71(3), 593-613.
    .. [3] Potamianos, Neti, Gravier, Garg & Senior (2003), Recent advances in the automatic
       recognition of audiovisual speech. Proceedings of the IEEE 91(9), 1306-1326.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> state = np.arange(200) // 20 % 2
    >>> motion = state[:, None] + 0.1 * rng.normal(size=(200, 3))
    >>> steps = rng.poisson(1 + 5 * state)[:, None]
    >>> X, modalities = mg.pack(motion=motion, steps=steps)
    >>> model = mg.MultiStreamHMM(
    ...     2, emissions={"steps": "poisson"}, modalities=modalities, random_state=0
    ... ).fit(X)
    >>> found = model.predict(X)
    >>> bool((found == found[0]).all() or (found == state).all() or (found == 1 - state).all())
    True
    >>> model.generate(X, "steps").shape
    (200, 1)
    """

    _streams = True
    _on_host = frozenset({"model_", "statistics_"})

    def __init__(
        self,
        n_states: int = 3,
        *,
        emissions: str | Mapping = "gaussian",
        covariance_type: Literal["diag", "full", "spherical", "tied"] | Mapping = "diag",
        n_mix: int | Mapping = 2,
        topology: Literal["ergodic", "left-right"] | ArrayLike = "ergodic",
        durations: int = 1,
        tied: ArrayLike | Mapping | None = None,
        stream_weights: Mapping | None = None,
        init: Literal["auto", "kmeans", "uniform"] = "auto",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-4,
        priors: Mapping | None = None,
        algorithm: Literal["em", "viterbi"] = "em",
        learning_decay: float = 0.7,
        warm_start: bool = False,
        dtype: Literal["float32", "float64"] = "float64",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        sequence: int | str | None = None,
        modalities: Modalities | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        self.n_states = n_states
        self.emissions = emissions
        self.covariance_type = covariance_type
        self.n_mix = n_mix
        self.topology = topology
        self.durations = durations
        self.tied = tied
        self.stream_weights = stream_weights
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.priors = priors
        self.algorithm = algorithm
        self.learning_decay = learning_decay
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.sequence = sequence
        self.modalities = modalities
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, *, states=None):
        """Learn from sequences.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        y : ignored
        states : array-like of int, shape (n_rows,), optional
            State of each frame where it is known, else -1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, values do not suit the emissions, a stream is absent
            from all rows, or the known states are impossible under the topology.
        """
        self._check_parameters()
        views = self._check(X, reset=not self._goes_on())
        self._forget()
        return self._learn(views, views.offsets, self._known(states, views))

    def partial_fit(self, X, y=None, *, states=None):
        """Learn from one more batch of whole sequences: stochastic EM.

        The statistics of the batch, taken under the present model, join the mean of those before
        it, and the parameters that suit the mean are the next model. The first batch says what
        values are usual, and is where learning starts; after `fit` it starts anew, unless
        ``warm_start`` is set (Cappe & Moulines 2009).

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        y : ignored
        states : array-like of int, shape (n_rows,), optional
            State of each frame where it is known, else -1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; only the first batch must show all streams.
        """
        self._check_parameters()
        begun = hasattr(self, "statistics_")
        views = self._check(X, reset=not (begun or self._goes_on()))
        known, priors, offsets = self._known(states, views), self._priors(), views.offsets
        if begun:
            before = self.model_
        else:
            before = next(iter(self._starts(views, offsets, known, priors.emission)))
            self._forget()
        data = self._data(views, offsets, before, known)
        counts = markov.expect_possible(before, data, self.algorithm)
        mean = counts.times(1 / views.n_rows)
        if begun:
            rate = (1 + self.n_iter_) ** -self.learning_decay
            mean = self.statistics_.times(1 - rate).merge(mean.times(rate))
        self.n_iter_ = self.n_iter_ + 1 if begun else 1
        self.n_seen_ = (self.n_seen_ if begun else 0) + views.n_rows
        self.statistics_ = mean
        self.model_ = markov.maximise(before, mean.times(self.n_seen_), priors)
        history = self.history_ if begun else {"log_likelihood": []}
        likelihood = [*history["log_likelihood"], counts.log_likelihood / views.n_rows]
        self.history_ = {"log_likelihood": likelihood}
        return self

    def predict(self, X):
        """Most probable states of each sequence (Viterbi).

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.

        Returns
        -------
        ndarray of int32, shape (n_rows,)
        """
        views = self._check(X)
        path = markov.best_paths(self.model_, self._data(views))[0]
        return path if self._many else self.model_.transition.parts[path, 0].astype(np.int32)

    def bic(self, X):
        """Bayesian information criterion of sequences: lower is better.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.

        Returns
        -------
        float
            Minus twice the log-likelihood, plus the number of free parameters times the logarithm
            of the number of rows (Schwarz 1978).
        """
        scores = self.score_samples(X)
        return float(self._n_parameters() * np.log(len(scores)) - 2 * scores.sum())

    def aic(self, X):
        """Akaike information criterion of sequences: lower is better.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.

        Returns
        -------
        float
            Minus twice the log-likelihood, plus twice the number of free parameters (Akaike 1974).
        """
        return float(2 * self._n_parameters() - 2 * self.score_samples(X).sum())

    def embed(self, X, modality):
        """Probability of each state in each frame, from one stream of its sequence alone.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        modality : str
            Name of the stream to look at.

        Returns
        -------
        ndarray of shape (n_rows, n_states)
            NaN where the frame lacks the stream.
        """
        check_is_fitted(self)
        self.layout_.require(modality)
        views = self._check(X)
        others = [name for name in self.layout_.names if name != modality]
        found = self._represent(views.hide(*others)).astype(views.dtype)
        found[~views.present[modality]] = np.nan
        return beside(found, X)

    @property
    def start_(self):
        """Distribution of the first state."""
        return self.model_.start

    @property
    def transition_(self):
        """Matrix of transitions."""
        return self.model_.transition.matrix

    @property
    def means_(self):
        """What each state emits on average, by stream."""
        means = {}
        for name, stream in zip(self.layout_.names, self.model_.streams, strict=True):
            own = stream.decode(stream.emission.mean())
            whole = self._many or stream.states is None
            means[name] = own if whole else own[stream.states[:: self.durations]]
        return means

    @property
    def durations_(self):
        """Probability that a state lasts 1, 2, ... frames, or at least as many as are listed."""
        if self.durations == 1:
            return np.ones((self.n_states, 1))
        return self.model_.transition.durations()

    # Learning ------------------------------------------------------------------------------------

    def _goes_on(self):
        """Whether learning goes on from the last fit, which must be of as many states."""
        if not (self.warm_start and hasattr(self, "model_")):
            return False
        start, _, _ = self._begin(np.zeros((1, len(self._sizes())), int), np.array([0, 1]))
        if (self.model_.sizes, self.model_.n_states) != (self._sizes(), len(start)):
            changed = "n_states"
        elif any(
            not np.array_equal(stream.states, self._emitting(name)[1])
            for name, stream in zip(self.layout_.names, self.model_.streams, strict=True)
        ):
            changed = "tied"
        else:
            return True
        raise ValueError(
            f"{changed} changed since the last fit, but warm_start goes on from it: set "
            "warm_start=False."
        )

    def _forget(self):
        """Drop what belongs to stochastic learning."""
        for name in ("statistics_", "n_seen_"):
            vars(self).pop(name, None)

    def _check_parameters(self):
        for name, (low, high, kind) in _RANGES.items():
            if hasattr(self, name):
                require(name, getattr(self, name), low, high, kind)
        for name, allowed in _CHOICES.items():
            choose(name, getattr(self, name), allowed)
        priors = {} if self.priors is None else self.priors
        if not isinstance(priors, Mapping):
            raise ValueError(f"priors={priors!r}: it must be a dict such as {{'transition': 1}}.")
        for name, value in priors.items():
            choose("a key of priors", name, list(PRIORS))
            require(f"priors[{name!r}]", value, "0", "<inf", numbers.Real)

    # Chains: what a family of models with other chains changes

    _many = False  # whether states are tuples, with a number a chain
    _covariance_type = "diag"  # of streams that are not named

    def _sizes(self):
        """States of each chain, checked."""
        require("n_states", self.n_states, "1", "inf", numbers.Integral)
        return (int(self.n_states),)

    def _begin(self, labels, offsets):
        """The chain that a guess of the states comes to.

        Parameters
        ----------
        labels : ndarray of int, shape (n_frames, n_chains)
        offsets : ndarray of int64, shape (n_sequences + 1,)

        Returns
        -------
        start : ndarray of shape (n_joint,)
        transition : object of :mod:`mmgraph.engine`
        states : ndarray of int, shape (n_frames,)
            The state of the model in each frame.
        """
        (n,), labels = self._sizes(), labels[:, 0]
        first, allowed, matrix = possible_moves(self.topology, n)
        start, arcs = segmentation.start_chain(labels, offsets, first, allowed)
        arcs = arcs if matrix is None else matrix
        if self.durations == 1:
            return start, transition(arcs), labels
        phases = segmentation.frames_spent(labels, offsets, self.durations)
        wide = np.zeros((n, self.durations))
        wide[:, 0] = start
        return wide.ravel(), Lasting.of(arcs, self.durations), labels * self.durations + phases

    def _guess(self, columns, offsets, known, rng):
        """First guess of the state of each chain in each frame, of shape (n_frames, n_chains)."""
        if self._even(self.topology):
            return segmentation.cut_evenly(offsets, self.n_states)[:, None]
        own = None if known is None else known[:, 0]
        rows = np.hstack(list(columns.values()))
        return segmentation.cluster(rows, self.n_states, rng, own)[:, None]

    def _by_chance(self):
        """Whether the first guess depends on the seed."""
        return not self._even(self.topology)

    def _emitting(self, name):
        """States that a stream's emission has, and which of them each state of the model is in."""
        (n,) = self._sizes()
        tied = _by_name(self.tied, self.layout_, None)[name]
        if tied is None and self.durations == 1:
            return n, None
        states = np.arange(n) if tied is None else _groups(tied, n)
        return int(states.max()) + 1, np.repeat(states, self.durations)

    def _blank_emission(self, kind, n_states, x, covariance_type, n_mix):
        choose("covariance_type", covariance_type, COVARIANCES)
        return blank(kind, n_states, x, covariance_type=covariance_type, n_mix=n_mix)

    # Learning, whatever the chains

    def _n_parameters(self):
        """Free parameters of the model."""
        check_is_fitted(self)
        start, moves, _ = self._begin(np.zeros((1, len(self._sizes())), int), np.array([0, 1]))
        emissions = (stream.emission.n_parameters for stream in self.model_.streams)
        return moves.n_parameters(start) + sum(emissions)

    def _blank_streams(self, views):
        """Streams that know nothing yet but their units."""
        kinds = _by_name(self.emissions, self.layout_, "gaussian")
        types = _by_name(self.covariance_type, self.layout_, self._covariance_type)
        mixes = _by_name(self.n_mix, self.layout_, 2)
        streams = {}
        for name in self.layout_.names:
            choose("emissions", kinds[name], KINDS)
            require("n_mix", mixes[name], "1", "inf", numbers.Integral)
            x = dense(views, name)[views.present[name]]
            n_states, states = self._emitting(name)
            emission = self._blank_emission(kinds[name], n_states, x, types[name], mixes[name])
            scale = Scale.of(x) if emission.real else None
            streams[name] = Stream(emission, states=states, scale=scale)
        return streams

    def _weights(self, weights):
        """Weight of each stream, checked."""
        weights = {} if weights is None else weights
        if not isinstance(weights, Mapping):
            raise ValueError(
                f"stream_weights={weights!r}: it must be a dict such as {{'audio': 0.7}}, or None."
            )
        found = _by_name(weights, self.layout_, 1.0)
        for name, value in found.items():
            require(f"stream_weights[{name!r}]", value, "0", "<inf", numbers.Real)
        return found

    def _known(self, states, views):
        """Known states of each chain, checked; None where there are none."""
        if states is None:
            return None
        states, sizes = np.asarray(states), self._sizes()
        shape = (views.n_rows, len(sizes)) if self._many else (views.n_rows,)
        if states.shape != shape:
            raise ValueError(
                f"states has shape {states.shape}, but X has {views.n_rows} rows: give one number "
                f"a row{' and chain' if self._many else ''}, -1 where the state is not known."
            )
        whole = states.astype(np.int64, copy=False) if states.dtype.kind in "iub" else None
        if whole is None or whole.min() < -1 or (whole.reshape(shape[0], -1) >= sizes).any():
            raise ValueError(
                f"states must be ints from -1 (not known) to {max(sizes) - 1}; got values from "
                f"{states.min()} to {states.max()} of {states.dtype}."
            )
        return whole.reshape(views.n_rows, -1)

    def _learn(self, views, offsets, known=None, streams=None):
        """Learn from checked rows; blank streams may be given."""
        priors = self._priors()
        starts = list(self._starts(views, offsets, known, priors.emission, streams))
        data = self._data(views, offsets, starts[0], known)
        results = []
        for model in starts:
            epochs = markov.train(
                model,
                data,
                priors,
                max_iter=self.max_iter,
                tol=self.tol,
                algorithm=self.algorithm,
            )
            name = type(self).__name__
            results.append(
                drive(epochs, total=self.max_iter, verbose=self.verbose, description=name)
            )
        last, self.history_ = max(results, key=lambda result: result[1]["objective"][-1])
        self.model_ = last.model
        self.n_iter_ = len(self.history_["objective"])
        return self

    def _priors(self):
        values = {**PRIORS, **(self.priors or {})}
        values["floor"] = max(values["floor"], LEAST_FLOOR)
        return Priors(values.pop("start"), values.pop("transition"), Prior(**values))

    def _starts(self, views, offsets, known, prior, streams=None):
        """Models to start from."""
        weights = self._weights(self.stream_weights)
        if self._goes_on():
            yield self.model_.reweighted([weights[name] for name in self.layout_.names])
            return
        key = derive(random.key(self.random_state), FIT)
        streams = self._blank_streams(views) if streams is None else streams
        rows = {name: encoded(views, name, stream) for name, stream in streams.items()}
        columns = {
            name: segmentation.fill_gaps(Scale.of(z).encode(z), views.present[name], offsets)
            for name, z in rows.items()
        }
        for i in range(self.n_init if self._by_chance() else 1):
            rng = np.random.default_rng([*key, i])
            labels = self._guess(columns, offsets, known, rng)
            if known is not None:
                labels = np.where(known >= 0, known, labels)
            start, moves, states = self._begin(labels, offsets)
            ready = []
            for name, stream in streams.items():
                own = states if stream.states is None else stream.states[states]
                emission = segmentation.start_emission(
                    stream.emission, rows[name], views.present[name], own, prior, rng
                )
                ready.append(stream._replace(emission=emission, weight=float(weights[name])))
            yield Model(start, moves, tuple(ready))

    def _even(self, topology):
        """Whether learning of a chain starts from parts of equal length."""
        left_right = isinstance(topology, str) and topology == "left-right"
        return self.init == "uniform" or (self.init == "auto" and left_right)

    # What the family implements for the generative verbs -----------------------------------------

    def _data(self, views, offsets=None, model=None, known=None):
        """Rows as the engine has them."""
        model = self.model_ if model is None else model
        features = []
        for name, stream in zip(self.layout_.names, model.streams, strict=True):
            z = encoded(views, name, stream).astype(self.dtype, copy=False)
            own = stream.emission.features(z, views.present[name])
            features.append(to_device(own, self._device))
        data = Data(tuple(features), views.offsets if offsets is None else offsets)
        return data if known is None else data.where(known, model.transition.parts)

    @property
    def _n_features_out(self):
        return sum(self.model_.sizes)

    def _represent(self, views):
        return self.model_.by_chain(markov.posteriors(self.model_, self._data(views)))

    def _reconstruct(self, Z):
        return {name: Z @ means for name, means in self.means_.items()}

    def _expected(self, posterior):
        """What streams show on average, given probabilities of the states of the model."""
        streams = zip(self.layout_.names, self.model_.streams, strict=True)
        return {name: stream.expected(posterior) for name, stream in streams}

    def _complete(self, views, n_draws=None, key=None):
        data = self._data(views)
        if n_draws is None:
            return self._expected(markov.posteriors(self.model_, data))
        paths = markov.draw_states(self.model_, data, n_draws, derive(key, 0))
        rows, blocks = np.arange(views.n_rows, dtype=np.uint32), {}
        for i, name in enumerate(self.layout_.names):
            if not views.present[name].all():
                stream, own = self.model_.streams[i], derive(key, 1 + i)
                draws = [stream.draw(path, rows, own, d) for d, path in enumerate(paths)]
                blocks[name] = np.stack(draws)
        return blocks

    def _log_density(self, views):
        found = markov.log_densities(self.model_, self._data(views))
        seen = np.zeros(views.n_rows, bool)
        for name, stream in zip(self.layout_.names, self.model_.streams, strict=True):
            seen |= views.present[name]
            if stream.scale is not None:
                found -= stream.weight * stream.scale.log_volume * views.present[name]
        return np.where(seen, found, 0.0)


def _groups(tied, n_states):
    """Number of the group that each state is in: one group a value."""
    groups = np.unique(np.asarray(tied), return_inverse=True)[1]
    if np.shape(tied) != (n_states,):
        raise ValueError(
            f"tied={tied!r} must have one entry for each of the n_states={n_states} states: those "
            "with equal entries share what they emit."
        )
    return groups


def _by_name(value, layout, default):
    """A parameter by stream: one value for all, or a dict."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(layout.names, value)
    for name in value:
        layout.require(name)
    return {name: value.get(name, default) for name in layout.names}


_RANGES = {
    "durations": ("1", "inf", numbers.Integral),
    "n_init": ("1", "inf", numbers.Integral),
    "max_iter": ("1", "inf", numbers.Integral),
    "tol": ("0", "inf", numbers.Real),
    "learning_decay": ("<0.5", "1", numbers.Real),
}
_CHOICES = {
    "init": ("auto", "kmeans", "uniform"),
    "algorithm": ("em", "viterbi"),
    "dtype": ("float32", "float64"),
    "warm_start": (True, False),
}
