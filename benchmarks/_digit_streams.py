"""Streams of spoken digits: recordings of one speaker one after another, for the benchmarks."""

from typing import NamedTuple

import numpy as np

import mmgraph as mg
from benchmarks.spoken_digits_hmm import cepstra

SPEAKERS = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
HOP = 80
STEP = 64  # samples at a time when edges are trimmed: not in step with the frames
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


def trimmed(wave, decibels=30):
    """A recording without its quiet edges: 8 ms at a time, so far below the loudest."""
    n = len(wave) // STEP
    power = np.square(wave[: n * STEP].astype(float)).reshape(n, STEP).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 10 ** (decibels / 10))
    return wave[loud[0] * STEP : (loud[-1] + 1) * STEP]


def sounds(data, *, trim):
    """The recordings, trimmed or as they are."""
    return [trimmed(w) for w in data.waveforms] if trim else data.waveforms


def resampled(wave, factor):
    """A recording played so much faster: another voice, for its pitch and resonances move too."""
    at = np.arange(0, len(wave) - 1, factor)
    return np.interp(at, np.arange(len(wave)), wave)


def stream(waves, target, rows):
    """The stream of some recordings."""
    own = [waves[i] for i in rows]
    at = np.cumsum([0, *map(len, own)])
    frames = cepstra(np.concatenate(own))
    borders = (at - CENTRE + HOP / 2) / HOP
    borders[[0, -1]] = 0, len(frames)
    frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    return DigitStream(frames, target[rows], borders)


def streams(waves, data, speaker, length, rng, most=500):
    """Recordings of a speaker in random order, as streams of some number of digits."""
    rows = rng.permutation(np.flatnonzero(data.speaker == speaker))[:most]
    return [
        stream(waves, data.target, rows[i : i + length])
        for i in range(0, len(rows) - length + 1, length)
    ]


def examples(some):
    """Frames of each digit of some streams, and the digit."""
    frames, digits = [], []
    for one in some:
        frames += np.split(one.frames, np.ceil(one.borders[1:-1]).astype(int))
        digits.append(one.digits)
    return frames, np.concatenate(digits)


def packed(frames, digits):
    """Examples as X, modalities and y: the number of the example in column 0."""
    lengths = [len(x) for x in frames]
    X, modalities = mg.pack(
        audio=np.concatenate(frames), sequence=np.repeat(np.arange(len(frames)), lengths)
    )
    return X, modalities, np.repeat(digits, lengths)
