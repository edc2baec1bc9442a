"""One step of a weight matrix along its centred gradient: the CPU loop.

A step reads and writes matrices of the size of the weights, which costs memory traffic and next to
no arithmetic, so everything that happens to an entry happens in one pass.
"""

import numpy as np
from numba import njit

from .arguments import operands, outputs, scalars, vector
from .threads import over_rows

_scalar = njit(inline="always", error_model="numpy")
_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


# --- public functions -----------------------------------------------------------------------------


def ascend(weights, velocity, positive, negative, lower, upper, rates, moment, decay):
    """Advance the velocity in place and return the weights moved by it.

    With (c0, d0) = `lower`, (c1, d1) = `upper` and (a, b) = `rates`, the velocity becomes

        moment velocity + a positive - b negative - c0 d1' - d0 c1' - decay weights.

    Parameters
    ----------
    weights, velocity, positive, negative : ndarray of shape (n, m), float32 or float64
        Positive and negative are the products of the statistics of data and of chains.
    lower, upper : pairs of array-like of shape (n,), (m,)
        The offset of a layer, and the rate times the difference of its means.
    rates : pair of float
    moment, decay : float

    Returns
    -------
    ndarray of shape (n, m)
    """
    (weights,) = operands(np, weights)
    n, m = weights.shape
    outputs(np, velocity, weights.shape, weights.dtype, 1)
    (new,) = outputs(np, None, weights.shape, weights.dtype, 1)
    (positive,), (negative,) = operands(np, positive), operands(np, negative)
    low = [vector(np, values, n, weights.dtype) for values in lower]
    up = [vector(np, values, m, weights.dtype) for values in upper]
    over_rows(
        _ascend,
        (weights, velocity, positive, negative, new, *low),
        *up,
        *scalars(weights.dtype, *rates, moment, decay),
        n_entries=weights.size,
    )
    return new


# --- scalar functions, of CPU and GPU -------------------------------------------------------------


@_scalar
def advance(w, v, p, n, outer, a, b, moment, decay):
    """Return the new velocity of an entry; `outer` is its part of the outer products."""
    return moment * v + (a * p - b * n - outer - decay * w)


# --- the CPU loops --------------------------------------------------------------------------------


@_loop
def _ascend(weights, velocity, positive, negative, new, c0, d0, c1, d1, a, b, moment, decay):
    columns = len(c1)
    for i in range(len(weights)):
        w, v, p, n, moved = weights[i], velocity[i], positive[i], negative[i], new[i]
        c, d = c0[i], d0[i]
        for j in range(columns):
            outer = c * d1[j] + d * c1[j]
            v[j] = advance(w[j], v[j], p[j], n[j], outer, a, b, moment, decay)
            moved[j] = w[j] + v[j]
