"""Sparse CCA: its vectors against brute force and the published algorithm, and what it selects."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

import mmgraph as mg
from mmgraph.engine.sparse import soft_unit

LAYOUT = {"a": slice(0, 30), "b": slice(30, 42)}


def rows(n=100, seed=0, strength=2.0):
    """Columns 0 to 3 of a and 0 to 2 of b share a latent variable, 10 to 12 and 5 to 6 another."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 42)) * rng.uniform(0.1, 10, 42) + rng.normal(size=42)
    common = rng.normal(size=(n, 2))
    for k, columns in enumerate(([0, 1, 2, 3, 30, 31, 32], [10, 11, 12, 35, 36])):
        X[:, columns] += (2 - k) * strength * X[:, columns].std(axis=0) * common[:, [k]]
    return X


X = rows()


def test_soft_unit_is_the_best():
    rng = np.random.default_rng(0)
    for bound in (1.0, 1.3, 2.0):
        a = rng.normal(size=6)
        found = soft_unit(a, bound)
        assert np.abs(found).sum() <= bound + 1e-8
        np.testing.assert_allclose(np.linalg.norm(found), 1)
        limits = (
            {"type": "ineq", "fun": lambda u, c=bound: c - np.abs(u).sum()},
            {"type": "ineq", "fun": lambda u: 1 - u @ u},
        )
        best = max(
            -minimize(lambda u, a=a: -(a @ u), start / 3, constraints=limits, method="SLSQP").fun
            for start in rng.normal(size=(10, 6))
        )
        np.testing.assert_allclose(found @ a, best, rtol=1e-3)
    np.testing.assert_array_equal(soft_unit(np.zeros(3), 1.0), 0)
    np.testing.assert_array_equal(soft_unit(np.array([0.0, -3.0]), 1.0), [0, -1])


def published(a, b, bounds, n_components):
    """Algorithm 3 of Witten, Tibshirani & Hastie (2009), and regression on each variate."""
    found = []
    for _ in range(n_components):
        K = a.T @ b
        v = np.linalg.svd(K)[2][0]
        for _ in range(1000):
            u = soft_unit(K @ v, bounds[0])
            v = soft_unit(K.T @ u, bounds[1])
        a, b = (x - np.outer(x @ w, x.T @ x @ w) / (x @ w @ x @ w) for x, w in ((a, u), (b, v)))
        found.append((u, v))
    return [np.stack(vectors, axis=1) for vectors in zip(*found, strict=True)]


@pytest.mark.parametrize("penalty", [0.35, 1.0])
def test_published_algorithm(penalty):
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    bounds = penalty * np.sqrt(30), penalty * np.sqrt(12)
    expected = published(Z[:, :30], Z[:, 30:], bounds, 3)
    model = mg.SparseCCA(3, penalty=penalty, modalities=LAYOUT, tol=1e-10).fit(X)
    for name, vectors in zip(LAYOUT, expected, strict=True):
        products = (model.vectors_[name] * vectors).sum(axis=0)
        np.testing.assert_allclose(np.abs(products), 1, atol=1e-6)
        z = model.embed(X, name)
        np.testing.assert_allclose(np.cov(z.T, ddof=0), np.eye(3), atol=1e-10)


def test_selects_what_goes_together():
    model = mg.SparseCCA(2, penalty={"a": 0.36, "b": 0.5}, modalities=LAYOUT).fit(X)
    chosen = [np.flatnonzero(model.vectors_["a"][:, k]).tolist() for k in range(2)]
    assert chosen[0] == [0, 1, 2, 3]
    assert set(chosen[1]) >= {10, 11, 12}
    assert model.canonical_correlations_[0] > 0.8
    for name in LAYOUT:
        np.testing.assert_allclose(model.embed(X, name).std(axis=0), 1)
    new = rows(500)[100:]
    z = [model.embed(new, name) for name in LAYOUT]
    expected = sum(np.corrcoef(z[0][:, k], z[1][:, k])[0, 1] for k in range(2))
    np.testing.assert_allclose(model.score(new), expected)


