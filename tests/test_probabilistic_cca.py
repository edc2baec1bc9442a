"""ProbabilisticCCA against dense normal distributions, draws, coverage and odd data."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import block_diag
from scipy.stats import chi2, multivariate_normal

import mmgraph as mg


def data(n=400, missing=0.3, seed=0):
    """Three modalities of 4, 3 and 5 columns that share two factors, with gaps."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(99)
    z, blocks = rng.normal(size=(n, 2)), {}
    for name, width in {"a": 4, "b": 3, "c": 5}.items():
        mix = truth.normal(size=(width, width))
        x = z @ truth.normal(size=(2, width)) * 2 + rng.normal(size=(n, width)) @ mix
        x += truth.normal(size=width)
        x[rng.random(n) < missing] = np.nan
        blocks[name] = x
    return mg.pack(**blocks)


X, LAYOUT = data()
MODEL = mg.ProbabilisticCCA(modalities=LAYOUT, random_state=0).fit(X)
NEW = data(60, seed=1)[0]


def dense(model):
    """Mean and covariance of all columns, in the units of the data."""
    loadings = np.concatenate(list(model.loadings_.values()))
    noise = block_diag(*model.noise_covariances_.values())
    return np.concatenate(list(model.means_.values())), loadings @ loadings.T + noise


def condition(mean, covariance, x):
    """Mean and covariance of what is NaN in a row given what is not."""
    hidden = np.isnan(x)
    if hidden.all():
        return mean, covariance
    gain = np.linalg.solve(covariance[~hidden][:, ~hidden], covariance[~hidden][:, hidden]).T
    cross = covariance[~hidden][:, hidden]
    expected = mean[hidden] + gain @ (x - mean)[~hidden]
    return expected, covariance[hidden][:, hidden] - gain @ cross


@pytest.mark.parametrize("noise", ["full", "diagonal", {"a": "isotropic", "c": "diagonal"}])
def test_the_verbs_are_brute_force_conditioning(noise):
    model = mg.ProbabilisticCCA(3, noise=noise, modalities=LAYOUT).fit(X)
    mean, covariance = dense(model)
    filled, scores = model.impute(NEW), model.score_samples(NEW)
    found = model.conditional(NEW, "b")
    hidden = NEW.copy()
    hidden[:, LAYOUT["b"]] = np.nan
    np.testing.assert_array_equal(found.mean, model.generate(NEW, "b"))
    columns = np.arange(12)[LAYOUT["b"]]
    for i, x in enumerate(NEW):
        shown = ~np.isnan(x)
        log_density = 0.0
        if shown.any():
            exact = multivariate_normal(mean[shown], covariance[shown][:, shown])
            log_density = exact.logpdf(x[shown])
        np.testing.assert_allclose(scores[i], log_density, atol=1e-10)
        np.testing.assert_allclose(filled[i, ~shown], condition(mean, covariance, x)[0], atol=1e-10)
        exact, spread = condition(mean, covariance, hidden[i])
        place = np.searchsorted(np.flatnonzero(np.isnan(hidden[i])), columns)
        np.testing.assert_allclose(found.mean[i], exact[place], atol=1e-10)
        here = found.covariances[found.pattern[i]]
        np.testing.assert_allclose(here, spread[np.ix_(place, place)], atol=1e-10)
        np.testing.assert_allclose(found.std[i], np.sqrt(np.diag(here)), atol=1e-12)


def test_the_representation_is_the_posterior_mean():
    mean, covariance = dense(MODEL)
    loadings = np.concatenate(list(MODEL.loadings_.values()))
    Z = MODEL.transform(NEW)
    for z, x in zip(Z, NEW, strict=True):
        shown = ~np.isnan(x)
        told = np.linalg.solve(covariance[shown][:, shown], (x - mean)[shown])
        np.testing.assert_allclose(z, loadings[shown].T @ told, atol=1e-10)
    back = MODEL.inverse_transform(Z)
    np.testing.assert_allclose(back, mean + Z @ loadings.T, atol=1e-10)


