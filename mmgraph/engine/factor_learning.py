"""Fitting of factors to moments by pattern: a spectral start, and EM with expanded parameters.

A step costs the same for any number of rows: it sees the moments of each pattern of shown
modalities only.

References
----------
.. [1] Bach & Jordan (2005), A probabilistic interpretation of canonical correlation analysis.
       Technical report 688, Department of Statistics, UC Berkeley.
.. [2] Rubin & Thayer (1982), EM algorithms for ML factor analysis. Psychometrika 47, 69-76.
.. [3] Liu, Rubin & Wu (1998), Parameter expansion to accelerate EM: the PX-EM algorithm.
       Biometrika 85, 755-770.
.. [4] Tipping & Bishop (1999), Probabilistic principal component analysis. Journal of the Royal
       Statistical Society B 61, 611-622.
"""

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from ..backend.arrays import namespace
from .factors import LOG_2PI, Factors, divide, leading, ordered, whiten
from .moments import Moments
from .spectral import cho_solve, cholesky, eigh, svd

__all__ = [
    "Step",
    "candidates",
    "correlation",
    "expectation",
    "fewest",
    "fit",
    "held_out_scores",
    "log_likelihood",
    "maximise",
    "oas",
    "prior_rows",
    "spectral_start",
]

FLOOR = 1e-8  # least variance of the noise in any direction, in standard units
MOST_SHRINKAGE = 0.95  # of the automatic one
MOST_EXPLAINED = 0.95  # share of the variance in any direction that a start gives to the factors
MOST_COMPONENTS = 100  # of the numbers that are tried
PATIENCE = 4  # numbers in a row that are no better than one before
EVERY_ONE = 16  # up to where every number is tried; beyond, in steps of a tenth


class Step(NamedTuple):
    """A step of the fit: its number, the parameters and what they reach."""

    number: int
    factors: Factors
    metrics: Mapping


class Sums(NamedTuple):
    """Expected statistics of some rows, of the components and of one modality's columns.

    Attributes
    ----------
    n : float
        Number of rows.
    n_free : float
        Those of them that tell of the means: all but those of the prior.
    z : array of shape (n_components,)
        Sum of the components.
    zz : array of shape (n_components, n_components)
        Sum of their products.
    x : array of shape (n_columns,)
        Sum of the columns, about the present means.
    xz : array of shape (n_columns, n_components)
        Sum of their products with the components.
    xx : array of shape (n_columns, n_columns) or (n_columns,)
        Sum of their products, or of their squares where these suffice.
    """

    n: float
    n_free: float
    z: np.ndarray
    zz: np.ndarray
    x: np.ndarray | float = 0.0
    xz: np.ndarray | float = 0.0
    xx: np.ndarray | float = 0.0

    def plus(self, other):
        """The sums of both sets of rows."""
        return Sums(*(one + two for one, two in zip(self, other, strict=True)))


def correlation(patterns):
    """Covariance of all columns from the rows that show both, and the number of these rows.

    Returns
    -------
    covariance, n_rows : array of shape (n_columns, n_columns)
        Zero where no row shows both.
    """
    xp = patterns.xp
    covariance, n_rows = (xp.zeros((patterns.n_columns,) * 2) for _ in range(2))
    places = patterns.columns
    for one, two in combinations_with_replacement(places, 2):
        moments = patterns.of(one, two)
        if moments.n:
            a, b = places[one], places[two]
            width = a.stop - a.start
            block = moments.covariance[:width, -(b.stop - b.start) :]
            covariance[a, b], covariance[b, a] = block, block.T
            n_rows[a, b] = n_rows[b, a] = moments.n
    return covariance, n_rows


def oas(patterns):
    """The share of the prior that approximates the best one (oracle approximating shrinkage).

    Equation 23 of Chen, Wiesel, Eldar & Hero (2010), Shrinkage algorithms for MMSE covariance
    estimation, IEEE Transactions on Signal Processing 58, 5016-5029, in standard units.
    """
    xp = patterns.xp
    covariance, n_rows = correlation(patterns)
    p, n = len(covariance), float(xp.diag(n_rows).mean())
    squared, of_squares = float(xp.trace(covariance)) ** 2, float(xp.sum(covariance**2))
    spread = (n + 1 - 2 / p) * (of_squares - squared / p)
    found = ((1 - 2 / p) * of_squares + squared) / max(spread, FLOOR)
    return float(np.clip(found, 0.0, MOST_SHRINKAGE))


def prior_rows(patterns, shrinkage):
    """The number of rows of the prior that are a share of all."""
    return sum(group.n for group in patterns.groups.values()) * shrinkage / (1 - shrinkage)


