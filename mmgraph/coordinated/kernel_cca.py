"""Canonical correlation in the feature spaces of kernels."""

import numbers
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.linalg import LinAlgError

from ..backend import kernels, random
from ..backend.arrays import namespace, pick
from ..base import GenerativeMixin, MultimodalEstimator, RepresentationMixin, warn_of_second_view
from ..engine import preimage
from ..engine.kernel_correlation import correlate, dual, leave_one_out, primal, project
from ..engine.kernels import NAMES, automatic, gram
from ..engine.lowrank import Columns, approximate
from ..hints import Modalities, Seed
from ..parameters import choose, require

__all__ = ["KernelCCA"]

APPROXIMATIONS = ("exact", "cholesky", "nystroem", "fourier")


class KernelCCA(RepresentationMixin, GenerativeMixin, MultimodalEstimator):
    r"""Canonical correlation analysis in the feature spaces of kernels.

    Finds functions :math:`f_m` of each modality, in the span of its kernel, whose values agree over
    the rows: with two modalities

    .. math:: \max_{f_1, f_2} \operatorname{cov}(f_1(x_1), f_2(x_2)) \quad \text{s.t.} \quad
        (1 - s) \operatorname{var} f_m(x_m) + s\, t_m \lVert f_m \rVert^2 = 1

    where :math:`t_m` is the total variance of the rows in feature space, so that the shrinkage s
    means the same for every kernel and scale. More modalities maximise the sum of covariances over
    all pairs, under one such constraint for all. Canonical scores are the values of the functions;
    components come in the order of their correlation.

    Parameters
    ----------
    n_components : int, default=2
        Number of components. Fewer are found where the kernels allow no more.
    kernel : str, callable or dict of str to str or callable, default="rbf"
        Kernel of all modalities, or by name: one of scikit-learn's (``"linear"``, ``"rbf"``,
        ``"laplacian"``, ``"chi2"``, ``"poly"``, ``"cosine"``, ...) or a function of two rows that
        returns a number.
    gamma : float or dict of str to float, default=None
        The kernel's ``gamma``. None: for radial kernels one over the median of the distance that
        they are a function of, for polynomials one over the mean squared norm of a row.
    kernel_params : dict, default=None
        Further parameters of the kernel, such as ``degree``; or one such dict by modality.
    shrinkage : float or dict of str to float, default=0.01
        Share of the penalty, above 0 and at most 1. At 1 the covariance itself is maximised (kernel
        PLS).
    approximation : {"exact", "cholesky", "nystroem", "fourier"}, default="exact"
        Whole Gram matrices, or features of `rank` dimensions: incomplete Cholesky with random
        pivots, rows drawn as others explain them badly; Nystroem, rows drawn alike; random Fourier
        features (``"rbf"`` only). The last three never hold an n x n matrix.
    rank : int, default=300
        Largest number of features of an approximation.
    tol : float, default=1e-6
        Share of the kernel's trace that ``"cholesky"`` may leave out.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` follows X. See :doc:`/gpu`.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the approximations and of draws.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components,)
        Falling: the covariance of the scores under the constraint, averaged over the pairs of
        modalities.
    kernels_ : dict of str to Kernel
        The kernel of each modality, with its ``gamma``.
    projections_ : dict of str to Projection
        The functions: landmarks, their weights, and an offset.
    examples_ : Examples
        The training rows and their leave-one-out scores, from which rows are generated.
    relevance_ : ndarray of shape (n_components,)
        Correlation of the leave-one-out scores of the training rows: how far a component can be
        trusted with new ones.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    Notes
    -----
    ``transform`` gives the mean of the canonical scores of the modalities that a row shows, and
    zeros, the mean, for a row that shows none. A modality alone is paired with itself: its
    components are those of kernel PCA.

    Rows that lack a modality take part in all the others: each kernel sees the rows that show it,
    and each pair of modalities is linked by the rows that show both.

    Generated rows are made of training rows (pre-images by example): their mean with weights that
    fall with the distance between canonical scores, or draws of them with these probabilities. The
    scores of training rows are those they would have had as new rows, in closed form, and the width
    of the weights predicts them best when each is left out. So every kernel can generate, and a
    draw is a row that occurred. There is no density.

    All is computed in float64; ``transform`` returns the type of X.

    References
    ----------
    .. [1] Akaho (2001), A kernel method for canonical correlation analysis. IMPS.
    .. [2] Bach & Jordan (2002), Kernel independent component analysis. JMLR 3, 1-48.
    .. [3] Hardoon, Szedmak & Shawe-Taylor (2004), Canonical correlation analysis: an overview with
       application to learning methods. Neural Computation 16, 2639-2664.
    .. [4] Kettenring (1971), Canonical analysis of several sets of variables. Biometrika 58.

    Examples
    --------
    >>> import numpy as np
    >>> import mmgraph as mg
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, 2 * np.pi, (300, 1))
    >>> point = np.hstack([np.cos(angle), np.sin(angle)])
    >>> X, modalities = mg.pack(radius=angle, point=point + 0.1 * rng.normal(size=(300, 2)))
    >>> model = mg.KernelCCA(modalities=modalities, shrinkage=0.001).fit(X)
    >>> bool((model.relevance_ > 0.9).all())
    True
    >>> model.generate([[np.pi, np.nan, np.nan]], "point").round(1)
    array([[-1.,  0.]])
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        kernel: str | Callable | Mapping = "rbf",
        gamma: float | Mapping | None = None,
        kernel_params: Mapping | None = None,
        shrinkage: float | Mapping = 0.01,
        approximation: Literal["exact", "cholesky", "nystroem", "fourier"] = "exact",
        rank: int = 300,
        tol: float = 1e-6,
        modalities: Modalities | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        random_state: Seed = None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.kernel_params = kernel_params
        self.shrinkage = shrinkage
        self.approximation = approximation
        self.rank = rank
        self.tol = tol
        self.modalities = modalities
        self.device = device
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit the functions to rows that may lack some modalities.

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
            If a parameter is out of range, a kernel tells no two rows apart, is not positive
            definite, or no rows link a modality to another.
        """
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        require("rank", self.rank, "1", "inf", numbers.Integral)
        require("tol", self.tol, "0", "inf", numbers.Real)
        choose("approximation", self.approximation, APPROXIMATIONS)
        key = random.key(self.random_state)
        warn_of_second_view(self, y)
        views = self._check(X, reset=True)
        settings = self._settings()
        rows = {name: np.flatnonzero(mask) for name, mask in views.present.items()}
        blocks = {name: views.shown(name) for name in rows}
        functions, smoothers, bases = {}, {}, {}
        for i, (name, (kernel, params, shrinkage)) in enumerate(settings.items()):
            try:
                functions[name] = automatic(kernel, blocks[name], params)
                smoothers[name], bases[name] = self._smoother(
                    functions[name], blocks[name], shrinkage, random.derive(key, i)
                )
            except LinAlgError:
                raise ValueError(
                    f"kernel={kernel!r} of modality {name!r} is not positive definite on these "
                    "rows: raise shrinkage, or choose another kernel."
                ) from None
            if smoothers[name] is None:
                raise ValueError(
                    f"modality {name!r} has zero variance: its n_samples={len(rows[name])} row(s) "
                    f"look all equal to kernel={kernel!r}. Drop it, or choose another kernel."
                )
        _require_links(rows)
        found = correlate(smoothers, rows, self.n_components)
        self.kernels_ = functions
        self.projections_ = {
            name: project(smoothers[name], bases[name], found.targets[name]) for name in rows
        }
        n_others = max(1, len(rows) - 1)
        xp = views.xp
        self.canonical_correlations_ = xp.minimum(found.values / n_others, 1)
        scores = {}
        for name, shown in rows.items():
            scores[name] = xp.zeros((views.n_rows, len(found.values)))
            scores[name][xp.asarray(shown)] = leave_one_out(
                smoothers[name], found.targets[name], found.scores[name]
            )
        self.relevance_ = xp.clip(_agreement(scores, views.present), 0, 1)
        scores = {name: self._weigh(z) for name, z in scores.items()}
        examples = preimage.Examples(scores, views.present, blocks, {})
        self.examples_ = examples._replace(widths=preimage.choose_widths(examples))
        return self

    def _settings(self):
        """Kernel, its parameters and shrinkage of each modality."""
        names = self.layout_.names
        own = self.kernel_params if self.kernel_params is not None else {}
        if not isinstance(own, Mapping):
            raise ValueError(f"kernel_params={own!r}: it must be a dict, or one by modality.")
        if not any(isinstance(value, Mapping) for value in own.values()):
            own = dict.fromkeys(names, own)
        kernel = self._by_name("kernel", self.kernel, "rbf")
        gamma = self._by_name("gamma", self.gamma, None)
        shrinkage = self._by_name("shrinkage", self.shrinkage, 0.01)
        own = self._by_name("kernel_params", own, {})
        settings = {}
        for name in names:
            if not callable(kernel[name]) and kernel[name] not in NAMES:
                raise ValueError(
                    f"kernel={kernel[name]!r}: choose one of {list(NAMES)}, or a function of two "
                    "rows."
                )
            if self.approximation == "fourier" and kernel[name] != "rbf":
                raise ValueError(
                    f"kernel={kernel[name]!r} of modality {name!r} has no random Fourier features "
                    "here: choose kernel='rbf', or approximation='nystroem'."
                )
            params = dict(own[name])
            if gamma[name] is not None:
                require("gamma", gamma[name], "<0", "<inf", numbers.Real)
                params["gamma"] = float(gamma[name])
            require("shrinkage", shrinkage[name], "<0", "1", numbers.Real)
            settings[name] = kernel[name], params, float(shrinkage[name])
        return settings

    def _by_name(self, parameter, value, default):
        if not isinstance(value, Mapping):
            return dict.fromkeys(self.layout_.names, value)
        for name in value:
            self.layout_.require(name)
        return {name: value.get(name, default) for name in self.layout_.names}

    def _smoother(self, kernel, block, shrinkage, key):
        """The smoother of a modality, and what its functions are made of."""
        if self.approximation == "exact":
            return dual(gram(kernel, block), shrinkage), Columns(kernel, block)
        basis, features, norms = approximate(
            self.approximation, kernel, block, self.rank, self.tol, key
        )
        return primal(features, shrinkage, norms), basis

    @property
    def _n_features_out(self):
        return len(self.canonical_correlations_)

    # What the family implements for the verbs -----------------------------------------------------

    def _represent(self, views):
        xp = views.xp
        total = xp.zeros((views.n_rows, self._n_features_out))
        count = np.zeros(views.n_rows)
        for name, shown in views.present.items():
            if shown.any():
                total[xp.asarray(shown)] += self.projections_[name](views.shown(name))
                count += shown
        return total / xp.asarray(np.maximum(count, 1))[:, None]

    def _weigh(self, Z):
        """Scores in units in which all components say as much of the other modalities."""
        return Z * self.relevance_

    def _reconstruct(self, Z):
        names = self.layout_.names
        return {
            name: preimage.average(self.examples_, self._weigh(Z), names, name) for name in names
        }

    def _complete(self, views, n_draws=None, key=None):
        xp, lead = views.xp, () if n_draws is None else (n_draws,)
        blocks = {name: xp.zeros((*lead, *block.shape)) for name, block in views.blocks.items()}
        queries = self._weigh(self._represent(views))
        if n_draws is not None:
            numbers = xp.arange(views.n_rows, dtype=np.uint32)
            uniforms = kernels.of(numbers).uniform(numbers, n_draws, key, 0, 0, np.float64)
        for shown, rows in views.patterns():
            absent = [name for name in self.layout_.names if name not in shown]
            rows = xp.asarray(rows)
            if n_draws is None:
                for name in absent:
                    found = preimage.average(self.examples_, queries[rows], shown, name)
                    blocks[name][rows] = found
            elif absent:
                found = preimage.draw(self.examples_, queries[rows], shown, absent, uniforms[rows])
                for name in absent:
                    blocks[name][:, rows] = found[name]
        return blocks

    def score(self, X, y=None):
        """Sum over the components of the correlation between the canonical scores of these rows.

        Of more than two modalities it is the mean over the pairs. On rows held out it falls where
        the functions were fitted too closely.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : ignored

        Returns
        -------
        float
            At most `n_components`; higher is better. 0 where no two rows show a pair.
        """
        views = self._check(X)
        scores = {}
        for name, shown in views.present.items():
            xp = views.xp
            scores[name] = xp.zeros((views.n_rows, self._n_features_out))
            if shown.any():
                scores[name][xp.asarray(shown)] = self.projections_[name](views.shown(name))
        return float(_agreement(scores, views.present).sum())


def _require_links(rows):
    for one, shown in rows.items():
        common = [np.intersect1d(shown, other).size for two, other in rows.items() if two != one]
        if common and max(common) < 2:
            raise ValueError(
                f"modality {one!r} is shown by fewer than two rows together with another: nothing "
                "links it to the others. Drop its columns, or add rows that show both."
            )


def _agreement(scores, present):
    """Mean over pairs of modalities of the correlation of their scores, column by column."""
    names = list(scores)
    xp, found = namespace(*scores.values()), []
    for one, two in combinations(names, 2) if len(names) > 1 else [(names[0], names[0])]:
        both = present[one] & present[two]
        if both.sum() > 1:
            a, b = (_centred(pick(scores[name], both)) for name in (one, two))
            norm = xp.sqrt(xp.square(a).sum(axis=0) * xp.square(b).sum(axis=0))
            dot = (a * b).sum(axis=0)
            found.append(xp.where(norm > 0, dot / xp.where(norm > 0, norm, 1.0), 0.0))
    return sum(found) / len(found) if found else xp.zeros(scores[names[0]].shape[1])


def _centred(x):
    return x - x.mean(axis=0)
