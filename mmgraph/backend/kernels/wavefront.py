"""Time warping of streams along anti-diagonals, whose cells do not wait for each other.

The grid is that of `warping`: a path enters cell (i, j) from (i-1, j-1), (i-1, j) or (i, j-1), and
row i has the cells within a band of the line from corner to corner. Here the distance of two frames
is the squared Euclidean one, computed where it is needed.
"""

import math

import numpy as np
from numba import njit

from .threads import over_rows
from .warping import _loop, _scalar, soft_backward, soft_forward, squared

__all__ = ["distances", "reaches", "soft_distances", "sweep", "unwind"]

_branchless = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nnan"})

ANY = 1 << 40  # reach of a band that admits all cells


def reaches(spans, band):
    """The band of each pair in integers, see :func:`along`: shape (n_pairs,), int64."""
    n, m = spans[:, 1] - spans[:, 0], spans[:, 3] - spans[:, 2]
    if band == math.inf:
        return np.full(len(spans), ANY)
    reach = np.minimum(np.floor(band * (n - 1.0)), ANY).astype(np.int64)
    return np.where((n == 1) | (band >= n + m), ANY, reach)


def distances(frames, spans, band, weights, ends):
    """Accumulated cost of the best path of each of many pairs of streams, over threads.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, n_columns), float32 or float64
        All streams, one below the other.
    spans : ndarray of shape (n_pairs, 4), int64
        First frame and the one after the last, of the one and of the other stream.
    band : float
    weights : ndarray of shape (3,)
        Of the steps (1, 1), (1, 0) and (0, 1).
    ends : tuple of bool
        Whether the second stream may begin, and end, anywhere.

    Returns
    -------
    ndarray of shape (n_pairs,), in the dtype of the frames
        Infinite where no path is admitted.
    """
    found = np.empty(len(spans), frames.dtype)
    cells = int(((spans[:, 1] - spans[:, 0]) * (spans[:, 3] - spans[:, 2])).sum())
    shared = frames, weights.astype(frames.dtype), *ends
    over_rows(_distances, (spans, reaches(spans, band), found), *shared, n_entries=cells)
    return found


def soft_distances(frames, spans, band, gamma):
    """Soft minimum of each of many pairs of streams, and what moves the first ones, over threads.

    Parameters
    ----------
    frames, spans, band : see :func:`distances`
    gamma : float
        Temperature.

    Returns
    -------
    values : ndarray of shape (n_pairs,), in the dtype of the frames
        Infinite where no path is admitted.
    gradients : ndarray of shape (n_rows, n_columns), in the dtype of the frames
        With respect to the frames of the first streams, one pair below the other.
    """
    starts = np.cumsum(np.append(0, spans[:, 1] - spans[:, 0]))
    values = np.empty(len(spans), frames.dtype)
    gradients = np.zeros((starts[-1], frames.shape[1]), frames.dtype)
    cells = int(((spans[:, 1] - spans[:, 0]) * (spans[:, 3] - spans[:, 2])).sum())
    by_row = spans, starts[:-1], values
    over_rows(_soft, by_row, frames, float(band), gamma, gradients, n_entries=cells)
    return values, gradients


# --- the scalar function of both twins ------------------------------------------------------------


