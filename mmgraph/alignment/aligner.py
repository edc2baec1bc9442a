"""The contract of aligners: paths between the streams of each sequence, and a common clock."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from ..base import MultimodalEstimator
from ..engine.warping import match

__all__ = ["Aligner", "Alignment"]


class Alignment(NamedTuple):
    """How the streams of one sequence go together.

    Attributes
    ----------
    rows : slice
        The rows of X that the sequence has.
    clock : str or None
        Modality on whose frames the others are warped; None where the sequence shows none.
    paths : dict of str to ndarray of shape (n_cells, 2), int64
        For each other modality that the sequence shows, pairs of a row of X that shows the clock
        and a row that shows the modality, in order of time.
    distances : dict of str to float
        Cost of each path.
    posteriors : dict of str to ndarray of shape (n_frames_of_clock, n_frames)
        Probability that frames go together, for each path, where the aligner knows it: of the rows
        of the sequence that show the clock, and of those that show the modality.
    """

    rows: slice
    clock: str | None
    paths: dict
    distances: dict
    posteriors: Mapping = MappingProxyType({})


class Aligner(OneToOneFeatureMixin, TransformerMixin, MultimodalEstimator):
    """Base of the aligners: a subclass says how the streams of one sequence go together.

    It implements ``_warp(streams, clock)``, which takes the frames of each modality that a sequence
    shows, by name, and returns a :class:`~mmgraph.engine.warping.Warping` of the clock's frames to
    those of each other one, by name; and ``_compare(streams, clock, name)``, the distances of the
    frames of two.
    """

    _needs_reference = False  # whether only the reference is compared with the others

    def align(self, X):
        """Paths between the streams of each sequence.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.

        Returns
        -------
        list of Alignment
            One a sequence, in order.
        """
        return self._align(self._check(X))

    def transform(self, X):
        """Warp the streams of each sequence onto the frames of the reference modality.

        In a row that shows the reference, another modality becomes the mean of its frames that the
        path pairs with this one. In a row that does not, nothing is shown. Where a sequence lacks
        the reference altogether, the first modality that it shows takes its place.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
            With the columns of X; NaN where a modality has no frame.
        """
        views = self._check(X)
        blocks = {
            name: np.full((views.n_rows, block.shape[1]), np.nan)
            for name, block in views.blocks.items()
        }
        for found in self._align(views):
            if found.clock is None:
                continue
            streams = _streams(views, found.rows)
            rows, frames = streams[found.clock]
            blocks[found.clock][rows] = frames
            for name, path in found.paths.items():
                own, frames = streams[name]
                places = np.column_stack(
                    [np.searchsorted(rows, path[:, 0]), np.searchsorted(own, path[:, 1])]
                )
                blocks[name][rows] = match(places, frames, len(rows))
        return self.layout_.join(blocks, views.n_rows, views.dtype, ids=views.ids)

    def distances(self, X, which, modality):
        """Distances of the frames of two streams, as the aligner compares them.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        which : int
            Number of the sequence.
        modality : str
            One stream; the other is the clock's.

        Returns
        -------
        distances : ndarray of shape (n_frames, n_frames_of_modality)
        rows, columns : ndarray of int
            The rows of X that these are.
        """
        views = self._check(X)
        self.layout_.require(modality)
        streams = _streams(views, views.sequences()[which])
        if modality not in streams:
            raise ValueError(f"sequence {which} does not show {modality!r}.")
        if self._needs_reference and self.reference_ not in streams:
            raise ValueError(
                f"sequence {which} does not show the reference, {self.reference_!r}, with which "
                f"{type(self).__name__} compares the others."
            )
        clock = _clock(streams, self.reference_)
        frames = {name: values for name, (_, values) in streams.items()}
        found = self._compare(frames, clock, modality)
        return found, streams[clock][0], streams[modality][0]

    def _align(self, views):
        found = []
        for rows in views.sequences():
            streams = _streams(views, rows)
            clock = _clock(streams, self.reference_)
            frames = {name: values for name, (_, values) in streams.items()}
            known = clock == self.reference_ or not self._needs_reference
            try:
                warpings = self._warp(frames, clock) if len(streams) > 1 and known else {}
            except ValueError as error:
                raise ValueError(f"rows {rows.start} to {rows.stop - 1}: {error}") from error
            paths = {
                name: np.column_stack(
                    [streams[clock][0][w.path[:, 0]], streams[name][0][w.path[:, 1]]]
                )
                for name, w in warpings.items()
            }
            distances = {name: w.distance for name, w in warpings.items()}
            posteriors = {n: w.posterior for n, w in warpings.items() if w.posterior is not None}
            found.append(Alignment(rows, clock, paths, distances, posteriors))
        return found

    def _choose_reference(self):
        """The modality that keeps its clock."""
        if self.reference is None:
            return self.layout_.names[0]
        return self.layout_.require(self.reference)

    def _sequences(self, views):
        """The frames of each sequence by modality, and its clock."""
        for rows in views.sequences():
            streams = _streams(views, rows)
            frames = {name: values for name, (_, values) in streams.items()}
            yield frames, _clock(streams, self.reference_)


def _clock(streams, reference):
    return reference if reference in streams else next(iter(streams), None)


def _streams(views, rows):
    """Rows and frames (float64) of each modality that a sequence shows."""
    streams = {}
    for name, mask in views.present.items():
        own = rows.start + np.flatnonzero(mask[rows])
        if len(own):
            streams[name] = own, dense_rows(views, name, own)
    return streams


def dense_rows(views, name, rows):
    """Some frames of a modality as a float64 array."""
    frames = views.blocks[name][rows]
    return np.asarray(frames.toarray() if sp.issparse(frames) else frames, np.float64)
