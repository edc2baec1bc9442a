"""Jobs on a GPU, beside a large product and a large copy on it, and beside torch where it is.

    python -m benchmarks gpu

Each job is timed after a warm-up, the GPU waited for, and the median of the repeats is kept. The
floor is the time that the job's products would take at the rate of the largest product measured in
the same run. Without a GPU it says so and writes nothing.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np

import mmgraph as mg
from mmgraph.backend import arrays, kernels
from mmgraph.engine.bank import build
from mmgraph.engine.contrast import clip
from mmgraph.engine.emissions import Gaussian
from mmgraph.engine.kernels import Kernel
from mmgraph.engine.markov import Data, Model, Stream, expect
from mmgraph.engine.transitions import transition

from ._report import save, table

REPEATS = 5


def clock(cupy, job, repeats=REPEATS):
    """Wall seconds of a job, for each repeat."""
    job()
    times = []
    for _ in range(repeats):
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        job()
        cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - start)
    return np.array(times)


def floor(cupy, size):
    """Rates of a large product, by type, in multiply-adds a second, and of a copy in bytes."""
    rates = {}
    for dtype in (np.float32, np.float64):
        A = cupy.ones((size, size), dtype)
        out = cupy.empty_like(A)
        seconds = np.median(clock(cupy, partial(cupy.matmul, A, A, out=out)))
        rates[np.dtype(dtype).name] = size**3 / seconds
    rates["copy"] = 2 * A.nbytes / np.median(clock(cupy, partial(cupy.copyto, out, A)))
    return rates


def jobs(cupy, shrink):
    """Name, job, its multiply-adds and their type, and what torch does for it (or None).

    `shrink` divides the sizes, for a trial of the benchmark itself.
    """
    rng = np.random.default_rng(0)

    def normal(*shape, dtype=np.float32):
        return cupy.asarray(rng.standard_normal(shape, dtype=dtype))

    for visible, hidden, batch in ((784, 1024, 256), (4096, 4096, 4096)):
        v, h, b = visible // shrink, hidden // shrink, batch // shrink
        X = (rng.random((16 * b, v)) < 0.3).astype(np.float32)
        rbm = mg.RBM(h, batch_size=b, n_chains=b, max_iter=1, device="cuda", units="bernoulli")
        yield (
            f"16 PCD steps, {v} x {h}, batch {b}",
            lambda rbm=rbm, X=X: rbm.fit(X),
            (16 * 5 * v * h * b, "float32"),
            lambda torch, v=v, h=h, b=b: _torch_pcd(torch, v, h, b),
        )
    n, v, hidden = 60_000 // shrink, 784 // shrink, (500 // shrink, 1000 // shrink)
    X = (rng.random((n, v)) < 0.2).astype(np.float32)
    dbm = mg.DBM(hidden, max_iter=1, device="cuda", units="bernoulli")
    yield f"DBM epoch, {n} x {v}, {hidden}", lambda: dbm.fit(X), None, None
    chains = 1000 // shrink
    small = mg.RBM(500 // shrink, max_iter=1, device="cuda", units="bernoulli").fit(X[:1000])

    def anneal():
        small.model_.memory.clear()
        small.log_partition(n_chains=chains, n_temperatures=500)

    yield f"AIS, {chains} chains, 500 temperatures", anneal, None, None
    n, p = 1_000_000 // shrink, 1000 // shrink
    both = normal(n, 2 * p)
    layout = {"a": slice(0, p), "b": slice(p, 2 * p)}
    cca = mg.CCA(10, modalities=layout)
    yield f"CCA, {n} x ({p} + {p})", lambda: cca.fit(both), (n * (2 * p) ** 2, "float32"), None
    n, p, gammas = 20_000 // shrink, 100, np.geomspace(0.001, 1, 30).tolist()
    rows, weights = normal(n, p), [1 / 30] * 30
    gram = kernels.of(rows, "gram")
    yield (
        f"sum of 30 RBF kernels, {n} rows x {p}",
        lambda: gram.combined("rbf", rows, rows, gammas, weights),
        (n * n * p, "float32"),
        None,
    )
    targets, shown = rng.choice([-1.0, 1.0], (n, 1)), {"X": np.ones(n, bool)}
    targets, wide = targets - targets.mean(), rows.astype(np.float64)
    widths = [("X", Kernel("rbf", {"gamma": gamma})) for gamma in gammas]
    yield (
        f"alignments of 30 RBF kernels, {n} rows x {p}",
        lambda: build({"X": wide}, shown, widths, targets=targets),
        (30**2 / 2 * n * n, "float64"),
        None,
    )
    for n_states in (16, 64):
        yield _learning(normal, n_states, 10_000 // shrink, 1000 // shrink)
    n, k = 65_536 // shrink, 512
    Z, W = normal(n, k), normal(n, k)
    yield (
        f"InfoNCE, batch {n} x {k}",
        lambda: clip(Z, W),
        (4 * n * n * k, "float32"),
        _torch_clip(n),
    )


def _learning(normal, n_states, n_sequences, length, n_columns=20):
    """A step of EM, of Gaussians with a variance a column."""
    emission = Gaussian(*np.random.default_rng(0).random((2, n_states, n_columns)) + 0.5)
    start, matrix = np.full(n_states, 1 / n_states), np.full((n_states, n_states), 1 / n_states)
    model = Model(start, transition(matrix), (Stream(emission),))
    n = n_sequences * length
    features = normal(n, 1 + 2 * n_columns)
    features[:, 0] = 1
    features[:, 1 + n_columns :] = features[:, 1 : 1 + n_columns] ** 2
    data = Data((features,), np.arange(0, n + 1, length))
    name = f"EM step of an HMM, {n_sequences} x {length} frames, K = {n_states}"
    products = 4 * n * n_states * (1 + 2 * n_columns)
    return name, lambda: expect(model, data), (products, "float32"), None


def _torch_pcd(torch, v, h, b):
    options = {"device": "cuda"}
    W, a, c = torch.randn(v, h, **options), torch.zeros(v, **options), torch.zeros(h, **options)
    x, chain = torch.rand(b, v, **options).round(), torch.rand(b, v, **options).round()

    def steps():
        nonlocal chain
        for _ in range(16):
            data = torch.sigmoid(x @ W + c)
            hidden = torch.bernoulli(torch.sigmoid(chain @ W + c))
            chain = torch.bernoulli(torch.sigmoid(hidden @ W.T + a))
            model = torch.sigmoid(chain @ W + c)
            W.add_(x.T @ data - chain.T @ model, alpha=1e-5)

    return steps


def _torch_clip(n, k=512):
    def build(torch):
        Z = torch.randn(n, k, device="cuda", requires_grad=True)
        W = torch.randn(n, k, device="cuda", requires_grad=True)
        labels = torch.arange(n, device="cuda")

        def step():
            s, loss = Z @ W.T, torch.nn.functional.cross_entropy
            (loss(s, labels) + loss(s.T, labels)).backward()

        return step

    return build


def run(cupy, shrink=1):
    """One row a job."""
    rates = floor(cupy, 8192 // shrink)
    try:
        import torch

        torch = torch if torch.cuda.is_available() else None
    except ImportError:
        torch = None
    for name, job, work, peer in jobs(cupy, shrink):
        times = clock(cupy, job)
        seconds = float(np.median(times))
        row = {"job": name, "wall-s": seconds}
        row |= {"least": float(times.min()), "most": float(times.max())}
        row["share of the floor"] = work and float(work[0] / rates[work[1]] / seconds)
        row["ratio to torch"] = None
        if peer is not None:
            row["ratio to torch"] = "not installed"
            if torch is not None:
                row["ratio to torch"] = float(np.median(times / clock(cupy, peer(torch))))
        yield row


def report(results):
    """The device, and one row a job."""
    return f"On {results['device']}.\n\n{table(results['jobs'], number='.3g')}"


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shrink", type=int, default=1, help="divides the sizes, for a trial")
    parser.add_argument("--out", type=Path, help="folder of the tables")
    options = parser.parse_args(argv)
    try:
        arrays.resolve_device("cuda")
    except (ImportError, RuntimeError) as error:
        print(f"nothing was measured: {error}")
        return
    import cupy

    found = []
    for row in run(cupy, options.shrink):
        print(*row.values(), sep="  ", flush=True)
        found.append(row)
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    results = {"device": device, "jobs": found}
    save(options.out, "gpu", report(results), results)


if __name__ == "__main__":
    main()
