"""Late fusion: one estimator a modality, and a rule that makes one prediction of theirs."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import has_fit_parameter

from ..base import MultimodalEstimator
from ..engine.opinions import CLASS_RULES, learn_gate, pool, precision_weights
from ..hints import Modalities
from ..modalities import Views
from ..predictors import FusionClassifier, FusionRegressor, default_estimator, shown
from ..targets import Classes, Numbers, check_row_weights
from ..unimodal import ByModality, fit_with_folds, folds, spread

__all__ = ["LateFusionClassifier", "LateFusionRegressor"]


class Lesson(NamedTuple):
    """What the combination is learnt from.

    Attributes
    ----------
    task : Classes or Numbers
    views : Views
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    weights : ndarray of shape (n_rows,)
    given : ndarray of shape (n_rows,) or None
        The weights, if any were given.
    splits : list of (train, test)
    opinions : ndarray of shape (n_rows, n_modalities, n_values)
        Calibrated, by estimators that have not seen the row; the prior where there is none.
    heard : ndarray of bool, shape (n_rows, n_modalities)
        Where there is one.
    """

    task: Classes | Numbers
    views: Views
    y: np.ndarray
    weights: np.ndarray
    given: np.ndarray | None
    splits: list
    opinions: np.ndarray
    heard: np.ndarray

    def gate(self, opinions_of, n_opinions):
        """Weights by what a row shows."""

        def fit(opinions, rows, start):
            return self.task.fit_weights(opinions, self.y[rows], self.weights[rows], start)

        return learn_gate(opinions_of, self.heard, fit, n_opinions)

    def shown(self, pattern, rows):
        """Indices of the modalities of a pattern (None: all), and opinions of theirs of rows."""
        index = np.arange(self.heard.shape[1]) if pattern is None else np.flatnonzero(pattern)
        return index, self.opinions[rows][:, index]


class LateFusion(ByModality, MultimodalEstimator):
    """Base of late fusion of classes and of numbers."""

    def __init__(
        self,
        estimators: Any = None,
        *,
        combine: str = "weighted",
        final_estimator: BaseEstimator | None = None,
        cv: Any = 5,
        n_jobs: int | None = None,
        modalities: Modalities | None = None,
    ):
        self.estimators = estimators
        self.combine = combine
        self.final_estimator = final_estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.modalities = modalities

    def fit(self, X, y, sample_weight=None):
        """Fit each modality's estimator, and how they are combined.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Classes (numbers or strings), or of a regressor numbers.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows, for every estimator and for the combination.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or X and y do not fit.
        TypeError
            If `estimators` are none, or do not take weights that were given.
        """
        if not isinstance(self.combine, str) or self.combine not in self._rules:
            raise ValueError(f"combine={self.combine!r}: choose one of {list(self._rules)}.")
        return self._fit(self._check(X, reset=True), y, sample_weight)

    def _fit(self, views, y, sample_weight):
        weights = check_row_weights(sample_weight, views)
        task, y = self._targets(y, weights)
        sparse = any(map(sp.issparse, views.blocks.values()))
        default = default_estimator(self, sparse=sparse)
        estimators = spread(self, "estimators", self.layout_.names, default)
        present = shown(views)
        splits = folds(self.cv, y, present, classifier=isinstance(task, Classes))
        given = None if sample_weight is None else weights
        self.estimators_, opinions, heard = fit_with_folds(
            estimators, views, y, given, task, splits, self.n_jobs
        )
        self.scales_, self.held_out_losses_ = {}, {}
        for m, name in enumerate(estimators):
            rows = np.flatnonzero(heard[:, m] & (weights > 0))
            own, truth = opinions[rows, m], y[rows]
            self.scales_[name] = task.fit_scale(own, truth, weights[rows])
            opinions[:, m] = task.scaled(opinions[:, m], self.scales_[name])
            loss = np.nan
            if len(rows):
                loss = np.average(task.loss(opinions[rows, m], truth), weights=weights[rows])
            self.held_out_losses_[name] = float(loss)
        opinions[~heard] = task.prior
        self._learn(Lesson(task, views, y, weights, given, splits, opinions, heard))
        return self

    def _learn(self, lesson):
        """Learn the combination from held-out opinions."""
        if self.combine in ("weighted", "stacked"):
            self.gate_ = lesson.gate(lesson.shown, len(self.estimators_))
        if self.combine == "stacked":
            self._stack(lesson)

    @property
    def weights_(self):
        """Weight of each modality where a row shows all of them."""
        names = self.layout_.names
        return dict(zip(names, self.gate_.of(np.ones((1, len(names)), bool))[0], strict=True))

    def _opinions(self, views):
        """Calibrated opinions of each modality, shape (n_rows, n_modalities, n_values)."""
        task = self._task
        found = np.tile(task.prior, (views.n_rows, len(self.estimators_), 1))
        for m, (name, fitted) in enumerate(self.estimators_.items()):
            rows = views.present[name]
            if rows.any():
                scale = self.scales_[name]
                found[rows, m] = task.opinions(fitted, views.blocks[name][rows], scale)
        return found

    def _opinion(self, views):
        return self._combined(self._opinions(views), shown(views))

    def _pooled(self, opinions, present):
        return pool(opinions, self.gate_.of(present), self._task.prior)

    # Stacking ------------------------------------------------------------------------------------

    def _stack(self, lesson):
        """Fit the final estimator, and find the patterns in which it beats the pool.

        It learns from what each row shows and from each of its modalities alone, half and half. A
        pattern trusts it where the opinions of it that are held out twice are better.
        """
        task, _, y, weights, _, splits, opinions, heard = lesson
        final = self._default_final if self.final_estimator is None else self.final_estimator
        n, n_modalities = heard.shape
        several = heard.sum(axis=1) > 1
        masks = [heard]
        masks += [heard & several[:, None] & one for one in np.eye(n_modalities, dtype=bool)]
        kept = np.concatenate(masks)
        index, is_whole = np.arange(len(kept)) % n, np.arange(len(kept)) < n
        used = kept.any(axis=1)
        index, kept, is_whole = index[used], kept[used], is_whole[used]
        singles = np.bincount(index, ~is_whole, minlength=n)[index]
        share = np.where(is_whole, np.where(singles, 0.5, 1), 0.5 / np.maximum(singles, 1))
        features = self._features(opinions[index], kept)

        def fit(train):
            inside = train[index] & (weights[index] > 0)
            if not task.teaches(y[index[inside]]):
                return None
            extra = {}
            if has_fit_parameter(final, "sample_weight"):
                extra["sample_weight"] = (weights[index] * share)[inside]
            return clone(final).fit(features[inside], task.labels(y[index[inside]]), **extra)

        self.final_estimator_ = fit(np.ones(len(y), bool))
        patterns = self.gate_.patterns
        gains = np.zeros(len(patterns))
        for _, test in splits:
            train = np.ones(len(y), bool)
            train[test] = False
            fitted = fit(train)
            for i, pattern in enumerate(patterns):
                held = test[heard[test][:, pattern].all(axis=1)]
                if not len(held):
                    continue
                present = np.tile(pattern, (len(held), 1))
                said = np.where(present[:, :, None], opinions[held], task.prior)
                losses = (
                    task.loss(self._pooled(said, present), y[held]),
                    task.loss(task.opinions(fitted, self._features(said, present)), y[held]),
                )
                gains[i] += weights[held] @ (losses[0] - losses[1])
        self.trusted_ = gains > 0

    def _features(self, opinions, present):
        """What the final estimator sees: distances to the prior, and which modalities are there."""
        offset = np.where(present[:, :, None], opinions - self._task.prior, 0)
        if offset.shape[2] == 2:
            offset = offset[:, :, 1:] - offset[:, :, :1]
        return np.hstack([offset.reshape(len(offset), -1), present])

    def _stacked(self, opinions, present):
        found = self._pooled(opinions, present)
        index = self.gate_.find(present)
        rows = (index >= 0) & self.trusted_[index]
        if rows.any():
            features = self._features(opinions[rows], present[rows])
            found[rows] = self._task.opinions(self.final_estimator_, features)
        return found


class LateFusionClassifier(FusionClassifier, LateFusion):
    r"""Classifier that combines the posteriors of one classifier a modality.

    Each modality's classifier is fitted to the rows that show it. A new row is judged by those of
    the modalities that it shows: an absent modality leaves its vote out, whether or not rows lacked
    it in `fit`. With :math:`p_m` the posterior of modality m, :math:`\pi` the class frequencies and
    S the modalities that the row shows, the rules are

    ============== ============================================================================
    ``"product"``   :math:`p(c) \propto \pi_c \prod_{m \in S} p_m(c) / \pi_c`, which is Bayes' rule
                    for modalities that are independent given the class
    ``"sum"``       :math:`p(c) = \frac{1}{|S|} \sum_{m \in S} p_m(c)`
    ``"max"``       :math:`p(c) \propto \max_{m \in S} p_m(c)`
    ``"weighted"``  :math:`p(c) \propto \pi_c \prod_{m \in S} (p_m(c) / \pi_c)^{w_m(S)}`, with
                    reliabilities :math:`w \geq 0` that make held-out rows most probable
    ``"stacked"``   a final classifier of the log-posteriors, where it beats ``"weighted"``
    ============== ============================================================================

    Held out means that the posteriors of a row come from classifiers that were fitted to the other
    folds. They also calibrate each modality's posteriors, by one temperature.

    Parameters
    ----------
    estimators : estimator, dict of str to estimator or list of (str, estimator), default=None
        Classifiers by modality, or one that is cloned for each. They need ``predict_proba`` or
        ``decision_function``. Entries of a dict or list are parameters of their own:
        ``set_params(image__C=1)``. None: logistic regression on standardised columns.
    combine : {"weighted", "product", "sum", "max", "stacked"}, default="weighted"
        The rule.
    final_estimator : estimator, default=None
        Of ``"stacked"``. It sees the log-posteriors about the class frequencies, zeros where a
        modality is absent, and one column a modality that says whether it is there. None: logistic
        regression.
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
        The fitted classifiers. None where the rows that show the modality are all of one class: it
        has the class frequencies for its posterior.
    scales_ : dict of str to float
        Inverse temperature of each modality's log-posterior: below 1 where it exaggerates.
    held_out_losses_ : dict of str to float
        Log-loss of each modality on held-out rows, NaN where there are none.
    gate_ : Gate
        With ``"weighted"`` and ``"stacked"`` the weights by what a row shows.
    weights_ : dict of str to float
        Those of rows that show everything.
    final_estimator_ : estimator
        With ``"stacked"``.
    trusted_ : ndarray of bool, shape (n_patterns,)
        With ``"stacked"`` where the final estimator is used, for each of ``gate_.patterns``.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    EarlyFusionClassifier : One classifier of all columns.
    HybridFusionClassifier : Both.

    Notes
    -----
    The weights of a set S of modalities are learnt from all held-out rows that show S *or more*,
    from which the rest is hidden, so a pattern that no row of `fit` has gets its own weights too.
    There are weights for every S where these are fewer than 64 (six modalities or less), else for
    those that occur, each modality alone and all together; others share one set. The likelihood is
    concave in the weights. A single modality has weight 1, so that its posterior is its own.

    A class that a modality's classifier has not seen, since no row of it shows the modality, keeps
    its prior probability there. A row that shows nothing has the class frequencies.

    References
    ----------
    .. [1] Kittler, Hatef, Duin & Matas (1998), On combining classifiers. IEEE TPAMI 20, 226-239,
       equations 7, 11 and 14.
    .. [2] Genest & Zidek (1986), Combining probability distributions: a critique and an annotated
       bibliography. Statistical Science 1, 114-135.
    .. [3] Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks. ICML.
    .. [4] Wolpert (1992), Stacked generalization. Neural Networks 5, 241-259.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> fusion = mg.LateFusionClassifier(modalities=modalities)
    >>> _ = fusion.fit(X[digits.train], digits.target[digits.train])
    >>> new, y = X[digits.test], digits.target[digits.test]
    >>> bool(fusion.score(new, y) > 0.93)
    True
    >>> new[:, modalities["top"]] = np.nan
    >>> bool(fusion.score(new, y) > 0.75)
    True
    """

    _rules = ("weighted", "product", "sum", "max", "stacked")

    def _combined(self, opinions, present):
        if self.combine == "stacked":
            return self._stacked(opinions, present)
        if self.combine == "weighted":
            return self._pooled(opinions, present)
        return CLASS_RULES[self.combine](opinions, present, self._task.prior)


class LateFusionRegressor(FusionRegressor, LateFusion):
    r"""Regressor that combines the predictions of one regressor a modality.

    Each modality's regressor is fitted to the rows that show it; an absent modality is left out.
    With :math:`\hat y_m` the prediction of modality m, :math:`\mu` and :math:`\sigma_0^2` the mean
    and the variance of y, and S the modalities that a row shows, all rules have the form
    :math:`\hat y = \mu + \sum_{m \in S} w_m (\hat y_m - \mu)`:

    ============== ============================================================================
    ``"product"``   :math:`w_m = \sigma_m^{-2} / (\sum_k \sigma_k^{-2} - (|S| - 1) \sigma_0^{-2})`,
                    Bayes' rule for independent Gaussian errors of variance :math:`\sigma_m^2`
    ``"sum"``       :math:`w_m = 1 / |S|`, the mean
    ``"weighted"``  :math:`w(S) \geq 0` of least squared error on held-out rows
    ``"stacked"``   a final regressor of the predictions, where it beats ``"weighted"``
    ============== ============================================================================

    Parameters
    ----------
    estimators : estimator, dict of str to estimator or list of (str, estimator), default=None
        Regressors by modality, or one that is cloned for each. Entries of a dict or list are
        parameters of their own: ``set_params(image__alpha=1)``. None: ridge regression on
        standardised columns.
    combine : {"weighted", "product", "sum", "stacked"}, default="weighted"
        The rule.
    final_estimator : estimator, default=None
        Of ``"stacked"``. It sees the predictions about the mean, zeros where a modality is absent,
        and one column a modality that says whether it is there. None: ridge regression.
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
        The fitted regressors.
    gate_ : Gate
        With ``"weighted"`` and ``"stacked"`` the weights by what a row shows.
    weights_ : dict of str to float
        Those of rows that show everything.
    held_out_losses_ : dict of str to float
        Mean squared error of each modality on held-out rows, NaN where there are none.
    target_variance_ : float
        Variance of y.
    final_estimator_ : estimator
        With ``"stacked"``.
    trusted_ : ndarray of bool, shape (n_patterns,)
        With ``"stacked"`` where the final estimator is used, for each of ``gate_.patterns``.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    LateFusionClassifier : Classes; its notes say how the weights are learnt.

    References
    ----------
    .. [1] Bates & Granger (1969), The combination of forecasts. Operational Research Quarterly 20,
       451-468.
    .. [2] Breiman (1996), Stacked regressions. Machine Learning 24, 49-64.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=200)
    >>> good, bad = y + 0.1 * rng.normal(size=200), y + rng.normal(size=200)
    >>> X, modalities = mg.pack(good=good, bad=bad)
    >>> fusion = mg.LateFusionRegressor(modalities=modalities).fit(X, y)
    >>> bool(fusion.weights_["good"] > 0.9)
    True
    """

    _rules = ("weighted", "product", "sum", "stacked")

    def _learn(self, lesson):
        super()._learn(lesson)
        loss = lesson.task.loss(np.tile(lesson.task.prior, (len(lesson.y), 1)), lesson.y)
        self.target_variance_ = float(np.average(loss, weights=lesson.weights))

    def _combined(self, opinions, present):
        if self.combine == "stacked":
            return self._stacked(opinions, present)
        if self.combine == "weighted":
            return self._pooled(opinions, present)
        if self.combine == "sum":
            weights = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
        else:
            errors = np.nan_to_num(list(self.held_out_losses_.values()), nan=self.target_variance_)
            weights = precision_weights(present, errors, self.target_variance_)
        return pool(opinions, weights, self._task.prior)
