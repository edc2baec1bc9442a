"""How kernels agree with each other and with the targets."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import Display
from .kernel_weights import kernel_label

__all__ = ["AlignmentMatrixDisplay"]


class AlignmentMatrixDisplay(Display):
    """Centred alignments of kernels with each other and, in the last row, with the targets.

    Bright squares off the diagonal are kernels that say the same, and share their weight.

    Parameters
    ----------
    alignments : array-like of shape (n_kernels + 1, n_kernels + 1)
        The last row and column are of the targets.
    modalities : sequence of str
        Modality of each kernel; those of one are next to each other.
    labels : sequence of str, optional
        Names of the kernels.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    image_ : AxesImage

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import AlignmentMatrixDisplay
    >>> X = np.random.default_rng(0).normal(size=(60, 4))
    >>> layout = {"signal": slice(0, 2), "noise": slice(2, 4)}
    >>> mkl = mg.MKLClassifier(["linear"], modalities=layout).fit(X, X[:, 0] > 0)
    >>> AlignmentMatrixDisplay.from_estimator(mkl).alignments.shape
    (3, 3)
    """

    def __init__(self, alignments, modalities, labels=None):
        self.alignments = np.asarray(alignments, float)
        self.modalities = list(modalities)
        self.labels = [""] * len(self.modalities) if labels is None else list(labels)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the alignments that a fitted estimator found.

        Parameters
        ----------
        estimator : MKLClassifier, MKLRegressor or MKLTransformer
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        AlignmentMatrixDisplay
        """
        check_is_fitted(estimator)
        labels = [kernel_label(kernel) for _, kernel in estimator.kernels_]
        modalities = [name for name, _ in estimator.kernels_]
        return cls(estimator.alignments_, modalities, labels).plot(ax, **kwargs)

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
        AlignmentMatrixDisplay
        """
        n = len(self.alignments)
        ax = self._begin(ax, 4.5 + 0.17 * n, 1 + 0.17 * n)
        style = {"vmin": min(0.0, self.alignments.min()), "vmax": 1.0, "cmap": "viridis", **kwargs}
        self.image_ = ax.imshow(self.alignments, **style)
        ax.figure.colorbar(self.image_, ax=ax, label="centred alignment", shrink=0.8)
        names = [f"{m}: {k}" if k else m for m, k in zip(self.modalities, self.labels, strict=True)]
        ax.set_yticks(np.arange(n), [*names, "targets"], fontsize=8)
        ax.set_xticks([])
        for i in range(1, n):
            if i == n - 1 or self.modalities[i] != self.modalities[i - 1]:
                ax.axhline(i - 0.5, color="white", linewidth=1)
                ax.axvline(i - 0.5, color="white", linewidth=1)
        return self
