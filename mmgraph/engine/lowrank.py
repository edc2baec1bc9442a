r"""Explicit features whose inner products are, or approximate, a kernel.

Pivoted Cholesky and Nystroem both express a Gram matrix by the columns of some rows, the landmarks:

.. math:: K \approx K_{\cdot P} K_{PP}^{-1} K_{P \cdot} = F F^\top,
   \qquad F = K_{\cdot P} R^{-\top}, \qquad K_{PP} = R R^\top

and differ only in how the landmarks are chosen. Neither looks at the whole matrix.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpstrf
from sklearn.kernel_approximation import RBFSampler

from ..backend.arrays import namespace, pick, to_numpy
from .kernels import Kernel, diagonal, gram, in_unit
from .spectral import solve_triangular

__all__ = ["Columns", "Fourier", "Landmarks", "approximate", "nystroem", "pivoted_cholesky"]

BLOCK = 64  # columns asked for at a time


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


def pivoted_cholesky(columns, diagonal, rank=None, tol=0.0, seed=0):
    """Incomplete Cholesky decomposition that asks for the columns it needs.

    The next pivot is drawn with probabilities that follow the residuals, which comes nearer to the
    best approximation of its rank than the largest residual does (outliers have that). Columns are
    asked for some at a time; of these each is kept with the probability that it would still be
    drawn, given the ones before.

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
    seed : int, sequence of int or Generator
        Of the draws.

    Returns
    -------
    Landmarks

    References
    ----------
    Fine & Scheinberg (2001), Efficient SVM training using low-rank kernel representations. JMLR 2,
    243-264. Chen, Epperly, Tropp & Webber (2025), Randomly pivoted Cholesky. Communications on Pure
    and Applied Mathematics 78, 995-1041, and with rejection Epperly, Tropp & Webber (2024),
    arXiv:2410.03969.
    """
    xp = namespace(diagonal)
    n, rng = len(diagonal), np.random.default_rng(seed)
    rank = n if rank is None else min(rank, n)
    rest = xp.maximum(diagonal, 0.0)
    left = to_numpy(rest)  # rows are drawn, and small blocks factorised, on the CPU
    enough, noise = tol * left.sum(), 10 * n * np.finfo(float).eps * left.max(initial=0)
    features, pivots = xp.empty((n, rank), order="F"), np.empty(0, int)
    while len(pivots) < rank and left.sum() > max(enough, noise):
        done = len(pivots)
        drawn = rng.choice(n, min(BLOCK, rank - done), p=left / left.sum())
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        at = xp.asarray(drawn)
        block = columns(drawn) - features[:, :done] @ features[at, :done].T
        least = left[drawn] * rng.random(len(drawn))
        kept, root = _reject(to_numpy(block[at]), least, noise)
        new = solve_triangular(xp.asarray(root), block[:, xp.asarray(np.array(kept, int))].T).T
        features[:, done : done + len(kept)] = new
        pivots = np.concatenate([pivots, drawn[kept]])
        rest -= xp.einsum("ij,ij->i", new, new)
        rest[at] = xp.where(rest[at] > 2 * noise, rest[at], 0)
        rest[xp.asarray(pivots)] = 0
        rest[rest < noise] = 0
        left = to_numpy(rest)
    features = features[:, : len(pivots)]
    return Landmarks(pivots, xp.tril(features[xp.asarray(pivots)]), features)


def _reject(S, least, noise):
    """Cholesky decomposition of the rows, in turn, whose residual is at least as asked.

    Returns which they are, and the factor.
    """
    S, kept, factor = S.copy(), [], np.zeros_like(S)
    for i in range(len(S)):
        if S[i, i] > max(least[i], noise):
            column = S[:, i] / np.sqrt(S[i, i])
            factor[:, len(kept)] = column
            kept.append(i)
            S -= np.outer(column, column)
    return kept, np.tril(factor[kept, : len(kept)])


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
    root, order, rank, _ = dpstrf(to_numpy(pick(block, chosen)), lower=1)
    xp, order = namespace(block), order[:rank] - 1
    root = xp.asarray(np.tril(root[:rank, :rank]))
    features = solve_triangular(root, block[:, xp.asarray(order)].T).T
    return Landmarks(chosen[order], root, features)


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
        return w if self.root is None else solve_triangular(self.root, w, transposed=True)


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
        xp = namespace(X)
        X = in_unit(Kernel("rbf", unit=self.unit), X)
        angles = X @ self.frequencies + self.phases
        return xp.cos(angles) * np.sqrt(2 / len(self.phases))

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
        ).fit(to_numpy(X[:1]))
        drawn = map(namespace(norms).asarray, (sampler.random_weights_, sampler.random_offset_))
        basis = Fourier(*drawn, kernel.unit)
        return basis, basis.evaluate(X), norms

    rows, plain = in_unit(kernel, X), kernel._replace(unit=1.0)

    def columns(chosen):
        return gram(plain, rows, pick(rows, chosen))

    if method == "cholesky":
        found = pivoted_cholesky(columns, norms, rank, tol, rng)
    else:
        found = nystroem(columns, np.sort(rng.permutation(X.shape[0])[:rank]))
    return Columns(kernel, pick(X, found.pivots), found.root), found.features, norms
