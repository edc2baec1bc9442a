"""Probabilistic canonical correlation analysis of any number of modalities."""

import numbers
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri

from ..backend import kernels, random
from ..backend.arrays import beside, namespace, pick
from ..base import (
    GenerativeMixin,
    MultimodalEstimator,
    RepresentationMixin,
    drive,
    warn_of_second_view,
)
from ..engine import factor_learning as learning
from ..engine import factors as engine
from ..engine import moments
from ..engine.spectral import cholesky
from ..hints import Modalities, Seed
from ..parameters import choose, require

__all__ = ["Conditional", "ProbabilisticCCA"]

NOISES = "full", "diagonal", "isotropic"
N_FOLDS = 5  # over which the number of components is chosen


class Conditional(NamedTuple):
    """The normal distribution of a modality given the others, row by row.

    Attributes
    ----------
    mean : ndarray of shape (n_rows, n_columns)
        Expected value of each row.
    covariances : ndarray of shape (n_patterns, n_columns, n_columns)
        One covariance for every choice of modalities that some row shows.
    pattern : ndarray of int, shape (n_rows,)
        Which of them is the row's.
    """

    mean: np.ndarray
    covariances: np.ndarray
    pattern: np.ndarray

    @property
    def std(self):
        """Standard deviations, of shape (n_rows, n_columns)."""
        xp = namespace(self.mean)
        return xp.sqrt(xp.diagonal(self.covariances, axis1=1, axis2=2))[self.pattern]

    def interval(self, coverage=0.9):
        """Ends of the central interval of every value by itself.

        Parameters
        ----------
        coverage : float, default=0.9
            Its probability.

        Returns
        -------
        low, high : ndarray of shape (n_rows, n_columns)
        """
        require("coverage", coverage, "<0", "<1", numbers.Real)
        reach = ndtri(0.5 + coverage / 2) * self.std
        return self.mean - reach, self.mean + reach


