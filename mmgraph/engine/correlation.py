"""Canonical correlations of two or more modalities, from their moments.

With the covariance S of all columns, blocks S_ij, and weights w_i, the canonical variates are
z_i = w_i' (x_i - m_i). In whitened columns, W_i' S_ii W_i = I and w_i = W_i u_i, the criteria are
functions of the matrices R_ij = W_i' S_ij W_j alone, so there is one small problem to solve,
whatever the number of rows.
"""

from typing import NamedTuple

import numpy as np

from ..backend.arrays import namespace, to_numpy
from .spectral import leading_eigen, leading_singular, whitener

__all__ = [
    "CRITERIA",
    "SPARSE_SPREAD",
    "SPREAD",
    "Description",
    "correlate",
    "describe",
    "explained_covariance",
    "find_constant",
    "shrink",
    "solve",
    "standardise",
]

SPREAD = 1e-13  # a deviation, relative to the mean, below which a column is constant
SPARSE_SPREAD = 1e-7  # the same where squares of raw values were added up, as of CSR rows
MAX_SWEEPS = 500  # of the ascent of sums of correlations
ASCENT_TOL = 1e-12


def solve(covariance, places, n_components, *, shrinkage, widths, criterion="maxvar", tol=1e-12):
    """Weights of the canonical variates.

    Parameters
    ----------
    covariance : ndarray of shape (p, p)
        Of the columns of all modalities side by side.
    places : sequence of slice
        Where each modality stands.
    n_components : int
        How many components; fewer are found where the columns do not have as many.
    shrinkage : sequence of float
        Of the covariance of each modality, see :func:`shrink`.
    widths : sequence of int
        Number of columns of each modality (more than in `covariance` if these are coordinates).
    criterion : {"maxvar", "sumcor", "ssqcor"}
        What is maximised where there are more than two modalities.
    tol : float
        See :func:`~mmgraph.engine.spectral.whitener`.

    Returns
    -------
    list of ndarray of shape (p_i, n_found)
        Weights; each variate has variance 1, or 0 where a modality has no part in a component.
    """
    xp = namespace(covariance)
    if len(places) == 1:
        weights = [_principal(covariance, n_components, tol)]
    else:
        whiteners = [
            whitener(shrink(covariance[place, place], s, p), tol)
            for place, s, p in zip(places, shrinkage, widths, strict=True)
        ]
        least = min(W.shape[1] for W in whiteners)
        if len(places) == 2:
            one, two = places
            T = whiteners[0].T @ covariance[one, two] @ whiteners[1]
            U, _, V = leading_singular(T, min(n_components, least))
            found = [U, V]
        else:
            found = CRITERIA[criterion](*_whitened(covariance, places, whiteners), n_components)
        weights = [W @ u for W, u in zip(whiteners, found, strict=True)]
    for w, place in zip(weights, places, strict=True):
        w /= _deviation(xp.einsum("pk,pk->k", w, covariance[place, place] @ w))
    return weights


def shrink(covariance, s, width):
    """(1 - s) S + s (trace / p) I: from the covariance to equal variances without correlation.

    Parameters
    ----------
    covariance : ndarray of shape (r, r)
        S.
    s : float
        From 0 to 1.
    width : int
        p, the number of columns.

    Returns
    -------
    ndarray of shape (r, r)
    """
    xp = namespace(covariance)
    if s == 0:
        return covariance
    shrunk = (1 - s) * covariance
    shrunk[xp.diag_indices_from(shrunk)] += s * covariance.trace() / width
    return shrunk


def standardise(moments, names, places, spread=SPREAD):
    """The covariance of moments, exactly zero where a column is constant.

    Parameters
    ----------
    moments : Moments
    names : sequence of str
        Of the modalities.
    places : sequence of slice
        Where each stands.
    spread : float
        Deviation, relative to the mean, below which a column is constant.

    Returns
    -------
    ndarray of shape (p, p)

    Raises
    ------
    ValueError
        If it is not finite, or all columns of a modality are constant.
    """
    xp, covariance = namespace(moments.mean), moments.covariance
    if not xp.isfinite(covariance).all():
        raise ValueError(
            "the squares of X exceed its floating type: scale its columns down, or pass float64."
        )
    variances = covariance.diagonal()
    constant = xp.concatenate(
        [
            find_constant(name, variances[place], moments.mean[place], moments.n, spread)
            for name, place in zip(names, places, strict=True)
        ]
    )
    if constant.any():
        covariance[constant] = 0
        covariance[:, constant] = 0
    return covariance


