"""Greedy layerwise pretraining.

Each hidden layer is learnt with the layers below it as a machine of two levels, from the data up.
In a deep Boltzmann machine a layer with neighbours on both sides gets input from both; where one
side is not there yet, the input from the other counts double.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..backend.arrays import to_numpy
from ..backend.random import derive
from .boltzmann import Boltzmann, begin, mean_field
from .learning import Data, construct, learn
from .units import Bernoulli

__all__ = ["Doubled", "Level", "levels", "pretrain"]

AT_ONCE = 4096  # rows whose hidden layer is inferred together
SWEEPS = 10  # of that inference, where a row lacks some of the layers below


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


class Level(NamedTuple):
    """A hidden layer and the layers that it stands on, as a machine of their own.

    Attributes
    ----------
    layer : int
        The hidden layer.
    lowers : list of int
        The layers that it stands on.
    joins : list of int
        The edges to these.
    machine : Boltzmann
        Fitted; its last layer is the hidden one.
    """

    layer: int
    lowers: list
    joins: list
    machine: Boltzmann


def levels(units, sizes, edges, data, rows, settings, key, *, gains=None, like, watch=None):
    """Fit each hidden layer with the layers that it stands on, one after the other.

    The data of a level are the hidden means of the levels below it.

    Parameters
    ----------
    units : sequence of Units
        Of the visible layers; hidden layers are binary.
    sizes : sequence of int
        Size of each layer, the visible ones first.
    edges : sequence of (int, int)
        Layers joined, the lower first. A layer follows those that it stands on.
    data : Data
    rows : ndarray of int
        The rows to learn from.
    settings : Settings
        Of each level.
    key : Key
    gains : sequence of (float, float), optional
        For each edge, how often the upper layer counts the lower, and the lower the upper.
    like : Boltzmann
        Has the precision, and is on the device, that the levels shall have.
    watch : callable (epochs, layer) -> iterator, optional
        What to do with the epochs of a level: show their progress.

    Yields
    ------
    Level
    """
    kinds = [*units, *[Bernoulli()] * (len(sizes) - len(units))]
    blocks, present = list(data.blocks), list(data.present)
    for layer in range(len(units), len(sizes)):
        joins = [e for e, (_, upper) in enumerate(edges) if upper == layer]
        lowers = [edges[e][0] for e in joins]
        n = len(lowers)
        part = Data([blocks[k] for k in lowers], [present[k] for k in lowers])
        showing = np.any(part.present, axis=0)
        some = rows[showing[rows]]
        machine = construct(
            [*map(str, lowers), "hidden"],
            [*(kinds[k] for k in lowers), Bernoulli()],
            n,
            [*(sizes[k] for k in lowers), sizes[layer]],
            [(i, n) for i in range(n)],
            part.take(some),
            derive(key, layer, 0),
            dtype=like.dtype,
        )
        if gains is not None:
            fields = {name: getattr(machine, name) for name in Boltzmann.__dataclass_fields__}
            machine = Doubled(**fields, gains=tuple(gains[e] for e in joins))
        machine = machine.to(like.device)
        epochs = learn(machine, part, settings, derive(key, layer, 1), rows=some)
        for epoch in watch(epochs, layer) if watch else epochs:
            machine = epoch.model
        yield Level(layer, lowers, joins, machine)
        on_top = all(lower != layer for lower, _ in edges)
        blocks.append(None if on_top else _means(machine, part))
        present.append(showing)


def _means(machine, part):
    """Means of the hidden layer of a level in all rows, as data of the level above."""
    found = []
    for start in range(0, part.n_rows, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, part.n_rows))
        shown, present = part.batch(machine, rows)
        state = begin(machine, shown, len(rows), present=present)
        found.append(to_numpy(mean_field(machine, state, max_sweeps=SWEEPS).state.values[-1]))
    return np.concatenate(found)


def pretrain(model, data, settings, key, watch=None):
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
    watch : callable (epochs, layer) -> iterator, optional
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
    between = {lower for lower, _ in model.edges} & set(model.hidden)
    if not between:
        return model
    settings = replace(settings, objective="likelihood", persistent=False, n_temperatures=1)
    sizes = [len(bias) for bias in model.biases]
    gains = [(1.0 + (upper in between), 1.0 + (lower in between)) for lower, upper in model.edges]
    weights, scales, means = list(model.weights), list(model.scales), list(model.means)
    biases = [[] for _ in sizes]
    for level in levels(
        [model.units[k] for k in model.visible],
        sizes,
        model.edges,
        data,
        np.arange(data.n_rows),
        settings,
        key,
        gains=gains,
        like=model,
        watch=watch,
    ):
        machine = level.machine
        for e, w in zip(level.joins, machine.weights, strict=True):
            weights[e] = w
        for place, k in enumerate([*level.lowers, level.layer]):
            biases[k].append(machine.biases[place])
            means[k] = machine.means[place]
            if k < model.n_visible:
                scales[k] = machine.scales[place]
    return replace(
        model,
        weights=tuple(weights),
        biases=tuple(sum(found) / model.dtype.type(len(found)) for found in biases),
        means=tuple(means),
        scales=tuple(scales),
    )
