"""Decompositions of matrices, by SciPy or CuPy; leading vectors, and the whitening of a covariance.

What an engine needs of LAPACK it takes from here, so that it knows neither library.
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.linalg import LinAlgError

from ..backend.arrays import namespace

__all__ = ["cho_solve", "cholesky", "eigh", "inverse_of_lower", "leading_eigen"]
__all__ += ["leading_singular", "refine", "row_space", "solve_triangular", "svd", "whitener"]

SMALL = 64  # of smaller matrices all eigenvectors are computed
SHARE = 4  # and where more than one in so many is wanted


def eigh(A, largest=None):
    """Eigenvalues of a symmetric matrix, ascending, and its eigenvectors.

    Parameters
    ----------
    A : array of shape (p, p)
    largest : int, optional
        How many are wanted, the largest ones; None: all.

    Returns
    -------
    values : array of shape (k,)
    vectors : array of shape (p, k)
    """
    xp, p = namespace(A), len(A)
    k = p if largest is None else largest
    if xp is np and p:  # before SciPy 1.14 LAPACK refuses a matrix of nothing
        return scipy.linalg.eigh(A, subset_by_index=None if k == p else [p - k, p - 1])
    values, vectors = xp.linalg.eigh(A)
    return values[p - k :], vectors[:, p - k :]


def svd(A):
    """Left vectors, singular values and right vectors (as rows), as many as the smaller side."""
    xp = namespace(A)
    if xp is np:
        return scipy.linalg.svd(A, full_matrices=False)
    return xp.linalg.svd(A, full_matrices=False)


def cholesky(A):
    """Cholesky factor, lower triangular.

    Raises
    ------
    LinAlgError
        If A is not positive definite, which CuPy does not say by itself.
    """
    xp = namespace(A)
    if xp is np:
        return scipy.linalg.cholesky(A, lower=True, check_finite=False)
    factor = xp.linalg.cholesky(A)
    if not bool(xp.isfinite(factor.diagonal()).all()):
        raise LinAlgError("the matrix is not positive definite")
    return factor


def solve_triangular(L, b, *, transposed=False):
    """Solve L x = b, or L' x = b, for a lower triangular L."""
    if namespace(L) is np:
        return scipy.linalg.solve_triangular(
            L, b, lower=True, trans=int(transposed), check_finite=False
        )
    from cupyx.scipy.linalg import solve_triangular as solve

    return solve(L, b, lower=True, trans=int(transposed), check_finite=False)


def cho_solve(L, b):
    """Solve L L' x = b for a Cholesky factor L."""
    if namespace(L) is np:
        return scipy.linalg.cho_solve((L, True), b, check_finite=False)
    return solve_triangular(L, solve_triangular(L, b), transposed=True)


def inverse_of_lower(L):
    """Inverse of a lower triangular matrix."""
    xp = namespace(L)
    if xp is np:
        return scipy.linalg.lapack.dtrtri(L, lower=1)[0]
    return solve_triangular(L, xp.eye(len(L), dtype=L.dtype))


def whitener(covariance, tol=1e-12):
    """Columns W with W' S W = I, one for each direction in which S varies.

    S is scaled to correlations first, so the units of its columns do not matter. Where it is
    regular W is triangular, from its Cholesky factor. Else W spans the eigenvectors of the
    correlations whose eigenvalues are above `tol` times the largest, which treats columns that are
    copies of each other alike.

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        S, positive semi-definite up to rounding.
    tol : float
        Below which an eigenvalue, relative to the largest, is zero.

    Returns
    -------
    ndarray of shape (p, rank)
    """
    xp = namespace(covariance)
    variances = covariance.diagonal()
    varies = xp.flatnonzero(variances > 0)
    if not len(varies):
        return xp.zeros((len(covariance), 0))
    scale = xp.sqrt(variances[varies])
    whole = len(varies) == len(covariance)
    correlation = covariance if whole else covariance[xp.ix_(varies, varies)]
    correlation = correlation / scale / scale[:, None]
    factor = _factor(correlation)
    # A diagonal entry is what the columns before leave of one: the smallest eigenvalue is below.
    if factor is not None and factor.diagonal().min() ** 2 > 1e3 * tol:
        W = inverse_of_lower(factor).T
    else:
        values, vectors = eigh(correlation)
        kept = values > tol * values[-1]
        W = vectors[:, kept] / xp.sqrt(values[kept])
    W = W / scale[:, None]
    if whole:
        return W
    wide = xp.zeros((len(covariance), W.shape[1]))
    wide[varies] = W
    return wide


