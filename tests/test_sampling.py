"""The CPU kernels against slow oracles, their distributions, and the edges."""

import os
import subprocess
import sys

import numpy as np
import oracle_sampling as oracle
import pytest
from scipy import special, stats

from mmgraph.backend import kernels, random
from mmgraph.backend.kernels import sampling, threads

KEY = random.key(1)
DTYPES = [np.float32, np.float64]


def problem(n, m, dtype, seed=0, scale=3):
    rng = np.random.default_rng(seed)
    activation = rng.normal(scale=scale, size=(n, m)).astype(dtype)
    totals = rng.integers(0, 60, size=n).astype(dtype)
    return activation, rng.normal(size=m).astype(dtype), totals, rng.integers(0, 2**32, size=n)


def call(module, name, activation, bias, totals, rows, **out):
    """Call a kernel, or its oracle, by name; return a tuple of results."""
    more = {"softmax": (totals,), "multinomial": (totals,), "binomial": (30,)}.get(name, ())
    if name not in ("sigmoid", "softmax"):
        more += (rows, KEY, 5, 6)
    result = getattr(module, name)(activation, bias, *more, **out)
    return result if isinstance(result, tuple) else (result,)


NAMES = ["sigmoid", "bernoulli", "gaussian", "softmax", "multinomial", "binomial"]


