"""How many threads: loops over rows are split when there is enough to do, and so are products."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from itertools import pairwise

from threadpoolctl import ThreadpoolController

GRAIN = 1 << 16  # entries a thread must have to be worth waking
SMALL_PRODUCT = 2e7  # multiplications, below which the threads of a matrix product are not


def n_threads():
    """Return how many threads to use: the CPUs of this process, at most OMP_NUM_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(available, int(wanted)) if wanted.isdigit() and int(wanted) else available


def for_products(n_multiplications):
    """Context for many matrix products of a size: small ones take one BLAS thread.

    Threads that wait for small products spin, which on a machine with other work costs many times
    what they save.

    Parameters
    ----------
    n_multiplications : float
        Of the largest product: rows times inner times columns.

    Returns
    -------
    context manager
    """
    if n_multiplications >= SMALL_PRODUCT:
        return nullcontext()
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries():
    """The BLAS libraries that are loaded; to look for them takes milliseconds."""
    return ThreadpoolController()


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
    parts = min(n_rows, n_entries // GRAIN)
    if parts > 1:
        parts = min(parts, n_threads())
    if parts <= 1:
        loop(*by_row, *shared)
        return
    cuts = [n_rows * part // parts for part in range(parts + 1)]

    def call(first, last):
        loop(*(array[first:last] for array in by_row), *shared)

    futures = [
        _pool(os.getpid(), parts).submit(call, first, last) for first, last in pairwise(cuts[1:])
    ]
    try:
        call(cuts[0], cuts[1])  # this thread does its part too
    finally:
        for future in futures:
            future.result()


def in_parallel(call, items):
    """Call a function that releases the GIL on each item, over threads.

    Products inside take one BLAS thread each.

    Parameters
    ----------
    call : callable
    items : iterable

    Returns
    -------
    list
        The results, in the order of the items.
    """
    items, most = list(items), n_threads()
    if most <= 1:
        return [call(item) for item in items]
    with _libraries().limit(limits=1, user_api="blas"):
        if len(items) <= 1:
            return [call(item) for item in items]
        # A pool of its own: a call may split its loops over the other one.
        pool = _pool(os.getpid(), min(len(items), most) + 1, "calls")
        return list(pool.map(call, items))


@cache
def _pool(pid, size, purpose="rows"):
    """Return the pool of this process: a forked child never sees its parent's threads."""
    return ThreadPoolExecutor(size - 1, thread_name_prefix=f"mmgraph-{pid}-{purpose}")
