"""Wikipedia articles: pictures and the text around them."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import RemoteFile, fetch
from ._frame import modality_frame

CROSSMODAL = (
    "https://raw.githubusercontent.com/emanuetre/crossmodal/"
    "40db7f5338a150ef8feff2787f4bb8b3df809355/wikipedia_info/"
)
FEATURES = RemoteFile(
    "raw_features.mat",
    CROSSMODAL + "raw_features.mat",
    "ca628f765a69575e168ab29eb97f5ade12fadf47b31de1328c7ff631c7f225ae",
)
TRAIN = RemoteFile(
    "trainset_txt_img_cat.list",
    CROSSMODAL + "trainset_txt_img_cat.list",
    "30c1ba8afbe90da5986de9b12496b6dd2e4680d3876b79ab7aae2e437d5819a3",
)
TEST = RemoteFile(
    "testset_txt_img_cat.list",
    CROSSMODAL + "testset_txt_img_cat.list",
    "ec3123ee31cc89dd95fbeb23eb73b2ecfd1d8909bba863723471aad99408c1eb",
)
CATEGORIES = RemoteFile(
    "categories.list",
    CROSSMODAL + "categories.list",
    "4929f3ee00e9de9ffe11f9ab18fc8919b0f6182cc801309409df2f2d05e2b0f5",
)
TFIDF = RemoteFile(
    "raw_features_tfidf.mat",
    "https://raw.githubusercontent.com/azrealwang/sph/"
    "d6d090f40b93fc9ffbbf4997c932709bf35ce561/data/raw_features.mat",
    "047ebad02c14b97d53b191fd42180ebb9b0e255dbb2f70c6fe4092110b4c9853",
)

DESCR = """\
Wikipedia, pictures and text
----------------------------

2,866 sections of Wikipedia's featured articles, each with one picture, in 10 categories: features
for retrieving text by picture and picture by text.

:Modalities: ``image``, a histogram of 128 visual words (SIFT); ``text``, the proportions of 10
    topics (latent Dirichlet allocation). The columns of each sum to 1. Optionally ``tfidf``, the
    weights of 1,000 words, whose vocabulary was not published.
:Split: the authors': 2,173 train, 693 test.
:Source: http://www.svcl.ucsd.edu/projects/crossmodal/, from the copies in
    https://github.com/emanuetre/crossmodal and, tfidf, https://github.com/azrealwang/sph.
:Licence: no licence of the features is stated; cite both papers. Wikipedia's text is CC BY-SA.
:Citation: N. Rasiwasia, J. Costa Pereira, E. Coviello, G. Doyle, G. Lanckriet, R. Levy,
    N. Vasconcelos. A new approach to cross-modal multimedia retrieval. ACM Multimedia 2010,
    251-260.
    J. Costa Pereira et al. On the role of correlation and abstraction in cross-modal multimedia
    retrieval. IEEE Transactions on Pattern Analysis and Machine Intelligence 36(3):521-535, 2014.
    tfidf appears with K. Li, G.-J. Qi, J. Ye, K. Hua. Linear subspace ranking hashing. The same
    journal, 39(9), 2017.
"""


def fetch_wikipedia(
    *,
    data_home: str | PathLike | None = None,
    tfidf=False,
    download_if_missing: bool = True,
    as_frame: bool = False,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load features of Wikipedia's pictures and texts, downloaded the first time (1.3 MB).

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where downloads are kept, ``~/mmgraph_data`` by default. Files are also found in the folder
        that the environment variable ``MMGRAPH_DATA`` names.
    tfidf : bool, default=False
        Give also the modality ``tfidf`` (3.3 MB more).
    download_if_missing : bool, default=True
        False: raise OSError instead of downloading.
    as_frame : bool, default=False
        Also give the modalities as one pandas DataFrame, `frame`.
    verbose : bool, default=True
        Show the progress of downloads.
    n_retries : int, default=3
        How often to try a failed download again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        image : ndarray of shape (2866, 128), float64
            Histogram of visual words; a row sums to 1.
        text : ndarray of shape (2866, 10), float64
            Proportions of topics; a row sums to 1.
        tfidf : ndarray of shape (2866, 1000), float64
            Weights of words, only if asked for.
        target : ndarray of shape (2866,), int64
            The category.
        target_names : list of str
            The ten categories.
        text_id, image_id : ndarray of str, shape (2866,)
            The authors' names of texts and pictures.
        train, test : ndarray of int64
            The authors' split: the first 2,173 rows and the last 693.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame or None
            Columns ``image__sift_0``, ..., ``text__topic_0``, ...
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_wikipedia
    >>> wikipedia = fetch_wikipedia()  # doctest: +SKIP
    >>> wikipedia.image.shape, wikipedia.text.shape  # doctest: +SKIP
    ((2866, 128), (2866, 10))
    """
    from scipy.io import loadmat

    def path(remote):
        return fetch(
            remote,
            "wikipedia",
            data_home,
            download_if_missing=download_if_missing,
            verbose=verbose,
            n_retries=n_retries,
            delay=delay,
        )

    features = loadmat(path(FEATURES))
    blocks = {
        "image": np.vstack([features["I_tr"], features["I_te"]]),
        "text": np.vstack([features["T_tr"], features["T_te"]]),
    }
    if tfidf:
        words = loadmat(path(TFIDF))
        blocks["tfidf"] = np.vstack([words["T_tfidf_tr"], words["T_tfidf_te"]])
    columns = {"image": "sift", "text": "topic", "tfidf": "word"}
    feature_names = {
        name: [f"{columns[name]}_{j}" for j in range(block.shape[1])]
        for name, block in blocks.items()
    }
    lines = [line for remote in (TRAIN, TEST) for line in path(remote).read_text().splitlines()]
    rows = zip(*map(str.split, lines), strict=True)
    text_id, image_id, category = (np.array(column) for column in rows)
    n_train = len(features["I_tr"])
    return Bunch(
        **blocks,
        target=category.astype(np.int64) - 1,
        target_names=path(CATEGORIES).read_text().split(),
        text_id=text_id,
        image_id=image_id,
        train=np.arange(n_train),
        test=np.arange(n_train, len(lines)),
        feature_names=feature_names,
        frame=modality_frame(blocks, feature_names) if as_frame else None,
        DESCR=DESCR,
    )
