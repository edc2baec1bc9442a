"""The GPU twin of `gram`: the same functions on CuPy arrays, over the same scalar function.

A block computes a tile of the Gram matrices. Its rows come to shared memory a few columns at a
time; distances are added up in registers, and all widths are made of them before they are left.
"""

import math

from numba import cuda, float32, float64

from ..arrays import namespace
from .gram import DISTANCES, EACH, KINDS, SUM, arrange, part
from .launch import per_tile

SIDE = 16  # threads along each side of a block, and columns that are read at a time
ROWS = 4  # rows of A a thread computes
TILE = SIDE * ROWS, SIDE
PADDED = SIDE, SIDE + 1  # so that the threads of a warp read different banks


def distances(name, A, B):
    """Return the distances between all rows; see `gram.distances`."""
    return _launched(name, DISTANCES, A, B, [0.0], [0.0])[0]


def radial(name, A, B, gammas):
    """Return the kernels of all widths; see `gram.radial`."""
    return _launched(name, EACH, A, B, gammas, gammas)


def combined(name, A, B, gammas, weights):
    """Return the weighted sum of the kernels; see `gram.combined`."""
    return _launched(name, SUM, A, B, gammas, weights)[0]


def _launched(name, what, A, *arguments):
    *arguments, out = arrange(namespace(A), what, A, *arguments)
    kernel, shape = KERNELS[A.dtype.name], out.shape[1:]
    per_tile(kernel, shape, TILE, (SIDE, SIDE), KINDS[name], what, *arguments, out)
    return out


def _build(dtype):
    """Return the kernel for arrays of one dtype."""
    zero = dtype(0)

    @cuda.jit
    def radial(kind, what, A, B, gammas, weights, out):
        some = cuda.shared.array(TILE, dtype)
        others = cuda.shared.array(PADDED, dtype)
        d = cuda.local.array(ROWS, dtype)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        top, left = cuda.blockIdx.y * SIDE * ROWS, cuda.blockIdx.x * SIDE
        j = left + x
        for r in range(ROWS):
            d[r] = zero
        for start in range(0, A.shape[1], SIDE):
            k = start + x
            for r in range(ROWS):
                i = top + r * SIDE + y
                inside = i < A.shape[0] and k < A.shape[1]
                some[r * SIDE + y, x] = A[i, k] if inside else zero
            inside = left + y < B.shape[0] and k < B.shape[1]
            others[y, x] = B[left + y, k] if inside else zero
            cuda.syncthreads()
            for c in range(SIDE):  # beyond the last column both are zero, which adds nothing
                b = others[x, c]
                for r in range(ROWS):
                    d[r] += part(kind, some[r * SIDE + y, c], b)
            cuda.syncthreads()
        if j < B.shape[0]:
            for r in range(ROWS):
                i = top + r * SIDE + y
                if i < A.shape[0] and what == DISTANCES:
                    out[0, i, j] = d[r]
                elif i < A.shape[0]:
                    total = zero
                    for w in range(gammas.shape[0]):
                        value = math.exp(-gammas[w] * d[r])
                        total += weights[w] * value
                        if what == EACH:
                            out[w, i, j] = value
                    if what == SUM:
                        out[0, i, j] = total

    return radial


KERNELS = {"float32": _build(float32), "float64": _build(float64)}
