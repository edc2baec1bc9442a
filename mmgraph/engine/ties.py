"""Transitions whose probabilities are tied: of coupled chains, and of states that last."""

from dataclasses import dataclass, replace

import numpy as np

from .transitions import Band, Dense, transition

__all__ = ["Coupled", "Lasting", "joint_states", "nearest", "scaled_to"]

SWEEPS = 50  # of proportional fitting, at most
CLOSE = 1e-13  # in probability: where proportional fitting stops


@dataclass(frozen=True, eq=False)
class _Tied:
    """Arcs between states; a subclass says how their probabilities depend on each other.

    Parameters
    ----------
    arcs : Dense or Band
        The transition.
    parts : ndarray of int64, shape (n_states, n_chains)
        State of each chain in each state.
    """

    arcs: Dense | Band
    parts: np.ndarray

    @property
    def matrix(self):
        """The same as a matrix of shape (n_states, n_states)."""
        return self.arcs.matrix

    def operands(self, dtype):
        """What the kernels carry forward and backward with, and what says who enters a state."""
        return self.arcs.operands(dtype)

    def logarithm(self, enter):
        """Logarithm of the last of the operands."""
        return self.arcs.logarithm(enter)

    @property
    def least(self):
        """Least probability of a state after any other, those left out that are never entered."""
        return self.arcs.least

    def carry(self, distribution):
        """Distribution of the next state."""
        return self.arcs.carry(distribution)

    def count(self, filtered, scaled):
        """Expected transitions, without the factor that is the transition itself."""
        return self.arcs.count(filtered, scaled)

    def no_counts(self):
        """Zeros, to add counts to."""
        return self.arcs.no_counts()

    @property
    def entries(self):
        """Source, target and probability of each arc, by target."""
        return self.arcs.entries

    def tally(self, sources, targets, weights=1.0):
        """Counts from single arcs, and how often each was taken."""
        return self.arcs.tally(sources, targets, weights)

    def expected(self, counts):
        """Expected transitions from the sum of :meth:`count`."""
        return self.arcs.expected(counts)

    def maximise(self, counts, pseudo):
        """The most probable transition given expected ones."""
        matrix = self.matrix
        counts = self.arcs.unpacked(counts) + pseudo * (matrix > 0)
        return replace(self, arcs=self.arcs.like(self._tie(counts, matrix)))

    def maximise_start(self, counts, start):
        """The most probable distribution of the first state; `start` is the one before."""
        return counts / counts.sum()

    def log_prior(self, pseudo):
        """Log-density of the probabilities, up to a constant."""
        return self.arcs.log_prior(pseudo)


class Coupled(_Tied):
    r"""Chains each of which depends on the states of all chains in the frame before.

    .. math:: p(z' \mid z) \propto \prod_m p_m(z'_m \mid z_1, \dots, z_M)

    over the states that there are: all tuples, or those whose chains are not too far apart. Given
    expected transitions, the most probable tables are those whose marginals, chain by chain, are
    the counted ones. Where all tuples can follow, these marginals are the tables; where some
    cannot, proportional fitting finds them [1]_, and each sweep of it raises the likelihood.

    References
    ----------
    .. [1] Goodman (1968), The analysis of cross-classified data: independence, quasi-independence,
       and interactions in contingency tables with or without missing entries. JASA 63, 1091-1131.
    """

    @classmethod
    def of(cls, matrix, parts):
        """The coupled transition nearest to a matrix, with its arcs."""
        even = (matrix > 0) / (matrix > 0).sum(axis=1, keepdims=True)
        return cls(transition(scaled_to(matrix, even, parts)), parts)

    def _tie(self, counts, matrix):
        return scaled_to(counts, matrix, self.parts)

    def maximise_start(self, counts, start):
        """The most probable distribution of the first state; `start` is the one before."""
        return scaled_to(counts[None], start[None], self.parts)[0]

    def n_parameters(self, start):
        """Free parameters of the transition and of a start, whose zeros are fixed."""
        design = np.hstack([_one_hot(part) for part in self.parts.T])
        rows = [*(self.matrix > 0), start > 0]
        return sum(int(np.linalg.matrix_rank(design[row])) - 1 for row in rows)


