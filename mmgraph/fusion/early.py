"""Early fusion: one estimator of all columns, with absent modalities filled in."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone

from ..base import MultimodalEstimator
from ..hints import Modalities
from ..predictors import FusionClassifier, FusionRegressor, default_estimator, shown
from ..targets import check_row_weights
from ..unimodal import ByModality, fit_one, spread

__all__ = ["EarlyFusionClassifier", "EarlyFusionRegressor"]


class EarlyFusion(ByModality, MultimodalEstimator):
    """Base of early fusion for classes and for numbers."""

    _by_modality = ("transformers",)

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        imputer: str | BaseEstimator = "mean",
        transformers: Any = None,
        modalities: Modalities | None = None,
    ):
        self.estimator = estimator
        self.imputer = imputer
        self.transformers = transformers
        self.modalities = modalities

    def fit(self, X, y, sample_weight=None):
        """Fit the imputer, the transformers and the estimator.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Classes (numbers or strings), or of a regressor numbers.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows for the estimator and the means. Other imputers and the transformers
            learn from all rows of a weight above 0 alike.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or X and y do not fit.
        TypeError
            If `imputer` cannot impute, or `estimator` takes no weights and some were given.
        """
        self._check_imputer()
        views = self._check(X, reset=True)
        weights = check_row_weights(sample_weight, views)
        task, y = self._targets(y, weights)
        return self._learn(views, task, y, weights, sample_weight is not None)

    def _learn(self, views, task, y, weights, weighted):
        """Fit to rows that have been checked; what `_check` and `_targets` set must be there."""
        used = shown(views).any(axis=1) & (weights > 0)
        views, y, weights = views.take(used), y[used], weights[used]
        self.estimator_ = None
        if not task.teaches(y):
            return self
        if isinstance(self.imputer, str):
            self.fill_ = {
                name: np.average(_dense(block[on]), axis=0, weights=weights[on])
                if (on := views.present[name]).any()
                else np.zeros(block.shape[1])
                for name, block in views.blocks.items()
            }
        else:
            self.imputer_ = clone(self.imputer)
            if self.imputer_.get_params().get("modalities", False) is None:
                columns = {name: list(at) for name, at in self.layout_.columns.items()}
                self.imputer_.set_params(modalities=columns)
            self.imputer_.fit(self._rows(views))
        self.transformers_ = {}
        if self.transformers is not None:
            wanted = spread(self, "transformers", self.layout_.names, None)
            for name, transformer in wanted.items():
                block = _dense(views.blocks[name][views.present[name]])
                self.transformers_[name] = transformer.fit(block)
        estimator = self.estimator
        if estimator is None:
            estimator = default_estimator(self)
        kept = weights if weighted else None
        self.estimator_ = fit_one(estimator, self._columns(views), y, kept, task, "all modalities")
        return self

    def _check_imputer(self):
        if isinstance(self.imputer, str):
            if self.imputer != "mean":
                raise ValueError(
                    f"imputer={self.imputer!r}: it must be 'mean' or an estimator with impute, "
                    "such as MultimodalDBM()."
                )
        elif not hasattr(self.imputer, "impute") or isinstance(self.imputer, type):
            raise TypeError(
                f"imputer={self.imputer!r}: it must be 'mean' or an estimator with impute, such "
                "as MultimodalDBM()."
            )

    def _rows(self, views):
        """Dense rows with NaN in the modalities that they do not show."""
        blocks = {
            name: np.where(views.present[name][:, None], _dense(block), np.nan)
            for name, block in views.blocks.items()
        }
        return self.layout_.join(blocks, views.n_rows, views.dtype)

    def _columns(self, views):
        """What the estimator sees of rows, absent modalities filled in."""
        X = self._rows(views)
        if hasattr(self, "imputer_"):
            X = X if all(mask.all() for mask in views.present.values()) else self.imputer_.impute(X)
        else:
            for name, fill in self.fill_.items():
                X[np.ix_(~views.present[name], self.layout_.columns[name])] = fill
        if not self.transformers_:
            return X
        parts = [
            _dense(transformer.transform(self.layout_.block(X, name)))
            for name, transformer in self.transformers_.items()
        ]
        return np.hstack(parts)

    def _opinion(self, views):
        task = self._task
        found = np.tile(task.prior, (views.n_rows, 1))
        rows = shown(views).any(axis=1)
        if rows.any() and self.estimator_ is not None:
            found[rows] = task.opinions(self.estimator_, self._columns(views.take(rows)))
        return found


def _dense(block):
    return block.toarray() if sp.issparse(block) else np.asarray(block)


class EarlyFusionClassifier(FusionClassifier, EarlyFusion):
    """Classifier of all columns together, with absent modalities filled in.

    Impute, transform, classify, as one estimator: the imputer learns from rows with gaps, and at
    `predict` fills each row's from what the row shows. With a generative model of mmgraph the
    columns that are filled in carry what the others say about them. With their means they carry
    nothing, and the classifier takes an absent modality for an average one.

    Parameters
    ----------
    estimator : estimator, default=None
        Any classifier of scikit-learn. None: logistic regression on standardised columns.
    imputer : "mean" or estimator with ``impute``, default="mean"
        Fills absent modalities: means of the rows that show them, or any generative estimator of
        mmgraph, which gets the layout if its own parameter ``modalities`` is None.
    transformers : transformer, dict of str to transformer or list of pairs, default=None
        Of each modality's columns after imputation, or one that is cloned for each; fitted to the
        rows that show the modality. Entries of a dict or list are parameters of their own. None:
        the columns as they are.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies, which are the answer for a row that shows nothing.
    estimator_ : estimator
        The fitted classifier.
    fill_ : dict of str to ndarray
        Means of each modality, with ``imputer="mean"``.
    imputer_ : estimator
        The fitted imputer, if it is one.
    transformers_ : dict of str to transformer
        Fitted.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    LateFusionClassifier : One classifier a modality; what is absent needs no stand-in.
    HybridFusionClassifier : Both.

    Notes
    -----
    Nothing says whether columns that are filled in do good. Where most modalities are absent, the
    answer can be worse than that of the best single one that is there; with this estimator as
    ``early`` of :class:`HybridFusionClassifier`, held-out rows decide how far to trust it, for each
    set of modalities that rows show.

    Sparse rows are made dense. A classifier without ``predict_proba`` has the softmax of its
    decision function for probabilities, which is not calibrated.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> gaps = X.copy()
    >>> gaps[::3, modalities["top"]] = np.nan
    >>> fusion = mg.EarlyFusionClassifier(modalities=modalities)
    >>> _ = fusion.fit(gaps[digits.train], digits.target[digits.train])
    >>> bool(fusion.score(X[digits.test], digits.target[digits.test]) > 0.9)
    True

    Gaps are filled in by a model of both halves:

    >>> dbm = mg.MultimodalDBM((), 32, max_iter=5, random_state=0)
    >>> generative = mg.EarlyFusionClassifier(imputer=dbm, modalities=modalities)
    >>> _ = generative.fit(gaps[digits.train], digits.target[digits.train])
    >>> generative.predict_proba(gaps[digits.test]).shape
    (364, 10)
    """


class EarlyFusionRegressor(FusionRegressor, EarlyFusion):
    """Regressor of all columns together, with absent modalities filled in.

    Impute, transform, predict, as one estimator; see :class:`EarlyFusionClassifier`.

    Parameters
    ----------
    estimator : estimator, default=None
        Any regressor of scikit-learn. None: ridge regression on standardised columns.
    imputer : "mean" or estimator with ``impute``, default="mean"
        Fills absent modalities: means of the rows that show them, or any generative estimator of
        mmgraph, which gets the layout if its own parameter ``modalities`` is None.
    transformers : transformer, dict of str to transformer or list of pairs, default=None
        Of each modality's columns after imputation, or one that is cloned for each. None: the
        columns as they are.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    target_mean_ : float
        Mean of y: the prediction for a row that shows nothing.
    estimator_ : estimator
        The fitted regressor.
    fill_ : dict of str to ndarray
        Means of each modality, with ``imputer="mean"``.
    imputer_ : estimator
        The fitted imputer, if it is one.
    transformers_ : dict of str to transformer
        Fitted.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    LateFusionRegressor : One regressor a modality.
    HybridFusionRegressor : Both: held-out rows decide how far to trust columns that are filled in,
        which where most modalities are absent can be worse than nothing.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 200, 3))
    >>> X, modalities = mg.pack(a=a, b=b)
    >>> X[::5, modalities["b"]] = np.nan
    >>> y = a[:, 0] + b[:, 0]
    >>> fusion = mg.EarlyFusionRegressor(modalities=modalities).fit(X, y)
    >>> bool(fusion.score(X, y) > 0.8)
    True
    """
