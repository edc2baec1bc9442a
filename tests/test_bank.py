"""A bank of kernels against a stack of Gram matrices, tiled, cached, with absent modalities."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.preprocessing import KernelCenterer
from test_combination import Stack

from mmgraph.engine import bank
from mmgraph.engine.kernels import Kernel

rng = np.random.default_rng(0)
N = 23
BLOCKS = {"a": rng.random((N, 4)), "b": rng.random((N, 3))}
ALL = {name: np.ones(N, bool) for name in BLOCKS}
SOME = {"a": np.arange(N) % 4 > 0, "b": np.arange(N) % 5 > 0}
KERNELS = [
    ("a", Kernel("rbf", {"gamma": 0.5})),
    ("a", Kernel("rbf", {"gamma": 5.0})),
    ("a", Kernel("linear")),
    ("b", Kernel("chi2", {"gamma": 1.0})),
    ("b", Kernel("polynomial", {"gamma": 1.0, "degree": 2})),
]


def build(*args, **settings):
    return bank.build(*args, **settings)[0]


def stack(present, *, center=True, normalize="none"):
    """The Gram matrices of KERNELS, one after the other, by scikit-learn's functions.

    First as they are asked for, then centred in any case.
    """
    grams, middle = [], []
    for name, kernel in KERNELS:
        rows = np.flatnonzero(present[name])
        K = pairwise_kernels(BLOCKS[name][rows], metric=kernel.name, **kernel.params)
        if normalize == "cosine":
            K = K / np.sqrt(np.outer(np.diag(K), np.diag(K)))
        centred = KernelCenterer().fit_transform(K)
        size = np.trace(centred if center or normalize == "variance" else K) / len(rows)
        size = size if normalize in ("trace", "variance") else 1.0
        for kind, part in ((grams, centred if center else K), (middle, centred)):
            kind.append(np.zeros((N, N)))
            kind[-1][np.ix_(rows, rows)] = part / size
    return Stack(grams), Stack(middle)


@pytest.mark.parametrize("present", [ALL, SOME], ids=["all", "some"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalize", bank.NORMALISATIONS)
def test_all_questions(present, center, normalize, monkeypatch):
    monkeypatch.setattr(bank, "TILE_BYTES", 8 * len(KERNELS) * N * 7)  # seven rows
    settings = {"center": center, "normalize": normalize}
    truth, centred = stack(present, **settings)
    found = build(BLOCKS, present, KERNELS, **settings)
    weights, V = rng.random(5), rng.normal(size=(N, 2))
    questions = {
        "combine": weights,
        "forms": V,
        "inner": rng.normal(size=(N, N)),
        "products": V,
        "gather": rng.normal(size=(5, N, 2)),
        "squares": None,
        "alignments": V - V.mean(axis=0),
    }
    cached = build(BLOCKS, present, KERNELS, **settings, megabytes=1)
    _, known = bank.build(BLOCKS, present, KERNELS, **settings, targets=questions["alignments"])
    for one, two in zip(known, found.alignments(questions["alignments"]), strict=True):
        np.testing.assert_array_equal(one, two)
    assert found.cache is None
    assert cached.cache is not None
    assert cached.without_cache().cache is None
    for model in (found, cached):
        for name, argument in questions.items():
            arguments = () if argument is None else (argument,)
            oracle = centred if name == "alignments" else truth
            one, two = (getattr(b, name)(*arguments) for b in (model, oracle))
            for x, y in zip(one, two, strict=True):
                np.testing.assert_allclose(x, y, atol=1e-9, rtol=1e-8, err_msg=name)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalize", bank.NORMALISATIONS)
def test_new_rows(center, normalize):
    found = build(BLOCKS, SOME, KERNELS, center=center, normalize=normalize)
    weights = np.array([0.5, 0.0, 0.2, 0.3, 0.1])
    again = found.between(BLOCKS, SOME, weights)
    np.testing.assert_allclose(again, found.combine(weights), atol=1e-10)
    one = {name: block[:1] for name, block in BLOCKS.items()}
    seen = {"a": np.array([False]), "b": np.array([True])}
    alone = found.between(one, seen, weights)
    only_b = weights * [0, 0, 0, 1, 1]
    both = found.between(one, {"a": np.array([True]), "b": np.array([True])}, only_b)
    np.testing.assert_allclose(alone, both)
    np.testing.assert_allclose(found.coverage(seen, weights), [0.4 / 1.1])
    assert not found.between(BLOCKS, SOME, np.zeros(5)).any()


def test_gram_matrices_stay_positive_semidefinite():
    found = build(BLOCKS, SOME, KERNELS)
    for weights in np.eye(5):
        assert np.linalg.eigvalsh(found.combine(weights)).min() > -1e-10


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalize", ["none", "cosine"])
def test_bank_over_some_rows(center, normalize):
    rng = np.random.default_rng(0)
    blocks = {"a": rng.normal(size=(30, 3)), "b": rng.normal(size=(30, 2))}
    present = {"a": np.ones(30, bool), "b": np.arange(30) >= 10}
    kernels = [("a", Kernel("rbf", {"gamma": 0.5})), ("b", Kernel("poly", {"gamma": 1.0}))]
    whole = build(blocks, present, kernels, center=center, normalize=normalize)
    rows = np.array([2, 12, 14, 15, 29])
    some = {name: block[rows] for name, block in blocks.items()}
    shown = {name: mask[rows] for name, mask in present.items()}
    fresh = build(some, shown, kernels, center=center, normalize=normalize)
    weights = np.array([0.3, 0.7])
    np.testing.assert_allclose(whole.among(rows).combine(weights), fresh.combine(weights))
    unseen = whole.among(np.arange(10))  # without any b
    alone = unseen.between(blocks, present, [0.0, 1.0])
    np.testing.assert_array_equal(alone, np.zeros((30, 10)))
    traced = build(blocks, present, kernels, center=center, normalize="trace")
    assert [m.scale for m in traced.among(rows).maps] == [m.scale for m in traced.maps]


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalize", bank.NORMALISATIONS)
def test_weighted_rows_are_repeated_rows(center, normalize):
    counts = np.arange(N) % 3 + 1
    rows = np.repeat(np.arange(N), counts)
    blocks = {name: block[rows] for name, block in BLOCKS.items()}
    present = {name: shown[rows] for name, shown in SOME.items()}
    settings = {"center": center, "normalize": normalize}
    V = rng.normal(size=(N, 2))
    V -= np.average(V, axis=0, weights=counts)
    once, aligned = bank.build(BLOCKS, SOME, KERNELS, 1.0 * counts, targets=V, **settings)
    often, same = bank.build(blocks, present, KERNELS, targets=V[rows], **settings)
    for one, two in zip(aligned, same, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)
    weights = rng.random(5)
    K = often.combine(weights)
    np.testing.assert_allclose(once.combine(weights)[np.ix_(rows, rows)], K, atol=1e-10)
    np.testing.assert_allclose(once.between(blocks, present, weights)[:, rows], K, atol=1e-10)
    one, two = ([m.trace for m in found.maps] for found in (once, often))
    np.testing.assert_allclose(one, two)


def test_widths_that_double_are_squares():
    X = rng.normal(size=(N, 3))
    kernels = [("x", Kernel("rbf", {"gamma": g})) for g in (0.4, 0.1, 3.0, 0.2, 0.8)]
    shown = {"x": np.ones(N, bool)}
    assert bank._steps([k for _, k in kernels]) == [(1, None), (3, 1), (0, 3), (4, 0), (2, None)]
    found = build({"x": X}, shown, kernels, center=False)
    for weights, (_, kernel) in zip(np.eye(5), kernels, strict=True):
        truth = pairwise_kernels(X, metric="rbf", **kernel.params)
        np.testing.assert_allclose(found.combine(weights), truth, rtol=1e-13)


def test_flat_kernels_keep_their_differences():
    """Alignments of kernels that are 1 to nine digits."""
    X = rng.normal(size=(N, 2))
    V = X[:, :1] - X[:, :1].mean()
    shown = {"x": np.ones(N, bool)}
    kernels = [("x", Kernel("rbf", {"gamma": gamma})) for gamma in (1e-9, 3e-9)]
    forms, moments = bank.build({"x": X}, shown, kernels, targets=V)[1]
    D = ((X[:, None] - X) ** 2).sum(axis=2)
    truth = Stack([-1e-9 * D, -3e-9 * D]).alignments(V)
    np.testing.assert_allclose(forms, truth[0], rtol=1e-5)
    np.testing.assert_allclose(moments, truth[1], rtol=1e-5)
