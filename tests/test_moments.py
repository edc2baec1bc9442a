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
