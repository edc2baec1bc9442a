"""Whether probabilities mean what they say."""

import itertools

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, MARKERS, PALE, Display

__all__ = ["ReliabilityDisplay"]


class ReliabilityDisplay(Display):
    """How often classifiers are right, by how sure they are, for any number of classes.

    Points below the diagonal are of a classifier that is surer than it should be; their area is the
    share of the rows. The legend has the expected calibration error, the mean distance of the
    points to the diagonal, weighted by their rows.

    Parameters
    ----------
    confidence, accuracy, count : dict of str to array-like of shape (n_bins,)
        By classifier: mean probability of the predicted class, share of rows that it is right on,
        and number of rows, of each bin that has any.

    Attributes
    ----------
    errors : dict of str to float
        Expected calibration errors.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    lines_ : dict of str to Line2D

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import ReliabilityDisplay
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> rows = digits.train[:300]
    >>> mkl = mg.MKLClassifier(modalities=modalities).fit(X[rows], digits.target[rows])
    >>> shown = ReliabilityDisplay.from_estimator(mkl, X[digits.test], digits.target[digits.test])
    >>> shown.errors["MKLClassifier"] < .1
    True
    """

    def __init__(self, confidence, accuracy, count):
        self.confidence, self.accuracy, self.count = (
            {name: np.asarray(values, float) for name, values in some.items()}
            for some in (confidence, accuracy, count)
        )
        self.errors = {
            name: float(np.average(np.abs(sure - self.accuracy[name]), weights=self.count[name]))
            for name, sure in self.confidence.items()
        }

    @classmethod
    def from_estimator(cls, estimator, X, y, *, n_bins=10, ax=None, **kwargs):
        """Ask fitted classifiers about rows, and draw it.

        Parameters
        ----------
        estimator : fitted classifier, or dict of str to fitted classifier
            With ``predict_proba``.
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        n_bins : int
            Bins of equal width between 0 and 1.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        ReliabilityDisplay
        """
        estimators = estimator
        if not isinstance(estimator, dict):
            estimators = {type(estimator).__name__: estimator}
        y, curves = np.asarray(y), ({}, {}, {})
        for name, one in estimators.items():
            check_is_fitted(one)
            p = one.predict_proba(X)
            sure, right = p.max(axis=1), one.classes_[p.argmax(axis=1)] == y
            bins = np.minimum((sure * n_bins).astype(int), n_bins - 1)
            count = np.bincount(bins, minlength=n_bins)
            some = count > 0
            for curve, values in zip(curves, (sure, right), strict=False):
                curve[name] = (np.bincount(bins, values, n_bins) / np.maximum(count, 1))[some]
            curves[2][name] = count[some]
        return cls(*curves).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        ReliabilityDisplay
        """
        ax = self._begin(ax, 4.5, 4.5)
        ax.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--")
        self.lines_ = {}
        styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
        for name, (colour, marker) in zip(self.confidence, styles, strict=False):
            share = self.count[name] / self.count[name].sum()
            sure, right = self.confidence[name], self.accuracy[name]
            label = f"{name} (error {self.errors[name]:.3f})"
            style = {"color": colour, "linewidth": 1, **kwargs}
            (self.lines_[name],) = ax.plot(sure, right, label=label, **style)
            colour = self.lines_[name].get_color()
            style = {"color": colour, "marker": marker, "clip_on": False, "zorder": 3}
            ax.scatter(sure, right, 8 + 150 * share, **style)
        ax.set(xlabel="probability of the predicted class", ylabel="share that is right")
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8, loc="upper left")
        return self
