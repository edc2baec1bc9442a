"""Diagnostics of Markov chains: whether they agree, and what they are worth.

Traces are arrays of shape (n_steps, n_chains), one statistic a chain and step.
"""

import warnings

import numpy as np

from ..backend.arrays import namespace, to_numpy
from .boltzmann import begin, gibbs
from .units import Noise

RECORDS = 200  # of a pass

__all__ = [
    "Health",
    "autocorrelation",
    "effective_sample_size",
    "expectations",
    "mean_activity",
    "split_rhat",
]


class Health:
    """How the chains of a machine fare in one pass of learning.

    Each layer is followed along one direction: a sum of its units with random signs.

    Parameters
    ----------
    model : Boltzmann
    n_chains : int
        The chains that are followed: the first ones.
    n_steps : int
        How many steps the pass has, of which some 200 are recorded.
    """

    def __init__(self, model, n_chains, n_steps):
        xp, rng = namespace(model.biases[0]), np.random.default_rng(0)
        self._signs = [xp.asarray(rng.choice([-1, 1], len(b)), model.dtype) for b in model.biases]
        self._n_chains = n_chains
        self._every = -(-n_steps // RECORDS)
        self._n_seen = 0
        self._traces = [[] for _ in model.biases]
        self._swaps = []

    def see(self, chains, swaps=None):
        """Look at the chains after a step, and at its swaps if they are tempered."""
        if swaps is not None:
            self._swaps.append(swaps)
        if self._n_seen % self._every == 0:
            for trace, values, signs in zip(self._traces, chains.values, self._signs, strict=True):
                trace.append(values[: self._n_chains] @ signs)
        self._n_seen += 1

    def metrics(self):
        """R-hat and effective sample size of the worst layer, and the lowest rate of swaps.

        Returns
        -------
        dict of str to float
            Empty without chains that go on; NaN where there were fewer than four records.
        """
        if not self._n_seen:
            return {}
        found = {"rhat": np.nan, "effective_sample_size": np.nan}
        if len(self._traces[0]) >= 4:
            traces = [np.array([to_numpy(x) for x in trace]) for trace in self._traces]
            traces = [trace for trace in traces if np.ptp(trace, axis=0).any()]
            if traces:
                found["rhat"] = max(map(split_rhat, traces))
                found["effective_sample_size"] = min(map(effective_sample_size, traces))
        if self._swaps:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a pair that was never tried
                found["swap_rate"] = float(np.nanmin(np.nanmean(self._swaps, axis=0)))
        return found


def mean_activity(model, n_chains, n_sweeps, key):
    """Run the machine's free chains from its particles and record the mean of each hidden layer.

    Parameters
    ----------
    model : Boltzmann
    n_chains : int
        Number of chains; each starts at a particle drawn at random.
    n_sweeps : int
        Number of Gibbs sweeps, one record each.
    key : Key
        Seed.

    Returns
    -------
    dict of str to ndarray of shape (n_sweeps, n_chains)
        By hidden layer, the mean over its units.
    """
    traces = {model.names[layer]: np.empty((n_sweeps, n_chains)) for layer in model.hidden}
    xp = namespace(model.biases[0])
    noise = Noise(key, xp.arange(n_chains, dtype=np.uint32), 0, 0)
    state = begin(model, {}, n_chains, noise=noise)
    for sweep in range(n_sweeps):
        state, _ = gibbs(model, state, 1, noise._replace(step=1 + sweep))
        for layer in model.hidden:
            traces[model.names[layer]][sweep] = to_numpy(state.values[layer].mean(axis=1))
    return traces


def expectations(model):
    """Expectation of each layer's statistic under the machine, over its particles.

    Parameters
    ----------
    model : Boltzmann
        With particles. Count layers get the lengths of the training rows.

    Returns
    -------
    list of ndarray of shape (size,)
        Visible layers as the mean of their conditional means given each particle.
    """
    xp = namespace(model.biases[0])
    values = [None] * model.n_visible + [p.astype(model.dtype) for p in model.particles]
    n = len(model.particles[0])
    means = []
    for layer in model.visible:
        totals = None
        if model.units[layer].counts:
            totals = model.length(layer, (xp.arange(n) + 0.5) / n)
        activation = model.activation(values, layer)
        means.append(model.units[layer].mean(activation, model.biases[layer], totals).mean(axis=0))
    return [*means, *(p.mean(axis=0) for p in values[model.n_visible :])]


def autocorrelation(trace, max_lag=None):
    """Autocorrelation of a statistic, with what all chains have in common: their mean.

    Parameters
    ----------
    trace : array-like of shape (n_steps, n_chains)
    max_lag : int, optional
        Largest lag; None: ``n_steps - 1``.

    Returns
    -------
    ndarray of shape (max_lag + 1,)
        1 at lag 0. All NaN if the trace is constant.
    """
    trace = _checked(trace)
    n_steps = len(trace)
    max_lag = n_steps - 1 if max_lag is None else min(max_lag, n_steps - 1)
    covariance = _autocovariance(trace - trace.mean(), max_lag).mean(axis=1)
    with np.errstate(invalid="ignore"):
        return covariance / covariance[0]


def split_rhat(trace):
    r"""Potential scale reduction of chains split in half: near 1 where they agree.

    .. math:: \hat R = \sqrt{\frac{(n - 1)/n \; W + B}{W}}

    with the mean W of the variances within the half-chains of n steps, and the variance B of their
    means. Above 1.01 the chains have not met yet.

    Parameters
    ----------
    trace : array-like of shape (n_steps, n_chains)
        At least 4 steps; of an odd number the middle one is left out.

    Returns
    -------
    float
        NaN if the trace is constant.

    References
    ----------
    Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 11.4.
    """
    _, within, total = _variances(_halves(_checked(trace)))
    return float(np.sqrt(total / within)) if within > 0 else np.nan


def effective_sample_size(trace):
    r"""Number of independent draws whose mean is as exact as that of the chains.

    .. math:: n_{eff} = \frac{m n}{1 + 2 \sum_t \rho_t}

    over m half-chains of n steps. The sum ends by Geyer's initial monotone sequence: pairs
    :math:`\rho_{2t} + \rho_{2t+1}` are taken while they are positive, none larger than the one
    before.

    Parameters
    ----------
    trace : array-like of shape (n_steps, n_chains)
        At least 4 steps; of an odd number the middle one is left out.

    Returns
    -------
    float
        NaN if the trace is constant.

    References
    ----------
    Geyer (1992), Practical Markov chain Monte Carlo, Statistical Science 7(4). Gelman et al.
    (2013), Bayesian Data Analysis, 3rd ed., section 11.5.
    """
    halves = _halves(_checked(trace))
    n, m = halves.shape
    covariance, within, total = _variances(halves)
    if not within > 0:
        return np.nan
    rho = 1 - (within - covariance * n / (n - 1)) / total
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(axis=1)
    stop = np.argmax(pairs <= 0) if (pairs <= 0).any() else len(pairs)
    pairs = np.minimum.accumulate(pairs[:stop])
    time = max(2 * pairs.sum() - 1, 1 / np.log10(m * n))  # antithetic chains: a bound on the gain
    return float(m * n / time)


def _checked(trace):
    trace = np.asarray(trace, float)
    if trace.ndim != 2 or len(trace) < 4:
        raise ValueError(
            f"a trace has shape (n_steps, n_chains) with at least 4 steps; got {trace.shape}."
        )
    return trace


def _halves(trace):
    """Each chain's first and second half as chains of their own."""
    half = len(trace) // 2
    return np.hstack([trace[:half], trace[-half:]])


def _variances(chains):
    """Autocovariance by lag (mean over chains), variance within chains, and in all."""
    n = len(chains)
    covariance = _autocovariance(chains - chains.mean(axis=0), n - 1).mean(axis=1)
    within = covariance[0] * n / (n - 1)
    return covariance, within, covariance[0] + chains.mean(axis=0).var(ddof=1)


def _autocovariance(centred, max_lag):
    """sum_s x_s x_(s + lag) / n_steps for each lag and chain, shape (max_lag + 1, n_chains)."""
    n = len(centred)
    spectrum = np.fft.rfft(centred, 2 * n, axis=0)
    return np.fft.irfft(abs(spectrum) ** 2, 2 * n, axis=0)[: max_lag + 1] / n
