"""Hidden Markov models as estimators: hmmlearn's answers, streams, sequences, labels, bad input."""

import warnings

import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import norm
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mmgraph as mg
from mmgraph.fusion.hmmlearn_bridge import from_hmmlearn, to_hmmlearn

hmmlearn = pytest.importorskip("hmmlearn.hmm")

RNG = np.random.default_rng(0)
LENGTHS = [30, 50, 1, 45]
N = sum(LENGTHS)
IDS = np.repeat(np.arange(4), LENGTHS)
STATE = np.cumsum(RNG.random(N) < 0.15) % 3
REAL = STATE[:, None] * [1.5, -1.0] + RNG.normal(size=(N, 2))
COUNTS = RNG.poisson(1.0 + 2 * STATE)[:, None].astype(float)
ONE_HOT = np.eye(4)[(STATE + (RNG.random(N) < 0.3)) % 4]
A = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
START = np.array([0.6, 0.3, 0.1])
NO_FLOOR = {"floor": 0.0}


def packed(**streams):
    """X and the parameters that say what its columns are."""
    X, modalities = mg.pack(sequence=IDS, **streams)
    return X, {"sequence": 0, "modalities": modalities}


BOTH, COLUMNS = packed(motion=REAL, steps=COUNTS)
EMITTED = {"emissions": {"steps": "poisson"}, **COLUMNS, "random_state": 0}


def theirs(kind):
    """A model of hmmlearn with its parameters set and no priors, and what it and ours read."""
    fixed = {"init_params": "", "n_iter": 5, "tol": -np.inf}
    gaussian = {"covars_prior": 0.0, "covars_weight": 1.0, "min_covar": 0.0}
    means = np.array([[0.0, 0.5], [1.0, -1.0], [2.0, -2.0]])
    if kind == "poisson":
        model = hmmlearn.PoissonHMM(3, lambdas_prior=0.0, lambdas_weight=0.0, **fixed)
        model.lambdas_ = np.array([[1.0], [2.0], [6.0]])
        X = COUNTS.astype(int)
    elif kind == "categorical":
        model = hmmlearn.CategoricalHMM(3, **fixed)
        model.emissionprob_ = np.array(
            [[0.4, 0.3, 0.2, 0.1], [0.1, 0.4, 0.3, 0.2], [0.2] * 3 + [0.4]]
        )
        model.n_features = 4
        X = ONE_HOT.argmax(axis=1)[:, None]
    elif kind == "gmm":
        model = hmmlearn.GMMHMM(3, 2, **fixed)
        model.weights_ = np.full((3, 2), 0.5)
        model.means_ = means[:, None] + np.array([[0.5], [-0.5]])
        model.covars_ = np.ones((3, 2, 2))
        X = REAL
    else:
        model = hmmlearn.GaussianHMM(3, kind, **gaussian, **fixed)
        model.means_ = means
        one = np.array([[1.0, 0.2], [0.2, 2.0]])
        shapes = {
            "diag": np.ones((3, 2)),
            "spherical": np.ones(3),
            "full": np.tile(one, (3, 1, 1)),
            "tied": one,
        }
        model.covars_ = shapes[kind]
        X = REAL
    model.startprob_, model.transmat_ = START, A
    return model, X, ONE_HOT if kind == "categorical" else X


