"""Recursions over sequences against the sum over every path, for each transition and block size."""

import functools
import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from mmgraph.backend.kernels import markov as kernels
from mmgraph.backend.random import key
from mmgraph.engine import markov, recursions
from mmgraph.engine.additive import AdditiveGaussian
from mmgraph.engine.emissions import Bernoulli, Categorical, Gaussian, Prior
from mmgraph.engine.kronecker import Kronecker
from mmgraph.engine.markov import Data, Model, Priors, Stream
from mmgraph.engine.ties import Coupled, Lasting, joint_states, nearest, scaled_to
from mmgraph.engine.transitions import Band, Dense, transition

LEFT_RIGHT = np.array([[0.6, 0.4, 0.0], [0.0, 0.7, 0.3], [0.0, 0.0, 1.0]])
LENGTHS = [4, 1, 3]


def ergodic(n_states, rng):
    return rng.dirichlet(np.ones(n_states), n_states)


def gaussian(rng, n_states=3, n_columns=2):
    shape = n_states, n_columns
    return Gaussian(rng.normal(size=shape), rng.gamma(3.0, 0.3, size=shape))


def case(transition, *, dtype=np.float64, known=None, states=None, weight=1.0, lengths=LENGTHS):
    """A model of two streams, and sequences in some frames of which a stream is absent."""
    rng = np.random.default_rng(0)
    offsets = np.cumsum([0, *lengths])
    n = offsets[-1]
    real, bits = gaussian(rng), Bernoulli(rng.uniform(0.1, 0.9, (3 if states is None else 2, 2)))
    x, b = rng.normal(size=(n, 2)).astype(dtype), rng.integers(0, 2, (n, 2)).astype(dtype)
    shown, seen = rng.random(n) < 0.7, rng.random(n) < 0.7
    start = np.array([0.5, 0.3, 0.2])
    model = Model(start, transition, (Stream(real), Stream(bits, states, weight)))
    features = real.features(x, shown), bits.features(b, seen)
    return model, Data(features, offsets, known)


class Paths:
    """Every path of each sequence, its log-probability together with the frames."""

    def __init__(self, model, data):
        with np.errstate(divide="ignore"):
            log_start, log_a = np.log(model.start), np.log(model.transition.matrix)
        total = 0.0
        for stream, f in zip(model.streams, data.features, strict=True):
            found = stream.emission.log_likelihood(f.astype(float))
            total = total + stream.weight * (
                found if stream.states is None else found[:, stream.states]
            )
        if data.known is not None:
            possible = np.eye(model.n_states) if data.possible is None else data.possible
            for t, case in enumerate(data.known):
                if case >= 0:
                    total[t, possible[case] == 0] = -np.inf
        self.all = []
        for a, b in itertools.pairwise(data.offsets):
            paths = np.array(list(itertools.product(range(model.n_states), repeat=b - a)))
            log_p = log_start[paths[:, 0]] + total[np.arange(a, b), paths].sum(axis=1)
            log_p = log_p + log_a[paths[:, :-1], paths[:, 1:]].sum(axis=1)
            self.all.append((paths, log_p))
        self.n_states = model.n_states

    def log_likelihood(self):
        return np.array([logsumexp(log_p) for _, log_p in self.all])

    def posteriors(self):
        rows = []
        for paths, log_p in self.all:
            p = np.exp(log_p - logsumexp(log_p))
            rows += [np.bincount(column, p, self.n_states) for column in paths.T]
        return np.array(rows)

    def transitions(self):
        counts = np.zeros((self.n_states, self.n_states))
        for paths, log_p in self.all:
            p = np.exp(log_p - logsumexp(log_p))
            for one, two in itertools.pairwise(paths.T):
                np.add.at(counts, (one, two), p)
        return counts

    def best(self):
        found = [(paths[log_p.argmax()], log_p.max()) for paths, log_p in self.all]
        return np.concatenate([path for path, _ in found]), np.array([p for _, p in found])


CASES = {
    "dense": lambda **more: case(Dense(ergodic(3, np.random.default_rng(1))), **more),
    "left-right": lambda **more: case(Dense(LEFT_RIGHT), **more),
    "band": lambda **more: case(Band.of(LEFT_RIGHT), **more),
    "float32": lambda **more: case(Band.of(LEFT_RIGHT), dtype=np.float32, **more),
    "tied": lambda **more: case(Dense(LEFT_RIGHT), states=np.array([0, 1, 0]), **more),
    "weighted": lambda **more: case(Band.of(LEFT_RIGHT), weight=0.3, **more),
    "left out": lambda **more: case(Dense(LEFT_RIGHT), weight=0.0, **more),
    "known": lambda **more: case(
        Band.of(LEFT_RIGHT), known=np.array([-1, 0, -1, 1, -1, -1, -1, 2]), **more
    ),
}


