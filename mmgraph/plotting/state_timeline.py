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
    path : array-like of int, shape (n_frames,) or (n_frames, n_chains), optional
        State of each frame, or of each chain in it; None: the most probable one by itself.
    chains : dict of str to int, optional
        Number of states of each chain, where the states are those of several, whose probabilities
        stand side by side. None: there is one.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_streams + n_chains, 1)
        One a stream, and those of the probabilities, one a chain.
    lines_ : dict of str to list of Line2D
        By stream, one a column.

    Notes
    -----
    Colours behind a stream are the states of the chain of its name, or of the only chain. Of
    several chains that have no streams of their own, none is behind one.

    Examples
    --------
    >>> from mmgraph.plotting import StateTimelineDisplay
    >>> display = StateTimelineDisplay({"a": [[0.0], [1.0]]}, [[0.9, 0.1], [0.2, 0.8]]).plot()
    >>> display.path.tolist()
    [0, 1]
    """

    def __init__(self, streams, posterior, path=None, chains=None):
        self.streams = {name: np.asarray(values, float) for name, values in streams.items()}
        self.posterior = np.asarray(posterior)
        self.chains = chains
        if path is None:
            path = [own.argmax(axis=1) for own in self._split()]
            path = path[0] if chains is None else np.column_stack(path)
        self.path = np.asarray(path)

    def _split(self):
        """Probabilities of the states of each chain."""
        sizes = [self.posterior.shape[1]] if self.chains is None else list(self.chains.values())
        return np.split(self.posterior, np.cumsum(sizes)[:-1], axis=1)

    @classmethod
    def from_estimator(cls, estimator, X, *, which=0, ax=None, **kwargs):
        """Find the states of one sequence, and draw them.

        Parameters
        ----------
        estimator : fitted MultiStreamHMM, CoupledHMM, FactorialHMM or TrajectoryHMM
            Or another whose ``transform`` gives probabilities of states.
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
        chains = getattr(estimator, "chains_", None)
        if chains is not None:
            path = estimator.tuples_[path]
        streams = unpack(dense(shown), estimator.layout_)
        return cls(streams, estimator.transform(shown), path, chains).plot(ax, **kwargs)

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
        names = ["states"] if self.chains is None else list(self.chains)
        n_streams, n_frames = len(self.streams), len(self.path)
        paths = dict(zip(names, self.path.reshape(n_frames, -1).T, strict=True))
        n_panels = n_streams + len(names)
        self._begin(ax, 7, 1.3 * n_panels + 0.6)
        panels = self._divide(n_panels, 1, gap=0.12)[:, 0]
        self.lines_ = {}
        for panel, (name, values) in zip(panels, self.streams.items(), strict=False):
            path = paths.get(name, paths["states"] if self.chains is None else None)
            if path is not None:
                _shade(panel, path)
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
        for panel, name, posterior in zip(panels[n_streams:], names, self._split(), strict=True):
            colours = _colours(posterior.shape[1])
            panel.stackplot(np.arange(n_frames), posterior.T, colors=colours, linewidth=0)
            label = f"states\nof {name}" if name in self.streams else name
            panel.set(ylim=(0, 1), ylabel=label, yticks=[0, 1])
        for panel in panels:
            panel.tick_params(labelbottom=panel is panels[-1])
            panel.set_xlim(-0.5, n_frames - 0.5)
            panel.spines[["top", "right"]].set_visible(False)
            panel.spines[["left", "bottom"]].set_color(PALE)
        self._explain(panels[-1], np.unique(self.path))
        return self

    def _explain(self, panel, states):
        """Which colour is which state, below the last axes."""
        panel.set_xlabel("frame")
        for k, colour in zip(states, np.array(_colours(states.max() + 1))[states], strict=True):
            panel.plot([], [], color=colour, linewidth=6, label=str(k))
        panel.legend(
            frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=len(states)
        )


def _colours(n_states):
    """A colour a state."""
    return list(itertools.islice(itertools.cycle(COLOURS), int(n_states)))


def _shade(panel, path):
    """Colour axes by the state of each frame."""
    colours = _colours(path.max() + 1)
    edges = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
    for start, end in itertools.pairwise(edges):
        colour = colours[path[start]]
        panel.axvspan(start - 0.5, end - 0.5, color=colour, alpha=0.3, linewidth=0)
