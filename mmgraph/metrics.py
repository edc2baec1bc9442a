"""Measures of retrieval, of agreement between modalities, and of what is generated.

Plain functions of arrays. A ranking is given by similarities, one row a query and one column an
item; equal similarities rank in the order of the items.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm
from sklearn.utils.validation import check_array, check_consistent_length

from .hints import Array

__all__ = [
    "average_precision",
    "canonical_correlations",
    "cross_view_r2",
    "crps",
    "crps_gaussian",
    "interval_coverage",
    "mean_average_precision",
    "median_rank",
    "precision_recall_at_k",
    "recall_at_k",
]


# Rankings ----------------------------------------------------------------------------------------


def average_precision(similarity: Array, relevance: Array, *, k: int | None = None) -> np.ndarray:
    """Average precision of each query's ranking.

    The mean, over the relevant items, of the precision among the items down to each of them.

    Parameters
    ----------
    similarity : array-like of shape (n_queries, n_items)
        Higher ranks earlier.
    relevance : array-like of bool, shape (n_queries, n_items)
        Which items answer the query.
    k : int, optional
        Cut: only the first k items are seen, and the mean is over min(k, number of relevant items)
        of them. None: the whole ranking.

    Returns
    -------
    ndarray of shape (n_queries,)
        NaN where no item is relevant.

    Examples
    --------
    >>> from mmgraph.metrics import average_precision
    >>> average_precision([[0.9, 0.8, 0.7]], [[True, False, True]])
    array([0.8333])
    """
    ranked = _ranked(similarity, relevance)
    n_relevant = ranked.sum(axis=1)
    seen = ranked[:, : _cut(k, ranked.shape[1])]
    precision = np.cumsum(seen, axis=1) / np.arange(1, seen.shape[1] + 1)
    best = np.minimum(n_relevant, seen.shape[1])
    return np.where(n_relevant > 0, (precision * seen).sum(axis=1) / np.maximum(best, 1), np.nan)


def mean_average_precision(similarity: Array, relevance: Array, *, k: int | None = None) -> float:
    """Mean over the queries of :func:`average_precision` (MAP).

    Queries without a relevant item are left out.

    Parameters
    ----------
    similarity : array-like of shape (n_queries, n_items)
        Higher ranks earlier.
    relevance : array-like of bool, shape (n_queries, n_items)
        Which items answer the query, for instance ``y_queries[:, None] == y_items``.
    k : int, optional
        Cut; None: the whole ranking.

    Returns
    -------
    float
        Between 0 and 1, which is best.

    Raises
    ------
    ValueError
        If no query has a relevant item.

    Examples
    --------
    >>> from mmgraph.metrics import mean_average_precision
    >>> mean_average_precision([[0.9, 0.8], [0.1, 0.2]], [[True, False], [True, False]])
    0.75
    """
    scores = average_precision(similarity, relevance, k=k)
    if np.isnan(scores).all():
        raise ValueError("no query has a relevant item: there is nothing to average.")
    return float(np.nanmean(scores))


def precision_recall_at_k(similarity: Array, relevance: Array, k: int | Sequence[int]) -> Array:
    """Precision and recall among the first k items, averaged over the queries.

    Parameters
    ----------
    similarity : array-like of shape (n_queries, n_items)
        Higher ranks earlier.
    relevance : array-like of bool, shape (n_queries, n_items)
        Which items answer the query.
    k : int or array-like of int
        At most n_items.

    Returns
    -------
    precision, recall : float, or ndarray of the shape of `k`
        Share of the first k that is relevant; share of the relevant that is among the first k, over
        the queries that have any.

    Examples
    --------
    >>> from mmgraph.metrics import precision_recall_at_k
    >>> precision_recall_at_k([[0.9, 0.8, 0.7]], [[True, False, True]], 2)
    (0.5, 0.5)
    """
    ranked = _ranked(similarity, relevance)
    cuts = np.array([_cut(cut, ranked.shape[1]) for cut in np.ravel(k)])
    hits = np.cumsum(ranked, axis=1)
    some = hits[:, -1] > 0
    precision = (hits[:, cuts - 1] / cuts).mean(axis=0)
    if not some.any():
        raise ValueError("no query has a relevant item: its recall means nothing.")
    recall = (hits[some][:, cuts - 1] / hits[some][:, -1:]).mean(axis=0)
    if np.ndim(k) == 0:
        return float(precision[0]), float(recall[0])
    return precision, recall


def recall_at_k(similarity: Array, k: int | Sequence[int], relevance: Array | None = None) -> Array:
    """Share of the queries with a relevant item among the first k (R@k).

    Parameters
    ----------
    similarity : array-like of shape (n_queries, n_items)
        Higher ranks earlier.
    k : int
        At most n_items.
    relevance : array-like of bool, shape (n_queries, n_items), optional
        Which items answer the query. None: query i has the one answer i.

    Returns
    -------
    float

    Examples
    --------
    >>> from mmgraph.metrics import recall_at_k
    >>> recall_at_k([[0.9, 0.8], [0.7, 0.1]], 1)
    0.5
    """
    ranked = _ranked(similarity, relevance)
    return float(ranked[:, : _cut(k, ranked.shape[1])].any(axis=1).mean())


def median_rank(similarity: Array, relevance: Array | None = None) -> float:
    """Median over the queries of the rank of the first relevant item; 1 is best.

    Parameters
    ----------
    similarity : array-like of shape (n_queries, n_items)
        Higher ranks earlier.
    relevance : array-like of bool, shape (n_queries, n_items), optional
        Which items answer the query. None: query i has the one answer i.

    Returns
    -------
    float
        Over the queries that have a relevant item.

    Examples
    --------
    >>> from mmgraph.metrics import median_rank
    >>> median_rank([[0.9, 0.8, 0.1], [0.7, 0.1, 0.2], [0.1, 0.2, 0.3]])
    1.0
    """
    ranked = _ranked(similarity, relevance)
    ranked = ranked[ranked.any(axis=1)]
    if not len(ranked):
        raise ValueError("no query has a relevant item: there is no rank.")
    return float(np.median(ranked.argmax(axis=1) + 1))


def _ranked(similarity, relevance):
    """Relevance in the order of falling similarity."""
    similarity = check_array(similarity, input_name="similarity", ensure_min_features=1)
    if relevance is None:
        if similarity.shape[0] != similarity.shape[1]:
            raise ValueError(
                f"similarity has shape {similarity.shape}, which is not square, so query i cannot "
                "have the one answer i: pass relevance."
            )
        relevance = np.eye(len(similarity), dtype=bool)
    relevance = np.asarray(relevance)
    if relevance.shape != similarity.shape:
        raise ValueError(
            f"relevance has shape {relevance.shape}, but similarity {similarity.shape}: give both "
            "one row a query and one column an item."
        )
    if relevance.dtype.kind not in "biu" or not np.isin(relevance, (0, 1)).all():
        raise ValueError("relevance must be boolean, or 0 and 1: relevant or not.")
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(relevance.astype(bool), order, 1)


def _cut(k, n_items):
    if k is None:
        return n_items
    if isinstance(k, bool | np.bool_) or not isinstance(k, int | np.integer):
        raise ValueError(f"k must be an int; got {k!r}.")
    if not 1 <= k <= n_items:
        raise ValueError(f"k={k}, but there are {n_items} items: choose from 1 to {n_items}.")
    return int(k)


# Two modalities ----------------------------------------------------------------------------------


def canonical_correlations(a: Array, b: Array) -> np.ndarray:
    """Correlation of each pair of columns of two score matrices, such as those of held-out rows.

    Parameters
    ----------
    a, b : array-like of shape (n_rows, n_components)
        Canonical scores of two modalities, such as ``cca.embed(X, "image")``. Rows with NaN in
        either are left out.

    Returns
    -------
    ndarray of shape (n_components,)
        0 where a column does not vary.

    Examples
    --------
    >>> from mmgraph.metrics import canonical_correlations
    >>> canonical_correlations([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0]], [[2, 1], [4, 1], [6, 1]])
    array([1., 0.])
    """
    a, b = _same_shape(a, b, "a", "b", nan=True)
    kept = ~(np.isnan(a) | np.isnan(b)).any(axis=1)
    if kept.sum() < 2:
        raise ValueError(f"{kept.sum()} row(s) have both scores: a correlation needs two or more.")
    a, b = _standard(a[kept]), _standard(b[kept])
    return np.clip((a * b).mean(axis=0), -1.0, 1.0)


def cross_view_r2(truth: Array, predicted: Array, mean: Array) -> float:
    r"""Share of a modality's variance that a prediction explains, beside its training mean.

    .. math:: R^2 = 1 - \frac{\sum_{ij} (t_{ij} - p_{ij})^2}{\sum_{ij} (t_{ij} - m_j)^2}

    All columns count together, in their own units, and the bar is the mean predictor of the
    *training* rows, so that 0 is what a model without a look at the other modality reaches.

    Parameters
    ----------
    truth, predicted : array-like of shape (n_rows, n_columns)
    mean : array-like of shape (n_columns,)
        Column means of the training rows.

    Returns
    -------
    float
        At most 1.

    Raises
    ------
    ValueError
        If the truth is the mean in every row.

    Examples
    --------
    >>> from mmgraph.metrics import cross_view_r2
    >>> cross_view_r2([[0.0], [2.0]], [[0.0], [1.0]], mean=[1.0])
    0.5
    """
    truth, predicted = _same_shape(truth, predicted, "truth", "predicted")
    mean = np.asarray(mean, float)
    if mean.shape not in ((), truth.shape[1:]):
        raise ValueError(
            f"mean has shape {mean.shape}, but truth has {truth.shape[1]} columns: give one each."
        )
    scale = np.abs(truth - mean).max()
    if scale == 0:
        raise ValueError("truth equals the mean in every row: there is no variance to explain.")
    errors, deviations = (truth - predicted) / scale, (truth - mean) / scale
    return float(1 - (errors**2).sum() / (deviations**2).sum())


def interval_coverage(truth: Array, lower: Array, upper: Array) -> float:
    """Share of the true values that lie in their intervals, ends included.

    Parameters
    ----------
    truth, lower, upper : array-like of one shape

    Returns
    -------
    float

    Examples
    --------
    >>> from mmgraph.metrics import interval_coverage
    >>> interval_coverage([0.0, 1.0, 2.0, 3.0], [-1, 0, 0, 0], [1, 2, 1, 3])
    0.75
    """
    truth, lower, upper = (np.asarray(a, float) for a in (truth, lower, upper))
    if not truth.shape == lower.shape == upper.shape or not truth.size:
        raise ValueError(
            f"truth, lower and upper have the shapes {truth.shape}, {lower.shape} and "
            f"{upper.shape}: give each value its interval."
        )
    if not (lower <= upper).all():
        raise ValueError("lower exceeds upper, or one is NaN, in some interval: swap or drop it.")
    return float(((lower <= truth) & (truth <= upper)).mean())


# Forecasts ---------------------------------------------------------------------------------------


def crps(truth: Array, draws: Array) -> Array:
    r"""Continuous ranked probability score of draws, the mean over all values; lower is better.

    The fair estimator, whose expectation does not depend on the number of draws:

    .. math:: \frac1K \sum_k |x_k - t| - \frac1{2K(K-1)} \sum_{k,l} |x_k - x_l|.

    Parameters
    ----------
    truth : array-like of shape (...)
    draws : array-like of shape (n_draws, ...)
        At least two draws of each value, such as ``generate(X, target, n_samples=100)``.

    Returns
    -------
    float
        In the unit of the values.

    References
    ----------
    Gneiting, T. & Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation.
    Journal of the American Statistical Association 102(477), 359-378. Ferro, C. A. T. (2014). Fair
    scores for ensemble forecasts. Quarterly Journal of the Royal Meteorological Society 140(683),
    1917-1923.

    Examples
    --------
    >>> from mmgraph.metrics import crps
    >>> crps([0.0], [[-1.0], [1.0]])
    0.0
    """
    truth, draws = np.asarray(truth, float), np.asarray(draws, float)
    if draws.shape[1:] != truth.shape or not truth.size:
        raise ValueError(
            f"draws has shape {draws.shape}, but truth {truth.shape}: it must be (n_draws, *shape "
            "of truth)."
        )
    n = len(draws)
    if n < 2:
        raise ValueError(f"there is {n} draw a value, but the spread of draws needs two or more.")
    distance = np.abs(draws - truth).mean()
    # the sum over pairs, from the order statistics: the i-th is the larger of i pairs
    order = np.sort(draws, axis=0)
    turns = (2 * np.arange(n) - n + 1).reshape(-1, *(1,) * truth.ndim)
    return float(distance - (turns * order).sum(axis=0).mean() / (n * (n - 1)))


def crps_gaussian(truth: Array, mean: Array, std: Array) -> Array:
    r"""Continuous ranked probability score of normal forecasts, the mean over all values.

    .. math:: \sigma \left[ z (2 \Phi(z) - 1) + 2 \varphi(z) - \pi^{-1/2} \right],
       \quad z = (t - \mu) / \sigma

    Parameters
    ----------
    truth, mean, std : array-like
        Of one shape, or such as broadcast to that of `truth`. `std` is positive.

    Returns
    -------
    float
        In the unit of the values.

    References
    ----------
    Gneiting, T. & Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation.
    Journal of the American Statistical Association 102(477), 359-378. Equation 21 (its negative).

    Examples
    --------
    >>> from mmgraph.metrics import crps_gaussian
    >>> round(crps_gaussian([0.0], 0.0, 1.0), 4)
    0.2337
    """
    truth, mean, std = (np.asarray(a, float) for a in (truth, mean, std))
    if not (std > 0).all():
        raise ValueError("std must be positive everywhere.")
    z = (truth - mean) / std
    return float((std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - np.pi**-0.5)).mean())


def _same_shape(a, b, first, second, *, nan=False):
    finite = "allow-nan" if nan else True
    a = check_array(a, dtype=float, ensure_all_finite=finite, input_name=first)
    b = check_array(b, dtype=float, ensure_all_finite=finite, input_name=second)
    check_consistent_length(a, b)
    if a.shape != b.shape:
        raise ValueError(f"{first} has shape {a.shape}, but {second} {b.shape}: they must agree.")
    return a, b


def _standard(a):
    """Columns of mean 0 and standard deviation 1; those that do not vary are 0."""
    rounding = 8 * np.finfo(float).eps * np.abs(a).max(axis=0)
    a = a - a.mean(axis=0)
    largest = np.abs(a).max(axis=0)
    a = np.where(largest > rounding, a, 0) / np.where(largest > rounding, largest, 1)
    deviation = a.std(axis=0)
    return a / np.where(deviation > 0, deviation, 1)
