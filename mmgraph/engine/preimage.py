"""Pre-images by example: what a row may be, as a mean or draw of training rows.

A point of a feature space is no row of the data. But training rows are known in both, so a
conditional mean is their mean with weights that fall with the distance to the scores that are given
(Nadaraya-Watson regression), and a draw is one of them, taken with these probabilities.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace, pick
from .pairwise import squared_euclidean

__all__ = ["Examples", "average", "choose_widths", "draw", "weigh"]

QUERIES = 100  # rows on which a width is chosen
COLUMNS = 256  # columns that are looked at for it
WIDTHS = 2.0 ** -np.arange(0, 4.5, 0.5)  # of the median distance; each square is half of the last
AT_ONCE = 1 << 22  # weights


class Examples(NamedTuple):
    """Training rows, and where they lie.

    Attributes
    ----------
    scores : dict of str to ndarray of shape (n_rows, k)
        From each modality, in units in which all columns matter alike; 0 where it is absent.
    present : dict of str to ndarray of bool, shape (n_rows,)
        Which rows show it.
    blocks : dict of str to array or CSR array of shape (n_present, n_columns)
        The rows that show it.
    widths : dict of str to float
        Width of the weights when the modality is generated.
    """

    scores: Mapping
    present: Mapping
    blocks: Mapping
    widths: Mapping

    def joint(self, shown):
        """Mean of the scores from some modalities, over those of them that a row has."""
        xp = namespace(*self.scores.values())
        total = xp.zeros_like(next(iter(self.scores.values())))
        count = np.zeros(len(total))
        for name in shown:
            total += self.scores[name]
            count += self.present[name]
        return total / xp.asarray(np.maximum(count, 1))[:, None]


def weigh(queries, donors, width):
    """Normalised weights of donors for each query: a Gaussian of their distance.

    Parameters
    ----------
    queries : ndarray of shape (q, k)
    donors : ndarray of shape (n, k)
    width : float

    Returns
    -------
    ndarray of shape (q, n)
    """
    xp = namespace(queries)
    W = squared_euclidean(queries, donors)
    W -= W.min(axis=1, keepdims=True)
    W *= -0.5 / width**2
    xp.exp(W, out=W)
    W /= W.sum(axis=1, keepdims=True)
    return W


def average(examples, queries, shown, target):
    """Weighted mean of a modality over the training rows that show it.

    Parameters
    ----------
    examples : Examples
    queries : ndarray of shape (q, k)
        Scores, in the units of the examples.
    shown : iterable of str
        Modalities that the scores come from.
    target : str
        What to average.

    Returns
    -------
    ndarray of shape (q, n_columns)
    """
    xp = namespace(queries)
    present, block = examples.present[target], examples.blocks[target]
    donors = pick(examples.joint(shown), present)
    at_once = max(1, AT_ONCE // len(donors))
    parts = [
        weigh(queries[i : i + at_once], donors, examples.widths[target]) @ block
        for i in range(0, len(queries), at_once)
    ]
    return xp.concatenate(parts) if parts else xp.empty((0, block.shape[1]))


def draw(examples, queries, shown, targets, uniforms):
    """Draw training rows with the weights of the mean.

    One row is drawn for all targets if there are training rows with all of them, so that they go
    together; else one for each.

    Parameters
    ----------
    examples : Examples
    queries : ndarray of shape (q, k)
    shown : iterable of str
    targets : iterable of str
    uniforms : ndarray of shape (q, n_draws)
        Random numbers between 0 and 1.

    Returns
    -------
    dict of str to ndarray of shape (n_draws, q, n_columns)
    """
    xp = namespace(queries)
    together = np.logical_and.reduce([examples.present[name] for name in targets])
    found = {}
    for name in targets:
        present = examples.present[name]
        rows = np.flatnonzero(together if together.any() else present)
        donors = pick(examples.joint(shown), rows)
        width = np.mean([examples.widths[t] for t in targets])
        at_once = max(1, AT_ONCE // len(donors))
        chosen = xp.empty(uniforms.shape, int)
        for i in range(0, len(queries), at_once):
            cumulative = weigh(queries[i : i + at_once], donors, width).cumsum(axis=1)
            for row, steps in enumerate(cumulative, start=i):
                chosen[row] = xp.searchsorted(steps, uniforms[row] * steps[-1])
        block = pick(examples.blocks[name], (present.cumsum() - 1)[rows])
        flat = block[xp.minimum(chosen, len(rows) - 1).T.ravel()]
        flat = flat.toarray() if sp.issparse(flat) else flat
        found[name] = flat.reshape(*chosen.T.shape, -1)
    return found


def choose_widths(examples):
    """The width for each modality with which training rows are predicted best from the others.

    The scores of the examples must be such as new rows have. Each of some rows is left out in turn,
    and the squared errors of columns, in units of their standard deviation, are compared.

    Returns
    -------
    dict of str to float
    """
    return {name: _width(examples, name) for name in examples.blocks}


def _width(examples, target):
    others = [name for name in examples.blocks if name != target] or [target]
    known = np.logical_or.reduce([examples.present[name] for name in others])
    rows = np.flatnonzero(examples.present[target] & known)
    if len(rows) < 3:
        return 1.0
    donors = pick(examples.joint(others), rows)
    xp = namespace(donors)
    block = pick(examples.blocks[target], (examples.present[target].cumsum() - 1)[rows])
    block = block[:, :: -(-block.shape[1] // COLUMNS)]
    block = xp.array(block.toarray() if sp.issparse(block) else block, dtype=float)
    block /= float(xp.abs(block).max()) or 1
    block -= block.mean(axis=0)
    deviation = block.std(axis=0)
    block = xp.where(deviation > 0, block / xp.where(deviation > 0, deviation, 1.0), 0.0)
    asked = xp.asarray(np.sort(np.random.default_rng(0).permutation(len(rows))[:QUERIES]))
    squares = squared_euclidean(donors[asked], donors)
    squares[xp.arange(len(asked)), asked] = np.inf
    squares -= squares.min(axis=1, keepdims=True)
    median = float(xp.median(squares[xp.isfinite(squares)])) or 1.0
    W, errors = xp.exp(-0.5 / median * squares), []
    for _ in WIDTHS:
        mean = W @ block / W.sum(axis=1, keepdims=True)
        errors.append(float(xp.square(mean - block[asked]).sum()))
        W *= W  # the weights at the next width
    return float(WIDTHS[int(np.argmin(errors))] * np.sqrt(median))
