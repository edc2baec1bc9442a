"""Comparing the GPU kernel of Gram matrices with its CPU twin; for the simulator and a real GPU."""

import numpy as np

from mmgraph.backend.kernels import gram, gram_cuda

SHAPES = [(3, 2, 17), (66, 2, 1), (0, 5, 2)]
GAMMAS, WEIGHTS = (0.1, 0.5, 2.0), (0.2, 0.0, 0.7)


def check(to_device=np.asarray, to_numpy=np.asarray, shapes=SHAPES):
    """Raise unless the twins agree on n and m rows of p columns."""
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        for n, m, p in shapes:
            A, B = (rng.random((size, p)).astype(dtype) for size in (n, m))
            A[A < 0.2] = 0
            for name in gram.KINDS:
                for call in (
                    lambda twin, *rows, name=name: twin.distances(name, *rows),
                    lambda twin, *rows, name=name: twin.radial(name, *rows, GAMMAS),
                    lambda twin, *rows, name=name: twin.combined(name, *rows, GAMMAS, WEIGHTS),
                ):
                    expected = call(gram, A, B)
                    found = to_numpy(call(gram_cuda, to_device(A), to_device(B)))
                    assert found.dtype == dtype
                    np.testing.assert_allclose(found, expected, tolerance, tolerance)
