"""Trajectories and the estimator that generates them, against dense algebra and enumeration."""

import itertools
from copy import copy

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import mmgraph as mg
from mmgraph.engine import joint_gaussian, markov
from mmgraph.engine.emissions import DenseGaussian, Prior
from mmgraph.engine.joint_gaussian import JointGaussian
from mmgraph.engine.markov import Data, Model, Priors, Stream
from mmgraph.engine.trajectories import Equations, Plan, experts, log_density_of
from mmgraph.engine.transitions import Dense

RNG = np.random.default_rng(0)
STREAMS = np.array([0, 0, 1])


def covariances(n_states, n):
    root = RNG.normal(size=(n_states, n, n + 2))
    return root @ np.swapaxes(root, 1, 2) / n


def joint(n_states=3, order=2, n_frames=7):
    """A plan for two streams, and normal distributions of its features."""
    z, present = RNG.normal(size=(n_frames, 3)), np.ones((n_frames, 2), bool)
    plan = Plan.of(z, present, STREAMS, np.array([0, n_frames]), order)
    n = len(plan.groups)
    means = RNG.normal(size=(n_states, n))
    return plan, JointGaussian(means, covariances(n_states, n), plan.groups)


def equations(plan, emission, posterior):
    n = plan.n_columns
    inner = experts(emission.means, emission.covariances, plan.windows)
    ends = experts(emission.means[:, :n], emission.covariances[:, :n, :n], plan.windows[:, :n])
    return Equations.of(posterior, inner, ends)


def dense(plan, emission, posterior):
    """The normal equations by whole matrices: W' S^-1 W, and W' S^-1 mu."""
    n_frames, n = len(posterior), plan.n_columns
    P, pull = np.zeros((n_frames * n, n_frames * n)), np.zeros(n_frames * n)
    for t, k in np.ndindex(posterior.shape):
        width = n if t in (0, n_frames - 1) else len(plan.groups)
        W = np.zeros((width, n_frames * n))
        for j in (-1, 0, 1) if width > n else (0,):
            W[:, (t + j) * n : (t + j + 1) * n] = plan.windows[j + 1, :width]
        weighted = W.T @ np.linalg.inv(emission.covariances[k, :width, :width])
        P += posterior[t, k] * weighted @ W
        pull += posterior[t, k] * weighted @ emission.means[k, :width]
    return P, pull


# Features ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2])
def test_features_are_values_slopes_and_curvatures(order):
    z, present, offsets = RNG.normal(size=(9, 3)), np.ones((9, 2), bool), np.array([0, 4, 9])
    plan = Plan.of(z, present, STREAMS, offsets, order)
    values, there = plan.features(z, present, offsets)
    np.testing.assert_array_equal(values[:, :3], z)
    assert values.shape == (9, 3 * (1 + order))
    if order:
        inner = there[:, 2]
        np.testing.assert_array_equal(np.flatnonzero(~inner), [0, 3, 4, 8])
        slope = (z[2:] - z[:-2])[inner[1:-1]] / 2
        size = np.sqrt(np.square(slope).mean(axis=0))
        np.testing.assert_allclose(values[inner, 3:6], slope / size)
        np.testing.assert_allclose(np.square(values[inner, 3:]).mean(axis=0), 1)
    if order == 2:
        curvature = (z[2:] - 2 * z[1:-1] + z[:-2])[inner[1:-1]]
        np.testing.assert_allclose(
            values[inner, 6:] * np.ptp(curvature, axis=0),
            curvature * np.ptp(values[inner, 6:], axis=0),
        )


def test_a_stream_that_ticks_slowly_has_no_slopes():
    z, present = RNG.normal(size=(9, 3)), np.ones((9, 2), bool)
    present[1::2, 1] = False
    plan = Plan.of(z, present, STREAMS, np.array([0, 9]), 2)
    assert plan.owners.tolist() == [0, 1, 0, 0]
    assert plan.groups.tolist() == [0, 0, 1, 2, 2, 3, 3]
    present[3, 0] = False
    _, there = plan.features(z, present, np.array([0, 9]))
    np.testing.assert_array_equal(np.flatnonzero(~there[:, 2]), [0, 2, 3, 4, 8])


# Joint Gaussians ---------------------------------------------------------------------------------


def some_frames(emission, n_frames=12):
    x = RNG.normal(size=(n_frames, len(emission.groups)))
    present = RNG.random((n_frames, emission.groups.max() + 1)) < 0.6
    present[0], present[1] = True, False
    return x, present, emission.features(x, present)


