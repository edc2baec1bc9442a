"""Serial compiled loops over rows, split over a few threads when there is enough to do."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

GRAIN = 1 << 16  # entries a thread must have to be worth waking


def n_threads():
    """Return how many threads to use: the CPUs of this process, at most OMP_NUM_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(available, int(wanted)) if wanted.isdigit() and int(wanted) else available


def over_rows(loop, by_row, *shared, n_entries):
    """Call ``loop(*by_row, *shared)``, the rows of ``by_row`` split over threads.

    Parameters
    ----------
    loop : callable
        Releases the GIL; treats each row alone, so the split cannot change the result.
    by_row : sequence of ndarray
        Arrays of the same length, cut along their first axis.
    *shared : object
        Passed whole to every call.
    n_entries : int
        How much work there is, in entries of a matrix.
    """
    n_rows = len(by_row[0])
    parts = max(1, min(n_threads(), n_rows, n_entries // GRAIN))
    cuts = [n_rows * part // parts for part in range(parts + 1)]

    def call(first, last):
        loop(*(array[first:last] for array in by_row), *shared)

    if parts == 1:
        loop(*by_row, *shared)
        return
    futures = [
        _pool(os.getpid(), parts).submit(call, first, last) for first, last in pairwise(cuts[1:])
    ]
    try:
        call(cuts[0], cuts[1])  # this thread does its part too
    finally:
        for future in futures:
            future.result()


@cache
def _pool(pid, size):
    """Return the pool of this process: a forked child never sees its parent's threads."""
    return ThreadPoolExecutor(size - 1, thread_name_prefix=f"mmgraph-{pid}")
