"""Sparse canonical variates: the penalised matrix decomposition.

Unit vectors u_i with a bounded sum of absolute values maximise the sum over pairs of modalities of
u_i' K_ij u_j, K_ij being the correlations of standardised columns (Witten, Tibshirani & Hastie
2009; Witten & Tibshirani 2009). K is never formed: it is applied through the rows.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace

__all__ = ["Columns", "Sparse", "columns_of", "decompose", "soft_unit"]

START = 100  # sweeps without a penalty, for where to start
BISECTIONS = 60


class Columns(NamedTuple):
    """Standardised columns of a modality, as an operator; rows that lack it are zero.

    Attributes
    ----------
    block : ndarray or CSR array of shape (n_rows, n_columns)
    shown : ndarray of float, shape (n_rows,)
        1 where the modality is shown.
    mean, scale : ndarray of shape (n_columns,)
        What is still to be taken off the block, and what to divide it by.
    """

    block: np.ndarray
    shown: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def forward(self, u):
        """The columns times a vector, or times some."""
        u = (u.T / self.scale).T
        shown = self.shown if u.ndim == 1 else self.shown[:, None]
        return self.block @ u - shown * (self.mean @ u)

    def backward(self, t):
        """Their transpose times a vector, or times some, that are zero where nothing is shown."""
        xp = namespace(t)
        total = t.sum(axis=0)
        offset = self.mean * total if t.ndim == 1 else xp.outer(self.mean, total)
        return ((self.block.T @ t - offset).T / self.scale).T


def columns_of(block, shown, mean, scale):
    """Standardise columns; those of `scale` 0 become zero. CSR blocks stay as they are inside.

    Parameters
    ----------
    block : ndarray or CSR array of shape (n_rows, n_columns)
    shown : ndarray of bool, shape (n_rows,)
    mean, scale : ndarray of shape (n_columns,)

    Returns
    -------
    Columns
    """
    xp = namespace(mean)
    divisor = xp.where(scale > 0, scale, np.inf)
    if sp.issparse(block):
        block = block.copy()
        block.data[~np.repeat(shown, np.diff(block.indptr))] = 0
        return Columns(block, shown.astype(float), mean, divisor)
    block = xp.where(shown[:, None], (block - mean) / divisor, 0.0)
    nothing = xp.zeros(len(mean))
    return Columns(block, shown.astype(float), nothing, nothing + 1)


class Sparse(NamedTuple):
    """Sparse components.

    Attributes
    ----------
    vectors : list of ndarray of shape (n_columns, n_components)
        The sparse unit vectors u of each modality, of columns freed of earlier variates.
    weights : list of ndarray of shape (n_columns, n_components)
        What makes the same variates of the columns as they are, with unit length over the rows.
    variates : list of ndarray of shape (n_rows, n_components)
    n_iter : int
        Most sweeps that a component took.
    """

    vectors: list
    weights: list
    variates: list
    n_iter: int


def decompose(columns, bounds, n_components, *, max_iter, tol):
    """Sparse vectors of each modality, component by component, by alternating maximisation.

    Before the next component the columns of each modality are freed of its variate, as in partial
    least squares (Lê Cao et al. 2009): the variates of a modality are uncorrelated.

    Parameters
    ----------
    columns : sequence of Columns
        Of one modality its variance is decomposed, of more the correlations between them.
    bounds : sequence of float
        Largest sum of absolute values of the unit vector of each modality, at least 1.
    n_components : int
        Fewer are found where nothing is left to explain.
    max_iter : int
        Most sweeps for a component.
    tol : float
        Largest change of an entry at which it is settled.

    Returns
    -------
    Sparse
    """
    xp = namespace(columns[0].mean)
    m = len(columns)
    counts = [[one.shown @ two.shown for two in columns] for one in columns]
    pairs = [[j for j in range(m) if j != i] or [i] for i in range(m)]
    found = [xp.zeros((len(c.scale), 0)) for c in columns]
    weights = list(found)
    variates = [xp.zeros((len(c.shown), 0)) for c in columns]
    rng = np.random.default_rng(0)
    most, first = 0, None

    def free(i, t):
        return t - variates[i] @ (variates[i].T @ t)

    def towards(i, u):
        t = sum(free(j, columns[j].forward(u[j])) / counts[i][j] for j in pairs[i])
        return columns[i].backward(free(i, columns[i].shown * t))

    for _ in range(n_components):
        u = [soft_unit(xp.asarray(rng.normal(size=len(c.scale))), np.inf) for c in columns]
        for limits, sweeps in (([np.inf] * m, START), (bounds, max_iter)):
            n_sweeps, settled = 0, False
            while n_sweeps < sweeps and not settled:
                n_sweeps += 1
                before = list(u)
                for i in range(m):
                    u[i] = soft_unit(towards(i, u), limits[i])
                steps = [xp.abs(a - b).max() for a, b in zip(u, before, strict=True)]
                settled = bool(xp.stack(steps).max() <= tol)
        value = sum(u[i] @ towards(i, u) for i in range(m))
        first = value if first is None else first
        if not value > 1e-10 * first:
            break
        most = max(most, n_sweeps)
        for i, c in enumerate(columns):
            whole = c.forward(u[i])
            along = variates[i].T @ whole
            rest = whole - variates[i] @ along
            length = xp.linalg.norm(rest)
            length = xp.where(length > 0, length, np.inf)
            weights[i] = xp.column_stack([weights[i], (u[i] - weights[i] @ along) / length])
            variates[i] = xp.column_stack([variates[i], rest / length])
            found[i] = xp.column_stack([found[i], u[i]])
    return Sparse(found, weights, variates, most)


def soft_unit(a, bound):
    """The unit vector of the largest product with a whose absolute values sum to at most `bound`.

    It is a, soft-thresholded by as much as it takes, and scaled (lemma 2.2 of Witten et al. 2009).

    Parameters
    ----------
    a : ndarray of shape (p,)
    bound : float
        At least 1.

    Returns
    -------
    ndarray of shape (p,)
        Zero if a is.
    """
    xp = namespace(a)
    largest = xp.abs(a).max()
    a = a / xp.where(largest > 0, largest, 1.0)

    def unit(threshold):
        u = xp.sign(a) * xp.maximum(xp.abs(a) - threshold, 0.0)
        length = xp.linalg.norm(u)
        return u / (length + (length == 0))

    found = unit(0.0)
    if bound >= len(a) ** 0.5 or float(xp.abs(found).sum()) <= bound:
        return found
    low, width = 0.0, 1.0
    for _ in range(BISECTIONS):  # no number of it is looked at, so that a GPU need not wait
        width /= 2
        low = low + width * (xp.abs(unit(low + width)).sum() > bound)
    return unit(low + width * (low + width < 1))
