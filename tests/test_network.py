"""The feed-forward engine: exact gradients, optimisers, dropout, and machines unrolled."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import machine
from scipy.special import expit, log_softmax

from mmgraph.backend.random import key
from mmgraph.engine import learning, network
from mmgraph.engine.boltzmann import begin, mean_field
from mmgraph.engine.network import (
    ACTIVATIONS,
    Batch,
    Settings,
    connect,
    forward,
    gradient,
    loss,
    train,
)
from mmgraph.engine.units import (
    UNITS,
    Bernoulli,
    Binomial,
    Categorical,
    Gaussian,
    Rectified,
    ReplicatedSoftmax,
)
from mmgraph.engine.unrolling import classifier, evidence, stack_of

RNG = np.random.default_rng(0)
N = 7
TARGETS = {
    Bernoulli(): RNG.random((N, 4)),
    Binomial(5): RNG.integers(0, 6, (N, 4)) / np.sqrt(5),
    Gaussian(): RNG.normal(size=(N, 4)),
    Rectified(): RNG.random((N, 4)),
    Categorical((2, 2)): np.tile(np.eye(2), (4, 2))[:N],
    ReplicatedSoftmax(): RNG.poisson(2.0, (N, 4)).astype(float),
}


def diamond(kinds, activation="tanh", dtype=np.float64):
    """A network of two inputs, layers that share and skip, and an output of each unit type."""
    n = len(kinds)
    outputs = list(range(4, 4 + n))
    edges = [(0, 2), (1, 2), (2, 3), (1, 3)]
    edges += [edge for layer in outputs for edge in ((3, layer), (2, layer))]
    net = connect(
        ["a", "b", "low", "high", *(f"out{i}" for i in range(n))],
        [3, 2, 5, 4, *[4] * n],
        2,
        [None, None, activation, activation, *[None] * n],
        outputs,
        kinds,
        edges,
        key(1),
        dtype=dtype,
    )
    rng = np.random.default_rng(3)
    biases = [None if b is None else rng.normal(size=b.shape).astype(dtype) for b in net.biases]
    offsets = [rng.normal(size=s).astype(dtype) for s in (3, 2, 5)] + [None] * (n + 1)
    return replace(net, biases=tuple(biases), offsets=tuple(offsets))


def rows_for(targets, present=None, dtype=np.float64):
    rng = np.random.default_rng(4)
    inputs = [rng.normal(size=(N, size)).astype(dtype) for size in (3, 2)]
    return Batch(inputs, targets, [None] * len(targets) if present is None else present)


# The gradient ------------------------------------------------------------------------------------


def finite_differences(net, objective, step=1e-5):
    """Central differences of an objective in every parameter, which are changed and put back."""
    found = []
    for array in [*net.weights, *net.biases[net.n_inputs :]]:
        slope = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            value = array[place]
            array[place] = value + step
            above = objective(net)
            array[place] = value - step
            slope[place] = (above - objective(net)) / (2 * step)
            array[place] = value
        found.append(slope)
    return found


def assert_exact(net, batch, masks=None):
    def objective(net):
        values = forward(net, batch.inputs, masks=masks)
        return float(sum(each.mean() for each in network.losses(net, values, batch)))

    for exact, numeric in zip(
        gradient(net, batch, masks=masks), finite_differences(net, objective), strict=True
    ):
        np.testing.assert_allclose(exact, numeric, atol=2e-9)


def test_every_unit_type_is_here():
    assert {kind.name for kind in TARGETS} == set(UNITS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.name)
def test_gradient_is_exact(kind, activation):
    assert_exact(diamond([kind], activation), rows_for([TARGETS[kind]]))


def test_gradient_with_dropout_several_outputs_and_missing_targets():
    present = [RNG.random(N) < 0.6 for _ in TARGETS]
    masks = [(RNG.random((N, size)) < 0.7) / 0.7 for size in (3, 2, 5, 4)] + [None] * len(TARGETS)
    batch = rows_for(list(TARGETS.values()), present)
    assert_exact(diamond(list(TARGETS)), batch, masks)


def test_a_missing_target_has_no_part():
    kind, present = Gaussian(), np.arange(N) < 4
    net, batch = diamond([kind]), rows_for([TARGETS[kind]], [np.arange(N) < 4])
    other = batch._replace(targets=[np.where(present[:, None], TARGETS[kind], 1e3)])
    for one, two in zip(gradient(net, batch), gradient(net, other), strict=True):
        np.testing.assert_array_equal(one, two)
    few = Batch([x[:4] for x in batch.inputs], [TARGETS[kind][:4]], [None])
    assert loss(net, batch) == pytest.approx(loss(net, few) * 4 / N)


def test_losses_are_the_known_ones():
    """Cross-entropies of sigmoid and softmax, and half the squared error but for a constant."""
    kinds = [Bernoulli(), ReplicatedSoftmax(), Gaussian()]
    net = diamond(kinds)
    bits, counts, reals = (TARGETS[kind] for kind in kinds)
    batch = rows_for([bits, counts, reals])
    values = forward(net, batch.inputs)
    one, two, three = (values[layer] for layer in net.outputs)
    p = expit(one)
    expected = [
        -(bits * np.log(p) + (1 - bits) * np.log(1 - p)).sum(axis=1),
        -(counts * log_softmax(two, axis=1)).sum(axis=1),
        0.5 * ((reals - three) ** 2 - reals**2).sum(axis=1),
    ]
    for found, known in zip(network.losses(net, values, batch), expected, strict=True):
        np.testing.assert_allclose(found, known)


def test_forward_is_the_formula():
    net, batch = diamond([Gaussian()], "sigmoid"), rows_for([TARGETS[Gaussian()]])
    (w_a, w_b, w_low, w_skip, w_high, w_out), (a, b) = net.weights, batch.inputs
    c_a, c_b, c_low = net.offsets[:3]
    low = expit((a - c_a) @ w_a + (b - c_b) @ w_b + net.biases[2])
    high = expit((low - c_low) @ w_low + (b - c_b) @ w_skip + net.biases[3])
    out = high @ w_high + (low - c_low) @ w_out + net.biases[4]
    for found, known in zip(forward(net, [a, b])[2:], (low, high, out), strict=True):
        np.testing.assert_allclose(found, known)


def test_start_keeps_the_spread_of_the_layers():
    """He for rectified linear units, Glorot for the others: variances of the weights."""
    for activation, variance in (("relu", 2 / 300), ("tanh", 2 / 700)):
        net = connect(["x", "h"], [300, 400], 1, [None, activation], [], [], [(0, 1)], key(0))
        assert net.weights[0].var() == pytest.approx(variance, rel=0.02)
        assert not net.biases[1].any()


# Training ----------------------------------------------------------------------------------------


def task(dtype=np.float64, n=40):
    """Rows whose class is the exclusive or of two bits, and a network that can learn it."""
    x = (np.arange(n)[:, None] >> np.arange(2) & 1).astype(dtype)
    t = np.eye(2, dtype=dtype)[(x.sum(axis=1) % 2).astype(int)]
    net = connect(
        ["x", "h", "y"], [2, 8, 2], 1, [None, "tanh", None], [2], [Categorical()],
        [(0, 1), (1, 2)], key(0), dtype=dtype,
    )  # fmt: skip
    return net, lambda rows, rng=None: Batch([x[rows]], [t[rows]], [None])


def last(epochs):
    return list(epochs)[-1]


@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exclusive_or_is_learnt(optimizer, dtype):
    net, source = task(dtype)
    settings = Settings(optimizer=optimizer, learning_rate=0.05, batch_size=10, max_epochs=60)
    epoch = last(train(net, source, np.arange(40), settings, key(0)))
    assert epoch.network.dtype == dtype
    assert loss(epoch.network, source(np.arange(4))) < 0.05
    assert epoch.metrics["epoch"] == 60
    assert epoch.step == 240


def adam_by_hand(weights, gradients, rate, b1, l2):
    """Algorithm 1 of Kingma & Ba."""
    m = v = 0.0
    for t, g in enumerate(gradients(weights), 1):
        g = g + l2 * weights
        m = b1 * m + (1 - b1) * g
        v = 0.999 * v + 0.001 * g**2
        weights -= rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return weights


def nesterov_by_hand(weights, gradients, rate, mu, l2):
    """Sutskever et al.: the gradient is taken where momentum alone would lead."""
    ahead, v, place = weights, 0.0, weights.copy()
    for g in gradients(ahead):
        v = mu * v - rate * (g + l2 * ahead)
        place = place + v
        ahead[...] = place + mu * v
    return ahead


@pytest.mark.parametrize(
    ("optimizer", "by_hand"), [("adam", adam_by_hand), ("nesterov", nesterov_by_hand)]
)
def test_optimisers_follow_their_papers(optimizer, by_hand):
    """Least squares, whose gradient is known; the bias is a last row that does not decay."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    net = connect(
        ["x", "y"], [3, 2], 1, [None, None], [1], [Gaussian()], [(0, 1)], key(0), dtype=np.float64
    )
    wide = np.c_[x, np.ones(6)]

    def gradients(parameters):
        for _ in range(5):
            yield wide.T @ (wide @ parameters - t) / 6

    settings = Settings(
        optimizer=optimizer,
        learning_rate=0.1,
        decay="constant",
        momentum=0.8,
        batch_size=6,
        max_epochs=5,
        l2=0.3,
    )
    start = np.vstack([net.weights[0], net.biases[1]])
    expected = by_hand(start, gradients, 0.1, 0.8, np.array([[0.3], [0.3], [0.3], [0.0]]))
    batch = Batch([x], [t], [None])
    found = last(train(net, lambda rows, rng: batch, np.arange(6), settings, key(0))).network
    np.testing.assert_allclose(np.vstack([found.weights[0], found.biases[1]]), expected)


