"""Hybrid fusion: estimators of single modalities and one of all columns, with a learnt gate."""

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone

from ..engine.opinions import patterns_of, pool
from ..hints import Modalities
from ..predictors import FusionClassifier, FusionRegressor, shown
from .early import EarlyFusionClassifier, EarlyFusionRegressor
from .late import LateFusion

__all__ = ["HybridFusionClassifier", "HybridFusionRegressor"]


class HybridFusion(LateFusion):
    """Base of hybrid fusion of classes and of numbers: late fusion with one opinion more."""

    combine = "weighted"

    def __init__(
        self,
        estimators: Any = None,
        *,
        early: BaseEstimator | None = None,
        cv: Any = 5,
        n_jobs: int | None = None,
        modalities: Modalities | None = None,
    ):
        self.estimators = estimators
        self.early = early
        self.cv = cv
        self.n_jobs = n_jobs
        self.modalities = modalities

    def fit(self, X, y, sample_weight=None):
        self._early()._check_imputer()
        views = self._check(X, reset=True)
        return self._fit(views, y, sample_weight)

    fit.__doc__ = LateFusion.fit.__doc__

    def _learn(self, lesson):
        task, _, y, weights, _, splits, _, heard = lesson
        patterns = patterns_of(heard)
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_and_hear)(self._begun(), lesson, train, test, patterns)
            for train, test in [(np.arange(len(y)), None), *splits]
        )
        self.early_ = found[0][0]
        whole, *parts = (_together(said) for said in zip(*(f[1] for f in found[1:]), strict=True))
        known = heard.any(axis=1)
        self.early_scale_ = task.fit_scale(whole(np.flatnonzero(known)), y[known], weights[known])
        by_pattern = {p.tobytes(): part for p, part in zip(patterns, parts, strict=True)}

        def opinions_of(pattern, rows):
            index, own = lesson.shown(pattern, rows)
            joint = whole if pattern is None else by_pattern[pattern.tobytes()]
            joint = task.scaled(joint(rows), self.early_scale_)
            return np.append(index, heard.shape[1]), np.append(own, joint[:, None], axis=1)

        self.gate_ = lesson.gate(opinions_of, heard.shape[1] + 1)

    @property
    def weights_(self):
        """Weight of each modality, and of ``"early"``, where a row shows all modalities."""
        names = [*self.layout_.names, "early"]
        everything = np.ones((1, len(names) - 1), bool)
        return dict(zip(names, self.gate_.of(everything)[0], strict=True))

    def _opinion(self, views):
        task = self._task
        extra = task.scaled(self.early_._opinion(views), self.early_scale_)
        opinions = np.concatenate([self._opinions(views), extra[:, None]], axis=1)
        return pool(opinions, self.gate_.of(shown(views)), task.prior)

    def _early(self):
        early = self._default_early() if self.early is None else self.early
        if not isinstance(early, self._default_early):
            raise TypeError(
                f"early={self.early!r}: it must be an {self._default_early.__name__}, which says "
                "how absent modalities are filled in."
            )
        return early

    def _begun(self):
        """An estimator of all columns that knows what this one has learnt of X and y."""
        early = clone(self._early())
        for name in ("layout_", "n_features_in_", "feature_names_in_", *self._known_of_y):
            if hasattr(self, name):
                setattr(early, name, getattr(self, name))
        return early


def _fit_and_hear(early, lesson, train, test, patterns):
    """Fit to the training rows; opinions of the test rows, whole and with no more than a pattern.

    Returns
    -------
    early : estimator
    said : list of (rows, opinions)
        First of the rows as they are, then of each pattern those that show it.
    """
    task, views, y, weights, given, *_ = lesson
    early._learn(views.take(train), task, y[train], weights[train], given is not None)
    if test is None:
        return early, []
    test = np.sort(test)
    names = list(views.present)
    table = shown(views)[test]
    said = [(test, early._opinion(views.take(test)))]
    for pattern in patterns:
        rows = test[table[:, pattern].all(axis=1)]
        hidden = [name for name, there in zip(names, pattern, strict=True) if not there]
        said.append((rows, early._opinion(views.take(rows).hide(*hidden))))
    return None, said


def _together(parts):
    """Opinions of the folds together, as a function of rows."""
    rows, said = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    rows, said = rows[order], said[order]
    return lambda wanted: said[np.searchsorted(rows, wanted)]


