"""Multiple-kernel learning: one kernel machine over a learnt combination of kernels."""

import numbers
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from ..backend.arrays import beside
from ..engine.combination import Problem
from ..engine.opinions import fit_temperature
from ..hints import Modalities, Seed
from ..parameters import choose, require
from ..predictors import PosteriorClassifier, shown
from ..targets import check_labels, check_numbers, check_row_weights
from ..unimodal import among, folds
from .kernel_machine import KernelMachine
from .kernel_weights import as_targets, documented, standardised, teaching

__all__ = ["MKLClassifier", "MKLRegressor"]


@documented
class MKLClassifier(PosteriorClassifier, KernelMachine):
    """Support vector machine on a learnt combination of kernels of the modalities.

    Rows may lack modalities, in training and later. All classes share one combination, unless
    asked otherwise.

    Parameters
    ----------
    {shared}
    {rank}
    weights : {"shared", "per-class"}, default="shared"
        Whether the machines of three and more classes, each of one class against the others, share
        their weights and so one Gram matrix, or have kernel weights of their own.
    class_weight : dict or "balanced", default=None
        Weights of the classes, by which those of the rows are multiplied.
    probability : bool, default=True
        Whether `predict_proba` is there: a softmax of the decision values at the temperature that
        suits rows left out in `cv` folds best, at the learnt weights of the kernels.
    cv : int, splitter or iterable of (train, test), default=5
        These folds. A number spreads the classes, and what rows show, evenly over them.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies, which are the answer for a row that shows nothing.
    dual_coef_ : ndarray of shape (n_rows, n_classes), or (n_rows, 1) of two classes
        Coefficients of the training rows in the decision functions, each of one class against the
        others: of the rows that show something and weigh more than 0, or of the landmarks.
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
    A row that shows nothing teaches nothing; its decision values are the constants, and its
    probabilities the frequencies of the classes.

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
        kernels: Any = "auto",
        *,
        solver: str = "alignf",
        solver_params: Mapping | None = None,
        C: float = 10.0,
        center: bool = True,
        normalize: str = "none",
        cache_size: float = 500,
        rank: int | None = None,
        random_state: Seed = None,
        weights: Literal["shared", "per-class"] = "shared",
        class_weight: Literal["balanced"] | Mapping | None = None,
        probability: bool = True,
        cv: Any = 5,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        modalities: Modalities | None = None,
    ):
        self.kernels = kernels
        self.solver = solver
        self.solver_params = solver_params
        self.C = C
        self.center = center
        self.normalize = normalize
        self.rank = rank
        self.weights = weights
        self.class_weight = class_weight
        self.probability = probability
        self.cv = cv
        self.cache_size = cache_size
        self.random_state = random_state
        self.device = device
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
            Weights of the rows: a whole number counts as so many rows, in all but a number `cv` of
            folds and the leave-one-out errors of ``"ridge"``; ``"bayes"`` minds them in the
            centring and the machine alone.

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
        choose("weights", self.weights, ("shared", "per-class"))
        choose("probability", self.probability, (True, False))
        if self.rank is not None and self.weights != "shared":
            raise ValueError(
                f"rank={self.rank} with weights={self.weights!r}: landmarks are of one combination "
                "of kernels, so take weights='shared', or rank=None."
            )
        views = self._check(X, reset=True)
        weight = check_row_weights(sample_weight, views)
        task, codes = check_labels(self, y, weight)
        self.classes_ = task.classes
        self.class_prior_ = np.exp(task.prior)
        used = teaching(views, weight)
        splits = []
        if self.probability:
            splits = among(folds(self.cv, codes, shown(views), classifier=True), used)
        views, codes, weight = views.take(used), codes[used], weight[used]
        if self.class_weight == "balanced":
            weight = weight / (len(self.classes_) * self.class_prior_[codes])
        elif self.class_weight is not None:
            weight = weight * compute_sample_weight(self.class_weight, self.classes_[codes])
        plain = sample_weight is None and self.class_weight is None
        targets = as_targets(codes, len(self.classes_))
        problem = Problem(targets, float(self.C), None if plain else weight)
        scores = _by_class(self._fit_machine(views, problem, splits))
        self.temperature_ = None
        if self.probability:
            heard = np.isfinite(scores[:, 0])
            self.temperature_ = fit_temperature(scores[heard], codes[heard], weight[heard])
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
        scores = self._decision(self._check(X))
        return beside(scores[:, 0] if len(self.classes_) == 2 else scores, X)

    def predict_proba(self, X):
        check_is_fitted(self)
        if self.temperature_ is None:
            raise AttributeError("predict_proba needs probability=True when the model is fitted.")
        return super().predict_proba(X)

    predict_proba.__doc__ = PosteriorClassifier.predict_proba.__doc__

    def _opinion(self, views):
        found = _by_class(self._decision(views)) / (self.temperature_ or 1.0)
        found[~shown(views).any(axis=1)] = np.log(self.class_prior_)
        return found

    def _parts(self, problem):
        n_columns = problem.targets.shape[1]
        if self.weights == "shared" or n_columns == 1:
            return [problem]
        return [problem.columns([c]) for c in range(n_columns)]

    def _found(self, found):
        if len(found) == 1:
            return super()._found(found)
        self.kernel_weights_ = np.array([one.weights for one in found])
        self.kernel_weights_std_ = None
        if found[0].std is not None:
            self.kernel_weights_std_ = np.array([one.std for one in found])
        self.history_ = {name: [one.history[name] for one in found] for name in found[0].history}
        self.gap_ = float(max(one.gap for one in found))
        self.n_iter_ = max(1, *(len(h) for lists in self.history_.values() for h in lists), 1)


def _by_class(scores):
    """Decision values with a column for each class, of two classes too."""
    return np.hstack([-scores / 2, scores / 2]) if scores.shape[1] == 1 else scores


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
        Coefficients of the training rows that show something and weigh more than 0, or of the
        landmarks, for standardised targets.
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
        kernels: Any = "auto",
        *,
        solver: str = "alignf",
        solver_params: Mapping | None = None,
        C: float = 10.0,
        center: bool = True,
        normalize: str = "none",
        cache_size: float = 500,
        rank: int | None = None,
        random_state: Seed = None,
        epsilon: float = 0.1,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        modalities: Modalities | None = None,
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
        self.device = device
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
            Weights of the rows: a whole number counts as so many rows, in all but a number `cv` of
            folds and the leave-one-out errors of ``"ridge"``; ``"bayes"`` minds them in the
            centring and the machine alone.

        Returns
        -------
        self
        """
        self._check_parameters()
        require("epsilon", self.epsilon, "0", "inf", numbers.Real)
        views = self._check(X, reset=True)
        weight = check_row_weights(sample_weight, views)
        _, y = check_numbers(self, y, weight)
        used = teaching(views, weight)
        views, y, weight = views.take(used), y[used], weight[used]
        target, self.target_mean_, self.target_scale_ = standardised(y, weight)
        weight = None if sample_weight is None else weight
        self._fit_machine(views, Problem(target, float(self.C), weight, float(self.epsilon)))
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
        found = self._decision(self._check(X))[:, 0] * self.target_scale_ + self.target_mean_
        return beside(found, X)
