"""Rules over opinions, and the learning of weights, against formulae and a generic optimiser."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from mmgraph.engine import opinions as engine
from mmgraph.engine.pseudo_labels import choose


@pytest.fixture
def case():
    """Opinions of 200 rows by three modalities of different worth; row 0 has none."""
    rng = np.random.default_rng(0)
    prior = np.log([0.5, 0.3, 0.2])
    codes = rng.choice(3, 200, p=np.exp(prior))
    worth = np.array([2.0, 1.0, 0.1])
    signal = worth[:, None] * np.eye(3)[codes][:, None, :] + rng.normal(size=(200, 3, 3))
    opinions = log_softmax(prior + signal, axis=2)
    present = rng.random((200, 3)) < 0.7
    present[0] = False
    opinions[~present] = prior
    return opinions, present, prior, codes


def normalised(p):
    return p / p.sum()


@pytest.mark.parametrize(
    ("rule", "formula"),
    [
        ("product", lambda p, prior: normalised(np.prod(p / prior, axis=0) * prior)),
        ("sum", lambda p, prior: p.mean(axis=0)),
        ("max", lambda p, prior: normalised(p.max(axis=0))),
    ],
)
def test_rules_leave_out_what_is_absent(case, rule, formula):
    opinions, present, prior, _ = case
    found = engine.CLASS_RULES[rule](opinions, present, prior)
    np.testing.assert_allclose(logsumexp(found, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found[0], prior)
    for row in range(1, 50):
        if present[row].any():
            p = np.exp(opinions[row, present[row]])
            np.testing.assert_allclose(np.exp(found[row]), formula(p, np.exp(prior)))


def test_the_product_rule_is_bayes_rule():
    """Three conditionally independent binary modalities, by enumeration of the joint."""
    rng = np.random.default_rng(1)
    prior, p = np.array([0.7, 0.3]), rng.uniform(0.1, 0.9, (3, 2))
    for x in itertools.product([0, 1], repeat=3):
        likelihood = np.array([np.where(v, p[m], 1 - p[m]) for m, v in enumerate(x)])
        exact = normalised(prior * likelihood.prod(axis=0))
        single = np.array([normalised(prior * parts) for parts in likelihood])
        found = engine.product(np.log(single)[None], np.ones((1, 3), bool), np.log(prior))
        np.testing.assert_allclose(np.exp(found[0]), exact)


def test_precision_weights_are_those_of_a_gaussian():
    """Against the conditional mean of a Gaussian: y, and y given each of three measurements."""
    spread, noise, mean = 4.0, np.array([1.0, 2.0, 8.0]), 3.0
    covariance = spread * np.ones((3, 3)) + np.diag(noise)
    x = np.array([2.0, 5.0, 9.0])
    error = spread * noise / (spread + noise)
    own = mean + spread / (spread + noise) * (x - mean)
    for pattern in itertools.product([False, True], repeat=3):
        on = np.array(pattern)
        exact = mean
        if on.any():
            gain = np.linalg.solve(covariance[np.ix_(on, on)], np.full(on.sum(), spread))
            exact = mean + gain @ (x[on] - mean)
        weights = engine.precision_weights(on[None], error, spread)
        found = engine.pool(own[None, :, None], weights, np.array([mean]))
        np.testing.assert_allclose(found[0, 0], exact)


def test_class_weights_are_those_of_a_generic_optimiser(case):
    opinions, _, prior, codes = case
    rng = np.random.default_rng(2)
    row_weights, start = rng.uniform(0.1, 2, len(codes)), np.array([1.0, 0.5, 0.7])
    offset = opinions - prior
    ridge = np.average((offset**2).sum(axis=2), axis=0, weights=row_weights)

    def objective(w):
        logits = log_softmax(prior + np.einsum("m,nmc->nc", w, offset), axis=1)
        fit = row_weights @ logits[np.arange(len(codes)), codes]
        return 0.5 * ridge @ (w - start) ** 2 - fit

    found = engine.fit_class_weights(opinions, codes, row_weights, prior, start)
    best = minimize(objective, start, bounds=[(0, None)] * 3, tol=1e-14)
    assert objective(found) <= best.fun + 1e-9
    np.testing.assert_allclose(found, best.x, atol=1e-4)
    assert found[0] > found[2]


def test_a_harmful_opinion_gets_no_weight(case):
    opinions, _, prior, codes = case
    opposite = 2 * prior - opinions[:, 1:2]
    both = np.concatenate([opinions[:, :1], opposite], axis=1)
    found = engine.fit_class_weights(both, codes, np.ones(200), prior, np.ones(2))
    assert found[1] == 0
    numbers = np.array([[1.0], [2.0], [3.0], [5.0]])[:, :, None]
    y = np.array([1.0, 2.0, 3.0, 5.0])
    both = np.concatenate([numbers, -numbers], axis=1)
    found = engine.fit_number_weights(both, y, np.ones(4), np.zeros(1), np.array([1.0, 0.0]))
    np.testing.assert_allclose(found, [1, 0], atol=1e-12)


def test_scale_undoes_exaggeration():
    rng = np.random.default_rng(3)
    truth = log_softmax(rng.normal(size=(5000, 3)), axis=1)
    drawn = np.array([rng.choice(3, p=np.exp(row)) for row in truth])
    found = engine.fit_scale(log_softmax(4 * truth, axis=1), drawn, np.ones(5000))
    assert found == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_scales_of_decision_functions_do_not_matter(case, size):
    opinions, _, _, codes = case
    scores = opinions[:, 0] - opinions[:, 0].mean(axis=1, keepdims=True)
    scale = engine.fit_scale(size * scores, codes, np.ones(200))
    assert np.isfinite(scale)
    p = softmax(scale * size * scores, axis=1)
    assert np.isfinite(p).all()


def test_patterns():
    few = engine.patterns_of(np.ones((5, 3), bool))
    assert len(few) == 7
    assert len(np.unique(few, axis=0)) == 7
    rng = np.random.default_rng(0)
    seen = rng.random((4, 10)) < 0.5
    many = engine.patterns_of(seen)
    rows = {tuple(row) for row in many}
    wanted = {tuple(row) for row in [*seen, *np.eye(10, dtype=bool), np.ones(10, bool)]}
    assert rows == {row for row in wanted if any(row)}


def test_a_gate_knows_what_it_was_not_shown(case):
    """Complete rows teach the weights of every pattern; singles have weight 1."""
    opinions, _, prior, codes = case
    heard = np.ones((200, 3), bool)

    def shown(pattern, rows):
        index = np.arange(3) if pattern is None else np.flatnonzero(pattern)
        return index, opinions[rows][:, index]

    def fit(found, rows, start):
        return engine.fit_class_weights(found, codes[rows], np.ones(len(rows)), prior, start)

    gate = engine.learn_gate(shown, heard, fit, 3)
    weights = gate.of(np.array([[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]], bool))
    np.testing.assert_array_equal(weights[[0, 1, 3]], [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    start = gate.shared[[0, 1]]
    exact = engine.fit_class_weights(opinions[:, :2], codes, np.ones(200), prior, start)
    np.testing.assert_allclose(weights[2], [*exact, 0])


def test_choose_takes_the_surest_of_each_class_where_modalities_agree():
    prior = np.log([0.5, 0.5])
    p = np.array([0.99, 0.9, 0.8, 0.7, 0.1, 0.2, 0.9])
    opinions = np.log(np.stack([p, 1 - p], axis=1))[:, None].repeat(2, axis=1)
    opinions[6, 1] = np.log([0.3, 0.7])  # the modalities of row 6 do not agree
    heard = np.ones((7, 2), bool)
    heard[1] = False
    rows, codes = choose(opinions, heard, prior, 0.5, 1.0)
    assert dict(zip(rows.tolist(), codes.tolist(), strict=True)) == {0: 0, 2: 0, 4: 1}
    rows, _ = choose(opinions, heard, prior, 1.0, 0.5)
    assert rows.tolist() == [0, 2, 3, 4, 5, 6]
    assert len(choose(opinions[:0], heard[:0], prior, 1.0, 0.5)[0]) == 0
