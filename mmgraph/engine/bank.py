"""Many kernels of the same rows as one operator: what the solvers of kernel weights ask for.

A bank knows its rows and how each kernel is computed, centred and scaled. Whatever is asked of it,
it computes the Gram matrices anew, a tile of rows of all of them at a time, so its memory does not
grow with the number of kernels. Where all Gram matrices fit into the cache they are kept.

Within a tile, kernels of one distance share it, and the exponential of twice another's exponent is
the square of the other's. Of a symmetric matrix the lower triangle alone is computed, and what
:func:`build` needs for centring, scaling and alignments comes from one pass over the kernels as
they are: see :class:`_Survey`.

Rows may miss modalities: a kernel is centred over the rows that show its modality, and is zero
elsewhere, which stands for the mean in feature space and leaves every Gram matrix positive
semi-definite. :meth:`Bank.coverage` says what share of the weights a row is left with.
"""

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .kernels import RADIAL, Centring, Kernel, diagonal, distances, gram

__all__ = ["NORMALISATIONS", "Bank", "KernelMap", "build", "inverse"]

NORMALISATIONS = ("none", "cosine", "trace", "variance")
TILE_BYTES = 1 << 22  # of the tile of all Gram matrices


class KernelMap(NamedTuple):
    """A kernel of one modality and its place in feature space.

    Attributes
    ----------
    modality : str
    kernel : Kernel
    norms : ndarray of shape (n_rows,) or None
        Lengths of the training rows, if rows are scaled to unit length in feature space.
    centring : Centring or None
        Mean of the training rows that show the modality.
    scale : float
        What Gram matrices are multiplied by.
    trace : float
        Mean diagonal of the training rows' Gram matrix, so scaled.
    """

    modality: str
    kernel: Kernel
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
    row_weights : ndarray of shape (n_rows,)
        How much a row counts in means and alignments.
    maps : tuple of KernelMap
        The kernels, those of one modality next to each other.
    cache : ndarray of shape (n_kernels, n_rows, n_rows), optional
        All Gram matrices.
    """

    blocks: dict
    present: dict
    row_weights: np.ndarray
    maps: tuple
    cache: np.ndarray | None = field(default=None, repr=False)

    @property
    def n_kernels(self):
        """Number of kernels."""
        return len(self.maps)

    @property
    def n_rows(self):
        """Number of training rows."""
        return len(self.row_weights)

    def without_cache(self):
        """The bank as it is stored."""
        return replace(self, cache=None)

    def among(self, rows):
        """The bank over some of its rows, whose mean is the origin; scales are as they were."""
        blocks = {name: block[rows] for name, block in self.blocks.items()}
        present = {name: shown[rows] for name, shown in self.present.items()}
        first = self.maps[0]
        found, _ = build(
            blocks,
            present,
            [(map_.modality, map_.kernel) for map_ in self.maps],
            self.row_weights[rows],
            center=first.centring is not None,
            normalize="none" if first.norms is None else "cosine",
        )
        pairs = zip(found.maps, self.maps, strict=True)
        maps = (new._replace(scale=old.scale, trace=new.trace * old.scale) for new, old in pairs)
        return replace(found, maps=tuple(maps))

    # What the solvers ask ------------------------------------------------------------------------

    def combine(self, weights):
        """Sum of the weighted Gram matrices, of shape (n_rows, n_rows)."""
        if self.cache is not None:
            return np.tensordot(weights, self.cache, 1)
        out = self._combined(self.blocks, self.present, weights, symmetric=True)
        for rows in _pieces(self.n_rows, 1, self.n_rows):
            out[: rows.start, rows] = out[rows, : rows.start].T
            corner = out[rows, rows]
            corner[:] = np.tril(corner) + np.tril(corner, -1).T
        return out

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
        """Of the centred Gram matrices: forms (n_kernels, c), and inner products of all pairs.

        V (n_rows, c) has columns of mean zero. Both count each row by its weight, and a kernel is
        centred over the rows that show its modality.
        """
        survey = _Survey(self.present, self.row_weights, [m.modality for m in self.maps], V)
        survey.learn(self._raw(self.blocks, self.maps, symmetric=True))
        scale = np.array([map_.scale for map_ in self.maps])
        forms, moments = survey.alignments()
        return scale[:, None] * forms, scale[:, None] * moments * scale

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
        return self._combined(blocks, present, weights)

    def coverage(self, present, weights):
        """Share of the weights whose modality a row shows, of shape (n_new_rows,)."""
        shown = np.array([present[m.modality] for m in self.maps], float)
        weights = np.abs(weights)
        return weights @ shown / max(weights.sum(), np.finfo(float).tiny)

    # How ------------------------------------------------------------------------------------------

    def _combined(self, blocks, present, weights, *, symmetric=False):
        """Weighted sum for rows; if they are the training rows, the lower triangle is enough."""
        out = np.zeros((_length(blocks), self.n_rows))
        used = [m._replace(scale=w * m.scale) for m, w in zip(self.maps, weights, strict=True) if w]
        for modality, group in groupby(used, key=lambda map_: map_.modality):
            group = list(group)
            scales = np.array([map_.scale for map_ in group])
            centring = _merged(group, scales)
            place = _Place(self.present[modality], self.row_weights, centring)
            for rows, tile in self._raw(blocks, group, symmetric=symmetric):
                K = np.tensordot(scales, tile, 1)
                known = centring.columns[rows] if symmetric and centring else None
                place(K, present[modality][rows], known)
                out[rows, : K.shape[1]] += K
        return out

    def _tiles(self):
        """Tiles of rows of all Gram matrices: the rows, (n_kernels, n_tile_rows, n_rows)."""
        if self.cache is not None:
            for rows in _pieces(self.n_rows, len(self.maps), self.n_rows):
                yield rows, self.cache[:, rows]
            return
        places = [_Place(self.present[m.modality], self.row_weights, m.centring) for m in self.maps]
        for rows, tile in self._raw(self.blocks, self.maps):
            for map_, place, K in zip(self.maps, places, tile, strict=True):
                place(K, self.present[map_.modality][rows])
                if map_.scale != 1:
                    K *= map_.scale
            yield rows, tile

    def _raw(self, blocks, maps, *, symmetric=False):
        """Tiles of kernels between rows and the training rows, not centred, not scaled.

        If symmetric, a tile ends with the column of its last row. It is overwritten by the next.
        """
        starts, sides = {}, {}
        for place, map_ in enumerate(maps):
            starts.setdefault(map_.modality, place)
        for modality in starts:
            own = [map_ for map_ in maps if map_.modality == modality]
            sides[modality] = _Sides(blocks[modality], self.blocks[modality], own)
        buffer = np.empty(0)
        for rows in _pieces(_length(blocks), len(maps), self.n_rows):
            shape = len(maps), rows.stop - rows.start, rows.stop if symmetric else self.n_rows
            if buffer.size < np.prod(shape):
                buffer = np.empty(len(maps) * shape[1] * self.n_rows)
            tile = buffer[: np.prod(shape)].reshape(shape)
            for modality, start in starts.items():
                sides[modality].fill(rows, tile[start:])
            yield rows, tile


class _Sides:
    """Kernels of a modality between the rows of two arrays, of which a tile at a time is wanted."""

    def __init__(self, A, B, maps):
        self.A, self.B, self.maps = A, B, maps
        self.steps = _steps([map_.kernel for map_ in maps])
        keys = {(k.name, k.unit) for k in (map_.kernel for map_ in maps) if k.name == "rbf"}
        self.factors = {key: _factors(A / key[1], B / key[1]) for key in keys}

    def fill(self, rows, out):
        """Put the kernels of some rows of A with the first rows of B into out[0], out[1], ..."""
        known, width = {}, out.shape[2]
        for i, half in self.steps:
            kernel = self.maps[i].kernel
            if half is not None:
                np.square(out[half], out=out[i])
            elif kernel.name in RADIAL:
                key = kernel.name, kernel.unit
                if key not in known:
                    known[key] = self._distances(key, rows, width)
                np.multiply(known[key], -kernel.params["gamma"], out=out[i])
                np.exp(out[i], out=out[i])
            else:
                out[i] = gram(kernel, self.A[rows], self.B[:width])
        for map_, K in zip(self.maps, out, strict=False):
            if map_.norms is not None:
                K *= inverse(_lengths(map_.kernel, self.A[rows]))[:, None]
                K *= inverse(map_.norms[:width])

    def _distances(self, key, rows, width):
        if key not in self.factors:
            name, unit = key
            return distances(name, self.A[rows] / unit, self.B[:width] / unit)
        left, right = self.factors[key]
        D = left[rows] @ right[:width].T
        D = D.toarray() if sp.issparse(D) else D
        return np.maximum(D, 0, out=D)


def _factors(A, B):
    """Two arrays whose product holds the squared distances between rows of A and of B."""
    (a, one), (b, other) = ((_squares(X), np.ones((X.shape[0], 1))) for X in (A, B))
    return _beside(A, a, one), _beside(-2 * B, other, b)


def _squares(X):
    return np.reshape((X.multiply(X) if sp.issparse(X) else X * X).sum(axis=1), (-1, 1))


def _beside(X, *columns):
    if sp.issparse(X):
        return sp.hstack([X, *map(sp.csr_array, columns)], "csr")
    return np.hstack([X, *columns])


def _steps(kernels):
    """In which order to compute kernels, and for each which one is its square root, or None."""

    def exponent(i):
        return kernels[i].params["gamma"] if kernels[i].name in RADIAL else 0.0

    steps, known = [], {}
    for i in sorted(range(len(kernels)), key=exponent):
        kind = kernels[i].name, kernels[i].unit
        radial = kernels[i].name in RADIAL
        steps.append((i, known.get((*kind, exponent(i) / 2)) if radial else None))
        known[*kind, exponent(i)] = i
    return steps


def _lengths(kernel, rows):
    """Lengths of rows in feature space."""
    return np.sqrt(np.maximum(diagonal(kernel, rows), 0))


class _Place:
    """Brings kernels of a modality with the training rows to their place in feature space.

    Parameters
    ----------
    present : ndarray of bool, shape (n_rows,)
        Which training rows show the modality.
    row_weights : ndarray of shape (n_rows,)
    centring : Centring or None
    """

    def __init__(self, present, row_weights, centring):
        self.unseen, self.centring = np.flatnonzero(~present), centring
        shares = present * row_weights
        self.shares = shares / max(shares.sum(), np.finfo(float).tiny)

    def __call__(self, K, present, own=None):
        """Change the kernel K of rows with the first training rows.

        `present` says which of the rows show the modality; `own` is their mean with all training
        rows, where it is known.
        """
        if self.centring is not None:
            own = K @ self.shares if own is None else own
            K -= (own - self.centring.total)[:, None]
            K -= self.centring.columns[: K.shape[1]]
        if len(self.unseen):
            K[:, self.unseen[self.unseen < K.shape[1]]] = 0.0
        if not present.all():
            K[~present] = 0.0


class _Survey:
    r"""Means, traces and alignments of kernels that are neither centred nor scaled yet.

    With weights w of the rows and S the rows that show a kernel's modality, its centred matrix is
    :math:`K_{ij} - c_i - c_j + t` within S. Inner products and forms of centred matrices follow
    from those of the raw ones and from their sums over the rows of each S, so one pass over the
    kernels finds all. A constant level is taken off each kernel first, lest differences drown in
    it.

    Parameters
    ----------
    present : dict of str to ndarray of bool, shape (n_rows,)
    row_weights : ndarray of shape (n_rows,)
    modalities : list of str, of length n_kernels
    V : ndarray of shape (n_rows, c), optional
        Without, there are no alignments.
    """

    def __init__(self, present, row_weights, modalities, V=None):
        names = list(dict.fromkeys(modalities))
        table = np.array([present[name] for name in names])
        self.shown, which = np.unique(table, axis=0, return_inverse=True)
        which = dict(zip(names, np.ravel(which), strict=True))
        self.which = np.array([which[name] for name in modalities])
        self.w, self.aligned = row_weights, V is not None
        self.wV = row_weights[:, None] * (np.zeros((len(row_weights), 0)) if V is None else V)

    def learn(self, tiles):
        """Look at tiles of the lower triangle of all kernels, which are changed."""
        n, m, w = len(self.w), len(self.which), self.w
        roots = None if (w == 1).all() else np.sqrt(w)
        right = np.hstack([(self.shown * w).T, self.wV])
        self.level, self.trace, self.products = None, np.zeros(m), np.zeros((m, m))
        sums = np.zeros((m, n, right.shape[1]))
        for rows, tile in tiles:
            if self.level is None:
                self.level = tile.mean(axis=(1, 2))
            start, stop = rows.start, rows.stop
            tile -= self.level[:, None, None]
            self._hide(tile, rows)
            sums[:, rows] += (tile.reshape(-1, stop) @ right[:stop]).reshape(m, -1, sums.shape[2])
            sums[:, :start] += tile[:, :, :start].transpose(0, 2, 1) @ right[rows]
            corner = tile[:, :, start:]
            self.trace += np.diagonal(corner, axis1=1, axis2=2) @ w[rows]
            if self.aligned:
                if roots is not None:
                    tile *= roots[rows, None] * roots[:stop]
                flat, corner = tile.reshape(m, -1), corner.reshape(m, -1)
                self.products += 2 * (flat @ flat.T) - corner @ corner.T
        self.sums, self.forms = np.split(sums, [len(self.shown)], axis=2)
        self.total = self.shown @ w
        own = np.take_along_axis(self.sums, self.which[:, None, None], axis=2)[:, :, 0]
        size = np.maximum(self.total[self.which], np.finfo(float).tiny)
        self.columns = own * self.shown[self.which] / size[:, None]
        self.means = self.columns @ w / size
        self.trace += self.level * self.total[self.which]

    def _hide(self, tile, rows):
        """Zeros where a row lacks the modality of a kernel."""
        for pattern, shown in enumerate(self.shown):
            if shown[: rows.stop].all():
                continue
            own = np.flatnonzero(self.which == pattern)
            tile[np.ix_(own, np.flatnonzero(~shown[rows]))] = 0.0
            tile[np.ix_(own, range(tile.shape[1]), np.flatnonzero(~shown[: rows.stop]))] = 0.0

    def centring(self, i):
        """Mean of the rows that show a kernel's modality."""
        columns = self.columns[i] + self.level[i] * self.shown[self.which[i]]
        return Centring(
            columns, float(self.means[i] + self.level[i] * self.shown[self.which[i]].any())
        )

    def alignments(self):
        """Forms of the targets, and inner products of all pairs, of the centred kernels."""
        which, t, wc = self.which, self.means, self.w * self.columns
        sums = np.einsum("mnu,un->mu", self.sums, self.shown * self.w)[:, which]
        cross = np.empty_like(self.products)
        for pattern in range(len(self.shown)):
            own = np.flatnonzero(which == pattern)
            cross[:, own] = self.sums[:, :, pattern] @ wc[own].T
        half = sums * t - 2 * cross
        both = (self.shown @ (self.w * self.shown).T)[np.ix_(which, which)]
        means = (wc @ self.shown.T)[:, which]
        centre = 2 * both * (wc @ self.columns.T) + 2 * means * means.T
        moved = both * means * t
        centre += np.outer(t, t) * both**2 - 2 * (moved + moved.T)
        shares = (self.shown @ self.wV)[which]
        forms = np.einsum("nc,mnc->mc", self.wV, self.forms)
        forms += shares * (t[:, None] * shares - 2 * self.columns @ self.wV)
        return forms, self.products + half + half.T + centre


