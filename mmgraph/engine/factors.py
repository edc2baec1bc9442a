"""Factors shared by modalities: their record, its standard units, and what rows say of them.

The model of a row is

    z ~ N(0, I),    x_m = mean_m + W_m z + e_m,    e_m ~ N(0, Psi_m),

where Psi_m is any covariance (probabilistic CCA), diagonal (factor analysis) or a multiple of the
identity (probabilistic PCA). Given z the modalities are independent, so what a row does not show
drops out of everything, and no covariance between modalities is ever inverted.

All is computed in standard units, in which every column has mean 0 and (if its modality does not
have isotropic noise) variance 1. Columns that do not vary are no part of the model. It is fitted by
:mod:`mmgraph.engine.factor_learning`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..backend.arrays import namespace, pick, to_numpy
from .moments import Moments, Patterns, merge
from .spectral import cho_solve, cholesky, solve_triangular

__all__ = [
    "Factors",
    "Posterior",
    "Units",
    "covariance_given",
    "divide",
    "expect",
    "infer",
    "leading",
    "multiply",
    "ordered",
    "standardise",
    "units_of",
    "whiten",
]

LOG_2PI = float(np.log(2 * np.pi))


class Units(NamedTuple):
    """The standard units of a modality: x[columns] = location[columns] + scale * t.

    Attributes
    ----------
    location : array of shape (n_columns,)
        Mean of every column.
    columns : ndarray of int, shape (n_varying,)
        The columns that vary; always on the CPU.
    scale : array of shape (n_varying,)
        Their standard deviations.
    """

    location: np.ndarray
    columns: np.ndarray
    scale: np.ndarray

    def enter(self, x):
        """Values in standard units."""
        columns = namespace(x).asarray(self.columns)
        return (x[:, columns] - self.location[columns]) / self.scale

    def leave(self, t):
        """Values in the units of the data; columns that do not vary are at their mean."""
        xp = namespace(t)
        x = xp.empty((*t.shape[:-1], len(self.location)))
        x[:] = self.location
        x[..., xp.asarray(self.columns)] += self.scale * t
        return x

    def scaled(self, exponent):
        """The units of columns that are multiplied by a power of two."""
        xp = namespace(self.location)
        location, scale = (xp.ldexp(values, exponent) for values in (self.location, self.scale))
        return Units(location, self.columns, scale)

    @property
    def log_volume(self):
        """Logarithm of the volume of a unit cube, in the units of the data."""
        xp = namespace(self.scale)
        return float(xp.log(self.scale).sum())


class Factors(NamedTuple):
    """The parameters of the model, in standard units, by modality.

    Attributes
    ----------
    means : dict of str to array of shape (n_columns,)
        Means.
    loadings : dict of str to array of shape (n_columns, n_components)
        What a unit of each component adds.
    noises : dict of str to array of shape (n_columns, n_columns) or (n_columns,)
        Covariance of the noise, or its diagonal.
    """

    means: Mapping
    loadings: Mapping
    noises: Mapping

    @property
    def n_components(self):
        """Number of components."""
        return next(iter(self.loadings.values())).shape[1]


class Whitened(NamedTuple):
    """A modality in units of its noise.

    Attributes
    ----------
    root : array of shape (n_columns, n_columns) or (n_columns,)
        Cholesky factor of the covariance of the noise, or the standard deviations.
    loadings : array of shape (n_columns, n_components)
        The loadings divided by it.
    log_det : float
        Logarithm of the determinant of the covariance.
    """

    root: np.ndarray
    loadings: np.ndarray
    log_det: float


class Posterior(NamedTuple):
    """What rows that show the same modalities say of the components.

    Attributes
    ----------
    mean : array of shape (n_rows, n_components)
        Expected components.
    covariance : array of shape (n_components, n_components)
        Their covariance, the same for all rows.
    log_density : array of shape (n_rows,)
        Log-density of what the rows show, in standard units.
    """

    mean: np.ndarray
    covariance: np.ndarray
    log_density: np.ndarray


# The model ---------------------------------------------------------------------------------------


def whiten(factors):
    """Every modality in units of its noise, by name."""
    xp = namespace(*factors.noises.values())
    whitened = {}
    for name, noise in factors.noises.items():
        root = xp.sqrt(noise) if noise.ndim == 1 else cholesky(noise)
        scales = root if noise.ndim == 1 else xp.diag(root)
        loadings = divide(root, factors.loadings[name])
        whitened[name] = Whitened(root, loadings, 2 * xp.log(scales).sum())
    return whitened


def divide(root, x):
    """Columns x, of shape (n_columns, n), divided by a root of a covariance."""
    if root.ndim == 1:
        return x / root[:, None]
    return solve_triangular(root, x)


def multiply(root, x):
    """Columns x, of shape (n_columns, n), multiplied by a root of a covariance."""
    return root[:, None] * x if root.ndim == 1 else root @ x


def ordered(factors):
    """The same model with components in the order of what they tell, and signs fixed.

    The components become independent given a row that shows everything, those that it tells most
    about come first, and the largest loading of each is positive.
    """
    xp = namespace(*factors.noises.values())
    precision = sum(part.loadings.T @ part.loadings for part in whiten(factors).values())
    turn = xp.linalg.eigh(precision)[1][:, ::-1]
    every = xp.concatenate(list(factors.loadings.values())) @ turn
    largest = every[xp.abs(every).argmax(axis=0), xp.arange(every.shape[1])]
    turn = turn * xp.where(largest < 0, -1.0, 1.0)
    return factors._replace(loadings={k: w @ turn for k, w in factors.loadings.items()})


def leading(factors, n_components):
    """The first components; what the others explain of each modality goes to its noise."""
    xp = namespace(*factors.noises.values())
    loadings = {name: w[:, :n_components] for name, w in factors.loadings.items()}
    noises = {}
    for name, noise in factors.noises.items():
        rest = factors.loadings[name][:, n_components:]
        noises[name] = noise + (xp.sum(rest**2, axis=1) if noise.ndim == 1 else rest @ rest.T)
    return Factors(factors.means, loadings, noises)


def infer(factors, whitened, blocks, n_rows):
    """What rows say of the components.

    Parameters
    ----------
    factors : Factors
    whitened : dict of str to Whitened
        From :func:`whiten`.
    blocks : dict of str to array of shape (n_rows, n_columns)
        What all the rows show, in standard units.
    n_rows : int
        Number of rows.

    Returns
    -------
    Posterior
    """
    xp = namespace(*factors.means.values())
    precision = xp.eye(factors.n_components)
    told = xp.zeros((n_rows, factors.n_components))
    density = xp.zeros(n_rows)
    for name, block in blocks.items():
        part = whitened[name]
        rest = divide(part.root, (block - factors.means[name]).T)
        precision += part.loadings.T @ part.loadings
        told += rest.T @ part.loadings
        density += xp.sum(rest**2, axis=0) + len(rest) * LOG_2PI + part.log_det
    root = cholesky(precision)
    half = solve_triangular(root, told.T)
    density += 2 * xp.log(xp.diag(root)).sum() - xp.sum(half**2, axis=0)
    covariance = cho_solve(root, xp.eye(len(root)))
    return Posterior(told @ covariance, covariance, -0.5 * density)


def expect(factors, name, z):
    """Expected columns of a modality given components, in standard units."""
    return factors.means[name] + z @ factors.loadings[name].T


def covariance_given(factors, name, covariance):
    """Covariance of a modality given that of the components, in standard units."""
    xp = namespace(covariance)
    loadings, noise = factors.loadings[name], factors.noises[name]
    noise = xp.diag(noise) if noise.ndim == 1 else noise
    return loadings @ covariance @ loadings.T + noise


# Units ------------------------------------------------------------------------------------------


def units_of(patterns, common=()):
    """The standard units of each modality, from the rows that show it.

    The columns of the modalities in `common` keep their ratios: they have one scale, at which their
    mean variance is 1.
    """
    xp = patterns.xp
    units = {}
    for name in patterns.columns:
        moments = patterns.of(name)
        sd = xp.sqrt(xp.maximum(xp.diag(moments.scatter), 0.0) / moments.n)
        varies = sd > 8 * np.finfo(float).eps * xp.abs(moments.mean)
        varying, scale = np.flatnonzero(to_numpy(varies)), sd[varies]
        if name in common and len(scale):
            scale = xp.full(len(scale), float(xp.sqrt(xp.mean(scale**2))))
        units[name] = Units(moments.mean, varying, scale)
    return units


def standardise(patterns, units):
    """The moments in standard units, of the columns that vary and the modalities that have any."""
    names = [name for name, unit in units.items() if len(unit.columns)]
    ends = np.cumsum([len(units[name].columns) for name in names]).tolist()
    columns = {
        name: slice(end - len(units[name].columns), end)
        for name, end in zip(names, ends, strict=True)
    }
    groups = {}
    for shown, group in patterns.groups.items():
        kept, location, scale, width = [], [], [], 0
        for name in units:
            if name in shown:
                unit = units[name]
                kept.append(width + unit.columns)
                location.append(pick(unit.location, unit.columns))
                scale.append(unit.scale)
                width += len(unit.location)
        kept = np.concatenate(kept)
        location, scale = map(patterns.xp.concatenate, (location, scale))
        if len(kept):
            found = group.take(kept)
            scatter = found.scatter / scale / scale[:, None]
            found = Moments(group.n, (found.mean - location) / scale, scatter)
            key = shown.intersection(names)
            groups[key] = merge(groups[key], found) if key in groups else found
    return Patterns(columns, groups)