class HybridFusionClassifier(FusionClassifier, HybridFusion):
    r"""Classifier that pools one classifier a modality with one of all columns together.

    Late fusion (:class:`LateFusionClassifier`) is sure of what each modality says, early fusion
    (:class:`EarlyFusionClassifier`) sees how they go together. Here the classifier of all columns
    is one more vote in the pool,

    .. math:: p(c) \propto \pi_c \Big(\frac{p_0(c)}{\pi_c}\Big)^{w_0(S)}
       \prod_{m \in S} \Big(\frac{p_m(c)}{\pi_c}\Big)^{w_m(S)},

    and the gate, the weights :math:`w(S) \geq 0` of all votes by the set S of modalities that a
    row shows, is learnt on held-out rows: where filling in what is absent serves badly,
    :math:`w_0(S)` goes to zero and late fusion is left.

    Parameters
    ----------
    estimators : estimator, dict of str to estimator or list of (str, estimator), default=None
        Classifiers by modality, as in :class:`LateFusionClassifier`.
    early : EarlyFusionClassifier, default=None
        The classifier of all columns; its parameter ``modalities`` is not used. None:
        ``EarlyFusionClassifier()``.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the held-out posteriors. A number spreads the classes evenly over them.
    n_jobs : int, default=None
        Fits at a time, as of joblib.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies.
    estimators_ : dict of str to estimator or None
        The fitted classifiers of single modalities.
    early_ : EarlyFusionClassifier
        The fitted classifier of all columns.
    scales_ : dict of str to float
        Inverse temperature of each modality's log-posterior.
    held_out_losses_ : dict of str to float
        Log-loss of each modality on held-out rows, NaN where there are none.
    early_scale_ : float
        That of the classifier of all columns.
    gate_ : Gate
        The weights by what a row shows.
    weights_ : dict of str to float
        Those of rows that show everything; ``"early"`` is the classifier of all columns.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    LateFusionClassifier : The votes of single modalities; its notes say how weights are learnt.
    EarlyFusionClassifier : The vote of all columns.

    Notes
    -----
    To learn what the classifier of all columns is worth when only S is shown, it is asked in each
    fold about the held-out rows that show S or more, with the rest hidden: with six modalities that
    is 63 times. A slow imputer is felt here.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> fusion = mg.HybridFusionClassifier(modalities=modalities)
    >>> _ = fusion.fit(X[digits.train], digits.target[digits.train])
    >>> bool(fusion.score(X[digits.test], digits.target[digits.test]) > 0.94)
    True
    >>> sorted(fusion.weights_)
    ['bottom', 'early', 'top']
    """

    _default_early = EarlyFusionClassifier
    _known_of_y = ("classes_", "class_prior_")


class HybridFusionRegressor(FusionRegressor, HybridFusion):
    """Regressor that pools one regressor a modality with one of all columns together.

    See :class:`HybridFusionClassifier` for the idea, and :class:`LateFusionRegressor` for how
    predictions are pooled.

    Parameters
    ----------
    estimators : estimator, dict of str to estimator or list of (str, estimator), default=None
        Regressors by modality, as in :class:`LateFusionRegressor`.
    early : EarlyFusionRegressor, default=None
        The regressor of all columns; its parameter ``modalities`` is not used. None:
        ``EarlyFusionRegressor()``.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the held-out predictions.
    n_jobs : int, default=None
        Fits at a time, as of joblib.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    target_mean_ : float
        Mean of y: the prediction for a row that shows nothing.
    estimators_ : dict of str to estimator
        The fitted regressors of single modalities.
    held_out_losses_ : dict of str to float
        Mean squared error of each modality on held-out rows, NaN where there are none.
    early_ : EarlyFusionRegressor
        The fitted regressor of all columns.
    gate_ : Gate
        The weights by what a row shows.
    weights_ : dict of str to float
        Those of rows that show everything; ``"early"`` is the regressor of all columns.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 200, 3))
    >>> X, modalities = mg.pack(a=a, b=b)
    >>> y = a[:, 0] + b[:, 0]
    >>> fusion = mg.HybridFusionRegressor(modalities=modalities).fit(X, y)
    >>> bool(fusion.score(X, y) > 0.99)
    True
    """

    _default_early = EarlyFusionRegressor
    _known_of_y = ("target_mean_",)
