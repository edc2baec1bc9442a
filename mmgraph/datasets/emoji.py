"""Emoji: pictures and keywords."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import get_data_home, locate, missing, read_npz
from ._frame import modality_frame
from ._split import every_fifth

CONTENT = "3e841fdd7c3b2bc2da239eff3aad58d2b4ac0baf5cc8b4576ab0bdcda5ac6c97"
ARRAYS = ("rgba", "tags", "vocab", "group", "group_names", "name", "char", "keywords")

DESCR = """\
Emoji, pictures and keywords
----------------------------

1,637 emoji, each a colour picture of 32 x 32 pixels with the keywords people find it by.

:Modalities: ``image``, 3,072 numbers, red, green and blue of each pixel on white paper, 0 to 1;
    ``text``, which of 481 keywords it has, 0 or 1 (4.1 on average; 54 emoji have none).
:Split: every fifth emoji of each Unicode group is test.
:Source: pictures https://github.com/googlefonts/noto-emoji at 461ec390, png/32; keywords
    https://github.com/muan/emojilib at 4e1c15de, dist/emoji-en-US.json; groups
    https://github.com/muan/unicode-emoji-json at 250dc80a, data-by-emoji.json.
:Licence: pictures Apache-2.0, keywords and groups MIT.
:Citation: Google, Noto Emoji. M.-A. Chiou, emojilib.
"""


def load_emoji(*, data_home: str | PathLike | None = None, as_frame: bool = False) -> Bunch:
    """Load pictures of emoji with their keywords, from a local file.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder whose ``emoji/emoji.npz`` is read, ``~/mmgraph_data`` by default. The file is
        also found in the folder that the environment variable ``MMGRAPH_DATA`` names.
    as_frame : bool, default=False
        Also give the modalities as one pandas DataFrame, `frame`.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        image : ndarray of shape (1637, 3072), float32
            Red, green and blue of the pixels, row by row, on white paper, from 0 to 1.
        text : ndarray of shape (1637, 481), int64
            Which words of `vocabulary` are keywords, 0 or 1.
        images : ndarray of shape (1637, 32, 32, 4), uint8
            The pictures: red, green, blue and opacity, from 0 to 255.
        vocabulary : list of str
            The keywords that at least 5 emoji have.
        keywords : list of list of str
            All keywords of each emoji.
        names, characters : list of str
            The name and the character of each emoji.
        target : ndarray of shape (1637,), int64
            The Unicode group.
        target_names : list of str
            The nine groups.
        train, test : ndarray of int64
            The rows of the split, ascending: every fifth emoji of each group is test.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (1637, 3553) or None
            Columns ``image__pixel_0_0_red``, ..., ``text__...``.
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If the file is missing or is not what it should be.

    Notes
    -----
    No single download has this set, so it is not downloaded. To make ``emoji.npz`` from the three
    repositories that `DESCR` names, at those commits: take the emoji of data-by-emoji.json, in its
    order, whose picture ``png/32/emoji_u{code points in hex joined by _}.png``, without fe0f,
    exists; and save with :func:`numpy.savez_compressed` the arrays ``rgba`` (the pictures),
    ``keywords`` (those of emoji-en-US.json joined by "|"), ``vocab`` (sorted, the keywords of at
    least 5 emoji), ``tags`` (uint8, 0 or 1), ``name``, ``char``, ``group`` (uint8) and
    ``group_names``. The content is checked.

    Examples
    --------
    >>> from mmgraph.datasets import load_emoji
    >>> load_emoji().image.shape  # doctest: +SKIP
    (1637, 3072)
    """
    path = locate("emoji", "emoji.npz", data_home)
    if path is None:
        path = get_data_home(data_home) / "emoji" / "emoji.npz"
        raise OSError(missing(path, "make it as the notes of load_emoji say"))
    arrays = read_npz(path, CONTENT, ARRAYS)

    colour = arrays["rgba"][..., :3] / np.float32(255)
    opacity = arrays["rgba"][..., 3:] / np.float32(255)
    image = (colour * opacity + (1 - opacity)).reshape(len(colour), -1)
    text = arrays["tags"].astype(np.int64)
    target = arrays["group"].astype(np.int64)
    train, test = every_fifth(target)
    vocabulary = arrays["vocab"].tolist()
    feature_names = {
        "image": [
            f"pixel_{r}_{c}_{channel}"
            for r in range(32)
            for c in range(32)
            for channel in ("red", "green", "blue")
        ],
        "text": vocabulary,
    }
    blocks = {"image": image, "text": text}
    return Bunch(
        **blocks,
        images=arrays["rgba"],
        vocabulary=list(vocabulary),
        keywords=[words.split("|") if words else [] for words in arrays["keywords"].tolist()],
        names=arrays["name"].tolist(),
        characters=arrays["char"].tolist(),
        target=target,
        target_names=arrays["group_names"].tolist(),
        train=train,
        test=test,
        feature_names=feature_names,
        frame=modality_frame(blocks, feature_names) if as_frame else None,
        DESCR=DESCR,
    )
