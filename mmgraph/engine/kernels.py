"""Kernels: Gram matrices by name, their widths, centring and normalisation.

A :class:`Kernel` is a record of a name (or function) and its parameters, and :func:`gram` evaluates
it. Everything is computed in float64: what is learnt from a Gram matrix depends on its small
eigenvalues. Radial kernels of several widths share one matrix of distances (``distances=``), so a
bank of them costs one product of the data with itself.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

from ..backend.arrays import namespace, pick, to_numpy
from . import pairwise

__all__ = ["NAMES", "Centring", "Kernel", "automatic", "centre", "diagonal", "distances", "gram"]
__all__ += ["in_unit", "median_width"]

NAMES = (*sorted(PAIRWISE_KERNEL_FUNCTIONS), "intersection")
RADIAL = {"rbf", "laplacian", "chi2"}  # of a distance: 1 on the diagonal
INNER = {"poly", "polynomial", "sigmoid"}  # of gamma times an inner product
HOMOGENEOUS = {"linear", "cosine", "additive_chi2"}  # a factor of the rows is one of the Gram
SAMPLE = 500  # rows between which the median distance is taken
BLOCK = 64  # rows whose Gram is computed for its diagonal


class Kernel(NamedTuple):
    """A kernel: what to compute from two rows.

    Attributes
    ----------
    name : str or callable
        One of :data:`NAMES`, a function of two rows that returns a number, or ``"precomputed"``:
        the parameter ``gram`` is a ready matrix, and rows are numbers of its rows.
    params : dict of str to object
        Its parameters, such as ``gamma``.
    unit : float
        Rows are divided by it first: a power of two, which keeps squares within range.
    """

    name: str | Callable
    params: Mapping = MappingProxyType({})
    unit: float = 1.0


def gram(kernel, A, B=None, *, distances=None):
    """Kernel between the rows of two arrays.

    Parameters
    ----------
    kernel : Kernel
    A : array or CSR array of shape (n, n_columns)
    B : array or CSR array of shape (m, n_columns), optional
        None: A.
    distances : ndarray of shape (n, m), optional
        For a radial kernel what :func:`distances` returned, so that A and B are not looked at.

    Returns
    -------
    ndarray of shape (n, m), float64

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    xp = namespace(A)
    if distances is not None:
        return xp.exp(-kernel.params["gamma"] * distances)
    if kernel.name == "precomputed":
        return _look_up(A, A if B is None else B, kernel.params["gram"])
    A, B = in_unit(kernel, A), None if B is None else in_unit(kernel, B)
    if kernel.name == "intersection":
        return _intersection(A, A if B is None else B)
    with np.errstate(over="ignore", invalid="ignore"):
        K = pairwise.kernel(kernel.name, A, B, **kernel.params)
    if not xp.isfinite(K).all():
        raise ValueError(
            f"the kernel {kernel.name!r} has values that are not finite between these rows: scale "
            "the columns, or choose another kernel."
        )
    return K


def _intersection(A, B):
    """Histogram intersection: the sum of the smaller entries."""
    xp = namespace(A)
    sums = [np.ravel(X.sum(axis=1)) if xp is np else X.sum(axis=1) for X in (A, B)]
    return (sums[0][:, None] + sums[1] - pairwise.manhattan(A, B)) / 2


def _look_up(A, B, gram):
    """Entries of a ready Gram matrix, at the row numbers that are the only column of A and B."""
    xp = namespace(A, gram)
    numbers = [X.toarray() if sp.issparse(X) else X for X in (A, B)]
    rows, columns = (xp.rint(X[:, 0]).astype(int) for X in numbers)
    for part in (rows, columns):
        if len(part) and not 0 <= part.min() <= part.max() < len(gram):
            raise ValueError(
                f"row numbers from {part.min()} to {part.max()}, but the Gram matrix has "
                f"{len(gram)} rows: number them from 0."
            )
    return gram[xp.ix_(rows, columns)].astype(np.float64)


def diagonal(kernel, A):
    """Kernel of each row with itself, of shape (n,)."""
    xp = namespace(A)
    if kernel.name in RADIAL:
        return xp.ones(A.shape[0])
    starts = range(0, A.shape[0], BLOCK)
    return xp.concatenate([gram(kernel, A[i : i + BLOCK]).diagonal() for i in starts])