KINDS = ["diag", "spherical", "full", "tied", "gmm", "categorical", "poisson"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_hmmlearn(kind):
    model, X, ours_X = theirs(kind)
    ours = from_hmmlearn(model)
    ours_X = np.c_[IDS, ours_X]
    ours.set_params(sequence=0).layout_ = mg.MultiStreamHMM(1, sequence=0).fit(ours_X).layout_
    ours.n_features_in_ = ours_X.shape[1]
    scores = np.add.reduceat(ours.score_samples(ours_X), np.cumsum([0, *LENGTHS[:-1]]))
    np.testing.assert_allclose(scores.sum(), model.score(X, LENGTHS), rtol=1e-12)
    for i, part in enumerate(np.split(X, np.cumsum(LENGTHS)[:-1])):
        np.testing.assert_allclose(scores[i], model.score(part), rtol=1e-10)
    np.testing.assert_allclose(ours.transform(ours_X), model.predict_proba(X, LENGTHS), atol=1e-10)
    np.testing.assert_array_equal(ours.predict(ours_X), model.predict(X, LENGTHS))


@pytest.mark.parametrize("kind", ["diag", "full", "tied", "categorical", "poisson"])
def test_learns_as_hmmlearn_does(kind):
    model, X, ours_X = theirs(kind)
    ours = from_hmmlearn(model)
    ours_X = np.c_[IDS, ours_X]
    ours.set_params(sequence=0, warm_start=True, max_iter=5, tol=0.0, priors=NO_FLOOR)
    ours.layout_ = mg.MultiStreamHMM(1, sequence=0).fit(ours_X).layout_
    ours.n_features_in_ = ours_X.shape[1]
    ours.fit(ours_X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, LENGTHS)
    history = np.array(model.monitor_.history)
    np.testing.assert_allclose(np.array(ours.history_["log_likelihood"]) * N, history, rtol=1e-6)
    np.testing.assert_allclose(ours.start_, model.startprob_, atol=1e-6)
    np.testing.assert_allclose(ours.transition_, model.transmat_, atol=1e-6)
    emission = ours.model_.streams[0].emission
    fitted = {
        "poisson": lambda: (emission.rates, model.lambdas_),
        "categorical": lambda: (emission.probabilities, model.emissionprob_),
        "diag": lambda: (emission.variances, model._covars_),
        "full": lambda: (emission.covariances, model._covars_),
        "tied": lambda: (emission.covariances, model._covars_),
    }[kind]()
    np.testing.assert_allclose(*fitted, atol=1e-6)


def test_mixtures_learn_as_in_hmmlearn_but_for_the_spread():
    """hmmlearn measures it about the means before the step, so that EM can lower the likelihood."""
    model, X, _ = theirs("gmm")
    ours = from_hmmlearn(model).set_params(warm_start=True, max_iter=1, priors=NO_FLOOR)
    before = ours.model_.streams[0].emission.components.means
    ours.fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.set_params(n_iter=1).fit(X)
    emission = ours.model_.streams[0].emission
    means, variances = emission.components.means, emission.components.variances
    np.testing.assert_allclose(emission.shares, model.weights_, atol=1e-6)
    np.testing.assert_allclose(means, model.means_.reshape(6, 2), atol=1e-6)
    theirs_about = variances + (means - before) ** 2
    np.testing.assert_allclose(theirs_about, model.covars_.reshape(6, 2), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind):
    model, X, _ = theirs(kind)
    again = to_hmmlearn(from_hmmlearn(model))
    assert again.score(X) == pytest.approx(model.score(X))


def test_a_fitted_model_in_hmmlearn():
    for emitted, covariance_type in (
        ("gaussian", "diag"),
        ("gaussian", "full"),
        ("gaussian", "spherical"),
        ("gaussian", "tied"),
        ("gmm", "diag"),
    ):
        ours = mg.MultiStreamHMM(
            2, emissions=emitted, covariance_type=covariance_type, max_iter=5, random_state=0
        ).fit(10 * REAL + 7)
        found = to_hmmlearn(ours).score(10 * REAL + 7)
        assert found == pytest.approx(ours.score_samples(10 * REAL + 7).sum())


def test_what_hmmlearn_does_not_have():
    model = mg.MultiStreamHMM(**EMITTED, max_iter=2).fit(BOTH)
    with pytest.raises(ValueError, match=r"2 streams \['motion', 'steps'\], but .* have one"):
        to_hmmlearn(model)
    bits = mg.MultiStreamHMM(2, emissions="bernoulli", max_iter=2).fit(ONE_HOT)
    with pytest.raises(ValueError, match="no Bernoulli emissions"):
        to_hmmlearn(bits)
    with pytest.raises(TypeError, match=r"a StandardScaler, but must be one of \['GaussianHMM'"):
        from_hmmlearn(StandardScaler())


# Streams and sequences ---------------------------------------------------------------------------


def test_states_are_found_and_sequences_stay_apart():
    model = mg.MultiStreamHMM(3, **EMITTED).fit(BOTH)
    found = model.predict(BOTH)
    share = max(
        (np.array(order)[found] == STATE).mean()
        for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    )
    assert share > 0.85
    scores = model.score_samples(BOTH)
    for i in range(4):
        own = BOTH[i == IDS]
        np.testing.assert_allclose(model.score_samples(own), scores[i == IDS])
        np.testing.assert_array_equal(model.predict(own), found[i == IDS])
    assert model.score(BOTH) == pytest.approx(scores.mean())
    assert (np.diff(model.history_["objective"]) > -1e-9).all()


def test_scores_are_densities_in_the_units_of_the_data():
    one = mg.MultiStreamHMM(1, max_iter=3, priors=NO_FLOOR).fit(REAL * 5 + 3)
    rows = REAL * 5 + 3
    want = norm(rows.mean(axis=0), rows.std(axis=0)).logpdf(rows).sum(axis=1)
    np.testing.assert_allclose(one.score_samples(rows), want)
    np.testing.assert_allclose(one.means_["X"][0], rows.mean(axis=0))


def test_a_stream_at_a_slow_rate_and_one_that_a_sequence_lacks():
    X = BOTH.copy()
    X[np.arange(N) % 4 > 0, 3] = np.nan  # steps tick every fourth frame
    X[IDS == 1, 1:3] = np.nan  # a sequence without motion
    model = mg.MultiStreamHMM(3, **EMITTED).fit(X)
    assert np.isfinite(model.transform(X)).all()
    filled = model.impute(X)
    assert np.isfinite(filled).all()
    error = np.square(filled[:, 3] - COUNTS[:, 0]).mean()
    assert error < 0.75 * COUNTS.var()
    conditional = model.log_conditional(X, "steps")
    assert (conditional[np.isnan(X[:, 3])] == 0).all()


def test_generation_of_a_stream():
    model = mg.MultiStreamHMM(3, **EMITTED).fit(BOTH)
    mean = model.generate(BOTH, "steps")
    assert np.corrcoef(mean[:, 0], COUNTS[:, 0])[0, 1] > 0.5
    hidden = BOTH.copy()
    hidden[:, 3] = np.nan
    np.testing.assert_allclose(mean, model.transform(hidden) @ model.means_["steps"])
    draws = model.generate(BOTH, "steps", n_samples=400, random_state=1)
    assert (draws == np.floor(draws)).all()
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.7)
    np.testing.assert_array_equal(
        draws[:3], model.generate(BOTH, "steps", n_samples=3, random_state=1)
    )


