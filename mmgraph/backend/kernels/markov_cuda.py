"""What of `markov` is done on a GPU too; recursions there are those of `sequences_cuda`."""

import numpy as np

from ..arrays import namespace


def mix(log_components, log_likelihood, n_mix):
    """Log-likelihoods of mixtures; see `markov.mix`."""
    xp, n = namespace(log_components), len(log_likelihood)
    parts = log_components.reshape(n, -1, n_mix)
    peak = parts.max(axis=2)
    peak = xp.where(peak > -np.inf, peak, 0)
    parts -= peak[:, :, None]
    xp.exp(parts, out=parts)
    total = parts.sum(axis=2)
    log_likelihood[:] = xp.log(total) + peak
    parts /= xp.where(total > 0, total, 1)[:, :, None]
