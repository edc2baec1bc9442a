"""Contrastive losses against brute force and finite differences, and the encoders' gradient."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax

from mmgraph.backend.random import key
from mmgraph.engine import encoders
from mmgraph.engine.contrast import LOSSES, reciprocal_ranks
from mmgraph.engine.encoders import Objective

MARGIN = 0.3
LABELS = {"partners": None, "classes": np.array([0, 1, 0, 2, 1, 0, 3, 3, 1])}
of_loss = pytest.mark.parametrize("name", LOSSES)
of_labels = pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)


def vectors(n=9, k=4, seed=0, dtype=float):
    rng = np.random.default_rng(seed)
    Z, W = rng.normal(size=(2, n, k))
    W += Z  # partners are near each other
    return tuple((A / np.linalg.norm(A, axis=1, keepdims=True)).astype(dtype) for A in (Z, W))


def same(n, labels):
    return np.eye(n, dtype=bool) if labels is None else labels[:, None] == labels


def brute_force(name, Z, W, log_scale, shift, labels):
    """The formulas of the papers, with the whole matrix."""
    n, c = len(Z), Z @ W.T
    partners = same(n, labels)
    s = np.exp(log_scale) * c
    if name == "clip":
        p = partners / partners.sum(axis=1, keepdims=True)
        return -(p * (log_softmax(s, axis=1) + log_softmax(s, axis=0))).sum() / (2 * n)
    if name == "sigmoid":
        y = np.where(partners, 1, -1)
        return np.log1p(np.exp(-y * (s + shift))).sum() / n
    total = 0.0
    for i in range(n):
        for similarities in (c[i], c[:, i]):
            worst = max((similarities[j] for j in range(n) if not partners[i, j]), default=-np.inf)
            total += max(0.0, MARGIN - c[i, i] + worst)
    return total / n


def slope(name, Z, W, log_scale=1.0, shift=-1.0, labels=None, **options):
    options = {"margin": MARGIN, **options}
    return LOSSES[name](Z, W, log_scale=log_scale, shift=shift, labels=labels, **options)


@of_loss
@of_labels
def test_the_loss_is_the_formula(name, labels):
    Z, W = vectors()
    for log_scale in (-1.0, 1.0, 4.0):
        expected = brute_force(name, Z, W, log_scale, -2.0, labels)
        assert slope(name, Z, W, log_scale, -2.0, labels).loss == pytest.approx(expected, rel=1e-12)


@of_loss
@of_labels
def test_the_gradient_is_that_of_the_formula(name, labels):
    Z, W = vectors()
    n, k = Z.shape

    def function(x):
        Z, W = x[: 2 * n * k].reshape(2, n, k)
        return brute_force(name, Z, W, x[-2], x[-1], labels)

    x = np.r_[Z.ravel(), W.ravel(), 1.5, -1.0]
    found = slope(name, Z, W, 1.5, -1.0, labels)
    flat = np.r_[found.first.ravel(), found.second.ravel(), found.log_scale, found.shift]
    np.testing.assert_allclose(flat, approx_fprime(x, function, 1e-7), atol=2e-6)


@of_loss
@of_labels
def test_the_size_of_blocks_does_not_matter(name, labels):
    Z, W = vectors()
    whole = slope(name, Z, W, labels=labels)
    for entries in (1, 9, 20, 27, 1000):
        for one, two in zip(slope(name, Z, W, labels=labels, entries=entries), whole, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)


@of_loss
def test_float32_is_near(name):
    single, double = vectors(300, 16, dtype=np.float32), vectors(300, 16)
    for log_scale in (0.0, 4.6):
        one, two = slope(name, *single, log_scale), slope(name, *double, log_scale)
        assert one.first.dtype == one.second.dtype == np.float32
        assert one.loss == pytest.approx(two.loss, rel=1e-4)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@of_loss
def test_a_scale_without_bound_is_capped_and_nothing_overflows(name):
    Z, W = vectors(20, 3, dtype=np.float32)
    at_cap = slope(name, Z, W, np.log(100.0))
    found = slope(name, Z, W, 1e3, shift=-200.0)
    assert np.isfinite(found.loss)
    assert np.isfinite(found.first).all()
    assert found.log_scale >= 0  # it may only fall
    if name != "sigmoid":
        np.testing.assert_allclose(found.first, at_cap.first, rtol=1e-5)


@of_loss
def test_memory_grows_with_the_block_and_not_with_its_square(name):
    Z, W = vectors(3000, 8, dtype=np.float32)
    tracemalloc.start()
    slope(name, Z, W, entries=30_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 4 / 10


def test_all_rows_of_one_class_have_no_strangers():
    Z, W = vectors()
    found = slope("ranking", Z, W, labels=np.zeros(9, int))
    assert found.loss == 0
    assert not found.first.any()


# Ranks -------------------------------------------------------------------------------------------


@of_labels
def test_reciprocal_ranks(labels):
    Z, W = vectors()
    similar, partners = Z @ W.T, same(9, labels)
    expected = []
    for i in range(9):
        own = similar[i, partners[i]].max()
        expected.append(1 / (1 + (similar[i, ~partners[i]] > own).sum()))
    for entries in (1, 20, 1000):
        np.testing.assert_allclose(reciprocal_ranks(Z, W, labels=labels, entries=entries), expected)


def test_a_collapsed_space_is_no_better_than_chance():
    ones = np.ones((11, 2))
    np.testing.assert_allclose(reciprocal_ranks(ones, ones), 1 / 6)


# Encoders ----------------------------------------------------------------------------------------


def model(hidden=((), ()), n=12, widths=(5, 4), init=False, seed=0, gaps=True):
    """Encoders of two or more modalities, and rows for them."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 2))
    blocks = [
        common @ rng.normal(size=(2, w)) + 0.5 * rng.normal(size=(n, w)) + 3.0 for w in widths
    ]
    present = [np.ones(n, bool) for _ in widths]
    if gaps:
        for k, mask in enumerate(present):
            mask[k :: len(widths) + 2] = False
    columns = [encoders.measure_columns(b, m) for b, m in zip(blocks, present, strict=True)]
    built = encoders.build(
        [f"m{k}" for k in range(len(widths))],
        *zip(*columns, strict=True),
        hidden,
        3,
        0.7,
        key(seed),
        dtype=np.float64,
    )
    built.network.biases[-1][1] = -1.0
    labels = np.arange(n) // 2
    source = encoders.rows_of(built, blocks, present, labels)
    if init:
        built = encoders.start_at_correlations(built, source, np.arange(n), present)
    return built, source