def test_absent_groups_are_integrated_out():
    _, emission = joint()
    x, present, features = some_frames(emission)
    found = emission.log_likelihood(features)
    for t, k in np.ndindex(found.shape):
        shown = np.flatnonzero(present[t, emission.groups])
        expected = 0.0
        if len(shown):
            S = emission.covariances[k][np.ix_(shown, shown)]
            expected = multivariate_normal(emission.means[k, shown], S).logpdf(x[t, shown])
        np.testing.assert_allclose(found[t, k], expected, rtol=1e-9)


def test_with_all_groups_there_it_is_the_dense_gaussian():
    _, emission = joint()
    x = RNG.normal(size=(20, len(emission.groups)))
    there = np.ones((20, emission.groups.max() + 1), bool)
    plain = DenseGaussian(emission.means, emission.covariances)
    features = emission.features(x, there), plain.features(x, np.ones(20, bool))
    np.testing.assert_allclose(
        emission.log_likelihood(features[0]), plain.log_likelihood(features[1])
    )
    posterior = RNG.dirichlet(np.ones(3), 20)
    ours, theirs = (
        e.statistics(f, posterior) for e, f in zip((emission, plain), features, strict=True)
    )
    np.testing.assert_allclose(ours[0], theirs[0])


def test_conditionals_are_those_of_the_joint_distribution():
    _, emission = joint()
    x, present, features = some_frames(emission)
    for rows, means, left in emission.conditionals(features):
        for i, t in enumerate(rows):
            shown = present[t, emission.groups]
            for k in range(3):
                precision = np.linalg.inv(emission.covariances[k])[np.ix_(~shown, ~shown)]
                pull = np.linalg.inv(emission.covariances[k])[np.ix_(~shown, shown)]
                expected = emission.means[k].copy()
                expected[shown] = x[t, shown]
                gap = x[t, shown] - emission.means[k, shown]
                expected[~shown] -= np.linalg.solve(precision, pull @ gap)
                np.testing.assert_allclose(means[k, i], expected, rtol=1e-8)
                np.testing.assert_allclose(
                    left[k][np.ix_(~shown, ~shown)], np.linalg.inv(precision), rtol=1e-8
                )


def test_learning_with_absent_groups_never_lowers_the_likelihood():
    _, emission = joint(2, order=1)
    _, _, features = some_frames(emission, 80)
    matrix = np.array([[0.8, 0.2], [0.3, 0.7]])
    model = Model(np.array([0.5, 0.5]), Dense(matrix), (Stream(emission),))
    data = Data((features,), np.array([0, 50, 80]))
    epochs = markov.train(model, data, Priors(emission=Prior(floor=1e-6)), max_iter=15, tol=-np.inf)
    found = [epoch.metrics["log_likelihood"] for epoch in epochs]
    assert (np.diff(found) > -1e-9).all()
    assert found[-1] > found[0] + 0.1


def test_frames_are_taken_some_at_a_time(monkeypatch):
    _, emission = joint()
    _, _, features = some_frames(emission, 50)
    posterior = RNG.dirichlet(np.ones(3), 50)
    whole = emission.statistics(features, posterior)[0], *emission.moments(features, posterior)
    monkeypatch.setattr(joint_gaussian, "MOST", 4)
    parts = emission.statistics(features, posterior)[0], *emission.moments(features, posterior)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_moments_and_draws_agree():
    _, emission = joint()
    _, _, features = some_frames(emission, 3)
    posterior = RNG.dirichlet(np.ones(3), 3)
    mean, variance = emission.moments(features, posterior)
    n_draws = 20_000
    paths = np.array([RNG.choice(3, n_draws, p=p) for p in posterior])
    for t in range(3):
        rows = np.tile(features[t], (n_draws, 1))
        drawn = emission.complete(rows, paths[t], RNG.normal(size=(n_draws, mean.shape[1])))
        np.testing.assert_allclose(drawn.mean(axis=0), mean[t], atol=0.08)
        np.testing.assert_allclose(drawn.var(axis=0), variance[t], rtol=0.08, atol=1e-12)


