r"""Kernel canonical correlation: one eigenproblem for exact and approximate kernels.

The scores of a modality are smooth functions of its rows. Regressing a target r on it by ridge
regression in feature space is the smoother :math:`S_m = K_m ((1 - s) K_m / n + s t I)^{-1}`, and
canonical scores are those that each modality smooths out of the others:

.. math:: \mu z_m = S_m \sum_{j \ne m} C_{mj} z_j

where :math:`C_{mj}` averages over the rows that show both. A smoother is all that is asked of a
modality: one with a Gram matrix (:class:`Dual`) solves n equations, one with explicit features
(:class:`Primal`) as many as it has features. With Gram matrices the leading solutions are found by
a block Krylov method, which needs some tens of smoothings and no eigendecomposition of a Gram
matrix; with features, and where there is next to no shrinkage, from the covariances of whitened
features.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from scipy.sparse.linalg import eigsh

from ..backend.arrays import namespace
from .kernels import Centring, centre
from .lowrank import Columns, Fourier
from .spectral import cho_solve, cholesky, eigh, inverse_of_lower, solve_triangular

__all__ = ["Dual", "Primal", "Projection", "Solution"]
__all__ += ["correlate", "dual", "leave_one_out", "primal", "project"]

AT_ONCE = 1 << 23  # entries of the Gram matrix of new rows
EXTRA = 8  # columns of a block beyond the components asked for
NEGLIGIBLE = 1e-14  # squared norm, relative to 1, of a direction that is only rounding
ACCURATE = 1e-8  # residual, relative to the largest eigenvalue, at which to stop
VERIFIED = 1e-5  # the same, of the scores that are returned
STABLE = 1e-4  # shrinkage below which rounding may hide components from the Krylov method
RANK = 1e-14  # relative eigenvalues of a Gram matrix that are none
POSITIVE = 1e-10  # eigenvalues above it have components


class Dual(NamedTuple):
    """The smoother of a Gram matrix.

    Attributes
    ----------
    gram : ndarray of shape (n, n)
        Centred.
    factor : ndarray of shape (n, n)
        Cholesky factor of the shrunk covariance operator, lower triangular.
    shrinkage : float
    variance : float
        Total variance of the rows in feature space.
    centring : Centring
    """

    gram: np.ndarray
    factor: np.ndarray
    shrinkage: float
    variance: float
    centring: Centring

    def smooth(self, r):
        """Smoothed targets, of shape (n, k)."""
        return self.gram @ cho_solve(self.factor, r)

    def weights(self, r):
        """Weights of the kernel columns of all rows (n, k) and the offset (k,) of the smoothed."""
        a = cho_solve(self.factor, r)
        a -= a.mean(axis=0)
        return a, self.centring.columns @ a

    @property
    def white(self):
        """Features of the rows (n, rank) in which the shrunk covariance is the identity."""
        xp = namespace(self.gram)
        values, vectors = eigh(self.gram)
        values = xp.maximum(values, 0)
        shrunk = (1 - self.shrinkage) * values / len(values) + self.shrinkage * self.variance
        kept = values > RANK * values[-1]
        return vectors[:, kept] * xp.sqrt(values / shrunk)[kept]

    @property
    def leverage(self):
        """What each row's target adds to its own smoothed value, of shape (n,)."""
        xp = namespace(self.gram)
        n, s = len(self.gram), self.shrinkage
        if s == 1:
            return self.gram.diagonal() / self.variance
        root = inverse_of_lower(self.factor)
        inverse = xp.einsum("ij,ij->j", root, root)  # the diagonal of the inverse
        return (1 - s * self.variance * inverse) * (n / (1 - s))


