"""Hidden Markov models with a chain a stream, where all chains depend on each other."""

import numbers
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..engine import segmentation
from ..engine.ties import Coupled, joint_states, nearest
from ..hints import Modalities, Seed
from ..parameters import require
from .hmm import MultiStreamHMM
from .topology import possible_moves

__all__ = ["CoupledHMM"]

MOST = 4096  # joint states, for their transitions are a matrix


class CoupledHMM(MultiStreamHMM):
    r"""Hidden Markov model with a chain a stream; each depends on the past of all.

    Rows are frames, modalities are streams. Stream m has states of its own, :math:`z_m`, and emits
    given these alone. The next state of each chain depends on the states of all chains [1]_ [2]_:

    .. math:: p(x, z) = \prod_t \prod_m p(z_{mt} \mid z_{1,t-1}, \dots, z_{M,t-1})
        \, p(x_{mt} \mid z_{mt})^{w_m}

    So streams may change at different times, and still tell of each other. Inference is exact, over
    the tuples of states. With `asynchrony` these are only the tuples whose states are that close to
    each other, the transitions are normalised over these, and the model is a product model [3]_:
    with 0 the streams change together, as in :class:`MultiStreamHMM`.

    Parameters
    ----------
    n_states : int or dict of str to int, default=3
        Number of states of each chain, for all or by stream.
    emissions : str or dict of str to str, default="gaussian"
        What the states emit: see :class:`MultiStreamHMM`.
    covariance_type : {"diag", "full", "spherical", "tied"} or dict, default="diag"
        Of Gaussians and mixtures, for all streams or by name.
    n_mix : int or dict of str to int, default=2
        Gaussians in each state's mixture.
    topology : {"ergodic", "left-right"}, array or dict of these, default="ergodic"
        Which transitions of a chain are possible, for all chains or by stream: all; those to the
        same and to the next state, starting in the first; or those that are above 0 in a matrix.
    asynchrony : int, default=None
        How many states the chains may be apart at most. For left-right chains of equally many
        states. None: any.
    stream_weights : dict of str to float, default=None
        Exponents w of the streams; 1 where not given.
    init : {"auto", "kmeans", "uniform"}, default="auto"
        First guess of the states of a chain: clusters of the frames of its stream, or parts of
        equal length of each sequence. ``"auto"``: parts for left-right chains, else clusters.
    n_init : int, default=1
        Number of starts, with clusters; the best result is kept.
    max_iter : int, default=100
        Iterations, at most.
    tol : float, default=1e-4
        Stop where the objective gains less than this, in nats a frame.
    priors : dict of str to float, default=None
        Pseudo-counts, as of :class:`MultiStreamHMM`. ``"start"`` and ``"transition"`` are those of
        each tuple and of each arc between tuples.
    algorithm : {"em", "viterbi"}, default="em"
        Learn over all paths, or along the most probable one.
    learning_decay : float, default=0.7
        The t-th batch that `partial_fit` sees has the weight t ** -learning_decay beside those
        before it.
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
        without them X is one stream, ``"X"``, and the model an ordinary hidden Markov model.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the clusters. Equal seeds give equal results.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : Model
        The fitted model over tuples.
    chains_ : dict of str to int
        Number of states of each chain, by its stream.
    tuples_ : ndarray of shape (n_tuples, n_streams)
        State of each chain in each tuple.
    start_ : ndarray of shape (n_tuples,)
        Distribution of the first tuple.
    transition_ : ndarray of shape (n_tuples, n_tuples)
        Probability of the column's tuple after the row's.
    means_ : dict of str to ndarray of shape (n_states, n_columns)
        What each state of a stream emits on average.
    history_ : dict of str to list
        By iteration: ``log_likelihood`` and ``objective``, in nats a frame, and of scaled values.
    n_iter_ : int
        Iterations done, or batches seen.
    layout_ : Layout
        Columns of each stream.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    MultiStreamHMM : Streams that share their states.
    HMMClassifier : One model a class, for sequences with a label.

    Notes
    -----
    ``predict`` gives the number of a tuple for each frame, and ``tuples_[predict(X)]`` a column of
    states a stream, in the order of ``layout_.names``; known ``states`` are given to ``fit`` as
    such columns. ``transform`` gives the probabilities of the states of each chain, side by side.

    A step of EM costs as many products a frame as there are arcs between tuples: K^(2M) for M
    chains of K states without limits.

    References
    ----------
    .. [1] Brand, Oliver & Pentland (1997), Coupled hidden Markov models for complex action
       recognition. CVPR, 994-999.
    .. [2] Nefian, Liang, Pi, Liu & Murphy (2002), Dynamic Bayesian networks for audio-visual speech
       recognition. EURASIP Journal on Applied Signal Processing 11, 1274-1288.
    .. [3] Dupont & Luettin (2000), Audio-visual speech modeling for continuous speech recognition.
       IEEE Transactions on Multimedia 2(3), 141-151.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> lips = np.arange(400) // 20 % 2
    >>> voice = np.roll(lips, 3)  # the same, a little later
    >>> X, modalities = mg.pack(
    ...     video=lips[:, None] + 0.3 * rng.normal(size=(400, 2)),
    ...     audio=voice[:, None] + 0.3 * rng.normal(size=(400, 1)),
    ... )
    >>> model = mg.CoupledHMM(2, modalities=modalities, random_state=0).fit(X)
    >>> model.tuples_[model.predict(X)].shape, model.transition_.shape
    ((400, 2), (4, 4))
    >>> together = mg.MultiStreamHMM(2, modalities=modalities, random_state=0).fit(X)
    >>> model.bic(X) < together.bic(X)
    True
    """

    def __init__(
        self,
        n_states: int | Mapping = 3,
        *,
        emissions: str | Mapping = "gaussian",
        covariance_type: Literal["diag", "full", "spherical", "tied"] | Mapping = "diag",
        n_mix: int | Mapping = 2,
        topology: Literal["ergodic", "left-right"] | ArrayLike | Mapping = "ergodic",
        asynchrony: int | None = None,
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
        super().__init__(
            n_states,  # type: ignore[arg-type]
            emissions=emissions,
            covariance_type=covariance_type,
            n_mix=n_mix,
            topology=topology,  # type: ignore[arg-type]
            stream_weights=stream_weights,
            init=init,
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
            priors=priors,
            algorithm=algorithm,
            learning_decay=learning_decay,
            warm_start=warm_start,
            dtype=dtype,
            device=device,
            sequence=sequence,
            modalities=modalities,
            random_state=random_state,
            verbose=verbose,
        )
        self.asynchrony = asynchrony

    @property
    def chains_(self):
        """Number of states of each chain, by its stream."""
        return dict(zip(self.layout_.names, self.model_.sizes, strict=True))

    @property
    def tuples_(self):
        """State of each chain in each tuple."""
        return self.model_.transition.parts

    # Chains --------------------------------------------------------------------------------------

    _many = True

    def _sizes(self):
        sizes = self._by_stream("n_states", self.n_states)
        for name, size in zip(self.layout_.names, sizes, strict=True):
            label = f"n_states[{name!r}]" if isinstance(self.n_states, Mapping) else "n_states"
            require(label, size, "1", "inf", numbers.Integral)
        return tuple(map(int, sizes))

    def _topologies(self):
        return self._by_stream("topology", self.topology)

    def _by_stream(self, parameter, value):
        """A parameter of each chain: one value for all, or a dict with all streams."""
        if not isinstance(value, Mapping):
            return [value] * len(self.layout_.names)
        for name in value:
            self.layout_.require(name)
        missing = [name for name in self.layout_.names if name not in value]
        if missing:
            raise ValueError(
                f"{parameter} says nothing of {missing[0]!r}: give a value for each stream, "
                f"{list(self.layout_.names)}, or one for all."
            )
        return [value[name] for name in self.layout_.names]

    def _tuples(self):
        """State of each chain in each tuple that there is."""
        sizes, most = self._sizes(), self.asynchrony
        if most is not None:
            require("asynchrony", most, "0", "inf", numbers.Integral)
            kinds = self._topologies()
            if len(set(sizes)) > 1 or any(not _is(kind, "left-right") for kind in kinds):
                raise ValueError(
                    f"asynchrony={most} is about left-right chains of equally many states: set "
                    "topology='left-right' and one n_states, or asynchrony=None."
                )
        tuples = joint_states(sizes, most) if np.prod(sizes) <= 1 << 20 else ()
        if not 0 < len(tuples) <= MOST:
            raise ValueError(
                f"chains of {sizes} states have more than {MOST} tuples: give them fewer states, "
                "or set asynchrony."
            )
        return tuples

    def _begin(self, labels, offsets):
        tuples = self._tuples()
        first, allowed = np.ones(len(tuples), bool), np.ones((len(tuples),) * 2, bool)
        chains = zip(self._topologies(), self._sizes(), tuples.T, strict=True)
        for topology, size, part in chains:
            own_first, own_allowed, _ = possible_moves(topology, size)
            first &= own_first[part]
            allowed &= own_allowed[np.ix_(part, part)]
        states = nearest(tuples, labels)
        start, arcs = segmentation.start_chain(states, offsets, first, allowed)
        moves = Coupled.of(arcs, tuples)
        even = first / first.sum()
        return moves.maximise_start(start, even), moves, states

    def _guess(self, columns, offsets, known, rng):
        labels = []
        chains = zip(self._topologies(), self._sizes(), columns.values(), strict=True)
        for m, (topology, size, rows) in enumerate(chains):
            own = None if known is None else known[:, m]
            even = self._even(topology)
            labels.append(
                segmentation.cut_evenly(offsets, size)
                if even
                else segmentation.cluster(rows, size, rng, own)
            )
        return np.stack(labels, axis=1)

    def _by_chance(self):
        return not all(map(self._even, self._topologies()))

    def _emitting(self, name):
        m = self.layout_.names.index(name)
        return self._sizes()[m], self._tuples()[:, m]

    def _reconstruct(self, Z):
        blocks = np.split(Z, np.cumsum(self.model_.sizes)[:-1], axis=1)
        pairs = zip(self.means_.items(), blocks, strict=True)
        return {name: own @ means for (name, means), own in pairs}


def _is(topology, name):
    return isinstance(topology, str) and topology == name