def fit(patterns, n_components, noise, n_prior=0.0, *, max_iter=500, tol=1e-4):
    """Fit the model: in closed form where there is one, else by EM from a spectral start.

    What is maximised is the log-likelihood of the rows and of `n_prior` more, complete,
    uncorrelated and of unit variance: an inverse Wishart prior of the covariance of all columns.
    It never falls.

    Parameters
    ----------
    patterns : Patterns
        Moments in standard units.
    n_components : int
        Number of components.
    noise : dict of str to {"full", "diagonal", "isotropic"}
        What covariance the noise of each modality may have. The noise of a single modality must not
        be full, or nothing is left to the factors.
    n_prior : float
        Weight of the prior, as a number of rows.
    max_iter : int
        Largest number of steps.
    tol : float
        Gain of the objective, in nats a row, under which the fit ends.

    Yields
    ------
    Step
        With the metrics ``log_likelihood`` of the rows and ``objective``, which counts the prior
        too, both in nats a row and in standard units.
    """
    factors, exact = spectral_start(patterns, n_components, noise, n_prior)
    sums, metrics = expectation(factors, patterns, n_prior)
    if exact:
        yield Step(1, factors, metrics)
        return
    for number in range(1, max_iter + 1):
        before = metrics["objective"]
        factors = maximise(factors, sums, noise)
        sums, metrics = expectation(factors, patterns, n_prior)
        yield Step(number, factors, metrics)
        if metrics["objective"] - before < tol:
            return


def spectral_start(patterns, n_components, noise, n_prior=0.0):
    """Parameters from the eigenvectors of the covariance, each entry from the rows that show both.

    Returns
    -------
    factors : Factors
    exact : bool
        Whether they are the maximum of the likelihood: for two complete modalities with full noise
        (Bach & Jordan 2005) and a single one with isotropic noise (Tipping & Bishop 1999) they are.
    """
    xp = patterns.xp
    total, n_rows = correlation(patterns)
    total *= n_rows / xp.maximum(n_rows + n_prior, 1.0)
    total += xp.diag(n_prior / (xp.diag(n_rows) + n_prior))
    places = patterns.columns
    kinds = [noise[name] for name in places]
    complete = len(patterns.groups) == 1
    if set(kinds) == {"full"}:
        parts = _shared_start(total, places, n_components, complete)
        exact = complete and len(places) == 2 and parts is not None
        parts = parts or _shared_start(total, places, n_components, False)
    else:
        loadings = _top(total, min(n_components, len(total) - 1), n_components)
        rest = total - loadings @ loadings.T
        parts = {name: (loadings[s], rest[s, s]) for name, s in places.items()}
        exact = complete and kinds == ["isotropic"]
    means = {name: xp.zeros(s.stop - s.start) for name, s in places.items()}
    loadings = {name: part[0] for name, part in parts.items()}
    noises = {name: _structured(part[1], noise[name]) for name, part in parts.items()}
    return Factors(means, loadings, noises), exact


def _top(matrix, rank, width):
    """The root of what the first eigenvectors have above the mean of the rest, in some columns."""
    xp = namespace(matrix)
    out = xp.zeros((len(matrix), width))
    if rank:
        values, vectors = eigh(matrix, rank)
        level = (xp.trace(matrix) - values.sum()) / max(len(matrix) - rank, 1)
        out[:, :rank] = (vectors * xp.sqrt(xp.maximum(values - level, 0.0)))[:, ::-1]
    return out


def _shared_start(total, places, width, exact):
    """Loadings and noise of each modality by the covariance between modalities alone.

    With two modalities the whitened loadings are canonical vectors times the roots of the canonical
    correlations, and exact; with more of them they are kept below what would leave no noise. None
    if they were to be exact and some correlation is 1.
    """
    xp = namespace(total)
    m = len(places)
    roots, whitened = {}, total.copy()
    for name, s in places.items():
        roots[name] = cholesky(_structured(total[s, s], "full"))
        whitened[s] = divide(roots[name], whitened[s])
        whitened[:, s] = divide(roots[name], whitened[:, s].T).T
    rank = min(width, len(total) - max(s.stop - s.start for s in places.values()))
    values, vectors = eigh(whitened, rank)
    # The diagonal blocks, which are identities, say nothing of the factors.
    strength = xp.maximum(values - 1, 0.0) * m / (m - 1)
    directions = (vectors * xp.sqrt(strength))[:, ::-1]
    if exact and values.max() - 1 >= 1 - FLOOR:  # the largest canonical correlation
        return None
    parts = {}
    for name, s in places.items():
        u, found, v = svd(directions[s])
        own = directions[s] if exact else u * xp.minimum(found, MOST_EXPLAINED**0.5) @ v
        loadings = xp.zeros((len(own), width))
        loadings[:, :rank] = roots[name] @ own
        parts[name] = loadings, total[s, s] - loadings @ loadings.T
    return parts


