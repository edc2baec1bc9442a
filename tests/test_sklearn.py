"""Every estimator inside scikit-learn: its own checks, model selection, pipelines, persistence."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from estimators import INNER, all_estimators, in_sequence, made, over
from joblib import Parallel, delayed
from oracles import Enumeration
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import mmgraph as mg

pd = pytest.importorskip("pandas")

INTERLEAVED = {"a": slice(0, None, 2), "b": slice(1, None, 2)}
# Small and quick; an estimator takes those of them that it has.
SMALL = {
    "n_components": 6,
    "hidden": (6,),
    "joint": 4,
    "max_iter": 3,
    "n_particles": 50,
    "n_chains": 20,
    "sampling_sweeps": 5,
    "n_mean_chains": 3,
    "random_state": 0,
}
LINEAR = [LogisticRegression(C=0.01), LogisticRegression()]
# What a grid search varies: the first parameter that an estimator has.
GRIDS = {
    "learning_rate": [0.01, 0.2],
    "n_components": [1, 2],
    "embedding__n_components": [1, 2],
    "alpha": [0.1, 1.0],
    "C": [0.1, 10.0],
    "cv": [2, 3],
    "estimator": LINEAR,
    "n_states": [1, 2],
    "stream_weights": [None, {"a": 0.5}],
}
ESTIMATORS = all_estimators()
every = over()
generative = over("generate")
joint = over(family="joint")
boltzmann = over("partial_fit", family="joint")  # what is only about how Boltzmann machines learn

VERBS = {
    "transform": lambda m, X: m.transform(X),
    "impute": lambda m, X: m.impute(X),
    "sample": lambda m, X: (m.sample(3), m.sample(2, given=X)),
    "generate": lambda m, X: (m.generate(X, "a"), m.generate(X, "b", n_samples=2)),
    "score_samples": lambda m, X: m.score_samples(X),
    "log_conditional": lambda m, X: m.log_conditional(X, "a"),
    "predict_proba": lambda m, X: m.predict_proba(X),
    "decision_function": lambda m, X: m.decision_function(X),
}
BY_ROW = {"transform", "score_samples", "predict_proba", "decision_function", "log_conditional"}


def small(kind, **changes):
    return made(kind, **{**SMALL, **changes})


def apt(kind, **changes):
    """An estimator that, if it classifies, does so well enough for scikit-learn's checks."""
    model = small(kind, **changes)
    if isinstance(model, mg.DBMClassifier):
        model.set_params(max_iter=30, learning_rate=0.05)
    if isinstance(model, mg.MKLClassifier):  # whose machine else ends 1e-8 apart with weighted rows
        model.set_params(normalize="trace")
    return model


def answers(model, X, verbs=VERBS):
    """What a fitted model says, by verb."""
    return {verb: VERBS[verb](model, X) for verb in VERBS if verb in verbs and hasattr(model, verb)}


def assert_equal_answers(one, two):
    assert one.keys() == two.keys()
    for verb in one:
        np.testing.assert_equal(one[verb], two[verb], err_msg=verb)