def find_constant(name, variances, mean, n, spread=SPREAD):
    """Which columns of a modality do not vary, as a mask; a ValueError if none does."""
    constant = variances <= (spread * mean) ** 2
    if constant.all():
        raise ValueError(
            f"modality {name!r} has zero variance: its columns are all constant over "
            f"n_samples={n} row(s). Drop it, or give rows that differ."
        )
    return constant


# Criteria for more than two modalities -----------------------------------------------------------


def _whitened(covariance, places, whiteners):
    """The correlations R of whitened columns, whose diagonal blocks are I, and their places."""
    xp = namespace(covariance)
    ends = np.cumsum([W.shape[1] for W in whiteners]).tolist()
    at = [slice(end - W.shape[1], end) for end, W in zip(ends, whiteners, strict=True)]
    R = xp.eye(ends[-1])
    for i, (one, W) in enumerate(zip(places, whiteners, strict=True)):
        for j in range(i):
            R[at[i], at[j]] = W.T @ covariance[one, places[j]] @ whiteners[j]
            R[at[j], at[i]] = R[at[i], at[j]].T
    return R, at


def _maxvar(R, at, n_components):
    """Eigenvectors of R: the variance of the sum of variates, Carroll (1968)."""
    values, vectors = leading_eigen(R, min(n_components, len(R)))
    vectors = vectors[:, values > 1 + 1e-10]  # the others join what does not go together
    return [vectors[place] for place in at]


def _ascend(R, at, n_components, slope):
    """Sums of a function of all correlations, in turn for each modality (Tenenhaus 2011).

    `slope` is the derivative of the function. Later components are uncorrelated with earlier ones
    within each modality.
    """
    xp = namespace(R)
    R = R.copy()
    for place in at:
        R[place, place] = 0
    least = min(place.stop - place.start for place in at)
    found = [xp.zeros((place.stop - place.start, min(n_components, least))) for place in at]
    for k in range(min(n_components, least)):
        _, start = leading_eigen(R, 1)
        u = [_unit(start[place, 0]) for place in at]
        last = -np.inf
        for _ in range(MAX_SWEEPS):
            total = 0.0
            for i, place in enumerate(at):
                towards = [R[place, other] @ u[j] for j, other in enumerate(at)]
                r = [u[i] @ t for t in towards]
                u[i] = _unit(sum(slope(c) * t for c, t in zip(r, towards, strict=True)))
                total += sum(slope(c) * c for c in r)
            if total - last <= ASCENT_TOL * abs(total):
                break
            last = total
        for i, place in enumerate(at):
            found[i][:, k] = u[i]
            R[place] -= xp.outer(u[i], u[i] @ R[place])
            R[:, place] -= xp.outer(R[:, place] @ u[i], u[i])
    return found


def _sumcor(R, at, n_components):
    """The sum of correlations, Horst (1961)."""
    return _ascend(R, at, n_components, lambda r: 1.0)


def _ssqcor(R, at, n_components):
    """The sum of squared correlations, Kettenring (1971)."""
    return _ascend(R, at, n_components, lambda r: r)


CRITERIA = {"maxvar": _maxvar, "sumcor": _sumcor, "ssqcor": _ssqcor}


def _principal(covariance, n_components, tol):
    """Of one modality the axes of most variance."""
    values, vectors = leading_eigen(covariance, min(n_components, len(covariance)))
    return vectors[:, values > tol * values[0]].copy()


def _unit(u):
    norm = namespace(u).linalg.norm(u)
    return u / norm if norm > 0 else u


def _deviation(variance):
    """Standard deviations; 1 where there is none."""
    xp = namespace(variance)
    return xp.sqrt(xp.where(variance > 0, variance, 1.0))


# What the variates say ---------------------------------------------------------------------------