def test_draws_have_the_conditional_distribution():
    row = NEW[np.isfinite(NEW).all(axis=1)][:1].copy()
    row[:, LAYOUT["b"]] = row[:, LAYOUT["c"]] = np.nan
    n = 8_000
    draws = MODEL.sample(n, given=row)[:, 0]
    expected, covariance = condition(*dense(MODEL), row[0])
    step = draws[:, 4:] - expected
    distance = np.sum(step * np.linalg.solve(covariance, step.T).T, axis=1)
    assert (
        np.abs(np.quantile(distance, [0.1, 0.5, 0.9]) / chi2(8).ppf([0.1, 0.5, 0.9]) - 1).max()
        < 0.04
    )
    mean = step.mean(axis=0) / np.sqrt(np.diag(covariance) / n)
    assert np.abs(mean).max() < 4
    np.testing.assert_allclose(
        np.cov(step.T) / np.diag(covariance).max(),
        covariance / np.diag(covariance).max(),
        atol=0.04,
    )


def test_a_draw_belongs_to_its_row_and_number():
    few = MODEL.sample(3, given=NEW)
    many = MODEL.sample(5, given=NEW)
    np.testing.assert_allclose(many[:3], few, atol=1e-12)
    np.testing.assert_allclose(MODEL.sample(3, given=NEW[:20]), few[:, :20], atol=1e-12)
    other = MODEL.sample(3, given=NEW, random_state=1)
    gaps = np.isnan(NEW)
    assert (other[:, gaps] != few[:, gaps]).all()
    assert (few[0][gaps] != few[1][gaps]).all()


def test_intervals_cover_what_they_say():
    rows, _ = data(4000, 0.0, seed=2)
    model = mg.ProbabilisticCCA(modalities=LAYOUT, shrinkage=0.0).fit(data(1000)[0])
    for coverage in (0.5, 0.9):
        for target, place in LAYOUT.items():
            low, high = model.conditional(rows, target).interval(coverage)
            inside = (low <= rows[:, place]) & (rows[:, place] <= high)
            assert abs(inside.mean() - coverage) < 0.03
    with pytest.raises(ValueError, match="coverage=1: it must be a number above 0 and below 1"):
        MODEL.conditional(rows, "a").interval(1)


def test_rows_with_gaps_teach():
    """Better than the complete rows alone, and nearly as good as without gaps."""
    rows, _ = data(200, 0.5, seed=3)
    full, _ = data(200, 0.0, seed=3)
    new, _ = data(2000, 0.0, seed=4)
    complete = rows[np.isfinite(rows).all(axis=1)]

    def score(rows):
        return mg.ProbabilisticCCA(modalities=LAYOUT).fit(rows).score(new)

    assert score(complete) < score(rows) < score(full)


def test_the_number_of_components_is_chosen():
    model = mg.ProbabilisticCCA("auto", modalities=LAYOUT, random_state=0).fit(data(600)[0])
    assert model.n_components_ == 2
    assert model.component_scores_[2] > model.component_scores_[1]
    assert model.transform(NEW).shape == (60, 2)
    assert MODEL.component_scores_ is None


def test_closed_form_and_em():
    complete, layout = mg.pack(a=data(missing=0.0)[0][:, :4], b=data(missing=0.0)[0][:, 4:7])
    assert mg.ProbabilisticCCA(modalities=layout).fit(complete).n_iter_ == 1
    gaps = complete.copy()
    gaps[0, :4] = np.nan
    model = mg.ProbabilisticCCA(modalities=layout, tol=1e-9).fit(gaps)
    assert model.n_iter_ > 1
    assert min(np.diff(model.history_["objective"])) > -1e-12
    assert len(model.history_["log_likelihood"]) == model.n_iter_


def test_correlations_between_two_modalities_are_the_canonical_ones():
    """Of Linnerud's data: .7956, .2006, .0726."""
    from sklearn.datasets import load_linnerud

    linnerud = load_linnerud()
    rows, layout = mg.pack(exercise=linnerud.data, body=linnerud.target)
    model = mg.ProbabilisticCCA(3, shrinkage=0.0, modalities=layout).fit(rows)
    whitened = {}
    for name in layout:
        loadings = model.loadings_[name]
        total = loadings @ loadings.T + model.noise_covariances_[name]
        whitened[name] = np.diag(loadings.T @ np.linalg.solve(total, loadings))
    np.testing.assert_allclose(whitened["body"], [0.7956, 0.2006, 0.0726], atol=5e-5)
    np.testing.assert_allclose(whitened["exercise"], whitened["body"], atol=1e-9)