def test_samples_are_sequences():
    """Their transitions are those of the model."""
    model = mg.MultiStreamHMM(3, **EMITTED).fit(BOTH)
    rows = model.sample(4000, random_state=0)
    assert rows.shape == (4000, 4)
    again = mg.MultiStreamHMM(3, **EMITTED, warm_start=True)
    again.model_, again.layout_ = model.model_, model.layout_
    again.n_features_in_ = 4
    again.fit(rows)
    np.testing.assert_allclose(again.transition_, model.transition_, atol=0.06)
    np.testing.assert_allclose(again.means_["motion"], model.means_["motion"], atol=0.3)


def test_known_states():
    known = np.where(np.arange(N) % 5 == 0, STATE, -1)
    model = mg.MultiStreamHMM(3, **EMITTED).fit(BOTH, states=known)
    assert (model.predict(BOTH) == STATE).mean() > 0.85
    all_known = mg.MultiStreamHMM(3, **EMITTED, max_iter=2).fit(BOTH, states=STATE)
    counts = np.zeros((3, 3))
    inner = np.flatnonzero(np.diff(IDS, prepend=-1) == 0)
    np.add.at(counts, (STATE[inner - 1], STATE[inner]), 1)
    np.testing.assert_allclose(all_known.transition_, counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(
        all_known.means_["motion"], [REAL[k == STATE].mean(axis=0) for k in range(3)]
    )


def test_stream_weights():
    weighted = {"motion": 0.0, "steps": 1.0}
    model = mg.MultiStreamHMM(3, **EMITTED, stream_weights=weighted, max_iter=5).fit(BOTH)
    hidden = BOTH.copy()
    hidden[:, 1:3] = np.nan
    np.testing.assert_allclose(model.transform(hidden), model.transform(BOTH))
    np.testing.assert_allclose(model.embed(BOTH, "steps"), model.transform(BOTH))
    assert np.isfinite(model.means_["motion"]).all()  # learnt all the same


@pytest.mark.parametrize("algorithm", ["em", "viterbi"])
@pytest.mark.parametrize("covariance_type", ["diag", "full", "tied", "spherical"])
def test_learning_never_lowers_the_objective(algorithm, covariance_type):
    for emitted in ("gaussian", "gmm"):
        model = mg.MultiStreamHMM(
            4,
            emissions={"motion": emitted, "steps": "poisson"},
            covariance_type=covariance_type,
            priors={"transition": 0.5, "covariance": 1.0, "scatter": 1.0, "mean": 0.1},
            algorithm=algorithm,
            topology="left-right" if emitted == "gmm" else "ergodic",
            tol=0.0,
            max_iter=12,
            random_state=0,
            **COLUMNS,
        ).fit(BOTH)
        assert (np.diff(model.history_["objective"]) > -1e-9).all()


def test_topologies():
    right = mg.MultiStreamHMM(4, topology="left-right", **EMITTED, max_iter=5).fit(BOTH)
    assert (right.transition_[~np.triu(np.ones((4, 4), bool))] == 0).all()
    np.testing.assert_array_equal(right.start_, [1, 0, 0, 0])
    path = right.predict(BOTH)
    assert (np.diff(path)[np.diff(IDS) == 0] >= 0).all()
    ring = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])
    model = mg.MultiStreamHMM(3, topology=ring, **EMITTED, max_iter=5).fit(BOTH)
    np.testing.assert_array_equal(model.transition_ == 0, ring == 0)


