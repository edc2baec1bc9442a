"""Search of long streams for what a query says."""

import numbers
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp, softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..base import MultimodalEstimator, RepresentationMixin
from ..coordinated.cca import CCA
from ..coordinated.embedding import SIMILARITIES, geometry
from ..engine import concatenation
from ..engine.passages import segment_means, stand_apart, windows
from ..hints import Modalities
from ..parameters import choose, require
from .forced_aligner import ForcedAligner

__all__ = ["Hits", "StreamSearch"]

QUANTILES = 0.1, 0.3, 0.5, 0.7, 0.9  # of the examples' lengths: the windows that are tried


class Hits(NamedTuple):
    """Where streams show what a query says; the best first, and no two overlap.

    Attributes
    ----------
    spans : ndarray of int64, shape (n_hits, 2)
        First row of X, and the one after the last.
    scores : ndarray of shape (n_hits,)
        A log-ratio (of a model of units), or a similarity (of an embedding).
    """

    spans: np.ndarray
    scores: np.ndarray


class StreamSearch(MultimodalEstimator):
    r"""Find where a long stream shows what a query in another modality says.

    Rows are frames of a stream; other modalities are what it is asked by. `fit` learns from
    examples, sequences that show one thing each in the stream and in the other modalities. `search`
    ranks passages of a long stream.

    With an embedding, windows of several lengths are summarised by the means of their segments,
    embedded, and compared with the embedded query. With a :class:`ForcedAligner`, the stream is
    first cut into its most probable units. A passage s then gets, of a query that says unit k with
    probability :math:`q_k`, the score

    .. math::

       \log \frac{\sum_k q_k \, \pi_k \, p(s \mid k)}{\sum_k (1 - q_k) \, \pi_k \, p(s \mid k)}

    where :math:`\pi_k` is the share of the unit: how much more probable the stream is there if the
    query is right than if it is not.

    Parameters
    ----------
    model : estimator with ``embed``, ForcedAligner, or FrozenEstimator of one, default=None
        What compares stream and query; `fit` fits a clone of it, and its ``modalities`` and
        ``sequence`` may be given to it or here. One that is fitted is wrapped in scikit-learn's
        :class:`~sklearn.frozen.FrozenEstimator`. An embedding then has the columns of `stream` as
        often as there are segments, and those of the other modalities behind them. None: ``CCA()``.
    stream : str, default=None
        Modality that is searched. None: the first one.
    n_segments : int, default=8
        Segments of an example or window whose means an embedding sees.
    lengths : sequence of int, default=None
        Frames of the windows. None: five quantiles of the lengths of the examples.
    hop : int, default=2
        Frames from one window to the next.
    similarity : {"cosine", "centred_cosine", "correlation"}, default="centred_cosine"
        How representations are compared, as in :class:`Retriever`.
    sequence : int or str, default=None
        Column of the sequence ids; rows of a sequence are next to each other. None: every row is an
        example of its own in `fit`, and all rows are one stream in `search`.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.

    Attributes
    ----------
    model_ : estimator
        The fitted model.
    stream_ : str
        Modality that is searched.
    lengths_ : ndarray of int
        Frames of the windows; of a model of units none.
    geometry_ : Geometry or None
        How representations are centred and weighted; None for a model of units.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    ForcedAligner : Borders of units in a known order.
    Retriever : Ranks whole rows.

    Notes
    -----
    Of a row of an example that shows another modality, a model of units learns this as one more
    stream: let every row of the example show it. An embedding gets the mean of those that do.

    What else a stream may have, such as silence, is best a unit of its own. Then nothing that is
    asked for need account for it.

    References
    ----------
    Rose, R. C. & Paul, D. B. (1990). A hidden Markov model based keyword recognition system.
    ICASSP, 129-132. Neubeck, A. & Van Gool, L. (2006). Efficient non-maximum suppression. ICPR,
    850-855.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 3, 60).repeat(12)
    >>> pitch = np.sin(np.arange(720) % 12 * (1 + y) / 4) + y + 0.2 * rng.normal(size=720)
    >>> X, modalities = mg.pack(pitch=pitch, card=np.eye(3)[y], sequence=np.arange(720) // 12)
    >>> search = mg.StreamSearch(mg.ForcedAligner(), sequence=0, modalities=modalities).fit(X, y)
    >>> song, _ = mg.pack(modalities, pitch=pitch[:120], sequence=np.zeros(120))
    >>> query, _ = mg.pack(modalities, card=np.eye(3)[[2]], sequence=[0])
    >>> hits, = search.search(song, query)
    >>> np.sort(hits.spans[hits.scores > 0][:, 0]).tolist()
    [0, 108]
    >>> np.flatnonzero(y[:120:12] == 2).tolist()
    [0, 9]
    """

    def __init__(
        self,
        model: Any = None,
        *,
        stream: str | None = None,
        n_segments: int = 8,
        lengths: Sequence[int] | None = None,
        hop: int = 2,
        similarity: Literal["cosine", "centred_cosine", "correlation"] = "centred_cosine",
        sequence: int | str | None = None,
        modalities: Modalities | None = None,
    ):
        self.model = model
        self.stream = stream
        self.n_segments = n_segments
        self.lengths = lengths
        self.hop = hop
        self.similarity = similarity
        self.sequence = sequence
        self.modalities = modalities

    def fit(self, X, y=None):
        """Learn from examples, unless the model is frozen.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Frames of examples; NaN marks absent modalities.
        y : array-like of shape (n_rows,), optional
            What each row shows, for models that learn from labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or no example shows the stream.
        TypeError
            If the model neither embeds nor aligns.
        """
        self._check_parameters()
        views = self._check(X, reset=True)
        self.stream_ = self.layout_.names[0] if self.stream is None else self.stream
        self.layout_.require(self.stream_)
        frozen = isinstance(self.model, FrozenEstimator)
        if isinstance(self._template(), ForcedAligner):
            self.lengths_, self.geometry_ = np.zeros(0, int), None
            with warnings.catch_warnings():  # has been said of this X
                warnings.filterwarnings("ignore", message="modality .* is NaN in part")
                if frozen:
                    self.model_ = self._template()
                    self.model_._check(X)
                else:
                    self.model_ = (
                        clone(self.model).set_params(**self._layout_parameters()).fit(X, y)
                    )
            return self
        examples = [slice(i, i + 1) for i in range(views.n_rows)]
        examples = examples if views.ids is None else views.sequences()
        self.lengths_ = self._choose_lengths(views, examples)
        rows, modalities = self._summarised(views, examples)
        if frozen:
            self.model_ = self._template()
        else:
            labels = None if y is None else np.asarray(y)[[rows.start for rows in examples]]
            model = clone(self._template())
            own = "modalities" in model.get_params()  # else those of the embedding inside it
            model.set_params(**{"modalities" if own else "embedding__modalities": modalities})
            self.model_ = model.fit(rows, labels)
        summaries = self.model_._check(rows)
        representations = {m: self.model_._embed(summaries, m) for m in self.layout_.names}
        self.geometry_ = geometry(self.similarity, self.model_, representations)
        return self

    def search(self, X, query=None, *, units=None, k=10):
        """Passages of streams that show what queries say.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Long streams; only the columns of the stream are looked at.
        query : array-like or CSR matrix of shape (n_queries, n_features), optional
            What is asked for, a row each; its columns of the stream are not looked at.
        units : list of labels, optional
            In place of rows, units to ask a :class:`ForcedAligner` for.
        k : int
            How many hits a query, at most.

        Returns
        -------
        list of Hits
            One a query.

        Raises
        ------
        ValueError
            If X does not show the stream, a query shows nothing beside it, or a unit is not known.
        """
        check_is_fitted(self)
        require("k", k, "1", "inf", numbers.Integral)
        if (query is None) == (units is None):
            raise ValueError("give either query, rows that show another modality, or units.")
        others = [name for name in self.layout_.names if name != self.stream_]
        views = self._check(X).hide(*others)
        if not views.present[self.stream_].any():
            raise ValueError(f"X does not show {self.stream_!r}, which is searched.")
        asked = self._asked(query) if units is None else self._named(units)
        rank = self._rank_units if self.geometry_ is None else self._rank_windows
        spans, scores = rank(views, asked)
        found = []
        for own in scores.T:
            best = stand_apart(spans, own, k)
            found.append(Hits(spans[best], own[best]))
        return found

    def _check_parameters(self):
        require("n_segments", self.n_segments, "1", "<inf", numbers.Integral)
        require("hop", self.hop, "1", "<inf", numbers.Integral)
        choose("similarity", self.similarity, SIMILARITIES)
        for length in () if self.lengths is None else self.lengths:
            require("a window of lengths", length, "1", "<inf", numbers.Integral)
        if not isinstance(self._template(), RepresentationMixin | ForcedAligner):
            raise TypeError(
                f"model={self.model!r}: it must be an estimator of mmgraph that has embed, such as "
                "mmgraph.CCA(), a ForcedAligner, or a FrozenEstimator of one that is fitted."
            )

    def _layout_parameters(self):
        return super()._layout_parameters(
            None if isinstance(self.model, FrozenEstimator) else self._template()
        )

    def _template(self):
        """The estimator that the parameter `model` means."""
        model = CCA() if self.model is None else self.model
        return model.estimator if isinstance(model, FrozenEstimator) else model

    def _asked(self, query):
        """What rows ask for: a probability of each unit, or a point; one row each."""
        views = self._check(query).hide(self.stream_)._replace(ids=None)
        shown = np.any(list(views.present.values()), axis=0)
        if not shown.all():
            raise ValueError(
                f"query shows nothing beside {self.stream_!r} in {(~shown).sum()} row(s), first in "
                f"row {np.argmin(shown)}: there is nothing to search for. Leave them out."
            )
        if self.geometry_ is None:
            features = self.model_._data(views).features
            seen = concatenation.glance(self.model_.units_, features)
            return softmax(seen + np.log(self.model_.shares_), axis=1)
        points = np.zeros((views.n_rows, self.model_._n_features_out))
        for name, mask in views.present.items():
            if mask.any():
                block = views.blocks[name][mask]
                points[mask] += self._placed(name, block.toarray() if sp.issparse(block) else block)
        return self.geometry_.scaled(points)

    # Units ---------------------------------------------------------------------------------------

    def _named(self, units):
        """Probability of each unit, one row a label."""
        if self.geometry_ is not None:
            raise ValueError(
                "units are searched by a ForcedAligner; an embedding is asked by rows: give query."
            )
        classes = self.model_.classes_.tolist()
        if isinstance(units, str) or not hasattr(units, "__len__"):
            raise ValueError(
                f"units={units!r}: it must be a list of labels, such as {classes[:2]}."
            )
        for unit in units:
            if unit not in classes:
                raise ValueError(f"units has {unit!r}, which was no label in fit: {classes}.")
        return np.eye(len(classes))[[classes.index(unit) for unit in units]]

    def _rank_units(self, views, asked):
        """Passages in the most probable order of units, and the log-ratio of each query."""
        model, spans, scores = self.model_, [], []
        data = model._data(views._replace(ids=None))
        prior = np.log(model.shares_)
        for rows in views.sequences():
            features = tuple(f[rows] for f in data.features)
            _, starts = concatenation.decode(model.units_, model.shares_, features)
            edges = np.r_[starts, rows.stop - rows.start] + rows.start
            spans.append(np.column_stack([edges[:-1], edges[1:]]))
            scores.append(concatenation.weigh(model.units_, features, starts) + prior)
        return np.concatenate(spans), _log_odds(np.concatenate(scores), asked)

    # Windows -------------------------------------------------------------------------------------

    def _choose_lengths(self, views, examples):
        if self.lengths is not None:
            return np.unique(np.asarray(self.lengths, int))
        present = views.present[self.stream_]
        counts = [int(present[rows].sum()) for rows in examples]
        return np.unique(np.quantile([n for n in counts if n], QUANTILES).round().astype(int))

    def _frames(self, views, rows):
        """Rows that show the stream, and what they show."""
        own = rows.start + np.flatnonzero(views.present[self.stream_][rows])
        block = views.blocks[self.stream_][own]
        return own, block.toarray() if sp.issparse(block) else np.asarray(block)

    def _summarised(self, views, examples):
        """Examples as an embedding sees them: segments of the stream, means of the others."""
        width = len(self.layout_.columns[self.stream_]) * self.n_segments
        blocks = {self.stream_: np.full((len(examples), width), np.nan, views.dtype)}
        for name in self.layout_.names:
            if name != self.stream_:
                shape = len(examples), len(self.layout_.columns[name])
                blocks[name] = np.full(shape, np.nan, views.dtype)
        for i, rows in enumerate(examples):
            own, frames = self._frames(views, rows)
            if len(own):
                whole = np.array([[0, len(own)]])
                blocks[self.stream_][i] = segment_means(frames, whole, self.n_segments)[0]
            for name, block in blocks.items():
                shown = rows.start + np.flatnonzero(views.present[name][rows])
                if name != self.stream_ and len(shown):
                    block[i] = np.asarray(views.blocks[name][shown].mean(axis=0)).ravel()
        edges = np.cumsum([0, *(block.shape[1] for block in blocks.values())])
        modalities = dict(zip(blocks, map(slice, edges[:-1], edges[1:]), strict=True))
        return np.hstack(list(blocks.values())), modalities

    def _rank_windows(self, views, asked):
        """Windows of the streams, and their similarity to each query."""
        spans, scores = [], []
        for rows in views.sequences():
            own, frames = self._frames(views, rows)
            if len(own):
                found = windows(len(own), self.lengths_, self.hop)
                Z = self._placed(self.stream_, segment_means(frames, found, self.n_segments))
                scores.append(Z @ asked.T)
                spans.append(np.column_stack([own[found[:, 0]], own[found[:, 1] - 1] + 1]))
        return np.concatenate(spans), np.concatenate(scores)

    def _placed(self, name, block):
        """Points of the rows of one modality."""
        layout = self.model_.layout_
        blocks = {m: np.full((len(block), len(c)), np.nan) for m, c in layout.columns.items()}
        views = layout.views(layout.join(blocks | {name: block}, len(block), block.dtype))
        return self.geometry_.points(self.model_._embed(views, name), name)


def _log_odds(scores, asked):
    """Log-ratio of what queries say to all else, of shape (n_passages, n_queries)."""
    with np.errstate(divide="ignore"):
        for_it, against = np.log(asked), np.log1p(-asked)
    scores = scores[:, None]
    return logsumexp(scores + for_it, axis=2) - logsumexp(scores + against, axis=2)
