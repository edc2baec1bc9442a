"""Dynamic time warping under a metric that is learnt from given correspondences."""

import numbers
from collections.abc import Mapping
from typing import Literal

import numpy as np

from ..base import warn_of_second_view
from ..engine.warping import STEP_PATTERNS, check_band, costs_between, dtw
from ..engine.warping_metric import METHODS
from ..hints import Modalities
from ..parameters import choose, require
from .aligner import Aligner, dense_rows

__all__ = ["MetricTimeWarping"]


class MetricTimeWarping(Aligner):
    """Align streams where frames that are known to go together are near each other.

    From some correspondences a projection of the frames of each stream is learnt, and with it their
    distance; all streams, these and new ones, are then paired by dynamic time warping. The streams
    may have different features.

    Parameters
    ----------
    method : {"canonical", "relevant"}
        Canonical variates of the frames that go together, each weighted by how well its distance
        tells what does; or, for streams of the same features, relevant components [1]_: a
        Mahalanobis distance in which differences of frames that go together have variance 1.
    n_components : int
        Dimensions in which the streams are compared; fewer where the columns do not have as many.
    reference : str, optional
        Modality on whose clock the others are warped. None: the first one.
    shrinkage : float
        From 0 to 1, of the covariances to equal variances without correlation, in units of the
        columns' deviations. Raise it where there are few correspondences for the number of columns.
    step_pattern : {"symmetric1", "symmetric2", "asymmetric"}
        See :func:`~mmgraph.engine.warping.dtw`.
    band : float, optional
        How many frames of the other stream a path may lie off the line from corner to corner.
    modalities : dict of str to slice, list of int or list of str, optional
        The columns of each stream.
    sequence : int or str, optional
        Column of the sequence ids. None: all rows are one sequence.

    Attributes
    ----------
    metrics_ : dict of str to Metric
        For each other modality the `scales` and `weights` of the reference's frames and of its own.
    reference_ : str
        Modality whose clock is kept.
    layout_ : Layout
        The columns of each modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    CanonicalTimeWarping : Where no correspondences are known.

    Notes
    -----
    The streams of a sequence that lacks the reference are not paired. A metric for alignment can
    also be learnt by the loss of whole paths [2]_, which takes complete paths and many alignments.

    References
    ----------
    .. [1] A. Bar-Hillel, T. Hertz, N. Shental, D. Weinshall. Learning distance functions using
       equivalence relations. ICML 2003.
    .. [2] D. Garreau, R. Lajugie, S. Arlot, F. Bach. Metric learning for temporal sequence
       alignment. Advances in Neural Information Processing Systems 27, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> time = np.linspace(0, 1, 100)
    >>> late = time**1.3
    >>> def noisy(time):
    ...     return np.c_[np.sin(8 * time), time, rng.normal(size=(100, 10))]
    >>> X, modalities = mg.pack(one=noisy(time), two=noisy(late))
    >>> known = np.c_[:100, np.searchsorted(late, time)][::5]
    >>> model = mg.MetricTimeWarping(modalities=modalities)
    >>> path = model.fit(X, correspondences={"two": known}).align(X)[0].paths["two"]
    >>> bool(abs(time[path[:, 0]] - late[path[:, 1]]).mean() < 0.02)
    True
    """

    _needs_reference = True

    def __init__(
        self,
        method: Literal["canonical", "relevant"] = "canonical",
        n_components: int = 8,
        *,
        reference: str | None = None,
        shrinkage: float = 0.1,
        step_pattern: Literal["symmetric1", "symmetric2", "asymmetric"] = "symmetric1",
        band: float | None = None,
        modalities: Modalities | None = None,
        sequence: int | str | None = None,
    ):
        self.method = method
        self.n_components = n_components
        self.reference = reference
        self.shrinkage = shrinkage
        self.step_pattern = step_pattern
        self.band = band
        self.modalities = modalities
        self.sequence = sequence

    def fit(self, X, y=None, *, correspondences=None):
        """Learn the metrics.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        y : ignored
        correspondences : dict of str to array-like of shape (n_pairs, 2), optional
            For each other modality pairs of a row of X that shows the reference and a row that
            shows the modality, both of one sequence and in order of time, such as the paths of
            :class:`~mmgraph.alignment.aligner.Alignment`. None: frames in the same row go together.

        Returns
        -------
        MetricTimeWarping
        """
        choose("method", self.method, METHODS)
        choose("step_pattern", self.step_pattern, STEP_PATTERNS)
        require("shrinkage", self.shrinkage, "0", "1", numbers.Real)
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        check_band(self.band)
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        self.reference_ = self._choose_reference()
        others = [name for name in self.layout_.names if name != self.reference_]
        widths = {name: len(columns) for name, columns in self.layout_.columns.items()}
        if self.method == "relevant" and len(set(widths.values())) > 1:
            raise ValueError(
                f"the modalities have different numbers of columns, {widths}, but "
                "method='relevant' is for streams of the same features: take 'canonical'."
            )
        if correspondences is None:
            pairs = {name: self._same_rows(views, name) for name in others}
        else:
            pairs = self._check_pairs(views, correspondences, others)
        self.metrics_ = {
            name: METHODS[self.method](
                dense_rows(views, self.reference_, rows[:, 0]),
                dense_rows(views, name, rows[:, 1]),
                self.n_components,
                self.shrinkage,
                (self.reference_, name),
            )
            for name, rows in pairs.items()
        }
        return self

    def _same_rows(self, views, name):
        rows = np.flatnonzero(views.present[self.reference_] & views.present[name])
        if not len(rows):
            raise ValueError(
                f"no row shows both {self.reference_!r} and {name!r}: say which frames go together "
                "by correspondences=."
            )
        return np.column_stack([rows, rows])

    def _check_pairs(self, views, correspondences, others):
        """Given correspondences by modality, as arrays of rows."""
        if not isinstance(correspondences, Mapping) or set(correspondences) != set(others):
            given = list(correspondences) if isinstance(correspondences, Mapping) else None
            raise ValueError(
                f"correspondences must be a dict of pairs of rows for each of {others}; got "
                + (f"one for {given}." if given is not None else f"{type(correspondences)}.")
            )
        which = np.empty(views.n_rows, int)
        for number, rows in enumerate(views.sequences()):
            which[rows] = number
        return {
            name: _in_order(views, which, self.reference_, name, correspondences[name])
            for name in others
        }

    def _warp(self, streams, clock):
        return {
            name: dtw(
                *self.metrics_[name].project(streams[clock], frames),
                step_pattern=self.step_pattern,
                band=self.band,
            )
            for name, frames in streams.items()
            if name != clock
        }

    def _compare(self, streams, clock, name):
        return costs_between(*self.metrics_[name].project(streams[clock], streams[name]))


