"""
Find a digit in a stream of speech
==================================

Somebody whom no model has heard says a long row of digits. Where does he say a seven? The question
is asked with a picture of a handwritten one.
"""

# %%
# The recordings are the Free Spoken Digit Dataset, which is downloaded the first time (16 MB); the
# pictures are inside scikit-learn. Frames are mel-frequency cepstra every 10 ms with their
# differences, and each speaker's have mean 0 and deviation 1. Pictures are given by 20 principal
# components.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

import mmgraph as mg
from mmgraph.plotting import SearchHitsDisplay

try:
    speech = mg.datasets.fetch_spoken_digits(verbose=False, n_retries=0)
except OSError as error:
    speech = None
    print(f"Nothing is shown: the recordings are not here and cannot be downloaded ({error})")

digits = mg.datasets.load_digit_captions()
components = PCA(20, random_state=0).fit(digits.image[digits.train])
pictures = components.transform(digits.image)


def spoken(rows):
    """Frames of some recordings in a row, and the first frame of each, in its middle."""
    sounds = [speech.waveforms[i] for i in rows]
    cepstra = mg.datasets.mfcc(np.concatenate(sounds), speech.sample_rate)
    frames = np.hstack([cepstra, np.gradient(cepstra, axis=0)])
    frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    starts = np.cumsum([0, *map(len, sounds[:-1])])
    return frames, np.maximum(0, np.ceil((starts - 128) / 80)).astype(int)


# %%
# What is learnt
# --------------
#
# Five speakers train. Beside every recording stands a picture of the same digit, drawn at random,
# in all its rows. One hidden Markov model a digit learns both: the sound from left to right, and
# what the picture looks like. The sound has an exponent of .2, for its frames depend on each other
# more than the model knows.

if speech is not None:
    rng = np.random.default_rng(0)
    sound, shown, labels, examples = [], [], [], []
    for speaker in ("george", "jackson", "lucas", "nicolas", "yweweler"):
        rows = rng.permutation(np.flatnonzero(speech.speaker == speaker))[:200]
        own, starts = spoken(rows)
        lengths = np.diff([*starts, len(own)])
        partners = [
            rng.choice(digits.train[digits.target[digits.train] == k]) for k in speech.target[rows]
        ]
        sound.append(own)
        shown.append(np.repeat(pictures[partners], lengths, axis=0))
        labels.append(np.repeat(speech.target[rows], lengths))
        examples.append(np.repeat(rows, lengths))
    X, modalities = mg.pack(
        sound=np.concatenate(sound),
        picture=np.concatenate(shown),
        sequence=np.concatenate(examples),
    )
    hmm = mg.MultiStreamHMM(
        8, topology="left-right", covariance_type={"picture": "full"}, max_iter=10
    )
    aligner = mg.ForcedAligner(hmm, stream_weights={"sound": 0.2})
    search = mg.StreamSearch(aligner, sequence=0, modalities=modalities)
    search.fit(X, np.concatenate(labels))

# %%
# The search
# ----------
#
# Theo says sixty digits. Each line is a query, a picture of each digit that was held out; a bar is
# a hit, the darker the better its rank. The strokes above the lines are where the digit was said.

if speech is not None:
    rows = rng.permutation(np.flatnonzero(speech.speaker == "theo"))[:60]
    stream, starts = spoken(rows)
    spans = np.column_stack([starts, [*starts[1:], len(stream)]])
    X, _ = mg.pack(modalities, sound=stream, sequence=np.zeros(len(stream)))
    asked = [rng.choice(digits.test[digits.target[digits.test] == k]) for k in range(10)]
    query, _ = mg.pack(modalities, picture=pictures[asked], sequence=np.zeros(10))
    said = speech.target[rows]
    display = SearchHitsDisplay.from_estimator(
        search,
        X,
        query,
        k=6,
        names=speech.target_names,
        truth=[spans[said == k] for k in range(10)],
    )

# %%
# How many of the best hits are right?

if speech is not None:
    right = []
    for k, hits in enumerate(search.search(X, query, k=6)):
        middles = hits.spans.mean(axis=1)
        heard = said[np.searchsorted(starts, middles, side="right") - 1]
        n = min(6, np.count_nonzero(said == k))
        right.append(np.mean(heard[:n] == k))
        print(f"{speech.target_names[k]:>6}: {right[-1]:.0%} of the first {n}")
    print(f"  mean: {np.mean(right):.0%}")
    plt.show()
