"""Deep Boltzmann machines, of one pathway and of one a modality."""

import numbers
from collections.abc import Mapping
from typing import Any

from ..parameters import layer_sizes, require
from .machine import BoltzmannEstimator
from .parameters import shares_parameters

__all__ = ["DBM", "MultimodalDBM"]

BY_NAME = " (A stack for each modality, by name, is what MultimodalDBM takes.)"
SMALL = 50  # columns: fewer gain nothing from a hidden layer of their own


@shares_parameters
class DBM(BoltzmannEstimator):
    """Deep Boltzmann machine: a stack of hidden layers over all modalities together.

    All modalities are joined to the first hidden layer. The representation is the last one.
    `score_samples` is a lower bound (mean field) where the log-partition function is exact, and an
    estimate where it is annealed.

    Parameters
    ----------
    hidden : tuple of int, default=(128, 128)
        Sizes of the hidden layers, from the data up.
    {shared}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    RBM : One hidden layer.
    MultimodalDBM : A pathway a modality, joined on top.

    References
    ----------
    .. [1] Salakhutdinov & Hinton (2009), Deep Boltzmann machines. AISTATS.
    .. [2] Montavon & Mueller (2012), Deep Boltzmann machines and the centering trick.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> X = np.random.default_rng(0).integers(0, 2, (60, 5)).astype(float)
    >>> mg.DBM((8, 4), max_iter=5, random_state=0).fit_transform(X).shape
    (60, 4)
    """

    def __init__(self, hidden: tuple[int, ...] | Mapping = (128, 128), **shared: Any):
        self.hidden = hidden
        super().__init__(**shared)

    def _graph(self, names):
        sizes = layer_sizes("hidden", self.hidden, hint=BY_NAME)
        n = len(names)
        edges = [(k, n) for k in range(n)] + [(n + i, n + i + 1) for i in range(len(sizes) - 1)]
        return [f"hidden{i + 1}" for i in range(len(sizes))], list(sizes), edges


@shares_parameters
class MultimodalDBM(BoltzmannEstimator):
    r"""Multimodal deep Boltzmann machine: a pathway a modality, and a joint layer on top.

    Each modality m has its own hidden layers h_m1, h_m2, ...; the last one of each is joined to the
    joint layer, which is the representation:

    .. math:: -E = &\sum_m \big(t_m^\top W_{m1} h_{m1} + h_{m1}^\top W_{m2} h_{m2} + \dots +
       h_{mL}^\top W_m h_{joint}\big) \\
       &+ \text{biases} + \sum_m \log g_m(t_m)

    Rows that miss modalities are used in fitting: what is there is clamped and the rest inferred.
    `generate` draws one modality given others by clamped Gibbs sampling, whose chains start at
    joint draws of the model itself, weighted by how well they explain what is given.
    `score_samples` is a lower bound (mean field) where the log-partition function is exact, and an
    estimate where it is annealed.

    Parameters
    ----------
    hidden : "auto", tuple of int, or dict of str to tuple of int, default="auto"
        Sizes of the hidden layers of each pathway, from the data up: the same for all modalities or
        by name. An empty tuple joins a modality to the joint layer itself. ``"auto"`` does so for
        modalities of fewer than 50 columns, and gives the others one layer of 256.
    joint : int, default=128
        Size of the joint layer.
    {shared}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    RBM : One hidden layer.
    DBM : One stack over all modalities.

    References
    ----------
    .. [1] Srivastava & Salakhutdinov (2012), Multimodal learning with deep Boltzmann machines.
       NIPS 25; JMLR 15 (2014), 2949-2980.
    .. [2] Melchior, Fischer, Wiskott (2016), How to center deep Boltzmann machines. JMLR 17(99).

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> X, modalities = mg.pack(image=digits.image, text=digits.counts)
    >>> dbm = mg.MultimodalDBM((32,), 32, modalities=modalities, max_iter=2, random_state=0,
    ...                        units={"text": "replicated_softmax"}).fit(X)
    >>> dbm.generate(X[:3], "text").shape
    (3, 18)
    >>> dbm.generate(X[:3], "image", n_samples=5).shape
    (5, 3, 64)
    """

    def __init__(self, hidden: Any = "auto", joint: int = 128, **shared: Any):
        self.hidden = hidden
        self.joint = joint
        super().__init__(**shared)

    def _graph(self, names):
        require("joint", self.joint, "1", "inf", numbers.Integral)
        per_modality = self.hidden if isinstance(self.hidden, dict) else {}
        for name in per_modality:
            self.layout_.require(name)
        labels, sizes, edges, tops = [], [], [], []
        for k, name in enumerate(names):
            stack = per_modality.get(name, "auto") if per_modality else self.hidden
            if isinstance(stack, str) and stack == "auto":
                stack = () if len(self.layout_.columns[name]) < SMALL else (256,)
            below = k
            for depth, size in enumerate(layer_sizes("hidden", stack, allow_empty=True)):
                labels.append(f"{name}_hidden{depth + 1}")
                sizes.append(size)
                edges.append((below, len(names) + len(sizes) - 1))
                below = len(names) + len(sizes) - 1
            tops.append(below)
        joint = len(names) + len(sizes)
        return [*labels, "joint"], [*sizes, self.joint], [*edges, *((top, joint) for top in tops)]
