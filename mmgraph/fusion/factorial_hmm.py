"""Hidden Markov models with several independent chains behind all streams."""

import numbers
from collections.abc import Mapping
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..engine import segmentation
from ..engine.additive import AdditiveGaussian
from ..engine.kronecker import Kronecker
from ..hints import Modalities, Seed
from ..parameters import choose, require
from .hmm import MultiStreamHMM
from .topology import possible_moves

__all__ = ["FactorialHMM"]

MOST = 1 << 16  # tuples of states, for each has a probability in every frame


class FactorialHMM(MultiStreamHMM):
    r"""Hidden Markov model with independent chains that all streams depend on together.

    Rows are frames, modalities are streams. Each of M chains runs by itself, and each stream m'
    emits given the states of all of them [1]_:

    .. math:: p(x, z) = \prod_t \prod_m p(z_{mt} \mid z_{m,t-1})
        \, \prod_{m'} p(x_{m't} \mid z_{1t}, \dots, z_{Mt})^{w_{m'}}

    So K^M situations are told apart with M matrices of transitions, and a situation is described by
    M independent causes, such as the speaker and the sound. Gaussian streams have a mean that is a
    sum of one contribution a chain, and a covariance that all tuples of states share; other streams
    have parameters of their own for every tuple. Inference is exact.

    Parameters
    ----------
    n_states : int or tuple of int, default=2
        Number of states of each chain, for all or one by one.
    n_factors : int, default=2
        Number of chains.
    emissions : str or dict of str to str, default="gaussian"
        What the tuples emit: see :class:`MultiStreamHMM`.
    covariance_type : {"tied", "diag"} or dict, default="tied"
        Of Gaussian streams, for all or by name: the shared covariance is any, or diagonal. For
        mixtures see :class:`MultiStreamHMM`.
    n_mix : int or dict of str to int, default=2
        Gaussians in each tuple's mixture.
    topology : {"ergodic", "left-right"}, array or tuple of these, default="ergodic"
        Which transitions of a chain are possible, for all chains or one by one: all; those to the
        same and to the next state, starting in the first; or those that are above 0 in a matrix,
        whose rows are where learning starts.
    stream_weights : dict of str to float, default=None
        Exponents w of the streams; 1 where not given.
    init : {"auto", "kmeans", "uniform"}, default="auto"
        First guess of the states of a chain: clusters of what the chains before it leave
        unexplained, or parts of each sequence, cut at random. ``"auto"``: parts for left-right
        chains, else clusters.
    n_init : int, default=1
        Number of starts; the best result is kept. Learning finds a local optimum, and these models
        have many.
    max_iter : int, default=100
        Iterations, at most.
    tol : float, default=1e-4
        Stop where the objective gains less than this, in nats a frame.
    priors : dict of str to float, default=None
        Pseudo-counts, as of :class:`MultiStreamHMM`. ``"start"`` is that of each tuple, and
        ``"transition"`` that of each arc of a chain.
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
        without them X is one stream, ``"X"``.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the first guess. Equal seeds give equal results.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : Model
        The fitted model over tuples of states.
    chains_ : dict of str to int
        Number of states of each chain: of ``"chain 0"`` and so on.
    tuples_ : ndarray of shape (n_tuples, n_chains)
        State of each chain in each tuple.
    start_ : ndarray of shape (n_tuples,)
        Distribution of the first tuple.
    transitions_ : tuple of ndarray of shape (n_states, n_states)
        Transitions of each chain.
    means_ : dict of str to ndarray of shape (n_tuples, n_columns)
        What each tuple emits on average.
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
    CoupledHMM : A chain a stream, which depend on each other.

    Notes
    -----
    ``predict`` gives the number of a tuple for each frame, and ``tuples_[predict(X)]`` a column of
    states a chain; known ``states`` are given to ``fit`` as such columns. ``transform`` gives the
    probabilities of the states of each chain, side by side, and ``inverse_transform`` takes the
    chains for independent given these.

    A frame costs M K^(M + 1) products for its transitions, where a matrix would cost K^(2 M). The
    contributions of the chains are the least-squares solution given the probabilities of the
    tuples, so EM is exact. A constant may move from one chain's contributions to another's.

    References
    ----------
    .. [1] Ghahramani & Jordan (1997), Factorial hidden Markov models. Machine Learning 29, 245-273.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> fast, slow = np.arange(400) // 10 % 2, np.arange(400) // 45 % 2
    >>> x = fast[:, None] * [2.0, 0.5] + slow[:, None] * [0.5, -2.0]
    >>> model = mg.FactorialHMM(2, random_state=0).fit(x + 0.3 * rng.normal(size=(400, 2)))
    >>> found = model.tuples_[model.predict(x)]
    >>> [abs(np.corrcoef(found.T, true)[:2, 2]).max().round(1).item() for true in (fast, slow)]
    [1.0, 1.0]
    """

    def __init__(
        self,
        n_states: int | tuple[int, ...] = 2,
        *,
        n_factors: int = 2,
        emissions: str | Mapping = "gaussian",
        covariance_type: Literal["tied", "diag"] | Mapping = "tied",
        n_mix: int | Mapping = 2,
        topology: Literal["ergodic", "left-right"] | ArrayLike | tuple = "ergodic",
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
            topology=topology,
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
        self.n_factors = n_factors

    @property
    def chains_(self):
        """Number of states of each chain: of ``"chain 0"`` and so on."""
        return {f"chain {m}": size for m, size in enumerate(self.model_.sizes)}

    @property
    def tuples_(self):
        """State of each chain in each tuple."""
        return self.model_.transition.parts

    @property
    def transitions_(self):
        """Transitions of each chain."""
        return self.model_.transition.matrices

    # Chains --------------------------------------------------------------------------------------

    _many = True
    _covariance_type = "tied"

    def _sizes(self):
        sizes = self._by_chain("n_states", self.n_states)
        for size in sizes:
            require("n_states", size, "1", "inf", numbers.Integral)
        if np.prod(sizes, dtype=float) > MOST:
            raise ValueError(
                f"chains of {tuple(sizes)} states have more than {MOST} tuples: give fewer chains "
                "or states."
            )
        return tuple(map(int, sizes))

    def _topologies(self):
        return self._by_chain("topology", self.topology)

    def _by_chain(self, parameter, value):
        """A parameter of each chain: one value for all, or a tuple."""
        require("n_factors", self.n_factors, "1", "inf", numbers.Integral)
        if not isinstance(value, tuple):
            return (value,) * self.n_factors
        if len(value) != self.n_factors:
            raise ValueError(
                f"{parameter} is a tuple of {len(value)}, but n_factors={self.n_factors}: give one "
                "value a chain, or one for all."
            )
        return value

    def _begin(self, labels, offsets):
        starts, matrices, sizes = [], [], self._sizes()
        for topology, size, own in zip(self._topologies(), sizes, labels.T, strict=True):
            first, allowed, matrix = possible_moves(topology, size)
            start, arcs = segmentation.start_chain(own, offsets, first, allowed)
            starts.append(start)
            matrices.append(arcs if matrix is None else matrix)
        states = np.ravel_multi_index(labels.T, sizes)
        return reduce(np.kron, starts), Kronecker(tuple(matrices)), states

    def _guess(self, columns, offsets, known, rng):
        rest, labels = np.hstack(list(columns.values())), []
        for m, (topology, size) in enumerate(zip(self._topologies(), self._sizes(), strict=True)):
            if self._even(topology):
                own = segmentation.cut_by_chance(offsets, size, rng)
            else:
                own = None if known is None else known[:, m]
                own = segmentation.cluster(rest, size, rng, own)
            rest = rest - segmentation.group_means(rest, own, size)[own]
            labels.append(own)
        return np.stack(labels, axis=1)

    def _by_chance(self):
        return True

    def _emitting(self, name):
        return int(np.prod(self._sizes())), None

    def _blank_emission(self, kind, n_states, x, covariance_type, n_mix):
        if kind != "gaussian":
            return super()._blank_emission(kind, n_states, x, covariance_type, n_mix)
        choose("covariance_type", covariance_type, ("tied", "diag"))
        n = x.shape[1]
        parts = np.indices(self._sizes()).reshape(len(self._sizes()), -1).T
        return AdditiveGaussian(
            np.zeros((n_states, n)), np.eye(n), parts, covariance_type == "diag"
        )

    def _reconstruct(self, Z):
        tuples = np.ones((len(Z), 1))
        for own in np.split(Z, np.cumsum(self.model_.sizes)[:-1], axis=1):
            tuples = (tuples[:, :, None] * own[:, None]).reshape(len(Z), -1)
        return {name: tuples @ means for name, means in self.means_.items()}
