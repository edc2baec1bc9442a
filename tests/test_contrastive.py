"""ContrastiveEmbedding: what it learns, from which rows, and what it says where it cannot."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg
from mmgraph.engine import encoders

MODALITIES = {"a": slice(0, 6), "b": slice(6, 11)}


def rows(n=200, seed=0, noise=0.3):
    """Two modalities of the same four causes."""
    rng = np.random.default_rng(seed)
    causes, maps = rng.normal(size=(n, 4)), np.random.default_rng(99).normal(size=(4, 11))
    return causes @ maps + noise * rng.normal(size=(n, 11))


def embedding(**changes):
    settings = {"max_iter": 15, "modalities": MODALITIES, "random_state": 0, "batch_size": 64}
    return mg.ContrastiveEmbedding(4, **{**settings, **changes})


X, NEW = rows(), rows(seed=1)
CHANCE = float(np.mean(1 / np.arange(1, 201)))
every_loss = pytest.mark.parametrize("loss", ["clip", "sigmoid", "ranking"])


@every_loss
@pytest.mark.parametrize("init", ["cca", "random"])
@pytest.mark.parametrize("hidden", [(), (16,)], ids=["linear", "hidden"])
def test_partners_of_new_rows_are_found(loss, init, hidden):
    model = embedding(loss=loss, init=init, hidden=hidden, learning_rate=0.01).fit(X)
    assert model.score(NEW) > 5 * CHANCE
    losses = model.history_["loss"]
    assert losses[-1] < 1.05 * losses[0]  # the heads of canonical variates are near their best


def test_hidden_layers_find_what_is_not_linear():
    def curved(seed):
        X = rows(1000, seed, noise=0.1)
        return np.c_[X[:, :6], X[:, 6:] ** 2]

    train, new = curved(0), curved(1)
    start, linear, deep = (
        embedding(learning_rate=0.01, **changes).fit(train).score(new)
        for changes in ({"max_iter": 1}, {}, {"hidden": (64,)})
    )
    assert deep > 2 * max(start, linear)


def test_score_is_the_mean_reciprocal_rank_of_embed():
    model = embedding().fit(X)
    a, b = model.embed(NEW, "a"), model.embed(NEW, "b")
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1)
    c, found = a @ b.T, []
    for similar in (c, c.T):
        found.append(1 / (1 + (similar > np.diag(similar)[:, None]).sum(axis=1)))
    assert model.score(NEW) == pytest.approx(np.mean(found))


def test_transform_is_the_mean_of_what_a_row_shows():
    model = embedding().fit(X)
    gaps = NEW[:4].copy()
    gaps[1, :6] = gaps[2, 6:] = gaps[3] = np.nan
    a, b, Z = model.embed(NEW, "a"), model.embed(NEW, "b"), model.transform(gaps)
    np.testing.assert_allclose(Z, [(a[0] + b[0]) / 2, b[1], a[2], 0 * a[3]], atol=1e-7)


def test_rows_that_show_one_modality_are_not_learnt_from():
    """Their columns' means apart, which are made to agree."""
    alone = np.vstack([X, X])
    alone[200:, 6:] = np.nan
    one, two = embedding().fit(alone), embedding().fit(X)
    np.testing.assert_allclose(one.transform(NEW), two.transform(NEW), atol=1e-4)


def test_pairs_of_three_modalities_that_no_row_shows_together():
    modalities = {"a": slice(0, 4), "b": slice(4, 8), "c": slice(8, 11)}
    gaps = rows(300)
    gaps[:150, 8:], gaps[150:, :4] = np.nan, np.nan
    model = embedding(modalities=modalities, learning_rate=0.01).fit(gaps)
    a, c = model.embed(NEW, "a"), model.embed(NEW, "c")
    ranks = 1 + (a @ c.T > np.einsum("ij,ij->i", a, c)[:, None]).sum(axis=1)
    assert np.median(ranks) < 40  # of 200: a and c have met through b only


def test_labels_are_partners():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    kinds = np.eye(4)[y]
    one, two = (kinds @ rng.normal(size=(4, 5)) + rng.normal(size=(400, 5)) for _ in range(2))
    X, modalities = mg.pack(one=one, two=two)
    train, test = slice(0, 300), slice(300, 400)

    def precision(model):
        Z, W = (model.embed(X[test], name) for name in modalities)
        best = (Z @ W.T).argmax(axis=1)
        return (y[test][best] == y[test]).mean()

    model = embedding(modalities=modalities, init="random", learning_rate=0.01, max_iter=30)
    words = np.array(["n", "e", "s", "w"])[y]
    with_labels = clone(model).fit(X[train], words[train])
    without = clone(model).fit(X[train])
    assert precision(with_labels) > precision(without) + 0.05
    assert with_labels.score(X[test], words[test]) > without.score(X[test], words[test])


def test_labels_that_all_differ_are_none():
    one, two = embedding().fit(X, np.arange(200.0)), embedding().fit(X)
    np.testing.assert_array_equal(one.transform(NEW), two.transform(NEW))


