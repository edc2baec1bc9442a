"""The step of the weights on the CPU: against NumPy, and however it is split."""

import numpy as np
import pytest

from mmgraph.backend.kernels import ascent, threads


def problem(n, m, dtype, seed=0):
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(size=(n, m)).astype(dtype) for _ in range(4)]
    pairs = [tuple(rng.normal(size=(2, size)).astype(dtype)) for size in (n, m)]
    return *matrices, *pairs, (0.3, 0.2), 0.9, 0.01


@pytest.mark.parametrize("shape", [(9, 40), (3, 1), (1, 7), (0, 5), (3, 0), (50, 333)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_numpy(dtype, shape):
    given = problem(*shape, dtype)
    weights, velocity, positive, negative, (c0, d0), (c1, d1), *_ = (
        [part.astype(np.float64) for part in item] if isinstance(item, tuple) else item
        for item in (*(matrix.astype(np.float64) for matrix in given[:4]), *given[4:6])
    )
    gradient = 0.3 * positive - 0.2 * negative - np.outer(c0, d1) - np.outer(d0, c1)
    expected = 0.9 * velocity + gradient - 0.01 * weights
    kept = given[0].copy()
    moved = ascent.ascend(*given)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    assert moved is given[2]
    assert moved.dtype == given[1].dtype == dtype
    np.testing.assert_allclose(given[1], expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(moved, weights + expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(given[0], kept)


def test_threads_and_layout_change_nothing(monkeypatch):
    results = []
    for grain, layout in ((1 << 30, np.array), (1, np.array), (1, np.asfortranarray)):
        monkeypatch.setattr(threads, "GRAIN", grain)
        monkeypatch.setattr(threads, "n_threads", lambda: 3)
        weights, velocity, positive, negative, *more = problem(101, 37, np.float32)
        moved = ascent.ascend(layout(weights), velocity, positive, layout(negative), *more)
        results.append((moved, velocity))
    for moved, velocity in results[1:]:
        np.testing.assert_array_equal(moved, results[0][0])
        np.testing.assert_array_equal(velocity, results[0][1])


def test_what_cannot_be_changed_in_place_is_refused():
    weights, velocity, positive, negative, *more = problem(4, 6, np.float32)
    with pytest.raises(ValueError, match="C-contiguous"):
        ascent.ascend(weights, np.asfortranarray(velocity), positive, negative, *more)
    with pytest.raises(ValueError, match="one shape"):
        ascent.ascend(weights, velocity, positive, negative[:, :5], *more)
    with pytest.raises(ValueError, match="shape"):
        ascent.ascend(weights, velocity, positive, negative, more[1], *more[1:])
