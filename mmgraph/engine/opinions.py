r"""Opinions about a target, one a modality, and how to make one of them.

An opinion is a log-posterior over the classes, or a prediction of a number. Those of a set of rows
are one array of shape (n_rows, n_opinions, n_values): `n_values` is the number of classes, or 1. A
modality that a row lacks has no opinion, so every rule takes the array `present` of shape (n_rows,
n_opinions) or weights that are zero there, and answers the prior where a row has no opinion at all.

Classes: with :math:`p_m` the posterior of modality m and :math:`\pi` the prior, the pool

.. math:: \log p(c) = \log \pi_c + \sum_m w_m (\log p_m(c) - \log \pi_c) + \text{const}

is Bayes' rule for modalities that are independent given the class where all weights are 1: each
modality beyond the first has the prior divided out once. Weights below 1 take into account that
modalities repeat each other, or exaggerate. For numbers, the same sum about the mean is a
regression on the predictions.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.special import log_softmax, logsumexp, softmax

from ..backend.arrays import to_numpy

__all__ = [
    "CLASS_RULES",
    "Gate",
    "fit_class_weights",
    "fit_number_weights",
    "fit_scale",
    "fit_temperature",
    "learn_gate",
    "patterns_of",
    "pool",
    "precision_weights",
]

# How strongly weights, and temperatures, are drawn to where they start: in rows.
RIDGE, SCALE_RIDGE = 1.0, 0.01
MAX_STEPS, TOLERANCE = 50, 1e-20
MOST_PATTERNS = 64


# Rules -------------------------------------------------------------------------------------------


def pool(opinions, weights, prior):
    """The prior and the weighted sum of how far the opinions are from it.

    Parameters
    ----------
    opinions : array of shape (n_rows, n_opinions, n_values)
        Finite everywhere.
    weights : array of shape (n_rows, n_opinions)
        Zero where there is no opinion.
    prior : array of shape (n_values,)

    Returns
    -------
    ndarray of shape (n_rows, n_values)
        Of classes the log-probabilities, up to a constant a row.
    """
    return prior + np.einsum("nm,nmc->nc", weights, opinions - prior)


def product(opinions, present, prior):
    """Bayes' rule for opinions that are independent given the class: log-probabilities."""
    return log_softmax(pool(opinions, present.astype(opinions.dtype), prior), axis=1)


def mean(opinions, present, prior):
    """The mean of the probabilities (the sum rule): log-probabilities."""
    count = present.sum(axis=1, keepdims=True)
    share = present / np.maximum(count, 1)
    found = logsumexp(opinions, axis=1, b=share[:, :, None])
    return np.where(count, found, prior)


def largest(opinions, present, prior):
    """The largest probability that any opinion gives to each class, normalised: logarithms."""
    found = np.where(present[:, :, None], opinions, -np.inf).max(axis=1)
    return log_softmax(np.where(present.any(axis=1, keepdims=True), found, prior), axis=1)


CLASS_RULES = {"product": product, "sum": mean, "max": largest}


def precision_weights(present, error, spread):
    """Weights of Bayes' rule for predictions with independent Gaussian errors.

    The posterior precision is the sum of those of the predictions, less that of the prior once for
    each prediction beyond the first.

    Parameters
    ----------
    present : array of shape (n_rows, n_opinions)
    error : array of shape (n_opinions,)
        Variance of the error of each prediction.
    spread : float
        Variance of the target.

    Returns
    -------
    ndarray of shape (n_rows, n_opinions)
    """
    tiny = np.finfo(float).tiny
    precision = max(spread, tiny) / np.clip(error, 1e-12 * max(spread, tiny), max(spread, tiny))
    parts = present * precision
    total = parts.sum(axis=1, keepdims=True) - present.sum(axis=1, keepdims=True) + 1
    return parts / total


# Learning weights --------------------------------------------------------------------------------


