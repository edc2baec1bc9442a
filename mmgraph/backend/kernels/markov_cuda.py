"""The GPU twin of the recursions in `markov`, for dense transitions: a block a sequence.

Thread j of a block is state j; sequences may be of any lengths. Distributions stand in shared
memory, and totals over the states are found there by a tree. A frame waits for the one before it,
so what keeps a GPU busy is many sequences.
"""

import math

import numpy as np
from numba import cuda, float32, float64

from ..arrays import namespace
from .launch import per_sequence
from .markov import _smallest

WIDTHS = 64, 1024  # most states of the kernels that are built


def forward(log_likelihood, offsets, start, transition, scaled, filtered, log_scale):
    """Filter; see `markov.forward`. The transition is a matrix."""
    kernels, n_threads = _kernels(log_likelihood, transition)
    kernels.forward(
        len(offsets) - 1,
        n_threads,
        *(log_likelihood, offsets, start, transition, scaled, filtered, log_scale),
        *_smallest(log_likelihood.dtype),
    )


def backward(scaled, filtered, offsets, transition, last, posterior):
    """Smooth; see `markov.backward`. The transition is a matrix."""
    kernels, n_threads = _kernels(scaled, transition)
    end = last.copy()  # which every sequence reads, and the last one writes
    kernels.backward(
        *(len(offsets) - 1, n_threads),
        *(scaled, filtered, offsets, transition, end, last, posterior),
    )


def _kernels(array, transition):
    """The launchers for arrays of one dtype and so many states, and the threads of a block."""
    n_states = array.shape[1]
    if isinstance(transition, tuple) or n_states > WIDTHS[-1]:
        raise ValueError(
            f"on the GPU transitions are a matrix of at most {WIDTHS[-1]} states; "
            f"got {n_states} states{' and a band' if isinstance(transition, tuple) else ''}."
        )
    namespace(array, transition)  # refuses what is not in one place
    width = min(width for width in WIDTHS if width >= n_states)
    n_threads = 1 << max(0, n_states - 1).bit_length()
    return KERNELS[array.dtype.name, width], n_threads


@cuda.jit(device=True)
def _largest(room, j, value):
    """Largest of the values of all threads."""
    room[j] = value
    cuda.syncthreads()
    step = cuda.blockDim.x // 2
    while step > 0:
        if j < step and room[j + step] > room[j]:
            room[j] = room[j + step]
        cuda.syncthreads()
        step //= 2
    found = room[0]
    cuda.syncthreads()
    return found


@cuda.jit(device=True)
def _sum(room, j, value):
    """Sum of the values of all threads."""
    room[j] = value
    cuda.syncthreads()
    step = cuda.blockDim.x // 2
    while step > 0:
        if j < step:
            room[j] += room[j + step]
        cuda.syncthreads()
        step //= 2
    found = room[0]
    cuda.syncthreads()
    return found


class _Launchers:
    """Both kernels of one dtype and width."""

    def __init__(self, dtype, width):
        self.of_forward, self.of_backward = _build(dtype, width)

    def forward(self, n_sequences, n_threads, *arguments):
        per_sequence(self.of_forward, n_sequences, n_threads, *arguments)

    def backward(self, n_sequences, n_threads, *arguments):
        per_sequence(self.of_backward, n_sequences, n_threads, *arguments)


def _build(dtype, width):
    zero, one, nothing = dtype(0), dtype(1), dtype(-np.inf)

    @cuda.jit
    def forward(
        log_likelihood, offsets, start, transition, scaled, filtered, log_scale, smallest, doubtful
    ):
        before = cuda.shared.array(width, dtype)
        room = cuda.shared.array(width, dtype)
        j, s, n = cuda.threadIdx.x, cuda.blockIdx.x, start.shape[0]
        state = j < n
        for t in range(offsets[s], offsets[s + 1]):
            x = log_likelihood[t, j] if state else nothing
            peak = _largest(room, j, x)
            p = zero
            if state:
                if t == offsets[s]:
                    p = start[j]
                else:
                    for i in range(n):
                        p += before[i] * transition[i, j]
            b = math.exp(x - peak) if state and peak > nothing else zero
            total = _sum(room, j, p * b)
            if not total > doubtful:
                # As if seen by the states alone that can be reached; all are one if by none.
                peak = _largest(room, j, x if p > smallest else nothing)
                if peak > nothing:
                    b = math.exp(x - peak) if p > smallest else zero
                else:
                    b = one if state else zero
                total = _sum(room, j, p * b)
            rate = one / total
            share, gain = p * b * rate, b * rate
            before[j] = share
            if state:
                filtered[t, j] = share if share > smallest else zero
                scaled[t, j] = gain if share > smallest else zero
            if j == 0:
                log_scale[t] = math.log(total) + peak
            cuda.syncthreads()

    @cuda.jit
    def backward(scaled, filtered, offsets, transition, end, last, posterior):
        weighted = cuda.shared.array(width, dtype)
        j, s, n = cuda.threadIdx.x, cuda.blockIdx.x, end.shape[0]
        beta = end[j] if j < n else zero
        for back in range(offsets[s + 1] - offsets[s]):
            t = offsets[s + 1] - 1 - back
            if j < n:
                posterior[t, j] = filtered[t, j] * beta
                weighted[j] = scaled[t, j] * beta
                scaled[t, j] = weighted[j]
            cuda.syncthreads()
            beta = zero
            if j < n:
                for i in range(n):
                    beta += weighted[i] * transition[i, j]
            cuda.syncthreads()
        if s == cuda.gridDim.x - 1 and j < n:
            last[j] = beta

    return forward, backward


KERNELS = {
    (dtype.name, width): _Launchers(dtype, width)
    for dtype in (float32, float64)
    for width in WIDTHS
}
