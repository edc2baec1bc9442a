"""The GPU twin of `wavefront`: the same functions on CuPy arrays, over the same scalar functions.

Like `sampling_cuda` it needs neither CuPy nor a driver to be imported and simulated. A block has a
pair of streams, its threads share an anti-diagonal.
"""

import math
from types import SimpleNamespace

import numpy as np
from numba import cuda, float32, float64

from ..arrays import namespace
from .launch import BLOCK, per_row
from .wavefront import along, reaches

BLOCKS = 65535  # at most, of a grid


def distances(frames, spans, band, weights, ends):
    """Cost of the best path of each pair; see `wavefront.distances`. The spans lie on the host."""
    xp = namespace(frames)
    n_pairs, longest = len(spans), _longest(spans)
    found = xp.empty(n_pairs, frames.dtype)
    room = xp.empty((min(n_pairs, BLOCKS), 3, longest + 2), frames.dtype)
    pairs = frames, xp.asarray(spans), xp.asarray(reaches(spans, band))
    how = xp.asarray(weights, frames.dtype), *map(bool, ends)
    kernel = KERNELS[frames.dtype.name].distances
    per_row(kernel, (n_pairs, longest), *pairs, *how, room, found)
    return found


def soft_distances(frames, spans, band, gamma):
    """Soft minimum of each pair and its gradient; see `wavefront.soft_distances`.

    All cells of all pairs are held, four numbers each. The spans lie on the host.
    """
    xp = namespace(frames)
    n_pairs, longest = len(spans), _longest(spans)
    lengths = spans[:, 1] - spans[:, 0]
    starts = np.cumsum(np.append(0, lengths))
    cells = np.cumsum(np.append(0, lengths * (spans[:, 3] - spans[:, 2])))
    values = xp.empty(n_pairs, frames.dtype)
    gradients = xp.zeros((int(starts[-1]), frames.shape[1]), frames.dtype)
    pairs = frames, xp.asarray(spans), xp.asarray(reaches(spans, band))
    room = xp.empty((min(n_pairs, BLOCKS), 3, longest + 2), frames.dtype)
    weights = xp.zeros((int(cells[-1]), 3), frames.dtype)
    passed = xp.zeros(len(weights), frames.dtype)
    kernel, gamma = KERNELS[frames.dtype.name].soft_distances, frames.dtype.type(gamma)
    places = xp.asarray(cells), xp.asarray(starts)
    found = values, gradients
    per_row(kernel, (n_pairs, longest), *pairs, gamma, *places, room, weights, passed, *found)
    return found


def _longest(spans):
    return int((spans[:, 1] - spans[:, 0]).max(initial=0))


# --- the kernels ----------------------------------------------------------------------------------


def _build(dtype):
    """Return the kernels for arrays of one dtype."""
    never, zero, two = dtype(math.inf), dtype(0), dtype(2)

    @cuda.jit
    def distances(frames, spans, reach, weights, open_begin, open_end, room, found):
        best = cuda.shared.array(1, dtype)
        thread, rows = cuda.threadIdx.x, room[cuda.blockIdx.x]
        for p in range(cuda.blockIdx.x, len(spans), cuda.gridDim.x):
            start, offset = spans[p, 0], spans[p, 2]
            n, m = spans[p, 1] - start, spans[p, 3] - offset
            for i in range(thread, n + 2, BLOCK):
                rows[0, i] = rows[1, i] = rows[2, i] = never
            if thread == 0:
                best[0] = never
            cuda.syncthreads()
            for d in range(n + m - 1):
                low, high = along(d, n, m, reach[p])
                here, before, over = rows[d % 3], rows[(d + 2) % 3], rows[(d + 1) % 3]
                for i in range(low + thread, high, BLOCK):
                    cost = zero
                    for k in range(frames.shape[1]):
                        gap = frames[start + i, k] - frames[offset + d - i, k]
                        cost += gap * gap
                    value = min(
                        min(over[i] + weights[0] * cost, before[i] + weights[1] * cost),
                        before[i + 1] + weights[2] * cost,
                    )
                    if i == 0 and (d == 0 or (open_begin and cost <= value)):
                        value = cost
                    here[i + 1] = value
                    if i == n - 1 and (open_end or d == n + m - 2):
                        best[0] = min(best[0], value)
                if low >= high:
                    for i in range(thread, n + 2, BLOCK):
                        here[i] = never
                elif thread == 0:
                    here[low] = here[high + 1] = never
                cuda.syncthreads()
            if thread == 0:
                found[p] = best[0]
            cuda.syncthreads()

    @cuda.jit
    def soft_distances(
        frames, spans, reach, gamma, cells, starts, room, weights, passed, values, gradients
    ):
        thread, rows = cuda.threadIdx.x, room[cuda.blockIdx.x]
        for p in range(cuda.blockIdx.x, len(spans), cuda.gridDim.x):
            start, offset = spans[p, 0], spans[p, 2]
            n, m = spans[p, 1] - start, spans[p, 3] - offset
            for i in range(thread, n + 2, BLOCK):
                rows[0, i] = rows[1, i] = rows[2, i] = never
            cuda.syncthreads()
            for d in range(n + m - 1):
                low, high = along(d, n, m, reach[p])
                here, before, over = rows[d % 3], rows[(d + 2) % 3], rows[(d + 1) % 3]
                for i in range(low + thread, high, BLOCK):
                    cost = zero
                    for k in range(frames.shape[1]):
                        gap = frames[start + i, k] - frames[offset + d - i, k]
                        cost += gap * gap
                    cost /= gamma
                    least = min(min(over[i], before[i]), before[i + 1])
                    if d == 0:
                        here[i + 1] = cost
                    elif least < never:
                        at = cells[p] + i * m + d - i
                        one, up = math.exp(least - over[i]), math.exp(least - before[i])
                        left = math.exp(least - before[i + 1])
                        total = one + up + left
                        weights[at, 0] = one / total
                        weights[at, 1] = up / total
                        weights[at, 2] = left / total
                        here[i + 1] = cost + least - math.log(total)
                    else:
                        here[i + 1] = never
                if low >= high:
                    for i in range(thread, n + 2, BLOCK):
                        here[i] = never
                elif thread == 0:
                    here[low] = here[high + 1] = never
                cuda.syncthreads()
            value = rows[(n + m - 2) % 3, n]
            if thread == 0:
                values[p] = gamma * value
            if value < never:
                for d in range(n + m - 2, -1, -1):
                    low, high = along(d, n, m, reach[p])
                    for i in range(low + thread, high, BLOCK):
                        at, j = cells[p] + i * m + d - i, d - i
                        total = zero
                        if d == n + m - 2:
                            total = dtype(1)
                        if i + 1 < n and j + 1 < m:
                            total += passed[at + m + 1] * weights[at + m + 1, 0]
                        if i + 1 < n:
                            total += passed[at + m] * weights[at + m, 1]
                        if j + 1 < m:
                            total += passed[at + 1] * weights[at + 1, 2]
                        passed[at] = total
                    cuda.syncthreads()
                for i in range(thread, n, BLOCK):
                    for j in range(m):
                        here_passed = two * passed[cells[p] + i * m + j]
                        if here_passed > zero:
                            for k in range(frames.shape[1]):
                                gap = frames[start + i, k] - frames[offset + j, k]
                                gradients[starts[p] + i, k] += here_passed * gap
            cuda.syncthreads()

    return SimpleNamespace(distances=distances, soft_distances=soft_distances)


KERNELS = {"float32": _build(float32), "float64": _build(float64)}