def fit_class_weights(opinions, codes, row_weights, prior, start, ridge=RIDGE):
    """Weights of a pool that make the true classes most probable: convex, by Newton's method.

    Parameters
    ----------
    opinions : array of shape (n_rows, n_opinions, n_classes)
        Log-posteriors of rows that the opinions' estimators have not seen.
    codes : ndarray of int, shape (n_rows,)
        The classes.
    row_weights : ndarray of shape (n_rows,)
    prior : array of shape (n_classes,)
        Log-probabilities.
    start : array of shape (n_opinions,)
        Weights to which the result is drawn a little, so that few rows cannot send it far.
    ridge : float
        How much, in rows.

    Returns
    -------
    ndarray of shape (n_opinions,)
        None is negative.
    """
    offset = opinions - prior
    true = np.take_along_axis(offset, codes[:, None, None], axis=2)[:, :, 0]
    ridge = ridge * _mean_square(offset, row_weights)
    shape = len(offset), offset.shape[2]
    flat = np.ascontiguousarray(offset.transpose(1, 0, 2)).reshape(offset.shape[1], -1)

    def log_likelihood(w):
        logits = prior + (w @ flat).reshape(shape)
        fit = true @ w + prior[codes] - logsumexp(logits, axis=1)
        return row_weights @ fit - 0.5 * ridge @ (w - start) ** 2, logits

    slack = 1e-14 * row_weights.sum()  # of rounding, with which steps near the optimum look bad
    w = np.array(start, float)
    value, logits = log_likelihood(w)
    for _ in range(MAX_STEPS):
        p = softmax(logits, axis=1)
        likely = flat * p.ravel()
        expected = likely.reshape(-1, *shape).sum(axis=2)
        gradient = (true.T - expected) @ row_weights - ridge * (w - start)
        second = (likely * np.repeat(row_weights, shape[1])) @ flat.T
        second -= (expected * row_weights) @ expected.T
        free = ((w > 0) | (gradient > 0)) & (ridge > 0)
        if not free.any():
            break
        curvature = (second + np.diag(ridge))[np.ix_(free, free)]
        step = np.zeros_like(w)
        step[free] = np.linalg.solve(curvature, gradient[free])
        promise = gradient[free] @ step[free]
        if promise <= TOLERANCE:
            break
        size = 1.0
        while size > 1e-10:
            trial = np.maximum(w + size * step, 0)
            found, logits = log_likelihood(trial)
            if found >= value - slack:
                break
            size /= 2
        else:
            break
        w, value = trial, found
    return w


def fit_scale(scores, codes, row_weights):
    """The factor of log-odds that makes the true classes most probable: temperature scaling.

    Parameters
    ----------
    scores : array of shape (n_rows, n_classes)
        Log-posteriors, or values of a decision function.
    codes : ndarray of int, shape (n_rows,)
    row_weights : ndarray of shape (n_rows,)

    Returns
    -------
    float
        The inverse temperature, at least 0.
    """
    flat = np.zeros(scores.shape[1])
    centred = scores - scores.mean(axis=1, keepdims=True)
    start = np.ones(1)
    found = fit_class_weights(centred[:, None], codes, row_weights, flat, start, SCALE_RIDGE)
    return float(found[0])


def fit_temperature(scores, codes, row_weights=None):
    """What scores of any unit are divided by before the softmax.

    Parameters
    ----------
    scores : array of shape (n_rows, n_classes)
    codes : ndarray of int, shape (n_rows,)
    row_weights : ndarray of shape (n_rows,), optional

    Returns
    -------
    float
        At most a thousand standard deviations of the scores; 1 where no row counts.
    """
    scores = np.asarray(to_numpy(scores), float)
    row_weights = np.ones(len(codes)) if row_weights is None else row_weights
    if not row_weights.sum():
        return 1.0
    centred = scores - scores.mean(axis=1, keepdims=True)
    unit = np.sqrt(np.average(np.square(centred).mean(axis=1), weights=row_weights)) or 1.0
    return float(unit / max(fit_scale(centred / unit, codes, row_weights), 1e-3))


