"""Slow, obvious oracles of the sampling kernels, in plain Python, NumPy and SciPy."""

import numpy as np
from scipy import special, stats

from mmgraph.backend.random import philox4x32


def words(rows, n_columns, key, step, stream):
    """Return the uint32 words of rows, in the planar layout."""
    quarter = -(-n_columns // 4)
    table = np.empty((len(rows), 4 * quarter), dtype=np.uint32)
    for i, row in enumerate(rows):
        for c in range(quarter):
            table[i, c::quarter] = philox4x32((c, row, step, stream), key)
    return table


def uniform(rows, n_columns, key, step, stream):
    w = words(rows, n_columns, key, step, stream)[:, :n_columns]
    return ((w >> 8) | 1) / 2.0**24


def normal(rows, n_columns, key, step, stream):
    u = ((words(rows, n_columns, key, step, stream) >> 8) | 1) / 2.0**24
    u0, u1, u2, u3 = np.split(u, 4, axis=1)

    def pair(a, b):
        radius = np.sqrt(-2 * np.log(a))
        return radius * np.cos(2 * np.pi * b), radius * np.sin(2 * np.pi * b)

    return np.hstack([*pair(u0, u1), *pair(u2, u3)])[:, :n_columns]


def sigmoid(activation, bias):
    return special.expit(activation.astype(np.float64) + bias)


def softplus(activation, bias):
    return np.logaddexp(0, activation.astype(np.float64) + bias).sum(axis=1)


def bernoulli(activation, bias, rows, key, step, stream):
    mean = sigmoid(activation, bias)
    return mean, (uniform(rows, len(bias), key, step, stream) < mean).astype(float)


def gaussian(activation, bias, rows, key, step, stream):
    mean = activation.astype(np.float64) + bias
    return mean, mean + normal(rows, len(bias), key, step, stream)


def softmax(activation, bias, totals):
    return totals[:, None] * special.softmax(activation.astype(np.float64) + bias, axis=1)


def multinomial(activation, bias, totals, rows, key, step, stream):
    mean = softmax(activation, bias, totals)
    draw = np.zeros_like(mean)
    for i, row in enumerate(rows):
        cumulative = np.cumsum(mean[i])
        for d in range(round(totals[i])):
            word = philox4x32((d // 4, row, step, stream), key)[d % 4]
            u = ((word >> 8) | 1) / 2.0**24
            draw[i, np.searchsorted(cumulative, u * cumulative[-1], side="right")] += 1
    return mean, draw


def binomial(activation, bias, trials, rows, key, step, stream):
    p = sigmoid(activation, bias)
    u = uniform(rows, len(bias), key, step, stream)
    return trials * p, stats.binom.ppf(u, trials, p)
