"""Classification of sequences by one hidden Markov model a class."""

import itertools
from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets

from ..backend.arrays import beside
from ..engine import markov
from ..hints import Modalities, Seed
from ..predictors import PosteriorClassifier
from ..targets import check_classes, check_target
from .model_by_label import ModelByLabel

__all__ = ["HMMClassifier"]

MANY, FEW = 10, 4  # steps of the weights that tuning tries, for up to three streams and for more


class HMMClassifier(PosteriorClassifier, ModelByLabel):
    r"""Classifier of sequences: one hidden Markov model a class.

    Rows are frames, and the rows of a sequence have one label. A model of each class learns from
    its sequences, and a new sequence s gets the class c of the largest

    .. math:: \log \pi_c + \log p_c(s)

    where :math:`\pi_c` is the share of the class in the training sequences, and the streams enter
    the likelihood with the exponents `stream_weights`.

    Parameters
    ----------
    hmm : MultiStreamHMM, CoupledHMM or FactorialHMM, default=None
        The model of each class, not fitted. Its ``sequence``, ``modalities`` and ``stream_weights``
        may be given to it or to the classifier. None: one with its defaults.
    stream_weights : dict of str to float, default=None
        Exponents of the streams when sequences are classified; 1 where not given. The models learn
        with exponents 1. :meth:`tune` finds them.
    sequence : int or str, default=None
        Column of the sequence ids; rows of a sequence are next to each other. None: every row is a
        sequence of one frame.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each stream. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one stream, ``"X"``.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the models; None: their own.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the frames are worked on: ``"auto"`` follows X. It holds for the models.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    models_ : list of MultiStreamHMM
        The fitted model of each class.
    log_prior_ : ndarray of shape (n_classes,)
        Logarithm of the share of each class among the sequences.
    stream_weights_ : dict of str to float
        Exponents in use: those given, or those that :meth:`tune` found.
    layout_ : Layout
        Columns of each stream.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    MultiStreamHMM : The model of a class.

    Notes
    -----
    Weights matter in classification and hardly in learning [1]_: a stream in which there is noise
    deserves a small one. A stream that a sequence lacks is left out.

    ``predict`` gives every row of a sequence the same label, so ``score`` weighs sequences with
    their length; :meth:`score_sequences` does not.

    References
    ----------
    .. [1] Potamianos, Neti, Gravier, Garg & Senior (2003), Recent advances in the automatic
       recognition of audiovisual speech. Proceedings of the IEEE 91(9), 1306-1326.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 30).repeat(20)
    >>> wave = np.sin(np.tile(np.arange(20), 60) * (0.5 + y))[:, None] + rng.normal(size=(1200, 1))
    >>> X, modalities = mg.pack(wave=wave, sequence=np.arange(1200) // 20)
    >>> classifier = mg.HMMClassifier(
    ...     mg.MultiStreamHMM(5, topology="left-right"), sequence=0, modalities=modalities
    ... ).fit(X, y)
    >>> bool(classifier.score_sequences(X, y) > 0.8)
    True
    """

    _streams = True
    _on_host = frozenset({"log_prior_"})

    def __init__(
        self,
        hmm: BaseEstimator | None = None,
        *,
        stream_weights: Mapping | None = None,
        sequence: int | str | None = None,
        modalities: Modalities | None = None,
        random_state: Seed = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ):
        self.hmm = hmm
        self.stream_weights = stream_weights
        self.sequence = sequence
        self.modalities = modalities
        self.random_state = random_state
        self.device = device

    def fit(self, X, y):
        """Learn a model of each class.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        y : array-like of shape (n_rows,)
            Labels: numbers or strings, the same in all rows of a sequence.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels differ within a sequence or there is one class only, a class shows nothing of
            a stream, or a parameter of the model is out of range.
        """
        self._check_model()
        views = self._check(X, reset=True)
        labels = self._labels_of_sequences(views, y)
        classes, codes = check_classes(self, labels, len(labels))
        examples = self._learn_each(views, classes, codes, self._offsets(views))
        models = [model for model, *_ in examples]
        self.stream_weights_ = models[0]._weights(self._exponents())
        self.models_, self.classes_ = models, classes
        self.log_prior_ = np.log(np.bincount(codes) / len(codes))
        return self

    def decision_function(self, X):
        """Log-likelihood of each row's sequence under each class, plus the log-prior.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows,) for two classes
            For two classes, how much more the second has.
        """
        found = self._opinion(self._check(X))
        return beside(found[:, 1] - found[:, 0] if len(self.classes_) == 2 else found, X)

    def score_sequences(self, X, y):
        """Share of the sequences that get their label.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        y : array-like of shape (n_rows,)
            Labels, the same in all rows of a sequence.

        Returns
        -------
        float
        """
        views = self._check(X)
        labels = self._labels_of_sequences(views, y)
        found = self._by_sequence(self._data(views), self.stream_weights_)
        return float((self.classes_[found.argmax(axis=1)] == labels).mean())

    def tune(self, X, y):
        """Find stream weights that classify sequences well, and use them from now on.

        The weights that are tried sum to the number of streams. Those of least cross-entropy are
        taken, where the log-likelihoods of all classes are tempered by a common factor, which is
        found for each choice: without it, weights would be judged by their sum.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames of sequences that no model has learnt from; NaN marks absent streams.
        y : array-like of shape (n_rows,)
            Labels, the same in all rows of a sequence.

        Returns
        -------
        self
        """
        views = self._check(X)
        labels = self._labels_of_sequences(views, y)
        codes = np.searchsorted(self.classes_, labels)
        codes = np.minimum(codes, len(self.classes_) - 1)
        if (self.classes_[codes] != labels).any():
            raise ValueError("y has labels that were not there when the classifier was fitted.")
        data, names, losses = self._data(views), self.layout_.names, []
        choices = list(_simplex(len(names), MANY if len(names) < 4 else FEW))
        for shares in choices:
            weights = dict(zip(names, shares, strict=True))
            losses.append(_tempered_loss(self._by_sequence(data, weights), codes))
        best = choices[int(np.argmin(losses))]
        self.stream_weights_ = dict(zip(names, best, strict=True))
        return self

    # Sequences -----------------------------------------------------------------------------------

    def _offsets(self, views):
        if views.ids is None:
            return np.arange(views.n_rows + 1)
        return views.offsets

    def _labels_of_sequences(self, views, y):
        """One label a sequence."""
        y = check_target(self, y, np.ones(views.n_rows))
        check_classification_targets(y)
        offsets = self._offsets(views)
        labels = y[offsets[:-1]]
        differs = y != np.repeat(labels, np.diff(offsets))
        if differs.any():
            row = int(np.argmax(differs))
            raise ValueError(
                f"the labels of a sequence differ: row {row} has {y[row]!r}, and the first row of "
                "its sequence another one. Give all rows of a sequence one label, or split it."
            )
        return labels

    def _data(self, views):
        """Rows as the engine has them: all models share the units of the streams."""
        return self.models_[0]._data(views, self._offsets(views))

    def _by_sequence(self, data, weights):
        """Log-prior plus log-likelihood of each sequence under each class."""
        found = []
        for model in self.models_:
            weighted = model.model_.reweighted([weights[name] for name in self.layout_.names])
            densities = markov.log_densities(weighted, data)
            found.append(np.add.reduceat(densities, data.offsets[:-1]))
        found = np.stack(found, axis=1)
        found[np.isneginf(found).all(axis=1)] = 0  # impossible under all, so it tells nothing
        return found + self.log_prior_

    def _opinion(self, views):
        data = self._data(views)
        found = self._by_sequence(data, self.stream_weights_)
        return np.repeat(found, np.diff(data.offsets), axis=0)


def _simplex(n, steps):
    """Weights in equal steps that sum to `n`; equal ones first, for they win ties."""
    yield (1.0,) * n
    for bars in itertools.combinations(range(steps + n - 1), n - 1):
        edges = (-1, *bars, steps + n - 1)
        yield tuple(n * (b - a - 1) / steps for a, b in itertools.pairwise(edges))


def _tempered_loss(scores, codes):
    """Cross-entropy of log-likelihoods at the best of some temperatures."""
    scores = np.maximum(scores, scores.max(axis=1, keepdims=True) - 1e9)  # finite
    rows = np.arange(len(codes))
    return min(
        -log_softmax(scores * factor, axis=1)[rows, codes].mean()
        for factor in np.logspace(-3, 1, 17)
    )
