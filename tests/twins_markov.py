"""Comparing what mixtures of emissions need on the GPU with the CPU."""

import numpy as np

from mmgraph.backend.kernels import markov, markov_cuda


def check(to_device=np.asarray, to_numpy=np.asarray):
    """Raise unless the twins agree, also where a state is impossible or all but so."""
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        parts = rng.normal(-3, 20, (50, 6)).astype(dtype)
        parts[0, :2] = -np.inf
        parts[1] -= dtype(1000)
        pairs = []
        for twin, move in ((markov, np.array), (markov_cuda, to_device)):
            shares, total = move(parts.copy()), move(np.zeros((50, 3), dtype))
            with np.errstate(divide="ignore"):
                twin.mix(shares, total, 2)
            pairs.append((to_numpy(shares), to_numpy(total)))
        for one, other in zip(*pairs, strict=True):
            np.testing.assert_allclose(one, other, tolerance, tolerance)