def expectation(factors, patterns, n_prior=0.0):
    """The expected statistics given what the rows show, and how likely that is.

    Parameters
    ----------
    factors : Factors
    patterns : Patterns
        Moments in standard units.
    n_prior : float
        Number of rows of the prior.

    Returns
    -------
    sums : dict of str or None to Sums
        By modality, over the rows that show it and those of the prior; under None over all rows.
    metrics : dict of str to float
        See :func:`fit`.
    """
    xp = patterns.xp
    whitened, inverses = whiten(factors), {}
    for name, (root, _, _) in whitened.items():
        eye = xp.eye(len(root))
        inverses[name] = 1 / root**2 if root.ndim == 1 else cho_solve(root, eye)
    groups = [(shown, group, True) for shown, group in patterns.groups.items()]
    n = sum(group.n for group in patterns.groups.values())
    if n_prior:
        every = Moments(n_prior, *_mean_and_identity(factors, patterns, n_prior))
        groups.append((frozenset(patterns.columns), every, False))
    sums, densities = {}, {True: 0.0, False: 0.0}
    for shown, group, free in groups:
        found, density = _expect(factors, patterns, shown, group, free, whitened, inverses)
        densities[free] += density
        for name, part in found.items():
            sums[name] = sums[name].plus(part) if name in sums else part
    metrics = {
        "log_likelihood": float(densities[True]) / n,
        "objective": float(densities[True] + densities[False]) / n,
    }
    return sums, metrics


def _mean_and_identity(factors, patterns, n):
    xp = patterns.xp
    means = [factors.means[name] for name in patterns.columns]
    return xp.concatenate(means), n * xp.eye(patterns.n_columns)


def _expect(factors, patterns, shown, group, free, whitened, inverses):
    """The statistics and the log-likelihood of the rows of one pattern."""
    xp = namespace(group.mean)
    names = [name for name in patterns.columns if name in shown]
    ends = np.cumsum([len(factors.means[name]) for name in names]).tolist()
    places = {
        name: slice(end - len(factors.means[name]), end)
        for name, end in zip(names, ends, strict=True)
    }
    n = group.n
    precision = xp.eye(factors.n_components)
    for name in names:
        precision += whitened[name].loadings.T @ whitened[name].loadings
    root = cholesky(precision)
    covariance = cho_solve(root, xp.eye(len(root)))
    informing = [_times(inverses[name], factors.loadings[name]) for name in names]
    weights = xp.concatenate(informing) @ covariance  # E[z] = weights' (x - mean)
    step = group.mean - xp.concatenate([factors.means[name] for name in names])
    z = n * (step @ weights)
    xz = group.scatter @ weights + xp.outer(step, z)
    explained = weights.T @ xz
    zz = n * covariance + explained
    density = n * (ends[-1] * LOG_2PI + 2 * xp.log(xp.diag(root)).sum())
    density -= xp.sum(precision * explained)
    sums = {None: Sums(n, n * free, z, zz)}
    for name, s in places.items():
        density += n * whitened[name].log_det
        inverse = inverses[name]
        if inverse.ndim == 1:
            xx = xp.diag(group.scatter)[s] + n * step[s] ** 2
        else:
            xx = group.scatter[s, s] + n * xp.outer(step[s], step[s])
        density += xp.sum(inverse * xx)
        sums[name] = Sums(n, n * free, z, zz, n * step[s], xz[s], xx)
    return sums, -0.5 * density


def _times(inverse, x):
    return inverse[:, None] * x if inverse.ndim == 1 else inverse @ x


def maximise(factors, sums, noise):
    """The parameters that the expected statistics make likeliest.

    The components' own mean and covariance are estimated too, and then made standard again by
    changing the loadings: parameter expansion, which takes longer steps than EM and is as safe.
    """
    xp = namespace(*factors.means.values())
    every = sums[None]
    centre = every.z / every.n_free
    spread = (every.zz - every.n_free * xp.outer(centre, centre)) / every.n
    turn = cholesky(spread)
    means, loadings, noises = {}, {}, {}
    for name, mean in factors.means.items():
        n, n_free, z, zz, x, xz, xx = sums[name]
        # A regression on the components and 1.
        corner = xp.full((1, 1), float(n_free))
        above = xp.concatenate([zz, z[:, None]], axis=1)
        below = xp.concatenate([z[None], corner], axis=1)
        gram = xp.concatenate([above, below])
        targets = xp.column_stack([xz, x])
        found = xp.linalg.solve(gram, targets.T).T
        if xx.ndim == 1:
            rest = (xx - xp.sum(found * targets, axis=1)) / n
        else:
            rest = xx - found @ targets.T
            rest = (rest + rest.T) / (2 * n)
        means[name] = mean + found[:, -1] + found[:, :-1] @ centre
        loadings[name] = found[:, :-1] @ turn
        noises[name] = _structured(rest, noise[name])
    return Factors(means, loadings, noises)


