"""Where learning of a hidden Markov model starts: a first guess of the state of every frame."""

import numpy as np

from .emissions import Mixture

__all__ = [
    "cluster",
    "cut_by_chance",
    "cut_evenly",
    "fill_gaps",
    "frames_spent",
    "start_chain",
    "start_emission",
]

MOST_ROWS = 20_000  # from which centres are found
SWEEPS = 30  # of k-means, at most
LARGEST = 1 << 22  # entries of a table of labels that are made at a time


def cut_evenly(offsets, n_states):
    """State of each frame when every sequence is cut into `n_states` parts of equal length."""
    lengths = np.diff(offsets)
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return place * n_states // np.repeat(lengths, lengths)


def cut_by_chance(offsets, n_states, rng):
    """State of each frame when all sequences are cut at the same shares of their length."""
    lengths = np.diff(offsets)
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    cuts = np.sort(rng.random(n_states - 1))
    return np.searchsorted(cuts, (place + 0.5) / np.repeat(lengths, lengths))


def frames_spent(labels, offsets, most):
    """Frames that the state has lasted already in each frame, and less than `most`.

    Parameters
    ----------
    labels : ndarray of int, shape (n_frames,)
    offsets : ndarray of int64, shape (n_sequences + 1,)
    most : int

    Returns
    -------
    ndarray of int, shape (n_frames,)
    """
    enters = np.diff(labels, prepend=labels[0]) != 0
    enters[offsets[:-1]] = True
    rows = np.arange(len(labels))
    return np.minimum(rows - np.maximum.accumulate(np.where(enters, rows, 0)), most - 1)


def fill_gaps(x, present, offsets):
    """Rows with those that are absent filled with the last one shown before them.

    Parameters
    ----------
    x : ndarray of shape (n_frames, n_columns)
    present : ndarray of bool, shape (n_frames,)
    offsets : ndarray of int64, shape (n_sequences + 1,)

    Returns
    -------
    ndarray of shape (n_frames, n_columns)
        Zeros where a sequence has shown none yet.
    """
    if present.all():
        return x
    rows = np.arange(len(x))
    last = np.maximum.accumulate(np.where(present, rows, -1))
    known = last >= np.repeat(offsets[:-1], np.diff(offsets))
    return np.where(known[:, None], x[last], 0.0)


def cluster(rows, n_clusters, rng, known=None):
    """Cluster rows by k-means, from a k-means++ start.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
    n_clusters : int
    rng : numpy.random.Generator
    known : ndarray of int, shape (n_rows,), optional
        Cluster of each row where it is known, else -1: their means are where these clusters start.

    Returns
    -------
    ndarray of int, shape (n_rows,)
        Some clusters may be empty where there are few distinct rows.

    References
    ----------
    Arthur & Vassilvitskii (2007). k-means++: the advantages of careful seeding. SODA.
    """
    some = rows
    if len(rows) > MOST_ROWS:
        some = rows[rng.choice(len(rows), MOST_ROWS, replace=False)]
    centres, least = np.zeros((n_clusters, rows.shape[1])), np.full(len(some), np.inf)
    given = np.unique(known[known >= 0]) if known is not None else np.arange(0)
    for k in [*given, *np.setdiff1d(np.arange(n_clusters), given)]:
        if k in given:
            centres[k] = rows[known == k].mean(axis=0)
        else:
            far = np.isfinite(least).all() and least.any()
            centres[k] = some[rng.choice(len(some), p=least / least.sum() if far else None)]
        least = np.minimum(least, np.square(some - centres[k]).sum(axis=1))
    labels = _nearest(some, centres)
    for _ in range(SWEEPS):
        counts = np.bincount(labels, minlength=n_clusters)[:, None]
        centres = np.where(counts > 0, group_means(some, labels, n_clusters), centres)
        before, labels = labels, _nearest(some, centres)
        if (labels == before).all():
            break
    return _nearest(rows, centres)


def group_means(rows, labels, n_groups):
    """Mean of the rows with each label; zeros where there are none."""
    counts = np.bincount(labels, minlength=n_groups)[:, None]
    return np.eye(n_groups)[labels].T @ rows / np.maximum(counts, 1)


def start_chain(labels, offsets, first, allowed):
    """Distribution of the first state, and transitions, that a guess of the states comes to.

    Each possibility is counted once more than it occurs.

    Parameters
    ----------
    labels : ndarray of int, shape (n_frames,)
    offsets : ndarray of int64, shape (n_sequences + 1,)
    first : ndarray of bool, shape (n_states,)
        States that a sequence can start in.
    allowed : ndarray of bool, shape (n_states, n_states)
        Transitions that are possible.

    Returns
    -------
    start : ndarray of shape (n_states,)
    matrix : ndarray of shape (n_states, n_states)
    """
    begins = np.bincount(labels[offsets[:-1]], minlength=len(first))
    inner = np.delete(np.arange(len(labels)), offsets[:-1])
    counts = np.zeros(allowed.shape)
    np.add.at(counts, (labels[inner - 1], labels[inner]), 1.0)
    start, counts = first * (begins + 1.0), allowed * (counts + 1.0)
    return start / start.sum(), counts / counts.sum(axis=1, keepdims=True)


def start_emission(emission, x, present, labels, prior, rng):
    """The emission that a guess of the states comes to.

    Parameters
    ----------
    emission : object of :mod:`mmgraph.engine.emissions`
        A blank one.
    x : ndarray of shape (n_frames, n_columns)
    present : ndarray of bool, shape (n_frames,)
    labels : ndarray of int, shape (n_frames,)
    prior : Prior
    rng : numpy.random.Generator

    Returns
    -------
    object of the class of `emission`
    """
    x, labels = x[present], labels[present]
    n_groups = len(emission.mean())
    if isinstance(emission, Mixture):
        n_states, n_mix = emission.shares.shape
        parts = np.zeros(len(x), int)
        for k in range(n_states):
            own = np.flatnonzero(labels == k)
            if len(own):
                parts[own] = cluster(x[own], n_mix, rng)
        labels, n_groups = labels * n_mix + parts, n_states * n_mix
    careful = prior._replace(  # one frame more a state, so that none starts as a spike
        mean=prior.mean + 0.1,
        covariance=prior.covariance + 1.0,
        scatter=prior.scatter + 1.0,
        counts=prior.counts + 0.1,
    )
    features = emission.features(x, np.ones(len(x), bool))
    mixture = isinstance(emission, Mixture)
    family = emission.components if mixture else emission
    total, at_once = None, max(1, LARGEST // n_groups)
    for rows in (slice(i, i + at_once) for i in range(0, len(x), at_once)):
        found = family.statistics(features[rows], np.eye(n_groups)[labels[rows]])
        total = found if total is None else tuple(a + b for a, b in zip(total, found, strict=True))
    if mixture:
        counts = np.bincount(labels, minlength=n_groups).reshape(emission.shares.shape)
        total = (counts, *total)
    return emission.maximise(total, careful)


def _nearest(rows, centres):
    score = rows @ centres.T
    score -= 0.5 * np.square(centres).sum(axis=1)
    return score.argmax(axis=1)
