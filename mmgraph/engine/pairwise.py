"""Distances and kernels between all rows of two arrays: scikit-learn's on the CPU, ours on the GPU.

Both compute the same formulas.
"""

import numpy as np
from sklearn.metrics import pairwise

from ..backend import kernels
from ..backend.arrays import namespace

__all__ = ["additive_chi2", "kernel", "manhattan", "squared_euclidean"]


def squared_euclidean(A, B=None):
    """Squared Euclidean distances, of shape (n, m)."""
    xp = namespace(A)
    if xp is np:
        return pairwise.euclidean_distances(A, B, squared=True)
    other = A if B is None else B
    D = A @ other.T
    D *= -2
    D += xp.einsum("ij,ij->i", A, A)[:, None]
    D += xp.einsum("ij,ij->i", other, other)
    D = xp.maximum(D, 0)
    if B is None:
        xp.fill_diagonal(D, 0)
    return D


def manhattan(A, B=None):
    """Sums of absolute differences, of shape (n, m)."""
    if namespace(A) is np:
        return pairwise.manhattan_distances(A, B)
    return kernels.of(A, "gram").distances("laplacian", A, A if B is None else B)


def additive_chi2(A, B=None):
    """Minus the sums of squared differences over sums, of shape (n, m).

    Raises
    ------
    ValueError
        If an entry is negative.
    """
    if namespace(A) is np:
        return pairwise.additive_chi2_kernel(A, B)
    B = A if B is None else B
    _require_positive(A, B)
    return -kernels.of(A, "gram").distances("chi2", A, B)


def _require_positive(*sides):
    if any(bool((side < 0).any()) for side in sides):
        raise ValueError("X contains negative values.")


def kernel(name, A, B=None, **params):
    """A kernel of scikit-learn by name, or a function of two rows, between all rows.

    Parameters
    ----------
    name : str or callable
        A function is called on the CPU only.
    A : array of shape (n, n_columns)
    B : array of shape (m, n_columns), optional
    **params
        As scikit-learn names them.

    Returns
    -------
    array of shape (n, m)
    """
    if namespace(A) is np:
        return pairwise.pairwise_kernels(A, B, metric=name, **params)
    if callable(name):
        raise TypeError(
            "a kernel that is a function of two rows cannot be computed on the GPU: fit with "
            "device='cpu', or choose a kernel by name."
        )
    return KERNELS[name](A, B, **params)


def _gamma(gamma, A):
    return 1 / A.shape[1] if gamma is None else gamma


def _linear(A, B):
    return A @ (A if B is None else B).T


def _cosine(A, B):
    def unit(X):
        length = namespace(X).sqrt((X * X).sum(axis=1, keepdims=True))
        return X / namespace(X).where(length > 0, length, 1.0)

    return _linear(unit(A), None if B is None else unit(B))


def _polynomial(A, B, degree=3, gamma=None, coef0=1):
    return (_gamma(gamma, A) * _linear(A, B) + coef0) ** degree


def _sigmoid(A, B, gamma=None, coef0=1):
    return namespace(A).tanh(_gamma(gamma, A) * _linear(A, B) + coef0)


def _rbf(A, B, gamma=None):
    return namespace(A).exp(-_gamma(gamma, A) * squared_euclidean(A, B))


def _laplacian(A, B, gamma=None):
    B = A if B is None else B
    return kernels.of(A, "gram").radial("laplacian", A, B, [_gamma(gamma, A)])[0]


def _chi2(A, B, gamma=1.0):
    B = A if B is None else B
    _require_positive(A, B)
    return kernels.of(A, "gram").radial("chi2", A, B, [gamma])[0]


KERNELS = {
    "additive_chi2": additive_chi2,
    "chi2": _chi2,
    "cosine": _cosine,
    "laplacian": _laplacian,
    "linear": _linear,
    "poly": _polynomial,
    "polynomial": _polynomial,
    "rbf": _rbf,
    "sigmoid": _sigmoid,
}
