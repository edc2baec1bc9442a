"""Many kernels of the same rows as one operator: what the solvers of kernel weights ask for.

A bank knows its rows and how each kernel is computed, centred and scaled. Whatever is asked of it,
it computes the Gram matrices anew, a tile of rows of all of them at a time, so its memory does not
grow with the number of kernels. Kernels of one distance share it within a tile. Where all Gram
matrices fit into the cache they are kept.

Rows may miss modalities: a kernel is centred over the rows that show its modality, and is zero
elsewhere, which stands for the mean in feature space and leaves every Gram matrix positive
semi-definite. :meth:`Bank.coverage` says what share of the weights a row is left with.
"""

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .kernels import RADIAL, Centring, Kernel, centre, diagonal, distances, gram

__all__ = ["NORMALISATIONS", "Bank", "KernelMap", "build", "inverse"]

NORMALISATIONS = ("none", "cosine", "trace", "variance")
TILE_BYTES = 1 << 23  # of the tile of all Gram matrices


class KernelMap(NamedTuple):
    """A kernel of one modality and its place in feature space.

    Attributes
    ----------
    modality : str
    kernel : Kernel
    cosine : bool
        Whether rows are scaled to unit length in feature space.
    norms : ndarray of shape (n_rows,) or None
        Lengths of the training rows, if so.
    centring : Centring or None
        Mean of the training rows that show the modality.
    scale : float
        What Gram matrices are multiplied by.
    trace : float
        Mean diagonal of the training rows' Gram matrix, so scaled.
    """

    modality: str
    kernel: Kernel
    cosine: bool = False
    norms: np.ndarray | None = None
    centring: Centring | None = None
    scale: float = 1.0
    trace: float = 1.0


