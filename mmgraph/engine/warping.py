"""Dynamic time warping of two streams: the best path, its cost, and many pairs at once.

A path is a sequence of cells (i, j) that pairs frame i of one stream with frame j of another and
goes back in neither. Its cost is the sum over the cells of the distance of the two frames times the
weight of the step that enters the cell; the first cell counts once. Rows of costs are accumulated
in blocks. Of a long stream only the row before each block is kept, and blocks are computed again on
the way back (as checkpoints in reverse differentiation), so memory grows as the one length times
the square root of the other. Short streams under the squared Euclidean distance are taken along
anti-diagonals instead, which is several times quicker.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from ..backend.arrays import namespace
from ..backend.kernels import of, wavefront
from ..backend.kernels import warping as kernels

__all__ = [
    "STEP_PATTERNS",
    "Warping",
    "check_band",
    "costs_between",
    "dtw",
    "dtw_distances",
    "match",
]

# Weights of the steps (1, 1), (1, 0), (0, 1) and (1, 2), after Sakoe & Chiba (1978).
STEP_PATTERNS = {
    "symmetric1": (1.0, 1.0, 1.0, math.inf),
    "symmetric2": (2.0, 1.0, 1.0, math.inf),
    "asymmetric": (1.0, 1.0, math.inf, 1.0),
}
BLOCK_CELLS = 1 << 22  # whose costs and steps are held at a time
PRECOMPUTED = "precomputed"


class Warping(NamedTuple):
    """The best path between two streams.

    Attributes
    ----------
    distance : float
        Its cost.
    path : ndarray of shape (n_cells, 2), int64
        Frames of the one and of the other that it pairs, in order of time.
    posterior : ndarray of shape (n, m) or None
        Probability that two frames go together, where it is known.
    """

    distance: float
    path: np.ndarray
    posterior: np.ndarray | None = None


def dtw(
    A,
    B=None,
    *,
    metric="sqeuclidean",
    step_pattern="symmetric1",
    band=None,
    open_begin=False,
    open_end=False,
):
    """Pair the frames of two streams at the least cost (Sakoe & Chiba 1978).

    Parameters
    ----------
    A : array-like of shape (n, n_columns) or (n,)
        One stream; with ``metric="precomputed"`` the costs, of shape (n, m). Two streams of float32
        are compared in float32.
    B : array-like of shape (m, n_columns) or (m,)
        The other.
    metric : str or callable
        Of :func:`scipy.spatial.distance.cdist`, or ``"precomputed"``.
    step_pattern : {"symmetric1", "symmetric2", "asymmetric"}
        Steps by one frame in either stream or in both, of weight 1; the same with weight 2 for
        steps in both; or steps by one frame of A and by none, one or two of B.
    band : float, optional
        How many frames of B a path may lie off the line from corner to corner (the band of Sakoe &
        Chiba). None: any number.
    open_begin, open_end : bool
        Whether the path may begin, or end, at any frame of B: A is then found within B.

    Returns
    -------
    Warping

    Raises
    ------
    ValueError
        If the streams do not fit each other, are empty or not finite, or no path is admitted.

    References
    ----------
    H. Sakoe, S. Chiba. Dynamic programming algorithm optimization for spoken word recognition. IEEE
    Transactions on Acoustics, Speech, and Signal Processing 26(1):43-49, 1978.

    Examples
    --------
    >>> from mmgraph.engine.warping import dtw
    >>> found = dtw([0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 2.0, 2.0])
    >>> found.distance
    0.0
    >>> found.path.tolist()
    [[0, 0], [1, 1], [2, 1], [3, 2], [3, 3]]
    """
    A, B = _pair(A, B, metric)
    weights = _weights(step_pattern)
    n, m = len(A), A.shape[1] if B is None else len(B)
    width = check_band(band)
    if metric == "sqeuclidean" and weights[3] == math.inf and n * (n + m) <= BLOCK_CELLS:
        found = _swept(A, B, width, weights[:3], open_begin, open_end)
        if found is None:
            raise ValueError(no_path(n, m, band, step_pattern))
        return found
    at_once = max(math.isqrt(n), BLOCK_CELLS // m)
    state, kept = np.full(m + 2, np.inf), []
    block = _blocks(A, B, metric, width)
    steps = None
    for first in range(0, n, at_once):
        last = first + at_once >= n
        kept.append(state.copy())
        costs = block(first, min(n, first + at_once))
        steps = np.empty((len(costs) if last else 1, m), np.uint8)
        kernels.advance(costs, first, n, width, weights, open_begin, state, steps)
    j = int(np.argmin(state[2:])) if open_end else m - 1
    distance = float(state[j + 2])
    if distance == np.inf:
        raise ValueError(no_path(n, m, band, step_pattern))
    path = np.empty((n + m, 2), np.int64)
    i, at = n - 1, n + m - 1
    while True:
        i, j, at = kernels.trace(steps, first, i, j, path, at)
        if i < 0:
            return Warping(distance, path[at + 1 :].copy())
        first -= at_once
        state, costs = kept[first // at_once], block(first, first + at_once)
        steps = np.empty((len(costs), m), np.uint8)
        kernels.advance(costs, first, n, width, weights, open_begin, state, steps)


def _swept(A, B, width, weights, open_begin, open_end):
    """The best path along anti-diagonals, whose steps are all held."""
    n, m = len(A), len(B)
    steps, last = np.empty((n + m - 1, n), np.uint8), np.empty(m, A.dtype)
    path = np.empty((n + m, 2), np.int64)
    (reach,) = wavefront.reaches(np.array([[0, n, 0, m]]), width)
    first, second = np.ascontiguousarray(A.T), np.ascontiguousarray(B[::-1].T)
    wavefront.sweep(first, second, reach, weights.astype(A.dtype), open_begin, steps, last)
    j = int(np.argmin(last)) if open_end else m - 1
    if last[j] == np.inf:
        return None
    return Warping(float(last[j]), path[wavefront.unwind(steps, n - 1, j, path) :].copy())


def dtw_distances(pairs, *, step_pattern="symmetric1", band=None, open_begin=False, open_end=False):
    """Cost of the best path of many pairs of streams, with squared Euclidean distances, on threads.

    Parameters
    ----------
    pairs : sequence of (array-like of shape (n, n_columns), array-like of shape (m, n_columns))
        Streams of any length; all have the same columns. CuPy arrays are compared on the GPU, by
        symmetric steps.
    step_pattern, band, open_begin, open_end : see :func:`dtw`

    Returns
    -------
    ndarray of shape (n_pairs,)
        Infinite where no path is admitted.

    Examples
    --------
    >>> from mmgraph.engine.warping import dtw_distances
    >>> dtw_distances([([0.0, 1.0], [0.0, 3.0]), ([0.0], [1.0, 2.0])])
    array([4., 5.])
    """
    frames, spans = stacked(pairs)
    weights, ends = _weights(step_pattern), (bool(open_begin), bool(open_end))
    if weights[3] == math.inf:
        kernel = of(frames, "wavefront")
        return kernel.distances(frames, spans, check_band(band), weights[:3], ends)
    return kernels.distances(frames, spans, check_band(band), weights, ends)


def stacked(pairs):
    """Frames of pairs of streams one below the other, and where they lie.

    Returns
    -------
    frames : ndarray of shape (n_frames, n_columns)
    spans : ndarray of shape (n_pairs, 4), int64
        First frame and the one after the last, of the one and of the other stream.
    """
    streams = [stream_of(stream, "a stream") for pair in pairs for stream in pair]
    if not streams:
        return np.empty((0, 1)), np.empty((0, 4), np.int64)
    widths = {stream.shape[1] for stream in streams}
    if len(widths) > 1:
        raise ValueError(f"the streams differ in their number of columns: {sorted(widths)}.")
    edges = np.cumsum([0, *map(len, streams)])
    spans = np.column_stack([edges[:-1], edges[1:]]).reshape(-1, 4)
    return namespace(*streams).concatenate(streams), spans


def match(path, values, n):
    """Mean of the frames of the second stream that a path pairs with each frame of the first.

    Parameters
    ----------
    path : ndarray of shape (n_cells, 2)
    values : ndarray of shape (m, n_columns)
        Of the second stream.
    n : int
        Number of frames of the first.

    Returns
    -------
    ndarray of shape (n, n_columns)
        NaN where the path has no cell.
    """
    # A path takes the frames of the second stream in order: each sum is one of consecutive cells.
    rows, starts, counts = np.unique(path[:, 0], return_index=True, return_counts=True)
    found = np.full((n, values.shape[1]), np.nan)
    found[rows] = np.add.reduceat(values[path[:, 1]], starts, axis=0) / counts[:, None]
    return found


def costs_between(A, B, metric="sqeuclidean"):
    """Distances between all frames of two streams, checked as :func:`dtw` does.

    Returns
    -------
    ndarray of shape (n, m)
    """
    A, B = _pair(A, B, metric)
    return _blocks(A, B, metric, math.inf)(0, len(A))


def _blocks(A, B, metric, width):
    """A function that computes the costs of some rows."""
    if B is None:
        return lambda first, stop: A[first:stop]
    if metric == "sqeuclidean":
        transposed = np.ascontiguousarray(B.T)

        def block(first, stop):
            out = np.empty((min(stop, len(A)) - first, len(B)), A.dtype)
            kernels.squared(A[first:stop], transposed, first, len(A), width, out)
            return out

        return block
    return lambda first, stop: _finite(cdist(A[first:stop], B, metric))


def _finite(costs):
    if not np.isfinite(costs).all():
        raise ValueError(
            "the metric is not finite between some frames (the cosine of a frame of zeros, say): "
            "choose another, or leave those frames out."
        )
    return costs


def _pair(A, B, metric):
    """Two checked streams, or costs and None."""
    if isinstance(metric, str) and metric == PRECOMPUTED:
        if B is not None:
            raise ValueError("metric='precomputed': pass the costs alone, dtw(costs).")
        return stream_of(A, "the cost matrix"), None
    if B is None:
        raise ValueError("dtw needs two streams, or metric='precomputed' and a matrix of costs.")
    A, B = stream_of(A, "the first stream"), stream_of(B, "the second stream")
    if A.dtype != B.dtype:
        A, B = A.astype(np.float64), B.astype(np.float64)
    if A.shape[1] != B.shape[1]:
        raise ValueError(
            f"the streams have {A.shape[1]} and {B.shape[1]} columns, but frames are compared "
            "column by column: give both the same features, or align them with "
            "CanonicalTimeWarping."
        )
    return A, B


def stream_of(values, name):
    """Frames as a finite array of shape (n, n_columns), float32 as they are or float64."""
    xp = namespace(values)
    values = xp.asarray(values)
    values = values if values.dtype == np.float32 else values.astype(np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise ValueError(f"{name} must be an array of frames; got one of shape {values.shape}.")
    if not values.size:
        raise ValueError(f"{name} is empty (shape {values.shape}): give it at least one frame.")
    if not xp.isfinite(values).all():
        bad = int(xp.argmin(xp.isfinite(values).all(axis=1)))
        raise ValueError(
            f"{name} is not finite (NaN or infinite) in frame {bad}: leave such frames out, or "
            "fill them in."
        )
    return xp.ascontiguousarray(values)


def _weights(step_pattern):
    if step_pattern not in STEP_PATTERNS:
        raise ValueError(f"step_pattern={step_pattern!r}: choose one of {list(STEP_PATTERNS)}.")
    return np.array(STEP_PATTERNS[step_pattern])


def check_band(band):
    """The band as a float, infinite where it is None."""
    if band is None:
        return math.inf
    if not isinstance(band, int | float | np.integer | np.floating) or not band >= 0:
        raise ValueError(f"band={band!r}: it must be a number at least 0, or None.")
    return float(band)


def no_path(n, m, band, step_pattern):
    """What to say where no path is admitted."""
    what = f"no path is admitted between streams of {n} and {m} frames"
    if band is not None:
        return f"{what} by band={band!r}: widen it, or pass None."
    return f"{what} by step_pattern={step_pattern!r}: choose another, or open both ends."
