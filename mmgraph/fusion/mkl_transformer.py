"""A representation from a learnt combination of kernels."""

import numbers
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from sklearn.utils.multiclass import type_of_target

from ..base import RepresentationMixin
from ..engine.bank import inverse
from ..engine.combination import Problem
from ..engine.spectral import eigh
from ..hints import Modalities
from ..parameters import require
from ..targets import check_labels, check_numbers, check_row_weights
from .kernel_weights import KernelWeights, as_targets, documented, standardised, teaching

__all__ = ["MKLTransformer"]


@documented
class MKLTransformer(RepresentationMixin, KernelWeights):
    """Principal components of a learnt combination of kernels of the modalities.

    The representation is supervised by way of the weights alone: they are those of the combination
    that suits the labels (or values) best; the components are those of the rows in its feature
    space (kernel principal component analysis).

    Parameters
    ----------
    n_components : int, default=2
        Number of components.
    {shared}
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    components_ : ndarray of shape (n_rows, n_components)
        Coefficients of the training rows that show something and weigh more than 0.
    offset_ : ndarray of shape (n_components,)
        What is subtracted: the training rows' mean.
    explained_variance_ : ndarray of shape (n_components,)
        Variance of each component over the training rows.
    {fitted}

    See Also
    --------
    MKLClassifier : Its notes on absent modalities hold here too.

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> rows = digits.train[:200]
    >>> mkl = mg.MKLTransformer(3, modalities=modalities).fit(X[rows], digits.target[rows])
    >>> mkl.transform(X[digits.test]).shape
    (364, 3)
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        kernels: Any = "auto",
        solver: str = "alignf",
        solver_params: Mapping | None = None,
        C: float = 10.0,
        center: bool = True,
        normalize: str = "none",
        cache_size: float = 500,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        modalities: Modalities | None = None,
    ):
        self.n_components = n_components
        self.kernels = kernels
        self.solver = solver
        self.solver_params = solver_params
        self.C = C
        self.center = center
        self.normalize = normalize
        self.cache_size = cache_size
        self.device = device
        self.modalities = modalities

    def fit(self, X, y=None, sample_weight=None):
        """Fit the weights of the kernels and the components.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,), optional
            Labels or numbers. None: all kernels have equal weights.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows: a whole number counts as so many rows, but in the errors of
            ``"ridge"``; ``"bayes"`` minds them in the centring and the components alone.

        Returns
        -------
        self
        """
        self._check_parameters()
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        views = self._check(X, reset=True)
        weight = check_row_weights(sample_weight, views)
        targets, epsilon = self._targets(views, y, weight)
        used = teaching(views, weight)
        views, weight = views.take(used), weight[used]
        given = None if sample_weight is None else weight
        problem = Problem(targets[used], float(self.C), given, epsilon)
        bank = self._find_weights(views, problem)
        K = self._balanced(bank.combined(self.kernel_weights_), views.present, self.kernel_weights_)
        xp, share = views.xp, views.xp.asarray(weight / weight.sum())
        mean = K @ share
        K += share @ mean - mean - mean[:, None]
        root = xp.sqrt(share)
        k = min(self.n_components, len(K))
        values, vectors = eigh(root[:, None] * K * root, k)
        values, vectors = values[::-1], vectors[:, ::-1]
        values = xp.where(values > 1e-10 * max(float(values[0]), 1e-300), values, 0.0)
        coefficients = root[:, None] * vectors * inverse(xp.sqrt(values))
        projected = K @ coefficients
        first = xp.abs(projected).argmax(axis=0)
        signs = xp.sign(xp.take_along_axis(projected, first[None], axis=0)[0])
        self.components_ = coefficients * xp.where(signs == 0, 1.0, signs)
        self.offset_ = mean @ self.components_
        self.explained_variance_ = values
        return self

    def _targets(self, views, y, weight):
        """Columns of targets, and the tube of a regression."""
        if y is None:
            if self.solver != "mean":
                raise ValueError(
                    f"solver={self.solver!r} needs y, labels or numbers; without it, choose "
                    "solver='mean'."
                )
            return np.zeros((views.n_rows, 1)), None
        if type_of_target(y) in ("continuous", "continuous-multioutput"):
            _, y = check_numbers(self, y, weight)
            return standardised(y, weight)[0], 0.1
        task, codes = check_labels(self, y, weight)
        return as_targets(codes, len(task.classes)), None

    def _represent(self, views):
        return self._gram(views) @ self.components_ - self.offset_

    @property
    def _n_features_out(self):
        return self.components_.shape[1]