def test_rates():
    for decay, expected in (
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("inverse", [1.0, 1 / 3.5, 1 / 6, 1 / 8.5]),
    ):
        settings = Settings(learning_rate=1.0, decay=decay, max_epochs=4)
        np.testing.assert_allclose([settings.rate(i) for i in range(4)], expected)


def test_epochs_are_never_changed_and_go_on_bit_exactly():
    net, source = task(np.float32)
    settings = Settings(batch_size=7, max_epochs=6, dropout=(0.1, 0.3, 0.0), max_norm=2.0)
    rows = np.arange(40)
    epochs = list(train(net, source, rows, settings, key(5)))
    copies = [
        [a.copy() for a in (*e.network.weights, *np.concatenate(e.moments[0]))] for e in epochs
    ]
    for epoch in epochs:
        rest = list(train(net, source, rows, settings, key(5), resume=epoch))
        assert [e.number for e in rest] == list(range(epoch.number + 1, 7))
        for one, two in zip(epochs[epoch.number :], rest, strict=True):
            assert (one.metrics, one.step) == (two.metrics, two.step)
            for a, b in zip(one.network.weights, two.network.weights, strict=True):
                np.testing.assert_array_equal(a, b)
    for epoch, kept in zip(epochs, copies, strict=True):
        now = (*epoch.network.weights, *np.concatenate(epoch.moments[0]))
        for a, b in zip(now, kept, strict=True):
            np.testing.assert_array_equal(a, b)
    other = last(train(net, source, rows, settings, key(6)))
    assert not np.array_equal(other.network.weights[0], epochs[-1].network.weights[0])


