"""How long combinations of kernels take beside peers, and how time and memory grow.

    python -m benchmarks.mkl_speed [--parts time rank exact] [--out docs/results]

- Time: the six views of UCI Multiple Features, standardised, each with radial kernels of five
  widths, 30 in all; 1,000 rows for training and 1,000 for testing; C = 10. Seconds of processor
  time of a fit and the predictions, on one BLAS thread; the median of interleaved rounds (of a
  slow peer one; of himalaya, which takes minutes, one step of ten). Peers are given the ready Gram
  matrices, whose computation is a row of its own.
- Rank: 30 kernels at rank 200, for three numbers of rows, each in a process of its own, whose
  largest resident memory is read.
- Exact: 10 and 100 kernels of 2,000 rows without a cache, likewise.
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

import mmgraph as mg

from ._clock import clock, columns, take_turns, threads
from ._report import cell, load, save, table

VIEWS = ("fac", "fou", "kar", "pix", "zer", "mor")
RANK, N_ROWS = 200, (5_000, 10_000, 20_000)
N_KERNELS, N_EXACT = (10, 100), 2_000
PEERS = {"MKLpy": "MKLpy.algorithms", "himalaya": "himalaya.kernel_ridge"}
SLOW = 10  # CPU seconds of what is not repeated


def views(n_train):
    """Standardised rows, their layout, labels, training and test rows."""
    data = mg.datasets.fetch_multiple_features(verbose=False)
    X, modalities = mg.pack(**{name: data[name] for name in VIEWS})
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:n_train], order[n_train : 2 * n_train]
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    return X, modalities, data.target, train, test


def grams(X, modalities, kernels, rows, columns):
    """Gram matrices of all kernels, each by scikit-learn."""
    found = []
    for name, kernel in kernels:
        A, B = (X[some, modalities[name]] / kernel.unit for some in (rows, columns))
        found.append(rbf_kernel(A, B, kernel.params["gamma"]))
    return found


# Contestants: training and test Gram matrices, labels -> predicted labels ------------------------


def ready_mean(K, K_new, y):
    """A support vector machine on the ready mean kernel."""
    return SVC(kernel="precomputed", C=10.0).fit(K, y).predict(K_new)


def fit_predict(model, X, y, X_new):
    """Ours, from the rows themselves."""
    return model.fit(X, y).predict(X_new)


def easy_mkl(K, K_new, y):
    """EasyMKL of MKLpy, one against the rest."""
    import torch
    from MKLpy.algorithms import EasyMKL

    K, K_new = ([torch.from_numpy(one) for one in some] for some in (K, K_new))
    model = EasyMKL(lam=0.1, multiclass_strategy="ova", learner=SVC(C=10.0, kernel="precomputed"))
    return np.asarray(model.fit(K, torch.from_numpy(y)).predict(K_new))


def hyper_gradient(K, K_new, y):
    """Kernel ridge on the columns of the classes, weights by one gradient step in five folds."""
    from himalaya.kernel_ridge import MultipleKernelRidgeCV

    targets = (y[:, None] == np.unique(y)).astype(float)
    settings = {"max_iter": 1, "progress_bar": False}
    model = MultipleKernelRidgeCV(
        kernels="precomputed", solver="hyper_gradient", solver_params=settings, cv=5
    )
    scores = model.fit(np.stack(K), targets).predict(np.stack(K_new))
    return np.unique(y)[scores.argmax(axis=1)]


CALLS = {"MKLpy": easy_mkl, "himalaya": hyper_gradient}
LABELS = {
    "MKLpy": "MKLpy EasyMKL",
    "himalaya": "himalaya hyper-gradient, the first of its 10 steps",
}


def absent(peer):
    """What is wrong with a peer, or nothing."""
    try:
        version(peer)
        import_module(PEERS[peer])
    except (PackageNotFoundError, ImportError):
        return "not installed"
    return ""


def timed(n_rounds, n_train):
    """Rows of the table of times."""
    X, modalities, digit, train, test = views(n_train)
    kernels = mg.MKLClassifier(solver="mean", probability=False, modalities=modalities)
    kernels = kernels.fit(X[train], digit[train]).kernels_
    K, K_new = (grams(X, modalities, kernels, some, train) for some in (train, test))
    middle, middle_new = np.mean(K, axis=0), np.mean(K_new, axis=0)
    tasks, calls = {"even/odd": digit % 2, "10 classes": digit}, {}
    calls["both", "the 30 Gram matrices, by scikit-learn"] = lambda: [
        len(grams(X, modalities, kernels, some, train)) for some in (train, test)
    ]
    for task, labels in tasks.items():
        y = labels[train]
        mean = "SVC on the ready mean kernel"
        calls[task, mean] = partial(ready_mean, middle, middle_new, y)
        for solver in ("alignf", "easy", "mean", "lp"):
            for probability in (False, True) if solver == "alignf" else (False,):
                model = mg.MKLClassifier(
                    solver=solver, probability=probability, modalities=modalities
                )
                by = f"mmgraph ``{solver}``" + ", with probabilities" * probability
                calls[task, by] = partial(fit_predict, model, X[train], y, X[test])
        for peer in PEERS:
            if not absent(peer) and (peer, task) != ("himalaya", "even/odd"):
                calls[task, LABELS[peer]] = partial(CALLS[peer], K, K_new, y)
    turns = take_turns(calls, n_rounds, SLOW)
    for task, by in calls:
        if (task, by) in turns.failures:
            yield {"task": task, "by": f"{by}: {turns.failures[task, by]}"}
            continue
        beside = turns.times.get((task, "mmgraph ``alignf``"))
        row = {"task": task, "by": by, **columns(turns.times[task, by], beside)}
        if task in tasks:
            right = turns.answers[task, by] == tasks[task][test]
            row["accuracy"] = float(np.mean(right))
        yield row
    for peer in PEERS:
        if absent(peer):
            yield {"task": "", "by": f"{LABELS[peer]} (not installed)"}


def many_rows(n, n_kernels, rank, solver="alignf"):
    """Seconds, and memory in MB, of a fit and of predictions for as many rows; run alone."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2 * n)
    X = rng.normal(size=(2 * n, 50)) + np.repeat(rng.normal(size=(2, 5)), 10, axis=1)[y] / 3
    base = _peak()
    widths = np.geomspace(0.25, 4, n_kernels // 5) / 10
    model = mg.MKLClassifier(
        [("rbf", {"gamma": float(gamma)}) for gamma in widths],
        solver=solver,
        rank=rank,
        random_state=0,
        cache_size=0,
        C=1.0,
        probability=False,
        modalities={str(i): slice(10 * i, 10 * i + 10) for i in range(5)},
    )
    (fit, _), _ = clock(model.fit, X[:n], y[:n])
    (new, _), score = clock(model.score, X[n:], y[n:])
    found = {"rows": n, "kernels": len(model.kernels_), "fit, CPU-s": fit, "predict, CPU-s": new}
    return found | {"accuracy": score, "MB at most": _peak(), "MB before": base}


def _peak():
    """Largest resident memory of this process so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024


def alone(*args):
    """`many_rows` in a process of its own."""
    code = (
        "import json; from benchmarks._clock import threads; "
        "from benchmarks.mkl_speed import many_rows\n"
        f"with threads(1): print(json.dumps(many_rows(*{args!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(found, flush=True)
    return found


def report(results):
    """The parts that were run."""
    parts = []
    if "time" in results:
        rows = [row | {"accuracy": cell(row.get("accuracy"), ".3f")} for row in results["time"]]
        parts.append(table(rows, number=".3g"))
    for part, title in (("rank", f"At rank {RANK}:"), ("exact", "Exact, without a cache:")):
        if part in results:
            rows = [row | {"rows": f"{row['rows']:,}"} for row in results[part]]
            parts += [title, "", table(rows, number=".3g")]
    return "\n".join(parts)


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", type=int, default=1000, help="rows of the part time")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=list(N_ROWS), help="of the part rank"
    )
    parser.add_argument("--exact-rows", type=int, default=N_EXACT)
    everything = ["time", "rank", "exact"]
    parser.add_argument("--parts", nargs="+", default=everything, choices=everything)
    parser.add_argument("--out", type=Path, help="parts not run are kept as they are there")
    options = parser.parse_args(argv)
    results = load(options.out, "mkl_speed", {})
    if "time" in options.parts:
        results["time"] = list(timed(options.rounds, options.train))
    if "rank" in options.parts:
        results["rank"] = [alone(n, 30, RANK) for n in options.rows]
    if "exact" in options.parts:
        results["exact"] = [
            {"solver": solver, **alone(options.exact_rows, m, None, solver)}
            for solver in ("alignf", "simple")
            for m in N_KERNELS
        ]
    save(options.out, "mkl_speed", report(results), results)


if __name__ == "__main__":
    main()
