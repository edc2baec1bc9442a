"""How much the settings matter: exact held-out log-likelihood over a grid of them.

    python -m benchmarks.robustness [--seeds 3] [--out docs/results]

RBMs with 16 hidden units, whose log-likelihood is exact, learn binarised digits (1,437 rows) and
1,000 binarised MNIST images at learning rates over three decades, three batch sizes and several
seeds; all else is default. A collapse is a log-likelihood below that of
independent columns.
"""

import argparse
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import mmgraph as mg

from ._binary import data_sets
from ._report import keep, list_table, load, save

RATES = 0.005, 0.015, 0.05, 0.15, 0.5, 1.5, 5.0
BATCHES = 10, 20, 100


def independent(train, test):
    """Mean log-likelihood of test rows under independent columns."""
    p = (train.sum(axis=0) + 1) / (len(train) + 2)
    return float((test * np.log(p) + (1 - test) * np.log(1 - p)).sum(axis=1).mean())


def run(seeds, done=()):
    """One record a fit."""
    results = list(done)
    known = {(r["data"], r["learning_rate"], r["batch_size"], r["seed"]) for r in results}
    for data, (train, test) in data_sets(1000).items():
        floor = independent(train, test)
        for rate, batch, seed in itertools.product(RATES, BATCHES, range(seeds)):
            if (data, rate, batch, seed) in known:
                continue
            settings = {"learning_rate": rate, "batch_size": batch, "random_state": seed}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                rbm = mg.RBM(16, **settings).fit(train)
            found = float(rbm.score_samples(test).mean())
            record = {"data": data, "learning_rate": rate, "batch_size": batch, "seed": seed}
            record |= {"log-likelihood": found, "independent columns": floor}
            results.append(record)
            print(json.dumps(record), flush=True)
            yield results


def report(results):
    """Mean over the seeds and worst seed."""
    columns = list(itertools.product(dict.fromkeys(r["data"] for r in results), BATCHES))
    rows = [["learning rate", *(f"{data}, batches of {batch}" for data, batch in columns)]]
    for rate in RATES:
        rows.append([f"{rate:g}"])
        for column in columns:
            own = [r for r in results if r["learning_rate"] == rate]
            values = [r["log-likelihood"] for r in own if (r["data"], r["batch_size"]) == column]
            rows[-1].append(f"{np.mean(values):.2f} (worst {min(values):.2f})" if values else "")
    return list_table(rows)


def main(argv=None):
    """Run the command line; what is in the folder already is gone on from."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    results = done = load(options.out, "robustness", [])
    with threadpool_limits(1):
        for results in run(options.seeds, done):
            keep(options.out, "robustness", results)
    save(options.out, "robustness", report(results), results)


if __name__ == "__main__":
    main()
