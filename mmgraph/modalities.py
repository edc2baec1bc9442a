"""Which columns belong to which modality, and which modalities each row shows.

A multimodal sample is one row of a 2-D array. Its columns are owned by named modalities; a modality
that was not observed in a row is NaN there. :func:`pack` builds such an array from one array a
modality, :func:`unpack` takes it apart again, and :class:`Layout` is what every estimator asks.
"""

import itertools
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from .backend.arrays import namespace, pick, to_numpy
from .hints import Modalities

__all__ = ["Layout", "Views", "pack", "unpack"]

PREFIX = "__"  # separates the modality from the feature in a DataFrame column: image__px0


@dataclass(frozen=True)
class Layout:
    """The columns of each modality in a 2-D array.

    Parameters
    ----------
    columns : dict of str to ndarray of int
        Column indices of each modality, in the order in which the modality keeps its features.
    n_features : int
        Number of columns of the array, the sequence id included.
    sequence : int or None
        Column that holds the sequence id of each row. It belongs to no modality.
    """

    columns: dict
    n_features: int
    sequence: int | None = None

    @classmethod
    def resolve(cls, modalities, n_features, *, feature_names=None, sequence=None):
        """Build the layout that a user asked for.

        Parameters
        ----------
        modalities : mapping of str to slice, list of int, list of str, or None
            Owner of every column. None reads the prefixes of `feature_names` (``image__px0``
            belongs to ``image``); without such prefixes all columns form one modality ``"X"``.
        n_features : int
            Number of columns to cover.
        feature_names : sequence of str, optional
            Column names.
        sequence : int or str, optional
            Column of the sequence ids.

        Returns
        -------
        Layout

        Raises
        ------
        ValueError
            When a column has no owner or two, does not exist, or a modality is empty.
        """
        names = None if feature_names is None else [str(name) for name in feature_names]
        index = {} if names is None else {name: i for i, name in enumerate(names)}

        def position(column, owner):
            if isinstance(column, str):
                if names is None:
                    raise ValueError(
                        f"{owner} names column {column!r}, but X has no column names: pass a "
                        "DataFrame, or give column numbers."
                    )
                if column not in index:
                    raise ValueError(
                        f"{owner} names column {column!r}, which X does not have: its columns are "
                        f"{_some(names)}."
                    )
                return index[column]
            if isinstance(column, bool | np.bool_) or not isinstance(column, int | np.integer):
                raise ValueError(
                    f"{owner} lists {column!r} as a column: give column numbers or names."
                )
            if not -n_features <= column < n_features:
                raise ValueError(
                    f"{owner} lists column {column}, but X has n_features={n_features}: give "
                    f"numbers from 0 to {n_features - 1}."
                )
            return int(column) % n_features

        def label(i):
            return f"column {i}" if names is None else f"column {i} ({names[i]!r})"

        sequence = None if sequence is None else position(sequence, "sequence")
        if modalities is None:
            columns = _from_prefixes(names, n_features, sequence)
        elif not isinstance(modalities, Mapping) or not modalities:
            raise ValueError(
                "modalities must be a dict such as {'image': slice(0, 64), 'text': [64, 65]}, "
                f"or None; got {modalities!r}."
            )
        else:
            columns = {}
            for name, spec in modalities.items():
                if not isinstance(name, str) or not name:
                    raise ValueError(f"a modality's name must be a non-empty str; got {name!r}.")
                if isinstance(spec, slice) and spec == slice(0, 0):
                    continue  # ColumnTransformer.output_indices_ has one for an empty remainder
                listed = _listed(name, spec, n_features)
                if isinstance(spec, slice):  # a slice may run across the sequence id
                    listed = [i for i in listed if i != sequence]
                columns[name] = np.array([position(c, f"modality {name!r}") for c in listed], int)

        owner = {} if sequence is None else {sequence: "sequence"}
        for name, listed in columns.items():
            if not len(listed):
                raise ValueError(
                    f"modality {name!r} has no columns: X has n_features={n_features}. Give it "
                    "at least one column, or leave it out of modalities."
                )
            for i in listed.tolist():
                if i in owner:
                    raise ValueError(
                        f"{label(i)} belongs to both {owner[i]!r} and {name!r}: give it to one."
                    )
                owner[i] = name
        for i in range(n_features):
            if i not in owner:
                raise ValueError(
                    f"{label(i)} belongs to no modality (X has n_features={n_features}): add it "
                    "to one, or drop it from X."
                )
        return cls(columns, n_features, sequence)

    @property
    def names(self):
        """Names of the modalities, in order."""
        return tuple(self.columns)

    def require(self, name):
        """Return `name` if it is a modality, else raise a ValueError that lists them."""
        if name not in self.columns:
            raise ValueError(f"unknown modality {name!r}: the modalities are {list(self.names)}.")
        return name

    def block(self, X, name):
        """Columns of one modality: a view where they are evenly spaced, else a copy."""
        return X[:, self._place(name, namespace(X))]

    def _place(self, name, xp):
        """The columns of a modality as an index into arrays of a namespace."""
        place = _as_slice(self.columns[name])
        return place if isinstance(place, slice) else xp.asarray(place)

    def join(self, blocks, n_rows, dtype=np.float64, *, ids=None):
        """Put dense blocks side by side into one array; absent modalities are NaN.

        Parameters
        ----------
        blocks : mapping of str to array of shape (..., n_rows, n_columns)
            Blocks by modality.
        n_rows : int
            Number of rows.
        dtype : dtype
            Floating type of the result.
        ids : array of shape (n_rows,), optional
            Sequence id of each row, where the layout has a column for it.

        Returns
        -------
        ndarray of shape (..., n_rows, n_features)
        """
        lead = next((b.shape[:-2] for b in blocks.values()), ())
        xp = namespace(*blocks.values())
        X = xp.full((*lead, n_rows, self.n_features), np.nan, dtype)
        for name, block in blocks.items():
            X[..., self._place(name, xp)] = block
        if self.sequence is not None and ids is not None:
            X[..., self.sequence] = xp.asarray(ids)
        return X

    def views(self, X):
        """Split a checked array into its modalities.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            Rows; NaN marks what is absent.

        Returns
        -------
        Views

        Warns
        -----
        UserWarning
            Where NaN fills only a part of a dense block: that block counts as absent.
        """
        xp, blocks, present = namespace(X), {}, {}
        for name in self.columns:
            block = self.block(X, name)
            if sp.issparse(block):
                block = sp.csr_array(block)
                missing = np.zeros(block.shape[0], bool)
                marked = np.isnan(block.data)
                if marked.any():
                    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
                    missing[rows[marked]] = True
            else:
                n_nan = to_numpy(xp.isnan(block).sum(axis=1))
                missing = n_nan > 0
                partly = missing & (n_nan < block.shape[1])
                if partly.any():
                    warnings.warn(
                        f"modality {name!r} is NaN in part of its columns in {int(partly.sum())} "
                        f"row(s), first in row {int(np.argmax(partly))}; there it counts as "
                        "absent. Impute the columns first, or make them a modality of their own.",
                        stacklevel=4,
                    )
                    block = xp.where(xp.asarray(missing)[:, None], np.nan, block)
            blocks[name], present[name] = block, ~missing
        ids = None
        if self.sequence is not None:
            ids = X[:, [self.sequence]]
            ids = np.ravel(to_numpy(ids.toarray() if sp.issparse(ids) else ids))
        return Views(blocks, present, ids)


