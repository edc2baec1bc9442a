"""The GPU twin of `sequences`: a block takes one sequence after another.

Threads share out the states of a frame, of which each looks at the arcs that lead to it, or from
it; distributions stand in shared memory. A frame waits for the one before it, so what keeps a GPU
busy is many sequences. What one frame says on its own is made for all frames at once, before and
after.
"""

import math

import numpy as np
from numba import cuda, float32, float64

from ..arrays import namespace
from .launch import per_sequence

WIDTHS = 64, 1024  # most states of the kernels that are built
MOST_BLOCKS = 1024
MOST_COUNTS = 1 << 24  # numbers that all blocks count in together


def forward(log_likelihood, offsets, log_start, arcs):
    """Filter; see `sequences.forward`."""
    xp, kernels, threads = _kernels(log_likelihood)
    filtered = xp.empty_like(log_likelihood)
    skipped = xp.zeros(len(log_likelihood), np.int32)
    per_sequence(
        kernels.forward,
        _blocks(offsets),
        threads,
        *(log_likelihood, offsets, log_start, *_entering(arcs), filtered, skipped),
    )
    peak = filtered.max(axis=1)
    total = peak + xp.log(xp.exp(filtered - peak[:, None]).sum(axis=1))
    filtered -= total[:, None]
    log_scale = total.astype(np.float64)
    log_scale[1:] -= (total - peak)[:-1]
    first = offsets[:-1]
    log_scale[first] = total[first]
    log_scale[skipped > 0] = -np.inf
    return filtered, log_scale