@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
def test_max_norm_holds(optimizer):
    net, source = task()
    settings = Settings(
        optimizer=optimizer, learning_rate=0.5, batch_size=10, max_epochs=20, max_norm=0.5
    )
    found = last(train(net, source, np.arange(40), settings, key(0))).network
    norms = np.linalg.norm(found.weights[0], axis=0)
    assert norms.max() == pytest.approx(0.5)
    assert np.linalg.norm(found.weights[1], axis=0).min() > 0.5  # outputs are free


def test_max_norm_counts_all_weights_into_a_unit():
    net = diamond([Gaussian()])
    batch = rows_for([TARGETS[Gaussian()]])
    settings = Settings(learning_rate=0.1, batch_size=N, max_epochs=5, max_norm=0.7)
    found = last(train(net, lambda rows, rng: batch, np.arange(N), settings, key(0))).network
    for one, two in ((0, 1), (2, 3)):
        into = np.vstack([found.weights[one], found.weights[two]])
        assert np.linalg.norm(into, axis=0).max() <= 0.7 * (1 + 1e-12)


def test_dropout_drops_its_share_and_keeps_the_mean():
    net = diamond([Gaussian()])
    rng = np.random.default_rng(0)
    for layer, size in enumerate((3, 2, 5, 4)):
        mask = network._mask(20_000, net, layer, 0.3, rng)
        assert mask.shape == (20_000, size)
        assert (mask == 0).mean() == pytest.approx(0.3, abs=0.01)
        assert mask.max() == pytest.approx(1 / 0.7, rel=1e-4)
        assert mask.mean() == pytest.approx(1, abs=0.02)
    assert network._mask(10, net, 4, 0.3, rng) is None
    assert network._mask(10, net, 2, 0.0, rng) is None


