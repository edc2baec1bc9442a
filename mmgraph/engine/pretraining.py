"""Greedy layerwise pretraining of a deep Boltzmann machine.

Each hidden layer is learnt with the layers below it as a machine of two levels. In the deep machine
a layer with neighbours on both sides gets input from both; where one side is not there yet, the
input from the other counts double.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..backend.arrays import namespace, to_numpy
from ..backend.random import derive
from .boltzmann import Boltzmann, begin, mean_field
from .learning import Data, construct, learn

__all__ = ["Doubled", "pretrain"]

AT_ONCE = 4096  # rows whose hidden layer is inferred together


@dataclass(frozen=True)
class Doubled(Boltzmann):
    """A machine some of whose layers count what comes along an edge more than once.

    Parameters
    ----------
    gains : tuple of (float, float)
        For each edge, how often the upper layer counts the lower, and the lower the upper. Where
        these differ the conditionals of the layers belong to no common density.
    """

    gains: tuple = ()


def pretrain(model, data, settings, key, watch=lambda epochs, name: epochs):
    """Learn the levels of a deep machine one after the other.

    Where a hidden layer's bias was learnt twice, as the upper and as the lower layer of a level,
    the mean is taken, as is that of the doubled inputs: each layer starts as the geometric mean of
    the two levels' conditionals.

    Parameters
    ----------
    model : Boltzmann
        The machine; nothing is learnt if it has no more than one level.
    data : Data
        Training rows.
    settings : Settings
        Of each level; `max_epochs` passes of contrastive divergence for the likelihood.
    key : Key
    watch : callable (epochs, name) -> iterator
        What to do with the epochs of a level: show their progress.

    Returns
    -------
    Boltzmann

    References
    ----------
    Salakhutdinov & Hinton (2009), Deep Boltzmann machines, AISTATS, section 3.1: the doubled
    inputs. Salakhutdinov & Hinton (2012), A better way to pretrain deep Boltzmann machines,
    NIPS 25.
    """
    settings = replace(settings, objective="likelihood", persistent=False)
    below = {k: [e for e, (_, upper) in enumerate(model.edges) if upper == k] for k in model.hidden}
    joined_above = {lower for lower, _ in model.edges}
    if not joined_above & set(model.hidden):
        return model
    blocks, present = dict(enumerate(data.blocks)), dict(enumerate(data.present))
    weights, scales = list(model.weights), list(model.scales)
    biases, means = [[] for _ in model.names], list(model.means)
    for k in model.hidden:
        lowers = [model.edges[e][0] for e in below[k]]
        level = Data([blocks[j] for j in lowers], [present[j] for j in lowers])
        rows = np.flatnonzero(np.any(level.present, axis=0))
        gains = [(1.0 + (k in joined_above), 1.0 + (j in model.hidden)) for j in lowers]
        small = _level(model, [*lowers, k], gains, level, derive(key, k, 0))
        for epoch in watch(
            learn(small, level, settings, derive(key, k, 1), rows=rows), model.names[k]
        ):
            small = epoch.model
        for place, (j, e) in enumerate(zip(lowers, below[k], strict=True)):
            weights[e], scales[j] = small.weights[place], small.scales[place]
            means[j] = small.means[place]
        for place, j in enumerate([*lowers, k]):
            biases[j].append(small.biases[place])
        means[k] = small.means[-1]
        if k in joined_above:
            blocks[k], present[k] = _inferred(small, level), np.any(level.present, axis=0)
    return replace(
        model,
        weights=tuple(weights),
        biases=tuple(sum(found) / model.dtype.type(len(found)) for found in biases),
        means=tuple(means),
        scales=tuple(scales),
    )


def _level(model, layers, gains, data, key):
    """A fresh machine of two levels out of some of a machine's layers, the last of them hidden."""
    n = len(layers) - 1
    fresh = construct(
        [model.names[k] for k in layers],
        [model.units[k] for k in layers],
        n,
        [len(model.biases[k]) for k in layers],
        [(j, n) for j in range(n)],
        data,
        key,
        dtype=model.dtype,
    )
    fields = {name: getattr(fresh, name) for name in Boltzmann.__dataclass_fields__}
    return Doubled(**fields, gains=tuple(gains)).to(
        "cpu" if namespace(model.biases[0]) is np else "cuda"
    )


def _inferred(level, data):
    """Means of the hidden layer of a level in all rows, as data of the level above."""
    parts = []
    for start in range(0, data.n_rows, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, data.n_rows))
        shown, present = data.batch(level, rows)
        state = begin(level, shown, len(rows), present=present)
        parts.append(to_numpy(mean_field(level, state, max_sweeps=10).state.values[-1]))
    return np.concatenate(parts)