def test_starts():
    one = mg.MultiStreamHMM(4, **EMITTED, max_iter=3).fit(BOTH)
    many = mg.MultiStreamHMM(4, **EMITTED, max_iter=3, n_init=4).fit(BOTH)
    assert many.history_["objective"][-1] >= one.history_["objective"][-1]


def test_warm_start_goes_on():
    whole = mg.MultiStreamHMM(3, **EMITTED, max_iter=8, tol=0).fit(BOTH)
    parts = mg.MultiStreamHMM(3, **EMITTED, max_iter=4, tol=0, warm_start=True).fit(BOTH).fit(BOTH)
    np.testing.assert_allclose(parts.score_samples(BOTH), whole.score_samples(BOTH))
    parts.set_params(n_states=4)
    with pytest.raises(ValueError, match="n_states changed since the last fit, but warm_start"):
        parts.fit(BOTH)


def test_float32_is_close():
    wide = mg.MultiStreamHMM(3, **EMITTED, max_iter=10, tol=0).fit(BOTH)
    narrow = mg.MultiStreamHMM(3, **EMITTED, max_iter=10, tol=0, dtype="float32").fit(BOTH)
    np.testing.assert_allclose(narrow.score_samples(BOTH), wide.score_samples(BOTH), atol=2e-3)


@pytest.mark.parametrize("kind", ["diag", "full", "spherical", "tied", "poisson", "categorical"])
def test_information_criteria_of_hmmlearn(kind):
    model, X, ours_X = theirs(kind)
    ours = from_hmmlearn(model)
    ours.layout_ = mg.MultiStreamHMM(1).fit(ours_X).layout_
    ours.n_features_in_ = ours_X.shape[1]
    model.n_features = X.shape[1] if kind != "categorical" else 4
    wanted = model.bic(X), model.aic(X)
    found = ours.bic(ours_X), ours.aic(ours_X)
    np.testing.assert_allclose(found, wanted)


def test_free_parameters_of_the_rest():
    right = mg.MultiStreamHMM(4, topology="left-right", max_iter=1, emissions="gmm").fit(REAL)
    assert right._n_parameters() == 0 + 3 + 4 * (1 + 2 * 4)
    bits = mg.MultiStreamHMM(2, emissions="bernoulli", max_iter=1).fit(ONE_HOT)
    assert bits._n_parameters() == 1 + 2 + 2 * 4
    long = mg.MultiStreamHMM(3, durations=4, max_iter=1).fit(REAL)
    assert long._n_parameters() == 2 + 3 * 4 + 3 + 3 * 4


def test_batches_come_to_what_all_sequences_do():
    """With the weights of all equal, batches of the same frames repeat the steps of EM."""
    online = mg.MultiStreamHMM(3, **EMITTED, learning_decay=1.0)
    for _ in range(40):
        online.partial_fit(BOTH)
    whole = mg.MultiStreamHMM(3, **EMITTED, max_iter=60, tol=0).fit(BOTH)
    assert online.n_iter_ == 40
    assert online.score(BOTH) == pytest.approx(whole.score(BOTH), abs=0.05)
    fewer = mg.MultiStreamHMM(3, **EMITTED)
    for _ in range(12):
        for i in (0, 1, 3):
            fewer.partial_fit(BOTH[i == IDS])
    assert fewer.score(BOTH) > whole.score(BOTH) - 0.1
    likelihood = fewer.history_["log_likelihood"]
    assert len(likelihood) == 36
    assert likelihood[-3] > likelihood[0]


