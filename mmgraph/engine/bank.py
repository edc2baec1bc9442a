"""Many kernels of the same rows as one operator: what the solvers of kernel weights ask for.

A bank knows its rows and how each kernel is computed, centred and scaled. Whatever is asked of it,
it computes the Gram matrices anew, a tile of rows of all of them at a time, so its memory does not
grow with the number of kernels. Where all Gram matrices fit into the cache they are kept.

Within a tile, kernels of one distance share it, and the exponential of twice another's exponent is
the square of the other's. Of a symmetric matrix the lower triangle alone is computed, and what
:func:`build` needs for centring, scaling and alignments comes from one pass over the kernels as
they are: see :class:`_Survey`.

A bank computes where its rows are. What solvers ask and are told in numbers is on the CPU, and so
are masks and weights of rows. On a GPU the kernels of all widths of a distance are made in one
pass.

Rows may miss modalities: a kernel is centred over the rows that show its modality, and is zero
elsewhere, which stands for the mean in feature space and leaves every Gram matrix positive
semi-definite. :meth:`Bank.coverage` says what share of the weights a row is left with.
"""

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace, pick, to_device, to_numpy
from ..backend.kernels import of
from .kernels import RADIAL, Centring, Kernel, diagonal, distances, gram

__all__ = ["NORMALISATIONS", "Bank", "KernelMap", "build", "inverse"]

NORMALISATIONS = ("none", "cosine", "trace", "variance")
TILE_BYTES = 1 << 22  # of the tile of all Gram matrices
TILE_BYTES_ON_GPU = 1 << 28


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

    def to(self, device):
        """The map with its arrays on a device, "cpu" or "cuda"."""
        norms, centring = self.norms, self.centring
        if centring is not None:
            centring = centring._replace(columns=to_device(centring.columns, device))
        norms = None if norms is None else to_device(norms, device)
        return self._replace(norms=norms, centring=centring)


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

    @property
    def xp(self):
        """The namespace of the rows."""
        return namespace(*self.blocks.values())

    def to(self, device):
        """The bank with its rows on a device, "cpu" or "cuda"."""
        blocks = {name: to_device(block, device) for name, block in self.blocks.items()}
        return replace(self, blocks=blocks, maps=tuple(m.to(device) for m in self.maps))

    def without_cache(self):
        """The bank as it is stored."""
        return replace(self, cache=None)

    def among(self, rows):
        """The bank over some of its rows, whose mean is the origin; scales are as they were."""
        blocks = {name: pick(block, rows) for name, block in self.blocks.items()}
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
        return to_numpy(self.combined(weights))

    def combined(self, weights):
        """The same, where the rows are."""
        xp = self.xp
        if self.cache is not None:
            return xp.tensordot(xp.asarray(weights), self.cache, 1)
        out = self._combined(self.blocks, self.present, weights, symmetric=True)
        for rows in _pieces(self.n_rows, 1, self.n_rows, xp):
            out[: rows.start, rows] = out[rows, : rows.start].T
            corner = out[rows, rows]
            corner[:] = xp.tril(corner) + xp.tril(corner, -1).T
        return out

    def forms(self, V):
        """Forms v' K v of each kernel and column of V (n_rows, c), of shape (n_kernels, c)."""
        xp, V = self.xp, self._here(V)
        parts = (xp.einsum("tc,mtc->mc", V[rows], tile @ V) for rows, tile in self._tiles())
        return to_numpy(sum(parts))

    def inner(self, A):
        """Sum of the entries of each Gram matrix times A (n_rows, n_rows)."""
        xp, A = self.xp, self._here(A)
        return to_numpy(sum(xp.tensordot(tile, A[rows], 2) for rows, tile in self._tiles()))

    def products(self, V):
        """Each Gram matrix times V (n_rows, c), of shape (n_kernels, n_rows, c)."""
        V = self._here(V)
        return to_numpy(self.xp.concatenate([tile @ V for _, tile in self._tiles()], axis=1))

    def gather(self, V):
        """Sum of the Gram matrices times their own V (n_kernels, n_rows, c)."""
        xp, V = self.xp, self._here(V)
        parts = [xp.einsum("mtn,mnc->tc", tile, V, optimize=True) for _, tile in self._tiles()]
        return to_numpy(xp.concatenate(parts))

    def squares(self):
        """Sum of the squares of the Gram matrices, of shape (n_rows, n_rows)."""
        total = 0.0
        for _, tile in self._tiles():
            flat = tile.reshape(-1, self.n_rows)
            total = total + flat.T @ flat
        return to_numpy(total)

    def alignments(self, V):
        """Of the centred Gram matrices: forms (n_kernels, c), and inner products of all pairs.

        V (n_rows, c) has columns of mean zero. Both count each row by its weight, and a kernel is
        centred over the rows that show its modality.
        """
        survey = _Survey(self.present, self.row_weights, [m.modality for m in self.maps], V)
        survey.learn(self._raw(self.blocks, self.maps, symmetric=True), self.xp)
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

    def _here(self, V):
        """An array of the CPU where the rows are."""
        return self.xp.asarray(V)

    def _combined(self, blocks, present, weights, *, symmetric=False):
        """Weighted sum for rows; if they are the training rows, the lower triangle is enough."""
        xp = self.xp
        out = xp.zeros((_length(blocks), self.n_rows))
        used = [m._replace(scale=w * m.scale) for m, w in zip(self.maps, weights, strict=True) if w]
        for modality, group in groupby(used, key=lambda map_: map_.modality):
            group = list(group)
            scales = xp.asarray([map_.scale for map_ in group])
            centring = _merged(group)
            place = _Place(self.present[modality], self.row_weights, centring, xp)
            for rows, tile in self._raw(blocks, group, symmetric=symmetric):
                K = xp.tensordot(scales, tile, 1)
                known = centring.columns[rows] if symmetric and centring else None
                place(K, present[modality][rows], known)
                out[rows, : K.shape[1]] += K
        return out

    def _tiles(self):
        """Tiles of rows of all Gram matrices: the rows, (n_kernels, n_tile_rows, n_rows)."""
        if self.cache is not None:
            for rows in _pieces(self.n_rows, len(self.maps), self.n_rows, self.xp):
                yield rows, self.cache[:, rows]
            return
        places = [
            _Place(self.present[m.modality], self.row_weights, m.centring, self.xp)
            for m in self.maps
        ]
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
        buffer = self.xp.empty(0)
        for rows in _pieces(_length(blocks), len(maps), self.n_rows, self.xp):
            shape = len(maps), rows.stop - rows.start, rows.stop if symmetric else self.n_rows
            if buffer.size < np.prod(shape):
                buffer = self.xp.empty(len(maps) * shape[1] * self.n_rows)
            tile = buffer[: int(np.prod(shape))].reshape(shape)
            for modality, start in starts.items():
                sides[modality].fill(rows, tile[start:])
            yield rows, tile