# Trajectories ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_frames", [1, 2, 3, 7])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_band_is_that_of_the_whole_matrices(n_frames, order):
    plan, emission = joint(order=order)
    posterior = RNG.dirichlet(np.ones(3), n_frames)
    P, pull = dense(plan, emission, posterior)
    found = equations(plan, emission, posterior)
    for distance in range(min(len(found.band), len(P))):
        np.testing.assert_allclose(
            found.band[-1 - distance, distance:], np.diagonal(P, distance), atol=1e-10
        )
    np.testing.assert_allclose(found.pull, pull, atol=1e-10)
    trajectory = found.solve()
    np.testing.assert_allclose(trajectory.mean, np.linalg.solve(P, pull), atol=1e-8)
    np.testing.assert_allclose(trajectory.variances(), np.linalg.inv(P).diagonal(), rtol=1e-7)
    noise = RNG.normal(size=len(pull))
    deviation = trajectory.deviate(noise)
    np.testing.assert_allclose(trajectory.whiten(deviation), noise, atol=1e-9)
    density = multivariate_normal(np.zeros(len(pull)), np.linalg.inv(P)).logpdf(deviation)
    np.testing.assert_allclose(trajectory.log_density(deviation).sum(), density, rtol=1e-8)


def test_given_values_condition_the_trajectory():
    plan, emission = joint()
    posterior, values = RNG.dirichlet(np.ones(3), 7), RNG.normal(size=(7, 3))
    P, pull = dense(plan, emission, posterior)
    known = np.zeros((7, 3), bool)
    known[:, 0], known[3] = True, True
    k, v = known.ravel(), values.ravel()
    found = equations(plan, emission, posterior).given(values, known).solve()
    hidden = P[np.ix_(~k, ~k)]
    expected = np.linalg.solve(hidden, pull[~k] - P[np.ix_(~k, k)] @ v[k])
    np.testing.assert_allclose(found.mean[~k], expected, atol=1e-8)
    np.testing.assert_array_equal(found.mean[k], v[k])
    np.testing.assert_allclose(found.variances()[~k], np.linalg.inv(hidden).diagonal(), rtol=1e-7)


@pytest.mark.parametrize("whole", [True, False])
def test_the_density_of_what_was_asked(whole):
    plan, emission = joint()
    posterior, values = RNG.dirichlet(np.ones(3), 7), RNG.normal(size=(7, 3))
    P, pull = dense(plan, emission, posterior)
    known, asked = np.zeros((2, 7, 3), bool)
    known[:, :2] = True
    asked[:, 2] = True
    if not whole:  # some values are neither known nor asked for
        asked[2:4] = known[4] = False
    factors = np.array([1.0, 2.0, 0.5])
    given = equations(plan, emission, posterior).given(values, known)
    found = log_density_of(given, given.solve(), values, asked, known, factors)
    k, a, v = known.ravel(), asked.ravel(), values.ravel()
    scale = np.tile(factors, 7)[~k]
    hidden = P[np.ix_(~k, ~k)]
    mean = np.linalg.solve(hidden, pull[~k] - P[np.ix_(~k, k)] @ v[k])
    S = scale[:, None] * np.linalg.inv(hidden) * scale
    at = a[~k]
    oracle = multivariate_normal(mean[at], S[np.ix_(at, at)])
    np.testing.assert_allclose(found.sum(), oracle.logpdf(v[a]), rtol=1e-8)


def test_a_path_of_states_that_do_not_move_gives_a_smooth_trajectory():
    """Tokuda's point: means that jump between states become a curve."""
    means = np.array([[0.0, 0.0], [1.0, 0.0]])
    plan = Plan.of(np.zeros((30, 1)), np.ones((30, 1), bool), np.array([0]), np.array([0, 30]), 1)
    emission = JointGaussian(means, np.tile(np.diag([1.0, 0.01]), (2, 1, 1)), plan.groups)
    path = np.eye(2)[(np.arange(30) >= 15).astype(int)]
    found = equations(plan, emission, path).solve().mean
    assert np.abs(np.diff(found)).max() < 0.25
    assert found[0] < 0.2
    assert found[-1] > 0.8


# The estimator -----------------------------------------------------------------------------------


def two_streams(n=6, length=40, seed=0):
    """Sequences in which one stream follows the other in one of two ways."""
    rng = np.random.default_rng(seed)
    state = np.arange(n * length) // 20 % 2
    wave = np.sin(np.arange(n * length) / 3 + rng.uniform(0, 6))
    given = np.c_[wave, 2.0 * state] + 0.3 * rng.normal(size=(n * length, 2))
    target = np.where(state, -1.0, 1.0)[:, None] * given[:, :1] + state[:, None]
    target = target + 0.1 * rng.normal(size=target.shape)
    X, modalities = mg.pack(given=given, target=target, sequence=np.repeat(np.arange(n), length))
    return X, {"sequence": 0, "modalities": modalities, "random_state": 0}


