"""Movements of a wrist, by an accelerometer and a gyroscope."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._frame import modality_frame
from ._ts import fetch_parts

CONTENT = "e6855f30ebb5c053a757769527208c8efbc1e39f9d7e4358dc4a31198cd08bf3"
STREAMS = ("acceleration", "rotation")
ARRAYS = tuple(f"{n}_{part}" for part in ("train", "test") for n in (*STREAMS, "y"))
LENGTH = 100

DESCR = """\
BasicMotions
------------

Four students wore a smart watch and stood, walked, ran or played badminton: 80 recordings of ten
seconds, ten frames a second, twenty an activity.

:Modalities: ``acceleration``, x, y and z of the accelerometer; ``rotation``, x, y and z of the
    gyroscope. The archive states no units.
:Rows: frames; ``sequence`` numbers the recordings.
:Split: the archive's, 40 recordings each. Who wore the watch is not told.
:Source: https://www.timeseriesclassification.com, from the copy in
    https://github.com/sktime/sktime at commit 7bd7d162 (BSD-3-Clause).
:Licence: the copy is in a repository under BSD-3-Clause; none is known of the data themselves.
:Citation: A. Bagnall, H. A. Dau, J. Lines, M. Flynn, J. Large, A. Bostrom, P. Southam, E. Keogh.
    The UEA multivariate time series classification archive, 2018. arXiv:1811.00075.
"""


def fetch_basic_motions(
    *,
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load the movements of BasicMotions, downloaded the first time (under 1 MB).

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where downloads are kept, ``~/mmgraph_data`` by default. Files are also found in the folder
        that the environment variable ``MMGRAPH_DATA`` names.
    download_if_missing : bool, default=True
        False: raise OSError instead of downloading.
    as_frame : bool, default=False
        Also give the modalities as a pandas DataFrame, `frame`.
    verbose : bool, default=True
        Show the progress of downloads.
    n_retries : int, default=3
        How often to try a failed download again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        acceleration, rotation : ndarray of shape (8000, 3), float64
            Frames of the accelerometer and the gyroscope.
        sequence : ndarray of shape (8000,), int64
            Number of the recording, 0 to 79.
        target : ndarray of shape (8000,), int64
            The activity, the same in all frames of a recording.
        target_names : list of str
            Badminton, Running, Standing and Walking.
        train, test : ndarray of int64
            Rows of the first 40 recordings and of the others.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (8000, 6) or None
            Columns ``acceleration__x``, ...
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_basic_motions
    >>> fetch_basic_motions().acceleration.shape  # doctest: +SKIP
    (8000, 3)
    """
    arrays = fetch_parts(
        "BasicMotions",
        "basic_motions.npz",
        CONTENT,
        ARRAYS,
        _decode,
        data_home,
        download_if_missing=download_if_missing,
        verbose=verbose,
        n_retries=n_retries,
        delay=delay,
    )
    streams = {
        name: np.concatenate([arrays[f"{name}_train"], arrays[f"{name}_test"]]).reshape(-1, 3)
        for name in STREAMS
    }
    labels = np.concatenate([arrays["y_train"], arrays["y_test"]])
    names, target = np.unique(labels, return_inverse=True)
    rows, n_train = np.arange(len(labels) * LENGTH), len(arrays["y_train"]) * LENGTH
    feature_names = {name: ["x", "y", "z"] for name in STREAMS}
    return Bunch(
        **streams,
        sequence=rows // LENGTH,
        target=target.repeat(LENGTH),
        target_names=names.tolist(),
        train=rows[:n_train],
        test=rows[n_train:],
        feature_names=feature_names,
        frame=modality_frame(streams, feature_names) if as_frame else None,
        DESCR=DESCR,
    )


def _decode(sequences, labels, part):
    frames = np.stack(sequences)
    return {
        f"acceleration_{part}": frames[:, :, :3],
        f"rotation_{part}": frames[:, :, 3:],
        f"y_{part}": np.array(labels),
    }
