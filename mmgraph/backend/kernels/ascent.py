"""One step of a weight matrix along its centred gradient: the scalar function and the CPU loop.

A step is memory traffic and next to no arithmetic, so all that happens to an entry happens in one
pass over the matrices.
"""

import numpy as np
from numba import njit

from .arguments import operands, outputs, vector
from .threads import over_rows

_scalar = njit(inline="always", error_model="numpy")
_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


def ascend(weights, velocity, positive, negative, lower, upper, rates, moment, decay):
    """Advance the velocity in place and return the weights moved by it, in place of `positive`.

    With (c0, d0) = `lower`, (c1, d1) = `upper` and (a, b) = `rates`, the velocity becomes

        moment velocity + a positive - b negative - c0 d1' - d0 c1' - decay weights.

    Parameters
    ----------
    weights, velocity, positive, negative : ndarray of shape (n, m), float32 or float64
        Positive and negative are the products of the statistics of data and of chains. Those that
        change, velocity and positive, are C-contiguous.
    lower, upper : pairs of array-like of shape (n,) and (m,)
        Offsets of a layer, and the rate times the difference of its means.
    rates : pair of float
    moment, decay : float

    Returns
    -------
    ndarray of shape (n, m)
    """
    matrices, low, up, factors = arrange(
        np, weights, velocity, positive, negative, lower, upper, (*rates, moment, decay)
    )
    over_rows(_ascend, (*matrices, *low), *up, *factors, n_entries=weights.size)
    return positive


def arrange(xp, weights, velocity, positive, negative, lower, upper, factors):
    """Return the arguments of a loop, checked: matrices, vectors by row and by column, factors."""
    (weights,), (negative,) = operands(xp, weights), operands(xp, negative)
    n, m = weights.shape
    if negative.shape != (n, m) or negative.dtype != weights.dtype:
        raise ValueError("weights and negative must have one shape and dtype.")
    velocity, positive = outputs(xp, (velocity, positive), (n, m), weights.dtype, 2)
    low = [vector(xp, values, n, weights.dtype) for values in lower]
    up = [vector(xp, values, m, weights.dtype) for values in upper]
    factors = [weights.dtype.type(factor) for factor in factors]
    return (weights, velocity, positive, negative), low, up, factors


@_scalar
def advance(w, v, p, n, outer, a, b, moment, decay):
    """Return the new velocity of an entry; `outer` is its part of the outer products."""
    return moment * v + (a * p - b * n - outer - decay * w)


@_loop
def _ascend(weights, velocity, positive, negative, c0, d0, c1, d1, a, b, moment, decay):
    columns = len(c1)
    for i in range(len(weights)):
        w, v, p, n = weights[i], velocity[i], positive[i], negative[i]
        c, d = c0[i], d0[i]
        for j in range(columns):
            outer = c * d1[j] + d * c1[j]
            v[j] = advance(w[j], v[j], p[j], n[j], outer, a, b, moment, decay)
            p[j] = w[j] + v[j]
