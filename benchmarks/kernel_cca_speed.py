"""Kernel CCA on 2,000 rows of handwritten digits: its cost, and how close low rank comes.

    python -m benchmarks.kernel_cca_speed [--out docs/results]

The Fourier and Karhunen-Loeve modalities of the multiple features data, standardised, with one RBF
kernel each and the same penalty for all. A round fits every model once, in turn, and the median of
the rounds counts; what takes longer than ten seconds is fitted once. The ratio is to the exact one.
``KernelCCA.fit`` does more than the others: it also prepares to generate. Peers that are not
installed have a row that says so.
"""

import argparse
from pathlib import Path

import numpy as np

import mmgraph as mg
from mmgraph.engine.kernels import automatic, gram

from ._clock import columns, take_turns, threads
from ._report import save, table

SHRINKAGE = 0.01
SLOW = 10  # CPU seconds of a fit that is not done again
APPROXIMATIONS = ("exact", "cholesky", "nystroem", "fourier")


def data(n_rows):
    """Two modalities, standardised, in an order of rows that mixes the digits."""
    digits = mg.datasets.fetch_multiple_features()
    rows = np.random.default_rng(0).permutation(2000)[:n_rows]
    return [(Z - Z.mean(axis=0)) / Z.std(axis=0) for Z in (digits.fou[rows], digits.kar[rows])]


def penalty(kernel, block):
    """The multiple of the Gram matrix that is added to its square: n s t / (1 - s)."""
    K = gram(kernel, block)
    return SHRINKAGE / (1 - SHRINKAGE) * (np.trace(K) - K.mean() * len(K))


def correlations(scores):
    """Correlation of the scores of the two modalities, component by component."""
    one, two = ((z - z.mean(axis=0)) / np.linalg.norm(z - z.mean(axis=0), axis=0) for z in scores)
    return np.abs((one * two).sum(axis=0))


def ours(blocks, n_components, approximation, rank):
    X, modalities = mg.pack(a=blocks[0], b=blocks[1])
    model = mg.KernelCCA(
        n_components,
        shrinkage=SHRINKAGE,
        approximation=approximation,
        rank=rank,
        modalities=modalities,
        random_state=0,
    )
    return (
        lambda: model.fit(X),
        lambda: [model.embed(X, name) for name in "ab"],
        lambda: model.canonical_correlations_,
    )


def cca_zoo(blocks, n_components, kernels, penalties):
    from cca_zoo.nonparametric import KCCA

    ratios = [kappa / (len(blocks[0]) - 1) for kappa in penalties]
    model = KCCA(
        n_components,
        kernel="rbf",
        gamma=[kernel.params["gamma"] / kernel.unit**2 for kernel in kernels],
        shrinkage=[r / (1 + r) for r in ratios],
    )
    return lambda: model.fit(blocks), lambda: model.transform(blocks), None


def mvlearn(blocks, n_components, kernels, penalties):
    from mvlearn.embed import KMCCA

    model = KMCCA(
        n_components,
        kernel="rbf",
        kernel_params=[{"gamma": kernel.params["gamma"] / kernel.unit**2} for kernel in kernels],
        regs=[kappa / (1 + kappa) for kappa in penalties],
        sval_thresh=0,
    )
    return lambda: model.fit(blocks), lambda: model.transform(blocks), None


def run(n_rows, n_components, rank, rounds):
    """One row a model."""
    blocks = data(n_rows)
    kernels = [automatic("rbf", block, {}) for block in blocks]
    penalties = [penalty(*pair) for pair in zip(kernels, blocks, strict=True)]
    models, absent = {}, {}
    for name in APPROXIMATIONS:
        label = name if name == "exact" else f"{name}, rank {rank}"
        models[f"mmgraph KernelCCA, {label}"] = ours(blocks, n_components, name, rank)
    for make, label in ((mvlearn, "mvlearn KMCCA"), (cca_zoo, "cca-zoo KCCA")):
        try:
            models[label] = make(blocks, n_components, kernels, penalties)
        except ImportError:
            absent[label] = "not installed"
    turns = take_turns({name: fit for name, (fit, _, _) in models.items()}, rounds, SLOW)
    exact = "mmgraph KernelCCA, exact"
    right = models[exact][2]()
    for name, (_, scores, values) in models.items():
        if name in turns.failures:
            absent[name] = turns.failures[name]
            continue
        within = correlations(scores())
        yield {
            "model": name,
            **columns(turns.times[name], turns.times[exact]),
            "correlation of training scores": within.tolist(),
            "canonical correlations, off by": (
                float(np.abs(values() / right - 1).max()) if values else None
            ),
        }
    for name, why in absent.items():
        yield {"model": name, "CPU-s": why}


def report(results):
    """One row a model."""
    return table([{k: _cell(k, v) for k, v in row.items()} for row in results])


def _cell(name, value):
    if isinstance(value, list):
        return ", ".join(f"{v:.4f}" for v in value)
    if isinstance(value, float):
        return f"{100 * value:.2f} %" if "off" in name else f"{value:.3g}"
    return value


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--components", type=int, default=2)
    parser.add_argument("--rank", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = list(run(options.rows, options.components, options.rank, options.rounds))
    save(options.out, "kernel_cca_speed", report(results), results)


if __name__ == "__main__":
    main()
