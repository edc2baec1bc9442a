"""Time of warping two streams, and many pairs, beside dtaidistance and tslearn.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.warping_speed [--out docs/results]

Streams of 1,000 and 1,200 frames and 20 columns of normal noise; for canonical time warping of 300
frames and 5 columns. A round takes every row once, in turn, and the best time of the rounds counts.
What is compiled is compiled before. Peers that are not installed have a row that says so. The last
rows are 1,000 pairs of 100 to 200 frames and 20 columns, on one thread and on two (wall time; all
others take one thread).
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from mmgraph.engine import canonical_warping
from mmgraph.engine.soft_warping import soft_dtw
from mmgraph.engine.warping import dtw, dtw_distances


def streams(n=1000, m=1200, width=20, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)), rng.normal(size=(m, width))


def dtaidistance(A, B):
    from dtaidistance import dtw_ndim

    return lambda: dtw_ndim.distance_fast(A, B)


def tslearn_path(A, B):
    from tslearn.metrics import dtw_path

    return lambda: dtw_path(A, B)


def tslearn_soft(A, B):
    from tslearn.metrics import SoftDTW, SquaredEuclidean

    def run():
        costs = SquaredEuclidean(A, B)
        soft = SoftDTW(costs, gamma=1.0)
        soft.compute()
        return costs.jacobian_product(soft.grad())

    return run


def tslearn_ctw(A, B, steps):
    from tslearn.metrics import ctw_path

    return lambda: ctw_path(A, B, n_components=2, max_iter=steps)


def canonical(A, B, steps):
    sequences = [({"a": A, "b": B}, "a")]
    return lambda: canonical_warping.fit(
        sequences, {"a": A.shape[1], "b": B.shape[1]}, 2, max_iter=steps, tol=-np.inf
    )


def many(pairs, threads):
    def run():
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        try:
            return dtw_distances(pairs)
        finally:
            del os.environ["OMP_NUM_THREADS"]
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before

    return run


def tasks():
    """What is timed: its subject, who does it, and a function that makes it."""
    A, B = streams()
    C, D = streams(300, 300, 5)
    pairs = [streams(*np.random.default_rng(i).integers(100, 200, 2), seed=i) for i in range(1000)]
    yield "DTW, distance", "mmgraph", lambda: lambda: dtw_distances([(A, B)])
    yield "DTW, distance", "dtaidistance", lambda: dtaidistance(A, B)
    yield "DTW, path", "mmgraph", lambda: lambda: dtw(A, B)
    yield "DTW, path", "tslearn", lambda: tslearn_path(A, B)
    yield "soft-DTW and gradient", "mmgraph", lambda: lambda: soft_dtw(A, B)
    yield "soft-DTW and gradient", "tslearn", lambda: tslearn_soft(A, B)
    yield "CTW, one repetition", "mmgraph", lambda: canonical(C, D, 1)
    yield "CTW, one repetition", "tslearn", lambda: tslearn_ctw(C, D, 1)
    for threads in (1, 2):
        label = f"mmgraph, {threads} thread{'s' * (threads > 1)}"
        yield "1,000 pairs", label, lambda threads=threads: many(pairs, threads)


def run(rounds):
    """One row a task."""
    made, seconds = {}, {}
    for subject, who, make in tasks():
        seconds[subject, who] = []
        try:
            made[subject, who] = make()
            made[subject, who]()
        except ImportError:
            seconds[subject, who] = "not installed"
    for _ in range(rounds):
        for key, call in made.items():
            if isinstance(seconds[key], str):
                continue
            before = time.perf_counter()
            call()
            seconds[key].append(time.perf_counter() - before)
    first = {}
    for (subject, who), found in seconds.items():
        if isinstance(found, str):
            yield {"task": subject, "by": who, "ms": found}
            continue
        best = 1000 * min(found)
        first.setdefault(subject, best)
        yield {"task": subject, "by": who, "ms": best, "times the first": best / first[subject]}


def _cell(value):
    return value if isinstance(value, str) else f"{value:.3g}"


def table(results):
    """The results as a reStructuredText list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [{name: name for name in results[0]}, *results]:
        cells = [_cell(row.get(name, "")) for name in results[0]]
        for mark, cell in zip(["*"] + [" "] * len(cells), cells, strict=False):
            lines.append(f"   {mark} - {cell}".rstrip())
    return "\n".join(lines) + "\n"


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = list(run(options.rounds))
    text = table(results)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "warping_speed.rst").write_text(text)
        (options.out / "warping_speed.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
