"""Hits of a search on the line of time."""

import numpy as np

from ._display import COLOURS, INK, PALE, Display

__all__ = ["SearchHitsDisplay"]


class SearchHitsDisplay(Display):
    """Passages of a stream that were found, one line a query; the darker the better.

    Parameters
    ----------
    hits : list of Hits
        One a query.
    names : sequence of str
        What was asked for.
    n_frames : int
        Length of the stream.
    truth : list of array-like of shape (n, 2), optional
        Passages that each query should find, as first row and the one after the last.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    bars_ : list of list of Rectangle
        The hits of each query.

    Examples
    --------
    >>> from mmgraph.alignment.stream_search import Hits
    >>> from mmgraph.plotting import SearchHitsDisplay
    >>> hits = Hits([[3, 6], [8, 9]], [2.0, -1.0])
    >>> display = SearchHitsDisplay([hits], ["seven"], 12, truth=[[[3, 6]]]).plot()
    >>> len(display.bars_[0])
    2
    """

    def __init__(self, hits, names, n_frames, *, truth=None):
        self.hits = list(hits)
        self.names = [str(name) for name in names]
        self.n_frames = n_frames
        self.truth = None if truth is None else [np.reshape(spans, (-1, 2)) for spans in truth]

    @classmethod
    def from_estimator(
        cls, search, X, query=None, *, units=None, k=10, names=None, truth=None, ax=None, **kwargs
    ):
        """Search a stream, and draw what was found.

        Parameters
        ----------
        search : fitted StreamSearch
        X : array-like of shape (n_rows, n_features)
            The stream.
        query : array-like of shape (n_queries, n_features), optional
            What is asked for.
        units : list of labels, optional
            In place of it, units to ask for.
        k : int
            Hits a query, at most.
        names : sequence of str, optional
            What to call the queries; None: the units, or numbers.
        truth : list of array-like of shape (n, 2), optional
            Passages that each query should find.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the hits, for ``Axes.barh``.

        Returns
        -------
        SearchHitsDisplay
        """
        hits = search.search(X, query, units=units, k=k)
        if names is None:
            names = range(len(hits)) if units is None else units
        return cls(hits, names, X.shape[0], truth=truth).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the hits, for ``Axes.barh``.

        Returns
        -------
        SearchHitsDisplay
        """
        ax = self._begin(ax, 8, 0.9 + 0.4 * len(self.hits))
        self.bars_ = []
        for line, hits in enumerate(self.hits):
            ax.axhline(line, color=PALE, linewidth=0.6, zorder=0)
            spans = np.reshape(hits.spans, (-1, 2))
            shades = np.linspace(1, 0.15, len(spans))  # by rank
            own = []
            for (first, stop), shade in zip(spans, shades, strict=True):
                style = {"color": COLOURS[0], "alpha": shade, **kwargs}
                own += ax.barh(line, stop - first, 0.6, first - 0.5, **style)
            self.bars_.append(own)
            if self.truth is not None:
                for first, stop in self.truth[line]:
                    ends = [first - 0.5, stop - 0.5]
                    ax.plot(ends, [line - 0.4] * 2, color=INK, linewidth=2, solid_capstyle="butt")
        ax.set(xlabel="frame", xlim=(-0.5, self.n_frames - 0.5))
        ax.set_yticks(range(len(self.names)), self.names)
        ax.set_ylim(len(self.names) - 0.4, -0.6)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        return self
