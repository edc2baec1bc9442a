"""What all displays share: where they are drawn, and in which colours."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

__all__ = ["COLOURS", "INK", "MARKERS", "PALE", "Display", "PanelDisplay", "dense", "words_of"]

# Ten colours that stay apart for colour-blind eyes: Petroff (2021), Accessible color sequences for
# data visualization, arXiv:2107.02270.
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "o^sDvPX"
INK, PALE = "#222222", "#9a9a9a"


class Display:
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


class PanelDisplay(Display):
    """A display of panels, each with a picture, words or a curve.

    Its attributes ``image_shape`` and ``vocabulary`` say how a modality is shown.
    """

    def _panels(self, n_rows, n_columns, **gaps):
        """A grid of axes without frames."""
        axes = self._divide(n_rows, n_columns, **gaps)
        for panel in axes.ravel():
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_visible(False)
        return axes

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

    def _show(self, panel, name, values, among=None, **kwargs):
        """Show values of a modality; pictures are as dark as `among` (None: they) needs."""
        if np.isnan(values).any():
            return self._write(panel, "?", color=PALE)
        kind, form = self._kind(name, len(values))
        if kind == "picture":
            among = values if among is None else among
            limits = {"vmin": min(0.0, np.nanmin(among)), "vmax": np.nanmax(among)}
            panel.imshow(values.reshape(form), **{"cmap": "gray_r", **limits, **kwargs})
        elif kind == "words":
            self._write(panel, "\n".join(words_of(values, form)))
        else:
            panel.plot(values, color=INK, linewidth=1)

    def _write(self, panel, text, **style):
        style = {"ha": "center", "va": "center", "fontsize": 8, "linespacing": 1.1, **style}
        panel.text(0.5, 0.5, text, transform=panel.transAxes, **style)


def words_of(counts, vocabulary):
    """The words of a caption, most frequent first, with how often where it is more than once."""
    words = Counter(
        {word: round(n) for word, n in zip(vocabulary, counts, strict=True) if n >= 0.5}
    )
    return [word if n == 1 else f"{word} ×{n}" for word, n in words.most_common()]


def dense(X):
    """X as a dense array of floats."""
    return np.array(X.toarray() if hasattr(X, "toarray") else X, float)
