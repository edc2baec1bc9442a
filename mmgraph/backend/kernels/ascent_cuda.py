"""The GPU twin of `ascent`: the same function on CuPy arrays, over the same scalar function.

Like `sampling_cuda` it needs neither CuPy nor a driver to be imported and simulated.
"""

from numba import cuda

from ..arrays import namespace
from .ascent import advance, arrange
from .launch import per_counter


def ascend(weights, velocity, positive, negative, lower, upper, rates, moment, decay):
    """Advance the velocity and return the weights moved by it; see `ascent.ascend`."""
    matrices, low, up, factors = arrange(
        namespace(weights),
        *(weights, velocity, positive, negative, lower, upper),
        (*rates, moment, decay),
    )
    per_counter(_ascend, weights.shape, *matrices, *low, *up, *factors)
    return positive


@cuda.jit
def _ascend(weights, velocity, positive, negative, c0, d0, c1, d1, a, b, moment, decay):
    c, first = cuda.grid(2)
    columns = weights.shape[1]
    quarter = (columns + 3) // 4
    if c < quarter:
        for i in range(first, weights.shape[0], cuda.gridsize(2)[1]):
            for j in range(c, columns, quarter):
                w, v, p, n = weights[i, j], velocity[i, j], positive[i, j], negative[i, j]
                outer = c0[i] * d1[j] + d0[i] * c1[j]
                v = advance(w, v, p, n, outer, a, b, moment, decay)
                velocity[i, j] = v
                positive[i, j] = w + v
