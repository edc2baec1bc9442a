"""Classes that were never seen, recognised by what is said of them."""

import numbers
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_array

from ..backend.arrays import beside, pick
from ..base import MultimodalEstimator
from ..coordinated.embedding import SIMILARITIES, EmbeddingUser, geometry
from ..engine.kernels import NAMES, automatic, centre, gram
from ..engine.opinions import fit_temperature
from ..engine.regression import compatibility
from ..engine.retrieval import unit
from ..hints import Modalities
from ..parameters import choose, require
from ..predictors import PosteriorClassifier
from ..targets import check_classes

__all__ = ["ESZSLClassifier", "ZeroShotClassifier"]


class ScoreClassifier(PosteriorClassifier):
    """What classifiers share whose scores, calibrated, say the class: ``_scores(views)``."""

    def _calibrated(self, views):
        """Scores of the classes, those of seen classes less the calibration term."""
        scores = self._scores(views) - self.calibration * views.xp.asarray(self.seen_)
        return scores.astype(views.dtype, copy=False)

    def decision_function(self, X):
        """Scores of the classes, those of seen classes less the calibration term.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows,) of two classes
            With two classes, the score of the second less that of the first.
        """
        scores = self._calibrated(self._check(X))
        return beside(scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores, X)

    def _opinion(self, views):
        return self._calibrated(views) / self.temperature_


