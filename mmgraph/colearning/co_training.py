"""Co-training: modalities that label rows for each other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator

from ..base import MultimodalEstimator
from ..engine.opinions import product
from ..engine.pseudo_labels import choose
from ..hints import Modalities
from ..modalities import Views
from ..predictors import FusionClassifier, default_estimator, shown
from ..targets import Classes, check_labels
from ..unimodal import ByModality, fit_one, folds, spread

__all__ = ["CoTraining"]


class CoTraining(ByModality, FusionClassifier, MultimodalEstimator):
    r"""Classifier that learns from rows without labels, which its modalities label for each other.

    One classifier a modality is fitted to the labelled rows. Their product (Bayes' rule, as in
    :class:`LateFusionClassifier`) labels the other rows, and all are fitted anew to both. In round
    r of R, a share r / R of the rows that seem to be of a class may be labelled: the surest ones,
    and only where enough of the classifiers that see the row agree. All labels but the given ones
    are decided anew in every round, so that early mistakes do not stay.

    How many rounds are kept is decided by cross-validation over the labelled rows: the number of
    best accuracy, of equals the largest. That may be none, and then the classifiers are those of
    the labelled rows alone.

    Parameters
    ----------
    estimators : estimator, dict of str to estimator or list of (str, estimator), default=None
        Classifiers by modality, or one that is cloned for each. They need ``predict_proba`` or
        ``decision_function``. Entries of a dict or list are parameters of their own:
        ``set_params(image__C=1)``. None: logistic regression on standardised columns.
    n_rounds : int, default=5
        Rounds at most.
    agreement : float, default=0.5
        Share of the classifiers that see a row which must favour its label.
    cv : int, splitter or iterable of (train, test), default=3
        Folds of the labelled rows that choose the number of rounds. Splits are of the labelled
        rows, counted without the others. The rows without labels take part in every fold.
    n_jobs : int, default=None
        Folds at a time, as of joblib.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies among the labelled rows.
    estimators_ : dict of str to estimator or None
        The fitted classifiers. None where all rows that show the modality are of one class.
    n_rounds_ : int
        Rounds that were kept.
    held_out_scores_ : ndarray of shape (n_rounds + 1,)
        Accuracy on held-out labelled rows after each round, from none.
    scale_ : float
        Inverse temperature of the product of the classifiers.
    transduction_ : ndarray of shape (n_rows,)
        The label of each row of `fit`: given, or of the classifiers in the end.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    LateFusionClassifier : The same without rows that lack labels.

    Notes
    -----
    In Blum and Mitchell's scheme each of two views labels rows for the other, once and for all. It
    is right if the views are independent given the class and each suffices; where they are not, it
    repeats its errors, and often ends below what it began with. Hence the rounds decided anew, the
    gate of agreement, and the choice of the number of rounds on held-out rows.

    References
    ----------
    .. [1] Blum & Mitchell (1998), Combining labeled and unlabeled data with co-training. COLT.
    .. [2] Nigam & Ghani (2000), Analyzing the effectiveness and applicability of co-training. CIKM.
    .. [3] Cascante-Bonilla, Tan, Qi & Ordonez (2021), Curriculum labeling: revisiting
       pseudo-labeling for semi-supervised learning. AAAI.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> rows = digits.train[:300]
    >>> y = digits.target[rows].copy()
    >>> y[100:] = -1
    >>> model = mg.CoTraining(n_rounds=2, modalities=modalities).fit(X[rows], y)
    >>> bool(model.score(X[digits.test], digits.target[digits.test]) > 0.7)
    True
    """

    def __init__(
        self,
        estimators: BaseEstimator | Mapping | Sequence | None = None,
        *,
        n_rounds: int = 5,
        agreement: float = 0.5,
        cv: Any = 3,
        n_jobs: int | None = None,
        modalities: Modalities | None = None,
    ):
        self.estimators = estimators
        self.n_rounds = n_rounds
        self.agreement = agreement
        self.cv = cv
        self.n_jobs = n_jobs
        self.modalities = modalities

    def fit(self, X, y):
        """Fit the classifiers to labelled rows and to those that they label themselves.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Labels; -1 or NaN marks a row without one, and among strings ``""`` or None. Where 1 is
            the only other value, -1 is a label too, as it is in binary problems.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, X and y do not fit, or there is nothing to learn.
        """
        self._check_parameters()
        views = self._check(X, reset=True)
        labels, labelled = _split_labels(self, y, views.n_rows)
        task, codes = check_labels(self, labels[labelled], np.ones(labelled.sum()))
        self.classes_, self.class_prior_ = task.classes, np.exp(task.prior)
        sparse = any(map(sp.issparse, views.blocks.values()))
        default = default_estimator(self, sparse=sparse)
        estimators = spread(self, "estimators", self.layout_.names, default)
        lesson = Lesson(task, views, estimators)
        known, unknown = np.flatnonzero(labelled), np.flatnonzero(~labelled)
        shares = np.arange(1, self.n_rounds + 1 if len(unknown) else 1) / max(self.n_rounds, 1)
        splits = folds(self.cv, codes, shown(views)[known], classifier=True)
        held = Parallel(n_jobs=self.n_jobs)(
            delayed(_rounds)(
                lesson, known[train], codes[train], unknown, shares, self.agreement, known[test]
            )
            for train, test in splits
        )
        truth = np.concatenate([codes[test] for _, test in splits])
        said = np.stack(
            [np.concatenate(parts) for parts in zip(*(s for _, s in held), strict=True)]
        )
        self.held_out_scores_ = (said.argmax(axis=2) == truth).mean(axis=1)
        self.n_rounds_ = int(len(shares) - self.held_out_scores_[::-1].argmax())
        self.scale_ = task.fit_scale(said[self.n_rounds_], truth, np.ones(len(truth)))
        self.estimators_, _ = _rounds(
            lesson, known, codes, unknown, shares[: self.n_rounds_], self.agreement, known[:0]
        )
        self.transduction_ = self.classes_[self._opinion(views).argmax(axis=1)]
        self.transduction_[known] = self.classes_[codes]
        return self

    def _check_parameters(self):
        if not isinstance(self.n_rounds, int | np.integer) or self.n_rounds < 0:
            raise ValueError(f"n_rounds={self.n_rounds!r}: it must be an int at least 0.")
        if not isinstance(self.agreement, int | float) or not 0 <= self.agreement <= 1:
            raise ValueError(f"agreement={self.agreement!r}: it must be a number from 0 to 1.")

    def _opinion(self, views):
        task = self._task
        found = task.scaled(_fused(task, self.estimators_, views), self.scale_)
        return np.where(shown(views).any(axis=1, keepdims=True), found, task.prior)


class Lesson(NamedTuple):
    """What the rounds start from.

    Attributes
    ----------
    task : Classes
    views : Views
    estimators : dict of str to estimator
    """

    task: Classes
    views: Views
    estimators: dict


def _rounds(lesson, rows, codes, unknown, shares, agreement, held):
    """Fit to labelled rows, then time and again label a share of the others and fit anew.

    Returns
    -------
    fitted : dict of str to estimator or None
        In the end.
    said : list of ndarray of shape (n_held, n_classes)
        Fused log-posteriors of held-out rows after each round, from none.
    """
    task, views, estimators = lesson
    others, away = views.take(unknown), views.take(held)
    taught, labels, said = rows, codes, []
    for share in [*shares, None]:
        fitted = {}
        for name, estimator in estimators.items():
            there = views.present[name][taught]
            block = views.blocks[name][taught[there]]
            what = f"modality {name!r}"
            fitted[name] = fit_one(estimator, block, labels[there], None, task, what)
        if len(held):
            said.append(_fused(task, fitted, away))
        if share is not None:
            opinions = _opinions(task, fitted, others)
            found, guess = choose(opinions, shown(others), task.prior, share, agreement)
            taught = np.concatenate([rows, unknown[found]])
            labels = np.concatenate([codes, guess])
    return fitted, said


def _opinions(task, fitted, views):
    found = np.tile(task.prior, (views.n_rows, len(fitted), 1))
    for m, (name, estimator) in enumerate(fitted.items()):
        there = views.present[name]
        if there.any():
            found[there, m] = task.opinions(estimator, views.blocks[name][there])
    return found


def _fused(task, fitted, views):
    return product(_opinions(task, fitted, views), shown(views), task.prior)


def _split_labels(estimator, y, n_rows):
    """Y as an array, and which rows have a label."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y "
            "is None."
        )
    y = np.asarray(y)
    if y.dtype.kind in "US":
        labelled = y != y.dtype.type()
    elif y.dtype == object:
        labelled = np.array([not _is_mark(value) for value in y.ravel()]).reshape(y.shape)
    else:
        labelled = ~(np.isnan(y) | (y == -1)) if y.dtype.kind == "f" else y != -1
        if labelled.any() and (y[labelled] == 1).all():
            labelled = ~np.isnan(y)
    labelled = labelled.reshape(len(y), -1).all(axis=1) if y.ndim else labelled
    if y.ndim and len(y) != n_rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {[n_rows, len(y)]}"
        )
    if not labelled.any():
        raise ValueError("y has no label: some rows need one that is not -1 or NaN.")
    return y, labelled


def _is_mark(value):
    return value is None or value == "" or value == -1 or value != value
