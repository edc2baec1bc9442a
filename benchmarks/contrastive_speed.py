"""What a step of the contrastive losses costs beside its matrix products.

    python -m benchmarks.contrastive_speed [--rows 8192] [--components 512] [--out docs/results]

The losses and their gradients in both sets of unit vectors, in float32 on one thread, beside

- the matrix products alone: the similarities twice (they are computed, forgotten and computed
  again) and one product for each gradient, by blocks of the same size;
- the symmetric cross-entropy of PyTorch, written with the whole matrix, where it is installed.

All take turns in one process: times are the median of the turns, in CPU seconds, and ratios to the
products medians over the turns too. Memory is the most that a process of its own ever holds,
interpreter, libraries and vectors (`vectors alone` in the table) included.
"""

import argparse
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mmgraph.engine.contrast import BLOCK_ENTRIES, LOSSES

from ._clock import columns, take_turns, threads
from ._report import save, table

LOG_SCALE, SHIFT = float(np.log(1 / 0.07)), -10.0


def vectors(n_rows, n_components, seed=0):
    """Two sets of random unit vectors."""
    both = np.random.default_rng(seed).normal(size=(2, n_rows, n_components)).astype(np.float32)
    return both / np.linalg.norm(both, axis=2, keepdims=True)


def products(Z, W):
    """The four products of a step."""
    n = len(Z)
    at_once = max(1, BLOCK_ENTRIES // n)
    room, first, second = np.empty((at_once, n), Z.dtype), np.empty_like(Z), np.zeros_like(W)
    for start in range(0, n, at_once):
        rows = slice(start, start + at_once)
        s = room[: len(Z[rows])]
        np.matmul(Z[rows], W.T, out=s)
        np.matmul(Z[rows], W.T, out=s)
        np.matmul(s, W, out=first[rows])
        second += s.T @ Z[rows]


def torch_clip(Z, W):
    """The symmetric cross-entropy and its gradients, by PyTorch."""
    import torch

    torch.set_num_threads(1)
    Z, W = (torch.from_numpy(A).requires_grad_() for A in (Z, W))
    logits = float(np.exp(LOG_SCALE)) * Z @ W.T
    right = torch.arange(len(Z))
    entropy = torch.nn.functional.cross_entropy
    ((entropy(logits, right) + entropy(logits.T, right)) / 2).backward()


def contestants():
    """By name, a function of the vectors."""
    ours = {name: partial(loss, log_scale=LOG_SCALE, shift=SHIFT) for name, loss in LOSSES.items()}
    found = {"products alone": products, **{f"mmgraph, {name}": f for name, f in ours.items()}}
    if find_spec("torch"):
        found["PyTorch, clip"] = torch_clip
    return found


def peak(name, n_rows, n_components):
    """The most memory of a process that takes two steps, in MB; of none: vectors alone.

    From Linux's own count: that of `getrusage` goes on from the parent's.
    """
    code = (
        "from benchmarks.contrastive_speed import *; "
        f"Z, W = vectors({n_rows}, {n_components}); step = contestants().get({name!r}); "
        "[step(Z, W) for _ in range(2) if step]; "
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(result.stdout) / 1024


def report(results):
    """One row a step."""
    return table(results, number=".3g")


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--components", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    Z, W = vectors(options.rows, options.components)
    steps = {name: partial(step, Z, W) for name, step in contestants().items()}
    for step in steps.values():
        step()  # compiles
    times = take_turns(steps, options.turns).times
    results = []
    for name, taken in times.items():
        megabytes = round(peak(name, options.rows, options.components))
        results.append({"step": name, **columns(taken, times["products alone"]), "MB": megabytes})
    alone = round(peak(None, options.rows, options.components))
    results.append({"step": "vectors alone", "MB": alone})
    if not find_spec("torch"):
        results.append({"step": "PyTorch (not installed)"})
    save(options.out, "contrastive_speed", report(results), results)


if __name__ == "__main__":
    main()