class Views(NamedTuple):
    """The rows of X, one block a modality.

    Attributes
    ----------
    blocks : dict of str to array or CSR array of shape (n_rows, n_columns)
        The columns of each modality. What they hold where it is absent means nothing.
    present : dict of str to ndarray of bool, shape (n_rows,)
        Whether the modality was observed in the row; always on the host.
    ids : ndarray of shape (n_rows,) or None
        Sequence id of each row; None where X has no such column.
    """

    blocks: dict
    present: dict
    ids: np.ndarray | None = None

    @property
    def n_rows(self):
        """Number of rows."""
        return len(next(iter(self.present.values())))

    @property
    def dtype(self):
        """Floating type of the blocks."""
        return next(iter(self.blocks.values())).dtype

    @property
    def xp(self):
        """Namespace of the blocks."""
        return namespace(*self.blocks.values())

    def shown(self, name):
        """The rows of a block that show its modality."""
        block, mask = self.blocks[name], self.present[name]
        return block if mask.all() else pick(block, mask)

    def take(self, rows):
        """The chosen rows (indices, a mask or a slice) as Views."""
        return Views(
            {name: pick(block, rows) for name, block in self.blocks.items()},
            {name: mask[rows] for name, mask in self.present.items()},
            None if self.ids is None else self.ids[rows],
        )

    def hide(self, *names):
        """The same rows with the named modalities absent."""
        none = np.zeros(self.n_rows, bool)
        return self._replace(
            present={name: none if name in names else m for name, m in self.present.items()}
        )

    def patterns(self) -> Iterator[tuple[frozenset, np.ndarray]]:
        """Group the rows by which modalities they show.

        Yields
        ------
        shown : frozenset of str
            The modalities that the group shows.
        rows : ndarray of int
            Its rows, ascending.
        """
        names = list(self.present)
        table = np.column_stack([self.present[name] for name in names])
        shapes, group = np.unique(table, axis=0, return_inverse=True)
        group = np.ravel(group)
        for i, shape in enumerate(shapes):
            shown = frozenset(name for name, on in zip(names, shape, strict=True) if on)
            yield shown, np.flatnonzero(group == i)

    @property
    def offsets(self):
        """First row of each sequence, and the number of rows."""
        return np.array([0, *(rows.stop for rows in self.sequences())])

    def sequences(self):
        """Contiguous runs of rows with one sequence id.

        Returns
        -------
        list of slice
            One slice of rows a sequence, in order; a single one when there is no id column.

        Raises
        ------
        ValueError
            When an id is NaN, or comes back after another one.
        """
        n, ids = self.n_rows, self.ids
        if n == 0:
            return []
        if ids is None:
            return [slice(0, n)]
        if np.isnan(ids).any():
            raise ValueError(
                f"the sequence id is NaN in row {int(np.argmax(np.isnan(ids)))}: give every row "
                "the number of its sequence."
            )
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
        first, counts = np.unique(ids[starts], return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"sequence id {first[np.argmax(counts > 1)]:g} stands in rows that are not next "
                "to each other: sort the rows by sequence."
            )
        edges = [*starts.tolist(), n]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]


