"""What the components of two or more modalities have in common."""

import itertools

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, INK, MARKERS, PALE, Display

__all__ = ["CorrelationCircleDisplay", "RegularisationPathDisplay", "ScoresDisplay"]


class CorrelationCircleDisplay(Display):
    """The correlation circle: loadings of the columns of all modalities on two components.

    A column near the rim is told well by the two components; columns that lie in one direction go
    together, across modalities, and those on opposite sides go against each other.

    Parameters
    ----------
    loadings : dict of str to ndarray of shape (n_columns, 2)
        Correlation of each column with the two components.
    labels : dict of str to sequence of str, optional
        Names of the columns.
    components : tuple of (int, int)
        Numbers of the components, for the labels of the axes.
    n_labels : int
        How many columns of each modality to name: those farthest out.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    scatters_ : dict of str to PathCollection

    Examples
    --------
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import CorrelationCircleDisplay
    >>> from sklearn.datasets import load_linnerud
    >>> linnerud = load_linnerud(as_frame=True)
    >>> X, modalities = mg.pack(exercise=linnerud.data, body=linnerud.target)
    >>> cca = mg.CCA(modalities=modalities).fit(X)
    >>> display = CorrelationCircleDisplay.from_estimator(cca)
    >>> list(display.labels["body"])
    ['Weight', 'Waist', 'Pulse']
    """

    def __init__(self, loadings, labels=None, *, components=(0, 1), n_labels=10):
        self.loadings = loadings
        self.labels = {} if labels is None else labels
        self.components = components
        self.n_labels = n_labels

    @classmethod
    def from_estimator(
        cls, estimator, *, components=(0, 1), labels=None, n_labels=10, ax=None, **kwargs
    ):
        """Draw the loadings of a fitted estimator.

        Parameters
        ----------
        estimator : estimator with ``loadings_``, such as CCA
        components : tuple of (int, int)
            The abscissa and the ordinate.
        labels : dict of str to sequence of str, optional
            Names of the columns; None takes those that X had.
        n_labels : int
            How many columns of each modality to name: those farthest out.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.scatter``.

        Returns
        -------
        CorrelationCircleDisplay
        """
        check_is_fitted(estimator)
        components = _two(estimator, components)
        loadings = {
            name: loading[:, list(components)] for name, loading in estimator.loadings_.items()
        }
        if labels is None and hasattr(estimator, "feature_names_in_"):
            names, columns = estimator.feature_names_in_, estimator.layout_.columns
            labels = {
                owner: [str(name).removeprefix(f"{owner}__") for name in names[at]]
                for owner, at in columns.items()
            }
        return cls(loadings, labels, components=components, n_labels=n_labels).plot(ax, **kwargs)

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
        CorrelationCircleDisplay
        """
        ax = self._begin(ax, 8, 6.2)
        angles = np.linspace(0, 2 * np.pi, 200)
        for radius, width in ((1.0, 1.0), (0.5, 0.5)):
            ax.plot(radius * np.cos(angles), radius * np.sin(angles), color=PALE, linewidth=width)
        ax.axhline(0, color=PALE, linewidth=0.5)
        ax.axvline(0, color=PALE, linewidth=0.5)
        self.scatters_, named = {}, []
        looks = zip(COLOURS, itertools.cycle(MARKERS), strict=False)
        for (name, xy), (colour, marker) in zip(self.loadings.items(), looks, strict=False):
            few = len(xy) <= 50
            style = {"s": 30 if few else 10, "alpha": 0.9 if few else 0.4, "color": colour}
            style |= {"marker": marker, "label": f"{name} ({len(xy)})", "linewidths": 0}
            self.scatters_[name] = ax.scatter(*xy.T, **{**style, **kwargs})
            if name in self.labels:
                far = np.argsort(-np.hypot(*xy.T), kind="stable")[: self.n_labels]
                named += [(*xy[i], str(self.labels[name][i]), colour) for i in far]
        _write_apart(ax, named)
        one, two = (f"loading on component {k + 1}" for k in self.components)
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.12, 1.12), xlabel=one, ylabel=two, aspect="equal")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, fontsize="small")
        return self


class ScoresDisplay(Display):
    """Scores of each row from each of its modalities alone, linked: short links are good ones.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_rows, 2)
        Representation of each row from each modality alone; NaN where the row lacks it.
    y : array-like of shape (n_rows,), optional
        Classes, told apart by colour; without them modalities are.
    target_names : sequence of str, optional
        Names of the classes, in ascending order.
    components : tuple of (int, int)
        Numbers of the components, for the labels of the axes.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    scatters_ : dict of str to PathCollection
    links_ : LineCollection

    Examples
    --------
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import ScoresDisplay
    >>> from sklearn.datasets import load_linnerud
    >>> linnerud = load_linnerud()
    >>> X, modalities = mg.pack(exercise=linnerud.data, body=linnerud.target)
    >>> cca = mg.CCA(modalities=modalities).fit(X)
    >>> ScoresDisplay.from_estimator(cca, X).scores["body"].shape
    (20, 2)
    """

    def __init__(self, scores, y=None, *, target_names=None, components=(0, 1)):
        self.scores = scores
        self.y = None if y is None else np.asarray(y)
        self.target_names = target_names
        self.components = components

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, target_names=None, components=(0, 1), ax=None, **kwargs
    ):
        """Represent rows from each of their modalities alone, and draw them.

        Parameters
        ----------
        estimator : estimator with ``embed``, such as CCA
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,), optional
            Classes, told apart by colour.
        target_names : sequence of str, optional
            Names of the classes, in ascending order.
        components : tuple of (int, int)
            The abscissa and the ordinate.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.scatter``.

        Returns
        -------
        ScoresDisplay
        """
        check_is_fitted(estimator)
        components = _two(estimator, components)
        scores = {
            name: estimator.embed(X, name)[:, list(components)] for name in estimator.layout_.names
        }
        display = cls(scores, y, target_names=target_names, components=components)
        return display.plot(ax, **kwargs)

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
        ScoresDisplay
        """
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D

        ax = self._begin(ax, 7, 6)
        points = np.stack(list(self.scores.values()))
        with np.errstate(invalid="ignore"):
            centre = np.nansum(points, axis=0) / np.maximum((~np.isnan(points)).sum(axis=0), 1)
        ends = [np.stack([centre, own], axis=1)[~np.isnan(own[:, 0])] for own in points]
        self.links_ = LineCollection(np.concatenate(ends), colors=PALE, linewidths=0.6, alpha=0.6)
        ax.add_collection(self.links_)
        classes, index = (None, None) if self.y is None else np.unique(self.y, return_inverse=True)
        self.scatters_ = {}
        looks = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
        for (name, xy), (colour, marker) in zip(self.scores.items(), looks, strict=False):
            chosen = colour if index is None else np.array(COLOURS)[index % len(COLOURS)]
            style = {"s": 26, "alpha": 0.8, "linewidths": 0.4, "edgecolors": "white", "c": chosen}
            self.scatters_[name] = ax.scatter(*xy.T, **{**style, "marker": marker, **kwargs})
        handles = list(self.scatters_.values())
        legend = ax.legend(handles, list(self.scores), title="seen from", loc="upper left")
        if classes is not None:
            for handle in legend.legend_handles:
                handle.set_color(INK)
            names = classes if self.target_names is None else self.target_names
            dots = [
                Line2D([], [], color=colour, marker="o", linestyle="", label=str(name))
                for name, colour in zip(names, itertools.cycle(COLOURS), strict=False)
            ]
            ax.add_artist(legend)
            ax.legend(handles=dots, loc="lower right", fontsize="small")
        one, two = (f"component {k + 1}" for k in self.components)
        ax.set(xlabel=one, ylabel=two)
        ax.margins(0.08)
        ax.spines[["top", "right"]].set_visible(False)
        return self


