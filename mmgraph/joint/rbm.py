"""Restricted Boltzmann machine."""

import numbers
from typing import Any

import numpy as np

from ..parameters import require
from .machine import BoltzmannEstimator
from .parameters import shares_parameters

__all__ = ["RBM"]


@shares_parameters
class RBM(BoltzmannEstimator):
    r"""Restricted Boltzmann machine: one hidden layer joined to every modality.

    .. math:: p(v, h) \propto \exp\Big(\sum_m t_m^\top W_m h + \sum_m b_m^\top t_m
       + c^\top h + \sum_m \log g_m(t_m)\Big)

    with binary hidden units h and, for each modality m, the sufficient statistic t of its units and
    their base measure g. `score_samples` is exact for complete rows when the hidden layer has at
    most 20 units, and has the error of the annealed log-partition function above that; for rows
    that miss a modality it is a lower bound.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.
    {shared}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    MultimodalDBM : A pathway a modality, joined on top.

    References
    ----------
    .. [1] Smolensky (1986), Information processing in dynamical systems: foundations of harmony
       theory.
    .. [2] Tieleman (2008), Training restricted Boltzmann machines using approximations to the
       likelihood gradient. ICML.
    .. [3] Melchior, Fischer, Wiskott (2016), How to center deep Boltzmann machines. JMLR 17(99).

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> X = np.random.default_rng(0).integers(0, 2, (100, 6)).astype(float)
    >>> X[:, 3:] = X[:, :3]
    >>> X, modalities = mg.pack(left=X[:, :3], right=X[:, 3:])
    >>> rbm = mg.RBM(16, modalities=modalities, learning_rate=0.2, max_iter=300,
    ...              negative_phase="tempering", random_state=0)
    >>> rbm.fit(X).generate(X[:2], "right").round() == X[:2, 3:]
    array([[ True,  True,  True],
           [ True,  True,  True]])
    """

    def __init__(self, n_components: int = 256, **shared: Any):
        self.n_components = n_components
        super().__init__(**shared)

    def _graph(self, names):
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        hidden = len(names)
        return ["hidden"], [self.n_components], [(k, hidden) for k in range(hidden)]

    @property
    def components_(self):
        """Weights, shape (n_components, n_features)."""
        model = self.model_
        out = np.zeros((self._n_features_out, self.n_features_in_), model.dtype)
        for k in model.visible:
            out[:, self.layout_.columns[model.names[k]]] = model.weights[k].T
        return out

    @property
    def intercept_hidden_(self):
        """Biases of the hidden units, shape (n_components,)."""
        return self.model_.biases[-1]

    @property
    def intercept_visible_(self):
        """Biases of the visible units, shape (n_features,)."""
        model = self.model_
        out = np.zeros(self.n_features_in_, model.dtype)
        for k in model.visible:
            out[self.layout_.columns[model.names[k]]] = model.biases[k]
        return out