def build(
    blocks,
    present,
    kernels,
    row_weights=None,
    *,
    targets=None,
    center=True,
    normalize="none",
    megabytes=0,
):
    """A bank of kernels over training rows.

    Parameters
    ----------
    blocks : dict of str to array or CSR array of shape (n_rows, n_columns)
        The training rows, finite where the modality is present.
    present : dict of str to ndarray of bool, shape (n_rows,)
    kernels : list of (str, Kernel)
        Modality and kernel, those of one modality next to each other.
    row_weights : ndarray of shape (n_rows,), optional
        How much a row counts in means and alignments: above 0.
    targets : ndarray of shape (n_rows, c), optional
        Columns of mean zero, to find the alignments by the way.
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
    bank : Bank
    alignments : (ndarray, ndarray) or None
        What ``bank.alignments(targets)`` says.
    """
    n = len(next(iter(present.values())))
    w = np.ones(n) if row_weights is None else row_weights
    maps = [KernelMap(modality, kernel) for modality, kernel in kernels]
    if normalize == "cosine":
        maps = [
            m._replace(norms=_lengths(m.kernel, blocks[m.modality]) * present[m.modality])
            for m in maps
        ]
    raw = Bank(blocks, present, w, tuple(maps))
    survey = _Survey(present, w, [m.modality for m in maps], targets)
    survey.learn(raw._raw(blocks, maps, symmetric=True))
    for i, map_ in enumerate(maps):
        total, centring = float(w @ present[map_.modality]), survey.centring(i)
        whole, spread = survey.trace[i], survey.trace[i] - total * centring.total
        kept, scale = spread if center else whole, 1.0
        size = spread if normalize == "variance" else kept
        if normalize in ("trace", "variance") and size > 1e-12 * abs(whole):
            scale = float(total / size)
        trace = float(kept / total) * scale if total else 0.0
        maps[i] = map_._replace(centring=centring if center else None, scale=scale, trace=trace)
    bank, alignments = replace(raw, maps=tuple(maps)), None
    if targets is not None:
        scale = np.array([map_.scale for map_ in maps])
        forms, moments = survey.alignments()
        alignments = scale[:, None] * forms, scale[:, None] * moments * scale
    if 8e-6 * len(kernels) * n**2 <= megabytes:
        cache = np.empty((len(kernels), n, n))
        for rows, tile in bank._tiles():
            cache[:, rows] = tile
        bank = replace(bank, cache=cache)
    return bank, alignments


def _merged(maps, scales):
    """Centring of a weighted sum of kernels of one modality."""
    if maps[0].centring is None:
        return None
    columns = sum(scale * m.centring.columns for m, scale in zip(maps, scales, strict=True))
    total = sum(scale * m.centring.total for m, scale in zip(maps, scales, strict=True))
    return Centring(columns, total)


def _length(blocks):
    return next(iter(blocks.values())).shape[0]


def _pieces(n_rows, n_kernels, width):
    """Slices of rows of which the tile of all kernels has a certain size."""
    size = max(1, TILE_BYTES // (8 * n_kernels * width))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def inverse(norms):
    """One over the norms, 0 where they are not positive."""
    return np.divide(1, norms, out=np.zeros_like(norms), where=norms > 1e-300)
