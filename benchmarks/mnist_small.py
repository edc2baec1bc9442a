"""RBMs with 12 hidden units on binarised MNIST: exact test log-likelihood after some CPU-seconds.

    python -m benchmarks.mnist_small [--validation] [--seeds 5] [--out docs/results]

Each method learns from 10,000 binarised training images for 1, 3 and 6 CPU-seconds of one thread,
a run for each budget. Whoever trained, the parameters are put into one Boltzmann machine, whose
2**12 hidden states are counted, so the log-likelihood of the 10,000 test images is exact. A method
that is not installed has a row that says so; `rbms` needs PyTorch.

The clock runs while a method learns, not while it is set up or compiled. With a falling rate each
method's rate is multiplied by the share of its budget that is left. ``--validation`` runs the grid
of settings of every method and scores 10,000 other training images; the best are in ``BEST``.
"""

import argparse
import itertools
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import logit
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

from mmgraph.backend.random import key
from mmgraph.engine.boltzmann import Boltzmann
from mmgraph.engine.learning import Data, Settings, construct, learn
from mmgraph.engine.likelihood import exact_log_partition
from mmgraph.engine.units import Bernoulli

from ._mnist import images, thresholded, unnormalised
from ._report import save, spread, table

HIDDEN, ROWS, BUDGETS = 12, 10_000, (1, 3, 6)
LOOK = 10  # steps of a peer between looks at the clock

BEST = {  # chosen on other training images, by --validation
    "mmgraph": {"learning_rate": 0.05, "momentum": 0.7, "batch_size": 100, "falling": True},
    "scikit-learn": {"learning_rate": 0.1, "batch_size": 50, "falling": True},
    "scikit-learn, data-mean start": {"learning_rate": 0.1, "batch_size": 50, "falling": True},
    "rbms": {"learning_rate": 1.6, "batch_size": 100, "var_init": 1e-4, "falling": True},
}
GRIDS = {
    "mmgraph": {
        "learning_rate": (0.05,),
        "momentum": (0.5, 0.7, 0.8),
        "batch_size": (50, 100),
        "falling": (True, False),
    },
    "scikit-learn": {
        "learning_rate": (0.02, 0.1),
        "batch_size": (50, 100),
        "falling": (True, False),
    },
    "scikit-learn, data-mean start": {
        "learning_rate": (0.05, 0.1, 0.2),
        "batch_size": (50, 100),
        "falling": (True, False),
    },
    "rbms": {
        "learning_rate": (0.1, 0.3, 0.8, 1.6, 3.2),
        "batch_size": (100,),
        "var_init": (1e-4, 1e-2),
        "falling": (True, False),
    },
}
CHOICE = 3  # CPU-seconds after which the settings are compared


class Clock:
    """CPU-seconds since it was made, and what a rate has become."""

    def __init__(self, budget, falling):
        self.start, self.budget, self.falling = time.process_time(), budget, falling

    def seconds(self):
        return time.process_time() - self.start

    def rate(self, rate):
        return rate * max(1 - self.seconds() / self.budget, 0.0) if self.falling else rate


class Timed(Settings):
    """Settings whose rate is the clock's."""

    clock = None

    def rate(self, epoch):
        return self.clock.rate(self.learning_rate)


def machine(X, seed):
    """Our machine before learning, and its data."""
    data = Data([X], [np.ones(len(X), bool)])
    units = [Bernoulli(), Bernoulli()]
    sizes = [X.shape[1], HIDDEN]
    return construct(["image", "hidden"], units, 1, sizes, [(0, 1)], data, key(seed)), data


def fit_mmgraph(X, seed, budget, *, falling, **settings):
    """The engine's learner, which is looked at after each pass."""
    model, data = machine(X, seed)
    settings = Timed(max_epochs=10**6, **settings)
    clock = Clock(budget, falling)
    object.__setattr__(settings, "clock", clock)
    seconds = 0.0
    for epoch in learn(model, data, settings, key(seed)):
        now = clock.seconds()
        if now > budget:
            return model, seconds
        model, seconds = epoch.model, now


def batches(n_rows, size, rng):
    """Rows of one batch after the other, in a new order each pass, without an end."""
    while True:
        order = rng.permutation(n_rows)
        for start in range(0, n_rows, size):
            yield order[start : start + size]


def fit_sklearn(X, seed, budget, *, falling, learning_rate, batch_size, data_mean=False):
    """Its own steps, called as its `fit` calls them, on batches in random order.

    It starts with visible biases of zero, from which its hidden units soon are always on. With
    `data_mean` it is given those of the pixels' means, as the others start.
    """
    rng = np.random.RandomState(seed)
    rbm = BernoulliRBM(HIDDEN, batch_size=batch_size, n_iter=0, random_state=rng).fit(X)
    if data_mean:
        rbm.intercept_visible_ = logit(X.mean(axis=0).clip(1e-3, 1 - 1e-3))
    clock = Clock(budget, falling)
    for step, rows in enumerate(batches(len(X), batch_size, np.random.default_rng(seed))):
        if step % LOOK == 0:
            if clock.seconds() > budget:
                break
            rbm.learning_rate = clock.rate(learning_rate)
        rbm._fit(X[rows], rng)
    return (rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_), clock.seconds()


