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
import json
import platform
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from mmgraph.engine.contrast import BLOCK_ENTRIES, LOSSES

from ._report import table

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


def timed(contestants, Z, W, turns):
    """CPU seconds of each, in turns, after one turn that does not count."""
    seconds = {name: [] for name in contestants}
    with threadpool_limits(1):
        for turn in range(turns + 1):
            for name, step in contestants.items():
                start = time.process_time()
                step(Z, W)
                if turn:
                    seconds[name].append(time.process_time() - start)
    return seconds


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


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--components", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    found = timed(contestants(), *vectors(options.rows, options.components), options.turns)
    floor = np.array(found["products alone"])
    memory = {name: peak(name, options.rows, options.components) for name in found}
    results = [
        {
            "step": name,
            "CPU-s": float(np.median(seconds)),
            "times the products": float(np.median(np.array(seconds) / floor)),
            "MB": round(memory[name]),
        }
        for name, seconds in found.items()
    ]
    alone = peak(None, options.rows, options.components)
    results.append(
        {"step": "vectors alone", "CPU-s": "", "times the products": "", "MB": round(alone)}
    )
    text = table(results)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "contrastive_speed.rst").write_text(text)
        about = {
            "rows": options.rows,
            "components": options.components,
            "turns": options.turns,
            "machine": platform.machine(),
            "numpy": version("numpy"),
            "torch": version("torch") if find_spec("torch") else None,
        }
        record = json.dumps({"about": about, "results": results}, indent=1)
        (options.out / "contrastive_speed.json").write_text(record + "\n")


if __name__ == "__main__":
    main()
