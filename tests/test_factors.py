"""Factors and their fit against dense normal distributions, closed forms and numerical optima."""

import numpy as np
import pytest
from scipy.linalg import block_diag, eigh
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.covariance import OAS
from sklearn.decomposition import PCA, FactorAnalysis

from mmgraph.engine import factor_learning as learning
from mmgraph.engine import factors as engine
from mmgraph.engine import moments
from mmgraph.modalities import Layout

WIDTHS = {"a": 4, "b": 3, "c": 5}


def rows(n=300, n_components=2, widths=WIDTHS, noise="full", missing=0.0, seed=0):
    """Blocks drawn from a model, as Views."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, n_components))
    blocks, columns, at = [], {}, 0
    for name, width in widths.items():
        mix = rng.normal(size=(width, width)) if noise == "full" else np.eye(width)
        block = z @ rng.normal(size=(n_components, width)) + rng.normal(size=(n, width)) @ mix
        block += rng.normal(size=width)
        block[rng.random(n) < missing] = np.nan
        blocks.append(block)
        columns[name], at = np.arange(at, at + width), at + width
    return Layout(columns, at).views(np.hstack(blocks))


def patterns_of(views, common=()):
    patterns = moments.gather(views.blocks, views.patterns())
    return engine.standardise(patterns, engine.units_of(patterns, common))


def fitted(patterns, n_components, noise="full", n_prior=0.0, **settings):
    kinds = dict.fromkeys(patterns.columns, noise)
    steps = list(learning.fit(patterns, n_components, kinds, n_prior, **settings))
    return steps[-1].factors, [step.metrics["objective"] for step in steps]


def dense(factors):
    """Mean and covariance of all columns."""
    loadings = np.concatenate(list(factors.loadings.values()))
    noise = block_diag(*(np.diag(p) if p.ndim == 1 else p for p in factors.noises.values()))
    return np.concatenate(list(factors.means.values())), loadings @ loadings.T + noise


def objective(factors, patterns, n_prior):
    """From the dense distribution, pattern by pattern."""
    mean, covariance = dense(factors)
    n_rows, total = 0, 0.0
    groups = [(patterns.index(shown), g) for shown, g in patterns.groups.items()]
    if n_prior:
        every = moments.Moments(n_prior, mean, n_prior * np.eye(len(mean)))
        groups.append((np.arange(len(mean)), every))
    for index, group in groups:
        c, step = covariance[np.ix_(index, index)], group.mean - mean[index]
        scatter = group.scatter + group.n * np.outer(step, step)
        total -= 0.5 * group.n * np.linalg.slogdet(2 * np.pi * c)[1]
        total -= 0.5 * np.trace(np.linalg.solve(c, scatter))
        n_rows += group.n
    return total / (n_rows - n_prior)


def test_standard_units():
    views = rows(missing=0.3)
    views.blocks["b"][:, 1] = 7.0
    patterns = moments.gather(views.blocks, views.patterns())
    units = engine.units_of(patterns)
    assert units["b"].columns.tolist() == [0, 2]
    standard = engine.standardise(patterns, units)
    again = {name: units[name].enter(block) for name, block in views.blocks.items()}
    direct = moments.gather(again, views.patterns())
    assert standard.columns == direct.columns
    for shown, group in direct.groups.items():
        np.testing.assert_allclose(standard.groups[shown].mean, group.mean, atol=1e-12)
        np.testing.assert_allclose(standard.groups[shown].scatter, group.scatter, atol=1e-9)
    kept = views.present["b"]
    x = units["b"].leave(again["b"])[kept]
    np.testing.assert_allclose(x, views.blocks["b"][kept], atol=1e-12)
    power = units["b"].scaled(3)
    np.testing.assert_allclose(power.leave(again["b"])[kept], 8 * x, atol=1e-12)
    ratio = units["a"].scale / engine.units_of(patterns, {"a"})["a"].scale
    assert np.mean(ratio**2) == pytest.approx(1.0)


def test_a_modality_that_does_not_vary_is_left_out():
    views = rows(missing=0.3)
    views.blocks["b"][:] = 7.0
    patterns = moments.gather(views.blocks, views.patterns())
    standard = patterns_of(views)
    assert set(standard.columns) == {"a", "c"}
    assert {name for shown in standard.groups for name in shown} == {"a", "c"}
    hidden = views.hide("b")
    direct = moments.gather(hidden.blocks, hidden.patterns())
    for shown, group in standard.groups.items():
        assert group.n == direct.groups[shown].n
    assert patterns.n_columns == 12


def test_correlation_is_pairwise():
    views = rows(missing=0.3)
    patterns = moments.gather(views.blocks, views.patterns())
    covariance, n_rows = learning.correlation(patterns)
    both = views.present["a"] & views.present["c"]
    assert (n_rows[:4, 7:] == both.sum()).all()
    block = np.cov(views.blocks["a"][both].T, views.blocks["c"][both].T, ddof=0)
    np.testing.assert_allclose(covariance[:4, 7:], block[:4, 4:])
    np.testing.assert_allclose(covariance, covariance.T)


def test_oas_is_that_of_scikit_learn():
    views = rows(40)
    patterns = patterns_of(views)
    X = np.hstack(list(views.blocks.values()))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    # which leaves terms of 1 / n_columns out
    assert learning.oas(patterns) == pytest.approx(OAS().fit(X).shrinkage_, rel=0.03)


@pytest.mark.parametrize("n_prior", [0.0, 40.0])
def test_two_complete_modalities_are_canonical_directions(n_prior):
    """W_i = S_ii U_i P^(1/2), Psi_i = S_ii - W_i W_i' (Bach & Jordan 2005, section 4.1)."""
    patterns = patterns_of(rows(widths={"a": 4, "b": 3}))
    factors, course = fitted(patterns, 2, n_prior=n_prior)
    assert len(course) == 1
    n = 300
    S = (patterns.of("a", "b").scatter + n_prior * np.eye(7)) / (n + n_prior)
    one, two, cross = S[:4, :4], S[4:, 4:], S[:4, 4:]
    values, U = eigh(cross @ np.linalg.solve(two, cross.T), one)
    rho = np.sqrt(values[::-1][:2])
    W = one @ U[:, ::-1][:, :2] * np.sqrt(rho)
    found = engine.ordered(factors)
    np.testing.assert_allclose(np.abs(found.loadings["a"]), np.abs(W), atol=1e-10)
    np.testing.assert_allclose(found.noises["a"], one - W @ W.T, atol=1e-10)
    np.testing.assert_allclose(dense(found)[1][:4, :4], one, atol=1e-10)
    np.testing.assert_allclose(dense(found)[1][4:, 4:], two, atol=1e-10)
    assert course[0] == pytest.approx(objective(found, patterns, n_prior), abs=1e-10)


