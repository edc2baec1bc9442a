"""The solvers of multiple-kernel learning against generic optimisers, and their optimality."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from mmgraph.engine import combination
from mmgraph.engine.combination import SOLVERS, Problem, support_vectors
from mmgraph.engine.linear_machine import linear_support_vectors


class Stack:
    """A bank that holds every Gram matrix: slow, obvious."""

    def __init__(self, grams):
        self.grams = np.asarray(grams)
        self.n_kernels, self.n_rows = self.grams.shape[:2]

    def combine(self, weights):
        return np.einsum("m,mij->ij", weights, self.grams)

    def forms(self, V):
        return np.einsum("ic,mij,jc->mc", V, self.grams, V)

    def inner(self, A):
        return np.einsum("mij,ij->m", self.grams, A)

    def products(self, V):
        return np.einsum("mij,jc->mic", self.grams, V)

    def gather(self, V):
        return np.einsum("mij,mjc->ic", self.grams, V)

    def squares(self):
        return np.einsum("mij,mjk->ik", self.grams, self.grams)

    def alignments(self, V):
        middle = np.eye(self.n_rows) - 1 / self.n_rows
        centred = middle @ self.grams @ middle
        moments = np.einsum("mij,oij->mo", centred, centred)
        return np.einsum("ic,mij,jc->mc", V, centred, V), moments


def problem(n=24, seed=0, n_classes=2, **settings):
    """Kernels of two informative inputs at three widths, and of one that is noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    edges = np.quantile(X[:, 0] + 0.5 * X[:, 1], np.arange(1, n_classes) / n_classes)
    labels = np.digitize(X[:, 0] + 0.5 * X[:, 1], edges)
    grams = [
        np.exp(-((X[:, [j]] - X[:, [j]].T) ** 2) / width)
        for j in range(3)
        for width in (0.5, 2.0, 8.0)
    ]
    columns = labels[:, None] if n_classes == 2 else labels[:, None] == np.arange(n_classes)
    return Stack(grams), Problem(2.0 * columns - 1, **settings)


