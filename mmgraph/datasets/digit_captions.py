"""Handwritten digits with captions that say how each one is written."""

import re

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from ._frame import modality_frame
from ._split import every_fifth

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VOCABULARY = (*DIGITS, "thick", "thin", "wide", "narrow", "leaning", "left", "right", "plain")
STOP_WORDS = frozenset({"the", "digit", "a", "an"})

# For each measurement its median over the pictures of each digit, zero to nine, and how far from
# there a picture has to be for the eye to notice: both sides together, two fifths of the pictures
# are noticeable in thickness, a quarter in width, a third in lean.
TYPICAL = {
    "thickness": (1.39, 1.77, 1.48, 1.41, 1.53, 1.42, 1.49, 1.51, 1.51, 1.42),
    "width": (1.47, 1.02, 1.24, 1.22, 1.31, 1.26, 1.33, 1.20, 1.18, 1.33),
    "lean": (-0.03, -0.01, -0.14, -0.08, 0.00, -0.01, -0.20, 0.13, 0.00, -0.10),
}
NOTICEABLE = {"thickness": 0.12, "width": 0.12, "lean": 0.08}

DESCR = """\
Handwritten digits with captions
--------------------------------

1,797 grey pictures of handwritten digits, 8 x 8 pixels (those inside scikit-learn), each with a
caption such as "the digit seven: a thick seven leaning right". The name comes from the label; the
style words are measured from the picture, so that a caption says more than the class.

:Modalities: ``image``, 64 pixels, each the share (0 to 1 in steps of 1/16) of its 4 x 4 black or
    white cells that are inked; ``text``, how often each of 18 words occurs in the caption.
:Split: every fifth picture of each digit is test (1,433 train, 364 test).
:Pictures: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49 (its test set), CC BY 4.0.
:Captions: computed here, free to use like mmgraph itself.

How the style is measured, with a(r, c) the ink of the pixel in row r and column c:

- thickness (pixels): 2 sum(a) / sum |grad a|, the area of the ink over half its outline;
- width (pixels): standard deviation of the ink across the columns;
- lean: -cov(r, c) / var(r), columns to the right per row upwards: the tangent of the slant.

A picture is called thick or thin, wide or narrow, leaning right or left, where it differs
noticeably from what is typical of its digit (a seven slopes even when written upright), and plain
where nothing is noticeable. All pictures fill the eight rows, so nothing is said about height.
"""


def measure_style(images: ArrayLike) -> dict[str, np.ndarray]:
    """Measure how digits are written.

    Parameters
    ----------
    images : array-like of shape (n_samples, n_rows, n_columns)
        The ink of every pixel, 0 (paper) to 1 (full). No picture may be empty.

    Returns
    -------
    dict of str to ndarray of shape (n_samples,)
        ``thickness`` of the stroke in pixels (area of the ink over half its outline), ``width`` in
        pixels (standard deviation of the ink across the columns), ``lean`` (columns to the right
        per row upwards: 0 is upright, 0.1 leans right by 6 degrees).

    Examples
    --------
    >>> import numpy as np
    >>> from mmgraph.datasets import measure_style
    >>> slash = np.fliplr(np.eye(8))
    >>> style = measure_style([slash])
    >>> float(style["lean"][0])
    1.0
    """
    images = np.asarray(images, dtype=float)
    ink = images.sum(axis=(1, 2))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    down = np.diff(padded, axis=1)[:, :, :-1]
    across = np.diff(padded, axis=2)[:, :-1, :]
    outline = np.hypot(down, across).sum(axis=(1, 2))

    rows, columns = np.arange(images.shape[1]), np.arange(images.shape[2])
    by_row, by_column = images.sum(axis=2), images.sum(axis=1)
    row = rows - (by_row @ rows / ink)[:, np.newaxis]
    column = columns - (by_column @ columns / ink)[:, np.newaxis]
    row_variance = (by_row * row**2).sum(axis=1) / ink
    column_variance = (by_column * column**2).sum(axis=1) / ink
    covariance = np.einsum("nrc,nr,nc->n", images, row, column) / ink
    return {
        "thickness": 2.0 * ink / outline,
        "width": np.sqrt(column_variance),
        "lean": -covariance / row_variance,
    }