# Odd data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
def test_units_do_not_matter(scale):
    factor = np.ones(12)
    factor[LAYOUT["b"]] = scale
    model = mg.ProbabilisticCCA(modalities=LAYOUT).fit(X * factor)
    np.testing.assert_allclose(model.impute(NEW * factor) / factor, MODEL.impute(NEW), rtol=1e-6)
    shown = np.isfinite(NEW[:, LAYOUT["b"]])[:, 0]
    moved = model.score_samples(NEW * factor) + 3 * shown * np.log(scale)
    np.testing.assert_allclose(moved, MODEL.score_samples(NEW), atol=1e-6)


def test_a_large_offset_does_not_matter():
    model = mg.ProbabilisticCCA(modalities=LAYOUT).fit(X + 1e8)
    np.testing.assert_allclose(model.impute(NEW + 1e8) - 1e8, MODEL.impute(NEW), atol=1e-5)


@pytest.mark.parametrize("noise", ["full", "diagonal"])
@pytest.mark.parametrize("shrinkage", ["oas", 0.0])
def test_columns_that_do_not_vary_and_twins(noise, shrinkage):
    rows = X.copy()
    rows[~np.isnan(rows[:, 1]), 1] = 7.0
    rows[:, 3] = rows[:, 0]
    model = mg.ProbabilisticCCA(modalities=LAYOUT, noise=noise, shrinkage=shrinkage, max_iter=50)
    model.fit(rows)
    new = rows[:40]
    filled = model.impute(new)
    assert np.isfinite(filled).all()
    assert (filled[:, 1] == 7).all()
    np.testing.assert_allclose(filled[:, 3], filled[:, 0], atol=1e-3)
    assert np.isfinite(model.score_samples(new)).all()
    assert (model.sample(20)[:, 1] == 7).all()
    odd = new.copy()
    odd[~np.isnan(odd[:, 1]), 1] = -3.0  # counts in nothing
    np.testing.assert_array_equal(model.transform(odd), model.transform(new))
    assert (model.conditional(new, "a").std[:, 1] == 0).all()


def test_a_modality_that_does_not_vary():
    rows = X.copy()
    rows[:, LAYOUT["b"]] = np.where(np.isnan(rows[:, LAYOUT["b"]]), np.nan, 7.0)
    model = mg.ProbabilisticCCA(modalities=LAYOUT).fit(rows)
    assert (model.generate(NEW, "b") == 7).all()
    assert (model.conditional(NEW, "b").covariances == 0).all()
    without, layout = mg.pack(a=X[:, LAYOUT["a"]], c=X[:, LAYOUT["c"]])
    other = mg.ProbabilisticCCA(modalities=layout).fit(without)
    np.testing.assert_allclose(model.transform(rows), other.transform(without), atol=1e-8)
    rows[:, :] = 7.0
    with pytest.raises(ValueError, match="X has zero variance: its n_samples=400"):
        mg.ProbabilisticCCA(modalities=LAYOUT).fit(rows)


@pytest.mark.parametrize("shrinkage", ["oas", 0.0, 0.5])
def test_more_columns_than_rows(shrinkage):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(45, 1))
    rows, layout = mg.pack(
        **{n: z @ rng.normal(size=(1, 40)) + rng.normal(size=(45, 40)) for n in "ab"}
    )
    model = mg.ProbabilisticCCA(1, modalities=layout, shrinkage=shrinkage, max_iter=20)
    model.fit(rows[:15])
    made = model.generate(rows[15:], "b")
    assert np.isfinite(made).all()
    assert np.isfinite(model.score_samples(rows)).all()
    if shrinkage:
        error = ((rows[15:, 40:] - made) ** 2).mean()
        assert error < ((rows[15:, 40:] - rows[:15, 40:].mean(axis=0)) ** 2).mean()