def dual_of_one_norm(bank, task):
    """SimpleMKL's problem as a smooth one with constraints, by a generic solver."""
    y, n = task.targets[:, 0], bank.n_rows

    def bounds_of(v):
        signed = v[:n] * y
        return v[n] - np.einsum("i,mij,j->m", signed, bank.grams, signed)

    found = minimize(
        lambda v: 0.5 * v[n] - v[:n].sum(),
        np.r_[np.full(n, 0.1), 10.0],
        bounds=[(0, task.C)] * n + [(0, None)],
        constraints=[
            {"type": "ineq", "fun": bounds_of},
            {"type": "eq", "fun": lambda v: v[:n] @ y},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found.success
    return -found.fun


@pytest.mark.parametrize("seed", range(3))
def test_simple_reaches_the_optimum(seed):
    bank, task = problem(seed=seed, C=2.0)
    found = combination.simple(bank, task, tol=1e-5)
    assert found.converged
    assert found.weights.sum() == pytest.approx(1)
    assert (found.weights >= 0).all()
    truth = dual_of_one_norm(bank, task)
    assert found.history["objective"][-1] == pytest.approx(truth, rel=1e-4)
    # At the optimum no kernel has a larger form than those in use.
    dual = support_vectors(bank.combine(found.weights), task, tol=1e-6).dual
    forms = bank.forms(dual).sum(axis=1)
    used = found.weights > 1e-2
    assert 0 < used.sum() < bank.n_kernels
    np.testing.assert_allclose(forms[used], forms.max(), rtol=1e-3)


@pytest.mark.parametrize("p", [1.1, 2.0, 4.0])
def test_lp_reaches_the_optimum(p):
    bank, task = problem(C=2.0)
    found = combination.lp(bank, task, p=p, tol=1e-6)
    assert found.converged
    assert np.linalg.norm(found.weights, p) == pytest.approx(1)
    rng = np.random.default_rng(0)
    for _ in range(30):  # no other weights on the sphere have a smaller value
        other = np.maximum(found.weights + rng.normal(scale=0.05, size=bank.n_kernels), 0)
        other /= np.linalg.norm(other, p)
        value = support_vectors(bank.combine(other), task).objective
        assert value >= found.history["objective"][-1] * (1 - 1e-4)
    assert np.diff(found.history["objective"]).max() < 1e-3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_alignf_is_the_best_aligned(n_classes):
    bank, task = problem(n_classes=n_classes)
    found = combination.alignf(bank, task, penalty=0.0).weights
    middle = np.eye(bank.n_rows) - 1 / bank.n_rows
    targets = middle @ task.targets

    def alignment(weights):
        gram = middle @ bank.combine(weights) @ middle
        return np.sum(gram * (targets @ targets.T)) / np.linalg.norm(gram)

    best = minimize(
        lambda v: -alignment(v),
        np.full(bank.n_kernels, 1 / bank.n_kernels),
        bounds=[(0, 1)] * bank.n_kernels,
    )
    assert alignment(found) >= -best.fun - 1e-5
    single = combination.align(bank, task).weights
    parts = [alignment(v) for v in np.eye(bank.n_kernels)]
    np.testing.assert_allclose(single / single.sum(), np.array(parts) / np.sum(parts))
    far = combination.alignf(bank, task, penalty=1e9).weights
    np.testing.assert_allclose(far, 1 / bank.n_kernels, rtol=1e-6)


def test_duplicates_share_a_weight():
    bank, task = problem()
    doubled = Stack([*bank.grams, *bank.grams])
    found = combination.alignf(doubled, task, penalty=0.0).weights
    once = combination.alignf(bank, task, penalty=0.0).weights
    both = found[: bank.n_kernels] + found[bank.n_kernels :]
    np.testing.assert_allclose(both, once, atol=1e-3)


def test_easy_finds_the_closest_means():
    bank, task = problem()
    y, mixing = task.targets[:, 0], 0.1
    gram = bank.combine(np.full(bank.n_kernels, 1 / bank.n_kernels))
    gram = (1 - mixing) * gram + mixing * np.mean(np.diag(gram)) * np.eye(len(gram))
    signed = y[:, None] * gram * y
    found = minimize(
        lambda v: v @ signed @ v,
        np.full(len(y), 2 / len(y)),
        jac=lambda v: 2 * signed @ v,
        bounds=[(0, 1)] * len(y),
        constraints=[{"type": "eq", "fun": lambda v, k=k: v[y == k].sum() - 1} for k in (-1, 1)],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    truth = bank.forms((found.x * y)[:, None])[:, 0]
    weights = combination.easy(bank, task, mixing=mixing).weights
    np.testing.assert_allclose(weights, truth / truth.sum(), atol=2e-4)


def test_ridge_finds_the_least_error_of_leaving_one_out():
    bank, task = problem(n_classes=3, C=10.0)
    y = task.targets - task.targets.mean(axis=0)
    share, ridge = np.linspace(0.5, 2, len(y)), 0.3
    weights = np.random.default_rng(0).random(bank.n_kernels)

    def left_out(weights):
        gram, total = bank.combine(weights), 0.0
        for i in range(len(y)):
            rest = np.arange(len(y)) != i
            dual = np.linalg.solve(gram[rest][:, rest] + ridge * np.eye(rest.sum()), y[rest])
            total += share[i] * np.sum((y[i] - gram[i, rest] @ dual) ** 2)
        return total / len(y)

    value, slope = combination._left_out(bank, weights, y, share, ridge)
    assert value == pytest.approx(left_out(weights))
    steps = 1e-6 * np.eye(bank.n_kernels)
    numeric = [(left_out(weights + h) - left_out(weights - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-8)
    found = combination.ridge(bank, task)
    errors = found.history["objective"]
    assert errors[-1] < errors[0]
    assert found.weights.reshape(3, 3).sum(axis=1).argmin() == 2  # the noise


def test_bayes_prefers_the_informative_kernels():
    bank, task = problem(n=60)
    found = combination.bayes(bank, task)
    assert found.std.shape == found.weights.shape == (9,)
    assert (found.std > 0).all()
    strength = np.abs(found.weights).reshape(3, 3).sum(axis=1)
    assert strength[0] > strength[2]


def test_cardinality_keeps_so_many():
    bank, task = problem(C=2.0)
    for k in (1, 2, 3):
        found = combination.cardinality(bank, task, k=k)
        assert np.count_nonzero(found.weights) <= k
        assert found.weights.sum() == pytest.approx(1)
        assert (np.diff(found.history["objective"]) < 0).all()
    values = [support_vectors(bank.combine(v), task).objective for v in np.eye(bank.n_kernels)]
    one = combination.cardinality(bank, task, k=1)
    assert one.history["objective"][-1] <= np.median(values)
    everything = combination.cardinality(bank, task, k=bank.n_kernels, tol=1e-8)
    assert everything.history["objective"][-1] == pytest.approx(
        combination.simple(bank, task).history["objective"][-1], rel=2e-2
    )


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("settings", [{}, {"n_classes": 3}, {"epsilon": 0.1}])
def test_every_solver_takes_every_problem(name, settings):
    bank, task = problem(**settings)
    weighted = task._replace(sample_weight=np.linspace(0.5, 2, bank.n_rows))
    for one in (task, weighted):
        found = SOLVERS[name](bank, one)
        assert found.weights.shape == (bank.n_kernels,)
        assert np.isfinite(found.weights).all()
        assert name == "bayes" or (found.weights >= 0).all()


def test_sparse_simplex():
    project = combination._sparse_simplex
    np.testing.assert_allclose(project(np.array([0.9, 0.5, -1.0]), 2), [0.7, 0.3, 0])
    np.testing.assert_allclose(project(np.array([3.0, 0.5, 2.9]), 1), [1, 0, 0])


@pytest.mark.parametrize("epsilon", [None, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_machines_are_those_of_the_gram_matrix(epsilon, weighted):
    rng = np.random.default_rng(0)
    F = rng.normal(size=(80, 5))
    targets = F[:, :2] + rng.normal(size=(80, 2)) + 1
    targets = np.where(targets > 0, 1.0, -1.0) if epsilon is None else targets
    weight = rng.uniform(0.2, 2, 80) if weighted else None
    problem = Problem(targets, 3.0, weight, epsilon)
    exact = support_vectors(F @ F.T, problem, tol=1e-6)
    found = linear_support_vectors(F, problem, tol=1e-5)
    np.testing.assert_allclose(found.dual, F.T @ exact.dual, atol=1e-3)
    np.testing.assert_allclose(found.intercept, exact.intercept, atol=1e-3)
    assert found.objective == pytest.approx(exact.objective, rel=1e-4)


def test_linear_machines_of_odd_features():
    for F in (np.zeros((6, 2)), np.ones((6, 1)), 1e6 * np.eye(6), 1e-9 * np.eye(6)):
        problem = Problem(np.array([[1.0], [1], [1], [1], [-1], [-1]]), 10.0)
        found = linear_support_vectors(F, problem)
        assert np.isfinite(found.dual).all()
        assert (np.sign(F @ found.dual + found.intercept)[:4] == 1).all()


# Optimality conditions ---------------------------------------------------------------------------


def forms_at(bank, task, weights):
    """Forms of the kernels at the machines of some weights: slopes of the value, times -2."""
    return bank.forms(support_vectors(bank.combine(weights), task, tol=1e-8).dual).sum(axis=1)


def equal_weights(bank, task):
    found = combination.mean(bank, task).weights
    np.testing.assert_array_equal(found, np.full(bank.n_kernels, 1 / bank.n_kernels))


def alone(bank, task):
    """The alignment of each kernel, or 1 of the best."""
    middle = np.eye(bank.n_rows) - 1 / bank.n_rows
    target = middle @ task.targets @ task.targets.T @ middle
    grams = middle @ bank.grams @ middle
    parts = np.einsum("mij,ij->m", grams, target) / np.linalg.norm(grams, axis=(1, 2))
    parts = np.maximum(parts, 0)
    np.testing.assert_allclose(combination.align(bank, task).weights, parts / parts.sum())
    best = np.arange(len(parts)) == parts.argmax()
    np.testing.assert_array_equal(combination.single(bank, task).weights, 1.0 * best)


def least_squares(bank, task):
    """Of a non-negative one: no slope where a weight is used, and none down where it is not."""
    forms, moments = bank.alignments(task.centred_targets)
    norms = np.sqrt(np.diag(moments))
    unit, aligned = moments / np.outer(norms, norms), forms.sum(axis=1) / norms
    equal = norms * (norms @ aligned) / (norms @ unit @ norms)
    for penalty in (0.0, 0.1, 1.0):
        ridge = penalty * bank.n_kernels**2 / bank.n_rows
        matrix = unit + max(ridge, 1e-8) * np.eye(len(unit))
        pull = aligned + ridge * equal
        v = combination.alignf(bank, task, penalty=penalty).weights * norms
        v *= v @ pull / (v @ matrix @ v)
        slope = (matrix @ v - pull) / np.abs(pull).max()
        assert np.abs(slope[v > 0]).max() < 1e-6
        assert slope.min() > -1e-6


def closest_means(bank, task):
    """Each machine's hard margin: all rows of a weight in the means are equally near the plane."""
    mixing, y = 0.1, task.targets[:, 0]
    gram = bank.combine(np.full(bank.n_kernels, 1 / bank.n_kernels))
    gram = (1 - mixing) * gram + mixing * np.mean(np.diag(gram)) * np.eye(len(gram))
    found = support_vectors(gram, task._replace(C=1e6), tol=1e-6)
    margin = y * (gram @ found.dual[:, 0] + found.intercept[0])
    used = np.abs(found.dual[:, 0]) > 1e-8
    np.testing.assert_allclose(margin[used], 1, atol=1e-4)
    assert margin.min() > 1 - 1e-4
    part = bank.forms(found.dual)[:, 0]
    weights = combination.easy(bank, task, mixing=mixing).weights
    np.testing.assert_allclose(weights, part / part.sum(), rtol=1e-3)


def linear_norm(bank, task):
    """Used kernels have the largest form, and the gap is the one that these forms say."""
    found = combination.simple(bank, task, tol=1e-6)
    forms = forms_at(bank, task, found.weights)
    assert forms[found.weights > 1e-3] == pytest.approx(forms.max(), rel=1e-3)
    assert 0 <= found.gap < 1e-6


def p_norm(bank, task):
    """Weights are the forms to the power 1 / (p - 1), on the unit sphere."""
    for p in (1.5, 2.0, 4.0):
        found = combination.lp(bank, task, p=p, tol=1e-8)
        powers = forms_at(bank, task, found.weights) ** (1 / (p - 1))
        np.testing.assert_allclose(found.weights, powers / np.linalg.norm(powers, p), atol=2e-3)
        assert abs(found.gap) < 1e-8


def few(bank, task):
    """Among the kernels that are kept, as without the others."""
    found = combination.cardinality(bank, task, k=3, tol=1e-9)
    kept = np.flatnonzero(found.weights)
    alone = combination.simple(Stack(bank.grams[kept]), task, tol=1e-6)
    value = found.history["objective"][-1]
    assert value == pytest.approx(alone.history["objective"][-1], rel=1e-3)


def leaving_one_out(bank, task):
    """No slope in the logarithms of the weights, at the scale at which they were found."""
    found = combination.ridge(bank, task, tol=1e-9, max_iter=1000)
    y, n = task.centred_targets, bank.n_rows
    scale, start = np.square(y).sum() / n, -np.log(bank.n_kernels)
    ridge = np.mean(np.diag(bank.combine(np.full(bank.n_kernels, np.exp(start))))) / task.C

    def slope(log_size):
        weights = found.weights * np.exp(log_size)
        _, of_error = combination._left_out(bank, weights, y, np.ones(n), ridge)
        return weights * of_error / scale + 2e-4 * (np.log(weights) - start)

    at = minimize_scalar(lambda s: np.abs(slope(s)).max(), bounds=(-6, 6), method="bounded").x
    assert np.abs(slope(at)).max() < 2e-5


def fixed_point(bank, task):
    """Going on for ten times as long changes little."""
    rough = combination.bayes(bank, task, tol=1e-4, max_iter=5000)
    fine = combination.bayes(bank, task, tol=1e-5, max_iter=5000)
    assert rough.converged
    assert fine.converged
    np.testing.assert_allclose(rough.weights, fine.weights, atol=0.1 * np.abs(fine.weights).max())


CONDITIONS = {
    "mean": equal_weights,
    "single": alone,
    "align": alone,
    "alignf": least_squares,
    "easy": closest_means,
    "simple": linear_norm,
    "lp": p_norm,
    "cardinality": few,
    "ridge": leaving_one_out,
    "bayes": fixed_point,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_optimality_conditions(name):
    CONDITIONS[name](*problem(n=30, C=2.0))
