"""Mergeable moments of rows: all that the linear models need to know of the data.

The statistics of a set of rows are their number, their mean and their scatter about it. Those of
two sets are merged, or one set is taken out of another, without a look at the rows (Chan, Golub &
LeVeque 1983), so chunks, folds and partial fits cost one pass together. Rows that miss modalities
are kept apart by what they show (:class:`Patterns`), which loses nothing: the pairwise-complete
covariance and the likelihood of a Gaussian both follow from there.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg.blas import dsyrk

from ..backend.arrays import namespace

__all__ = ["Moments", "Patterns", "gather", "merge", "of_rows", "subtract", "unit_of"]

BLOCK_BYTES = 1 << 24  # of the rows that are centred at a time
MIN_BLOCK = 256  # rows, so that the product outweighs the merge
SAMPLE = 1000  # rows from which a unit is taken
# Powers of two whose fourth powers are within range (float32: squares), and units that are, by the
# bytes of a number.
WITHIN = {8: (200, 1000), 4: (45, 120)}


class Moments(NamedTuple):
    """Moments of a set of rows, in float64.

    Attributes
    ----------
    n : int
        Number of rows.
    mean : array of shape (n_columns,)
        Zero where there are no rows.
    scatter : array of shape (n_columns, n_columns)
        Sum over the rows of the outer product of their distance to the mean with itself.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self):
        """Maximum-likelihood covariance, of shape (n_columns, n_columns)."""
        return self.scatter / self.n

    def take(self, columns):
        """The moments of some columns, by index array or slice."""
        columns = columns if isinstance(columns, slice) else namespace(self.mean).asarray(columns)
        return Moments(self.n, self.mean[columns], self.scatter[columns][:, columns])


class Patterns(NamedTuple):
    """Moments of rows that may miss modalities: one set of moments for each pattern that occurs.

    Attributes
    ----------
    columns : dict of str to slice
        Where each modality stands when all are side by side.
    groups : dict of frozenset of str to Moments
        By the modalities that the rows show, the moments of their columns, side by side in the
        order of `columns`.
    """

    columns: Mapping
    groups: Mapping

    @property
    def n_columns(self):
        """Number of columns of all modalities."""
        return max(place.stop for place in self.columns.values())

    def index(self, shown):
        """Columns of some modalities among all of them, as an index array."""
        places = [np.arange(s.start, s.stop) for name, s in self.columns.items() if name in shown]
        return np.concatenate(places) if places else np.arange(0)

    def of(self, *names):
        """Moments of the named modalities, side by side, over the rows that show all of them."""
        wanted = self.index(names)
        total = _nothing(len(wanted), self.xp)
        for shown, group in self.groups.items():
            if shown.issuperset(names):
                total = merge(total, group.take(np.searchsorted(self.index(shown), wanted)))
        return total

    @property
    def n(self):
        """Number of rows that show anything."""
        return sum(group.n for group in self.groups.values())

    def pairwise(self):
        """Moments of all columns, each pair of modalities over the rows that show both.

        The means and the covariance of a modality are those of the rows that show it. Where rows
        miss modalities the whole need not be a covariance; then its correlations are replaced by
        the nearest positive semi-definite ones (their negative eigenvalues by zero, and the
        diagonal scaled back to one).

        Returns
        -------
        Moments
            With all rows as their number.

        Raises
        ------
        ValueError
            If no row shows both modalities of a pair.
        """
        whole = self.groups.get(frozenset(self.columns))
        if whole is not None and len(self.groups) == 1:
            return whole
        xp, width = self.xp, self.n_columns
        mean, covariance = xp.zeros(width), xp.zeros((width, width))
        for one, at in self.columns.items():
            own = self.of(one)
            mean[at] = own.mean
            for two, other in self.columns.items():
                if two == one:
                    break
                both = self.of(two, one)
                if not both.n:
                    raise ValueError(
                        f"no row shows both {two!r} and {one!r}, so how they go together cannot "
                        "be learnt: add rows that show both."
                    )
                edge = other.stop - other.start
                covariance[other, at] = both.scatter[:edge, edge:] / both.n
                covariance[at, other] = covariance[other, at].T
            covariance[at, at] = own.covariance if own.n else 0.0
        return Moments(self.n, mean, self.n * _semidefinite(covariance, xp))

    @property
    def xp(self):
        """Namespace of the moments."""
        return namespace(*(group.mean for group in self.groups.values()))

    def merge(self, other):
        """Those of both sets of rows."""
        groups = dict(self.groups)
        for shown, group in other.groups.items():
            groups[shown] = merge(groups[shown], group) if shown in groups else group
        return Patterns(self.columns, groups)

    def times(self, factors):
        """Those of the rows with the columns of each modality times a factor, by name."""
        groups = {}
        for shown, group in self.groups.items():
            size = np.concatenate(
                [
                    np.full(s.stop - s.start, factors[k])
                    for k, s in self.columns.items()
                    if k in shown
                ]
            )
            size = self.xp.asarray(size)
            scatter = group.scatter * size * size[:, None]
            groups[shown] = Moments(group.n, group.mean * size, scatter)
        return Patterns(self.columns, groups)

    def subtract(self, other):
        """Those of the rows that are not among the other's, which must be among these."""
        groups = dict(self.groups)
        for shown, group in other.groups.items():
            rest = subtract(groups.pop(shown), group)
            if rest.n:
                groups[shown] = rest
        return Patterns(self.columns, groups)


