"""How the cost of each family grows with its data: sizes doubled four times.

    python -m benchmarks.growth [--jobs cca ...] [--repeats 3] [--out docs/results]

CPU-seconds of one thread, the least of some repeats, at five sizes. The exponent is the slope of a
line through the logarithms, over all five and over the two largest, beside what the algorithm says:
where costs that do not grow still count, the first is below the second. Speed says little about
other machines; exponents do.
"""

import argparse
from pathlib import Path

import numpy as np

import mmgraph as mg

from ._clock import clock, threads
from ._report import list_table, save

DOUBLINGS = 2 ** np.arange(5)
VIEWS = {"a": slice(0, None, 2), "b": slice(1, None, 2)}


def rows(n, p, seed=0):
    """Two interleaved modalities that share four components."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)) @ rng.normal(size=(4, p)) + rng.normal(size=(n, p))


def labelled(n, p):
    """Rows, and which of two classes."""
    X = rows(n, p)
    return X, (X[:, 0] > 0).astype(int)


def cca(n, p):
    """A fit of CCA, whose cost is that of the covariance and of the decomposition."""
    X, model = rows(n, p), mg.CCA(2, shrinkage=0.1, modalities=VIEWS)
    return lambda: model.fit(X)


def probabilistic_cca(n):
    """Ten iterations of EM on rows that lack modalities."""
    X = rows(n, 40)
    X[: n // 3, ::2] = np.nan
    model = mg.ProbabilisticCCA(4, max_iter=10, tol=0, modalities=VIEWS)
    return lambda: model.fit(X)


def kernel_cca(n, **params):
    """A fit of KernelCCA."""
    X, model = rows(n, 20), mg.KernelCCA(2, shrinkage=0.1, modalities=VIEWS, **params)
    return lambda: model.fit(X)


def mkl(n, n_kernels=4, **params):
    """A fit of MKLClassifier."""
    X, y = labelled(n, 20)
    widths = [("rbf", {"gamma": g}) for g in np.geomspace(0.01, 1, n_kernels // 2)]
    model = mg.MKLClassifier(kernels=widths, **params, modalities=VIEWS)
    return lambda: model.fit(X, y)


def hmm(n_frames, n_states):
    """Three iterations of EM."""
    X = rows(n_frames, 20)
    model = mg.MultiStreamHMM(n_states, max_iter=3, tol=0, init="uniform", modalities=VIEWS)
    return lambda: model.fit(X)


def warping(n_frames):
    """A path between two streams."""
    X = np.repeat(rows(n_frames, 10), 2, axis=1) + 0.1 * rows(n_frames, 20, seed=1)
    model = mg.DynamicTimeWarping(modalities=VIEWS).fit(X)
    return lambda: model.align(X)


def retrieval(n):
    """The ten best of a gallery, for as many queries."""
    X = rows(n, 20)
    retriever = mg.Retriever(mg.CCA(4, shrinkage=0.1, modalities=VIEWS)).fit(X)
    return lambda: retriever.retrieve(X, "a", "b", k=10)


def contrast(batch):
    """An epoch of one batch."""
    X = rows(batch, 20)
    model = mg.ContrastiveEmbedding(8, max_iter=1, batch_size=batch, modalities=VIEWS)
    return lambda: model.fit(X)


def machine(n, hidden):
    """Two epochs of a multimodal Boltzmann machine."""
    X = (rows(n, 64) > 0).astype(float)
    model = mg.MultimodalDBM(
        hidden=(hidden,), joint=hidden, max_iter=2, modalities=VIEWS, random_state=0
    )
    return lambda: model.fit(X)


# What is doubled, the smallest case, and the exponent of the algorithm.
JOBS = {
    "CCA, rows": (lambda k: cca(20_000 * k, 60), 1),
    "CCA, columns": (lambda k: cca(5_000, 100 * k), 2),
    "ProbabilisticCCA with gaps, rows": (lambda k: probabilistic_cca(20_000 * k), 1),
    "KernelCCA exact, rows": (lambda k: kernel_cca(250 * k), 3),
    "KernelCCA of rank 50, rows": (
        lambda k: kernel_cca(2000 * k, approximation="cholesky", rank=50),
        1,
    ),
    "MKLClassifier, kernels": (lambda k: mkl(1200, 4 * k), 1),
    "MKLClassifier of rank 50, rows": (lambda k: mkl(2000 * k, rank=50), 1),
    "MultiStreamHMM, frames": (lambda k: hmm(15_000 * k, 8), 1),
    "MultiStreamHMM, states": (lambda k: hmm(8000, 16 * k), 2),
    "DynamicTimeWarping, frames": (lambda k: warping(400 * k), 2),
    "Retriever, gallery and queries": (lambda k: retrieval(1000 * k), 2),
    "ContrastiveEmbedding, batch": (lambda k: contrast(500 * k), 2),
    "MultimodalDBM, rows": (lambda k: machine(1000 * k, 32), 1),
    "MultimodalDBM, hidden units": (lambda k: machine(1000, 64 * k), 2),
}


def measure(make, theory, repeats):
    """CPU-seconds by size, and the exponents."""
    make(1)()  # compiles
    jobs = [make(int(k)) for k in DOUBLINGS]
    seconds = [min(clock(job)[0][0] for _ in range(repeats)) for job in jobs]
    steps = np.log2(seconds)
    return {
        "CPU-s": seconds,
        "exponent": float(np.polyfit(np.log2(DOUBLINGS), steps, 1)[0]),
        "last doubling": float(steps[-1] - steps[-2]),
        "theory": theory,
    }


def report(results):
    """Exponents, and the costs they are from."""
    head = ["what is doubled", "exponent", "last doubling", "theory", "CPU-seconds"]
    cells = [
        [
            name,
            f"{found['exponent']:.2f}",
            f"{found['last doubling']:.2f}",
            str(found["theory"]),
            ", ".join(f"{s:.2g}" for s in found["CPU-s"]),
        ]
        for name, found in results.items()
    ]
    return list_table([head, *cells])


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", nargs="+", default=[""], help="beginnings of their names")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = {}
    for name, (make, theory) in JOBS.items():
        if name.lower().startswith(tuple(job.lower() for job in options.jobs)):
            results[name] = measure(make, theory, options.repeats)
            print(name, results[name], flush=True)
    save(options.out, "growth", report(results), results)


if __name__ == "__main__":
    main()