def load_digit_captions(*, as_frame: bool = False) -> Bunch:
    """Load handwritten digits with captions (real pictures, words measured from them).

    Two modalities of very different kind, small enough to fit a model in a second, and without a
    download: the 1,797 8 x 8 pictures inside scikit-learn and, for each, the word counts of a
    caption such as "the digit seven: a thick seven leaning right".

    Parameters
    ----------
    as_frame : bool, default=False
        Also give the modalities as one pandas DataFrame, `frame`.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        image : ndarray of shape (1797, 64), float64
            The pixels, row by row: the share of inked cells, from 0 to 1 in steps of 1/16. Each
            pixel counts 16 black or white cells, so it may be modelled as a probability.
        text : ndarray of shape (1797, 18), int64
            How often each word of `vocabulary` occurs in the caption. Also called `counts`.
        images : ndarray of shape (1797, 8, 8), float64
            `image` as pictures.
        captions : list of str
            The sentences.
        vocabulary : list of str
            The ten names in order, then the words of style. "the", "digit", "a" and "an" are left
            out as stop words.
        target : ndarray of shape (1797,), int64
            The digit.
        target_names : list of str
            The names of the digits.
        style : dict of str to ndarray of shape (1797,)
            What :func:`measure_style` found: ``thickness``, ``width``, ``lean``.
        train, test : ndarray of int64
            The rows of the split, ascending: every fifth picture of each digit is test.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (1797, 82) or None
            Columns ``image__pixel_0_0``, ..., ``text__zero``, ...
        DESCR : str
            Where everything comes from, and under which licence.

    Notes
    -----
    The name of the digit comes from the label. The words of style are measured from the picture
    (:func:`measure_style`) and compared with what is typical of the digit, by constants that are
    fixed in the module, so the captions are the same everywhere.

    Examples
    --------
    >>> from mmgraph.datasets import load_digit_captions
    >>> digits = load_digit_captions()
    >>> digits.image.shape, digits.text.shape
    ((1797, 64), (1797, 18))
    >>> digits.captions[0]
    'the digit zero: a plain zero'
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    images = source.images / 16.0
    image = images.reshape(len(images), -1)
    target = source.target.astype(np.int64)
    style = measure_style(images)
    captions = [_caption(*row) for row in zip(target, *_deviations(target, style), strict=True)]
    text = _count_words(captions)

    feature_names = {
        "image": [f"pixel_{r}_{c}" for r in range(8) for c in range(8)],
        "text": list(VOCABULARY),
    }
    frame = modality_frame({"image": image, "text": text}, feature_names) if as_frame else None
    train, test = every_fifth(target)
    return Bunch(
        image=image,
        text=text,
        counts=text,
        images=images,
        captions=captions,
        vocabulary=list(VOCABULARY),
        target=target,
        target_names=list(DIGITS),
        style=style,
        train=train,
        test=test,
        feature_names=feature_names,
        frame=frame,
        DESCR=DESCR,
    )


def _deviations(target, style):
    """Each measurement as distance from what is typical of the digit; 1 is just noticeable."""
    return [
        (style[name] - np.take(TYPICAL[name], target)) / NOTICEABLE[name]
        for name in ("thickness", "width", "lean")
    ]


def _caption(digit, thickness, width, lean):
    """The sentence about one digit; a measurement is mentioned where it reaches 1 or -1."""
    adjectives = [
        more if deviation > 0 else less
        for deviation, more, less in [(thickness, "thick", "thin"), (width, "wide", "narrow")]
        if abs(deviation) >= 1
    ]
    ending = "" if abs(lean) < 1 else " leaning right" if lean > 0 else " leaning left"
    if not adjectives and not ending:
        adjectives = ["plain"]
    name = DIGITS[digit]
    subject = " ".join([", ".join(adjectives), name]).strip()
    article = "an" if subject.startswith("e") else "a"
    return f"the digit {name}: {article} {subject}{ending}"


def _count_words(captions):
    """How often each word of the vocabulary occurs, shape (n_captions, n_words)."""
    column = {word: j for j, word in enumerate(VOCABULARY)}
    counts = np.zeros((len(captions), len(VOCABULARY)), dtype=np.int64)
    for row, caption in zip(counts, captions, strict=True):
        for word in re.findall(r"\w+", caption):
            if word not in STOP_WORDS:
                row[column[word]] += 1
    return counts
