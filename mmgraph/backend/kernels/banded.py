"""Loops over banded matrices. They run on the CPU."""

import numpy as np
from numba import njit

__all__ = ["inverse_diagonal"]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def inverse_diagonal(factor, found):
    """Diagonal of the inverse of U' U, in a time that is linear in its size.

    From the last row up, each row of the inverse within the band follows from those below.

    Parameters
    ----------
    factor : ndarray of shape (n_diagonals, n), float64
        U by diagonal, the main one last.
    found : ndarray of shape (n,), float64
        Filled.

    References
    ----------
    Takahashi, Fagan & Chen (1973). Formation of a sparse bus impedance matrix and its application
    to short circuit study. Power Industry Computer Applications Conference, 63-69.
    """
    reach, n = factor.shape[0] - 1, factor.shape[1]
    inverse = np.zeros((n, reach + 1))  # entry (i, i + d) at [i, d]
    for i in range(n - 1, -1, -1):
        pivot = factor[reach, i]
        most = min(reach, n - 1 - i)
        for d in range(most, 0, -1):
            total = 0.0
            for e in range(1, most + 1):
                low, gap = (i + e, d - e) if e <= d else (i + d, e - d)
                total -= factor[reach - e, i + e] * inverse[low, gap]
            inverse[i, d] = total / pivot
        total = 1.0 / pivot
        for e in range(1, most + 1):
            total -= factor[reach - e, i + e] * inverse[i, e]
        inverse[i, 0] = found[i] = total / pivot
