"""Soft dynamic time warping: a smooth minimum over all paths, its gradients, and barycentres.

Cuturi & Blondel (2017): of the costs <P, C> of all paths P the soft minimum is
-gamma log sum_P exp(-<P, C> / gamma). Its gradient with respect to C is the expected path, a matrix
of the probabilities with which a path of that Gibbs distribution passes each cell.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from ..backend.kernels import of
from ..backend.kernels import warping as kernels
from .warping import check_band, costs_between, no_path, stacked, stream_of

__all__ = ["SoftWarping", "soft_dtw", "soft_dtw_barycenter", "soft_dtw_distances"]


class SoftWarping(NamedTuple):
    """Soft minimum over all paths between two streams.

    Attributes
    ----------
    value : float
        It is below the cost of the best path, and may be negative.
    gradient : ndarray of shape (n, n_columns)
        With respect to the first stream.
    alignment : ndarray of shape (n, m)
        Probability that a path passes each cell: the gradient with respect to the costs.
    """

    value: float
    gradient: np.ndarray
    alignment: np.ndarray


def soft_dtw(A, B, gamma=1.0, *, band=None):
    """Soft minimum of the squared Euclidean costs of all paths between two streams.

    Parameters
    ----------
    A : array-like of shape (n, n_columns) or (n,)
    B : array-like of shape (m, n_columns) or (m,)
    gamma : float
        Temperature, above 0, in squared units of the columns. Towards 0 this is
        :func:`~mmgraph.engine.warping.dtw` with steps "symmetric1".
    band : float, optional
        See :func:`~mmgraph.engine.warping.dtw`.

    Returns
    -------
    SoftWarping

    References
    ----------
    M. Cuturi, M. Blondel. Soft-DTW: a differentiable loss function for time-series. ICML 2017,
    algorithms 1 and 2.

    Examples
    --------
    >>> from mmgraph.engine.soft_warping import soft_dtw
    >>> found = soft_dtw([0.0, 1.0], [0.0, 1.0], gamma=0.1)
    >>> round(found.value, 6)
    -9e-06
    >>> found.alignment.round(3)
    array([[1., 0.],
           [0., 1.]])
    """
    _check_gamma(gamma)
    A, B = stream_of(A, "the first stream"), stream_of(B, "the second stream")
    A, B = A.astype(np.float64), B.astype(np.float64)
    costs = costs_between(A, B)
    costs /= gamma
    _check_scale(costs.max(), sum(costs.shape), gamma)
    weights = np.empty((*costs.shape, 3))
    value = kernels.soft_forward(costs, check_band(band), weights)
    if value == np.inf:
        raise ValueError(no_path(len(A), len(B), band, "symmetric1"))
    passed = costs  # its memory
    kernels.soft_backward(weights, passed)
    gradient = 2 * (passed.sum(axis=1)[:, None] * A - passed @ B)
    return SoftWarping(float(gamma * value), gradient, passed)


def soft_dtw_distances(pairs, gamma=1.0, *, band=None):
    """Soft minima of many pairs of streams, and their gradients, on threads.

    Parameters
    ----------
    pairs : sequence of (array-like of shape (n, n_columns), array-like of shape (m, n_columns))
        Streams of any length; all have the same columns. CuPy arrays are compared on the GPU.
    gamma, band : see :func:`soft_dtw`

    Returns
    -------
    values : ndarray of shape (n_pairs,)
        Infinite where no path is admitted.
    gradients : list of ndarray of shape (n, n_columns)
        With respect to the first stream of each pair; zero where no path is admitted.

    Examples
    --------
    >>> from mmgraph.engine.soft_warping import soft_dtw_distances
    >>> values, _ = soft_dtw_distances([([0.0, 1.0], [0.0, 1.0]), ([0.0], [1.0, 2.0])], 0.1)
    >>> values.round(3).tolist()
    [-0.0, 5.0]
    """
    _check_gamma(gamma)
    frames, spans = stacked(pairs)
    if not len(spans):
        return np.empty(0), []
    longest = int(np.diff(spans).sum(axis=1).max())
    spread = frames.max(axis=0) - frames.min(axis=0)
    _check_scale(float((spread**2).sum()) / gamma, longest, gamma)  # a bound on the costs
    kernel = of(frames, "wavefront")
    values, gradients = kernel.soft_distances(frames, spans, check_band(band), gamma)
    ends = np.cumsum(spans[:, 1] - spans[:, 0]).tolist()
    return values, [gradients[a:b] for a, b in pairwise([0, *ends])]


def _check_gamma(gamma):
    if not isinstance(gamma, int | float | np.integer | np.floating) or not 0 < gamma < np.inf:
        raise ValueError(f"gamma={gamma!r}: it must be a number above 0.")


def _check_scale(largest, length, gamma):
    """Raise where costs, in units of gamma, are too large to be added up along a path."""
    if not largest * length < kernels.LARGEST:
        raise ValueError(
            f"gamma={gamma!r} is too small beside squared distances of up to "
            f"{gamma * largest:.3g}: raise it, or scale the columns."
        )


def soft_dtw_barycenter(
    streams, gamma=1.0, *, start=None, weights=None, band=None, max_iter=100, tol=1e-6
):
    """The stream of least mean soft distance to some others.

    Each distance is divided by the length of the stream, so that long ones do not outweigh short
    ones.

    Parameters
    ----------
    streams : sequence of array-like of shape (n_i, n_columns)
    gamma : float
    start : array-like of shape (n, n_columns), optional
        Where to begin, which sets the length. None: the mean of the streams, drawn out evenly to
        the median length.
    weights : array-like of shape (n_streams,), optional
        Of the streams; None: equal ones.
    band : float, optional
    max_iter : int
        Steps of L-BFGS.
    tol : float
        Relative decrease at which they stop.

    Returns
    -------
    ndarray of shape (n, n_columns)

    Examples
    --------
    >>> import numpy as np
    >>> from mmgraph.engine.soft_warping import soft_dtw_barycenter
    >>> bump = np.array([0.0, 0, 1, 0, 0, 0]), np.array([0.0, 0, 0, 1, 0, 0])
    >>> float(soft_dtw_barycenter(bump, gamma=0.01).max().round(1))
    1.0
    """
    streams = [stream_of(stream, f"stream {i}") for i, stream in enumerate(streams)]
    if not streams:
        raise ValueError("there are no streams: give at least one.")
    if weights is None:
        weights = np.full(len(streams), 1 / len(streams))
    weights = np.asarray(weights, float)
    if weights.shape != (len(streams),) or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            f"weights must be one number at least 0 for each of the {len(streams)} streams, not "
            f"all 0; got {weights!r}."
        )
    weights = weights / weights.sum()
    if start is None:
        length = int(np.median([len(stream) for stream in streams]))
        start = sum(w * _drawn_out(s, length) for w, s in zip(weights, streams, strict=True))
    start = stream_of(start, "start").astype(np.float64)
    shares = weights / [len(stream) for stream in streams]

    def loss(flat):
        Z = flat.reshape(start.shape)
        values, slopes = soft_dtw_distances([(Z, stream) for stream in streams], gamma, band=band)
        if np.isinf(values).any():
            worst = streams[int(np.argmax(values))]
            raise ValueError(no_path(len(Z), len(worst), band, "symmetric1"))
        return shares @ values, np.tensordot(shares, slopes, 1).ravel()

    options = {"maxiter": max_iter, "ftol": tol}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(start.shape)


def _drawn_out(stream, length):
    """A stream, interpolated at so many points at equal distances."""
    at = np.linspace(0, len(stream) - 1, length)
    return np.column_stack([np.interp(at, np.arange(len(stream)), c) for c in stream.T])
