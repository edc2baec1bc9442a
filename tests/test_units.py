"""Every unit type against enumeration, quadrature and finite differences."""

import numpy as np
import pytest
from oracles import layer_states
from scipy.integrate import quad
from scipy.special import logsumexp

from mmgraph.backend.random import key
from mmgraph.engine.units import (
    UNITS,
    Bernoulli,
    Binomial,
    Categorical,
    Gaussian,
    Noise,
    Rectified,
    ReplicatedSoftmax,
    as_units,
    guess_units,
)

COUNTABLE = [
    Bernoulli(),
    Binomial(4),
    Categorical(),
    Categorical((2, 3)),
    ReplicatedSoftmax(),
]
REAL = [Gaussian(), Rectified()]
SIZE, TOTAL = 5, 3


def names(kind):
    return f"{kind.name}{getattr(kind, 'groups', None) or ''}"


def eta_of(n=7, seed=0, size=SIZE):
    return np.random.default_rng(seed).normal(0, 2, (n, size))


def totals_of(kind, n):
    return np.full(n, float(TOTAL)) if kind.counts else None


def test_every_unit_type_is_tested():
    assert {type(kind) for kind in [*COUNTABLE, *REAL]} == set(UNITS.values())


@pytest.mark.parametrize("kind", COUNTABLE, ids=names)
def test_moments_against_enumeration(kind):
    eta = eta_of()
    states, base = layer_states(kind, SIZE, TOTAL)
    log_p = eta @ states.T + base
    log_z = logsumexp(log_p, axis=1)
    totals = totals_of(kind, len(eta))
    np.testing.assert_allclose(kind.log_partition(eta, totals), log_z, rtol=1e-12)
    mean = np.exp(log_p - log_z[:, None]) @ states
    np.testing.assert_allclose(kind.mean(eta, np.zeros(SIZE), totals), mean, atol=1e-6)
    np.testing.assert_allclose(kind.log_base(states), base, atol=1e-12)


@pytest.mark.parametrize("kind", COUNTABLE, ids=names)
def test_states_are_all_states(kind):
    mine = kind.states(SIZE, TOTAL)
    theirs, _ = layer_states(kind, SIZE, TOTAL)
    assert len(mine) == len(theirs) == round(np.exp(kind.log_n_states(SIZE, TOTAL)))
    assert sorted(map(tuple, mine.round(9))) == sorted(map(tuple, theirs.round(9)))