@every_loss
def test_columns_of_any_scale_are_learnt_alike(loss):
    plain = embedding(loss=loss).fit(X).transform(NEW)
    for scale in (1e-200, 1e-12, 1e12, 1e200):
        factors = np.r_[np.full(5, scale), np.ones(6)]
        found = embedding(loss=loss).fit(X * factors).transform(NEW * factors)
        np.testing.assert_allclose(found, plain, atol=1e-4)


def test_columns_that_do_not_vary_or_repeat_do_no_harm():
    wide = np.c_[X, np.full(200, 7.0), X[:, 0]]
    modalities = {"a": [*range(6), 11, 12], "b": slice(6, 11)}
    model = embedding(modalities=modalities).fit(wide)
    assert np.isfinite(model.transform(wide)).all()
    assert model.score(wide) > 5 * CHANCE


def test_fewer_rows_than_columns():
    few = X[:5]
    for loss in ("clip", "sigmoid", "ranking"):
        Z = embedding(loss=loss).fit(few).transform(NEW)
        assert np.isfinite(Z).all()


def test_sparse_rows_are_not_densified_at_once():
    counts = np.random.default_rng(0).poisson(0.2, (200, 11)).astype(float)
    dense, sparse = embedding().fit(counts), embedding().fit(sp.csr_array(counts))
    Z = dense.transform(counts)
    np.testing.assert_allclose(sparse.transform(sp.csr_array(counts)), Z, atol=1e-6)


def test_early_stopping_keeps_the_best_epoch():
    model = embedding(
        early_stopping=True, n_iter_no_change=2, max_iter=60, learning_rate=0.05, hidden=(16,)
    ).fit(X)
    scores = model.history_["validation_score"]
    assert len(scores) < 60
    assert model.n_iter_ == 1 + int(np.argmax(scores))


def test_temperature():
    fixed = embedding(learn_temperature=False, temperature=0.3).fit(X)
    assert fixed.temperature_ == pytest.approx(0.3)
    assert set(fixed.history_) == {"epoch", "learning_rate", "weight_norm", "loss", "temperature"}
    learnt = embedding(temperature=0.3, learning_rate=0.01).fit(X)
    assert learnt.temperature_ < 0.25
    assert learnt.temperature_ == learnt.history_["temperature"][-1]
    low = embedding(temperature=1e-9).fit(X)
    assert low.temperature_ == pytest.approx(0.01)


def test_ctrl_c_keeps_the_model_so_far(monkeypatch):
    complete = embedding(max_iter=2, learning_rate_schedule="constant").fit(X)
    loss, calls = encoders.mean_loss, []

    def interrupt(*args):
        calls.append(1)
        if len(calls) == 7:  # three batches an epoch
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(encoders, "mean_loss", interrupt)
    model = embedding(max_iter=9, learning_rate_schedule="constant")
    with pytest.warns(ConvergenceWarning, match=r"interrupted after 2 epoch\(s\): kept the model"):
        model.fit(X)
    np.testing.assert_array_equal(model.transform(X), complete.transform(X))


def with_gap(X, rows, columns):
    X = X.copy()
    X[rows, columns] = np.nan
    return X


@pytest.mark.parametrize(
    ("changes", "X", "message"),
    [
        ({"loss": "triplet"}, X, r"loss='triplet': choose one of \['clip', 'sigmoid', 'ranking'\]"),
        ({"temperature": 0}, X, "temperature=0: it must be a number above 0"),
        ({"margin": -1}, X, "margin=-1: it must be a number at least 0"),
        ({"learn_temperature": None}, X, r"learn_temperature=None: choose one of \[True"),
        ({"hidden": {"c": (3,)}}, X, "unknown modality 'c'"),
        ({"hidden": {"a": "x"}}, X, "hidden='x': it must be a tuple of layer sizes"),
        ({}, X[:1], "'a' is shown together with another modality by n_samples=1 row"),
        (
            {},
            with_gap(with_gap(X, slice(0, 100), slice(0, 6)), slice(100, 200), slice(6, 11)),
            "'a' is shown together with another modality by n_samples=0 row",
        ),
        ({}, np.c_[X[:, :6], np.ones((200, 5))], "'b' has zero variance: its n_samples=200"),
        ({"early_stopping": True}, X[:2], None),
        ({"early_stopping": True, "validation_fraction": 0.9}, X[:2], "leaves none to learn from"),
    ],
)
def test_what_cannot_be_fitted(changes, X, message):
    model = embedding(**changes)
    if message is None:
        assert np.isfinite(model.fit(X).transform(X)).all()
        return
    with pytest.raises(ValueError, match=message):
        model.fit(X)


def test_what_cannot_be_scored_or_represented():
    model = embedding().fit(X)
    with pytest.raises(ValueError, match="no row of X shows two modalities"):
        model.score(with_gap(NEW, slice(None), slice(0, 6)))
    with pytest.raises(ValueError, match=r"'a': a value lies more than 1e\+06 standard deviations"):
        model.transform(NEW * 1e9)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, np.zeros(3))


def test_one_modality_spreads_its_rows():
    model = mg.ContrastiveEmbedding(3, max_iter=20, random_state=0).fit(X)
    Z = model.transform(X)
    assert model.score(X) == 1
    assert np.linalg.norm(Z.mean(axis=0)) < 0.2