def backward(log_likelihood, filtered, log_scale, offsets, arcs, after=None):
    """Smooth; see `sequences.backward`."""
    xp, kernels, threads = _kernels(log_likelihood)
    if after is None:
        after = xp.empty((0, log_likelihood.shape[1]), log_likelihood.dtype)
    n_arcs = len(arcs.sources)
    blocks = min(_blocks(offsets), max(1, MOST_COUNTS // max(1, n_arcs)))
    counts = xp.zeros((blocks, n_arcs))
    leaving = arcs.leaving, arcs.targets[arcs.order], arcs.values[arcs.order]
    scale = log_scale.astype(log_likelihood.dtype)
    per_sequence(
        kernels.smooth,
        blocks,
        threads,
        *(log_likelihood, filtered, scale, offsets, *leaving, after, counts),
    )
    found = xp.empty(n_arcs)
    found[arcs.order] = counts.sum(axis=0)
    return found


def operators(log_likelihood, offsets, arcs):
    """What sequences make of any first state; see `sequences.operators`."""
    xp, kernels, threads = _kernels(log_likelihood)
    n = log_likelihood.shape[1]
    found = xp.empty((len(offsets) - 1, n, n), log_likelihood.dtype)
    level = xp.zeros((len(offsets) - 1, n))
    per_sequence(
        kernels.operators,
        (len(offsets) - 1) * n,
        threads,
        *(log_likelihood, offsets, *_entering(arcs), found, level),
    )
    return found + level[:, :, None]


def best_path(log_likelihood, offsets, log_start, arcs, path):
    """Find the most probable states of each sequence; see `sequences.best_path`."""
    xp, kernels, threads = _kernels(log_likelihood)
    best = xp.empty(len(offsets) - 1, log_likelihood.dtype)
    origin = xp.empty(log_likelihood.shape, np.int32)
    per_sequence(
        kernels.best_path,
        _blocks(offsets),
        threads,
        *(log_likelihood, offsets, log_start, *_entering(arcs), origin, path, best),
    )
    return best.astype(np.float64)


def draw_paths(filtered, offsets, arcs, uniforms, paths):
    """Draw the states of each sequence; see `sequences.draw_paths`."""
    _, kernels, _ = _kernels(filtered)
    per_sequence(
        kernels.draw_paths,
        _blocks(offsets),
        min(128, 32 * -(-len(paths) // 32)),
        *(filtered, offsets, *_entering(arcs), uniforms, paths),
    )


def _blocks(offsets):
    return min(len(offsets) - 1, MOST_BLOCKS)


def _entering(arcs):
    """First arc of each target, sources, and values."""
    return arcs.entering, arcs.sources, arcs.values


def _kernels(array):
    """The namespace, the kernels for arrays of one dtype and so many states, and the threads."""
    n_states = array.shape[1]
    if n_states > WIDTHS[-1]:
        raise ValueError(
            f"on the GPU a chain has at most {WIDTHS[-1]} states, but this one has {n_states}: fit "
            "with device='cpu'."
        )
    width = min(width for width in WIDTHS if width >= n_states)
    return namespace(array), KERNELS[array.dtype.name, width], 32 * -(-n_states // 32)


def _build(dtype, width):
    zero, nothing = dtype(0), dtype(-np.inf)

    @cuda.jit
    def forward(frames, offsets, start, bounds, sources, values, found, skipped):
        before = cuda.shared.array(width, dtype)
        predicted = cuda.shared.array(width, dtype)
        thread, n = cuda.threadIdx.x, start.shape[1]
        for s in range(cuda.blockIdx.x, offsets.shape[0] - 1, cuda.gridDim.x):
            first = s if start.shape[0] > 1 else 0
            peak = zero
            for t in range(offsets[s], offsets[s + 1]):
                for j in range(thread, n, cuda.blockDim.x):
                    p = nothing
                    if t == offsets[s]:
                        p = start[first, j]
                    else:
                        top = nothing
                        for a in range(bounds[j], bounds[j + 1]):
                            term = before[sources[a]] + values[a]
                            top = term if term > top else top
                        if top > nothing:
                            total = zero
                            for a in range(bounds[j], bounds[j + 1]):
                                total += math.exp(before[sources[a]] + values[a] - top)
                            p = top - peak + math.log(total)
                    predicted[j] = p
                    found[t, j] = p + frames[t, j]
                cuda.syncthreads()
                for j in range(thread, n, cuda.blockDim.x):
                    before[j] = found[t, j]
                cuda.syncthreads()
                peak = nothing
                for i in range(n):
                    peak = before[i] if before[i] > peak else peak
                if not peak > nothing:  # impossible: passed over
                    cuda.syncthreads()
                    for j in range(thread, n, cuda.blockDim.x):
                        before[j] = predicted[j]
                        found[t, j] = predicted[j]
                    if thread == 0:
                        skipped[t] = 1
                    cuda.syncthreads()
                    for i in range(n):
                        peak = before[i] if before[i] > peak else peak
            cuda.syncthreads()

    @cuda.jit
    def smooth(frames, filtered, log_scale, offsets, bounds, targets, values, then, counts):
        seen = cuda.shared.array(width, dtype)
        behind = cuda.shared.array(width, dtype)
        thread, n = cuda.threadIdx.x, frames.shape[1]
        for s in range(cuda.blockIdx.x, offsets.shape[0] - 1, cuda.gridDim.x):
            more = s < then.shape[0] and not math.isnan(then[s, 0])
            if more:
                for i in range(thread, n, cuda.blockDim.x):
                    seen[i] = then[s, i]
                cuda.syncthreads()
            for back in range(offsets[s + 1] - offsets[s]):
                t = offsets[s + 1] - 1 - back
                for i in range(thread, n, cuda.blockDim.x):
                    after = zero
                    if back > 0 or more:
                        top = nothing
                        for a in range(bounds[i], bounds[i + 1]):
                            term = seen[targets[a]] + values[a]
                            top = term if term > top else top
                        after = nothing
                        if top > nothing:
                            total, own = zero, filtered[t, i]
                            for a in range(bounds[i], bounds[i + 1]):
                                term = seen[targets[a]] + values[a]
                                total += math.exp(term - top)
                                if own > nothing:
                                    counts[cuda.blockIdx.x, a] += math.exp(own + term)
                            after = top + math.log(total)
                    behind[i] = after
                cuda.syncthreads()
                for i in range(thread, n, cuda.blockDim.x):
                    gain = frames[t, i] - log_scale[t] if log_scale[t] > nothing else zero
                    seen[i] = behind[i] + gain
                    frames[t, i] = math.exp(filtered[t, i] + behind[i])
                cuda.syncthreads()

    @cuda.jit
    def operators(frames, offsets, bounds, sources, values, found, level):
        before = cuda.shared.array(width, dtype)
        now = cuda.shared.array(width, dtype)
        thread, n = cuda.threadIdx.x, frames.shape[1]
        s, origin = cuda.blockIdx.x // n, cuda.blockIdx.x % n
        peak = zero
        for t in range(offsets[s], offsets[s + 1]):
            for j in range(thread, n, cuda.blockDim.x):
                p = nothing
                if t == offsets[s]:
                    p = zero if j == origin else nothing
                else:
                    top = nothing
                    for a in range(bounds[j], bounds[j + 1]):
                        term = before[sources[a]] + values[a]
                        top = term if term > top else top
                    if top > nothing:
                        total = zero
                        for a in range(bounds[j], bounds[j + 1]):
                            total += math.exp(before[sources[a]] + values[a] - top)
                        p = top - peak + math.log(total)
                now[j] = p + frames[t, j]
            cuda.syncthreads()
            for j in range(thread, n, cuda.blockDim.x):
                before[j] = now[j]
            cuda.syncthreads()
            if thread == 0:
                level[s, origin] += peak
            peak = nothing
            for i in range(n):
                peak = before[i] if before[i] > peak else peak
            peak = peak if peak > nothing else zero
        for j in range(thread, n, cuda.blockDim.x):
            found[s, origin, j] = before[j]

    @cuda.jit
    def best_path(frames, offsets, start, bounds, sources, values, origin, path, best):
        before = cuda.shared.array(width, dtype)
        now = cuda.shared.array(width, dtype)
        thread, n = cuda.threadIdx.x, start.shape[1]
        for s in range(cuda.blockIdx.x, offsets.shape[0] - 1, cuda.gridDim.x):
            for t in range(offsets[s], offsets[s + 1]):
                for j in range(thread, n, cuda.blockDim.x):
                    top, place = nothing, 0
                    if t == offsets[s]:
                        top = start[0, j]
                    else:
                        for a in range(bounds[j], bounds[j + 1]):
                            term = before[sources[a]] + values[a]
                            if term > top:
                                top, place = term, sources[a]
                    now[j] = top + frames[t, j]
                    origin[t, j] = place
                cuda.syncthreads()
                for j in range(thread, n, cuda.blockDim.x):
                    before[j] = now[j]
                cuda.syncthreads()
            if thread == 0:
                top, place = before[0], 0
                for j in range(1, n):
                    if before[j] > top:
                        top, place = before[j], j
                best[s] = top
                for back in range(offsets[s + 1] - offsets[s]):
                    t = offsets[s + 1] - 1 - back
                    path[t] = place
                    place = origin[t, place]
            cuda.syncthreads()

    @cuda.jit
    def draw_paths(filtered, offsets, bounds, sources, values, uniforms, paths):
        n = filtered.shape[1]
        for s in range(cuda.blockIdx.x, offsets.shape[0] - 1, cuda.gridDim.x):
            for d in range(cuda.threadIdx.x, paths.shape[0], cuda.blockDim.x):
                state = 0
                for back in range(offsets[s + 1] - offsets[s]):
                    t = offsets[s + 1] - 1 - back
                    first, end = 0, n
                    if back > 0:
                        first, end = bounds[state], bounds[state + 1]
                    top, total, reached = nothing, zero, zero
                    for a in range(first, end):
                        term = filtered[t, sources[a]] + values[a] if back else filtered[t, a]
                        top = term if term > top else top
                    for a in range(first, end):
                        term = filtered[t, sources[a]] + values[a] if back else filtered[t, a]
                        total += math.exp(term - top)
                    share, chosen, going = total * uniforms[d, t], first, True
                    for a in range(first, end):
                        term = filtered[t, sources[a]] + values[a] if back else filtered[t, a]
                        weight = math.exp(term - top)
                        if going and weight > zero:
                            chosen = a
                            reached += weight
                            going = not reached > share
                    state = sources[chosen] if back else chosen
                    paths[d, t] = state

    return _Kernels(forward, smooth, operators, best_path, draw_paths)


class _Kernels:
    """The kernels of one dtype and width."""

    def __init__(self, forward, smooth, operators, best_path, draw_paths):
        self.forward, self.smooth, self.operators = forward, smooth, operators
        self.best_path, self.draw_paths = best_path, draw_paths


KERNELS = {
    (dtype.name, width): _build(dtype, width) for dtype in (float32, float64) for width in WIDTHS
}
