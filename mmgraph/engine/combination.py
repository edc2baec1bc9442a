"""Weights of a combination of kernels: one function a method, looked up in :data:`SOLVERS`.

A solver sees the kernels as an operator, a *bank*: weights in, combined Gram matrix out; vectors or
a matrix in, one number a kernel out. How the bank holds the kernels is its own affair, so the
memory of a solver is that of a few Gram matrices, however many kernels there are. A bank has

=====================  ===========================================================================
``n_kernels``          number of kernels, M
``n_rows``             number of rows, n
``combine(weights)``   sum of the weighted Gram matrices, of shape (n, n)
``forms(V)``           v' K v for each kernel and column of V (n, c), of shape (M, c)
``inner(A)``           sum of the entries of each Gram matrix times A (n, n), of shape (M,)
``products(V)``        each Gram matrix times V (n, c), of shape (M, n, c)
``gather(V)``          sum of the Gram matrices times their own V (M, n, c), of shape (n, c)
``alignments(V)``      of the centred Gram matrices: forms of V, whose columns have mean zero, of
                       shape (M, c), and inner products of all pairs, of shape (M, M)
``squares()``          sum of the squares (as matrices) of the Gram matrices, of shape (n, n)
=====================  ===========================================================================

Targets are columns: one of -1 and 1 for two classes, one a class (1 for it, -1 for the others) for
more, the values themselves in regression. All columns share the weights.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize, nnls
from scipy.stats import norm

__all__ = ["SOLVERS", "Combination", "Problem", "Solution", "support_vectors"]


class Problem(NamedTuple):
    """What the weights are learnt for.

    Attributes
    ----------
    targets : ndarray of shape (n_rows, n_columns)
        See the module.
    C : float
        Penalty of the support vector machine; the ridge is 1 / C.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of the rows, by which C is multiplied.
    epsilon : float or None
        Width of the tube in regression; None in classification.
    alignments : (ndarray, ndarray) or None
        What ``bank.alignments`` says of the centred targets, if it is known.
    """

    targets: np.ndarray
    C: float = 1.0
    sample_weight: np.ndarray | None = None
    epsilon: float | None = None
    alignments: tuple | None = None

    @property
    def row_weights(self):
        """The weights as an array."""
        return np.ones(len(self.targets)) if self.sample_weight is None else self.sample_weight

    @property
    def centred_targets(self):
        """The targets less their mean."""
        return self.targets - np.average(self.targets, axis=0, weights=self.row_weights)

    def columns(self, some):
        """The problem of some columns of the targets."""
        known = self.alignments
        if known is not None:
            known = known[0][:, some], known[1]
        return self._replace(targets=self.targets[:, some], alignments=known)

    def take(self, rows):
        """The problem of some of the rows."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return self._replace(targets=self.targets[rows], sample_weight=weight, alignments=None)


class Solution(NamedTuple):
    """Machines at given weights.

    Attributes
    ----------
    dual : ndarray of shape (n_rows, n_columns)
        Coefficients of the rows in each decision function.
    objective : float
        Value of the dual, summed over the columns.
    intercept : ndarray of shape (n_columns,)
        Constants of the decision functions.
    """

    dual: np.ndarray
    objective: float
    intercept: np.ndarray


class Combination(NamedTuple):
    """What a solver returns.

    Attributes
    ----------
    weights : ndarray of shape (n_kernels,)
        At least 0 (but of ``"bayes"``, whose weights are free).
    history : dict of str to list
        By iteration; ``objective`` and, where there is one, ``gap``.
    gap : float
        Last duality gap, relative to the objective; NaN where the method has none.
    converged : bool
        Whether the tolerance was reached.
    std : ndarray of shape (n_kernels,) or None
        Uncertainty of the weights, where the method has one.
    """

    weights: np.ndarray
    history: dict
    gap: float = np.nan
    converged: bool = True
    std: np.ndarray | None = None