@pytest.mark.parametrize("eta", [-40.0, -9.0, -2.0, 0.0, 0.7, 4.0, 12.0])
@pytest.mark.parametrize("kind", REAL, ids=names)
def test_moments_against_quadrature(kind, eta):
    mode = max(eta, 0.0) if isinstance(kind, Rectified) else eta
    low = 0.0 if isinstance(kind, Rectified) else eta - 12
    width = 12.0 if eta > -5 or isinstance(kind, Gaussian) else 40 / abs(eta)
    shift = eta * mode - mode**2 / 2

    def density(t):
        return np.exp(eta * t - t * t / 2 - shift) / np.sqrt(2 * np.pi)

    mass = quad(density, low, mode + width, epsabs=1e-13, epsrel=1e-11)[0]
    mean = quad(lambda t: t * density(t), low, mode + width, epsabs=1e-13, epsrel=1e-10)[0] / mass
    at = np.full((1, 1), eta)
    np.testing.assert_allclose(kind.log_partition(at), np.log(mass) + shift, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(kind.mean(at, np.zeros(1)), mean, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(
        kind.log_base(np.full((1, 1), 1.3)), -0.845 - 0.5 * np.log(2 * np.pi)
    )


@pytest.mark.parametrize("kind", [*COUNTABLE, *REAL], ids=names)
def test_mean_is_the_slope_of_the_log_partition(kind):
    eta, step = eta_of(), 1e-5
    totals = totals_of(kind, len(eta))
    slope = np.empty_like(eta)
    for j in range(SIZE):
        shift = np.zeros(SIZE)
        shift[j] = step
        up, down = kind.log_partition(eta + shift, totals), kind.log_partition(eta - shift, totals)
        slope[:, j] = (up - down) / (2 * step)
    np.testing.assert_allclose(kind.mean(eta, np.zeros(SIZE), totals), slope, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [*COUNTABLE, *REAL], ids=names)
def test_draws_have_the_right_mean_and_variance(kind, dtype):
    n = 20_000
    eta = np.array([-1.5, 0.3, 1.0, -0.2, 2.0])
    totals = None if not kind.counts else np.full(n, TOTAL, dtype)
    noise = Noise(key(3), np.arange(n, dtype=np.uint32), 0, 0)
    bias = eta.astype(dtype)
    mean, draw = kind.draw(np.zeros((n, SIZE), dtype), bias, noise, totals)
    assert mean.dtype == draw.dtype == dtype
    step = 1e-4
    wide = totals_of(kind, 1)

    def expected(shift):
        return kind.mean(eta[None] + shift, np.zeros(SIZE), wide)[0]

    variance = np.diag([(expected(s) - expected(-s)) / (2 * step) for s in step * np.eye(SIZE)])
    error = np.sqrt(variance / n)
    assert (abs(draw.mean(axis=0) - expected(0)) < 4.5 * error + 1e-6).all()
    np.testing.assert_allclose(draw.var(axis=0), variance, rtol=0.06)
    np.testing.assert_allclose(mean[0], expected(0), atol=1e-5)


@pytest.mark.parametrize("eta", [-50.0, -20.0, -3.0, 0.0, 5.0])
def test_rectified_draws_follow_the_truncated_normal(eta):
    n = 5_000
    noise = Noise(key(0), np.arange(n, dtype=np.uint32), 0, 0)
    _, draw = Rectified().draw(np.zeros((n, 1)), np.array([eta]), noise)
    from scipy.stats import kstest, truncnorm

    assert (draw >= 0).all()
    assert kstest(draw[:, 0], truncnorm(-eta, np.inf, loc=eta).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", [*COUNTABLE, *REAL], ids=names)
def test_natural_inverts_the_mean(kind):
    eta = np.array([-1.0, 0.5, 0.2, -0.4, 1.0])
    mean = kind.mean(eta[None], np.zeros(SIZE), totals_of(kind, 1))[0]
    back = kind.mean(kind.natural(mean)[None], np.zeros(SIZE), totals_of(kind, 1))[0]
    np.testing.assert_allclose(back, mean, atol=1e-5)


@pytest.mark.parametrize("kind", [*COUNTABLE, *REAL], ids=names)
def test_decode_inverts_encode(kind):
    x = np.random.default_rng(0).integers(0, 2, (6, 3)).astype(float)
    x[0], x[1] = 0, 1
    loc, scale = kind.start(x)
    np.testing.assert_allclose(kind.decode(kind.encode(x, loc, scale), loc, scale), x, atol=1e-12)


def test_a_column_that_does_not_vary_takes_the_scale_of_the_others():
    x = np.random.default_rng(0).normal(0, 3, (200, 3))
    x[:, 1] = 7
    _, scale = Gaussian().start(x)
    np.testing.assert_allclose(scale, [x[:, 0].std(), np.sqrt(x.var(axis=0).mean()), x[:, 2].std()])
    _, common = Gaussian(common=True).start(x)
    assert len(set(common)) == 1


def test_auto_states_what_suits_the_values():
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    assert guess_units(rng.integers(0, 2, (20, 3)).astype(float)) == Bernoulli()
    assert guess_units(rng.random((20, 3))) == Bernoulli()
    assert guess_units(rng.normal(size=(20, 3))) == Gaussian()
    assert guess_units(np.eye(4)) == Categorical()
    counts = sp.csr_array(rng.integers(0, 4, (20, 3)).astype(float))
    assert guess_units(counts) == ReplicatedSoftmax()
    assert guess_units(rng.poisson(0.3, (50, 4)).astype(float)) == ReplicatedSoftmax()
    assert guess_units(rng.integers(0, 17, (50, 4)).astype(float)) == Gaussian()
    assert as_units("binomial") == Binomial()