def test_em_reaches_the_closed_form(monkeypatch):
    patterns = patterns_of(rows(widths={"a": 4, "b": 3}))
    exact = fitted(patterns, 2)[1][-1]
    start = learning.spectral_start

    def poor(*args):
        return start(*args)[0]._replace(loadings={"a": np.eye(4, 2), "b": np.eye(3, 2)}), False

    monkeypatch.setattr(learning, "spectral_start", poor)
    course = fitted(patterns, 2, tol=1e-12, max_iter=5000)[1]
    assert course[-1] == pytest.approx(exact, abs=1e-7)
    assert course[-1] <= exact + 1e-10


@pytest.mark.parametrize("noise", ["full", "diagonal", "isotropic"])
@pytest.mark.parametrize("n_prior", [0.0, 40.0])
def test_em_never_falls_and_ends_at_a_maximum(noise, n_prior):
    patterns = patterns_of(rows(missing=0.3, noise=noise))
    factors, course = fitted(patterns, 2, noise, n_prior, tol=1e-8, max_iter=1000)
    assert min(np.diff(course)) > -1e-12
    assert course[-1] == pytest.approx(objective(factors, patterns, n_prior), abs=1e-10)
    assert len(patterns.groups) == 7

    def moved(x):  # means and loadings
        x = x.reshape(12, 3)
        means = {k: factors.means[k] + x[s, 0] for k, s in patterns.columns.items()}
        loadings = {k: factors.loadings[k] + x[s, 1:] for k, s in patterns.columns.items()}
        return objective(engine.Factors(means, loadings, factors.noises), patterns, n_prior)

    def scaled(x):  # the noise
        noises = {k: p * (1 + x[0]) for k, p in factors.noises.items()}
        return objective(factors._replace(noises=noises), patterns, n_prior)

    slope = np.r_[approx_fprime(np.zeros(36), moved, 1e-5), approx_fprime([0.0], scaled, 1e-5)]
    assert np.abs(slope).max() < 2e-3
    if noise == "isotropic":
        assert all(np.ptp(p) == 0 for p in factors.noises.values())


def test_one_modality_with_isotropic_noise_is_ppca():
    views = rows(widths={"a": 6})
    factors, course = fitted(patterns_of(views, {"a"}), 2, "isotropic")
    assert len(course) == 1
    X = views.blocks["a"]
    covariance = PCA(2).fit(X).get_covariance() * 299 / 300 / X.var(axis=0).mean()
    np.testing.assert_allclose(dense(factors)[1], covariance, atol=1e-10)


def test_one_modality_with_diagonal_noise_is_factor_analysis():
    views = rows(widths={"a": 6}, noise="diagonal")
    course = fitted(patterns_of(views), 2, "diagonal", tol=1e-8, max_iter=2000)[1]
    X = views.blocks["a"]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    peer = FactorAnalysis(2, tol=1e-8, max_iter=20000, svd_method="lapack").fit(X)
    assert course[-1] == pytest.approx(peer.score(X), abs=1e-4)