class ZeroShotClassifier(ScoreClassifier, EmbeddingUser):
    r"""Classify rows by the cosine to descriptions of the classes, in the space of an embedding.

    The embedding is fitted to rows that show two or more modalities, one of which, such as text or
    attributes, can also describe a class. A class is the point of its description, or of the mean
    of several (prompts), and so need not have been seen. A row is the point of its other
    modalities, and its class the one with the highest cosine.

    Parameters
    ----------
    embedding : estimator with ``embed``, or FrozenEstimator of one, default=None
        The space. `fit` fits a clone of it, unless it is frozen. Its parameter ``modalities`` says
        which columns are whose. None: ``CCA()``.
    descriptions : dict of label to array-like, default=None
        The classes to tell apart, each by the columns of the modality `described_by`, of shape
        (n_columns,) or (n_prompts, n_columns). None: the classes in y, each by its training rows.
    described_by : str, default=None
        The modality that describes classes. None: the last one.
    similarity : {"centred_cosine", "cosine", "correlation"}, default="centred_cosine"
        As in :class:`Retriever`.
    calibration : float, default=0.0
        Taken off the scores of classes that were seen in `fit`, which unseen ones are else too
        rarely preferred to (calibrated stacking). It makes a difference only where `descriptions`
        has classes of both kinds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes to tell apart, sorted: those of `descriptions`, or else of y.
    seen_ : ndarray of bool, shape (n_classes,)
        Whether y had the class.
    class_points_ : ndarray of shape (n_classes, n_components)
        The classes in the space, of length one.
    temperature_ : float
        By which scores become probabilities: the likeliest for the training rows among the classes
        they have, which are described as in `descriptions`, or else by their rows.
    embedding_ : estimator
        The fitted embedding.
    geometry_ : Geometry
        How representations are centred and weighted.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    Notes
    -----
    With one modality, rows and classes are both described by it. What a row shows of `described_by`
    is not looked at in prediction. A row that shows nothing else has score 0 for every class.

    References
    ----------
    Chao, W.-L., Changpinyo, S., Gong, B. & Sha, F. (2016). An empirical study and analysis of
    generalized zero-shot learning for object recognition in the wild. ECCV, 52-68 (the calibration
    term).

    Examples
    --------
    The classes "one" and "lean" are never seen: they are told by two attributes.

    >>> import numpy as np
    >>> import mmgraph as mg
    >>> attributes = {"none": [0, 0], "one": [1, 0], "lean": [0, 1], "both": [1, 1]}
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["none", "one", "lean", "both"])[np.arange(80) % 4]
    >>> told = np.array([attributes[label] for label in y])
    >>> x = told @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(80, 5))
    >>> X, modalities = mg.pack(image=x, attributes=told)
    >>> seen = (y == "none") | (y == "both") | (y == "one")
    >>> classifier = mg.ZeroShotClassifier(mg.CCA(modalities=modalities), descriptions=attributes)
    >>> classifier.fit(X[seen], y[seen]).score(X[~seen], y[~seen])
    1.0
    """

    def __init__(
        self,
        embedding: Any = None,
        *,
        descriptions: Mapping | None = None,
        described_by: str | None = None,
        similarity: Literal["centred_cosine", "cosine", "correlation"] = "centred_cosine",
        calibration: float = 0.0,
    ):
        self.embedding = embedding
        self.descriptions = descriptions
        self.described_by = described_by
        self.similarity = similarity
        self.calibration = calibration

    def fit(self, X, y):
        """Fit the embedding, unless it is frozen, and place the classes in it.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Labels: numbers or strings.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, y has one class only, or descriptions do not fit.
        """
        choose("similarity", self.similarity, SIMILARITIES)
        require("calibration", self.calibration, "-inf", "<inf", numbers.Real)
        views = self._check(X, reset=True)
        labels, codes = check_classes(self, y, views.n_rows)
        name = self._description()
        described = as_attributes(
            "descriptions", self.descriptions, len(self.layout_.columns[name]), labels
        )
        embedding = self._fitted_embedding(X, y)
        representations = {m: embedding._embed(views, m) for m in self.layout_.names}
        self.geometry_ = geometry(self.similarity, embedding, representations)
        self.embedding_ = embedding
        known = {label: self._centre(name, prompts) for label, prompts in described.items()}
        xp = views.xp
        rows = xp.nan_to_num(self.geometry_.points(representations[name], name))
        for code, label in enumerate(labels.tolist()):
            known.setdefault(label, _direction(pick(rows, codes == code)))
        trained = xp.stack([known[label] for label in labels.tolist()])
        self.temperature_ = fit_temperature(self._cosines(views, trained), codes)
        self.classes_ = np.unique(list(described)) if described else labels
        self.class_points_ = xp.stack([known[label] for label in self.classes_.tolist()])
        self.seen_ = np.isin(self.classes_, labels)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # One column may be all that there is of a modality, and its cosine tells two classes apart.
        tags.classifier_tags.poor_score = self.modalities is not None
        return tags

    def _description(self):
        """The modality that describes classes."""
        if self.described_by is None:
            return self.layout_.names[-1]
        return self.layout_.require(self.described_by)

    def _centre(self, name, prompts):
        """Mean point of some descriptions, of length one."""
        X = self.layout_.join({name: prompts}, len(prompts))
        X = self._moved(X, self._device)
        Z = self.embedding_._embed(self.layout_.views(X), name)
        return _direction(self.geometry_.points(Z, name))

    def _scores(self, views):
        return self._cosines(views, self.class_points_)

    def _cosines(self, views, classes):
        """Cosine of what rows show beside descriptions with each of the classes."""
        name = self._description()
        xp = views.xp
        total = xp.zeros((views.n_rows, classes.shape[1]), views.dtype)
        for source in [m for m in self.layout_.names if m != name] or [name]:
            shown = views.present[source]
            if shown.any():
                alone = self.embedding_._embed(views.take(shown), source)
                total[xp.asarray(shown)] += self.geometry_.points(alone, source)
        return unit(total) @ classes.T.astype(views.dtype)


