"""Learning against exact gradients of the exact likelihood."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from oracles import Enumeration, machine

from mmgraph.backend.random import key
from mmgraph.engine import learning, likelihood
from mmgraph.engine.boltzmann import State, begin, mean_field
from mmgraph.engine.learning import (
    Data,
    Settings,
    _step,
    construct,
    learn,
    reconstruction,
)
from mmgraph.engine.units import Bernoulli, Categorical, Gaussian, Rectified, ReplicatedSoftmax

B = Bernoulli()
PLAIN = Settings(momentum=0.0, centered=False, offset_rate=0.0, max_epochs=1)


def everywhere(model, n):
    return {k: np.ones(n, bool) for k in model.visible}


def exact_log_likelihood(model, rows):
    """Mean exact log-density of complete rows (statistics) of an RBM."""
    log_z = likelihood.exact_log_partition(model, {}).value
    n = len(rows[0])
    shown = {k: model.encode(k, x) for k, x in enumerate(rows)}
    found = likelihood.log_density(model, shown, everywhere(model, n), n, lambda totals: [log_z])
    return found.mean()


def positive_of(model, rows):
    shown = {k: model.encode(k, x) for k, x in enumerate(rows)}
    return mean_field(model, begin(model, shown, len(rows[0]))).state


def slope(model, rows, change, step=1e-5):
    up, down = change(model, step), change(model, -step)
    return (exact_log_likelihood(up, rows) - exact_log_likelihood(down, rows)) / (2 * step)


def with_weight(e, i, j):
    def change(model, step):
        weights = list(model.weights)
        weights[e] = weights[e].copy()
        weights[e][i, j] += step
        return replace(model, weights=tuple(weights))

    return change


def with_bias(k, i):
    def change(model, step):
        biases = list(model.biases)
        biases[k] = biases[k].copy()
        biases[k][i] += step
        return replace(model, biases=tuple(biases))

    return change


def test_a_plain_step_is_the_gradient_of_the_exact_likelihood():
    model = machine([B, Categorical(), B], [3, 3, 2], [(0, 2), (1, 2)], 2, seed=2)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 2, (40, 3)).astype(float), np.eye(3)[rng.integers(0, 3, 40)]]
    negative = Enumeration(model).draw(200_000, 1)
    moved = _step(model, positive_of(model, rows), negative, [None] * 20, 1.0, PLAIN)
    for e, (a, b) in enumerate(model.edges):
        for i in range(len(model.biases[a])):
            for j in range(len(model.biases[b])):
                found = moved.weights[e][i, j] - model.weights[e][i, j]
                assert found == pytest.approx(slope(model, rows, with_weight(e, i, j)), abs=0.008)
    for k in range(3):
        for i in range(len(model.biases[k])):
            found = moved.biases[k][i] - model.biases[k][i]
            assert found == pytest.approx(slope(model, rows, with_bias(k, i)), abs=0.008)


def test_a_centred_step_is_a_plain_step_of_the_centred_machine():
    """In the coordinates with offsets the step is the gradient; folded back it is this."""
    model = machine([B, B, B], [3, 2, 2], [(0, 1), (1, 2)], 1, seed=3)
    rng = np.random.default_rng(1)
    data = [rng.random((30, n)) for n in (3, 2, 2)]
    negative = [rng.integers(0, 2, (50, n)).astype(float) for n in (3, 2, 2)]
    offsets = [rng.random(n) for n in (3, 2, 2)]
    model = replace(model, means=tuple(offsets))
    state = positive_of(model, [data[0]])._replace(values=data)
    settings = replace(PLAIN, centered=True)
    moved = _step(model, state, negative, [None] * 20, 0.3, settings)
    biases = [b.copy() for b in model.biases]
    for k in range(3):
        biases[k] += 0.3 * (data[k].mean(axis=0) - negative[k].mean(axis=0))
    for e, (a, b) in enumerate(model.edges):
        here = (data[a] - offsets[a]).T @ (data[b] - offsets[b]) / 30
        there = (negative[a] - offsets[a]).T @ (negative[b] - offsets[b]) / 50
        change = 0.3 * (here - there)
        np.testing.assert_allclose(moved.weights[e], model.weights[e] + change, atol=1e-12)
        biases[a] -= change @ offsets[b]
        biases[b] -= offsets[a] @ change
    for k in range(3):
        np.testing.assert_allclose(moved.biases[k], biases[k], atol=1e-12)


@pytest.mark.parametrize("kind", [Gaussian(), Rectified()], ids=lambda k: k.name)
def test_the_scale_follows_the_exact_likelihood(kind):
    model = machine([kind, B], [2, 3], [(0, 1)], 1, seed=1, spread=0.5)
    scale = np.array([1.7, 0.6])
    loc = np.zeros(2) if kind.name == "gaussian" else None
    model = replace(model, scales=(scale, None), locs=(loc, None))
    rows = [abs(np.random.default_rng(0).normal(0.5, 1, (60, 2)))]
    positive = positive_of(model, rows)
    moved = _step(model, positive, positive.values, [None] * 20, 1e-4, PLAIN)
    found = np.log(moved.scales[0] / scale) / 1e-4

    def stretched(i):
        def change(model, step):
            new = scale.copy()
            new[i] *= np.exp(step)
            return replace(model, scales=(new, None))

        return change

    exact = [slope(model, rows, stretched(i)) for i in range(2)]
    np.testing.assert_allclose(found, np.clip(exact, -1, 1), atol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"centered": False}, {"persistent": False}])
def test_learning_approaches_the_best_likelihood(settings):
    """Four patterns of equal frequency: no model does better than -log 4 a row."""
    patterns = np.array([[0, 0, 0, 1, 1], [1, 1, 0, 0, 1], [0, 1, 1, 1, 0], [1, 0, 1, 0, 0]], float)
    rows = np.tile(patterns, (50, 1))
    data = Data([rows[:, :3], rows[:, 3:]], [np.ones(200, bool)] * 2)
    edges = [(0, 2), (1, 2)]
    model = construct(["a", "b", "h"], [B, B, B], 2, [3, 2, 16], edges, data, key(0))
    settings = Settings(learning_rate=0.2, batch_size=20, max_epochs=200, n_gibbs=5, **settings)
    *_, last = learn(model, data, settings, key(1))
    assert exact_log_likelihood(model, [rows[:, :3], rows[:, 3:]]) < -3
    assert exact_log_likelihood(last.model, [rows[:, :3], rows[:, 3:]]) > -np.log(4) - 0.25


def test_rows_with_missing_modalities_teach_the_coupling():
    """Every row lacks one of three copies of a bit, and yet all are learnt to agree."""
    rng = np.random.default_rng(0)
    bit = rng.integers(0, 2, (600, 1)).astype(float)
    absent = rng.integers(0, 3, 600)
    blocks = [np.where((absent == k)[:, None], np.nan, bit) for k in range(3)]
    data = Data(blocks, [absent != k for k in range(3)])
    edges = [(0, 3), (1, 3), (2, 3)]
    model = construct(["a", "b", "c", "h"], [B] * 4, 3, [1, 1, 1, 4], edges, data, key(0))
    settings = Settings(learning_rate=0.2, batch_size=20, max_epochs=60)
    *_, last = learn(model, data, settings, key(1))
    found = Enumeration(last.model)
    assert found.mean(1, {0: [1.0]})[0] > 0.95
    assert found.mean(2, {0: [0.0]})[0] < 0.05
    score = reconstruction(last.model, data, np.arange(600))
    assert score > 3 * np.log(0.9)


def test_same_key_same_result_and_resume_is_bit_exact():
    rng = np.random.default_rng(0)
    data = Data(
        [rng.normal(size=(60, 4)), rng.integers(0, 3, (60, 3)) + 1.0], [np.ones(60, bool)] * 2
    )
    units = [Gaussian(), ReplicatedSoftmax(), B, B]
    model = construct(
        ["x", "w", "h", "j"], units, 2, [4, 3, 5, 4], [(0, 2), (1, 3), (2, 3)], data, key(0)
    )
    settings = Settings(batch_size=16, max_epochs=6)
    epochs = list(learn(model, data, settings, key(1)))
    again = list(learn(model, data, settings, key(1)))
    resumed = list(learn(model, data, settings, key(1), resume=epochs[2]))
    for other in (again[-1], resumed[-1]):
        assert other.step == epochs[-1].step
        for name in ("weights", "biases", "means", "scales"):
            for a, b in zip(
                getattr(epochs[-1].model, name), getattr(other.model, name), strict=True
            ):
                assert (a is None and b is None) or np.array_equal(a, b)
        for a, b in zip(epochs[-1].chains, other.chains, strict=True):
            assert np.array_equal(a, b)
    other = list(learn(model, data, settings, key(2)))
    assert not np.array_equal(other[-1].model.weights[0], epochs[-1].model.weights[0])


def test_rates_sparsity_and_decay():
    assert Settings(decay="constant").rate(50) == Settings().learning_rate
    assert Settings(decay="linear", max_epochs=10).rate(5) == pytest.approx(0.025)
    assert Settings(decay="inverse", max_epochs=10).rate(1) == pytest.approx(0.025)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (300, 6)).astype(float)
    data = Data([rows], [np.ones(300, bool)])
    model = construct(["x", "h"], [B, B], 1, [6, 8], [(0, 1)], data, key(0))

    def fitted(**changes):
        settings = Settings(learning_rate=0.1, batch_size=20, max_epochs=30, **changes)
        return list(learn(model, data, settings, key(1)))[-1].model

    free, sparse, small = fitted(), fitted(sparsity_cost=1.0), fitted(l2=0.5)
    assert free.means[1].mean() > 0.3
    assert sparse.means[1].mean() == pytest.approx(0.1, abs=0.07)
    assert np.linalg.norm(small.weights[0]) < 0.5 * np.linalg.norm(free.weights[0])


def test_diverging_learning_stops_before_it_yields(monkeypatch):
    monkeypatch.setattr(learning, "CAP", np.inf)
    rng = np.random.default_rng(0)
    data = Data([rng.normal(size=(60, 4))], [np.ones(60, bool)])
    model = construct(["x", "h"], [Gaussian(), B], 1, [4, 3], [(0, 1)], data, key(0))
    settings = Settings(learning_rate=1e30, decay="constant", max_epochs=50)
    epochs = []
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="no longer finite"),
    ):
        epochs.extend(learn(model, data, settings, key(1)))
    assert all(np.isfinite(w).all() for epoch in epochs for w in epoch.model.weights)


def exact_prediction(model, rows):
    """Mean over rows and modalities of the exact log p(modality | the other modalities)."""
    every = Enumeration(model)
    found = [
        every.log_marginal(row) - every.log_marginal({j: x for j, x in row.items() if j != k})
        for row in (dict(enumerate(values)) for values in zip(*rows, strict=True))
        for k in model.visible
    ]
    return np.mean(found)


def test_a_prediction_step_is_the_gradient_of_the_exact_conditional_likelihood():
    # Hidden layers between few visible states: what is hidden can be enumerated.
    model = machine([B, Categorical(), B], [2, 3, 2], [(0, 2), (1, 2)], 2, seed=2)
    rng = np.random.default_rng(0)
    few = [rng.integers(0, 2, (8, 2)).astype(float), np.eye(3)[rng.integers(0, 3, 8)]]
    rows = [np.concatenate([x] * 10_000) for x in few]
    settings = replace(PLAIN, objective="multi_prediction", n_gibbs=30)
    positive, n = positive_of(model, rows), len(rows[0])
    chains = State([x[:100] for x in Enumeration(model).draw(100, 1)], [True] * 3, [None] * 3)
    negative = learning._predictions(model, positive, np.arange(n), settings, chains, key(0), 0)
    moved = _step(model, positive, negative, [None] * 20, 1.0, PLAIN)

    def slope(change, step=1e-5):
        up, down = (exact_prediction(change(model, s), few) for s in (step, -step))
        return (up - down) / (2 * step)

    for e, (a, b) in enumerate(model.edges):
        for i in range(len(model.biases[a])):
            for j in range(len(model.biases[b])):
                found = moved.weights[e][i, j] - model.weights[e][i, j]
                assert found == pytest.approx(slope(with_weight(e, i, j)), abs=0.008)
    for k in range(3):
        for i in range(len(model.biases[k])):
            found = moved.biases[k][i] - model.biases[k][i]
            assert found == pytest.approx(slope(with_bias(k, i)), abs=0.008)


@pytest.mark.parametrize("objective", ["likelihood", "multi_prediction", "hybrid"])
def test_learning_without_a_single_complete_row(objective):
    """Three modalities that tell of one coin, of which every row shows two."""
    rng = np.random.default_rng(0)
    coin = np.repeat(rng.integers(0, 2, (600, 1)), 4, axis=1).astype(float)
    lacks = np.arange(600) % 3
    data = Data([coin.copy() for _ in range(3)], [lacks != k for k in range(3)])
    model = construct(
        ["a", "b", "c", "h"], [B] * 4, 3, [4, 4, 4, 4], [(k, 3) for k in range(3)], data, key(0)
    )
    settings = Settings(objective=objective, max_epochs=20, batch_size=20)
    *_, last = learn(model, data, settings, key(1))
    states = np.repeat([[0.0], [1.0]], 4, axis=1)
    guess = mean_field(last.model, begin(last.model, {0: states}, 2)).state.values
    for k in (1, 2):
        np.testing.assert_allclose(guess[k], states, atol=0.2)


def test_a_hybrid_takes_turns():
    hybrid = Settings(objective="hybrid")
    assert [bool(hybrid.predicts(step)) for step in range(4)] == [False, True, False, True]
    assert not any(Settings().predicts(step) for step in range(4))
    assert Settings(objective="multi_prediction").predicts(0)


# Workers that learn together ------------------------------------------------------------------


def together(*calls):
    """What functions return that are called in threads, each with a mean over all of them."""
    barrier, given = threading.Barrier(len(calls), timeout=30), [None] * len(calls)

    def run(rank):
        def reduce(x):
            given[rank] = x
            barrier.wait()
            mean = sum(given) / len(given)
            barrier.wait()
            return mean

        try:
            return calls[rank](reduce)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, range(len(calls))))


def assert_same_machines(one, two, **tolerance):
    for parts in ("weights", "biases", "means", "scales"):
        for a, b in zip(getattr(one, parts), getattr(two, parts), strict=True):
            if a is not None:
                np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("shown", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("common", [False, True])
def test_a_step_of_two_workers_is_one_of_all_rows(shown, common):
    """With gaps in a layer that has a scale, of which one worker may see nothing."""
    units = [Gaussian(common=True) if common else Gaussian(), B, B]
    model = machine(units, [3, 2, 4], [(0, 2), (1, 2)], 2, seed=3)
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(20, 3)), rng.integers(0, 2, (20, 2)).astype(float)]
    state = positive_of(model, rows)
    chains = [rng.random((60, t.shape[1])) for t in state.values]
    absent = (np.arange(20) < 10) | (rng.random(20) >= shown)
    free = [absent, *state.free[1:]]
    settings = replace(PLAIN, centered=True, offset_rate=0.1, momentum=0.5, sparsity_cost=0.1)

    def step(rows, chains, reduce=learning._same):
        values = [t[rows] for t in state.values]
        mask = absent[rows]
        own = True if mask.all() else mask
        part = state._replace(values=values, free=[own, *free[1:]])
        velocity = [None] * 20
        moved = _step(model, part, chains, velocity, 0.1, settings, None, reduce)
        return _step(moved, part, chains, velocity, 0.1, settings, None, reduce)

    whole = step(slice(None), chains)
    one, two = together(
        lambda reduce: step(slice(0, 10), [t[:30] for t in chains], reduce),
        lambda reduce: step(slice(10, 20), [t[30:] for t in chains], reduce),
    )
    assert_same_machines(one, two, rtol=0)
    assert_same_machines(one, whole, rtol=1e-11, atol=1e-13)


def test_two_workers_learn_what_one_does_of_their_rows_and_chains(monkeypatch):
    """One worker is given what both had, step by step."""
    model, data = learnable(60, gaps=True)
    settings = Settings(batch_size=10, max_epochs=4, n_chains=8)
    had, step = {}, learning._step

    def watched(model, positive, negative, velocity, rate, settings, caps, reduce):
        had.setdefault(reduce, []).append((positive, negative, rate, caps))
        return step(model, positive, negative, velocity, rate, settings, caps, reduce)

    monkeypatch.setattr(learning, "_step", watched)

    def half(rank):
        def call(reduce):
            def own(x):
                return reduce(x)

            rows = np.arange(30) + 30 * rank
            return list(learn(model, data, settings, key(rank), rows=rows, reduce=own))[-1].model

        return call

    one, two = together(half(0), half(1))
    velocity, whole, steps = [None] * 20, model, list(zip(*had.values(), strict=True))
    for (first, chains, rate, caps), (second, others, _, same) in steps:
        assert caps == same
        values = [np.concatenate(pair) for pair in zip(first.values, second.values, strict=True)]
        masks = zip(first.free, second.free, strict=True)
        free = [np.concatenate([np.broadcast_to(m, 10) for m in pair]) for pair in masks]
        both = first._replace(values=values, free=free)
        negative = [np.concatenate(pair) for pair in zip(chains, others, strict=True)]
        whole = step(whole, both, negative, velocity, rate, settings, caps)
    assert len(steps) == 12
    assert_same_machines(one, two, rtol=0)
    assert_same_machines(one, whole, rtol=1e-10, atol=1e-12)
    assert abs(one.weights[0] - model.weights[0]).max() > 1e-3


@pytest.mark.parametrize("objective", ["likelihood", "hybrid"])
def test_workers_with_chains_of_their_own_agree(objective):
    model, data = learnable(60, gaps=True)
    settings = Settings(batch_size=10, max_epochs=3, n_chains=8, objective=objective)

    def half(rank):
        def call(reduce):
            rows = np.arange(30) + 30 * rank
            return list(learn(model, data, settings, key(rank), rows=rows, reduce=reduce))[-1]

        return call

    one, two = together(half(0), half(1))
    assert_same_machines(one.model, two.model, rtol=0)
    assert any((a != b).any() for a, b in zip(one.chains, two.chains, strict=True))


def test_workers_of_other_lengths_are_refused():
    model, data = learnable(60)
    settings = Settings(batch_size=10, max_epochs=1, n_chains=8)

    def part(n):
        def call(reduce):
            with pytest.raises(ValueError, match="as many rows each; this one has"):
                next(learn(model, data, settings, key(1), rows=np.arange(n), reduce=reduce))

        return call

    together(part(10), part(20), part(30))


def learnable(n, gaps=False):
    """A machine of two modalities and rows for it, in float64."""
    rng = np.random.default_rng(0)
    bits = (rng.random((n, 1)) < 0.5) ^ (rng.random((n, 4)) < 0.2)
    real = bits[:, :2] + 0.3 * rng.normal(size=(n, 2))
    present = [np.ones(n, bool), (np.arange(n) % 3 > 0) if gaps else np.ones(n, bool)]
    data = Data([bits.astype(float), real], present)
    parts = ["bits", "real", "hidden"], [B, Gaussian(), B], 2, [4, 2, 6], [(0, 2), (1, 2)]
    return construct(*parts, data, key(0), dtype=np.float64), data