def of_chains(transition, maps=(None, None), *, lengths=(4, 1, 3), dtype=np.float64, known=None):
    """A model over tuples of states, whose streams may each have states of their own."""
    rng = np.random.default_rng(0)
    offsets = np.cumsum([0, *lengths])
    n, n_states = offsets[-1], len(transition.parts)
    sizes = [n_states if states is None else states.max() + 1 for states in maps]
    real = gaussian(rng, sizes[0])
    bits = Bernoulli(rng.uniform(0.1, 0.9, (sizes[1], 2)))
    x, b = rng.normal(size=(n, 2)).astype(dtype), rng.integers(0, 2, (n, 2)).astype(dtype)
    start = transition.maximise_start(
        rng.dirichlet(np.ones(n_states)), np.full(n_states, 1 / n_states)
    )
    streams = Stream(real, maps[0]), Stream(bits, maps[1])
    features = real.features(x, rng.random(n) < 0.7), bits.features(b, rng.random(n) < 0.7)
    data = Data(features, offsets)
    if known is not None:
        data = data.where(np.asarray(known), transition.parts)
    return Model(start, transition, streams), data


def coupled(sizes=(2, 3), asynchrony=None, right=False, **more):
    parts, rng = joint_states(sizes, asynchrony), np.random.default_rng(2)
    matrix = rng.dirichlet(np.ones(len(parts)), len(parts))
    if right:
        steps = parts[None] - parts[:, None]
        matrix = matrix * ((steps >= 0) & (steps <= 1)).all(axis=2)
        matrix /= matrix.sum(axis=1, keepdims=True)
    return of_chains(Coupled.of(matrix, parts), parts.T, **more)


def lasting(**more):
    matrix = np.array([[0.6, 0.3, 0.1], [0.0, 0.5, 0.5], [0.7, 0.0, 0.3]])
    moves = Lasting.of(matrix, 2)
    states = moves.parts[:, 0]
    return of_chains(moves, (states, states), **more)


def factorial(sizes=(2, 3), **more):
    rng = np.random.default_rng(2)
    return of_chains(Kronecker(tuple(ergodic(size, rng) for size in sizes)), **more)


CASES["coupled"] = coupled
CASES["coupled, right"] = lambda **more: coupled((3, 3), 1, right=True, **more)
CASES["coupled, three"] = lambda **more: coupled((2, 2, 2), lengths=(3, 1, 3), **more)
CASES["coupled, known"] = lambda **more: coupled(
    known=[[-1, -1], [0, -1], [-1, 2], [1, 1], [-1, -1], [-1, 0], [1, -1], [-1, -1]], **more
)
CASES["lasting"] = lasting
CASES["lasting, known"] = lambda **more: lasting(known=[[-1], [0], [0], [-1], [2], [-1], [1], [-1]])
CASES["factorial"] = factorial
CASES["factorial, three"] = lambda **more: factorial((2, 1, 3), **more)
CASES["factorial, four"] = lambda **more: factorial((2, 2, 1, 2), lengths=(3, 1, 3), **more)
CASES["factorial, float32"] = lambda **more: factorial(dtype=np.float32, **more)
RING = np.array([[0.5, 0.5, 0.0], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0]])
CASES["ring"] = lambda **more: case(Band.of(RING), **more)
cases = pytest.mark.parametrize("name", CASES)
SMALL = [(None, None), (1, 1), (3, 1)]  # frames a block, and entries a piece


@pytest.fixture(params=SMALL, ids=["whole", "pieces of one sequence", "some sequences"])
def sizes(request, monkeypatch):
    """Blocks of the usual size, and so small that each sequence is cut in pieces."""
    block, largest = request.param
    if block is not None:
        monkeypatch.setattr(recursions, "BLOCK", block)
        monkeypatch.setattr(recursions, "LARGEST", largest)
        monkeypatch.setattr(recursions, "LEAST", 2)


def unpacked(transition, counts, matrix):
    """Counts in the form of a transition, and those in a matrix, as lists of matrices."""
    if isinstance(transition, Kronecker):
        parts, sizes = transition.parts, transition.sizes
        groups = [np.eye(size)[part] for size, part in zip(sizes, parts.T, strict=True)]
        return transition.unpacked(counts), [group.T @ matrix @ group for group in groups]
    return [getattr(transition, "arcs", transition).unpacked(counts)], [matrix]