class Description(NamedTuple):
    """What the variates of a solution say of the columns.

    Attributes
    ----------
    correlations : ndarray of shape (n_components,)
        Correlation of the variates, the mean over the pairs of modalities.
    loadings : list of ndarray of shape (p_i, n_components)
        Correlation of each column with the variate of its own modality.
    explained : list of ndarray of shape (n_components,)
        Share of the variance of a modality's columns that its variate explains.
    redundancy : list of ndarray of shape (n_components,)
        Share of it that the variates of the other modalities explain, the mean over these.
    regression : list of ndarray of shape (n_components, p_i)
        Coefficients of the columns, about their means, on the means of the variates.
    """

    correlations: np.ndarray
    loadings: list
    explained: list
    redundancy: list
    regression: list


def describe(variances, between, variates):
    """Describe a solution.

    Parameters
    ----------
    variances : list of ndarray of shape (p_i,)
        Of the columns.
    between : list of list of ndarray of shape (p_i, n_components)
        ``between[i][j]``: covariance of the columns of modality i with the variates of j.
    variates : ndarray of shape (n_modalities, n_modalities, n_components, n_components)
        Covariance of the variates of any two modalities.

    Returns
    -------
    Description
    """
    xp = namespace(variates)
    m, k = len(variances), variates.shape[-1]
    own = xp.einsum("iikk->ik", variates)
    totals = [v.sum() for v in variances]

    def explained(i, j):
        return (between[i][j] ** 2).sum(axis=0) / _deviation(own[j]) ** 2 / totals[i]

    joint = variates.sum(axis=(0, 1)) / m**2
    inverse = xp.asarray(np.linalg.pinv(to_numpy(joint), hermitian=True, rcond=1e-10))
    return Description(
        correlate(variates),
        [
            between[i][i] / _deviation(own[i]) / _deviation(v)[:, None]
            for i, v in enumerate(variances)
        ],
        [explained(i, i) for i in range(m)],
        [
            _mean([explained(i, j) for j in range(m) if j != i] or [explained(i, i)])
            for i in range(m)
        ],
        [inverse @ _mean(between[i]).T.reshape(k, -1) for i in range(m)],
    )


def _mean(arrays):
    return sum(arrays) / len(arrays)


def correlate(variates):
    """Correlation of the variates, the mean over the pairs of modalities.

    Parameters
    ----------
    variates : ndarray of shape (n_modalities, n_modalities, n_components, n_components)
        Covariances.

    Returns
    -------
    ndarray of shape (n_components,)
        1 where there is one modality.
    """
    xp = namespace(variates)
    diagonal = xp.einsum("ijkk->ijk", variates)
    m = len(diagonal)
    if m == 1:
        return xp.ones(diagonal.shape[-1])
    scale = _deviation(xp.einsum("iik->ik", diagonal))
    r = diagonal / scale / scale[:, None]
    return xp.clip(r[xp.triu_indices(m, 1)].mean(axis=0), -1.0, 1.0)


def explained_covariance(rows, place, weights, patterns):
    """Share of a modality's squared covariances with all others that its variates explain.

    Parameters
    ----------
    rows : ndarray of shape (p_i, p)
        Covariance of its columns with all columns.
    place : slice
        Where its own are among these.
    weights : ndarray of shape (p_i, n_components)
        Of its variates.
    patterns : ndarray of shape (p_i, n_components)
        Covariance of its columns with its variates.

    Returns
    -------
    ndarray of shape (n_components,)
        What each component adds to those before; their sum is at most 1.
    """
    xp = namespace(rows)
    outside = rows.copy()
    outside[:, place] = 0
    free = xp.asarray(_uncorrelated(to_numpy(weights.T @ patterns)))
    patterns, across = patterns @ free, outside.T @ (weights @ free)
    cross = xp.einsum("pk,pk->k", patterns, outside @ across)
    both = (patterns.T @ patterns) * (across.T @ across)
    prefix = 2 * xp.cumsum(cross) - xp.cumsum(xp.cumsum(both, axis=0), axis=1).diagonal()
    total = (outside**2).sum()
    return xp.diff(prefix, prepend=xp.zeros(1)) / xp.where(total > 0, total, 1.0)


def _uncorrelated(gram):
    """Combinations that make variables uncorrelated in order, zero for those that add nothing."""
    free = np.eye(len(gram))
    for k in range(len(gram)):
        for _ in range(2):  # once more for what rounding leaves
            free[:, k] -= free[:, :k] @ (free[:, :k].T @ gram @ free[:, k])
        variance = free[:, k] @ gram @ free[:, k]
        free[:, k] *= variance > 1e-10 * gram[k, k] and 1 / np.sqrt(variance)
    return free