class Primal(NamedTuple):
    """The smoother of explicit features.

    Attributes
    ----------
    features : ndarray of shape (n, rank)
        Centred.
    factor : ndarray of shape (rank, rank)
        Cholesky factor of their shrunk covariance, lower triangular.
    shrinkage : float
    mean : ndarray of shape (rank,)
        Of the features.
    """

    features: np.ndarray
    factor: np.ndarray
    shrinkage: float
    mean: np.ndarray

    def smooth(self, r):
        """Smoothed targets, of shape (n, k)."""
        return self.features @ self._solve(r)

    def weights(self, r):
        """Weights of the features (rank, k) and the offset (k,) of the smoothed."""
        w = self._solve(r)
        return w, self.mean @ w

    def _solve(self, r):
        return cho_solve(self.factor, self.features.T @ r)

    @property
    def white(self):
        """Features of the rows (n, rank) in which the shrunk covariance is the identity."""
        return solve_triangular(self.factor, self.features.T).T

    @property
    def leverage(self):
        """What each row's target adds to its own smoothed value, of shape (n,)."""
        xp = namespace(self.features)
        white = self.white
        return xp.einsum("ij,ij->i", white, white)


class Solution(NamedTuple):
    """Canonical scores of the training rows.

    Attributes
    ----------
    values : ndarray of shape (k,)
        Eigenvalues, falling; of two modalities these are the canonical correlations.
    targets : dict of str to ndarray of shape (n_m, k)
        What each modality smooths to its scores: ``weights(targets)`` gives their function.
    scores : dict of str to ndarray of shape (n_m, k)
        In units in which the shrunk variance is 1.
    """

    values: np.ndarray
    targets: Mapping
    scores: Mapping


def dual(K, shrinkage):
    """Centre a Gram matrix, in place, and prepare to smooth with it.

    Parameters
    ----------
    K : ndarray of shape (n, n)
    shrinkage : float
        Share, above 0 and at most 1, of the penalty in the variance of a function.

    Returns
    -------
    Dual or None
        None where the kernel tells no two rows apart.

    Raises
    ------
    LinAlgError
        If the shrunk matrix is not positive definite.
    """
    xp = namespace(K)
    n, largest = len(K), float(xp.abs(K).max())
    centring = centre(K)
    variance = float(xp.trace(K)) / n
    if variance < -1e-12 * largest:
        raise LinAlgError("a variance is negative")
    if not variance > 1e-12 * largest:
        return None
    shrunk = K * ((1 - shrinkage) / n)
    shrunk[xp.diag_indices_from(shrunk)] += shrinkage * variance
    factor = cholesky(shrunk)
    return Dual(K, factor, shrinkage, variance, centring)


def primal(F, shrinkage, norms=None):
    """Centre features, and prepare to smooth with them.

    Parameters
    ----------
    F : ndarray of shape (n, rank)
    shrinkage : float
    norms : ndarray of shape (n,), optional
        Squared norm of each row in the space that the features approximate: what they leave out is
        variance too, of which the shrinkage is a share. None: they are exact.

    Returns
    -------
    Primal or None
        None where the features tell no two rows apart.
    """
    xp = namespace(F)
    norms = xp.einsum("ij,ij->i", F, F) if norms is None else norms
    mean = F.mean(axis=0)
    F = F - mean
    covariance = F.T @ F / len(F)
    total = float(xp.trace(covariance))
    if not total > 1e-12 * float(norms.max()):
        return None
    variance = max(float(norms.mean() - mean @ mean), total)
    covariance *= 1 - shrinkage
    covariance[xp.diag_indices_from(covariance)] += shrinkage * variance
    return Primal(F, cholesky(covariance), shrinkage, mean)