def fit_rbms(X, seed, budget, *, falling, learning_rate, batch_size, var_init):
    """Its own steps, with the optimiser that its `train` takes."""
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.dataset.dataset_class import RBMDataset
    from rbms.training.pcd import fit_batch_pcd

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    nothing = np.zeros(len(X))
    data = RBMDataset(X, nothing, nothing + 1, nothing, "MNIST", True, device="cpu")
    rbm = BBRBM.init_parameters(HIDDEN, data, torch.device("cpu"), torch.float32, var_init)
    rbm.init_grad()
    chains = rbm.init_chains(100)
    optimiser = torch.optim.SGD(rbm.parameters(), lr=learning_rate, maximize=True)
    clock = Clock(budget, falling)
    with torch.no_grad():
        for step, rows in enumerate(batches(len(X), batch_size, np.random.default_rng(seed))):
            if step % LOOK == 0:
                if clock.seconds() > budget:
                    break
                optimiser.param_groups[0]["lr"] = clock.rate(learning_rate)
            rows = torch.from_numpy(rows)
            chains, _ = fit_batch_pcd((data.data[rows], data.weights[rows]), chains, rbm, 1, 1.0)
            optimiser.step()
    arrays = rbm.weight_matrix, rbm.vbias, rbm.hbias
    return tuple(a.numpy() for a in arrays), clock.seconds()


METHODS = {
    "mmgraph": fit_mmgraph,
    "scikit-learn": fit_sklearn,
    "scikit-learn, data-mean start": partial(fit_sklearn, data_mean=True),
    "rbms": fit_rbms,
}


def score(fitted, like, X):
    """Exact mean log-likelihood of rows, in nats."""
    if not isinstance(fitted, Boltzmann):
        weights, *biases = (np.asarray(a, np.float32) for a in fitted)
        fitted = replace(like, weights=(weights,), biases=tuple(biases))
    fitted = fitted.astype(np.float64)
    return unnormalised(fitted, X.astype(np.float64)) - exact_log_partition(fitted, {}).value


def run(method, seed, budget, train, test, **settings):
    """One row: a method's log-likelihood after a budget."""
    fitted, seconds = METHODS[method](train, seed, budget, **settings)
    return {
        "method": method,
        "seed": seed,
        "budget": budget,
        "CPU-s": seconds,
        "nats": float(score(fitted, machine(train[:100], 0)[0], test)),
    }


def available():
    """The methods whose packages are there, warmed up: compiled and loaded."""
    found = []
    warm = np.random.default_rng(0).integers(0, 2, (500, 784)).astype(np.float32)
    for method, fit in METHODS.items():
        try:
            fit(warm, 0, 0.5, **BEST[method])
        except ImportError as missing:
            print(f"{method}: not installed ({missing})", flush=True)
        else:
            found.append(method)
    return found


def grid(train, held, seeds):
    """Score every setting on held-out training images; the best of each method last."""
    for method in available():
        results = []
        for values in itertools.product(*GRIDS[method].values()):
            settings = dict(zip(GRIDS[method], values, strict=True))
            scores = [
                run(method, seed, CHOICE, train, held, **settings)["nats"] for seed in range(seeds)
            ]
            results.append((float(np.mean(scores)), float(np.std(scores)), settings))
            print(method, *results[-1], flush=True)
        print("best:", *max(results, key=lambda r: r[0]), flush=True)


def report(results):
    """Mean ± standard deviation over the seeds, at each budget."""
    return table(list(_rows(results["runs"])))


def _rows(results):
    """A row a method: mean ± standard deviation over the seeds at each budget."""
    for method, settings in BEST.items():
        row = {"method": method}
        for budget in BUDGETS:
            found = [r["nats"] for r in results if (r["method"], r["budget"]) == (method, budget)]
            row[f"{budget} CPU-s"] = spread(found, ".2f") or "not installed"
        row["seeds"] = len({r["seed"] for r in results if r["method"] == method})
        row["settings"] = ", ".join(f"{k}={v}" for k, v in settings.items())
        yield row


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    rows = thresholded(images())
    train, held = rows[:ROWS], rows[-ROWS:]
    with threadpool_limits(1):
        if options.validation:
            grid(train, held, options.seeds)
            return
        test, results = thresholded(images("test")), []
        methods = available()
        for seed, budget in itertools.product(range(options.seeds), BUDGETS):
            for method in methods:  # in turn, so that other work on the machine hits all alike
                results.append(run(method, seed, budget, train, test, **BEST[method]))
                print(json.dumps(results[-1]), flush=True)
    results = {"settings": BEST, "runs": results}
    save(options.out, "mnist_small", report(results), results)


if __name__ == "__main__":
    main()
