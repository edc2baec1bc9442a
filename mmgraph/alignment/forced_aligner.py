"""Forced alignment: the borders of units whose order is known."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin

from ..engine import concatenation
from ..fusion.hmm import MultiStreamHMM
from ..fusion.model_by_label import ModelByLabel
from ..hints import Modalities, Seed
from ..targets import check_classes

__all__ = ["ForcedAligner", "UnitAlignment"]


class UnitAlignment(NamedTuple):
    """Where the units of one sequence lie.

    Attributes
    ----------
    rows : slice
        The rows of X that the sequence has.
    units : ndarray of shape (n_units,)
        Labels, in order.
    spans : ndarray of int64, shape (n_units, 2)
        Row of X with which each unit begins, and the one after its last, on the most probable path.
        What lies between two units is silence.
    begin, end : ndarray of shape (n_units, n_rows)
        Probability that a unit begins with a row of the sequence, and that it ends with it.
    log_likelihood : float
        Log-density of the sequence, given the units and their order, in nats.
    """

    rows: slice
    units: np.ndarray
    spans: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    log_likelihood: float


class ForcedAligner(ClassifierMixin, ModelByLabel):
    r"""Find where units of a known order begin and end, by hidden Markov models.

    Rows are frames. `fit` learns a hidden Markov model of each unit (a word, a gesture) from
    examples of it. `align` joins the models of a sequence's units to one chain,

    .. math:: p(x, z) = p(z_1) \prod_t p(z_t \mid z_{t-1}) \, p(x_t \mid z_t),

    in which a state k of a unit goes on within it or, with the probability that it was the last one
    of an example, to the start of the next unit. The most probable path gives the borders, and the
    forward and backward recursions give the probability of each border at each frame [1]_.

    Parameters
    ----------
    hmm : MultiStreamHMM, default=None
        The model of each unit, not fitted. Its ``sequence``, ``modalities`` and ``stream_weights``
        may be given to it or to the aligner. None: one of three states from left to right.
    silence : label, default=None
        The unit that may also stand before, between and after those that are named, each time with
        probability 1/2. None: units follow each other at once.
    stream_weights : dict of str to float, default=None
        Exponents of the streams when units are aligned; 1 where not given. The models learn with
        exponents 1. Frames that depend on their neighbours count for less than they seem to: with
        an exponent below 1 the posterior is less sure of itself.
    sequence : int or str, default=None
        Column of the sequence ids; rows of a sequence are next to each other. None: all rows are
        one sequence.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each stream. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one stream, ``"X"``.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the models; None: their own.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the units, sorted.
    models_ : list of MultiStreamHMM
        The fitted model of each unit.
    units_ : list of Unit
        The same models with the probability to leave each state, and the exponents in use.
    shares_ : ndarray of shape (n_classes,)
        Share of each unit among the examples.
    layout_ : Layout
        Columns of each stream.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    HMMClassifier : Names sequences that show one unit each.
    StreamSearch : Finds units in a long stream.

    Notes
    -----
    An example is a run of rows of one sequence with the same label, so labelled frames of long
    sequences do as well as recordings of single units.

    The end of a sequence ends its last unit. A unit has one frame at least.

    References
    ----------
    .. [1] Rabiner (1989), A tutorial on hidden Markov models and selected applications in speech
       recognition. Proceedings of the IEEE 77(2), 257-286. Brugnara, Falavigna & Omologo (1993),
       Automatic segmentation and labeling of speech based on hidden Markov models. Speech
       Communication 12(4), 357-370.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> wave = {"rise": np.linspace(-1, 1, 20), "fall": np.linspace(2, 0, 20)}
    >>> y = rng.choice(["rise", "fall"], 40)
    >>> x = np.concatenate([wave[unit] for unit in y]) + 0.1 * rng.normal(size=800)
    >>> X, modalities = mg.pack(x=x, sequence=np.arange(800) // 20)
    >>> hmm = mg.MultiStreamHMM(5, topology="left-right")
    >>> model = mg.ForcedAligner(hmm, sequence=0, modalities=modalities).fit(X, y.repeat(20))
    >>> said = ["rise", "rise", "fall"]
    >>> X, _ = mg.pack(x=np.concatenate([wave[u] for u in said]), sequence=np.zeros(60))
    >>> found, = model.align(X, [said])
    >>> found.spans.tolist()
    [[0, 20], [20, 40], [40, 60]]
    >>> model.align(X)[0].units.tolist()
    ['rise', 'rise', 'fall']
    """

    _label = "unit"
    _default = MultiStreamHMM(topology="left-right")
    _default_is = "one of three states from left to right"

    def __init__(
        self,
        hmm: Any = None,
        *,
        silence: Any = None,
        stream_weights: Mapping | None = None,
        sequence: int | str | None = None,
        modalities: Modalities | None = None,
        random_state: Seed = None,
    ):
        self.hmm = hmm
        self.silence = silence
        self.stream_weights = stream_weights
        self.sequence = sequence
        self.modalities = modalities
        self.random_state = random_state

    def fit(self, X, y):
        """Learn a model of each unit.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        y : array-like of shape (n_rows,)
            Unit of each row: numbers or strings. A run of rows of a sequence with the same label is
            one example.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is one label only, a unit shows nothing of a stream, `silence` is no label, or
            a parameter of the model is out of range.
        """
        self._check_model()
        views = self._check(X, reset=True)
        classes, codes = check_classes(self, y, views.n_rows)
        if self.silence is not None and self.silence not in classes.tolist():
            raise ValueError(
                f"silence={self.silence!r} is no label in y, which has {classes.tolist()}: label "
                "the frames of silence, or set silence=None."
            )
        starts = _runs(codes, views)
        models, units = [], []
        offsets = np.array([*starts, views.n_rows])
        for model, own, of_own in self._learn_each(views, classes, codes[starts], offsets):
            units.append(concatenation.unit_of(model.model_, model._data(own, of_own)))
            models.append(model)
        weights = models[0]._weights(self._exponents())
        self.units_ = [unit.reweighted([weights[m] for m in self.layout_.names]) for unit in units]
        self.models_, self.classes_ = models, classes
        self.shares_ = np.bincount(codes[starts]) / len(starts)
        return self

    def align(self, X, units=None):
        """Find the borders of the units of each sequence.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.
        units : list of list of labels, optional
            Units of each sequence, in order. None: they are found first, as by :meth:`predict`.

        Returns
        -------
        list of UnitAlignment
            One a sequence, in order.

        Raises
        ------
        ValueError
            If a label is not known, a sequence has fewer rows than units, or its rows are
            impossible in this order.
        """
        views = self._check(X)
        sequences, data = views.sequences(), self._data(views)
        orders = None if units is None else self._orders(units, len(sequences))
        silence = None if self.silence is None else self.classes_.tolist().index(self.silence)
        found = []
        for i, rows in enumerate(sequences):
            features = tuple(f[rows] for f in data.features)
            if orders is None:
                order, _ = concatenation.decode(self.units_, self.shares_, features)
                order = order if silence is None else order[order != silence]
            else:
                order = orders[i]
            if not len(order):
                raise ValueError(f"sequence {i} has no units: it is all {self.silence!r}.")
            try:
                border = concatenation.align(self.units_, order, features, silence)
            except ValueError as error:
                raise ValueError(
                    f"sequence {i} (rows {rows.start} to {rows.stop - 1}): {error}"
                ) from error
            volume = self._log_volume(views, rows)
            found.append(
                UnitAlignment(
                    rows,
                    self.classes_[order],
                    border.spans + rows.start,
                    border.begin,
                    border.end,
                    border.log_likelihood - volume,
                )
            )
        return found

    def predict(self, X):
        """Unit of each row, where the order is not known either.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames; NaN marks absent streams.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        views = self._check(X)
        data, codes = self._data(views), np.empty(views.n_rows, int)
        for rows in views.sequences():
            features = tuple(f[rows] for f in data.features)
            order, starts = concatenation.decode(self.units_, self.shares_, features)
            codes[rows] = np.repeat(order, np.diff([*starts, rows.stop - rows.start]))
        return self.classes_[codes]

    def _data(self, views):
        """Rows as the engine has them: all models share the units of the streams."""
        return self.models_[0]._data(views)

    def _log_volume(self, views, rows):
        """What the scales of the streams add to the log-density of some rows."""
        streams = zip(self.layout_.names, self.units_[0].streams, strict=True)
        return sum(
            stream.weight * stream.scale.log_volume * views.present[name][rows].sum()
            for name, stream in streams
            if stream.scale is not None
        )

    def _orders(self, units, n_sequences):
        """Numbers of the units of each sequence, checked."""
        if isinstance(units, str) or not hasattr(units, "__len__"):
            raise ValueError(
                f"units={units!r}: it must be a list with one list of labels a sequence."
            )
        if len(units) != n_sequences:
            raise ValueError(
                f"units has {len(units)} entries, but X has {n_sequences} sequence(s): give one "
                "list of labels a sequence."
            )
        numbers, orders = {label: k for k, label in enumerate(self.classes_.tolist())}, []
        for i, order in enumerate(units):
            if isinstance(order, str) or not hasattr(order, "__len__") or not len(order):
                raise ValueError(
                    f"units[{i}]={order!r}: it must be a list of one label or more, such as "
                    f"{self.classes_[:2].tolist()}."
                )
            for label in order:
                if label not in numbers:
                    raise ValueError(
                        f"units[{i}] has {label!r}, which was no label in fit: the units are "
                        f"{self.classes_.tolist()}."
                    )
            orders.append(np.array([numbers[label] for label in order]))
        return orders


def _runs(codes, views):
    """First row of each run of one label within a sequence."""
    new = np.r_[True, codes[1:] != codes[:-1]]
    new[[rows.start for rows in views.sequences()]] = True
    return np.flatnonzero(new)
