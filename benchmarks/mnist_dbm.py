"""DBM 500-1000 on stochastically binarised MNIST: a lower bound on its test log-likelihood.

    python -m benchmarks.mnist_dbm [--validation] [--seeds 0] [--folder state] [--out docs/results]

All layers are trained together from the start. Every pass over the 60,000 training images binarises
them anew (a pixel is on with the probability of its intensity); the test images are binarised once,
by a fixed seed. The log-likelihood is the mean-field lower bound, less log Z, which is annealed in
both directions. ``--validation`` trains on 50,000 images and scores the other 10,000 training
images, which is where the settings were chosen; the test images are for the table. With
``--folder`` a killed run goes on where it was.
"""

import mmgraph as mg

from ._mnist import record, report

__all__ = ["main", "report"]

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
EPOCHS = 80


def main(argv=None):
    """Run the command line."""
    record("mnist_dbm", mg.DBM, SETTINGS, EPOCHS, __doc__, argv)


if __name__ == "__main__":
    main()