class ESZSLClassifier(ScoreClassifier, MultimodalEstimator):
    r"""Classify rows by the attributes of the classes: the closed form of Romera-Paredes & Torr.

    Rows and classes are compatible by a bilinear form of the row's features :math:`\phi(x)`, which
    may be those of a kernel, and of the class's attributes s. With the training rows' features
    :math:`\Phi`, the attributes S of their classes, and Y, which is 1 for the class of a row and
    -1 for the others,

    .. math:: f(x, s) = \phi(x)^\top V s, \qquad
       V = (\Phi^\top \Phi + \alpha I)^{-1} \Phi^\top Y S (S^\top S + \lambda I)^{-1}.

    Parameters
    ----------
    attributes : dict of label to array-like of shape (n_attributes,), default=None
        The classes to tell apart, those of the training rows among them. None: the classes in y,
        each an attribute of its own, which makes this a ridge regression on the labels.
    kernel : str, callable or dict of str to either, default="linear"
        For all modalities or by name: one of scikit-learn's kernels, such as ``"rbf"`` or
        ``"chi2"``, or a function of two rows. The modalities' kernels are averaged.
    kernel_params : dict, default=None
        Parameters of the kernel. The ``gamma`` of radial kernels is one over the median distance
        unless it is given.
    alpha : float, default=1.0
        Penalty on the side of the features, whose kernels have a mean diagonal of one.
    attribute_alpha : float, default=1.0
        Penalty on the side of the attributes (:math:`\lambda`), which are scaled to a mean square
        of one.
    calibration : float, default=0.0
        Taken off the scores of classes that were seen in `fit`, which unseen ones are else too
        rarely preferred to (calibrated stacking).
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` follows X. See :doc:`/gpu`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes to tell apart, sorted.
    seen_ : ndarray of bool, shape (n_classes,)
        Whether y had the class.
    attributes_ : ndarray of shape (n_classes, n_attributes)
        Their attributes, scaled.
    dual_coef_ : ndarray of shape (n_rows, n_attributes)
        Weights of the training rows.
    rows_ : Views
        The training rows.
    kernels_ : dict of str to Kernel
        By modality.
    centrings_ : dict of str to Centring
        Where the mean of the training rows lies in the feature space of each modality.
    scales_ : dict of str to float
        Mean diagonal of each centred kernel, by which it is divided.
    temperature_ : float
        By which scores become probabilities: the likeliest for the training rows among the classes
        they have.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    Notes
    -----
    Kernels are centred, so a modality that a row lacks counts as the mean of the training rows.
    Memory is quadratic in the number of training rows.

    References
    ----------
    Romera-Paredes, B. & Torr, P. H. S. (2015). An embarrassingly simple approach to zero-shot
    learning. ICML, 2152-2161 (equation 4; here in terms of the training rows, with centred
    kernels). Chao, W.-L. et al. (2016). An empirical study and analysis of generalized zero-shot
    learning for object recognition in the wild. ECCV, 52-68 (the calibration term).

    Examples
    --------
    The class "lean" is never seen: it is told by two attributes.

    >>> import numpy as np
    >>> import mmgraph as mg
    >>> attributes = {"none": [0, 0], "one": [1, 0], "lean": [0, 1], "both": [1, 1]}
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["none", "one", "lean", "both"])[np.arange(80) % 4]
    >>> told = np.array([attributes[label] for label in y])
    >>> X = told @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(80, 5))
    >>> seen = y != "lean"
    >>> centred = {label: np.array(a) - 0.5 for label, a in attributes.items()}
    >>> mg.ESZSLClassifier(centred).fit(X[seen], y[seen]).score(X[~seen], y[~seen])
    1.0
    """

    def __init__(
        self,
        attributes: Mapping | None = None,
        *,
        kernel: str | Callable | Mapping = "linear",
        kernel_params: Mapping | None = None,
        alpha: float = 1.0,
        attribute_alpha: float = 1.0,
        calibration: float = 0.0,
        modalities: Modalities | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ):
        self.attributes = attributes
        self.kernel = kernel
        self.kernel_params = kernel_params
        self.alpha = alpha
        self.attribute_alpha = attribute_alpha
        self.calibration = calibration
        self.modalities = modalities
        self.device = device

    def fit(self, X, y):
        """Solve for the weights of the training rows.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Labels: numbers or strings.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, y has one class only, or `attributes` lacks a class of
            y.
        """
        for name in ("alpha", "attribute_alpha"):
            require(name, getattr(self, name), "<0", "<inf", numbers.Real)
        require("calibration", self.calibration, "-inf", "<inf", numbers.Real)
        views = self._check(X, reset=True)
        labels, codes = check_classes(self, y, views.n_rows)
        classes, attributes = self._class_attributes(labels)
        self.kernels_, self.centrings_, self.scales_ = {}, {}, {}
        xp = views.xp
        attributes = xp.asarray(attributes)
        total = xp.zeros((views.n_rows, views.n_rows))
        for name, shown in views.present.items():
            rows = xp.asarray(np.flatnonzero(shown))
            block = views.shown(name)
            self.kernels_[name] = automatic(self._kernel(name), block, self.kernel_params or {})
            K = gram(self.kernels_[name], block)
            self.centrings_[name] = centre(K)
            self.scales_[name] = float(K.diagonal().mean()) or 1.0
            total[xp.ix_(rows, rows)] += K / (self.scales_[name] * len(views.present))
        seen = xp.asarray(np.searchsorted(classes, labels))
        self.dual_coef_ = compatibility(
            total, codes, attributes[seen], self.alpha, self.attribute_alpha
        )
        scores = total @ self.dual_coef_ @ attributes[seen].T
        self.temperature_ = fit_temperature(scores, codes)
        self.classes_, self.attributes_ = classes, attributes
        self.seen_ = np.isin(classes, labels)
        self.rows_ = views._replace(ids=None)
        return self

    def _class_attributes(self, labels):
        """The classes, sorted, and their attributes, scaled to a mean square of one."""
        given = as_attributes("attributes", self.attributes, None, labels)
        if not given:
            return labels, np.eye(len(labels)) * np.sqrt(len(labels))
        classes = np.unique(list(given))
        missing = np.setdiff1d(labels, classes)
        if len(missing):
            raise ValueError(
                f"attributes lacks {missing.tolist()[0]!r}, a class of y: describe every class of "
                "the training rows too."
            )
        table = np.array([given[label].mean(axis=0) for label in classes.tolist()])
        largest = np.abs(table).max() or 1.0
        table = table / largest
        return classes, table / (np.sqrt((table**2).mean()) or 1.0)

    def _kernel(self, name):
        """Name or function of a modality's kernel."""
        kernel = self.kernel
        if isinstance(kernel, Mapping):
            for key in kernel:
                self.layout_.require(key)
            kernel = kernel.get(name, "linear")
        if not callable(kernel):
            choose("kernel", kernel, NAMES)
        return kernel

    def _scores(self, views):
        xp = views.xp
        total = xp.zeros((views.n_rows, len(self.dual_coef_)))
        for name, shown in views.present.items():
            if shown.any():
                known = xp.asarray(np.flatnonzero(self.rows_.present[name]))
                K = gram(self.kernels_[name], views.shown(name), self.rows_.shown(name))
                K = self.centrings_[name].apply(K) / (self.scales_[name] * len(views.present))
                total[xp.ix_(xp.asarray(np.flatnonzero(shown)), known)] += K
        return total @ self.dual_coef_ @ self.attributes_.T


