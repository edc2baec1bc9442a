"""What all displays share: where they are drawn, and in which colours."""

import numpy as np

__all__ = ["COLOURS", "INK", "MARKERS", "PALE", "Display", "dense"]

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


def dense(X):
    """X as a dense array of floats."""
    return np.array(X.toarray() if hasattr(X, "toarray") else X, float)