X, COLUMNS = two_streams()


@pytest.fixture(scope="module")
def model():
    return mg.TrajectoryHMM(2, dynamics=1, **COLUMNS).fit(X)


@pytest.mark.parametrize("method", ["trajectory", "mean", "viterbi"])
def test_a_stream_is_generated_from_the_other(model, method):
    model = copy(model).set_params(method=method)
    rows = two_streams(seed=1)[0]
    truth, spread = rows[:, 3:], rows[:, 3:].var()
    error = np.square(model.generate(rows, "target") - truth).mean()
    linear = np.linalg.lstsq(np.c_[X[:, 1:3], np.ones(len(X))], X[:, 3], rcond=None)[0]
    plain = np.square(np.c_[rows[:, 1:3], np.ones(len(rows))] @ linear - truth[:, 0]).mean()
    assert error < 0.5 * plain < spread
    lower, upper = model.interval(rows, "target")
    assert 0.75 < ((lower <= truth) & (truth <= upper)).mean() < 0.99
    deviation = (upper - lower) / (2 * 1.6448536)
    draws = model.generate(rows, "target", n_samples=400, random_state=1)
    assert draws.shape == (400, 240, 1)
    clear = slice(5, 15)  # far from a change of the state
    centre = (lower + upper)[clear] / 2
    np.testing.assert_allclose(draws[:, clear].mean(axis=0), centre, atol=0.1)
    np.testing.assert_allclose(draws[:, clear].std(axis=0), deviation[clear], rtol=0.25)
    assert np.isfinite(model.log_conditional(rows, "target")).all()


@pytest.mark.parametrize("method", ["trajectory", "mean"])
def test_densities_are_those_of_the_values_by_enumeration(method):
    """Over all paths of states for the mean; with the states' probabilities for the trajectory."""
    rows, columns = two_streams(2, 4)
    model = mg.TrajectoryHMM(2, dynamics=0, method=method, max_iter=3, **columns).fit(rows)
    emission, scale = model.model_.streams[0].emission, model.scale_
    z, start, move = scale.encode(rows[:, 1:]), model.start_, model.transition_
    found = model.log_conditional(rows, "target")
    for first in (0, 4):
        own = z[first : first + 4]
        weights = np.zeros((4, 2))
        for path in itertools.product(range(2), repeat=4):
            chance = start[path[0]] * np.prod([move[a, b] for a, b in itertools.pairwise(path)])
            for t, k in enumerate(path):
                S = emission.covariances[k][:2, :2]
                chance *= multivariate_normal(emission.means[k][:2], S).pdf(own[t, :2])
            weights[np.arange(4), path] += chance
        weights /= weights.sum(axis=1, keepdims=True)
        precisions = np.linalg.inv(emission.covariances)
        for t in range(4):
            means = [
                emission.means[k][2]
                - precisions[k, 2, :2] @ (own[t, :2] - emission.means[k][:2]) / precisions[k, 2, 2]
                for k in range(2)
            ]
            if method == "mean":
                densities = [
                    np.exp(-0.5 * precisions[k, 2, 2] * (own[t, 2] - means[k]) ** 2)
                    * np.sqrt(precisions[k, 2, 2] / (2 * np.pi))
                    for k in range(2)
                ]
                expected = np.log(weights[t] @ densities)
            else:
                pull = weights[t] * precisions[:, 2, 2]
                mean, deviation = pull @ means / pull.sum(), pull.sum() ** -0.5
                deviation *= model.spread_["target"]
                expected = multivariate_normal(mean, deviation**2).logpdf(own[t, 2])
            np.testing.assert_allclose(found[first + t], expected - np.log(scale.scale[2]))


def test_the_spread_is_that_of_the_training_sequences(model):
    lower, upper = model.interval(X, "target", coverage=0.6826895)
    gaps = (X[:, 3:] - (lower + upper) / 2) / ((upper - lower) / 2)
    np.testing.assert_allclose(np.square(gaps).mean(), 1, rtol=1e-6)


def test_calibration_is_on_the_sequences_that_are_given(model):
    rows = two_streams(seed=1)[0]
    other = copy(model).set_params(method="trajectory").calibrate(rows)
    lower, upper = other.interval(rows, "target", coverage=0.6826895)
    gaps = (rows[:, 3:] - (lower + upper) / 2) / ((upper - lower) / 2)
    np.testing.assert_allclose(np.square(gaps).mean(), 1, rtol=1e-6)
    assert other.spread_ != model.spread_
    rows[:, 3] = np.nan
    assert copy(model).calibrate(rows).spread_["target"] == model.spread_["target"]


