"""Moments against NumPy, whole, in parts, by pattern, dense and sparse."""

import numpy as np
import pytest
import scipy.sparse as sp

from mmgraph.engine import moments
from mmgraph.modalities import Layout

rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 7)) * 3 + 5
LAYOUT = Layout({"a": np.arange(3), "b": np.arange(3, 5), "c": np.arange(5, 7)}, 7)


def assert_moments(found, rows, tol=1e-10):
    assert found.n == len(rows)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=tol)
    np.testing.assert_allclose(found.covariance, np.cov(rows.T, ddof=0), rtol=tol, atol=tol)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("block", [1, 1 << 23])
def test_rows(kind, block, monkeypatch):
    monkeypatch.setattr(moments, "BLOCK_BYTES", block)
    assert_moments(moments.of_rows(kind(X)), X)


def test_parts_are_merged_and_taken_out():
    one, two = moments.of_rows(X[:300]), moments.of_rows(X[300:])
    assert_moments(moments.merge(one, two), X)
    assert_moments(moments.subtract(moments.of_rows(X), one), X[300:])
    with pytest.raises(ValueError, match="a part of 1000 rows was taken from a set of 300"):
        moments.subtract(one, moments.of_rows(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mean_far_from_zero(dtype, monkeypatch):
    """The rows are centred before their product, block by block."""
    monkeypatch.setattr(moments, "BLOCK_BYTES", 1)
    far = (X + 1e4).astype(dtype)
    tol = 1e-4 if dtype == np.float32 else 1e-10
    assert_moments(moments.of_rows(far), far.astype(float), tol)


def test_pairwise():
    rows = X.copy()
    rows[:200, :3] = np.nan
    rows[100:400, 5:] = np.nan
    views = LAYOUT.views(rows)
    found = moments.gather(views.blocks, views.patterns()).pairwise()
    assert found.n == 1000
    np.testing.assert_allclose(found.mean, np.nanmean(rows, axis=0))
    S = found.covariance
    np.testing.assert_allclose(S[:3, :3], np.cov(X[200:, :3].T, ddof=0))
    np.testing.assert_allclose(S[:3, 3:5], np.cov(X[200:, :5].T, ddof=0)[:3, 3:])
    both = np.cov(X[400:][:, [0, 1, 2, 5, 6]].T, ddof=0)
    np.testing.assert_allclose(S[5:, :3], both[3:, :3])


def test_pairwise_is_a_covariance():
    """Of correlations 1, 1 and -1, each seen in rows of its own, there is no joint one."""
    values = rng.normal(size=100)
    values = np.tile(values - values.mean(), 3)
    rows = np.full((300, 3), np.nan)
    for start, (one, two, sign) in enumerate([(0, 1, 1), (1, 2, 1), (0, 2, -1)]):
        at = slice(100 * start, 100 * start + 100)
        rows[at, one], rows[at, two] = values[at], sign * values[at]
    views = Layout({name: np.array([k]) for k, name in enumerate("abc")}, 3).views(rows)
    S = moments.gather(views.blocks, views.patterns()).pairwise().covariance
    assert np.linalg.eigvalsh(S)[0] > -1e-10
    np.testing.assert_allclose(S.diagonal(), np.nanvar(rows, axis=0))
    r = S / np.sqrt(np.outer(S.diagonal(), S.diagonal()))
    np.testing.assert_allclose([r[0, 1], r[1, 2], r[0, 2]], [0.5, 0.5, -0.5])


def test_patterns():
    rows = X.copy()
    rows[:200, :3] = np.nan
    rows[100:400, 5:] = np.nan
    rows[50] = np.nan
    views = LAYOUT.views(rows)
    found = moments.gather(views.blocks, views.patterns())
    shown = ~np.isnan(rows[:, [0, 5]]).any(axis=1)
    assert_moments(found.of("a", "c"), X[shown][:, [0, 1, 2, 5, 6]])
    parts = [
        moments.gather(part.blocks, part.patterns())
        for part in (views.take(slice(0, 150)), views.take(slice(150, None)))
    ]
    whole = parts[0].merge(parts[1])
    assert whole.groups.keys() == found.groups.keys()
    for shown, group in found.groups.items():
        np.testing.assert_allclose(whole.groups[shown].scatter, group.scatter)
    rest = found.subtract(parts[0])
    assert rest.groups.keys() == parts[1].groups.keys()
    for shown, group in parts[1].groups.items():
        np.testing.assert_allclose(rest.groups[shown].scatter, group.scatter, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-50, 1.0, 1e50, 1e200, 1e300])
def test_a_unit_is_a_power_of_two_near_the_scale(scale):
    rows = np.random.default_rng(0).normal(size=(2500, 3)) * scale
    unit = moments.unit_of(rows)
    assert np.frexp(unit)[0] == 0.5
    assert unit == 1 if 1e-60 < scale < 1e60 else 0.1 < abs(rows / unit).max() < 10
    assert moments.unit_of(sp.csr_array(rows)) == unit
    assert moments.unit_of(np.zeros((2, 3))) == 1
