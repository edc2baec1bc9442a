"""The course of training."""

from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, Display

__all__ = ["TrainingDisplay"]


class TrainingDisplay(Display):
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
