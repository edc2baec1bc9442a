"""What models generate, beside the truth."""

import textwrap

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._display import COLOURS, PanelDisplay, dense

__all__ = ["GenerationDisplay"]


class GenerationDisplay(PanelDisplay):
    """What a model generates: each row what is given, expected values, draws, and the truth.

    Parameters
    ----------
    given : list of list of (str, array)
        For each row the modalities that are given and their values.
    target : str
        Name of the generated modality.
    mean : array-like of shape (n_rows, n_target)
        Its expected values.
    draws : array-like of shape (n_draws, n_rows, n_target)
    truth : array-like of shape (n_rows, n_target), optional
        NaN where unknown.
    given_labels : sequence of str, optional
        To be written in place of what is given.
    image_shape : tuple of (int, int) or dict of str to tuple, optional
        Height and width of pictures; a tuple holds for modalities of as many columns.
    vocabulary : sequence of str or dict of str to sequence, optional
        Words of count modalities; a sequence holds for modalities of as many columns.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.
    axes_ : ndarray of Axes, shape (n_rows, n_columns)
    """

    def __init__(
        self,
        given,
        target,
        mean,
        draws,
        *,
        truth=None,
        given_labels=None,
        image_shape=None,
        vocabulary=None,
    ):
        self.given = given
        self.target = target
        self.mean = np.asarray(mean)
        self.draws = np.asarray(draws)
        self.truth = None if truth is None else np.asarray(truth)
        self.given_labels = given_labels
        self.image_shape = image_shape
        self.vocabulary = vocabulary

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        target,
        *,
        n_draws=5,
        truth=None,
        given_labels=None,
        image_shape=None,
        vocabulary=None,
        random_state=None,
        ax=None,
        **kwargs,
    ):
        """Generate a modality of some rows, and draw it.

        Parameters
        ----------
        estimator : estimator with ``generate``
        X : array-like of shape (n_rows, n_features)
            Rows. What they hold of `target` is hidden from the model, and is the truth.
        target : str
            Modality to generate.
        n_draws : int
            Draws a row.
        truth : array-like of shape (n_rows, n_target), optional
            The truth, if X does not hold it.
        given_labels : sequence of str, optional
            To be written in place of what is given.
        image_shape : tuple of (int, int) or dict of str to tuple, optional
            Height and width of pictures; a tuple holds for modalities of as many columns.
        vocabulary : sequence of str or dict of str to sequence, optional
            Words of count modalities; a sequence holds for modalities of as many columns.
        random_state : int, RandomState, Generator or None
            Seed of the draws. None takes the estimator's own.
        ax : Axes, optional
            Where to draw; None: a new figure.
        **kwargs
            For ``Axes.imshow`` of the pictures.

        Returns
        -------
        GenerationDisplay
        """
        check_is_fitted(estimator)
        layout = estimator.layout_
        blocks = {name: layout.block(dense(X), name) for name in layout.names}
        own = blocks.pop(layout.require(target))
        if truth is None and not np.isnan(own).all():
            truth = own
        given = [
            [(name, block[i]) for name, block in blocks.items() if not np.isnan(block[i]).any()]
            for i in range(len(own))
        ]
        mean = estimator.generate(X, target)
        draws = estimator.generate(X, target, n_samples=n_draws, random_state=random_state)
        return cls(
            given,
            target,
            mean,
            draws,
            truth=truth,
            given_labels=given_labels,
            image_shape=image_shape,
            vocabulary=vocabulary,
        ).plot(ax, **kwargs)

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
        GenerationDisplay
        """
        columns = [("expected", self.mean), *(("draw", draw) for draw in self.draws)]
        if self.truth is not None:
            columns.append(("true", self.truth))
        n_given = 1 if self.given_labels is not None else max(map(len, self.given))
        n_rows, n_columns = len(self.mean), n_given + len(columns)
        kind, _ = self._kind(self.target, self.mean.shape[1])
        width = 1.0 if kind == "picture" else 1.35
        self._begin(ax, 0.6 + width * n_columns, 0.5 + n_rows)
        axes = self._panels(n_rows, n_columns, gap=0.12)
        for r in range(n_rows):
            if self.given_labels is not None:
                self._write(axes[r, 0], textwrap.fill(self.given_labels[r], 16))
            else:
                for c, (name, values) in enumerate(self.given[r]):
                    self._draw(axes[r, c], name, values, **kwargs)
            for c, (title, block) in enumerate(columns, start=n_given):
                expected = title == "expected"
                self._draw(axes[r, c], self.target, block[r], expected=expected, **kwargs)
        axes[0, 0].set_title("given", fontsize="medium")
        for panel, (title, _) in zip(axes[0, n_given:], columns, strict=True):
            panel.set_title(title, fontsize="medium")
        return self

    def _draw(self, panel, name, values, *, expected=False, **kwargs):
        among = None
        if name == self.target:
            blocks = [self.mean, self.draws, self.truth]
            among = np.concatenate([np.ravel(block) for block in blocks if block is not None])
        kind, words = self._kind(name, len(values))
        if kind == "words" and expected and not np.isnan(values).any():
            _bars(panel, values, words)
        else:
            self._show(panel, name, values, among, **kwargs)


def _bars(panel, counts, vocabulary, n=4):
    """Expected counts of the likeliest words, as bars with the words on them."""
    top = np.argsort(-counts, kind="stable")[:n]
    panel.barh(range(len(top)), counts[top], color=COLOURS[9], height=0.8)
    for i, word in enumerate(top):
        panel.text(0.02 * counts[top[0]], i, vocabulary[word], va="center", fontsize=7)
    panel.set_ylim(n - 0.4, -0.6)
    panel.set_xlim(0, 1.05 * max(counts[top[0]], 1e-9))
