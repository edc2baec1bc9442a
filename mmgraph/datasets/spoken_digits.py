"""Spoken digits, and the summary of their sound."""

import tarfile
import wave
import zlib
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct
from sklearn.utils import Bunch

from ._fetch import RemoteFile, check_digest, digest_arrays, fetch, locate, read_npz
from ._frame import modality_frame

COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
ARCHIVE = RemoteFile(
    f"free-spoken-digit-dataset-{COMMIT}.tar.gz",
    f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{COMMIT}.tar.gz",
    None,  # an archive made on request: what it decodes to is checked instead
)
CONTENT = "e09650466931269b684e32c035bd2e5614ef17930930e72ba6c438a6e2071a5f"
ARRAYS = ("audio", "length", "digit", "speaker", "index")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
N_SEGMENTS, N_CEPSTRA, N_BANDS, MIN_FRAMES = 8, 13, 26, 13

DESCR = """\
Free Spoken Digits
------------------

3,000 recordings of English digits: 10 digits, 6 speakers, 50 times each; 8 kHz, mono, 16 bits, 0.14
to 2.28 seconds long, silence trimmed.

:Modalities: ``audio``, 104 numbers, the mel-frequency cepstra of a recording averaged over 8 equal
    segments; the sound itself is beside it as ``waveforms``.
:Split: the official one, recordings 0 to 4 of each digit and speaker are test (2,700 train, 300
    test). To generalise to new speakers, leave out a ``speaker``.
:Source: https://github.com/Jakobovski/free-spoken-digit-dataset, at commit 26eb9aaf.
:Licence: CC BY-SA 4.0.
:Citation: Z. Jackson et al. Free Spoken Digit Dataset (FSDD). Zenodo,
    https://zenodo.org/badge/latestdoi/61622039.
"""