def tolerance(data):
    return (
        {"rtol": 1e-10, "atol": 1e-12} if data.dtype == np.float64 else {"rtol": 3e-6, "atol": 3e-6}
    )


@cases
def test_log_densities(name, sizes):
    model, data = CASES[name]()
    found = markov.log_densities(model, data)
    by_sequence = np.add.reduceat(found, data.offsets[:-1])
    np.testing.assert_allclose(by_sequence, Paths(model, data).log_likelihood(), **tolerance(data))


def test_log_densities_are_given_the_frames_before():
    model, data = CASES["dense"](lengths=[6])
    found = markov.log_densities(model, data)
    for t in range(1, 7):
        part = Data(tuple(f[:t] for f in data.features), np.array([0, t]))
        np.testing.assert_allclose(found[:t].sum(), Paths(model, part).log_likelihood())


@cases
def test_posteriors(name, sizes):
    model, data = CASES[name]()
    found = markov.posteriors(model, data)
    assert found.dtype == data.dtype
    np.testing.assert_allclose(found, Paths(model, data).posteriors(), **tolerance(data))


@cases
def test_expected_statistics(name, sizes):
    model, data = CASES[name]()
    truth = Paths(model, data)
    counts = markov.expect(model, data)
    gamma, xi = truth.posteriors(), truth.transitions()
    close = tolerance(data)
    assert counts.log_likelihood == pytest.approx(truth.log_likelihood().sum(), rel=1e-6)
    np.testing.assert_allclose(counts.start, gamma[data.offsets[:-1]].sum(axis=0), **close)
    for found, want in zip(*unpacked(model.transition, counts.transition, xi), strict=True):
        np.testing.assert_allclose(found, want, **close)
    for stream, f, statistics in zip(model.streams, data.features, counts.emissions, strict=True):
        states = np.arange(model.n_states) if stream.states is None else stream.states
        own = gamma @ np.eye(states.max() + 1)[states]
        np.testing.assert_allclose(statistics[0], own.T @ f, **close)


@cases
def test_best_paths(name, sizes):
    model, data = CASES[name]()
    path, best = markov.best_paths(model, data)
    true_path, true_best = Paths(model, data).best()
    np.testing.assert_array_equal(path, true_path)
    np.testing.assert_allclose(best, true_best, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["dense", "band", "known", "coupled, right", "lasting", "factorial, three"]
)
def test_statistics_along_the_best_path(name):
    model, data = CASES[name]()
    n = model.n_states
    counts = markov.expect(model, data, "viterbi")
    path, best = Paths(model, data).best()
    assert counts.log_likelihood == pytest.approx(best.sum())
    matrix = np.zeros((n, n))
    for a, b in itertools.pairwise(data.offsets):
        np.add.at(matrix, (path[a : b - 1], path[a + 1 : b]), 1)
    for found, want in zip(*unpacked(model.transition, counts.transition, matrix), strict=True):
        np.testing.assert_allclose(found, want)
    np.testing.assert_allclose(counts.start, np.bincount(path[data.offsets[:-1]], minlength=n))
    states = model.streams[0].states
    own = path if states is None else states[path]
    own = np.eye(len(counts.emissions[0][0]))[own]
    np.testing.assert_allclose(counts.emissions[0][0], own.T @ data.features[0])


@pytest.mark.parametrize("name", ["dense", "band", "coupled, right", "lasting", "factorial"])
def test_drawn_states_have_the_posterior(name):
    model, data = CASES[name]()
    n = model.n_states
    draws = markov.draw_states(model, data, 4000, key(0))
    truth = Paths(model, data)
    first, _ = truth.all[0]
    log_p = truth.all[0][1]
    p = np.exp(log_p - logsumexp(log_p))
    code = n ** np.arange(4)[::-1]
    share = np.bincount(draws[:, :4] @ code, minlength=n**4) / 4000
    assert abs(share - p[np.argsort(first @ code)]).max() < 0.04
    again = markov.draw_states(model, data, 10, key(0))
    np.testing.assert_array_equal(again, draws[:10])


def test_threads_and_blocks_do_not_matter(monkeypatch):
    model, data = CASES["dense"](lengths=[5] * 40)
    whole = markov.expect(model, data)
    monkeypatch.setattr(recursions, "BLOCK", 10)
    one = markov.expect(model, data)
    monkeypatch.setattr("mmgraph.backend.kernels.threads.n_threads", lambda: 3)
    many = markov.expect(model, data)
    np.testing.assert_array_equal(one.transition, many.transition)
    np.testing.assert_allclose(one.transition, whole.transition)
    np.testing.assert_array_equal(one.emissions[0][0], many.emissions[0][0])


