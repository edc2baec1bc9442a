import numpy as np
import pytest

from mmgraph import RBM
from mmgraph.backend.random import key
from mmgraph.engine import chains


def autoregressive(rho, n_steps, n_chains, seed=0):
    """Stationary Gaussian chains with autocorrelation rho ** lag."""
    rng = np.random.default_rng(seed)
    x = np.empty((n_steps, n_chains))
    x[0] = rng.normal(size=n_chains)
    for step in range(1, n_steps):
        x[step] = rho * x[step - 1] + np.sqrt(1 - rho**2) * rng.normal(size=n_chains)
    return x


def oracle_rhat(trace):
    """Split R-hat, written out as in Bayesian Data Analysis."""
    half = len(trace) // 2
    parts = [part for chain in trace.T for part in (chain[:half], chain[-half:])]
    means = [sum(part) / half for part in parts]
    grand = sum(means) / len(means)
    between = half / (len(parts) - 1) * sum((mean - grand) ** 2 for mean in means)
    within = np.mean(
        [
            sum((x - mean) ** 2 for x in part) / (half - 1)
            for part, mean in zip(parts, means, strict=True)
        ]
    )
    return np.sqrt(((half - 1) / half * within + between / half) / within)


def oracle_sample_size(trace):
    """Effective sample size by the variogram, with Geyer's initial monotone sequence, in loops."""
    half = len(trace) // 2
    parts = [part for chain in trace.T for part in (chain[:half], chain[-half:])]
    m, n = len(parts), half
    within = np.mean([np.var(part, ddof=1) for part in parts])
    total = (n - 1) / n * within + np.var([part.mean() for part in parts], ddof=1)

    def rho(lag):
        covariance = np.mean(
            [
                sum((p[s] - p.mean()) * (p[s + lag] - p.mean()) for s in range(n - lag)) / (n - 1)
                for p in parts
            ]
        )
        return 1 - (within - covariance) / total if lag else 1.0

    time, last = -1.0, np.inf
    for t in range(n // 2):
        pair = rho(2 * t) + rho(2 * t + 1)
        if pair <= 0:
            break
        last = min(last, pair)
        time += 2 * last
    return m * n / time


@pytest.mark.parametrize("n_steps", [40, 41])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_statistics_agree_with_the_oracle(rho, n_steps):
    trace = autoregressive(rho, n_steps, 3) + np.array([0.0, 0.1, 0.2])
    np.testing.assert_allclose(chains.split_rhat(trace), oracle_rhat(trace))
    np.testing.assert_allclose(chains.effective_sample_size(trace), oracle_sample_size(trace))


def test_autocorrelation_agrees_with_the_oracle():
    trace = autoregressive(0.7, 30, 4)
    x = trace - trace.mean()
    expected = [sum((x[s] * x[s + lag]).sum() for s in range(30 - lag)) for lag in range(6)]
    found = chains.autocorrelation(trace, 5)
    np.testing.assert_allclose(found, np.array(expected) / expected[0])
    assert len(chains.autocorrelation(trace)) == 30


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_sample_size_of_autoregressive_chains(rho):
    """Theory: n (1 - rho) / (1 + rho)."""
    found = chains.effective_sample_size(autoregressive(rho, 2000, 20))
    np.testing.assert_allclose(found, 40_000 * (1 - rho) / (1 + rho), rtol=0.1)


def test_autocorrelation_of_autoregressive_chains():
    found = chains.autocorrelation(autoregressive(0.8, 3000, 20), 5)
    np.testing.assert_allclose(found, 0.8 ** np.arange(6), atol=0.03)


def test_chains_that_disagree():
    same = autoregressive(0.0, 200, 4)
    apart = same + np.array([0, 0, 0, 3])
    assert chains.split_rhat(same) < 1.01
    assert chains.split_rhat(apart) > 1.3
    assert chains.effective_sample_size(apart) < 20
    drifting = same + np.linspace(0, 4, 200)[:, None]  # all alike, but none at rest
    assert chains.split_rhat(drifting) > 1.3


def test_antithetic_chains_stay_finite():
    trace = autoregressive(-0.99, 100, 4)
    assert 400 < chains.effective_sample_size(trace) <= 400 * np.log10(400)


def test_constant_traces():
    constant = np.ones((10, 3))
    assert np.isnan(chains.split_rhat(constant))
    assert np.isnan(chains.effective_sample_size(constant))
    assert np.isnan(chains.autocorrelation(constant)).all()


@pytest.mark.parametrize("shape", [(10,), (3, 2)])
def test_shape_is_checked(shape):
    with pytest.raises(ValueError, match=r"\(n_steps, n_chains\) with at least 4 steps"):
        chains.split_rhat(np.zeros(shape))


def test_mean_activity_of_a_machine():
    """Chains of an untied machine are independent coins: no autocorrelation, the right mean."""
    X = np.random.default_rng(0).integers(0, 2, (50, 4)).astype(float)
    rbm = RBM(30, max_iter=1, learning_rate=1e-6, random_state=0).fit(X)
    traces = chains.mean_activity(rbm.model_, 20, 60, key(0))
    assert list(traces) == ["hidden"]
    trace = traces["hidden"]
    assert trace.shape == (60, 20)
    np.testing.assert_allclose(trace.mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(trace.var(), 0.25 / 30, rtol=0.2)
    assert chains.split_rhat(trace) < 1.02
    again = chains.mean_activity(rbm.model_, 20, 60, key(0))["hidden"]
    np.testing.assert_array_equal(again, trace)
