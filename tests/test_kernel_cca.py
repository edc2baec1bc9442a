"""Kernel CCA against brute force, linear CCA, and what it must do with gaps."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.metrics.pairwise import rbf_kernel

import mmgraph as mg
from mmgraph.engine.kernel_correlation import correlate, dual, leave_one_out, primal
from mmgraph.engine.kernels import automatic, gram


def three(n=80, seed=0, p=(5, 4, 3)):
    """Three modalities that a two-dimensional latent variable shapes, not linearly."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    return {
        name: np.tanh(z @ rng.normal(size=(2, width))) + 0.3 * rng.normal(size=(n, width))
        for name, width in zip("abc", p, strict=True)
    }


VIEWS = three()
X, MODALITIES = mg.pack(**VIEWS)
TWO, PAIR = mg.pack(a=VIEWS["a"], b=VIEWS["b"])
N = len(X)


def features(K):
    """Centred feature vectors of a Gram matrix, by its eigenvectors."""
    H = np.eye(len(K)) - 1 / len(K)
    values, vectors = np.linalg.eigh(H @ K @ H)
    kept = values > 1e-12 * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def brute(grams, s):
    """Eigenvalues, falling, and scores by modality, from scipy.linalg.eigh(A, B)."""
    parts = [features(K) for K in grams]
    A = np.hstack(parts).T @ np.hstack(parts) / len(grams[0])
    B = np.zeros_like(A)
    start = 0
    for F in parts:
        here = slice(start, start + F.shape[1])
        own = A[here, here].copy()
        B[here, here] = (1 - s) * own + s * np.trace(own) * np.eye(len(own))
        A[here, here] = 0
        start = here.stop
    values, vectors = scipy.linalg.eigh(A, B)
    edges = np.cumsum([0, *(F.shape[1] for F in parts)])
    scores = [F @ vectors[i:j, ::-1] for F, i, j in zip(parts, edges, edges[1:], strict=False)]
    return values[::-1], scores


def aligned(one, two):
    """The second with the signs of the first."""
    return two * np.sign((one * two).sum(axis=0))


@pytest.mark.parametrize("s", [1.0, 0.3, 0.01, 1e-4, 1e-8])
@pytest.mark.parametrize("names", ["ab", "abc"])
def test_against_the_generalised_eigenproblem(s, names):
    X, modalities = mg.pack(**{name: VIEWS[name] for name in names})
    model = mg.KernelCCA(3, shrinkage=s, modalities=modalities).fit(X)
    grams = [gram(model.kernels_[name], VIEWS[name]) for name in names]
    values, scores = brute(grams, s)
    found = model.canonical_correlations_ * (len(names) - 1)
    np.testing.assert_allclose(found, values[:3], atol=1e-9)
    for name, theirs in zip(names, scores, strict=True):
        ours = model.embed(X, name)
        theirs = (
            theirs[:, :3] * np.linalg.norm(ours, axis=0) / np.linalg.norm(theirs[:, :3], axis=0)
        )
        np.testing.assert_allclose(aligned(ours, theirs), ours, atol=1e-4)


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_the_linear_kernel_is_linear_ridge_cca(names):
    s, blocks = 0.2, [VIEWS[name] - VIEWS[name].mean(axis=0) for name in names]
    X, modalities = mg.pack(**{name: VIEWS[name] for name in names})
    model = mg.KernelCCA(3, kernel="linear", shrinkage=s, modalities=modalities).fit(X)
    S = np.hstack(blocks).T @ np.hstack(blocks) / N
    A, B, edges = S.copy(), np.zeros_like(S), np.cumsum([0, *(b.shape[1] for b in blocks)])
    for i, j in itertools.pairwise(edges):
        B[i:j, i:j] = (1 - s) * S[i:j, i:j] + s * np.trace(S[i:j, i:j]) * np.eye(j - i)
        A[i:j, i:j] = 0
    values, W = scipy.linalg.eigh(A, B)
    values, W = values[::-1][:3], W[:, ::-1][:, :3]
    np.testing.assert_allclose(model.canonical_correlations_ * (len(names) - 1), values, rtol=1e-9)
    for name, block, i, j in zip(names, blocks, edges, edges[1:], strict=False):
        w = W[i:j] / np.sqrt((W[i:j] * (B[i:j, i:j] @ W[i:j])).sum(axis=0))
        ours = model.embed(X, name)
        np.testing.assert_allclose(aligned(ours, block @ w), ours, atol=1e-6)


