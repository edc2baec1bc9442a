"""The GPU twin of `updates`: the same functions on CuPy arrays, over the same scalar functions."""

from numba import cuda

from .launch import per_counter
from .updates import adam_factors, adam_step, nesterov_step


def adam(value, gradient, moments, step, rate, betas, epsilon, decay, squares):
    """Adam; see `updates.adam`."""
    factors = adam_factors(value.dtype.type, step, rate, betas, epsilon, decay)
    per_counter(_adam, value.shape, value, gradient, *moments, *factors)
    squares += (value * value).sum(axis=0)


def nesterov(value, gradient, velocity, rate, momentum, decay, squares):
    """Descent with Nesterov's momentum; see `updates.nesterov`."""
    factors = map(value.dtype.type, (rate, momentum, decay))
    per_counter(_nesterov, value.shape, value, gradient, velocity, *factors)
    squares += (value * value).sum(axis=0)


@cuda.jit
def _adam(value, gradient, first, second, b1, a1, b2, a2, pace, root, tiny, l2):
    c, start = cuda.grid(2)
    columns = value.shape[1]
    quarter = (columns + 3) // 4
    if c < quarter:
        for i in range(start, value.shape[0], cuda.gridsize(2)[1]):
            for j in range(c, columns, quarter):
                w, m, v = adam_step(
                    value[i, j],
                    gradient[i, j],
                    first[i, j],
                    second[i, j],
                    b1,
                    a1,
                    b2,
                    a2,
                    pace,
                    root,
                    tiny,
                    l2,
                )
                value[i, j], first[i, j], second[i, j] = w, m, v


@cuda.jit
def _nesterov(value, gradient, velocity, eta, mu, l2):
    c, start = cuda.grid(2)
    columns = value.shape[1]
    quarter = (columns + 3) // 4
    if c < quarter:
        for i in range(start, value.shape[0], cuda.gridsize(2)[1]):
            for j in range(c, columns, quarter):
                w, v = nesterov_step(value[i, j], gradient[i, j], velocity[i, j], eta, mu, l2)
                value[i, j], velocity[i, j] = w, v
