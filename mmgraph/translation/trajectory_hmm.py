"""One stream from the others: a hidden Markov model of streams that vary together."""

import itertools
import numbers
from typing import Literal

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from ..backend import kernels, random
from ..backend.random import derive
from ..base import GenerativeMixin, MultimodalEstimator, RepresentationMixin, drive
from ..engine import markov, segmentation
from ..engine.emissions import Prior, Scale
from ..engine.joint_gaussian import JointGaussian
from ..engine.markov import Data, Model, Priors, Stream
from ..engine.trajectories import Equations, Plan, experts, log_density_of
from ..engine.transitions import transition
from ..hints import Modalities, Seed
from ..parameters import choose, require

__all__ = ["TrajectoryHMM"]

FIT, PATHS, NOISE = range(3)  # what a derived key is used for
METHODS = ("trajectory", "mean", "viterbi")
TOPOLOGIES = ("ergodic", "left-right")
FARTHEST = 1e6  # standard deviations that a value may lie from the mean


class TrajectoryHMM(RepresentationMixin, GenerativeMixin, MultimodalEstimator):
    r"""Generates a stream of a sequence from the other streams.

    Rows are frames. In each frame of a sequence the model is in one of a few hidden states, which
    depends on the one before. Each state has one normal distribution of the values of *all* streams
    and of their slopes, so within a state a stream is a linear function of the others and of how
    they change. Which function holds when follows from the whole sequence.

    :class:`MultiStreamHMM` takes streams for independent given the state; here they are not, which
    is what generation needs.

    Parameters
    ----------
    n_states : int, default=8
        Number of states.
    dynamics : {0, 1, 2}, default=2
        What the states know beside values: 1, slopes; 2, slopes and curvatures.
    method : {"trajectory", "mean", "viterbi"}, default="trajectory"
        How streams are generated: the most probable trajectory, in which values and slopes agree
        [1]_; frame by frame, the mean over the states; or the mean along the most probable path of
        states. It can be set after `fit`.
    topology : {"ergodic", "left-right"}, default="ergodic"
        Which transitions are possible: all; or those to the same and to the next state, starting
        in the first.
    max_iter : int, default=50
        Iterations, at most.
    tol : float, default=1e-4
        Stop where the objective gains less than this, in nats a frame.
    prior : float, default=1.0
        Frames that the prior of each covariance counts for. It draws towards columns that do not
        depend on each other, with a hundredth of their variance.
    floor : float, default=1e-4
        Least variance in any direction, in units of the columns' variance.
    sequence : int or str, default=None
        Column of the sequence ids; rows of a sequence are next to each other. None: all rows are
        one sequence.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each stream. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one stream, ``"X"``.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the clusters that learning starts from, and of draws.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : Model
        The fitted model, of one joint stream in units of ``scale_``.
    plan_ : Plan
        How values make features.
    start_ : ndarray of shape (n_states,)
        Distribution of the first state.
    transition_ : ndarray of shape (n_states, n_states)
        Probability of the column's state after the row's.
    scale_ : Scale
        Mean and standard deviation of each column.
    spread_ : dict of str to float
        By stream, how many times the deviations from a generated trajectory are as large, in the
        training sequences or those of :meth:`calibrate`, as the model's standard deviations. It
        counts slopes as if they were further observations and so is too sure; this makes up for it.
    history_ : dict of str to list
        By iteration: ``log_likelihood`` and ``objective``, which has the log-prior added; of scaled
        features, in nats a frame.
    n_iter_ : int
        Iterations done.
    layout_ : Layout
        Columns of each stream.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    MultiStreamHMM : Any kind of emission, streams independent given the state.

    Notes
    -----
    ``log_conditional(X, target)`` is the log-density of the target that :attr:`method` stands for:
    under ``"trajectory"`` each frame's is given those after it, so that the sum is that of the
    sequence. A trajectory's states are weighted with their probabilities (case 3 of [1]_). A draw
    takes one path of states for the whole sequence.

    The joint distribution within a state is the mapping of voice conversion [2]_; as a hidden
    Markov model it is that of [3]_.

    References
    ----------
    .. [1] Tokuda, Yoshimura, Masuko, Kobayashi & Kitamura (2000), Speech parameter generation
       algorithms for HMM-based speech synthesis. ICASSP, 1315-1318.
    .. [2] Toda, Black & Tokuda (2007), Voice conversion based on maximum-likelihood estimation of
       spectral parameter trajectory. IEEE Transactions on Audio, Speech, and Language Processing
       15(8), 2222-2235.
    .. [3] Zen, Nankaku & Tokuda (2011), Continuous stochastic feature mapping based on trajectory
       HMMs. IEEE Transactions on Audio, Speech, and Language Processing 19(2), 417-430.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> hand = np.cumsum(rng.normal(size=(400, 2)), axis=0) / 5
    >>> sign = np.where(np.arange(400) // 50 % 2, 1, -1)[:, None]
    >>> shadow = sign * hand + 0.1 * rng.normal(size=(400, 2))
    >>> X, modalities = mg.pack(hand=hand, shadow=shadow, sequence=np.arange(400) // 100)
    >>> model = mg.TrajectoryHMM(
    ...     4, dynamics=1, sequence=0, modalities=modalities, random_state=0
    ... ).fit(X)
    >>> model.generate(X, "shadow").shape
    (400, 2)
    >>> lower, upper = model.interval(X, "shadow", coverage=0.9)
    >>> bool((lower < upper).all())
    True
    """

    def __init__(
        self,
        n_states: int = 8,
        *,
        dynamics: Literal[0, 1, 2] = 2,
        method: Literal["trajectory", "mean", "viterbi"] = "trajectory",
        topology: Literal["ergodic", "left-right"] = "ergodic",
        max_iter: int = 50,
        tol: float = 1e-4,
        prior: float = 1.0,
        floor: float = 1e-4,
        sequence: int | str | None = None,
        modalities: Modalities | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        self.n_states = n_states
        self.dynamics = dynamics
        self.method = method
        self.topology = topology
        self.max_iter = max_iter
        self.tol = tol
        self.prior = prior
        self.floor = floor
        self.sequence = sequence
        self.modalities = modalities
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None):
        """Learn from sequences.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or a stream is absent from all rows.
        """
        self._check_parameters()
        views = self._check(X, reset=True)
        x, present, offsets = self._frames(views)
        own = self._streams()
        scales = [Scale.of(x[present[:, m]][:, own == m]) for m in range(present.shape[1])]
        self.scale_ = Scale(*(np.concatenate(parts) for parts in zip(*scales, strict=True)))
        z = self._scaled(x, present)
        self.plan_ = Plan.of(z, present, own, offsets, self.dynamics)
        values, there = self.plan_.features(z, present, offsets)
        emission = JointGaussian.blank(self.n_states, self.plan_.groups)
        features = emission.features(values, there)
        prior = Prior(covariance=self.prior, scatter=0.01 * self.prior, floor=self.floor)
        start = self._start(emission, features, there, offsets, prior)
        epochs = markov.train(
            start,
            Data((features,), offsets),
            Priors(emission=prior),
            max_iter=self.max_iter,
            tol=self.tol,
        )
        last, self.history_ = drive(
            epochs, total=self.max_iter, verbose=self.verbose, description=type(self).__name__
        )
        self.model_ = last.model
        self.n_iter_ = len(self.history_["objective"])
        self.spread_ = self._spreads(views)
        return self

    def calibrate(self, X):
        """Measure on other sequences how far streams are from their trajectories, for intervals.

        `fit` does so on the training sequences, to which the model is nearer than to others.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames that the model has not learnt from; NaN marks absent streams.

        Returns
        -------
        self
            With new ``spread_``; that of a stream that X does not show stays.
        """
        views = self._check(X)
        self.spread_ = {**self.spread_, **self._spreads(views)}
        return self

    def interval(self, X, target, *, coverage=0.9):
        """Where the values of a generated stream lie, each with some probability.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; other streams may be absent too.
        target : str
            Name of the stream to generate; what X holds of it is not used.
        coverage : float
            Probability that a value lies in its interval, if it is normal.

        Returns
        -------
        ndarray of shape (2, n_rows, n_target)
            Lower and upper ends, as far from the mean (that of `generate`) as each other.
        """
        require("coverage", coverage, "<0", "<1", numbers.Real)
        views = self._check_beside(X, target)
        mean, deviation = self._moments(views)
        reach = norm.isf((1 - coverage) / 2) * deviation
        ends = self.scale_.decode(np.stack([mean - reach, mean + reach]))
        return self._blocks(ends)[target].astype(views.dtype)

    def log_conditional(self, X, target):
        """Log-density of one stream given the others, in nats.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        target : str
            Name of the stream.

        Returns
        -------
        ndarray of shape (n_rows,)
            The sum over a sequence is its log-density. 0 where the target is absent.
        """
        check_is_fitted(self)
        self.layout_.require(target)
        return self._log_conditional(self._check(X), target)

    def score(self, X, y=None):
        """Mean over streams and frames of the log-density of a stream given the others.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent streams.
        y : ignored

        Returns
        -------
        float
        """
        views = self._check(X)
        return float(np.mean([self._log_conditional(views, name) for name in self.layout_.names]))

    @property
    def start_(self):
        """Distribution of the first state."""
        return self.model_.start

    @property
    def transition_(self):
        """Matrix of transitions."""
        return self.model_.transition.matrix

    # Learning ------------------------------------------------------------------------------------

    def _check_parameters(self):
        for name, low, kind in _RANGES:
            require(name, getattr(self, name), low, "<inf", kind)
        require("dynamics", self.dynamics, "0", "2", numbers.Integral)
        choose("method", self.method, METHODS)
        choose("topology", self.topology, TOPOLOGIES)

    def _start(self, emission, features, there, offsets, prior):
        """A model to start from: clusters of the frames, or equal parts of each sequence."""
        n = self.n_states
        first, allowed = np.ones(n, bool), np.ones((n, n), bool)
        if self.topology == "left-right":
            first, allowed = np.arange(n) == 0, np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool)
            labels = segmentation.cut_evenly(offsets, n)
        else:
            groups, values = self.plan_.groups, features[:, 1 : 1 + len(self.plan_.groups)].copy()
            for group, shown in enumerate(there.T):
                columns = np.flatnonzero(groups == group)
                values[:, columns] = segmentation.fill_gaps(values[:, columns], shown, offsets)
            key = derive(random.key(self.random_state), FIT)
            labels = segmentation.cluster(values, n, np.random.default_rng([*key]))
        start, arcs = segmentation.start_chain(labels, offsets, first, allowed)
        careful = prior._replace(  # one frame more a state, so that none starts as a spike
            mean=0.1, covariance=prior.covariance + 1.0, scatter=prior.scatter + 1.0
        )
        statistics = emission.statistics(features, np.eye(n)[labels])
        return Model(start, transition(arcs), (Stream(emission.maximise(statistics, careful)),))

    def _spreads(self, views):
        """How far each stream that is shown is from its trajectories."""
        shown = [name for name, present in views.present.items() if present.any()]
        return {name: self._spread(views, name) for name in shown}

    def _spread(self, views, target):
        """How far a stream is from its trajectories, in standard deviations of the model."""
        data, z, known = self._data(views.hide(target))
        posterior, squares = markov.posteriors(self.model_, data), []
        _, truth, shown = self._data(views)
        asked = shown & (self._streams() == self.layout_.names.index(target))
        for rows, _, found in self._trajectories(data, posterior, z, known):
            own = asked[rows].ravel()
            gaps = truth[rows].ravel()[own] - found.mean[own]
            squares.append(gaps**2 / found.variances()[own])
        return float(np.sqrt(np.concatenate(squares).mean())) or 1.0

    # Frames --------------------------------------------------------------------------------------

    def _streams(self):
        """The stream of each column, all streams side by side."""
        return np.repeat(np.arange(len(self.layout_.names)), self._widths())

    def _widths(self):
        return [len(columns) for columns in self.layout_.columns.values()]

    def _frames(self, views):
        """Values of all streams side by side, which are there, and where sequences begin."""
        blocks = [views.blocks[name] for name in self.layout_.names]
        x = np.hstack([b.toarray() if sp.issparse(b) else b for b in blocks]).astype(np.float64)
        present = np.column_stack([views.present[name] for name in self.layout_.names])
        return x, present, views.offsets

    def _scaled(self, x, present):
        """Values in units of the standard deviations; 0 where they are absent."""
        there = present[:, self._streams()]
        z = np.where(there, self.scale_.encode(np.where(there, x, 0.0)), 0.0)
        if len(z) and not np.abs(z).max() < FARTHEST:
            name = self.layout_.names[self._streams()[np.abs(z).max(axis=0).argmax()]]
            raise ValueError(
                f"modality {name!r}: a value lies {np.abs(z).max():.3g} standard deviations from "
                f"the mean of the training rows, and {FARTHEST:g} is the most: check the scale of "
                "X."
            )
        return z

    def _data(self, views):
        """Rows as the engine has them, scaled values, and which are there."""
        choose("method", self.method, METHODS)  # it may have been set after fit
        x, present, offsets = self._frames(views)
        z = self._scaled(x, present)
        features = self._emission.features(*self.plan_.features(z, present, offsets))
        return Data((features,), offsets), z, present[:, self._streams()]

    def _blocks(self, values):
        """Columns of all streams as a block a stream."""
        edges = np.cumsum(self._widths())[:-1]
        return dict(zip(self.layout_.names, np.split(values, edges, axis=-1), strict=True))

    @property
    def _emission(self):
        return self.model_.streams[0].emission

    def _chances(self, data):
        """Probability of each state in each frame; along the best path alone for Viterbi."""
        if self.method == "viterbi":
            return np.eye(self.model_.n_states)[markov.best_paths(self.model_, data)[0]]
        return markov.posteriors(self.model_, data)

    # Generation ----------------------------------------------------------------------------------

    def _factors(self):
        """What deviations from a trajectory are multiplied with, by column."""
        return np.repeat([self.spread_[name] for name in self.layout_.names], self._widths())

    def _trajectories(self, data, posterior, z, known):
        """Rows of each sequence, its equations given what is known, and what they come to."""
        emission, plan, n = self._emission, self.plan_, z.shape[1]
        inner = experts(emission.means, emission.covariances, plan.windows)
        ends = experts(emission.means[:, :n], emission.covariances[:, :n, :n], plan.windows[:, :n])
        for first, end in itertools.pairwise(data.offsets.tolist()):
            rows = slice(first, end)
            equations = Equations.of(posterior[rows], inner, ends).given(z[rows], known[rows])
            yield rows, equations, equations.solve()

    def _moments(self, views):
        """Mean and standard deviation of all values given what is there, both scaled."""
        data, z, known = self._data(views)
        posterior, n = self._chances(data), z.shape[1]
        if self.method != "trajectory":
            mean, variance = self._emission.moments(data.features[0], posterior)
            return mean[:, :n], np.sqrt(variance[:, :n])
        mean, deviation = np.empty_like(z), np.empty_like(z)
        for rows, _, found in self._trajectories(data, posterior, z, known):
            mean[rows] = found.mean.reshape(-1, n)
            deviation[rows] = np.sqrt(found.variances()).reshape(-1, n) * self._factors()
        return mean, deviation

    def _complete(self, views, n_draws=None, key=None):
        data, z, known = self._data(views)
        if n_draws is None:
            posterior, n = self._chances(data), z.shape[1]
            found = np.empty_like(z)
            if self.method == "trajectory":
                for rows, _, trajectory in self._trajectories(data, posterior, z, known):
                    found[rows] = trajectory.mean.reshape(-1, n)
            else:
                found = self._emission.moments(data.features[0], posterior)[0][:, :n]
            return self._blocks(self.scale_.decode(found))
        if self.method == "viterbi":
            paths = np.tile(markov.best_paths(self.model_, data)[0], (n_draws, 1))
        else:
            paths = markov.draw_states(self.model_, data, n_draws, derive(key, PATHS))
        draws = [self._draw(data, z, known, path, key, i) for i, path in enumerate(paths)]
        return self._blocks(self.scale_.decode(np.stack(draws)))

    def _draw(self, data, z, known, path, key, step):
        """Values drawn given the state of each frame."""
        n, rows = z.shape[1], np.arange(len(z), dtype=np.uint32)
        width = n if self.method == "trajectory" else len(self.plan_.groups)
        noise = kernels.of(rows).normal(rows, width, derive(key, NOISE), step, 0, np.float64)
        if self.method != "trajectory":
            return self._emission.complete(data.features[0], path, noise)[:, :n]
        found = np.empty_like(z)
        chances = np.eye(self.model_.n_states)[path]
        for at, _, trajectory in self._trajectories(data, chances, z, known):
            deviation = trajectory.deviate(noise[at].ravel()).reshape(-1, n)
            found[at] = trajectory.mean.reshape(-1, n) + deviation * self._factors()
        return found

    def _log_conditional(self, views, target):
        """Log-density of one stream given the others, of checked rows."""
        if self.method == "trajectory":
            found = self._log_trajectory(views, target)
        else:
            found = self._log_mixture(views, target)
        volume = np.log(self._blocks(self.scale_.scale)[target]).sum()
        return np.where(views.present[target], found - volume, 0.0)

    def _log_trajectory(self, views, target):
        """Log-density of a stream in each frame, given those after it, under its trajectory."""
        data, z, known = self._data(views.hide(target))
        _, values, shown = self._data(views)
        asked = shown & (self._streams() == self.layout_.names.index(target))
        factors = self._factors()
        return np.concatenate(
            [
                log_density_of(*found, values[rows], asked[rows], known[rows], factors)
                for rows, *found in self._trajectories(data, self._chances(data), z, known)
            ]
        )

    def _log_mixture(self, views, target):
        """Log-density of a stream in each frame, under the mixture of its states."""
        data = self._data(views.hide(target))[0]
        beside, z = data.features[0], self._data(views)[1]
        stream = self.layout_.names.index(target)
        columns = np.flatnonzero(self._streams() == stream)
        features, shown = beside.copy(), views.present[target]
        features[:, 1 + columns] = z[:, columns]
        features[:, 1 + len(self.plan_.groups) + stream] = shown
        features[:, 0] = np.maximum(features[:, 0], shown)
        emission = self._emission
        ratio = emission.log_likelihood(features) - emission.log_likelihood(beside)
        with np.errstate(divide="ignore"):
            return logsumexp(ratio + np.log(self._chances(data)), axis=1)

    def _represent(self, views):
        return markov.posteriors(self.model_, self._data(views)[0])

    def _embed(self, views, modality):
        others = [name for name in self.layout_.names if name != modality]
        found = self._represent(views.hide(*others)).astype(views.dtype)
        found[~views.present[modality]] = np.nan
        return found

    def _reconstruct(self, Z):
        means = Z @ self._emission.means[:, : self.plan_.n_columns]
        return self._blocks(self.scale_.decode(means))

    @property
    def _n_features_out(self):
        return self.model_.n_states


_RANGES = (
    ("n_states", "1", numbers.Integral),
    ("max_iter", "1", numbers.Integral),
    ("tol", "0", numbers.Real),
    ("prior", "<0", numbers.Real),
    ("floor", "<0", numbers.Real),
)
