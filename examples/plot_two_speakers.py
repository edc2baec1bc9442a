"""
Two speakers, one string of digits
==================================

Two people say the same digits, each at their own pace, and are described by different features. No
one says which digit is which. Can the one stream be read off the other?
"""

# %%
# Strings are put together from single recordings, with pauses of any length. The one speaker is
# described by cepstra, the other by the energies of 15 bands; both with their slopes, each
# column with mean 0 and deviation 1 over the string.

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import savgol_filter

import mmgraph as mg
from mmgraph.plotting import WarpingPathDisplay

try:
    digits = mg.datasets.fetch_spoken_digits(verbose=False, n_retries=0)
except OSError as error:
    digits = None
    print(f"Nothing is shown: the recordings are not here and cannot be downloaded ({error})")
rng = np.random.default_rng(0)


def say(speaker, string, rows):
    """Sound of a string, and the place in it that each sample belongs to (-1: none)."""
    sounds, places = [], []
    for place, digit in enumerate(string):
        own = rows[(digits.speaker[rows] == speaker) & (digits.target[rows] == digit)]
        for sound, at in (
            (3 * rng.normal(size=int(rng.uniform(0, 4000))), -1),
            (digits.waveforms[rng.choice(own)], place),
        ):
            sounds.append(sound)
            places.append(np.full(len(sound), at))
    return np.concatenate(sounds), np.concatenate(places)


def bands(sound):
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(float), 256)[::80]
    power = np.abs(np.fft.rfft(frames * np.hanning(256), axis=1)) ** 2
    edges = np.unique(np.geomspace(2, 128, 17).astype(int))
    energy = np.add.reduceat(power[:, :128], edges[:-1], axis=1)
    return np.log(energy + 1e-6 * energy.mean())


def described(features):
    both = np.hstack([features, savgol_filter(features, 9, 1, deriv=1, axis=0)])
    return (both - both.mean(axis=0)) / both.std(axis=0)


def pair(speakers, rows, number, length=5):
    """Both streams of one string in one array, the number of the string first, and the places."""
    string = rng.choice(10, length, replace=False)
    sounds = [say(speaker, string, rows) for speaker in speakers]
    streams = [described(f(s)) for f, (s, _) in zip((mg.datasets.mfcc, bands), sounds, strict=True)]
    longest = max(map(len, streams))
    block = np.full((longest, 1 + sum(s.shape[1] for s in streams)), np.nan)
    block[:, 0], stop = number, 1
    for stream in streams:
        block[: len(stream), stop : (stop := stop + stream.shape[1])] = stream
    places = [p[128 + 80 * np.arange(len(s))] for s, (_, p) in zip(streams, sounds, strict=True)]
    return block, places, string


# %%
# The aligner hears twenty strings by four speakers, and predicts the cepstra of the one from the
# bands of the other: every frame from one frame, which moves on by a few at a time.

if digits is not None:
    known = ["george", "jackson", "lucas", "nicolas"]
    blocks = [pair(rng.permutation(known)[:2], digits.train, i)[0] for i in range(20)]
    modalities = {"cepstra": slice(1, 27), "bands": slice(27, None)}
    model = mg.LatentAligner(modalities=modalities, sequence=0).fit(np.vstack(blocks))

# %%
# Two speakers whom it has never heard say another string. Where the path runs through a box,
# a digit of the one goes with the same digit of the other.

if digits is not None:
    X, places, string = pair(["theo", "yweweler"], digits.test, 0)
    display = WarpingPathDisplay.from_estimator(model, X, "bands")
    for place, digit in enumerate(string):
        (one, two) = (np.flatnonzero(p == place) for p in places)
        box = plt.Rectangle((two[0], one[0]), np.ptp(two), np.ptp(one), fill=False, ec="k", lw=1.2)
        display.ax_.add_patch(box)
        display.ax_.text(two[0], one[-1] + 3, str(digit), weight="bold")

    path = model.align(X)[0].paths["bands"]
    one, two = places[0][path[:, 0]], places[1][path[:, 1]]
    print(f"of the frames of digits {(one == two)[one >= 0].mean():.0%} go with the same digit")
    plt.show()
