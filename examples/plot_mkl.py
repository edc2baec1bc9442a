"""
Which quarters of a picture tell the digit?
===========================================

A kernel for each modality, or several of different widths, and a weight for each: multiple-kernel
learning makes one machine of all modalities, and its weights say which of them it needs.
"""

# %%
# Four quarters of pictures of handwritten digits stand for four modalities. A fifth is noise, and a
# sixth a noisy copy of the first.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg
from mmgraph.plotting import (
    AlignmentMatrixDisplay,
    DroppedModalitiesDisplay,
    KernelWeightsDisplay,
    ReliabilityDisplay,
)

rng = np.random.default_rng(0)
digits = mg.datasets.load_digit_captions()
pictures, y = digits.image.reshape(-1, 8, 8), digits.target
X, modalities = mg.pack(
    **{
        f"{side} {half}": pictures[:, rows][:, :, columns]
        for side, rows in (("top", slice(0, 4)), ("bottom", slice(4, 8)))
        for half, columns in (("left", slice(0, 4)), ("right", slice(4, 8)))
    },
    noise=rng.random((len(y), 16)),
    copy=pictures[:, :4, :4] + 0.3 * rng.normal(size=(len(y), 4, 4)),
)
train, test = digits.train[:500], digits.test

# %%
# Each modality has five radial kernels about the median distance of its rows. The default solver
# looks for the combination that is best aligned with the classes; the noise has no weight.

mkl = mg.MKLClassifier(modalities=modalities).fit(X[train], y[train])
KernelWeightsDisplay.from_estimator(mkl)
print(f"accuracy {mkl.score(X[test], y[test]):.3f}")

# %%
# The alignments behind it: neighbouring widths say nearly the same, the copy says what the first
# quarter does, and the last row is what each kernel alone has to do with the classes.

AlignmentMatrixDisplay.from_estimator(mkl)

# %%
# Equal weights are the baseline that any learnt combination has to beat, and here, with little
# noise, it does not: cross-validation says so, with weights found in each fold anew.

for name, scores in mkl.baseline_scores(X[train], y[train]).items():
    print(f"{name:>7}: {scores.mean():.3f} ± {scores.std() / np.sqrt(len(scores)):.3f}")

# %%
# A row may lack modalities: their kernels leave it out, and the others are scaled up. Learnt and
# equal weights lose alike.

equal = mg.MKLClassifier(solver="mean", modalities=modalities).fit(X[train], y[train])
methods = {"learnt weights": mkl, "equal weights": equal}
DroppedModalitiesDisplay.from_estimator(methods, X[test], y[test], random_state=0)

# %%
# Probabilities are calibrated on held-out training rows, which are complete here. Rows that lack
# half of their modalities are answered with less certainty, though by some points still with too
# much. The area of a point is its share of the rows.

half = X[test].copy()
for columns in modalities.values():
    half[rng.random(len(test)) < 0.5, columns] = np.nan
_, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
for ax, rows, title in zip(axes, (X[test], half), ("complete rows", "half dropped"), strict=True):
    ReliabilityDisplay.from_estimator(methods, rows, y[test], ax=ax)
    ax.set_title(title)
plt.show()