def pack(
    like: Modalities | None = None,
    /,
    *,
    sequence: ArrayLike | None = None,
    **modalities: Any,
) -> tuple[Any, dict[str, Any]]:
    """Put one array a modality side by side into one 2-D array.

    Parameters
    ----------
    like : dict, optional
        The second value of an earlier call, or any layout that says how many columns each modality
        has. The columns are then laid out as there, by position or by name (a DataFrame), and a
        modality that is not given is absent (NaN) in every row.
    sequence : array-like of shape (n_rows,), optional
        Sequence id of each row; becomes column 0 (named ``sequence`` in a DataFrame), which belongs
        to no modality. Pass ``sequence=0`` to the estimator.
    **modalities : array-like of shape (n_rows, ...)
        The features of each modality: an array (more than two dimensions are flattened, one is a
        column), a sparse matrix of counts, a DataFrame, or a list with one entry a row in which
        None stands for an absent modality.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features), CSR array or DataFrame
        A DataFrame if one was given (columns ``image__px0``), else CSR if something sparse was,
        else an ndarray. float32 if all that is given fits it, else float64.
    modalities : dict of str to slice or list of str
        The columns of each modality, for the estimators' ``modalities`` parameter; `like` itself
        if it was given.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> X, modalities = mg.pack(image=np.zeros((2, 2, 2)), text=[[1, 0, 2], None])
    >>> X
    array([[ 0.,  0.,  0.,  0.,  1.,  0.,  2.],
           [ 0.,  0.,  0.,  0., nan, nan, nan]])
    >>> modalities
    {'image': slice(0, 4, None), 'text': slice(4, 7, None)}
    >>> mg.pack(modalities, text=[[0, 1, 0]])[0]
    array([[nan, nan, nan, nan,  0.,  1.,  0.]])
    """
    if not modalities:
        raise ValueError("pack needs at least one modality, such as pack(image=images).")
    if like is not None:
        for name in modalities:
            if name not in like:
                raise ValueError(f"unknown modality {name!r}: the modalities are {list(like)}.")
    blocks = {name: _as_block(name, data) for name, data in modalities.items()}
    ids = None if sequence is None else _as_ids(sequence)
    rows = {name: block.shape[0] for name, block in blocks.items()}
    if ids is not None:
        rows["sequence"] = len(ids)
    if len(set(rows.values())) > 1:
        raise ValueError(
            f"the modalities differ in their number of rows: {rows}. Give every row one entry in "
            "each, None (in a list) or NaN where it lacks one."
        )
    if like is not None:
        return _pack_like(like, blocks, ids, next(iter(rows.values()))), dict(like)
    if any(hasattr(block, "iloc") for block in blocks.values()):
        X = _pack_frames(blocks, ids)
        names = iter(X.columns[0 if ids is None else 1 :])
        return X, {name: list(itertools.islice(names, b.shape[1])) for name, b in blocks.items()}
    edges = np.cumsum([0 if ids is None else 1, *(b.shape[1] for b in blocks.values())]).tolist()
    layout = dict(zip(blocks, itertools.starmap(slice, itertools.pairwise(edges)), strict=True))
    return _side_by_side(blocks, ids), layout


