"""Retrieval of any modality by any modality, and translation by example."""

import numbers
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from ..backend import random
from ..backend.arrays import beside, namespace, pick, to_numpy
from ..base import GenerativeMixin, RepresentationMixin
from ..coordinated.embedding import SIMILARITIES, EmbeddingUser, geometry
from ..engine.retrieval import (
    ANSWERS,
    Neighbours,
    answer,
    hubness,
    neighbour_weights,
    top_k,
)
from ..hints import Seed
from ..metrics import average_precision
from ..parameters import choose, require

__all__ = ["Retriever"]

VALUES_AT_ONCE = 1 << 22  # of neighbours' columns, when answers are made
SIMILARITIES_AT_ONCE = 1 << 24
DRAW, PICK = range(2)  # what a derived key is used for


class Retriever(RepresentationMixin, GenerativeMixin, EmbeddingUser):
    r"""Retrieve rows by any modality of theirs, and generate a modality from what is retrieved.

    `fit` embeds a gallery, modality by modality, in the space of an `embedding`. A query is a row's
    representation from one modality, or a sum of several (:meth:`combine`); it is answered with the
    gallery rows whose target modality lies closest, in blocks, so that the matrix of all
    similarities is never held. What the closest rows show is also an answer to "what would the
    target be?": the translator by example.

    Parameters
    ----------
    embedding : estimator with ``embed``, or FrozenEstimator of one, default=None
        Where modalities are compared. `fit` fits a clone of it; to use one that is fitted already,
        wrap it in scikit-learn's :class:`~sklearn.frozen.FrozenEstimator`. Its parameter
        ``modalities`` says which columns are whose. None: ``CCA()``.
    similarity : str, default="centred_cosine"
        ``"cosine"`` of the representations; ``"centred_cosine"``, of their differences to the mean
        of their modality in the gallery; ``"correlation"``, of these with each component weighted
        by its canonical correlation, where the embedding has ``canonical_correlations_``; or
        ``"inner_product"`` of the representations: of class posteriors (:class:`SemanticMatcher`)
        the probability that both rows are of the same class.
    hubness : {"csls"} or None, default=None
        Correct for gallery rows that are close to everything, by cross-domain similarity local
        scaling: half of their mean similarity to the `n_hub_neighbors` gallery queries next to them
        is taken off.
    n_hub_neighbors : int, default=10
        Neighbours that say how much of a hub a row is.
    n_neighbors : int, default=10
        Gallery rows from which a modality is generated (fewer if fewer show it).
    through : {"target", "source"}, default="target"
        Which modality of the gallery is compared when one is generated: the target itself
        (cross-modal), or what the row shows, whose partners are the answers (uni-modal).
    answer : {"mean", "medoid", "vote"}, default="mean"
        What is made of the neighbours' targets: their weighted mean; the one next to the weighted
        mean; or the one that occurs, column for column, with the largest weight.
    temperature : float, default=0.1
        Neighbours weigh as the softmax of similarity / temperature.
    random_state : int, RandomState, Generator or None, default=None
        Seed of draws.

    Attributes
    ----------
    embedding_ : estimator
        The fitted embedding.
    gallery_ : Views
        The rows that are retrieved.
    points_ : dict of str to ndarray of shape (n_gallery, n_components)
        By modality, the representations as they are compared, of length one; zero where the row
        lacks the modality.
    hubness_ : dict of str to dict of str to ndarray of shape (n_gallery,)
        By source and target modality, what is taken off; empty without `hubness`.
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
    `transform` and `embed` give points: representations centred, weighted and of length one, so
    that their inner products are the similarities; of several modalities the sum, of length one
    (with ``"inner_product"`` neither centred nor of length one).

    A gallery row is a candidate for a target only if it shows it. Where several modalities of a row
    are absent, they are taken from the same gallery rows, if any show all of them. A row that shows
    nothing is completed with the mean of the gallery, or with a draw of its rows.

    References
    ----------
    Rasiwasia, N. et al. (2010). A new approach to cross-modal multimedia retrieval. ACM Multimedia,
    251-260. Conneau, A. et al. (2018). Word translation without parallel data. ICLR (section 2.3:
    the correction for hubs). Kiros, R., Salakhutdinov, R. & Zemel, R. S. (2014). Unifying
    visual-semantic embeddings with multimodal neural language models. arXiv:1411.2539 (vector
    arithmetic).

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(image=digits.image, text=digits.counts)
    >>> cca = mg.CCA(9, shrinkage=0.1, modalities=modalities)
    >>> retriever = mg.Retriever(cca).fit(X[digits.train])
    >>> found = retriever.retrieve(X[digits.test], "image", "text", k=3)
    >>> found.indices.shape
    (364, 3)
    >>> same = digits.target[digits.train][found.indices] == digits.target[digits.test][:, None]
    >>> bool(same.mean() > 0.8)
    True
    >>> retriever.generate(X[digits.test], "text").shape == digits.counts[digits.test].shape
    True
    """

    def __init__(
        self,
        embedding: Any = None,
        *,
        similarity: str = "centred_cosine",
        hubness: Literal["csls"] | None = None,
        n_hub_neighbors: int = 10,
        n_neighbors: int = 10,
        through: Literal["target", "source"] = "target",
        answer: Literal["mean", "medoid", "vote"] = "mean",
        temperature: float = 0.1,
        random_state: Seed = None,
    ):
        self.embedding = embedding
        self.similarity = similarity
        self.hubness = hubness
        self.n_hub_neighbors = n_hub_neighbors
        self.n_neighbors = n_neighbors
        self.through = through
        self.answer = answer
        self.temperature = temperature
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit the embedding, unless it is frozen, and keep the rows as the gallery.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_gallery, n_features)
            NaN marks absent modalities.
        y : array-like of shape (n_gallery,), optional
            For embeddings that learn from labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range.
        TypeError
            If `embedding` is no estimator of mmgraph that has ``embed``.
        """
        self._check_parameters()
        views = self._check(X, reset=True)
        embedding = self._fitted_embedding(X, y)
        representations = {m: embedding._embed(views, m) for m in self.layout_.names}
        self.geometry_ = geometry(self.similarity, embedding, representations)
        self.points_ = {
            m: views.xp.nan_to_num(self.geometry_.points(Z, m)) for m, Z in representations.items()
        }
        self.gallery_ = views._replace(ids=None)
        self.hubness_ = {} if self.hubness is None else self._hubness()
        self.embedding_ = embedding
        return self

    def _check_parameters(self):
        choose("similarity", self.similarity, (*SIMILARITIES, "inner_product"))
        choose("hubness", self.hubness or "none", ("none", "csls"))
        choose("through", self.through, ("target", "source"))
        choose("answer", self.answer, tuple(ANSWERS))
        require("n_neighbors", self.n_neighbors, "1", "<inf", numbers.Integral)
        require("n_hub_neighbors", self.n_hub_neighbors, "1", "<inf", numbers.Integral)
        require("temperature", self.temperature, "<0", "<inf", numbers.Real)
        if isinstance(self.random_state, int):
            random.key(self.random_state)  # refuses negative ones

    def _hubness(self):
        """What is taken off each gallery row, by source and target modality."""
        present, found = self.gallery_.present, {}
        for source in self.layout_.names:
            asked = pick(self.points_[source], present[source])
            found[source] = {
                target: hubness(points, asked, self.n_hub_neighbors)
                for target, points in self.points_.items()
            }
        return found

    @property
    def _n_features_out(self):
        return self.embedding_._n_features_out

    def _represent(self, views):
        xp = views.xp
        Z = xp.zeros((views.n_rows, self._n_features_out), views.dtype)
        for name, shown in views.present.items():
            if shown.any():
                alone = self.embedding_._embed(views.take(shown), name)
                Z[xp.asarray(shown)] += self.geometry_.points(alone, name)
        return self.geometry_.scaled(Z)

    # Retrieval

    def retrieve(self, X, source, target, k=10):
        """Gallery rows whose `target` is most similar to the rows' `source`.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Queries; only the columns of `source` are looked at.
        source, target : str
            Modalities, which may be the same.
        k : int
            How many.

        Returns
        -------
        Neighbours
            ``indices`` and ``similarities``, both of shape (n_rows, k), the most similar first; a
            named tuple.

        Raises
        ------
        ValueError
            If a row lacks `source`, or fewer than `k` gallery rows show `target`.
        """
        points = self.embed(X, source)
        missing = to_numpy(namespace(points).isnan(points).any(axis=1))
        if missing.any():
            raise ValueError(
                f"modality {source!r} is absent in {missing.sum()} row(s), first in row "
                f"{missing.argmax()}: they cannot be asked for by it. Leave them out."
            )
        return self.nearest(points, target, k, source=source)

    def nearest(self, points, target, k=10, *, source=None):
        """Gallery rows whose `target` is most similar to points of the common space.

        Parameters
        ----------
        points : array-like of shape (n_queries, n_components)
            What `combine`, `embed` or `transform` gives.
        target : str
            Modality of the gallery that is compared.
        k : int
            How many.
        source : str, optional
            Modality that the points come from, for the correction for hubs. None: all but the
            target, on average.

        Returns
        -------
        Neighbours
            ``indices`` and ``similarities``, both of shape (n_queries, k), the most similar first.

        Raises
        ------
        ValueError
            If fewer than `k` gallery rows show `target`.
        """
        check_is_fitted(self)
        self.layout_.require(target)
        require("k", k, "1", "<inf", numbers.Integral)
        given = points
        if namespace(points) is np:
            points = check_array(points, dtype=[np.float64, np.float32], input_name="points")
        points = self._moved(points, self._device)
        if points.shape[1] != self._n_features_out:
            raise ValueError(
                f"points has shape {points.shape}, but the space has {self._n_features_out} "
                "dimensions: pass what combine, embed or transform returned."
            )
        sources = [self.layout_.require(source)] if source else self._others(target)
        rows, gallery, penalty = self._candidates(sources, [target], "target")
        if k > len(rows):
            raise ValueError(
                f"k={k}, but {len(rows)} gallery row(s) show {target!r}: ask for fewer."
            )
        found = top_k(points, gallery, k, penalty=penalty)
        indices = rows[found.indices]
        return Neighbours(beside(indices, given), beside(found.similarities, given))

    def combine(self, plus, minus=()):
        """A query that is the sum of some things less others: vector arithmetic.

        Parameters
        ----------
        plus, minus : list of (str, array-like)
            A modality and its columns, of shape (n_columns,) or (n_queries, n_columns), such as
            ``plus=[("image", x), ("text", w)], minus=[("text", v)]``: the image x, with v turned
            into w. Several examples of one thing, of shape (n_queries, n_examples, n_columns), are
            averaged.

        Returns
        -------
        points : ndarray of shape (n_queries, n_components)
            For :meth:`nearest`.

        Raises
        ------
        ValueError
            If columns are missing, NaN, or of different numbers of rows.
        """
        check_is_fitted(self)
        terms = [self._term(*part) for part in plus] + [-self._term(*part) for part in minus]
        if not terms:
            raise ValueError("nothing to combine: give plus one or more (modality, columns).")
        lengths = sorted({len(term) for term in terms} - {1})
        if len(lengths) > 1:
            raise ValueError(
                f"the parts have {lengths} rows: give each as many as there are queries, or one."
            )
        return self.geometry_.scaled(sum(terms))

    def _term(self, modality, values):
        """Points of some columns of one modality."""
        columns = self.layout_.columns[self.layout_.require(modality)]
        values = values.toarray() if sp.issparse(values) else to_numpy(values)
        values = np.asarray(values)
        shape = np.atleast_2d(values).shape[:-1]
        values = check_array(
            values.reshape(-1, values.shape[-1] if values.ndim else 1),
            dtype=[np.float64, np.float32],
            input_name=repr(modality),
        )
        if values.shape[1] != len(columns):
            raise ValueError(
                f"modality {modality!r} has {len(columns)} columns, but {values.shape[1]} are "
                "given: pass all of them, and no others."
            )
        X = self.layout_.join({modality: values}, len(values), values.dtype)
        points = self._represent(self.layout_.views(self._moved(X, self._device)))
        if len(shape) == 1:
            return points
        return self.geometry_.scaled(points.reshape(*shape, -1).mean(axis=1))

    def _others(self, target):
        """Modalities to ask for the target by."""
        return [name for name in self.layout_.names if name != target] or [target]

    def _candidates(self, sources, targets, through):
        """Gallery rows that can answer, their points and what is taken off for hubs."""
        present = self.gallery_.present
        compared = targets if through == "target" else sources
        able = np.all([present[m] for m in targets], axis=0)
        able &= np.any([present[m] for m in compared], axis=0)
        rows = np.flatnonzero(able)
        points = pick(self.points_[compared[0]], rows)
        for name in compared[1:]:
            points = points + pick(self.points_[name], rows)
        points = self.geometry_.scaled(points) if len(compared) > 1 and len(rows) else points
        penalties = [
            pick(of[c], rows) for s, of in self.hubness_.items() if s in sources for c in compared
        ]
        penalty = sum(penalties) / len(penalties) if penalties else None
        return namespace(points).asarray(rows), points, penalty

    # Generation

    def _complete(self, views, n_draws=None, key=None):
        xp = views.xp
        lead = () if n_draws is None else (n_draws,)
        blocks = {
            name: xp.zeros((*lead, views.n_rows, len(columns)), views.dtype)
            for name, columns in self.layout_.columns.items()
        }
        uniforms = None if n_draws is None else _uniforms(key, DRAW, n_draws, views.n_rows)
        for shown, rows in views.patterns():
            absent = [name for name in self.layout_.names if name not in shown]
            if not absent:
                continue
            if not shown:
                self._invent(blocks, rows, n_draws, key)
                continue
            points = self._represent(views.take(rows))
            sources = [name for name in self.layout_.names if name in shown]
            u = None if uniforms is None else uniforms[:, rows]
            for targets in self._together(absent):
                made = self._answers(points, sources, targets, u)
                for name, values in made.items():
                    blocks[name][..., xp.asarray(rows), :] = values
        return blocks

    def _together(self, targets):
        """Targets in groups that some gallery rows show as a whole."""
        whole = np.all([self.gallery_.present[m] for m in targets], axis=0).any()
        return [targets] if whole else [[name] for name in targets]

    def _answers(self, points, sources, targets, uniforms=None):
        """Targets of queries by name: the answer of the neighbours, or one of them a uniform."""
        xp = namespace(points)
        rows, gallery, penalty = self._candidates(sources, targets, self.through)
        if not len(rows):  # no gallery row shows both a source and the targets
            rows, gallery, penalty = self._candidates(sources, targets, "target")
        k = min(self.n_neighbors, len(rows))
        found = top_k(points, gallery, k, penalty=penalty)
        weights = neighbour_weights(found.similarities, self.temperature)
        if uniforms is not None:
            edges = xp.cumsum(weights, axis=1)
            chosen = (xp.asarray(uniforms)[..., None] > edges[:, :-1]).sum(axis=2)
            chosen = rows[found.indices[xp.arange(len(points)), chosen]]
            return {name: self._shown(name, chosen) for name in targets}
        indices = rows[found.indices]
        return {name: self._average(name, indices, weights) for name in targets}

    def _average(self, name, indices, weights):
        """The answer that gallery rows, (n, k), give together."""
        xp = namespace(weights)
        n_columns = len(self.layout_.columns[name])
        step = max(1, VALUES_AT_ONCE // (indices.shape[1] * n_columns))
        parts = [
            answer(self.answer, self._shown(name, indices[part]), weights[part])
            for part in (slice(i, i + step) for i in range(0, len(indices), step))
        ]
        return xp.concatenate(parts)

    def _shown(self, name, indices):
        """Columns of a modality of gallery rows, of shape (*indices.shape, n_columns)."""
        block = pick(self.gallery_.blocks[name], indices.ravel())
        block = block.toarray() if sp.issparse(block) else block
        return block.reshape(*indices.shape, -1)

    def _invent(self, blocks, rows, n_draws, key):
        """Complete rows that show nothing: as the gallery on average, or as rows of it."""
        xp = self.gallery_.xp
        if n_draws is None:
            for name, block in blocks.items():
                known = np.flatnonzero(self.gallery_.present[name])[None]
                shares = xp.full(known.shape, 1 / known.size)
                block[xp.asarray(rows)] = self._average(name, known, shares)
            return
        some = np.flatnonzero(np.any([*self.gallery_.present.values()], axis=0))
        uniforms = _uniforms(key, PICK, n_draws, rows.max() + 1)[:, rows]
        picked = some[(uniforms * len(some)).astype(int)].ravel()
        drawn = self._merge(self.gallery_.take(picked), 1, random.derive(key, PICK))[0]
        for name, block in blocks.items():
            values = self.layout_.block(drawn, name)
            block[:, xp.asarray(rows)] = values.reshape(n_draws, len(rows), -1)

    def _reconstruct(self, Z):
        points = self.geometry_.scaled(Z)
        blocks = {}
        for name in self.layout_.names:
            blocks |= self._answers(points, [name], [name])
        return blocks

    def score(self, X, y=None):
        """Mean average precision of retrieving rows by another modality of theirs.

        The rows are both queries and gallery, and the mean is over all ordered pairs of modalities.
        With one modality, a row is found by itself.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Rows that may lack some modalities.
        y : array-like of shape (n_rows,), optional
            Labels; a row of the same label is relevant. None: only the row itself is, and the score
            is the mean reciprocal rank.

        Returns
        -------
        float
            Between 0 and 1, which is best.

        Raises
        ------
        ValueError
            If no row shows two modalities, and so there is nothing to find.
        """
        views = self._check(X)
        labels = np.arange(views.n_rows) if y is None else column_or_1d(y)
        check_consistent_length(X, labels)
        points = {m: self._embed(views, m) for m in self.layout_.names}

        def penalty(source, target):
            if not self.hubness_:
                return None
            asked = pick(self.points_[source], self.gallery_.present[source])
            return hubness(target, asked, self.n_hub_neighbors)

        return matching_score(points, labels, penalty)


def matching_score(points, labels, penalty=lambda source, target: None):
    """Mean average precision over all ordered pairs of modalities.

    Parameters
    ----------
    points : dict of str to ndarray of shape (n_rows, n_components)
        By modality; NaN where a row lacks it.
    labels : ndarray of shape (n_rows,)
        Rows of one label are relevant to each other.
    penalty : callable
        Of a source modality and of points of the target, what to take off their similarities.

    Returns
    -------
    float
    """
    present = {m: ~to_numpy(namespace(Z).isnan(Z).any(axis=1)) for m, Z in points.items()}
    scores = []
    for source, asked in present.items():
        for target, given in present.items():
            if (source == target and len(points) > 1) or not (asked.any() and given.any()):
                continue
            gallery = pick(points[target], given)
            found = _precisions(
                pick(points[source], asked),
                labels[asked],
                gallery,
                labels[given],
                penalty(source, gallery),
            )
            scores.extend([found.mean()] if len(found) else [])
    if not scores:
        raise ValueError("no row can be found by another modality: give rows that show two.")
    return float(np.mean(scores))


def _precisions(queries, asked, gallery, given, penalty):
    """Average precisions of the queries that have something to find."""
    step, found = max(1, SIMILARITIES_AT_ONCE // len(gallery)), []
    for i in range(0, len(queries), step):
        similarity = queries[i : i + step] @ gallery.T
        similarity = similarity if penalty is None else similarity - penalty
        found.append(average_precision(to_numpy(similarity), asked[i : i + step, None] == given))
    found = np.concatenate(found)
    return found[~np.isnan(found)]


def _uniforms(key, use, n_draws, n_rows):
    """Uniform numbers of shape (n_draws, n_rows)."""
    words = random.derive(key, use)
    generator = np.random.Generator(np.random.Philox(key=words.low << 32 | words.high))
    return generator.random((n_draws, n_rows))