@pytest.mark.parametrize(
    "transition", [Dense(LEFT_RIGHT), Band.of(LEFT_RIGHT)], ids=["dense", "band"]
)
@pytest.mark.parametrize("algorithm", ["em", "viterbi"])
@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_learning_never_lowers_the_objective(transition, algorithm, strength):
    model, data = case(transition, lengths=[20] * 6)
    emission = Prior(strength, strength, strength, strength, floor=1e-6)
    priors = Priors(strength, strength, emission)
    epochs = list(markov.train(model, data, priors, max_iter=25, tol=0.0, algorithm=algorithm))
    objective = np.array([epoch.metrics["objective"] for epoch in epochs])
    assert len(epochs) > 2
    assert (np.diff(objective) > -1e-9).all()
    learnt = epochs[-1].model
    assert learnt.transition.matrix[LEFT_RIGHT == 0].max() == 0
    np.testing.assert_allclose(learnt.transition.matrix.sum(axis=1), 1)
    assert learnt.start.sum() == pytest.approx(1)


LEARNT = {
    "coupled": lambda: coupled((2, 3), lengths=[20] * 6),
    "coupled, three": lambda: coupled((2, 2, 3), lengths=[20] * 6),
    "coupled, right": lambda: coupled((4, 4), 1, right=True, lengths=[20] * 6),
    "coupled, apart": lambda: coupled((4, 4), 2, right=True, lengths=[20] * 6),
    "lasting": lambda: lasting(lengths=[20] * 6),
    "factorial": lambda: factorial((2, 3), lengths=[20] * 6),
    "additive": lambda: additive(),
    "additive, diagonal": lambda: additive(diagonal=True),
}


def additive(diagonal=False, lengths=(20,) * 6):
    """A factorial model whose first stream has means that are sums."""
    model, data = factorial((2, 3), lengths=lengths)
    rng, parts = np.random.default_rng(3), model.transition.parts
    means = rng.normal(size=(2, 2))[parts[:, 0]] + rng.normal(size=(3, 2))[parts[:, 1]]
    one = AdditiveGaussian(means, np.eye(2), parts, diagonal)
    rows, shown = data.features[0][:, 1:3].copy(), data.features[0][:, 0] > 0
    features = one.features(rows, shown), data.features[1]
    streams = Stream(one), model.streams[1]
    return model._replace(streams=streams), data._replace(features=features)


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("algorithm", ["em", "viterbi"])
@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_learning_with_ties_never_lowers_the_objective(name, algorithm, strength):
    model, data = LEARNT[name]()
    emission = Prior(strength, strength, strength, strength, floor=1e-6)
    priors = Priors(strength, strength, emission)
    epochs = list(markov.train(model, data, priors, max_iter=25, tol=0.0, algorithm=algorithm))
    objective = np.array([epoch.metrics["objective"] for epoch in epochs])
    assert len(epochs) > 2
    assert (np.diff(objective) > -1e-9).all()
    learnt = epochs[-1].model
    matrix = learnt.transition.matrix
    assert matrix[model.transition.matrix == 0].max(initial=0) == 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert learnt.start.sum() == pytest.approx(1)


def test_tables_of_coupled_chains_are_the_counted_ones():
    """Without limits the most probable tables are the shares of the counts, chain by chain."""
    model, data = coupled((2, 3), lengths=[20] * 6)
    counts = markov.expect(model, data)
    learnt = markov.maximise(model, counts, Priors())
    parts = model.transition.parts
    xi = model.transition.arcs.unpacked(counts.transition)
    shares = [xi @ np.eye(n)[part] for n, part in zip((2, 3), parts.T, strict=True)]
    tables = [share / share.sum(axis=1, keepdims=True) for share in shares]
    want = tables[0][:, parts[:, 0]] * tables[1][:, parts[:, 1]]
    np.testing.assert_allclose(learnt.transition.matrix, want, atol=1e-12)
    first = [counts.start @ np.eye(n)[part] for n, part in zip((2, 3), parts.T, strict=True)]
    first = np.outer(*first).ravel()
    np.testing.assert_allclose(learnt.start, first / first.sum(), atol=1e-12)


