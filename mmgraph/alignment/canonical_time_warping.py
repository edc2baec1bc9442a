"""Canonical time warping of streams with different features."""

import numbers

from ..base import warn_of_second_view
from ..engine import canonical_warping
from ..engine.moments import unit_of
from ..engine.warping import check_band, costs_between
from ..hints import Modalities
from ..parameters import require
from .aligner import Aligner

__all__ = ["CanonicalTimeWarping"]


class CanonicalTimeWarping(Aligner):
    """Align streams of different features where they are most correlated [1]_.

    Given which frames go together, canonical correlation analysis finds the linear functions of the
    streams that agree most; given these, dynamic time warping finds which frames go together. The
    two steps are repeated until the correlations rise no more, from streams that are drawn out
    evenly.

    Parameters
    ----------
    n_components : int
        Dimensions in which the streams are compared; fewer where the columns do not have as many.
    reference : str, optional
        Modality on whose clock the others are warped. None: the first one.
    shrinkage : float
        From 0 to 1, of the covariance of each modality to equal variances without correlation.
        Raise it where there are few frames for the number of columns.
    band : float, optional
        How many frames of the other stream a path may lie off the line from corner to corner.
    max_iter : int
        Most repetitions of the two steps.
    tol : float
        They end once what the mean correlation lacks of 1 falls by less than this share.
    modalities : dict of str to slice, list of int or list of str, optional
        The columns of each stream.
    sequence : int or str, optional
        Column of the sequence ids. None: all rows are one sequence.

    Attributes
    ----------
    weights_ : dict of str to ndarray of shape (n_columns, n_components)
        Weights of the canonical variates, which have variance 1 along the paths.
    means_ : dict of str to ndarray of shape (n_columns,)
        Means along the paths.
    canonical_correlations_ : ndarray of shape (n_components,)
        Along the paths; with more than two modalities the mean over the pairs.
    objective_ : float
        One less the mean of these, the least of `history_`.
    history_ : dict of str to list of float
        ``objective`` after each repetition.
    n_iter_ : int
        Repetitions done.
    converged_ : bool
        Whether they ended before `max_iter`.
    reference_ : str
        Modality whose clock is kept.
    layout_ : Layout
        The columns of each modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    DynamicTimeWarping : For streams of the same features.

    Notes
    -----
    Neither step sees the whole, so the best of the repetitions need not be the best there is. The
    rows of one modality alone are left as they are.

    References
    ----------
    .. [1] F. Zhou, F. De la Torre. Canonical time warping for alignment of human behavior. Advances
       in Neural Information Processing Systems 22, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> time = np.linspace(0, 1, 100)
    >>> late = time**1.3
    >>> X, modalities = mg.pack(
    ...     one=np.c_[np.sin(8 * time), time * np.cos(9 * time)],
    ...     two=np.c_[np.sin(8 * late) - late * np.cos(9 * late), 3 * np.sin(8 * late)],
    ... )
    >>> model = mg.CanonicalTimeWarping(modalities=modalities).fit(X)
    >>> path = model.align(X)[0].paths["two"]
    >>> bool(abs(time[path[:, 0]] - late[path[:, 1]]).mean() < 0.01)
    True
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        reference: str | None = None,
        shrinkage: float = 0.0,
        band: float | None = None,
        max_iter: int = 100,
        tol: float = 1e-3,
        modalities: Modalities | None = None,
        sequence: int | str | None = None,
    ):
        self.n_components = n_components
        self.reference = reference
        self.shrinkage = shrinkage
        self.band = band
        self.max_iter = max_iter
        self.tol = tol
        self.modalities = modalities
        self.sequence = sequence

    def fit(self, X, y=None):
        """Find the space in which the streams are compared.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN where a modality has none.
        y : ignored

        Returns
        -------
        CanonicalTimeWarping
        """
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        require("shrinkage", self.shrinkage, "0", "1", numbers.Real)
        require("max_iter", self.max_iter, "1", "inf", numbers.Integral)
        require("tol", self.tol, "0", "inf", numbers.Real)
        check_band(self.band)
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        self.reference_ = self._choose_reference()
        units = {name: unit_of(views.shown(name)) for name in self.layout_.names}
        space, history, converged = canonical_warping.fit(
            [
                ({name: x / units[name] for name, x in streams.items()}, clock)
                for streams, clock in self._sequences(views)
            ],
            {name: len(columns) for name, columns in self.layout_.columns.items()},
            self.n_components,
            shrinkage=self.shrinkage,
            band=self.band,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.weights_ = {name: w / units[name] for name, w in space.weights.items()}
        self.means_ = {name: mean * units[name] for name, mean in space.means.items()}
        self.canonical_correlations_ = space.correlations
        self.objective_ = space.objective
        self.history_ = {"objective": history}
        self.n_iter_, self.converged_ = len(history), converged
        return self

    def _warp(self, streams, clock):
        return canonical_warping.warp(self._space, streams, clock, band=self.band)

    def _compare(self, streams, clock, name):
        variates = self._space.project({k: streams[k] for k in {clock, name}})
        return costs_between(variates[clock], variates[name])

    @property
    def _space(self):
        return canonical_warping.CanonicalSpace(
            self.means_, self.weights_, self.canonical_correlations_
        )
