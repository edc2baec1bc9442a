"""Boltzmann machines unrolled into feed-forward networks, and stacks of them that start one."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..backend.arrays import namespace
from .network import connect
from .pretraining import levels
from .units import Categorical

__all__ = ["Stack", "classifier", "evidence", "seen_from_below", "stack_of"]


def seen_from_below(model):
    """The hidden layers of a machine that stand on hidden layers, which see them from below."""
    return [
        layer
        for layer in model.hidden
        if any(upper == layer and lower in model.hidden for lower, upper in model.edges)
    ]


def evidence(model, values):
    """What :func:`classifier` takes as inputs, from the means of a machine's layers."""
    layers = [*model.visible, *seen_from_below(model)]
    return [values[layer] for layer in layers]


def classifier(model, n_classes, key):
    """A network that computes a machine's hidden layers once from below, and classes on top.

    In mean field a hidden layer sees the layers below and above it. Here it sees the layers below,
    as the network computes them, and the mean-field means of those above, which are inputs beside
    the data. With the means of a fixed point of mean field, the hidden layers of the network are
    those of the machine; training then moves all weights.

    Parameters
    ----------
    model : Boltzmann
    n_classes : int
    key : Key
        Seed of the weights of the classes; all others are the machine's.

    Returns
    -------
    Network
        Centred at the machine's means. Its inputs are the visible layers and those of
        :func:`seen_from_below` (:func:`evidence` picks them), its output the natural parameters of
        the classes.

    References
    ----------
    Salakhutdinov & Hinton (2009). Deep Boltzmann machines. AISTATS, section 3.3.
    """
    above = seen_from_below(model)
    mean_of = {layer: model.n_visible + i for i, layer in enumerate(above)}
    n_inputs = model.n_visible + len(above)
    place = {k: k if k < model.n_visible else k + len(above) for k in range(model.n_layers)}
    top = model.n_layers + len(above)
    names = [
        *model.names[: model.n_visible],
        *(f"mean of {model.names[layer]}" for layer in above),
        *model.names[model.n_visible :],
        "class",
    ]
    layers = [*model.visible, *above, *model.hidden]
    sizes = [*(len(model.biases[layer]) for layer in layers), n_classes]
    edges, weights = [], []
    for (lower, upper), w in zip(model.edges, model.weights, strict=True):
        edges.append((place[lower], place[upper]))
        weights.append(w)
        if lower in model.hidden:
            edges.append((mean_of[upper], place[lower]))
            weights.append(w.T)
    edges.append((top - 1, top))
    activations = [None] * n_inputs + ["sigmoid"] * len(model.hidden) + [None]
    network = connect(
        names,
        sizes,
        n_inputs,
        activations,
        [top],
        [Categorical()],
        edges,
        key,
        dtype=model.dtype,
    )
    biases = [*[None] * n_inputs, *(model.biases[k] for k in model.hidden), network.biases[-1]]
    offsets = [model.means[layer] for layer in layers]
    for (source, target), w in zip(edges, weights, strict=False):
        biases[target] = biases[target] + offsets[source] @ w
    return replace(
        network,
        weights=(*map(np.ascontiguousarray, weights), network.weights[-1]),
        biases=tuple(biases),
        offsets=(*offsets, None),
    )


class Stack(NamedTuple):
    """What a stack of restricted Boltzmann machines has learnt.

    Attributes
    ----------
    up, down : list of ndarray
        Weights of each edge, from the lower to the upper layer and back.
    hidden, visible : dict of int to ndarray
        Bias of a layer as the upper one of a machine, and as a lower one.
    """

    up: list
    down: list
    hidden: dict
    visible: dict


def stack_of(marginals, sizes, edges, data, rows, settings, key):
    """Fit a restricted Boltzmann machine to each hidden layer and the layers that it stands on.

    Parameters
    ----------
    marginals : Boltzmann
        A machine of the visible layers alone, which encodes the data.
    sizes : sequence of int
        Size of each layer, the visible ones first.
    edges : sequence of (int, int)
        Layers joined, the lower first. A layer follows those that it stands on.
    data : Data
    rows : ndarray of int
        The rows to learn from.
    settings : learning.Settings
    key : Key

    Returns
    -------
    Stack
        In the statistics of `marginals`.

    References
    ----------
    Hinton & Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
    Science 313, 504-507.
    """
    stack = Stack([None] * len(edges), [None] * len(edges), {}, {})
    for level in levels(marginals.units, sizes, edges, data, rows, settings, key, like=marginals):
        machine = level.machine
        stack.hidden[level.layer] = machine.biases[-1]
        for i, (e, k) in enumerate(zip(level.joins, level.lowers, strict=True)):
            xp = namespace(machine.biases[-1])
            ratio = xp.ones(1, marginals.dtype)
            if machine.scales[i] is not None:  # the machine has learnt a scale of its own
                ratio = (marginals.scales[k] / machine.scales[i]).astype(marginals.dtype)
            stack.up[e] = machine.weights[i] * ratio[:, None]
            stack.down[e] = xp.ascontiguousarray((machine.weights[i] / ratio[:, None]).T)
            stack.visible[k] = machine.biases[i] / ratio
    return stack