@pytest.mark.parametrize("diagonal", [False, True])
def test_contributions_are_least_squares(diagonal):
    """Beside a regression on the states, with a row a frame and tuple weighted by its posterior."""
    model, data = additive(diagonal)
    one, f = model.streams[0].emission, data.features[0]
    posterior = markov.posteriors(model, data)
    learnt = one.maximise(one.statistics(f, posterior), Prior(floor=0.0))
    weight = (posterior * f[:, :1]).ravel()
    x, design = np.repeat(f[:, 1:], 6, axis=0), np.tile(one.design, (len(f), 1))
    root = np.sqrt(weight)[:, None]
    fitted = design @ np.linalg.lstsq(root * design, root * x, rcond=None)[0]
    np.testing.assert_allclose(learnt.means, fitted[:6], atol=1e-10)
    covariance = (x - fitted).T @ (weight[:, None] * (x - fitted)) / weight.sum()
    want = np.diag(np.diag(covariance)) if diagonal else covariance
    np.testing.assert_allclose(learnt.covariances, want, atol=1e-10)
    parts = [own[part] for own, part in zip(learnt.contributions(), one.parts.T, strict=True)]
    np.testing.assert_allclose(sum(parts), learnt.means, atol=1e-10)


def test_contributions_that_nothing_is_learnt_of():
    """They lie as before, beside the others of their chain."""
    model, data = additive()
    one, f = model.streams[0].emission, data.features[0]
    seen = one.parts[:, 1] < 2
    posterior = np.where(seen, markov.posteriors(model, data), 0)
    learnt = one.maximise(one.statistics(f, posterior), Prior())
    before, after = one.contributions()[1], learnt.contributions()[1]
    np.testing.assert_allclose(
        after[2] - after[:2].mean(axis=0), before[2] - before[:2].mean(axis=0), atol=1e-10
    )
    nothing = one.maximise(one.statistics(f, 0 * posterior), Prior())
    np.testing.assert_array_equal(nothing.means, one.means)


def test_proportional_fitting():
    """The best product over some of the tuples, beside a search over its factors."""
    rng, parts = np.random.default_rng(0), joint_states((3, 3), 1)
    counts = rng.gamma(1.0, size=(4, len(parts)))
    counts[3] = 0
    even = np.full(counts.shape, 1 / len(parts))
    found = scaled_to(counts, even, parts)
    np.testing.assert_array_equal(found[3], even[3])
    for row, own in zip(counts[:3], found[:3], strict=True):
        assert own.sum() == pytest.approx(1)
        for part in parts.T:
            group = np.eye(3)[part]
            np.testing.assert_allclose(own @ group, row @ group / row.sum(), atol=1e-10)

        def loss(v, row=row):
            log_p = v[:3][parts[:, 0]] + v[3:][parts[:, 1]]
            return -row @ (log_p - logsumexp(log_p))

        best = minimize(loss, np.zeros(6)).fun
        assert -row @ np.log(own) == pytest.approx(best, abs=1e-7)


def test_tuples_of_states():
    assert joint_states((5, 5), 1).shape == (13, 2)
    np.testing.assert_array_equal(joint_states((2, 2)), [[0, 0], [0, 1], [1, 0], [1, 1]])
    parts = joint_states((3, 3), 1)
    found = parts[nearest(parts, np.array([[0, 0], [2, 1], [0, 2]]))]
    np.testing.assert_array_equal(found[:2], [[0, 0], [2, 1]])
    assert abs(found[2] - [0, 2]).sum() == 1