@pytest.mark.parametrize("approximation", ["cholesky", "nystroem"])
@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly"])
def test_full_rank_is_exact(approximation, kernel):
    exact = mg.KernelCCA(3, kernel=kernel, modalities=MODALITIES).fit(X)
    model = mg.KernelCCA(
        3, kernel=kernel, modalities=MODALITIES, approximation=approximation, tol=0, random_state=0
    ).fit(X)
    np.testing.assert_allclose(
        model.canonical_correlations_, exact.canonical_correlations_, rtol=1e-7
    )
    np.testing.assert_allclose(model.transform(X), exact.transform(X), atol=1e-5)
    np.testing.assert_allclose(model.relevance_, exact.relevance_, atol=1e-5)


@pytest.mark.parametrize("approximation", ["cholesky", "nystroem", "fourier"])
def test_low_rank_is_close(approximation):
    X, modalities = mg.pack(**three(400))
    exact = mg.KernelCCA(2, modalities=modalities).fit(X)
    rank, off = (600, 0.06) if approximation == "fourier" else (60, 0.03)
    model = mg.KernelCCA(
        2, modalities=modalities, approximation=approximation, rank=rank, random_state=0
    ).fit(X)
    np.testing.assert_allclose(
        model.canonical_correlations_, exact.canonical_correlations_, rtol=off
    )
    assert np.isfinite(model.impute(np.where(np.arange(12) < 5, np.nan, X))).all()


def test_scores_of_training_rows_are_the_fitted_ones():
    grams = {name: gram(automatic("rbf", VIEWS[name], {}), VIEWS[name]) for name in "ab"}
    smoothers = {name: dual(K, 0.01) for name, K in grams.items()}
    found = correlate(smoothers, dict.fromkeys("ab", np.arange(N)), 2)
    model = mg.KernelCCA(modalities=PAIR).fit(TWO)
    for name in "ab":
        np.testing.assert_allclose(model.embed(TWO, name), found.scores[name], atol=1e-10)
    np.testing.assert_allclose(
        model.transform(TWO), (found.scores["a"] + found.scores["b"]) / 2, atol=1e-10
    )


