"""MNIST, the handwritten digits."""

import gzip
from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from ._fetch import RemoteFile, fetch
from ._frame import modality_frame

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train": (
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            MIRROR + "train-images-idx3-ubyte.gz",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            MIRROR + "train-labels-idx1-ubyte.gz",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "test": (
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            MIRROR + "t10k-images-idx3-ubyte.gz",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            MIRROR + "t10k-labels-idx1-ubyte.gz",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}

DESCR = """\
MNIST
-----

Grey pictures of handwritten digits, 28 x 28 pixels, 60,000 to train and 10,000 to test.

:Modalities: ``image``, 784 pixels, 0 (paper) to 1 (ink).
:Source: http://yann.lecun.com/exdb/mnist/, from the mirror
    https://ossci-datasets.s3.amazonaws.com/mnist/. The uncompressed content is checked.
:Licence: its page names none; usually given as CC BY-SA 3.0.
:Citation: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document
    recognition. Proceedings of the IEEE 86(11):2278-2324, 1998.
"""


def fetch_mnist(
    *,
    data_home: str | PathLike | None = None,
    subset: str = "train",
    binarize=False,
    download_if_missing: bool = True,
    return_X_y=False,
    as_frame: bool = False,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load the MNIST digits, downloaded the first time (11.6 MB).

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where downloads are kept, ``~/mmgraph_data`` by default. Files are also found in the folder
        that the environment variable ``MMGRAPH_DATA`` names.
    subset : {"train", "test", "all"}, default="train"
        "all" is the 60,000 training rows followed by the 10,000 test rows.
    binarize : bool, default=False
        Make `image` 0 or 1: 1 where the pixel is 128 or more of 255.
    download_if_missing : bool, default=True
        False: raise OSError instead of downloading.
    return_X_y : bool, default=False
        Return only the pixels (`image`, or `frame`) and the target.
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
        image : ndarray of shape (n_samples, 784), float32
            The pixels, row by row, from 0 to 1.
        data : ndarray of shape (n_samples, 784), uint8
            The pixels as stored, from 0 to 255.
        images : ndarray of shape (n_samples, 28, 28), uint8
            `data` as pictures.
        target : ndarray of shape (n_samples,), int64
            The digit.
        train, test : ndarray of int64
            Which rows belong to the official training and test sets.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (n_samples, 784) or None
            Columns ``image__pixel_0_0``, ...
        DESCR : str
            Where everything comes from, and under which licence.
    (X, y) : tuple of the pixels and the target, if `return_X_y`

    Raises
    ------
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_mnist
    >>> fetch_mnist(subset="test").image.shape  # doctest: +SKIP
    (10000, 784)
    """
    if subset not in ("train", "test", "all"):
        raise ValueError(f'subset is "train", "test" or "all", got {subset!r}')
    subsets = ("train", "test") if subset == "all" else (subset,)
    parts = []
    for part in subsets:
        paths = [
            fetch(
                remote,
                "mnist",
                data_home,
                download_if_missing=download_if_missing,
                verbose=verbose,
                n_retries=n_retries,
                delay=delay,
            )
            for remote in FILES[part]
        ]
        parts.append([_read_idx(path) for path in paths])
    images, target = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    target = target.astype(np.int64)
    data = images.reshape(len(images), -1)
    image = (data >= 128).astype(np.float32) if binarize else data / np.float32(255)

    feature_names = {"image": [f"pixel_{r}_{c}" for r in range(28) for c in range(28)]}
    frame = modality_frame({"image": image}, feature_names) if as_frame else None
    if return_X_y:
        return (frame if as_frame else image), target
    n_train = 0 if subset == "test" else 60_000
    return Bunch(
        image=image,
        data=data,
        images=images,
        target=target,
        train=np.arange(n_train),
        test=np.arange(n_train, len(target)),
        feature_names=feature_names,
        frame=frame,
        DESCR=DESCR,
    )


def _read_idx(path):
    """The array in a compressed idx file of bytes."""
    with gzip.open(path, "rb") as file:
        content = file.read()
    n_axes = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=n_axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes).reshape(shape)
