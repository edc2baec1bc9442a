"""Recursions along a chain of units, on logarithms of probabilities.

A known order of units can speak against the frames so strongly, for a while, that scaled
probabilities of the only way to the end vanish. So these ones keep logarithms. A transition is a
band, as in :mod:`.markov`: what state j gets comes from the states j - shifts[d].
"""

import math

import numpy as np
from numba import njit

__all__ = ["smooth"]

_loop = njit(cache=True, nogil=True, error_model="numpy")

NOTHING = -40.0  # logarithm of a share that is left out of a sum


def smooth(log_likelihood, log_start, shifts, log_values):
    """Distribution of the state of each frame of one sequence.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_frames, n_states), float64
        Of each frame under each state. Overwritten by the distributions.
    log_start : ndarray of shape (n_states,)
    shifts : ndarray of int64, shape (n_shifts,)
    log_values : ndarray of shape (n_shifts, n_states)
        Logarithm of the probability to move into the column's state by the row's shift.

    Returns
    -------
    float
        Log-likelihood of the sequence; -inf where it is impossible, and then nothing is written.
    """
    return _smooth(log_likelihood, log_start, shifts, log_values, np.empty_like(log_likelihood))


@_loop
def _total(terms, n):
    """Logarithm of the sum of the first exponentials."""
    peak = -np.inf
    for d in range(n):
        peak = max(peak, terms[d])
    if peak == -np.inf:
        return peak
    total = 0.0
    for d in range(n):
        if terms[d] - peak > NOTHING:
            total += math.exp(terms[d] - peak)
    return peak + math.log(total)


@_loop
def _smooth(frames, log_start, shifts, values, ahead):
    n_frames, n_states = frames.shape
    terms = np.empty(max(len(shifts), n_states))
    ahead[0] = log_start + frames[0]
    for t in range(1, n_frames):
        for j in range(n_states):
            n = 0
            for d in range(len(shifts)):
                i = j - shifts[d]
                if 0 <= i < n_states and values[d, j] > -np.inf and ahead[t - 1, i] > -np.inf:
                    terms[n] = ahead[t - 1, i] + values[d, j]
                    n += 1
            ahead[t, j] = _total(terms, n) + frames[t, j]
    terms[:n_states] = ahead[-1]
    total = _total(terms, n_states)
    if total == -np.inf:
        return total
    behind, seen = np.zeros(n_states), np.empty(n_states)
    for t in range(n_frames - 1, -1, -1):
        for j in range(n_states):
            seen[j] = frames[t, j] + behind[j]
            frames[t, j] = math.exp(ahead[t, j] + behind[j] - total)
        for i in range(n_states):
            n = 0
            for d in range(len(shifts)):
                j = i + shifts[d]
                if 0 <= j < n_states and values[d, j] > -np.inf and seen[j] > -np.inf:
                    terms[n] = values[d, j] + seen[j]
                    n += 1
            behind[i] = _total(terms, n)
    return total
