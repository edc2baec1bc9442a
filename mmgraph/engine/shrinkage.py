"""How much to shrink covariances: by formula, or by how correlated other rows then are.

Of (1 - s) S + s (trace / p) I, s is chosen for S alone (Ledoit & Wolf 2004; Chen et al. 2010), or
so that the canonical variates of some rows are correlated in others: along a whole path of s the
fits share one eigendecomposition for each fold and modality.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from .correlation import correlate, solve
from .spectral import leading_eigen, refine

__all__ = ["ledoit_wolf", "oracle_approximating", "quartic", "score_path"]

DIRECT = 96  # up to this width all eigenvectors are computed along a path
SPARE = 8  # vectors beyond those wanted, which a path carries along
AT_ONCE = 1024  # rows whose norms are computed at a time


def ledoit_wolf(covariance, n, width, fourth):
    """The shrinkage of Ledoit & Wolf (2004).

    Parameters
    ----------
    covariance : ndarray of shape (r, r)
        Of the columns, or of coordinates of them.
    n : int
        Number of rows.
    width : int
        Number of columns.
    fourth : float
        See :func:`quartic`.

    Returns
    -------
    float
        From 0 to 1.
    """
    square = (covariance**2).sum()
    distance = square - covariance.trace() ** 2 / width
    noise = (fourth / n - square) / n
    return float(np.clip(noise / distance, 0.0, 1.0)) if distance > 0 else 1.0


def oracle_approximating(covariance, n, width):
    """The oracle-approximating shrinkage of Chen, Wiesel, Eldar & Hero (2010), for normal rows.

    Parameters
    ----------
    covariance : ndarray of shape (r, r)
        Of the columns, or of coordinates of them.
    n : int
        Number of rows.
    width : int
        Number of columns.

    Returns
    -------
    float
        From 0 to 1.
    """
    square, trace = (covariance**2).mean() * len(covariance) ** 2, covariance.trace()
    above = (square + trace**2) / width**2
    below = (n + 1) * (square - trace**2 / width) / width**2
    return float(min(above / below, 1.0)) if below > 0 else 1.0


def quartic(block, mean):
    """The sum over rows of the fourth power of their distance to the mean.

    Parameters
    ----------
    block : array or CSR array of shape (n_rows, n_columns)
    mean : ndarray of shape (n_columns,)

    Returns
    -------
    float
    """
    total = 0.0
    for start in range(0, block.shape[0], AT_ONCE):
        part = block[start : start + AT_ONCE]
        if sp.issparse(part):
            squares = part.multiply(part).sum(axis=1) - 2 * (part @ mean) + mean @ mean
        else:
            part = part - mean
            squares = np.einsum("ij,ij->i", part, part)
        total += (squares**2).sum()
    return total


class _Rotated(NamedTuple):
    """The rows of one fold in the principal axes of each modality over the other folds.

    `values` are the variances along these of the others, `train` and `test` the covariances.
    """

    values: list
    traces: list
    train: np.ndarray
    test: np.ndarray


def score_path(folds, settings, n_components, *, widths, tol=1e-12):
    """Held-out canonical correlations, summed, of all settings of the shrinkage on all folds.

    Moments of the training rows are those of all rows less those of the fold. Weights are found for
    the criterion "maxvar".

    Parameters
    ----------
    folds : sequence of Patterns
        Moments of the rows of each fold.
    settings : sequence of tuple of float
        The shrinkage of each modality. Neighbours should be alike: each fit starts at the last.
    n_components : int
    widths : sequence of int
        Number of columns of each modality (more than in the moments if these are coordinates).
    tol : float
        See :func:`~mmgraph.engine.spectral.whitener`.

    Returns
    -------
    ndarray of shape (n_settings, n_folds)
    """
    total = folds[0]
    for fold in folds[1:]:
        total = total.merge(fold)
    places = list(total.columns.values())
    scores = np.empty((len(settings), len(folds)))
    for f, fold in enumerate(folds):
        train, test = total.subtract(fold).pairwise().covariance, fold.pairwise().covariance
        rotated, guess = _rotate(train, test, places), None
        for i, setting in enumerate(settings):
            if min(setting) > 0:
                weights, guess = _step(rotated, places, setting, widths, n_components, guess)
                covariance = rotated.test
            else:
                weights = solve(
                    train, places, n_components, shrinkage=setting, widths=widths, tol=tol
                )
                covariance = test
            scores[i, f] = _held_out(weights, covariance, places)
    return scores


def _rotate(train, test, places):
    values, axes = [], np.zeros_like(train)
    for place in places:
        found, axes[place, place] = scipy.linalg.eigh(train[place, place])
        values.append(np.maximum(found, 0.0))

    def turned(covariance):
        out = np.empty_like(covariance)
        for one in places:
            half = axes[one, one].T @ covariance[one]
            for two in places:
                out[one, two] = half[:, two] @ axes[two, two]
        return out

    return _Rotated(values, [v.sum() for v in values], turned(train), turned(test))


def _step(rotated, places, setting, widths, n_components, guess):
    """Weights in the rotated columns for one setting, and the guess for the next."""
    scales = [
        1 / np.sqrt((1 - s) * values + max(s * trace / width, np.finfo(float).tiny))
        for s, values, trace, width in zip(
            setting, rotated.values, rotated.traces, widths, strict=True
        )
    ]
    if len(places) == 2:
        one, two = places
        if widths[0] < widths[1]:  # the product is of the narrower one
            one, two, scales = two, one, scales[::-1]
        T = scales[0][:, None] * rotated.train[one, two] * scales[1]
        V, guess = _leading(T, n_components, guess)
        found = [T @ V, V]
        norms = np.linalg.norm(found[0], axis=0)
        found[0] /= np.where(norms > 0, norms, 1.0)
        weights = [scale[:, None] * u for scale, u in zip(scales, found, strict=True)]
        return (weights if one is places[0] else weights[::-1]), guess
    scale = np.concatenate(scales)
    R = scale[:, None] * rotated.train * scale
    for place in places:
        R[place, place] = np.eye(place.stop - place.start)
    vectors, guess = _leading(R, n_components, guess, square=False)
    weights = scale[:, None] * vectors
    return [weights[place] for place in places], guess


def _leading(T, k, guess, *, square=True):
    """Leading right singular vectors, or eigenvectors, near a guess, and the next guess."""
    k = min(k, T.shape[1])
    if max(DIRECT, 4 * (k + SPARE)) > T.shape[1]:
        return leading_eigen(T.T @ T if square else T, k)[1], None
    if guess is None:
        _, guess = leading_eigen(T.T @ T if square else T, k + SPARE)
        return guess[:, :k], guess

    def product(Q):
        return T.T @ (T @ Q) if square else T @ Q

    _, guess = refine(product, guess, k)
    return guess[:, :k], guess


def _held_out(weights, covariance, places):
    k = min(w.shape[1] for w in weights)
    variates = np.empty((len(places), len(places), k, k))
    for j, (two, w) in enumerate(zip(places, weights, strict=True)):
        half = covariance[:, two] @ w[:, :k]
        for i, (one, v) in enumerate(zip(places, weights, strict=True)):
            variates[i, j] = v[:, :k].T @ half[one]
    return correlate(variates).sum()