def binary_rows(n=60, seed=0):
    """Two modalities of 4 binary columns that say the same thing, with some noise, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = (rng.random((n, 8)) < np.where(y, 0.8, 0.2)[:, None]).astype(float)
    return X, y


def with_gaps(X, seed=1):
    """Some rows without modality a, others without b (interleaved), one without either."""
    X = X.copy()
    which = np.random.default_rng(seed).integers(0, 3, len(X))
    X[which == 0, 0::2] = np.nan
    X[which == 1, 1::2] = np.nan
    X[3] = np.nan
    return X


X, Y = binary_rows()
GAPS = with_gaps(X)


def known_to_fail(estimator):
    """Checks that an estimator is known to fail.

    Where rows are frames in order, or weighted rows are repeated rows up to a tolerance only.
    """
    warps = hasattr(estimator, "align") and hasattr(estimator, "transform")
    alone = warps and estimator.modalities is None  # nothing to align
    if in_sequence(type(estimator)) and not alone:
        names = ("sample_order_invariance", "subset_invariance")
        why = "what is said of a frame depends on its neighbours"
        return {f"check_methods_{name}": why for name in names}
    names = ("dense", "sparse") if isinstance(estimator, mg.MKLRegressor) else ()
    why = "libsvm stops at a tolerance of 1e-3; to 1e-5, with a smaller one, in test_mkl.py"
    return {f"check_sample_weight_equivalence_on_{name}_data": why for name in names}


@pytest.mark.filterwarnings("ignore:y is ignored")  # two columns of y for whatever is called CCA
@parametrize_with_checks([apt(kind) for kind in ESTIMATORS], expected_failed_checks=known_to_fail)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:y is ignored")
@parametrize_with_checks(
    [
        apt(kind, modalities=INTERLEAVED)
        for kind in ESTIMATORS
        if kind.__name__ != "DynamicTimeWarping"  # whose streams have as many columns each
    ],
    expected_failed_checks=known_to_fail,
)
def test_scikit_learn_accepts_two_interleaved_modalities(estimator, check):
    check(estimator)


@parametrize_with_checks([mg.RBM()])
def test_scikit_learn_accepts_the_defaults(estimator, check):
    check(estimator)


@every
def test_clone_keeps_the_parameters(kind):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS, Y)
    again = clone(model)
    params = [{k: v for k, v in m.get_params().items() if k not in INNER} for m in (again, model)]
    assert params[0] == params[1]  # those of the machine too, as dbm__...
    assert not hasattr(again, "n_features_in_")


@every
def test_same_seed_same_result(kind):
    one, two = (small(kind, modalities=INTERLEAVED).fit(GAPS, Y) for _ in range(2))
    found = answers(one, GAPS)
    assert_equal_answers(found, answers(one, GAPS))
    assert_equal_answers(found, answers(two, GAPS))


@joint
def test_another_seed_another_result(kind):
    one, two = (
        answers(small(kind, modalities=INTERLEAVED, random_state=seed).fit(GAPS, Y), GAPS)
        for seed in (0, 1)
    )
    for verb, different in two.items():
        assert not all(map(np.array_equal, one[verb], different)), verb


@every
def test_a_seeded_generator_gives_the_same_result_too(kind):
    one, two = (
        answers(
            small(kind, random_state=np.random.default_rng(4)).fit(X, Y),
            X,
            BY_ROW - {"log_conditional"},
        )
        for _ in range(2)
    )
    assert_equal_answers(one, two)


@over(alone=True)
@pytest.mark.parametrize("n_parts", [2, 7, 60])
def test_batches_of_rows_do_not_matter(kind, n_parts):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS, Y)
    rows = np.array_split(np.arange(len(GAPS)), n_parts)
    parts = [answers(model, GAPS[r], BY_ROW) for r in rows]
    for verb, whole in answers(model, GAPS, BY_ROW).items():
        joined = np.concatenate([part[verb] for part in parts])
        np.testing.assert_allclose(joined, whole, atol=1e-5, rtol=1e-5)


@over("generate", family="joint")
def test_the_size_of_chunks_does_not_matter(kind, monkeypatch):
    from mmgraph.joint import machine

    model = small(kind, modalities=INTERLEAVED).fit(GAPS)

    def results():
        return (
            model.impute(GAPS),
            model.generate(GAPS, "a"),
            model.generate(GAPS, "b", n_samples=4),
            model.sample(50),
        )

    whole = results()
    monkeypatch.setattr(machine, "CHAINS_AT_ONCE", 16)
    for one, two in zip(results(), whole, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@over("generate", alone=True)
def test_a_conditional_mean_does_not_depend_on_the_other_rows(kind):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS)
    np.testing.assert_allclose(
        model.generate(GAPS[30:], "a"), model.generate(GAPS, "a")[30:], atol=1e-5
    )
    np.testing.assert_allclose(model.impute(GAPS[::-1])[::-1], model.impute(GAPS), atol=1e-5)


@over("embed")
def test_embed_looks_at_one_modality(kind):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS, Y)
    alone = GAPS.copy()
    alone[:, 1::2] = np.nan
    shown = ~np.isnan(GAPS[:, 0])
    Z = model.embed(GAPS, "a")
    np.testing.assert_allclose(Z[shown], model.transform(alone)[shown], atol=1e-6)
    assert np.isnan(Z[~shown]).all()
    with pytest.raises(ValueError, match=r"unknown modality 'c': the modalities are \['a', 'b'\]"):
        model.embed(X, "c")


def test_more_effective_particles():
    """Other completions, of each row by itself; the model is as it was."""
    bits = np.tile(np.random.default_rng(0).integers(0, 2, (60, 1)).astype(float), 8)
    course = {"max_iter": 60, "learning_rate": 0.5, "sampling_sweeps": 1}
    model = small(mg.RBM, modalities=INTERLEAVED, **course).fit(bits)
    usual = model.generate(bits, "a")
    assert abs(usual - bits[:, ::2]).max() < 0.3
    many = model.set_params(min_effective_particles=45).generate(bits, "a")
    assert abs(many - usual).max() > 0.1
    np.testing.assert_allclose(model.generate(bits[30:], "a"), many[30:], atol=1e-5)
    model.set_params(min_effective_particles=1)
    np.testing.assert_array_equal(model.generate(bits, "a"), usual)


@every
def test_float32_in_float32_out(kind):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS.astype(np.float32), Y)
    verbs = {"transform", "impute", "predict_proba"}
    narrow = answers(model, GAPS.astype(np.float32), verbs)
    for verb, wide in answers(model, GAPS, verbs).items():
        assert (wide.dtype, narrow[verb].dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(wide, narrow[verb], atol=2e-6)


@generative
def test_shapes_of_the_verbs(kind):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS)
    Z = model.transform(GAPS)
    assert Z.shape == (60, len(model.get_feature_names_out()))
    assert model.inverse_transform(Z).shape == GAPS.shape
    filled = model.impute(GAPS)
    assert np.isfinite(filled).all()
    shown = ~np.isnan(GAPS)
    np.testing.assert_array_equal(filled[shown], GAPS[shown])
    assert model.sample(5).shape == (5, 8)
    draws = model.sample(5, given=GAPS)
    assert draws.shape == (5, 60, 8)
    np.testing.assert_array_equal(draws[:, shown], np.tile(GAPS[shown], (5, 1)))
    if hasattr(model, "units_"):
        assert set(np.unique(draws)) <= {0.0, 1.0}
    assert model.generate(GAPS, "a").shape == (60, 4)
    assert model.generate(GAPS, "b", n_samples=2).shape == (2, 60, 4)
    assert np.isfinite(model.score(GAPS))
    if hasattr(model, "score_samples"):
        assert model.score_samples(GAPS).shape == (60,)
        assert model.score_samples(GAPS)[3] == 0  # a row that shows nothing has density 1
        assert model.score(GAPS) == pytest.approx(model.score_samples(GAPS).mean())


@generative
def test_generate_does_not_look_at_the_target(kind):
    model = small(kind, modalities=INTERLEAVED).fit(X)
    for value in (np.inf, np.nan, 1e9):
        rows = X.copy()
        rows[:, 1::2] = value
        np.testing.assert_array_equal(model.generate(rows, "b"), model.generate(X, "b"))
    draws = [model.generate(rows, "b", n_samples=2, random_state=7) for rows in (rows, X)]
    np.testing.assert_array_equal(*draws)


@every
def test_sparse_and_dense_are_the_same(kind):
    dense = small(kind, modalities=INTERLEAVED, units="bernoulli").fit(X, Y)
    sparse = small(kind, modalities=INTERLEAVED, units="bernoulli").fit(sp.csr_array(X), Y)
    verbs = {"transform", "predict_proba"}
    found = answers(sparse, sp.csr_array(X), verbs)
    for verb, values in answers(dense, X, verbs).items():
        np.testing.assert_allclose(values, found[verb], atol=1e-4)
    if hasattr(dense, "impute"):
        np.testing.assert_allclose(dense.impute(GAPS), dense.impute(sp.csr_array(GAPS)), atol=1e-5)


@every
def test_pickle(kind):
    model = small(kind, modalities=INTERLEAVED).fit(GAPS, Y)
    again = pickle.loads(pickle.dumps(model))
    assert_equal_answers(answers(again, GAPS), answers(model, GAPS))


@every
def test_parallel_fits_equal_serial_ones(kind):
    models = [small(kind, modalities=INTERLEAVED, random_state=seed) for seed in (0, 1)]

    def fitted(model):
        return answers(clone(model).fit(GAPS, Y), GAPS, {"transform", "predict_proba"})

    jobs = (delayed(fitted)(model) for model in models)
    for one, two in zip(map(fitted, models), Parallel(n_jobs=2)(jobs), strict=True):
        assert_equal_answers(one, two)


@generative
def test_set_output_and_names(kind):
    frame = pd.DataFrame(X, columns=[f"{'ab'[i % 2]}__{i}" for i in range(8)])
    model = small(kind).set_output(transform="pandas").fit(frame)
    Z = model.transform(frame)
    name = kind.__name__.lower()
    assert list(Z.columns) == [f"{name}{i}" for i in range(Z.shape[1])]
    assert list(model.get_feature_names_out()) == list(Z.columns)
    assert model.layout_.names == ("a", "b")
    assert list(model.feature_names_in_) == list(frame.columns)
    assert list(Z.index) == list(frame.index)


# Model selection -------------------------------------------------------------------------------


@over("score")
def test_grid_search(kind):
    params = small(kind).get_params()
    grid = next({name: GRIDS[name]} for name in GRIDS if name in params)
    found = []
    for n_jobs in (1, 2):
        search = GridSearchCV(small(kind, modalities=INTERLEAVED), grid, cv=2, n_jobs=n_jobs)
        found.append(search.fit(GAPS, Y))
    one, two = found
    assert one.best_params_ == two.best_params_
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    assert np.isfinite(one.cv_results_["mean_test_score"]).all()
    assert_equal_answers(answers(one.best_estimator_, X), answers(two.best_estimator_, X))


@over("generate", family="joint")
def test_cross_validation_of_a_classifier_behind_it(kind):
    rows, y = binary_rows(200)
    rows = with_gaps(rows)
    model = small(kind, modalities=INTERLEAVED, max_iter=20, learning_rate=0.2)
    if kind is mg.BimodalDeepAutoencoder:
        model.set_params(learning_rate=0.01)
    model = make_pipeline(model, StandardScaler(), LogisticRegression())
    assert cross_val_score(model, rows, y, cv=3).mean() > 0.7
    assert np.isfinite(cross_val_score(small(kind, modalities=INTERLEAVED), GAPS, cv=3)).all()


@generative
def test_column_transformer_names_the_modalities(kind):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 5)), columns=["p0", "p1", "p2", "heart", "age"])
    frame.loc[:9, ["heart", "age"]] = np.nan
    columns = ColumnTransformer(
        [
            ("image", MinMaxScaler(), ["p0", "p1", "p2"]),
            ("person", StandardScaler(), ["heart", "age"]),
        ]
    )
    model = make_pipeline(columns, small(kind)).set_output(transform="pandas")
    Z = model.fit(frame).transform(frame)
    fitted = model[-1]
    assert fitted.layout_.names == ("image", "person")
    if hasattr(fitted, "units_"):
        assert fitted.units_ == {"image": "bernoulli", "person": "gaussian"}
    assert Z.shape[0] == 50
    scaled = model[:-1].transform(frame)
    assert fitted.generate(scaled, "person").shape == (50, 2)


# Learning --------------------------------------------------------------------------------------


def weights(model):
    return np.concatenate([np.ravel(w) for w in model.model_.weights])


@boltzmann
def test_warm_start_goes_on(kind):
    model = small(kind, modalities=INTERLEAVED, warm_start=True).fit(GAPS)
    state = model.training_state_
    first = weights(model)
    model.fit(GAPS)
    assert model.training_state_.step > state.step
    assert not np.array_equal(weights(model), first)
    cold = small(kind, modalities=INTERLEAVED)
    np.testing.assert_array_equal(weights(cold.fit(GAPS)), first)
    np.testing.assert_array_equal(weights(cold.fit(GAPS)), first)


@boltzmann
def test_warm_start_wants_the_same_columns(kind):
    model = small(kind, warm_start=True).fit(X)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 8"):
        model.fit(X[:, :5])


@boltzmann
def test_partial_fit(kind):
    model = small(kind, modalities=INTERLEAVED)
    for part in (GAPS[:30], GAPS[30:], GAPS[:10]):
        model.partial_fit(part)
    assert model.n_iter_ == 3
    assert model.history_["epoch"] == [1, 2, 3]
    assert model.history_["learning_rate"] == [model.learning_rate] * 3
    assert np.isfinite(model.transform(GAPS)).all()
    with pytest.raises(ValueError, match="X has 5 features"):
        model.partial_fit(X[:, :5])


@boltzmann
def test_early_stopping_keeps_the_best_epoch(kind):
    model = small(
        kind,
        modalities=INTERLEAVED,
        early_stopping=True,
        max_iter=40,
        n_iter_no_change=2,
        learning_rate=0.5,
        validation_fraction=0.3,
    ).fit(X)
    scores = model.history_["validation_score"]
    assert len(scores) < 40
    assert model.n_iter_ == 1 + int(np.argmax(scores))


@boltzmann
def test_history(kind):
    model = small(kind).fit(X)
    course = {"epoch", "learning_rate", "weight_norm", "reconstruction"}
    assert set(model.history_) == course | {"rhat", "effective_sample_size"}
    assert {len(values) for values in model.history_.values()} == {3}
    assert model.n_iter_ == 3


def interrupt_in_epoch(monkeypatch, number, error):
    """Raise from the engine's sampler in the middle of an epoch (of three batches)."""
    from mmgraph.engine import learning

    gibbs, calls = learning.gibbs, []

    def patched(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1 + 3 * (number - 1) + 2:  # the chains' start takes one call
            raise error
        return gibbs(*args, **kwargs)

    monkeypatch.setattr(learning, "gibbs", patched)


@boltzmann
def test_ctrl_c_keeps_the_model_so_far(kind, monkeypatch):
    complete = small(kind, max_iter=2, learning_rate_schedule="constant").fit(X)
    interrupt_in_epoch(monkeypatch, 3, KeyboardInterrupt())
    model = small(kind, max_iter=9, learning_rate_schedule="constant")
    with pytest.warns(ConvergenceWarning, match=r"interrupted after 2 epoch\(s\): kept the model"):
        model.fit(X)
    assert model.n_iter_ == 2
    assert model.history_["epoch"] == [1, 2]
    np.testing.assert_array_equal(weights(model), weights(complete))
    np.testing.assert_array_equal(model.transform(X), complete.transform(X))


@boltzmann
def test_ctrl_c_before_the_first_epoch_ends_is_raised(kind, monkeypatch):
    interrupt_in_epoch(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        small(kind).fit(X)


@boltzmann
def test_divergence_keeps_the_last_good_parameters(kind, monkeypatch):
    complete = small(kind, max_iter=1, learning_rate_schedule="constant").fit(X)
    interrupt_in_epoch(monkeypatch, 2, FloatingPointError("overflow"))
    model = small(kind, learning_rate_schedule="constant")
    with pytest.warns(ConvergenceWarning, match=r"diverged \(overflow\) .* Lower learning_rate"):
        model.fit(X)
    np.testing.assert_array_equal(weights(model), weights(complete))


@over(having=("verbose", "max_iter"))
def test_a_bar_when_verbose(kind, capsys):
    small(kind, verbose=1).fit(X, Y)
    assert kind.__name__ in (shown := capsys.readouterr().err)
    assert "/3 " in shown  # and not 3/3 where it ends before
    small(kind).fit(X, Y)
    assert capsys.readouterr().err == ""


def test_log_conditional_keeps_the_length_of_the_text():
    """Against enumeration: an upper bound, off by as much for all texts of one length."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2, (300, 3)).astype(float)
    text = rng.multinomial(1, [0.5, 0.5], 300) * 2 + np.c_[image[:, 0], 1 - image[:, 0]]
    X, modalities = mg.pack(image=image, text=text)
    model = mg.RBM(
        4,
        modalities=modalities,
        units={"text": "replicated_softmax"},
        max_iter=10,
        dtype="float64",
        random_state=0,
    ).fit(X)
    for length in (1, 3, 6):
        texts = np.array([[k, length - k] for k in range(length + 1)], float)
        truth = Enumeration(model.model_, total=length)
        exact = [truth.log_marginal({0: image[0], 1: t}) for t in texts]
        exact = np.array(exact) - truth.log_marginal({0: image[0]})
        rows = np.hstack([np.tile(image[:1], (len(texts), 1)), texts])
        gap = model.log_conditional(rows, "text") - exact
        assert gap.min() > -1e-6
        assert gap.max() < 0.5
        assert np.ptp(gap) < 1e-5
    rows = np.hstack([image[:8], text[:8]])
    rows[0, 3:] = np.nan
    assert model.log_conditional(rows, "text")[0] == 0
    complete, hidden = rows[1:], rows[1:].copy()
    hidden[:, :3] = np.nan
    np.testing.assert_allclose(
        model.log_conditional(complete, "image"),
        model.score_samples(complete) - model.score_samples(hidden),
    )
