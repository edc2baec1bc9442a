"""
Which genes go with which laboratory values
===========================================

Rats were given a small or a large dose of a drug that harms the liver. Their genes and their blood
were measured. Which genes go together with which laboratory values, and can so few of 3,116 be
named from 64 rats?
"""

# %%
# The data set is liver.toxicity of the R package mixOmics. It is not downloaded: the page of
# :func:`~mmgraph.datasets.load_liver_toxicity` says how to make the file.

import numpy as np

import mmgraph as mg
from mmgraph.plotting import CorrelationCircleDisplay, ScoresDisplay

try:
    rats = mg.datasets.load_liver_toxicity(as_frame=True)
except OSError as error:
    rats = None
    print(f"Nothing is shown: the data are not here ({error})")

# %%
# A ``SparseCCA`` looks for few genes whose weighted sum goes with that of few laboratory values.
# How few is chosen by cross-validation, rats of all doses in each fold.

if rats is not None:
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    X = rats.frame
    penalties = [{"gene": g, "clinic": 0.6} for g in (0.05, 0.1, 0.2, 0.4)]
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, rats.target))
    search = GridSearchCV(mg.SparseCCA(n_components=2), {"penalty": penalties}, cv=folds).fit(X)
    for penalty, score in zip(penalties, search.cv_results_["mean_test_score"], strict=True):
        print(f"penalty of genes {penalty['gene']:<5} held-out correlations sum to {score:.2f}")

# %%
# Two components are left, of few genes each.

if rats is not None:
    model = search.best_estimator_
    for k in range(2):
        n_genes, n_values = ((model.vectors_[m][:, k] != 0).sum() for m in ("gene", "clinic"))
        r = model.canonical_correlations_[k]
        print(f"component {k + 1}: {n_genes} genes, {n_values} laboratory values, r = {r:.2f}")

# %%
# The correlation circle shows what they are. ALT and AST leave dying liver cells, and they point
# where the first component does, along with the genes named beside them. Values and genes that lie
# in one direction rise together; those on opposite sides go against each other.

if rats is not None:
    CorrelationCircleDisplay.from_estimator(model, n_labels=8)

# %%
# Each rat is seen twice, by its genes and by its blood. Links are short where the two agree. Many
# rats with high doses stand apart, not all: they were looked at after 6 to 48 hours.

if rats is not None:
    doses = [f"{dose} mg/kg" for dose in rats.target_names]
    ScoresDisplay.from_estimator(model, X, rats.target, target_names=doses)

# %%
# Is this more than chance? With 3,116 columns and 64 rows two sums that go together can always be
# found. The test compares a ``CCA`` with shrinkage to those of shuffled rats.

if rats is not None:
    scaled = (X - X.mean()) / X.std()
    cca = mg.CCA(n_components=3, shrinkage="cv").fit(scaled)
    test = cca.permutation_test(scaled, 499, random_state=0)
    print("shrinkage", {name: round(s, 3) for name, s in cca.shrinkage_.items()})
    print("p-values", np.round(test.p_values, 3))