class _Sides:
    """Kernels of a modality between the rows of two arrays, of which a tile at a time is wanted."""

    def __init__(self, A, B, maps):
        self.A, self.B, self.maps, self.xp = A, B, maps, namespace(A, B)
        self.steps = _steps([map_.kernel for map_ in maps])
        keys = {(k.name, k.unit) for k in (map_.kernel for map_ in maps) if k.name == "rbf"}
        on_cpu = keys if self.xp is np else ()
        self.factors = {key: _factors(A / key[1], B / key[1]) for key in on_cpu}

    def fill(self, rows, out):
        """Put the kernels of some rows of A with the first rows of B into out[0], out[1], ..."""
        if self.xp is np:
            self._widen(rows, out)
        else:
            self._at_once(rows, out)
        for map_, K in zip(self.maps, out, strict=False):
            if map_.norms is not None:
                K *= inverse(_lengths(map_.kernel, self.A[rows]))[:, None]
                K *= inverse(map_.norms[: out.shape[2]])

    def _widen(self, rows, out):
        """Radial kernels from one distance, and from each other where they are squares."""
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

    def _at_once(self, rows, out):
        """Radial kernels of all widths in one pass."""
        groups, B = {}, self.B[: out.shape[2]]
        for i, map_ in enumerate(self.maps):
            kernel = map_.kernel
            if kernel.name in RADIAL:
                groups.setdefault((kernel.name, kernel.unit), []).append(i)
            else:
                out[i] = gram(kernel, self.A[rows], B)
        for (name, unit), places in groups.items():
            gammas = [self.maps[i].kernel.params["gamma"] for i in places]
            found = of(B, "gram").radial(name, self.A[rows] / unit, B / unit, gammas)
            for i, K in zip(places, found, strict=True):
                out[i] = K

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
    xp = namespace(rows)
    return xp.sqrt(xp.maximum(diagonal(kernel, rows), 0))