def test_loadings_and_means_of_what_is_seen():
    model = mg.SparseCCA(2, modalities=LAYOUT).fit(X)
    z = model.embed(X, "a")
    for k in range(2):
        r = [np.corrcoef(column, z[:, k])[0, 1] for column in X[:, :30].T]
        np.testing.assert_allclose(model.loadings_["a"][:, k], r, atol=1e-10)
    joint = model.transform(X)
    design = np.c_[np.ones(len(X)), joint]
    expected = design @ np.linalg.lstsq(design, X, rcond=None)[0]
    np.testing.assert_allclose(model.inverse_transform(joint), expected, atol=1e-8)


def test_three_modalities():
    layout = {"a": slice(0, 20), "b": slice(20, 30), "c": slice(30, 42)}
    model = mg.SparseCCA(1, penalty=0.4, modalities=layout).fit(X)
    np.testing.assert_array_equal(np.flatnonzero(model.weights_["a"]), [0, 1, 2, 3])
    assert set(np.flatnonzero(model.weights_["c"])) >= {0, 1, 2}


def test_one_modality_gives_principal_components():
    model = mg.SparseCCA(1, penalty=1.0).fit(X)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    axis = np.linalg.svd(Z)[2][0]
    assert abs(np.corrcoef(model.transform(X)[:, 0], Z @ axis)[0, 1]) > 1 - 1e-8


def test_sparse_rows():
    dense = mg.SparseCCA(2, modalities=LAYOUT).fit(X)
    sparse = mg.SparseCCA(2, modalities=LAYOUT).fit(sp.csr_array(X))
    np.testing.assert_allclose(dense.transform(X), sparse.transform(sp.csr_array(X)), atol=1e-6)


def test_rows_that_miss_modalities():
    X = rows(2000)
    holed = X.copy()
    holed[:600, :30] = np.nan
    holed[500:900, 30:] = np.nan
    whole = mg.SparseCCA(2, modalities=LAYOUT).fit(X)
    found = mg.SparseCCA(2, modalities=LAYOUT).fit(holed)
    np.testing.assert_allclose(
        found.canonical_correlations_, whole.canonical_correlations_, atol=0.05
    )
    assert np.isfinite(found.transform(holed)).all()
    np.testing.assert_array_equal(found.transform(holed)[500:600], 0)
    holed[:, :30][900:] = np.nan
    with pytest.raises(ValueError, match="no row shows both 'a' and 'b'"):
        mg.SparseCCA(modalities=LAYOUT).fit(holed)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_columns_and_scales(kind, dtype):
    scale = np.ones(42)
    scale[[0, 10, 31]] = 1e12, 1e-12, 1e-12
    wide = (X * scale).astype(dtype)
    wide[:, 5] = 0.1
    layout = LAYOUT
    found = mg.SparseCCA(2, penalty=1.0, modalities=layout).fit(kind(wide))
    plain = X.copy()
    plain[:, 5] = 0
    expected = mg.SparseCCA(2, penalty=1.0, modalities=layout).fit(plain)
    np.testing.assert_array_equal(found.weights_["a"][5], 0)
    np.testing.assert_allclose(found.transform(wide), expected.transform(plain), atol=1e-3)


@pytest.mark.parametrize(
    ("X", "changes", "message"),
    [
        (X[:1], {}, "'a' has zero variance: .* n_samples=1"),
        (X, {"penalty": 0}, "penalty=0: it must be a number above 0 and at most 1"),
        (X, {"penalty": {"a": 2}}, r"penalty\['a'\]=2: it must be"),
        (X, {"penalty": {"z": 0.5}}, "unknown modality 'z'"),
        (X, {"penalty": None}, "penalty=None: it must be a number"),
        (X, {"tol": -1}, "tol=-1: it must be a number at least 0"),
    ],
)
def test_what_cannot_be_fitted(X, changes, message):
    with pytest.raises(ValueError, match=message):
        mg.SparseCCA(modalities=LAYOUT, **changes).fit(X)


@pytest.mark.parametrize("scale", [1e300, 1e-200])
def test_squares_out_of_range(scale):
    plain, found = (mg.SparseCCA(2, modalities=LAYOUT).fit(s * X) for s in (1, scale))
    np.testing.assert_allclose(found.transform(scale * X), plain.transform(X), atol=1e-6)
