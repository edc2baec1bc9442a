"""A generated stream, with the stream that it came from."""

import numpy as np

from ..modalities import unpack
from ._display import COLOURS, INK, PALE, Display, dense

__all__ = ["GeneratedStreamDisplay"]


class GeneratedStreamDisplay(Display):
    """Streams that were given, and columns of the one that was generated, in their intervals.

    Parameters
    ----------
    given : dict of str to array-like of shape (n_frames, n_columns)
    truth : array-like of shape (n_frames, n_columns)
        The stream itself; NaN where it is not known.
    generated : array-like of shape (n_frames, n_columns)
    interval : array-like of shape (2, n_frames, n_columns)
    target : str
        Name of the stream.
    columns : list of int
        Which columns of it to draw.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_given + n_drawn, 1)
    lines_ : list of Line2D
        Of the generated columns.
    bands_ : list of PolyCollection
        Of their intervals.

    Examples
    --------
    >>> from mmgraph.plotting import GeneratedStreamDisplay
    >>> display = GeneratedStreamDisplay(
    ...     {"a": [[0.0], [1.0]]}, [[0.0], [1.0]], [[0.1], [0.9]], [[[0], [0]], [[1], [1]]], "b"
    ... ).plot()
    >>> display.axes_.shape
    (2, 1)
    """

    def __init__(self, given, truth, generated, interval, target, columns=(0,)):
        self.given = {name: np.asarray(values, float) for name, values in given.items()}
        self.truth, self.generated = np.asarray(truth, float), np.asarray(generated)
        self.interval = np.asarray(interval)
        self.target, self.columns = target, list(columns)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        target,
        *,
        columns=None,
        which=0,
        coverage=0.9,
        n_samples=200,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Generate a stream of one sequence, and draw it.

        Parameters
        ----------
        estimator : fitted estimator that generates
            Such as TrajectoryHMM or MultiStreamHMM.
        X : array-like of shape (n_rows, n_features)
        target : str
            Name of the stream to generate.
        columns : list of int, optional
            Which columns of it to draw; None: the first three.
        which : int
            Number of the sequence.
        coverage : float
            Probability that a value lies in its interval.
        n_samples : int
            Draws that the intervals are taken from, where the estimator has no ``interval``.
        random_state : int, RandomState, Generator or None
            Seed of these draws.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the generated columns, for ``Axes.plot``.

        Returns
        -------
        GeneratedStreamDisplay
        """
        rows = estimator.layout_.views(dense(X)).sequences()[which]
        shown = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
        streams = unpack(dense(shown), estimator.layout_)
        generated = estimator.generate(shown, target)
        if hasattr(estimator, "interval"):
            ends = estimator.interval(shown, target, coverage=coverage)
        else:
            draws = estimator.generate(
                shown, target, n_samples=n_samples, random_state=random_state
            )
            ends = np.quantile(draws, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
        columns = range(min(3, generated.shape[1])) if columns is None else columns
        truth = streams.pop(target)
        return cls(streams, truth, generated, ends, target, columns).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the generated columns, for ``Axes.plot``.

        Returns
        -------
        GeneratedStreamDisplay
        """
        n_panels = len(self.given) + len(self.columns)
        self._begin(ax, 7, 1.4 * n_panels + 0.5)
        panels = self._divide(n_panels, 1, gap=0.12)[:, 0]
        for panel, (name, values) in zip(panels, self.given.items(), strict=False):
            lines = panel.plot(values, color=INK, linewidth=1)
            for line, shade in zip(lines, np.linspace(1, 0.35, len(lines)), strict=True):
                line.set_alpha(shade)
            panel.set_ylabel(name)
        self.lines_, self.bands_ = [], []
        frames, colour = np.arange(len(self.generated)), COLOURS[0]
        for panel, column in zip(panels[len(self.given) :], self.columns, strict=True):
            lower, upper = self.interval[:, :, column]
            band = panel.fill_between(frames, lower, upper, color=colour, alpha=0.25, linewidth=0)
            style = {"color": colour, "label": "generated", **kwargs}
            self.bands_.append(band)
            self.lines_ += panel.plot(frames, self.generated[:, column], **style)
            panel.plot(frames, self.truth[:, column], color=INK, linewidth=0.8, label="real")
            panel.set_ylabel(f"{self.target} {column}")
        for panel in panels:
            panel.set_xlim(-0.5, len(frames) - 0.5)
            panel.spines[["top", "right"]].set_visible(False)
            panel.spines[["left", "bottom"]].set_color(PALE)
            panel.tick_params(labelbottom=panel is panels[-1])
        place = {"loc": "lower right", "bbox_to_anchor": (1, 0.97), "borderaxespad": 0}
        handles = panels[-1].get_legend_handles_labels()
        panels[0].legend(*handles, frameon=False, ncols=2, fontsize="small", **place)
        panels[-1].set_xlabel("frame")
        return self
