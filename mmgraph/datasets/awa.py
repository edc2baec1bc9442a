"""Animals with Attributes: features of pictures, and what is said of the animals."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import get_data_home, locate, missing, read_npz
from ._frame import modality_frame

CONTENT = "a80dec1c449fd9a0fc5463f9f0b6c2b9ffd8fa645cb56bf55397d1319ee18e64"
FEATURES = {"phog": 252, "lss": 2000, "sift": 2000, "surf": 2000, "rgsift": 2000}
ARRAYS = (
    *FEATURES,
    "y",
    "classes",
    "predicates",
    "attr_binary",
    "attr_continuous",
    "train_classes",
    "test_classes",
)

DESCR = """\
Animals with Attributes, a subset
---------------------------------

Features of 1,800 pictures of 50 animals, 36 each, and 85 attributes of each animal, such as
"stripes" or "swims": 40 animals to learn from, and 10 that are to be recognised by their attributes
alone.

:Modalities: ``phog`` (252 columns), ``lss``, ``sift``, ``surf`` and ``rgsift`` (2,000 visual words
    each): histograms, 0 or more.
:Split: the authors' animals: 1,440 rows of 40 train, 360 rows of 10 test.
:Source: https://cvml.ist.ac.at/AwA/, from the copy in
    https://github.com/samorr/Animals-with-Attributes at 47927950.
:Licence: no licence is stated; the authors ask to cite the papers.
:Citation: C. H. Lampert, H. Nickisch, S. Harmeling. Learning to detect unseen object classes by
    between-class attribute transfer. CVPR 2009, 951-958.
    D. N. Osherson, J. Stern, O. Wilkie, M. Stob, E. E. Smith. Default probability. Cognitive
    Science 15(2), 1991. C. Kemp, J. B. Tenenbaum, T. L. Griffiths, T. Yamada, N. Ueda. Learning
    systems of concepts with an infinite relational model. AAAI 2006.
"""


def load_awa(*, data_home: str | PathLike | None = None, as_frame: bool = False) -> Bunch:
    """Load a subset of Animals with Attributes, from a local file.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder whose ``awa/awa_subset.npz`` is read, ``~/mmgraph_data`` by default. The file is
        also found in the folder that the environment variable ``MMGRAPH_DATA`` names.
    as_frame : bool, default=False
        Also give the modalities as one pandas DataFrame, `frame`.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        phog : ndarray of shape (1800, 252), float32
            Histograms of the orientation of edges.
        lss, sift, surf, rgsift : ndarray of shape (1800, 2000), float32
            Histograms of visual words.
        target : ndarray of str, shape (1800,)
            The animal, such as ``"polar+bear"``.
        target_names : list of str
            The fifty animals.
        attributes : dict of str to ndarray of shape (85,), float64
            By animal, how strongly people associate it with each attribute, from 0 to 100. What was
            not asked (4 values) is the attribute's mean over the training animals.
        attributes_binary : dict of str to ndarray of shape (85,), float64
            By animal, which attributes it has, 0 or 1.
        attribute_names : list of str
            What is said.
        train_classes, test_classes : list of str
            The authors' split of the animals.
        train, test : ndarray of int64
            Their rows.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (1800, 8252) or None
            Columns ``phog__0``, ...
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If the file is missing or is not what it should be.

    Notes
    -----
    No single download has this set, so it is not downloaded. To make ``awa_subset.npz`` from the
    repository that `DESCR` names, at that commit: read, with an unpickler that allows nothing but
    arrays, the features ``code/feat/{animal}-{feature}.pic.bz2`` of each animal in the order of
    ``classes.txt``, and keep its rows ``np.linspace(0, n - 1, 36)``, rounded down; and save with
    :func:`numpy.savez_compressed` the arrays ``phog`` and ``rgsift`` (float32), ``lss``, ``sift``
    and ``surf`` (uint16), ``y`` (uint8, the number of the animal), and what the text files say:
    ``classes``, ``predicates``, ``attr_binary`` (uint8), ``attr_continuous`` (float64; -1 is
    missing), ``train_classes`` and ``test_classes``. The content is checked.

    Examples
    --------
    >>> from mmgraph.datasets import load_awa
    >>> load_awa().surf.shape  # doctest: +SKIP
    (1800, 2000)
    """
    path = locate("awa", "awa_subset.npz", data_home)
    if path is None:
        path = get_data_home(data_home) / "awa" / "awa_subset.npz"
        raise OSError(missing(path, "make it as the notes of load_awa say"))
    arrays = read_npz(path, CONTENT, ARRAYS)

    names = arrays["classes"].tolist()
    learnt = np.isin(names, arrays["train_classes"])
    strengths = np.where(arrays["attr_continuous"] < 0, np.nan, arrays["attr_continuous"])
    strengths = np.where(np.isnan(strengths), np.nanmean(strengths[learnt], axis=0), strengths)
    blocks = {name: arrays[name].astype(np.float32) for name in FEATURES}
    feature_names = {name: [str(j) for j in range(width)] for name, width in FEATURES.items()}
    shown = learnt[arrays["y"]]
    return Bunch(
        **blocks,
        target=arrays["classes"][arrays["y"]],
        target_names=names,
        attributes=dict(zip(names, strengths, strict=True)),
        attributes_binary=dict(zip(names, arrays["attr_binary"].astype(float), strict=True)),
        attribute_names=arrays["predicates"].tolist(),
        train_classes=arrays["train_classes"].tolist(),
        test_classes=arrays["test_classes"].tolist(),
        train=np.flatnonzero(shown),
        test=np.flatnonzero(~shown),
        feature_names=feature_names,
        frame=modality_frame(blocks, feature_names) if as_frame else None,
        DESCR=DESCR,
    )