def pack_sequences(like: Modalities | None = None, /, **streams: Any) -> tuple[Any, dict[str, Any]]:
    """Put recordings of any lengths one below the other into one 2-D array: rows are frames.

    Parameters
    ----------
    like : dict, optional
        The second value of an earlier call: see :func:`pack`.
    **streams : list of array-like of shape (n_frames, ...) or None
        Each stream as a list with one entry a sequence: an array, or None where the sequence lacks
        the stream. All streams of a sequence begin in the same row, and one that is shorter is NaN
        at its end. Of a stream of a slower rate give lists with None between its ticks.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Column 0 has the number of the sequence: pass ``sequence=0`` to the estimator. What belongs
        to sequences, such as labels, is had for rows by ``labels[X[:, 0].astype(int)]``.
    modalities : dict of str to slice
        The columns of each stream, for the estimators' ``modalities`` parameter.

    Raises
    ------
    ValueError
        If the streams differ in their number of sequences, the entries of one in their number of
        columns, or a sequence has no frame.

    Examples
    --------
    >>> import mmgraph as mg
    >>> X, modalities = mg.pack_sequences(sound=[[1, 2, 3], [4]], lips=[[[5, 6], [7, 8]], None])
    >>> X
    array([[ 0.,  1.,  5.,  6.],
           [ 0.,  2.,  7.,  8.],
           [ 0.,  3., nan, nan],
           [ 1.,  4., nan, nan]])
    >>> modalities
    {'sound': slice(1, 2, None), 'lips': slice(2, 4, None)}
    """
    counts = {name: len(entries) for name, entries in streams.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"the streams differ in their number of sequences: {counts}. Give every sequence one "
            "entry in each, None where it lacks one."
        )
    pieces = {
        name: [None if entry is None else _as_array(name, entry) for entry in entries]
        for name, entries in streams.items()
    }
    lengths = [
        max((len(entry) for entry in entries if entry is not None), default=0)
        for entries in zip(*pieces.values(), strict=True)
    ]
    if not all(lengths):
        n = lengths.index(0) if lengths else 0
        raise ValueError(f"sequence {n} has no frame in any stream: leave it out.")
    blocks = {name: _stacked(name, entries, lengths) for name, entries in pieces.items()}
    return pack(like, sequence=np.arange(len(lengths)).repeat(lengths), **blocks)


