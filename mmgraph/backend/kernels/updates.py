"""Steps of the parameters of a network along a gradient, each in one pass over the memory.

They run on the CPU. All arrays are C-ordered matrices of one shape and floating type, changed in
place; ``gradient`` is only read. Each adds to ``squares``, of shape (n_columns,), the squares of
the new values of every column: the max-norm constraint needs them, and they are at hand here.
"""

import numpy as np
from numba import njit

_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


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
            g = gradient[i, j] + l2 * value[i, j]
            m = b1 * first[i, j] + a1 * g
            v = b2 * second[i, j] + a2 * (g * g)
            w = value[i, j] - pace * m / (np.sqrt(v) * root + tiny)
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
            change = eta * (gradient[i, j] + l2 * value[i, j])
            v = mu * velocity[i, j] - change
            w = value[i, j] + mu * v - change
            velocity[i, j], value[i, j] = v, w
            squares[j] += w * w
