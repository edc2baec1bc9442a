"""Comparing the GPU kernels of a network's steps with the CPU; for the simulator and a real GPU."""

import numpy as np

from mmgraph.backend.kernels import updates, updates_cuda

SHAPES = [(5, 11), (3, 1), (2, 4)]


def check(to_device=np.asarray, to_numpy=np.asarray, shapes=SHAPES):
    """Raise unless the twins agree on matrices of the given shapes."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for n, m in shapes:
            value, g, first = rng.normal(size=(3, n, m)).astype(dtype)
            second, squares = first**2, np.zeros(m, dtype)
            for name, arrays, settings in (
                ("adam", (value, g, (first, second)), (3, 0.01, (0.9, 0.999), 1e-8, 0.1)),
                ("nesterov", (value, g, first), (0.01, 0.9, 0.1)),
            ):
                ours, theirs = (_each(arrays, np.copy), _each(arrays, to_device))
                sums = squares.copy(), to_device(squares.copy())
                theirs = _each(theirs, lambda array: array.copy())
                getattr(updates, name)(*ours, *settings, sums[0])
                getattr(updates_cuda, name)(*theirs, *settings, sums[1])
                for one, other in zip(
                    _flat((*ours, sums[0])), _flat((*theirs, sums[1])), strict=True
                ):
                    other, tolerance = to_numpy(other), 1e-5 if dtype == np.float32 else 1e-12
                    assert other.dtype == dtype
                    np.testing.assert_allclose(one, other, tolerance, tolerance)


def _each(arrays, change):
    return tuple(_each(a, change) if isinstance(a, tuple) else change(a) for a in arrays)


def _flat(arrays):
    return [b for a in arrays for b in (a if isinstance(a, tuple) else (a,))]