def _structured(rest, kind):
    """The likeliest covariance of a kind and above the floor, given one or its diagonal."""
    xp = namespace(rest)
    if kind != "full":
        diagonal = rest if rest.ndim == 1 else xp.diag(rest)
        if kind == "isotropic":
            diagonal = xp.zeros(len(diagonal)) + diagonal.mean()
        return xp.maximum(diagonal, FLOOR)
    try:
        cholesky(rest - FLOOR * xp.eye(len(rest)))
    except np.linalg.LinAlgError:
        values, vectors = xp.linalg.eigh(rest)
        rest = (vectors * xp.maximum(values, FLOOR)) @ vectors.T
        return (rest + rest.T) / 2
    return rest


def log_likelihood(factors, patterns):
    """Log-likelihood of rows by their moments, in nats a row and in standard units."""
    return expectation(factors, patterns)[1]["log_likelihood"]


def candidates(patterns, noise):
    """The numbers of components that are worth a try."""
    widths = [place.stop - place.start for place in patterns.columns.values()]
    full = all(noise[name] == "full" for name in patterns.columns)
    most = sum(widths) - (max(widths) if full else 1)
    most = max(1, min(most, MOST_COMPONENTS, sum(g.n for g in patterns.groups.values()) - 1))
    numbers = list(range(1, min(most, EVERY_ONE) + 1))
    while numbers[-1] < most:
        numbers.append(min(most, numbers[-1] + numbers[-1] // 10))
    return numbers


def held_out_scores(patterns, folds, noise, shrinkage, **settings):
    """Log-likelihood of rows that were held out, by number of components.

    With full noise the model is fitted only once to the other rows of each fold, with the most
    components. Of these the first few are kept, and the others become noise, which for two
    modalities is the very fit with so many components.

    Parameters
    ----------
    patterns : Patterns
        Moments of all rows, in standard units.
    folds : list of Patterns
        Moments of disjoint parts of them.
    noise, **settings
        As in :func:`fit`.
    shrinkage : float
        Share of the prior.

    Returns
    -------
    scores : dict of int to array of shape (n_folds,)
        In nats a row, by number of components, up to a few after the best one. Folds without which
        a modality is not shown are left out.
    """
    numbers = candidates(patterns, noise)
    pairs = [(patterns.subtract(fold), fold) for fold in folds if fold.groups]
    # A modality that few rows show may be in one fold only.
    pairs = [
        pair for pair in pairs if frozenset().union(*pair[0].groups) == patterns.columns.keys()
    ]
    if not pairs:
        return {1: np.zeros(1)}
    rests, folds = zip(*pairs, strict=True)

    def fitted(rest, n_components):
        *_, last = fit(rest, n_components, noise, prior_rows(rest, shrinkage), **settings)
        return last.factors

    if all(noise[name] == "full" for name in patterns.columns):
        most = [ordered(fitted(rest, numbers[-1])) for rest in rests]
        models = ((k, [leading(factors, k) for factors in most]) for k in numbers)
    else:
        models = ((k, [fitted(rest, k) for rest in rests]) for k in numbers)
    scores, best, waited = {}, -np.inf, 0
    for k, found in models:
        pairs = zip(found, folds, strict=True)
        scores[k] = np.array([log_likelihood(factors, fold) for factors, fold in pairs])
        score = scores[k].mean()
        best, waited = max(best, score), 0 if score > best else waited + 1
        if waited == PATIENCE:
            break
    return scores


def fewest(scores):
    """The fewest components whose score is within a standard error of the best one.

    Parameters
    ----------
    scores : dict of int to array of shape (n_folds,)
        From :func:`held_out_scores`.

    Returns
    -------
    int
    """
    best = max(scores, key=lambda k: scores[k].mean())
    for k, score in scores.items():
        short = scores[best] - score
        error = short.std(ddof=1) / np.sqrt(len(short)) if len(short) > 1 else 0.0
        if short.mean() <= error:
            return k
    return best
