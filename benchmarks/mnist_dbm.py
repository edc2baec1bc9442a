"""DBM 500-1000 on stochastically binarised MNIST: a lower bound on its test log-likelihood.

    python -m benchmarks.mnist_dbm [--validation] [--seeds 0] [--folder state] [--out docs/results]

All layers are trained together from the start. Every pass over the 60,000 training images binarises
them anew (a pixel is on with the probability of its intensity); the test images are binarised once,
by a fixed seed. The log-likelihood is the mean-field lower bound, less log Z, which is annealed in
both directions. ``--validation`` trains on 50,000 images and scores the other 10,000 training
images, which is where the settings were chosen; the test images are for the table. With
``--folder`` a killed run goes on where it was.
"""

import argparse
import json
from pathlib import Path

import mmgraph as mg

from ._mnist import TEST, binarised, course, images, measure, write

SETTINGS = {
    "hidden": (500, 1000),
    "units": "bernoulli",
    "learning_rate": 0.05,
    "momentum": 0.5,
    "batch_size": 100,
    "n_chains": 100,
    "n_gibbs": 5,
    "mean_field_sweeps": 5,
}
EPOCHS = 22


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--n-chains", type=int, default=100)
    parser.add_argument("--n-temperatures", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the state of training is kept")
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    data, results = images(), []
    test = binarised(images("test"), TEST)
    if options.validation:
        data, test = data[:50_000], binarised(data[50_000:], TEST)
    for seed in options.seeds:
        path = options.folder and options.folder / f"mnist_dbm_{seed}.mmgraph"
        for model in course(mg.DBM(random_state=seed, **SETTINGS), data, options.epochs, path):
            if model.n_iter_ % 10 == 0:
                print(f"seed {seed}, pass {model.n_iter_}, {model.cpu_seconds_:.0f} s", flush=True)
        train = binarised(data[:10_000], TEST)
        effort = {"n_chains": options.n_chains, "n_temperatures": options.n_temperatures}
        results.append(measure(model, train, test, **effort))
        print(json.dumps(results[-1]), flush=True)
    write(options.out, "mnist_dbm", results, {**SETTINGS, "passes": options.epochs, **effort})


if __name__ == "__main__":
    main()
