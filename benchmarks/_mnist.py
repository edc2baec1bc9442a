"""What the likelihood records on MNIST share."""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg
from mmgraph.backend.random import key
from mmgraph.engine.likelihood import log_density, log_partition

from ._report import save, table

TEST = 10_000  # seed of the binarisation of what is scored; no training pass has it
SAVE_EVERY = 5  # passes
AT_ONCE = 1000  # rows that are scored together


def images(subset="train"):
    """The images as bytes, shape (n, 784)."""
    return mg.datasets.fetch_mnist(subset=subset).data


def binarised(data, seed):
    """Each pixel on with the probability of its intensity, byte / 255; float32 rows of 0 and 1."""
    drawn = np.random.default_rng(seed).integers(0, 255, data.shape, dtype=np.uint8)
    return (drawn < data).astype(np.float32)


def thresholded(data):
    """Each pixel on from half intensity; float32 rows of 0 and 1."""
    return (data >= 128).astype(np.float32)


def unnormalised(model, X):
    """Mean log-density of rows without log Z: exact of an RBM, a lower bound of a deep machine."""
    total = 0.0
    for start in range(0, len(X), AT_ONCE):
        x = X[start : start + AT_ONCE]
        present = {0: np.ones(len(x), bool)}
        found = log_density(model, {0: x}, present, len(x), lambda totals: np.zeros(len(totals)))
        total += found.sum()
    return total / len(X)


def partition(model, seed=0, *, n_chains=100, n_temperatures=1000):
    """Log Z in both directions, without the warning: the tables show how far they differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        (found,) = log_partition(
            model, [{}], key(seed), n_chains=n_chains, n_temperatures=n_temperatures
        )
    return found


def record(name, kind, settings, epochs, description, argv=None):
    """Run the command line of a record: train, measure and write the table.

    Parameters
    ----------
    name : str
        Of the command and its files.
    kind : class
        The estimator.
    settings : dict
        Its parameters.
    epochs : int
        Passes over the training images.
    description : str
        The command's docstring.
    argv : list of str, optional
    """
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--n-chains", type=int, default=100, help="of the annealing")
    parser.add_argument("--n-temperatures", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the state of training is kept")
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    data, results = images(), []
    test = binarised(images("test"), TEST)
    if options.validation:
        data, test = data[:50_000], binarised(data[50_000:], TEST)
    train = binarised(data[:10_000], TEST)
    effort = {"n_chains": options.n_chains, "n_temperatures": options.n_temperatures}
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        path = options.folder and options.folder / f"{name}_{seed}.mmgraph"
        for model in course(kind(random_state=seed, **settings), data, options.epochs, path):
            if model.n_iter_ % SAVE_EVERY == 0:
                print(f"seed {seed}, pass {model.n_iter_}, {model.cpu_seconds_:.0f} s", flush=True)
        results.append(measure(model, train, test, **effort))
        print(json.dumps(results[-1]), flush=True)
    settings = {**settings, "passes": options.epochs, "annealing": effort}
    found = {"settings": settings, "runs": results}
    save(options.out, name, report(found), found)


def report(results):
    """One row a seed."""
    return table(results["runs"])


def course(estimator, data, epochs, path=None):
    """Train, a pass at a time over newly binarised images, at a rate that falls linearly to zero.

    With a path the estimator is kept there every few passes, and what is there is gone on from.

    Yields
    ------
    The estimator after each pass; its `cpu_seconds_` are those of training alone.
    """
    if path and path.exists():
        estimator = mg.load(path)
    else:
        estimator.cpu_seconds_, estimator.first_rate_ = 0.0, estimator.learning_rate
    seed, rate = estimator.random_state, estimator.first_rate_
    for epoch in range(getattr(estimator, "n_iter_", 0), epochs):
        start = time.process_time()
        estimator.set_params(learning_rate=rate * (1 - epoch / epochs))
        estimator.partial_fit(binarised(data, [seed, epoch]))
        estimator.cpu_seconds_ += time.process_time() - start
        if path and (epoch % SAVE_EVERY == SAVE_EVERY - 1 or epoch == epochs - 1):
            mg.save(estimator, path)
        yield estimator
    yield estimator


def measure(estimator, train, test, **effort):
    """Log-likelihood (of a deep machine: its lower bound) and log Z of a fitted estimator."""
    start = time.process_time()
    model = estimator.model_
    found = partition(model, **effort)
    level, own = unnormalised(model, test), unnormalised(model, train)
    return {
        "seed": estimator.random_state,
        "passes": estimator.n_iter_,
        "fit CPU-s": round(estimator.cpu_seconds_),
        "test": level - found.value,
        "test, by forward": level - found.forward,
        "test, by reverse": level - found.reverse,
        "training": own - found.value,
        "log Z": found.value,
        "forward": found.forward,
        "reverse": found.reverse,
        "ESS": found.effective_sample_size,
        "log Z CPU-s": round(time.process_time() - start),
    }
