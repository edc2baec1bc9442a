"""Where units begin and end, and how sure that is."""

import itertools

import numpy as np

from ._display import COLOURS, INK, Display

__all__ = ["BorderPosteriorDisplay"]


class BorderPosteriorDisplay(Display):
    """The probability of each border at each frame, over the units of the most probable path.

    Parameters
    ----------
    begin, end : array-like of shape (n_units, n_frames)
        Probability that a unit begins with a frame, and that it ends with it.
    spans : array-like of shape (n_units, 2)
        First frame of each unit, and the one after its last.
    units : sequence
        Their labels.
    truth : array-like, optional
        True borders, in frames, to draw beside.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    lines_ : list of Line2D
        The probability that each unit begins.
    bars_ : list of Rectangle
        The units.

    Examples
    --------
    >>> from mmgraph.plotting import BorderPosteriorDisplay
    >>> begin, end = [[1, 0, 0, 0], [0, 0.2, 0.8, 0]], [[0.2, 0.8, 0, 0], [0, 0, 0, 1]]
    >>> display = BorderPosteriorDisplay(begin, end, [[0, 2], [2, 4]], ["a", "b"]).plot()
    >>> len(display.bars_)
    2
    """

    def __init__(self, begin, end, spans, units, *, truth=None):
        self.begin = np.asarray(begin, float)
        self.end = np.asarray(end, float)
        self.spans = np.asarray(spans)
        self.units = list(units)
        self.truth = None if truth is None else np.asarray(truth, float)

    @classmethod
    def from_estimator(cls, aligner, X, units=None, *, which=0, truth=None, ax=None, **kwargs):
        """Align sequences, and draw the borders of one.

        Parameters
        ----------
        aligner : fitted ForcedAligner
        X : array-like of shape (n_rows, n_features)
        units : list of list of labels, optional
            Units of each sequence, in order. None: they are found first.
        which : int
            Number of the sequence that is drawn.
        truth : array-like, optional
            Its true borders, in frames from its first.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        BorderPosteriorDisplay
        """
        found = aligner.align(X, units)[which]
        spans = found.spans - found.rows.start
        return cls(found.begin, found.end, spans, found.units, truth=truth).plot(ax, **kwargs)

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
        BorderPosteriorDisplay
        """
        ax = self._begin(ax, 8, 3)
        labels = list(dict.fromkeys(self.units))
        colours = dict(zip(labels, itertools.cycle(COLOURS), strict=False))
        frames = np.arange(self.begin.shape[1])
        self.lines_, self.bars_ = [], []
        for unit, (first, stop), begin, end in zip(
            self.units, self.spans, self.begin, self.end, strict=True
        ):
            style = {"color": colours[unit], "drawstyle": "steps-mid", **kwargs}
            self.lines_ += ax.plot(frames, begin, **style)
            ax.fill_between(frames, begin, step="mid", alpha=0.3, color=colours[unit])
            ax.plot(frames, end, **{**style, "linestyle": ":"})
            (bar,) = ax.barh(-0.12, stop - first, 0.16, first - 0.5, color=colours[unit], alpha=0.8)
            ax.text((first + stop - 1) / 2, -0.12, unit, ha="center", va="center", fontsize="small")
            self.bars_.append(bar)
        if self.truth is not None:
            ax.vlines(self.truth - 0.5, 0, 1, color=INK, linewidth=0.8, linestyle="--", zorder=0)
        ax.set(xlabel="frame", ylabel="probability of a border", ylim=(-0.22, 1.05))
        ax.set(xlim=(-0.5, len(frames) - 0.5), yticks=[0, 0.5, 1])
        ax.spines[["top", "right"]].set_visible(False)
        return self
