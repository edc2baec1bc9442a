"""Accuracy of fused classifiers as views are dropped, in training and at test.

    python -m benchmarks.dropped_views [--seeds 3] [--methods NAME ...] [--out docs/results]

Each of the six views of the multiple-features digits is dropped from each row with the same
probability, in the 1,000 training and the 1,000 test rows alike. *best single present view*: of the
views that a test row shows, the classifier of the one that is best on held-out training rows. A row
that shows nothing is answered by the most frequent class, by all methods but scikit-learn's, which
cannot be fitted to rows with gaps at all: there, gaps are filled with means first.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mmgraph as mg

from ._report import keep, list_table, load, save, spread

VIEWS = ("fac", "fou", "kar", "pix", "zer", "mor")
RATES = (0.0, 0.2, 0.4, 0.6, 0.8)


def linear():
    """The classifier that all methods are made of."""
    return make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))


# Methods: from the layout, an estimator -----------------------------------------------------------


def late(modalities, combine="weighted"):
    return mg.LateFusionClassifier(linear(), combine=combine, modalities=modalities)


def early(modalities, imputer="mean"):
    return mg.EarlyFusionClassifier(linear(), imputer=imputer, modalities=modalities)


def hybrid(modalities, imputer="mean"):
    return mg.HybridFusionClassifier(linear(), early=early(None, imputer), modalities=modalities)


def joint_gaussian():
    """What fills in absent views from those that are there."""
    return mg.ProbabilisticCCA(40, max_iter=50, tol=1e-3)


def stacking(modalities):
    """scikit-learn's: a logistic regression of the out-of-fold posteriors of one a view."""
    members = [
        (view, make_pipeline(ColumnTransformer([(view, "passthrough", columns)]), linear()))
        for view, columns in modalities.items()
    ]
    return StackingClassifier(members, LogisticRegression(max_iter=1000))


def kernels(modalities):
    """Five radial kernels a view of standardised columns, weights by the default solver."""
    return make_pipeline(StandardScaler(), mg.MKLClassifier(modalities=modalities))


METHODS = {
    "late, weighted": late,
    "late, product": lambda modalities: late(modalities, "product"),
    "late, stacked": lambda modalities: late(modalities, "stacked"),
    "early, means": early,
    "early, imputed": lambda modalities: early(modalities, joint_gaussian()),
    "hybrid": hybrid,
    "hybrid, imputed": lambda modalities: hybrid(modalities, joint_gaussian()),
    "MKL": kernels,
    "scikit-learn's stacking": stacking,
    "scikit-learn's stacking, means": lambda modalities: make_pipeline(
        SimpleImputer(keep_empty_features=True), stacking(modalities)
    ),
}
SINGLE = "best single present view"


# Runs ---------------------------------------------------------------------------------------------


def drop(X, modalities, rate, rng):
    """X with views set to NaN, each in each row with some probability."""
    X = X.copy()
    for columns in modalities.values():
        X[rng.random(len(X)) < rate, columns] = np.nan
    return X


def best_single(fusion, X, y, modalities):
    """Accuracy of the view that is best on held-out training rows, of those that a row shows."""
    order = sorted(modalities, key=fusion.held_out_losses_.get, reverse=True)
    predicted = np.full(len(X), fusion.classes_[fusion.class_prior_.argmax()])
    for view in order:
        block = X[:, modalities[view]]
        shown = ~np.isnan(block[:, 0])
        if shown.any():
            predicted[shown] = fusion.estimators_[view].predict(block[shown])
    return float(np.mean(predicted == y))


def run(method, rate, seed, *, validation=False):
    """Accuracy and CPU time of one method, and with late fusion of the best single view."""
    data = mg.datasets.fetch_multiple_features()
    X, modalities = mg.pack(**{view: data[view] for view in VIEWS})
    train, test = data.train, data.test
    if validation:
        rows = np.random.default_rng(0).permutation(train)
        train, test = rows[:700], rows[700:]
    rng = np.random.default_rng(seed)
    rows, new = drop(X[train], modalities, rate, rng), drop(X[test], modalities, rate, rng)
    y, truth = data.target[train], data.target[test]
    start = time.process_time()
    try:
        model = METHODS[method](modalities).fit(rows, y)
    except ValueError as error:
        if "contains NaN" not in str(error):
            raise
        return {method: None, "seconds": 0.0}
    found = {method: model.score(new, truth), "seconds": time.process_time() - start}
    if method == "late, weighted":
        found[SINGLE] = best_single(model, new, truth, modalities)
    return found


def report(results):
    """Mean ± standard deviation over the seeds, by method and share of views dropped."""
    rows = [["views dropped", *(f"{rate:.0%}" for rate in RATES), "CPU-s, none dropped"]]
    for method in [SINGLE, *METHODS]:
        runs = [
            [f for key, f in results.items() if key.split("/")[1] == str(rate) and method in f]
            for rate in RATES
        ]
        if not any(runs):
            continue
        rows.append([method])
        for found in runs:
            values = [f[method] for f in found]
            rows[-1].append("refuses" if None in values else spread(values))
        seconds = [f["seconds"] for f in runs[0] if method != SINGLE]
        rows[-1].append(f"{np.mean(seconds):.1f}" if seconds else "")
    return list_table(rows)


def main(argv=None):
    """Run the command line; a file of results is gone on with."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep the runs of the file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = load(options.out, "dropped_views", {}) if options.resume else {}
    for seed in range(options.seeds):
        for method in options.methods:
            for rate in RATES:
                key = f"{method}/{rate}/{seed}"
                if key in results:
                    continue
                results[key] = run(method, rate, seed, validation=options.validation)
                print(key, results[key], flush=True)
                keep(options.out, "dropped_views", results)
    save(options.out, "dropped_views", report(results), results)


if __name__ == "__main__":
    main()