def test_scores_have_unit_shrunk_variance_and_no_covariance_between_components():
    model = mg.KernelCCA(3, modalities=PAIR, shrinkage=0.01).fit(TWO)
    a, b = (model.embed(TWO, name) for name in "ab")
    np.testing.assert_allclose(a.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(a.T @ b / N, np.diag(model.canonical_correlations_), atol=1e-8)


def test_signs_are_fixed():
    one = mg.KernelCCA(3, modalities=PAIR).fit(TWO)
    two = mg.KernelCCA(3, modalities=PAIR).fit(TWO[::-1])
    np.testing.assert_allclose(one.transform(TWO), two.transform(TWO), atol=1e-6)


@pytest.mark.parametrize("kind", ["dual", "primal"])
@pytest.mark.parametrize("s", [1.0, 0.1])
def test_leave_one_out_is_that_of_ridge_regression(kind, s):
    K = rbf_kernel(VIEWS["a"])
    F, r = features(K), np.random.default_rng(1).normal(size=(N, 2))
    r -= r.mean(axis=0)
    penalty = s * np.square(F).sum() / N
    expected = np.empty_like(r)
    for i in range(N):
        G, t = np.delete(F, i, axis=0), np.delete(r, i, axis=0)
        shrunk = (1 - s) * G.T @ G / N + penalty * np.eye(F.shape[1])
        expected[i] = F[i] @ np.linalg.solve(shrunk, G.T @ t)
    smoother = dual(K, s) if kind == "dual" else primal(F, s)
    np.testing.assert_allclose(leave_one_out(smoother, r, smoother.smooth(r)), expected, atol=1e-9)


def test_one_modality_gives_kernel_pca():
    model = mg.KernelCCA(3, shrinkage=0.5).fit(VIEWS["a"])
    F = features(gram(model.kernels_["X"], VIEWS["a"]))
    U, d, _ = np.linalg.svd(F, full_matrices=False)
    ours = model.transform(VIEWS["a"])
    theirs = U[:, :3] * np.linalg.norm(ours, axis=0)
    np.testing.assert_allclose(aligned(ours, theirs), ours, atol=1e-6)
    assert (np.diff(d) <= 0).all()


# Gaps ---------------------------------------------------------------------------------------------


def with_gaps(X, seed=0, share=0.3):
    X = X.copy()
    gone = np.random.default_rng(seed).random((len(X), 3)) < share
    for i, columns in enumerate(MODALITIES.values()):
        X[gone[:, i], columns] = np.nan
    return X


def test_rows_without_a_modality_change_little():
    full, modalities = mg.pack(**three(400))
    whole = mg.KernelCCA(2, modalities=modalities, shrinkage=0.05).fit(full)
    gaps = mg.KernelCCA(2, modalities=modalities, shrinkage=0.05).fit(with_gaps(full))
    for j in range(2):
        one, two = whole.transform(full)[:, j], gaps.transform(full)[:, j]
        assert abs(np.corrcoef(one, two)[0, 1]) > 0.95


def test_a_row_that_shows_nothing_adds_nothing():
    empty = np.vstack([X, np.full((20, X.shape[1]), np.nan)])
    one, two = (mg.KernelCCA(modalities=MODALITIES).fit(rows) for rows in (X, empty))
    np.testing.assert_allclose(one.canonical_correlations_, two.canonical_correlations_)
    np.testing.assert_allclose(one.transform(X), two.transform(X), atol=1e-8)
    assert (one.transform(empty[-1:]) == 0).all()
    np.testing.assert_allclose(one.impute(empty[-1:])[0], X.mean(axis=0))


def test_modalities_that_share_no_rows():
    rows = TWO.copy()
    rows[: N // 2, PAIR["a"]] = np.nan
    rows[N // 2 :, PAIR["b"]] = np.nan
    with pytest.raises(ValueError, match=r"'a' is shown by fewer than two rows together .* Drop"):
        mg.KernelCCA(modalities=PAIR).fit(rows)


# Generation ---------------------------------------------------------------------------------------


def circle(n, seed=0):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    point = np.c_[np.cos(angle), np.sin(angle)] + 0.05 * rng.normal(size=(n, 2))
    return mg.pack(angle=angle, point=point)


def test_generates_what_no_linear_model_could():
    rows, modalities = circle(400)
    model = mg.KernelCCA(4, modalities=modalities, shrinkage=1e-3).fit(rows)
    new, _ = circle(200, seed=1)
    error = model.generate(new, "point") - new[:, 1:]
    assert np.square(error).mean() < 0.02  # variance .5, noise .0025
    draws = model.generate(new, "point", n_samples=50, random_state=0)
    assert np.square(draws.mean(axis=0) - new[:, 1:]).mean() < 0.02
    assert set(map(tuple, draws.reshape(-1, 2))) <= set(map(tuple, rows[:, 1:]))
    np.testing.assert_array_equal(draws, model.generate(new, "point", n_samples=50, random_state=0))


def test_draws_follow_the_weights_of_the_mean():
    model = mg.KernelCCA(modalities=PAIR).fit(TWO)
    mean = model.generate(TWO[:3], "b")
    draws = model.generate(TWO[:3], "b", n_samples=20000, random_state=0)
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.03)


def test_modalities_are_drawn_together():
    model = mg.KernelCCA(modalities=MODALITIES).fit(X)
    draws = model.sample(300, random_state=0)
    assert {tuple(row) for row in draws} <= {tuple(row) for row in X}
    given = np.where(np.arange(12) < 5, X, np.nan)[:4]
    draws = model.sample(30, given=given, random_state=0)
    assert {tuple(row) for row in draws[..., 5:].reshape(-1, 7)} <= {tuple(row) for row in X[:, 5:]}


def test_generates_from_training_rows_with_gaps():
    rows = with_gaps(X, share=0.5)
    model = mg.KernelCCA(modalities=MODALITIES).fit(rows)
    assert np.isfinite(model.impute(rows)).all()
    assert np.isfinite(model.sample(20, given=rows, random_state=0)).all()
    assert np.isfinite(model.inverse_transform(model.transform(rows))).all()


# Input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("kernel", ["rbf", "laplacian", "linear", "poly"])
def test_scales_do_not_matter(kernel, scale):
    one = mg.KernelCCA(kernel=kernel, modalities=PAIR).fit(TWO)
    two = mg.KernelCCA(kernel=kernel, modalities=PAIR).fit(TWO * scale)
    np.testing.assert_allclose(one.canonical_correlations_, two.canonical_correlations_)
    np.testing.assert_allclose(one.transform(TWO), two.transform(TWO * scale), atol=1e-6)


def test_a_column_of_another_scale_and_constant_and_repeated_columns_and_rows():
    rows = np.hstack([TWO, TWO[:, -1:], np.full((N, 1), 7.0)])
    modalities = {"a": PAIR["a"], "b": slice(5, 11)}
    rows = np.vstack([rows, rows])
    model = mg.KernelCCA(modalities=modalities, gamma=0.1).fit(rows)
    assert np.isfinite(model.transform(rows)).all()
    assert np.isfinite(model.generate(rows, "b")).all()
    single = mg.KernelCCA(modalities=modalities, gamma=0.1).fit(rows[:N])
    np.testing.assert_allclose(model.transform(rows), single.transform(rows), atol=1e-6)


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 300))
    modalities = {"a": slice(0, 100), "b": slice(100, 300)}
    for kernel in ("rbf", "linear"):
        model = mg.KernelCCA(5, kernel=kernel, modalities=modalities).fit(rows)
        assert model.transform(rows).shape == (20, 5)
        assert (np.diff(model.canonical_correlations_) <= 0).all()
        assert model.canonical_correlations_.max() <= 1


