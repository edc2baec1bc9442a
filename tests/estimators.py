"""The public estimators, for tests that run over all of them."""

from sklearn.base import BaseEstimator

import mmgraph


def all_estimators():
    """Every public estimator class of mmgraph, in the order of ``mmgraph.__all__``."""
    public = (getattr(mmgraph, name) for name in mmgraph.__all__)
    return [kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseEstimator)]
