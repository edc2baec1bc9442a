"""Warping paths, and streams before and after."""

import itertools

import numpy as np

from ..modalities import unpack
from ._display import COLOURS, INK, Display, dense

__all__ = ["WarpedStreamsDisplay", "WarpingPathDisplay"]


class WarpingPathDisplay(Display):
    """The path between two streams, over the distances of their frames.

    Parameters
    ----------
    distances : array-like of shape (n, m)
    path : array-like of shape (n_cells, 2)
        Pairs of a row and a column.
    names : pair of str
        What the streams are: the one in rows, the other in columns.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    image_ : AxesImage
    line_ : Line2D

    Examples
    --------
    >>> from mmgraph.plotting import WarpingPathDisplay
    >>> display = WarpingPathDisplay([[0.0, 1.0], [1.0, 0.0]], [[0, 0], [1, 1]]).plot()
    >>> display.line_.get_xdata().tolist()
    [0, 1]
    """

    def __init__(self, distances, path, *, names=("clock", "stream")):
        self.distances = np.asarray(distances)
        self.path = np.asarray(path)
        self.names = names

    @classmethod
    def from_estimator(cls, aligner, X, modality, *, which=0, ax=None, **kwargs):
        """Align one sequence, and draw the path to one of its streams.

        Parameters
        ----------
        aligner : fitted aligner, such as DynamicTimeWarping
        X : array-like of shape (n_rows, n_features)
        modality : str
            The stream; the other one is the clock's.
        which : int
            Number of the sequence.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        WarpingPathDisplay
        """
        found = aligner.align(X)[which]
        if modality not in found.paths:
            raise ValueError(
                f"sequence {which} has no path to {modality!r}: it has those to "
                f"{list(found.paths)}."
            )
        path = found.paths[modality]
        distances, rows, columns = aligner.distances(X, which, modality)
        cells = np.column_stack(
            [np.searchsorted(rows, path[:, 0]), np.searchsorted(columns, path[:, 1])]
        )
        return cls(distances, cells, names=(found.clock, modality)).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        WarpingPathDisplay
        """
        ax = self._begin(ax, 5, 4.4)
        style = {"cmap": "Blues", "origin": "lower", "aspect": "auto", **kwargs}
        self.image_ = ax.imshow(self.distances, **style)
        (self.line_,) = ax.plot(self.path[:, 1], self.path[:, 0], color=COLOURS[6], linewidth=2)
        ax.set(xlabel=f"frame of {self.names[1]}", ylabel=f"frame of {self.names[0]}")
        self.figure_.colorbar(self.image_, ax=ax, label="distance")
        return self


class WarpedStreamsDisplay(Display):
    """One feature of each stream, before and after the warp onto a common clock.

    Parameters
    ----------
    before, after : dict of str to array-like of shape (n_frames,)

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (2, 1)
    lines_ : dict of str to list of Line2D

    Examples
    --------
    >>> from mmgraph.plotting import WarpedStreamsDisplay
    >>> display = WarpedStreamsDisplay({"a": [0, 1, 1]}, {"a": [0, 0, 1]}).plot()
    >>> display.axes_.shape
    (2, 1)
    """

    def __init__(self, before, after):
        self.before = {name: np.asarray(values, float) for name, values in before.items()}
        self.after = {name: np.asarray(values, float) for name, values in after.items()}

    @classmethod
    def from_estimator(cls, aligner, X, *, feature=0, which=0, ax=None, **kwargs):
        """Warp one sequence, and draw a feature of its streams.

        Parameters
        ----------
        aligner : fitted aligner, such as DynamicTimeWarping
        X : array-like of shape (n_rows, n_features)
        feature : int or dict of str to int
            Number of the feature (in each modality).
        which : int
            Number of the sequence.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        WarpedStreamsDisplay
        """
        rows = aligner.align(X)[which].rows
        shown = []
        for values in (dense(X), aligner.transform(X)):
            blocks = unpack(np.asarray(values)[rows], aligner.layout_)
            numbers = feature if isinstance(feature, dict) else dict.fromkeys(blocks, feature)
            shown.append({name: block[:, numbers[name]] for name, block in blocks.items()})
        return cls(*shown).plot(ax, **kwargs)

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
        WarpedStreamsDisplay
        """
        self._begin(ax, 6, 4.4)
        self._divide(2, 1, gap=0.25)
        self.lines_ = {name: [] for name in self.before}
        parts = zip(self.axes_[:, 0], ("before", "after"), (self.before, self.after), strict=True)
        for panel, title, streams in parts:
            for (name, values), colour in zip(
                streams.items(), itertools.cycle(COLOURS), strict=False
            ):
                style = {"color": colour, "label": name, **kwargs}
                at = np.flatnonzero(np.isfinite(values))
                self.lines_[name] += panel.plot(at, values[at], **style)
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_title(title, loc="left", fontsize="medium", color=INK)
        self.axes_[0, 0].legend(
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(self.before),
            borderaxespad=0,
        )
        self.axes_[0, 0].sharex(self.axes_[1, 0])
        self.axes_[0, 0].tick_params(labelbottom=False)
        self.axes_[1, 0].set_xlabel("frame")
        return self
