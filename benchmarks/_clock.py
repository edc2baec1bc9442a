"""Times of what is compared, taken in turn."""

import time
import warnings

import numpy as np


def clock(call, *args):
    """CPU and wall seconds of a call, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = call(*args)
    return (time.process_time() - cpu, time.perf_counter() - wall), found


def take_turns(calls, rounds, slow=np.inf):
    """CPU and wall seconds of calls by name; what took more than `slow` is not called again."""
    found = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if not found[name] or found[name][0][0] <= slow:
                found[name].append(clock(call)[0])
    return found


def columns(times, beside=None):
    """Median, range and ratio of some times, as columns of a table.

    Parameters
    ----------
    times, beside : list of (CPU seconds, wall seconds)
        Of one contender, and of the one that it is compared with, in the same rounds.
    """
    cpu, wall = np.array(times).T
    found = {
        "CPU-s": float(np.median(cpu)),
        "least to most": f"{cpu.min():.3g} to {cpu.max():.3g}" if len(cpu) > 1 else "one run",
        "wall-s": float(np.median(wall)),
    }
    if beside is not None:
        n = min(len(cpu), len(beside))
        found["ratio"] = float(np.median(cpu[:n] / np.array(beside)[:n, 0]))
    return found
