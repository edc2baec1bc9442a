"""Files of data sets: found in local folders or downloaded, and never used unchecked."""

import gzip
import hashlib
import http.client
import os
import time
import warnings
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import numpy as np

CHUNK = 1 << 16


class RemoteFile(NamedTuple):
    """A file that can be downloaded.

    ``sha256`` is that of the content: a ``.gz`` is checked uncompressed, since the same content has
    many compressed forms. None: whoever decodes the file checks it.
    """

    filename: str
    url: str
    sha256: str | None


def get_data_home(data_home=None):
    """Tell in which folder downloaded data sets are kept; it need not exist.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder; None is ``~/mmgraph_data``.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> from mmgraph.datasets import get_data_home
    >>> get_data_home().name
    'mmgraph_data'
    """
    return Path("~/mmgraph_data" if data_home is None else data_home).expanduser()


def locate(dataset, filename, data_home=None):
    """Find a file in ``data_home/dataset``, else in ``$MMGRAPH_DATA/dataset``, else None."""
    folders = [get_data_home(data_home)]
    if os.environ.get("MMGRAPH_DATA"):
        folders.append(Path(os.environ["MMGRAPH_DATA"]).expanduser())
    paths = (folder / dataset / filename for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def fetch(
    remote,
    dataset,
    data_home=None,
    *,
    download_if_missing=True,
    verbose=True,
    n_retries=3,
    delay=1.0,
):
    """Find a file or download it, and check it.

    Parameters
    ----------
    remote : RemoteFile
    dataset : str
        The sub-folder of `data_home`, and of the folder that the environment variable
        ``MMGRAPH_DATA`` names, where the file is kept.
    data_home : str or path-like, default=None
        Where to look first and where downloads go; None is ``~/mmgraph_data``.
    download_if_missing : bool, default=True
        False: never use the network.
    verbose : bool, default=True
        Whether a download shows a progress bar.
    n_retries : int, default=3
        How often to try again.
    delay : float, default=1.0
        Seconds between tries.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError
        If the file is missing and must not or cannot be downloaded, or is not what it should be.
        An interrupted or wrong download leaves no file behind.
    """
    path = locate(dataset, remote.filename, data_home)
    if path is not None:
        _check(path, remote, f"Delete {path} and fetch again.")
        return path

    path = get_data_home(data_home) / dataset / remote.filename
    if not download_if_missing:
        raise OSError(missing(path, "call again with download_if_missing=True"))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part_{uuid4().hex}")
    try:
        _download_patiently(remote.url, part, path, verbose, n_retries, delay)
        _check(part, remote, "The download was not kept: try again, or another source.")
        os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    return path


def missing(path, remedy):
    """Say that a file is missing and what to do."""
    return (
        f"{path} is missing, and no copy was found in $MMGRAPH_DATA "
        f"({os.environ.get('MMGRAPH_DATA') or 'not set'}): {remedy}, or put the file there."
    )


def digest_arrays(**arrays):
    """SHA-256 of named arrays: their names, types, shapes and values, however they were stored."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_digest(path, found, expected, remedy):
    """Raise OSError unless the digest is the expected one."""
    if found != expected:
        raise OSError(
            f"The content of {path} is not what it should be: its SHA-256 is {found}, "
            f"expected {expected}. {remedy}"
        )


def read_npz(path, expected, names):
    """Read named arrays of an npz whose content has the `expected` :func:`digest_arrays`."""
    remedy = f"Delete {path}, and fetch or make it again."
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise OSError(f"{path} cannot be read ({error}). {remedy}") from error
    check_digest(path, digest_arrays(**arrays), expected, remedy)
    return arrays


def _check(path, remote, remedy):
    if remote.sha256 is None:
        return
    digest = hashlib.sha256()
    opener = gzip.open if remote.filename.endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OSError(f"{path} is damaged ({error}). {remedy}") from error
    check_digest(path, digest.hexdigest(), remote.sha256, remedy)


def _download_patiently(url, part, path, verbose, n_retries, delay):
    """Download to the file `part`; a failure is tried again, at last an OSError."""
    for left in range(n_retries, -1, -1):
        try:
            _download(url, part, path.name, verbose)
            return
        except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            if left == 0:
                raise OSError(
                    f"Could not download {url} ({error}). Check the network, or put the file at "
                    f"{path} yourself."
                ) from error
            warnings.warn(f"Retry downloading from url: {url}", stacklevel=4)
            time.sleep(delay)


def _download(url, part, name, verbose):
    from tqdm.auto import tqdm

    with urlopen(url, timeout=60) as response, open(part, "wb") as file:
        size = response.headers.get("Content-Length")
        size = None if size is None else int(size)
        with tqdm(total=size, desc=name, unit="B", unit_scale=True, disable=not verbose) as bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if size is not None and file.tell() != size:
            raise URLError(f"the connection closed after {file.tell()} of {size} bytes")
