"""Warping against all paths, one by one, and soft warping against finite differences."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.spatial.distance import cdist

from mmgraph.backend.kernels import wavefront
from mmgraph.engine import warping
from mmgraph.engine.soft_warping import soft_dtw, soft_dtw_barycenter
from mmgraph.engine.warping import STEP_PATTERNS, dtw, dtw_distances, match

STEPS = (1, 1), (1, 0), (0, 1), (1, 2)


def streams(n, m, width=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)), rng.normal(size=(m, width))


def admitted(i, j, n, m, band):
    return band is None or n == 1 or abs(j - i * (m - 1) / (n - 1)) <= band


def all_paths(n, m, pattern="symmetric1", band=None, open_begin=False, open_end=False):
    """Every admitted path, as cells and the weights of their steps."""
    weights = STEP_PATTERNS[pattern]

    def extend(cells, factors):
        i, j = cells[-1]
        if i == n - 1 and (j == m - 1 or open_end):
            yield cells, factors
        for (down, right), weight in zip(STEPS, weights, strict=True):
            a, b = i + down, j + right
            if a < n and b < m and weight < np.inf and admitted(a, b, n, m, band):
                yield from extend([*cells, (a, b)], [*factors, weight])

    for j in range(m if open_begin else 1):
        if admitted(0, j, n, m, band):
            yield from extend([(0, j)], [1.0])


def cost(C, cells, factors):
    return sum(w * C[c] for c, w in zip(cells, factors, strict=True))


CASES = [
    (n, m, pattern, band, begin, end)
    for n, m in [(1, 1), (1, 4), (4, 1), (3, 5), (5, 4)]
    for pattern in STEP_PATTERNS
    for band in (None, 1.5)
    for begin, end in [(False, False), (True, False), (False, True), (True, True)]
]


@pytest.mark.parametrize("at_once", [1 << 22, 8])
def test_the_best_of_all_paths(monkeypatch, at_once):
    monkeypatch.setattr(warping, "BLOCK_CELLS", at_once)
    for n, m, pattern, band, begin, end in CASES:
        A, B = streams(n, m)
        C = cdist(A, B, "sqeuclidean")
        paths = list(all_paths(n, m, pattern, band, begin, end))
        options = {
            "step_pattern": pattern, "band": band, "open_begin": begin, "open_end": end,
        }  # fmt: skip
        together = dtw_distances([(A, B), (A, B)], **options)
        if not paths:
            assert (together == np.inf).all()
            with pytest.raises(ValueError, match=f"no path is admitted .* {n} and {m} frames"):
                dtw(A, B, **options)
            continue
        best = min(cost(C, *path) for path in paths)
        found = dtw(A, B, **options)
        assert found.distance == pytest.approx(best)
        np.testing.assert_allclose(together, best)
        cells = list(map(tuple, found.path.tolist()))
        costs = [cost(C, *path) for path in paths if path[0] == cells]
        assert len(costs) == 1
        assert costs[0] == pytest.approx(best)


def test_long_streams_in_blocks_have_the_path_of_short_ones(monkeypatch):
    A, B = streams(90, 70)
    whole = dtw(A, B, band=20)
    monkeypatch.setattr(warping, "BLOCK_CELLS", 500)
    parts = dtw(A, B, band=20)
    assert parts.distance == whole.distance
    np.testing.assert_array_equal(parts.path, whole.path)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", lambda a, b: abs(a - b).max()])
def test_any_metric(metric):
    A, B = streams(7, 9)
    C = cdist(A, B, metric)
    one, two = dtw(A, B, metric=metric), dtw(C, metric="precomputed")
    assert one.distance == two.distance == pytest.approx(C[tuple(one.path.T)].sum())


def test_many_pairs_of_different_lengths():
    rng = np.random.default_rng(0)
    pairs = [streams(*rng.integers(1, 90, 2), seed=seed) for seed in range(60)]
    for options in ({}, {"band": 90, "step_pattern": "symmetric2"}):
        found = dtw_distances(pairs, **options)
        np.testing.assert_allclose(found, [dtw(*pair, **options).distance for pair in pairs])
    assert dtw_distances([]).shape == (0,)


@pytest.mark.parametrize("at_once", [1 << 22, 100])
def test_single_precision(monkeypatch, at_once):
    monkeypatch.setattr(warping, "BLOCK_CELLS", at_once)
    A, B = streams(40, 30)
    narrow = A.astype(np.float32), B.astype(np.float32)
    assert dtw(*narrow).distance == pytest.approx(dtw(A, B).distance, rel=1e-6)
    np.testing.assert_array_equal(dtw(*narrow).path, dtw(A, B).path)
    assert dtw(narrow[0], B).distance == dtw(narrow[0].astype(float), B).distance
    assert dtw_distances([narrow])[0] == pytest.approx(dtw(A, B).distance, rel=1e-6)
    assert soft_dtw(*narrow).gradient.dtype == np.float64
    assert soft_dtw(*narrow).value == pytest.approx(soft_dtw(A, B).value, rel=1e-6)


def test_scales_do_not_matter():
    A, B = streams(20, 25)
    usual = dtw(A, B)
    for scale in (1e-12, 1e12):
        found = dtw(A * scale, B * scale)
        np.testing.assert_array_equal(found.path, usual.path)
        assert found.distance == pytest.approx(usual.distance * scale**2)


def test_equal_constants_are_paired_along_the_diagonal():
    found = dtw(np.ones((4, 2)), np.ones((4, 2)))
    assert found.distance == 0
    np.testing.assert_array_equal(found.path, np.c_[:4, :4])


def test_matched_frames_are_averaged():
    path = np.array([[0, 0], [0, 1], [1, 2], [2, 2]])
    np.testing.assert_allclose(match(path, np.array([[1.0], [3], [5]]), 4)[:3, 0], [2, 5, 5])


@pytest.mark.parametrize(
    ("A", "B", "options", "message"),
    [
        (np.empty((0, 2)), np.ones((3, 2)), {}, "the first stream is empty"),
        (np.ones((3, 2)), [[1, np.nan]], {}, "the second stream is not finite .* in frame 0"),
        (np.ones((3, 2)), np.ones((3, 1)), {}, "2 and 1 columns.*CanonicalTimeWarping"),
        (np.ones((3, 2)), None, {}, "two streams"),
        (np.ones((3, 2)), np.ones((3, 2)), {"metric": "precomputed"}, "pass the costs alone"),
        (np.ones((3, 2, 1)), np.ones((3, 2)), {}, r"got one of shape \(3, 2, 1\)"),
        (np.ones((3, 2)), np.ones((40, 2)), {"band": 1}, "no path .* by band=1: widen"),
        (np.ones((3, 2)), np.ones((3, 2)), {"band": -1}, "band=-1: it must be"),
        (np.ones((3, 1)), np.ones((9, 1)), {"step_pattern": "asymmetric"}, "'asymmetric': choose"),
        (np.ones((3, 1)), np.ones((9, 1)), {"step_pattern": "x"}, "step_pattern='x': choose"),
        (np.zeros((3, 1)), np.ones((9, 1)), {"metric": "cosine"}, "metric is not finite"),
    ],
)
def test_bad_streams(A, B, options, message):
    with pytest.raises(ValueError, match=message):
        dtw(A, B, **options)


# Soft warping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("band", [None, 1.5])
def test_the_soft_minimum_of_all_paths(gamma, band):
    for n, m in [(1, 1), (1, 3), (4, 1), (4, 5), (5, 3)]:
        A, B = streams(n, m)
        C = cdist(A, B, "sqeuclidean")
        paths = list(all_paths(n, m, band=band))
        costs = np.array([cost(C, *path) for path in paths]) / gamma
        chances = np.exp(costs.min() - costs)
        passed = np.zeros((n, m))
        for (cells, _), chance in zip(paths, chances / chances.sum(), strict=True):
            passed[tuple(np.transpose(cells))] += chance
        found = soft_dtw(A, B, gamma, band=band)
        expected = gamma * (costs.min() - np.log(chances.sum()))
        assert found.value == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(found.alignment, passed, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 2.0])
def test_gradient_against_finite_differences(gamma):
    A, B = streams(6, 5)

    def value(flat):
        return soft_dtw(flat.reshape(A.shape), B, gamma).value

    def slope(flat):
        return soft_dtw(flat.reshape(A.shape), B, gamma).gradient.ravel()

    assert check_grad(value, slope, A.ravel()) < 1e-5


def test_soft_becomes_hard_as_gamma_falls():
    A, B = streams(30, 40)
    hard = dtw(A, B)
    gaps = [hard.distance - soft_dtw(A, B, gamma).value for gamma in (10, 1, 0.1, 1e-4)]
    assert gaps == sorted(gaps, reverse=True)
    assert -1e-9 <= gaps[-1] < 1e-3
    sharp = soft_dtw(A, B, 1e-6).alignment
    np.testing.assert_allclose(sharp[tuple(hard.path.T)], 1)
    assert sharp.sum() == pytest.approx(len(hard.path))


def test_a_barycentre_lowers_its_loss_and_keeps_the_shape():
    time = np.linspace(0, 1, 40)
    bumps = [np.exp(-((time - at) ** 2) / 0.005) for at in (0.35, 0.5, 0.65)]
    mean = np.mean(bumps, axis=0)[:, None]
    found = soft_dtw_barycenter(bumps, gamma=0.01)
    loss = [sum(soft_dtw(z, b, 0.01).value for b in bumps) for z in (found, mean)]
    assert loss[0] < loss[1]
    assert mean.max() < 0.6
    assert found.max() > 0.7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: soft_dtw([1.0], [1.0], 0), "gamma=0: it must be"),
        (lambda: soft_dtw([1e12], [0.0]), r"gamma=1.0 is too small beside .* 1e\+24: raise it"),
        (lambda: soft_dtw([1.0, np.nan], [1.0]), "first stream is not finite"),
        (lambda: soft_dtw(np.ones((3, 1)), np.ones((40, 1)), band=1), "no path"),
        (lambda: soft_dtw_barycenter([]), "no streams"),
        (lambda: soft_dtw_barycenter([[1.0]], weights=[-1.0]), "weights must be"),
    ],
)
def test_bad_soft_streams(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Many pairs at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("band", [np.inf, 1.5])
def test_many_soft_pairs(dtype, band):
    pairs = [streams(*shape, seed=sum(shape)) for shape in [(1, 1), (4, 6), (6, 3), (2, 20)]]
    frames = np.concatenate([s for pair in pairs for s in pair]).astype(dtype)
    edges = np.cumsum([0, *(len(s) for pair in pairs for s in pair)])
    spans = np.column_stack([edges[:-1], edges[1:]]).reshape(-1, 4)
    values, gradients = wavefront.soft_distances(frames, spans, band, 0.5)
    assert values.dtype == gradients.dtype == dtype
    stop = 0
    for (A, B), value in zip(pairs, values, strict=True):
        own = gradients[stop : (stop := stop + len(A))]
        try:
            one = soft_dtw(A, B, 0.5, band=None if band == np.inf else band)
        except ValueError:
            assert value == np.inf
            assert not own.any()
            continue
        assert value == pytest.approx(one.value, rel=1e-5)
        np.testing.assert_allclose(own, one.gradient, atol=2e-5)


def test_bands_along_diagonals_are_those_of_rows():
    for n, m, band in [(1, 5, 0.5), (5, 1, 1.0), (6, 9, 0.0), (6, 9, 1.5), (9, 4, 2.2), (7, 7, 3)]:
        (reach,) = wavefront.reaches(np.array([[0, n, 0, m]]), band)
        expected = {(i, j) for i in range(n) for j in range(m) if admitted(i, j, n, m, band)}
        found = set()
        for d in range(n + m - 1):
            low, high = wavefront.along(d, n, m, reach)
            found |= {(i, d - i) for i in range(low, high)}
        assert found == expected