@of_loss
@pytest.mark.parametrize(
    ("hidden", "widths"),
    [(((), ()), (5, 4)), (((6,), ()), (5, 4)), (((4, 3), (5,), ()), (3, 2, 4)), (((3,),), (5,))],
    ids=["linear", "hidden", "three modalities", "one modality"],
)
def test_the_gradient_of_the_encoders(name, hidden, widths):
    built, source = model(hidden, widths=widths)
    objective, batch = Objective(name, MARGIN), source(np.arange(12))
    net = built.network
    found = encoders.gradient(net, batch, objective)
    parameters = [*net.weights, *net.biases[net.n_inputs :]]
    for array, slope in zip(parameters, found, strict=True):
        for place in list(np.ndindex(array.shape))[::3]:
            value, ends = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = value + step
                ends.append(encoders.mean_loss(net, batch, objective))
            array[place] = value
            expected = (ends[0] - ends[1]) / 2e-6
            assert slope[place] == pytest.approx(expected, abs=1e-6), (array.shape, place)


def test_a_temperature_that_is_not_learnt_has_no_gradient():
    built, source = model()
    objective = Objective("sigmoid", learn_scale=False)
    slope = encoders.gradient(built.network, source(np.arange(12)), objective)[-1]
    assert slope[0] == 0
    assert slope[1] != 0


