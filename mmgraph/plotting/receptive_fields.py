"""What hidden units look for."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..backend.arrays import to_numpy
from ._display import Display

__all__ = ["ReceptiveFieldsDisplay"]


class ReceptiveFieldsDisplay(Display):
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
