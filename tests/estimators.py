"""The public estimators, for tests that run over all of them, or all that can do something."""

import pytest
from sklearn.base import BaseEstimator

import mmgraph


def all_estimators():
    """Every public estimator class of mmgraph, in the order of ``mmgraph.__all__``."""
    public = (getattr(mmgraph, name) for name in mmgraph.__all__)
    return [kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseEstimator)]


def over(*verbs, having=(), family=None, kinds=None):
    """Run a test on every estimator that fits, as its argument ``kind``.

    Parameters
    ----------
    *verbs : str
        Methods that it must have.
    having : iterable of str
        Parameters that it must have.
    family : str, optional
        Package of mmgraph, such as ``"joint"``, that must define it.
    kinds : list of class, optional
        The estimators to choose from; None: all public ones.
    """
    chosen = [
        kind
        for kind in (all_estimators() if kinds is None else kinds)
        if all(hasattr(kind(), verb) for verb in verbs)
        and set(having) <= kind().get_params().keys()
        and family in (None, kind.__module__.split(".")[1])
    ]
    return pytest.mark.parametrize("kind", chosen, ids=[kind.__name__ for kind in chosen])


def made(kind, **params):
    """An estimator with those of some parameters that it, or its machine, has."""
    model = kind()
    if isinstance(model, mmgraph.DBMClassifier):
        model.set_params(dbm=mmgraph.MultimodalDBM())
    known = model.get_params()
    places = ((place, v) for n, v in params.items() for place in (n, f"dbm__{n}"))
    return model.set_params(**{place: value for place, value in places if place in known})
