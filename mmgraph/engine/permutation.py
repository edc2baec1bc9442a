"""A permutation test of canonical correlations, valid for every component.

Later components are tested on what the earlier ones leave (Winkler et al. 2020): each modality is
freed of its own earlier variates, and then the rows of all modalities but the first are shuffled.
P-values go on with the largest so far, so that the tests stop at the first component that could be
chance.
"""

from typing import NamedTuple

import numpy as np

from ..backend.arrays import namespace, to_numpy
from .correlation import shrink
from .spectral import whitener

__all__ = ["STATISTICS", "PermutationTest", "permutation_test"]

ENTRIES = 1 << 23  # of the shuffled rows that are held at a time


class PermutationTest(NamedTuple):
    """The result of a permutation test.

    Attributes
    ----------
    statistics : ndarray of shape (n_components,)
        Of the rows as they are.
    p_values : ndarray of shape (n_components,)
        Step-down p-values, which do not fall from one component to the next.
    null : ndarray of shape (n_permutations, n_components)
        The statistics of shuffled rows.
    """

    statistics: np.ndarray
    p_values: np.ndarray
    null: np.ndarray


def permutation_test(blocks, weights, n_permutations, rng, *, shrinkage, widths, statistic="wilks"):
    """Test whether each component and those after it are more than chance.

    Parameters
    ----------
    blocks : sequence of ndarray of shape (n_rows, p_i)
        Centred columns of each modality, or coordinates of them.
    weights : sequence of ndarray of shape (p_i, n_components)
        Of the canonical variates.
    n_permutations : int
    rng : numpy.random.Generator
    shrinkage : sequence of float
        Of the covariance of each modality.
    widths : sequence of int
        Number of columns of each modality.
    statistic : {"wilks", "roy"}
        What is compared.

    Returns
    -------
    PermutationTest
    """
    xp = namespace(*blocks)
    n, m = len(blocks[0]), len(blocks)
    measure = STATISTICS[statistic]
    n_components = min(w.shape[1] for w in weights)
    by_modality = [
        _whitened_rests(*of, n_components)
        for of in zip(blocks, weights, shrinkage, widths, strict=True)
    ]
    by_component = list(zip(*by_modality, strict=True))
    statistics = xp.stack([measure(_correlations(rests, None))[0] for rests in by_component])
    null = xp.empty((n_permutations, n_components))
    most = max(rest.shape[1] for rests in by_component for rest in rests)
    at_once = max(1, ENTRIES // (n * most * (m - 1)))
    for start in range(0, n_permutations, at_once):
        some = slice(start, min(start + at_once, n_permutations))
        orders = np.tile(np.arange(n), (m - 1, some.stop - start, 1))
        orders = xp.asarray(rng.permuted(orders, axis=2))
        for k, rests in enumerate(by_component):
            null[some, k] = measure(_correlations(rests, orders))
    reached = null >= statistics * (1 - 1e-10)
    p_values = (1 + reached.sum(axis=0)) / (1 + n_permutations)
    p_values = np.maximum.accumulate(to_numpy(p_values))
    return PermutationTest(to_numpy(statistics), p_values, to_numpy(null))


def _whitened_rests(block, weights, s, width, n_components):
    """Whitened rows of a modality, freed of the variates before each component.

    With shrinkage their variances are those of the data in the shrunken covariance, below one.
    """
    xp = namespace(block)
    share = max(1 - s, 1e-3 / width)  # not zero, so that shuffles of fully shrunken rows differ
    rests = []
    for k in range(n_components):
        variates, _ = xp.linalg.qr(block @ weights[:, :k])
        rest = block - variates @ (variates.T @ block)
        rest[:, (rest**2).sum(axis=0) < 1e-20 * (block**2).sum(axis=0)] = 0  # but for rounding
        W = whitener(shrink(rest.T @ rest / len(block), s, width), 1e-10)
        rests.append(rest @ W * np.sqrt(share / len(block)))
    return rests


def _correlations(rests, orders):
    """Correlations of the whitened columns of all modalities, of shape (n_orders, r, r)."""
    xp = namespace(*rests)
    first, *others = rests
    n_orders = 1 if orders is None else orders.shape[1]
    shuffled = [xp.broadcast_to(first[:, None], (len(first), n_orders, first.shape[1]))]
    for j, rest in enumerate(others):
        shuffled.append(rest[:, None] if orders is None else rest[orders[j].T])
    ends = np.cumsum([rest.shape[1] for rest in rests]).tolist()
    R = xp.tile(xp.eye(ends[-1]), (n_orders, 1, 1))
    for i, (one, stop) in enumerate(zip(shuffled, ends, strict=True)):
        at = slice(stop - one.shape[2], stop)
        for two, end in zip(shuffled[:i], ends[:i], strict=True):
            other = slice(end - two.shape[2], end)
            if two is shuffled[0]:
                n, _, width = one.shape
                T = (first.T @ one.reshape(n, -1)).reshape(-1, n_orders, width).swapaxes(0, 1)
            else:
                T = xp.einsum("nbi,nbj->bij", two, one, optimize=True)
            R[:, other, at] = T
            R[:, at, other] = T.swapaxes(1, 2)
    return R


def _wilks(R):
    """Minus the log of Wilks' lambda, for more modalities their multi-information: -log det R."""
    xp = namespace(R)
    sign, logarithm = xp.linalg.slogdet(R)
    return xp.where(sign > 0, -logarithm, np.inf)


def _roy(R):
    """The largest eigenvalue of R, less one: of two modalities the largest correlation."""
    xp = namespace(R)
    return xp.linalg.eigvalsh(R)[:, -1] - 1


STATISTICS = {"wilks": _wilks, "roy": _roy}
