"""Metrics between frames, learnt from frames that are known to go together."""

from typing import NamedTuple

import numpy as np

from .correlation import correlate, find_constant, shrink, solve, standardise
from .emissions import Scale
from .moments import gather

__all__ = ["METHODS", "Metric", "canonical", "relevant"]

NEAR_ONE = 0.999  # correlations above count as this
LEAST = 1e-6  # variance of differences, in units of the columns': smaller ones count as this


class Metric(NamedTuple):
    """The squared distance of two frames is that of their projections.

    Attributes
    ----------
    scales : pair of Scale
        Units of the frames of the one stream and of the other.
    weights : pair of ndarray of shape (n_columns, n_components)
        Of the frames in these units.
    """

    scales: tuple
    weights: tuple

    def project(self, one, two):
        """Projections of the frames of both streams."""
        parts = zip(self.scales, self.weights, (one, two), strict=True)
        return tuple(scale.encode(frames) @ weights for scale, weights, frames in parts)


def canonical(one, two, n_components, shrinkage=0.0, names=("one", "two")):
    """Canonical variates, weighted by how well their distance tells what goes together.

    Of two normal variables of variance 1 and correlation r, which go together or not, the logarithm
    of the odds falls with their squared distance times r / (2 (1 - r^2)). A column that says
    nothing of the other stream gets no weight.

    Parameters
    ----------
    one, two : ndarray of shape (n_pairs, n_columns)
        Frames that go together, of streams that may have different features.
    n_components : int
        At most; there are as many as the one stream or the other has columns.
    shrinkage : float
        See :func:`~mmgraph.engine.correlation.shrink`.
    names : pair of str
        What the streams are called in errors.

    Returns
    -------
    Metric
    """
    scales = Scale.of(one), Scale.of(two)
    encoded = (scale.encode(x) for scale, x in zip(scales, (one, two), strict=True))
    blocks = dict(zip(names, encoded, strict=True))
    found = gather(blocks, [(frozenset(blocks), np.arange(len(one)))])
    places = list(found.columns.values())
    covariance = standardise(found.pairwise(), list(blocks), places)
    widths = [one.shape[1], two.shape[1]]
    weights = solve(covariance, places, n_components, shrinkage=[shrinkage] * 2, widths=widths)
    variates = np.array(
        [
            [v.T @ covariance[a, b] @ w for b, w in zip(places, weights, strict=True)]
            for a, v in zip(places, weights, strict=True)
        ]
    )
    r = np.clip(correlate(variates), 0.0, NEAR_ONE)
    return Metric(scales, tuple(w * np.sqrt(r / (1 - r**2)) for w in weights))


def relevant(one, two, n_components, shrinkage=0.0, names=("one", "two")):
    """Relevant components (Bar-Hillel et al. 2003): differences of such pairs get variance 1.

    Parameters
    ----------
    one, two : ndarray of shape (n_pairs, n_columns)
        Frames that go together, of streams of the same features.
    n_components : int
        At most; of directions in which differences are the least beside the frames' own spread.
    shrinkage : float
    names : pair of str

    Returns
    -------
    Metric
    """
    scale = Scale.of(np.concatenate([one, two]))
    a, b = scale.encode(one), scale.encode(two)
    within = (a - b).T @ (a - b) / len(a)
    whole = np.concatenate([a, b])
    whole = whole.T @ whole / len(whole)
    find_constant(names[0], whole.diagonal(), np.zeros(len(whole)), len(a))
    values, axes = np.linalg.eigh(whole)
    axes = axes[:, values > 1e-10 * values[-1]]
    values, turn = np.linalg.eigh(shrink(axes.T @ within @ axes, shrinkage, axes.shape[1]))
    W = axes @ turn / np.sqrt(np.maximum(values, LEAST))
    _, turn = np.linalg.eigh(W.T @ whole @ W)
    W = W @ turn[:, : -n_components - 1 : -1]
    return Metric((scale, scale), (W, W))


METHODS = {"canonical": canonical, "relevant": relevant}