def mfcc(audio: ArrayLike, sample_rate: int = 8000) -> np.ndarray:
    """Compute mel-frequency cepstral coefficients, one row every 10 ms.

    Parameters
    ----------
    audio : array-like of shape (n_samples,)
        The sound, in any unit; the usual one is that of 16-bit integers.
    sample_rate : int, default=8000
        Samples per second.

    Returns
    -------
    ndarray of shape (n_frames, 13), float64
        Cepstra, from 0 (the loudness) to 12. A sound of fewer than 13 frames is filled up with
        silence, so `n_frames` is at least 13.

    Notes
    -----
    Pre-emphasis by 0.97; Hamming windows of 32 ms every 10 ms (256 and 80 samples at 8 kHz) that
    lie within the sound; power spectrum; 26 triangular bands, equally spaced in mels,
    2595 log10(1 + f / 700), from 0 to half the sample rate, their corners rounded down to bins;
    natural logarithm, of the energy plus a millionth of the sound's mean power, so that silence
    stays finite; orthonormal discrete cosine transform of type II [1]_.

    References
    ----------
    .. [1] S. Davis, P. Mermelstein. Comparison of parametric representations for monosyllabic word
       recognition in continuously spoken sentences. IEEE Transactions on Acoustics, Speech, and
       Signal Processing 28(4):357-366, 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from mmgraph.datasets import mfcc
    >>> time = np.arange(4000) / 8000
    >>> mfcc(np.sin(2 * np.pi * 440 * time)).shape
    (47, 13)
    """
    audio = np.asarray(audio, dtype=float)
    if audio.ndim != 1 or not len(audio):
        raise ValueError(f"audio must be one row of samples, got an array of shape {audio.shape}")
    window, hop = round(0.032 * sample_rate), round(0.010 * sample_rate)
    audio = np.append(audio[0], audio[1:] - 0.97 * audio[:-1])
    shortest = window + (MIN_FRAMES - 1) * hop
    audio = np.pad(audio, (0, max(0, shortest - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(audio, window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hamming(window))) ** 2
    energy = power @ _mel_bands(window, sample_rate).T
    floor = 1e-6 * power.mean() + np.finfo(float).tiny
    return dct(np.log(energy + floor), type=2, norm="ortho", axis=1)[:, :N_CEPSTRA]


def mfcc_summary(audio: ArrayLike, sample_rate: int = 8000) -> np.ndarray:
    """Summarise a sound of any length in 104 numbers: its cepstra, averaged over 8 equal segments.

    Parameters
    ----------
    audio : array-like of shape (n_samples,)
        The sound, in any unit; the usual one is that of 16-bit integers.
    sample_rate : int, default=8000
        Samples per second.

    Returns
    -------
    ndarray of shape (104,), float32
        The 13 cepstra (:func:`mfcc`) of the first segment, then of the second, and so on. Where the
        frames cannot be divided by 8, the first segments have one more.

    Examples
    --------
    >>> import numpy as np
    >>> from mmgraph.datasets import mfcc_summary
    >>> time = np.arange(4000) / 8000
    >>> mfcc_summary(np.sin(2 * np.pi * 440 * time)).shape
    (104,)
    """
    segments = np.array_split(mfcc(audio, sample_rate), N_SEGMENTS)
    return np.concatenate([segment.mean(axis=0) for segment in segments]).astype(np.float32)


def fetch_spoken_digits(
    *,
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    verbose: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch:
    """Load the Free Spoken Digit Dataset, downloaded the first time (16 MB).

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
        audio : ndarray of shape (3000, 104), float32
            :func:`mfcc_summary` of each recording. Also called `features`.
        waveforms : list of ndarray of shape (n_samples_i,), int16
            The recordings.
        sample_rate : int
            8000 samples per second.
        target : ndarray of shape (3000,), int64
            The digit.
        target_names : list of str
            The names of the digits.
        speaker : ndarray of shape (3000,), str
            Who speaks: george, jackson, lucas, nicolas, theo or yweweler.
        index : ndarray of shape (3000,), int64
            The number of the recording, 0 to 49, of that speaker and digit.
        train, test : ndarray of int64
            The official split: `index` 0 to 4 is test.
        feature_names : dict of str to list of str
            For each modality the names of its columns.
        frame : DataFrame of shape (3000, 104) or None
            Columns ``audio__segment_0_cepstrum_0``, ...
        DESCR : str
            Where everything comes from, and under which licence.

    Raises
    ------
    OSError
        If a file is missing, cannot be downloaded or is not what it should be.

    Notes
    -----
    Rows are sorted by the names of the files, such as "7_theo_12". A file ``fsdd.npz`` with the
    decoded recordings is read in place of the archive where there is one; in either case all that
    was decoded is checked.

    Examples
    --------
    >>> from mmgraph.datasets import fetch_spoken_digits
    >>> fetch_spoken_digits().audio.shape  # doctest: +SKIP
    (3000, 104)
    """
    path = locate("fsdd", "fsdd.npz", data_home)
    if path is not None:
        recordings = read_npz(path, CONTENT, ARRAYS)
    else:
        path = fetch(
            ARCHIVE,
            "fsdd",
            data_home,
            download_if_missing=download_if_missing,
            verbose=verbose,
            n_retries=n_retries,
            delay=delay,
        )
        recordings = _read_archive(path)
        check_digest(path, digest_arrays(**recordings), CONTENT, f"Delete {path} and fetch again.")

    sample_rate = 8000
    waveforms = np.split(recordings["audio"], np.cumsum(recordings["length"])[:-1])
    audio = np.array([mfcc_summary(waveform, sample_rate) for waveform in waveforms])
    index = recordings["index"].astype(np.int64)
    feature_names = {
        "audio": [f"segment_{s}_cepstrum_{c}" for s in range(N_SEGMENTS) for c in range(N_CEPSTRA)]
    }
    return Bunch(
        audio=audio,
        features=audio,
        waveforms=waveforms,
        sample_rate=sample_rate,
        target=recordings["digit"].astype(np.int64),
        target_names=list(DIGITS),
        speaker=recordings["speaker"],
        index=index,
        train=np.flatnonzero(index >= 5),
        test=np.flatnonzero(index < 5),
        feature_names=feature_names,
        frame=modality_frame({"audio": audio}, feature_names) if as_frame else None,
        DESCR=DESCR,
    )


def _mel_bands(n_fft, sample_rate):
    """Triangular bands, shape (26, n_fft // 2 + 1)."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, N_BANDS + 2) / 2595) - 1)
    corners = np.floor((n_fft + 1) * corners / sample_rate)
    bins = np.arange(n_fft // 2 + 1)
    left, centre, right = (corners[i : i + N_BANDS, np.newaxis] for i in range(3))
    rising = (bins - left) / np.maximum(1, centre - left)
    falling = (right - bins) / np.maximum(1, right - centre)
    return np.maximum(0, np.minimum(rising, falling))


def _read_archive(path):
    """The arrays of `ARRAYS`, from the wav files in the archive sorted by name."""
    try:
        with tarfile.open(path) as archive:
            members = {
                member.name.rpartition("/")[2].removesuffix(".wav"): member
                for member in archive.getmembers()
                if "/recordings/" in member.name and member.name.endswith(".wav")
            }
            sounds = {name: _read_wav(archive.extractfile(members[name])) for name in members}
    except (tarfile.TarError, EOFError, wave.Error, zlib.error, OSError) as error:
        raise OSError(f"{path} cannot be read ({error}). Delete {path} and fetch again.") from error
    names = sorted(sounds)
    parts = [name.split("_") for name in names]
    return {
        "audio": np.concatenate([sounds[name] for name in names]),
        "length": np.array([len(sounds[name]) for name in names], dtype=np.int32),
        "digit": np.array([int(digit) for digit, _, _ in parts], dtype=np.uint8),
        "speaker": np.array([speaker for _, speaker, _ in parts]),
        "index": np.array([int(index) for _, _, index in parts], dtype=np.int16),
    }


def _read_wav(file):
    """The samples of a 16-bit mono wav file."""
    with wave.open(file) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2").astype(np.int16)