def correlate(smoothers, rows, n_components):
    """Leading canonical scores of two or more modalities; of one, its principal components.

    Parameters
    ----------
    smoothers : dict of str to Dual or Primal
        By modality, over the rows that show it.
    rows : dict of str to ndarray of int
        These rows, ascending.
    n_components : int
        Fewer are returned where there are no more with an eigenvalue above zero.

    Returns
    -------
    Solution
    """
    xp = namespace(*(smoother.factor for smoother in smoothers.values()))
    links = {pair: tuple(map(xp.asarray, found)) for pair, found in _links(rows).items()}
    parts = _side_by_side({name: len(shown) for name, shown in rows.items()})

    def smooth(r):
        z = xp.zeros_like(r)
        for name, part in parts.items():
            if r[part].any():
                z[part] = smoothers[name].smooth(r[part])
        return z

    def cross(z):
        r = xp.zeros_like(z)
        for (one, two), (here, there) in links.items():
            shown = z[parts[two]][there]
            shown -= shown.mean(axis=0)
            r[parts[one].start + here] += shown / len(here)
        return r

    found, least = None, min(smoother.shrinkage for smoother in smoothers.values())
    if least >= STABLE and any(isinstance(smoother, Dual) for smoother in smoothers.values()):
        found = _leading(smooth, cross, parts, n_components, xp)
    values, z = _in_features(smoothers, links, n_components, xp) if found is None else found
    r = cross(z) / values
    targets, scores = {}, {}
    for name, part in parts.items():
        target = r[part]
        z = smoothers[name].smooth(target)
        norm = xp.sqrt(xp.maximum(xp.einsum("ij,ij->j", z, target), 0))
        scale = xp.where(norm > 1e-7, 1 / xp.where(norm > 1e-7, norm, 1.0), 0.0)
        targets[name], scores[name] = target * scale, z * scale
    first = next(iter(scores.values()))
    largest = first[xp.abs(first).argmax(axis=0), xp.arange(len(values))]
    sign = xp.where(largest < 0, -1.0, 1.0)
    return Solution(
        values,
        {name: r * sign for name, r in targets.items()},
        {name: z * sign for name, z in scores.items()},
    )


def _side_by_side(sizes):
    """Where parts of some sizes stand when all are put below each other."""
    ends = np.cumsum(list(sizes.values())).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def _in_features(smoothers, links, n_components, xp):
    """Leading eigenvalues and scores, from the covariances of whitened features."""
    white = {name: smoother.white for name, smoother in smoothers.items()}
    parts = _side_by_side({name: features.shape[1] for name, features in white.items()})
    n = max(part.stop for part in parts.values())
    T = xp.zeros((n, n))
    for (one, two), (here, there) in links.items():
        if one <= two:
            right = white[two][there]
            right = right - right.mean(axis=0)
            covariance = white[one][here].T @ right / len(here)
            T[parts[one], parts[two]] = covariance
            T[parts[two], parts[one]] = covariance.T
    k = min(n_components, n)
    if n > 20 * k and xp is np:
        start = np.random.default_rng(0).standard_normal(n)
        values, vectors = eigsh(T, k, which="LA", v0=start, ncv=min(n, 4 * k + 20))
        order = np.argsort(-values)
    else:
        values, vectors = eigh(T)
        order = xp.arange(n)[::-1][:k]
    order = order[values[order] > POSITIVE]
    scores = [features @ vectors[parts[name]][:, order] for name, features in white.items()]
    return values[order], xp.concatenate(scores)


def _links(rows):
    """Where the rows that show two modalities are among those of each, for all ordered pairs."""
    links = {}
    for one in rows:
        for two in rows:
            if one != two or len(rows) == 1:
                _, here, there = np.intersect1d(
                    rows[one], rows[two], assume_unique=True, return_indices=True
                )
                if len(here) > 1:
                    links[one, two] = here, there
    return links