def test_the_first_batch_is_a_step_of_em():
    one = mg.MultiStreamHMM(3, **EMITTED).partial_fit(BOTH)
    fit = mg.MultiStreamHMM(3, **EMITTED, max_iter=1).fit(BOTH)
    np.testing.assert_allclose(one.transform(BOTH), fit.transform(BOTH))
    known = np.where(np.arange(N) % 2 == 0, STATE, -1)
    one = mg.MultiStreamHMM(3, **EMITTED).partial_fit(BOTH, states=known)
    fit = mg.MultiStreamHMM(3, **EMITTED, max_iter=1).fit(BOTH, states=known)
    np.testing.assert_allclose(one.transform(BOTH), fit.transform(BOTH))


def test_a_later_batch_may_lack_a_stream(tmp_path):
    model = mg.MultiStreamHMM(3, **EMITTED).partial_fit(BOTH)
    hidden = BOTH.copy()
    hidden[:, 3] = np.nan
    model.partial_fit(hidden)
    assert np.isfinite(model.score_samples(BOTH)).all()
    mg.save(model, tmp_path / "model")
    again = mg.load(tmp_path / "model").partial_fit(BOTH)
    np.testing.assert_allclose(again.transform(BOTH), model.partial_fit(BOTH).transform(BOTH))
    assert not hasattr(model.fit(BOTH), "statistics_")


@pytest.mark.parametrize("states", [None, np.where(np.arange(N) % 2 == 0, STATE, -1)])
def test_workers_share_the_sequences(states):
    model = mg.MultiStreamHMM(3, **EMITTED, max_iter=4, tol=0)
    alone = clone(model).fit(BOTH, states=states)
    with parallel_config("loky", n_jobs=2):
        together = clone(model).fit(BOTH, states=states)
    np.testing.assert_allclose(together.transform(BOTH), alone.transform(BOTH), rtol=1e-9)
    np.testing.assert_allclose(together.history_["objective"], alone.history_["objective"])


def test_dask_shares_the_sequences():
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    model = mg.MultiStreamHMM(3, **EMITTED, max_iter=4, tol=0)
    alone = clone(model).fit(BOTH)
    with distributed.Client(n_workers=2, threads_per_worker=1), parallel_config("dask"):
        together = clone(model).fit(BOTH)
    np.testing.assert_allclose(together.transform(BOTH), alone.transform(BOTH), rtol=1e-9)


def lasting(n=60, seed=0):
    """Sequences of states that last 4 to 6 frames, or 1 to 3."""
    rng = np.random.default_rng(seed)
    state, k = [], 0
    while len(state) < n * 20:
        state += [k] * rng.integers(*((4, 7) if k == 0 else (1, 4)))
        k = 1 - k
    state = np.array(state[: n * 20])
    return state, state[:, None] * 2.0 + rng.normal(size=(len(state), 1))


def test_durations():
    state, x = lasting()
    plain = mg.MultiStreamHMM(2, random_state=0).fit(x)
    model = mg.MultiStreamHMM(2, durations=7, random_state=0).fit(x)
    assert (np.diff(model.history_["objective"]) > -1e-9).all()
    flip = int((model.predict(x) == state).mean() < 0.5)
    p = model.durations_[flip]
    np.testing.assert_allclose(model.durations_.sum(axis=1), 1)
    assert p[3:6].sum() > 0.9 > 0.3 > p[:3].sum()
    new_state, new = lasting(seed=1)
    assert model.score(new) > plain.score(new) + 0.02
    found = (model.predict(new) ^ flip) == new_state
    assert found.mean() > ((plain.predict(new) ^ flip) == new_state).mean()
    assert model.bic(new) < plain.bic(new)
    assert model.transform(new).shape == (len(new), 2)
    assert model.means_["X"].shape == (2, 1)
    np.testing.assert_array_equal(plain.durations_, [[1], [1]])


def with_gaps():
    X = BOTH.copy()
    X[np.arange(N) % 3 > 0, 3] = np.nan
    X[IDS == 1, 1:3] = np.nan
    return X


