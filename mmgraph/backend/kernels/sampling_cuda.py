"""The GPU twins of `sampling`: the same functions on CuPy arrays, over the same scalar functions.

Importing this module needs numba-cuda but neither CuPy nor a driver; under Numba's simulator
(``NUMBA_ENABLE_CUDASIM=1``) the functions run on NumPy arrays.
"""

import math
from types import SimpleNamespace

import numpy as np
from numba import cuda, float32, float64

from ..arrays import namespace
from .arguments import draw_words, n_trials, operands, outputs, vector, word_counts
from .launch import BLOCK, per_counter, per_row
from .sampling import (
    binomial_count,
    box_muller32,
    box_muller64,
    exponential32,
    exponential64,
    logistic32,
    logistic64,
    philox,
    softplus32,
    softplus64,
    unit,
)


def uniform(rows, n_columns, key, step, stream, dtype=np.float32, *, out=None):
    """Draw uniforms; see `sampling.uniform`."""
    return _draw("uniform", rows, n_columns, key, step, stream, dtype, out)


def normal(rows, n_columns, key, step, stream, dtype=np.float32, *, out=None):
    """Draw standard normals; see `sampling.normal`."""
    return _draw("normal", rows, n_columns, key, step, stream, dtype, out)


def sigmoid(activation, bias, *, out=None):
    """Return the sigmoid; see `sampling.sigmoid`."""
    xp = namespace(activation)
    activation, bias = operands(xp, activation, bias)
    (mean,) = outputs(xp, out, activation.shape, activation.dtype, 1)
    per_counter(_kernels(mean).sigmoid, mean.shape, activation, bias, mean)
    return mean


def softplus(activation, bias, *, out=None):
    """Return the sum over each row of log(1 + exp(x)); see `sampling.softplus`."""
    xp = namespace(activation)
    activation, bias = operands(xp, activation, bias)
    (total,) = outputs(xp, out, activation.shape[:1], np.float64, 1)
    total[...] = 0
    per_row(_kernels(activation).softplus, activation.shape, activation, bias, total)
    return total


def bernoulli(activation, bias, rows, key, step, stream, *, out=None):
    """Return the sigmoid and a draw; see `sampling.bernoulli`."""
    return _mean_and_draw("bernoulli", activation, bias, rows, key, step, stream, out)


def gaussian(activation, bias, rows, key, step, stream, *, out=None):
    """Return activation + bias and a draw; see `sampling.gaussian`."""
    return _mean_and_draw("gaussian", activation, bias, rows, key, step, stream, out)


def softmax(activation, bias, totals, *, out=None):
    """Return ``totals[:, None] * softmax``; see `sampling.softmax`."""
    xp = namespace(activation)
    activation, bias = operands(xp, activation, bias)
    totals = vector(xp, totals, len(activation), activation.dtype)
    (mean,) = outputs(xp, out, activation.shape, activation.dtype, 1)
    per_row(_kernels(mean).softmax, mean.shape, activation, bias, totals, mean)
    return mean


def multinomial(activation, bias, totals, rows, key, step, stream, *, out=None):
    """Return the softmax and a draw of counts; see `sampling.multinomial`."""
    xp = namespace(activation)
    activation, bias = operands(xp, activation, bias)
    totals = vector(xp, totals, len(activation), activation.dtype)
    rows = vector(xp, rows, len(activation), np.uint32)
    mean, draw = outputs(xp, out, activation.shape, activation.dtype, 2)
    if mean.size == 0:
        return mean, draw
    softmax(activation, bias, totals, out=mean)
    cumulative = xp.cumsum(mean, axis=1, dtype=np.float64)
    draw[...] = 0
    counts = word_counts(xp, totals)
    words = draw_words(key, step, stream)
    per_row(_kernels(mean).multinomial, mean.shape, cumulative, counts, rows, draw, *words)
    return mean, draw


def binomial(activation, bias, trials, rows, key, step, stream, *, out=None):
    """Return ``trials * sigmoid`` and a draw of counts; see `sampling.binomial`."""
    trials = np.int32(n_trials(trials))
    return _mean_and_draw("binomial", activation, bias, rows, key, step, stream, out, trials)