class RegularisationPathDisplay(Display):
    """Held-out canonical correlations along a path of shrinkages.

    Of two modalities with a grid of pairs a map, else a curve with the spread over the folds.

    Parameters
    ----------
    cv_results : dict of str to ndarray
        ``cv_results_`` of a fitted CCA.
    names : sequence of str
        Of the modalities.

    Attributes
    ----------
    best : ndarray of shape (n_modalities,)
        The shrinkage with the highest mean score.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    Examples
    --------
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import RegularisationPathDisplay
    >>> from sklearn.datasets import load_linnerud
    >>> linnerud = load_linnerud()
    >>> X, modalities = mg.pack(exercise=linnerud.data, body=linnerud.target)
    >>> cca = mg.CCA(1, shrinkage="cv", modalities=modalities).fit(X)
    >>> RegularisationPathDisplay.from_estimator(cca).best.shape
    (2,)
    """

    def __init__(self, cv_results, names):
        self.cv_results = cv_results
        self.names = list(names)
        self.best = cv_results["shrinkage"][np.argmax(cv_results["mean_test_score"])]

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the path of a fitted CCA.

        Parameters
        ----------
        estimator : CCA
            Fitted with ``shrinkage="cv"``.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.pcolormesh``, or ``Axes.errorbar``.

        Returns
        -------
        RegularisationPathDisplay
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "cv_results_"):
            raise ValueError("the estimator compared no shrinkages: fit it with shrinkage='cv'.")
        return cls(estimator.cv_results_, estimator.shrinkage_).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.pcolormesh``, or ``Axes.errorbar``.

        Returns
        -------
        RegularisationPathDisplay
        """
        settings, mean = self.cv_results["shrinkage"], self.cv_results["mean_test_score"]
        steps = [np.unique(column) for column in settings.T]
        if len(self.names) == 2 and len(mean) == len(steps[0]) * len(steps[1]):
            ax = self._begin(ax, 6.5, 5)
            grid = mean.reshape(len(steps[0]), len(steps[1]))
            self.mesh_ = ax.pcolormesh(grid, **{"cmap": "viridis", **kwargs})
            self.figure_.colorbar(self.mesh_, ax=ax, label="sum of held-out correlations")
            place = [
                int(np.searchsorted(s, b)) + 0.5 for s, b in zip(steps, self.best, strict=True)
            ]
            ax.plot(place[1], place[0], marker="*", color="white", markersize=14, mec=INK)
            for axis, values in ((ax.yaxis, steps[0]), (ax.xaxis, steps[1])):
                axis.set_ticks(np.arange(len(values)) + 0.5, [f"{v:.2g}" for v in values])
            ax.tick_params(axis="x", rotation=45)
            ax.set(xlabel=f"shrinkage of {self.names[1]}", ylabel=f"shrinkage of {self.names[0]}")
            return self
        ax = self._begin(ax, 6.5, 4)
        n_folds = sum(name.startswith("split") for name in self.cv_results)
        error = self.cv_results["std_test_score"] / np.sqrt(n_folds)
        style = {"color": COLOURS[0], "marker": "o", "markersize": 4, "capsize": 2}
        self.lines_ = ax.errorbar(settings[:, 0], mean, error, **{**style, **kwargs})
        ax.axvline(self.best[0], color=PALE, linestyle=":")
        positive = steps[0][steps[0] > 0]
        if len(positive) == len(steps[0]):
            ax.set_xscale("log")
        elif len(positive):
            ax.set_xscale("symlog", linthresh=positive[0])
            ax.set_xlim(left=-positive[0] / 4)
        ax.set(xlabel="shrinkage of all modalities", ylabel="sum of held-out correlations")
        ax.spines[["top", "right"]].set_visible(False)
        return self


def _two(estimator, components):
    """Numbers of two components of an estimator, checked."""
    components = tuple(components)
    n = estimator._n_features_out
    if len(components) != 2 or not all(0 <= k < n for k in components):
        raise ValueError(
            f"components={components!r}: give two numbers from 0 to {n - 1}, since the estimator "
            f"has {n} component(s)."
        )
    return components


def _write_apart(ax, named, gap=0.065):
    """Write names beside their points, on either side, each at a height of its own."""
    for right in (True, False):
        side = sorted((n for n in named if (n[0] >= 0) == right), key=lambda n: n[1])
        heights = np.array([n[1] for n in side])
        for k in range(1, len(heights)):
            heights[k] = max(heights[k], heights[k - 1] + gap)
        if len(heights):
            heights -= max(0.0, heights[-1] - 1.05)
        for (x, y, text, colour), height in zip(side, heights, strict=True):
            ax.annotate(
                text,
                (x, y),
                (1.06 if right else -1.06, height),
                ha="left" if right else "right",
                va="center",
                fontsize=8,
                color=INK,
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6},
            )
