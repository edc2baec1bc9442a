"""The loops of alignment by jumps: each frame of one stream goes with a frame of another.

From one frame of the target to the next the frame of the source that it goes with moves on by a
jump, from `least` to ``least + n_jumps - 1``. Sums over all alignments are held, cell by cell, as
``mantissa * 2**exponent``: an alignment that is bad at first may be the only one that reaches the
end, so nothing may be taken for zero.
"""

import math

import numpy as np
from numba import njit

from .warping import LN2, LOG2E, NEVER, SMALL

__all__ = ["backward", "best", "forward"]

_loop = njit(cache=True, nogil=True, error_model="numpy")

HOPELESS = 2.0**50  # a cost beyond which a cell is impossible


@_loop
def forward(costs, begin, odds, end, least, weights, last):
    """Probability of the target, summed over all alignments.

    Parameters
    ----------
    costs : ndarray of shape (m, n)
        Minus the log-density of each frame of the target given each frame of the source.
    begin : ndarray of shape (n,)
        Probability that the first frame of the target goes with each frame of the source.
    odds : ndarray of shape (n, n_jumps)
        Probability of each jump from each frame of the source; 0 where it leads out of it.
    end : ndarray of shape (n,)
        Probability that the target ends after each.
    least : int
    weights : ndarray of shape (m, n, n_jumps)
        Filled with how likely an alignment that passes a cell came to it by each jump.
    last : ndarray of shape (n,)
        Filled with the distribution of the last cell.

    Returns
    -------
    float
        The logarithm; -inf where no alignment is admitted.
    """
    m, n = costs.shape
    n_jumps = odds.shape[1]
    powers = 0.5 ** np.arange(1024.0)
    powers[1023] = 0.0
    mantissas, exponents = begin.copy(), np.zeros(n, np.int64)
    row, row_exponents = np.empty(n), np.empty(n, np.int64)
    for j in range(m):
        for i in range(n):
            total, largest = 0.0, NEVER
            if j == 0:
                total, largest = mantissas[i], 0
            else:
                for k in range(n_jumps):
                    source = i - least - k
                    if 0 <= source < n and mantissas[source] * odds[source, k] > 0.0:
                        largest = max(largest, exponents[source])
                for k in range(n_jumps):
                    source, part = i - least - k, 0.0
                    if 0 <= source < n and largest > NEVER:
                        gap = min(largest - exponents[source], 1023)
                        part = mantissas[source] * odds[source, k] * powers[max(gap, 0)]
                    weights[j, i, k] = part
                    total += part
                for k in range(n_jumps):
                    weights[j, i, k] = weights[j, i, k] / total if total > 0.0 else 0.0
            cost = costs[j, i]
            if total > 0.0 and cost < HOPELESS:
                shift = math.floor(cost * LOG2E)
                total *= math.exp(shift * LN2 - cost)
                largest -= shift
                if not SMALL < total < 1.0 / SMALL:
                    total, shift = math.frexp(total)
                    largest += shift
            else:
                total, largest = 0.0, NEVER
            row[i], row_exponents[i] = total, largest
        mantissas, row = row, mantissas
        exponents, row_exponents = row_exponents, exponents
    largest, total = NEVER, 0.0
    for i in range(n):
        if mantissas[i] * end[i] > 0.0:
            largest = max(largest, exponents[i])
    for i in range(n):
        last[i] = 0.0
        if mantissas[i] * end[i] > 0.0:
            last[i] = mantissas[i] * end[i] * powers[min(largest - exponents[i], 1023)]
        total += last[i]
    if total == 0.0:
        return -np.inf
    for i in range(n):
        last[i] /= total
    return math.log(total) + largest * LN2


@_loop
def backward(weights, passed, least, counts):
    """Probability that an alignment passes each cell.

    Parameters
    ----------
    weights : ndarray of shape (m, n, n_jumps)
        What :func:`forward` filled.
    passed : ndarray of shape (m, n)
        Its last row holds the distribution of the last cell; the others are filled.
    least : int
    counts : ndarray of shape (n_jumps,)
        The expected number of each jump between frames of the target is added.
    """
    m, n = passed.shape
    passed[: m - 1] = 0.0
    for j in range(m - 1, 0, -1):
        for i in range(n):
            here = passed[j, i]
            if here > 0.0:
                for k in range(weights.shape[2]):
                    part = here * weights[j, i, k]
                    if part > 0.0:
                        passed[j - 1, i - least - k] += part
                        counts[k] += part


@_loop
def best(costs, begin, odds, end, least, path):
    """Find the most probable alignment.

    Parameters
    ----------
    costs, begin, odds, end, least : see :func:`forward`
    path : ndarray of shape (m,), int64
        Filled with the frame of the source that goes with each frame of the target.

    Returns
    -------
    float
        Minus the logarithm of its probability together with the target; inf where none is admitted.
    """
    m, n = costs.shape
    n_jumps = odds.shape[1]
    steps = np.empty((m, n), np.int64)
    logs = np.log(odds)
    value, row = np.log(begin) - costs[0], np.empty(n)
    for j in range(1, m):
        for i in range(n):
            most, step = -np.inf, 0
            for k in range(n_jumps):
                source = i - least - k
                if 0 <= source < n and value[source] + logs[source, k] > most:
                    most, step = value[source] + logs[source, k], k
            row[i], steps[j, i] = most - costs[j, i], step
        value, row = row, value
    value += np.log(end)
    i = np.argmax(value)
    found = -value[i]
    for j in range(m - 1, -1, -1):
        path[j] = i
        i -= least + steps[j, i] if j > 0 else 0
    return found
