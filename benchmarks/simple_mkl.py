"""Kernel weights on five small tables: accuracy beside the mean kernel and the best single one.

    python -m benchmarks.simple_mkl [--splits 20] [--tables ...] [--out docs/results]

The protocol of Rakotomamonjy et al. (2008, section 4.2): Gaussian kernels of ten widths and
polynomials of three degrees, on all columns and on each alone, 13 (d + 1) in all, each of unit
trace; standardised columns; 70 % of the rows to learn from, C = 100, 20 random splits. Missing
values of wpbc are replaced by the median of the column. The label of the table liver is what the
literature takes for it; see :func:`mmgraph.datasets.fetch_uci_table`. The best single kernel is
chosen by its centred alignment with the labels of the training rows.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import mmgraph as mg

from ._binary import table

TABLES = ("ionosphere", "liver", "pima", "sonar", "wpbc")
WIDTHS = (0.5, 1, 2, 5, 7, 10, 12, 15, 17, 20)
KERNELS = [("rbf", {"gamma": 1 / (2 * w**2)}) for w in WIDTHS]
KERNELS += [("poly", {"degree": d, "gamma": 1.0, "coef0": 1.0}) for d in (1, 2, 3)]
SOLVERS = {
    "simple": {"tol": 0.01},
    "lp": {"p": 2.0, "tol": 0.01},
    "alignf": {},
    "align": {},
    "easy": {},
    "mean": {},
}


def rows(name):
    """All columns, and each again as a modality of its own; the classes."""
    data = mg.datasets.fetch_uci_table(name, verbose=False)
    X = data.data[:, np.nanstd(data.data, axis=0) > 0]
    columns = {f"column{j}": X[:, [j]] for j in range(X.shape[1])}
    packed, modalities = mg.pack(all=X, **columns)
    return packed, modalities, data.target


def measure(model, train, test):
    """Accuracy, number of kernels in use and CPU-seconds of a fit."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*train)
    return {
        "accuracy": model.score(*test),
        "kernels": int(np.sum(model.kernel_weights_ > 1e-6)),
        "CPU-s": time.process_time() - start,
    }


def run(tables, n_splits):
    """One record a table, split and solver."""
    results = []
    for name in tables:
        X, modalities, y = rows(name)
        splits = StratifiedShuffleSplit(n_splits, train_size=0.7, random_state=0)
        for split, (train, test) in enumerate(splits.split(X, y)):
            scale = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
            rows_ = {"train": scale.fit_transform(X[train]), "test": scale.transform(X[test])}
            parts = (rows_["train"], y[train]), (rows_["test"], y[test])
            for solver, params in SOLVERS.items():
                model = mg.MKLClassifier(
                    KERNELS,
                    solver=solver,
                    solver_params=params,
                    C=100.0,
                    normalize="trace",
                    center=False,
                    probability=False,
                    modalities=modalities,
                )
                found = measure(model, *parts)
                results.append({"table": name, "split": split, "solver": solver, **found})
                if solver == "mean":
                    best = _best_single(model, *parts[0])
                    model.set_params(kernels=best[1], modalities=best[0])
                    columns = best[2]
                    found = measure(
                        model,
                        (parts[0][0][:, columns], y[train]),
                        (parts[1][0][:, columns], y[test]),
                    )
                    results.append({"table": name, "split": split, "solver": "single", **found})
        for solver in (*SOLVERS, "single"):
            own = [r for r in results if (r["table"], r["solver"]) == (name, solver)]
            mean = {k: round(float(np.mean([r[k] for r in own])), 3) for k in found}
            print(name, solver, json.dumps(mean), flush=True)
    return results


def _best_single(model, X, y):
    """Modality, kernel and columns of the kernel that is best aligned with the classes."""
    y = 2.0 * y - 1
    forms, moments = model.bank_.alignments((y - y.mean())[:, None])
    place = int(np.argmax(forms[:, 0] / np.sqrt(np.maximum(np.diag(moments), 1e-300))))
    modality, kernel = model.kernels_[place]
    columns = model.layout_.columns[modality]
    return {modality: slice(None)}, [(kernel.name, dict(kernel.params))], columns


def report(results):
    """Mean and standard deviation of the accuracy in percent, and kernels in use."""
    names = {name: name for name in dict.fromkeys(r["table"] for r in results)}
    labels = {**{f"``{s}``": s for s in SOLVERS if s != "mean"}}
    labels |= {"equal weights": "mean", "best single kernel": "single"}

    def values(solver, name):
        own = [r for r in results if (r["table"], r["solver"]) == (name, solver)]
        return [[100 * r["accuracy"], r["kernels"]] for r in own]

    def write(found):
        accuracy, kernels = found.T
        return f"{accuracy.mean():.1f} ± {accuracy.std():.1f} ({kernels.mean():.1f})"

    return table("accuracy, % (kernels in use)", names, labels, values, write)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    with threadpool_limits(1):
        results = run(options.tables, options.splits)
    print(report(results))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "simple_mkl.rst").write_text(report(results), encoding="utf-8")
        (options.out / "simple_mkl.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
