r"""Explicit features whose inner products are, or approximate, a kernel.

Pivoted Cholesky and Nystroem both express a Gram matrix by the columns of some rows, the landmarks:

.. math:: K \approx K_{\cdot P} K_{PP}^{-1} K_{P \cdot} = F F^\top,
   \qquad F = K_{\cdot P} R^{-\top}, \qquad K_{PP} = R R^\top

and differ only in how the landmarks are chosen. Neither looks at the whole matrix.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf
from sklearn.kernel_approximation import RBFSampler

from .kernels import Kernel, diagonal, gram

__all__ = ["Columns", "Fourier", "Landmarks", "approximate", "nystroem", "pivoted_cholesky"]

BLOCK = 32  # columns asked for at a time, at most
KEEP = 0.5  # share of the largest residual that a pivot must have


class Landmarks(NamedTuple):
    """A Gram matrix in terms of some of its columns.

    Attributes
    ----------
    pivots : ndarray of int, shape (rank,)
        Which rows are the landmarks.
    root : ndarray of shape (rank, rank)
        Cholesky factor of their Gram matrix, lower triangular.
    features : ndarray of shape (n, rank)
        Feature vectors of all rows.
    """

    pivots: np.ndarray
    root: np.ndarray
    features: np.ndarray


def pivoted_cholesky(columns, diagonal, rank=None, tol=0.0):
    """Incomplete Cholesky decomposition that asks for the columns it needs.

    A pivot is a row that the others explain worst. Columns are asked for some at a time, twice as
    many as were of use before, and of these each is taken that still has at least half of the
    largest residual.

    Parameters
    ----------
    columns : callable
        Maps indices of shape (b,) to columns of the matrix, of shape (n, b).
    diagonal : ndarray of shape (n,)
        Diagonal of the matrix.
    rank : int, optional
        Largest number of columns.
    tol : float
        Stop when the trace of what is not explained is at most this share of the whole.

    Returns
    -------
    Landmarks

    References
    ----------
    Fine & Scheinberg (2001), Efficient SVM training using low-rank kernel representations. JMLR 2,
    243-264. Bach & Jordan (2002), Kernel independent component analysis. JMLR 3, 1-48.
    """
    n = len(diagonal)
    rank = n if rank is None else min(rank, n)
    rest = np.maximum(diagonal, 0.0)
    smallest = max(tol * rest.sum(), 10 * n * np.finfo(float).eps * rest.max(initial=0))
    features, pivots = np.empty((n, rank), order="F"), np.empty(0, int)
    found = BLOCK // 2
    while len(pivots) < rank and rest.sum() > smallest:
        done = len(pivots)
        asked = np.argsort(-rest, kind="stable")[: min(2 * found, BLOCK, rank - done)]
        asked = asked[rest[asked] > KEEP * rest[asked[0]]]
        block = columns(asked) - features[:, :done] @ features[asked, :done].T
        root, order, found, _ = dpstrf(block[asked], tol=KEEP * rest[asked[0]], lower=1)
        order = order[:found] - 1
        if not found:
            break  # rounding is all that is left
        new = solve_triangular(np.tril(root[:found, :found]), block[:, order].T, lower=True).T
        features[:, done : done + found] = new
        pivots = np.concatenate([pivots, asked[order]])
        rest -= np.einsum("ij,ij->i", new, new)
        rest[pivots] = 0
        np.maximum(rest, 0, out=rest)
    features = features[:, : len(pivots)]
    return Landmarks(pivots, np.tril(features[pivots]), features)


def nystroem(columns, chosen):
    """The features of chosen landmarks; those that the others explain are left out.

    Parameters
    ----------
    columns : callable
        Maps indices of shape (b,) to columns of the matrix, of shape (n, b).
    chosen : ndarray of int
        The landmarks.

    Returns
    -------
    Landmarks

    References
    ----------
    Williams & Seeger (2001), Using the Nystroem method to speed up kernel machines. NIPS 13.
    """
    block = columns(chosen)
    root, order, rank, _ = dpstrf(block[chosen], lower=1)
    order, root = order[:rank] - 1, np.tril(root[:rank, :rank])
    return Landmarks(chosen[order], root, solve_triangular(root, block[:, order].T, lower=True).T)


class Columns(NamedTuple):
    """Features that are made of the kernel with some rows.

    Attributes
    ----------
    kernel : Kernel
    landmarks : array or CSR array of shape (rank, n_columns)
        These rows.
    root : ndarray of shape (rank, rank) or None
        Cholesky factor of their Gram matrix. None: the kernel itself is the feature.
    """

    kernel: Kernel
    landmarks: np.ndarray
    root: np.ndarray | None = None

    def evaluate(self, X):
        """What functions of the features are linear in, of shape (n, rank)."""
        return gram(self.kernel, X, self.landmarks)

    def weights(self, w):
        """From weights of the features to weights of what is evaluated."""
        return w if self.root is None else solve_triangular(self.root, w, lower=True, trans=1)


class Fourier(NamedTuple):
    """Random Fourier features of the RBF kernel (Rahimi & Recht 2007).

    Attributes
    ----------
    frequencies : ndarray of shape (n_columns, rank)
    phases : ndarray of shape (rank,)
    unit : float
        Rows are divided by it first.
    """

    frequencies: np.ndarray
    phases: np.ndarray
    unit: float

    def evaluate(self, X):
        """The features of rows, of shape (n, rank)."""
        angles = (X.astype(np.float64, copy=False) / self.unit) @ self.frequencies + self.phases
        return np.cos(angles, out=angles) * np.sqrt(2 / len(self.phases))

    def weights(self, w):
        """The same weights: features are evaluated as they are."""
        return w


def approximate(method, kernel, X, rank, tol=0.0, seed=0):
    """Features of rows, and how to compute what functions of them need for new rows.

    Parameters
    ----------
    method : {"cholesky", "nystroem", "fourier"}
    kernel : Kernel
    X : array or CSR array of shape (n, n_columns)
    rank : int
        Largest number of features.
    tol : float
        See :func:`pivoted_cholesky`.
    seed : int or sequence of int
        Of the random ones.

    Returns
    -------
    basis : Columns or Fourier
    features : ndarray of shape (n, rank)
    norms : ndarray of shape (n,)
        Kernel of each row with itself.
    """
    norms = diagonal(kernel, X)
    rng = np.random.default_rng(seed)
    if method == "fourier":
        sampler = RBFSampler(
            gamma=kernel.params["gamma"], n_components=rank, random_state=int(rng.integers(2**31))
        ).fit(X[:1])
        basis = Fourier(sampler.random_weights_, sampler.random_offset_, kernel.unit)
        return basis, basis.evaluate(X), norms

    def columns(chosen):
        return gram(kernel, X, X[chosen])

    if method == "cholesky":
        found = pivoted_cholesky(columns, norms, rank, tol)
    else:
        found = nystroem(columns, np.sort(rng.permutation(X.shape[0])[:rank]))
    return Columns(kernel, X[found.pivots], found.root), found.features, norms
