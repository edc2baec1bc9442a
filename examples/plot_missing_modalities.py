"""
Missing modalities: at fit and at test
======================================

Real collections have holes: pictures without captions, captions without pictures. Must incomplete
rows be thrown away? A joint model learns from what each row shows, and fills in the rest. And when
a new row lacks what a classifier was trained with, the model infers it, which beats putting zeros.
"""

# %%
# Hide 30 % of all pictures and captions of the training rows: three rows in five are then
# incomplete. An absent modality is NaN in all its columns.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import mmgraph as mg
from mmgraph.engine.units import Binomial
from mmgraph.plotting import JointSpaceDisplay

# Chains that each keep to one digit do no harm to completing rows.
warnings.simplefilter("ignore", ConvergenceWarning)

digits = mg.datasets.load_digit_captions()
X, modalities = mg.pack(image=digits.image * 16, text=digits.counts)
train, test = digits.train[::4], digits.test

rows = np.random.default_rng(0).permutation(train)
n = round(0.3 * len(rows))
X_holes = X.copy()
X_holes[rows[:n], modalities["image"]] = np.nan
X_holes[rows[n : 2 * n], modalities["text"]] = np.nan
complete = rows[2 * n :]
print(f"{len(train)} training rows, {len(complete)} of them complete")

# %%
# One model learns from all rows as they are, another from the complete ones only, a third from all
# rows without holes, which is the best one could hope for. `fit` needs no option for this.


def fit(X):
    return mg.MultimodalDBM(
        hidden=(),  # pictures and words meet in the joint layer itself
        joint=128,
        units={"image": Binomial(16), "text": "replicated_softmax"},
        modalities=modalities,
        max_iter=3000 * 10 // len(X),  # as many gradient steps for all
        batch_size=10,
        random_state=0,
    ).fit(X)


models = {
    "complete rows only": fit(X_holes[complete]),
    "all rows, with holes": fit(X_holes[train]),
    "all rows, no holes": fit(X[train]),
}

# %%
# How well does each predict one modality of unseen rows from the other?


def errors(model):
    words = model.generate(X[test], "text")
    pictures = model.generate(X[test], "image")
    return (
        np.mean(words[:, :10].argmax(axis=1) != digits.target[test]),
        np.sqrt(np.mean((pictures - X[test][:, modalities["image"]]) ** 2)),
    )


scores = {name: errors(model) for name, model in models.items()}
for name, (wrong, error) in scores.items():
    print(f"{name:>21}: {wrong:6.1%} digits named wrongly, {error:.2f} cells of 16 off")

figure, axes = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained", sharey=True)
for ax, values, title in zip(
    axes,
    np.transpose(list(scores.values())) * [[100], [1]],
    ["picture to words: wrong digits, %", "words to picture: error, cells of 16"],
    strict=True,
):
    bars = ax.barh(list(scores), values, color=["#94a4a2", "#3f90da", "#717581"])
    ax.bar_label(bars, fmt="%.2g", padding=3)
    ax.set_title(title, fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0.15)
plt.show()

# %%
# Filling the holes
# -----------------
#
# `impute` puts the conditional mean where something is missing and keeps what is there; `sample`
# with `given=` puts draws instead. Here are training rows whose picture is missing: the true one,
# which the model has never seen, the imputed one, and two draws.

model = models["all rows, with holes"]
holes = rows[:8]
pictures = [X[holes], model.impute(X_holes[holes])]
pictures += list(model.sample(2, given=X_holes[holes], random_state=0))

figure, axes = plt.subplots(4, 8, figsize=(8, 4.4), layout="constrained")
names = ["true", "imputed", "draw", "draw"]
for line, name, block in zip(axes, names, pictures, strict=True):
    for ax, x in zip(line, block[:, modalities["image"]], strict=True):
        ax.imshow(x.reshape(8, 8), "gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name)
for ax, row in zip(axes[0], holes, strict=True):
    ax.set_title(digits.captions[row].split(": ")[1].replace(" leaning", "\nleaning"), fontsize=7)
plt.show()

# %%
# At test
# -------
#
# Train a classifier of the digits on the joint representation of complete rows, then show it rows
# that lack a modality. A network would be given zeros in its place, which say "an empty picture" or
# "no words". The machine needs nothing in its place: `transform` infers the joint layer from what
# is there.

model = models["all rows, no holes"]
classifier = LogisticRegression(max_iter=1000).fit(model.transform(X[train]), digits.target[train])


def accuracy(rows):
    return 100 * classifier.score(model.transform(rows), digits.target[test])


accuracies = {"picture and words": {"all there": accuracy(X[test])}}
for shown, absent in (("picture", "text"), ("words", "image")):
    rows = X[test].copy()
    rows[:, modalities[absent]] = np.nan
    accuracies[f"{shown} only"] = {
        "zeros": accuracy(np.nan_to_num(rows)),
        "inferred": accuracy(rows),
    }
labels = [(query, way) for query, ways in accuracies.items() for way in ways]
values = [accuracies[query][way] for query, way in labels]
colors = {"all there": "#717581", "zeros": "#94a4a2", "inferred": "#3f90da"}

figure, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
names = [f"{query}: {way}" for query, way in labels]
bars = ax.barh(names[::-1], values[::-1], color=[colors[way] for _, way in labels[::-1]])
ax.bar_label(bars, fmt="%.0f", padding=3)
ax.set_title("digits classified rightly from the joint representation, %", fontsize="medium")
ax.spines[["top", "right"]].set_visible(False)
ax.margins(x=0.08)
plt.show()

# %%
# Zeroed words harm little here, since a picture of an 8 x 8 digit tells enough. A zeroed picture is
# read as a very pale one, and overrules the caption that names the digit; an absent one does not.
#
# The reason is where rows lie in the joint representation: about the same place, whatever they
# show, a picture alone, a caption alone, or both.

JointSpaceDisplay.from_estimator(
    model, X[test], digits.target[test], target_names=digits.target_names
)
plt.show()