def test_divergence_is_said():
    net, source = task()
    settings = Settings(optimizer="nesterov", learning_rate=1e200, max_epochs=5, batch_size=5)
    with pytest.raises(FloatingPointError, match="no longer finite in epoch"):
        list(train(net, source, np.arange(40), settings, key(0)))


# Machines unrolled -------------------------------------------------------------------------------


B = Bernoulli()
MACHINES = {
    "rbm": ([Gaussian(), B, B], [3, 2, 4], [(0, 2), (1, 2)], 2),
    "dbm": ([B, B, B, B], [3, 4, 3, 2], [(0, 1), (1, 2), (2, 3)], 1),
    "multimodal": (
        [B, ReplicatedSoftmax(), Categorical(), B, B, B, B],
        [2, 2, 3, 2, 2, 2, 2],
        [(0, 3), (3, 4), (1, 5), (4, 6), (5, 6), (2, 6)],
        3,
    ),
}


@pytest.mark.parametrize("graph", MACHINES)
def test_an_unrolled_machine_computes_its_mean_field(graph):
    """At a fixed point of mean field, also where modalities are missing."""
    model = machine(*MACHINES[graph], seed=2, spread=0.5)
    rng = np.random.default_rng(0)
    shown = {
        k: TARGETS[Gaussian()][:, : len(model.biases[k])]
        if model.units[k].scaled
        else np.eye(len(model.biases[k]))[rng.integers(0, len(model.biases[k]), N)]
        for k in model.visible
    }
    present = {k: rng.random(N) < 0.6 for k in model.visible}
    state = begin(model, shown, N, present=present)
    values = mean_field(model, state, max_sweeps=1000, tol=1e-13).state.values
    net = classifier(model, 3, key(0))
    inputs = evidence(model, values)
    assert len(inputs) == net.n_inputs
    found = forward(net, inputs)
    for name, layer in zip(model.names, range(model.n_layers), strict=True):
        if layer in model.hidden:
            place = net.names.index(name)
            np.testing.assert_allclose(found[place], values[layer], atol=1e-10)
    assert found[-1].shape == (N, 3)


def test_a_two_layer_machine_unrolls_as_published():
    """Salakhutdinov & Hinton (2009), figure 3: data and second-layer means into the first."""
    net = classifier(machine([B, B, B], [5, 4, 3], [(0, 1), (1, 2)], 1), 10, key(0))
    assert net.names == ("layer0", "mean of layer2", "layer1", "layer2", "class")
    assert net.edges == ((0, 2), (2, 3), (1, 2), (3, 4))


def test_stacked_machines():
    """Each edge has weights; real values are in units of the data, whatever scale was learnt."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2, (300, 1))
    real = 50 + 20 * h + rng.normal(size=(300, 2))
    bits = np.repeat(h, 3, axis=1).astype(float)
    present = [np.ones(300, bool), np.arange(300) % 3 > 0]
    bits[~present[1]] = np.nan
    data = learning.Data([real, bits], present)
    marginals = learning.construct(
        ["real", "bits"], [Gaussian(), B], 2, [2, 3], [], data, key(0), dtype=np.float64
    )
    sizes, edges = [2, 3, 4, 5], [(0, 2), (2, 3), (1, 3)]
    settings = learning.Settings(batch_size=20, max_epochs=60)
    stack = stack_of(marginals, sizes, edges, data, np.arange(300), settings, key(0))
    assert [w.shape for w in stack.up] == [(2, 4), (4, 5), (3, 5)]
    assert [w.shape for w in stack.down] == [(4, 2), (5, 4), (5, 3)]
    assert set(stack.hidden) == {2, 3}
    assert set(stack.visible) == {0, 1, 2}
    t = (real - marginals.locs[0]) / marginals.scales[0]
    hidden = expit(t @ stack.up[0] + stack.hidden[2])
    back = hidden @ stack.down[0] + stack.visible[0]
    assert np.mean((back - t) ** 2) < 0.1 * np.mean(t**2)
