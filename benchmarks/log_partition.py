"""The log-partition function of RBMs of MNIST, annealed, beside its exact value.

    python -m benchmarks.log_partition [--rows 5000] [--epochs 3 10 40] [--out docs/results]

RBMs with 16 hidden units are fitted to binarised MNIST images. Their 2**16 hidden states are
counted, so log Z is known, and so are exact draws of the model. The longer an RBM is fitted, the
further apart are its modes and the harder is the estimate. Each is annealed

- from the uniform base (all biases zero), forward only, as is often done;
- from the data-mean base, in both directions, the reverse one from the model's particles (what
  `log_partition` does), or from exact draws (what it would do if the particles were such).
"""

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg
from mmgraph.backend.random import key
from mmgraph.engine.likelihood import annealed_log_partition, exact_log_partition

from ._report import save, table


def draw_hidden(model, n_draws, seed=0):
    """Exact draws of the hidden layer of an RBM with binary units, by counting its states."""
    units, (bias, shift) = model.units[1], (b.astype(float) for b in model.biases)
    states = units.states(len(shift))
    log_p = states @ shift
    for part in np.array_split(np.arange(len(states)), 16):
        eta = bias + states[part] @ model.weights[0].T
        log_p[part] += model.units[0].log_partition(eta)
    p = np.exp(log_p - logsumexp(log_p))
    return states[np.random.default_rng(seed).choice(len(p), n_draws, p=p / p.sum())]


def with_exact_particles(model, n_draws=2000, seed=0):
    """The machine with exact draws for particles."""
    return replace(model, particles=(draw_hidden(model, n_draws, seed).astype(np.uint8),))


def estimates(model, seed, **effort):
    """The estimate from each base and each kind of start, and its cost."""
    zeros = [np.zeros_like(bias) for bias in model.biases]
    for name, start, base in (
        ("uniform base, model", replace(model, particles=()), zeros),
        ("data-mean base, particles", model, None),
        ("data-mean base, exact draws", with_exact_particles(model, seed=seed), None),
    ):
        before = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            (found,) = annealed_log_partition(start, [{}], key(seed), base=base, **effort)
        yield name, found, time.process_time() - before


def run(rows, epochs, seed=0, **effort):
    """One row a model and way to estimate."""
    images = mg.datasets.fetch_mnist(binarize=True).image[:rows]
    for n in epochs:
        model = mg.RBM(16, max_iter=n, random_state=0).fit(images).model_
        exact = exact_log_partition(model, {}).value
        for name, found, seconds in estimates(model, seed, **effort):
            yield {
                "epochs": n,
                "exact": exact,
                "annealed from, to": name,
                "forward": found.forward,
                "reverse": found.reverse,
                "value": found.value,
                "interval": found.interval,
                "ESS": found.effective_sample_size,
                "CPU-s": seconds,
            }


def report(results):
    """One row a model and way to estimate."""
    written = []
    for row in results:
        low, high = row["interval"]
        interval = f"{low:.2f} to {high:.2f}".replace("inf", "∞")
        written.append(row | {"interval": interval})
    return table(written)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[3, 10, 40])
    parser.add_argument("--n-chains", type=int, default=50)
    parser.add_argument("--n-temperatures", type=int, default=500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = []
    effort = {"n_chains": options.n_chains, "n_temperatures": options.n_temperatures}
    for row in run(options.rows, options.epochs, **effort):
        print(*row.values(), sep="  ", flush=True)
        results.append(row)
    save(options.out, "log_partition", report(results), results)


if __name__ == "__main__":
    main()
