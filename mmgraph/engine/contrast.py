"""Contrastive losses of two sets of unit vectors, and their gradients, a block of rows at a time.

Row i of the one set and row i of the other are partners; with labels, so are all rows of a class.
The similarities of all rows, n x n, are never held: a block of them is computed, used and
forgotten, so memory is O(block n + n k). Each loss falls apart into a sum over partners, which is
linear in the similarities and so needs sums of vectors by class only, and one over all pairs of
rows, which knows no labels.

==============  ==============  ====================================================================
loss            products        what is minimised, with s = exp(log_scale) <z_i, w_j>
==============  ==============  ====================================================================
``clip``        4 (2 passes)    cross-entropy of the partner among all rows, in both directions
``sigmoid``     3               logistic loss of each pair of rows: partners or not (s + shift)
``ranking``     1               how much the best stranger beats the partner, up to a margin
==============  ==============  ====================================================================

A product is one of n x k by k x n.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace

__all__ = ["LOSSES", "Slope", "clip", "ranking", "reciprocal_ranks", "scale_of", "sigmoid"]

BLOCK_ENTRIES = 1 << 22  # similarities computed at a time
LARGEST_SCALE = 100.0  # of similarities: beyond, one row of the batch is all that counts


class Slope(NamedTuple):
    """A loss and its gradient.

    Attributes
    ----------
    loss : float
        Mean over the rows, in nats (of ``ranking``: in units of the similarity).
    first, second : ndarray of shape (n_rows, n_components)
        Gradient in the vectors of each set.
    log_scale, shift : float
        Gradient in the logarithm of the scale, and in the shift.
    """

    loss: float
    first: np.ndarray
    second: np.ndarray
    log_scale: float = 0.0
    shift: float = 0.0


def scale_of(log_scale):
    """Scale of similarities from its logarithm; what exceeds the largest scale counts as it."""
    return float(np.exp(min(log_scale, np.log(LARGEST_SCALE))))


def _below_cap(slope, log_scale):
    """The slope in the logarithm of the scale; from the largest scale it may only lead down."""
    return slope if log_scale < np.log(LARGEST_SCALE) else namespace(slope).maximum(slope, 0.0)


def clip(Z, W, *, log_scale=0.0, labels=None, entries=BLOCK_ENTRIES, **_):
    r"""Symmetric cross-entropy of the partner among all rows (InfoNCE, CLIP).

    .. math:: -\frac{1}{2n} \sum_{ij} p_{ij} \Big(\log \frac{e^{s_{ij}}}{\sum_l e^{s_{il}}}
       + \log \frac{e^{s_{ij}}}{\sum_l e^{s_{lj}}}\Big)

    where p spreads the weight of a row evenly over its partners: with labels, the supervised
    contrastive loss that averages outside the logarithm.

    Parameters
    ----------
    Z, W : ndarray of shape (n_rows, n_components)
        Unit vectors.
    log_scale : float
        Minus the logarithm of the temperature; what exceeds the largest scale, 100, counts as it.
    labels : ndarray of int of shape (n_rows,), optional
        Class of each row, from 0; None: each row is a class.
    entries : int
        Similarities computed at a time.

    Returns
    -------
    Slope

    References
    ----------
    Radford et al. (2021). Learning transferable visual models from natural language supervision.
    ICML, figure 3. van den Oord, Li & Vinyals (2018). Representation learning with contrastive
    predictive coding. arXiv:1807.03748, eq. 4. Khosla et al. (2020). Supervised contrastive
    learning. NeurIPS, eq. 2.
    """
    xp = namespace(Z)
    n, real = len(Z), Z.dtype.type
    scale = scale_of(log_scale)
    scaled = Z * real(scale)
    by_row = xp.empty((n, 1), Z.dtype)
    peak, total = xp.full(n, -np.inf, Z.dtype), xp.zeros(n)
    room = _room(n, n, entries, Z, 2)
    for rows, s, e in _blocks(scaled, W, room):
        top = s.max(axis=1, keepdims=True)
        xp.exp(xp.subtract(s, top, out=e), out=e)
        by_row[rows] = top + xp.log(e.sum(axis=1, keepdims=True))
        higher = xp.maximum(peak, s.max(axis=0))
        xp.exp(xp.subtract(s, higher, out=e), out=e)
        total *= xp.exp(peak - higher)
        total += e.sum(axis=0)
        peak = higher
    by_column = peak + xp.log(total).astype(Z.dtype)
    first, second = xp.empty_like(Z), xp.zeros_like(W)
    for rows, s, e in _blocks(scaled, W, room):
        xp.exp(xp.subtract(s, by_row[rows], out=e), out=e)
        xp.exp(xp.subtract(s, by_column, out=s), out=s)
        e += s
        xp.matmul(e, W, out=first[rows])
        second += e.T @ Z[rows]
    (Zs, counts), (Ws, _) = _partners(Z, labels), _partners(W, labels)
    share = real(2) / counts
    first -= Ws * share
    second -= Zs * share
    first *= real(scale / (2 * n))
    second *= real(scale / (2 * n))
    near = scale * _inner(Z, Ws / counts)
    loss = (by_row.sum(dtype=float) + by_column.sum(dtype=float) - 2 * near) / (2 * n)
    return Slope(loss, first, second, _below_cap(_inner(Z, first), log_scale))


def sigmoid(Z, W, *, log_scale=0.0, shift=0.0, labels=None, entries=BLOCK_ENTRIES, **_):
    r"""Logistic loss of each pair of rows: are they partners? (SigLIP).

    .. math:: \frac{1}{n} \sum_{ij} \log\big(1 + e^{-y_{ij} (s_{ij} + b)}\big),
       \quad y_{ij} = 1 \text{ for partners, else} -1

    Parameters
    ----------
    Z, W, log_scale, labels, entries
        See :func:`clip`.
    shift : float
        The bias b.

    Returns
    -------
    Slope

    References
    ----------
    Zhai, Mustafa, Kolesnikov & Beyer (2023). Sigmoid loss for language image pre-training. ICCV,
    eq. 1.
    """
    xp = namespace(Z)
    n, real = len(Z), Z.dtype.type
    scale = scale_of(log_scale)
    scaled = Z * real(scale)
    first, second = xp.empty_like(Z), xp.zeros_like(W)
    loss = mass = 0.0
    for rows, s, e in _blocks(scaled, W, _room(n, n, entries, Z, 2)):
        s += real(shift)
        xp.exp(xp.negative(xp.abs(s, out=e), out=e), out=e)
        positive = s > 0
        loss += xp.maximum(s, 0, out=s).sum(dtype=float) + xp.log1p(e, out=s).sum(dtype=float)
        xp.divide(e, 1 + e, out=s)  # the sigmoid of -|s|
        s[...] = xp.where(positive, 1 - s, s)
        mass += s.sum(dtype=float)
        xp.matmul(s, W, out=first[rows])
        second += s.T @ Z[rows]
    (Zs, counts), (Ws, _) = _partners(Z, labels), _partners(W, labels)
    n_partners = counts.sum(dtype=float) if labels is not None else float(n)
    loss -= scale * _inner(Z, Ws) + shift * n_partners
    first -= Ws
    second -= Zs
    first *= real(scale / n)
    second *= real(scale / n)
    slope = _below_cap(_inner(Z, first), log_scale)
    return Slope(loss / n, first, second, slope, (mass - n_partners) / n)


def ranking(Z, W, *, margin=0.2, labels=None, entries=BLOCK_ENTRIES, **_):
    r"""Hinge loss of the best stranger of each row, in both directions (VSE++).

    .. math:: \frac{1}{n} \sum_i \max_j \, [m - c_{ii} + c_{ij}]_+ +
       \max_j \, [m - c_{ii} + c_{ji}]_+, \quad c_{ij} = \langle z_i, w_j \rangle

    over the strangers j, which are no partners of i.

    Parameters
    ----------
    Z, W, labels, entries
        See :func:`clip`.
    margin : float
        The margin m.

    Returns
    -------
    Slope

    References
    ----------
    Faghri, Fleet, Kiros & Fidler (2018). VSE++: improving visual-semantic embeddings with hard
    negatives. BMVC, eq. 6. Kiros, Salakhutdinov & Zemel (2014). Unifying visual-semantic
    embeddings with multimodal neural language models. arXiv:1411.2539, eq. 4.
    """
    xp = namespace(Z)
    n, real = len(Z), Z.dtype.type
    own = xp.einsum("ij,ij->i", Z, W)
    best, at = xp.full((2, n), -np.inf, Z.dtype), xp.zeros((2, n), int)
    for rows, s in _blocks(Z, W, _room(n, n, entries, Z, 1)):
        _blank(s, rows, labels)
        at[0, rows] = s.argmax(axis=1)
        best[0, rows] = s.max(axis=1)
        top, where = s.max(axis=0), s.argmax(axis=0)
        higher = top > best[1]
        best[1] = xp.where(higher, top, best[1])
        at[1] = xp.where(higher, rows.start + where, at[1])
    hinge = real(margin) - own + best
    active = hinge > 0
    loss = xp.where(active, hinge, 0).sum(dtype=float) / n
    rows, columns = xp.nonzero(active[0])[0], xp.nonzero(active[1])[0]
    pull = xp.concatenate([rows, columns])
    weights = xp.concatenate([xp.full(len(pull), real(1 / n)), xp.full(len(pull), real(-1 / n))])
    i = xp.concatenate([rows, at[1, columns], pull])
    j = xp.concatenate([at[0, rows], columns, pull])
    weights = weights[:, None]
    return Slope(loss, _added(weights * W[j], i, n), _added(weights * Z[i], j, n))


LOSSES = {"clip": clip, "sigmoid": sigmoid, "ranking": ranking}


def reciprocal_ranks(Z, W, *, labels=None, entries=BLOCK_ENTRIES):
    """Inverse of the rank of each row's best partner among all rows of the other set.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_components)
        Queries.
    W : ndarray of shape (n_rows, n_components)
        What is ranked, by its inner product with the query.
    labels : ndarray of int of shape (n_rows,), optional
        Class of each row; None: each row is a class.
    entries : int
        Similarities computed at a time.

    Returns
    -------
    ndarray of shape (n_rows,)
        Strangers that are as similar as the partner count half.
    """
    xp = namespace(Z)
    n = len(Z)
    ranks = xp.empty(n)
    for rows, s in _blocks(Z, W, _room(n, n, entries, Z, 1)):
        if labels is None:
            own = s[xp.arange(len(s)), xp.arange(rows.start, rows.stop)]
        else:
            own = xp.where(labels[rows, None] == labels, s, -np.inf).max(axis=1)
        _blank(s, rows, labels)
        above = (s > own[:, None]).sum(axis=1)
        ranks[rows] = 1 + above + (s == own[:, None]).sum(axis=1) / 2
    return 1 / ranks


def _room(n_rows, n_columns, entries, like, number):
    """Memory for some blocks of similarities."""
    at_once = min(n_rows, max(1, entries // n_columns))
    return namespace(like).empty((number, at_once, n_columns), like.dtype)


def _blocks(Z, W, room):
    """Blocks of Z W', in the first of the blocks of `room`: rows, block, the other blocks."""
    for start in range(0, len(Z), room.shape[1]):
        rows = slice(start, min(start + room.shape[1], len(Z)))
        blocks = room[:, : rows.stop - start]
        yield rows, namespace(Z).matmul(Z[rows], W.T, out=blocks[0]), *blocks[1:]


def _blank(s, rows, labels):
    """Take partners out of a block of similarities."""
    xp = namespace(s)
    if labels is None:
        s[xp.arange(len(s)), xp.arange(rows.start, rows.stop)] = -np.inf
    else:
        s[labels[rows, None] == labels] = -np.inf


def _partners(Z, labels):
    """Sum of the partners of each row, itself among them, and how many they are."""
    xp = namespace(Z)
    if labels is None:
        return Z, Z.dtype.type(1)
    counts = xp.bincount(labels)
    sums = _added(Z, labels, len(counts))
    return sums[labels], counts[labels][:, None].astype(Z.dtype)


def _added(rows, places, n):
    """Sums of the rows that have one place, of n places."""
    xp = namespace(rows)
    if xp is np:
        ones, at = np.ones(len(rows), rows.dtype), np.arange(len(rows) + 1)
        return sp.csr_array((ones, places, at), shape=(len(rows), n)).T @ rows
    out = xp.zeros((n, rows.shape[1]), rows.dtype)
    xp.add.at(out, places, rows)
    return out


def _inner(A, B):
    xp = namespace(A)
    return xp.einsum("ij,ij->", A, B, dtype=np.float64)
