"""MNIST: a deep Boltzmann machine fine-tuned with dropout, beside classifiers of the raw pixels.

    python -m benchmarks.mnist_classification [--machine FILE] [--validation] [--out docs/results]

The machine of 500 and 1000 hidden units is fitted to the 60,000 training images without their
labels, all layers together from random weights, and then fine-tuned (``mmgraph.DBMClassifier``).
``--machine`` takes the one that the benchmark `mnist_dbm` left in its folder, which learnt longer.
``--validation`` fits to the first 50,000 labels and scores the other 10,000 training images, which
is where settings are chosen; the test images are for the table.

A run that is killed and started again goes on where it was, with what it left in ``--work``: the
checkpoints of the machine and of its fine-tuning, and the methods that were done. CPU-seconds of
parts that were killed are not counted.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

import mmgraph as mg

from ._report import list_table, save

LAYERS = (500, 1000)
PASSES = 60  # of fine-tuning


def machine(work):
    """The machine, not yet fitted."""
    return mg.DBM(
        LAYERS,
        units="bernoulli",
        batch_size=100,
        max_iter=10,
        learning_rate=0.05,
        mean_field_sweeps=5,
        random_state=0,
        checkpoint=str(work / "machine.checkpoint"),
    )


def classifier(dbm, work, validation):
    """The fine-tuning of a fitted machine."""
    name = "validation" if validation else "test"
    return mg.DBMClassifier(
        FrozenEstimator(dbm),
        learning_rate=0.003,
        batch_size=100,
        max_iter=PASSES,
        dropout=0.5,
        input_dropout=0.2,
        random_state=0,
        checkpoint=str(work / f"classifier.{name}.checkpoint"),
    )


BASELINES = {
    "logistic regression": LogisticRegression(max_iter=100),
    "nearest neighbour": KNeighborsClassifier(1, algorithm="brute"),
    "scikit-learn's MLPClassifier, 500-1000": MLPClassifier(LAYERS, max_iter=10, random_state=0),
}


def fit(model, *data):
    """A fitted model and the CPU-seconds that it took."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the passes are what they are
        model.fit(*data)
    return model, time.process_time() - start


class Done:
    """What is done already, by name, in a file."""

    def __init__(self, path):
        self.path = path
        self.values = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name, compute):
        """The value of that name, computed if it is not there yet."""
        if name not in self.values:
            self.values[name] = compute()
            self.path.write_text(json.dumps(self.values, indent=1))
            print(name, json.dumps(self.values[name]), flush=True)
        return self.values[name]


def run(work, *, ready=None, validation=False):
    """Errors and costs of all methods, by name; `ready` is the file of a fitted machine."""
    work.mkdir(parents=True, exist_ok=True)
    digits = mg.datasets.fetch_mnist(subset="all")
    X, y = digits.image, digits.target
    train, test = digits.train, digits.test
    images = X[train]
    if validation:
        train, test = train[:50_000], train[50_000:]
    done = Done(work / ("validation.json" if validation else "test.json"))
    costs = Done(work / "costs.json")

    def error(model):
        return 100 * float(np.mean(model.predict(X[test]) != y[test]))

    def ours():
        if ready is None:
            dbm, seconds = fit(machine(work), images)
        else:
            dbm = mg.load(ready)
            seconds = dbm.cpu_seconds_
        seconds = costs.get("machine", lambda: seconds)
        model, more = fit(classifier(dbm, work, validation), X[train], y[train])
        return {
            "error": error(model),
            "machine CPU-s": seconds,
            "fit CPU-s": seconds + more,
        }

    def baseline(model):
        model, seconds = fit(model, X[train], y[train])
        return {"error": error(model), "fit CPU-s": seconds}

    found = {"DBM 500-1000, fine-tuned": done.get("DBM 500-1000, fine-tuned", ours)}
    for name, model in BASELINES.items():
        found[name] = done.get(name, lambda model=model: baseline(model))
    return found


def report(results):
    """One row a method."""
    rows = [["method", "test error, %", "fit CPU-s"]]
    for method, found in results.items():
        rows.append([method, f"{found['error']:.2f}", f"{found['fit CPU-s']:.0f}"])
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--machine", type=Path, help="file of a machine that mnist_dbm fitted")
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("build/mnist"), help="for what is done")
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    results = run(options.work, ready=options.machine, validation=options.validation)
    out = None if options.validation else options.out
    save(out, "mnist_classification", report(results), results)


if __name__ == "__main__":
    main()