class ProbabilisticCCA(RepresentationMixin, GenerativeMixin, MultimodalEstimator):
    r"""Modalities that share Gaussian factors, each with a noise of its own.

    .. math:: z \sim N(0, I), \qquad x_m = \mu_m + W_m z + e_m, \qquad e_m \sim N(0, \Psi_m)

    With full :math:`\Psi_m` the factors explain what modalities have in common and nothing else:
    the likeliest ones of two modalities span the canonical directions [1]_. With diagonal ones the
    model is factor analysis, whose factors also explain the correlations within a modality. All
    that follows from the model is a normal distribution: what a row does not show is predicted with
    its exact mean and covariance, drawn, and scored.

    Parameters
    ----------
    n_components : int or "auto", default=2
        Number of factors. ``"auto"`` takes the smallest under which held-out rows are as likely as
        under any, up to a standard error, in five-fold cross-validation.
    noise : {"full", "diagonal", "isotropic"} or dict of str to these, default="full"
        Covariance of the noise, for all modalities or by name: any, diagonal, or a multiple of the
        identity (for which the columns of a modality should have the same units). With a single
        modality full noise would leave nothing to the factors, and is taken as diagonal, which is
        factor analysis; isotropic noise then makes it probabilistic principal component analysis.
    shrinkage : float or "oas", default="oas"
        Share of the prior, at least 0 and below 1: as if so large a share of the rows had shown
        uncorrelated columns with the variances that the columns have. ``"oas"`` computes it from
        the numbers of rows and columns and the covariance [2]_.
    max_iter : int, default=500
        Largest number of EM steps.
    tol : float, default=1e-4
        Gain of a step, in nats a row, under which EM ends.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` follows X. See :doc:`/gpu`.
    random_state : int, RandomState, Generator or None, default=None
        Seed of draws, and of the folds of ``n_components="auto"``. A fit is otherwise not random.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : Factors
        Means, loadings and noise of each modality, in standard units.
    scaling_ : dict of str to Units
        Location and scale of the columns of each modality.
    means_ : dict of str to ndarray of shape (n_columns,)
        :math:`\mu_m`.
    loadings_ : dict of str to ndarray of shape (n_columns, n_components)
        :math:`W_m`, in the units of the data. Components stand in the order of what a complete row
        tells of them, and the largest loading (in standard units) of each is positive.
    noise_covariances_ : dict of str to ndarray of shape (n_columns, n_columns)
        :math:`\Psi_m`, in the units of the data.
    n_components_ : int
        Number of factors.
    component_scores_ : dict of int to float or None
        With ``n_components="auto"`` the log-likelihood of held-out rows by number of components, in
        nats a row.
    shrinkage_ : float
        Share of the prior.
    history_ : dict of str to list
        Course of EM by step: ``log_likelihood`` of the rows, and ``objective``, which counts the
        prior too and never falls, in nats a row and in standard units.
    n_iter_ : int
        EM steps done; 1 where there is a closed form.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    MultimodalDBM : A joint distribution that is not normal.

    Notes
    -----
    Two modalities that all rows show, with full noise, have a closed form [1]_. Otherwise EM [3]_,
    with expanded parameters [4]_, works on the moments of each pattern of shown modalities, so the
    cost of a step does not depend on the number of rows. Rows teach by what they show; nothing is
    filled in.

    Columns that do not vary are predicted as they are, and count in no density.

    References
    ----------
    .. [1] Bach & Jordan (2005), A probabilistic interpretation of canonical correlation analysis.
       Technical report 688, Department of Statistics, UC Berkeley.
    .. [2] Chen, Wiesel, Eldar & Hero (2010), Shrinkage algorithms for MMSE covariance estimation.
       IEEE Transactions on Signal Processing 58, 5016-5029.
    .. [3] Rubin & Thayer (1982), EM algorithms for ML factor analysis. Psychometrika 47, 69-76.
    .. [4] Liu, Rubin & Wu (1998), Parameter expansion to accelerate EM: the PX-EM algorithm.
       Biometrika 85, 755-770.

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> upper, lower = digits.image.reshape(-1, 64)[:, :32], digits.image.reshape(-1, 64)[:, 32:]
    >>> X, modalities = mg.pack(upper=upper, lower=lower)
    >>> pcca = mg.ProbabilisticCCA(16, modalities=modalities).fit(X[digits.train])
    >>> pcca.generate(X[digits.test], "lower").shape
    (364, 32)
    >>> low, high = pcca.conditional(X[digits.test], "lower").interval(0.9)
    >>> bool(0.85 < ((low <= lower[digits.test]) & (lower[digits.test] <= high)).mean() < 0.95)
    True
    """

    def __init__(
        self,
        n_components: Literal["auto"] | int = 2,
        *,
        noise: Literal["full", "diagonal", "isotropic"] | Mapping = "full",
        shrinkage: Literal["oas"] | float = "oas",
        max_iter: int = 500,
        tol: float = 1e-4,
        modalities: Modalities | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        random_state: Seed = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.noise = noise
        self.shrinkage = shrinkage
        self.max_iter = max_iter
        self.tol = tol
        self.modalities = modalities
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None):
        """Fit the model to rows that may lack some modalities.

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
            If a parameter is out of range, or no column of X varies.
        """
        self._check_parameters()
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        noise = self._noise_of(self.layout_.names)
        key = random.key(self.random_state)
        blocks, exponents = _near_one(views)
        views = views._replace(blocks=blocks)
        if self.n_components == "auto":
            folds = [moments.gather(v.blocks, v.patterns()) for v in _folds(views, key)]
            patterns = folds[0]
            for fold in folds[1:]:
                patterns = patterns.merge(fold)
        else:
            patterns = moments.gather(views.blocks, views.patterns())
        same = {name for name, kind in noise.items() if kind == "isotropic"}
        units = engine.units_of(patterns, same)
        if not any(len(unit.columns) for unit in units.values()):
            raise ValueError(
                f"X has zero variance: its n_samples={views.n_rows} row(s) are all equal in what "
                "they show. Add rows that differ."
            )
        patterns = engine.standardise(patterns, units)
        if len(patterns.columns) == 1:
            noise = {name: "diagonal" if kind == "full" else kind for name, kind in noise.items()}
        shrinkage = learning.oas(patterns) if self.shrinkage == "oas" else float(self.shrinkage)
        settings = {"max_iter": self.max_iter, "tol": self.tol}
        n_components, self.component_scores_ = self.n_components, None
        if n_components == "auto":
            folds = [engine.standardise(fold, units) for fold in folds]
            scores = learning.held_out_scores(patterns, folds, noise, shrinkage, **settings)
            self.component_scores_ = {k: float(score.mean()) for k, score in scores.items()}
            n_components = learning.fewest(scores)
        last, self.history_ = drive(
            learning.fit(
                patterns, n_components, noise, learning.prior_rows(patterns, shrinkage), **settings
            ),
            total=self.max_iter,
            verbose=self.verbose,
            description=type(self).__name__,
        )
        self.model_ = engine.ordered(last.factors)
        self.scaling_ = {name: unit.scaled(exponents[name]) for name, unit in units.items()}
        self.n_iter_, self.shrinkage_ = last.number, shrinkage
        return self

    def _check_parameters(self):
        if self.n_components != "auto":
            require("n_components", self.n_components, "1", "inf", numbers.Integral)
        if self.shrinkage != "oas":
            require("shrinkage", self.shrinkage, "0", "<1", numbers.Real)
        require("max_iter", self.max_iter, "1", "inf", numbers.Integral)
        require("tol", self.tol, "0", "inf", numbers.Real)

    def _noise_of(self, names):
        by_name = (
            self.noise if isinstance(self.noise, Mapping) else dict.fromkeys(names, self.noise)
        )
        for name in by_name:
            self.layout_.require(name)
        by_name = {name: by_name.get(name, "full") for name in names}
        for kind in by_name.values():
            choose("noise", kind, NOISES)
        return by_name

    @property
    def n_components_(self):
        """Number of factors."""
        return self.model_.n_components

    @property
    def means_(self):
        """Means of the columns."""
        return {
            name: unit.leave(self.model_.means.get(name, unit.location[:0]))
            for name, unit in self.scaling_.items()
        }

    @property
    def loadings_(self):
        """Loadings in the units of the data."""
        out = {}
        for name, unit in self.scaling_.items():
            out[name] = namespace(unit.location).zeros((len(unit.location), self.n_components_))
            if name in self.model_.loadings:
                columns = namespace(unit.location).asarray(unit.columns)
                out[name][columns] = unit.scale[:, None] * self.model_.loadings[name]
        return out

    @property
    def noise_covariances_(self):
        """Covariances of the noise in the units of the data."""
        out = {}
        for name, unit in self.scaling_.items():
            xp = namespace(unit.location)
            out[name] = xp.zeros((len(unit.location),) * 2)
            if name in self.model_.noises:
                noise = self.model_.noises[name]
                noise = xp.diag(noise) if noise.ndim == 1 else noise
                scaled = unit.scale[:, None] * noise * unit.scale
                columns = xp.asarray(unit.columns)
                out[name][xp.ix_(columns, columns)] = scaled
        return out

    @property
    def _n_features_out(self):
        return self.n_components_

    def conditional(self, X, target):
        """The distribution of one modality given what each row shows of the others.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Rows; other modalities may be absent too. The columns of `target` are hidden.
        target : str
            Name of the modality.

        Returns
        -------
        Conditional
            Mean, covariance, and by its methods standard deviation and intervals, in the units of
            the data. The mean is that of `generate`.
        """
        self.layout_.require(target)
        views = self._check(X).hide(target)
        xp = views.xp
        unit, (n_rows, n_columns) = self.scaling_[target], views.blocks[target].shape
        mean, pattern = xp.empty((n_rows, n_columns)), xp.empty(n_rows, int)
        covariances = []
        for number, (rows, posterior) in enumerate(self._posteriors(views)):
            covariances.append(xp.zeros((n_columns, n_columns)))
            rows = xp.asarray(rows)
            pattern[rows], mean[rows] = number, unit.location
            if target in self.model_.loadings:
                mean[rows] = unit.leave(engine.expect(self.model_, target, posterior.mean))
                found = engine.covariance_given(self.model_, target, posterior.covariance)
                found = unit.scale[:, None] * found * unit.scale
                columns = xp.asarray(unit.columns)
                covariances[-1][xp.ix_(columns, columns)] = found
        found = mean, xp.stack(covariances), pattern
        return Conditional(*(beside(part, X) for part in found))

    # What the family implements for the verbs -----------------------------------------------------

    def _posteriors(self, views):
        """What the rows say of the components, for each pattern of shown modalities."""
        whitened = engine.whiten(self.model_)
        for shown, rows in views.patterns():
            blocks = {}
            for name in self.layout_.names:
                if name in shown and name in whitened:
                    block = pick(views.blocks[name], rows)
                    block = block.toarray() if sp.issparse(block) else block
                    blocks[name] = self.scaling_[name].enter(block.astype(np.float64, copy=False))
            posterior = engine.infer(self.model_, whitened, blocks, len(rows))
            volume = sum(self.scaling_[name].log_volume for name in blocks)
            yield rows, posterior._replace(log_density=posterior.log_density - volume)

    def _represent(self, views):
        xp = views.xp
        Z = xp.empty((views.n_rows, self.n_components_))
        for rows, posterior in self._posteriors(views):
            Z[xp.asarray(rows)] = posterior.mean
        return Z

    def _log_density(self, views):
        xp = views.xp
        out = xp.empty(views.n_rows)
        for rows, posterior in self._posteriors(views):
            out[xp.asarray(rows)] = posterior.log_density
        return out

    def _reconstruct(self, Z):
        blocks = {}
        for name, unit in self.scaling_.items():
            known = name in self.model_.loadings
            t = engine.expect(self.model_, name, Z) if known else Z[..., :0]
            blocks[name] = unit.leave(t)
        return blocks

    def _complete(self, views, n_draws=None, key=None):
        if n_draws is None:
            return self._reconstruct(self._represent(views))
        xp = views.xp
        blocks = {
            name: xp.empty((n_draws, views.n_rows, len(unit.location)))
            for name, unit in self.scaling_.items()
        }
        whitened = engine.whiten(self.model_)
        for rows, posterior in self._posteriors(views):
            rows = xp.asarray(rows)
            root, numbers = cholesky(posterior.covariance), rows.astype(np.uint32)
            for draw in range(n_draws):

                def normal(width, stream, numbers=numbers, draw=draw):
                    kernel = kernels.of(numbers)
                    return kernel.normal(numbers, width, key, draw, stream, np.float64)

                z = posterior.mean + normal(len(root), 0) @ root.T
                for stream, (name, x) in enumerate(self._reconstruct(z).items(), 1):
                    if name in whitened:
                        unit = self.scaling_[name]
                        noise = normal(len(unit.columns), stream)
                        noise = engine.multiply(whitened[name].root, noise.T).T
                        x[:, xp.asarray(unit.columns)] += unit.scale * noise
                    blocks[name][draw, rows] = x
        return blocks


def _near_one(views):
    """Blocks divided by powers of two, so that no product overflows, and the exponents."""
    blocks, exponents = {}, {}
    for name, block in views.blocks.items():
        limits = np.finfo(block.dtype)
        exponent = np.frexp(float(abs(views.shown(name)).max()))[1]
        exponents[name] = int(np.clip(exponent, limits.minexp, limits.maxexp - 2))
        blocks[name] = block * np.ldexp(block.dtype.type(1), -exponents[name])
    return blocks, exponents


def _folds(views, key):
    """The rows in random parts of about equal size."""
    order = np.random.default_rng([*key]).permutation(views.n_rows)
    return [views.take(np.sort(part)) for part in np.array_split(order, N_FOLDS) if len(part)]
