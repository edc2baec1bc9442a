"""CCA against textbook values, peers' formulas, brute force, and itself by other ways."""

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.sparse as sp
from joblib import Parallel, delayed, parallel_config
from scipy.stats import kstest
from sklearn import covariance
from sklearn.base import clone
from sklearn.cross_decomposition import CCA as IterativeCCA
from sklearn.cross_decomposition import PLSSVD
from sklearn.datasets import load_linnerud
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import mmgraph as mg

LAYOUT = {"a": slice(0, 5), "b": slice(5, 9)}
MIXED = np.where(np.arange(9) % 2, 1e300, 1e-300)  # no unit brings all squares into range
THREE = {"a": slice(0, 4), "b": slice(4, 7), "c": slice(7, 12)}


def rows(n=300, layout=LAYOUT, n_common=2, noise=1.0, seed=0):
    """Rows whose modalities share some latent variables."""
    rng = np.random.default_rng(seed)
    width = max(place.stop for place in layout.values())
    common = rng.normal(size=(n, n_common))
    return common @ rng.normal(size=(n_common, width)) + noise * rng.normal(size=(n, width))


def blocks(X, layout=LAYOUT):
    return [X[:, place] for place in layout.values()]


def generalised(X, layout, shrinkage=0.0):
    """Eigenvalues and weights of the generalised eigenproblem, by SciPy."""
    S = np.cov(X.T, ddof=0)
    D = np.zeros_like(S)
    for place in layout.values():
        own = S[place, place]
        D[place, place] = (1 - shrinkage) * own + shrinkage * own.trace() / len(own) * np.eye(
            len(own)
        )
        S[place, place] = D[place, place]
    values, vectors = scipy.linalg.eigh(S, D)
    return values[::-1], vectors[:, ::-1]


X = rows()


# Agreement -----------------------------------------------------------------------------------


def test_linnerud():
    linnerud = load_linnerud()
    packed, modalities = mg.pack(exercise=linnerud.data, body=linnerud.target)
    cca = mg.CCA(3, modalities=modalities).fit(packed)
    np.testing.assert_allclose(cca.canonical_correlations_, [0.7956, 0.2006, 0.0726], atol=5e-5)


def test_iterative_cca_agrees():
    a, b = blocks(X)
    iterative = IterativeCCA(2, max_iter=10_000, tol=1e-14).fit(a, b)
    u, v = iterative.transform(a, b)
    expected = [np.corrcoef(u[:, k], v[:, k])[0, 1] for k in range(2)]
    cca = mg.CCA(2, modalities=LAYOUT).fit(X)
    np.testing.assert_allclose(cca.canonical_correlations_, expected, atol=1e-6)
    ours = cca.embed(X, "a")
    for k in range(2):
        assert abs(np.corrcoef(ours[:, k], u[:, k])[0, 1]) > 1 - 1e-6


def test_full_shrinkage_is_partial_least_squares():
    a, b = blocks(X)
    pls = PLSSVD(3, scale=False).fit(a, b)
    cca = mg.CCA(3, shrinkage=1.0, modalities=LAYOUT).fit(X)
    for name, expected in (("a", pls.x_weights_), ("b", pls.y_weights_)):
        found = cca.weights_[name] / np.linalg.norm(cca.weights_[name], axis=0)
        np.testing.assert_allclose(np.abs((found * expected).sum(axis=0)), 1, atol=1e-10)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
@pytest.mark.parametrize("layout", [LAYOUT, THREE])
def test_generalised_eigenproblem(layout, shrinkage):
    X = rows(layout=layout)
    _, expected = generalised(X, layout, shrinkage)
    cca = mg.CCA(2, shrinkage=shrinkage, modalities=layout).fit(X)
    for name, place in layout.items():
        scores = (X[:, place] - X[:, place].mean(axis=0)) @ cca.weights_[name]
        np.testing.assert_allclose(scores.std(axis=0), 1)
        for k in range(2):
            other = X[:, place] @ expected[place, k]
            assert abs(np.corrcoef(scores[:, k], other)[0, 1]) > 1 - 1e-10


