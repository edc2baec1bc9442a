"""Time of warping two streams, and many pairs, beside dtaidistance and tslearn.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.warping_speed [--out docs/results]

Streams of 1,000 and 1,200 frames and 20 columns of normal noise; for canonical time warping of 300
frames and 5 columns as well. An iteration of canonical time warping is one canonical correlation
analysis of the paired frames and one dynamic time warping of the variates. tslearn begins with a
warping alone and ends after one iteration, so its iteration is what two steps take beyond one; ours
is a fifth of what six take beyond one. A round takes every row once, in turn, and the best CPU time
of the rounds counts. What is compiled is compiled before. Peers that are not installed have a row
that says so. The last rows are 1,000 pairs of 100 to 200 frames and 20 columns, on one thread and
on two (in wall time; all others take one thread).
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
    """What is timed: its subject, who does it, in how many steps (0: whole), and what makes it."""
    A, B = streams()
    pairs = [streams(*np.random.default_rng(i).integers(100, 200, 2), seed=i) for i in range(1000)]
    yield "DTW, distance", "mmgraph", 0, lambda: lambda: dtw_distances([(A, B)])
    yield "DTW, distance", "dtaidistance", 0, lambda: dtaidistance(A, B)
    yield "DTW, path", "mmgraph", 0, lambda: lambda: dtw(A, B)
    yield "DTW, path", "tslearn", 0, lambda: tslearn_path(A, B)
    yield "soft-DTW and gradient", "mmgraph", 0, lambda: lambda: soft_dtw(A, B)
    yield "soft-DTW and gradient", "tslearn", 0, lambda: tslearn_soft(A, B)
    for label, pair in (("1,000 x 1,200 x 20", (A, B)), ("300 x 300 x 5", streams(300, 300, 5))):
        for who, make, most in (("mmgraph", canonical, 6), ("tslearn", tslearn_ctw, 2)):
            for steps in (1, most):
                key = f"CTW, iteration, {label}", who, steps
                yield *key, lambda p=pair, make=make, steps=steps: make(*p, steps)
    for threads in (1, 2):
        label = f"mmgraph, {threads} thread{'s' * (threads > 1)}"
        yield "1,000 pairs", label, 0, lambda threads=threads: many(pairs, threads)


def run(rounds):
    """One row a subject and who does it."""
    made, seconds, absent = {}, {}, {}
    for subject, who, steps, make in tasks():
        try:
            made[subject, who, steps] = make()
            made[subject, who, steps]()
        except ImportError:
            absent[subject, who] = "not installed"
    for _ in range(rounds):
        for key, call in made.items():
            clock = time.perf_counter if "thread" in key[1] else time.process_time
            before = clock()
            call()
            seconds[key] = min(seconds.get(key, np.inf), clock() - before)
    found = {key[:2]: value for key, value in seconds.items() if key[2] == 0} | absent
    for (subject, who, steps), taken in seconds.items():
        if steps > 1:
            found[subject, who] = (taken - seconds[subject, who, 1]) / (steps - 1)
    first = {}
    for subject, who in dict.fromkeys(key[:2] for key in [*made, *absent]):
        taken = found[subject, who]
        if isinstance(taken, str):
            yield {"task": subject, "by": who, "ms": taken}
            continue
        first.setdefault(subject, taken)
        times = taken / first[subject]
        yield {"task": subject, "by": who, "ms": 1000 * taken, "times the first": times}


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
