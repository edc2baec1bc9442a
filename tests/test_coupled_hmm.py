"""Coupled and factorial hidden Markov models as estimators."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import mmgraph as mg
from mmgraph.engine import markov

RNG = np.random.default_rng(0)
LENGTHS = [40, 30, 1, 49]
N = sum(LENGTHS)
IDS = np.repeat(np.arange(4), LENGTHS)
FIRST = np.cumsum(RNG.random(N) < 0.12) % 2
SECOND = np.roll(FIRST, 2)  # follows
MOTION = FIRST[:, None] * [2.0, -1.5] + 0.6 * RNG.normal(size=(N, 2))
STEPS = RNG.poisson(1.0 + 5 * SECOND)[:, None].astype(float)
X, MODALITIES = mg.pack(sequence=IDS, motion=MOTION, steps=STEPS)
COLUMNS = {"sequence": 0, "modalities": MODALITIES, "emissions": {"steps": "poisson"}}
SETTINGS = {**COLUMNS, "random_state": 0, "max_iter": 10}
KINDS = [mg.CoupledHMM, mg.FactorialHMM]
both = pytest.mark.parametrize("kind", KINDS)


def fitted(kind, rows=X, *, states=None, **changes):
    return kind(**{"n_states": 2, **SETTINGS, **changes}).fit(rows, states=states)


def gaps():
    """Rows with slow steps, and one sequence without motion."""
    rows = X.copy()
    rows[np.arange(N) % 3 > 0, 3] = np.nan
    rows[IDS == 1, 1:3] = np.nan
    return rows


def log_emissions(model, x):
    """Log-density of each frame of a sequence under each tuple, by SciPy."""
    total = np.zeros((len(x), len(model.tuples_)))
    stream = model.model_.streams[0]
    z, e = stream.encode(x), stream.emission
    for k, states in enumerate(model.tuples_):
        own = k if stream.states is None else states[0]
        if hasattr(e, "variances"):
            total[:, k] = norm(e.means[own], np.sqrt(e.variances[own])).logpdf(z).sum(axis=1)
        else:
            total[:, k] = multivariate_normal(e.means[own], e.covariances).logpdf(z)
    return total - stream.scale.log_volume


@both
def test_densities_and_posteriors_are_sums_over_all_paths(kind):
    model = kind(2, max_iter=3, random_state=0).fit(MOTION)
    x = MOTION[:5]
    total, n = log_emissions(model, x), len(model.tuples_)
    paths = np.array(list(itertools.product(range(n), repeat=5)))
    log_p = np.log(model.start_)[paths[:, 0]] + total[np.arange(5), paths].sum(axis=1)
    log_p += np.log(model.transition_)[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    assert model.score_samples(x).sum() == pytest.approx(logsumexp(log_p))
    p = np.exp(log_p - logsumexp(log_p))
    joint = np.array([np.bincount(column, p, n) for column in paths.T])
    sizes = model.tuples_.max(axis=0) + 1
    groups = [np.eye(s)[part] for s, part in zip(sizes, model.tuples_.T, strict=True)]
    np.testing.assert_allclose(model.transform(x), joint @ np.hstack(groups), atol=1e-10)
    np.testing.assert_array_equal(model.predict(x), paths[log_p.argmax()])


@both
def test_learning_never_lowers_the_objective(kind):
    for algorithm in ("em", "viterbi"):
        priors = {"transition": 0.5, "start": 0.3, "covariance": 1.0, "scatter": 1.0, "mean": 0.2}
        model = fitted(kind, gaps(), algorithm=algorithm, priors=priors, tol=0.0)
        assert (np.diff(model.history_["objective"]) > -1e-9).all()
        assert model.n_iter_ > 1


@both
def test_verbs(kind, tmp_path):
    rows = gaps()
    model = fitted(kind, rows)
    p = model.transform(rows)
    assert p.shape == (N, 4)
    for block in np.split(p, 2, axis=1):
        np.testing.assert_allclose(block.sum(axis=1), 1)
    assert model.inverse_transform(p).shape == X.shape
    filled = model.impute(rows)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~np.isnan(rows)], rows[~np.isnan(rows)])
    assert model.generate(rows, "steps").shape == (N, 1)
    draws = model.generate(rows, "steps", n_samples=300, random_state=1)
    np.testing.assert_allclose(draws.mean(axis=0), model.generate(rows, "steps"), atol=1.0)
    sample = model.sample(50, random_state=1)
    assert np.isfinite(sample).all()
    np.testing.assert_array_equal(sample, model.sample(50, random_state=1))
    assert np.isfinite(model.score_samples(rows)).all()
    assert np.isnan(model.embed(rows, "motion")[IDS == 1]).all()
    mg.save(model, tmp_path / "model")
    again = mg.load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(rows), p)
    assert again.bic(rows) == model.bic(rows)


@both
def test_means_are_those_of_generated_rows(kind):
    """The expected columns given the posterior of each chain, where nothing ties the chains."""
    model = fitted(kind, MOTION, sequence=None, modalities=None, emissions="gaussian")
    p = model.transform(MOTION)
    total = model.model_.streams[0].expected(
        markov.posteriors(model.model_, model._data(model._check(MOTION)))
    )
    np.testing.assert_allclose(model.inverse_transform(p), total, atol=1e-9)


@both
def test_known_states(kind):
    known = np.stack([FIRST, SECOND], axis=1)
    known[np.arange(N) % 4 > 0] = -1
    known[np.arange(N) % 8 == 0, 1] = -1
    model = fitted(kind, states=known)
    found = model.tuples_[model.predict(X)]
    assert (found[:, 0] == FIRST).mean() > 0.95
    if kind is mg.CoupledHMM:
        assert (found[:, 1] == SECOND).mean() > 0.9
    with pytest.raises(ValueError, match=r"states has shape \(120,\), but X has 120 rows: .*chain"):
        fitted(kind, states=FIRST)
    with pytest.raises(ValueError, match=r"states must be ints from -1 .* to 1"):
        fitted(kind, states=known + 1)


@both
def test_warm_start_and_batches(kind):
    whole = fitted(kind, max_iter=8, tol=0)
    parts = fitted(kind, max_iter=4, tol=0, warm_start=True).fit(X)
    np.testing.assert_allclose(parts.score_samples(X), whole.score_samples(X))
    with pytest.raises(ValueError, match="n_states changed since the last fit"):
        parts.set_params(n_states=3).fit(X)
    online = kind(2, **SETTINGS)
    for _ in range(15):
        for i in (0, 1, 3):
            online.partial_fit(X[i == IDS])
    assert online.score(X) > whole.score(X) - 0.15


@both
def test_float32_is_close(kind):
    wide, narrow = (fitted(kind, tol=0, dtype=d) for d in ("float64", "float32"))
    np.testing.assert_allclose(narrow.score_samples(X), wide.score_samples(X), atol=2e-3)
    assert narrow.transform(X.astype(np.float32)).dtype == np.float32


@both
def test_a_model_of_each_class(kind):
    rows = np.vstack([X, X[::-1]])
    rows[:, 0] = np.arange(2 * N) // 10
    y = np.where(rows[:, 0] % 2 == 0, "calm", "wild")
    rows[y == "wild", 1] *= -1
    classifier = mg.HMMClassifier(
        kind(2, emissions={"steps": "poisson"}, max_iter=5, random_state=0),
        sequence=0,
        modalities=MODALITIES,
    ).fit(rows, y)
    assert classifier.score_sequences(rows, y) > 0.85


@both
def test_short_and_odd_rows(kind):
    for rows in (X[:1], X[:2], X[70:72]):
        model = fitted(kind, rows, n_states=4)
        for found in (model.transform(X), model.impute(gaps()), model.score_samples(rows)):
            assert np.isfinite(found).all()
    flat = X.copy()
    flat[:, 1] = 3.0
    flat[:, 3] = 2.0
    assert np.isfinite(fitted(kind, flat).score_samples(flat)).all()


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_states": 0}, "n_states=0: it must be an int at least 1"),
        ({"n_states": 10**4}, r"have more than \d+ tuples: give"),
        ({"topology": "ring"}, "topology='ring': choose one of"),
        (
            {"learning_decay": 0.5},
            "learning_decay=0.5: it must be a number above 0.5 and at most 1",
        ),
        ({"covariance_type": "round"}, "covariance_type='round': choose one of"),
        ({"emissions": "beta"}, "emissions='beta': choose one of"),
    ],
)
def test_bad_parameters(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        fitted(kind, **changes)


@both
def test_no_frames(kind):
    model = fitted(kind)
    for rows in (X[:0], np.empty((0, 2))):
        with pytest.raises(ValueError, match=r"0 sample|minimum of 1"):
            kind(2, **SETTINGS).fit(rows)
        with pytest.raises(ValueError, match=r"0 sample|minimum of 1"):
            kind(2, **SETTINGS).partial_fit(rows)
    verbs = model.transform, model.predict, model.score_samples, model.impute
    for verb in verbs:
        with pytest.raises(ValueError, match=r"0 sample|minimum of 1"):
            verb(X[:0])


@both
def test_frames_that_show_nothing(kind):
    """The chain runs on, and every verb has an answer."""
    model, rows = fitted(kind, gaps()), X.copy()
    rows[:, 1:] = np.nan
    np.testing.assert_allclose(model.transform(rows).sum(axis=1), len(model.chains_))
    np.testing.assert_array_equal(model.score_samples(rows), 0)
    assert np.isfinite(model.impute(rows)).all()
    with pytest.raises(ValueError, match="'motion' is absent"):
        kind(2, **SETTINGS).fit(rows)


@both
def test_a_state_that_dies(kind):
    known = np.stack([FIRST, SECOND], axis=1)
    model = fitted(kind, n_states=3, states=known)
    for found in (model.transition_, model.transform(X), *model.means_.values()):
        assert np.isfinite(found).all()
    np.testing.assert_allclose(model.transition_.sum(axis=1), 1)


@both
def test_an_impossible_observation(kind):
    one_hot = np.eye(3)[FIRST]
    rows, modalities = mg.pack(sequence=IDS, motion=MOTION, kind=one_hot)
    settings = {"modalities": modalities, "emissions": {"kind": "categorical"}}
    model = fitted(kind, rows, **settings)
    new = rows.copy()
    new[7, 3:] = [0, 0, 1]
    scores = model.score_samples(new)
    assert np.flatnonzero(np.isneginf(scores)).tolist() == [7]
    assert np.isfinite(model.transform(new)).all()
    soft = fitted(kind, rows, priors={"counts": 0.1}, **settings)
    assert np.isfinite(soft.score_samples(new)).all()


@both
def test_ids_that_come_back(kind):
    rows = X.copy()
    rows[5, 0] = 3
    with pytest.raises(ValueError, match="sequence id 0 stands in rows that are not next to each"):
        fitted(kind, rows)


# Coupled chains ----------------------------------------------------------------------------------


def test_chains_that_follow_each_other():
    """The next state of the second chain hangs on that of the first; together they beat one."""
    model = fitted(mg.CoupledHMM, max_iter=40)
    found = model.tuples_[model.predict(X)]
    flip = (found[:, 0] == FIRST).mean() < 0.5, (found[:, 1] == SECOND).mean() < 0.5
    found = found ^ np.array(flip)
    assert (found == np.stack([FIRST, SECOND], axis=1)).mean() > 0.93
    alone = mg.MultiStreamHMM(2, **SETTINGS).fit(X)
    assert model.bic(X) < alone.bic(X)


def test_one_stream_is_an_ordinary_model():
    coupled = mg.CoupledHMM(3, random_state=0).fit(MOTION)
    plain = mg.MultiStreamHMM(3, random_state=0).fit(MOTION)
    np.testing.assert_allclose(coupled.score_samples(MOTION), plain.score_samples(MOTION))
    np.testing.assert_array_equal(coupled.predict(MOTION), plain.predict(MOTION))
    assert coupled.bic(MOTION) == pytest.approx(plain.bic(MOTION))


def test_no_asynchrony_is_the_synchronous_model():
    right = {"topology": "left-right", "n_states": 3, "tol": 0.0}
    coupled = fitted(mg.CoupledHMM, asynchrony=0, **right)
    plain = fitted(mg.MultiStreamHMM, **right)
    np.testing.assert_allclose(coupled.score_samples(X), plain.score_samples(X))
    assert coupled.bic(X) == pytest.approx(plain.bic(X))


def test_bounded_asynchrony():
    model = fitted(mg.CoupledHMM, n_states=5, topology="left-right", asynchrony=1)
    assert len(model.tuples_) == 13
    assert np.count_nonzero(model.transition_) <= 52
    path = model.tuples_[model.predict(X)]
    assert np.ptp(path, axis=1).max() <= 1
    steps = np.diff(path, axis=0)[np.diff(IDS) == 0]
    assert set(np.unique(steps)) <= {0, 1}
    np.testing.assert_array_equal(model.start_, np.arange(13) == 0)
    free = fitted(mg.CoupledHMM, n_states=5, topology="left-right")
    assert len(free.tuples_) == 25


def test_each_stream_has_its_states():
    model = fitted(mg.CoupledHMM, n_states={"motion": 3, "steps": 2})
    assert model.means_["motion"].shape == (3, 2)
    assert model.means_["steps"].shape == (2, 1)
    assert model.transform(X).shape == (N, 5)
    ring = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
    for kind in KINDS:
        first = fitted(kind, topology=ring, n_states=3)
        states = first.tuples_
        goes = (ring[states[:, None, :], states[None, :, :]] > 0).all(axis=2)
        assert (first.transition_[~goes] == 0).all()
    mixed = fitted(mg.CoupledHMM, topology={"motion": "left-right", "steps": "ergodic"})
    assert mixed.start_[mixed.tuples_[:, 0] == 1].max() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_states": {"motion": 2}}, "n_states says nothing of 'steps': give a value for each"),
        ({"n_states": {"sound": 2}}, "unknown modality 'sound'"),
        ({"asynchrony": 1}, "asynchrony=1 is about left-right chains of equally many states"),
        ({"asynchrony": -1}, "asynchrony=-1: it must be an int at least 0"),
        (
            {"asynchrony": 1, "topology": "left-right", "n_states": {"motion": 2, "steps": 3}},
            "asynchrony=1 is about left-right chains of equally many states",
        ),
    ],
)
def test_bad_parameters_of_coupled_chains(changes, message):
    with pytest.raises(ValueError, match=message):
        fitted(mg.CoupledHMM, **changes)


# Factorial models --------------------------------------------------------------------------------


def test_causes_are_found():
    rng = np.random.default_rng(1)
    truth = np.arange(900) // 12 % 3, np.arange(900) // 45 % 3
    means = sum(rng.normal(size=(3, 6))[state] for state in truth)
    rows = means + 0.3 * rng.normal(size=(900, 6))
    model = mg.FactorialHMM(3, random_state=0, n_init=3).fit(rows)
    np.testing.assert_allclose(model.inverse_transform(model.transform(rows)), means, atol=0.15)
    e = model.model_.streams[0].emission
    parts = [own[part] for own, part in zip(e.contributions(), model.tuples_.T, strict=True)]
    np.testing.assert_allclose(sum(parts), e.means, atol=1e-9)


def test_diagonal_and_other_emissions():
    model = fitted(mg.FactorialHMM, covariance_type="diag", n_states=(2, 3))
    covariance = model.model_.streams[0].emission.covariances
    np.testing.assert_array_equal(covariance, np.diag(np.diag(covariance)))
    right = fitted(mg.FactorialHMM, topology=("left-right", "ergodic"))
    assert right.transitions_[0][1, 0] == 0 < right.transitions_[1].min()
    for kind in ("gmm", "gaussian"):
        three = fitted(mg.FactorialHMM, n_factors=3, emissions={"motion": kind, "steps": "poisson"})
        assert three.transform(X).shape == (N, 6)


def test_bad_parameters_of_factorial_models():
    for changes, message in [
        ({"n_factors": 0}, "n_factors=0: it must be an int at least 1"),
        ({"n_states": (2, 2, 2)}, "n_states is a tuple of 3, but n_factors=2: give one value a"),
        ({"topology": ("ergodic",)}, "topology is a tuple of 1, but n_factors=2"),
        ({"covariance_type": "full"}, r"covariance_type='full': choose one of \['tied', 'diag'\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            fitted(mg.FactorialHMM, **changes)
