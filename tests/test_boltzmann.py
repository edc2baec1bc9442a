"""Inference over the graph against enumeration of every state."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import Enumeration, machine

from mmgraph.backend.random import key
from mmgraph.engine import likelihood
from mmgraph.engine.boltzmann import (
    begin,
    bound,
    flatten,
    gibbs,
    log_joint,
    mean_field,
    populate,
)
from mmgraph.engine.units import (
    Bernoulli,
    Binomial,
    Categorical,
    Gaussian,
    Noise,
    Rectified,
    ReplicatedSoftmax,
)

B = Bernoulli()
# Three modalities, pathways of unequal depth, joined on top; and the smaller graphs.
GRAPHS = {
    "rbm": ([B, B], [4, 3], [(0, 1)], 1),
    "dbm": ([B, B, B], [3, 3, 2], [(0, 1), (1, 2)], 1),
    "binomial": ([Binomial(3), B], [2, 3], [(0, 1)], 1),
    "categorical": ([Categorical((2, 3)), B], [5, 3], [(0, 1)], 1),
    "counts": ([ReplicatedSoftmax(), B, B], [3, 2, 2], [(0, 1), (1, 2)], 1),
    "three": (
        [B, ReplicatedSoftmax(), Categorical(), B, B, B, B],
        [2, 2, 3, 2, 2, 2, 2],
        [(0, 3), (3, 4), (1, 5), (4, 6), (5, 6), (2, 6)],
        3,
    ),
}


@pytest.fixture(params=GRAPHS, scope="module")
def pair(request):
    model = machine(*GRAPHS[request.param], seed=4)
    return model, Enumeration(model)


def shown_value(truth, layer, seed=1):
    """A likely value of a layer."""
    return truth.draw(1, seed)[layer][0]


def noise_of(n, seed=0):
    return Noise(key(seed), np.arange(n, dtype=np.uint32), 0, 0)


def test_colours_separate_every_edge():
    model = machine(*GRAPHS["three"])
    first, second = map(set, model.colours)
    assert all((a in first) != (b in first) for a, b in model.edges)
    assert first | second == set(range(7))
    assert not first & second
    with pytest.raises(ValueError, match="two colours"):
        _ = machine([B, B, B], [1, 1, 1], [(0, 1), (1, 2), (0, 2)], 1).colours


def test_log_joint(pair):
    model, truth = pair
    np.testing.assert_allclose(log_joint(model, truth.values), truth.log_p, atol=1e-10)


def test_log_partition_by_enumeration(pair):
    model, truth = pair
    totals = {k: 3.0 for k in model.visible if model.units[k].counts}
    found = likelihood.exact_log_partition(model, totals)
    assert found.value == pytest.approx(truth.log_z, abs=1e-10)
    assert found.standard_error == 0


def test_log_partition_by_annealing(pair):
    model, truth = pair
    totals = {k: 3.0 for k in model.visible if model.units[k].counts}
    (found,) = likelihood.annealed_log_partition(
        model, [totals], key(0), n_chains=400, n_temperatures=400
    )
    assert abs(found.value - truth.log_z) < 4 * found.standard_error + 1e-3
    assert found.standard_error < 0.1
    assert 1 < found.effective_sample_size <= 400


def test_gibbs_reaches_the_joint_distribution(pair):
    model, truth = pair
    n = 4000
    state, means = gibbs(model, begin(model, {}, n, noise=noise_of(n)), 60, noise_of(n))
    for k in range(model.n_layers):
        np.testing.assert_allclose(state.values[k].mean(axis=0), truth.mean(k), atol=0.06)
        np.testing.assert_allclose(means[k].mean(axis=0), truth.mean(k), atol=0.06)


def test_clamped_gibbs_reaches_the_conditional(pair):
    model, truth = pair
    n = 4000
    shown = {0: shown_value(truth, 0)}
    tiled = {0: np.tile(shown[0], (n, 1))}
    start = begin(model, tiled, n, noise=noise_of(n))
    state, _ = gibbs(model, start, 60, noise_of(n))
    np.testing.assert_array_equal(state.values[0], tiled[0])
    for k in range(1, model.n_layers):
        np.testing.assert_allclose(state.values[k].mean(axis=0), truth.mean(k, shown), atol=0.06)


def test_clamping_by_row_equals_clamping_by_batch():
    model = machine(*GRAPHS["three"], seed=2)
    truth = Enumeration(model)
    x0, x1 = truth.draw(6, 3)[0], truth.draw(6, 3)[1]
    present = {0: np.array([1, 1, 0, 1, 0, 1], bool), 1: np.array([1, 0, 1, 1, 0, 1], bool)}
    both = begin(model, {0: x0, 1: x1}, 6, present=present, noise=noise_of(6))
    mixed, _ = gibbs(model, both, 7, noise_of(6))
    for row in range(6):
        shown = {k: x[[row]] for k, x in ((0, x0), (1, x1)) if present[k][row]}
        at = noise_of(6)._replace(rows=np.array([row], np.uint32))
        alone, _ = gibbs(model, begin(model, shown, 1, noise=at), 7, at)
        for k in range(model.n_layers):
            np.testing.assert_allclose(mixed.values[k][row], alone.values[k][0], atol=1e-12)


def test_mean_field_is_exact_given_complete_rows_of_an_rbm():
    model = machine([B, ReplicatedSoftmax(), B], [3, 2, 4], [(0, 2), (1, 2)], 2, seed=3)
    truth = Enumeration(model)
    rows = truth.draw(20, 5)
    found = mean_field(model, begin(model, {0: rows[0], 1: rows[1]}, 20))
    assert found.n_sweeps == 1
    for i in range(20):
        shown = {0: rows[0][i], 1: rows[1][i]}
        np.testing.assert_allclose(found.state.values[2][i], truth.mean(2, shown), atol=1e-6)
        exact = truth.log_marginal(shown) + truth.log_z
        assert bound(model, found)[i] == pytest.approx(exact, abs=1e-6)


def test_mean_field_is_a_fixed_point_below_the_truth(pair):
    """Each factor is q(t) ~ exp(E[log p | the other factors]), and the bound is one."""
    model, truth = pair
    value = shown_value(truth, 0)
    found = mean_field(model, begin(model, {0: value[None]}, 1), max_sweeps=2000, tol=1e-12)
    values = found.state.values
    for k in range(1, model.n_layers):
        eta = model.activation(values, k) + model.biases[k]
        total = found.state.totals[k]
        mean = model.units[k].mean(eta, np.zeros(eta.shape[1]), total)
        np.testing.assert_allclose(values[k], mean, atol=1e-5)
    exact = truth.log_marginal({0: value}) + truth.log_z
    assert bound(model, found)[0] <= exact + 1e-6
    # Against the definition of the bound, summed over every state.
    q = np.zeros(len(truth.log_p))
    for k in range(model.n_layers):
        if k == 0:
            q += np.where(np.isclose(truth.values[0], value).all(axis=1), 0, -np.inf)
            continue
        eta = found.etas[k]
        kind = model.units[k]
        log_q = (truth.values[k] * eta).sum(axis=1) + kind.log_base(truth.values[k])
        q += log_q - kind.log_partition(eta, found.state.totals[k])
    use = np.isfinite(q)
    assert np.exp(q[use]).sum() == pytest.approx(1)
    elbo = (np.exp(q[use]) * (truth.log_p[use] - q[use])).sum()
    assert bound(model, found)[0] == pytest.approx(elbo, abs=1e-5)


def test_mean_field_never_lowers_the_bound():
    model = machine(*GRAPHS["three"], seed=6, spread=2.0)
    truth = Enumeration(model)
    rows = truth.draw(10, 1)
    values = [
        bound(model, mean_field(model, begin(model, {1: rows[1]}, 10), max_sweeps=n, tol=0.0))
        for n in range(1, 12)
    ]
    assert (np.diff(values, axis=0) > -1e-6).all()


@pytest.mark.parametrize("kind", [Gaussian(), Rectified()], ids=lambda k: k.name)
def test_real_units_against_enumeration_of_the_hidden_layer(kind):
    """Log-densities integrate to one, and draws have the exact mean."""
    model = machine([kind, B], [1, 3], [(0, 1)], 1, seed=1)
    model = replace(model, locs=(np.array([0.7]), None), scales=(np.array([2.5]), None))
    if kind.name == "rectified":
        model = replace(model, locs=(None, None))
    log_z = likelihood.exact_log_partition(model, {}).value
    x = np.linspace(0 if kind.name == "rectified" else -60, 60, 60_001)[:, None]
    shown = {0: model.encode(0, x)}
    present = {0: np.ones(len(x), bool)}
    density = np.exp(likelihood.log_density(model, shown, present, len(x), lambda totals: [log_z]))
    step = x[1, 0] - x[0, 0]
    assert np.trapezoid(density, dx=step) == pytest.approx(1, abs=2e-4)
    n = 6000
    state, _ = gibbs(model, begin(model, {}, n, noise=noise_of(n)), 60, noise_of(n))
    draws = model.decode(0, state.values[0])
    mean = np.trapezoid(density * x[:, 0], dx=step)
    spread = np.sqrt(np.trapezoid(density * (x[:, 0] - mean) ** 2, dx=step))
    assert abs(draws.mean() - mean) < 5 * spread / np.sqrt(n)
    assert draws.std() == pytest.approx(spread, rel=0.05)


def test_log_density_sums_to_one_over_all_rows():
    model = machine([B, Categorical(), B], [3, 3, 4], [(0, 2), (1, 2)], 2, seed=8)
    a, b = B.states(3), np.eye(3)
    left, right = np.repeat(a, 3, axis=0), np.tile(b, (8, 1))
    log_z = likelihood.exact_log_partition(model, {}).value
    there = {k: np.ones(24, bool) for k in (0, 1)}
    found = likelihood.log_density(model, {0: left, 1: right}, there, 24, lambda totals: [log_z])
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-5)
    nothing = {k: np.zeros(24, bool) for k in (0, 1)}
    empty = likelihood.log_density(model, {0: left, 1: right}, nothing, 24, lambda totals: [log_z])
    np.testing.assert_array_equal(empty, 0)


def test_particles_start_chains_in_the_posterior():
    """Weighted joint draws give the exact posterior without a single sweep."""
    model = machine(*GRAPHS["three"], seed=4)
    truth = Enumeration(model)
    draws = truth.draw(20_000, 2)
    hidden = tuple(draws[k].astype(np.uint8) for k in model.hidden)
    model = replace(model, particles=hidden)
    shown = {0: shown_value(truth, 0), 1: shown_value(truth, 1)}
    one = begin(model, {k: v[None] for k, v in shown.items()}, 1)
    many = begin(
        model, {k: np.tile(v, (3000, 1)) for k, v in shown.items()}, 3000, noise=noise_of(3000)
    )
    for k in model.hidden:
        exact = truth.mean(k, shown)
        np.testing.assert_allclose(one.values[k][0], exact, atol=0.03)
        np.testing.assert_allclose(many.values[k].mean(axis=0), exact, atol=0.05)


def effective_number(log_weights):
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)


def test_flatten_keeps_as_many_particles_as_it_should():
    rng = np.random.default_rng(0)
    steep = (rng.standard_normal((50, 200)) * np.geomspace(0.1, 1e4, 50)[:, None]).astype("f4")
    assert flatten(steep, 1) is steep
    before, after = effective_number(steep), effective_number(flatten(steep, 8))
    assert before.min() < 1.01  # one particle has all the weight
    assert before.max() > 190
    np.testing.assert_array_equal(after[before >= 8], before[before >= 8])
    np.testing.assert_allclose(after[before < 8], 8, rtol=1e-2)
    assert effective_number(flatten(steep, 1000)) == pytest.approx(200, rel=1e-2)  # all there are


def test_flatten_keeps_the_order_and_the_rows_apart():
    rng = np.random.default_rng(1)
    steep = 50 * rng.standard_normal((20, 30))
    flat = flatten(steep, 5)
    np.testing.assert_array_equal(np.argsort(flat, axis=1), np.argsort(steep, axis=1))
    np.testing.assert_array_equal(flatten(steep[3:5], 5), flat[3:5])
    np.testing.assert_allclose(flatten(steep + 7, 5), flat, atol=1e-9)


def test_chains_start_at_as_many_particles_as_asked_for():
    model = machine(*GRAPHS["rbm"], seed=4)
    hidden = np.arange(8)[:, None] >> np.arange(3) & 1  # a particle for each state
    model = replace(model, weights=(20 * model.weights[0],), particles=(hidden.astype(np.uint8),))
    shown = {0: np.ones((4000, 4))}
    few, usual, many = (
        begin(model, shown, 4000, noise=noise_of(4000), **changes).values[1]
        for changes in ({}, {"min_effective": 1.0}, {"min_effective": 4.0})
    )
    np.testing.assert_array_equal(few, usual)
    shares = [np.bincount((x @ [1, 2, 4]).astype(int)) / 4000 for x in (few, many)]
    assert 1 / np.sum(shares[0] ** 2) < 1.1
    assert 1 / np.sum(shares[1] ** 2) == pytest.approx(4, rel=0.05)


def test_populate_draws_from_the_joint():
    model = machine(*GRAPHS["dbm"], seed=5)
    truth = Enumeration(model)
    state, _ = gibbs(model, begin(model, {}, 500, noise=noise_of(500)), 50, noise_of(500))
    model = populate(model, state, 4000, noise_of(500, 1), thin=5)
    assert [p.shape for p in model.particles] == [(4000, 3), (4000, 2)]
    for k, p in zip(model.hidden, model.particles, strict=True):
        np.testing.assert_allclose(p.mean(axis=0), truth.mean(k), atol=0.05)


def test_sparse_counts_need_not_be_dense():
    import scipy.sparse as sp

    model = machine(*GRAPHS["counts"], seed=2)
    x = np.array([[1.0, 0, 2], [0, 3, 0]])
    dense = mean_field(model, begin(model, {0: x}, 2))
    sparse = mean_field(model, begin(model, {0: sp.csr_array(x)}, 2))
    np.testing.assert_allclose(sparse.state.values[1], dense.state.values[1])
    np.testing.assert_allclose(bound(model, sparse), bound(model, dense))


def test_many_lengths_are_interpolated():
    """Exact at the nodes, and within a hundredth of a nat between them."""
    rng = np.random.default_rng(0)
    words = rng.integers(5, 60, 200)
    model = machine([ReplicatedSoftmax(), B], [4, 3], [(0, 1)], 1, seed=3)
    model = replace(model, lengths=(np.sort(words).astype(float), None))
    x = rng.multinomial(np.r_[words, 80], np.full(4, 0.25)).astype(float)
    present, calls = {0: np.ones(201, bool)}, []

    def log_z(totals):
        calls.extend(totals)
        return [likelihood.exact_log_partition(model, lengths).value for lengths in totals]

    found = likelihood.log_density(model, {0: x}, present, 201, log_z)
    assert len(calls) == 9 + 1  # the grid, and the length beyond it
    one = {0: present[0][:1]}
    alone = [likelihood.log_density(model, {0: row[None]}, one, 1, log_z)[0] for row in x]
    np.testing.assert_allclose(found, alone, atol=1e-6)
    exact = [
        likelihood.log_density(
            replace(model, lengths=(row.sum(keepdims=True), None)), {0: row[None]}, one, 1, log_z
        )[0]
        for row in x
    ]
    np.testing.assert_allclose(found, exact, atol=0.01)


def test_annealed_estimates_do_not_depend_on_their_neighbours():
    model = machine([ReplicatedSoftmax(), B], [4, 3], [(0, 1)], 1, seed=3)
    effort = {"n_chains": 50, "n_temperatures": 50}
    three, five = likelihood.annealed_log_partition(model, [{0: 3.0}, {0: 5.0}], key(0), **effort)
    (alone,) = likelihood.annealed_log_partition(model, [{0: 5.0}], key(0), **effort)
    assert five.value == pytest.approx(alone.value, abs=1e-9)
    assert three.value != five.value
