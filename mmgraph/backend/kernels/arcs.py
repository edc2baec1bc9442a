"""Recursions over the frames of one sequence, arc by arc, on logarithms of probabilities.

The frames of a sequence can speak against the only way to its end so strongly, for a while, that
scaled probabilities of it vanish. Logarithms do not. A transition is given by its arcs: arrays of
their sources, of their targets in ascending order, and of the logarithms of their probabilities.
They are slower than the recursions of :mod:`.markov`, and take any transition.
"""

import math

import numpy as np
from numba import njit

__all__ = ["backward", "draw_paths", "forward"]

_loop = njit(cache=True, nogil=True, error_model="numpy")

NOTHING = -40.0  # logarithm of a share that is left out of a sum


# --- public functions -----------------------------------------------------------------------------


def forward(log_likelihood, entered, arcs):
    """Filter: the distribution of the state of each frame given the frames up to it.

    Parameters
    ----------
    log_likelihood : ndarray of float64, shape (n_frames, n_states)
    entered : ndarray of float64, shape (n_states,)
        Logarithm of the distribution of the first state. Overwritten by that of the state after
        the last frame.
    arcs : tuple of ndarray of shape (n_arcs,)
        Sources, targets and logarithms of probabilities.

    Returns
    -------
    filtered : ndarray of shape (n_frames, n_states)
        Logarithms.
    log_scale : ndarray of shape (n_frames,)
        Log-density of each frame given those before it. -inf where the frame is impossible; it is
        then passed over as if it had not been observed.
    """
    filtered, log_scale = np.empty_like(log_likelihood), np.empty(len(log_likelihood))
    _forward(log_likelihood, entered, *arcs, filtered, log_scale)
    return filtered, log_scale


def backward(log_likelihood, filtered, log_scale, after, arcs):
    """Smooth: the distribution of the state of each frame given its whole sequence.

    Parameters
    ----------
    log_likelihood : ndarray of float64, shape (n_frames, n_states)
        Overwritten by the distributions.
    filtered, log_scale : ndarray
        From :func:`forward`.
    after : ndarray of float64, shape (n_states,), or None
        What the frames after the last one say about the state that follows it, relative to their
        density; None: there are none.
    arcs : tuple of ndarray of shape (n_arcs,)

    Returns
    -------
    counts : ndarray of shape (n_arcs,)
        Expected number of times that each arc is taken, the step to the frame after the last one
        included.
    after : ndarray of shape (n_states,)
        The same of the first frame and those after it.
    """
    counts, seen = np.zeros(len(arcs[0])), np.zeros(log_likelihood.shape[1])
    if after is not None:
        seen[:] = after
    _backward(log_likelihood, filtered, log_scale, seen, after is not None, *arcs, counts)
    return counts, seen


def draw_paths(filtered, arcs, uniforms, paths):
    """Draw the states of a sequence from their distribution given it.

    Parameters
    ----------
    filtered : ndarray of shape (n_frames, n_states)
        From :func:`forward`.
    arcs : tuple of ndarray of shape (n_arcs,)
    uniforms : ndarray of shape (n_draws, n_frames)
    paths : ndarray of int32, shape (n_draws, n_frames)
        Written to.
    """
    bounds = np.searchsorted(arcs[1], np.arange(filtered.shape[1] + 1))
    _draw_paths(filtered, arcs[0], bounds, arcs[2], uniforms, paths)


# --- the loops ------------------------------------------------------------------------------------


@_loop
def _total(terms):
    """Logarithm of the sum of exponentials."""
    peak = -np.inf
    for term in terms:
        peak = max(peak, term)
    if peak == -np.inf:
        return peak
    total = 0.0
    for term in terms:
        if term - peak > NOTHING:
            total += math.exp(term - peak)
    return peak + math.log(total)


@_loop
def _flow(v, begins, ends, values, out, peak):
    """For each state the sum over the arcs that end in it, on logarithms."""
    peak[:] = -np.inf
    for a in range(len(values)):
        term = v[begins[a]] + values[a]
        peak[ends[a]] = max(peak[ends[a]], term)
    out[:] = 0
    for a in range(len(values)):
        term = v[begins[a]] + values[a] - peak[ends[a]]
        if term > NOTHING:  # not so where all are -inf
            out[ends[a]] += math.exp(term)
    for j in range(len(out)):
        out[j] = peak[j] + math.log(out[j]) if peak[j] > -np.inf else -np.inf


@_loop
def _forward(frames, entered, sources, targets, values, filtered, log_scale):
    work = np.empty_like(entered)
    for t in range(len(frames)):
        row = filtered[t]
        for j in range(len(row)):
            row[j] = entered[j] + frames[t, j]
        log_scale[t] = _total(row)
        for j in range(len(row)):
            row[j] = row[j] - log_scale[t] if log_scale[t] > -np.inf else entered[j]
        _flow(row, sources, targets, values, entered, work)


@_loop
def _backward(frames, filtered, log_scale, seen, more, sources, targets, values, counts):
    n_frames, n_states = frames.shape
    behind, work = np.zeros(n_states), np.empty(n_states)
    for t in range(n_frames - 1, -1, -1):
        if more or t < n_frames - 1:
            for a in range(len(values)):
                counts[a] += math.exp(filtered[t, sources[a]] + values[a] + seen[targets[a]])
            _flow(seen, targets, sources, values, behind, work)
        for j in range(n_states):
            seen[j] = behind[j]
            if log_scale[t] > -np.inf:
                seen[j] += frames[t, j] - log_scale[t]
            frames[t, j] = math.exp(filtered[t, j] + behind[j])


@_loop
def _pick(terms, uniform):
    """First index whose cumulative weight, of which the logarithms are given, exceeds a share."""
    total = _total(terms)
    reached, found = 0.0, 0
    for i in range(len(terms)):
        if terms[i] - total > NOTHING:
            found = i
            reached += math.exp(terms[i] - total)
            if reached > uniform:
                break
    return found


@_loop
def _draw_paths(filtered, sources, bounds, values, uniforms, paths):
    last = len(filtered) - 1
    for d in range(len(paths)):
        state = _pick(filtered[last], uniforms[d, last])
        paths[d, last] = state
        for t in range(last - 1, -1, -1):
            first, end = bounds[state], bounds[state + 1]
            terms = values[first:end].copy()
            for a in range(first, end):
                terms[a - first] += filtered[t, sources[a]]
            state = sources[first + _pick(terms, uniforms[d, t])]
            paths[d, t] = state
