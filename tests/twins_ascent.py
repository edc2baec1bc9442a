"""Comparing the GPU kernel of a step with its CPU twin; for the simulator and for a real GPU."""

import numpy as np

from mmgraph.backend.kernels import ascent, ascent_cuda

SHAPES = [(5, 11), (3, 1), (2, 4), (0, 5), (3, 0)]


def problem(n, m, dtype, seed=0):
    """Arguments of `ascend`: matrices, pairs of vectors, and numbers."""
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(size=(n, m)).astype(dtype) for _ in range(4)]
    pairs = [tuple(rng.normal(size=(2, size)).astype(dtype)) for size in (n, m)]
    return *matrices, *pairs, (0.3, 0.2), 0.9, 0.01


def check(to_device=np.asarray, to_numpy=np.asarray, shapes=SHAPES):
    """Raise unless the twins agree on matrices of the given shapes."""
    for dtype in (np.float32, np.float64):
        for n, m in shapes:
            given = problem(n, m, dtype)
            moved = [
                tuple(map(to_device, argument)) if isinstance(argument, tuple) else argument
                for argument in given[:6]
            ]
            moved[:4] = [to_device(matrix.copy()) for matrix in given[:4]]
            expected = ascent.ascend(*given)
            result = ascent_cuda.ascend(*moved, *given[6:])
            tolerance = 1e-5 if dtype == np.float32 else 1e-13
            for one, other in ((result, expected), (moved[1], given[1])):
                one = to_numpy(one)
                assert one.dtype == other.dtype == dtype
                np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
