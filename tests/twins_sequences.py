"""Comparing the GPU kernels of recursions over arcs with the CPU; for the simulator and a GPU."""

import numpy as np

from mmgraph.backend.kernels import sequences, sequences_cuda
from mmgraph.backend.kernels.sequences import Arcs

LENGTHS = (4, 1, 3)


def problem(topology, dtype, rng):
    """Sequences, of which one frame is all but impossible and one is impossible."""
    n = {"ergodic": 3, "left-right": 4, "one": 1}[topology]
    allowed = np.ones((n, n), bool)
    if topology == "left-right":
        allowed = np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool)
    matrix = allowed * rng.random((n, n))
    matrix /= matrix.sum(axis=1, keepdims=True)
    targets, sources = np.nonzero(matrix.T)
    values = np.log(matrix[sources, targets])
    start = np.log(rng.dirichlet(np.ones(n)))
    if topology == "left-right":
        start = np.where(np.arange(n) == 0, 0.0, -np.inf)
    offsets = np.cumsum([0, *LENGTHS]).astype(np.int64)
    frames = rng.normal(-3, 4, (offsets[-1], n))
    frames[1, n - 1] -= 900
    frames[2] = -np.inf
    frames[6, : n - 1] = -np.inf
    arcs = Arcs.of(sources, targets, values.astype(dtype), n)
    return frames.astype(dtype), offsets, start[None].astype(dtype), arcs


def answers(twin, frames, offsets, start, arcs, uniforms, whole):
    """All that the recursions say."""
    filtered, log_scale = twin.forward(frames, offsets, start, arcs)
    posterior, path, paths = frames.copy(), whole[0].copy(), whole.copy()
    counts = twin.backward(posterior, filtered, log_scale, offsets, arcs)
    again, starts, after = frames.copy(), filtered[:3].copy(), filtered[2:5].copy()
    after[1] = np.nan
    own, scale = twin.forward(frames, offsets, starts, arcs)
    more = twin.backward(again, own, scale, offsets, arcs, after)
    best = twin.best_path(frames, offsets, start, arcs, path)
    twin.draw_paths(filtered, offsets, arcs, uniforms, paths)
    operators = twin.operators(frames, offsets, arcs)
    return filtered, log_scale, posterior, counts, again, more, operators, best, path, paths


def check(to_device=np.asarray, to_numpy=np.asarray):
    """Raise unless the twins agree."""
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 1e-3), (np.float64, 1e-10)):
        for topology in ("ergodic", "left-right", "one"):
            frames, offsets, start, arcs = problem(topology, dtype, rng)
            uniforms = rng.random((3, len(frames))).astype(dtype)
            whole = np.zeros((3, len(frames)), np.int32)
            expected = answers(sequences, frames, offsets, start, arcs, uniforms, whole)
            arcs = Arcs(*map(to_device, arcs))
            moved = map(to_device, (frames, offsets, start))
            drawn = map(to_device, (uniforms, whole))
            found = answers(sequences_cuda, *moved, arcs, *drawn)
            for one, other in zip(found, expected, strict=True):
                one = to_numpy(one)
                assert one.dtype == other.dtype
                np.testing.assert_allclose(one, other, tolerance, tolerance)