def support_vectors(gram, problem, tol=1e-3):
    """Support vector machines on a ready Gram matrix, one a column of the targets.

    Parameters
    ----------
    gram : ndarray of shape (n_rows, n_rows)
    problem : Problem
    tol : float
        How far the optimality conditions of a machine may be missed.

    Returns
    -------
    Solution
    """
    from sklearn.svm import SVC, SVR

    dual, objective = np.zeros(problem.targets.shape), 0.0
    intercept = np.zeros(problem.targets.shape[1])
    for column, target in enumerate(problem.targets.T):
        if problem.epsilon is None and (target == target[0]).all():  # nothing to separate
            intercept[column] = target[0]
            continue
        settings = {"kernel": "precomputed", "C": problem.C, "tol": tol, "cache_size": 500}
        if problem.epsilon is None:
            machine = SVC(**settings)
        else:
            machine = SVR(epsilon=problem.epsilon, **settings)
        machine.fit(gram, target, sample_weight=problem.sample_weight)
        coefficients = machine.dual_coef_[0]
        beta = dual[:, column]
        beta[machine.support_] = coefficients
        intercept[column] = machine.intercept_[0]
        # Sum of alpha in classification; y'beta less the tube in regression.
        linear = beta @ target
        if problem.epsilon is not None:
            linear -= problem.epsilon * np.abs(beta).sum()
        objective += linear - 0.5 * beta @ gram @ beta
    return Solution(dual, float(objective), intercept)


# Closed forms ------------------------------------------------------------------------------------


def mean(bank, problem):
    """Equal weights: the baseline that a learnt combination has to beat."""
    return Combination(np.full(bank.n_kernels, 1 / bank.n_kernels), {})


def align(bank, problem):
    """Weights by the centred alignment of each kernel alone with the targets.

    References
    ----------
    Cortes, Mohri & Rostamizadeh (2012). Algorithms for learning kernels based on centered
    alignment. JMLR 13, section 4.1.
    """
    alignments, moments = _alignments(bank, problem)
    norms = np.sqrt(np.maximum(np.diag(moments), 0))
    return Combination(_simplex(_ratio(np.maximum(alignments, 0), norms)), {})


def single(bank, problem):
    """The one kernel that is best aligned with the targets: a baseline too."""
    return Combination(
        1.0 * (np.arange(bank.n_kernels) == align(bank, problem).weights.argmax()), {}
    )


def alignf(bank, problem, *, penalty=1.0):
    """Weights of the combination whose centred alignment with the targets is the largest.

    Minimises v'Mv - 2 v'a + r |v - u|^2 over v >= 0, where M holds the inner products of the
    centred Gram matrices, scaled to unit length, a those with the targets, and u is the multiple of
    equal weights that is best aligned. Without the ridge r that is proposition 9 of Cortes, Mohri &
    Rostamizadeh (2012); as r grows, weights tend to equal ones.

    Parameters
    ----------
    penalty : float
        The ridge, in units of the number of kernels times that of kernels a row. At 0 many kernels
        and few rows overfit.
    """
    if not penalty >= 0:
        raise ValueError(f"penalty={penalty}: it must be at least 0.")
    alignments, moments = _alignments(bank, problem)
    scale = np.sqrt(np.maximum(np.diag(moments), 0))
    inverse = _ratio(1.0, scale)
    unit = moments * np.outer(inverse, inverse)
    aligned = alignments * inverse
    if not (aligned > 0).any():
        return mean(bank, problem)
    equal = scale / np.linalg.norm(scale)
    equal *= max(equal @ aligned, 0.0) / (equal @ unit @ equal)
    # Duplicates make the moments singular: even a small ridge shares the weight among them.
    ridge = max(penalty * bank.n_kernels**2 / problem.row_weights.sum(), 1e-8)
    root = cholesky(unit + ridge * np.eye(len(unit)), lower=True)
    found, _ = nnls(root.T, solve_triangular(root, aligned + ridge * equal, lower=True))
    return Combination(_simplex(found * inverse), {})


def easy(bank, problem, *, mixing=0.1):
    """Weights by the margins of the equal combination (EasyMKL).

    The distributions over the rows of both classes whose means are closest, at a ridge of
    ``mixing``, are found in one support vector machine with hard margin; a kernel's weight is the
    square of the distance of these means in its own feature space.

    References
    ----------
    Aiolli & Donini (2015). EasyMKL: a scalable multiple kernel learning algorithm.
    Neurocomputing 169, 215-224.
    """
    gram = bank.combine(np.full(bank.n_kernels, 1 / bank.n_kernels))
    size = np.average(np.diag(gram), weights=problem.row_weights)
    gram = (1 - mixing) * gram + mixing * size * np.diag(1 / problem.row_weights)
    dual = support_vectors(gram, problem._replace(C=1e6), tol=1e-4).dual
    total = np.abs(dual).sum(axis=0)
    dual = dual[:, total > 0] / total[total > 0]
    return Combination(_simplex(np.maximum(bank.forms(dual).sum(axis=1), 0)), {})


# Descent on the support vector machine's objective ---------------------------------------------


