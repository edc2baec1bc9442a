"""Eigenvectors and whitening against SciPy."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

from mmgraph.engine.spectral import (
    leading_eigen,
    leading_singular,
    refine,
    row_space,
    whitener,
)

rng = np.random.default_rng(0)


def covariance(p, rank):
    half = rng.normal(size=(p, rank)) * np.exp(rng.normal(size=(p, 1)) * 5)
    return half @ half.T


@pytest.mark.parametrize("rank", [30, 12, 1])
def test_whitener(rank):
    S = covariance(30, rank)
    W = whitener(S)
    assert W.shape == (30, rank)
    np.testing.assert_allclose(W.T @ S @ W, np.eye(rank), atol=1e-6)
    scale = np.sqrt(S.diagonal())
    projection = S @ W @ W.T / scale[:, None] * scale  # of correlations, onto their range
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-6)


def test_whitener_of_columns_that_do_not_vary():
    S = np.zeros((4, 4))
    assert whitener(S).shape == (4, 0)
    S[1, 1] = 4.0
    np.testing.assert_array_equal(whitener(S), [[0], [0.5], [0], [0]])


@pytest.mark.parametrize("shape", [(150, 200), (200, 150), (20, 9), (70, 500)])
@pytest.mark.parametrize("k", [1, 5])
def test_leading_singular(shape, k):
    T = rng.normal(size=shape)
    U, values, V = leading_singular(T, k)
    np.testing.assert_allclose(values, scipy.linalg.svdvals(T)[:k])
    np.testing.assert_allclose(T @ V, U * values, atol=1e-8)
    np.testing.assert_allclose(T.T @ U, V * values, atol=1e-8)
    np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-10)


def test_small_singular_values_keep_their_digits():
    U, V = (scipy.linalg.qr(rng.normal(size=(n, 100)), mode="economic")[0] for n in (200, 100))
    values = np.r_[1.0, 0.5, 1e-5, 1e-6, np.zeros(96)]
    found = leading_singular((U * values) @ V.T, 4)[1]
    np.testing.assert_allclose(found, values[:4], rtol=1e-5)


@pytest.mark.parametrize("p", [10, 150])
def test_leading_eigen(p):
    A = covariance(p, p)
    values, vectors = leading_eigen(A, 4)
    np.testing.assert_allclose(values, scipy.linalg.eigvalsh(A)[: -4 - 1 : -1])
    np.testing.assert_allclose(A @ vectors, vectors * values, atol=1e-8 * values[0])


def test_refine_goes_on_from_a_guess():
    axes = scipy.linalg.qr(rng.normal(size=(200, 200)))[0]
    values = np.r_[np.linspace(1, 0.5, 5), 0.3 * rng.random(195)]
    A = (axes * values) @ axes.T
    start = scipy.linalg.qr(rng.normal(size=(200, 12)), mode="economic")[0]
    found = refine(A, start, 5, tol=1e-10)
    np.testing.assert_allclose(np.abs((found[:, :5] * axes[:, :5]).sum(axis=0)), 1, atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("shape", [(8, 30), (30, 8)])
def test_row_space(kind, shape):
    X = rng.normal(size=shape) + 3
    mean = X.mean(axis=0)
    coordinates, basis = row_space(kind(X), mean)
    assert coordinates.shape[1] == min(shape[0] - 1, shape[1])
    np.testing.assert_allclose(coordinates @ basis.T, X - mean, atol=1e-10)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-10)
    assert row_space(kind(np.full(shape, 0.1)), np.full(shape[1], 0.1))[0].shape[1] == 0