def test_a_singular_covariance_keeps_above_the_floor():
    """More columns than rows, no prior: the likelihood has no maximum but for the floor."""
    patterns = patterns_of(rows(10, widths={"a": 8, "b": 9}))
    factors, course = fitted(patterns, 2, max_iter=30)
    assert np.isfinite(course).all()
    assert min(np.diff(course), default=0.0) > -1e-6
    for noise in factors.noises.values():
        assert np.linalg.eigvalsh(noise).min() > 0.5 * learning.FLOOR


@pytest.mark.parametrize("noise", ["full", "diagonal"])
@pytest.mark.parametrize("shown", [("a",), ("b", "c"), ("a", "b", "c"), ()])
def test_inference_is_conditioning_of_the_dense_distribution(noise, shown):
    views = rows(missing=0.2)
    patterns = patterns_of(views)
    factors = fitted(patterns, 2, noise, 20.0)[0]
    rng = np.random.default_rng(1)
    blocks = {name: rng.normal(size=(9, WIDTHS[name])) for name in shown}
    whitened = engine.whiten(factors)
    posterior = engine.infer(factors, whitened, blocks, 9)
    mean, covariance = dense(factors)
    if not shown:
        assert (posterior.log_density == 0).all()
        np.testing.assert_allclose(posterior.covariance, np.eye(2))
        return
    index = patterns.index(shown)
    x = np.hstack([blocks[name] for name in patterns.columns if name in shown])
    C = covariance[np.ix_(index, index)]
    exact = multivariate_normal(mean[index], C).logpdf(x)
    np.testing.assert_allclose(posterior.log_density, exact, atol=1e-10)
    for name, place in patterns.columns.items():
        if name not in shown:
            cross = covariance[place][:, index]
            exact = mean[place] + (x - mean[index]) @ np.linalg.solve(C, cross.T)
            found = engine.expect(factors, name, posterior.mean)
            np.testing.assert_allclose(found, exact, atol=1e-10)
            exact = covariance[place, place] - cross @ np.linalg.solve(C, cross.T)
            found = engine.covariance_given(factors, name, posterior.covariance)
            np.testing.assert_allclose(found, exact, atol=1e-10)


def test_order_and_folding_keep_the_distribution():
    patterns = patterns_of(rows(missing=0.2))
    factors = fitted(patterns, 3, n_prior=20.0)[0]
    ordered = engine.ordered(factors)
    np.testing.assert_allclose(dense(ordered)[1], dense(factors)[1], atol=1e-12)
    precision = sum(w.loadings.T @ w.loadings for w in engine.whiten(ordered).values())
    assert (np.diff(np.diag(precision)) < 0).all()
    np.testing.assert_allclose(precision - np.diag(np.diag(precision)), 0, atol=1e-9)
    every = np.concatenate(list(ordered.loadings.values()))
    assert (every[np.abs(every).argmax(axis=0), range(3)] > 0).all()
    less = engine.leading(ordered, 1)
    for place in patterns.columns.values():
        np.testing.assert_allclose(
            dense(less)[1][place, place], dense(ordered)[1][place, place], atol=1e-12
        )


def test_folding_is_the_closed_form_with_fewer_components():
    patterns = patterns_of(rows(widths={"a": 4, "b": 3}))
    folded = engine.leading(engine.ordered(fitted(patterns, 3)[0]), 1)
    np.testing.assert_allclose(dense(folded)[1], dense(fitted(patterns, 1)[0])[1], atol=1e-10)


@pytest.mark.parametrize(
    ("noise", "widths", "missing"),
    [
        ("full", {"a": 8, "b": 7}, 0.0),
        ("full", {"a": 8, "b": 7, "c": 6}, 0.2),
        ("diagonal", {"a": 8, "b": 7}, 0.0),
        ("isotropic", {"a": 12}, 0.0),
    ],
)
def test_the_number_of_components_is_found(noise, widths, missing):
    views = rows(600, 3, widths, "full" if noise == "full" else "diagonal", missing)
    patterns = moments.gather(views.blocks, views.patterns())
    units = engine.units_of(patterns, widths if noise == "isotropic" else ())
    folds = [views.take(slice(i, None, 5)) for i in range(5)]
    folds = [moments.gather(fold.blocks, fold.patterns()) for fold in folds]
    folds = [engine.standardise(fold, units) for fold in folds]
    patterns = engine.standardise(patterns, units)
    scores = learning.held_out_scores(patterns, folds, dict.fromkeys(widths, noise), 0.0)
    assert list(scores) == list(range(1, len(scores) + 1))
    assert learning.fewest(scores) == 3


def test_candidates():
    views = rows(500, widths={"a": 50, "b": 60})
    patterns = patterns_of(views)
    numbers = learning.candidates(patterns, dict.fromkeys("ab", "full"))
    assert numbers[:18] == [*range(1, 18), 18]
    assert numbers[-1] == 50
    assert learning.candidates(patterns, dict.fromkeys("ab", "diagonal"))[-1] == 100
    assert learning.candidates(patterns_of(rows(4)), dict.fromkeys("abc", "full"))[-1] == 3
