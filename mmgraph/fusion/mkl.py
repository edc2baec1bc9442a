"""Multiple-kernel learning: one kernel machine over a learnt combination of kernels."""

import numbers

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.class_weight import compute_sample_weight

from ..engine.combination import Problem
from ..parameters import choose, require
from ..targets import check_classes, check_numbers, check_row_weights
from .kernel_machine import KernelMachine
from .kernel_weights import as_targets, documented

__all__ = ["MKLClassifier", "MKLRegressor"]


@documented
class MKLClassifier(ClassifierMixin, KernelMachine):
    """Support vector machine on a learnt combination of kernels of the modalities.

    All classes share one combination, so that there is one Gram matrix, and rows may lack
    modalities, in training and later.

    Parameters
    ----------
    {shared}
    {rank}
    class_weight : dict or "balanced", default=None
        Weights of the classes, by which `C` is multiplied.
    probability : bool, default=True
        Whether `predict_proba` is there: a softmax of the decision values at the temperature that
        suits rows left out in `cv` folds best, at the learnt weights of the kernels.
    cv : int, default=5
        Number of these folds; fewer where a class has fewer rows.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    dual_coef_ : ndarray of shape (n_rows, n_classes), or (n_rows, 1) of two classes
        Coefficients of the training rows (the landmarks, at a `rank`) in the decision functions,
        each of one class against the others.
    intercept_ : ndarray of shape (n_classes,), or (1,)
        Their constants.
    temperature_ : float or None
        What decision values are divided by before the softmax.
    {fitted}

    Notes
    -----
    The kernel of a modality that one of two rows lacks is zero, the mean in feature space, and each
    row is divided by the root of the share of the weights that it is left with. The combined matrix
    stays positive semi-definite, unlike one whose weights are renormalised for each pair of rows.
    A row that shows nothing is at the mean of all.

    References
    ----------
    .. [1] Gönen & Alpaydın (2011), Multiple kernel learning algorithms. JMLR 12, 2211-2268.
    .. [2] Cortes, Mohri & Rostamizadeh (2012), Algorithms for learning kernels based on centered
       alignment. JMLR 13, 795-828.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(top=digits.image[:, :32], bottom=digits.image[:, 32:])
    >>> train, test = digits.train[:300], digits.test
    >>> mkl = mg.MKLClassifier(modalities=modalities).fit(X[train], digits.target[train])
    >>> bool(mkl.score(X[test], digits.target[test]) > .9)
    True
    >>> sorted(mkl.modality_weights_)
    ['bottom', 'top']
    """

    def __init__(
        self,
        kernels="auto",
        *,
        solver="alignf",
        solver_params=None,
        C=10.0,
        center=True,
        normalize="none",
        cache_size=500,
        rank=None,
        random_state=None,
        class_weight=None,
        probability=True,
        cv=5,
        modalities=None,
    ):
        self.kernels = kernels
        self.solver = solver
        self.solver_params = solver_params
        self.C = C
        self.center = center
        self.normalize = normalize
        self.rank = rank
        self.class_weight = class_weight
        self.probability = probability
        self.cv = cv
        self.cache_size = cache_size
        self.random_state = random_state
        self.modalities = modalities

    def fit(self, X, y, sample_weight=None):
        """Fit the weights of the kernels and the machine.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Labels: numbers or strings.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows, by which `C` is multiplied.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, a kernel is not positive semi-definite or not finite, or
            y has one class only.
        """
        self._check_parameters()
        require("cv", self.cv, "2", "inf", numbers.Integral)
        choose("probability", self.probability, (True, False))
        views = self._check(X, reset=True)
        classes, codes = check_classes(self, y, views.n_rows)
        weight = self._row_weights(views, y, sample_weight)
        problem = Problem(as_targets(codes, len(classes)), float(self.C), weight)
        inputs = self._fit_machine(views, problem)
        self.temperature_ = self._calibrate(inputs, codes, problem) if self.probability else None
        self.classes_ = classes
        return self

    def decision_function(self, X):
        """Signed distance to the border of each class, in units of the margin.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows,) of two classes
        """
        return self._scores(self._check(X))

    def predict(self, X):
        """The class of each row.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Columns in the order of `classes_`.

        Raises
        ------
        AttributeError
            If ``probability=False``.
        """
        views = self._check(X)
        if self.temperature_ is None:
            raise AttributeError("predict_proba needs probability=True when the model is fitted.")
        return np.exp(_log_posterior(self._scores(views), self.temperature_)).astype(views.dtype)

    def _scores(self, views):
        scores = self._gram(views) @ self.dual_coef_ + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def _row_weights(self, views, y, sample_weight):
        if sample_weight is None and self.class_weight is None:
            return None
        weight = check_row_weights(sample_weight, views)
        if self.class_weight is not None:
            weight = weight * compute_sample_weight(self.class_weight, y)
        return weight

    def _calibrate(self, inputs, codes, problem):
        """Temperature at which rows left out are most probable."""
        n_folds = min(self.cv, int(np.bincount(codes).min()))
        if n_folds > 1:
            scores = np.empty(problem.targets.shape)
            for rest, out in StratifiedKFold(n_folds).split(codes, codes):
                scores[out] = self._left_out(inputs, problem, rest, out)
        else:  # no fold could leave the one row of a class out
            every = np.arange(len(codes))
            scores = self._left_out(inputs, problem, every, every)
        scores = scores[:, 0] if problem.targets.shape[1] == 1 else scores
        return _temperature(scores, codes, problem.sample_weight)


