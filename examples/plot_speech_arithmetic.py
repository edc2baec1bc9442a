"""
A picture, less one spoken word, plus another
=============================================

In a space that pictures and sounds share, a sum of both is a place too. So a query may be: this
picture of a 2, without the "two", with a "seven". Is the picture next to that place a 7? The words
are said by someone whom the embedding never heard.
"""

# %%
# The recordings are the Free Spoken Digit Dataset, which is downloaded the first time (16 MB). A
# sound is summarised in 104 numbers, which are standardised speaker by speaker: that takes the
# voice away, without a look at what it says. The pictures are inside scikit-learn.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

import mmgraph as mg

try:
    speech = mg.datasets.fetch_spoken_digits(verbose=False, n_retries=0)
except OSError as error:
    speech = None
    print(f"Nothing is shown: the recordings are not here and cannot be downloaded ({error})")

SPEAKER = "theo"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

# %%
# The shared space
# ----------------
#
# Training pairs join a random recording of five speakers with a random picture of the same digit.
# Kernel CCA finds what sounds and pictures have in common; a ``SemanticMatcher`` over it describes
# either by the digits that it may be.

if speech is not None:
    digits = mg.datasets.load_digit_captions()
    sound = speech.audio.astype(float)
    for speaker in np.unique(speech.speaker):
        rows = speech.speaker == speaker
        sound[rows] = (sound[rows] - sound[rows].mean(axis=0)) / sound[rows].std(axis=0)

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 200)
    known = np.flatnonzero(speech.speaker != SPEAKER)
    heard = [rng.choice(known[speech.target[known] == k]) for k in labels]
    seen = [rng.choice(digits.train[digits.target[digits.train] == k]) for k in labels]
    X, modalities = mg.pack(audio=sound[heard], image=digits.image[seen])

    embedding = mg.SemanticMatcher(
        mg.KernelCCA(9, shrinkage=0.03, approximation="cholesky", rank=300, modalities=modalities)
    ).fit(X, labels)

# %%
# Sums
# ----
#
# The gallery has pictures that were held out, and what the new speaker says. ``combine`` makes the
# query, ``nearest`` answers it with the pictures next to it. A word is the mean of ten recordings.


def recordings(word, n=10):
    """The new speaker's sounds of some words: shape (n_words, n, n_columns)."""
    word = np.atleast_1d(word)
    own = speech.speaker == SPEAKER
    return np.array([sound[own & (speech.target == k)][:n] for k in word])


if speech is not None:
    own = sound[speech.speaker == SPEAKER]
    gallery = [
        mg.pack(modalities, image=digits.image[digits.test])[0],
        mg.pack(modalities, audio=own)[0],
    ]
    retriever = mg.Retriever(FrozenEstimator(embedding)).fit(np.vstack(gallery))
    shown = digits.target[digits.test]

    steps = [(2, 7), (0, 8), (4, 9), (5, 6), (1, 3)]
    fig, axes = plt.subplots(len(steps), 8, figsize=(9, 6.5))
    for row, (old, new) in zip(axes, steps, strict=True):
        picture = digits.image[digits.test][shown == old][0]
        query = retriever.combine(
            plus=[("image", picture), ("audio", recordings(new))],
            minus=[("audio", recordings(old))],
        )
        hits = retriever.nearest(query, "image", k=6).indices[0]
        row[0].imshow(picture.reshape(8, 8), cmap="gray_r")
        row[1].text(0.5, 0.5, f"− “{WORDS[old]}”\n+ “{WORDS[new]}”", ha="center", va="center")
        for ax, hit in zip(row[2:], hits, strict=True):
            ax.imshow(digits.images[digits.test][hit], cmap="gray_r")
            ax.spines[:].set_color("tab:green" if shown[hit] == new else "tab:red")
            ax.spines[:].set_linewidth(2)
        for ax in row:
            ax.set(xticks=[], yticks=[])
        row[0].spines[:].set_visible(False)
        row[1].axis("off")
    axes[0, 0].set_title("picture")
    axes[0, 2].set_title("the nearest pictures", loc="left")
    fig.suptitle(f"Words by {SPEAKER}, who was never heard; green: shows the new digit")
    fig.tight_layout()
    plt.show()

# %%
# How often is it right?
# ----------------------
#
# Twenty pictures of every digit, turned into every other one: the first answer, by how many
# recordings say a word. Without taking off the old word, and with a random vector in place of
# the words, it fails.

if speech is not None:
    old, new = (np.repeat(k, 20) for k in np.nonzero(~np.eye(10, dtype=bool)))
    at = [rng.choice(np.flatnonzero(shown == k)) for k in old]
    pictures = digits.image[digits.test][at]

    def right(plus, minus=()):
        """Share of queries whose first answer shows the wanted digit."""
        query = retriever.combine(plus=[("image", pictures), *plus], minus=minus)
        return (shown[retriever.nearest(query, "image", k=1).indices[:, 0]] == new).mean()

    for n in (1, 10):
        said, asked = [("audio", recordings(k, n)) for k in (old, new)]
        found, without = right([asked], [said]), right([asked])
        print(f"{n:2} recordings a word: {found:.0%}; the old word not taken off: {without:.0%}")
    noise = rng.normal(size=recordings(old, 1).shape)
    print(f"a random vector as a word: {right([('audio', noise)]):.0%}")
