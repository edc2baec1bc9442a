"""Canonical correlation analysis of two or more modalities."""

import itertools
import numbers
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from ..backend.arrays import namespace
from ..backend.random import key
from ..base import warn_of_second_view
from ..engine import permutation
from ..engine.correlation import (
    CRITERIA,
    SPARSE_SPREAD,
    SPREAD,
    explained_covariance,
    solve,
    standardise,
)
from ..engine.moments import gather
from ..engine.shrinkage import ledoit_wolf, oracle_approximating, quartic, score_path
from ..engine.spectral import row_space
from ..hints import Modalities
from ..parameters import choose, require
from ..placement import placed
from .canonical import CanonicalEstimator, in_units, mean_of, units_of

__all__ = ["CCA"]

TOL = {8: 1e-12, 4: 1e-5}  # relative variance that is none, by the bytes of a number of X
FORMULAS = ("ledoit-wolf", "oas", "cv")
GRID = np.geomspace(1e-3, 1.0, 10)


class CCA(CanonicalEstimator):
    r"""Canonical correlation analysis: what two or more modalities have in common, linearly.

    Weights :math:`w_i` for the columns of each modality make canonical variates
    :math:`z_i = w_i^\top (x_i - m_i)` that are as correlated as can be. Of two modalities,

    .. math:: \max_{w_1, w_2}\; w_1^\top S_{12} w_2 \quad \text{subject to} \quad
        w_i^\top \big((1 - s_i) S_{ii} + s_i \tfrac{\operatorname{tr} S_{ii}}{p_i} I\big) w_i = 1,

    and later components are uncorrelated with earlier ones in this sense. Without shrinkage
    (s = 0) this is canonical correlation analysis; with s = 1, where the covariance is maximised
    in place of the correlation, it is partial least squares (in its SVD form).

    Parameters
    ----------
    n_components : int, default=2
        Most components to find. There are fewer where the columns do not have as many: with two
        modalities, at most the rank of the smaller one.
    criterion : {"maxvar", "sumcor", "ssqcor"}, default="maxvar"
        What is maximised over more than two modalities; with two they agree. ``"maxvar"`` is
        generalised canonical correlation analysis (Carroll): the variance of the sum of variates,
        by an eigenvalue problem, in which a modality may have a small part. ``"sumcor"`` is the sum
        of the correlations of all pairs and ``"ssqcor"`` that of their squares, each variate having
        variance one, found by an ascent that starts at the solution of the first.
    shrinkage : float, {"ledoit-wolf", "oas", "cv"}, or dict of str to float or str, default=0.0
        s, from 0 to 1, for all modalities or by name. ``"ledoit-wolf"`` and ``"oas"`` are formulas
        that look at each modality alone. ``"cv"`` (for all) chooses the candidate that makes the
        components most correlated in rows that were held out.
    shrinkages : array-like of float, default=None
        Candidates of ``"cv"``; None takes ten from 0.001 to 1. With two modalities all pairs of
        them are compared, with more the same for all modalities.
    cv : int, default=5
        Number of folds of ``"cv"``; row i belongs to fold i modulo `cv`.
    modalities : dict of str to slice, list of int or list of str, default=None
        Columns of each modality. None reads the prefixes of DataFrame columns (``image__px0``);
        without them X is one modality, ``"X"``, and the components are its principal ones.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; ``"auto"`` follows X. See :doc:`/gpu`.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components,)
        Correlation of the variates over the training rows; of more than two modalities the mean
        over the pairs. In descending order where there are two modalities and no shrinkage; else
        in the order of what was maximised.
    weights_ : dict of str to ndarray of shape (n_columns, n_components)
        Weights of each modality; the variates have variance 1 over the training rows (0 where a
        modality has no part in a component). The sign of a component makes the largest of its
        loadings positive.
    loadings_ : dict of str to ndarray of shape (n_columns, n_components)
        Structure correlations: those of each column with the variate of its own modality.
    explained_variance_ratio_ : dict of str to ndarray of shape (n_components,)
        Share of the variance of a modality that its own variate explains, by regression.
    redundancy_ : dict of str to ndarray of shape (n_components,)
        Share of it that the variates of the other modalities explain, the mean over these.
    explained_covariance_ : dict of str to ndarray of shape (n_components,)
        Share of the squared covariances of a modality's columns with those of all others that is
        left when the columns are replaced by their regression on the first k variates, less that
        with k - 1. All components that there are make 1; a single one can be negative, since
        variates are uncorrelated but their patterns are not orthogonal.
    regression_ : dict of str to ndarray of shape (n_components, n_columns)
        Coefficients of `inverse_transform`.
    means_ : dict of str to ndarray of shape (n_columns,)
        Means of the columns.
    shrinkage_ : dict of str to float
        The shrinkage used.
    cv_results_ : dict of str to ndarray
        With ``"cv"``, in the manner of scikit-learn: ``shrinkage`` of shape (n_candidates,
        n_modalities), ``split0_test_score``, ..., ``mean_test_score``, ``std_test_score``.
    moments_ : tuple of Patterns or None
        Moments of the training rows in their units, of each fold by itself, which `partial_fit`
        and `merge` add to. None where a modality had more columns than rows and the fit did not
        form them.
    units_ : dict of str to float
        What the columns of each modality are divided by in a fit, so that their squares are within
        range: a power of two, 1 unless they are beyond 1e60 or below 1e-60 (float32: 1e13, 1e-13).
        `partial_fit` takes it from the first chunk.
    n_samples_seen_ : int
        Rows so far.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    SparseCCA : Few columns of many have a weight.

    Notes
    -----
    **Both modalities are columns of X** (:func:`pack` puts them side by side). What scikit-learn's
    class of this name takes as ``y`` is ignored here.

    **Rows that lack modalities.** The covariance of two modalities is that of the rows that show
    both, their means and own covariances those of the rows that show them. Should the whole not be
    a covariance, the nearest correlation matrix by eigenvalues takes its place. `transform` is the
    mean of the variates of the modalities that a row shows, and zero where it shows none.

    **Cost.** One product of the rows with themselves, in O(p^2) memory: X may be a memory map, and
    `partial_fit` takes any number of chunks. A modality with more columns than rows is first
    turned into coordinates in the space of its rows, which changes no answer, in O(n^2 p). Columns
    that are constant or follow from others are no matter; units of columns do not matter where
    s = 0, and else they do: scale them first.

    **Few rows.** Where n is not well above the number of columns, correlations without shrinkage
    come near 1 whatever the data. See `score` and `permutation_test`.

    References
    ----------
    .. [1] Hotelling (1936), Relations between two sets of variates. Biometrika 28, 321-377.
    .. [2] Carroll (1968), Generalization of canonical correlation analysis to three or more sets of
       variables. Proc. 76th Convention of the APA, 227-228.
    .. [3] Kettenring (1971), Canonical analysis of several sets of variables. Biometrika 58,
       433-451.
    .. [4] Vinod (1976), Canonical ridge and econometrics of joint production. J. Econometrics 4,
       147-166.
    .. [5] Winkler, Renaud, Smith & Nichols (2020), Permutation inference for canonical correlation
       analysis. NeuroImage 220, 117065.

    Examples
    --------
    >>> import mmgraph as mg
    >>> from sklearn.datasets import load_linnerud
    >>> linnerud = load_linnerud()
    >>> X, modalities = mg.pack(exercise=linnerud.data, body=linnerud.target)
    >>> cca = mg.CCA(n_components=3, modalities=modalities).fit(X)
    >>> cca.canonical_correlations_.round(4)
    array([0.7956, 0.2006, 0.0726])
    >>> cca.transform(X).shape
    (20, 3)
    >>> cca.permutation_test(X, 999, random_state=0).p_values.round(1)
    array([0.1, 0.9, 0.9])
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        criterion: Literal["maxvar", "sumcor", "ssqcor"] = "maxvar",
        shrinkage: float | Mapping | str = 0.0,
        shrinkages: ArrayLike | None = None,
        cv: Any = 5,
        modalities: Modalities | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ):
        self.n_components = n_components
        self.criterion = criterion
        self.shrinkage = shrinkage
        self.shrinkages = shrinkages
        self.cv = cv
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
        self._check_names()
        self.units_ = units_of(views)
        views, bases = self._coordinates(in_units(views, self.units_))
        moments = self._gather(views, 0)
        fourth = {}
        if "ledoit-wolf" in self._wanted().values():
            for name in views.blocks:
                rows = views.shown(name)
                fourth[name] = quartic(rows, mean_of(rows))
        self.moments_ = None if bases else moments
        self.n_samples_seen_, self._precision = views.n_rows, _precision(views)
        return self._solve(moments, bases, fourth)

    def partial_fit(self, X, y=None):
        """Add rows to those fitted so far.

        The result is that of `fit` on all of them. The memory taken is that of one chunk and of the
        moments, O(n_features^2), whatever the number of rows.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            More rows, NaN where a modality is absent.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`. Rows that cannot be solved for, since they are too few, are kept all the same.
        """
        self._check_parameters()
        self._check_parts("partial_fit")
        first = not hasattr(self, "moments_")
        if not first:
            self._check_moments("partial_fit")
        views = self._check(X, reset=first)
        self._check_names()
        seen = 0 if first else self.n_samples_seen_
        if first:
            self.units_ = units_of(views)
        moments = self._gather(in_units(views, self.units_), seen)
        if first:
            self.moments_, self._precision = moments, _precision(views)
        else:
            self._add(moments, _precision(views))
        self.n_samples_seen_ = seen + views.n_rows
        return self._solve(self.moments_, {}, {})

    def merge(self, *others):
        """Add the rows that others were fitted to: those of other files, processes or machines.

        The result is that of `fit` on all rows, this one's first. Only moments are looked at, of
        size O(n_features^2) whatever the number of rows; the parameters are those of this one.

        Parameters
        ----------
        *others : CCA
            Fitted to other rows of the same columns, by `partial_fit` or `fit`. They stay as they
            are.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If another one is no CCA.
        ValueError
            If it has other columns, modalities or folds, or kept no moments.

        Examples
        --------
        Two workers fit a part of the rows each:

        >>> import numpy as np
        >>> import mmgraph as mg
        >>> from joblib import Parallel, delayed
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 1)) + rng.normal(size=(200, 6))
        >>> cca = mg.CCA(1, modalities={"a": [0, 1, 2], "b": [3, 4, 5]})
        >>> work = [delayed(cca.partial_fit)(part) for part in np.array_split(X, 2)]
        >>> first, second = Parallel(n_jobs=2)(work)
        >>> merged, whole = first.merge(second), cca.fit(X)
        >>> np.allclose(merged.canonical_correlations_, whole.canonical_correlations_)
        True
        """
        check_is_fitted(self)
        self._check_parameters()
        self._check_parts("merge")
        self._check_moments("merge")
        for other in others:
            self._check_like(other)
        models = self, *others
        units = {name: max(model.units_[name] for model in models) for name in self.units_}
        parts = [model._folds_in(units, self._device) for model in models]
        self.units_, self.moments_ = units, parts[0]
        for other, folds in zip(others, parts[1:], strict=True):
            # Rows are dealt to the folds in turn, so those of the other go on where these end.
            shift = -self.n_samples_seen_ % len(folds)
            self._add((*folds[shift:], *folds[:shift]), other._precision)
            self.n_samples_seen_ += other.n_samples_seen_
        return self._solve(self.moments_, {}, {})

    def permutation_test(self, X, n_permutations=1000, *, statistic="wilks", random_state=None):
        """Test whether components are more than chance, on the rows that the model was fitted to.

        Each component is tested together with those after it, on what the earlier ones leave of the
        columns. The rows of all modalities but the first are shuffled, and p-values are stepped
        down: they do not fall from one component to the next, and the chance that any component
        without a true correlation has p <= a is at most a. Rows that lack a modality are left out.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            The training rows.
        n_permutations : int, default=1000
            Number of shuffles. The smallest p-value is 1 / (n_permutations + 1).
        statistic : {"wilks", "roy"}, default="wilks"
            Minus the log of Wilks' lambda, which looks at the component and all after it, or Roy's
            largest root, which looks at it alone.
        random_state : int, RandomState, Generator or None, default=None
            Seed of the shuffles.

        Returns
        -------
        PermutationTest
            ``statistics``, ``p_values`` and ``null``, see
            :class:`~mmgraph.engine.permutation.PermutationTest`.

        References
        ----------
        .. [1] Winkler, Renaud, Smith & Nichols (2020), Permutation inference for canonical
           correlation analysis. NeuroImage 220, 117065.
        """
        views = self._check(X)
        require("n_permutations", n_permutations, "1", "inf", numbers.Integral)
        choose("statistic", statistic, tuple(permutation.STATISTICS))
        if len(views.blocks) == 1:
            raise ValueError("X is one modality: a test of correlations needs two or more.")
        whole = np.logical_and.reduce(list(views.present.values()))
        views = in_units(views.take(whole), self.units_)
        rest = views.n_rows - 1
        width = sum(min(rest, block.shape[1]) for block in views.blocks.values())
        if min(self.shrinkage_.values()) == 0 and rest <= width:
            raise ValueError(
                f"{views.n_rows} rows show all modalities, which have {self.n_features_in_} "
                "columns: without shrinkage they are perfectly correlated however they are "
                "shuffled. Set shrinkage, or give more rows."
            )
        blocks, weights = [], []
        for name, block in views.blocks.items():
            mean = mean_of(block)
            if block.shape[1] > views.n_rows:
                coordinates, basis = row_space(block, mean)
                blocks.append(coordinates)
                weights.append(basis.T @ (self.weights_[name] * self.units_[name]))
            else:
                dense = block.toarray() if sp.issparse(block) else block
                blocks.append(dense - mean)
                weights.append(self.weights_[name] * self.units_[name])
        return permutation.permutation_test(
            blocks,
            weights,
            n_permutations,
            np.random.default_rng(key(random_state)),
            shrinkage=list(self.shrinkage_.values()),
            widths=[block.shape[1] for block in views.blocks.values()],
            statistic=statistic,
        )

    def transform(self, X, y=None):
        """Representation of each row: the mean of the variates of the modalities that it shows.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : ignored
            scikit-learn's checks pass it to any estimator of this name.

        Returns
        -------
        Z : ndarray of shape (n_rows, n_components)
            In the floating type of X; zero where a row shows nothing.
        """
        return super().transform(X)

    # The steps of a fit ---------------------------------------------------------------------------

    def _check_parameters(self):
        require("n_components", self.n_components, "1", "inf", numbers.Integral)
        require("cv", self.cv, "2", "inf", numbers.Integral)
        choose("criterion", self.criterion, tuple(CRITERIA))
        for name, s in self._by_name().items() or {"": self.shrinkage}.items():
            label = f"shrinkage[{name!r}]" if name else "shrinkage"
            if isinstance(s, str):
                choose(label, s, FORMULAS[:2] if name else FORMULAS)
            else:
                require(label, s, "0", "1", numbers.Real)
        if self.shrinkages is not None:
            candidates = np.ravel(np.asarray(self.shrinkages, dtype=object))
            if not len(candidates):
                raise ValueError("shrinkages is empty: give candidates from 0 to 1, or None.")
            for s in candidates:
                require("shrinkages", s, "0", "1", numbers.Real)

    def _by_name(self):
        return self.shrinkage if isinstance(self.shrinkage, Mapping) else {}

    def _check_names(self):
        for name in self._by_name():
            self.layout_.require(name)

    def _wanted(self):
        """The parameter `shrinkage` for each modality; 0 where a dict leaves one out."""
        if isinstance(self.shrinkage, Mapping):
            return {name: self.shrinkage.get(name, 0.0) for name in self.layout_.names}
        return dict.fromkeys(self.layout_.names, self.shrinkage)

    def _coordinates(self, views):
        """Views with coordinates for modalities of more columns than rows, and their bases."""
        xp = views.xp
        blocks, bases = dict(views.blocks), {}
        for name, block in views.blocks.items():
            shown = views.present[name]
            if block.shape[1] > shown.sum():
                rows = views.shown(name)
                mean = mean_of(rows)
                coordinates, basis = row_space(rows, mean)
                blocks[name] = xp.zeros((views.n_rows, coordinates.shape[1]))
                blocks[name][xp.asarray(shown)] = coordinates
                bases[name] = mean, basis
        return views._replace(blocks=blocks), bases

    def _gather(self, views, seen):
        """Moments of the rows, of each fold by itself; `seen` rows came before."""
        if self.shrinkage != "cv":
            return (gather(views.blocks, views.patterns()),)
        parts = (
            views.take(slice((fold - seen) % self.cv, None, self.cv)) for fold in range(self.cv)
        )
        return tuple(gather(part.blocks, part.patterns()) for part in parts)

    def _check_parts(self, verb):
        """Refuse to learn from parts of the rows what needs all at once."""
        if "ledoit-wolf" in (self.shrinkage, *self._by_name().values()):
            raise ValueError(
                f"shrinkage='ledoit-wolf' looks at all rows at once, but {verb} sees them in "
                "parts: choose 'oas' or 'cv', or call fit."
            )

    def _check_moments(self, verb):
        """Refuse to add to moments that are not there, or of other folds."""
        if self.moments_ is None:
            raise ValueError(
                "the last fit had more columns than rows and did not form the moments that "
                f"{verb} adds to: begin with partial_fit."
            )
        n_folds = self.cv if self.shrinkage == "cv" else 1
        if len(self.moments_) != n_folds:
            raise ValueError(
                f"shrinkage or cv changed, which asks for {n_folds} fold(s), but the "
                f"rows so far are in {len(self.moments_)}: call fit, or set them back."
            )

    def _check_like(self, other):
        """Refuse to merge with what has not seen the same columns in the same way."""
        if not isinstance(other, CCA):
            raise TypeError(f"{other!r} cannot be merged with a CCA: give CCAs of other rows.")
        check_is_fitted(other)
        if _columns_of(self) != _columns_of(other):
            raise ValueError(
                f"{other!r} was fitted to other columns or modalities than this one: both must "
                "have seen rows of the same columns."
            )
        if other.moments_ is None or len(other.moments_) != len(self.moments_):
            raise ValueError(
                f"{other!r} kept no moments, or those of other folds: fit it by partial_fit, with "
                "the shrinkage and cv of this one."
            )

    def _folds_in(self, units, device):
        """The moments of each fold in other units, on a device."""
        factors = {name: own / units[name] for name, own in self.units_.items()}
        return tuple(fold.times(factors) for fold in placed(self.moments_, device))

    def _add(self, folds, precision):
        """Add moments of more rows, by fold."""
        self.moments_ = tuple(a.merge(b) for a, b in zip(self.moments_, folds, strict=True))
        self._precision = tuple(map(max, self._precision, precision))

    def _solve(self, folds, bases, fourth):
        whole = folds[0]
        for fold in folds[1:]:
            whole = whole.merge(fold)
        moments, names = whole.pairwise(), list(whole.columns)
        places = list(whole.columns.values())
        covariance = standardise(moments, names, places, self._precision[1])
        problem = {
            "widths": [len(self.layout_.columns[name]) for name in names],
            "tol": self._precision[0],
        }
        self.shrinkage_ = dict(zip(names, [0.0] * len(names), strict=True))
        if self.shrinkage == "cv":
            self._search(folds, problem)
        else:
            self._formulas(whole, covariance, fourth, problem["widths"])
        weights = solve(
            covariance,
            places,
            self.n_components,
            shrinkage=list(self.shrinkage_.values()),
            criterion=self.criterion,
            **problem,
        )
        self._tell(moments, covariance, whole.columns, weights, bases)
        return self

    def _search(self, folds, problem):
        """Choose the shrinkage by the held-out correlations."""
        names = list(self.shrinkage_)
        candidates = GRID if self.shrinkages is None else np.sort(np.ravel(self.shrinkages))
        if len(names) == 2:
            settings = list(itertools.product(candidates.tolist(), repeat=2))
        else:
            settings = [(s,) * len(names) for s in candidates.tolist()]
        scores = score_path(folds, settings, self.n_components, **problem)
        mean = scores.mean(axis=1)
        self.cv_results_ = {
            "shrinkage": np.array(settings),
            **{f"split{f}_test_score": column for f, column in enumerate(scores.T)},
            "mean_test_score": mean,
            "std_test_score": scores.std(axis=1),
        }
        self.shrinkage_ = dict(zip(names, settings[int(np.argmax(mean))], strict=True))

    def _formulas(self, whole, covariance, fourth, widths):
        for (name, s), width in zip(self._wanted().items(), widths, strict=True):
            at = whole.columns[name]
            own, n = covariance[at, at], whole.of(name).n if isinstance(s, str) else 0
            if s == "ledoit-wolf":
                s = ledoit_wolf(own, n, width, fourth[name])
            elif s == "oas":
                s = oracle_approximating(own, n, width)
            self.shrinkage_[name] = float(s)

    def _tell(self, moments, covariance, columns, weights, bases):
        """Set what is known of a solution, in the columns of X."""
        xp = namespace(covariance)
        places = list(columns.values())
        half = [covariance[:, place] @ w for place, w in zip(places, weights, strict=True)]
        variates = xp.stack(
            [xp.stack([w.T @ h[i] for h in half]) for w, i in zip(weights, places, strict=True)]
        )
        means, own, variances, between = {}, {}, {}, []
        shares = []
        for i, (name, place) in enumerate(columns.items()):
            to = [h[place] for h in half]
            within, w = covariance[place, place], weights[i]
            shares.append(explained_covariance(covariance[place], place, w, half[i][place]))
            if name in bases:
                means[name], basis = bases[name]
                to, w = [basis @ h for h in to], basis @ w
                variances[name] = xp.einsum("pr,pr->p", basis @ within, basis)
            else:
                means[name], variances[name] = moments.mean[place].copy(), within.diagonal()
            own[name] = w
            between.append(to)
        self._keep(means, own, variances, between, variates, self.units_)
        self.explained_covariance_ = dict(zip(columns, shares, strict=True))


def _columns_of(model):
    """The columns that an estimator was fitted to: all names, and those of each modality."""
    modalities = [(name, list(at)) for name, at in model.layout_.columns.items()]
    return model.n_features_in_, list(getattr(model, "feature_names_in_", [])), modalities


def _precision(views):
    """Relative variance of a combination of columns, and deviation of one, that are rounding."""
    raw = any(map(sp.issparse, views.blocks.values()))
    return TOL[views.dtype.itemsize], SPARSE_SPREAD if raw else SPREAD
