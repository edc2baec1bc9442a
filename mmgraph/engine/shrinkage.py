"""How much to shrink covariances: by formula, or by how correlated other rows then are.

Of (1 - s) S + s (trace / p) I, s is chosen for S alone (Ledoit & Wolf 2004; Chen et al. 2010), or
so that the canonical variates of some rows are correlated in others: along a whole path of s the
fits share one eigendecomposition for each fold and modality.
"""

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace
from .correlation import correlate, solve
from .spectral import eigh, leading_eigen, refine

__all__ = ["ledoit_wolf", "oracle_approximating", "quartic", "score_path"]

DIRECT = 96  # up to this width all eigenvectors are computed along a path
SPARE = 8  # vectors beyond those wanted, which a path carries along
TINY = np.finfo(float).tiny
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
    square = float((covariance**2).sum())
    distance = square - float(covariance.trace()) ** 2 / width
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
    square = float((covariance**2).mean()) * len(covariance) ** 2
    trace = float(covariance.trace())
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
    xp = namespace(block)
    total = 0.0
    for start in range(0, block.shape[0], AT_ONCE):
        part = block[start : start + AT_ONCE]
        if sp.issparse(part):
            squares = part.multiply(part).sum(axis=1) - 2 * (part @ mean) + mean @ mean
        else:
            part = part - mean
            squares = xp.einsum("ij,ij->i", part, part)
        total += float((squares**2).sum())
    return total


def score_path(folds, settings, n_components, *, widths, tol=1e-12):
    """Held-out canonical correlations, summed, of all settings of the shrinkage on all folds.

    Moments of the training rows are those of all rows less those of the fold. Weights are found for
    the criterion "maxvar", those of wide modalities from the ones of the last setting until the
    sum of their squared correlations settles to four digits.

    Parameters
    ----------
    folds : sequence of Patterns
        Moments of the rows of each fold.
    settings : sequence of tuple of float
        The shrinkage of each modality.
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
        path = _Path(train, test, places, widths, n_components)
        for i in sorted(range(len(settings)), key=settings.__getitem__):
            setting = settings[i]
            if min(setting) > 0:
                weights, covariance = path.weights(setting), path.test
            else:
                weights = solve(
                    train, places, n_components, shrinkage=setting, widths=widths, tol=tol
                )
                covariance = test
            scores[i, f] = float(_held_out(weights, covariance, places))
    return scores


class _Path:
    """Weights along a path of settings, in the principal axes of each modality."""

    def __init__(self, train, test, places, widths, n_components):
        xp = namespace(train)
        self.places, self.widths, self.n_components = places, widths, n_components
        axes = []
        self.values = []
        for place in places:
            values, vectors = eigh(train[place, place])
            self.values.append(xp.maximum(values, 0.0))
            axes.append(vectors)
        self.train, self.test = (_turned(S, places, axes) for S in (train, test))
        self.first, self.gram = None, None
        self.guesses = {}

    def weights(self, setting):
        """Weights of each modality, up to scale. Neighbours should come one after the other."""
        xp = namespace(self.train)
        scales = [
            1 / xp.sqrt((1 - s) * values + xp.maximum(s * values.sum() / width, TINY))
            for s, values, width in zip(setting, self.values, self.widths, strict=True)
        ]
        if len(self.places) > 2:
            scale = xp.concatenate(scales)
            R = scale[:, None] * self.train * scale
            for place in self.places:
                R[place, place] = xp.eye(place.stop - place.start)
            weights = scale[:, None] * self._leading(R, setting)
            return [weights[place] for place in self.places]
        one, two = self.places
        if setting[0] != self.first:
            half = scales[0][:, None] * self.train[one, two]
            self.first, self.gram = setting[0], half.T @ half
        V = self._leading(scales[1][:, None] * self.gram * scales[1], setting)
        V = scales[1][:, None] * V
        return [scales[0][:, None] ** 2 * (self.train[one, two] @ V), V]

    def _leading(self, A, setting):
        k, guess = min(self.n_components, len(A)), self.guesses.get(setting[1:])
        if max(DIRECT, 4 * (k + SPARE)) > len(A):
            return leading_eigen(A, k)[1]
        if guess is None:
            guess = self.guesses.get(None)
        guess = leading_eigen(A, k + SPARE)[1] if guess is None else refine(A, guess, k)
        self.guesses[setting[1:]] = self.guesses[None] = guess
        return guess[:, :k]


def _turned(covariance, places, axes):
    """A covariance in the principal axes of each modality."""
    xp = namespace(covariance)
    turned = xp.empty_like(covariance)
    for one, vectors in zip(places, axes, strict=True):
        half = vectors.T @ covariance[one]
        for two, others in zip(places, axes, strict=True):
            turned[one, two] = half[:, two] @ others
    return turned


def _held_out(weights, covariance, places):
    xp = namespace(covariance)
    k = min(w.shape[1] for w in weights)
    variates = xp.empty((len(places), len(places), k, k))
    for j, (two, w) in enumerate(zip(places, weights, strict=True)):
        half = covariance[: two.stop, two] @ w[:, :k]
        for i, (one, v) in enumerate(zip(places[: j + 1], weights, strict=False)):
            variates[i, j] = v[:, :k].T @ half[one]
            variates[j, i] = variates[i, j].T
    return correlate(variates).sum()
