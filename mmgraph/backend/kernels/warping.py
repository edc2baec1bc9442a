"""The loops of dynamic time warping: costs, accumulated costs and soft minima along two streams.

A pair of streams of n and m frames spans a grid; a path enters cell (i, j) from (i-1, j-1),
(i-1, j), (i, j-1) or (i-1, j-2), the steps 1 to 4, each with a weight for the cost of the cell (an
infinite one forbids the step). Row i has the cells within `band` of the line from corner to corner.
All loops take a row at a time, so that a caller may hold as few of them as it wants.
"""

import math

import numpy as np
from numba import njit

from .threads import over_rows

__all__ = ["advance", "distances", "soft_backward", "soft_forward", "squared", "trace"]

_scalar = njit(inline="always", error_model="numpy")
_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})

LOG2E, LN2 = math.log2(math.e), math.log(2)
NEVER = -(1 << 60)  # exponent of a sum over no paths
SMALL = 2.0**-20  # mantissas are kept between this and its inverse
LARGEST = 2.0**50  # sums of costs, in units of the temperature, whose digits are still good


def distances(frames, spans, band, weights, ends):
    """Accumulated cost of the best path of each of many pairs of streams, over threads.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, n_columns), float64
        All streams, one below the other.
    spans : ndarray of shape (n_pairs, 4), int64
        First frame and the one after the last, of the one and of the other stream.
    band : float
    weights : ndarray of shape (4,)
    ends : tuple of bool
        Whether the second stream may begin, and end, anywhere.

    Returns
    -------
    ndarray of shape (n_pairs,)
        Infinite where no path is admitted.
    """
    found = np.empty(len(spans))
    cells = int(((spans[:, 1] - spans[:, 0]) * (spans[:, 3] - spans[:, 2])).sum())
    shared = frames, float(band), weights, *ends
    over_rows(_distances, (spans, found), *shared, n_entries=cells)
    return found


