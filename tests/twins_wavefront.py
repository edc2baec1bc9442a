"""Comparing the GPU kernels of warping with their CPU twins; for the simulator and a real GPU."""

import numpy as np

from mmgraph.backend.kernels import wavefront, wavefront_cuda

LENGTHS = [(1, 3), (4, 1), (5, 3), (3, 6)]
WEIGHTS = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]])


def problem(dtype, lengths, seed=0):
    """Frames of all streams one below the other, and where those of each pair lie."""
    edges = np.cumsum([0, *np.ravel(lengths)])
    frames = np.random.default_rng(seed).normal(size=(edges[-1], 3)).astype(dtype)
    return frames, np.column_stack([edges[:-1], edges[1:]]).reshape(-1, 4)


def check(to_device=np.asarray, to_numpy=np.asarray, lengths=LENGTHS):
    """Raise unless the twins agree on pairs of streams of the given lengths."""
    for dtype in (np.float32, np.float64):
        frames, spans = problem(dtype, lengths)
        moved, tolerance = to_device(frames), 2e-5 if dtype == np.float32 else 1e-11
        for band in (np.inf, 1.5):
            for weights, ends in [
                (WEIGHTS[0], (False, False)),
                (WEIGHTS[1], (True, True)),
            ]:
                _agree(
                    to_numpy(wavefront_cuda.distances(moved, spans, band, weights, ends)),
                    wavefront.distances(frames, spans, band, weights, ends),
                    dtype,
                    tolerance,
                )
            found = wavefront_cuda.soft_distances(moved, spans, band, 0.5)
            expected = wavefront.soft_distances(frames, spans, band, 0.5)
            for one, other in zip(found, expected, strict=True):
                _agree(to_numpy(one), other, dtype, 10 * tolerance)
    assert len(wavefront_cuda.distances(moved[:0], spans[:0], 1.0, WEIGHTS[0], (0, 0))) == 0


def _agree(one, other, dtype, tolerance):
    assert one.dtype == other.dtype == dtype
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