def unpack(X: Any, modalities: Any = None, *, sequence: int | str | None = None) -> dict[str, Any]:
    """Take a packed array apart: the inverse of :func:`pack`.

    Parameters
    ----------
    X : array, CSR matrix or DataFrame of shape (..., n_features)
        Rows, or stacks of rows such as draws.
    modalities : dict or Layout, optional
        The columns of each modality; the ``layout_`` of a fitted estimator will do. None reads the
        prefixes of a DataFrame's columns.
    sequence : int or str, optional
        Column of the sequence ids, which belongs to no modality. A Layout knows it already.

    Returns
    -------
    dict of str to array, CSR array or DataFrame
        One block a modality, of the kind that X is. Absent rows are NaN.

    Examples
    --------
    >>> import mmgraph as mg
    >>> X, modalities = mg.pack(image=[[0.0, 1.0]], text=[[3.0]])
    >>> mg.unpack(X, modalities)["text"]
    array([[3.]])
    """
    names = getattr(X, "columns", None)
    if names is None and not sp.issparse(X):
        X = np.asarray(X)
    layout = modalities
    if not isinstance(layout, Layout):
        layout = Layout.resolve(modalities, X.shape[-1], feature_names=names, sequence=sequence)
    elif X.shape[-1] != layout.n_features:
        raise ValueError(f"X has {X.shape[-1]} columns, but the layout has {layout.n_features}.")
    if names is None:
        if sp.issparse(X):
            X = sp.csr_array(X)
            return {name: layout.block(X, name) for name in layout.names}
        return {name: X[..., _as_slice(layout.columns[name])] for name in layout.names}
    out = {}
    for name in layout.names:
        block = X.iloc[:, layout.columns[name]]
        prefix = name + PREFIX
        if all(str(c).startswith(prefix) for c in block.columns):
            block = block.set_axis([str(c)[len(prefix) :] for c in block.columns], axis=1)
        out[name] = block
    return out


def _listed(name, spec, n_features):
    """Columns that the user gave one modality, of `n_features` (None: not known): range or list."""
    if isinstance(spec, slice):
        try:
            listed = range(sys.maxsize if n_features is None else n_features)[spec]
        except TypeError:
            raise ValueError(
                f"modality {name!r} is {spec!r}: the bounds of a slice must be ints. To name "
                "columns, list them all."
            ) from None
        if n_features is not None and (spec.stop or 0) > n_features:
            raise ValueError(
                f"modality {name!r} is {spec!r}, but X has n_features={n_features}: end the slice "
                f"at {n_features} or before (None: at the last column)."
            )
        return listed
    if isinstance(spec, str | int | np.integer):
        return [spec]
    if not isinstance(spec, Iterable) or isinstance(spec, Mapping | Set):
        raise ValueError(
            f"modality {name!r} is {spec!r}: give its columns as a slice, a list of ints, a list "
            "of str, or a boolean mask."
        )
    listed = list(spec)
    if listed and all(isinstance(column, bool | np.bool_) for column in listed):
        if n_features is not None and len(listed) != n_features:
            raise ValueError(
                f"modality {name!r} is a boolean mask of length {len(listed)}, but X has "
                f"n_features={n_features}: give it one entry a column."
            )
        listed = np.flatnonzero(listed).tolist()
    return listed


def _some(names, most=8):
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")


def _from_prefixes(names, n_features, sequence):
    columns = {}
    if names is not None:
        for i, name in enumerate(names):
            owner, prefix, _ = name.partition(PREFIX)
            if i != sequence and owner and prefix:
                columns.setdefault(owner, []).append(i)
    if not columns:
        columns = {"X": [i for i in range(n_features) if i != sequence]}
    return {name: np.array(listed, int) for name, listed in columns.items()}