@pytest.mark.parametrize("shape", [(9, 40), (3, 1), (4, 2), (1, 7), (0, 5), (3, 0), (50, 333)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_against_the_oracle(name, dtype, shape):
    if name in ("softmax", "multinomial") and shape[1] == 0:
        given = problem(*shape, dtype)
        assert all(result.shape == shape for result in call(sampling, name, *given))
        return
    given = problem(*shape, dtype)
    results = call(sampling, name, *given)
    expected = call(oracle, name, *given)
    assert all(r.dtype == dtype and r.shape == shape for r in results)
    rtol, atol = (1e-12, 1e-13) if dtype == np.float64 else (3e-6, 3e-6)
    np.testing.assert_allclose(results[0], expected[0], rtol=rtol, atol=atol)
    if name == "gaussian":
        np.testing.assert_allclose(results[1], expected[1], rtol=rtol, atol=atol)
    elif len(results) == 2:
        # A uniform within rounding of a boundary may fall on the other side.
        assert np.sum(results[1] != expected[1]) <= (2 if results[1].size > 10000 else 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_non_contiguous_and_out(name, dtype):
    activation, bias, totals, rows = problem(6, 10, dtype)
    expected = call(sampling, name, activation, bias, totals, rows)
    wide = np.zeros((12, 30), dtype=dtype)
    wide[::2, ::3] = activation
    for other in (wide[::2, ::3], np.asfortranarray(activation)):
        results = call(sampling, name, other, bias, totals, rows)
        for result, e in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, e)
    out = tuple(np.full_like(e, np.nan) for e in expected)
    results = call(
        sampling, name, activation, bias, totals, rows, out=out if len(out) > 1 else out[0]
    )
    for result, buffer, e in zip(results, out, expected, strict=True):
        assert result is buffer
        np.testing.assert_array_equal(result, e)


@pytest.mark.parametrize("shape", [(9, 40), (3, 1), (0, 5), (3, 0), (50, 333), (300, 1000)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_softplus(dtype, shape):
    activation, bias, *_ = problem(*shape, dtype, scale=20)
    result = sampling.softplus(activation, bias)
    assert result.dtype == np.float64
    expected = oracle.softplus((activation + bias).astype(dtype), 0)
    tolerance = 1e-14 if dtype == np.float64 else 2e-7
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * shape[1])
    edges = np.array([[np.inf], [-np.inf], [np.nan], [0]], dtype)
    found = sampling.softplus(edges, np.zeros(1, dtype))
    np.testing.assert_allclose(found, [np.inf, 0, np.nan, np.log(2)], rtol=1e-7)


def test_sigmoid_accuracy():
    x = np.linspace(-80, 80, 400001)
    exact = special.expit(x)
    mean = sampling.sigmoid(x[None], np.zeros(len(x)))[0]
    np.testing.assert_allclose(mean, exact, rtol=1e-12)
    x32 = x.astype(np.float32)
    mean = sampling.sigmoid(x32[None], np.zeros(len(x)))[0]
    np.testing.assert_allclose(mean, special.expit(x32.astype(np.float64)), rtol=3e-7, atol=0)


def test_exponential32_and_logarithm32():
    for x in np.linspace(-87, 88, 4001, dtype=np.float32):
        assert sampling.exponential32(x) == pytest.approx(np.exp(np.float64(x)), rel=3e-7)
    assert sampling.exponential32(np.float32(-1e30)) == 0
    assert sampling.exponential32(np.float32(1e30)) == np.inf
    assert np.isnan(sampling.exponential32(np.float32(np.nan)))
    for u in np.concatenate([np.geomspace(2.0**-24, 1, 3001), 1 - np.geomspace(2.0**-24, 0.5, 99)]):
        u = np.float32(u)
        assert sampling.logarithm32(u) == pytest.approx(np.log(np.float64(u)), rel=3e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes(dtype):
    x = np.array([[-np.inf, -1e30, -200, 200, 1e30, np.inf, np.nan]], dtype=dtype)
    bias, rows = np.zeros(7), np.arange(1)
    expected = [0, 0, 0, 1, 1, 1]
    mean, draw = sampling.bernoulli(x, bias, rows, KEY, 0, 0)
    for result in (mean, draw, sampling.sigmoid(x, bias)):
        np.testing.assert_allclose(result[0, :6], expected, rtol=0, atol=1e-80)
    assert np.isnan(mean[0, 6])
    assert draw[0, 6] == 0
    mean, draw = sampling.binomial(x, bias, 255, rows, KEY, 0, 0)
    np.testing.assert_allclose(mean[0, :6], 255 * np.array(expected), rtol=0, atol=1e-80)
    np.testing.assert_array_equal(draw[0, :6], 255 * np.array(expected))
    assert np.isnan(mean[0, 6])
    assert draw[0, 6] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_extremes(dtype):
    x = np.array([[-np.inf, 0, 0], [1e30, 0, -1e30], [np.nan, 0, 0], [700, 700, -np.inf]], dtype)
    mean, draw = sampling.multinomial(x, np.zeros(3), [10, 10, 10, 0], np.arange(4), KEY, 0, 0)
    np.testing.assert_allclose(mean[[0, 1, 3]], [[0, 5, 5], [10, 0, 0], [0, 0, 0]])
    assert np.isnan(mean[2]).all()
    np.testing.assert_array_equal(draw.sum(axis=1), [10, 10, 0, 0])
    assert draw[0, 0] == draw[1, 1] == draw[1, 2] == 0


def test_impossible_totals_draw_nothing():
    totals = np.array([np.nan, np.inf, -1, 2.6])
    x = np.zeros((4, 5))
    _, draw = sampling.multinomial(x, np.zeros(5), totals, np.arange(4), KEY, 0, 0)
    np.testing.assert_array_equal(draw.sum(axis=1), [0, 0, 0, 3])


@pytest.mark.parametrize("trials", [0, 1, 2, 31, 254, 255])
@pytest.mark.parametrize("dtype", DTYPES)
def test_binomial_is_the_inverse_of_its_distribution(trials, dtype):
    x = np.repeat(np.linspace(-20, 20, 81), 50).reshape(50, 81).astype(dtype)
    mean, draw = sampling.binomial(x, np.zeros(81), trials, np.arange(50), KEY, 0, 0)
    u = sampling.uniform(np.arange(50), 81, KEY, 0, 0, np.float64)
    p = special.expit(x.astype(np.float64))
    np.testing.assert_allclose(mean, trials * p, rtol=1e-6)
    # u lies in the step of the cumulative distribution at the draw, to rounding in float32.
    assert np.all((draw >= 0) & (draw <= trials) & (draw == np.rint(draw)))
    assert np.all(u < stats.binom.cdf(draw, trials, p) + 2e-5)
    assert np.all(u > stats.binom.cdf(draw - 1, trials, p) - 2e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_distributions(dtype):
    n = 20000
    rows = np.arange(n)
    x = np.broadcast_to(np.array([-2, 0, 0.5, 3, 1], dtype=dtype), (n, 5))
    bias = np.array([0.3, 0, 0, -1, 1])
    p = special.expit(x[0] + bias)

    _, draw = sampling.bernoulli(x, bias, rows, KEY, 0, 0)
    z = (draw.mean(axis=0) - p) / np.sqrt(p * (1 - p) / n)
    assert np.abs(z).max() < 4

    _, draw = sampling.gaussian(x, bias, rows, KEY, 0, 1)
    for j in range(5):
        assert stats.kstest(draw[:, j] - (x[0, j] + bias[j]), "norm").pvalue > 1e-3

    _, draw = sampling.binomial(x, bias, 6, rows, KEY, 0, 2)
    for j in range(5):
        expected = n * stats.binom.pmf(np.arange(7), 6, p[j])
        keep = expected > 5
        observed = np.bincount(draw[:, j].astype(int), minlength=7)
        chi2 = np.sum((observed - expected)[keep] ** 2 / expected[keep])
        assert stats.chi2.sf(chi2, keep.sum() - 1) > 1e-3

    _, draw = sampling.multinomial(x, bias, np.full(n, 4), rows, KEY, 0, 3)
    assert np.all(draw.sum(axis=1) == 4)
    weights = special.softmax(x[0] + bias)
    assert stats.chisquare(draw.sum(axis=0), 4 * n * weights).pvalue > 1e-3
    covariance = 4 * (np.diag(weights) - np.outer(weights, weights))
    np.testing.assert_allclose(np.cov(draw, rowvar=False), covariance, atol=0.04)


@pytest.mark.parametrize("name", NAMES)
def test_splits_and_threads_change_nothing(name, monkeypatch):
    activation, bias, totals, rows = problem(700, 402, np.float32)
    monkeypatch.setattr(threads, "n_threads", lambda: 1)
    expected = call(sampling, name, activation, bias, totals, rows)
    for count in (2, 3):
        monkeypatch.setattr(threads, "n_threads", lambda count=count: count)
        results = call(sampling, name, activation, bias, totals, rows)
        for result, e in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, e)
    parts = [
        call(sampling, name, activation[i : i + 99], bias, totals[i : i + 99], rows[i : i + 99])
        for i in range(0, 700, 99)
    ]
    for e, *pieces in zip(expected, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), e)


def test_float32_and_float64_draw_the_same():
    activation, bias, totals, rows = problem(200, 50, np.float32)
    wide = activation.astype(np.float64), bias.astype(np.float64), totals.astype(np.float64), rows
    for name in ("bernoulli", "multinomial", "binomial"):
        _, single = call(sampling, name, activation, bias, totals, rows)
        _, double = call(sampling, name, *wide)
        assert np.sum(single != double) <= 2


def test_wrong_arguments():
    x, bias, rows = np.zeros((2, 3)), np.zeros(3), np.arange(2)
    with pytest.raises(TypeError, match="float32 or float64"):
        sampling.sigmoid(np.zeros((2, 3), dtype=int), bias)
    with pytest.raises(TypeError, match="2-D"):
        sampling.sigmoid(np.zeros(3), bias)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        sampling.sigmoid(x, np.zeros(4))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        sampling.bernoulli(x, bias, np.arange(3), KEY, 0, 0)
    with pytest.raises(ValueError, match="out must be"):
        sampling.bernoulli(x, bias, rows, KEY, 0, 0, out=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="out must be"):
        sampling.sigmoid(x, bias, out=np.zeros((2, 3), dtype=np.float32))
    for trials in (-1, 256, 1.5):
        with pytest.raises(ValueError, match="trials"):
            sampling.binomial(x, bias, trials, rows, KEY, 0, 0)


def test_of_chooses_the_cpu():
    assert kernels.of(np.zeros(3)) is sampling


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads.n_threads() == 1
    for value in ("", "many", "0", "1000000"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert threads.n_threads() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert threads.n_threads() == 1


def test_errors_of_any_thread_come_back(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 3)

    def loop(rows):
        if 299 in rows:
            raise RuntimeError("the last rows")

    with pytest.raises(RuntimeError, match="the last rows"):
        threads.over_rows(loop, (np.arange(300),), n_entries=10 * threads.GRAIN)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_survive_a_fork():
    code = """
import os, numpy as np
from mmgraph.backend.kernels import sampling, threads
threads.n_threads = lambda: 3
draw = lambda: sampling.uniform(np.arange(1000), 400, (1, 2), 0, 0)
before = draw()
pid = os.fork()
if pid == 0:
    os._exit(0 if np.array_equal(draw(), before) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
