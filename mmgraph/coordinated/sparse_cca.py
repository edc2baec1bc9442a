"""Sparse canonical correlation analysis."""

import numbers
from collections.abc import Mapping
from typing import Literal

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import namespace
from ..base import warn_of_second_view
from ..engine.correlation import SPARSE_SPREAD, SPREAD, find_constant
from ..engine.sparse import columns_of, decompose
from ..hints import Modalities
from ..parameters import require
from .canonical import CanonicalEstimator, in_units, units_of

__all__ = ["SparseCCA"]


class SparseCCA(CanonicalEstimator):
    r"""Canonical variates of few columns each: the penalised matrix decomposition.

    For many columns and few rows, such as genes. With standardised columns and their correlations
    :math:`K_{ij}` between modalities, unit vectors maximise

    .. math:: \sum_{i < j} u_i^\top K_{ij} u_j \quad \text{subject to} \quad
        \lVert u_i \rVert_2 = 1, \; \lVert u_i \rVert_1 \le c_i,

    and the bounds :math:`c_i` leave most entries at zero. The covariance within a modality is taken
    for the identity, so this is a sparse form of partial least squares, with two or more
    modalities. Before the next component each modality is freed of its variate, by regression.

    Parameters
    ----------
    n_components : int, default=2
        Most components to find.
    penalty : float or dict of str to float, default=0.3
        Above 0 and at most 1, for all modalities or by name: :math:`c_i` is this share of the
        square root of the number of columns, and at least 1 (a single column). 1 is no penalty.
    max_iter : int, default=500
        Most sweeps over the modalities for a component.
    tol : float, default=1e-6
        Largest change of an entry of a unit vector at which a component is settled.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``, and its sparse principal components are found.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` follows X. See :doc:`/gpu`.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components,)
        Correlation of the variates over the training rows; of more than two modalities the mean
        over the pairs. In the order in which the components were found.
    weights_ : dict of str to ndarray of shape (n_columns, n_components)
        Weights of each modality, most of them 0; the variates have variance 1 over the training
        rows. The weights of a component are those of its own columns and, since it is freed of
        earlier variates, of the columns of earlier components. Its sign makes the largest of its
        loadings positive.
    vectors_ : dict of str to ndarray of shape (n_columns, n_components)
        The unit vectors u, of standardised columns freed of earlier variates: the columns that a
        component has chosen are those that are not 0.
    loadings_ : dict of str to ndarray of shape (n_columns, n_components)
        Structure correlations: those of each column with the variate of its own modality.
    explained_variance_ratio_, redundancy_, regression_, means_ : dict of str to ndarray
        As those of :class:`CCA`.
    n_iter_ : int
        Most sweeps that a component took; `max_iter` where one did not settle.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    CCA : With the covariances within the modalities, and a weight for every column.

    Notes
    -----
    K is applied through the rows and not formed: a sweep costs O(n p). Of a row that lacks
    modalities, those that it shows count for the pairs that it shows.

    The original takes what a component explains off K, after which the next one often finds much
    the same columns; freed columns, as in sparse partial least squares [3]_, give variates that are
    uncorrelated within a modality (where its rows are complete). First components are the same.

    References
    ----------
    .. [1] Witten, Tibshirani & Hastie (2009), A penalized matrix decomposition, with applications
       to sparse principal components and canonical correlation analysis. Biostatistics 10, 515-534.
    .. [2] Witten & Tibshirani (2009), Extensions of sparse canonical correlation analysis with
       applications to genomic data. Statistical Applications in Genetics and Molecular Biology 8.
    .. [3] Lê Cao, Martin, Robert-Granié & Besse (2009), Sparse canonical methods for biological
       data integration: application to a cross-platform study. BMC Bioinformatics 10, 34.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> genes, lab = rng.normal(size=(100, 200)), rng.normal(size=(100, 5))
    >>> lab[:, 0] += 2 * genes[:, :3].sum(axis=1)
    >>> X, modalities = mg.pack(genes=genes, lab=lab)
    >>> model = mg.SparseCCA(1, penalty={"genes": 0.11, "lab": 0.5}, modalities=modalities).fit(X)
    >>> np.flatnonzero(model.weights_["genes"][:, 0])
    array([0, 1, 2])
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        penalty: float | Mapping = 0.3,
        max_iter: int = 500,
        tol: float = 1e-6,
        modalities: Modalities | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ):
        self.n_components = n_components
        self.penalty = penalty
        self.max_iter = max_iter
        self.tol = tol
        self.modalities = modalities
        self.device = device

    def fit(self, X, y=None):
        """Fit the components to rows that may lack some modalities.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, a modality does not vary, or no row shows both of two
            modalities.
        """
        self._check_parameters()
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        xp = views.xp
        penalties = self._penalties()
        self._check_pairs(views)
        units = units_of(views)
        views = in_units(views, units)
        names, means, scales, columns = list(views.blocks), {}, {}, []
        for name, block in views.blocks.items():
            shown = views.present[name]
            means[name], variances = _mean_and_variance(views.shown(name))
            spread = SPARSE_SPREAD if sp.issparse(block) else SPREAD
            n = int(shown.sum())
            variances[find_constant(name, variances, means[name], n, spread)] = 0
            scales[name] = xp.sqrt(variances)
            columns.append(columns_of(block, xp.asarray(shown), means[name], scales[name]))
        bounds = [max(1.0, penalties[name] * np.sqrt(len(means[name]))) for name in names]
        found = decompose(columns, bounds, self.n_components, max_iter=self.max_iter, tol=self.tol)
        self._tell(names, columns, found, means, scales, units)
        self.n_iter_ = found.n_iter
        return self

    def _check_parameters(self):
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        require("max_iter", self.max_iter, "1", "inf", numbers.Integral)
        require("tol", self.tol, "0", "inf", numbers.Real)
        if isinstance(self.penalty, Mapping):
            for name, penalty in self.penalty.items():
                require(f"penalty[{name!r}]", penalty, "<0", "1", numbers.Real)
        else:
            require("penalty", self.penalty, "<0", "1", numbers.Real)

    def _penalties(self):
        """The penalty of each modality; none where a dict leaves one out."""
        if not isinstance(self.penalty, Mapping):
            return dict.fromkeys(self.layout_.names, self.penalty)
        for name in self.penalty:
            self.layout_.require(name)
        return {name: self.penalty.get(name, 1.0) for name in self.layout_.names}

    def _check_pairs(self, views):
        for i, one in enumerate(views.present):
            for two in list(views.present)[:i]:
                if not (views.present[one] & views.present[two]).any():
                    raise ValueError(
                        f"no row shows both {two!r} and {one!r}, so how they go together cannot "
                        "be learnt: add rows that show both."
                    )

    def _tell(self, names, columns, found, means, scales, units):
        """Set what is known of the components of standardised columns."""
        xp = namespace(*means.values())
        scores, weights = [], {}
        for name, c, w, z in zip(names, columns, found.weights, found.variates, strict=True):
            root, scale = xp.sqrt(c.shown.sum()), scales[name][:, None]
            scores.append(root * z)
            weights[name] = xp.where(scale > 0, root * w / xp.where(scale > 0, scale, 1.0), 0.0)
        between = [
            [
                scales[name][:, None] * c.backward(c.shown[:, None] * z) / (c.shown @ d.shown)
                for z, d in zip(scores, columns, strict=True)
            ]
            for name, c in zip(names, columns, strict=True)
        ]
        variates = xp.stack(
            [
                xp.stack(
                    [y.T @ z / (c.shown @ d.shown) for z, d in zip(scores, columns, strict=True)]
                )
                for y, c in zip(scores, columns, strict=True)
            ]
        )
        variances = {name: scale**2 for name, scale in scales.items()}
        sign = self._keep(means, weights, variances, between, variates, units)
        self.vectors_ = {name: sign * u for name, u in zip(names, found.vectors, strict=True)}


def _mean_and_variance(block):
    """Of the columns, in float64."""
    if sp.issparse(block):
        block = block.astype(np.float64)
        mean = np.asarray(block.mean(axis=0)).ravel()
        square = np.asarray(block.multiply(block).mean(axis=0)).ravel()
        return mean, np.maximum(square - mean**2, 0.0)
    return block.mean(axis=0, dtype=np.float64), block.var(axis=0, dtype=np.float64)
