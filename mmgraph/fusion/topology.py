"""Which states of a chain can follow each other, as users say it."""

import numpy as np

from ..parameters import choose

__all__ = ["possible_moves"]


def possible_moves(topology, n):
    """First states and transitions that are possible, and the matrix where there is one."""
    if isinstance(topology, str):
        choose("topology", topology, ["ergodic", "left-right"])
        if topology == "ergodic":
            return np.ones(n, bool), np.ones((n, n), bool), None
        return np.arange(n) == 0, np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool), None
    matrix = np.asarray(topology, float)
    sums = matrix.sum(axis=1) if matrix.shape == (n, n) else np.zeros(1)
    if not (np.isfinite(matrix).all() and (matrix >= 0).all() and np.allclose(sums, 1)):
        raise ValueError(
            f"topology must be 'ergodic', 'left-right' or a matrix of shape ({n}, {n}) with "
            f"rows of probabilities that sum to 1; got an array of shape {matrix.shape}."
        )
    return np.ones(n, bool), matrix > 0, matrix