def unit_of(X):
    """What to divide rows by, so that their squares are within range: a power of two.

    It is 1 for all ordinary rows, float64 between 1e-60 and 1e60, so that dividing can be left out.
    Else it is in the middle of the scales of the columns, of which a thousand of the rows are
    looked at.

    Parameters
    ----------
    X : array or CSR array of shape (n_rows, n_columns)
        Without NaN.

    Returns
    -------
    float
    """
    within, bound = WITHIN[X.dtype.itemsize]
    largest = abs(X[:: -(-X.shape[0] // SAMPLE)]).max(axis=0)
    largest = largest.toarray().ravel() if sp.issparse(X) else largest
    xp = namespace(largest)
    _, powers = xp.frexp(largest[largest > 0])
    if not len(powers) or int(abs(powers).max()) <= within:
        return 1.0
    middle = (int(powers.min()) + int(powers.max())) // 2
    return 2.0 ** max(-bound, min(bound, middle))


def of_rows(X):
    """Moments of rows.

    Rows are taken a block at a time; each is centred before its product, which is computed in the
    floating type of X and added up in float64. CSR rows are not densified.

    Parameters
    ----------
    X : array or CSR array of shape (n_rows, n_columns)
        Without NaN.

    Returns
    -------
    Moments
    """
    return _of_blocks([X], X.shape[0])


def gather(blocks, patterns):
    """Moments of rows that may miss modalities, by pattern.

    Parameters
    ----------
    blocks : mapping of str to array or CSR array of shape (n_rows, n_columns)
        Columns of each modality.
    patterns : iterable of (frozenset of str, ndarray of int)
        The modalities that a group of rows shows, and the rows.

    Returns
    -------
    Patterns
    """
    widths = [block.shape[1] for block in blocks.values()]
    ends = np.cumsum(widths).tolist()
    places = (slice(end - width, end) for end, width in zip(ends, widths, strict=True))
    columns = dict(zip(blocks, places, strict=True))
    groups = {}
    for shown, rows in patterns:
        if shown and len(rows):
            parts = [block for name, block in blocks.items() if name in shown]
            whole = len(rows) == parts[0].shape[0]
            groups[shown] = _of_blocks(parts, len(rows), None if whole else rows)
    return Patterns(columns, groups)


def merge(one, two):
    """Moments of two sets of rows together."""
    if not one.n or not two.n:
        return two if not one.n else one
    n = one.n + two.n
    step = two.mean - one.mean
    xp = namespace(step)
    scatter = one.scatter + two.scatter
    scatter += xp.outer(step, step * (one.n * two.n / n))
    return Moments(n, one.mean + step * (two.n / n), scatter)


def subtract(whole, part):
    """Moments of the rows of a set that are not among those of a part of it."""
    n = whole.n - part.n
    if n < 0:
        raise ValueError(f"a part of {part.n} rows was taken from a set of {whole.n}.")
    if not n:
        return _nothing(len(whole.mean), namespace(whole.mean))
    step = (part.mean - whole.mean) * (whole.n / n)  # from the mean of the rest to the part's
    xp = namespace(step)
    scatter = whole.scatter - part.scatter
    scatter -= xp.outer(step, step * (part.n * n / whole.n))
    return Moments(n, part.mean - step, scatter)


def _semidefinite(covariance, xp):
    """A symmetric matrix as it is, if it is a covariance, else with correlations that are."""
    if not len(covariance):
        return covariance
    scale = xp.sqrt(xp.maximum(covariance.diagonal(), 0.0))  # rounding may leave less than 0
    scale = xp.where(scale > 0, scale, 1.0)
    values, vectors = xp.linalg.eigh(covariance / scale / scale[:, None])
    if values[0] >= -1e-12 * values[-1]:
        return covariance
    part = vectors * xp.sqrt(xp.maximum(values, 0.0))
    length = xp.sqrt((part**2).sum(axis=1, keepdims=True))
    part = part / xp.where(length > 0, length, 1.0) * scale[:, None]
    return part @ part.T


def _nothing(n_columns, xp):
    return Moments(0, xp.zeros(n_columns), xp.zeros((n_columns, n_columns)))


def _of_blocks(parts, n_rows, rows=None):
    """Moments of the columns of some blocks side by side, over some rows.

    The scatters of the blocks of rows are added up as they come; what the distances between their
    means add to that is one product at the end.
    """
    xp = namespace(*parts)
    width = sum(part.shape[1] for part in parts)
    if not n_rows or not width:
        return _nothing(width, xp)._replace(n=n_rows)
    at_once = min(n_rows, max(MIN_BLOCK, BLOCK_BYTES // (8 * max(1, width))))
    dtype = np.result_type(*(part.dtype for part in parts))
    room = None if all(map(sp.issparse, parts)) else xp.empty((at_once, width), dtype)
    counts, means, rests = [], [], []
    scatter = xp.zeros((width, width), order="F")
    rows = None if rows is None else xp.asarray(rows)
    for start in range(0, n_rows, at_once):
        stop = min(start + at_once, n_rows)
        chosen = slice(start, stop) if rows is None else rows[start:stop]
        some = [part[chosen] for part in parts]
        if room is None:
            mean = rest = _add_sparse(scatter, some)
        else:
            mean, rest = _add_centred(scatter, some, room[: stop - start], xp)
        counts.append(stop - start)
        means.append(mean)
        rests.append(rest)
    scatter = xp.triu(scatter)
    scatter += xp.triu(scatter, 1).T
    counts, means, rests = xp.asarray(counts, float), xp.stack(means), xp.stack(rests)
    root = xp.sqrt(counts)[:, None]
    mean = counts @ means / n_rows
    between, rests = root * (means - mean), root * rests
    scatter += between.T @ between
    scatter -= rests.T @ rests
    return Moments(n_rows, mean, scatter)


def _add_centred(scatter, parts, room, xp):
    """Add the upper triangle of the scatter of rows about a centre near their mean.

    Returns
    -------
    mean : array
    rest : array
        Its distance from the centre, which is in the floating type of the rows.
    """
    parts = [part.toarray() if sp.issparse(part) else part for part in parts]
    mean = xp.concatenate([part.mean(axis=0, dtype=np.float64) for part in parts])
    centre = mean.astype(room.dtype)
    stop = 0
    for part in parts:
        place = slice(stop, stop := stop + part.shape[1])
        xp.subtract(part, centre[place], out=room[:, place])
    if xp is np and room.dtype == np.float64:
        dsyrk(1.0, room.T, beta=1.0, c=scatter, overwrite_c=1)
    else:
        scatter += room.T @ room
    return mean, mean - centre


def _add_sparse(scatter, parts):
    """Add the scatter of CSR rows about zero; returns their mean."""
    block = sp.hstack(parts, format="csr").astype(np.float64)
    scatter += (block.T @ block).toarray()
    return np.asarray(block.mean(axis=0)).ravel()
