"""Transitions between the states of a hidden Markov model: dense, or along a few diagonals.

All transitions answer the same questions, and so do those of :mod:`mmgraph.engine.ties`, whose
probabilities are tied, and of :mod:`mmgraph.engine.kronecker`, of independent chains. A state may
stand for those of several chains, or for a state and the time spent in it: ``parts`` says of which.
"""

from typing import NamedTuple

import numpy as np

from ..backend import kernels

__all__ = ["Band", "Dense", "log_dirichlet", "transition"]


LEAST = 12  # states a diagonal, from which a band is quicker than a matrix


class Dense(NamedTuple):
    """A transition between any two states.

    Attributes
    ----------
    matrix : ndarray of shape (n_states, n_states)
        Probability of the column's state after the row's.
    """

    matrix: np.ndarray

    @property
    def parts(self):
        """State of each chain in each state, of shape (n_states, n_chains): here of one."""
        return np.arange(len(self.matrix))[:, None]

    def operands(self, dtype):
        """What the kernels carry forward and backward with, and what says who enters a state."""
        back = np.ascontiguousarray(self.matrix.T, dtype)
        return np.ascontiguousarray(self.matrix, dtype), back, back

    def logarithm(self, enter):
        """Logarithm of the last of the operands."""
        return _log(enter)

    @property
    def least(self):
        """Least probability of a state after any other, those left out that are never entered."""
        return self.matrix[:, self.matrix.any(axis=0)].min()

    def carry(self, distribution):
        """Distribution of the next state."""
        return (distribution @ self.matrix).astype(distribution.dtype)

    def count(self, filtered, scaled):
        """Expected transitions, without the factor that is the transition itself."""
        return (filtered[:-1].T @ scaled[1:]).astype(np.float64)

    def no_counts(self):
        """Zeros, to add counts to."""
        return np.zeros_like(self.matrix)

    @property
    def entries(self):
        """Source, target and probability of each arc, by target."""
        targets, sources = np.nonzero(self.matrix.T)
        return sources, targets, self.matrix[sources, targets]

    def tally(self, sources, targets, weights=1.0):
        """Counts from single arcs, and how often each was taken."""
        counts = self.no_counts()
        np.add.at(counts, (sources, targets), weights)
        return counts

    def expected(self, counts):
        """Expected transitions from the sum of :meth:`count`."""
        return counts * self.matrix

    def unpacked(self, counts):
        """Counts as a matrix."""
        return counts

    def like(self, matrix):
        """A transition of the same form, from its matrix."""
        return Dense(matrix)

    def maximise(self, counts, pseudo):
        """The most probable transition given expected ones."""
        counts = np.where(self.matrix > 0, counts + pseudo, 0.0)
        total = counts.sum(axis=1, keepdims=True)
        return Dense(np.where(total > 0, counts / np.where(total > 0, total, 1), self.matrix))

    def maximise_start(self, counts, start):
        """The most probable distribution of the first state; `start` is the one before."""
        return counts / counts.sum()

    def log_prior(self, pseudo):
        """Log-density of the probabilities, up to a constant."""
        return log_dirichlet(self.matrix, pseudo)

    def n_parameters(self, start):
        """Free parameters of the transition and of a start, whose zeros are fixed."""
        arcs, firsts = np.count_nonzero(self.matrix), np.count_nonzero(start)
        return arcs - len(self.matrix) + firsts - 1