@dataclass(frozen=True, eq=False)
class Bank:
    """Kernels between training rows.

    Parameters
    ----------
    blocks : dict of str to array or CSR array of shape (n_rows, n_columns)
        The training rows; zero where a modality is absent.
    present : dict of str to ndarray of bool, shape (n_rows,)
        Whether a row shows the modality.
    maps : tuple of KernelMap
        The kernels, those of one modality next to each other.
    cache : ndarray of shape (n_kernels, n_rows, n_rows), optional
        All Gram matrices.
    """

    blocks: dict
    present: dict
    maps: tuple
    cache: np.ndarray | None = field(default=None, repr=False)

    @property
    def n_kernels(self):
        """Number of kernels."""
        return len(self.maps)

    @property
    def n_rows(self):
        """Number of training rows."""
        return len(next(iter(self.present.values())))

    def without_cache(self):
        """The bank as it is stored."""
        return replace(self, cache=None)

    def among(self, rows):
        """The bank over some of its rows, whose mean is the origin; scales are as they were."""
        blocks = {name: block[rows] for name, block in self.blocks.items()}
        present = {name: shown[rows] for name, shown in self.present.items()}
        first = self.maps[0]
        found = build(
            blocks,
            present,
            [(map_.modality, map_.kernel) for map_ in self.maps],
            center=first.centring is not None,
            normalize="cosine" if first.cosine else "none",
        )
        pairs = zip(found.maps, self.maps, strict=True)
        maps = (new._replace(scale=old.scale, trace=new.trace * old.scale) for new, old in pairs)
        return replace(found, maps=tuple(maps))

    # What the solvers ask ------------------------------------------------------------------------

    def combine(self, weights):
        """Sum of the weighted Gram matrices, of shape (n_rows, n_rows)."""
        if self.cache is None:
            return self.between(self.blocks, self.present, weights)
        return np.tensordot(weights, self.cache, 1)

    def forms(self, V):
        """Forms v' K v of each kernel and column of V (n_rows, c), of shape (n_kernels, c)."""
        return sum(np.einsum("tc,mtc->mc", V[rows], tile @ V) for rows, tile in self._tiles())

    def inner(self, A):
        """Sum of the entries of each Gram matrix times A (n_rows, n_rows)."""
        return sum(np.tensordot(tile, A[rows], 2) for rows, tile in self._tiles())

    def products(self, V):
        """Each Gram matrix times V (n_rows, c), of shape (n_kernels, n_rows, c)."""
        return np.concatenate([tile @ V for _, tile in self._tiles()], axis=1)

    def gather(self, V):
        """Sum of the Gram matrices times their own V (n_kernels, n_rows, c)."""
        parts = [np.einsum("mtn,mnc->tc", tile, V, optimize=True) for _, tile in self._tiles()]
        return np.concatenate(parts)

    def squares(self):
        """Sum of the squares of the Gram matrices, of shape (n_rows, n_rows)."""
        total = 0.0
        for _, tile in self._tiles():
            flat = tile.reshape(-1, self.n_rows)
            total = total + flat.T @ flat
        return total

    def alignments(self, V):
        """Of the centred Gram matrices: their forms (n_kernels,), and inner products of all pairs.

        V (n_rows, c) has columns of mean zero; its forms are summed.
        """
        n, level, forms = self.n_rows, None, 0.0
        centred = all(map_.centring is not None for map_ in self.maps)
        products, sums = 0.0, []
        for rows, tile in self._tiles():
            forms = forms + np.einsum("tc,mtc->m", V[rows], tile @ V)
            if level is None:  # any constant leaves the centred matrices as they are
                level = tile.mean(axis=(1, 2), keepdims=True)
            if not centred:
                tile = tile - level
            flat = tile.reshape(self.n_kernels, -1)
            products = products + flat @ flat.T
            sums.append(tile.sum(axis=2))
        sums = np.concatenate(sums, axis=1)
        totals = sums.sum(axis=1)
        products -= 2 / n * sums @ sums.T - np.outer(totals, totals) / n**2
        return forms, products

    # New rows -------------------------------------------------------------------------------------

    def between(self, blocks, present, weights):
        """Weighted sum of the Gram matrices of new rows with the training rows.

        Parameters
        ----------
        blocks, present : dict
            New rows, as the training rows are.
        weights : ndarray of shape (n_kernels,)

        Returns
        -------
        ndarray of shape (n_new_rows, n_rows)
        """
        weights = np.asarray(weights)
        used = [m for m, weight in zip(self.maps, weights, strict=True) if weight != 0]
        n = len(next(iter(present.values())))
        out = np.zeros((n, self.n_rows))
        if used:
            for rows, tile in self._computed(blocks, present, used):
                out[rows] = np.tensordot(weights[weights != 0], tile, 1)
        return out

    def coverage(self, present, weights):
        """Share of the weights whose modality a row shows, of shape (n_new_rows,)."""
        shown = np.array([present[m.modality] for m in self.maps], float)
        weights = np.abs(weights)
        return weights @ shown / max(weights.sum(), np.finfo(float).tiny)

    # How ------------------------------------------------------------------------------------------

    def _tiles(self):
        """Tiles of rows of all Gram matrices: the rows, (n_kernels, n_tile_rows, n_rows)."""
        if self.cache is None:
            yield from self._computed(self.blocks, self.present, self.maps)
            return
        for rows in _pieces(self.n_rows, len(self.maps), self.n_rows):
            yield rows, self.cache[:, rows]

    def _computed(self, blocks, present, maps):
        """Tiles of rows of some kernels between rows and the training rows."""
        groups = [(m, list(group)) for m, group in groupby(maps, key=lambda map_: map_.modality)]
        unseen = {m: np.flatnonzero(~self.present[m]) for m, _ in groups}
        sides = {
            m: _Sides(blocks[m], self.blocks[m], [map_.kernel for map_ in group])
            for m, group in groups
        }
        for rows in _pieces(len(next(iter(present.values()))), len(maps), self.n_rows):
            out, place = np.empty((len(maps), rows.stop - rows.start, self.n_rows)), 0
            for modality, group in groups:
                absent, shared = np.flatnonzero(~present[modality][rows]), {}
                for map_ in group:
                    K = sides[modality].evaluate(map_.kernel, rows, shared, out[place])
                    _place(map_, K, blocks[modality][rows], unseen[modality])
                    K[absent] = 0.0
                    place += 1
            yield rows, out


class _Sides:
    """The rows of two arrays, ready for the distances between tiles of the one and the other."""

    def __init__(self, A, B, kernels):
        self.A, self.B, self.same = A, B, A is B
        keys = {(k.name, k.unit) for k in kernels if k.name == "rbf"}
        self.scaled = {key: self._scale(key[1]) for key in keys}

    def _scale(self, unit):
        B = _Side(self.B / unit)
        return (B if self.same else _Side(self.A / unit)), B

    def evaluate(self, kernel, rows, shared, out):
        """A kernel between some rows of A and all of B; `shared` keeps distances."""
        if kernel.name not in RADIAL:
            out[:] = gram(kernel, self.A[rows], self.B)
            return out
        key = kernel.name, kernel.unit
        if key not in shared:
            shared[key] = self._distances(key, rows)
        np.multiply(shared[key], -kernel.params["gamma"], out=out)
        return np.exp(out, out=out)

    def _distances(self, key, rows):
        if key not in self.scaled:
            name, unit = key
            return distances(name, self.A[rows] / unit, self.B / unit)
        A, B = self.scaled[key]
        D = A.rows[rows] @ B.rows.T
        D = D.toarray() if sp.issparse(D) else D
        D *= -2
        D += A.squares[rows, None]
        D += B.squares
        return np.maximum(D, 0, out=D)


