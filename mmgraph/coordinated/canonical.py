"""What the estimators of canonical variates share: how weights are used, and what they tell."""

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace, pick
from ..base import MultimodalEstimator, RepresentationMixin
from ..engine.correlation import correlate, describe
from ..engine.moments import SAMPLE, gather, unit_of

__all__ = ["CanonicalEstimator"]

ALIKE = 1 - 1e-6  # loadings that nearly tie with the largest: the first of them has the sign


class CanonicalEstimator(RepresentationMixin, MultimodalEstimator):
    """Base of the estimators that fit one weight a column and component."""

    def _keep(self, means, weights, variances, between, variates, units):
        """Set the fitted attributes, with the sign of each component fixed, which is returned.

        The largest loading of each component, over all modalities, is positive. The arguments are
        dicts by modality and the arguments of :func:`~mmgraph.engine.correlation.describe`, of
        columns that are divided by `units`.
        """
        xp = namespace(variates)
        names = list(weights)
        found = describe([variances[name] for name in names], between, variates)
        loadings = xp.concatenate(found.loadings)
        size = xp.abs(loadings)
        first = xp.argmax(size >= ALIKE * size.max(axis=0), axis=0)
        sign = xp.where(xp.take_along_axis(loadings, first[None], axis=0)[0] < 0, -1.0, 1.0)

        def by_name(values):
            return dict(zip(names, values, strict=True))

        self.canonical_correlations_ = found.correlations
        self.means_ = {name: mean * units[name] for name, mean in means.items()}
        self.weights_ = {name: w * sign / units[name] for name, w in weights.items()}
        self.loadings_ = by_name(loading * sign for loading in found.loadings)
        self.explained_variance_ratio_ = by_name(found.explained)
        self.redundancy_ = by_name(found.redundancy)
        self.regression_ = by_name(
            b * sign[:, None] * units[name] for name, b in zip(names, found.regression, strict=True)
        )
        return sign

    @property
    def _n_features_out(self):
        return len(self.canonical_correlations_)

    def _variates(self, views):
        """The variates of each modality: dict of ndarray of shape (n_rows, n_components)."""
        xp = views.xp
        variates = {}
        for name, shown in views.present.items():
            rows = centred_product(views.shown(name), self.means_[name], self.weights_[name])
            if not shown.all():
                rows, some = xp.zeros((views.n_rows, self._n_features_out)), rows
                rows[xp.asarray(shown)] = some
            variates[name] = rows
        return variates

    def _represent(self, views):
        xp = views.xp
        shown = np.maximum(np.sum(list(views.present.values()), axis=0), 1)
        return sum(self._variates(views).values()) / xp.asarray(shown)[:, None]

    def _reconstruct(self, Z):
        return {name: self.means_[name] + Z @ B for name, B in self.regression_.items()}

    def score(self, X, y=None):
        """Sum over the components of the correlation between the variates of these rows.

        Of more than two modalities it is the mean over the pairs.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : ignored

        Returns
        -------
        float
            At most `n_components`; higher is better.
        """
        views = self._check(X)
        xp = views.xp
        moments = gather(self._variates(views), views.patterns())
        places = list(moments.columns.values())
        covariance = moments.pairwise().covariance
        variates = xp.stack([xp.stack([covariance[one, two] for two in places]) for one in places])
        return float(correlate(variates).sum())


def units_of(views):
    """The unit of each modality, see :func:`~mmgraph.engine.moments.unit_of`."""
    units = {}
    for name, block in views.blocks.items():
        shown = np.flatnonzero(views.present[name])
        units[name] = unit_of(pick(block, shown[:: -(-len(shown) // SAMPLE)]))
    return units


def in_units(views, units):
    """The rows, divided by the units of their modalities."""
    blocks = {
        name: block if units[name] == 1 else block / units[name]
        for name, block in views.blocks.items()
    }
    return views._replace(blocks=blocks)


def mean_of(block):
    """Column means of a block, in float64."""
    mean = block.mean(axis=0, dtype=np.float64)
    return np.asarray(mean).ravel() if sp.issparse(block) else mean


def centred_product(block, mean, weights):
    """(X - mean) @ weights, without densifying X."""
    if sp.issparse(block):
        return block @ weights - mean @ weights
    return (block - mean) @ weights