class _Place:
    """Brings kernels of a modality with the training rows to their place in feature space.

    Parameters
    ----------
    present : ndarray of bool, shape (n_rows,)
        Which training rows show the modality.
    row_weights : ndarray of shape (n_rows,)
    centring : Centring or None
    xp : module
        The namespace of the kernels.
    """

    def __init__(self, present, row_weights, centring, xp):
        self.unseen, self.centring, self.xp = np.flatnonzero(~present), centring, xp
        shares = present * row_weights
        self.shares = xp.asarray(shares / max(shares.sum(), np.finfo(float).tiny))

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
            K[:, self.xp.asarray(self.unseen[self.unseen < K.shape[1]])] = 0.0
        if not present.all():
            K[self.xp.asarray(~present)] = 0.0


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

    def learn(self, tiles, xp):
        """Look at tiles of the lower triangle of all kernels, which are changed."""
        n, m = len(self.w), len(self.which)
        roots = None if (self.w == 1).all() else xp.asarray(np.sqrt(self.w))
        right = xp.asarray(np.hstack([(self.shown * self.w).T, self.wV]))
        w, level, trace, products = xp.asarray(self.w), None, xp.zeros(m), xp.zeros((m, m))
        sums = xp.zeros((m, n, right.shape[1]))
        for rows, tile in tiles:
            if level is None:
                level = tile.mean(axis=(1, 2))
            start, stop = rows.start, rows.stop
            tile -= level[:, None, None]
            self._hide(tile, rows)
            sums[:, rows] += (tile.reshape(-1, stop) @ right[:stop]).reshape(m, -1, sums.shape[2])
            sums[:, :start] += tile[:, :, :start].transpose(0, 2, 1) @ right[rows]
            corner = tile[:, :, start:]
            trace += xp.diagonal(corner, axis1=1, axis2=2) @ w[rows]
            if self.aligned:
                if roots is not None:
                    tile *= roots[rows, None] * roots[:stop]
                flat, corner = tile.reshape(m, -1), corner.reshape(m, -1)
                products += 2 * (flat @ flat.T) - corner @ corner.T
        level, trace, self.products = (to_numpy(found) for found in (level, trace, products))
        self.level, self.trace = level, trace
        self.sums, self.forms = np.split(to_numpy(sums), [len(self.shown)], axis=2)
        self.total = self.shown @ self.w
        own = np.take_along_axis(self.sums, self.which[:, None, None], axis=2)[:, :, 0]
        size = np.maximum(self.total[self.which], np.finfo(float).tiny)
        self.columns = own * self.shown[self.which] / size[:, None]
        self.means = self.columns @ self.w / size
        self.trace += self.level * self.total[self.which]

    def _hide(self, tile, rows):
        """Zeros where a row lacks the modality of a kernel."""
        for pattern, shown in enumerate(self.shown):
            if shown[: rows.stop].all():
                continue
            xp, own = namespace(tile), np.flatnonzero(self.which == pattern)
            lacking, before = np.flatnonzero(~shown[rows]), np.flatnonzero(~shown[: rows.stop])
            tile[_grid(xp, own, lacking)] = 0.0
            tile[_grid(xp, own, np.arange(tile.shape[1]), before)] = 0.0

    def centring(self, i, xp):
        """Mean of the rows that show a kernel's modality."""
        shown = self.shown[self.which[i]]
        total = float(self.means[i] + self.level[i] * shown.any())
        return Centring(xp.asarray(self.columns[i] + self.level[i] * shown), total)

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
    xp = namespace(*blocks.values())
    maps = [KernelMap(modality, kernel) for modality, kernel in kernels]
    if normalize == "cosine":
        maps = [
            m._replace(
                norms=_lengths(m.kernel, blocks[m.modality]) * xp.asarray(present[m.modality])
            )
            for m in maps
        ]
    raw = Bank(blocks, present, w, tuple(maps))
    survey = _Survey(present, w, [m.modality for m in maps], targets)
    survey.learn(raw._raw(blocks, maps, symmetric=True), raw.xp)
    for i, map_ in enumerate(maps):
        total, centring = float(w @ present[map_.modality]), survey.centring(i, xp)
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
        cache = xp.empty((len(kernels), n, n))
        for rows, tile in bank._tiles():
            cache[:, rows] = tile
        bank = replace(bank, cache=cache)
    return bank, alignments


def _merged(maps):
    """Centring of a sum of scaled kernels of one modality."""
    if maps[0].centring is None:
        return None
    columns = sum(map_.scale * map_.centring.columns for map_ in maps)
    total = sum(map_.scale * map_.centring.total for map_ in maps)
    return Centring(columns, total)


def _length(blocks):
    return next(iter(blocks.values())).shape[0]


def _grid(xp, *places):
    """Index of the cells at the places along each axis."""
    return xp.ix_(*map(xp.asarray, places))


def _pieces(n_rows, n_kernels, width, xp):
    """Slices of rows of which the tile of all kernels has a certain size."""
    size = max(1, (TILE_BYTES if xp is np else TILE_BYTES_ON_GPU) // (8 * n_kernels * width))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def inverse(norms):
    """One over the norms, 0 where they are not positive."""
    xp, some = namespace(norms), norms > 1e-300
    return xp.where(some, 1 / xp.where(some, norms, 1.0), 0.0)
