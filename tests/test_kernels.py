"""Gram matrices, widths, centring and low-rank features."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics.pairwise import chi2_kernel, laplacian_kernel, rbf_kernel
from sklearn.preprocessing import KernelCenterer

from mmgraph.engine.kernels import (
    NAMES,
    Kernel,
    automatic,
    centre,
    diagonal,
    distances,
    gram,
    median_width,
)
from mmgraph.engine.lowrank import approximate, nystroem, pivoted_cholesky

RNG = np.random.default_rng(0)
A, B = RNG.random((40, 5)), RNG.random((7, 5))


@pytest.mark.parametrize(
    ("name", "function"),
    [("rbf", rbf_kernel), ("laplacian", laplacian_kernel), ("chi2", chi2_kernel)],
)
def test_several_widths_share_their_distances(name, function):
    shared = distances(name, A, B)
    for gamma in (0.1, 3.0):
        kernel = Kernel(name, {"gamma": gamma})
        np.testing.assert_allclose(gram(kernel, A, B, distances=shared), function(A, B, gamma))
        np.testing.assert_allclose(gram(kernel, A, B), function(A, B, gamma))


@pytest.mark.parametrize("name", NAMES)
def test_the_diagonal(name):
    kernel = automatic(name, A, {})
    np.testing.assert_allclose(diagonal(kernel, A), gram(kernel, A).diagonal(), atol=1e-12)


def test_a_function_of_two_rows():
    kernel = automatic(lambda a, b, power: (a @ b) ** power, A, {"power": 2})
    np.testing.assert_allclose(gram(kernel, A, B), (A @ B.T) ** 2)
    np.testing.assert_allclose(diagonal(kernel, A), (A * A).sum(axis=1) ** 2)


@pytest.mark.parametrize("name", ["rbf", "laplacian", "chi2", "poly", "sigmoid", "cosine"])
@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
def test_automatic_kernels_do_not_see_the_scale(name, scale):
    plain = gram(automatic(name, A, {}), A, B)
    np.testing.assert_allclose(gram(automatic(name, A * scale, {}), A * scale, B * scale), plain)


def test_the_median_width():
    squares = ((A[:, None] - A) ** 2).sum(axis=2)[np.triu_indices(40, 1)]
    assert median_width("rbf", A) == pytest.approx(np.median(squares))
    twins = np.repeat(np.eye(2), [30, 2], axis=0)  # most distances are zero
    assert median_width("rbf", twins) == pytest.approx(2)
    assert median_width("rbf", np.ones((3, 2))) == 1
    assert median_width("rbf", A[:1]) == 1
    many = RNG.normal(size=(1500, 3))
    assert median_width("rbf", many) == pytest.approx(
        np.median(distances("rbf", many)[np.triu_indices(1500, 1)]), rel=0.1
    )


def test_sparse_rows_are_the_same():
    rows = A * (A > 0.5)
    for name in ("rbf", "laplacian", "poly", "linear", "cosine"):
        kernel, same = (automatic(name, X, {}) for X in (rows, sp.csr_array(rows)))
        assert kernel.params == pytest.approx(same.params)
        np.testing.assert_allclose(gram(kernel, rows), gram(same, sp.csr_array(rows)), atol=1e-12)


def test_values_that_are_not_finite():
    with pytest.raises(ValueError, match=r"kernel 'poly' has values that are not finite .* scale"):
        gram(Kernel("poly", {"gamma": 1.0}), A * 1e200)


def test_centring_is_that_of_scikit_learn():
    K, new = rbf_kernel(A), rbf_kernel(B, A)
    theirs = KernelCenterer().fit(K)
    ours = K.copy()
    centring = centre(ours)
    np.testing.assert_allclose(ours, theirs.transform(K), atol=1e-14)
    np.testing.assert_allclose(centring.apply(new), theirs.transform(new), atol=1e-14)


# Low rank -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-8])
def test_pivoted_cholesky_reconstructs_to_its_tolerance(tol):
    K = rbf_kernel(RNG.random((300, 2)), gamma=5)
    asked = []

    def columns(chosen):
        asked.extend(chosen)
        return K[:, chosen]

    found = pivoted_cholesky(columns, K.diagonal(), tol=tol)
    rest = K - found.features @ found.features.T
    assert np.trace(rest) <= tol * 300 * (1 + 1e-6)
    assert np.linalg.eigvalsh(rest)[0] > -1e-10
    assert len(found.pivots) == len(set(found.pivots)) < 200
    assert len(asked) < 4 * len(found.pivots) + 64
    np.testing.assert_allclose(
        found.root @ found.root.T, K[np.ix_(found.pivots, found.pivots)], atol=1e-10
    )


def test_pivoted_cholesky_stops_at_its_rank_and_at_that_of_the_matrix():
    K = A @ A.T
    found = pivoted_cholesky(lambda chosen: K[:, chosen], K.diagonal())
    assert len(found.pivots) == 5
    np.testing.assert_allclose(found.features @ found.features.T, K, atol=1e-12)
    assert len(pivoted_cholesky(lambda chosen: K[:, chosen], K.diagonal(), rank=3).pivots) == 3
    assert len(pivoted_cholesky(lambda chosen: 0 * K[:, chosen], 0 * K.diagonal()).pivots) == 0


def test_pivoted_cholesky_is_close_to_the_best_of_its_rank():
    K = rbf_kernel(RNG.normal(size=(300, 3)), gamma=0.5)
    found = pivoted_cholesky(lambda chosen: K[:, chosen], K.diagonal(), rank=40)
    best = np.linalg.eigvalsh(K)[:-40].sum()
    assert best < np.trace(K - found.features @ found.features.T) < 5 * best


def test_nystroem_leaves_out_landmarks_that_repeat():
    rows = np.vstack([A, A])
    K = rbf_kernel(rows)
    found = nystroem(lambda chosen: K[:, chosen], np.arange(80))
    assert len(found.pivots) == 40
    np.testing.assert_allclose(found.features @ found.features.T, K, atol=1e-8)


@pytest.mark.parametrize("method", ["cholesky", "nystroem"])
def test_features_of_new_rows(method):
    kernel = automatic("rbf", A, {})
    basis, features, norms = approximate(method, kernel, A, 15, seed=3)
    w = RNG.normal(size=(features.shape[1], 2))
    np.testing.assert_allclose(basis.evaluate(A) @ basis.weights(w), features @ w, atol=1e-8)
    np.testing.assert_allclose(norms, 1)


def test_fourier_features_approach_the_kernel():
    kernel = automatic("rbf", A, {})
    basis, features, _ = approximate("fourier", kernel, A, 20000, seed=0)
    np.testing.assert_allclose(features @ features.T, gram(kernel, A), atol=0.05)
    np.testing.assert_allclose(basis.evaluate(sp.csr_array(A)), features)
