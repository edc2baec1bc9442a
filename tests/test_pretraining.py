"""Layerwise pretraining, and what it starts a deep machine with."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import machine
from scipy.special import expit

import mmgraph as mg
from mmgraph.backend.random import key
from mmgraph.engine.boltzmann import Boltzmann, begin, mean_field
from mmgraph.engine.learning import Data, Settings, _shortened, construct, learn
from mmgraph.engine.pretraining import Doubled, pretrain
from mmgraph.engine.units import Bernoulli

B = Bernoulli()


def patterns(n=400, seed=0):
    """Rows of two independent coins, each of which shows in six columns, with some noise."""
    rng = np.random.default_rng(seed)
    coins = np.repeat(rng.integers(0, 2, (n, 2)), 6, axis=1)
    return np.where(rng.random(coins.shape) < 0.05, 1 - coins, coins).astype(np.float32)


def deep(data, sizes=(8, 4)):
    edges = [(0, 1), (1, 2)]
    return construct(["x", "h1", "h2"], [B] * 3, 1, [12, *sizes], edges, data, key(0))


def test_gains_count_inputs_more_than_once():
    model = machine([B, B], [3, 2], [(0, 1)], 1)
    fields = {name: getattr(model, name) for name in Boltzmann.__dataclass_fields__}
    doubled = Doubled(**fields, gains=((2.0, 3.0),))
    v, h = np.eye(3), np.eye(2)
    np.testing.assert_allclose(doubled.activation([v, h], 1), 2 * v @ model.weights[0])
    np.testing.assert_allclose(doubled.activation([v, h], 0), 3 * h @ model.weights[0].T)


def test_each_level_is_learnt_with_the_inputs_that_lack_doubled(monkeypatch):
    """Against the published rules, written out: bottom doubled upwards, top doubled downwards."""
    seen = []

    def spy(model, data, settings, *args, **kwargs):
        seen.append((model.names[:-1], model.gains, settings.persistent))
        return learn(model, data, settings, *args, **kwargs)

    monkeypatch.setattr("mmgraph.engine.pretraining.learn", spy)
    data = Data([patterns()], [np.ones(400, bool)])
    fresh = deep(data)
    edges = ((0, 1), (1, 2), (2, 3))
    fresh = construct(["x", "a", "b", "c"], [B] * 4, 1, [12, 6, 5, 4], edges, data, key(0))
    pretrain(fresh, data, Settings(max_epochs=1), key(1))
    assert seen == [
        (("0",), ((2.0, 1.0),), False),
        (("1",), ((2.0, 2.0),), False),
        (("2",), ((1.0, 2.0),), False),
    ]


def test_a_layer_between_starts_as_the_geometric_mean_of_both_levels(monkeypatch):
    levels = []

    def spy(*args, **kwargs):
        for epoch in learn(*args, **kwargs):
            yield epoch
        levels.append(epoch.model)

    monkeypatch.setattr("mmgraph.engine.pretraining.learn", spy)
    data = Data([patterns()], [np.ones(400, bool)])
    model = pretrain(deep(data), data, Settings(max_epochs=5), key(1))
    below, above = levels
    v, h2 = patterns(5), np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]]
    one = below.activation([v, None], 1) + below.biases[1]
    other = above.activation([None, h2], 0) + above.biases[0]
    here = model.activation([v, None, h2], 1) + model.biases[1]
    np.testing.assert_allclose(expit(here), expit((one + other) / 2), atol=1e-5)


def test_it_learns_what_the_layers_have_in_common():
    data = Data([patterns()], [np.ones(400, bool)])
    model = pretrain(deep(data), data, Settings(max_epochs=30, batch_size=20), key(1))
    rows = patterns(200, seed=1)
    top = mean_field(model, begin(model, {0: rows}, 200)).state.values[-1]
    fit = np.linalg.lstsq(np.c_[top, np.ones(200)], rows[:, [0, 6]] > 0.5, rcond=None)[0]
    guess = np.c_[top, np.ones(200)] @ fit > 0.5
    majority = np.c_[rows[:, :6].mean(axis=1), rows[:, 6:].mean(axis=1)] > 0.5
    assert (guess == majority).mean() > 0.9


def test_rows_and_modalities_that_are_missing():
    x = patterns()
    rng = np.random.default_rng(1)
    present = [rng.random(400) < 0.7, rng.random(400) < 0.7]
    blocks = [np.where(m[:, None], x, np.nan) for m in present]
    X, modalities = mg.pack(a=blocks[0], b=blocks[1])
    dbm = mg.MultimodalDBM(
        (6,), 4, modalities=modalities, pretrain_iter=3, max_iter=2, random_state=0, verbose=1
    ).fit(X[np.any(present, axis=0)])
    assert np.isfinite(dbm.impute(X)).all()
    again = mg.MultimodalDBM(
        (6,), 4, modalities=modalities, pretrain_iter=3, max_iter=2, random_state=0
    ).fit(X[np.any(present, axis=0)])
    np.testing.assert_array_equal(dbm.model_.weights[0], again.model_.weights[0])


def test_one_level_has_nothing_to_pretrain():
    X = patterns(40)
    plain = mg.RBM(4, max_iter=2, random_state=0).fit(X)
    asked = mg.RBM(4, max_iter=2, random_state=0, pretrain_iter=5).fit(X)
    np.testing.assert_array_equal(plain.model_.weights[0], asked.model_.weights[0])


@pytest.mark.parametrize("max_norm", [0.5, 1e-3])
def test_max_norm(max_norm):
    X = patterns()
    rbm = mg.RBM(6, max_iter=20, max_norm=max_norm, random_state=0).fit(X)
    norms = np.linalg.norm(rbm.model_.weights[0], axis=0)
    assert norms.max() <= max_norm * (1 + 1e-5)
    assert norms.max() > 0.9 * max_norm


def test_shortening_turns_weights_about_the_offsets():
    """What a layer gets when the other is at its offset stays as it was."""
    model = machine([B, B], [5, 3], [(0, 1)], 1, seed=1)
    model = replace(model, means=(np.full(5, 0.3), np.full(3, 0.8)))
    short = _shortened(model, 0.7)
    assert np.linalg.norm(short.weights[0], axis=0).max() <= 0.7 + 1e-12
    values = [m[None] for m in model.means]
    for layer in (0, 1):
        before = model.activation(values, layer) + model.biases[layer]
        np.testing.assert_allclose(short.activation(values, layer) + short.biases[layer], before)
    assert _shortened(model, 100.0).weights[0] is model.weights[0]