def test_streams_may_be_absent_from_frames_and_sequences(model):
    rows = X.copy()
    rows[40:80, 1:3] = np.nan
    rows[100:110, 3] = np.nan
    fitted = mg.TrajectoryHMM(2, dynamics=2, **COLUMNS).fit(rows)
    assert (np.diff(fitted.history_["log_likelihood"]) > -1e-6).all()
    for method in ("trajectory", "mean", "viterbi"):
        filled = fitted.set_params(method=method).impute(rows)
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[110:, 1:], rows[110:, 1:])
        assert np.abs(filled[100:110, 3] - X[100:110, 3]).mean() < 0.5
        density = fitted.log_conditional(rows, "target")
        assert (density[100:110] == 0).all()
        assert np.isfinite(density).all()


def test_a_slow_stream_is_drawn_out():
    rows = X.copy()
    rows[np.arange(len(X)) % 4 > 0, 3] = np.nan
    fitted = mg.TrajectoryHMM(2, dynamics=2, **COLUMNS).fit(rows)
    assert len(fitted.plan_.groups) == 7  # the target has no slopes
    ticks = np.isfinite(rows[:, 3])
    filled = fitted.impute(rows)[:, 3]
    np.testing.assert_array_equal(filled[ticks], X[ticks, 3])
    assert np.square(filled - X[:, 3]).mean() < 0.2 * X[:, 3].var()


def test_units_do_not_matter():
    factors = np.array([1, 1e12, 1e-12, 1e-12])
    one = mg.TrajectoryHMM(2, max_iter=5, **COLUMNS).fit(X)
    other = mg.TrajectoryHMM(2, max_iter=5, **COLUMNS).fit(X * factors)
    found = other.generate(X * factors, "target") * 1e12
    np.testing.assert_allclose(found, one.generate(X, "target"), rtol=1e-5, atol=1e-5)
    shift = one.log_conditional(X, "target") - other.log_conditional(X * factors, "target")
    np.testing.assert_allclose(shift, np.log(1e-12), rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_sequences(model, length):
    assert model.generate(X[:length], "target").shape == (length, 1)
    assert model.sample(length, random_state=0).shape == (length, 4)
    assert np.isfinite(model.log_conditional(X[:length], "target")).all()


def test_constant_and_copied_columns():
    rows = np.c_[X, np.full(len(X), 7.0), X[:, 3]]
    layout = {"given": [1, 2, 4], "target": [3, 5]}
    fitted = mg.TrajectoryHMM(2, max_iter=5, **{**COLUMNS, "modalities": layout}).fit(rows)
    found = fitted.generate(rows, "target")
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=0.05)
    assert np.isfinite(fitted.score(rows))


def test_more_states_than_frames():
    fitted = mg.TrajectoryHMM(6, max_iter=3, random_state=0).fit(RNG.normal(size=(4, 2)))
    assert np.isfinite(fitted.sample(5, random_state=0)).all()


def test_left_right():
    fitted = mg.TrajectoryHMM(4, topology="left-right", max_iter=3, **COLUMNS).fit(X)
    assert fitted.start_.tolist() == [1, 0, 0, 0]
    assert (np.tril(fitted.transition_, -1) == 0).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_states": 0}, "n_states=0"),
        ({"dynamics": 3}, "dynamics=3.*at most 2"),
        ({"method": "best"}, "method='best'.*trajectory"),
        ({"topology": "ring"}, "topology='ring'.*left-right"),
        ({"prior": 0}, "prior=0.*above 0"),
        ({"floor": -1}, "floor=-1.*above 0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        mg.TrajectoryHMM(**parameters).fit(X[:, 1:])


def test_bad_rows(model):
    rows = X.copy()
    rows[3, 1] = 1e12
    with pytest.raises(ValueError, match=r"'given': a value lies .* standard deviations"):
        model.generate(rows, "target")
    with pytest.raises(ValueError, match="unknown modality 'other'"):
        model.interval(X, "other")
    with pytest.raises(ValueError, match=r"coverage=1\.5"):
        model.interval(X, "target", coverage=1.5)
    with pytest.raises(ValueError, match="next to each other"):
        model.fit(np.concatenate([X, X]))
