"""Annealed log-partition functions, in both directions, against exact ones."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from oracles import Enumeration, machine
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from test_boltzmann import GRAPHS

import mmgraph as mg
from mmgraph.backend.random import key
from mmgraph.engine.likelihood import (
    LogPartition,
    _estimate,
    annealed_log_partition,
    exact_log_partition,
    log_partition,
)
from mmgraph.engine.units import Bernoulli, Gaussian, Rectified, ReplicatedSoftmax

B = Bernoulli()
# The graphs of test_boltzmann, and units whose values cannot be counted.
CASES = {
    **GRAPHS,
    "gaussian": ([Gaussian(), B], [2, 3], [(0, 1)], 1),
    "rectified": ([Rectified(), B], [2, 3], [(0, 1)], 1),
    "gaussian on top": ([B, B, Gaussian()], [3, 3, 2], [(0, 1), (1, 2)], 1),
}


def lengths_of(model, words=3.0):
    return {k: words for k in model.visible if model.units[k].counts}


def hidden_draws(model, n, seed=0):
    """Exact draws of the hidden layer of an RBM with binary hidden units."""
    states = B.states(len(model.biases[1]))
    weights, bias, shift = (np.asarray(a, float) for a in (*model.weights, *model.biases))
    log_p = states @ shift + model.units[0].log_partition(bias + states @ weights.T)
    p = np.exp(log_p - logsumexp(log_p))
    return states[np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())].astype(np.uint8)


def annealed(model, lengths=None, *, seed=0, base=None, **effort):
    (found,) = annealed_log_partition(model, [lengths or {}], key(seed), base=base, **effort)
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_directions_against_exact_values(name, dtype):
    model = machine(*CASES[name], seed=4, dtype=np.dtype(dtype))
    if name in GRAPHS:
        draws = Enumeration(model).draw(500, 1)
        hidden = tuple(draws[k].astype(np.uint8) for k in model.hidden)
    else:  # any states will do: these machines mix within a few sweeps
        hidden = tuple(np.zeros((500, len(model.biases[k])), np.uint8) for k in model.hidden)
    model, lengths = replace(model, particles=hidden), lengths_of(model)
    exact = exact_log_partition(model, lengths).value
    found = annealed(model, lengths, n_chains=200, n_temperatures=100)
    assert abs(found.value - exact) < 4 * found.standard_error + 1e-3
    assert found.standard_error < 0.05
    low, high = found.interval
    assert low < exact < high < low + 0.5
    assert low < min(found.forward, found.reverse, found.value)
    assert high > max(found.forward, found.reverse, found.value)
    assert 50 < found.effective_sample_size <= 200


def test_bounds_and_the_ratio_between_them():
    """Too few steps: forward is low, reverse is high, and what joins them is better than both."""
    model = machine([B, B], [12, 8], [(0, 1)], 1, seed=1, spread=1.5)
    model = replace(model, particles=(hidden_draws(model, 2000),))
    exact = exact_log_partition(model, {}).value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [annealed(model, seed=s, n_chains=30, n_temperatures=8) for s in range(30)]
    errors = {
        name: np.array([getattr(z, name) for z in found]) - exact
        for name in ("forward", "reverse", "value")
    }
    assert errors["forward"].mean() < 0 < errors["reverse"].mean()
    squares = {name: (error**2).mean() for name, error in errors.items()}
    assert squares["value"] < 0.8 * min(squares["forward"], squares["reverse"])
    inside = [z.interval[0] < exact < z.interval[1] for z in found]
    assert np.mean(inside) >= 0.9
    scaled = errors["value"] / [z.standard_error for z in found]
    assert 0.5 < scaled.std() < 1.6


def test_acceptance_ratio_of_normal_work():
    """Weights N(c - s^2/2, s^2) forward and N(c + s^2/2, s^2) in reverse belong to log Z = c."""
    rng = np.random.default_rng(0)
    c, s, n = 7.0, 2.0, 20_000
    found = _estimate(rng.normal(c - s**2 / 2, s, n), rng.normal(c + s**2 / 2, s, n))
    assert found.value == pytest.approx(c, abs=4 * found.standard_error)
    assert found.forward == pytest.approx(c, abs=0.3)
    assert found.reverse == pytest.approx(c, abs=0.3)
    many = [
        _estimate(rng.normal(c - s**2 / 2, s, 200), rng.normal(c + s**2 / 2, s, 200))
        for _ in range(300)
    ]
    spread = np.std([z.value for z in many])
    assert np.mean([z.standard_error for z in many]) == pytest.approx(spread, rel=0.15)


def test_no_value_far_below_forward():
    """Start draws of low weight may lower the reverse estimate, but not the value by as much."""
    rng = np.random.default_rng(0)
    forward, reverse = rng.normal(5, 0.5, 400), rng.normal(1, 0.5, 400)
    found = _estimate(forward, reverse)
    assert found.reverse < 2
    assert found.forward - 0.2 < found.value < found.forward
    assert found.interval[0] < found.reverse < found.value < found.interval[1]


def test_exact_values_bound_themselves():
    model = machine(*GRAPHS["rbm"])
    (found,) = log_partition(model, [{}], key(0))
    assert found.forward == found.reverse == found.value
    assert found.interval == (found.value, found.value)
    assert found.standard_error == 0
    assert found.effective_sample_size == np.inf


def test_without_particles_nothing_bounds_it_from_above():
    model = machine(*GRAPHS["rbm"])
    found = annealed(model, n_chains=20, n_temperatures=20)
    assert found.value == found.forward
    assert np.isnan(found.reverse)
    assert found.interval[1] == np.inf
    assert found.interval[0] < found.value


def test_one_chain_has_no_error():
    model = machine(*GRAPHS["rbm"])
    found = annealed(replace(model, particles=(hidden_draws(model, 3),)), n_chains=1)
    assert np.isfinite(found.value)
    assert found.interval == (-np.inf, np.inf)


def test_estimates_do_not_depend_on_their_neighbours():
    model = machine([ReplicatedSoftmax(), B], [4, 3], [(0, 1)], 1, seed=3)
    model = replace(model, particles=(np.eye(3, dtype=np.uint8),))
    effort = {"n_chains": 30, "n_temperatures": 40}
    both = annealed_log_partition(model, [{0: 3.0}, {0: 5.0}], key(0), **effort)
    alone = annealed_log_partition(model, [{0: 5.0}], key(0), **effort)
    np.testing.assert_allclose(both[1][:5], alone[0][:5], rtol=1e-9)
    for found, words in zip(both, (3.0, 5.0), strict=True):
        assert abs(found.value - exact_log_partition(model, {0: words}).value) < 0.2


def collective(n_free=0, pull=0.0):
    """An RBM whose units are all on or all off, between which no chain moves.

    The `n_free` more visible units are at random in the off mode and pinned in the on mode, which
    has less room, but for `pull` more nats of energy.
    """
    n, coupling = 10, 2.0
    weights = np.concatenate([np.full((n, n), coupling), np.full((n_free, n), -0.5)])
    bias = np.full(n, -coupling * n / 2 + pull / (2 * n))
    model = machine([B, B], [n + n_free, n], [(0, 1)], 1)
    model = replace(model, weights=(weights,), biases=(np.r_[bias, np.zeros(n_free)], bias))
    hidden = hidden_draws(model, 2000)
    visible = B.mean(hidden @ weights.T, model.biases[0])
    return replace(model, means=(visible.mean(axis=0), hidden.mean(axis=0)), particles=(hidden,))


def test_uniform_base_fails_by_many_nats():
    """At half the energy there is the most room where the model hardly is."""
    model = collective(n_free=30, pull=28.0)
    exact = exact_log_partition(model, {}).value
    found = annealed(model)
    assert found.interval[0] < exact < found.interval[1] < found.interval[0] + 1
    uniform = annealed(replace(model, particles=()), base=[np.zeros_like(b) for b in model.biases])
    assert uniform.forward < exact - 5
    assert uniform.standard_error < 0.5  # without any sign of it


def test_agreement_is_no_proof():
    """A mode that neither the base nor the particles show is missing in both directions."""
    model = collective()
    exact = exact_log_partition(model, {}).value
    effort = {"n_chains": 400, "base": [np.full(10, -4.0), np.full(10, -4.0)]}
    hidden = np.repeat(np.array([[0], [1]], np.uint8), 200, axis=0) * np.ones(10, np.uint8)
    half = annealed(replace(model, particles=(hidden[:200],)), **effort)
    assert half.forward == pytest.approx(exact - np.log(2), abs=0.05)
    assert half.reverse == pytest.approx(exact - np.log(2), abs=0.05)
    assert half.interval[1] < exact
    both = annealed(replace(model, particles=(hidden,)), **effort)
    assert both.forward == pytest.approx(exact - np.log(2), abs=0.05)
    assert both.reverse == pytest.approx(exact, abs=0.05)
    assert both.value == pytest.approx(exact, abs=0.05)


def test_disagreement_is_told_once():
    model = machine([ReplicatedSoftmax(), B], [6, 8], [(0, 1)], 1, seed=1, spread=3.0)
    model = replace(model, particles=(np.eye(8, dtype=np.uint8),))
    totals = [{0: float(words)} for words in (10, 20, 30)]
    with pytest.warns(ConvergenceWarning, match=r"Raise n_temperatures, here 5") as told:
        found = annealed_log_partition(model, totals, key(0), n_temperatures=5)
    assert len(told) == 1
    assert "score_samples" in str(told[0].message)
    assert max(abs(z.reverse - z.forward) for z in found) > 1


def errors_of_trained(images, **parameters):
    """Errors on a fitted RBM: from the uniform base, from particles, and from exact draws."""
    rbm = mg.RBM(random_state=0, **parameters).fit(images)
    model, exact = rbm.model_, rbm.log_partition().value
    zeros = [np.zeros_like(bias) for bias in model.biases]
    uniform = annealed(replace(model, particles=()), base=zeros)
    found = annealed(model)
    best = annealed(replace(model, particles=(hidden_draws(model, 1000),)))
    assert best.interval[0] < exact < best.interval[1]
    assert abs(best.value - exact) < 4 * best.standard_error
    return np.abs([uniform.value - exact, found.value - exact, best.value - exact])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_trained_on_digits():
    image = mg.datasets.load_digit_captions().image[:600].reshape(-1, 8, 8) > 0.5
    image = np.kron(image, np.ones((3, 3))).reshape(len(image), -1)  # 576 pixels
    _, found, best = errors_of_trained(image, n_components=12, max_iter=10)
    assert found < 0.5
    assert best < 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_trained_on_mnist():
    try:
        images = mg.datasets.fetch_mnist(binarize=True, download_if_missing=False).image
    except OSError as error:
        pytest.skip(f"MNIST is not there: {error}")
    parts = [images[start : start + 3000] for start in (0, 3000, 6000)]
    errors = [errors_of_trained(part, n_components=16, max_iter=5) for part in parts]
    uniform, found, best = np.mean(errors, axis=0)
    assert found < 0.5
    assert best < 0.5
    assert uniform > 3 * max(found, best)


def test_scores_use_the_value():
    rng = np.random.default_rng(0)
    X = (rng.random((60, 30)) < 0.4).astype(float)
    rbm = mg.RBM(24, max_iter=2, random_state=0).fit(X)
    found = rbm.log_partition()
    assert isinstance(found, LogPartition)
    assert found == rbm.log_partition()
    assert found.standard_error > 0
    assert found.interval[0] < found.value < found.interval[1]
    model = rbm.model_
    inside = X @ model.biases[0] + B.log_partition(model.biases[1] + X @ model.weights[0])
    np.testing.assert_allclose(rbm.score_samples(X), inside - found.value, rtol=1e-4)
    more = rbm.log_partition(n_chains=20, n_temperatures=2000)
    assert abs(more.value - found.value) < 0.2
