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
    return slope if log_scale < np.log(LARGEST_SCALE) else max(slope, 0.0)


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
    n, real = len(Z), Z.dtype.type
    scale = scale_of(log_scale)
    scaled = Z * real(scale)
    by_row = np.empty((n, 1), Z.dtype)
    peak, total = np.full(n, -np.inf, Z.dtype), np.zeros(n)
    room = _room(n, n, entries, Z.dtype, 2)
    for rows, s, e in _blocks(scaled, W, room):
        top = s.max(axis=1, keepdims=True)
        np.exp(np.subtract(s, top, out=e), out=e)
        by_row[rows] = top + np.log(e.sum(axis=1, keepdims=True))
        higher = np.maximum(peak, s.max(axis=0))
        np.exp(np.subtract(s, higher, out=e), out=e)
        total *= np.exp(peak - higher)
        total += e.sum(axis=0)
        peak = higher
    by_column = peak + np.log(total).astype(Z.dtype)
    first, second = np.empty_like(Z), np.zeros_like(W)
    for rows, s, e in _blocks(scaled, W, room):
        np.exp(np.subtract(s, by_row[rows], out=e), out=e)
        np.exp(np.subtract(s, by_column, out=s), out=s)
        e += s
        np.matmul(e, W, out=first[rows])
        second += e.T @ Z[rows]
    (Zs, counts), (Ws, _) = _partners(Z, labels), _partners(W, labels)
    share = real(2) / counts
    first -= Ws * share
    second -= Zs * share
    first *= real(scale / (2 * n))
    second *= real(scale / (2 * n))
    near = scale * _inner(Z, Ws / counts)
    loss = float(by_row.sum(dtype=float) + by_column.sum(dtype=float) - 2 * near) / (2 * n)
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
    n, real = len(Z), Z.dtype.type
    scale = scale_of(log_scale)
    scaled = Z * real(scale)
    first, second = np.empty_like(Z), np.zeros_like(W)
    loss = mass = 0.0
    for rows, s, e in _blocks(scaled, W, _room(n, n, entries, Z.dtype, 2)):
        s += real(shift)
        np.exp(np.negative(np.abs(s, out=e), out=e), out=e)
        positive = s > 0
        loss += np.maximum(s, 0, out=s).sum(dtype=float) + np.log1p(e, out=s).sum(dtype=float)
        np.divide(e, 1 + e, out=s)  # the sigmoid of -|s|
        np.subtract(1, s, out=s, where=positive)
        mass += s.sum(dtype=float)
        np.matmul(s, W, out=first[rows])
        second += s.T @ Z[rows]
    (Zs, counts), (Ws, _) = _partners(Z, labels), _partners(W, labels)
    n_partners = float(np.sum(counts, dtype=float)) if labels is not None else float(n)
    loss -= scale * _inner(Z, Ws) + shift * n_partners
    first -= Ws
    second -= Zs
    first *= real(scale / n)
    second *= real(scale / n)
    slope = _below_cap(_inner(Z, first), log_scale)
    return Slope(float(loss) / n, first, second, slope, float(mass - n_partners) / n)


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
    n, real = len(Z), Z.dtype.type
    own = np.einsum("ij,ij->i", Z, W)
    best, at = np.full((2, n), -np.inf, Z.dtype), np.zeros((2, n), int)
    for rows, s in _blocks(Z, W, _room(n, n, entries, Z.dtype, 1)):
        _blank(s, rows, labels)
        at[0, rows] = s.argmax(axis=1)
        best[0, rows] = s.max(axis=1)
        top, where = s.max(axis=0), s.argmax(axis=0)
        higher = top > best[1]
        best[1, higher], at[1, higher] = top[higher], rows.start + where[higher]
    hinge = real(margin) - own + best
    active = hinge > 0
    loss = float(hinge[active].sum(dtype=float)) / n
    rows, columns = np.nonzero(active[0])[0], np.nonzero(active[1])[0]
    pull = np.concatenate([rows, columns])
    weights = np.repeat(np.array([1 / n, -1 / n], Z.dtype), len(pull))
    i = np.concatenate([rows, at[1, columns], pull])
    j = np.concatenate([at[0, rows], columns, pull])
    slope = sp.csr_array((weights, (i, j)), shape=(n, n))
    return Slope(loss, slope @ W, slope.T @ Z)


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
    n = len(Z)
    ranks = np.empty(n)
    for rows, s in _blocks(Z, W, _room(n, n, entries, Z.dtype, 1)):
        if labels is None:
            own = s[np.arange(len(s)), np.arange(rows.start, rows.stop)]
        else:
            own = np.where(labels[rows, None] == labels, s, -np.inf).max(axis=1)
        _blank(s, rows, labels)
        above = (s > own[:, None]).sum(axis=1)
        ranks[rows] = 1 + above + (s == own[:, None]).sum(axis=1) / 2
    return 1 / ranks


def _room(n_rows, n_columns, entries, dtype, number):
    """Memory for some blocks of similarities."""
    at_once = min(n_rows, max(1, entries // n_columns))
    return np.empty((number, at_once, n_columns), dtype)


def _blocks(Z, W, room):
    """Blocks of Z W', in the first of the blocks of `room`: rows, block, the other blocks."""
    for start in range(0, len(Z), room.shape[1]):
        rows = slice(start, min(start + room.shape[1], len(Z)))
        blocks = room[:, : rows.stop - start]
        yield rows, np.matmul(Z[rows], W.T, out=blocks[0]), *blocks[1:]


def _blank(s, rows, labels):
    """Take partners out of a block of similarities."""
    if labels is None:
        s[np.arange(len(s)), np.arange(rows.start, rows.stop)] = -np.inf
    else:
        s[labels[rows, None] == labels] = -np.inf


def _partners(Z, labels):
    """Sum of the partners of each row, itself among them, and how many they are."""
    if labels is None:
        return Z, Z.dtype.type(1)
    ones, n = np.ones(len(Z), Z.dtype), len(Z)
    member = sp.csr_array((ones, labels, np.arange(n + 1)), shape=(n, int(labels.max()) + 1))
    counts = np.bincount(labels)[labels][:, None]
    return member @ (member.T @ Z), counts.astype(Z.dtype)


def _inner(A, B):
    return float(np.einsum("ij,ij->", A, B, dtype=np.float64))