def _direction(points):
    """Mean of some points, of length one."""
    return unit(points.astype(float).mean(axis=0, keepdims=True))[0]


def as_attributes(parameter, given, n_columns, labels):
    """What is said of classes, as arrays of shape (n_prompts, n_columns) by label.

    Parameters
    ----------
    parameter : str
        Its name, for errors.
    given : dict of label to array-like, or None
    n_columns : int or None
        Wanted width; None: any, the same for all.
    labels : ndarray
        The classes of the training rows, of whose type those of `given` must be.

    Returns
    -------
    dict
        Empty for None.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or len(given) < 2:
        raise ValueError(
            f"{parameter} must be a dict of two or more labels, each with an array; got "
            f"{type(given).__name__} of length {np.size(given) if given is None else len(given)}."
        )
    kinds = np.asarray(list(given)).dtype.kind, labels.dtype.kind
    if (kinds[0] in "OUST") != (kinds[1] in "OUST"):
        raise ValueError(
            f"{parameter} has labels such as {next(iter(given))!r}, but y such as {labels[0]!r}: "
            "name the classes alike."
        )
    found = {}
    for label, values in given.items():
        label = label.item() if isinstance(label, np.generic) else label
        found[label] = check_array(
            np.atleast_2d(np.asarray(values)), dtype=float, input_name=f"{parameter}[{label!r}]"
        )
        n_columns = found[label].shape[1] if n_columns is None else n_columns
        if found[label].shape[1] != n_columns:
            raise ValueError(
                f"{parameter}[{label!r}] has {found[label].shape[1]} columns, but {n_columns} are "
                "expected: give each class as many."
            )
    return found
