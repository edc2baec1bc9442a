"""Canonical time warping: streams of different features, aligned where they are most correlated.

Zhou & De la Torre (2009) alternate two steps: given the paths, canonical correlation analysis of
the frames that they pair; given the canonical variates, dynamic time warping of these. What the
first step needs are the moments of the paired frames, which are added up along the paths; there is
no warping matrix.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from .correlation import solve, standardise
from .moments import Moments, Patterns
from .warping import dtw, match

__all__ = ["CanonicalSpace", "even_path", "fit", "joint_path", "warp"]


class CanonicalSpace(NamedTuple):
    """Where streams of different features are compared.

    Attributes
    ----------
    means : dict of str to ndarray of shape (n_columns,)
    weights : dict of str to ndarray of shape (n_columns, n_components)
        Each variate has variance 1 along the paths.
    correlations : ndarray of shape (n_components,)
        Of the variates along the paths, the mean over the pairs of modalities.
    """

    means: dict
    weights: dict
    correlations: np.ndarray

    @property
    def objective(self):
        """Mean of one less the correlations: half the mean squared distance of the variates."""
        return float(np.mean(1 - self.correlations)) if len(self.correlations) else 1.0

    def project(self, streams, dtype=np.float64):
        """Variates of the frames of each stream."""
        found = {name: (x - self.means[name]) @ self.weights[name] for name, x in streams.items()}
        return {name: variates.astype(dtype, copy=False) for name, variates in found.items()}


def fit(sequences, widths, n_components, *, shrinkage=0.0, band=None, max_iter=100, tol=1e-3):
    """Find the space, from paths that draw all streams out evenly.

    Parameters
    ----------
    sequences : list of (dict of str to ndarray of shape (n_frames, n_columns), str)
        Streams by modality, and whose clock is kept.
    widths : dict of str to int
        Number of columns of each modality.
    n_components : int
    shrinkage : float
        Of the covariance of each modality, see :func:`~mmgraph.engine.correlation.shrink`.
    band : float, optional
        See :func:`~mmgraph.engine.warping.dtw`.
    max_iter : int
    tol : float
        Relative decrease of the objective below which the steps end.

    Returns
    -------
    best : CanonicalSpace
        Of least objective.
    history : list of float
        The objective after each step.
    converged : bool
    """
    sequences = [pair for pair in sequences if pair[0]]
    paths = [even_paths(*pair) for pair in sequences]
    best, history = None, []
    for _ in range(max_iter):
        space = _correlate(sequences, paths, widths, n_components, shrinkage)
        history.append(space.objective)
        if best is not None and best.objective - space.objective <= tol * best.objective:
            return min(best, space, key=lambda s: s.objective), history, True
        best = space
        new = [
            _warp(space.project(streams, np.float32), clock, band, p)
            for (streams, clock), p in zip(sequences, paths, strict=True)
        ]
        paths = [{name: w.path for name, w in warpings.items()} for warpings in new]
    return best, history, False


def warp(space, streams, clock, *, band=None, before=None):
    """Paths from the frames of the clock to those of each other stream, in canonical space.

    A stream is compared with the mean of all others on the clock, once these have paths.

    Parameters
    ----------
    space : CanonicalSpace
    streams : dict of str to ndarray of shape (n_frames, n_columns)
    clock : str
    band : float, optional
    before : dict of str to ndarray of shape (n_cells, 2), optional
        Earlier paths. None: each stream is first compared with the clock alone.

    Returns
    -------
    dict of str to Warping
    """
    return _warp(space.project(streams), clock, band, before)


def _warp(variates, clock, band, before):
    own = variates[clock]
    others = [name for name in variates if name != clock]
    if before is None or len(others) == 1:
        alone = {name: dtw(own, variates[name], band=band) for name in others}
        if len(others) == 1:
            return alone
        before = {name: w.path for name, w in alone.items()}
    warped = {name: match(before[name], variates[name], len(own)) for name in others}
    found = {}
    for name in others:
        beside = [own, *(warped[n] for n in others if n != name)]
        found[name] = dtw(np.mean(beside, axis=0), variates[name], band=band)
        warped[name] = match(found[name].path, variates[name], len(own))
    return found


def even_paths(streams, clock):
    """Paths that draw every stream out evenly to the length of the clock's."""
    n = len(streams[clock])
    return {name: even_path(n, len(x)) for name, x in streams.items() if name != clock}


def even_path(n, m):
    """The path along the line from corner to corner.

    Returns
    -------
    ndarray of shape (max(n, m), 2), int64
    """
    length = max(n, m)
    return np.column_stack([np.arange(length) * size // length for size in (n, m)])


def joint_path(paths, n):
    """Tuples of frames from paths that share a clock.

    Where the paths pair different numbers of frames with one frame of the clock, the fewer are
    repeated. For one path the tuples are its cells.

    Parameters
    ----------
    paths : dict of str to ndarray of shape (n_cells, 2)
        Each pairs all n frames of the clock.
    n : int

    Returns
    -------
    clock : ndarray of shape (n_tuples,), int64
    frames : dict of str to ndarray of shape (n_tuples,), int64
    """
    if len(paths) == 1:
        ((name, path),) = paths.items()
        return path[:, 0], {name: path[:, 1]}
    frame = np.arange(n)
    counts = {name: np.bincount(path[:, 0], minlength=n) for name, path in paths.items()}
    most = np.max(list(counts.values()), axis=0) if paths else np.ones(n, int)
    clock = np.repeat(frame, most)
    place = np.arange(len(clock)) - np.repeat(np.cumsum(most) - most, most)
    found = {}
    for name, path in paths.items():
        first = np.searchsorted(path[:, 0], frame)
        found[name] = path[first[clock] + place * counts[name][clock] // most[clock], 1]
    return clock, found


def _correlate(sequences, paths, widths, n_components, shrinkage):
    """Canonical correlation analysis of the frames that paths pair."""
    ends = np.cumsum(list(widths.values())).tolist()
    places = {name: slice(e - widths[name], e) for name, e in zip(widths, ends, strict=True)}
    total = None
    for (streams, clock), some in zip(sequences, paths, strict=True):
        on_clock, frames = joint_path(some, len(streams[clock]))
        frames[clock] = on_clock
        part = {frozenset(streams): _along({n: streams[n] for n in widths if n in streams}, frames)}
        part = Patterns(places, part)
        total = part if total is None else total.merge(part)
    moments = total.pairwise()
    names, at = list(places), list(places.values())
    covariance = standardise(moments, names, at)
    weights = solve(
        covariance,
        at,
        n_components,
        shrinkage=[shrinkage] * len(names),
        widths=list(widths.values()),
    )
    between = [
        np.einsum("pk,pk->k", v, covariance[one, two] @ w)  # of variates of variance 1
        for (one, v), (two, w) in combinations(zip(at, weights, strict=True), 2)
    ]
    correlations = np.clip(sum(between) / len(between), -1, 1) if between else np.ones(n_components)
    return CanonicalSpace(
        {name: moments.mean[place] for name, place in places.items()},
        dict(zip(names, weights, strict=True)),
        correlations,
    )


def _along(streams, frames):
    """Moments of the frames that a path puts side by side."""
    rows = np.concatenate([x.take(frames[name], 0) for name, x in streams.items()], axis=1)
    mean = rows.mean(axis=0)
    rows -= mean
    return Moments(len(rows), mean, rows.T @ rows)