def simple(bank, problem, *, tol=1e-3, max_iter=200, solve=support_vectors):
    """Sparse weights that sum to one, by reduced gradient (SimpleMKL), with its curvature.

    Minimises the optimal value of the machine over the simplex. The gap is that of the convex
    problem, the largest form of a kernel less the weighted mean, relative to the objective. The
    curvature is exact as long as the same rows are support vectors.

    References
    ----------
    Rakotomamonjy, Bach, Canu & Grandvalet (2008). SimpleMKL. JMLR 9, algorithm 1.
    Chapelle & Rakotomamonjy (2008). Second order optimization of kernel parameters. NIPS workshop.
    """

    def machine(weights):
        gram = bank.combine(weights)
        return solve(gram, problem, tol=min(1e-3, tol / 10)), gram

    weights = np.full(bank.n_kernels, 1 / bank.n_kernels)
    now, gram = machine(weights)
    history, gap = {"objective": [], "gap": []}, np.inf
    for _ in range(max_iter):
        products = bank.products(now.dual)
        forms = np.einsum("nc,mnc->m", now.dual, products)
        gap = 0.5 * (forms.max() - weights @ forms) / max(abs(now.objective), 1e-300)
        history["objective"].append(now.objective)
        history["gap"].append(float(gap))
        if gap <= tol:
            break
        slope = -0.5 * forms
        for direction in (
            _newton(weights, slope, _curvature(gram, now.dual, products, problem)),
            _reduced(weights, slope),
        ):
            found = _descend(machine, weights, now, direction, slope @ direction)
            if found is not None:
                break
        else:
            break  # the machine's own tolerance is the limit
        weights, now, gram = found
    return Combination(_simplex(weights), history, float(gap), bool(gap <= tol))


def lp(bank, problem, *, p=2.0, tol=1e-3, max_iter=200, solve=support_vectors):
    """Weights of unit lp-norm, by closed-form updates about a support vector machine.

    Parameters
    ----------
    p : float
        Above 1: near 1 the weights are sparse, and for large p they are nearly equal.

    References
    ----------
    Kloft, Brefeld, Sonnenburg & Zien (2011). lp-norm multiple kernel learning. JMLR 12, section
    4.1, equation 30.
    """
    if not p > 1:
        raise ValueError(f"p={p}: it must be above 1; for sparse weights take solver='simple'.")
    dual_norm = p / (p - 1)
    weights = np.full(bank.n_kernels, bank.n_kernels ** (-1 / p))
    history = {"objective": [], "gap": []}
    for _ in range(max_iter):
        now = solve(bank.combine(weights), problem, tol=min(1e-3, tol / 10))
        forms = np.maximum(bank.forms(now.dual).sum(axis=1), 0)
        best = np.linalg.norm(forms, dual_norm)
        gap = 0.5 * (best - weights @ forms) / max(abs(now.objective), 1e-300)
        history["objective"].append(now.objective)
        history["gap"].append(float(gap))
        if gap <= tol:
            break
        norms = weights * np.sqrt(forms)  # of the kernels' parts of the normal vector
        powers = norms ** (2 / (p + 1))
        total = np.linalg.norm(powers, p)
        if total == 0:
            break
        weights = powers / total
    return Combination(weights, history, float(gap), bool(gap <= tol))


def cardinality(bank, problem, *, k=3, tol=1e-4, max_iter=100, solve=support_vectors):
    """Weights that sum to one over at most k kernels, by projected gradient.

    The projection onto the sparse simplex is greedy: the k largest entries, then the simplex over
    them (Kyrillidis, Becker, Cevher & Koch 2013, Sparse projections onto the simplex, ICML,
    algorithm 1). The problem is not convex: this finds a local solution, from the kernels that are
    best aligned with the targets.
    """
    if not 1 <= k <= bank.n_kernels:
        raise ValueError(f"k={k}: it must lie between 1 and the {bank.n_kernels} kernels.")
    weights = _sparse_simplex(align(bank, problem).weights, k)
    now = solve(bank.combine(weights), problem)
    history, step, converged = {"objective": [now.objective]}, 1.0, False
    for _ in range(max_iter):
        gradient = -0.5 * bank.forms(now.dual).sum(axis=1)
        gradient /= max(np.abs(gradient).max(), 1e-300)
        while step > 1e-4:
            trial = _sparse_simplex(weights - step * gradient, k)
            there = solve(bank.combine(trial), problem)
            if there.objective < now.objective:
                break
            step /= 2
        else:
            converged = True
            break
        change = now.objective - there.objective
        weights, now, step = trial, there, 2 * step
        history["objective"].append(now.objective)
        if change <= tol * abs(now.objective):
            converged = True
            break
    return Combination(weights, history, converged=converged)