def distances(name, A, B=None):
    """What a radial kernel is a function of: exp(-gamma d).

    Parameters
    ----------
    name : {"rbf", "laplacian", "chi2"}
        Squared Euclidean distance, Manhattan distance, or the chi-squared one.
    A : array or CSR array of shape (n, n_columns)
    B : array or CSR array of shape (m, n_columns), optional

    Returns
    -------
    ndarray of shape (n, m)
    """
    if name == "rbf":
        return pairwise.squared_euclidean(A, B)
    return pairwise.manhattan(A, B) if name == "laplacian" else -pairwise.additive_chi2(A, B)


def median_width(name, A, weights=None):
    """Median of what a radial kernel is a function of, between rows that are not the same.

    Of more than 500 rows a random choice of 500 is looked at, the same at every call. It is 1 where
    all rows are the same. With weights, of shape (n,), a pair counts as often as the product of its
    rows' weights says.
    """
    if A.shape[0] > SAMPLE:
        some = np.sort(np.random.default_rng(0).choice(A.shape[0], SAMPLE, replace=False))
        A, weights = pick(A, some), None if weights is None else weights[some]
    D = to_numpy(distances(name, A))
    pairs = np.triu_indices(len(D), 1)
    D = D[pairs]
    rounding = 1e-12 * D.max(initial=0)
    different = rounding < D
    if not different.any():
        return 1.0
    if weights is None:
        return float(np.median(D[different]))
    counts = (weights[pairs[0]] * weights[pairs[1]])[different]
    order = np.argsort(D[different], kind="stable")
    D, below = D[different][order], np.cumsum(counts[order])
    middle = np.searchsorted(below, below[-1] * (0.5 + np.array([-1e-12, 1e-12])))
    return float(D[middle].mean())


def automatic(name, A, params, weights=None):
    """A kernel whose ``gamma``, unless it is given, follows from the data.

    For radial kernels it is one over :func:`median_width`, so that the kernel of two rows at the
    median distance is 1/e; for polynomials and the sigmoid one over the mean squared norm of a row.
    Either makes the kernel independent of the scale of the rows.

    Parameters
    ----------
    name : str or callable
    A : array or CSR array of shape (n, n_columns)
        Training rows.
    params : dict of str to object
    weights : ndarray of shape (n,), optional
        Of the rows, in these medians and means.

    Returns
    -------
    Kernel
    """
    xp = namespace(A)
    params = dict(params)
    adapts = isinstance(name, str) and name in RADIAL | INNER and "gamma" not in params
    if not adapts and (not isinstance(name, str) or name not in HOMOGENEOUS):
        return Kernel(name, params)
    entries = A.data if sp.issparse(A) else A
    largest = float(xp.abs(entries).max()) if entries.size else 0.0
    kernel = Kernel(name, params, 2.0 ** np.floor(np.log2(largest)) if largest else 1.0)
    if adapts and not A.shape[0]:
        params["gamma"] = 1.0
    elif adapts:
        A = in_unit(kernel, A)
        if name in RADIAL:
            params["gamma"] = 1 / median_width(name, A, weights)
        else:
            squares = (A.multiply(A) if sp.issparse(A) else A * A).sum(axis=1)
            squares = np.ravel(to_numpy(squares))
            params["gamma"] = 1 / (float(np.average(squares, weights=weights)) or 1.0)
    return kernel


def in_unit(kernel, A):
    """Rows in the unit of a kernel, float64."""
    A = A.astype(np.float64, copy=False)
    return A if kernel.unit == 1 else A / kernel.unit


class Centring(NamedTuple):
    """Where the mean of the training rows lies in feature space.

    Attributes
    ----------
    columns : ndarray of shape (n,)
        Mean of the kernel of each training row with all.
    total : float
        Mean of that.
    """

    columns: np.ndarray
    total: float

    def apply(self, K):
        """Centre the Gram matrix of new rows (n_new, n) with the training rows."""
        return K - K.mean(axis=1, keepdims=True) - self.columns + self.total


def centre(K):
    """Centre a symmetric Gram matrix, in place.

    Parameters
    ----------
    K : ndarray of shape (n, n)

    Returns
    -------
    Centring
        For the Gram matrices of new rows.
    """
    columns = K.mean(axis=0)
    total = float(columns.mean())
    K -= columns
    K -= (columns - total)[:, None]
    return Centring(columns, total)
