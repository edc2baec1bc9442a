"""Kernels that are functions of a distance, of all widths in one pass: scalar functions, CPU loop.

    k(a, b) = exp(-gamma d(a, b)),    d(a, b) = sum over the columns of part(a, b)

where the part is (a - b)^2 for ``"rbf"``, |a - b| for ``"laplacian"`` and (a - b)^2 / (a + b) for
``"chi2"``. The distance of two rows is computed once, whatever the number of widths.
"""

import math

import numpy as np
from numba import njit

KINDS = {"rbf": 0, "laplacian": 1, "chi2": 2}
DISTANCES, EACH, SUM = range(3)  # what is written

_scalar = njit(inline="always", error_model="numpy")
_loop = njit(cache=True, nogil=True, error_model="numpy")


def distances(name, A, B):
    """Return the distances between all rows, of shape (n, m).

    Parameters
    ----------
    name : {"rbf", "laplacian", "chi2"}
    A : ndarray of shape (n, n_columns), float32 or float64
    B : ndarray of shape (m, n_columns)
    """
    return _computed(name, DISTANCES, A, B, [0.0], [0.0])[0]


def radial(name, A, B, gammas):
    """Return the kernels of all widths, of shape (n_widths, n, m).

    Parameters
    ----------
    name : {"rbf", "laplacian", "chi2"}
    A : ndarray of shape (n, n_columns), float32 or float64
    B : ndarray of shape (m, n_columns)
    gammas : sequence of float
    """
    return _computed(name, EACH, A, B, gammas, gammas)


def combined(name, A, B, gammas, weights):
    """Return the weighted sum of the kernels of all widths, of shape (n, m), and hold none of them.

    Parameters
    ----------
    name, A, B, gammas
        See :func:`radial`.
    weights : sequence of float
    """
    return _computed(name, SUM, A, B, gammas, weights)[0]


def _computed(name, what, *arguments):
    *arguments, out = arrange(np, what, *arguments)
    _radial(KINDS[name], what, *arguments, out)
    return out


def arrange(xp, what, A, B, gammas, weights):
    """Return the arrays that a loop takes, checked, and the one that it writes."""
    A, B = xp.ascontiguousarray(A), xp.ascontiguousarray(B)
    if A.dtype != B.dtype or A.dtype not in (np.float32, np.float64) or A.shape[1] != B.shape[1]:
        raise ValueError("A and B must have one dtype, float32 or float64, and as many columns.")
    gammas, weights = (xp.asarray(values, dtype=A.dtype) for values in (gammas, weights))
    out = xp.empty((len(gammas) if what == EACH else 1, len(A), len(B)), A.dtype)
    return A, B, gammas, weights, out


@_scalar
def part(kind, a, b):
    """Return what one column adds to the distance of two rows."""
    step = a - b
    if kind == 1:
        return abs(step)
    if kind == 0:
        return step * step
    both = a + b
    return step * step / both if both > 0 else both - both


@_loop
def _radial(kind, what, A, B, gammas, weights, out):
    zero = A.dtype.type(0)
    for i in range(A.shape[0]):
        for j in range(B.shape[0]):
            d = zero
            for k in range(A.shape[1]):
                d += part(kind, A[i, k], B[j, k])
            if what == DISTANCES:
                out[0, i, j] = d
                continue
            total = zero
            for w in range(len(gammas)):
                value = math.exp(-gammas[w] * d)
                total += weights[w] * value
                if what == EACH:
                    out[w, i, j] = value
            if what == SUM:
                out[0, i, j] = total
