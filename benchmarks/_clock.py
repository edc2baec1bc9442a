"""Times of what is compared, taken in turn."""

import os
import time
import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits


class Turns(NamedTuple):
    """What calls took and gave, by name.

    Attributes
    ----------
    times : dict of list of (CPU seconds, wall seconds)
    answers : dict
        What each returned last.
    failures : dict of str
        Why a peer could not be run.
    """

    times: dict
    answers: dict
    failures: dict


@contextmanager
def threads(n):
    """So many threads for BLAS and mmgraph, in this process and those that it starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def clock(call, *args):
    """CPU and wall seconds of a call, and what it returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wall, cpu = time.perf_counter(), time.process_time()
        found = call(*args)
        return (time.process_time() - cpu, time.perf_counter() - wall), found


def take_turns(calls, rounds, slow=np.inf):
    """Call all once a round; what took more CPU seconds than `slow` is not called again.

    A peer may fail with the libraries of today; what names mmgraph may not.
    """
    turns = Turns({}, {}, {})
    for _ in range(rounds):
        for name, call in calls.items():
            taken = turns.times.get(name, [])
            if name in turns.failures or (taken and taken[0][0] > slow):
                continue
            try:
                seconds, turns.answers[name] = clock(call)
            except Exception as error:
                if "mmgraph" in str(name):
                    raise
                turns.failures[name] = f"fails: {str(error)[:60] or type(error).__name__}"
                continue
            turns.times[name] = [*taken, seconds]
    return turns


def columns(times, beside=None):
    """Median, range and ratio of some times, as columns of a table.

    Parameters
    ----------
    times, beside : array-like of shape (n_rounds, 2)
        CPU and wall seconds of one contender, and of the one that it is compared with.
    """
    cpu, wall = np.array(times).T
    found = {
        "CPU-s": float(np.median(cpu)),
        "least": float(cpu.min()),
        "most": float(cpu.max()),
        "wall-s": float(np.median(wall)),
        "ratio": None,
    }
    if beside is not None:
        n = min(len(cpu), len(beside))  # the rounds that both took
        found["ratio"] = float(np.median(cpu[:n] / np.array(beside)[:n, 0]))
    return found
