"""Dynamic time warping of streams with the same features."""

from collections.abc import Callable
from typing import Literal

from ..base import warn_of_second_view
from ..engine.warping import STEP_PATTERNS, check_band, costs_between, dtw
from ..hints import Modalities
from ..parameters import choose
from .aligner import Aligner

__all__ = ["DynamicTimeWarping"]


class DynamicTimeWarping(Aligner):
    """Align streams of the same features by dynamic time warping [1]_.

    The modalities are streams: two recordings of one word, say. Rows are frames. Each stream is
    paired with the reference at the least cost, by a path that goes back in neither. There is
    nothing to learn but the layout.

    Parameters
    ----------
    reference : str, optional
        Modality on whose clock the others are warped. None: the first one.
    metric : str or callable
        Distance of two frames, as in :func:`scipy.spatial.distance.cdist`.
    step_pattern : {"symmetric1", "symmetric2", "asymmetric"}
        Which steps a path may take, and their weights: see :func:`~mmgraph.engine.warping.dtw`.
    band : float, optional
        How many frames of the other stream a path may lie off the line from corner to corner.
    open_begin, open_end : bool
        Whether the reference may be matched to a part of the other stream only.
    modalities : dict of str to slice, list of int or list of str, optional
        The columns of each stream.
    sequence : int or str, optional
        Column of the sequence ids. None: all rows are one sequence.

    Attributes
    ----------
    reference_ : str
        Modality whose clock is kept.
    layout_ : Layout
        The columns of each modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    CanonicalTimeWarping : For streams of different features.

    References
    ----------
    .. [1] H. Sakoe, S. Chiba. Dynamic programming algorithm optimization for spoken word
       recognition. IEEE Transactions on Acoustics, Speech, and Signal Processing 26(1):43-49, 1978.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> X, modalities = mg.pack(
    ...     one=[0.0, 1.0, 2.0, 2.0], two=[[0.0], [0.0], [1.0], [2.0]])
    >>> model = mg.DynamicTimeWarping(modalities=modalities).fit(X)
    >>> model.align(X)[0].paths["two"].tolist()
    [[0, 0], [0, 1], [1, 2], [2, 3], [3, 3]]
    >>> model.transform(X)[:, 1]
    array([0., 1., 2., 2.])
    """

    def __init__(
        self,
        reference: str | None = None,
        *,
        metric: str | Callable = "sqeuclidean",
        step_pattern: Literal["symmetric1", "symmetric2", "asymmetric"] = "symmetric1",
        band: float | None = None,
        open_begin: bool = False,
        open_end: bool = False,
        modalities: Modalities | None = None,
        sequence: int | str | None = None,
    ):
        self.reference = reference
        self.metric = metric
        self.step_pattern = step_pattern
        self.band = band
        self.open_begin = open_begin
        self.open_end = open_end
        self.modalities = modalities
        self.sequence = sequence

    def fit(self, X, y=None):
        """Learn the layout.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        y : ignored

        Returns
        -------
        DynamicTimeWarping
        """
        choose("step_pattern", self.step_pattern, STEP_PATTERNS)
        check_band(self.band)
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        widths = {name: len(columns) for name, columns in self.layout_.columns.items()}
        if len(set(widths.values())) > 1:
            raise ValueError(
                f"the modalities have different numbers of columns, {widths}, but frames are "
                "compared column by column: give all the same features, or align them with "
                "CanonicalTimeWarping."
            )
        views.sequences()
        self.reference_ = self._choose_reference()
        return self

    def _warp(self, streams, clock):
        options = {
            "metric": self.metric,
            "step_pattern": self.step_pattern,
            "band": self.band,
            "open_begin": self.open_begin,
            "open_end": self.open_end,
        }
        return {
            name: dtw(streams[clock], frames, **options)
            for name, frames in streams.items()
            if name != clock
        }

    def _compare(self, streams, clock, name):
        return costs_between(streams[clock], streams[name], self.metric)