def test_durations_with_all_else(tmp_path):
    known = np.where(np.arange(N) % 5 == 0, STATE, -1)
    for topology in ("ergodic", "left-right"):
        states = known if topology == "ergodic" else None
        model = mg.MultiStreamHMM(3, durations=3, topology=topology, **EMITTED, max_iter=8)
        model.fit(BOTH, states=states)
        filled = model.impute(with_gaps())
        assert np.isfinite(filled).all()
        assert np.isfinite(model.sample(30, random_state=0)).all()
        mg.save(model, tmp_path / "model")
        again = mg.load(tmp_path / "model")
        np.testing.assert_array_equal(again.transform(BOTH), model.transform(BOTH))
        np.testing.assert_array_equal(again.durations_, model.durations_)
    assert (np.diff(model.predict(BOTH))[np.diff(IDS) == 0] >= 0).all()
    one = mg.MultiStreamHMM(3, durations=1, **EMITTED, max_iter=5).fit(BOTH)
    same = mg.MultiStreamHMM(3, **EMITTED, max_iter=5).fit(BOTH)
    np.testing.assert_array_equal(one.transform(BOTH), same.transform(BOTH))


def test_a_state_that_dies():
    """It keeps its parameters, and nothing that leaves the model is NaN."""
    model = mg.MultiStreamHMM(3, **EMITTED, max_iter=5).fit(BOTH, states=np.minimum(STATE, 1))
    for found in (model.transition_, model.transform(BOTH), *model.means_.values()):
        assert np.isfinite(found).all()
    np.testing.assert_allclose(model.transition_.sum(axis=1), 1)


def test_no_frames():
    for rows in (np.empty((0, 4)), np.empty((0, 2))):
        with pytest.raises(ValueError, match=r"0 sample|minimum of 1"):
            mg.MultiStreamHMM(2, **COLUMNS).fit(rows)


def test_model_selection_over_sequences():
    X, y = np.tile(BOTH, (3, 1)), None
    X[:, 0] = np.repeat(np.arange(12), LENGTHS * 3)
    search = GridSearchCV(
        mg.MultiStreamHMM(**EMITTED, max_iter=8), {"n_states": [1, 3]}, cv=GroupKFold(3)
    )
    assert search.fit(X, y, groups=X[:, 0]).best_params_ == {"n_states": 3}


# Bad input ---------------------------------------------------------------------------------------


def fails(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def fitted(X=BOTH, **changes):
    states = changes.pop("states", None)
    return mg.MultiStreamHMM(**{**EMITTED, "max_iter": 3, **changes}).fit(X, states=states)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_states": 0}, "n_states=0: it must be an int at least 1"),
        ({"topology": "ring"}, r"topology='ring': choose one of \['ergodic', 'left-right'\]"),
        ({"topology": np.ones((3, 3))}, r"matrix of shape \(3, 3\) with rows of prob"),
        ({"topology": np.eye(2)}, r"shape \(3, 3\) .* got an array of shape \(2, 2\)"),
        ({"emissions": "beta"}, "emissions='beta': choose one of"),
        ({"emissions": {"sound": "gmm"}}, r"unknown modality 'sound': .*\['motion', 'steps'\]"),
        ({"emissions": "bernoulli"}, "modality 'motion': Bernoulli emissions need values of 0"),
        ({"emissions": "categorical"}, "modality 'motion': categorical emissions need one-hot"),
        ({"covariance_type": "round"}, "covariance_type='round': choose one of"),
        ({"n_mix": 0}, "n_mix=0: it must be an int at least 1"),
        ({"stream_weights": [1, 2]}, r"stream_weights=\[1, 2\]: it must be a dict"),
        ({"stream_weights": {"steps": -1}}, r"stream_weights\['steps'\]=-1: it must be a number"),
        ({"priors": {"prior": 1}}, "priors='prior': choose one of|a key of priors='prior'"),
        ({"priors": 3}, "priors=3: it must be a dict"),
        ({"durations": 0}, "durations=0: it must be an int at least 1"),
        ({"learning_decay": 2}, "learning_decay=2: it must be a number above 0.5 and at most 1"),
        ({"algorithm": "gibbs"}, r"algorithm='gibbs': choose one of \['em', 'viterbi'\]"),
        ({"states": np.zeros(3, int)}, r"states has shape \(3,\), but X has 126 rows"),
        ({"states": np.full(N, 3)}, "states must be ints from -1 .* to 2; got values from 3 to 3"),
        ({"states": np.full(N, 0.5)}, "states must be ints from -1"),
        ({"sequence": 9}, "sequence lists column 9"),
    ],
)
def test_bad_parameters(changes, message):
    fails(message, lambda: fitted(**changes))


def test_known_states_that_the_topology_forbids():
    backwards = np.zeros(N, int)
    backwards[:10] = 2
    message = "a sequence is impossible under the model: check the known states"
    fails(message, lambda: fitted(topology="left-right", states=backwards))


