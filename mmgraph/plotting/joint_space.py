"""Representations in two dimensions."""

import itertools

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, MARKERS, PALE, Display, dense

__all__ = ["JointSpaceDisplay"]


class JointSpaceDisplay(Display):
    """The joint representation in two dimensions, inferred from all and from single modalities.

    Parameters
    ----------
    points : dict of str to ndarray of shape (n_rows, 2)
        Projected representations: of the whole rows (``"all"``) and of each modality alone. NaN
        where a row lacks the modality.
    y : array-like of shape (n_rows,), optional
        Classes.
    target_names : sequence of str, optional
        Names of the classes, in ascending order.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    scatters_ : dict of str to PathCollection
    """

    def __init__(self, points, y=None, *, target_names=None):
        self.points = points
        self.y = None if y is None else np.asarray(y)
        self.target_names = target_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        target_names=None,
        projection=None,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Represent rows from all that they show and from each modality alone, and draw it.

        Parameters
        ----------
        estimator : estimator with ``transform``
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,), optional
            Classes, told apart by colour.
        target_names : sequence of str, optional
            Names of the classes, in ascending order.
        projection : transformer, optional
            Whose ``fit_transform`` makes two columns of all representations together; None: PCA.
        random_state : int, RandomState instance or None
            Of PCA.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.scatter``.

        Returns
        -------
        JointSpaceDisplay
        """
        check_is_fitted(estimator)
        layout = estimator.layout_
        X = dense(X)
        rows = {"all": X}
        for name in layout.names if len(layout.names) > 1 else ():
            rows[name] = np.full_like(X, np.nan)
            rows[name][:, layout.columns[name]] = layout.block(X, name)
            if layout.sequence is not None:
                rows[name][:, layout.sequence] = X[:, layout.sequence]
        shown = {name: ~np.isnan(block).all(axis=1) for name, block in rows.items()}
        parts = [estimator.transform(rows[name][shown[name]]) for name in rows]
        projection = PCA(2, random_state=random_state) if projection is None else projection
        projected = projection.fit_transform(np.concatenate(parts))
        edges = np.cumsum([len(part) for part in parts])[:-1]
        points = {}
        for name, part in zip(rows, np.split(projected, edges), strict=True):
            points[name] = np.full((len(X), 2), np.nan)
            points[name][shown[name]] = part[:, :2]
        return cls(points, y, target_names=target_names).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.scatter``.

        Returns
        -------
        JointSpaceDisplay
        """
        ax = self._begin(ax, 7, 6)
        n_rows = len(next(iter(self.points.values())))
        y = np.zeros(n_rows, int) if self.y is None else self.y
        classes, index = np.unique(y, return_inverse=True)
        colours = np.array(COLOURS)[index % len(COLOURS)]
        self.scatters_ = {}
        for marker, (name, xy) in zip(itertools.cycle(MARKERS), self.points.items(), strict=False):
            style = {"s": 26, "alpha": 0.75, "linewidths": 0.4, "edgecolors": "white", **kwargs}
            self.scatters_[name] = ax.scatter(*xy.T, c=colours, marker=marker, **style)
        if self.y is not None:
            everything = np.stack(list(self.points.values()))
            names = classes if self.target_names is None else self.target_names
            for i, (name, colour) in enumerate(zip(names, itertools.cycle(COLOURS), strict=False)):
                centre = np.nanmedian(everything[:, index == i], axis=(0, 1))
                box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": colour, "alpha": 0.85}
                ax.annotate(str(name), centre, ha="center", va="center", fontsize=8, bbox=box)
        if len(self.points) > 1:
            labels = [
                "all modalities" if name == "all" else f"{name} alone" for name in self.points
            ]
            legend = ax.legend(list(self.scatters_.values()), labels, title="represented from")
            for handle in legend.legend_handles:
                handle.set_color(PALE)
        ax.set(xticks=[], yticks=[], xlabel="component 1", ylabel="component 2")
        ax.spines[["top", "right"]].set_visible(False)
        return self
