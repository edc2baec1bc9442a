"""Transitions between the states of a hidden Markov model: dense, or a few arcs."""

from typing import NamedTuple

import numpy as np

from ..backend import kernels

__all__ = ["Arcs", "Dense", "log_dirichlet", "transition"]


class Dense(NamedTuple):
    """A transition between any two states.

    Attributes
    ----------
    matrix : ndarray of shape (n_states, n_states)
        Probability of the column's state after the row's.
    """

    matrix: np.ndarray

    def operands(self, dtype):
        """What the kernels carry forward and backward with, and what says who enters a state."""
        back = np.ascontiguousarray(self.matrix.T, dtype)
        return np.ascontiguousarray(self.matrix, dtype), back, back

    def carry(self, distribution):
        """Distribution of the next state."""
        return (distribution @ self.matrix).astype(distribution.dtype)

    def count(self, filtered, scaled):
        """Expected transitions, without the factor that is the transition itself."""
        return (filtered[:-1].T @ scaled[1:]).astype(np.float64)

    def no_counts(self):
        """Zeros, to add counts to."""
        return np.zeros_like(self.matrix)

    def tally(self, path, inner):
        """Transitions in a path; `inner` names the frames that have one before them."""
        counts = self.no_counts()
        np.add.at(counts, (path[inner - 1], path[inner]), 1.0)
        return counts

    def expected(self, counts):
        """Expected transitions from the sum of :meth:`count`."""
        return counts * self.matrix

    def maximise(self, counts, pseudo):
        """The most probable transition given expected ones."""
        counts = np.where(self.matrix > 0, counts + pseudo, 0.0)
        total = counts.sum(axis=1, keepdims=True)
        return Dense(np.where(total > 0, counts / np.where(total > 0, total, 1), self.matrix))

    def log_prior(self, pseudo):
        """Log-density of the probabilities, up to a constant."""
        return log_dirichlet(self.matrix, pseudo)


class Arcs(NamedTuple):
    """A transition with few arcs, such as that of a left-right model.

    Attributes
    ----------
    n_states : int
    sources, targets : ndarray of int64, shape (n_arcs,)
        Sorted by source, then by target.
    values : ndarray of shape (n_arcs,)
        Probability of each arc.
    """

    n_states: int
    sources: np.ndarray
    targets: np.ndarray
    values: np.ndarray

    @property
    def matrix(self):
        """The same as a matrix of shape (n_states, n_states)."""
        dense = np.zeros((self.n_states, self.n_states))
        dense[self.sources, self.targets] = self.values
        return dense

    def operands(self, dtype):
        """What the kernels carry forward and backward with, and what says who enters a state."""
        values = self.values.astype(dtype)
        order = np.lexsort((self.sources, self.targets))
        enter = (
            np.searchsorted(self.targets[order], np.arange(self.n_states + 1)),
            self.sources[order],
            values[order],
        )
        leave = (
            np.searchsorted(self.sources, np.arange(self.n_states + 1)),
            self.targets,
            values,
        )
        return enter, leave, enter

    def carry(self, distribution):
        """Distribution of the next state."""
        sent = distribution[self.sources] * self.values
        return np.bincount(self.targets, sent, self.n_states).astype(distribution.dtype)

    def count(self, filtered, scaled):
        """Expected transitions, without the factor that is the transition itself."""
        counts = self.no_counts()
        kernel = kernels.of(filtered, "markov")
        kernel.count_arcs(filtered, scaled, self.sources, self.targets, counts)
        return counts

    def no_counts(self):
        """Zeros, to add counts to."""
        return np.zeros(len(self.values))

    def tally(self, path, inner):
        """Transitions in a path; `inner` names the frames that have one before them."""
        pairs = path[inner - 1].astype(np.int64) * self.n_states + path[inner]
        arcs = self.sources * self.n_states + self.targets
        found = np.searchsorted(arcs, pairs)
        return np.bincount(found, minlength=len(arcs)).astype(float)

    def expected(self, counts):
        """Expected transitions from the sum of :meth:`count`."""
        return counts * self.values

    def maximise(self, counts, pseudo):
        """The most probable transition given expected ones."""
        counts = counts + pseudo
        total = np.bincount(self.sources, counts, self.n_states)[self.sources]
        values = np.where(total > 0, counts / np.where(total > 0, total, 1), self.values)
        return self._replace(values=values)

    def log_prior(self, pseudo):
        """Log-density of the probabilities, up to a constant."""
        return log_dirichlet(self.values, pseudo)


def transition(matrix):
    """A transition from its matrix: as arcs where these are few."""
    sources, targets = np.nonzero(matrix)
    if len(sources) * 4 <= matrix.size:
        return Arcs(len(matrix), sources, targets, matrix[sources, targets].astype(float))
    return Dense(np.array(matrix, float))


def log_dirichlet(p, pseudo):
    """Log-density of probabilities under pseudo-counts, up to a constant; zeros stay zeros."""
    return pseudo * float(np.log(p[p > 0]).sum()) if pseudo else 0.0
