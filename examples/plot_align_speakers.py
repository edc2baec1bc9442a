"""
Two speakers who say the same digits
====================================

A telephone number is said by two people whom no model has heard, at different speeds. Where does
each digit begin, how sure is that, and which moment of the one goes with which of the other?
"""

# %%
# The recordings are the Free Spoken Digit Dataset, which is downloaded the first time (16 MB). What
# is said here is put together from recordings of single digits, so the true borders are known.
# Frames are mel-frequency cepstra every 10 ms with their differences, and each speaker's have mean
# 0 and deviation 1.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg
from mmgraph.plotting import BorderPosteriorDisplay, WarpingPathDisplay

try:
    speech = mg.datasets.fetch_spoken_digits(verbose=False, n_retries=0)
except OSError as error:
    speech = None
    print(f"Nothing is shown: the recordings are not here and cannot be downloaded ({error})")


def spoken(rows):
    """Frames of some recordings in a row, and the first frame of each, in its middle."""
    sounds = [speech.waveforms[i] for i in rows]
    cepstra = mg.datasets.mfcc(np.concatenate(sounds), speech.sample_rate)
    frames = np.hstack([cepstra, np.gradient(cepstra, axis=0)])
    frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    starts = np.cumsum([0, *map(len, sounds[:-1])])
    return frames, np.maximum(0, np.ceil((starts - 128) / 80)).astype(int)


# %%
# Models of the digits
# --------------------
#
# Four speakers train: a hidden Markov model of eight states from left to right learns each digit
# from their recordings, heard among others.

if speech is not None:
    rng = np.random.default_rng(0)
    frames, labels, examples = [], [], []
    for speaker in ("george", "jackson", "lucas", "nicolas"):
        rows = rng.permutation(np.flatnonzero(speech.speaker == speaker))[:200]
        own, starts = spoken(rows)
        lengths = np.diff([*starts, len(own)])
        frames.append(own)
        labels.append(np.repeat(speech.target[rows], lengths))
        examples.append(np.repeat(rows, lengths))
    X, modalities = mg.pack(sound=np.concatenate(frames), sequence=np.concatenate(examples))
    hmm = mg.MultiStreamHMM(8, topology="left-right", max_iter=10)
    model = mg.ForcedAligner(
        hmm, stream_weights={"sound": 0.3}, sequence=0, modalities=modalities
    ).fit(X, np.concatenate(labels))

# %%
# Borders
# -------
#
# The two others say the same ten digits. Their order is known, the borders are found. Each has a
# probability at each frame: where it begins (filled), and where the one before ends (dotted).
# Dashes are the truth.

if speech is not None:
    digits = [0, 3, 1, 4, 1, 5, 9, 2, 6, 5]
    said, found = {}, {}
    for speaker in ("theo", "yweweler"):
        rows = [
            rng.choice(np.flatnonzero((speech.speaker == speaker) & (speech.target == k)))
            for k in digits
        ]
        said[speaker] = spoken(rows)
        X, _ = mg.pack(modalities, sound=said[speaker][0], sequence=np.zeros(len(said[speaker][0])))
        found[speaker] = model.align(X, [digits])[0]
        errors = 10 * abs(found[speaker].spans[1:, 0] - said[speaker][1][1:])
        print(f"{speaker}: median error of a border {np.median(errors):.0f} ms")
    display = BorderPosteriorDisplay.from_estimator(model, X, [digits], truth=said["yweweler"][1])

# %%
# One clock
# ---------
#
# Dynamic time warping needs no models, but it knows no borders either. Its path should pass where
# both speakers begin the same digit (dots).

if speech is not None:
    streams = [said[speaker][0] for speaker in said]
    longest = max(map(len, streams))
    one, two = (np.pad(s, ((0, longest - len(s)), (0, 0)), constant_values=np.nan) for s in streams)
    X, modalities = mg.pack(theo=one, yweweler=two)
    warping = mg.DynamicTimeWarping(modalities=modalities).fit(X)
    display = WarpingPathDisplay.from_estimator(warping, X, "yweweler")
    begins = [found[speaker].spans[:, 0] for speaker in said]
    display.ax_.plot(begins[1], begins[0], "ko", markersize=5)
    path = warping.align(X)[0].paths["yweweler"]
    apart = np.abs(np.interp(begins[0], path[:, 0], path[:, 1]) - begins[1])
    print(f"path and borders are {10 * np.median(apart):.0f} ms apart (median)")
    plt.show()