def _factor(A):
    """Cholesky factor, or None where A is not positive definite."""
    if namespace(A) is np:
        factor, failed = scipy.linalg.lapack.dpotrf(A, lower=1, clean=1)
        return None if failed else factor
    try:
        return cholesky(A)
    except LinAlgError:
        return None


def leading_singular(T, k):
    """The k largest singular values of a matrix and their vectors.

    Parameters
    ----------
    T : ndarray of shape (p, q)
    k : int
        At most min(p, q).

    Returns
    -------
    U : ndarray of shape (p, k)
    values : ndarray of shape (k,)
        In descending order.
    V : ndarray of shape (q, k)
    """
    if T.shape[0] < T.shape[1]:
        V, values, U = leading_singular(T.T, k)
        return U, values, V
    if T.shape[1] <= SMALL or SHARE * k > T.shape[1]:
        U, values, Vt = svd(T)
        return U[:, :k], values[:k], Vt[:k].T
    _, V = leading_eigen(T.T @ T, k)
    # Squaring has cost small values their digits: the last word is T's.
    U, values, Wt = svd(T @ V)
    return U, values, V @ Wt.T


def leading_eigen(A, k):
    """The k largest eigenvalues of a symmetric matrix, in descending order, and their vectors.

    Parameters
    ----------
    A : ndarray of shape (p, p)
    k : int
        At most p.

    Returns
    -------
    values : ndarray of shape (k,)
    vectors : ndarray of shape (p, k)
    """
    p = len(A)
    some = p > SMALL and SHARE * k <= p
    values, vectors = eigh(A, k if some else None)
    return values[: -k - 1 : -1], vectors[:, : -k - 1 : -1]


def refine(A, start, k, tol=1e-4, max_iter=30):
    """A basis near the k leading eigenvectors of a positive semi-definite matrix, from a guess.

    Each iteration takes the best of the space of the guess and its image (Rayleigh and Ritz), which
    is quick where the guess is near, as along a path.

    Parameters
    ----------
    A : ndarray of shape (p, p)
    start : ndarray of shape (p, b)
        Guess, orthonormal, k <= b <= p / 2.
    k : int
        Number of eigenvectors wanted.
    tol : float
        When to stop: the sum of the k eigenvalues rises by less than this share of it.
    max_iter : int
        Most iterations.

    Returns
    -------
    ndarray of shape (p, b)
        In descending order. The first k are wanted; the others make the next guess better.
    """
    xp = namespace(A)
    width, last = start.shape[1], 0.0
    Q, image = start, A @ start
    for _ in range(max_iter):
        rest = image
        for _ in range(2):  # once more for what rounding leaves
            rest, _ = xp.linalg.qr(rest - Q @ (Q.T @ rest))
        basis = xp.concatenate([Q, rest], axis=1)
        image = xp.concatenate([image, A @ rest], axis=1)
        values, rotation = eigh(basis.T @ image)
        rotation = rotation[:, : -width - 1 : -1]
        Q, image = basis @ rotation, image @ rotation
        total = values[-k:].sum()
        if total - last <= tol * total:
            break
        last = total
    return Q


def row_space(block, mean):
    """Coordinates of centred rows in an orthonormal basis of the space that they span.

    Through the products of the rows with each other: quick where rows are fewer than columns.

    Parameters
    ----------
    block : ndarray or CSR array of shape (n_rows, n_columns)
    mean : ndarray of shape (n_columns,)
        Of the rows.

    Returns
    -------
    coordinates : ndarray of shape (n_rows, rank)
    basis : ndarray of shape (n_columns, rank)
    """
    xp = namespace(block)
    if sp.issparse(block):
        along = block @ mean
        gram = (block @ block.T).toarray() - along - along[:, None] + mean @ mean
    else:
        block = block - mean
        gram = block @ block.T
    values, vectors = eigh(gram)
    rounding = np.finfo(float).eps * len(gram)
    kept = values > rounding * (10 * values[-1] + rounding * (mean @ mean))
    root = xp.sqrt(values[kept])
    vectors = vectors[:, kept]
    basis = block.T @ (vectors / root)
    if sp.issparse(block):
        basis = basis - xp.outer(mean, (vectors / root).sum(axis=0))
    return vectors * root, basis