class _Side:
    """Rows and their squared lengths."""

    def __init__(self, rows):
        self.rows = rows
        squares = rows.multiply(rows) if sp.issparse(rows) else rows * rows
        self.squares = np.ravel(squares.sum(axis=1))


def _place(map_, K, A, unseen):
    """Bring the kernel of rows A with the training rows into its place in feature space."""
    if map_.cosine:
        K *= inverse(np.sqrt(np.maximum(diagonal(map_.kernel, A), 0)))[:, None]
        K *= inverse(map_.norms)
    if map_.centring is not None:
        K[:, unseen] = 0.0
        K -= K.sum(axis=1, keepdims=True) / max(1, K.shape[1] - len(unseen))
        K -= map_.centring.columns - map_.centring.total
    if map_.scale != 1:
        K *= map_.scale
    K[:, unseen] = 0.0


def build(blocks, present, kernels, *, center=True, normalize="none", megabytes=0):
    """A bank of kernels over training rows.

    Parameters
    ----------
    blocks : dict of str to array or CSR array of shape (n_rows, n_columns)
        The training rows, finite where the modality is present.
    present : dict of str to ndarray of bool, shape (n_rows,)
    kernels : list of (str, Kernel)
        Modality and kernel, those of one modality next to each other.
    center : bool
        Whether the mean of the training rows is the origin of feature space.
    normalize : {"none", "cosine", "trace", "variance"}
        ``"cosine"`` scales each row to unit length in feature space, before it is centred;
        ``"trace"`` each Gram matrix so that its mean diagonal is 1, after; ``"variance"`` so that
        its mean squared distance to the mean is 1, centred or not.
    megabytes : float
        Size of the cache: all Gram matrices are kept if they fit into it.

    Returns
    -------
    Bank
    """
    n = len(next(iter(present.values())))
    fits = 8e-6 * len(kernels) * n**2 <= megabytes
    cache = np.zeros((len(kernels), n, n)) if fits else None
    maps = []
    for modality, group in groupby(kernels, key=lambda pair: pair[0]):
        rows = np.flatnonzero(present[modality])
        A, shared, kernels_ = blocks[modality][rows], {}, [kernel for _, kernel in group]
        if not len(rows):
            nowhere = Centring(np.zeros(n), 0.0) if center else None
            norms = np.zeros(n) if normalize == "cosine" else None
            absent = KernelMap(modality, None, norms is not None, norms, nowhere, trace=0.0)
            maps += [absent._replace(kernel=kernel) for kernel in kernels_]
            continue
        sides, every = _Sides(A, A, kernels_), slice(0, len(rows))
        for kernel in kernels_:
            K = sides.evaluate(kernel, every, shared, np.empty((len(rows), len(rows))))
            map_ = KernelMap(modality, kernel)
            if normalize == "cosine":
                norms = np.sqrt(np.maximum(K.diagonal(), 0))
                K *= inverse(norms)[:, None] * inverse(norms)
                map_ = map_._replace(cosine=True, norms=_spread(norms, rows, n))
            size = raw = np.trace(K)
            found = centre(K) if center else Centring(K.mean(axis=0), float(K.mean()))
            if center:
                map_ = map_._replace(
                    centring=found._replace(columns=_spread(found.columns, rows, n))
                )
            if center or normalize == "variance":
                size = raw - len(rows) * found.total
            if normalize in ("trace", "variance") and size > 1e-12 * abs(raw):
                map_ = map_._replace(scale=float(len(rows) / size))
            kept = raw - len(rows) * found.total if center else raw
            map_ = map_._replace(trace=float(kept / len(rows)) * map_.scale)
            if fits:
                held = cache[len(maps)]
                held[np.ix_(rows, rows) if len(rows) < n else ...] = K * map_.scale
            maps.append(map_)
    return Bank(blocks, present, tuple(maps), cache)


def _spread(values, rows, n):
    """Values of some rows among all; zero elsewhere."""
    out = np.zeros(n)
    out[rows] = values
    return out


def _pieces(n_rows, n_kernels, width):
    """Slices of rows of which the tile of all kernels has a certain size."""
    size = max(1, TILE_BYTES // (8 * n_kernels * width))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def inverse(norms):
    """One over the norms, 0 where they are not positive."""
    return np.divide(1, norms, out=np.zeros_like(norms), where=norms > 1e-300)
