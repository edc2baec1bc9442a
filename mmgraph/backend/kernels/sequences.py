"""Recursions over the frames of many sequences, arc by arc, on logarithms: the CPU loops.

Frames of all sequences stand one after another; ``offsets`` says where each sequence starts, and
where the last one ends. A transition is given by its :class:`Arcs`. Nothing vanishes on logarithms,
so these take any chain. On the CPU, :mod:`.markov` is quicker; this is what its users do on a GPU,
where the twin of this module works on all sequences at once.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from . import arcs as single
from . import markov


class Arcs(NamedTuple):
    """The transitions that are possible, by target and by source.

    Attributes
    ----------
    sources, targets : array of int32, shape (n_arcs,)
        States; targets ascend.
    values : array of shape (n_arcs,)
        Logarithms of the probabilities.
    entering, leaving : array of int32, shape (n_states + 1,)
        First arc of each target, and of each source in the order by source.
    order : array of int64, shape (n_arcs,)
        Numbers of the arcs, by source.
    """

    sources: np.ndarray
    targets: np.ndarray
    values: np.ndarray
    entering: np.ndarray
    leaving: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, sources, targets, values, n_states):
        """From arcs in the order of their targets."""
        order, numbers = np.argsort(sources, kind="stable"), np.arange(n_states + 1)
        entering = np.searchsorted(targets, numbers)
        leaving = np.searchsorted(sources[order], numbers)
        whole = (array.astype(np.int32) for array in (sources, targets, entering, leaving))
        sources, targets, entering, leaving = whole
        return cls(sources, targets, values, entering, leaving, order)


def forward(log_likelihood, offsets, log_start, arcs):
    """Filter: the distribution of the state of each frame given the frames up to it.

    Parameters
    ----------
    log_likelihood : array of shape (n_frames, n_states)
        Of each frame under each state; -inf where it is impossible.
    offsets : array of int64, shape (n_sequences + 1,)
    log_start : array of shape (n_sequences, n_states) or (1, n_states)
        Logarithm of the distribution of the first state of each sequence, or of all.
    arcs : Arcs

    Returns
    -------
    filtered : array of shape (n_frames, n_states)
        Logarithms.
    log_scale : array of float64, shape (n_frames,)
        Log-density of each frame given those before it in its sequence. -inf where the frame is
        impossible; it is then passed over as if it had not been observed.
    """
    filtered, log_scale = np.empty_like(log_likelihood), np.empty(len(log_likelihood))
    for s, own in enumerate(_spans(offsets)):
        frames, entered = log_likelihood[own].astype(float), log_start[s % len(log_start)]
        found = single.forward(frames, entered.astype(float), _in_float64(arcs))
        filtered[own], log_scale[own] = found
    return filtered, log_scale


def backward(log_likelihood, filtered, log_scale, offsets, arcs, after=None):
    """Smooth: the distribution of the state of each frame given its whole sequence.

    Parameters
    ----------
    log_likelihood : array of shape (n_frames, n_states)
        Overwritten by the distributions.
    filtered, log_scale : array
        From :func:`forward`.
    offsets : array of int64, shape (n_sequences + 1,)
    arcs : Arcs
    after : array of shape (n_sequences, n_states), optional
        Logarithm of what the frames after the last one say about the state that follows it,
        relative to their density; NaN where there are none.

    Returns
    -------
    array of float64, shape (n_arcs,)
        Expected number of times that each arc is taken, the steps to the frames after the last ones
        included.
    """
    counts = np.zeros(len(arcs.sources))
    for s, own in enumerate(_spans(offsets)):
        frames, before = (array[own].astype(float) for array in (log_likelihood, filtered))
        more = None if after is None or np.isnan(after[s, 0]) else after[s].astype(float)
        counts += single.backward(frames, before, log_scale[own], more, _in_float64(arcs))[0]
        log_likelihood[own] = frames
    return counts


def operators(log_likelihood, offsets, arcs):
    """What sequences make of any distribution of their first state.

    Parameters
    ----------
    log_likelihood : array of shape (n_frames, n_states)
    offsets : array of int64, shape (n_sequences + 1,)
    arcs : Arcs

    Returns
    -------
    array of float64, shape (n_sequences, n_states, n_states)
        Log-density of the frames of a sequence together with the last state, the column, given the
        first state, the row.
    """
    n = log_likelihood.shape[1]
    found = np.empty((len(offsets) - 1, n, n))
    for s, own in enumerate(_spans(offsets)):
        frames = log_likelihood[own].astype(float)
        for j in range(n):
            entered = np.where(np.arange(n) == j, 0.0, -np.inf)
            filtered, log_scale = single.forward(frames, entered, _in_float64(arcs))
            found[s, j] = filtered[-1] + log_scale.sum()  # -inf where a frame is impossible
    return found


def best_path(log_likelihood, offsets, log_start, arcs, path):
    """Find the most probable states of each sequence (Viterbi).

    Parameters
    ----------
    log_likelihood : array of shape (n_frames, n_states)
    offsets : array of int64, shape (n_sequences + 1,)
    log_start : array of shape (1, n_states)
    arcs : Arcs
    path : array of int32, shape (n_frames,)
        Written to. Of equally good states the first.

    Returns
    -------
    array of float64, shape (n_sequences,)
        Log-probability of each sequence and its path; -inf where it is impossible.
    """
    enter = np.full((log_start.shape[1],) * 2, -np.inf, log_likelihood.dtype)
    enter[arcs.targets, arcs.sources] = arcs.values
    log_start = log_start[0].astype(log_likelihood.dtype)
    return markov.best_path(log_likelihood, offsets, log_start, enter, path)


def draw_paths(filtered, offsets, arcs, uniforms, paths):
    """Draw the states of each sequence from their distribution given it.

    Parameters
    ----------
    filtered : array of shape (n_frames, n_states)
        From :func:`forward`.
    offsets : array of int64, shape (n_sequences + 1,)
    arcs : Arcs
    uniforms : array of shape (n_draws, n_frames)
    paths : array of int32, shape (n_draws, n_frames)
        Written to.
    """
    for own in _spans(offsets):
        before = filtered[own].astype(np.float64)
        single.draw_paths(before, _in_float64(arcs), uniforms[:, own], paths[:, own])


def _spans(offsets):
    return [slice(a, b) for a, b in pairwise(offsets)]


def _in_float64(arcs):
    return arcs.sources, arcs.targets, arcs.values.astype(np.float64)
