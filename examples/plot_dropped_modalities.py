"""
Which fusion survives missing modalities?
=========================================

A classifier of several modalities can see all columns together (early fusion), or judge each
modality by itself and combine the verdicts (late fusion), or do both. Which of them still answers
well when modalities are absent, in training and at test?
"""

# %%
# Four quarters of pictures of handwritten digits stand for four modalities. From the training rows,
# 30 % of the quarters are taken away at random.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.linear_model import LogisticRegression

import mmgraph as mg
from mmgraph.plotting import DroppedModalitiesDisplay

digits = mg.datasets.load_digit_captions()
pictures = digits.image.reshape(-1, 8, 8)
halves = {"top": pictures[:, :4], "bottom": pictures[:, 4:]}
X, modalities = mg.pack(
    **{f"{name} left": half[:, :, :4] for name, half in halves.items()},
    **{f"{name} right": half[:, :, 4:] for name, half in halves.items()},
)
train, test, y = digits.train, digits.test, digits.target

rng = np.random.default_rng(0)
gaps = X[train].copy()
for columns in modalities.values():
    gaps[rng.random(len(train)) < 0.3, columns] = np.nan

# %%
# All methods are made of the same logistic regression. Early fusion puts means in the gaps, or lets
# a model of all quarters fill them in.

linear = LogisticRegression(max_iter=1000)
factors = mg.RBM(
    32, units="gaussian", max_iter=15, n_mean_chains=2, sampling_sweeps=5, random_state=0
)
methods = {
    "early, means": mg.EarlyFusionClassifier(linear, modalities=modalities),
    "early, imputed by an RBM": mg.EarlyFusionClassifier(
        linear, imputer=factors, modalities=modalities
    ),
    "late, product rule": mg.LateFusionClassifier(linear, combine="product", modalities=modalities),
    "late, weighted": mg.LateFusionClassifier(linear, modalities=modalities),
    "hybrid": mg.HybridFusionClassifier(
        linear, early=mg.EarlyFusionClassifier(linear), modalities=modalities
    ),
}
for method in methods.values():
    method.fit(gaps, y[train])

# %%
# Now drop ever more quarters of the test pictures. With everything there, early fusion is best by a
# little: it sees how the quarters go together. As quarters are dropped, what is put in the gaps
# misleads it, the means as well as what this small RBM makes of the rest. Late fusion leaves the
# vote out. The hybrid learns how much to trust each, for every set of quarters that a row may show.

display = DroppedModalitiesDisplay.from_estimator(
    methods, X[test], y[test], n_repeats=3, random_state=0
)
display.ax_.set(ylabel="accuracy", title="digits of which quarters are dropped")
plt.show()

# %%
# How much does it trust each quarter, and the classifier of all columns, when a row shows all of
# them?

for name, weight in methods["hybrid"].weights_.items():
    print(f"{name:>12}: {weight:.2f}")

# %%
# Is it sure with reason? Here 30 % of the quarters of the test rows are dropped. The product rule
# and the weighted pool classify about as well, but the rule takes the quarters for independent
# given the digit, which they are not, and is the surer of the two.

rows = X[test].copy()
for columns in modalities.values():
    rows[rng.random(len(test)) < 0.3, columns] = np.nan
figure, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
for name in ("late, product rule", "late, weighted"):
    sure = methods[name].predict_proba(rows).max(axis=1)
    right = methods[name].predict(rows) == y[test]
    CalibrationDisplay.from_predictions(
        right, sure, n_bins=5, strategy="quantile", name=name, ax=ax
    )
ax.set(xlabel="probability of the predicted digit", ylabel="share of right predictions")
plt.show()
