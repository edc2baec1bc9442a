"""The public estimators, for tests that run over all of them, or all that can do something."""

import pytest
from sklearn.base import BaseEstimator

import mmgraph

INNER = {"dbm": "MultimodalDBM", "embedding": "CCA"}  # estimators as parameters, and their default


def all_estimators():
    """Every public estimator class of mmgraph, in the order of ``mmgraph.__all__``."""
    public = (getattr(mmgraph, name) for name in mmgraph.__all__)
    return [kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseEstimator)]


def in_sequence(kind):
    """Whether what an estimator says of a row depends on the rows beside it."""
    model = kind()
    ordered = hasattr(model, "generate") or hasattr(model, "align")
    return ordered and "sequence" in model.get_params()


def over(*verbs, having=(), family=None, kinds=None, alone=False):
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
    alone : bool
        Only those that take each row by itself.
    """
    chosen = [
        kind
        for kind in (all_estimators() if kinds is None else kinds)
        if all(hasattr(kind(), verb) for verb in verbs)
        and set(having) <= kind().get_params().keys()
        and family in (None, kind.__module__.split(".")[1])
        and not (alone and in_sequence(kind))
    ]
    return pytest.mark.parametrize("kind", chosen, ids=[kind.__name__ for kind in chosen])


def made(kind, **params):
    """An estimator with those of some parameters that it, or the one inside it, has."""
    model = kind()
    for inner, default in INNER.items():
        if inner in model.get_params():
            model.set_params(**{inner: getattr(mmgraph, default)()})
    known = model.get_params()
    prefixes = "", *(f"{inner}__" for inner in INNER)
    places = ((prefix + n, v) for n, v in params.items() for prefix in prefixes)
    return model.set_params(**{place: value for place, value in places if place in known})
