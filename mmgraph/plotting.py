"""Displays of fitted models, in the manner of scikit-learn.

Each display computes what it shows in ``from_estimator``, keeps it in attributes, and draws it with
``plot``, as often as wanted. Matplotlib is loaded when something is drawn.
"""

import itertools
import textwrap
from collections import Counter
from collections.abc import Mapping

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from .backend import random
from .backend.arrays import to_numpy
from .engine import chains

__all__ = [
    "ChainDisplay",
    "GenerationDisplay",
    "JointSpaceDisplay",
    "ReceptiveFieldsDisplay",
    "TrainingDisplay",
]

# Ten colours that stay apart for colour-blind eyes: Petroff (2021), Accessible color sequences for
# data visualization, arXiv:2107.02270.
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "o^sDvPX"
INK, PALE = "#222222", "#9a9a9a"


class _Display:
    """What all displays share: where they are drawn."""

    def _begin(self, ax, width, height):
        """Set `ax_` and `figure_`; without an `ax`, to new ones of some size in inches."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                f"{type(self).__name__}.plot needs matplotlib: pip install mmgraph[plot]"
            ) from error
        if ax is None:
            _, ax = plt.subplots(figsize=(width, height), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax

    def _divide(self, n_rows, n_columns, *, gap=0.05, row_gap=None):
        """Axes in a grid inside `ax_`, whose own frame disappears; gaps as shares of a cell."""
        self.ax_.set_axis_off()
        row_gap = gap if row_gap is None else row_gap
        width = 1 / (n_columns + gap * (n_columns - 1))
        height = 1 / (n_rows + row_gap * (n_rows - 1))
        self.axes_ = np.empty((n_rows, n_columns), object)
        for r, c in np.ndindex(n_rows, n_columns):
            left, bottom = c * width * (1 + gap), 1 - height - r * height * (1 + row_gap)
            self.axes_[r, c] = self.ax_.inset_axes([left, bottom, width, height])
        return self.axes_


class TrainingDisplay(_Display):
    """The course of training: each quantity of `history_` against the epoch.

    Parameters
    ----------
    history : dict of str to list
        Quantities by epoch; ``epoch`` itself is the abscissa if it is there.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_quantities, 1)
    lines_ : dict of str to Line2D

    Examples
    --------
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import TrainingDisplay
    >>> X = [[0.0, 1.0], [1.0, 0.0]] * 10
    >>> display = TrainingDisplay.from_estimator(mg.RBM(2, max_iter=3).fit(X))
    >>> list(display.lines_)
    ['reconstruction', 'rhat', 'effective_sample_size', 'weight_norm', 'learning_rate']
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator with ``history_``
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the lines, for ``Axes.plot``.

        Returns
        -------
        TrainingDisplay
        """
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax, **kwargs)

    @classmethod
    def from_history(cls, history, *, ax=None, **kwargs):
        """Draw a history.

        Parameters
        ----------
        history : dict of str to list
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the lines, for ``Axes.plot``.

        Returns
        -------
        TrainingDisplay
        """
        return cls(history).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the lines, for ``Axes.plot``.

        Returns
        -------
        TrainingDisplay
        """
        names = [name for name in self.history if name != "epoch"]
        health = ["rhat", "effective_sample_size", "swap_rate"]
        last = [*health, "weight_norm", "learning_rate"]
        names.sort(key=lambda name: last.index(name) if name in last else -1)
        if not names:
            raise ValueError("the history is empty: there is nothing to draw.")
        epochs = self.history.get("epoch", range(1, 1 + len(self.history[names[0]])))
        self._begin(ax, 6, 1 + 1.5 * len(names))
        self.lines_ = {}
        axes = self._divide(len(names), 1, gap=0.12)[:, 0]
        for i, (name, panel) in enumerate(zip(names, axes, strict=True)):
            style = {"color": COLOURS[i % 10], "marker": "." if len(epochs) < 2 else "", **kwargs}
            (self.lines_[name],) = panel.plot(epochs, self.history[name], **style)
            panel.set_ylabel(name.replace("_", " "))
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(alpha=0.3)
            if panel is not axes[-1]:
                panel.tick_params(labelbottom=False)
        axes[-1].set_xlabel("epoch")
        self.figure_.align_ylabels(list(axes))
        return self


