"""Nearest neighbours by inner product: in blocks, corrected for hubs, and the answers they give.

Similarities are inner products of *points*, rows brought to one geometry before (centred, weighted,
of unit length), so that every similarity costs one matrix product.
"""

from typing import NamedTuple

import numpy as np

from ..backend.arrays import namespace

__all__ = [
    "ANSWERS",
    "Geometry",
    "Neighbours",
    "answer",
    "hubness",
    "neighbour_weights",
    "top_k",
]

QUERIES, GALLERY = 1024, 16_384  # rows of a block of similarities


class Neighbours(NamedTuple):
    """The rows of a gallery that are most similar to each query.

    Attributes
    ----------
    indices : array of int, shape (n_queries, k)
        Gallery rows, the most similar first.
    similarities : array of shape (n_queries, k)
    """

    indices: np.ndarray
    similarities: np.ndarray


class Geometry(NamedTuple):
    """How representations are compared: their inner product, mostly of centred ones of length one.

    Attributes
    ----------
    means : dict of str to array of shape (n_components,)
        By modality, what is taken off.
    weights : array of shape (n_components,) or None
        Factors of the components; None: all one.
    directions : bool
        Whether points have length one.
    """

    means: dict
    weights: np.ndarray | None = None
    directions: bool = True

    @classmethod
    def of(cls, similarity, representations, correlations=None):
        """The geometry in which inner products are a named similarity.

        Parameters
        ----------
        similarity : {"cosine", "centred_cosine", "correlation", "inner_product"}
        representations : dict of str to array of shape (n_rows, n_components)
            Of a training set, by modality; NaN rows are left out.
        correlations : array of shape (n_components,), optional
            Canonical correlations. ``"correlation"`` weighs components by their absolute values, so
            that an inner product has each component times its squared correlation.
        """
        names = representations.keys()
        if similarity in ("cosine", "inner_product"):
            return cls(dict.fromkeys(names, 0.0), directions=similarity == "cosine")
        means = {m: _mean_of_known(Z) for m, Z in representations.items()}
        if similarity == "centred_cosine" or correlations is None:
            return cls(means)
        return cls(means, abs(correlations.astype(float)))

    def points(self, Z, modality):
        """Representations of one modality as points, of shape (n_rows, n_components).

        See :meth:`scaled`.
        """
        Z = (Z - self.means[modality]).astype(Z.dtype, copy=False)
        if self.weights is not None:
            Z = Z * self.weights.astype(Z.dtype)
        return self.scaled(Z)

    def scaled(self, Z):
        """Points of length one, unless they are no directions; those at the origin stay there."""
        return unit(Z) if self.directions else Z


def _mean_of_known(Z):
    return namespace(Z).nanmean(Z.astype(float), axis=0)


def unit(Z):
    """Rows scaled to length one; rows of zeros stay. No square over- or underflows."""
    xp = namespace(Z)
    largest = xp.abs(Z).max(axis=1, keepdims=True)
    Z = Z / xp.where(largest > 0, largest, 1).astype(Z.dtype)
    lengths = xp.sqrt((Z**2).sum(axis=1, keepdims=True))
    return Z / xp.where(lengths > 0, lengths, 1)


def top_k(queries, gallery, k, *, penalty=None, sizes=(QUERIES, GALLERY)):
    """Find the gallery points of largest inner product with each query.

    Parameters
    ----------
    queries : array of shape (n_queries, d)
    gallery : array of shape (n_gallery, d)
    k : int
        At most n_gallery.
    penalty : array of shape (n_gallery,), optional
        Taken off the similarities of each gallery point.
    sizes : pair of int
        Queries and gallery points of the block of similarities that is held at a time.

    Returns
    -------
    Neighbours
        Equal similarities are in the order of the gallery.
    """
    xp = namespace(queries, gallery)
    found = [
        _best_of(queries[start : start + sizes[0]], gallery, k, penalty, sizes[1])
        for start in range(0, len(queries), sizes[0])
    ]
    if not found:
        return Neighbours(xp.zeros((0, k), int), xp.zeros((0, k), queries.dtype))
    return Neighbours(*(xp.concatenate(part) for part in zip(*found, strict=True)))