def _as_slice(columns):
    """Evenly spaced ascending indices as a slice, which takes a view instead of a copy."""
    if len(columns) == 1:
        return slice(int(columns[0]), int(columns[0]) + 1)
    steps = np.diff(columns)
    if steps[0] > 0 and (steps == steps[0]).all():
        return slice(int(columns[0]), int(columns[-1]) + 1, int(steps[0]))
    return columns


def _as_block(name, data):
    """One modality as a 2-D float array, CSR array or DataFrame."""
    if hasattr(data, "iloc"):
        block = data.to_frame() if data.ndim == 1 else data
    elif sp.issparse(data):
        block = sp.csr_array(data)
        _check_numbers(name, block.dtype)
    else:
        block = _as_array(name, data)
    if block.shape[1] == 0:
        raise ValueError(
            f"modality {name!r} has no columns (shape {block.shape}): leave it out, or give it at "
            "least one."
        )
    return block


def _as_array(name, data):
    """Anything dense as a 2-D float array; None marks a row that lacks the modality."""
    if isinstance(data, np.ndarray) and data.dtype == object:
        data = data.tolist()
    if isinstance(data, list | tuple) and any(row is None for row in data):
        shown = [_as_array(name, [row])[0] for row in data if row is not None]
        if not shown:
            raise ValueError(
                f"modality {name!r} is None in every row, so its width is unknown: leave it out, "
                "and pass the layout of an earlier pack as the first argument."
            )
        widths = sorted({row.size for row in shown})
        if len(widths) > 1:
            raise ValueError(
                f"the rows of modality {name!r} differ in width: {widths}. Give each the same "
                "number of features, or None."
            )
        block = np.full((len(data), widths[0]), np.nan, np.result_type(*shown))
        block[[row is not None for row in data]] = shown
        return block
    try:
        block = np.asarray(data)
    except ValueError as error:
        raise ValueError(
            f"modality {name!r} is not an array of numbers ({error}): give each row the same "
            "number of features, or None."
        ) from None
    _check_numbers(name, block.dtype)
    if block.ndim == 0:
        raise ValueError(
            f"modality {name!r} must have one entry a row; got the single value {block}."
        )
    block = block.astype(np.result_type(np.float32, block.dtype), copy=False)
    return block.reshape(len(block), math.prod(block.shape[1:]))


def _check_numbers(name, dtype):
    if dtype.kind not in "biuf":
        raise ValueError(
            f"modality {name!r} must hold numbers; got dtype {dtype}. Encode it first: "
            "CountVectorizer turns text into counts, OneHotEncoder categories into 0 and 1."
        )


def _as_ids(sequence):
    """Sequence ids as a 1-D float array."""
    try:
        ids = np.asarray(sequence, float)
    except (TypeError, ValueError):
        raise ValueError(
            "sequence must hold one number a row; got other values. Number them first, with "
            "np.unique(sequence, return_inverse=True)[1]."
        ) from None
    if ids.ndim != 1:
        raise ValueError(f"sequence must hold one number a row; got an array of shape {ids.shape}.")
    return ids


def _side_by_side(blocks, ids):
    """Blocks as one array, CSR if one of them is; the sequence ids, if any, come first."""
    parts = [*blocks.values()] if ids is None else [ids[:, None], *blocks.values()]
    dtype = np.result_type(np.float32, *(part.dtype for part in parts))
    if any(sp.issparse(part) for part in parts):
        return sp.hstack([sp.csr_array(part) for part in parts], format="csr", dtype=dtype)
    return np.concatenate(parts, axis=1, dtype=dtype)