@pytest.mark.parametrize(("criterion", "power"), [("sumcor", 1), ("ssqcor", 2)])
def test_sums_of_correlations_are_the_largest(criterion, power):
    X = rows(layout=THREE, noise=2.0)

    def value(weights):
        z = [X[:, place] @ w for place, w in zip(THREE.values(), weights, strict=True)]
        return (np.corrcoef(z)[np.triu_indices(3, 1)] ** power).sum()

    cca = mg.CCA(3, criterion=criterion, modalities=THREE).fit(X)
    found = value([cca.weights_[name][:, 0] for name in THREE])
    other = mg.CCA(1, modalities=THREE).fit(X)
    assert found >= value([other.weights_[name][:, 0] for name in THREE]) - 1e-12
    rng = np.random.default_rng(0)
    for _ in range(200):
        near = [w[:, 0] + 0.03 * rng.normal(size=len(w)) for w in cca.weights_.values()]
        assert value(near) <= found + 1e-12
    for name, place in THREE.items():
        z = X[:, place] @ cca.weights_[name]
        np.testing.assert_allclose(np.cov(z.T, ddof=0), np.eye(3), atol=1e-8)


def test_two_modalities_make_criteria_agree():
    one, *others = (
        mg.CCA(3, criterion=criterion, modalities=LAYOUT).fit(X)
        for criterion in ("maxvar", "sumcor", "ssqcor")
    )
    for other in others:
        np.testing.assert_array_equal(one.transform(X), other.transform(X))


def test_one_modality_gives_principal_components():
    cca = mg.CCA(3).fit(X)
    expected = PCA(3, whiten=True).fit_transform(X) * np.sqrt(len(X) / (len(X) - 1))
    np.testing.assert_allclose(np.abs(cca.transform(X)), np.abs(expected), atol=1e-8)


# What is told -------------------------------------------------------------------------------


def test_attributes_are_what_they_say():
    cca = mg.CCA(2, modalities=LAYOUT).fit(X)
    z = {name: cca.embed(X, name) for name in LAYOUT}
    for name, other in (("a", "b"), ("b", "a")):
        block = X[:, LAYOUT[name]]
        for k in range(2):
            r = [np.corrcoef(column, z[name][:, k])[0, 1] for column in block.T]
            np.testing.assert_allclose(cca.loadings_[name][:, k], r, atol=1e-10)
            for by, found in ((name, cca.explained_variance_ratio_), (other, cca.redundancy_)):
                slopes = block.T @ z[by][:, k] / len(X)
                share = (slopes**2).sum() / block.var(axis=0).sum()
                np.testing.assert_allclose(found[name][k], share)
    joint = cca.transform(X)
    np.testing.assert_allclose(joint, (z["a"] + z["b"]) / 2)
    design = np.c_[np.ones(len(X)), joint]
    expected = design @ np.linalg.lstsq(design, X, rcond=None)[0]
    np.testing.assert_allclose(cca.inverse_transform(joint), expected, atol=1e-10)
    largest = np.concatenate(list(cca.loadings_.values()))
    assert (largest.max(axis=0) >= -largest.min(axis=0)).all()


def test_explained_covariance():
    cca = mg.CCA(4, modalities=LAYOUT).fit(X)
    a, b = (block - block.mean(axis=0) for block in blocks(X))
    cross = a.T @ b
    for k in range(1, 5):
        z = a @ cca.weights_["a"][:, :k]
        left = a.T @ b - a.T @ z @ np.linalg.solve(z.T @ z, z.T @ b)
        share = 1 - (left**2).sum() / (cross**2).sum()
        np.testing.assert_allclose(cca.explained_covariance_["a"][:k].sum(), share)
    np.testing.assert_allclose(cca.explained_covariance_["a"].sum(), 1)


