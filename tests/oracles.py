"""Slow and obvious: every state of a small Boltzmann machine, written down."""

import itertools

import numpy as np
from scipy.special import gammaln, logsumexp

from mmgraph.engine.boltzmann import Boltzmann
from mmgraph.engine.units import Bernoulli, Binomial, Categorical, ReplicatedSoftmax


def machine(units, sizes, edges, n_visible, *, seed=0, spread=1.0, dtype=np.float64, lengths=3):
    """A machine with random parameters."""
    rng = np.random.default_rng(seed)
    means = []
    for kind, size in zip(units, sizes, strict=True):
        mean = np.full(size, 0.5)
        if isinstance(kind, ReplicatedSoftmax):
            mean = np.full(size, lengths / size)
        elif isinstance(kind, Categorical):
            groups = kind.groups or (size,)
            mean = np.concatenate([np.full(g, 1 / g) for g in groups])
        means.append(mean.astype(dtype))
    return Boltzmann(
        tuple(f"layer{k}" for k in range(len(units))),
        tuple(units),
        n_visible,
        tuple(edges),
        tuple(rng.normal(0, spread, (sizes[a], sizes[b])).astype(dtype) for a, b in edges),
        tuple(rng.normal(0, spread, n).astype(dtype) for n in sizes),
        tuple(means),
        tuple(np.zeros(n) if kind.scaled else None for kind, n in zip(units, sizes, strict=True)),
        tuple(np.ones(n) if kind.scaled else None for kind, n in zip(units, sizes, strict=True)),
        tuple(np.zeros(n) if kind.scaled else None for kind, n in zip(units, sizes, strict=True)),
        tuple(np.full(5, float(lengths)) if kind.counts else None for kind in units),
    )


def layer_states(kind, size, total=3):
    """Every value of a layer's statistic, and its log base measure."""
    if isinstance(kind, Bernoulli):
        states = np.array(list(itertools.product([0.0, 1.0], repeat=size)))
        return states, np.zeros(len(states))
    if isinstance(kind, Binomial):
        n = kind.trials
        counts = np.array(list(itertools.product(range(n + 1), repeat=size)), float)
        base = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
        return counts / np.sqrt(n), base.sum(axis=1)
    if isinstance(kind, Categorical):
        groups = kind.groups or (size,)
        states = [np.concatenate(p) for p in itertools.product(*(np.eye(g) for g in groups))]
        return np.array(states), np.zeros(len(states))
    if isinstance(kind, ReplicatedSoftmax):
        grid = itertools.product(range(total + 1), repeat=size)
        states = np.array([s for s in grid if sum(s) == total], float)
        return states, gammaln(total + 1) - gammaln(states + 1).sum(axis=1)
    raise TypeError(kind)


class Enumeration:
    """The distribution of a machine whose layers all have countably few states."""

    def __init__(self, model, total=3):
        tables = [
            layer_states(kind, len(bias), total)
            for kind, bias in zip(model.units, model.biases, strict=True)
        ]
        picks = list(itertools.product(*(range(len(t)) for t, _ in tables)))
        picks = np.array(picks)
        self.values = [t[picks[:, k]] for k, (t, _) in enumerate(tables)]
        energy = np.zeros(len(picks))
        for k, (_, base) in enumerate(tables):
            energy -= base[picks[:, k]] + self.values[k] @ model.biases[k]
        for w, (a, b) in zip(model.weights, model.edges, strict=True):
            energy -= np.einsum("ni,ij,nj->n", self.values[a], w, self.values[b])
        self.log_p = -energy
        self.log_z = logsumexp(self.log_p)

    def where(self, shown):
        """Mask of the states that agree with the shown layers (dict of layer to 1-D value)."""
        mask = np.ones(len(self.log_p), bool)
        for k, value in shown.items():
            mask &= np.isclose(self.values[k], value).all(axis=1)
        return mask

    def log_marginal(self, shown):
        """Log-probability of what is shown."""
        return logsumexp(self.log_p[self.where(shown)]) - self.log_z

    def mean(self, layer, shown=None):
        """E[t_layer | shown]."""
        mask = self.where(shown or {})
        p = np.exp(self.log_p[mask] - logsumexp(self.log_p[mask]))
        return p @ self.values[layer][mask]

    def draw(self, n, seed=0):
        """Independent joint draws: a list of one array a layer."""
        p = np.exp(self.log_p - self.log_z)
        index = np.random.default_rng(seed).choice(len(p), size=n, p=p / p.sum())
        return [v[index] for v in self.values]
