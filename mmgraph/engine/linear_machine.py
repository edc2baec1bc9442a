r"""Support vector machines on features of the rows, in time that is linear in their number.

For weights w and intercept b of decision values :math:`f_i = w^\top x_i + b` they minimise

.. math:: \tfrac12 \lVert w \rVert^2 + \sum_i C_i \, \ell(1 - y_i f_i),
   \qquad \ell(z) = \max(z, 0),

and in regression both :math:`\ell(y_i - f_i - \epsilon)` and :math:`\ell(f_i - y_i - \epsilon)`.
The corner of the loss is rounded by a parabola of some width, so that Newton's method applies; the
rows on the parabola alone make its curvature. The width is then made small (Chapelle 2007, Training
a support vector machine in the primal. Neural Computation 19, 1155-1178).
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .combination import Solution

__all__ = ["linear_support_vectors"]


def linear_support_vectors(features, problem, tol=1e-3, max_iter=30):
    """One machine a column of the targets.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    problem : Problem
    tol : float
        Width of the rounded corner in the end.
    max_iter : int
        Newton steps, at most, at each of the widths.

    Returns
    -------
    Solution
        `dual` holds the weights of the features, of shape (n_features, n_columns); `objective` is
        that of the primal.
    """
    F = np.column_stack([features, np.ones(len(features))])
    C = np.full(len(F), problem.C)
    if problem.sample_weight is not None:
        C *= problem.sample_weight
    weights, objective = np.zeros((F.shape[1], problem.targets.shape[1])), 0.0
    for column, y in enumerate(problem.targets.T):
        if problem.epsilon is None:
            sides = [(y, np.ones(len(y)))]
        else:
            sides = [(1.0, y - problem.epsilon), (-1.0, -y - problem.epsilon)]
        w, widest = weights[:, column], 2 * max(1.0, np.abs(y).max())
        for width in np.geomspace(widest, tol, 1 + int(np.ceil(np.log(widest / tol) / np.log(4)))):
            w, value = _newton(F, C, sides, w, width, max_iter)
        weights[:, column] = w
        objective += value
    return Solution(weights[:-1], float(objective), weights[-1])


def _newton(F, C, sides, w, width, max_iter):
    """Weights, the intercept last, at one width, and the value."""
    value, pull, curvature = _loss(F @ w, C, sides, width)
    value += 0.5 * w[:-1] @ w[:-1]
    for _ in range(max_iter):
        gradient = F.T @ pull
        gradient[:-1] += w[:-1]
        some = np.flatnonzero(curvature)
        part = F[some]
        H = (part * curvature[some, None]).T @ part
        H[np.diag_indices(len(w) - 1)] += 1
        H[-1, -1] = max(H[-1, -1], 1e-3 * C.sum()) * (1 + 1e-10)
        step = -cho_solve(cho_factor(H, lower=True), gradient)
        slope, move = gradient @ step, F @ step
        if -slope <= 1e-10 * value:
            break
        f, size = F @ w, 1.0
        while size > 1e-8:
            there = w + size * step
            found = _loss(f + size * move, C, sides, width)
            new = found[0] + 0.5 * there[:-1] @ there[:-1]
            if new <= value + 1e-4 * size * slope:
                break
            size /= 2
        else:
            break
        w, value, (_, pull, curvature) = there, new, found
    return w, value


def _loss(f, C, sides, width):
    """Sum of the rounded losses, and its first and second derivatives in f."""
    value, first, second = 0.0, np.zeros(len(f)), np.zeros(len(f))
    for sign, most in sides:
        z = np.maximum(most - sign * f, 0)
        bent = z < width
        value += C @ np.where(bent, z * z / (2 * width), z - width / 2)
        first -= C * sign * np.minimum(z / width, 1)
        second += np.where(bent & (z > 0), C / width, 0)
    return value, first, second