class Band(NamedTuple):
    """A transition along a few diagonals, such as that of a left-right model.

    The product of left-right chains that may drift apart a little has few diagonals too, when all
    pairs of their states are numbered row by row.

    Attributes
    ----------
    shifts : ndarray of int64, shape (n_shifts,)
        Numbers of states that one can move on by, descending.
    values : ndarray of shape (n_shifts, n_states)
        Probability of moving into the column's state by the row's shift.
    """

    shifts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, matrix):
        """The band of a matrix."""
        sources, targets = np.nonzero(matrix)
        shifts, place = np.unique(sources - targets, return_inverse=True)
        values = np.zeros((len(shifts), len(matrix)))
        values[place, targets] = matrix[sources, targets]
        return cls(-shifts, values)

    @property
    def n_states(self):
        """Number of states."""
        return self.values.shape[1]

    @property
    def parts(self):
        """State of each chain in each state, of shape (n_states, n_chains): here of one."""
        return np.arange(self.n_states)[:, None]

    def _arcs(self):
        """Shift, source and target of each arc, by number."""
        places, targets = np.nonzero(self.values)
        return places, targets - self.shifts[places], targets

    @property
    def matrix(self):
        """The same as a matrix of shape (n_states, n_states)."""
        return self.unpacked(self.values)

    def operands(self, dtype):
        """What the kernels carry forward and backward with, and what says who enters a state."""
        places, sources, targets = self._arcs()
        leaving = np.zeros_like(self.values, dtype)
        leaving[places, sources] = self.values[places, targets]
        enter = self.shifts, self.values.astype(dtype)
        return enter, (-self.shifts, leaving), enter

    def logarithm(self, enter):
        """Logarithm of the last of the operands."""
        return enter[0], _log(enter[1])

    @property
    def least(self):
        """Least probability of a state after any other, those left out that are never entered."""
        return Dense(self.matrix).least

    def carry(self, distribution):
        """Distribution of the next state."""
        places, sources, targets = self._arcs()
        sent = distribution[sources] * self.values[places, targets]
        return np.bincount(targets, sent, self.n_states).astype(distribution.dtype)

    def count(self, filtered, scaled):
        """Expected transitions, without the factor that is the transition itself."""
        counts = self.no_counts()
        kernels.of(filtered, "markov").count_band(filtered, scaled, self.shifts, counts)
        return counts

    def no_counts(self):
        """Zeros, to add counts to."""
        return np.zeros_like(self.values)

    @property
    def entries(self):
        """Source, target and probability of each arc, by target."""
        places, sources, targets = self._arcs()
        order = np.argsort(targets, kind="stable")
        places, sources, targets = places[order], sources[order], targets[order]
        return sources, targets, self.values[places, targets]

    def tally(self, sources, targets, weights=1.0):
        """Counts from single arcs, and how often each was taken."""
        counts = self.no_counts()
        places = np.searchsorted(-self.shifts, sources - targets)
        np.add.at(counts, (places, targets), weights)
        return counts

    def expected(self, counts):
        """Expected transitions from the sum of :meth:`count`."""
        return counts * self.values

    def unpacked(self, counts):
        """Counts as a matrix."""
        found = np.zeros((self.n_states, self.n_states))
        places, sources, targets = self._arcs()
        found[sources, targets] = counts[places, targets]
        return found

    def like(self, matrix):
        """A transition of the same form, from its matrix."""
        places, sources, targets = self._arcs()
        values = np.zeros_like(self.values)
        values[places, targets] = matrix[sources, targets]
        return self._replace(values=values)

    def maximise(self, counts, pseudo):
        """The most probable transition given expected ones."""
        places, sources, targets = self._arcs()
        found = counts[places, targets] + pseudo
        total = np.bincount(sources, found, self.n_states)[sources]
        values = self.values.copy()
        seen = total > 0
        values[places[seen], targets[seen]] = found[seen] / total[seen]
        return self._replace(values=values)

    def maximise_start(self, counts, start):
        """The most probable distribution of the first state; `start` is the one before."""
        return counts / counts.sum()

    def log_prior(self, pseudo):
        """Log-density of the probabilities, up to a constant."""
        return log_dirichlet(self.values, pseudo)

    def n_parameters(self, start):
        """Free parameters of the transition and of a start, whose zeros are fixed."""
        return np.count_nonzero(self.values) - self.n_states + np.count_nonzero(start) - 1


def transition(matrix):
    """A transition from its matrix: as a band where it has few diagonals."""
    sources, targets = np.nonzero(matrix)
    if LEAST * len(np.unique(targets - sources)) <= len(matrix):
        return Band.of(matrix)
    return Dense(np.array(matrix, float))


def log_dirichlet(p, pseudo):
    """Log-density of probabilities under pseudo-counts, up to a constant; zeros stay zeros."""
    return pseudo * float(np.log(p[p > 0]).sum()) if pseudo else 0.0


def floored(operand):
    """An operand whose entries above 0 are at least so large that sums do not vanish."""
    if isinstance(operand, tuple):
        return tuple(map(floored, operand))
    least = kernels.of(operand, "markov").LEAST
    whole = operand.dtype.kind == "i"  # shifts of a band
    return operand if whole else np.where(operand > 0, np.maximum(operand, least), 0.0)


def _log(p):
    with np.errstate(divide="ignore"):
        return np.log(p)
