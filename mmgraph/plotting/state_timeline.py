"""The states of a sequence, over its streams."""

import itertools

import numpy as np

from ..modalities import unpack
from ._display import COLOURS, INK, PALE, Display, dense

__all__ = ["StateTimelineDisplay"]


class StateTimelineDisplay(Display):
    """The streams of a sequence, in front of its states, and the probability of each state.

    Parameters
    ----------
    streams : dict of str to array-like of shape (n_frames, n_columns)
        NaN where a frame lacks the stream.
    posterior : array-like of shape (n_frames, n_states)
        Probability of each state in each frame.
    path : array-like of int, shape (n_frames,), optional
        State of each frame; None: the most probable one by itself.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_streams + 1, 1)
        One a stream, and that of the probabilities.
    lines_ : dict of str to list of Line2D
        By stream, one a column.

    Examples
    --------
    >>> from mmgraph.plotting import StateTimelineDisplay
    >>> display = StateTimelineDisplay({"a": [[0.0], [1.0]]}, [[0.9, 0.1], [0.2, 0.8]]).plot()
    >>> display.path.tolist()
    [0, 1]
    """

    def __init__(self, streams, posterior, path=None):
        self.streams = {name: np.asarray(values, float) for name, values in streams.items()}
        self.posterior = np.asarray(posterior)
        self.path = self.posterior.argmax(axis=1) if path is None else np.asarray(path)

    @classmethod
    def from_estimator(cls, estimator, X, *, which=0, ax=None, **kwargs):
        """Find the states of one sequence, and draw them.

        Parameters
        ----------
        estimator : fitted MultiStreamHMM or TrajectoryHMM, or another whose transform gives states
        X : array-like of shape (n_rows, n_features)
        which : int
            Number of the sequence.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        StateTimelineDisplay
        """
        rows = estimator.layout_.views(dense(X)).sequences()[which]
        shown = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
        path = estimator.predict(shown) if hasattr(estimator, "predict") else None
        streams = unpack(dense(shown), estimator.layout_)
        return cls(streams, estimator.transform(shown), path).plot(ax, **kwargs)

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
        StateTimelineDisplay
        """
        n_panels, n_frames = len(self.streams) + 1, len(self.path)
        self._begin(ax, 7, 1.3 * n_panels + 0.6)
        panels = self._divide(n_panels, 1, gap=0.12)[:, 0]
        colours = list(itertools.islice(itertools.cycle(COLOURS), self.posterior.shape[1]))
        edges = np.flatnonzero(np.diff(self.path, prepend=-1, append=-1))
        self.lines_ = {}
        for panel, (name, values) in zip(panels, self.streams.items(), strict=False):
            for start, end in itertools.pairwise(edges):
                colour = colours[self.path[start]]
                panel.axvspan(start - 0.5, end - 0.5, color=colour, alpha=0.3, linewidth=0)
            seen = np.isfinite(values).all(axis=1)
            style = {"color": INK, "linewidth": 1, **kwargs}
            if not (seen[1:] & seen[:-1]).any():  # ticks
                style = {"marker": ".", "linestyle": "", **style}
            self.lines_[name] = panel.plot(np.arange(n_frames), values, **style)
            for line, shade in zip(
                self.lines_[name], np.linspace(1, 0.35, len(values.T)), strict=True
            ):
                line.set_alpha(shade)
            panel.set_ylabel(name)
            panel.tick_params(labelbottom=False)
        last = panels[-1]
        last.stackplot(np.arange(n_frames), self.posterior.T, colors=colours, linewidth=0)
        last.set(ylim=(0, 1), ylabel="states", xlabel="frame", yticks=[0, 1])
        for k, colour in enumerate(colours):
            if (self.path == k).any():
                last.plot([], [], color=colour, linewidth=6, label=str(k))
        last.legend(
            frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=len(colours)
        )
        for panel in panels:
            panel.set_xlim(-0.5, n_frames - 0.5)
            panel.spines[["top", "right"]].set_visible(False)
            panel.spines[["left", "bottom"]].set_color(PALE)
        return self