def _in_order(views, which, reference, name, pairs):
    """Pairs of rows as an array, or what is wrong with them."""
    label = f"correspondences[{name!r}]"
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.dtype.kind not in "iu":
        raise ValueError(
            f"{label} must be an array of ints of shape (n_pairs, 2), with one pair at least; got "
            f"one of {pairs.dtype} of shape {pairs.shape}."
        )
    outside = ((pairs < 0) | (pairs >= views.n_rows)).any(axis=1)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(
            f"{label}: pair {at} is {tuple(pairs[at].tolist())}, but X has rows 0 to "
            f"{views.n_rows - 1}."
        )
    for column, owner in enumerate((reference, name)):
        absent = ~views.present[owner][pairs[:, column]]
        if absent.any():
            at = int(np.argmax(absent))
            raise ValueError(
                f"{label}: pair {at} is {tuple(pairs[at].tolist())}, but row {pairs[at, column]} "
                f"does not show {owner!r}. Give rows of {reference!r} first, then of {name!r}."
            )
    apart = which[pairs[:, 0]] != which[pairs[:, 1]]
    if apart.any():
        at = int(np.argmax(apart))
        raise ValueError(
            f"{label}: pair {at} is {tuple(pairs[at].tolist())}, which are rows of different "
            "sequences: frames go together within one."
        )
    pairs = pairs[np.argsort(which[pairs[:, 0]], kind="stable")]
    same = which[pairs[1:, 0]] == which[pairs[:-1, 0]]
    back = same & (np.diff(pairs, axis=0) < 0).any(axis=1)
    if back.any():
        at = int(np.argmax(back))
        raise ValueError(
            f"{label} goes back in time: {tuple(pairs[at + 1].tolist())} comes after "
            f"{tuple(pairs[at].tolist())}. No path does so: sort the pairs of each sequence, and "
            "leave out those that cross."
        )
    return pairs
