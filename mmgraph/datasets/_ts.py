"""Sequences of the archives of time series: the ``.ts`` files of sktime's repository."""

import numpy as np

from ._fetch import RemoteFile, check_digest, digest_arrays, fetch, locate, read_npz

COMMIT = "7bd7d1620c0656f3210eeb850bb1c0034159ee47"
ROOT = f"https://raw.githubusercontent.com/sktime/sktime/{COMMIT}/sktime/datasets/data"
FOLDER = "motions"


def fetch_parts(name, local, content, names, decode, data_home=None, **download):
    """The arrays of a data set, from a local copy or from its two ``.ts`` files, checked.

    Parameters
    ----------
    name : str
        Of the data set in the archive.
    local : str
        File name of the local copy.
    content : str
        What :func:`digest_arrays` gives of the arrays.
    names : tuple of str
        The arrays.
    decode : callable
        From the sequences and labels of a part ("train", "test") to its arrays.
    data_home : str or path-like, default=None
    **download
        For :func:`fetch`.

    Returns
    -------
    dict of str to ndarray
    """
    path = locate(FOLDER, local, data_home)
    if path is not None:
        return read_npz(path, content, names)
    arrays = {}
    for part in ("train", "test"):
        file = f"{name}_{part.upper()}.ts"
        path = fetch(RemoteFile(file, f"{ROOT}/{name}/{file}", None), FOLDER, data_home, **download)
        arrays |= decode(*read_ts(path), part)
    check_digest(path, digest_arrays(**arrays), content, f"Delete {path.parent} and fetch again.")
    return arrays


def read_ts(path):
    """Read sequences and their labels.

    A line is a sequence: its channels, parted by colons, then the label. A channel is its values,
    parted by commas. Frames at the end that are zero in all channels are filling, and left out.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    sequences : list of ndarray of shape (n_frames_i, n_channels)
    labels : list of str
    """
    sequences, labels = [], []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        start = [line.strip().lower() for line in lines].index("@data") + 1
        for line in filter(None, lines[start:]):
            *channels, label = line.split(":")
            frames = np.array([channel.split(",") for channel in channels], float).T
            sequences.append(frames[: 1 + np.flatnonzero(frames.any(axis=1)).max(initial=-1)])
            labels.append(label.strip())
    except ValueError as error:
        raise OSError(f"{path} cannot be read ({error}). Delete it and fetch again.") from error
    return sequences, labels