def test_ids_that_come_back():
    X = BOTH.copy()
    X[5, 0] = 3
    fails("sequence id 0 stands in rows that are not next to each other", lambda: fitted(X))
    X[5, 0] = np.nan
    fails("the sequence id is NaN in row 5", lambda: fitted(X))


def test_values_that_new_rows_may_not_have():
    model = fitted()
    X = BOTH.copy()
    X[4, 3] = -1
    fails("modality 'steps': Poisson emissions need whole numbers >= 0", lambda: model.predict(X))
    X = BOTH.copy()
    X[4, 1] = 1e12
    fails("modality 'motion': a value lies .* standard deviations", lambda: model.predict(X))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 2), slice(80, 82)])
@pytest.mark.parametrize("topology", ["ergodic", "left-right"])
def test_fewer_frames_than_states(rows, topology):
    for emitted in ("gaussian", "gmm"):
        model = fitted(
            BOTH[rows],
            n_states=5,
            topology=topology,
            emissions={"motion": emitted, "steps": "poisson"},
        )
        for found in (model.transform(BOTH), model.impute(BOTH), model.transition_):
            assert np.isfinite(found).all()
        assert np.isfinite(model.score_samples(BOTH[rows])).all()


def test_columns_that_do_not_vary_and_copies():
    X, columns = packed(motion=np.c_[REAL, REAL[:, :1], np.full(N, 4.0)], steps=COUNTS)
    for covariance_type in ("diag", "full", "tied", "spherical"):
        model = mg.MultiStreamHMM(3, covariance_type=covariance_type, max_iter=5, **columns).fit(X)
        assert np.isfinite(model.score_samples(X)).all()
        assert np.isfinite(model.impute(X)).all()


def test_more_columns_than_frames():
    rows = np.random.default_rng(0).normal(size=(10, 30))
    for covariance_type in ("diag", "full", "tied", "spherical"):
        model = mg.MultiStreamHMM(2, covariance_type=covariance_type, max_iter=5).fit(rows)
        assert np.isfinite(model.score_samples(rows)).all()


def test_an_impossible_observation():
    """A category that was never seen makes its frame impossible, and no other."""
    X = ONE_HOT.copy()
    seen = X[X[:, 3] == 0]
    model = mg.MultiStreamHMM(2, emissions="categorical", max_iter=3, random_state=0).fit(seen)
    scores = model.score_samples(X)
    assert np.isneginf(scores[X[:, 3] == 1]).all()
    assert np.isfinite(scores[X[:, 3] == 0]).all()
    assert np.isfinite(model.transform(X)).all()
    soft = model.set_params(priors={"counts": 0.1}).fit(seen)
    assert np.isfinite(soft.score_samples(X)).all()


# Classification ----------------------------------------------------------------------------------


