"""What states emit, against SciPy: densities, statistics, maxima, draws, absent streams."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import logsumexp

from mmgraph.backend.random import key
from mmgraph.engine.emissions import (
    COVARIANCES,
    Bernoulli,
    Categorical,
    DenseGaussian,
    Gaussian,
    Mixture,
    Poisson,
    Prior,
    Scale,
    blank,
)

RNG = np.random.default_rng(0)
N, K, D = 40, 3, 2
REAL = RNG.normal(size=(N, D))
COUNTS = RNG.poisson(2.0, (N, D)).astype(float)
BITS = RNG.integers(0, 2, (N, D)).astype(float)
ONE_HOT = np.eye(4)[RNG.integers(0, 4, N)]
MEANS = RNG.normal(size=(K, D))
ROOTS = RNG.normal(size=(K, D, D))
MATRICES = ROOTS @ np.swapaxes(ROOTS, 1, 2) + 0.3 * np.eye(D)
VARIANCES = RNG.gamma(3.0, 0.3, (K, D))
SHARES = RNG.dirichlet(np.ones(2), K)
ALL = np.ones(N, bool)


def normal(mean, covariance):
    return stats.multivariate_normal(mean, covariance).logpdf


def mixture(k, x):
    parts = [
        normal(mean, np.diag(v))(x) for mean, v in zip(MIX_MEANS[k], MIX_VARIANCES[k], strict=True)
    ]
    return logsumexp(np.log(SHARES[k])[:, None] + parts, axis=0)


MIX_MEANS = RNG.normal(size=(K, 2, D))
MIX_VARIANCES = RNG.gamma(3.0, 0.3, (K, 2, D))
P = RNG.dirichlet(np.ones(4), K)
ODDS = RNG.uniform(0.1, 0.9, (K, D))
RATES = RNG.gamma(2.0, size=(K, D))
CASES = {
    "diag": (
        Gaussian(MEANS, VARIANCES),
        REAL,
        lambda k, x: normal(MEANS[k], np.diag(VARIANCES[k]))(x),
    ),
    "spherical": (
        Gaussian(MEANS, np.tile(VARIANCES[:, :1], D), True),
        REAL,
        lambda k, x: normal(MEANS[k], VARIANCES[k, 0])(x),
    ),
    "full": (DenseGaussian(MEANS, MATRICES), REAL, lambda k, x: normal(MEANS[k], MATRICES[k])(x)),
    "tied": (
        DenseGaussian(MEANS, MATRICES[0]),
        REAL,
        lambda k, x: normal(MEANS[k], MATRICES[0])(x),
    ),
    "gmm": (
        Mixture(SHARES, Gaussian(MIX_MEANS.reshape(-1, D), MIX_VARIANCES.reshape(-1, D))),
        REAL,
        mixture,
    ),
    "categorical": (Categorical(P), ONE_HOT, lambda k, x: np.log(P[k])[x.argmax(axis=1)]),
    "poisson": (
        Poisson(RATES, COUNTS.mean(axis=0)),
        COUNTS,
        lambda k, x: stats.poisson(RATES[k]).logpmf(x).sum(axis=1),
    ),
    "bernoulli": (
        Bernoulli(ODDS),
        BITS,
        lambda k, x: stats.bernoulli(ODDS[k]).logpmf(x).sum(axis=1),
    ),
}
kinds = pytest.mark.parametrize("kind", CASES)
GAMMA = RNG.dirichlet(np.ones(K), N)


@kinds
def test_log_likelihood(kind):
    emission, x, log_density = CASES[kind]
    want = np.stack([log_density(k, x) for k in range(K)], axis=1)
    np.testing.assert_allclose(emission.log_likelihood(emission.features(x, ALL)), want)
    narrow = emission.log_likelihood(emission.features(x.astype(np.float32), ALL))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, want, rtol=2e-5, atol=2e-5)


@kinds
def test_absent_frames_count_for_nothing(kind):
    emission, x, _ = CASES[kind]
    shown = np.arange(N) % 3 > 0
    features = emission.features(np.where(shown[:, None], x, np.nan), shown)
    found = emission.log_likelihood(features)
    np.testing.assert_array_equal(found[~shown], 0)
    own = emission.features(x[shown], np.ones(shown.sum(), bool))
    np.testing.assert_allclose(found[shown], emission.log_likelihood(own))
    for whole, part in zip(
        emission.statistics(features, GAMMA), emission.statistics(own, GAMMA[shown]), strict=True
    ):
        np.testing.assert_allclose(whole, part, atol=1e-12)


@kinds
def test_statistics_add_up(kind):
    emission, x, _ = CASES[kind]
    features = emission.features(x, ALL)
    whole = emission.statistics(features, GAMMA)
    parts = [emission.statistics(features[i::2], GAMMA[i::2]) for i in (0, 1)]
    for total, one, two in zip(whole, *parts, strict=True):
        assert total.dtype == np.float64
        np.testing.assert_allclose(one + two, total)


def expected_objective(emission, x, prior):
    """What a step of EM maximises (of a mixture: what it must not lower)."""
    found = emission.log_likelihood(emission.features(x, ALL))
    return (GAMMA * found).sum() + emission.log_prior(prior)


@kinds
@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_maxima(kind, strength):
    """No small change of the parameters is better."""
    emission, x, _ = CASES[kind]
    prior = Prior(strength, strength, strength, strength, floor=1e-9)
    learnt = emission
    for _ in range(300 if kind == "gmm" else 1):
        learnt = learnt.maximise(learnt.statistics(learnt.features(x, ALL), GAMMA), prior)
    best = expected_objective(learnt, x, prior)
    assert best >= expected_objective(emission, x, prior)
    for _ in range(20):
        changed = perturbed(learnt, RNG.normal(size=200) * 1e-3)
        assert expected_objective(changed, x, prior) <= best + 1e-7


def perturbed(emission, noise):
    """The emission with slightly other parameters of the same kind."""
    if isinstance(emission, Mixture):
        shares = emission.shares * np.exp(noise[: emission.shares.size].reshape(K, -1))
        parts = perturbed(emission.components, noise[20:])
        return Mixture(shares / shares.sum(axis=1, keepdims=True), parts)
    if isinstance(emission, Gaussian):
        n = emission.means.size
        factors = np.exp(noise[n : 2 * n].reshape(emission.means.shape))
        factors = np.tile(factors[:, :1], D) if emission.spherical else factors
        means = emission.means + noise[:n].reshape(emission.means.shape)
        return Gaussian(means, emission.variances * factors, emission.spherical)
    if isinstance(emission, DenseGaussian):
        means = emission.means + noise[: K * D].reshape(K, D)
        step = np.eye(D) + noise[10 : 10 + D * D].reshape(D, D)
        return DenseGaussian(means, step @ emission.covariances @ step.T)
    if isinstance(emission, Categorical):
        p = emission.probabilities * np.exp(noise[: K * 4].reshape(K, 4))
        return Categorical(p / p.sum(axis=1, keepdims=True))
    if isinstance(emission, Poisson):
        return Poisson(emission.rates * np.exp(noise[: K * D].reshape(K, D)), emission.overall)
    return Bernoulli(emission.probabilities * np.exp(noise[: K * D].reshape(K, D)))


@kinds
def test_draws_and_means(kind):
    emission, x, _ = CASES[kind]
    states = np.repeat(np.arange(K), 4000)
    draws = emission.draw(states, np.arange(len(states), dtype=np.uint32), key(0), 3)
    assert draws.shape == (len(states), x.shape[1])
    for k in range(K):
        own = draws[states == k]
        error = own.std(axis=0) / np.sqrt(len(own))
        assert (abs(own.mean(axis=0) - emission.mean()[k]) < 4.5 * error + 1e-9).all()
    if kind in ("diag", "full", "tied", "spherical"):
        matrices = {"full": MATRICES, "tied": [MATRICES[0]] * K}.get(kind)
        if matrices is None:
            matrices = [np.diag(v) for v in emission.variances]
        for k in range(K):
            np.testing.assert_allclose(np.cov(draws[states == k].T), matrices[k], atol=0.2)


@kinds
def test_a_state_without_frames_keeps_its_parameters(kind):
    emission, x, _ = CASES[kind]
    gamma = np.eye(K)[np.zeros(N, int)]
    learnt = emission.maximise(emission.statistics(emission.features(x, ALL), gamma), Prior())
    found = learnt.log_likelihood(learnt.features(x, ALL))
    assert np.isfinite(learnt.mean()).all()
    if kind != "tied":
        before = emission.log_likelihood(emission.features(x, ALL))
        np.testing.assert_allclose(found[:, 1:], before[:, 1:])


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_the_floor_is_the_best_there_is(covariance_type):
    """A column that does not vary."""
    x = np.c_[REAL[:, 0], np.zeros(N)]
    emission = blank("gaussian", K, x, covariance_type=covariance_type)
    learnt = emission.maximise(
        emission.statistics(emission.features(x, ALL), GAMMA), Prior(floor=0.05)
    )
    if isinstance(learnt, Gaussian):
        assert learnt.variances.min() >= 0.05
    else:
        assert np.linalg.eigvalsh(learnt.covariances).min() >= 0.05 - 1e-12
    assert np.isfinite(learnt.log_likelihood(learnt.features(x, ALL))).all()


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1.0, 1e12, 1e300])
def test_scales(size):
    x = (REAL + 3) * size
    scale = Scale.of(x)
    z = scale.encode(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=0), 1)
    np.testing.assert_allclose(scale.decode(z), x)
    assert np.isfinite(Scale.of(np.full((3, 2), size)).encode(np.full((3, 2), size))).all()


@pytest.mark.parametrize(
    ("kind", "x", "message"),
    [
        (
            "categorical",
            BITS,
            r"one-hot columns, but \d+ row\(s\) are not, such as .*OneHotEncoder",
        ),
        ("poisson", -COUNTS - 1, "whole numbers >= 0, but -.* is none. Pass the raw counts"),
        ("poisson", COUNTS + 0.5, "whole numbers >= 0, but .*5 is none"),
        ("bernoulli", 2 * BITS, "values of 0 and 1, but got 2. Binarise"),
    ],
)
def test_values_that_do_not_suit(kind, x, message):
    with pytest.raises(ValueError, match=message):
        blank(kind, K, x).check(x)


def test_what_was_never_seen():
    """Impossible values have no NaN about them."""
    never = Categorical(np.array([[1.0, 0, 0, 0]]))
    found = never.log_likelihood(never.features(ONE_HOT, ALL))[:, 0]
    np.testing.assert_array_equal(found, np.where(ONE_HOT[:, 0] == 1, 0, -np.inf))
    for rare in (Poisson(np.zeros((1, D)), np.ones(D)), Bernoulli(np.zeros((1, D)))):
        x = np.ones((3, D))
        found = rare.log_likelihood(rare.features(x, np.ones(3, bool)))
        assert (found < -100).all()
        assert np.isfinite(found).all()


def test_the_prior_is_the_one_that_is_stated():
    """The maximum of one state's Gaussian in one column, by search."""
    x = RNG.normal(1.0, 2.0, size=(30, 1))
    prior = Prior(mean=2.0, covariance=3.0, scatter=0.7, floor=0.0)

    def loss(p):
        mean, v = p[0], np.exp(p[1])
        penalty = 3.0 * p[1] + (0.7 + 2.0 * mean**2) / v
        return 0.5 * penalty - stats.norm(mean, np.sqrt(v)).logpdf(x).sum()

    found = optimize.minimize(loss, [0.0, 0.0], tol=1e-12).x
    for covariance_type in ("diag", "full", "tied", "spherical"):
        emission = blank("gaussian", 1, x, covariance_type=covariance_type)
        features = emission.features(x, np.ones(30, bool))
        learnt = emission.maximise(emission.statistics(features, np.ones((30, 1))), prior)
        v = learnt.variances if isinstance(learnt, Gaussian) else learnt.covariances
        np.testing.assert_allclose([learnt.means.item(), np.log(v).item()], found, atol=1e-5)
