"""Restricted Boltzmann machine."""

import numbers

import numpy as np

from .machine import BoltzmannEstimator, require
from .parameters import documented

__all__ = ["RBM"]


@documented
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
    >>> rbm = mg.RBM(16, modalities=modalities, learning_rate=0.2, max_iter=300, random_state=0)
    >>> rbm.fit(X).generate(X[:2], "right").round() == X[:2, 3:]
    array([[ True,  True,  True],
           [ True,  True,  True]])
    """

    def __init__(
        self,
        n_components=256,
        *,
        units="auto",
        learning_rate=0.05,
        learning_rate_schedule="linear",
        momentum=0.5,
        batch_size=20,
        max_iter=100,
        negative_phase="pcd",
        n_chains=100,
        n_gibbs=1,
        centered=True,
        l2=0.0,
        sparsity_target=0.1,
        sparsity_cost=0.0,
        mean_field_sweeps=20,
        sampling_sweeps=20,
        n_mean_chains=10,
        n_particles=2000,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=0.0,
        warm_start=False,
        dtype="float32",
        device="auto",
        modalities=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        super().__init__(
            units=units,
            learning_rate=learning_rate,
            learning_rate_schedule=learning_rate_schedule,
            momentum=momentum,
            batch_size=batch_size,
            max_iter=max_iter,
            negative_phase=negative_phase,
            n_chains=n_chains,
            n_gibbs=n_gibbs,
            centered=centered,
            l2=l2,
            sparsity_target=sparsity_target,
            sparsity_cost=sparsity_cost,
            mean_field_sweeps=mean_field_sweeps,
            sampling_sweeps=sampling_sweeps,
            n_mean_chains=n_mean_chains,
            n_particles=n_particles,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            dtype=dtype,
            device=device,
            modalities=modalities,
            random_state=random_state,
            verbose=verbose,
        )

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
