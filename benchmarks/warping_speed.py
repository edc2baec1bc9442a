"""Time of warping two streams, and many pairs, beside dtaidistance and tslearn.

    python -m benchmarks.warping_speed [--out docs/results]

Streams of 1,000 and 1,200 frames and 20 columns of normal noise; for canonical time warping of 300
frames and 5 columns as well. An iteration of canonical time warping is one canonical correlation
analysis of the paired frames and one dynamic time warping of the variates. tslearn begins with a
warping alone and ends after one iteration, so its iteration is what two steps take beyond one; ours
is a fifth of what six take beyond one. A round takes every row once, in turn, and the median of the
rounds counts; the ratio is to the first row of a task. What is compiled is compiled before. Peers
that are not installed have a row that says so. The last rows are 1,000 pairs of 100 to 200 frames
and 20 columns, on one thread and on two (compare their wall time).
"""

import argparse
from pathlib import Path

import numpy as np

from mmgraph.engine import canonical_warping
from mmgraph.engine.soft_warping import soft_dtw
from mmgraph.engine.warping import dtw, dtw_distances

from ._clock import clock, columns, take_turns, threads
from ._report import save, table


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


def many(pairs, n_threads):
    def run():
        with threads(n_threads):
            return dtw_distances(pairs)

    return run


def tasks(shrink):
    """What is timed: its subject, who does it, in how many steps (0: whole), and what makes it."""
    n, m, few = 1000 // shrink, 1200 // shrink, 300 // shrink
    A, B = streams(n, m)
    rngs = map(np.random.default_rng, range(1000 // shrink))
    pairs = [streams(*rng.integers(100, 200, 2), seed=i) for i, rng in enumerate(rngs)]
    yield "DTW, distance", "mmgraph", 0, lambda: lambda: dtw_distances([(A, B)])
    yield "DTW, distance", "dtaidistance", 0, lambda: dtaidistance(A, B)
    yield "DTW, path", "mmgraph", 0, lambda: lambda: dtw(A, B)
    yield "DTW, path", "tslearn", 0, lambda: tslearn_path(A, B)
    yield "soft-DTW and gradient", "mmgraph", 0, lambda: lambda: soft_dtw(A, B)
    yield "soft-DTW and gradient", "tslearn", 0, lambda: tslearn_soft(A, B)
    small = streams(few, few, 5)
    for label, pair in ((f"{n:,} x {m:,} x 20", (A, B)), (f"{few} x {few} x 5", small)):
        for who, make, most in (("mmgraph", canonical, 6), ("tslearn", tslearn_ctw, 2)):
            for steps in (1, most):
                key = f"CTW, iteration, {label}", who, steps
                yield *key, lambda p=pair, make=make, steps=steps: make(*p, steps)
    for n in (1, 2):
        label = f"mmgraph, {n} thread{'s' * (n > 1)}"
        yield f"{len(pairs):,} pairs", label, 0, lambda n=n: many(pairs, n)


def run(rounds, shrink=1):
    """One row a subject and who does it."""
    calls, absent = {}, {}
    for subject, who, steps, make in tasks(shrink):
        try:
            calls[subject, who, steps] = make()
            clock(calls[subject, who, steps])
        except ImportError:
            absent[subject, who] = "not installed"
            calls.pop((subject, who, steps), None)
    turns = take_turns(calls, rounds)
    found = {}
    for (subject, who, steps), taken in turns.times.items():
        if steps == 0:
            found[subject, who] = np.array(taken)
        elif steps > 1:
            once = np.array(turns.times[subject, who, 1])
            found[subject, who] = (np.array(taken) - once) / (steps - 1)
    first = {}
    for (subject, who), taken in found.items():
        first.setdefault(subject, taken)
        yield {"task": subject, "by": who, **columns(taken, first[subject])}
    failed = {(subject, who): why for (subject, who, _), why in turns.failures.items()}
    for (subject, who), why in (absent | failed).items():
        yield {"task": subject, "by": f"{who} ({why})"}


def report(results):
    """One row a task and who does it."""
    return table(results, number=".3g")


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shrink", type=int, default=1, help="divides the sizes, for a trial")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = list(run(options.rounds, options.shrink))
    save(options.out, "warping_speed", report(results), results)


if __name__ == "__main__":
    main()