def _pack_like(like, blocks, ids, n_rows):
    """Blocks in the columns that `like` gives them; modalities that were not given are absent."""
    columns = {name: _listed(name, spec, None) for name, spec in like.items()}
    named = any(isinstance(column, str) for listed in columns.values() for column in listed[:1])
    owned = [number for number in (0, 1) if any(number in listed for listed in columns.values())]
    if ids is None and owned == [1]:
        raise ValueError(
            "the layout keeps column 0 for the sequence ids: pass sequence=, one number a row."
        )
    sparse = any(sp.issparse(block) for block in blocks.values())
    filled = {}
    for name, listed in columns.items():
        known = len(listed) < 2**31  # else a slice without an end
        if name not in blocks and not known:
            raise ValueError(
                f"modality {name!r} is absent, and {like[name]!r} does not say how many columns it "
                "has: give the slice an end."
            )
        if name not in blocks:
            filled[name] = _absent(n_rows, len(listed), sparse)
        elif known and blocks[name].shape[1] != len(listed):
            raise ValueError(
                f"modality {name!r} has {blocks[name].shape[1]} columns, but {len(listed)} in the "
                "layout: give it the features that it had then."
            )
        else:
            filled[name] = blocks[name]
    if named:
        return _pack_frames(filled, ids, columns)
    filled = {
        name: _as_array(name, b.to_numpy()) if hasattr(b, "iloc") else b
        for name, b in filled.items()
    }
    X = _side_by_side(filled, ids)
    first = [] if ids is None else [[0]]
    layout = Layout.resolve(like, X.shape[1], sequence=0 if first else None)
    order = np.concatenate([*first, *layout.columns.values()])
    return X if (np.diff(order) > 0).all() else X[:, np.argsort(order)]


def _stacked(name, entries, lengths):
    """The frames of one stream in all sequences, NaN where a sequence has no more of them."""
    shown = [entry for entry in entries if entry is not None]
    widths = sorted({entry.shape[1] for entry in shown})
    if len(widths) != 1:
        found = f"differ in their number of columns: {widths}" if widths else "are all None"
        raise ValueError(f"the sequences of stream {name!r} {found}. Give all the same columns.")
    block = np.full((sum(lengths), widths[0]), np.nan, np.result_type(*shown))
    for first, entry in zip(np.cumsum([0, *lengths[:-1]]), entries, strict=True):
        if entry is not None:
            block[first : first + len(entry)] = entry
    return block


def _absent(n_rows, width, sparse):
    """A block that no row shows: all NaN, or one explicit NaN a row."""
    if not sparse:
        return np.full((n_rows, width), np.nan, np.float32)
    mark = np.full(n_rows, np.nan, np.float32)
    return sp.csr_array((mark, (np.arange(n_rows), np.zeros(n_rows, int))), shape=(n_rows, width))


def _pack_frames(blocks, ids, columns=None):
    """Blocks as one DataFrame, its columns named as in `columns`: with the modality as prefix."""
    import pandas as pd

    index = next((block.index for block in blocks.values() if hasattr(block, "iloc")), None)
    parts = [] if ids is None else [pd.DataFrame({"sequence": ids}, index=index)]
    for name, block in blocks.items():
        if not hasattr(block, "iloc"):
            block = pd.DataFrame(_dense(block), index=index)
            own = None if columns is None else columns[name]
        elif not block.index.equals(index):
            raise ValueError(
                f"modality {name!r} has another index than the first DataFrame: align them first "
                "(DataFrame.reindex)."
            )
        else:
            own = None
        if own is None:
            if PREFIX in name:
                raise ValueError(
                    f"modality {name!r} has {PREFIX!r} in its name, which separates modality and "
                    "feature in the columns of a DataFrame: choose another name."
                )
            own = [f"{name}{PREFIX}{column}" for column in block.columns]
            if columns is not None and own != columns[name]:
                raise ValueError(
                    f"modality {name!r} has the columns {_some(own)}, but {_some(columns[name])} "
                    "in the layout: give it the features that it had then, in their order."
                )
        parts.append(block.set_axis(own, axis=1))
    return pd.concat(parts, axis=1)


def _dense(block):
    """A dense copy of a CSR block, in which one NaN makes the row NaN; others as they are."""
    if not sp.issparse(block):
        return block
    block = block.toarray()
    block[np.isnan(block).any(axis=1)] = np.nan
    return block
