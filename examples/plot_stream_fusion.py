"""
Two streams under noise
=======================

One of two sensors becomes noisy. How much should it still count?
"""

# %%
# The sequences are made up: ten classes, each a random curve in four dimensions. Two sensors see
# it, each in two of the dimensions, and the second one less sharply. The first will meet noise that
# was not there when the models learnt.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg

rng = np.random.default_rng(0)
N_CLASSES, LENGTH = 10, 24
curves = rng.normal(size=(N_CLASSES, 4, 4)) @ [np.cos(np.arange(LENGTH) * k / 6) for k in range(4)]


def sequences(n, noise):
    y = np.arange(n) % N_CLASSES
    frames = curves[y].transpose(0, 2, 1) + rng.normal(size=(n, LENGTH, 4)) * [1, 1, 2.5, 2.5]
    frames[:, :, :2] += noise * rng.normal(size=(n, LENGTH, 2))
    X, modalities = mg.pack(
        near=frames[:, :, :2].reshape(-1, 2),
        far=frames[:, :, 2:].reshape(-1, 2),
        sequence=np.repeat(np.arange(n), LENGTH),
    )
    return X, y.repeat(LENGTH), modalities


X, y, modalities = sequences(200, 0)
hmm = mg.MultiStreamHMM(6, topology="left-right", max_iter=10)
classifier = mg.HMMClassifier(hmm, sequence=0, modalities=modalities).fit(X, y)

# %%
# Equal weights trust a sensor that has gone mad. Weights that are tuned on sequences with the same
# noise do not.

LEVELS = np.array([0, 1, 2, 4, 8, 16])
WEIGHTS = {
    "near alone": {"near": 1, "far": 0},
    "far alone": {"near": 0, "far": 1},
    "equal weights": {"near": 1, "far": 1},
}
accuracy = {name: [] for name in (*WEIGHTS, "tuned weights")}
for level in LEVELS:
    tuning, test = sequences(100, level)[:2], sequences(300, level)[:2]
    for name, weights in WEIGHTS.items():
        classifier.stream_weights_ = weights
        accuracy[name].append(classifier.score_sequences(*test))
    accuracy["tuned weights"].append(classifier.tune(*tuning).score_sequences(*test))

# %%
# As its noise grows, the near sensor alone falls to chance, and takes equal weights along. Tuned
# weights are better than either sensor where both tell something, and then fall back to the other.

_, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
signal = curves[:, :2].std()
decibels = [20 * np.log10(signal / level) if level else 20 for level in LEVELS]
styles = [":", "--", "-", "-"]
for (name, values), style in zip(accuracy.items(), styles, strict=True):
    ax.plot(decibels, values, style, marker="o", markersize=4, label=name)
ax.invert_xaxis()
ax.set_xticks(decibels, ["no noise", *(f"{d:.0f}" for d in decibels[1:])])
ax.set(xlabel="signal to noise of the near sensor, dB", ylabel="share of sequences named rightly")
ax.legend(frameon=False, loc="lower left")
plt.show()
