"""
From a spoken digit to a written one
====================================

Can a model draw what it hears, said by someone whom it has never heard? It learns from recordings
of five speakers and pictures of handwritten digits, which have nothing in common but the digit, and
draws what a sixth speaker says.
"""

# %%
# The recordings are the Free Spoken Digit Dataset, which is downloaded the first time (16 MB); a
# sound is summarised in 104 numbers, its mel-frequency cepstra over eight segments of time. The
# pictures are inside scikit-learn.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.metrics import pairwise_distances_argmin
from sklearn.svm import SVC

import mmgraph as mg
from mmgraph.engine.units import Binomial
from mmgraph.plotting import GenerationDisplay

# Chains that each keep to one digit do no harm to completing rows.
warnings.simplefilter("ignore", ConvergenceWarning)

try:
    speech = mg.datasets.fetch_spoken_digits(verbose=False, n_retries=0)
except OSError as error:
    speech = None
    print(f"Nothing is shown: the recordings are not here and cannot be downloaded ({error})")

if speech is not None:
    digits = mg.datasets.load_digit_captions()
    pixels = digits.image * 16

# %%
# The speaker theo is held out, and a fifth of the pictures. Training pairs join a random recording
# with a random picture of the same digit. What is learnt is either from the other
# (``objective="multi_prediction"``), in few passes: speakers are few, and a model that goes on
# learning learns these ones by heart. The 104 numbers of a sound depend on each other more than the
# model knows, so one state of its hidden layers would seem the only explanation; to start at three
# at least (``min_effective_particles``) makes the draws vary. (The settings were chosen on lucas,
# nicolas and yweweler.)

if speech is not None:
    heard = speech.speaker != "theo"
    unheard = np.flatnonzero(~heard & (speech.index < 30))
    sound = (speech.audio - speech.audio[heard].mean(axis=0)) / speech.audio[heard].std(axis=0)

    rng = np.random.default_rng(0)
    recordings, pictures = [], []
    for k in range(10):
        recordings.append(rng.choice(np.flatnonzero(heard & (speech.target == k)), 500))
        pictures.append(rng.choice(digits.train[digits.target[digits.train] == k], 500))
    recordings, pictures = np.concatenate(recordings), np.concatenate(pictures)
    X, modalities = mg.pack(audio=sound[recordings], image=pixels[pictures])

    model = mg.MultimodalDBM(
        hidden=(),  # sounds and pictures meet in the joint layer itself
        joint=256,
        units={"audio": "gaussian", "image": Binomial(16)},
        modalities=modalities,
        objective="multi_prediction",
        learning_rate=0.02,
        batch_size=50,
        max_iter=6,
        min_effective_particles=3,
        random_state=0,
    ).fit(X)

# %%
# What it draws
# -------------
#
# On the left the sound (time runs downwards, one row a segment), then the expected picture and six
# draws.

if speech is not None:
    X_unheard, _ = mg.pack(modalities, audio=sound[unheard])
    y = speech.target[unheard]
    shown = np.array([np.flatnonzero(y == k)[0] for k in range(10)])
    display = GenerationDisplay.from_estimator(
        model,
        X_unheard[shown],
        "image",
        n_draws=6,
        image_shape={"audio": (8, 13), "image": (8, 8)},
    )
    for ax, k in zip(display.axes_[:, 0], y[shown], strict=True):
        ax.set_ylabel(speech.target_names[k], rotation=0, ha="right", va="center")
    plt.show()

# %%
# How often is it the right digit?
# --------------------------------
#
# A judge, trained on real pictures, reads the draws. Reading alone can be gamed: the mean picture
# of a digit is always read rightly, but there is only one of it. So the variance of the pictures
# for one digit is measured too, as a share of that of real pictures.

if speech is not None:
    judge = SVC(C=10).fit(pixels[digits.train], digits.target[digits.train])

    def right(draws):
        return np.mean([judge.predict(draw) == y for draw in draws])

    def spread(draws):
        return np.mean([draws[:, y == k].reshape(-1, 64).var(axis=0).mean() for k in range(10)])

    draws = model.generate(X_unheard, "image", n_samples=10, random_state=0)

    listener = SVC(C=10).fit(sound[heard], speech.target[heard])
    means = np.array(
        [pixels[digits.train][digits.target[digits.train] == k].mean(axis=0) for k in range(10)]
    )
    nearest = pairwise_distances_argmin(sound[unheard], sound[recordings])
    ridge = RidgeCV(np.logspace(-2, 4, 7)).fit(sound[recordings], pixels[pictures])
    answers = {
        "MultimodalDBM": draws,
        "ridge regression": ridge.predict(sound[unheard])[None],
        "nearest recording's picture": pixels[pictures[nearest]][None],
        "mean of the recognised digit": means[listener.predict(sound[unheard])][None],
    }
    real = pixels[digits.test]
    real = np.mean([real[digits.target[digits.test] == k].var(axis=0).mean() for k in range(10)])
    print(f"{'':>29}  read rightly  spread")
    for name, answer in answers.items():
        print(f"{name:>29}  {right(answer):12.1%}  {spread(answer) / real:6.2f}")

# %%
# And back
# --------
#
# The same model, unchanged, gives sounds for pictures.

if speech is not None:
    seen, _ = mg.pack(modalities, image=pixels[digits.test])
    sounds = model.generate(seen, "audio", n_samples=10, random_state=0)
    agree = np.mean([listener.predict(s) == digits.target[digits.test] for s in sounds])
    print(f"heard rightly: {agree:.1%}")
