"""Five small tables of two classes, on which methods of multiple-kernel learning are compared."""

import csv
from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import RemoteFile, fetch

GITHUB = "https://raw.githubusercontent.com"
BROWNLEE = f"{GITHUB}/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f"
FILES = {
    "ionosphere": RemoteFile(
        "ionosphere.csv",
        f"{BROWNLEE}/ionosphere.csv",
        "fd6dd7864b55d56dac0a1e6e24af9ccc35bf2555ac79af8ab9f3d1daa065ab83",
    ),
    "liver": RemoteFile(
        "bupa.csv",
        f"{GITHUB}/vilge/Liver_patient/6e1375edbd96404b30f63167f1973407aceed11d/bupa.data",
        "7465d58a06982743c5f6f08ee080e120c239c4a40de4c7139786a0e9c0c494cc",
    ),
    "pima": RemoteFile(
        "pima.csv",
        f"{BROWNLEE}/pima-indians-diabetes.csv",
        "6bfe5d0f379d17a0e0819b996407e3c09bf80febd4287f2ed212190dfff154af",
    ),
    "sonar": RemoteFile(
        "sonar.csv",
        f"{BROWNLEE}/sonar.csv",
        "3079c09b5d2789a0f96aff82c28e5164fafe2495c5f8da96c6c256c1bd25763f",
    ),
    "wpbc": RemoteFile(
        "wpbc.csv",
        f"{GITHUB}/StellinaM/Rpromesip_project/abddc79789ad3f350dcb506c9894e8952b6c728d/wpbc.data",
        "af8944849f93c653eae0006287b18b403af54189727409ab06e183498d721767",
    ),
}
# Column of the label (of the columns that are left), the label that counts as 1, columns left out.
READ = {
    "ionosphere": (-1, "g", ()),
    "liver": (-1, "2", ()),
    "pima": (-1, "1", ()),
    "sonar": (-1, "M", ()),
    "wpbc": (0, "R", (0,)),
}

DESCR = """\
UCI tables
----------

Tables of measurements with two classes, from the UCI Machine Learning Repository.

:Tables: ``ionosphere``, 351 radar returns with 34 columns (the second is constant), good (1) or
    bad; ``liver`` (bupa), 345 men with 6 columns; ``pima``, 768 women with 8 columns, diabetes (1)
    or not; ``sonar``, 208 echoes of 60 bands, a mine (1) or a rock; ``wpbc``, 198 patients with 33
    columns, breast cancer that came back (1) or did not.
:Traps: the label of ``liver`` is the column by which its authors split training from test rows.
    The literature on multiple-kernel learning takes it for the label, and so does this loader, to
    be comparable; it says nothing about livers. Four values of ``wpbc`` are NaN.
:Source: https://archive.ics.uci.edu, from copies in https://github.com/jbrownlee/Datasets,
    https://github.com/vilge/Liver_patient and https://github.com/StellinaM/Rpromesip_project.
:Licence: CC BY 4.0, as UCI states it; the copies state none.
:Citation: D. Dua, C. Graff. UCI Machine Learning Repository. University of California, Irvine.
"""


def fetch_uci_table(
    name: str,
    *,
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load a small table of two classes, downloaded the first time (under 90 kB).

    Parameters
    ----------
    name : {"ionosphere", "liver", "pima", "sonar", "wpbc"}
        Which table.
    data_home : str or path-like, default=None
        Where downloads are kept, ``~/mmgraph_data`` by default. Files are also found in the folder
        that the environment variable ``MMGRAPH_DATA`` names.
    download_if_missing : bool, default=True
        False: raise OSError instead of downloading.
    verbose : bool, default=True
        Show the progress of downloads.
    n_retries : int, default=3
        How often to try a failed download again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_rows, n_columns), float64
            The measurements; NaN where one is missing.
        target : ndarray of shape (n_rows,), int64
            0 or 1.
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    ValueError
        If there is no such table.
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_uci_table
    >>> fetch_uci_table("sonar").data.shape  # doctest: +SKIP
    (208, 60)
    """
    if name not in FILES:
        raise ValueError(f"name={name!r}: choose one of {list(FILES)}.")
    path = fetch(
        FILES[name],
        "uci_mkl",
        data_home,
        download_if_missing=download_if_missing,
        verbose=verbose,
        n_retries=n_retries,
        delay=delay,
    )
    label, positive, left_out = READ[name]
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if name in ("liver", "wpbc"):
        rows = rows[1:]  # names of the columns
    rows = [[v for i, v in enumerate(row) if i not in left_out] for row in rows]
    target = np.array([row.pop(label) == positive for row in rows], np.int64)
    data = np.array([[np.nan if v in ("?", "") else float(v) for v in row] for row in rows])
    return Bunch(data=data, target=target, DESCR=DESCR)