@_scalar
def along(d, n, m, reach):
    """Rows of anti-diagonal d that the band admits: the first, and the one after the last.

    Of cell (i, j) these are |j (n - 1) - i (m - 1)| <= reach: all in integers.
    """
    low, high = max(0, d - m + 1), min(n - 1, d)
    if reach < ANY:
        wide = n + m - 2
        low = max(low, -((reach - d * (n - 1)) // wide))
        high = min(high, (d * (n - 1) + reach) // wide)
    return low, high + 1


# --- the CPU loops --------------------------------------------------------------------------------


@_scalar
def step_into(diagonal, up, left):
    """The step of least accumulated cost; of equal ones the first."""
    return 3 if left < min(diagonal, up) else (1 if diagonal <= up else 2)


@_scalar
def _squared_along(first, second, low, high, shift, out):
    """Squared distances of frames i and i + shift of the two, where i is from low to high."""
    here = out[low:high]
    whole, even = len(first) // 4 * 4, len(first) // 2 * 2
    here[:] = 0.0
    for k in range(0, whole, 4):  # four columns at a time, to read and write `out` less
        a, b = first[k, low:high], first[k + 1, low:high]
        c, d = first[k + 2, low:high], first[k + 3, low:high]
        e, f = second[k, low + shift : high + shift], second[k + 1, low + shift : high + shift]
        g, h = second[k + 2, low + shift : high + shift], second[k + 3, low + shift : high + shift]
        for i in range(high - low):
            p, q, r, s = a[i] - e[i], b[i] - f[i], c[i] - g[i], d[i] - h[i]
            here[i] += (p * p + q * q) + (r * r + s * s)
    if even > whole:
        a, b = first[whole, low:high], first[whole + 1, low:high]
        e = second[whole, low + shift : high + shift]
        f = second[whole + 1, low + shift : high + shift]
        for i in range(high - low):
            p, q = a[i] - e[i], b[i] - f[i]
            here[i] += p * p + q * q
    if len(first) > even:
        a, e = first[even, low:high], second[even, low + shift : high + shift]
        for i in range(high - low):
            p = a[i] - e[i]
            here[i] += p * p


@_scalar
def _sweep(first, second, reach, weights, open_begin, steps, last):
    n, m = first.shape[1], second.shape[1]
    diagonal, up, left = weights[0], weights[1], weights[2]
    cost = np.empty(n, first.dtype)
    one = np.full(n + 2, np.inf, first.dtype)  # the diagonal before, shifted by one
    two, row = one.copy(), one.copy()
    last[:] = np.inf
    keep = len(steps) > 1
    for d in range(n + m - 1):
        low, high = along(d, n, m, reach)
        if low >= high:
            row[:] = np.inf
        else:
            _squared_along(first, second, low, high, m - 1 - d, cost)
            c, into = cost[low:high], steps[d if keep else 0, low:high]
            here = row[low + 1 : high + 1]
            over, above, beside = two[low:high], one[low:high], one[low + 1 : high + 1]
            for i in range(high - low):
                a, b, e = over[i] + diagonal * c[i], above[i] + up * c[i], beside[i] + left * c[i]
                here[i], into[i] = min(min(a, b), e), step_into(a, b, e)
            row[low] = row[high + 1] = np.inf
            if low == 0 and (d == 0 or (open_begin and cost[0] <= row[1])):
                row[1], into[0] = cost[0], 0
            if high == n:
                last[d - n + 1] = row[n]
        two, one, row = one, row, two


@_branchless
def sweep(first, second, reach, weights, open_begin, steps, last):
    """Accumulate the costs of all paths between two streams.

    Parameters
    ----------
    first : ndarray of shape (n_columns, n)
        Frames of the one stream.
    second : ndarray of shape (n_columns, m)
        Those of the other, from the last to the first.
    reach : int
        See :func:`along`.
    weights : ndarray of shape (3,)
    open_begin : bool
    steps : ndarray of shape (n + m - 1, n), uint8
        Filled with the step into cell (i, d - i), 0 where a path begins. Of shape (1, n): not kept.
    last : ndarray of shape (m,)
        Filled with the accumulated costs of the last row; infinite where no path gets there.
    """
    _sweep(first, second, reach, weights, open_begin, steps, last)


@_loop
def unwind(steps, i, j, path):
    """Follow a path back from a cell.

    Parameters
    ----------
    steps : ndarray of shape (n + m - 1, n), uint8
        From :func:`sweep`.
    i, j : int
    path : ndarray of shape (n + m, 2), int64
        Filled from its end.

    Returns
    -------
    int
        Where the path begins in `path`.
    """
    at = len(path)
    while True:
        at -= 1
        path[at, 0], path[at, 1] = i, j
        step = steps[i + j, i]
        if step == 0:
            return at
        if step != 3:
            i -= 1
        if step != 2:
            j -= 1


@_branchless
def _distances(spans, reach, found, frames, weights, open_begin, open_end):
    for p in range(len(spans)):
        first = frames[spans[p, 0] : spans[p, 1]].T.copy()
        second = frames[spans[p, 2] : spans[p, 3]][::-1].T.copy()
        last = np.empty(second.shape[1], frames.dtype)
        steps = np.empty((1, first.shape[1]), np.uint8)
        _sweep(first, second, reach[p], weights, open_begin, steps, last)
        found[p] = last.min() if open_end else last[-1]


@_loop
def _soft(spans, starts, values, frames, band, gamma, gradients):
    for p in range(len(spans)):
        first = frames[spans[p, 0] : spans[p, 1]].astype(np.float64)
        second = frames[spans[p, 2] : spans[p, 3]].astype(np.float64)
        costs = np.empty((len(first), len(second)))
        squared(first, second.T.copy(), 0, len(first), math.inf, costs)
        costs /= gamma
        weights = np.empty((*costs.shape, 3))
        values[p] = gamma * soft_forward(costs, band, weights)
        if values[p] < np.inf:
            passed = costs  # its memory
            soft_backward(weights, passed)
            own = gradients[starts[p] : starts[p] + len(first)]
            total = passed.sum(axis=1)
            gap = np.dot(passed, second)
            for i in range(len(own)):
                for k in range(own.shape[1]):
                    own[i, k] = 2.0 * (total[i] * first[i, k] - gap[i, k])
