"""Kernel CCA on 2,000 rows of handwritten digits: its cost, and how close low rank comes.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.kernel_cca_speed [--out docs/results]

The Fourier and Karhunen-Loeve modalities of the multiple features data, standardised, with one RBF
kernel each and the same penalty for all. A round fits every model once, in turn, and the best CPU
time of the rounds counts; what takes longer than ten seconds is fitted once. ``KernelCCA.fit`` does
more than the others: it also prepares to generate. Peers that are not installed have a row that
says so.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import mmgraph as mg
from mmgraph.engine.kernels import automatic, gram

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
        models[f"KernelCCA, {label}"] = ours(blocks, n_components, name, rank)
    for make, label in ((mvlearn, "mvlearn KMCCA"), (cca_zoo, "cca-zoo KCCA")):
        try:
            models[label] = make(blocks, n_components, kernels, penalties)
        except ImportError:
            absent[label] = "not installed"
    seconds = {name: [] for name in models}
    for _ in range(rounds):
        for name, (fit, _, _) in list(models.items()):
            if min(seconds[name], default=0) > SLOW:
                continue
            before = time.process_time()
            try:
                fit()
            except Exception as error:  # a peer that fails with this scikit-learn is a row too
                absent[name] = f"fails ({type(error).__name__})"
                del models[name]
                continue
            seconds[name].append(time.process_time() - before)
    slowest = max(min(times) for times in seconds.values() if times)
    exact = models["KernelCCA, exact"][2]()
    for name in seconds:
        if name not in models:
            continue
        _, scores, values = models[name]
        within = correlations(scores())
        yield {
            "model": name,
            "CPU-s": min(seconds[name]),
            "times faster": slowest / min(seconds[name]),
            "correlation of training scores": within.tolist(),
            "canonical correlations, off by": (
                float(np.abs(values() / exact - 1).max()) if values else None
            ),
        }
    for name, why in absent.items():
        yield {"model": name, "CPU-s": why}


def _cell(name, value):
    if isinstance(value, list):
        return ", ".join(f"{v:.4f}" for v in value)
    if value is None or isinstance(value, str):
        return value or ""
    return f"{100 * value:.2f} %" if "off" in name else f"{value:.3g}"


def table(results):
    """The results as a reStructuredText list-table."""
    columns = list(results[0])
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [{name: name for name in columns}, *results]:
        cells = [_cell(n, row.get(n)) for n in columns]
        for mark, cell in zip(["*"] + [" "] * len(cells), cells, strict=False):
            lines.append(f"   {mark} - {cell}".rstrip())
    return "\n".join(lines) + "\n"


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--components", type=int, default=2)
    parser.add_argument("--rank", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = []
    for row in run(options.rows, options.components, options.rank, options.rounds):
        print(*(f"{_cell(name, value)}" for name, value in row.items()), sep="  ", flush=True)
        results.append(row)
    text = table(results)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "kernel_cca_speed.rst").write_text(text)
        (options.out / "kernel_cca_speed.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
