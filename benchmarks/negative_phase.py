"""Which negative phase learns most per CPU-second: exact held-out log-likelihood of small RBMs.

    python -m benchmarks.negative_phase [--seeds 3] [--out docs/results]

RBMs with 12 hidden units, whose log-likelihood is exact, learn from three data sets for a number of
CPU-seconds: the passes that fit are counted in a trial run, and the rate falls linearly to zero
over them. The data sets are binarised digits, 2,000 binarised MNIST images, and bars and stripes on
a square of four by four pixels, whose 30 patterns are far apart: the hard case for chains. Bars and
stripes have no held-out rows; the best mean log-likelihood there is -log 30 = -3.40.
"""

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import mmgraph as mg

from ._binary import data_sets
from ._report import list_table, save, spread

BUDGETS = (3,)  # CPU-seconds
METHODS = {
    "CD-1": {"negative_phase": "cd"},
    "CD-5": {"negative_phase": "cd", "n_gibbs": 5},
    "PCD-1, 100 chains": {},
    "PCD-5, 100 chains": {"n_gibbs": 5},
    "PCD-1, 1,000 chains": {"n_chains": 1000},
    "tempering, 20 chains at 5": {
        "negative_phase": "tempering",
        "n_chains": 20,
        "n_temperatures": 5,
    },
    "tempering, 100 chains at 5": {"negative_phase": "tempering", "n_temperatures": 5},
    "tempering, 100 chains at 10": {"negative_phase": "tempering", "n_temperatures": 10},
}
TRIAL = 3  # passes of the trial run, after one that compiles


def bars_and_stripes(side=4):
    """Every pattern of whole rows or whole columns, once."""
    lines = np.array(list(itertools.product([0.0, 1.0], repeat=side)))
    bars = np.repeat(lines[:, None], side, axis=1)
    both = np.concatenate([bars, bars.transpose(0, 2, 1)]).reshape(-1, side * side)
    return np.unique(both, axis=0)


def learn(X, budget, settings, seed):
    """An RBM that learnt for a number of CPU-seconds, and how many it took."""
    fixed = {"n_components": 12, "random_state": seed, "learning_rate": 0.05, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mg.RBM(max_iter=1, **fixed).fit(X)
        start = time.process_time()
        mg.RBM(max_iter=TRIAL, **fixed).fit(X)
        passes = max(1, round(budget * TRIAL / (time.process_time() - start)))
        start = time.process_time()
        rbm = mg.RBM(max_iter=passes, **fixed).fit(X)
        return rbm, time.process_time() - start


def run(seeds):
    """Log-likelihood by data set, method and budget: one value a seed."""
    pattern = bars_and_stripes()
    sets = {**data_sets(2000), "bars and stripes": (np.repeat(pattern, 20, axis=0), pattern)}
    results = []
    for (data, (train, test)), budget in itertools.product(sets.items(), BUDGETS):
        for seed, (method, settings) in itertools.product(range(seeds), METHODS.items()):
            rbm, seconds = learn(train, budget, settings, seed)
            results.append(
                {
                    "data": data,
                    "budget": budget,
                    "method": method,
                    "seed": seed,
                    "CPU-s": seconds,
                    "passes": rbm.n_iter_,
                    "log-likelihood": float(rbm.score_samples(test).mean()),
                    "R-hat": rbm.history_.get("rhat", [None])[-1],
                }
            )
            print(json.dumps(results[-1]), flush=True)
    return results


def report(results):
    """Mean and standard deviation over the seeds."""
    columns = list(dict.fromkeys((r["data"], r["budget"]) for r in results))
    rows = [["negative phase", *(f"{data}, {budget} CPU-s" for data, budget in columns)]]
    for method in METHODS:
        rows.append([method])
        for column in columns:
            own = [r for r in results if (r["data"], r["budget"], r["method"]) == (*column, method)]
            rows[-1].append(spread([r["log-likelihood"] for r in own], ".2f"))
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    with threadpool_limits(1):
        results = run(options.seeds)
    save(options.out, "negative_phase", report(results), results)


if __name__ == "__main__":
    main()
