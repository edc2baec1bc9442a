"""Which kernels and modalities a combination of kernels makes use of."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, INK, Display

__all__ = ["KernelWeightsDisplay", "kernel_label"]


class KernelWeightsDisplay(Display):
    """Weights of kernels, coloured by modality, with the share of each modality in the legend.

    Parameters
    ----------
    weights : array-like of shape (n_kernels,)
    modalities : sequence of str
        Modality of each kernel.
    shares : dict of str to float
        Share of each modality, as in ``modality_weights_``.
    labels : sequence of str, optional
        Names of the kernels.
    std : array-like of shape (n_kernels,), optional
        Uncertainty of the weights.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    bars_ : BarContainer

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import KernelWeightsDisplay
    >>> X = np.random.default_rng(0).normal(size=(60, 4))
    >>> layout = {"signal": slice(0, 2), "noise": slice(2, 4)}
    >>> mkl = mg.MKLClassifier(["linear"], modalities=layout).fit(X, X[:, 0] > 0)
    >>> KernelWeightsDisplay.from_estimator(mkl).labels
    ['linear', 'linear']
    """

    def __init__(self, weights, modalities, shares, labels=None, std=None):
        self.weights = np.asarray(weights, float)
        self.modalities = list(modalities)
        self.shares = shares
        self.labels = [""] * len(self.weights) if labels is None else list(labels)
        self.std = None if std is None else np.asarray(std, float)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the weights of a fitted estimator.

        Of classes with weights of their own, it is the mean, and the standard deviation over them.

        Parameters
        ----------
        estimator : MKLClassifier, MKLRegressor or MKLTransformer
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.barh``.

        Returns
        -------
        KernelWeightsDisplay
        """
        check_is_fitted(estimator)
        weights, std = estimator.kernel_weights_, estimator.kernel_weights_std_
        if weights.ndim == 2:  # of each class its own
            weights, std = weights.mean(axis=0), weights.std(axis=0)
        display = cls(
            weights,
            [name for name, _ in estimator.kernels_],
            estimator.modality_weights_,
            [kernel_label(kernel) for _, kernel in estimator.kernels_],
            std,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.barh``.

        Returns
        -------
        KernelWeightsDisplay
        """
        n = len(self.weights)
        ax = self._begin(ax, 6, 1.2 + 0.22 * n)
        colours = {m: COLOURS[i % len(COLOURS)] for i, m in enumerate(self.shares)}
        style = {"color": [colours[m] for m in self.modalities], "height": 0.75}
        if self.std is not None:
            style |= {"xerr": self.std, "ecolor": INK, "error_kw": {"linewidth": 1}}
        self.bars_ = ax.barh(np.arange(n), self.weights, **{**style, **kwargs})
        ax.set_yticks(np.arange(n), self.labels, fontsize=8)
        ax.set(xlabel="weight", ylim=(n - 0.4, -0.6))
        ax.spines[["top", "right"]].set_visible(False)
        marks = [ax.barh(0, 0, color=colour) for colour in colours.values()]
        names = [f"{name} ({share:.0%})" for name, share in self.shares.items()]
        title = "modality (share of variance)"
        ax.legend(marks, names, title=title, fontsize=8, title_fontsize=8, frameon=False)
        return self


def kernel_label(kernel):
    """Name of a kernel and its parameters that are numbers."""
    name = kernel.name if isinstance(kernel.name, str) else kernel.name.__name__
    numbers = [f"{k} {v:.2g}" for k, v in kernel.params.items() if np.isscalar(v)]
    return ", ".join([name, *numbers])
