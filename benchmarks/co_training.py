"""Few labels: co-training beside supervised learning and self-training.

    python -m benchmarks.co_training [--seeds 10] [--labels 50 100] [--out docs/results]

Of the 1,000 training rows of the multiple-features data, drawn at random, some keep their labels.
Every method has the same rows, and the 1,000 test rows are used once.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import mmgraph as mg

from ._report import list_table, save, spread

VIEWS = ("fac", "fou", "kar", "pix", "zer", "mor")


def linear():
    """The classifier that all methods are made of."""
    return make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))


def run(labels, seed):
    """Accuracy of each method, and the rounds that co-training kept."""
    data = mg.datasets.fetch_multiple_features()
    X, modalities = mg.pack(**{view: data[view] for view in VIEWS})
    rows = np.random.default_rng(seed).permutation(data.train)
    known, y = rows[:labels], data.target[rows].copy()
    y[labels:] = -1
    test, truth = X[data.test], data.target[data.test]
    found = {"supervised, all columns": linear().fit(X[known], y[:labels]).score(test, truth)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        training = SelfTrainingClassifier(linear()).fit(X[rows], y)
    found["self-training, all columns"] = training.score(test, truth)
    model = mg.CoTraining(linear(), modalities=modalities).fit(X[rows], y)
    found["CoTraining"] = model.score(test, truth)
    without = mg.CoTraining(linear(), n_rounds=0, modalities=modalities).fit(X[known], y[:labels])
    found["supervised, product of the views"] = without.score(test, truth)
    return {**found, "rounds": model.n_rounds_}


def report(results):
    """Mean ± standard deviation over the seeds, and the difference to co-training."""
    lead = "CoTraining's lead ± its standard error"
    rows = [["labels", "seeds", "method", "accuracy", lead, "smallest lead"]]
    for labels, runs in results.items():
        own = np.array([found["CoTraining"] for found in runs])
        for method in runs[0]:
            if method == "rounds":
                continue
            values = np.array([found[method] for found in runs])
            lead = own - values
            error = lead.std(ddof=1) / np.sqrt(len(lead)) if len(lead) > 1 else np.nan
            beside = [f"{lead.mean():+.3f} ± {error:.3f}", f"{lead.min():+.3f}"]
            beside = beside if method != "CoTraining" else ["", ""]
            rows.append([labels, len(runs), method, spread(values), *beside])
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = {}
    for labels in options.labels:
        results[labels] = []
        for seed in range(options.seeds):
            results[labels].append(run(labels, seed))
            print(labels, seed, results[labels][-1], flush=True)
    save(options.out, "co_training", report(results), results)


if __name__ == "__main__":
    main()
