"""Transitions of independent chains: the Kronecker product of theirs, which is never formed."""

from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..backend import kernels
from .transitions import Dense, log_dirichlet

__all__ = ["Kronecker"]


class Kronecker(NamedTuple):
    """Independent chains. A state is a tuple of theirs; the last number runs first.

    A vector over K^M states is carried on with M K^(M + 1) products, instead of K^(2 M).

    Attributes
    ----------
    matrices : tuple of ndarray of shape (n_states of the chain, n_states of the chain)
        Probability of the column's state after the row's.
    """

    matrices: tuple

    @property
    def sizes(self):
        """States of each chain."""
        return tuple(len(matrix) for matrix in self.matrices)

    @property
    def parts(self):
        """State of each chain in each state, of shape (n_states, n_chains)."""
        return np.indices(self.sizes).reshape(len(self.sizes), -1).T

    @property
    def matrix(self):
        """The same as a matrix of shape (n_states, n_states)."""
        return reduce(np.kron, self.matrices)

    def operands(self, dtype):
        """What the kernels carry forward and backward with, and what says who enters a state."""
        back = tuple(np.ascontiguousarray(a.T, dtype) for a in self.matrices)
        return tuple(np.ascontiguousarray(a, dtype) for a in self.matrices), back, back

    def logarithm(self, enter):
        """Logarithm of the last of the operands."""
        with np.errstate(divide="ignore"):
            return tuple(np.log(a) for a in enter)

    @property
    def least(self):
        """Least probability of a state after any other, those left out that are never entered."""
        return np.prod([Dense(matrix).least for matrix in self.matrices])

    def carry(self, distribution):
        """Distribution of the next state."""
        return _carried(distribution[None], self.operands(distribution.dtype)[0])[0]

    def count(self, filtered, scaled):
        """Expected transitions of each chain, without the factor that is its transition."""
        back, found = self.operands(scaled.dtype)[1], []
        for m, size in enumerate(self.sizes):
            others = (*back[:m], np.eye(size, dtype=scaled.dtype), *back[m + 1 :])
            rows = _carried(scaled[1:], others)
            before, after = (
                np.moveaxis(v.reshape(-1, *self.sizes), 1 + m, -1).reshape(-1, size)
                for v in (filtered[:-1], rows)
            )
            found.append((before.T @ after).astype(np.float64).ravel())
        return np.concatenate(found)

    def no_counts(self):
        """Zeros, to add counts to."""
        return np.zeros(sum(size**2 for size in self.sizes))

    @property
    def entries(self):
        """Source, target and probability of each arc between tuples, by target."""
        factors = [sp.csr_array(matrix.T) for matrix in self.matrices]
        table = reduce(partial(sp.kron, format="csr"), factors).tocoo()
        return table.col, table.row, table.data

    def tally(self, sources, targets, weights=1.0):
        """Counts of each chain from single arcs between tuples, and how often each was taken."""
        chains = zip(self.matrices, self.parts[sources].T, self.parts[targets].T, strict=True)
        return np.concatenate([Dense(a).tally(i, j, weights).ravel() for a, i, j in chains])

    def expected(self, counts):
        """Expected transitions from the sum of :meth:`count`."""
        return counts * np.concatenate([matrix.ravel() for matrix in self.matrices])

    def unpacked(self, counts):
        """Counts as a matrix a chain."""
        ends = np.cumsum([size**2 for size in self.sizes])
        blocks = np.split(counts, ends[:-1])
        return tuple(
            block.reshape(size, size) for block, size in zip(blocks, self.sizes, strict=True)
        )

    def maximise(self, counts, pseudo):
        """The most probable transition given expected ones."""
        pairs = zip(self.matrices, self.unpacked(counts), strict=True)
        return Kronecker(tuple(Dense(a).maximise(own, pseudo).matrix for a, own in pairs))

    def maximise_start(self, counts, start):
        """The most probable distribution of the first state; `start` is the one before."""
        table = (counts / counts.sum()).reshape(self.sizes)
        chains = range(len(self.sizes))
        return reduce(np.kron, [table.sum(axis=tuple(set(chains) - {m})) for m in chains])

    def log_prior(self, pseudo):
        """Log-density of the probabilities, up to a constant."""
        return sum(log_dirichlet(matrix, pseudo) for matrix in self.matrices)

    def n_parameters(self, start):
        """Free parameters of the transition and of a start, whose zeros are fixed."""
        firsts = [len(set(part)) - 1 for part in self.parts[start > 0].T]
        return sum(np.count_nonzero(a) - len(a) for a in self.matrices) + sum(firsts)


def _carried(rows, operand):
    found = np.empty_like(rows)
    kernels.of(rows, "markov").carry_rows(np.ascontiguousarray(rows), operand, found)
    return found
