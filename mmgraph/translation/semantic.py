"""Correlation, semantic and combined matching: modalities compared by what they say of classes."""

import numbers
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ..base import RepresentationMixin
from ..coordinated.embedding import EmbeddingUser
from ..engine.regression import fit_softmax
from ..engine.retrieval import unit
from ..parameters import choose, require
from ..targets import check_classes
from .retriever import matching_score

__all__ = ["SemanticMatcher"]

MATCHINGS = "correlation", "semantic", "combined"


class SemanticMatcher(RepresentationMixin, EmbeddingUser):
    r"""A space for retrieval across modalities: correlation, semantic or combined matching.

    ``"correlation"`` (CM)
        the space of the `embedding`, canonical correlation analysis in the original.
    ``"semantic"`` (SM)
        the posterior probabilities of the classes, by one multinomial logistic regression a
        modality.
    ``"combined"`` (SCM)
        the same posteriors, of logistic regressions that see the embedding's representations.

    Give it to a :class:`Retriever` as its `embedding`.

    Parameters
    ----------
    embedding : estimator with ``embed``, or FrozenEstimator of one, default=None
        Where modalities are correlated. `fit` fits a clone of it, unless it is frozen; semantic
        matching does not use it. Its parameter ``modalities`` says which columns are whose. None:
        ``CCA()``.
    matching : {"combined", "correlation", "semantic"}, default="combined"
        Which space.
    C : float, default=1.0
        Inverse strength of the regressions' L2 penalty, for inputs whose columns have a mean
        variance of one (they are scaled to it, together).

    Attributes
    ----------
    embedding_ : estimator or None
        The fitted embedding; None in semantic matching.
    regressions_ : dict of str to SoftmaxRegression
        By modality; empty in correlation matching.
    classes_ : ndarray
        The classes, in the order of the representation's columns; only with regressions.
    priors_ : ndarray of shape (n_classes,)
        Their shares of the training rows: what a row that shows nothing is represented by.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    Notes
    -----
    `transform` averages the posteriors over the modalities that a row shows; `embed` takes those of
    one. A modality's regression is fitted to the rows that show it.

    References
    ----------
    Rasiwasia, N., Costa Pereira, J., Coviello, E., Doyle, G., Lanckriet, G., Levy, R. &
    Vasconcelos, N. (2010). A new approach to cross-modal multimedia retrieval. ACM Multimedia,
    251-260.

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(image=digits.image, text=digits.counts)
    >>> matcher = mg.SemanticMatcher(mg.CCA(9, shrinkage=0.1, modalities=modalities))
    >>> _ = matcher.fit(X[digits.train], digits.target[digits.train])
    >>> matcher.embed(X[digits.test], "image").shape
    (364, 10)
    >>> bool(matcher.score(X[digits.test], digits.target[digits.test]) > 0.8)
    True
    """

    device = property()  # logistic regression is scikit-learn's, on the CPU

    def __init__(self, embedding: Any = None, *, matching: str = "combined", C: float = 1.0):
        self.embedding = embedding
        self.matching = matching
        self.C = C

    def fit(self, X, y=None):
        """Fit the embedding and a logistic regression for each modality.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : array-like of shape (n_rows,)
            Classes: numbers or strings. Correlation matching needs none.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or y is missing or has one class only.
        """
        choose("matching", self.matching, MATCHINGS)
        require("C", self.C, "<0", "<inf", numbers.Real)
        views = self._check(X, reset=True)
        embedding, regressions = None, {}
        if self.matching != "correlation":
            classes, codes = check_classes(self, y, views.n_rows)
        if self.matching != "semantic":
            embedding = self._fitted_embedding(X, y)
        if self.matching != "correlation":
            for name, shown in views.present.items():
                features = _features(embedding, views.take(shown), name)
                regressions[name] = fit_softmax(features, codes[shown], len(classes), self.C)
            self.classes_, self.priors_ = classes, np.bincount(codes) / len(codes)
        self.embedding_, self.regressions_ = embedding, regressions
        return self

    @property
    def _n_features_out(self):
        return len(self.classes_) if self.regressions_ else self.embedding_._n_features_out

    def _represent(self, views):
        if not self.regressions_:
            return self.embedding_._represent(views)
        total, n_shown = np.zeros((views.n_rows, len(self.classes_))), 0
        for name, shown in views.present.items():
            if shown.any():
                features = _features(self.embedding_, views.take(shown), name)
                total[shown] += self.regressions_[name].probabilities(features)
            n_shown = n_shown + shown[:, None]
        return np.where(n_shown > 0, total / np.maximum(n_shown, 1), self.priors_)

    def score(self, X, y=None):
        """Mean average precision of retrieving rows by another modality of theirs, by cosine.

        The rows are both queries and gallery, and the mean is over all ordered pairs of modalities.
        With one modality, a row is found by itself.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Rows that may lack some modalities.
        y : array-like of shape (n_rows,), optional
            Classes; a row of the same class is relevant. None: only the row itself is.

        Returns
        -------
        float
            Between 0 and 1, which is best.
        """
        views = self._check(X)
        labels = np.arange(views.n_rows) if y is None else column_or_1d(y)
        check_consistent_length(X, labels)
        points = {m: unit(self._embed(views, m)) for m in self.layout_.names}
        return matching_score(points, labels)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.matching != "correlation"
        return tags


def _features(embedding, views, name):
    """What the regression of a modality sees of rows that all show it."""
    return views.blocks[name] if embedding is None else embedding._embed(views, name)
