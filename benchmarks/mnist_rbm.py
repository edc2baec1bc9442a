"""RBM with 500 hidden units on stochastically binarised MNIST: its test log-likelihood, certified.

    python -m benchmarks.mnist_rbm [--validation] [--seeds 0] [--folder state] [--out docs/results]

Every pass over the 60,000 training images binarises them anew (a pixel is on with the probability
of its intensity); the test images are binarised once, by a fixed seed. Log Z is annealed in both
directions. ``--validation`` trains on 50,000 images and scores the other 10,000 training images,
which is where the settings were chosen; the test images are for the table. With ``--folder`` a
killed run goes on where it was.
"""

import mmgraph as mg

from ._mnist import record, report

__all__ = ["main", "report"]

SETTINGS = {
    "n_components": 500,
    "units": "bernoulli",
    "learning_rate": 0.05,
    "momentum": 0.5,
    "batch_size": 100,
    "n_chains": 100,
    "n_gibbs": 3,
}
EPOCHS = 88


def main(argv=None):
    """Run the command line."""
    record("mnist_rbm", mg.RBM, SETTINGS, EPOCHS, __doc__, argv)


if __name__ == "__main__":
    main()