def _draw(name, rows, n_columns, key, step, stream, dtype, out):
    xp = namespace(rows)
    rows = vector(xp, rows, len(rows), np.uint32)
    (draw,) = outputs(xp, out, (len(rows), n_columns), dtype, 1)
    kernel = getattr(_kernels(draw), name)
    per_counter(kernel, draw.shape, rows, draw, *draw_words(key, step, stream))
    return draw


def _mean_and_draw(name, activation, bias, rows, key, step, stream, out, *more):
    xp = namespace(activation)
    activation, bias = operands(xp, activation, bias)
    rows = vector(xp, rows, len(activation), np.uint32)
    mean, draw = outputs(xp, out, activation.shape, activation.dtype, 2)
    kernel = getattr(_kernels(mean), name)
    words = draw_words(key, step, stream)
    per_counter(kernel, mean.shape, activation, bias, rows, mean, draw, *more, *words)
    return mean, draw


# --- the kernels ----------------------------------------------------------------------------------
# A thread of `per_counter` has one counter of a row, and so the columns c, B + c, 2B + c, 3B + c; a
# block of `per_row` has a row. Both step through the rows they cannot reach at once.


def _build(dtype, exponential, logistic, soft, box_muller):
    """Return the kernels for arrays of one dtype."""
    zero, one = dtype(0), dtype(1)

    @cuda.jit
    def uniform(rows, draw, k0, k1, step, stream):
        c, first = cuda.grid(2)
        n = draw.shape[1]
        quarter = (n + 3) // 4
        if c < quarter:
            for i in range(first, draw.shape[0], cuda.gridsize(2)[1]):
                words = philox(c, rows[i], step, stream, k0, k1)
                for lane in range(4):
                    j = lane * quarter + c
                    if j < n:
                        draw[i, j] = unit(words[lane])

    @cuda.jit
    def normal(rows, draw, k0, k1, step, stream):
        c, first = cuda.grid(2)
        n = draw.shape[1]
        quarter = (n + 3) // 4
        if c < quarter:
            for i in range(first, draw.shape[0], cuda.gridsize(2)[1]):
                words = philox(c, rows[i], step, stream, k0, k1)
                for lane in range(0, 4, 2):
                    z = box_muller(words[lane], words[lane + 1])
                    for half in range(2):
                        j = (lane + half) * quarter + c
                        if j < n:
                            draw[i, j] = z[half]

    @cuda.jit
    def sigmoid(activation, bias, mean):
        c, first = cuda.grid(2)
        n = mean.shape[1]
        quarter = (n + 3) // 4
        if c < quarter:
            for i in range(first, mean.shape[0], cuda.gridsize(2)[1]):
                for j in range(c, n, quarter):
                    mean[i, j] = logistic(activation[i, j] + bias[j])

    @cuda.jit
    def bernoulli(activation, bias, rows, mean, draw, k0, k1, step, stream):
        c, first = cuda.grid(2)
        n = mean.shape[1]
        quarter = (n + 3) // 4
        if c < quarter:
            for i in range(first, mean.shape[0], cuda.gridsize(2)[1]):
                words = philox(c, rows[i], step, stream, k0, k1)
                for lane in range(4):
                    j = lane * quarter + c
                    if j < n:
                        p = logistic(activation[i, j] + bias[j])
                        mean[i, j] = p
                        draw[i, j] = one if unit(words[lane]) < p else zero

    @cuda.jit
    def gaussian(activation, bias, rows, mean, draw, k0, k1, step, stream):
        c, first = cuda.grid(2)
        n = mean.shape[1]
        quarter = (n + 3) // 4
        if c < quarter:
            for i in range(first, mean.shape[0], cuda.gridsize(2)[1]):
                words = philox(c, rows[i], step, stream, k0, k1)
                for lane in range(0, 4, 2):
                    z = box_muller(words[lane], words[lane + 1])
                    for half in range(2):
                        j = (lane + half) * quarter + c
                        if j < n:
                            m = activation[i, j] + bias[j]
                            mean[i, j] = m
                            draw[i, j] = m + dtype(z[half])

    @cuda.jit
    def binomial(activation, bias, rows, mean, draw, trials, k0, k1, step, stream):
        c, first = cuda.grid(2)
        n = mean.shape[1]
        quarter = (n + 3) // 4
        if c < quarter:
            for i in range(first, mean.shape[0], cuda.gridsize(2)[1]):
                words = philox(c, rows[i], step, stream, k0, k1)
                for lane in range(4):
                    j = lane * quarter + c
                    if j < n:
                        p = logistic(activation[i, j] + bias[j])
                        mean[i, j] = dtype(trials) * p
                        draw[i, j] = binomial_count(unit(words[lane]), p, trials)

    @cuda.jit
    def softplus(activation, bias, total):
        shared = cuda.shared.array(BLOCK, float64)
        thread = cuda.threadIdx.x
        n = activation.shape[1]
        for i in range(cuda.blockIdx.x, activation.shape[0], cuda.gridDim.x):
            part = float64(0)
            for j in range(thread, n, BLOCK):
                part += float64(soft(activation[i, j] + bias[j]))
            shared[thread] = part
            width = BLOCK // 2
            while width > 0:
                cuda.syncthreads()
                if thread < width:
                    shared[thread] += shared[thread + width]
                width //= 2
            if thread == 0:
                total[i] = shared[0]
            cuda.syncthreads()

    @cuda.jit
    def softmax(activation, bias, totals, mean):
        shared = cuda.shared.array(BLOCK, dtype)
        thread = cuda.threadIdx.x
        n = mean.shape[1]
        for i in range(cuda.blockIdx.x, mean.shape[0], cuda.gridDim.x):
            largest = dtype(-math.inf)
            for j in range(thread, n, BLOCK):
                largest = max(largest, activation[i, j] + bias[j])
            shared[thread] = largest
            width = BLOCK // 2
            while width > 0:
                cuda.syncthreads()
                if thread < width:
                    shared[thread] = max(shared[thread], shared[thread + width])
                width //= 2
            cuda.syncthreads()
            largest = shared[0]
            cuda.syncthreads()

            total = zero
            for j in range(thread, n, BLOCK):
                weight = exponential(activation[i, j] + bias[j] - largest)
                mean[i, j] = weight
                total += dtype(weight)
            shared[thread] = total
            width = BLOCK // 2
            while width > 0:
                cuda.syncthreads()
                if thread < width:
                    shared[thread] += shared[thread + width]
                width //= 2
            cuda.syncthreads()
            scale = totals[i] / shared[0]
            cuda.syncthreads()
            for j in range(thread, n, BLOCK):
                mean[i, j] *= scale

    @cuda.jit
    def multinomial(cumulative, counts, rows, draw, k0, k1, step, stream):
        for i in range(cuda.blockIdx.x, draw.shape[0], cuda.gridDim.x):
            last = draw.shape[1] - 1
            total = cumulative[i, last]
            count = 0 if math.isnan(total) else counts[i]
            for start in range(4 * cuda.threadIdx.x, count, 4 * BLOCK):
                words = philox(start // 4, rows[i], step, stream, k0, k1)
                for lane in range(4):
                    if start + lane < count:
                        target = float64(unit(words[lane])) * total
                        low, high = 0, last
                        while low < high:
                            middle = (low + high) // 2
                            if cumulative[i, middle] > target:
                                high = middle
                            else:
                                low = middle + 1
                        cuda.atomic.add(draw, (i, low), one)

    return SimpleNamespace(
        uniform=uniform,
        normal=normal,
        sigmoid=sigmoid,
        bernoulli=bernoulli,
        gaussian=gaussian,
        softplus=softplus,
        softmax=softmax,
        multinomial=multinomial,
        binomial=binomial,
    )


KERNELS = {
    "float32": _build(float32, exponential32, logistic32, softplus32, box_muller32),
    "float64": _build(float64, exponential64, logistic64, softplus64, box_muller64),
}


def _kernels(array):
    return KERNELS[array.dtype.name]
