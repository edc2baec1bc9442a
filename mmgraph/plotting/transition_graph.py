"""The states of a hidden Markov model, and which follow which."""

import itertools

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, INK, Display

__all__ = ["TransitionGraphDisplay"]

RADIUS = 0.45  # of a state, in units of the axes


class TransitionGraphDisplay(Display):
    """States as circles, and an arrow for each transition, as wide as it is probable.

    A chain in which no state is left for an earlier one is drawn along a line, any other on a
    circle. Each state tells how many frames it lasts on average.

    Parameters
    ----------
    transition : array-like of shape (n_states, n_states)
        Probability of the column's state after the row's.
    names : list of str, optional
        Of the states; None: their numbers.
    threshold : float
        Transitions below it are left out.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    positions_ : ndarray of shape (n_states, 2)
        Where the states are.
    arrows_ : dict of (int, int) to FancyArrowPatch
        By state before and after.

    Examples
    --------
    >>> from mmgraph.plotting import TransitionGraphDisplay
    >>> display = TransitionGraphDisplay([[0.9, 0.1], [0.5, 0.5]]).plot()
    >>> sorted(display.arrows_)
    [(0, 1), (1, 0)]
    """

    def __init__(self, transition, *, names=None, threshold=0.01):
        self.transition = np.asarray(transition, float)
        self.names = list(map(str, range(len(self.transition)))) if names is None else list(names)
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, estimator, *, names=None, threshold=0.01, ax=None, **kwargs):
        """Draw the transitions of a fitted model.

        Parameters
        ----------
        estimator : fitted MultiStreamHMM or TrajectoryHMM, or another with ``transition_``
        names : list of str, optional
            Of the states; None: their numbers.
        threshold : float
            Transitions below it are left out.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the arrows, for ``FancyArrowPatch``.

        Returns
        -------
        TransitionGraphDisplay
        """
        check_is_fitted(estimator)
        display = cls(estimator.transition_, names=names, threshold=threshold)
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the arrows, for ``FancyArrowPatch``.

        Returns
        -------
        TransitionGraphDisplay
        """
        n, stay = len(self.transition), np.diag(self.transition)
        kept = (self.transition >= self.threshold) & ~np.eye(n, dtype=bool)
        forward = not np.tril(kept).any()
        self.positions_ = self._line(n) if forward else self._circle(n)
        span = np.ptp(self.positions_, axis=0) + 2
        self._begin(ax, *np.clip(1.1 * span, 2, 9))
        from matplotlib.patches import Circle, FancyArrowPatch

        self.arrows_ = {}
        for i, j in zip(*np.nonzero(kept), strict=True):
            rad = self._bend(i, j, forward)
            style = {
                "connectionstyle": f"arc3,rad={rad}",
                "arrowstyle": "-|>",
                "mutation_scale": 12,
                "linewidth": 0.6 + 5 * self.transition[i, j],
                "color": INK,
                "alpha": 0.75,
                "shrinkA": 0,
                "shrinkB": 0,
                **kwargs,
            }
            ends = self._ends(i, j, 2 * rad)
            self.arrows_[int(i), int(j)] = FancyArrowPatch(*ends, **style)
            self.ax_.add_patch(self.arrows_[int(i), int(j)])
        places = zip(self.positions_, self.names, stay, itertools.cycle(COLOURS), strict=False)
        for place, name, p, colour in places:
            self.ax_.add_patch(Circle(place, RADIUS, facecolor=colour, alpha=0.85, zorder=2))
            lasts = "for ever" if p >= 1 else f"{1 / (1 - p):.1f} frames"
            text = {"ha": "center", "va": "center", "zorder": 3}
            self.ax_.text(*place + [0, 0.08], name, weight="bold", color="white", **text)
            self.ax_.text(*place - [0, 0.14], lasts, fontsize="x-small", color="white", **text)
        low, high = self.positions_.min(axis=0) - 0.8, self.positions_.max(axis=0) + 0.8
        self.ax_.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        self.ax_.set_axis_off()
        return self

    @staticmethod
    def _line(n):
        return np.column_stack([1.7 * np.arange(n), np.zeros(n)])

    @staticmethod
    def _circle(n):
        angles = np.pi / 2 - 2 * np.pi * np.arange(n) / n
        return max(1.1, 0.32 * n) * np.column_stack([np.cos(angles), np.sin(angles)])

    def _bend(self, i, j, forward):
        """How an arrow curves: those between states that are not neighbours, away from others."""
        n = len(self.transition)
        if forward:
            return 0.0 if j == i + 1 else -0.35
        steps = (j - i) % n
        if steps in (1, n - 1) or 2 * steps == n:
            return -0.18
        return 0.12 if steps < n / 2 else -0.3

    def _ends(self, i, j, bend):
        """Where an arrow leaves one circle and meets the other."""
        ahead = self.positions_[j] - self.positions_[i]
        angle = np.arctan2(ahead[1], ahead[0])
        leave, meet = angle - bend, angle + np.pi + bend
        edge = RADIUS * np.array([[np.cos(leave), np.sin(leave)], [np.cos(meet), np.sin(meet)]])
        return self.positions_[[i, j]] + edge