def test_a_batch_without_pairs_teaches_nothing():
    built, source = model()
    batch = source(np.arange(1))
    assert encoders.mean_loss(built.network, batch, Objective("clip")) == 0
    assert not any(g.any() for g in encoders.gradient(built.network, batch, Objective("clip")))


def test_the_start_is_a_canonical_correlation_analysis():
    """Many rows, so little shrinkage; the variates are uncorrelated, and correlate by pairs."""
    built, source = model(widths=(6, 5), n=3000, init=True, gaps=False)
    batch = source(np.arange(3000))
    one, two = (x @ w for x, w in zip(batch.inputs, built.network.weights, strict=True))
    corr = np.corrcoef(one.T, two.T)
    np.testing.assert_allclose(corr[:3, :3], np.eye(3), atol=0.02)
    across = corr[:3, 3:]
    np.testing.assert_allclose(across, np.diag(np.diag(across)), atol=0.02)
    X, Y = (x - x.mean(axis=0) for x in batch.inputs)
    exact = np.linalg.svd(np.linalg.qr(X)[0].T @ np.linalg.qr(Y)[0], compute_uv=False)
    np.testing.assert_allclose(np.diag(across)[:2], exact[:2], atol=0.01)


def test_the_start_of_hidden_layers_adds_nothing():
    linear, source = model(init=True)
    deep, _ = model(((6,), (4, 3)), init=True)
    batch = source(np.arange(12))
    represented = [encoders.represent(m, batch) for m in (linear, deep)]
    np.testing.assert_allclose(*represented, atol=1e-12)


def test_a_balanced_shift_expects_the_partners_that_there_are():
    built, source = model()
    batch = source(np.arange(12))
    slopes = []
    for each in (built, encoders.balance(built, batch)):
        slopes.append(encoders.gradient(each.network, batch, Objective("sigmoid"))[-1][1])
    assert abs(slopes[1]) < 0.02 < abs(slopes[0])
    assert built.shift == -1


def test_the_start_sees_a_modality_that_few_rows_show(monkeypatch):
    monkeypatch.setattr(encoders, "START_ROWS", 3)
    rng = np.random.default_rng(0)
    blocks, present = list(rng.normal(size=(2, 60, 3))), [np.ones(60, bool), np.zeros(60, bool)]
    present[1][[7, 11, 20, 31]] = True
    columns = [encoders.measure_columns(b, m) for b, m in zip(blocks, present, strict=True)]
    built = encoders.build("ab", *zip(*columns, strict=True), ((), ()), 2, 0.0, key(0))
    source = encoders.rows_of(built, blocks, present)
    started = encoders.start_at_correlations(built, source, np.arange(60), present)
    assert all(np.isfinite(w).all() and w.any() for w in started.network.weights)


def test_more_columns_than_rows():
    built, source = model(widths=(40, 30), n=12, init=True)
    assert all(np.isfinite(w).all() for w in built.network.weights)
    ranks = encoders.mean_reciprocal_rank(built, source, np.arange(12))
    assert ranks > 0.6


def test_columns_of_any_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) + 2
    X[:, 3] = 0.1
    shown = np.arange(50) % 5 > 0
    for scale in (1.0, 1e-300, 1e-12, 1e12, 1e300):
        mean, gain = encoders.measure_columns(X * scale, shown)
        np.testing.assert_allclose(mean / scale, X[shown].mean(axis=0))
        np.testing.assert_allclose(gain[:3] * scale, 1 / X[shown, :3].std(axis=0))
        assert gain[3] == 0


def test_encoding_in_parts(monkeypatch):
    built, source = model()
    rows = np.arange(12)
    whole = encoders.mean_reciprocal_rank(built, source, rows)
    monkeypatch.setattr(encoders, "AT_ONCE", 5)
    assert encoders.mean_reciprocal_rank(built, source, rows) == pytest.approx(whole)
