"""What is retrieved, and how similar things are."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, INK, Display, PanelDisplay, dense

__all__ = ["RetrievalDisplay", "SimilarityMatrixDisplay"]

RIGHT, WRONG = COLOURS[0], COLOURS[2]


class RetrievalDisplay(PanelDisplay):
    """Queries and the gallery rows that are most similar to them.

    Parameters
    ----------
    queries : list of (str, array) or list of str
        For each query its modality and values, or what to write.
    target : str
        Name of the modality that is retrieved.
    hits : array-like of shape (n_queries, k, n_target)
        Its values in the gallery rows, the most similar first.
    similarities : array-like of shape (n_queries, k)
    right : array-like of bool, shape (n_queries, k), optional
        Which hits are right: they are framed in blue, and the others in red.
    image_shape : tuple of (int, int) or dict of str to tuple, optional
        Height and width of pictures; a tuple holds for modalities of as many columns.
    vocabulary : sequence of str or dict of str to sequence, optional
        Words of count modalities; a sequence holds for modalities of as many columns.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_queries, 1 + k)

    Examples
    --------
    >>> import mmgraph as mg
    >>> from mmgraph.plotting import RetrievalDisplay
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(image=digits.image, text=digits.counts)
    >>> retriever = mg.Retriever(mg.CCA(9, modalities=modalities)).fit(X[digits.train])
    >>> display = RetrievalDisplay.from_estimator(
    ...     retriever, X[digits.test[:3]], "image", "text", k=4, image_shape=(8, 8)
    ... )
    >>> display.axes_.shape
    (3, 5)
    """

    def __init__(
        self, queries, target, hits, similarities, *, right=None, image_shape=None, vocabulary=None
    ):
        self.queries = queries
        self.target = target
        self.hits = np.asarray(hits)
        self.similarities = np.asarray(similarities)
        self.right = None if right is None else np.asarray(right, bool)
        self.image_shape = image_shape
        self.vocabulary = vocabulary

    @classmethod
    def from_estimator(
        cls,
        retriever,
        X,
        source,
        target,
        *,
        k=6,
        labels=None,
        gallery_labels=None,
        image_shape=None,
        vocabulary=None,
        ax=None,
        **kwargs,
    ):
        """Retrieve by some rows, and draw what is found.

        Parameters
        ----------
        retriever : Retriever
        X : array-like of shape (n_rows, n_features)
            Queries.
        source, target : str
            Modalities.
        k : int
            Hits a query.
        labels, gallery_labels : array-like of shape (n_rows,) and (n_gallery,), optional
            Labels of queries and gallery; a hit of the query's label is right.
        image_shape : tuple of (int, int) or dict of str to tuple, optional
            Height and width of pictures; a tuple holds for modalities of as many columns.
        vocabulary : sequence of str or dict of str to sequence, optional
            Words of count modalities; a sequence holds for modalities of as many columns.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow`` of the pictures.

        Returns
        -------
        RetrievalDisplay
        """
        check_is_fitted(retriever)
        found = retriever.retrieve(X, source, target, k)
        values = retriever.layout_.block(dense(X), source)
        return cls.from_neighbours(
            retriever,
            found,
            [(source, row) for row in values],
            target,
            labels=labels,
            gallery_labels=gallery_labels,
            image_shape=image_shape,
            vocabulary=vocabulary,
        ).plot(ax, **kwargs)

    @classmethod
    def from_neighbours(
        cls, retriever, found, queries, target, *, labels=None, gallery_labels=None, **kwargs
    ):
        """What `retrieve` or `nearest` found; it is drawn with :meth:`plot`.

        Parameters
        ----------
        retriever : Retriever
        found : Neighbours
            What its `retrieve` or `nearest` returned.
        queries : list of (str, array) or list of str
            For each query its modality and values, or what to write.
        target : str
            Name of the modality that was retrieved.
        labels, gallery_labels : array-like of shape (n_queries,) and (n_gallery,), optional
            Labels of queries and gallery; a hit of the query's label is right.
        **kwargs
            `image_shape` and `vocabulary`.

        Returns
        -------
        RetrievalDisplay
        """
        gallery = dense(retriever.gallery_.blocks[target])
        right = None
        if labels is not None and gallery_labels is not None:
            right = np.asarray(gallery_labels)[found.indices] == np.asarray(labels)[:, None]
        hits = gallery[found.indices]
        return cls(queries, target, hits, found.similarities, right=right, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow`` of the pictures.

        Returns
        -------
        RetrievalDisplay
        """
        n_rows, k = self.similarities.shape
        kind, _ = self._kind(self.target, self.hits.shape[2])
        width = 1.0 if kind == "picture" else 1.35
        self._begin(ax, 0.6 + width * (k + 1), 0.4 + 1.2 * n_rows)
        axes = self._panels(n_rows, k + 1, gap=0.12, row_gap=0.3)
        for panels, query, hits, similarities in zip(
            axes, self.queries, self.hits, self.similarities, strict=True
        ):
            if isinstance(query, str):
                self._write(panels[0], query)
            else:
                self._show(panels[0], *query, **kwargs)
            for panel, values, similarity in zip(panels[1:], hits, similarities, strict=True):
                self._show(panel, self.target, values, self.hits, **kwargs)
                panel.set_xlabel(f"{similarity:.2f}", fontsize="small", color=INK, labelpad=2)
        if self.right is not None:
            for panel, good in zip(axes[:, 1:].ravel(), self.right.ravel(), strict=True):
                panel.spines[:].set_visible(True)
                panel.spines[:].set_color(RIGHT if good else WRONG)
                panel.spines[:].set_linewidth(1.5)
        axes[0, 0].set_title("query", fontsize="medium")
        axes[0, 1].set_title("most similar", fontsize="medium")
        return self


