"""Which frame of a source each frame of a target goes with, before the frames are seen.

With a_j the frame of the source, of n, that frame j of the target, of m, goes with:

- :class:`Positions`: all a_j are independent, p(a_j = i) is proportional to a weight of the offset
  i / n - j / m. With one weight this is model 1 of Brown et al. (1993), with more a model 2 whose
  table is shared by all lengths.
- :class:`Jumps`: a_j depends on a_j-1, p(a_j = i | a_j-1 = h) is proportional to a weight of the
  jump i - h (Vogel, Ney & Tillmann 1996).

In both the weights are normalised over what is admitted where one stands, so the expected counts
alone do not give the best ones. A step of minorisation and maximisation (Hunter 2004) makes better
ones of them: each weight becomes its count, divided by the sum of the inverse normalisations where
it was admitted. No such step lowers the likelihood.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from ..backend.kernels import jumps as kernels

__all__ = ["Aligned", "Jumps", "Positions", "around_the_diagonal"]


class Aligned(NamedTuple):
    """What a target says of its alignment with a source.

    Attributes
    ----------
    log_likelihood : float
        Of the target, over all alignments; -inf where none is admitted.
    posterior : ndarray of shape (m, n)
        Probability of each frame of the source, for each of the target.
    statistics : ndarray of shape (2, n_weights)
        What the prior learns from: the expected count of each weight, and the sum of the inverse
        normalisations where it was admitted. Those of several pairs add up.
    """

    log_likelihood: float
    posterior: np.ndarray
    statistics: np.ndarray


def around_the_diagonal(m, n, spread):
    """Distribution of the source's frame for each of the target's, by offset alone: (m, n)."""
    return softmax(-0.5 * (_offsets(m, n) / spread) ** 2, axis=1)


class Positions(NamedTuple):
    """Independent alignments, weighted by offset.

    Attributes
    ----------
    weights : ndarray of shape (n_bins,)
        Of offsets in bins of equal width from -1 to 1; their sum is 1.
    """

    weights: np.ndarray

    @classmethod
    def even(cls, n_bins):
        """Equal weights."""
        return cls(np.full(n_bins, 1 / n_bins))

    def expect(self, costs):
        """Aligned, given minus the log-density of each frame given each frame of the source."""
        with np.errstate(divide="ignore"):
            joint = self._log_prior(costs.shape) - costs
        log_likelihood = logsumexp(joint, axis=1, keepdims=True)
        if np.isneginf(log_likelihood).any():
            return Aligned(-np.inf, np.zeros(costs.shape), np.zeros((2, len(self.weights))))
        posterior = np.exp(joint - log_likelihood)
        return Aligned(float(log_likelihood.sum()), posterior, self.statistics(posterior))

    def statistics(self, posterior):
        """Those of a posterior, however it was found."""
        bins, size = self._bins(posterior.shape), len(self.weights)
        inverse = 1 / self.weights[bins].sum(axis=1, keepdims=True)
        each = posterior, np.broadcast_to(inverse, posterior.shape)
        return np.stack([np.bincount(bins.ravel(), part.ravel(), size) for part in each])

    def best(self, costs):
        """The most probable alignment: minus its log-probability, and the source's frames."""
        with np.errstate(divide="ignore"):
            joint = self._log_prior(costs.shape) - costs
        path = joint.argmax(axis=1)
        return -float(joint[np.arange(len(path)), path].sum()), path

    def improve(self, statistics, alpha):
        """Better weights given expected counts and `alpha` pseudo-counts."""
        return Positions(_improve(self.weights, statistics, alpha))

    def log_prior(self, alpha):
        """Log-density of the weights, up to a constant."""
        return _log_dirichlet(self.weights, alpha)

    def _bins(self, shape):
        places = (1 + _offsets(*shape)) / 2 * len(self.weights)
        return np.minimum(places.astype(np.int64), len(self.weights) - 1)

    def _log_prior(self, shape):
        log_weights = np.log(self.weights)[self._bins(shape)]
        return log_weights - logsumexp(log_weights, axis=1, keepdims=True)