def test_more_components_than_there_are():
    model = mg.ProbabilisticCCA(30, modalities=LAYOUT, random_state=0).fit(X)
    assert model.transform(NEW).shape == (60, 30)
    assert np.isfinite(model.sample(3, given=NEW)).all()
    assert abs(model.score(NEW) - MODEL.score(NEW)) < 1


def test_few_rows():
    complete = X[np.isfinite(X).all(axis=1)]
    model = mg.ProbabilisticCCA("auto", modalities=LAYOUT).fit(complete[:2])
    assert np.isfinite(model.impute(NEW)).all()
    with pytest.raises(ValueError, match="X has zero variance: its n_samples=1 row"):
        mg.ProbabilisticCCA(modalities=LAYOUT).fit(complete[:1])


@pytest.mark.parametrize("n_shown", [1, 2])
@pytest.mark.parametrize("shrinkage", ["oas", 0.0])
def test_a_modality_that_few_rows_show(n_shown, shrinkage):
    rows = data(60)[0]
    rows[n_shown:, LAYOUT["b"]] = np.nan
    rows[:n_shown] = data(n_shown, 0.0, seed=5)[0]
    model = mg.ProbabilisticCCA("auto", shrinkage=shrinkage, modalities=LAYOUT, max_iter=50)
    assert np.isfinite(model.fit(rows).impute(rows)).all()
    assert np.isfinite(model.score_samples(rows)).all()


def test_no_row_shows_two_modalities():
    rows = X.copy()
    rows[::2, LAYOUT["b"]] = rows[::2, LAYOUT["c"]] = np.nan
    rows[1::2, LAYOUT["a"]] = np.nan
    model = mg.ProbabilisticCCA(modalities=LAYOUT).fit(rows)
    assert np.isfinite(model.impute(NEW)).all()


def test_sparse_rows_are_the_dense_ones():
    rng = np.random.default_rng(0)
    rows = rng.poisson(0.5, (80, 6)).astype(float)
    layout = {"a": slice(0, 3), "b": slice(3, 6)}
    dense, sparse = (
        mg.ProbabilisticCCA(modalities=layout).fit(kind(rows)) for kind in (np.array, sp.csr_array)
    )
    np.testing.assert_allclose(dense.score_samples(rows), sparse.score_samples(rows), atol=1e-9)
    found = sparse.conditional(sp.csr_array(rows), "a")
    np.testing.assert_allclose(found.mean, dense.conditional(rows, "a").mean, atol=1e-9)


def test_one_modality_is_factor_analysis():
    model = mg.ProbabilisticCCA().fit(np.nan_to_num(X))
    assert model.layout_.names == ("X",)
    assert model.model_.noises["X"].ndim == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"noise": "none"}, "noise='none': choose one of ['full', 'diagonal', 'isotropic']"),
        ({"noise": {"z": "full"}}, "unknown modality 'z': the modalities are ['a', 'b', 'c']"),
        ({"noise": {"a": 3}}, "noise=3: choose one of"),
        ({"shrinkage": 1.0}, "shrinkage=1.0: it must be a number at least 0 and below 1"),
        ({"shrinkage": "x"}, "shrinkage='x': it must be a number"),
        ({"n_components": "x"}, "n_components='x': it must be an int at least 1"),
    ],
)
def test_parameters_that_it_does_not_take(params, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        mg.ProbabilisticCCA(modalities=LAYOUT, **params).fit(X)


def test_ctrl_c_keeps_the_model_so_far(monkeypatch):
    from mmgraph.engine import factor_learning

    maximise, calls = factor_learning.maximise, []

    def patched(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return maximise(*args)

    monkeypatch.setattr(factor_learning, "maximise", patched)
    with pytest.warns(UserWarning, match=r"interrupted after 2 epoch\(s\): kept the model"):
        model = mg.ProbabilisticCCA(modalities=LAYOUT).fit(X)
    assert model.n_iter_ == 2
    assert np.isfinite(model.impute(NEW)).all()