def _log_posterior(scores, temperature):
    """Log-softmax of decision values, of shape (n_rows, n_classes)."""
    scores = scores / temperature
    return log_softmax(np.stack([0 * scores, scores], axis=1) if scores.ndim == 1 else scores, 1)


def _temperature(scores, codes, weight):
    """The temperature at which the classes of rows are most probable."""

    def loss(log_temperature):
        found = _log_posterior(scores, np.exp(log_temperature))
        return -np.average(found[np.arange(len(codes)), codes], weights=weight)

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


@documented
class MKLRegressor(RegressorMixin, KernelMachine):
    """Support vector regression on a learnt combination of kernels of the modalities.

    Parameters
    ----------
    {shared}
    {rank}
    epsilon : float, default=0.1
        Half the width of the tube within which errors cost nothing, in standard deviations of y.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    dual_coef_ : ndarray of shape (n_rows, 1)
        Coefficients of the training rows (the landmarks, at a `rank`), for standardised targets.
    intercept_ : ndarray of shape (1,)
        The constant.
    target_mean_, target_scale_ : float
        Mean and standard deviation of y.
    {fitted}

    See Also
    --------
    MKLClassifier : For classes; its notes hold here too.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = np.sin(2 * X[:, 0]) + .1 * rng.normal(size=200)
    >>> mkl = mg.MKLRegressor(modalities={"signal": [0], "noise": [1]}).fit(X[:100], y[:100])
    >>> mkl.modality_weights_["signal"] > .9
    True
    """

    def __init__(
        self,
        kernels="auto",
        *,
        solver="alignf",
        solver_params=None,
        C=10.0,
        center=True,
        normalize="none",
        cache_size=500,
        rank=None,
        random_state=None,
        epsilon=0.1,
        modalities=None,
    ):
        self.kernels = kernels
        self.solver = solver
        self.solver_params = solver_params
        self.C = C
        self.epsilon = epsilon
        self.center = center
        self.normalize = normalize
        self.rank = rank
        self.cache_size = cache_size
        self.random_state = random_state
        self.modalities = modalities

    def fit(self, X, y, sample_weight=None):
        """Fit the weights of the kernels and the machine.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Numbers.
        sample_weight : array-like of shape (n_rows,), optional
            Weights of the rows, by which `C` is multiplied.

        Returns
        -------
        self
        """
        self._check_parameters()
        require("epsilon", self.epsilon, "0", "inf", numbers.Real)
        views = self._check(X, reset=True)
        _, y = check_numbers(self, y, check_row_weights(sample_weight, views))
        weight = None if sample_weight is None else check_row_weights(sample_weight, views)
        self.target_mean_, self.target_scale_ = float(y.mean()), float(y.std()) or 1.0
        target = (y - self.target_mean_) / self.target_scale_
        problem = Problem(target[:, None], float(self.C), weight, float(self.epsilon))
        self._fit_machine(views, problem)
        return self

    def predict(self, X):
        """The expected value of each row.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        standard = self._gram(self._check(X)) @ self.dual_coef_ + self.intercept_
        return standard[:, 0] * self.target_scale_ + self.target_mean_