def fit_number_weights(opinions, y, row_weights, prior, start):
    """Weights of a pool that give the least squared error: non-negative least squares.

    Parameters
    ----------
    opinions : array of shape (n_rows, n_opinions, 1)
    y : ndarray of shape (n_rows,)
    row_weights : ndarray of shape (n_rows,)
    prior : array of shape (1,)
    start : array of shape (n_opinions,)

    Returns
    -------
    ndarray of shape (n_opinions,)
    """
    offset = (opinions - prior)[:, :, 0]
    scale = max(np.abs(offset).max(initial=0), np.finfo(float).tiny)  # no overflow in squares
    offset, rest = offset / scale, (y - prior) / scale
    root = np.sqrt(row_weights)
    drawn = np.sqrt(RIDGE * _mean_square(offset[:, :, None], row_weights))
    rows = np.vstack([offset * root[:, None], np.diag(drawn)])
    return nnls(rows, np.concatenate([rest * root, drawn * start]))[0]


def _mean_square(offset, row_weights):
    """Of each opinion, its mean square distance to the prior."""
    total = max(row_weights.sum(), np.finfo(float).tiny)
    return np.einsum("n,nmc,nmc->m", row_weights, offset, offset, optimize=True) / total


# Weights by what a row shows ---------------------------------------------------------------------


class Gate(NamedTuple):
    """Weights of the opinions by which modalities a row shows.

    Attributes
    ----------
    patterns : ndarray of bool, shape (n_patterns, n_modalities)
        What is shown.
    weights : ndarray of shape (n_patterns, n_opinions)
        Zero for opinions that a pattern does not have.
    shared : ndarray of shape (n_opinions,)
        For what is not among the patterns.
    """

    patterns: np.ndarray
    weights: np.ndarray
    shared: np.ndarray

    def find(self, present):
        """Index of each row's pattern, -1 where it is not among them."""
        known = {row.tobytes(): i for i, row in enumerate(self.patterns)}
        return np.array([known.get(row.tobytes(), -1) for row in present], int)

    def of(self, present):
        """Weights of each row's opinions, shape (n_rows, n_opinions).

        Opinions beyond the modalities' own are there where a row shows anything.
        """
        more = self.weights.shape[1] - present.shape[1]
        extra = np.repeat(present.any(axis=1, keepdims=True), more, axis=1)
        found = self.shared * np.hstack([present, extra])
        index = self.find(present)
        found[index >= 0] = self.weights[index[index >= 0]]
        return found


def patterns_of(present):
    """The patterns that weights are learnt for.

    All of them where there are fewer than 64, else those that occur, each modality alone, and all
    together.

    Parameters
    ----------
    present : ndarray of bool, shape (n_rows, n_modalities)

    Returns
    -------
    ndarray of bool, shape (n_patterns, n_modalities)
    """
    n = present.shape[1]
    if 2**n <= MOST_PATTERNS:
        numbers = np.arange(1, 2**n)
        return (numbers[:, None] >> np.arange(n) & 1).astype(bool)
    some = np.vstack([present, np.eye(n, dtype=bool), np.ones((1, n), bool)])
    some = np.unique(some, axis=0)
    return some[some.any(axis=1)]


def learn_gate(opinions_of, present, fit, n_opinions):
    """Learn the weights of each pattern from all held-out rows that show at least as much.

    Parameters
    ----------
    opinions_of : callable
        Opinions of some rows that show no more than a pattern: (pattern, rows) to (the indices of
        the opinions, an array of shape (n_rows, len(indices), n_values)); pattern None: each row as
        it is, all opinions, the prior where there is none.
    present : ndarray of bool, shape (n_rows, n_modalities)
        Which modalities' opinions of a row are held out.
    fit : callable
        (opinions, rows, start) to weights.
    n_opinions : int

    Returns
    -------
    Gate
    """
    rows = np.flatnonzero(present.any(axis=1))
    shared = np.ones(n_opinions)
    if len(rows):
        shared = fit(opinions_of(None, rows)[1], rows, np.full(n_opinions, 1 / n_opinions))
    patterns = patterns_of(present)
    weights = np.zeros((len(patterns), n_opinions))
    for pattern, row in zip(patterns, weights, strict=True):
        rows = np.flatnonzero(present[:, pattern].all(axis=1))
        index, opinions = opinions_of(pattern, rows)
        if len(index) == 1:
            row[index] = 1
        else:
            row[index] = fit(opinions, rows, shared[index]) if len(rows) else shared[index]
    return Gate(patterns, weights, shared)