class Lasting(_Tied):
    r"""States that last: how likely it is to leave depends on how long one has been there.

    State k is a row of `durations` phases, and the phase counts the frames spent in it. The last
    phase lasts as long as it may. Leaving has a probability a phase, and where one goes to does not
    depend on the phase:

    .. math:: p((k', 1) \mid (k, d)) = h_{kd} A_{kk'}, \qquad p((k, d + 1) \mid (k, d)) = 1 - h_{kd}
    """

    @classmethod
    def of(cls, matrix, durations):
        """States of equal chances to leave in each phase, from a matrix of their transitions."""
        n = len(matrix)
        parts = np.repeat(np.arange(n), durations)[:, None]
        phase = np.tile(np.arange(durations), n)
        wide = np.zeros((n * durations,) * 2)
        for source, (k, d) in enumerate(zip(parts[:, 0], phase, strict=True)):
            stays = np.arange(n) == k
            wide[source, np.flatnonzero(~stays) * durations] = matrix[k, ~stays]
            wide[source, k * durations + min(d + 1, durations - 1)] = matrix[k, k]
        return cls(transition(wide), parts)

    @property
    def leaves(self):
        """Probability to leave each state in each phase, of shape (n_states, n_phases)."""
        own = self.parts == self.parts.T
        n = self.parts.max() + 1
        return 1 - (self.matrix * own).sum(axis=1).reshape(n, -1)

    def durations(self):
        """Probability that a state lasts 1, 2, ... frames, or at least as many as there are phases.

        Returns
        -------
        ndarray of shape (n_states, n_phases)
        """
        leaves = self.leaves.copy()
        leaves[:, -1] = 1
        stayed = np.cumprod(1 - leaves[:, :-1], axis=1)
        return leaves * np.hstack([np.ones((len(leaves), 1)), stayed])

    def _tie(self, counts, matrix):
        own = self.parts == self.parts.T
        kept = (counts * own).sum(axis=1)
        total = counts.sum(axis=1)
        left = np.where(total > 0, 1 - kept / np.where(total > 0, total, 1), 0.0)
        left = np.where(total > 0, left, 1 - (matrix * own).sum(axis=1))
        group = _one_hot(self.parts[:, 0])
        exits = group @ (group.T @ np.where(own, 0, counts))
        before = group @ (group.T @ np.where(own, 0, matrix))
        exits = np.where(exits.sum(axis=1, keepdims=True) > 0, exits, before)
        sums = exits.sum(axis=1, keepdims=True)
        exits /= np.where(sums > 0, sums, 1)
        return np.where(own, (matrix > 0) * (1 - left)[:, None], exits * left[:, None])

    def n_parameters(self, start):
        """Free parameters of the transition and of a start, whose zeros are fixed."""
        own = self.parts == self.parts.T
        arcs = self.matrix > 0
        choices = np.count_nonzero((arcs & own).any(axis=1) & (arcs & ~own).any(axis=1))
        exits = arcs & ~own
        _, first = np.unique(self.parts[:, 0], return_index=True)
        targets = np.maximum(exits[first].sum(axis=1) - 1, 0).sum()
        return int(choices + targets) + np.count_nonzero(start) - 1


def joint_states(sizes, asynchrony=None):
    """Tuples of the states of chains: all, or those whose states are close to each other.

    Parameters
    ----------
    sizes : sequence of int
        States of each chain.
    asynchrony : int, optional
        The largest difference between the states of two chains.

    Returns
    -------
    ndarray of int64, shape (n_joint, n_chains)
        In order; the last number runs first.
    """
    parts = np.indices(sizes).reshape(len(sizes), -1).T
    if asynchrony is None:
        return parts
    return parts[np.ptp(parts, axis=1) <= asynchrony]


def nearest(parts, labels):
    """Joint state of each row of chain states; where there is none, the nearest (in sum)."""
    sizes = parts.max(axis=0) + 1
    known = np.ravel_multi_index(parts.T, sizes)  # in order, as the tuples are
    codes, place = np.unique(np.ravel_multi_index(labels.T, sizes), return_inverse=True)
    found = np.searchsorted(known, codes).clip(max=len(known) - 1)
    for i in np.flatnonzero(known[found] != codes):
        wanted = np.stack(np.unravel_index(codes[i], sizes))
        found[i] = np.abs(parts - wanted).sum(axis=1).argmin()
    return found[place]


def scaled_to(counts, rows, parts):
    """Distributions with the marginals of counts, by iterative proportional fitting.

    Parameters
    ----------
    counts : ndarray of shape (n_rows, n_states)
        A row of zeros leaves its distribution as it is.
    rows : ndarray of shape (n_rows, n_states)
        Distributions to start from, whose zeros stay: products of one factor a chain.
    parts : ndarray of int, shape (n_states, n_chains)

    Returns
    -------
    ndarray of shape (n_rows, n_states)
        Products of one factor a chain: of these, those most likely given the counts.
    """
    total = counts.sum(axis=1, keepdims=True)
    seen = total[:, 0] > 0
    shares, p = counts[seen] / total[seen], rows[seen]
    for _ in range(SWEEPS):
        off = 0.0
        for part in parts.T:
            group = _one_hot(part)
            want, now = shares @ group, p @ group
            off = max(off, np.abs(want - now).max(initial=0.0))
            p *= np.divide(want, now, out=np.zeros_like(now), where=now > 0)[:, part]
        if off < CLOSE:
            break
    found = rows.copy()
    found[seen] = p / p.sum(axis=1, keepdims=True)
    return found


def _one_hot(part):
    return np.eye(part.max() + 1)[part]
