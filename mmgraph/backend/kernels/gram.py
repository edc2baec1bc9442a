"""Kernels that are functions of a distance, of all widths in one pass: scalar functions, CPU loop.

    k(a, b) = exp(-gamma d(a, b)),    d(a, b) = sum over the columns of part(a, b)

where the part is (a - b)^2 for ``"rbf"``, |a - b| for ``"laplacian"`` and (a - b)^2 / (a + b) for
``"chi2"``. The distance of two rows is computed once, whatever the number of widths.
"""

import math

import numpy as np
from numba import njit

KINDS = {"rbf": 0, "laplacian": 1, "chi2": 2}

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
    A, B, gammas, weights, kernels, total = arrange(np, A, B, (), (), False)
    _radial(KINDS[name], A, B, gammas, weights, kernels, total)
    return total


def radial(name, A, B, gammas):
    """Return the kernels of all widths, of shape (n_widths, n, m).

    Parameters
    ----------
    name : {"rbf", "laplacian", "chi2"}
    A : ndarray of shape (n, n_columns), float32 or float64
    B : ndarray of shape (m, n_columns)
    gammas : sequence of float
    """
    A, B, gammas, weights, kernels, total = arrange(np, A, B, gammas, [0] * len(gammas), True)
    _radial(KINDS[name], A, B, gammas, weights, kernels, total)
    return kernels


def combined(name, A, B, gammas, weights):
    """Return the weighted sum of the kernels of all widths, of shape (n, m), and hold none of them.

    Parameters
    ----------
    name, A, B, gammas
        See :func:`radial`.
    weights : sequence of float
    """
    A, B, gammas, weights, kernels, total = arrange(np, A, B, gammas, weights, False)
    _radial(KINDS[name], A, B, gammas, weights, kernels, total)
    return total


def arrange(xp, A, B, gammas, weights, each):
    """Return the arguments of a loop; no kernel is kept unless `each`."""
    A, B = xp.ascontiguousarray(A), xp.ascontiguousarray(B)
    if A.dtype != B.dtype or A.dtype not in (np.float32, np.float64) or A.shape[1] != B.shape[1]:
        raise ValueError("A and B must have one dtype, float32 or float64, and as many columns.")
    gammas, weights = (xp.asarray(values, dtype=A.dtype) for values in (gammas, weights))
    shape = len(A), len(B)
    kernels = xp.empty((len(gammas) if each else 0, *shape), A.dtype)
    return A, B, gammas, weights, kernels, xp.empty(shape, A.dtype)


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
def _radial(kind, A, B, gammas, weights, kernels, total):
    zero = A.dtype.type(0)
    for i in range(A.shape[0]):
        for j in range(B.shape[0]):
            d = zero
            for k in range(A.shape[1]):
                d += part(kind, A[i, k], B[j, k])
            reached = d if len(gammas) == 0 else zero
            for w in range(len(gammas)):
                value = math.exp(-gammas[w] * d)
                reached += weights[w] * value
                if w < len(kernels):
                    kernels[w, i, j] = value
            total[i, j] = reached
