"""Latent alignment: which frames of two streams go together, found by predicting one of them.

Each frame y_j of the target is drawn given one frame x_i of the source, i = a_j. The alignment a
has a prior (:mod:`mmgraph.engine.alignment_priors`) and is never observed. Expectation and
maximisation learn p(y | x) and the prior; the posterior of a is what comes of it. This is the
statistical alignment of Brown et al. (1993) and Vogel, Ney & Tillmann (1996), with frames for
words.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from ..backend.kernels.threads import in_parallel
from .alignment_priors import Jumps, Positions, around_the_diagonal
from .emissions import LOG_2PI
from .warping import costs_between

__all__ = ["Correspondence", "Linear", "Table", "fit"]

FLOOR = 1e-3  # least variance of the residual in any direction, in units of the columns'


class Linear(NamedTuple):
    """Normal distributions about a linear function of the source.

    Attributes
    ----------
    weights : ndarray of shape (p + 1, q)
        The last row is the intercept.
    root : ndarray of shape (q, q)
        Whitens residuals: its product with its transpose is the inverse of their covariance.
    log_volume : float
        Half the log-determinant of the covariance.
    """

    weights: np.ndarray
    root: np.ndarray
    log_volume: float

    def costs(self, source, target):
        """Minus the log-density of each frame of the target given each of the source: (m, n)."""
        found = costs_between(target @ self.root, self.expected(source) @ self.root)
        found *= 0.5
        found += 0.5 * LOG_2PI * len(self.root) + self.log_volume
        return found

    def expected(self, source):
        """Expected frames of the target."""
        return source @ self.weights[:-1] + self.weights[-1]

    @staticmethod
    def statistics(source, target, posterior):
        """Moments of the frames that go together; they add up."""
        x = np.column_stack([source, np.ones(len(source))])
        return (x.T * posterior.sum(axis=0)) @ x, x.T @ (posterior.T @ target), target.T @ target

    @classmethod
    def best(cls, statistics, alpha):
        """The most probable parameters, given moments and `alpha` pseudo-frames at no weights."""
        xx, xy, yy = statistics
        n = xx[-1, -1]
        penalty = np.full(len(xx), float(alpha))
        penalty[-1] = 0.0
        weights = scipy.linalg.pinvh(xx + np.diag(penalty)) @ xy
        values, vectors = scipy.linalg.eigh((yy - xy.T @ weights) / n)
        values = np.maximum(values, FLOOR)
        return cls(weights, vectors / np.sqrt(values), 0.5 * float(np.log(values).sum()))

    def log_prior(self, alpha):
        """Log-density of the weights, up to a constant."""
        return -0.5 * alpha * float(((self.weights[:-1] @ self.root) ** 2).sum())


class Table(NamedTuple):
    """A distribution of the target's code for each code of the source.

    Attributes
    ----------
    probabilities : ndarray of shape (p, q)
    """

    probabilities: np.ndarray

    def costs(self, source, target):
        """Minus the log-probability of each frame of the target given each of the source."""
        with np.errstate(divide="ignore"):
            return -np.log(target @ self.probabilities.T @ source.T)

    def expected(self, source):
        """Expected frames of the target: the probabilities of its codes."""
        return source @ self.probabilities

    @staticmethod
    def statistics(source, target, posterior):
        """Counts of the codes that go together."""
        return (source.T @ (posterior.T @ target),)

    @classmethod
    def best(cls, statistics, alpha):
        """The most probable parameters, given counts and `alpha` pseudo-counts a row."""
        counts = statistics[0] + alpha / statistics[0].shape[1]
        total = counts.sum(axis=1, keepdims=True)
        even = np.full_like(counts, 1 / counts.shape[1])
        return cls(np.divide(counts, total, out=even, where=total > 0))

    def log_prior(self, alpha):
        """Log-density of the probabilities, up to a constant."""
        return alpha * float(np.log(self.probabilities).mean(axis=1).sum()) if alpha else 0.0


class Correspondence(NamedTuple):
    """What is known of how a target goes with a source.

    Attributes
    ----------
    emission : Linear or Table
    prior : Positions or Jumps
    """

    emission: Linear | Table
    prior: Positions | Jumps

    def expect(self, source, target):
        """How one target goes with its source: an Aligned."""
        return self.prior.expect(self.emission.costs(source, target))


class _Counts(NamedTuple):
    """Expected statistics of some pairs; they add up."""

    log_likelihood: float
    prior: np.ndarray
    emission: tuple

    def merge(self, other):
        pairs = zip(self.emission, other.emission, strict=True)
        return _Counts(
            self.log_likelihood + other.log_likelihood,
            self.prior + other.prior,
            tuple(a + b for a, b in pairs),
        )


def fit(pairs, kind, prior, *, spread=0.1, alpha=1.0, max_iter=50, tol=1e-4):
    """Learn by expectation and maximisation how targets go with sources.

    Parameters
    ----------
    pairs : list of (ndarray of shape (n, p), ndarray of shape (m, q))
        Source and target of each sequence, float64: in units of their deviations for
        :class:`Linear`, one-hot for :class:`Table`.
    kind : {Linear, Table}
    prior : Positions or Jumps
        Where to begin.
    spread : float
        How far the first guess of the alignments lies about the diagonal, as a share of the length;
        infinite: all frames of the source are as likely.
    alpha : float
        Pseudo-frames behind the parameters.
    max_iter : int
    tol : float
        Gain a frame of the target below which the iterations end.

    Returns
    -------
    model : Correspondence
    history : dict of str to list of float
        ``log_likelihood`` and ``objective`` (with the log-density of the parameters) before each
        iteration, in nats a frame of the target.
    converged : bool
    """
    n_frames = sum(len(target) for _, target in pairs)

    def guess(pair):
        source, target = pair
        posterior = around_the_diagonal(len(target), len(source), spread)
        counts = kind.statistics(source, target, posterior)
        return _Counts(0.0, prior.statistics(posterior), counts)

    def expect(pair):
        found = model.expect(*pair)
        if found.log_likelihood == -np.inf:
            raise ValueError(no_alignment(len(pair[1]), len(pair[0]), model.prior))
        counts = kind.statistics(*pair, found.posterior)
        return _Counts(found.log_likelihood, found.statistics, counts)

    model = _better(Correspondence(None, prior), _added(guess, pairs), kind, alpha)
    history = {"log_likelihood": [], "objective": []}
    for _ in range(max_iter):
        counts = _added(expect, pairs)
        densities = model.emission.log_prior(alpha) + model.prior.log_prior(alpha)
        history["log_likelihood"].append(counts.log_likelihood / n_frames)
        history["objective"].append((counts.log_likelihood + densities) / n_frames)
        model = _better(model, counts, kind, alpha)
        if len(history["objective"]) > 1 and np.diff(history["objective"][-2:])[0] < tol:
            return model, history, True
    return model, history, False


def no_alignment(m, n, prior):
    """What to say where no alignment is possible."""
    what = f"no alignment of {m} frames with {n} is possible"
    if isinstance(prior, Jumps):
        most = prior.least + len(prior.weights) - 1
        if (m + 1) * most <= n:
            return (
                f"{what} by jumps=({prior.least}, {most}), which pass over at most {most - 1} "
                "frames at a time: raise the second, or pass open_ends=True."
            )
    return f"{what}: their codes never go together. Raise alpha."


def _better(model, counts, kind, alpha):
    emission = kind.best(counts.emission, alpha)
    return Correspondence(emission, model.prior.improve(counts.prior, alpha))


def _added(call, pairs):
    total = None
    for counts in in_parallel(call, pairs):
        total = counts if total is None else total.merge(counts)
    return total
