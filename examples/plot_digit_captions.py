"""
Words for pictures, pictures for words
======================================

Can one model both caption a picture and draw what a caption says? A multimodal deep Boltzmann
machine learns the joint distribution of handwritten digits and their captions. Hide the words, and
it writes them; hide the picture, and it draws it.
"""

# %%
# Each row of the data is a picture of 8 x 8 pixels, which count 16 black or white cells each, and
# the words of its caption. Both stand side by side in one array; `modalities` says which columns
# are whose.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg
from mmgraph.engine.units import Binomial
from mmgraph.plotting import GenerationDisplay

# Chains that each keep to one digit do no harm to completing rows.
warnings.simplefilter("ignore", ConvergenceWarning)

digits = mg.datasets.load_digit_captions()
X, modalities = mg.pack(image=digits.image * 16, text=digits.counts)
train, test = digits.train, digits.test
print(X.shape, modalities)

dbm = mg.MultimodalDBM(
    hidden={"image": (128,), "text": ()},
    joint=128,
    units={"image": Binomial(16), "text": "replicated_softmax"},
    modalities=modalities,
    max_iter=60,
    random_state=0,
).fit(X[train])

# %%
# From picture to words
# ---------------------
#
# What a row holds of the target is hidden before anything is inferred. The expected counts are what
# to predict with; draws show how captions vary.

shown = test[[np.flatnonzero(digits.target[test] == k)[2] for k in range(8)]]
GenerationDisplay.from_estimator(
    dbm, X[shown], "text", n_draws=4, image_shape=(8, 8), vocabulary=digits.vocabulary
)
plt.show()

# %%
# The digit that the expected caption names is nearly always right:

words = dbm.generate(X[test], "text")
named = words[:, :10].argmax(axis=1)
print(f"right digit: {np.mean(named == digits.target[test]):.1%}")

# %%
# From words to picture
# ---------------------
#
# A caption leaves much open, and so the draws differ. The expected picture is their blurred mean.

captions = [digits.captions[row] for row in shown]
GenerationDisplay.from_estimator(
    dbm, X[shown], "image", n_draws=6, image_shape=(8, 8), given_labels=captions
)
plt.show()

# %%
# How sure is it?
# ---------------
#
# Draws are answers to "what else could it be?". Here are captions that nobody wrote, and for each
# the spread of 200 draws: pixels that the caption settles are dark, the others bright.

wanted = ["one", "one thick", "one thin", "seven leaning right", "seven leaning left"]
counts = np.zeros((len(wanted), len(digits.vocabulary)))
for row, text in zip(counts, wanted, strict=True):
    name, *style = text.split()
    row[[digits.vocabulary.index(word) for word in style]] = 1
    row[digits.vocabulary.index(name)] = 2  # captions name the digit twice
asked, _ = mg.pack(modalities, text=counts)
draws = dbm.generate(asked, "image", n_samples=200, random_state=0)

figure, axes = plt.subplots(2, len(wanted), figsize=(8, 3.6), layout="constrained")
for column, text in enumerate(wanted):
    mean = axes[0, column].imshow(draws[:, column].mean(axis=0).reshape(8, 8), "gray_r", vmin=0)
    spread = axes[1, column].imshow(
        draws[:, column].std(axis=0).reshape(8, 8), "cividis", vmin=0, vmax=8
    )
    axes[0, column].set_title(text.replace(" leaning", "\nleaning"), fontsize="medium")
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("mean")
axes[1, 0].set_ylabel("standard deviation")
figure.colorbar(spread, ax=axes[1], label="cells of 16")
plt.show()

# %%
# The same for words. These are the test pictures whose digit the model is least sure of: its draws
# disagree, and the expected caption names no digit clearly.

share = words[:, :10] / words[:, :10].sum(axis=1, keepdims=True)
doubtful = test[np.argsort(share.max(axis=1))[:4]]
GenerationDisplay.from_estimator(
    dbm, X[doubtful], "text", n_draws=3, image_shape=(8, 8), vocabulary=digits.vocabulary
)
plt.show()