# Without a support vector machine ----------------------------------------------------------------


def ridge(bank, problem, *, tol=1e-4, max_iter=50):
    """Weights with the least leave-one-out error of kernel ridge regression.

    The errors are analytic, and their gradient in the logarithms of the weights needs one inverse
    and one pass over the kernels. An l2 penalty about equal weights keeps them finite.
    """
    targets = problem.targets - problem.targets.mean(axis=0)
    n, scale = len(targets), np.square(targets).sum() / len(targets)
    share = np.ones(n) if problem.sample_weight is None else problem.sample_weight
    start = np.full(bank.n_kernels, -np.log(bank.n_kernels))
    ridge = float(np.mean(np.diag(bank.combine(np.exp(start))))) / problem.C
    history, penalty = {"objective": []}, 1e-4

    def error(logs):
        weights, away = np.exp(logs), logs - start
        value, slope = _left_out(bank, weights, targets, share, ridge)
        value, slope = value / scale, slope / scale
        return value + penalty * away @ away, weights * slope + 2 * penalty * away

    found = minimize(
        error,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(s - 12, s + 6) for s in start],
        options={"maxiter": max_iter, "ftol": tol * 1e-3, "gtol": tol * 1e-2},
        callback=lambda at: history["objective"].append(error(at)[0]),
    )
    return Combination(_simplex(np.exp(found.x)), history, converged=bool(found.success))


def bayes(bank, problem, *, tol=5e-3, max_iter=200, noise=0.1):
    """Weights with their uncertainty, by a mean-field approximation of the posterior.

    Each kernel predicts every row through shared coefficients of the training rows, and the
    weights mix these predictions; normal priors of gamma-distributed precision on both, and for
    classes a probit. Weights can be negative.

    References
    ----------
    Gönen (2012). Bayesian efficient multiple kernel learning. ICML, section 3.
    """
    targets, n, m = problem.targets, bank.n_rows, bank.n_kernels
    n_columns = targets.shape[1]
    squares = bank.squares() / noise
    latent = targets.astype(float)
    intercept = latent.mean(axis=0)
    weights, spread = np.full(m, 1 / m), np.eye(m)
    precision, precision_w = np.ones((n, n_columns)), np.ones(m)
    within = np.repeat(latent[None] / m, m, axis=0)  # what each kernel predicts
    history, converged = {"change": []}, False
    for _ in range(max_iter):
        before, pulled = weights, bank.gather(within) / noise
        dual = np.empty((n, n_columns))
        for c in range(n_columns):
            covariance = np.linalg.inv(np.diag(precision[:, c]) + squares)
            dual[:, c] = covariance @ pulled[:, c]
            precision[:, c] = 1.5 / (1 + 0.5 * (dual[:, c] ** 2 + np.diag(covariance)))
        mixing = np.linalg.inv(np.eye(m) / noise + np.outer(weights, weights) + spread)
        pull = bank.products(dual) / noise + weights[:, None, None] * (latent - intercept)
        within = np.tensordot(mixing, pull, axes=1)
        flat = within.reshape(m, -1)
        spread = np.linalg.inv(np.diag(precision_w) + flat @ flat.T + n * n_columns * mixing)
        weights = spread @ (flat @ (latent - intercept).ravel())
        precision_w = 1.5 / (1 + 0.5 * (weights**2 + np.diag(spread)))
        mixed = np.tensordot(weights, within, axes=1)
        intercept = (latent - mixed).mean(axis=0)
        if problem.epsilon is None:
            latent = _truncated(mixed + intercept, targets)
        history["change"].append(float(np.abs(weights - before).max()))
        if history["change"][-1] <= tol * max(1e-300, np.abs(weights).max()):
            converged = True
            break
    return Combination(weights, history, converged=converged, std=np.sqrt(np.diag(spread)))


SOLVERS: dict[str, Callable] = {
    solver.__name__: solver
    for solver in (mean, single, align, alignf, simple, lp, easy, ridge, bayes, cardinality)
}


# Parts -------------------------------------------------------------------------------------------


def _alignments(bank, problem):
    """Inner products of the centred Gram matrices with the targets', and with each other."""
    known = problem.alignments
    if known is None:
        known = bank.alignments(problem.centred_targets)
    return known[0].sum(axis=1), known[1]


