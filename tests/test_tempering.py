"""Parallel tempering against enumeration, and the health of chains."""

import numpy as np
import pytest
from oracles import Enumeration, machine
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg
from mmgraph.backend.random import key
from mmgraph.engine.boltzmann import State, gibbs
from mmgraph.engine.chains import Health, split_rhat
from mmgraph.engine.learning import Settings
from mmgraph.engine.tempering import tempered_gibbs
from mmgraph.engine.units import Bernoulli, Binomial, Categorical, Noise, ReplicatedSoftmax

B = Bernoulli()
MACHINES = {
    "rbm": ([B, B], [4, 3], [(0, 1)], 1),
    "deep": ([B, B, B], [3, 3, 2], [(0, 1), (1, 2)], 1),
    "two modalities": ([Binomial(2), Categorical(), B], [2, 3, 2], [(0, 2), (1, 2)], 2),
    "words": ([ReplicatedSoftmax(), B], [3, 2], [(0, 1)], 1),
}


def start(model, n, words=3.0):
    values = [np.zeros((n, len(b))) for b in model.biases]
    totals = []
    for kind, value in zip(model.units, values, strict=True):
        if kind.counts:
            value[:, 0] = words
        elif isinstance(kind, Categorical):
            value[:, 0] = 1
        totals.append(np.full(n, words) if kind.counts else None)
    return State(values, [True] * model.n_layers, totals)


def numbers(n, seed=0):
    return Noise(key(seed), np.arange(n, dtype=np.uint32), 0, 0)


@pytest.mark.parametrize("name", MACHINES)
def test_chains_at_every_temperature_have_their_distribution(name):
    model = machine(*MACHINES[name], seed=4, spread=1.5)
    betas, n = [1.0, 0.6, 0.2, 0.0], 4000
    state = start(model, n * len(betas))
    state, _, swaps = tempered_gibbs(model, state, 60, numbers(4 * n), betas=betas)
    assert (swaps > 0.05).all()
    base = model.base()
    for rung, beta in enumerate(betas):
        tempered = machine(*MACHINES[name], seed=4, spread=1.5)
        for bias, own in zip(tempered.biases, base, strict=True):
            bias[:] = beta * bias + (1 - beta) * own
        for w in tempered.weights:
            w *= beta
        exact = Enumeration(tempered)
        for k in range(model.n_layers):
            found = state.values[k][rung * n : (rung + 1) * n].mean(axis=0)
            np.testing.assert_allclose(found, exact.mean(k), atol=0.06)


def test_one_temperature_is_plain_gibbs_sampling():
    model = machine(*MACHINES["deep"])
    plain, _ = gibbs(model, start(model, 5), 7, numbers(5))
    tempered, _, swaps = tempered_gibbs(model, start(model, 5), 7, numbers(5), betas=[1.0])
    assert len(swaps) == 0
    for a, b in zip(plain.values, tempered.values, strict=True):
        np.testing.assert_array_equal(a, b)


def two_modes(n=10, strength=6.0):
    """A machine with two modes that plain chains never leave: all units on, all off."""
    model = machine([B, B], [n, n], [(0, 1)], 1, spread=0.0)
    model.weights[0][:] = strength / n * 2
    for bias in model.biases:
        bias[:] = -strength
    return model


def test_it_crosses_between_modes_that_plain_chains_never_leave():
    model, n = two_modes(), 50
    traces = {}
    for betas in ([1.0], np.linspace(1, 0, 10)):
        trace = []

        def visit(values, trace=trace):
            trace.append(values[0][:n].mean(axis=1))

        tempered_gibbs(
            model, start(model, n * len(betas)), 400, numbers(n * len(betas)), betas=betas,
            visit=visit,
        )  # fmt: skip
        traces[len(betas)] = np.array(trace)[100:]
    assert traces[1].mean() < 0.05  # where they began
    assert traces[10].mean() == pytest.approx(0.5, abs=0.1)
    assert split_rhat(traces[10]) < 1.2


def rows(n=300):
    """Data of two far modes, one three times as frequent, with a little noise."""
    rng = np.random.default_rng(0)
    modes = np.where(rng.random((n, 1)) < 0.75, 1.0, 0.0) * np.ones(12)
    return np.where(rng.random(modes.shape) < 0.02, 1 - modes, modes)


def test_learning_records_the_health_of_its_chains():
    settings = {"n_components": 4, "max_iter": 6, "n_chains": 20, "random_state": 0}
    tempered = mg.RBM(negative_phase="tempering", n_temperatures=4, **settings).fit(rows())
    for name in ("rhat", "effective_sample_size", "swap_rate"):
        assert len(tempered.history_[name]) == 6
        assert np.isfinite(tempered.history_[name]).all()
    assert 0 <= min(tempered.history_["swap_rate"]) <= max(tempered.history_["swap_rate"]) <= 1
    assert len(tempered.training_state_.chains[0]) == 80
    assert len(tempered.model_.particles[0]) == tempered.n_particles
    plain = mg.RBM(**settings).fit(rows())
    assert {"rhat", "effective_sample_size"} < set(plain.history_)
    assert "swap_rate" not in plain.history_
    assert "rhat" not in mg.RBM(negative_phase="cd", **settings).fit(rows()).history_
    few = mg.RBM(**settings).fit(rows()[:30])  # two steps a pass
    assert np.isnan(few.history_["rhat"]).all()


def test_a_fit_warns_where_chains_do_not_mix():
    settings = {"n_components": 8, "max_iter": 60, "n_chains": 20, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match=r"chains of RBM do not mix: R-hat .*tempering"):
        plain = mg.RBM(**settings).fit(rows())
    tempered = mg.RBM(negative_phase="tempering", **settings).fit(rows())  # no warning
    assert plain.history_["rhat"][-1] > 2 > tempered.history_["rhat"][-1]


def test_health_sees_the_worst_layer_and_thins_long_passes():
    model = machine([B, B], [3, 3], [(0, 1)], 1)
    health = Health(model, 5, 1000)
    rng = np.random.default_rng(0)
    stuck = rng.integers(0, 2, (5, 3)) + 1e-9 * rng.random((5, 3))
    for _ in range(1000):
        free = rng.integers(0, 2, (5, 3)).astype(float)
        health.see(State([free, stuck + 1e-6 * rng.random((5, 3))], [True] * 2, [None] * 2))
    metrics = health.metrics()
    assert metrics["rhat"] > 100
    assert metrics["effective_sample_size"] < 50
    assert set(metrics) == {"rhat", "effective_sample_size"}
    assert Health(model, 5, 10).metrics() == {}


def test_the_ladder():
    np.testing.assert_allclose(Settings(n_temperatures=5).betas, [1, 0.75, 0.5, 0.25, 0])
    assert Settings().betas == [1.0]