def labelled(n=60, seed=0, noise=1.0):
    """Sequences of two streams, rising or falling in the first and fast or slow in the second."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(8, 15, n)
    y = np.arange(n) % 2
    ids = np.repeat(np.arange(n), lengths)
    t = np.concatenate([np.linspace(-1, 1, k) for k in lengths])
    slope = np.where(y, 1.0, -1.0)[ids] * t
    a = slope[:, None] * [2.0, 1.0] + noise * rng.normal(size=(len(t), 2))
    b = slope[:, None] + 0.7 * rng.normal(size=(len(t), 1))
    X, modalities = mg.pack(a=a, b=b, sequence=ids)
    return X, np.array(["down", "up"])[y][ids], modalities


def classifier(modalities, **changes):
    model = mg.MultiStreamHMM(3, topology="left-right", max_iter=10)
    return mg.HMMClassifier(model, sequence=0, modalities=modalities, **changes)


def test_a_classifier_of_sequences():
    X, y, modalities = labelled()
    new, truth, _ = labelled(seed=1)
    model = classifier(modalities).fit(X, y)
    assert model.score_sequences(new, truth) > 0.9
    found = model.predict(new)
    p = model.predict_proba(new)
    for i in np.unique(new[:, 0]):
        own = new[:, 0] == i
        assert len(set(found[own])) == 1
        assert np.ptp(p[own], axis=0).max() == 0
        np.testing.assert_allclose(
            model.decision_function(new[own]), model.decision_function(new)[own]
        )
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(found, model.classes_[p.argmax(axis=1)])


def test_scores_of_a_classifier_are_likelihoods_of_its_models():
    X, y, modalities = labelled()
    model = classifier(modalities).fit(X, y)
    own = X[X[:, 0] == 0]
    want = [m.score_samples(own).sum() for m in model.models_]
    want = want[1] - want[0] + model.log_prior_[1] - model.log_prior_[0]
    np.testing.assert_allclose(model.decision_function(own), want)


def test_a_stream_that_is_missing():
    X, y, modalities = labelled()
    model = classifier(modalities).fit(X, y)
    new, truth, _ = labelled(seed=1)
    for columns in (slice(1, 3), slice(3, 4)):
        gaps = new.copy()
        gaps[:, columns] = np.nan
        assert model.score_sequences(gaps, truth) > 0.8
    gaps[:, 1:] = np.nan
    np.testing.assert_allclose(
        model.predict_proba(gaps), np.exp(np.tile(model.log_prior_, (len(gaps), 1)))
    )


def test_tuned_weights_trust_the_stream_without_noise():
    X, y, modalities = labelled(120)
    loud, truth, _ = labelled(120, seed=1, noise=12.0)
    model = classifier(modalities).fit(X, y)
    equal = model.score_sequences(loud, truth)
    model.tune(loud, truth)
    assert model.stream_weights_["b"] > model.stream_weights_["a"]
    new, labels, _ = labelled(120, seed=2, noise=12.0)
    assert model.score_sequences(new, labels) > max(0.8, equal)
    given = classifier(modalities, stream_weights={"a": 0.0}).fit(X, y)
    hidden = new.copy()
    hidden[:, 1:3] = np.nan
    np.testing.assert_allclose(given.predict_proba(new), given.predict_proba(hidden))


def test_a_classifier_in_model_selection():
    X, y, modalities = labelled()
    rows = X[:, 0]
    search = GridSearchCV(classifier(modalities), {"hmm__n_states": [1, 3]}, cv=GroupKFold(3)).fit(
        X, y, groups=rows
    )
    assert search.best_params_ == {"hmm__n_states": 3}
    single = make_pipeline(StandardScaler(), mg.HMMClassifier())
    assert cross_val_score(single, REAL, STATE, cv=3).mean() > 0.6


def test_bad_labels():
    X, y, modalities = labelled(10)
    wrong = y.copy()
    wrong[2] = "up" if y[2] == "down" else "down"
    fails(
        "the labels of a sequence differ: row 2 has", lambda: classifier(modalities).fit(X, wrong)
    )
    fails("one class only", lambda: classifier(modalities).fit(X, np.full(len(y), "up")))
    X[y == "up", 1:3] = np.nan
    fails("'a' is absent .* of class up", lambda: classifier(modalities).fit(X, y))
    with pytest.raises(TypeError, match="it must be a MultiStreamHMM, or None"):
        mg.HMMClassifier(3).fit(X, y)
    model = classifier(modalities).fit(*labelled(10)[:2])
    fails("labels that were not there", lambda: model.tune(X, np.where(y == "up", "upp", y)))


def test_models_are_saved(tmp_path):
    X, y, modalities = labelled()
    model = classifier(modalities).fit(X, y)
    mg.save(model, tmp_path / "model")
    np.testing.assert_array_equal(
        mg.load(tmp_path / "model").predict_proba(X), model.predict_proba(X)
    )


@pytest.mark.parametrize("kind", [mg.HMMClassifier, mg.ForcedAligner])
def test_columns_may_be_given_to_the_model_inside(kind):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 6).repeat(8)
    X, modalities = mg.pack(
        a=rng.normal(size=(96, 2)) + y[:, None],
        b=rng.normal(size=(96, 1)),
        sequence=np.arange(96) // 8,
    )
    columns = {"modalities": modalities, "sequence": 0, "stream_weights": {"b": 0.5}}
    outside = kind(mg.MultiStreamHMM(2, random_state=0), **columns).fit(X, y)
    inside = kind(mg.MultiStreamHMM(2, random_state=0, **columns)).fit(X, y)
    assert str(inside.layout_) == str(outside.layout_)
    np.testing.assert_array_equal(*[model.predict(X) for model in (inside, outside)])
    for name, value in {
        "sequence": 1,
        "modalities": {"a": [1, 2, 3]},
        "stream_weights": {},
    }.items():
        with pytest.raises(ValueError, match=f"{name}=.* give it once"):
            kind(mg.MultiStreamHMM(2, **columns), **{name: value}).fit(X, y)
