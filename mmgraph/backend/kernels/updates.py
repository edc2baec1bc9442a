"""Steps of the parameters of a network along a gradient, each in one pass over the memory.

All arrays are C-ordered matrices of one shape and floating type, changed in
place; ``gradient`` is only read. Each adds to ``squares``, of shape (n_columns,), the squares of
the new values of every column: the max-norm constraint needs them, and they are at hand here.
"""

import math

import numpy as np
from numba import njit

_scalar = njit(inline="always", error_model="numpy")
_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_scalar
def adam_step(w, g, m, v, b1, a1, b2, a2, pace, root, tiny, l2):
    """Return the new value of an entry and its new running means; ``a`` is one less ``b``."""
    g = g + l2 * w
    m = b1 * m + a1 * g
    v = b2 * v + a2 * (g * g)
    return w - pace * m / (math.sqrt(v) * root + tiny), m, v


@_scalar
def nesterov_step(w, g, v, eta, mu, l2):
    """Return the new value of an entry and its new velocity."""
    change = eta * (g + l2 * w)
    v = mu * v - change
    return w + mu * v - change, v


def adam_factors(real, step, rate, betas, epsilon, decay):
    """Return what :func:`adam_step` takes after the entries, in the floating type `real`."""
    b1, b2 = betas
    pace, root = rate / (1 - b1**step), 1 / np.sqrt(1 - b2**step)
    return tuple(map(real, (b1, 1 - b1, b2, 1 - b2, pace, root, epsilon, decay)))


@_loop
def adam(value, gradient, moments, step, rate, betas, epsilon, decay, squares):
    """Adam: running means of the gradient and of its square, freed from their start at 0.

    Parameters
    ----------
    value, gradient : ndarray of shape (n, m)
    moments : tuple of two ndarrays of shape (n, m)
        Running means of the gradient and of its square.
    step : int
        Number of this step, from 1.
    rate : float
    betas : tuple of two floats
        Share of the last running means that the next ones keep.
    epsilon : float
    decay : float
        Weight decay, added to the gradient.
    squares : ndarray of shape (m,)

    References
    ----------
    Kingma & Ba (2015). Adam: a method for stochastic optimization. ICLR, algorithm 1.
    """
    first, second = moments
    real = value.dtype.type
    b1, b2, l2, tiny = real(betas[0]), real(betas[1]), real(decay), real(epsilon)
    a1, a2 = real(1 - betas[0]), real(1 - betas[1])
    pace = real(rate / (1 - betas[0] ** step))
    root = real(1 / np.sqrt(1 - betas[1] ** step))
    for i in range(value.shape[0]):
        for j in range(value.shape[1]):
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
            first[i, j], second[i, j], value[i, j] = m, v, w
            squares[j] += w * w


@_loop
def nesterov(value, gradient, velocity, rate, momentum, decay, squares):
    """Descent with Nesterov's momentum.

    Parameters
    ----------
    value, gradient, velocity : ndarray of shape (n, m)
    rate : float
    momentum : float
        Share of the last step that the next one keeps.
    decay : float
        Weight decay, added to the gradient.
    squares : ndarray of shape (m,)

    References
    ----------
    Sutskever, Martens, Dahl & Hinton (2013). On the importance of initialization and momentum in
    deep learning. ICML, eq. 3-4, in the parameters that the gradient is taken at.
    """
    real = value.dtype.type
    eta, mu, l2 = real(rate), real(momentum), real(decay)
    for i in range(value.shape[0]):
        for j in range(value.shape[1]):
            w, v = nesterov_step(value[i, j], gradient[i, j], velocity[i, j], eta, mu, l2)
            velocity[i, j], value[i, j] = v, w
            squares[j] += w * w