class SimilarityMatrixDisplay(Display):
    """Similarities of queries and items, sorted by class.

    Parameters
    ----------
    similarities : array-like of shape (n_queries, n_items)
    labels : array-like of shape (n_queries,), optional
        Classes, by which rows are sorted and marked.
    item_labels : array-like of shape (n_items,), optional
        The same of the columns; None: those of the rows, if there are as many.
    names : pair of str
        What rows and columns are.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    image_ : AxesImage

    Examples
    --------
    >>> from mmgraph.plotting import SimilarityMatrixDisplay
    >>> display = SimilarityMatrixDisplay([[1.0, 0.1], [0.2, 0.9]], ["b", "a"]).plot()
    >>> display.image_.get_array().tolist()
    [[0.9, 0.2], [0.1, 1.0]]
    """

    def __init__(self, similarities, labels=None, item_labels=None, *, names=("query", "item")):
        self.similarities = np.asarray(similarities)
        self.labels = None if labels is None else np.asarray(labels)
        same = item_labels is None and self.similarities.shape[0] == self.similarities.shape[1]
        item_labels = self.labels if same else item_labels
        self.item_labels = None if item_labels is None else np.asarray(item_labels)
        self.names = names

    @classmethod
    def from_estimator(cls, retriever, X, source, target, *, labels=None, ax=None, **kwargs):
        """Compare two modalities of some rows.

        Parameters
        ----------
        retriever : Retriever
        X : array-like of shape (n_rows, n_features)
            Rows that show both modalities.
        source, target : str
            Modalities: of the rows and of the columns.
        labels : array-like of shape (n_rows,), optional
            Classes, by which rows are sorted.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        SimilarityMatrixDisplay
        """
        similarities = retriever.embed(X, source) @ retriever.embed(X, target).T
        return cls(similarities, labels, names=(source, target)).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow``.

        Returns
        -------
        SimilarityMatrixDisplay
        """
        ax = self._begin(ax, 5.5, 4.8)
        S = self.similarities
        orders = []
        for labels, n in zip((self.labels, self.item_labels), S.shape, strict=True):
            orders.append(np.arange(n) if labels is None else np.argsort(labels, kind="stable"))
        limit = float(np.nanmax(np.abs(S))) or 1.0
        style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "aspect": "auto"}
        shown = S[np.ix_(*orders)]
        self.image_ = ax.imshow(shown, **{**style, "interpolation": "nearest", **kwargs})
        for axis, labels in ((ax.yaxis, self.labels), (ax.xaxis, self.item_labels)):
            axis.set_ticks([])
            if labels is not None:
                names, counts = np.unique(labels, return_counts=True)
                axis.set_ticks(np.cumsum(counts) - (counts + 1) / 2, [str(n) for n in names])
                axis.set_tick_params(length=0)
        ax.set_ylabel(self.names[0])
        ax.set_xlabel(self.names[1])
        self.figure_.colorbar(self.image_, ax=ax, label="similarity")
        return self
