"""
One half from the other, with error bars
========================================

What does the left half of a digit say about its right half? Probabilistic canonical correlation
analysis answers with a normal distribution: an expected picture, how far it may be off, pixel by
pixel, and as many draws as one likes.
"""

# %%
# Digits of 8 x 8 pixels, cut down the middle. Two modalities of 32 columns each.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg

digits = mg.datasets.load_digit_captions()
pictures = digits.image.reshape(-1, 8, 8)
X, modalities = mg.pack(left=pictures[:, :, :4], right=pictures[:, :, 4:])
train, test = X[digits.train], X[digits.test]
right = test[:, modalities["right"]]

# %%
# How many factors do the halves share? The fit asks rows that were held out, and takes the fewest
# that are about as good as any.

model = mg.ProbabilisticCCA("auto", modalities=modalities, random_state=0).fit(train)

figure, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
scores = model.component_scores_
ax.plot(list(scores), list(scores.values()), ".-", color="#3f90da")
ax.axvline(model.n_components_, color="#717581", linestyle=":")
ax.set(xlabel="factors", ylabel="nats a held-out row")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The distribution of the right half given the left one. A 90 % interval should hold the true pixel
# nine times in ten.

found = model.conditional(test, "right")
low, high = found.interval(0.9)
covered = np.mean((low <= right) & (right <= high))
varies = right.std(axis=0) > 0
errors = np.sum((found.mean - right) ** 2, axis=0)[varies]
r2 = 1 - errors / np.sum((right - train[:, modalities["right"]].mean(axis=0)) ** 2, axis=0)[varies]
print(f"{model.n_components_} factors; the intervals hold {covered:.1%} of the pixels")
print(f"R2 of a pixel: {np.median(r2):.2f} (median), {r2.max():.2f} (best)")

# %%
# Pictures
# --------
#
# Truth, the half that is shown, the expected picture, its standard deviation, and two draws. The
# deviation is the same for all digits: a normal distribution knows where pixels are uncertain, not
# for which digit. The draws are grainy where the noise is, but they keep to strokes in which pixels
# move together.

rows = [np.flatnonzero(digits.target[digits.test] == k)[0] for k in range(8)]
draws = model.generate(test[rows], "right", n_samples=2, random_state=0)
left = test[rows][:, modalities["left"]].reshape(-1, 8, 4)


def joined(halves):
    return np.concatenate([left, np.reshape(halves, (-1, 8, 4))], axis=2)


lines = {
    "true": joined(right[rows]),
    "shown": joined(np.full((8, 32), np.nan)),
    "expected": joined(found.mean[rows]),
    "deviation": joined(found.std[rows]) * np.r_[np.full(4, np.nan), np.ones(4)],
    "draw": joined(draws[0]),
    "another": joined(draws[1]),
}
figure, axes = plt.subplots(len(lines), 8, figsize=(7, 5.6), layout="constrained")
for line, (name, block) in zip(axes, lines.items(), strict=True):
    top = np.nanmax(block) if name == "deviation" else 1
    for ax, picture in zip(line, block, strict=True):
        ax.imshow(picture, "gray_r", vmin=0, vmax=top)
        ax.axvline(3.5, color="#3f90da", linewidth=0.8)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name)
plt.show()

# %%
# One row of pixels
# -----------------
#
# The fifth row of the same digits: the shown pixels, the true ones, and the intervals.

figure, axes = plt.subplots(2, 4, figsize=(8, 3.4), layout="constrained", sharex=True, sharey=True)
for ax, row in zip(axes.flat, rows, strict=True):
    here = slice(16, 20)
    ax.plot(range(8), np.r_[test[row, modalities["left"]][here], right[row, here]], ".-", c="k")
    ax.errorbar(
        range(4, 8),
        found.mean[row, here],
        [found.mean[row, here] - low[row, here], high[row, here] - found.mean[row, here]],
        fmt="o",
        markersize=4,
        capsize=3,
        color="#3f90da",
    )
    ax.set_title(f"a {digits.target[digits.test][row]}", fontsize="medium")
    ax.axvline(3.5, color="#94a4a2", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
figure.supxlabel("column of pixels")
plt.show()
