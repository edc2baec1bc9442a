"""Kernel weights on five small tables: accuracy beside the mean kernel and the best single one.

    python -m benchmarks.simple_mkl [--splits 20] [--tables ...] [--solvers ...] [--out DIRECTORY]

The protocol of Rakotomamonjy et al. (2008, section 4.2): Gaussian kernels of ten widths and
polynomials of three degrees, on all columns and on each alone, 13 (d + 1) in all, each of unit
trace; standardised columns; 70 % of the rows to learn from, C = 100, 20 random splits. Missing
values of wpbc are replaced by the median of the column. The label of the table liver is what the
literature takes for it; see :func:`mmgraph.datasets.fetch_uci_table`. The best single kernel is
chosen by its centred alignment with the labels of the training rows. ``alignf 0`` is ``alignf``
without its penalty.

Two more columns are of ionosphere with ten kernels of all columns, all settings default, ten
splits: seven of the widths and the three degrees, whose sizes differ; and radial kernels whose
exponents are the powers of two from 1/32 to 16 over twice the number of columns, about the median
distance.
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

from ._report import list_table, load, save, spread

WIDTHS = (0.5, 1, 2, 5, 7, 10, 12, 15, 17, 20)
KERNELS = [("rbf", {"gamma": 1 / (2 * w**2)}) for w in WIDTHS]
KERNELS += [("poly", {"degree": d, "gamma": 1.0, "coef0": 1.0}) for d in (1, 2, 3)]
TEN = {
    "ionosphere, ten kernels": lambda d: [*KERNELS[:7], *KERNELS[10:]],
    "ionosphere, ten widths": lambda d: [
        ("rbf", {"gamma": 2.0**k / (2 * d)}) for k in range(-5, 5)
    ],
}
MEASURES = "accuracy", "kernels", "CPU-s"
TABLES = ("ionosphere", "liver", "pima", "sonar", "wpbc", *TEN)
SOLVERS = {
    "simple": {"tol": 0.01},
    "lp": {"p": 2.0, "tol": 0.01},
    "alignf": {},
    "alignf 0": {"penalty": 0.0},
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


def protocol(name, n_splits):
    """Rows, layout, labels, kernels, settings and splits of a table."""
    if name in TEN:
        data = mg.datasets.fetch_uci_table("ionosphere", verbose=False)
        X = data.data[:, np.nanstd(data.data, axis=0) > 0]
        modalities, y = {"all": slice(None)}, data.target
        kernels, n_splits, settings = TEN[name](X.shape[1]), n_splits // 2, {}
    else:
        X, modalities, y = rows(name)
        kernels, settings = KERNELS, {"C": 100.0, "normalize": "trace", "center": False}
    splits = StratifiedShuffleSplit(n_splits, train_size=0.7, random_state=0).split(X, y)
    return X, y, kernels, settings | {"modalities": modalities, "probability": False}, splits


def run(tables, n_splits, solvers, done):
    """One record a table, split and solver; what is done already is kept."""
    results = list(done)
    for name in tables:
        X, y, kernels, settings, splits = protocol(name, n_splits)
        for split, (train, test) in enumerate(splits):
            scale = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
            parts = (scale.fit_transform(X[train]), y[train]), (scale.transform(X[test]), y[test])
            for solver in solvers:
                model = mg.MKLClassifier(
                    kernels, solver=solver.split()[0], solver_params=SOLVERS[solver], **settings
                )
                found = measure(model, *parts)
                results.append({"table": name, "split": split, "solver": solver, **found})
                if solver == "mean":
                    layout, one, columns = _best_single(model, *parts[0])
                    model.set_params(kernels=one, modalities=layout)
                    found = measure(model, *((X_[:, columns], y_) for X_, y_ in parts))
                    results.append({"table": name, "split": split, "solver": "single", **found})
        for solver in (*SOLVERS, "single"):
            own = [r for r in results if (r["table"], r["solver"]) == (name, solver)]
            if own:
                mean = {k: round(float(np.mean([r[k] for r in own])), 3) for k in MEASURES}
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
    """Mean and standard deviation of the accuracy in percent, and kernels in use.

    Then how far the accuracy is from that of equal weights, and the standard error of that.
    """
    names = [name for name in TABLES if any(r["table"] == name for r in results)]
    labels = {**{f"``{s}``": s for s in SOLVERS if s != "mean"}}
    labels |= {"equal weights": "mean", "best single kernel": "single"}

    def values(solver, name):
        own = [r for r in results if (r["table"], r["solver"]) == (name, solver)]
        own = sorted(own, key=lambda r: r["split"])
        return [[100 * r["accuracy"], r["kernels"]] for r in own]

    def accuracy(solver, name):
        own = np.array(values(solver, name))
        return f"{spread(own[:, 0], '.1f')} ({own[:, 1].mean():.1f})" if len(own) else ""

    def gain(solver, name):
        own, equal = (np.array(values(s, name)) for s in (solver, "mean"))
        if not len(own):
            return ""
        found = own[:, 0] - equal[:, 0]
        return f"{found.mean():+.1f} ± {found.std(ddof=1) / len(found) ** 0.5:.1f}"

    def listed(corner, cell, solvers):
        rows = ([label, *(cell(solver, name) for name in names)] for label, solver in solvers)
        return list_table([[corner, *names], *rows])

    learnt = [(label, solver) for label, solver in labels.items() if solver != "mean"]
    parts = [
        listed("accuracy, % (kernels in use)", accuracy, labels.items()),
        "Differences to equal weights, split by split, and their standard errors:\n",
        listed("accuracy, %", gain, learnt),
    ]
    return "\n".join(parts)


def main(argv=None):
    """Run the command line; what the folder has already is kept, but of the solvers asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    done = load(options.out, "simple_mkl", [])
    again = {*options.solvers, *(["single"] if "mean" in options.solvers else [])}
    done = [r for r in done if r["table"] not in options.tables or r["solver"] not in again]
    with threadpool_limits(1):
        results = run(options.tables, options.splits, options.solvers, done)
    save(options.out, "simple_mkl", report(results), results)


if __name__ == "__main__":
    main()
