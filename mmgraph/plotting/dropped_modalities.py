"""Scores as modalities are dropped."""

import itertools

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, MARKERS, Display, dense

__all__ = ["DroppedModalitiesDisplay"]


class DroppedModalitiesDisplay(Display):
    """How the scores of fitted estimators fall as modalities are dropped from rows.

    Parameters
    ----------
    rates : array-like of shape (n_rates,)
        Probability with which each modality of each row is dropped.
    scores : dict of str to array-like of shape (n_rates, n_repeats)
        Scores by estimator.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    lines_ : dict of str to Line2D
    """

    def __init__(self, rates, scores):
        self.rates = np.asarray(rates, float)
        self.scores = {name: np.asarray(values, float) for name, values in scores.items()}

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        rates=(0.0, 0.2, 0.4, 0.6, 0.8),
        n_repeats=3,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Drop modalities from rows at random, score, and draw it.

        Parameters
        ----------
        estimator : fitted estimator, or dict of str to fitted estimator
            With ``score(X, y)``; all of one layout. All are asked about the same rows.
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        rates : sequence of float
            Probabilities of dropping.
        n_repeats : int
            Draws of what is dropped.
        random_state : int, RandomState instance or None
            Seed of the draws.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        DroppedModalitiesDisplay
        """
        estimators = estimator
        if not isinstance(estimator, dict):
            estimators = {type(estimator).__name__: estimator}
        for one in estimators.values():
            check_is_fitted(one)
        layout = next(iter(estimators.values())).layout_
        rng, X = check_random_state(random_state), dense(X)
        scores = {name: np.empty((len(rates), n_repeats)) for name in estimators}
        for i, k in np.ndindex(len(rates), n_repeats):
            rows = X.copy()
            for columns in layout.columns.values():
                rows[np.ix_(rng.random_sample(len(X)) < rates[i], columns)] = np.nan
            for name, one in estimators.items():
                scores[name][i, k] = one.score(rows, y)
        return cls(rates, scores).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it: the mean of the repeats, and their range.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        DroppedModalitiesDisplay
        """
        ax = self._begin(ax, 6, 4)
        self.lines_ = {}
        styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
        for (name, values), (colour, marker) in zip(self.scores.items(), styles, strict=False):
            style = {"color": colour, "marker": marker, "markersize": 5, **kwargs}
            (line,) = ax.plot(100 * self.rates, values.mean(axis=1), label=name, **style)
            if values.shape[1] > 1:
                low, high = values.min(axis=1), values.max(axis=1)
                shade = line.get_color()
                ax.fill_between(100 * self.rates, low, high, color=shade, alpha=0.15, lw=0)
            self.lines_[name] = line
        ax.set(xlabel="modalities dropped, %", ylabel="score")
        ax.spines[["top", "right"]].set_visible(False)
        if len(self.scores) > 1:
            ax.legend(frameon=False)
        return self