def test_score_is_the_sum_of_correlations():
    cca = mg.CCA(3, modalities=LAYOUT).fit(X)
    np.testing.assert_allclose(cca.score(X), cca.canonical_correlations_.sum())
    new = rows(seed=0, n=500)[300:]
    z = [cca.embed(new, name) for name in LAYOUT]
    expected = sum(np.corrcoef(z[0][:, k], z[1][:, k])[0, 1] for k in range(3))
    np.testing.assert_allclose(cca.score(new), expected)


# Other ways to the same answer ----------------------------------------------------------------


def test_parts_make_the_whole():
    whole = mg.CCA(2, modalities=LAYOUT).fit(X)
    parts = mg.CCA(2, modalities=LAYOUT)
    for part in np.array_split(X, 7):
        parts.partial_fit(part)
    np.testing.assert_allclose(parts.transform(X), whole.transform(X), atol=1e-10)
    assert parts.n_samples_seen_ == whole.n_samples_seen_ == len(X)
    whole = mg.CCA(2, shrinkage="cv", modalities=LAYOUT).fit(X)
    parts = mg.CCA(2, shrinkage="cv", modalities=LAYOUT)
    for part in (X[:101], X[101:104], X[104:]):
        parts.partial_fit(part)
    np.testing.assert_allclose(
        parts.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("shrinkage", [0.0, "oas", "cv"])
def test_workers_make_the_whole(shrinkage):
    """Two processes fit parts, whose lengths are no multiple of the folds."""
    cca, some = mg.CCA(2, shrinkage=shrinkage, modalities=LAYOUT), gaps(X, share=0.1)
    parts = some[:101], some[101:178], some[178:]
    with parallel_config("loky", n_jobs=2):
        first, *others = Parallel()(delayed(cca.partial_fit)(part) for part in parts)
    merged, whole = first.merge(*others), cca.fit(some)
    assert merged.n_samples_seen_ == len(some)
    np.testing.assert_allclose(merged.transform(some), whole.transform(some), atol=1e-10)
    np.testing.assert_allclose(merged.canonical_correlations_, whole.canonical_correlations_)
    assert merged.shrinkage_ == pytest.approx(whole.shrinkage_)
    if shrinkage == "cv":
        one, two = (model.cv_results_["mean_test_score"] for model in (merged, whole))
        np.testing.assert_allclose(one, two)
    np.testing.assert_allclose(
        merged.partial_fit(some[:50]).transform(some),
        cca.fit(np.vstack([some, some[:50]])).transform(some),
        atol=1e-10,
    )


def test_dask_makes_the_whole():
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    cca = mg.CCA(2, modalities=LAYOUT)
    with distributed.Client(n_workers=2, threads_per_worker=1), parallel_config("dask"):
        parts = Parallel()(delayed(cca.partial_fit)(part) for part in np.array_split(X, 2))
    merged = parts[0].merge(parts[1])
    np.testing.assert_allclose(merged.transform(X), cca.fit(X).transform(X), atol=1e-10)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_parts_of_other_scales_are_merged(scale):
    """Only the second part is out of range, so that the two have units of their own."""
    cca = mg.CCA(2, modalities=LAYOUT)
    wanted = cca.fit(np.vstack([X, 0 * X])).canonical_correlations_  # the smaller part is nothing
    for one, two in ((X, X * scale), (X * scale, X)):
        first, second = clone(cca).fit(one), clone(cca).fit(two)
        assert first.units_ != second.units_
        np.testing.assert_allclose(first.merge(second).canonical_correlations_, wanted)


def test_float32_parts_keep_the_looser_tolerance():
    first, second = (mg.CCA(2, modalities=LAYOUT).fit(X.astype(t)) for t in ("f4", "f8"))
    assert second.merge(first)._precision == first._precision


def test_what_cannot_be_merged():
    model = mg.CCA(modalities=LAYOUT).fit(X)
    with pytest.raises(NotFittedError):
        mg.CCA().merge(model)
    with pytest.raises(NotFittedError):
        model.merge(mg.CCA())
    with pytest.raises(TypeError, match=r"SparseCCA.* cannot be merged with a CCA"):
        model.merge(mg.SparseCCA().fit(X))
    for other in (
        mg.CCA(modalities=LAYOUT).fit(pd.DataFrame(X, columns=list("abcdefghi"))),
        mg.CCA(modalities={"b": slice(5, 9), "a": slice(0, 5)}).fit(X),
        mg.CCA().fit(X),
    ):
        with pytest.raises(ValueError, match="was fitted to other columns or modalities"):
            model.merge(other)
    for other in (
        mg.CCA(shrinkage=0.5, modalities=LAYOUT).fit(X[:4]),
        mg.CCA(shrinkage="cv", modalities=LAYOUT).fit(X),
    ):
        with pytest.raises(ValueError, match="kept no moments, or those of other folds"):
            model.merge(other)
    assert model.n_samples_seen_ == len(X)
    with pytest.raises(ValueError, match="looks at all rows at once, but merge"):
        mg.CCA(shrinkage="ledoit-wolf", modalities=LAYOUT).fit(X).merge(model)
    with pytest.raises(ValueError, match="begin with partial_fit"):
        mg.CCA(shrinkage=0.5, modalities=LAYOUT).fit(X[:4]).merge(model)


def test_a_memory_map(tmp_path):
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    found = mg.CCA(2, modalities=LAYOUT).fit(mapped)
    np.testing.assert_array_equal(
        found.canonical_correlations_, mg.CCA(2, modalities=LAYOUT).fit(X).canonical_correlations_
    )


@pytest.mark.parametrize("shrinkage", [0.2, {"a": 0.5, "b": 0.1}, 1.0, "ledoit-wolf", "oas", "cv"])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_more_columns_than_rows(kind, shrinkage, monkeypatch):
    """Through the rows or through the columns, the answer is one."""
    layout = {"a": slice(0, 40), "b": slice(40, 48)}
    X = rows(30, layout)
    dual = mg.CCA(3, shrinkage=shrinkage, modalities=layout).fit(kind(X))
    assert dual.moments_ is None
    monkeypatch.setattr(mg.CCA, "_coordinates", lambda self, views: (views, {}))
    primal = mg.CCA(3, shrinkage=shrinkage, modalities=layout).fit(X)
    assert primal.shrinkage_ == pytest.approx(dual.shrinkage_)
    np.testing.assert_allclose(dual.transform(X), primal.transform(X), atol=1e-8)
    for name in ("weights_", "loadings_", "regression_", "explained_covariance_", "redundancy_"):
        for modality in layout:
            found, expected = (getattr(model, name)[modality] for model in (dual, primal))
            np.testing.assert_allclose(found, expected, atol=1e-8, err_msg=name)


def test_shrinkage_by_formula():
    for formula, reference in (
        ("ledoit-wolf", covariance.ledoit_wolf),
        ("oas", covariance.oas),
    ):
        cca = mg.CCA(shrinkage=formula, modalities=LAYOUT).fit(X[:40])
        for name, block in zip(LAYOUT, blocks(X[:40]), strict=True):
            np.testing.assert_allclose(cca.shrinkage_[name], reference(block)[1])


@pytest.mark.parametrize("layout", [LAYOUT, THREE])
def test_path_is_that_of_separate_fits(layout):
    X = rows(100, layout)
    grid = [0.0, 0.05, 0.5, 1.0]
    cca = mg.CCA(2, shrinkage="cv", shrinkages=grid, cv=4, modalities=layout).fit(X)
    settings = cca.cv_results_["shrinkage"]
    assert len(settings) == (16 if len(layout) == 2 else 4)
    for f in range(4):
        test = np.arange(100) % 4 == f
        for setting, score in zip(settings, cca.cv_results_[f"split{f}_test_score"], strict=True):
            by_name = dict(zip(layout, setting.tolist(), strict=True))
            one = mg.CCA(2, shrinkage=by_name, modalities=layout).fit(X[~test])
            np.testing.assert_allclose(one.score(X[test]), score, atol=1e-8)
    best = cca.cv_results_["mean_test_score"].argmax()
    assert list(cca.shrinkage_.values()) == settings[best].tolist()


def test_path_of_wide_modalities():
    """Where the path is followed from fit to fit."""
    layout = {"a": slice(0, 150), "b": slice(150, 270)}
    X = rows(600, layout, n_common=4, noise=3.0)
    cca = mg.CCA(3, shrinkage="cv", shrinkages=[1e-3, 0.1, 0.9], cv=2, modalities=layout).fit(X)
    for setting, score in zip(
        cca.cv_results_["shrinkage"], cca.cv_results_["split1_test_score"], strict=True
    ):
        by_name = dict(zip(layout, setting.tolist(), strict=True))
        one = mg.CCA(3, shrinkage=by_name, modalities=layout).fit(X[::2])
        np.testing.assert_allclose(one.score(X[1::2]), score, atol=0.01)


def test_grid_search():
    grid = {"shrinkage": [0.0, 0.5, 1.0], "n_components": [1]}
    search = GridSearchCV(mg.CCA(modalities=LAYOUT), grid, cv=3).fit(X)
    assert 0 < search.best_score_ < 1


# Rows with gaps ---------------------------------------------------------------------------------


def gaps(X, layout=LAYOUT, share=0.4, seed=0):
    rng = np.random.default_rng(seed)
    X = X.copy()
    for place in layout.values():
        X[rng.random(len(X)) < share / 2, place] = np.nan
    return X


def test_rows_that_miss_modalities():
    X = rows(4000)
    holed = gaps(X)
    found = mg.CCA(2, modalities=LAYOUT).fit(holed)
    whole = mg.CCA(2, modalities=LAYOUT).fit(X)
    np.testing.assert_allclose(
        found.canonical_correlations_, whole.canonical_correlations_, atol=0.04
    )
    Z = found.transform(holed)
    assert np.isfinite(Z).all()
    nothing = np.isnan(holed).all(axis=1)
    assert nothing.any()
    np.testing.assert_array_equal(Z[nothing], 0)
    np.testing.assert_allclose(
        Z[np.isnan(holed[:, 0])], np.nan_to_num(found.embed(holed, "b"))[np.isnan(holed[:, 0])]
    )
    a = holed[~np.isnan(holed[:, 0]), :5]
    w = found.weights_["a"]
    np.testing.assert_allclose(w.T @ np.cov(a.T, ddof=0) @ w, np.eye(2), atol=1e-10)


def test_moments_that_are_no_covariance():
    """Few rows show both modalities: correlations stay within one."""
    X = rows(40, noise=0.05)
    X[:17, 5:] = np.nan
    X[24:, :5] = np.nan
    cca = mg.CCA(3, modalities=LAYOUT).fit(X)
    assert (np.abs(cca.canonical_correlations_) <= 1).all()
    assert np.isfinite(cca.transform(X)).all()
    S = cca.moments_[0].pairwise().covariance
    assert np.linalg.eigvalsh(S)[0] > -1e-8 * np.abs(S).max()


def test_modalities_that_never_meet():
    X = rows(40)
    X[:20, 5:] = np.nan
    X[20:, :5] = np.nan
    with pytest.raises(ValueError, match=r"no row shows both 'a' and 'b', .*: add rows"):
        mg.CCA(modalities=LAYOUT).fit(X)


# Hard data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns_that_say_nothing_new(dtype):
    """Constant columns, copies, and columns that follow from others."""
    rng = np.random.default_rng(0)
    extra = np.c_[X[:, :1], X[:, 1:3] @ rng.normal(size=(2, 2)), np.full(len(X), 0.1)]
    wide = np.c_[X, extra].astype(dtype)
    layout = {"a": [0, 1, 2, 3, 4, 9, 10, 11, 12], "b": [5, 6, 7, 8]}
    found = mg.CCA(4, modalities=layout).fit(wide)
    plain = mg.CCA(4, modalities=LAYOUT).fit(X.astype(dtype))
    tol = 1e-8 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(
        found.canonical_correlations_, plain.canonical_correlations_, atol=tol
    )
    np.testing.assert_allclose(found.weights_["a"][0], found.weights_["a"][5], rtol=100 * tol)
    np.testing.assert_array_equal(found.weights_["a"][8], 0)
    np.testing.assert_array_equal(found.loadings_["a"][8], 0)
    assert np.isfinite(found.transform(wide)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scales_do_not_matter(dtype):
    scale = np.array([1e12, 1e-12, 1, 1e6, 1e-6, 1, 1e-12, 1e12, 3]).astype(dtype)
    plain = mg.CCA(3, modalities=LAYOUT).fit(X.astype(dtype))
    found = mg.CCA(3, modalities=LAYOUT).fit(X.astype(dtype) * scale)
    tol = 1e-8 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(
        found.transform(X.astype(dtype) * scale), plain.transform(X.astype(dtype)), atol=tol
    )
    for s in ("cv", 0.3, "oas", "ledoit-wolf"):
        huge = mg.CCA(2, shrinkage=s, modalities=LAYOUT).fit(X * 1e12)
        tiny = mg.CCA(2, shrinkage=s, modalities=LAYOUT).fit(X * 1e-12)
        np.testing.assert_allclose(huge.transform(X * 1e12), tiny.transform(X * 1e-12), atol=1e-6)


@pytest.mark.parametrize("scale", [1e300, 1e200, 1e-200, 1e-300])
@pytest.mark.parametrize("changes", [{}, {"shrinkage": "cv"}, {"shrinkage": "ledoit-wolf"}])
def test_squares_out_of_range(scale, changes):
    plain = mg.CCA(3, modalities=LAYOUT, **changes).fit(X)
    for rows in (scale * X, sp.csr_array(scale * X)):
        found = mg.CCA(3, modalities=LAYOUT, **changes).fit(rows)
        np.testing.assert_allclose(found.transform(rows), plain.transform(X), atol=1e-8)
    np.testing.assert_allclose(
        found.inverse_transform(found.transform(rows)) / scale,
        plain.inverse_transform(plain.transform(X)),
        atol=1e-6,
    )
    for name, w in found.weights_.items():
        np.testing.assert_allclose(w * scale, plain.weights_[name], rtol=1e-5)
    assert found.score(rows) == pytest.approx(plain.score(X))


def test_squares_out_of_range_otherwise():
    plain = mg.CCA(3, modalities=LAYOUT).fit(X)
    single = X.astype(np.float32) * np.float32(1e25)
    found = mg.CCA(3, modalities=LAYOUT).fit(single)
    np.testing.assert_allclose(found.transform(single), plain.transform(X), atol=1e-3)
    chunks = mg.CCA(3, modalities=LAYOUT)
    for part in np.array_split(1e200 * X, 3):
        chunks.partial_fit(part)
    np.testing.assert_allclose(chunks.transform(1e200 * X), plain.transform(X), atol=1e-8)
    tests = [
        mg.CCA(3, modalities=LAYOUT).fit(scale * X).permutation_test(scale * X, 19, random_state=0)
        for scale in (1, 1e-200)
    ]
    np.testing.assert_allclose(tests[1].statistics, tests[0].statistics)
    few = mg.CCA(2, shrinkage=0.1, modalities=LAYOUT).fit(1e-200 * X[:4])
    np.testing.assert_allclose(
        few.transform(1e-200 * X[:4]),
        mg.CCA(2, shrinkage=0.1, modalities=LAYOUT).fit(X[:4]).transform(X[:4]),
        atol=1e-8,
    )
    gaps = 1e300 * X
    gaps[::7, LAYOUT["a"]] = np.nan
    assert np.isfinite(mg.CCA(2, modalities=LAYOUT).fit(gaps).transform(gaps)).all()


def test_columns_of_one_modality_far_apart():
    plain = mg.CCA(3, modalities=LAYOUT).fit(X)
    scale = np.where(np.arange(9) % 2, 1e120, 1.0)
    found = mg.CCA(3, modalities=LAYOUT).fit(X * scale)
    np.testing.assert_allclose(found.transform(X * scale), plain.transform(X), atol=1e-8)


def test_sparse_columns_that_do_not_vary():
    wide = np.c_[X, np.full(len(X), 0.1), np.zeros(len(X))]
    layout = {"a": slice(0, 5), "b": slice(5, 11)}
    found = mg.CCA(3, modalities=layout).fit(sp.csr_array(wide))
    np.testing.assert_array_equal(found.weights_["b"][4:], 0)
    plain = mg.CCA(3, modalities=LAYOUT).fit(X)
    np.testing.assert_allclose(found.transform(wide), plain.transform(X), atol=1e-8)


def test_a_mean_far_from_zero():
    plain = mg.CCA(3, modalities=LAYOUT).fit(X)
    found = mg.CCA(3, modalities=LAYOUT).fit(X + 1e6)
    np.testing.assert_allclose(
        found.canonical_correlations_, plain.canonical_correlations_, atol=1e-8
    )


def test_no_more_components_than_there_are():
    assert mg.CCA(50, modalities=LAYOUT).fit(X).transform(X).shape == (300, 4)
    assert mg.CCA(50, modalities=THREE).fit(rows(layout=THREE)).canonical_correlations_.size >= 3
    assert list(mg.CCA(50, modalities=LAYOUT).fit(X).get_feature_names_out()) == [
        "cca0",
        "cca1",
        "cca2",
        "cca3",
    ]


def test_the_order_of_columns_does_not_matter():
    order = np.random.default_rng(0).permutation(9)
    layout = {"a": np.argsort(order)[:5].tolist(), "b": np.argsort(order)[5:].tolist()}
    one, two = mg.CCA(3, modalities=LAYOUT).fit(X), mg.CCA(3, modalities=layout).fit(X[:, order])
    np.testing.assert_allclose(one.transform(X), two.transform(X[:, order]), atol=1e-10)


@pytest.mark.parametrize(
    ("X", "changes", "message"),
    [
        (X[:1], {}, "'a' has zero variance: .* n_samples=1"),
        (
            np.ones((9, 9)),
            {},
            "'a' has zero variance: its columns are all constant over n_samples=9",
        ),
        (X * MIXED, {}, "the squares of X exceed its floating type: scale"),
        (X, {"shrinkage": 1.5}, "shrinkage=1.5: it must be a number at least 0 and at most 1"),
        (X, {"shrinkage": None}, "shrinkage=None: it must be a number"),
        (
            X,
            {"shrinkage": "best"},
            r"shrinkage='best': choose one of \['ledoit-wolf', 'oas', 'cv'\]",
        ),
        (X, {"shrinkage": {"a": -1}}, r"shrinkage\['a'\]=-1: it must be a number at least 0"),
        (X, {"shrinkage": {"a": "cv"}}, r"shrinkage\['a'\]='cv': choose one of"),
        (X, {"shrinkage": {"z": 0.1}}, r"unknown modality 'z': the modalities are \['a', 'b'\]"),
        (X, {"shrinkages": [0.1, 2]}, "shrinkages=2: it must be"),
        (X, {"shrinkages": []}, "shrinkages is empty"),
        (X, {"cv": 1}, "cv=1: it must be an int at least 2"),
        (X, {"criterion": "best"}, r"criterion='best': choose one of \['maxvar'"),
    ],
)
def test_what_cannot_be_fitted(X, changes, message):
    with pytest.raises(ValueError, match=message), np.errstate(over="ignore", invalid="ignore"):
        mg.CCA(modalities=LAYOUT, **changes).fit(X)


def test_what_partial_fit_cannot_do():
    with pytest.raises(ValueError, match="looks at all rows at once, but partial_fit"):
        mg.CCA(shrinkage="ledoit-wolf").partial_fit(X)
    with pytest.raises(ValueError, match="begin with partial_fit"):
        mg.CCA(shrinkage=0.5).fit(X[:5]).partial_fit(X)
    model = mg.CCA(modalities=LAYOUT).partial_fit(X)
    with pytest.raises(ValueError, match=r"asks for 5 fold\(s\), but the rows so far are in 1"):
        model.set_params(shrinkage="cv").partial_fit(X)
    with pytest.raises(ValueError, match="X has 5 features"):
        mg.CCA(modalities=LAYOUT).partial_fit(X).partial_fit(X[:, :5])


# Permutations --------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["wilks", "roy"])
@pytest.mark.parametrize("layout", [LAYOUT, THREE])
def test_permutations_find_what_is_there(layout, statistic):
    X = rows(200, layout, n_common=2)
    cca = mg.CCA(3, modalities=layout).fit(X)
    test = cca.permutation_test(X, 199, statistic=statistic, random_state=0)
    np.testing.assert_allclose(test.p_values[:2], 1 / 200)
    assert test.p_values[2] > 0.02
    assert (np.diff(test.p_values) >= 0).all()
    assert test.null.shape == (199, 3)
    r = cca.canonical_correlations_
    if len(layout) == 2 and statistic == "roy":
        np.testing.assert_allclose(test.statistics, r)
    if len(layout) == 2 and statistic == "wilks":
        r = mg.CCA(9, modalities=layout).fit(X).canonical_correlations_
        expected = -np.cumsum(np.log1p(-(r[::-1] ** 2)))[::-1]
        np.testing.assert_allclose(test.statistics, expected[:3])
    again = cca.permutation_test(X, 199, statistic=statistic, random_state=0)
    np.testing.assert_array_equal(again.null, test.null)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_p_values_of_the_second_component_are_uniform(shrinkage):
    """Where the first component is true: none of the naive tests of all components has this."""
    found = []
    for seed in range(300):
        X = rows(60, n_common=1, noise=0.5, seed=seed)
        cca = mg.CCA(2, shrinkage=shrinkage, modalities=LAYOUT).fit(X)
        found.append(cca.permutation_test(X, 99, random_state=seed).p_values)
    first, second = np.transpose(found)
    assert (first <= 0.01).all()
    assert kstest(second, "uniform").pvalue > 0.01
    assert (second <= 0.05).mean() < 0.09


def test_permutations_of_few_rows():
    layout = {"a": slice(0, 40), "b": slice(40, 48)}
    X = rows(30, layout)
    with pytest.raises(ValueError, match="without shrinkage they are perfectly correlated"):
        mg.CCA(modalities=layout).fit(X).permutation_test(X)
    cca = mg.CCA(2, shrinkage=0.3, modalities=layout).fit(X)
    dense = cca.permutation_test(X, 19, random_state=0)
    sparse = cca.permutation_test(sp.csr_array(X), 19, random_state=0)
    np.testing.assert_allclose(dense.null, sparse.null, atol=1e-8)
    assert dense.p_values[0] == 1 / 20
    with pytest.raises(ValueError, match="X is one modality"):
        mg.CCA(shrinkage=0.1).fit(X).permutation_test(X)
    with pytest.raises(ValueError, match="n_permutations=0: it must be an int at least 1"):
        cca.permutation_test(X, 0)