class Jumps(NamedTuple):
    """A chain of alignments, weighted by jump.

    With closed ends the chain jumps into the source from before its first frame, and after the last
    frame of the target to behind the source's last one. With open ones it begins and ends anywhere.

    Attributes
    ----------
    weights : ndarray of shape (n_jumps,)
        Of the jumps from `least` on; their sum is 1.
    least : int
        At most 0.
    open_ends : bool
    """

    weights: np.ndarray
    least: int
    open_ends: bool

    @classmethod
    def even(cls, least, most, open_ends):
        """Equal weights."""
        size = most - least + 1
        return cls(np.full(size, 1 / size), least, open_ends)

    def expect(self, costs):
        """Aligned, given minus the log-density of each frame given each frame of the source."""
        m, n = costs.shape
        weights, posterior = np.empty((m, n, len(self.weights))), np.empty((m, n))
        found = kernels.forward(costs, *self._chain(n), weights, posterior[-1])
        counts = np.zeros(len(self.weights))
        if found == -np.inf:
            return Aligned(found, np.zeros((m, n)), np.zeros((2, len(counts))))
        kernels.backward(weights, posterior, self.least, counts)
        return Aligned(found, posterior, self._statistics(counts, posterior))

    def statistics(self, posterior):
        """Those of a posterior that knows no jumps: none were seen."""
        return np.zeros((2, len(self.weights)))

    def best(self, costs):
        """The most probable alignment: minus its log-probability, and the source's frames."""
        path = np.empty(len(costs), np.int64)
        with np.errstate(divide="ignore"):
            return kernels.best(costs, *self._chain(costs.shape[1]), path), path

    def improve(self, statistics, alpha):
        """Better weights given expected counts and `alpha` pseudo-counts."""
        return self._replace(weights=_improve(self.weights, statistics, alpha))

    def log_prior(self, alpha):
        """Log-density of the weights, up to a constant."""
        return _log_dirichlet(self.weights, alpha)

    def _admitted(self, n):
        """Which jumps are admitted from each frame, and (last row) from before the first one."""
        target = np.r_[:n, -1][:, None] + self.least + np.arange(len(self.weights))
        admitted = (target >= 0) & (target < n + (not self.open_ends))
        admitted[n] = (target[n] >= 0) & (target[n] < n)
        return admitted

    def _chain(self, n):
        """Probabilities of beginnings, of jumps and of ends, as the kernels take them."""
        admitted = self._admitted(n) * self.weights
        total = admitted.sum(axis=1, keepdims=True)
        odds = np.divide(admitted, total, out=np.zeros_like(admitted), where=total > 0)
        if self.open_ends:
            return np.full(n, 1 / n), odds[:n], np.ones(n), self.least
        begin, end = np.zeros(n), np.zeros(n)
        for k in range(len(self.weights)):
            d = self.least + k
            if 1 <= d <= n:
                begin[d - 1], end[n - d] = odds[n, k], odds[n - d, k]
        return begin, odds[:n], end, self.least

    def _statistics(self, counts, posterior):
        n = posterior.shape[1]
        admitted = self._admitted(n)
        left = np.append(posterior[:-1].sum(axis=0), 0.0)
        if not self.open_ends:
            left[:n] += posterior[-1]
            left[n] = 1.0
            for k in range(len(counts)):
                d = self.least + k
                if 1 <= d <= n:
                    counts[k] += posterior[0, d - 1] + posterior[-1, n - d]
        total = admitted @ self.weights
        inverse = np.divide(left, total, out=np.zeros_like(left), where=total > 0)
        return np.stack([counts, inverse @ admitted])


def _offsets(m, n):
    """Of each frame of the source from each frame of the target, as shares of their lengths."""
    return (np.arange(n) + 0.5) / n - (np.arange(m)[:, None] + 0.5) / m


def _improve(weights, statistics, alpha):
    """Better weights given expected counts, and `alpha` pseudo-counts that are spread evenly."""
    counts, inverse = statistics[0] + alpha / len(weights), statistics[1] + alpha
    better = np.divide(counts, inverse, out=weights.copy(), where=inverse > 0)
    return better / better.sum()


def _log_dirichlet(weights, alpha):
    return alpha * float(np.log(weights).mean()) if alpha else 0.0
