"""What is to be predicted, classes or numbers, and what a scikit-learn estimator says of it.

The two classes answer the same questions, so that an estimator that fuses the predictions of others
is written once for both: :class:`Classes` speaks in log-posteriors, :class:`Numbers` in values.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from .engine.opinions import fit_class_weights, fit_number_weights, fit_scale

__all__ = [
    "Classes",
    "Numbers",
    "check_classes",
    "check_labels",
    "check_numbers",
    "check_row_weights",
    "check_target",
]

FLOOR = 1e-6  # the least probability that an opinion gives to a class


class Classes(NamedTuple):
    """Classes, and opinions of them as log-posteriors.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    prior : ndarray of shape (n_classes,)
        Their log-probabilities.
    """

    classes: np.ndarray
    prior: np.ndarray

    def labels(self, codes):
        """What an estimator is fitted to."""
        return self.classes[codes]

    @staticmethod
    def teaches(codes):
        """Whether an estimator can be fitted to these rows: two classes or more."""
        return len(codes) > 0 and (codes != codes[0]).any()

    def opinions(self, fitted, block, scale=1.0):
        """Log-posteriors by a fitted estimator, calibrated by a scale; shape (n_rows, n_classes).

        A class that the estimator has never seen keeps its prior probability, and the others share
        the rest. An estimator without ``predict_proba`` is taken at its decision function.
        """
        if fitted is None:
            return np.tile(self.prior, (block.shape[0], 1))
        if hasattr(fitted, "predict_proba"):
            p = np.asarray(fitted.predict_proba(block), float)
            scores = np.log(np.maximum(p, FLOOR))
        elif hasattr(fitted, "decision_function"):
            scores = np.asarray(fitted.decision_function(block), float)
            if scores.ndim == 1:
                scores = np.column_stack([-scores / 2, scores / 2])
            if scores.shape[1] != len(fitted.classes_):
                raise ValueError(
                    f"{type(fitted).__name__} gives one decision a pair of classes: set "
                    "decision_function_shape='ovr', or wrap it in CalibratedClassifierCV."
                )
        else:
            raise TypeError(
                f"{type(fitted).__name__} has neither predict_proba nor decision_function: wrap "
                "it in CalibratedClassifierCV, or choose another estimator."
            )
        scores = log_softmax(scale * scores, axis=1)
        if len(fitted.classes_) == len(self.classes):
            return scores
        known = np.searchsorted(self.classes, fitted.classes_)
        found = np.tile(self.prior, (block.shape[0], 1))
        found[:, known] = scores + np.log(np.exp(self.prior[known]).sum())
        return found

    @staticmethod
    def fit_scale(opinions, codes, row_weights):
        """Factor that calibrates the opinions of one estimator."""
        return fit_scale(opinions, codes, row_weights)

    @staticmethod
    def scaled(opinions, scale):
        """Calibrated opinions."""
        return log_softmax(scale * opinions, axis=-1)

    def fit_weights(self, opinions, codes, row_weights, start):
        """Weights of a pool of opinions."""
        return fit_class_weights(opinions, codes, row_weights, self.prior, start)

    @staticmethod
    def loss(opinions, codes):
        """Minus the log-probability of the true class, by row."""
        return -log_softmax(opinions, axis=1)[np.arange(len(codes)), codes]


class Numbers(NamedTuple):
    """A number, and opinions of it as predictions.

    Attributes
    ----------
    prior : ndarray of shape (1,)
        Its mean.
    """

    prior: np.ndarray

    @staticmethod
    def labels(y):
        """What an estimator is fitted to."""
        return y

    @staticmethod
    def teaches(y):
        """Whether an estimator can be fitted to these rows: one or more."""
        return len(y) > 0

    def opinions(self, fitted, block, scale=1.0):
        """Predictions by a fitted estimator, shape (n_rows, 1)."""
        if fitted is None:
            return np.tile(self.prior, (block.shape[0], 1))
        return np.asarray(fitted.predict(block), float).reshape(block.shape[0], 1)

    @staticmethod
    def fit_scale(opinions, y, row_weights):
        """Nothing to calibrate."""
        return 1.0

    @staticmethod
    def scaled(opinions, scale):
        """The opinions as they are."""
        return opinions

    def fit_weights(self, opinions, y, row_weights, start):
        """Weights of a pool of opinions."""
        return fit_number_weights(opinions, y, row_weights, self.prior, start)

    @staticmethod
    def loss(opinions, y):
        """Squared error, by row."""
        return (opinions[:, 0] - y) ** 2


def check_row_weights(sample_weight, views):
    """Row weights as an array: ones if None. Rows of weight 0 count as not there."""
    X = np.empty((views.n_rows, 0))
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def check_labels(estimator, y, row_weights):
    """The classes, and the number of each row's.

    Parameters
    ----------
    estimator : estimator
        Named in errors.
    y : array-like of shape (n_rows,)
        Labels: numbers or strings.
    row_weights : ndarray of shape (n_rows,)
        A class all of whose rows have weight 0 is none.

    Returns
    -------
    Classes
    codes : ndarray of int, shape (n_rows,)
    """
    y = check_target(estimator, y, row_weights)
    check_classification_targets(y)
    used = row_weights > 0
    classes, codes = np.unique(y[used], return_inverse=True)
    if not len(classes):
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if len(classes) < 2:
        raise ValueError(
            f"y has one class only, {classes.tolist()[0]!r}, but a classifier needs two or more."
        )
    prior = np.bincount(codes, row_weights[used])
    every = np.zeros(len(y), int)
    every[used] = codes
    return Classes(classes, np.log(prior / prior.sum())), every


def check_classes(estimator, y, n_rows):
    """The classes of rows that all count alike, and the number of each row's."""
    task, codes = check_labels(estimator, y, np.ones(n_rows))
    return task.classes, codes


def check_numbers(estimator, y, row_weights):
    """The mean, and y as floats.

    Parameters
    ----------
    estimator : estimator
        Named in errors.
    y : array-like of shape (n_rows,)
    row_weights : ndarray of shape (n_rows,)

    Returns
    -------
    Numbers
    y : ndarray of shape (n_rows,)
    """
    y = check_target(estimator, y, row_weights, dtype="numeric").astype(float)
    return Numbers(np.array([np.average(y, weights=row_weights)])), y


def check_target(estimator, y, row_weights, dtype=None):
    """Targets as an array with one entry a row."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y "
            "is None."
        )
    y = check_array(y, ensure_2d=False, dtype=dtype, ensure_min_samples=0, input_name="y")
    y = column_or_1d(y, warn=True)
    check_consistent_length(row_weights, y)
    return y
