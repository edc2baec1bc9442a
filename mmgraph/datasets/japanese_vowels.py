"""Nine speakers who say two vowels."""

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._frame import modality_frame
from ._ts import fetch_parts

CONTENT = "2766898f3cdc7920a4f0d51908e4089889127b3bd05691ba9110478c071e6654"
ARRAYS = tuple(f"{n}_{part}" for part in ("train", "test") for n in ("frames", "length", "y"))

DESCR = """\
Japanese Vowels
---------------

Nine men say the vowels /a/ and /e/, one after the other, 640 times in all. Who speaks? 7 to 29
frames a recording; a frame is 25.6 ms at 10 kHz, 6.4 ms after the one before.

:Modalities: ``cepstra``, 12 coefficients of linear prediction.
:Rows: frames; ``sequence`` numbers the recordings.
:Split: the authors', 270 recordings to train (30 a speaker) and 370 to test.
:Source: https://archive.ics.uci.edu/dataset/128/japanese+vowels, from the copy in
    https://github.com/sktime/sktime at commit 7bd7d162 (BSD-3-Clause).
:Licence: CC BY 4.0, as UCI states it.
:Citation: M. Kudo, J. Toyama, M. Shimbo. Multidimensional curve classification using
    passing-through regions. Pattern Recognition Letters 20(11-13):1103-1111, 1999.
"""


def fetch_japanese_vowels(
    *,
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load the Japanese vowels, downloaded the first time (2 MB).

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where downloads are kept, ``~/mmgraph_data`` by default. Files are also found in the folder
        that the environment variable ``MMGRAPH_DATA`` names.
    download_if_missing : bool, default=True
        False: raise OSError instead of downloading.
    as_frame : bool, default=False
        Also give the modality as a pandas DataFrame, `frame`.
    verbose : bool, default=True
        Show the progress of downloads.
    n_retries : int, default=3
        How often to try a failed download again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        cepstra : ndarray of shape (9961, 12), float64
            Frames of all recordings. Also called `features`.
        sequence : ndarray of shape (9961,), int64
            Number of the recording, 0 to 639.
        target : ndarray of shape (9961,), int64
            The speaker, 0 to 8, the same in all frames of a recording.
        train, test : ndarray of int64
            Rows of the authors' split.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (9961, 12) or None
            Columns ``cepstra__1``, ...
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_japanese_vowels
    >>> fetch_japanese_vowels().cepstra.shape  # doctest: +SKIP
    (9961, 12)
    """
    arrays = fetch_parts(
        "JapaneseVowels",
        "japanese_vowels.npz",
        CONTENT,
        ARRAYS,
        _decode,
        data_home,
        download_if_missing=download_if_missing,
        verbose=verbose,
        n_retries=n_retries,
        delay=delay,
    )
    cepstra = np.concatenate([arrays["frames_train"], arrays["frames_test"]])
    lengths = np.concatenate([arrays["length_train"], arrays["length_test"]])
    speakers = np.concatenate([arrays["y_train"], arrays["y_test"]]) - 1
    feature_names = {"cepstra": [str(i) for i in range(1, 13)]}
    rows, n_train = np.arange(len(cepstra)), len(arrays["frames_train"])
    return Bunch(
        cepstra=cepstra,
        features=cepstra,
        sequence=np.arange(len(lengths)).repeat(lengths),
        target=speakers.repeat(lengths),
        train=rows[:n_train],
        test=rows[n_train:],
        feature_names=feature_names,
        frame=modality_frame({"cepstra": cepstra}, feature_names) if as_frame else None,
        DESCR=DESCR,
    )


def _decode(sequences, labels, part):
    speakers = np.array(labels, np.int64)
    return {
        f"frames_{part}": np.concatenate(sequences),
        f"length_{part}": np.array([len(frames) for frames in sequences]),
        f"y_{part}": speakers - speakers.min() + 1,  # copies count from 0 or from 1
    }