@_scalar
def _window(i, n, m, band):
    """Columns of row i: the first, and the one after the last."""
    if n == 1 or band >= n + m:
        return 0, m
    reach, centre = math.floor(band * (n - 1)), i * (m - 1)
    return max(0, -((reach - centre) // (n - 1))), min(m, (centre + reach) // (n - 1) + 1)


@_scalar
def _begin(costs, high, row, weights, start, steps):
    """The first row: paths begin in its first cell or, with `start`, in any."""
    left = weights[2]
    for j in range(high):
        row[j + 2], steps[j] = np.inf, 0
        if start or j == 0:
            row[j + 2] = costs[j]
        if j > 0 and left < np.inf:
            other = row[j + 1] + left * costs[j]
            if other < row[j + 2]:
                row[j + 2], steps[j] = other, 3


@_scalar
def _enter(costs, low, high, before, row, weights, steps):
    """A row of accumulated costs from the one before; both are padded by two on the left.

    Slices begin at 0 so that the first loop, in which no cell waits for another, is vectorised.
    """
    diagonal, up, left, skip = weights[0], weights[1], weights[2], weights[3]
    cost, into, here = costs[low:high], steps[low:high], row[low + 2 : high + 2]
    one, two, four = before[low + 1 : high + 1], before[low + 2 : high + 2], before[low:high]
    for j in range(high - low):
        a, b = one[j] + diagonal * cost[j], two[j] + up * cost[j]
        into[j] = 1 if a <= b else 2
        here[j] = min(a, b)
    if skip < np.inf:
        for j in range(high - low):
            other = four[j] + skip * cost[j]
            if other < here[j]:
                here[j], into[j] = other, 4
    if left < np.inf:
        last = np.inf
        for j in range(high - low):
            other, last = last + left * cost[j], here[j]
            if other < last:
                into[j] = 3
            last = min(other, last)
            here[j] = last


@_loop
def advance(costs, first, n, band, weights, open_begin, state, steps):
    """Accumulate the costs of a block of rows.

    Parameters
    ----------
    costs : ndarray of shape (n_rows, m)
        Of rows first, first + 1, ...
    first, n : int
        The first row, and how many there are in all.
    band : float
    weights : ndarray of shape (4,)
    open_begin : bool
        Whether paths may begin in every cell of row 0.
    state : ndarray of shape (m + 2,)
        Accumulated costs of the row before, two infinite entries in front; overwritten by the last.
    steps : ndarray of shape (n_rows, m), uint8
        Filled with the step into each cell, 0 where a path begins. Of shape (1, m): not kept.
    """
    m = costs.shape[1]
    row = np.full(m + 2, np.inf)
    keep = len(steps) == len(costs)
    for r in range(len(costs)):
        low, high = _window(first + r, n, m, band)
        into = steps[r if keep else 0]
        row[:] = np.inf
        if first + r == 0:
            _begin(costs[r], high, row, weights, open_begin, into)
        else:
            _enter(costs[r], low, high, state, row, weights, into)
        state[:] = row


@_loop
def squared(A, transposed, first, n, band, out):
    """Squared Euclidean distances of a block of rows, where the band is.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_columns)
        Frames first, first + 1, ... of n.
    transposed : ndarray of shape (n_columns, m)
        Frames of the other stream.
    first, n : int
    band : float
    out : ndarray of shape (n_rows, m)
    """
    for r in range(len(A)):
        low, high = _window(first + r, n, transposed.shape[1], band)
        _squared(A[r], transposed, low, high, out[r])


@_scalar
def _squared(frame, transposed, low, high, out):
    here = out[low:high]
    whole, even = len(frame) // 4 * 4, len(frame) // 2 * 2
    here[:] = 0.0
    for k in range(0, whole, 4):  # four columns at a time, to read and write `out` less
        a, b, c, d = frame[k], frame[k + 1], frame[k + 2], frame[k + 3]
        one, two = transposed[k, low:high], transposed[k + 1, low:high]
        three, four = transposed[k + 2, low:high], transposed[k + 3, low:high]
        for j in range(high - low):
            e, f, g, h = a - one[j], b - two[j], c - three[j], d - four[j]
            here[j] += (e * e + f * f) + (g * g + h * h)
    if even > whole:
        a, b = frame[whole], frame[whole + 1]
        one, two = transposed[whole, low:high], transposed[whole + 1, low:high]
        for j in range(high - low):
            e, f = a - one[j], b - two[j]
            here[j] += e * e + f * f
    if len(frame) > even:
        a, one = frame[even], transposed[even, low:high]
        for j in range(high - low):
            e = a - one[j]
            here[j] += e * e


@_loop
def _distances(spans, found, frames, band, weights, open_begin, open_end):
    widest = 0
    for p in range(len(spans)):
        widest = max(widest, spans[p, 3] - spans[p, 2])
    transposed = np.empty((frames.shape[1], widest))
    costs, steps = np.empty(widest), np.empty(widest, np.uint8)
    state, row = np.empty(widest + 2), np.empty(widest + 2)
    for p in range(len(spans)):
        start, offset = spans[p, 0], spans[p, 2]
        n, m = spans[p, 1] - start, spans[p, 3] - offset
        transposed[:, :m] = frames[offset : offset + m].T
        for i in range(n):
            low, high = _window(i, n, m, band)
            _squared(frames[start + i], transposed, low, high, costs)
            row[: m + 2] = np.inf
            if i == 0:
                _begin(costs, high, row, weights, open_begin, steps)
            else:
                _enter(costs, low, high, state, row, weights, steps)
            state, row = row, state
        found[p] = state[m + 1]
        if open_end:
            found[p] = state[2 : m + 2].min()


@_loop
def trace(steps, first, i, j, path, at):
    """Follow a path back through a block of rows.

    Parameters
    ----------
    steps : ndarray of shape (n_rows, m), uint8
        Of rows first, first + 1, ...
    first, i, j : int
        Where the block begins, and the cell to start from, which is in it.
    path : ndarray of shape (n_cells, 2), int64
        Filled from entry `at` downwards.
    at : int

    Returns
    -------
    i, j, at : int
        The next cell, above the block, and where it goes in `path`; i is -1 where the path is
        complete.
    """
    while i >= first:
        path[at, 0], path[at, 1] = i, j
        at -= 1
        step = steps[i - first, j]
        if step == 0:
            return -1, j, at
        if step != 3:
            i -= 1
        if step == 4:
            j -= 2
        elif step != 2:
            j -= 1
    return i, j, at


@_loop
def soft_forward(costs, band, weights):
    """Soft minimum of the costs of all paths, at temperature 1.

    The sum of exp(-cost) over paths to a cell is held as ``mantissa * 2**exponent``, which neither
    overflows nor needs logarithms on the way.

    Parameters
    ----------
    costs : ndarray of shape (n, m)
        At most `LARGEST`, added up along a path.
    band : float
    weights : ndarray of shape (n, m, 3)
        Filled with how likely a path that passes a cell came to it by steps 1, 2 and 3.

    Returns
    -------
    float
        Infinite where no path is admitted.
    """
    n, m = costs.shape
    powers = 0.5 ** np.arange(128.0)
    powers[127] = 0.0
    mantissas, exponents = np.zeros(m + 1), np.full(m + 1, NEVER)
    row, row_exponents = np.zeros(m + 1), np.full(m + 1, NEVER)
    factors, shifts = np.empty(m), np.empty(m, np.int64)
    mantissas[0], exponents[0] = 1.0, 0
    for i in range(n):
        low, high = _window(i, n, m, band)
        row[:], row_exponents[:] = 0.0, NEVER
        weights[i, :low], weights[i, high:] = 0.0, 0.0
        for j in range(low, high):
            shift = math.floor(costs[i, j] * LOG2E)
            shifts[j] = shift
            factors[j] = math.exp(shift * LN2 - costs[i, j])
        left, left_exponent = 0.0, NEVER
        for j in range(low, high):
            largest = max(exponents[j], exponents[j + 1], left_exponent)
            one = mantissas[j] * powers[min(largest - exponents[j], 127)]
            two = mantissas[j + 1] * powers[min(largest - exponents[j + 1], 127)]
            three = left * powers[min(largest - left_exponent, 127)]
            total = one + two + three
            share = 1.0 / total if total > 0.0 else 0.0
            weights[i, j, 0] = one * share
            weights[i, j, 1] = two * share
            weights[i, j, 2] = three * share
            left = total * factors[j]
            left_exponent = largest - shifts[j] if total > 0.0 else NEVER
            if total > 0.0 and not SMALL < left < 1.0 / SMALL:
                left, shift = math.frexp(left)
                left_exponent += shift
            row[j + 1], row_exponents[j + 1] = left, left_exponent
        mantissas, row = row, mantissas
        exponents, row_exponents = row_exponents, exponents
    if mantissas[m] == 0.0:
        return np.inf
    return -(math.log(mantissas[m]) + exponents[m] * LN2)


@_loop
def soft_backward(weights, passed):
    """Probability that a path passes each cell.

    Parameters
    ----------
    weights : ndarray of shape (n, m, 3)
        What :func:`soft_forward` filled.
    passed : ndarray of shape (n, m)
        Filled.
    """
    n, m = passed.shape
    passed[:] = 0.0
    passed[n - 1, m - 1] = 1.0
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            here = passed[i, j]
            if here > 0.0:
                if i > 0 and j > 0:
                    passed[i - 1, j - 1] += here * weights[i, j, 0]
                if i > 0:
                    passed[i - 1, j] += here * weights[i, j, 1]
                if j > 0:
                    passed[i, j - 1] += here * weights[i, j, 2]