def test_states_that_last():
    """Left out of the phases, a state leaves to where it left to; the first is one that lasts."""
    matrix = np.array([[0.6, 0.3, 0.1], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    moves = Lasting.of(matrix, 3)
    np.testing.assert_allclose(moves.matrix.sum(axis=1), 1)
    np.testing.assert_allclose(moves.leaves, [[0.4] * 3, [0.5] * 3, [0] * 3])
    np.testing.assert_allclose(moves.durations()[0], [0.4, 0.24, 0.36])
    np.testing.assert_allclose(moves.durations()[2], [0, 0, 1])
    counts = moves.arcs.no_counts()
    same = moves.maximise(counts, 0.0)
    np.testing.assert_allclose(same.matrix, moves.matrix)
    start = np.zeros(9)
    start[0] = 1
    assert moves.n_parameters(start) == 3 * 1 + 3 + 1  # leaving; where to, from the first state


@pytest.mark.parametrize(("asynchrony", "free"), [(None, 12), (1, 10)])
def test_free_parameters_of_coupled_chains(asynchrony, free):
    """Each chain moves on or not: one a chain, where it can and a limit does not decide for it."""
    parts = joint_states((3, 3), asynchrony)
    steps = parts[None] - parts[:, None]
    arcs = ((steps >= 0) & (steps <= 1)).all(axis=2)
    moves = Coupled.of(arcs / arcs.sum(axis=1, keepdims=True), parts)
    start = np.zeros(len(parts))
    start[0] = 1
    assert moves.n_parameters(start) == free


def test_merged_statistics_are_those_of_all():
    model, data = CASES["band"]()
    parts = [
        Data(tuple(f[a:b] for f in data.features), np.array([0, b - a]))
        for a, b in itertools.pairwise(data.offsets)
    ]
    merged = markov.expect(model, parts[0])
    for part in parts[1:]:
        merged = merged.merge(markov.expect(model, part))
    whole = markov.expect(model, data)
    np.testing.assert_allclose(merged.transition, whole.transition)
    np.testing.assert_allclose(merged.emissions[0][0], whole.emissions[0][0])


def test_transitions():
    """Matrices come back from bands, and are bands where that pays."""
    rng = np.random.default_rng(0)
    for matrix in (LEFT_RIGHT, RING, ergodic(4, rng)):
        np.testing.assert_array_equal(Band.of(matrix).matrix, matrix)
        for made in (Band.of(matrix), Dense(matrix)):
            np.testing.assert_allclose(made.carry(matrix[0]), matrix[0] @ matrix)
            even = made.maximise(made.no_counts(), 1.0).matrix
            np.testing.assert_allclose(even, (matrix > 0) / (matrix > 0).sum(axis=1)[:, None])
            kept = made.maximise(made.no_counts(), 0.0).matrix
            np.testing.assert_array_equal(kept, matrix)
    assert isinstance(transition(LEFT_RIGHT), Dense)
    assert isinstance(transition(0.5 * (np.eye(36) + np.roll(np.eye(36), 1, axis=1))), Band)


# Extremes ----------------------------------------------------------------------------------------


def by_kernels(log_likelihood, matrix, start):
    """Log-densities and posteriors by the kernels."""
    n, n_states = log_likelihood.shape
    dtype = log_likelihood.dtype
    transition = np.ascontiguousarray(matrix, dtype)
    scaled, filtered, posterior = (np.empty_like(log_likelihood) for _ in range(3))
    log_scale, offsets = np.empty(n), np.array([0, n])
    start = np.asarray(start, dtype)
    kernels.forward(log_likelihood, offsets, start, transition, scaled, filtered, log_scale)
    back = np.ascontiguousarray(transition.T)
    kernels.backward(scaled, filtered, offsets, back, np.ones(n_states, dtype), posterior)
    return log_scale, posterior


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_likelihoods_that_differ_by_thousands_of_nats(dtype):
    """The states that a left-right model can reach are far less likely than the one it cannot."""
    found = np.array([[-3000, -2000, 0], [-3000, 0, -2000], [0, -1500, -3000]], dtype)
    with np.errstate(divide="ignore"):
        log_a = np.log(LEFT_RIGHT)
    log_scale, posterior = by_kernels(found, LEFT_RIGHT, [1, 0, 0])
    best = [found[0, 0], log_a[0, 1] + found[1, 1], log_a[1, 1] + found[2, 1]]
    np.testing.assert_allclose(log_scale, best, rtol=1e-6)
    np.testing.assert_allclose(posterior, np.eye(3)[[0, 1, 1]], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_long_sequences_stay_finite(dtype):
    rng = np.random.default_rng(0)
    found = (rng.normal(size=(5000, 3)) * 200).astype(dtype)
    for matrix in (LEFT_RIGHT, ergodic(3, rng)):
        log_scale, posterior = by_kernels(found, matrix, [1, 0, 0])
        assert np.isfinite(log_scale).all()
        np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-3)


def test_an_impossible_frame_is_passed_over():
    found = np.log([[0.5, 0.2, 0.3], [1, 1, 1], [0.1, 0.4, 0.5]])
    rest = found.copy()
    rest[1] = -np.inf
    log_scale, posterior = by_kernels(rest, LEFT_RIGHT, [0.5, 0.3, 0.2])
    assert log_scale[1] == -np.inf
    want_scale, want = by_kernels(found, LEFT_RIGHT, [0.5, 0.3, 0.2])
    np.testing.assert_allclose(posterior, want)
    np.testing.assert_allclose(log_scale[[0, 2]], want_scale[[0, 2]])


def test_learning_from_an_impossible_sequence():
    never = Categorical(np.array([[1.0, 0.0], [1.0, 0.0]]))
    data = Data((never.features(np.eye(2), np.ones(2, bool)),), np.array([0, 2]))
    model = Model(np.ones(2) / 2, Dense(np.ones((2, 2)) / 2), (Stream(never),))
    with pytest.raises(ValueError, match="a sequence is impossible under the model: check the kn"):
        next(markov.train(model, data, Priors(), max_iter=1, tol=0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exponentials(dtype):
    x = np.linspace(-700 if dtype == np.float64 else -86, 0, 4001).astype(dtype)
    pairs = np.stack([x, np.zeros_like(x)], axis=1)
    scaled, peaks = np.empty_like(pairs), np.empty(len(x))
    kernels._relative(pairs, scaled, peaks)
    error = 1e-15 if dtype == np.float64 else 3e-7
    np.testing.assert_allclose(scaled[:, 0], np.exp(x.astype(float)), rtol=error)


@pytest.mark.parametrize("n_parts", [1, 2, 3, 4, 9])
def test_statistics_of_parts_add_up(n_parts):
    """Those of parts of whole sequences, some states known, are those of all."""
    lengths = [4, 1, 3, 20, 2]
    known = np.where(np.arange(sum(lengths)) % 5 == 0, 1, -1)
    model, data = case(Dense(ergodic(3, np.random.default_rng(1))), known=known, lengths=lengths)
    parts = data.split(n_parts)
    assert 1 <= len(parts) <= n_parts
    assert sum(part.n_frames for part in parts) == data.n_frames
    found = functools.reduce(markov.Counts.merge, (markov.expect(model, part) for part in parts))
    wanted = markov.expect(model, data)
    assert found.log_likelihood == pytest.approx(wanted.log_likelihood)
    np.testing.assert_allclose(found.start, wanted.start)
    np.testing.assert_allclose(found.transition, wanted.transition)
    for one, two in zip(found.emissions, wanted.emissions, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


# What scaled probabilities would lose -------------------------------------------------------------


SKIPS = np.array([[0.5, 0.3, 0.2, 0.0], [0.0, 0.6, 0.3, 0.1], [0.0, 0.0, 0.5, 0.5], [0, 0, 0, 1.0]])
RARE = np.array([[1 - 1e-250, 1e-250, 0.0], [0.0, 1 - 1e-12, 1e-12], [1e-30, 0.0, 1 - 1e-30]])
EXTREME = {
    "dense": Dense(SKIPS),
    "band": Band.of(SKIPS),
    "ring": Dense(RING),
    "rare": Dense(RARE),
    "coupled": None,
    "lasting": Lasting.of(np.array([[0.6, 0.4], [0.0, 1.0]]), 2),
    "factorial": Kronecker((LEFT_RIGHT[1:, 1:], SKIPS[2:, 2:])),
    "ergodic": Dense(np.full((3, 3), 1 / 3)),
}


class Told:
    """An emission whose features are the log-likelihoods themselves."""

    def __init__(self, n_states):
        self.n_states = n_states

    def evaluate(self, features):
        return features.copy(), None

    def log_likelihood(self, features):
        return features

    def mean(self):
        return np.zeros((self.n_states, 1))

    def statistics(self, features, posterior, kept):
        return (posterior.T @ features,)


def extreme(name, seed, *, dtype=np.float64, spread=3000.0, lengths=(5, 1, 6)):
    """Frames that speak against what the chain can do, by thousands of nats."""
    moves, rng = EXTREME[name], np.random.default_rng(seed)
    if moves is None:
        parts = joint_states((3, 3), 1)
        steps = parts[None] - parts[:, None]
        arcs = ((steps >= 0) & (steps <= 1)).all(axis=2)
        moves = Coupled.of(arcs / arcs.sum(axis=1, keepdims=True), parts)
    n, offsets = len(moves.parts), np.cumsum([0, *lengths])
    if name in ("coupled", "factorial"):
        lengths = offsets = np.array([0, 4, 5, 10 if n < 5 else 9])
    told = -rng.uniform(0, spread, (offsets[-1], n)) * (rng.random((offsets[-1], 1)) < 0.9)
    start = np.full(n, 1 / n) if name in ("ring", "rare", "ergodic") else np.eye(n)[0]
    return Model(start, moves, (Stream(Told(n)),)), Data((told.astype(dtype),), offsets)


SEEDS = range(6)
extremes = pytest.mark.parametrize("name", EXTREME)
types = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@extremes
@types
def test_nothing_is_lost(name, dtype, sizes):
    for seed in SEEDS:
        model, data = extreme(name, seed, dtype=dtype)
        truth = Paths(model, data)
        double = dtype == np.float64
        close = {"rtol": 1e-9, "atol": 1e-9} if double else {"rtol": 1e-4, "atol": 1e-4}
        want = truth.log_likelihood()
        found = np.add.reduceat(markov.log_densities(model, data), data.offsets[:-1])
        np.testing.assert_allclose(found, want, rtol=1e-12 if double else 1e-6)
        gamma = truth.posteriors()
        np.testing.assert_allclose(markov.posteriors(model, data), gamma, **close)
        counts = markov.expect(model, data)
        assert counts.log_likelihood == pytest.approx(want.sum(), rel=1e-5)
        np.testing.assert_allclose(counts.start, gamma[data.offsets[:-1]].sum(axis=0), **close)
        pairs = unpacked(model.transition, counts.transition, truth.transitions())
        for one, other in zip(*pairs, strict=True):
            np.testing.assert_allclose(one, other, **close)
        own = gamma.T @ data.features[0]
        np.testing.assert_allclose(counts.emissions[0][0], own, **close)


@extremes
def test_densities_of_beginnings_lose_nothing(name, sizes):
    for seed in SEEDS:
        model, data = extreme(name, seed, lengths=(6,))
        found = np.cumsum(markov.log_densities(model, data)[: data.offsets[1]])
        for t in range(1, len(found) + 1):
            part = Data((data.features[0][:t],), np.array([0, t]))
            np.testing.assert_allclose(found[t - 1], Paths(model, part).log_likelihood()[0])


@extremes
def test_draws_lose_nothing(name):
    for seed in SEEDS:
        model, data = extreme(name, seed)
        draws = markov.draw_states(model, data, 400, key(seed))
        share = np.stack([(draws == k).mean(axis=0) for k in range(model.n_states)], axis=1)
        np.testing.assert_allclose(share, Paths(model, data).posteriors(), atol=0.12)


@pytest.mark.parametrize("moves", [Dense(SKIPS), Band.of(SKIPS)], ids=["dense", "band"])
def test_learning_where_much_would_be_lost(moves):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 1)) * 10
        emission = Gaussian(rng.normal(size=(4, 1)) * 10, np.full((4, 1), 0.01))
        model = Model(np.eye(4)[0], moves, (Stream(emission),))
        data = Data((emission.features(x, np.ones(60, bool)),), np.array([0, 15, 40, 60]))
        priors = Priors(emission=Prior(floor=1e-3))
        epochs = list(markov.train(model, data, priors, max_iter=15, tol=-np.inf))
        objective = np.array([epoch.metrics["objective"] for epoch in epochs])
        assert (np.diff(objective) > -1e-9 * abs(objective[:-1])).all()


def test_a_frame_that_only_lost_states_can_bring_about():
    """It looks impossible to the scaled recursions, and is not."""
    told = np.array([[0.0, -3000.0], [0.0, -3000.0], [-np.inf, 0.0], [-np.inf, 0.0]])
    matrix = np.array([[1 - 1e-12, 1e-12], [0.0, 1.0]])
    model = Model(np.array([1.0, 0.0]), Dense(matrix), (Stream(Told(2)),))
    data = Data((told,), np.array([0, 4]))
    truth = Paths(model, data)
    np.testing.assert_allclose(markov.log_densities(model, data).sum(), truth.log_likelihood()[0])
    model = model._replace(transition=Dense(np.eye(2)), start=np.array([1 - 1e-12, 1e-12]))
    np.testing.assert_allclose(markov.log_densities(model, data).sum(), np.log(1e-12) - 6000)
    np.testing.assert_allclose(markov.posteriors(model, data), np.eye(2)[[1, 1, 1, 1]])


def test_impossible_frames_are_passed_over_there_too():
    told = np.array(
        [[0.0, -3000.0], [0.0, -3000.0], [-np.inf, -np.inf], [-3000.0, 0], [-9000.0, 0]]
    )
    model = Model(np.array([0.5, 0.5]), Dense(np.eye(2)), (Stream(Told(2)),))
    data = Data((told,), np.array([0, 5]))
    found = markov.log_densities(model, data)
    rest = Data((np.where(np.isinf(told), 0.0, told),), data.offsets)
    assert found[2] == -np.inf
    np.testing.assert_allclose(np.delete(found, 2).sum(), Paths(model, rest).log_likelihood()[0])
    np.testing.assert_allclose(markov.posteriors(model, data), Paths(model, rest).posteriors())
