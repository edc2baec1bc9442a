"""Streams of spoken digits: recordings of one speaker one after another, for the benchmarks."""

from typing import NamedTuple

import numpy as np

import mmgraph as mg
from benchmarks.spoken_digits_hmm import cepstra

SPEAKERS = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
RATE, HOP = 8000, 80
CENTRE = 128  # sample of a frame's middle, from its first


class DigitStream(NamedTuple):
    """One stream.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, 39)
        Cepstra and their differences, every 10 ms, each with mean 0 and deviation 1.
    digits : ndarray of int, shape (n_digits,)
    borders : ndarray of shape (n_digits + 1,)
        Where the recordings begin and the last one ends, in frames: half between the middles of two
        frames is a whole number.
    """

    frames: np.ndarray
    digits: np.ndarray
    borders: np.ndarray


def stream(data, rows):
    """The stream of some recordings."""
    waves = [data.waveforms[i] for i in rows]
    at = np.cumsum([0, *map(len, waves)])
    frames = cepstra(np.concatenate(waves))
    borders = (at - CENTRE + HOP / 2) / HOP
    borders[[0, -1]] = 0, len(frames)
    return DigitStream(standardised(frames), data.target[rows], borders)


def recordings(data, speakers):
    """Frames, digits and lengths of all recordings of some speakers, standardised by speaker."""
    frames, digits = [], []
    for speaker in speakers:
        rows = np.flatnonzero(data.speaker == speaker)
        own = [cepstra(data.waveforms[i]) for i in rows]
        cuts = np.cumsum([len(x) for x in own])[:-1]
        frames += np.split(standardised(np.concatenate(own)), cuts)
        digits.append(data.target[rows])
    return frames, np.concatenate(digits)


def packed(frames, digits):
    """Recordings as X, modalities and y: the number of the recording in column 0."""
    lengths = [len(x) for x in frames]
    X, modalities = mg.pack(
        audio=np.concatenate(frames), sequence=np.repeat(np.arange(len(frames)), lengths)
    )
    return X, modalities, np.repeat(digits, lengths)


def standardised(frames):
    """Each column with mean 0 and deviation 1."""
    return (frames - frames.mean(axis=0)) / frames.std(axis=0)