def _leading(smooth, cross, parts, k, xp):
    """Leading eigenvalues and scores of smooth(cross(.)), by block Lanczos.

    It is symmetric in the inner product z'r of scores z = smooth(r). None where half of all
    dimensions do not suffice, or rounding has spoilt them.
    """
    first, *others = parts.values()
    n = max(part.stop for part in parts.values())
    r = xp.asarray(np.random.default_rng(0).standard_normal((n, k + EXTRA)))
    if len(others) == 1:
        r[first.stop :] = 0  # so that steps alternate, and each smooths one modality only
    r = smooth(r)
    r = r / (float(xp.linalg.norm(r)) or 1)
    r /= float(xp.sqrt(abs(xp.vdot(smooth(r), r)))) or 1
    R, Z = xp.empty((len(r), 0)), xp.empty((len(r), 0))
    H = xp.empty((0, 0))
    check = 3 * k
    while R.shape[1] <= len(r) / 2:
        z, r, norms = _orthonormal(smooth, r, Z, R)
        done, width = R.shape[1], r.shape[1]
        if done >= check or (done and not width):
            values, vectors = eigh(H, min(k, done))
            values, vectors = values[::-1], vectors[:, ::-1]
            rest = xp.linalg.norm(norms @ vectors[done - norms.shape[1] :], axis=0)
            if not width or rest.max() <= ACCURATE * values[0]:
                good = values > POSITIVE
                values, z = values[good], Z @ vectors[:, good]
                left = xp.linalg.norm(smooth(cross(z)) - z * values, axis=0)
                exact = (left <= VERIFIED * values * xp.linalg.norm(z, axis=0)).all()
                return (values, z) if exact else None
            check = 1.25 * done
        if not width:
            return None
        R, Z = xp.hstack([R, r]), xp.hstack([Z, z])
        r = cross(z)
        new = Z.T @ r
        above = xp.hstack([H, new[:done]])
        H = xp.vstack([above, xp.hstack([new[:done].T, (new[done:] + new[done:].T) / 2])])
    return None


def _orthonormal(smooth, r, Z, R):
    """A basis of what some directions add to those before, and their coordinates in it."""
    xp = namespace(r)
    z = smooth(r)
    coordinates = xp.eye(r.shape[1])
    # What is left of a direction is divided by its norm, and rounding with it. So once more: a
    # direction that then shrinks again was nothing but rounding.
    for least in (NEGLIGIBLE * max(1.0, float(xp.linalg.norm(z) * xp.linalg.norm(r))), 0.25):
        step = Z.T @ r
        z, r = z - Z @ step, r - R @ step
        inner = z.T @ r
        values, vectors = eigh((inner + inner.T) / 2)
        kept = values > least
        norms, vectors = xp.sqrt(values[kept]), vectors[:, kept]
        z, r = z @ (vectors / norms), r @ (vectors / norms)
        coordinates = norms[:, None] * vectors.T @ coordinates
        if least < 0.25 and len(norms) and norms.min() < 1e-3:
            z = smooth(r)
    return z, r, coordinates


def leave_one_out(smoother, target, score):
    """Scores of training rows had they been new: with the row left out of the regression.

    Scores are ridge regressions on the targets, for which this is known in closed form.

    Parameters
    ----------
    smoother : Dual or Primal
    target, score : ndarray of shape (n, k)
        Of its modality, from :func:`correlate`.

    Returns
    -------
    ndarray of shape (n, k)
    """
    own = smoother.leverage
    xp = namespace(own)
    rest = 1 - own * ((1 - smoother.shrinkage) / len(own))
    return (score - own[:, None] * target) / xp.maximum(rest, 1e-8)[:, None]


class Projection(NamedTuple):
    """Functions of the rows of a modality: their canonical scores.

    Attributes
    ----------
    basis : Columns or Fourier
    weights : ndarray of shape (rank, k)
    offset : ndarray of shape (k,)
    """

    basis: Columns | Fourier
    weights: np.ndarray
    offset: np.ndarray

    def __call__(self, X):
        """Scores of rows, of shape (n, k)."""
        xp = namespace(X)
        at_once = max(1, AT_ONCE // max(1, len(self.weights)))
        starts = range(0, X.shape[0], at_once)
        parts = [self.basis.evaluate(X[i : i + at_once]) @ self.weights for i in starts]
        return xp.concatenate(parts) - self.offset


def project(smoother, basis, targets):
    """The functions whose values on the training rows are what a modality smooths of its targets.

    Parameters
    ----------
    smoother : Dual or Primal
    basis : Columns or Fourier
        What its features are.
    targets : ndarray of shape (n, k)

    Returns
    -------
    Projection
    """
    weights, offset = smoother.weights(targets)
    return Projection(basis, basis.weights(weights), offset)
