"""What classifiers and regressors of several modalities answer, whatever they combine."""

from types import MappingProxyType

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .backend.arrays import beside, namespace, special, to_numpy
from .hints import Array
from .targets import Classes, Numbers, check_labels, check_numbers

__all__ = [
    "FusionClassifier",
    "FusionRegressor",
    "PosteriorClassifier",
    "default_estimator",
    "shown",
]


class PosteriorClassifier(ClassifierMixin):
    """Classifiers in terms of ``_opinion(views)``: log-probabilities, up to a constant a row."""

    def predict(self, X: Array) -> np.ndarray:
        """The most probable class.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows,)
            Of NumPy, wherever X is.
        """
        best = self._opinion(self._check(X)).argmax(axis=1)
        return self.classes_[to_numpy(best)]

    def predict_proba(self, X: Array) -> Array:
        """Probability of each class.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Columns in the order of `classes_`, in the floating type of X.
        """
        views = self._check(X)
        opinion = self._opinion(views)
        found = special(namespace(opinion)).softmax(opinion, axis=1)
        return beside(found.astype(views.dtype, copy=False), X)

    def score(self, X: Array, y: Array, sample_weight: Array | None = None) -> float:
        """Share of rows whose class is predicted rightly.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Rows that may lack some modalities.
        y : array-like of shape (n_rows,)
            Their classes.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows.

        Returns
        -------
        float
        """
        return super().score(X, y, sample_weight)


class FusionClassifier(PosteriorClassifier):
    """What all fusing classifiers share; a row that shows nothing has the class frequencies."""

    _default = LogisticRegression(tol=1e-6, max_iter=2000)
    _precise = MappingProxyType({"solver": "newton-cg", "tol": 1e-10})
    _default_final = LogisticRegression(max_iter=2000)

    def _targets(self, y, weights):
        task, codes = check_labels(self, y, weights)
        self.classes_, self.class_prior_ = task.classes, np.exp(task.prior)
        return task, codes

    @property
    def _task(self):
        return Classes(self.classes_, np.log(self.class_prior_))


class FusionRegressor(RegressorMixin):
    """What all fusing regressors answer, in terms of ``_opinion(views)``: predictions."""

    _default = Ridge()
    _precise = MappingProxyType({"tol": 1e-8})
    _default_final = Ridge()

    def predict(self, X: Array) -> np.ndarray:
        """The predicted number.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities. A row without any has the mean of `fit`.

        Returns
        -------
        ndarray of shape (n_rows,)
            In the floating type of X.
        """
        views = self._check(X)
        return self._opinion(views)[:, 0].astype(views.dtype, copy=False)

    def score(self, X: Array, y: Array, sample_weight: Array | None = None) -> float:
        """Coefficient of determination of the predictions.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Rows that may lack some modalities.
        y : array-like of shape (n_rows,)
            Their numbers.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows.

        Returns
        -------
        float
        """
        return super().score(X, y, sample_weight)

    def _targets(self, y, weights):
        task, y = check_numbers(self, y, weights)
        self.target_mean_ = float(task.prior[0])
        return task, y

    @property
    def _task(self):
        return Numbers(np.array([self.target_mean_]))


def default_estimator(kind, *, sparse=False):
    """The kind's linear model on standardised columns.

    Sparse columns are scaled only, and since without centring solvers stop far from the optimum,
    the model is then fitted more precisely.
    """
    model = clone(kind._default)
    if sparse:
        model.set_params(**kind._precise)
    return make_pipeline(StandardScaler(with_mean=not sparse), model)


def shown(views):
    """Which modalities each row shows, shape (n_rows, n_modalities)."""
    return np.column_stack(list(views.present.values()))