def _best_of(queries, gallery, k, penalty, size):
    """Top k of a block of queries, merged over blocks of the gallery."""
    xp = namespace(queries, gallery)
    best = Neighbours(xp.zeros((len(queries), 0), int), xp.zeros((len(queries), 0), queries.dtype))
    for start in range(0, len(gallery), size):
        scores = queries @ gallery[start : start + size].T
        if penalty is not None:
            scores = scores - penalty[start : start + size].astype(scores.dtype)
        some = _largest(scores, min(k, scores.shape[1]))
        best = Neighbours(
            xp.concatenate([best.indices, some.indices + start], axis=1),
            xp.concatenate([best.similarities, some.similarities], axis=1),
        )
        if start:
            places, similarities = _largest(best.similarities, min(k, best.indices.shape[1]))
            best = Neighbours(xp.take_along_axis(best.indices, places, 1), similarities)
    return best


def _largest(scores, k):
    """Columns of the k largest scores a row, sorted; of equal ones the first."""
    xp = namespace(scores)
    n = scores.shape[1]
    if k < n:
        places = xp.argpartition(-scores, k - 1, axis=1)[:, :k]
        least = xp.take_along_axis(scores, places, 1).min(axis=1, keepdims=True)
        tied = xp.flatnonzero((scores >= least).sum(axis=1) > k)
        if len(tied):  # a partition takes any of them
            places[tied] = xp.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
        places = xp.sort(places, axis=1)
    else:
        places = xp.broadcast_to(xp.arange(n), scores.shape)
    values = xp.take_along_axis(scores, places, 1)
    order = xp.argsort(-values, axis=1, kind="stable")
    return Neighbours(xp.take_along_axis(places, order, 1), xp.take_along_axis(values, order, 1))


def hubness(gallery, queries, k):
    """Half of the mean similarity of each gallery point to the k queries next to it.

    Taken off the similarities, it orders a gallery as cross-domain similarity local scaling does,
    ``2 cos(x, y) - r(x) - r(y)``: r(x) is the same for all answers to x.

    Parameters
    ----------
    gallery : array of shape (n_gallery, d)
    queries : array of shape (n_queries, d)
        Points of the kind that will be asked for.
    k : int

    Returns
    -------
    array of shape (n_gallery,)

    References
    ----------
    Conneau, A., Lample, G., Ranzato, M., Denoyer, L. & Jégou, H. (2018). Word translation without
    parallel data. ICLR. Section 2.3.
    """
    return top_k(gallery, queries, min(k, len(queries))).similarities.mean(axis=1) / 2


def neighbour_weights(similarities, temperature):
    """Shares of the neighbours of each query: the softmax of similarity / temperature."""
    xp = namespace(similarities)
    shares = xp.exp((similarities - similarities.max(axis=1, keepdims=True)) / temperature)
    return shares / shares.sum(axis=1, keepdims=True)


def _mean(values, weights):
    return (weights[:, None] @ values)[:, 0]


def _medoid(values, weights):
    """Of each set the value of least weighted squared distance to the others.

    It is the one next to their weighted mean.
    """
    xp = namespace(values)
    distances = ((values - _mean(values, weights)[:, None]) ** 2).sum(axis=2)
    return values[xp.arange(len(values)), distances.argmin(axis=1)]


def _vote(values, weights):
    """Of each set the value, as a whole row, of largest total weight; the first of equal ones."""
    xp = namespace(values)
    votes = xp.zeros_like(weights)
    for j in range(values.shape[1]):
        votes += weights[:, j : j + 1] * (values == values[:, j : j + 1]).all(axis=2)
    return values[xp.arange(len(values)), votes.argmax(axis=1)]


ANSWERS = {"mean": _mean, "medoid": _medoid, "vote": _vote}


def answer(kind, values, weights):
    """One row for each set of weighted rows.

    Parameters
    ----------
    kind : {"mean", "medoid", "vote"}
        Weighted mean; the row with the least weighted squared distance to the others; the row that
        occurs with the largest weight.
    values : array of shape (n, k, d)
    weights : array of shape (n, k)
        Sum to one.

    Returns
    -------
    array of shape (n, d)
    """
    return ANSWERS[kind](values, weights.astype(values.dtype, copy=False))
