"""Models to and from hmmlearn."""

import numpy as np

from ..engine.emissions import (
    Categorical,
    DenseGaussian,
    Gaussian,
    Mixture,
    Poisson,
    Scale,
)
from ..engine.markov import Model, Stream
from ..engine.transitions import transition
from ..modalities import Layout
from .hmm import MultiStreamHMM

__all__ = ["from_hmmlearn", "to_hmmlearn"]


def from_hmmlearn(model):
    """Take a fitted model of hmmlearn over as a :class:`MultiStreamHMM` of one stream, ``"X"``.

    Parameters
    ----------
    model : hmmlearn.hmm.GaussianHMM, GMMHMM, CategoricalHMM or PoissonHMM
        With its parameters fitted or set. A categorical model reads one column of numbers, the
        result the one-hot columns of these; mixtures must have diagonal, full or spherical
        covariances.

    Returns
    -------
    MultiStreamHMM
        As if fitted. Set ``warm_start=True`` to go on learning.

    Raises
    ------
    TypeError
        If it is none of these models.

    Examples
    --------
    >>> import numpy as np
    >>> from hmmlearn.hmm import PoissonHMM
    >>> from mmgraph.fusion.hmmlearn_bridge import from_hmmlearn
    >>> theirs = PoissonHMM(2)
    >>> theirs.startprob_ = np.array([0.5, 0.5])
    >>> theirs.transmat_ = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> theirs.lambdas_, theirs.n_features = np.array([[1.0], [4.0]]), 1
    >>> ours = from_hmmlearn(theirs)
    >>> X = np.array([[0], [5], [3]])
    >>> bool(np.isclose(ours.score_samples(X).sum(), theirs.score(X)))
    True
    """
    kind = type(model).__name__
    if kind not in _READERS:
        raise TypeError(
            f"model is a {kind}, but must be one of {list(_READERS)} of hmmlearn, fitted."
        )
    settings, emission = _READERS[kind](model)
    ours = MultiStreamHMM(model.n_components, **settings)
    n_columns = emission.mean().shape[1]
    # hmmlearn has no units: theirs are ours.
    scale = Scale(np.zeros(n_columns), np.ones(n_columns)) if emission.real else None
    ours.model_ = Model(
        np.array(model.startprob_, float),
        transition(np.asarray(model.transmat_)),
        (Stream(emission, scale=scale),),
    )
    ours.layout_ = Layout.resolve(None, n_columns)
    ours.n_features_in_ = n_columns
    ours.history_, ours.n_iter_ = {"log_likelihood": [], "objective": []}, 0
    return ours


def to_hmmlearn(model):
    """Hand a fitted :class:`MultiStreamHMM` of one stream over to hmmlearn.

    Parameters
    ----------
    model : MultiStreamHMM
        Of Gaussian, mixture, categorical or Poisson emissions.

    Returns
    -------
    hmmlearn.hmm.GaussianHMM, GMMHMM, CategoricalHMM or PoissonHMM
        With its parameters set. A categorical model reads one column of numbers in place of
        one-hot columns.

    Raises
    ------
    ImportError
        If hmmlearn is not installed.
    ValueError
        If the model has several streams, or emissions that hmmlearn does not have.
    """
    try:
        from hmmlearn import hmm
    except ImportError as error:
        raise ImportError("to_hmmlearn needs hmmlearn: pip install hmmlearn.") from error
    streams = model.model_.streams
    if len(streams) != 1:
        raise ValueError(
            f"the model has {len(streams)} streams {list(model.layout_.names)}, but those of "
            "hmmlearn have one: fit it to one stream."
        )
    emission, states, scale = streams[0].emission, streams[0].states, streams[0].scale
    if states is not None:  # theirs share no emissions
        emission = emission.take(states)
    writer = _WRITERS.get(type(emission))
    if writer is None:
        raise ValueError(f"hmmlearn has no {type(emission).__name__} emissions.")
    theirs = writer(hmm, emission, scale)
    theirs.startprob_, theirs.transmat_ = model.start_, model.transition_
    theirs.n_features = emission.mean().shape[1]
    return theirs


def _read_gaussian(model):
    kind, values = model.covariance_type, np.array(model._covars_, float)
    return {"covariance_type": kind}, _gaussian(kind, np.array(model.means_, float), values)


def _read_mixture(model):
    means, values = np.array(model.means_, float), np.array(model.covars_, float)
    kind, n_columns = model.covariance_type, means.shape[-1]
    if kind == "tied":
        raise TypeError("mixtures of hmmlearn with covariance_type='tied' have no counterpart.")
    values = values.reshape(-1, *values.shape[2:])
    parts = _gaussian(kind, means.reshape(-1, n_columns), values)
    settings = {"emissions": "gmm", "covariance_type": kind, "n_mix": means.shape[1]}
    return settings, Mixture(np.array(model.weights_, float), parts)


def _read_categorical(model):
    return {"emissions": "categorical"}, Categorical(np.array(model.emissionprob_, float))


def _read_poisson(model):
    rates = np.array(model.lambdas_, float)
    return {"emissions": "poisson"}, Poisson(rates, rates.mean(axis=0))


def _gaussian(kind, means, values):
    if kind == "spherical":
        values = np.broadcast_to(values.reshape(len(means), -1)[:, :1], means.shape)
    if kind in ("diag", "spherical"):
        return Gaussian(means, np.array(values), kind == "spherical")
    return DenseGaussian(means, values)


def _write_gaussian(hmm, emission, scale):
    kind, means, covariances = _in_data_units(emission, scale)
    theirs = hmm.GaussianHMM(len(means), covariance_type=kind)
    theirs.means_, theirs.covars_ = means, covariances
    return theirs


def _write_mixture(hmm, emission, scale):
    n_states, n_mix = emission.shares.shape
    kind, means, covariances = _in_data_units(emission.components, scale)
    if kind == "tied":
        raise ValueError("mixtures with covariance_type='tied' have no counterpart in hmmlearn.")
    theirs = hmm.GMMHMM(n_states, n_mix, covariance_type=kind)
    theirs.weights_ = emission.shares
    theirs.means_ = means.reshape(n_states, n_mix, -1)
    theirs.covars_ = covariances.reshape(n_states, n_mix, *covariances.shape[1:])
    return theirs


def _write_categorical(hmm, emission, scale):
    theirs = hmm.CategoricalHMM(len(emission.probabilities))
    theirs.emissionprob_ = emission.probabilities
    return theirs


def _write_poisson(hmm, emission, scale):
    theirs = hmm.PoissonHMM(len(emission.rates))
    theirs.lambdas_ = emission.rates
    return theirs


def _in_data_units(emission, scale):
    """Covariance type, means and covariances of Gaussians in the units of the data."""
    means = scale.decode(emission.means)
    if isinstance(emission, DenseGaussian):
        kind = "tied" if emission.tied else "full"
        return kind, means, emission.covariances * np.outer(scale.scale, scale.scale)
    variances = emission.variances * scale.scale**2
    if emission.spherical and np.ptp(scale.scale) == 0:
        return "spherical", means, variances[:, 0]
    return "diag", means, variances  # one variance in our units is several in those of the data


_READERS = {
    "GaussianHMM": _read_gaussian,
    "GMMHMM": _read_mixture,
    "CategoricalHMM": _read_categorical,
    "PoissonHMM": _read_poisson,
}
_WRITERS = {
    Gaussian: _write_gaussian,
    DenseGaussian: _write_gaussian,
    Mixture: _write_mixture,
    Categorical: _write_categorical,
    Poisson: _write_poisson,
}