class ReceptiveFieldsDisplay(_Display):
    """Weights of the first hidden layer of a modality, as pictures: what its units look for.

    Parameters
    ----------
    fields : array-like of shape (n_units, height, width)
        Weights, in the order in which they are shown.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    image_ : AxesImage
        All pictures as one, NaN between them.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import ReceptiveFieldsDisplay
    >>> X = np.random.default_rng(0).integers(0, 2, (20, 6)).astype(float)
    >>> rbm = mg.RBM(5, max_iter=1, random_state=0).fit(X)
    >>> ReceptiveFieldsDisplay.from_estimator(rbm, "X", image_shape=(2, 3)).fields.shape
    (5, 2, 3)
    """

    def __init__(self, fields):
        self.fields = np.asarray(fields)

    @classmethod
    def from_estimator(cls, estimator, modality, *, image_shape=(8, 8), n=36, ax=None, **kwargs):
        """Draw the units with the largest weights of a fitted Boltzmann machine.

        Parameters
        ----------
        estimator : RBM, DBM or MultimodalDBM
        modality : str
            Whose first hidden layer.
        image_shape : tuple of (int, int)
            Height and width of the modality's pictures; its columns fill them row by row.
        n : int
            How many units to show, by the norm of their weights.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        ReceptiveFieldsDisplay
        """
        check_is_fitted(estimator)
        layer = estimator.layout_.names.index(estimator.layout_.require(modality))
        model = estimator.model_
        edge = next(e for e, (lower, _) in enumerate(model.edges) if lower == layer)
        weights = to_numpy(model.weights[edge])
        if len(weights) != np.prod(image_shape):
            raise ValueError(
                f"modality {modality!r} has {len(weights)} columns, which image_shape="
                f"{tuple(image_shape)} does not hold."
            )
        largest = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:n]
        return cls(weights.T[largest].reshape(-1, *image_shape)).plot(ax, **kwargs)

    def plot(self, ax=None, *, colorbar=True, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        colorbar : bool
            Whether to add the scale of the weights.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        ReceptiveFieldsDisplay
        """
        n, height, width = self.fields.shape
        n_columns = int(np.ceil(np.sqrt(n)))
        n_rows = -(-n // n_columns)
        canvas = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1), np.nan)
        for i, field in enumerate(self.fields):
            top, left = i // n_columns * (height + 1), i % n_columns * (width + 1)
            canvas[top : top + height, left : left + width] = field
        ax = self._begin(ax, 6, 0.5 + 5 * canvas.shape[0] / canvas.shape[1])
        limit = float(abs(self.fields).max()) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
        self.image_ = ax.imshow(canvas, **{**style, **kwargs})
        self.image_.set_cmap(self.image_.get_cmap().with_extremes(bad="#d0d0d0"))
        ax.set_axis_off()
        if colorbar:
            self.figure_.colorbar(self.image_, ax=ax, shrink=0.6, label="weight")
        return self


class GenerationDisplay(_Display):
    """What a model generates: each row what is given, expected values, draws, and the truth.

    Parameters
    ----------
    given : list of list of (str, array)
        For each row the modalities that are given and their values.
    target : str
        Name of the generated modality.
    mean : array-like of shape (n_rows, n_target)
        Its expected values.
    draws : array-like of shape (n_draws, n_rows, n_target)
    truth : array-like of shape (n_rows, n_target), optional
        NaN where unknown.
    given_labels : sequence of str, optional
        To be written in place of what is given.
    image_shape : tuple of (int, int) or dict of str to tuple, optional
        Height and width of pictures; a tuple holds for modalities of as many columns.
    vocabulary : sequence of str or dict of str to sequence, optional
        Words of count modalities; a sequence holds for modalities of as many columns.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_rows, n_columns)
    """

    def __init__(
        self,
        given,
        target,
        mean,
        draws,
        *,
        truth=None,
        given_labels=None,
        image_shape=None,
        vocabulary=None,
    ):
        self.given = given
        self.target = target
        self.mean = np.asarray(mean)
        self.draws = np.asarray(draws)
        self.truth = None if truth is None else np.asarray(truth)
        self.given_labels = given_labels
        self.image_shape = image_shape
        self.vocabulary = vocabulary

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        target,
        *,
        n_draws=5,
        truth=None,
        given_labels=None,
        image_shape=None,
        vocabulary=None,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Generate a modality of some rows, and draw it.

        Parameters
        ----------
        estimator : estimator with ``generate``
        X : array-like of shape (n_rows, n_features)
            Rows. What they hold of `target` is hidden from the model, and is the truth.
        target : str
            Modality to generate.
        n_draws : int
            Draws a row.
        truth : array-like of shape (n_rows, n_target), optional
            The truth, if X does not hold it.
        given_labels : sequence of str, optional
            To be written in place of what is given.
        image_shape : tuple of (int, int) or dict of str to tuple, optional
            Height and width of pictures; a tuple holds for modalities of as many columns.
        vocabulary : sequence of str or dict of str to sequence, optional
            Words of count modalities; a sequence holds for modalities of as many columns.
        random_state : int, RandomState, Generator or None
            Seed of the draws. None takes the estimator's own.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow`` of the pictures.

        Returns
        -------
        GenerationDisplay
        """
        check_is_fitted(estimator)
        layout = estimator.layout_
        blocks = {name: layout.block(_dense(X), name) for name in layout.names}
        own = blocks.pop(layout.require(target))
        if truth is None and not np.isnan(own).all():
            truth = own
        given = [
            [(name, block[i]) for name, block in blocks.items() if not np.isnan(block[i]).any()]
            for i in range(len(own))
        ]
        mean = estimator.generate(X, target)
        draws = estimator.generate(X, target, n_samples=n_draws, random_state=random_state)
        return cls(
            given,
            target,
            mean,
            draws,
            truth=truth,
            given_labels=given_labels,
            image_shape=image_shape,
            vocabulary=vocabulary,
        ).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow`` of the pictures.

        Returns
        -------
        GenerationDisplay
        """
        columns = [("expected", self.mean), *(("draw", draw) for draw in self.draws)]
        if self.truth is not None:
            columns.append(("true", self.truth))
        n_given = 1 if self.given_labels is not None else max(map(len, self.given))
        n_rows, n_columns = len(self.mean), n_given + len(columns)
        kind, _ = self._kind(self.target, self.mean.shape[1])
        width = 1.0 if kind == "picture" else 1.35
        self._begin(ax, 0.6 + width * n_columns, 0.5 + n_rows)
        axes = self._divide(n_rows, n_columns, gap=0.12)
        for panel in axes.ravel():
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_visible(False)
        for r in range(n_rows):
            if self.given_labels is not None:
                self._write(axes[r, 0], textwrap.fill(self.given_labels[r], 16))
            else:
                for c, (name, values) in enumerate(self.given[r]):
                    self._show(axes[r, c], name, values, **kwargs)
            for c, (title, block) in enumerate(columns, start=n_given):
                expected = title == "expected"
                self._show(axes[r, c], self.target, block[r], expected=expected, **kwargs)
        axes[0, 0].set_title("given", fontsize="medium")
        for panel, (title, _) in zip(axes[0, n_given:], columns, strict=True):
            panel.set_title(title, fontsize="medium")
        return self

    def _kind(self, name, size):
        """How a modality of some width is shown, and its shape or words."""
        shape, words = (
            spec.get(name) if isinstance(spec, Mapping) else spec
            for spec in (self.image_shape, self.vocabulary)
        )
        if shape is not None and np.prod(shape) == size:
            return "picture", tuple(shape)
        if words is not None and len(words) == size:
            return "words", words
        return "curve", None

    def _show(self, panel, name, values, *, expected=False, **kwargs):
        if np.isnan(values).any():
            return self._write(panel, "?", color=PALE)
        kind, form = self._kind(name, len(values))
        if kind == "picture":
            blocks = [self.mean, self.draws, self.truth] if name == self.target else []
            blocks = [block for block in blocks if block is not None] or [values]
            low = min(0.0, *(np.nanmin(block) for block in blocks))
            high = max(np.nanmax(block) for block in blocks)
            style = {"cmap": "gray_r", "vmin": low, "vmax": high, **kwargs}
            panel.imshow(values.reshape(form), **style)
        elif kind == "words" and expected:
            _bars(panel, values, form)
        elif kind == "words":
            self._write(panel, "\n".join(words_of(values, form)))
        else:
            panel.plot(values, color=INK, linewidth=1)

    def _write(self, panel, text, **style):
        style = {"ha": "center", "va": "center", "fontsize": 8, "linespacing": 1.1, **style}
        panel.text(0.5, 0.5, text, transform=panel.transAxes, **style)


class JointSpaceDisplay(_Display):
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
        X = _dense(X)
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


class ChainDisplay(_Display):
    """How well a Boltzmann machine's own chains mix, and whether they agree with the data.

    On the left the expectation of every unit under the machine (over its particles) against that
    over the training rows: on the diagonal where learning is done. On the right the autocorrelation
    of the mean activity of each hidden layer along free Gibbs chains that start at the particles.

    Parameters
    ----------
    expectations : dict of str to (ndarray, ndarray)
        By layer, expectation of its statistics over the data and under the machine.
    traces : dict of str to ndarray of shape (n_sweeps, n_chains)
        Mean activity of each hidden layer along the chains.

    Attributes
    ----------
    rhat : dict of str to float
        Split R-hat of each trace.
    effective_sample_size : dict of str to float
        What each trace is worth in independent draws.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (1, 2)
    lines_ : dict of str to Line2D
        The autocorrelations.
    scatters_ : dict of str to PathCollection
        The expectations.
    """

    def __init__(self, expectations, traces):
        self.expectations = expectations
        self.traces = traces
        self.rhat = {name: chains.split_rhat(trace) for name, trace in traces.items()}
        self.effective_sample_size = {
            name: chains.effective_sample_size(trace) for name, trace in traces.items()
        }

    @classmethod
    def from_estimator(
        cls, estimator, *, n_chains=100, n_sweeps=200, random_state=None, ax=None, **kwargs
    ):
        """Run free chains of a fitted Boltzmann machine, and draw how they fare.

        Parameters
        ----------
        estimator : RBM, DBM or MultimodalDBM
        n_chains : int
            Number of chains; each starts at a particle drawn at random.
        n_sweeps : int
            Number of Gibbs sweeps.
        random_state : int, RandomState, Generator or None
            Seed of the chains. None takes the estimator's own.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the points, for ``Axes.scatter``.

        Returns
        -------
        ChainDisplay
        """
        check_is_fitted(estimator)
        if random_state is None:
            random_state = estimator.random_state
        model = estimator.model_
        traces = chains.mean_activity(model, n_chains, n_sweeps, random.key(random_state))
        expectations = {
            name: (to_numpy(data), to_numpy(own))
            for name, data, own in zip(
                model.names, model.means, chains.expectations(model), strict=True
            )
        }
        return cls(expectations, traces).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            Of the points, for ``Axes.scatter``.

        Returns
        -------
        ChainDisplay
        """
        self._begin(ax, 10, 4.5)
        left, right = self._divide(1, 2, gap=0.2)[0]
        self.scatters_, self.lines_ = {}, {}
        colours = dict(zip(self.expectations, itertools.cycle(COLOURS), strict=False))
        for (name, (data, own)), marker in zip(
            self.expectations.items(), itertools.cycle(MARKERS), strict=False
        ):
            style = {"s": 12, "alpha": 0.7, "marker": marker, "color": colours[name], **kwargs}
            label = name.replace("_", " ")
            self.scatters_[name] = left.scatter(data, own, label=label, **style)
        left.axline((0, 0), slope=1, color=INK, linewidth=0.8, zorder=0)
        left.set(xlabel="expectation over the data", ylabel="expectation under the model")
        left.legend(fontsize="small")
        for name, trace in self.traces.items():
            size = self.effective_sample_size[name]
            label = f"{name}: R-hat {self.rhat[name]:.3f}, {size:.0f} of {trace.size} draws"
            style = {"label": label.replace("_", " "), "color": colours.get(name, INK)}
            rho = chains.autocorrelation(trace, len(trace) // 2)
            (self.lines_[name],) = right.plot(rho, **style)
        right.axhline(0, color=INK, linewidth=0.8, zorder=0)
        right.set(xlabel="lag (sweeps)", ylabel="autocorrelation of the mean activity")
        right.legend(fontsize="small")
        for panel in (left, right):
            panel.spines[["top", "right"]].set_visible(False)
        return self


def _dense(X):
    """X as a dense array of floats."""
    return np.array(X.toarray() if hasattr(X, "toarray") else X, float)


def words_of(counts, vocabulary):
    """The words of a caption, most frequent first, with how often where it is more than once."""
    words = Counter(
        {word: round(n) for word, n in zip(vocabulary, counts, strict=True) if n >= 0.5}
    )
    return [word if n == 1 else f"{word} ×{n}" for word, n in words.most_common()]


def _bars(panel, counts, vocabulary, n=4):
    """Expected counts of the likeliest words, as bars with the words on them."""
    top = np.argsort(-counts, kind="stable")[:n]
    panel.barh(range(len(top)), counts[top], color=COLOURS[9], height=0.8)
    for i, word in enumerate(top):
        panel.text(0.02 * counts[top[0]], i, vocabulary[word], va="center", fontsize=7)
    panel.set_ylim(n - 0.4, -0.6)
    panel.set_xlim(0, 1.05 * max(counts[top[0]], 1e-9))