def _simplex(weights):
    """Scaled to sum to one; equal weights where all are zero."""
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))


def _ratio(numerator, denominator):
    """The quotient, 0 where the denominator is next to nothing."""
    least = max(1e-12 * denominator.max(), 1e-150)
    return np.where(denominator > least, numerator / np.maximum(denominator, least), 0.0)


def _reduced(weights, slope):
    """Direction of steepest descent on the simplex, relative to the largest weight."""
    top = int(np.argmax(weights))
    slope = slope - slope[top]
    direction = np.where((weights > 0) | (slope < 0), -slope, 0.0)
    direction[top] = 0.0
    direction[top] = -direction.sum()
    return direction


def _newton(weights, slope, curvature):
    """Way to the least value of the quadratic model, over kernels in use or better than these."""
    some = np.flatnonzero((weights > 0) | (slope < weights @ slope))
    curvature = curvature[np.ix_(some, some)]
    scale = np.trace(curvature) / len(some)
    direction = np.zeros(len(weights))
    if not scale > 0:
        return direction
    root = cholesky(curvature + 1e-6 * scale * np.eye(len(some)), lower=True)
    target = root.T @ weights[some] - solve_triangular(root, slope[some], lower=True)
    # The sum is a further equation, of a weight that outdoes the others.
    heavy = 1e3 * np.sqrt(scale * len(some))
    there, _ = nnls(np.vstack([root.T, np.full(len(some), heavy)]), np.r_[target, heavy])
    direction[some] = _simplex(there) - weights[some]
    return direction


def _curvature(gram, dual, products, problem):
    """Second derivatives of the machines' value in the weights."""
    share = 1.0 if problem.sample_weight is None else problem.sample_weight
    total = np.zeros((len(products),) * 2)
    for column, beta in enumerate(dual.T):
        size = np.abs(beta)
        free = np.flatnonzero((size > 1e-8 * problem.C) & (size < (1 - 1e-8) * problem.C * share))
        if not len(free):
            continue
        some = products[:, free, column].T
        within = gram[np.ix_(free, free)]
        factor = cho_factor(within + 1e-10 * np.trace(within) * np.eye(len(free)), lower=True)
        solved = cho_solve(factor, np.column_stack([some, np.ones(len(free))]))
        solved, ones = solved[:, :-1], solved[:, -1]
        solved -= np.outer(ones, solved.sum(axis=0) / ones.sum())  # the intercept moves too
        total += some.T @ solved
    return (total + total.T) / 2


def _descend(machine, weights, now, direction, slope):
    """Machine after a step along a direction that is good enough, or None."""
    falling = direction < 0
    if not falling.any() or slope >= 0:
        return None
    step = min(1.0, np.min(-weights[falling] / direction[falling]))
    for _ in range(20):
        trial = weights + step * direction
        trial = np.where(trial > 1e-12, trial, 0.0)  # at the border a kernel drops out
        there, gram = machine(trial)
        if there.objective <= now.objective + 1e-4 * step * slope:
            return trial, there, gram
        step /= 2
    return None


def _left_out(bank, weights, targets, share, ridge):
    """Mean squared leave-one-out error of kernel ridge regression, and its slope in the weights."""
    n = len(targets)
    factor = cho_factor(bank.combine(weights) + ridge * np.eye(n), lower=True)
    inverse = cho_solve(factor, np.eye(n))
    diagonal = np.diag(inverse)
    dual = inverse @ targets
    residual = dual / diagonal[:, None]
    # A weight acts on a residual through the dual and through the inverse's diagonal.
    by_dual = inverse @ (share[:, None] * residual / diagonal[:, None])
    by_diagonal = inverse * (share * (residual**2).sum(axis=1) / diagonal) @ inverse
    slope = bank.inner(by_diagonal) - bank.inner(by_dual @ dual.T)
    return np.sum(share[:, None] * residual**2) / n, 2 / n * slope


def _sparse_simplex(weights, k):
    """Greedy projection onto the points of the simplex with at most k entries."""
    chosen = np.argsort(-weights, kind="stable")[:k]
    values = weights[chosen]
    excess = (np.cumsum(values) - 1) / np.arange(1, k + 1)
    last = int(np.flatnonzero(values > excess)[-1])
    out = np.zeros(len(weights))
    out[chosen] = np.maximum(values - excess[last], 0)
    return out


def _truncated(location, signs):
    """Mean of a unit normal that is known to have a sign."""
    at = signs * location
    return location + signs * np.exp(norm.logpdf(at) - norm.logcdf(at))