def test_no_more_components_than_there_are():
    model = mg.KernelCCA(10, kernel="linear", modalities=PAIR).fit(TWO)
    assert len(model.canonical_correlations_) == 4
    assert model.transform(TWO).shape == (N, 4)
    assert len(model.get_feature_names_out()) == 4


@pytest.mark.parametrize("approximation", ["exact", "cholesky", "nystroem", "fourier"])
def test_sparse_rows(approximation):
    rows = np.where(TWO > 0, TWO, 0)
    settings = {"modalities": PAIR, "approximation": approximation, "random_state": 0}
    dense = mg.KernelCCA(**settings).fit(rows)
    sparse = mg.KernelCCA(**settings).fit(sp.csr_array(rows))
    np.testing.assert_allclose(
        dense.transform(rows), sparse.transform(sp.csr_array(rows)), atol=1e-6
    )
    np.testing.assert_allclose(
        dense.generate(rows, "b"), sparse.generate(sp.csr_array(rows), "b"), atol=1e-6
    )


def test_kernels_by_modality():
    model = mg.KernelCCA(
        kernel={"a": "poly", "b": lambda one, two: np.minimum(one, two).sum()},
        gamma={"a": 0.5},
        kernel_params={"a": {"degree": 2}},
        shrinkage={"a": 0.5, "b": 0.2},
        modalities=PAIR,
    )
    rows = np.abs(TWO)
    model.fit(rows)
    assert model.kernels_["a"].params == {"degree": 2, "gamma": 0.5}
    assert model.kernels_["b"].params == {}
    assert np.isfinite(model.generate(rows, "b")).all()


def small(**changes):
    return mg.KernelCCA(**{"modalities": PAIR, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": "nope"}, r"kernel='nope': choose one of \['additive_chi2'.*or a function"),
        ({"kernel": {"z": "rbf"}}, r"unknown modality 'z': the modalities are \['a', 'b'\]"),
        ({"gamma": 0}, "gamma=0: it must be a number above 0"),
        ({"gamma": {"a": "x"}}, "gamma='x': it must be a number above 0"),
        ({"shrinkage": 0}, "shrinkage=0: it must be a number above 0 and at most 1"),
        ({"shrinkage": {"a": 2}}, "shrinkage=2: it must be a number above 0 and at most 1"),
        ({"kernel_params": 3}, "kernel_params=3: it must be a dict"),
        ({"kernel_params": {"z": {}}}, "unknown modality 'z'"),
        ({"approximation": "x"}, r"approximation='x': choose one of \['exact', 'cholesky'"),
        ({"rank": 0}, "rank=0: it must be an int at least 1"),
        ({"tol": -1}, "tol=-1: it must be a number at least 0"),
        ({"approximation": "fourier", "kernel": "poly"}, "'poly' .* no random Fourier features"),
        ({"kernel": "chi2"}, "negative values"),
        (
            {"kernel": lambda a, b: -float(a @ b), "shrinkage": 0.01},
            "of modality 'a' is not positive definite on these rows: raise shrinkage",
        ),
    ],
)
def test_bad_parameters(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes).fit(TWO)


def test_rows_that_are_all_equal():
    rows = TWO.copy()
    rows[:, PAIR["b"]] = 3.0
    for approximation in ("exact", "cholesky", "nystroem", "fourier"):
        with pytest.raises(ValueError, match=r"'b' has zero variance: its n_samples=80 row\(s\)"):
            small(approximation=approximation).fit(rows)
    with pytest.raises(ValueError, match="'a' has zero variance: its n_samples=1"):
        small().fit(TWO[:1])


def test_save_and_load(tmp_path):
    for approximation in ("exact", "cholesky", "fourier"):
        model = small(approximation=approximation, random_state=0).fit(TWO)
        mg.save(model, tmp_path / "model")
        again = mg.load(tmp_path / "model")
        np.testing.assert_array_equal(again.transform(TWO), model.transform(TWO))
        np.testing.assert_array_equal(again.generate(TWO, "b"), model.generate(TWO, "b"))


def test_score_falls_where_kernels_are_fitted_too_closely():
    rows, modalities = mg.pack(**three(300))
    train, test = rows[:100], rows[100:]
    tight = mg.KernelCCA(modalities=modalities, gamma=50, shrinkage=1e-4).fit(train)
    wide = mg.KernelCCA(modalities=modalities).fit(train)
    assert wide.score(test) > tight.score(test) + 0.1
