"""What goes wrong is said: what was given, what was expected, and what to do."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from estimators import all_estimators, made, over
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import mmgraph as mg
from mmgraph.engine import learning
from mmgraph.engine.units import UNITS, Binomial, Categorical

RNG = np.random.default_rng(0)
LAYOUT = {"a": slice(0, 3), "b": slice(3, 6)}
BITS = RNG.integers(0, 2, (30, 6)).astype(float)
BITS[0, :3] = 1  # so that modality a is not one-hot
REALS = RNG.normal(size=(30, 6))
COUNTS = RNG.poisson(2.0, (30, 6)).astype(float)
ONE_HOT = np.tile(np.eye(3), (10, 2))
Y = np.arange(30) % 2

ESTIMATORS = all_estimators()
every = over()
generative = over("generate")
joint = over(family="joint")  # those with unit types
boltzmann = over("partial_fit", family="joint")  # what is only about how Boltzmann machines learn


def small(kind=mg.MultimodalDBM, **changes):
    """A quick model, with some parameters changed."""
    defaults = {
        "n_components": 4,
        "hidden": (4,),
        "joint": 3,
        "modalities": LAYOUT,
        "max_iter": 2,
        "n_particles": 20,
        "n_chains": 10,
        "sampling_sweeps": 2,
        "n_mean_chains": 2,
        "random_state": 0,
    }
    return made(kind, **defaults | changes)


def has(kind, name):
    """Whether an estimator, or the machine that it starts from, has a parameter."""
    known = made(kind).get_params()
    return name in known or f"dbm__{name}" in known


def verbs(model, X):
    """What can be asked of a model about rows, as functions of them."""
    calls = {"generate": lambda X: model.generate(X, "b"), "score": lambda X: model.score(X, Y)}
    names = ("transform", "impute", "score_samples", "predict", "predict_proba", *calls)
    return {n: calls.get(n, getattr(model, n, None)) for n in names if hasattr(model, n)}


def changed(X, row, column, value):
    X = X.copy()
    X[row, column] = value
    return X


def fails(message, call, error=ValueError):
    with pytest.raises(error, match=message):
        call()


# Values ------------------------------------------------------------------------------------------


@pytest.fixture
def uncapped(monkeypatch):
    """Learning without the caps on the rate, which keep it from diverging."""
    monkeypatch.setattr(learning, "CAP", np.inf)


@every
def test_a_block_that_is_nan_in_part(kind):
    rows = changed(BITS, 2, 1, np.nan)
    message = r"'a' is NaN in part of its columns in 1 row\(s\), first in row 2; .* absent. Impute"
    with pytest.warns(UserWarning, match=message) as caught:
        model = small(kind).fit(rows, Y)
    assert caught[0].filename == __file__
    verbs = [v for v in ("predict", "impute", "transform") if hasattr(model, v)]
    if not verbs:  # it searches, and says nothing of a row
        return
    (verb, *_) = verbs
    with pytest.warns(UserWarning, match=message):
        found = getattr(model, verb)(rows)
    unfilled = [2] if hasattr(model, "align") else []  # where the clock of an aligner has no tick
    assert np.isfinite(np.delete(found, unfilled, axis=0)).all()


@joint
@pytest.mark.parametrize(
    ("units", "X", "message"),
    [
        ("bernoulli", changed(BITS, 2, 1, 2), r"'a': values from 0 to 2, .* \[0, 1\]. Scale them"),
        ("bernoulli", changed(BITS, 2, 4, -0.5), "'b': values from -0.5 to 1, .* Scale them"),
        ("replicated_softmax", changed(COUNTS, 2, 1, -1), "'a': smallest value -1, .* >= 0"),
        ("replicated_softmax", changed(COUNTS, 2, 1, 1.5), "'a': 1.5 is not a whole number.*raw"),
        ("replicated_softmax", changed(COUNTS, 2, 1, 1e30), r"'a': a row has 1e\+30 words.*Divide"),
        (
            "categorical",
            BITS,
            r"'a': columns 0 to 2 are not one-hot .* row\(s\), such as \[1. 1. 1.\]. Encode",
        ),
        ("categorical", changed(ONE_HOT, 4, 5, 0.5), "'b': columns 0 to 2 .* one-hot"),
        ("categorical", changed(ONE_HOT, 4, slice(3, 6), [2, -1, 0]), "'b': .* one-hot"),
        ("rectified", changed(COUNTS, 1, 1, -2), "'a': smallest value -2, .* >= 0. Choose units"),
        ("binomial", changed(BITS, 1, 1, 17), "'a': values from 0 to 17, .* 0 to 16. Set trials"),
        (Binomial(trials=2), 3 * BITS, r"0 to 3, but Binomial\(trials=2\) units .* 0 to 2"),
        ("binomial", changed(BITS, 1, 1, -1), "'a': values from -1 to 1"),
        ("binomial", changed(BITS, 1, 1, 1.5), "'a': 1.5 is not a whole number.* Scale and round"),
        ("replicated_softmax", np.zeros((30, 6)), "'a' has no words: .*n_samples=30.* Drop"),
        ("gaussian", sp.csr_array(np.ones((30, 6))), "'a' has zero variance"),
        ("gaussian", 1e305 * REALS, r"'a' has values of magnitude .*e\+305, .* between 1e-302"),
        (Categorical(groups=(2, 2)), ONE_HOT, "covers 4 columns, but the modality has 3"),
        ({"a": "nope"}, BITS, r"units='nope': choose 'auto', one of \['bernoulli'"),
        ("nope", BITS, "units='nope': choose .* a Units object"),
        (3, BITS, "units=3: choose 'auto', one of"),
        (["bernoulli"], BITS, r"units=\['bernoulli'\]: choose 'auto', one of"),
        ({"z": "gaussian"}, BITS, r"unknown modality 'z': the modalities are \['a', 'b'\]"),
        ("gaussian", np.ones((30, 6)), "'a' has zero variance: .*30 row.* all equal.*Drop"),
        ("auto", np.full((30, 6), 3.0), "'a' has zero variance"),
        ("rectified", np.zeros((30, 6)), "'a' has zero variance"),
    ],
)
def test_values_that_the_units_cannot_take(kind, units, X, message):
    fails(message, lambda: small(kind, units=units).fit(X, Y))


@over("generate", family="joint")
def test_one_row(kind):
    fails("'a' has zero variance: its n_samples=1", lambda: small(kind).fit(REALS[:1]))


@over("generate", family="joint")
def test_a_column_that_does_not_vary_is_no_matter(kind):
    model = small(kind, units="gaussian").fit(changed(REALS, slice(None), 0, 7.0))
    assert np.isfinite(model.impute(changed(REALS, 0, slice(0, 3), np.nan))).all()


@joint
@pytest.mark.parametrize(
    ("units", "fit_on", "then", "message"),
    [
        ("bernoulli", BITS, 3 * BITS, r"'a': values from 0 to 3, but Bernoulli"),
        ("replicated_softmax", COUNTS, -COUNTS, "word counts are >= 0"),
        ("categorical", ONE_HOT, BITS, "one-hot"),
        ("gaussian", REALS, 1e12 * REALS, r"'a': a value lies more than 1e\+06 standard dev"),
    ],
)
def test_new_rows_are_checked_too(kind, units, fit_on, then, message):
    model = small(kind, units=units).fit(fit_on, Y)
    calls = verbs(model, then)
    if "impute" in calls:
        calls["impute"] = lambda X: model.impute(changed(X, slice(None), slice(3, 6), np.nan))
    if hasattr(model, "partial_fit"):
        calls["partial_fit"] = model.partial_fit
    for call in calls.values():
        fails(message, lambda call=call: call(then))


@every
def test_a_modality_that_no_row_shows(kind):
    X = changed(BITS, slice(None), slice(3, 6), np.nan)
    fails(
        r"'b' is absent \(NaN\) in all 30 rows: .* Drop its columns", lambda: small(kind).fit(X, Y)
    )
    fails(r"'a' is absent \(NaN\) in all 30 rows", lambda: small(kind).fit(BITS * np.nan, Y))
    mark = sp.csr_array(([np.nan] * 30, (range(30), [1] * 30)), shape=(30, 3))
    missing = sp.hstack([sp.csr_array(BITS[:, :3]), mark], format="csr")
    fails("'b' is absent", lambda: small(kind).fit(missing, Y))


@pytest.mark.usefixtures("uncapped")
@boltzmann
def test_learning_that_diverges(kind):
    """Stops with the last good parameters, or says in the first epoch what to lower."""
    message = "diverged .*: lower learning_rate, and check the scale of X"
    fails(message, lambda: small(kind, learning_rate=1e6, units="gaussian").fit(REALS))


@pytest.mark.usefixtures("uncapped")
@boltzmann
def test_learning_that_diverges_later_keeps_what_was_good(kind):
    model = small(kind, units="gaussian", warm_start=True, learning_rate=0.01).fit(REALS)
    good = model.model_
    fails("lower learning_rate", lambda: model.set_params(learning_rate=1e6).fit(REALS))
    assert model.model_ is good
    assert np.isfinite(model.transform(REALS)).all()


@pytest.mark.usefixtures("uncapped")
@pytest.mark.parametrize("rate", [8.0, 20.0])
def test_learning_that_diverges_slowly_warns_and_keeps_what_was_good(rate):
    model = small(mg.RBM, learning_rate=rate, units="gaussian", max_iter=200)
    model.set_params(learning_rate_schedule="constant")
    message = (
        r"diverged .* after \d+ epoch\(s\): kept the last good parameters. Lower learning_rate"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(REALS)
    assert 1 <= model.n_iter_ < 200
    assert len(model.history_["epoch"]) == model.n_iter_
    assert all(np.isfinite(w).all() for w in model.model_.weights)


# X -----------------------------------------------------------------------------------------------

SHAPES = [
    (changed(BITS, 0, 0, np.inf), "X contains infinity"),
    (BITS[:0], r"Found array with 0 sample\(s\)"),
    (BITS[:, :0], r"Found array with 0 feature\(s\)|X has 0 features"),
    (BITS[0], "Expected 2D array, got 1D array"),
    (BITS[None], "Found array with dim 3"),
    ([["x"] * 6] * 3, "could not convert string to float"),
    (BITS * 1j, "Complex data not supported"),
    ({"a": BITS[:, :3], "b": BITS[:, 3:]}, "X is a dict of modalities, .* one 2-D array: .*pack"),
    ([BITS[:, :3], BITS[:, 3:]], "X is a list of modalities, .* one 2-D array: .*pack"),
    ((BITS[:, :3], BITS[:, 3:5]), "X is a tuple of modalities, .* one 2-D array: .*pack"),
]


@every
@pytest.mark.parametrize(("X", "message"), SHAPES)
def test_what_is_no_array_of_numbers(kind, X, message):
    fails(message, lambda: small(kind).fit(X, Y))


FITTED = {kind: small(kind).fit(BITS, Y) for kind in ESTIMATORS}


@every
def test_a_fitted_model_and_x_that_does_not_fit(kind):
    name = kind.__name__
    for call in verbs(FITTED[kind], BITS).values():
        for X, message in SHAPES:
            fails(message, lambda X=X, call=call: call(X))
        message = f"X has 4 features, but {name} is expecting 6 features"
        fails(message, lambda call=call: call(BITS[:, :4]))
        fails(f"X has 12 features, but {name}", lambda call=call: call(np.c_[BITS, BITS]))


@generative
def test_targets_and_numbers_of_draws(kind):
    model = FITTED[kind]
    fails(
        r"unknown modality 'z': the modalities are \['a', 'b'\]", lambda: model.generate(BITS, "z")
    )
    for n in (0, -3, 1.5, "2", True):
        message = re.escape(f"n_samples must be an int >= 1; got {n!r}")
        fails(message, lambda n=n: model.sample(n))
        fails(message, lambda n=n: model.sample(n, given=BITS))
        fails(message, lambda n=n: model.generate(BITS, "a", n_samples=n))
    for seed in (-1, "x", 0.5):
        message = re.escape(
            f"a non-negative int, a numpy.random.RandomState or a "
            f"numpy.random.Generator; got {seed!r}"
        )
        fails(message, lambda seed=seed: model.sample(2, random_state=seed))


@generative
def test_representations_of_a_wrong_shape(kind):
    model = FITTED[kind]
    Z = model.transform(BITS)
    width = Z.shape[1]
    message = rf"Z has shape \(30, {width + 1}\), but transform gives \(n_rows, {width}\)"
    fails(message, lambda: model.inverse_transform(np.c_[Z, Z[:, :1]]))
    fails("Expected 2D array, got 1D", lambda: model.inverse_transform(Z[0]))
    fails("Z contains NaN", lambda: model.inverse_transform(Z * np.nan))


@every
def test_unfitted_use(kind):
    model = small(kind)
    calls = [lambda call=call: call(BITS) for call in verbs(model, BITS).values()]
    if hasattr(model, "generate"):
        calls += [lambda: model.inverse_transform(BITS), model.sample]
    message = f"This {kind.__name__} instance is not fitted yet. Call 'fit'"
    for call in calls:
        fails(message, call, NotFittedError)
    if hasattr(model, "get_feature_names_out"):
        fails("not fitted", model.get_feature_names_out, NotFittedError)
    if kind.__module__.startswith("mmgraph.joint") and hasattr(model, "partial_fit"):
        fails("not fitted", lambda: model.model_, NotFittedError)


@joint
def test_a_fit_that_failed_leaves_the_model_unfitted(kind):
    model = small(kind, units="nope")
    with pytest.raises(ValueError, match="nope"):
        model.fit(BITS, Y)
    for call in verbs(model, BITS).values():
        fails("not fitted", lambda call=call: call(BITS), NotFittedError)


# Parameters --------------------------------------------------------------------------------------


RANGES = {
    "learning_rate": ([0, -1, "x", None, np.nan, True], "a number above 0"),
    "momentum": ([-0.1, 1, "x"], "a number at least 0 and below 1"),
    "batch_size": ([0, 1.5, "x"], "an int at least 1"),
    "max_iter": ([0, -1, 2.5], "an int at least 1"),
    "n_chains": ([0, 2.5], "an int at least 1"),
    "n_gibbs": ([0, 2.5], "an int at least 1"),
    "l2": ([-1, np.nan], "a number at least 0"),
    "sparsity_target": ([0, 1, -1], "a number above 0 and below 1"),
    "sparsity_cost": ([-1, None], "a number at least 0"),
    "mean_field_sweeps": ([0], "an int at least 1"),
    "sampling_sweeps": ([0], "an int at least 1"),
    "n_mean_chains": ([0], "an int at least 1"),
    "n_particles": ([0], "an int at least 1"),
    "min_effective_particles": ([0, 0.5, "x", None, np.nan], "a number at least 1"),
    "validation_fraction": ([0, 1, 2], "a number above 0 and below 1"),
    "n_iter_no_change": ([0], "an int at least 1"),
    "tol": ([-1], "a number at least 0"),
    "n_components": ([0, 2.5, None], "an int at least 1"),
    "joint": ([0, 2.5, None], "an int at least 1"),
    "hidden": ([0, -1], "an int at least 1"),
    "init_max_iter": ([0, 1.5], "an int at least 1"),
    "dropout": ([-0.1, 1, None], "a number at least 0 and below 1"),
    "input_dropout": ([-0.1, 1, None], "a number at least 0 and below 1"),
    "max_norm": ([0, -1, "x"], "a number above 0"),
}


@every
def test_numbers_out_of_range(kind):
    for name in RANGES.keys() & kind().get_params():
        values, expected = RANGES[name]
        for value in values:
            message = f"^{name}={re.escape(repr(value))}: it must be {expected}"
            model = small(kind, **{name: value})
            fails(message, lambda model=model: model.fit(BITS, Y))


@every
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate_schedule", "x", r"learning_rate_schedule='x': choose one of \['linear'"),
        ("negative_phase", None, "negative_phase=None: choose one of"),
        ("max_norm", 0, "max_norm=0: it must be a number above 0"),
        ("pretrain_iter", -1, "pretrain_iter=-1: it must be an int at least 0"),
        ("n_temperatures", 1, "n_temperatures=1: it must be an int at least 2"),
        ("objective", "both", "objective='both': choose one of"),
        ("optimizer", "sgd", r"optimizer='sgd': choose one of \['adam', 'nesterov'\]"),
        ("activation", "step", r"activation='step': choose one of \['auto', 'relu'"),
        ("init", None, r"init=None: choose one of \['"),
        ("dtype", "int", r"dtype='int': choose one of \['float32', 'float64'\]"),
        ("device", "gpu", "device must be 'auto', 'cpu' or 'cuda'; got 'gpu'"),
        ("random_state", -1, "random_state must be None, a non-negative int, .*; got -1"),
        ("modalities", "x", "modalities must be a dict such as .*; got 'x'"),
        ("modalities", {"a": [0, 1]}, "column 2 belongs to no modality"),
        ("modalities", {"a": slice(0, 4), "b": slice(3, 6)}, "column 3 belongs to both 'a' and"),
        (
            "modalities",
            {"a": slice(0, 3), "b": slice(3, 9)},
            r"slice\(3, 9, None\), but X has n_fe",
        ),
        ("modalities", {"a": ["px0"]}, "names column 'px0', but X has no column names: pass a"),
    ],
)
def test_choices(kind, name, value, message):
    if has(kind, name):
        fails(message, lambda: small(kind, **{name: value}).fit(BITS, Y))


def test_hidden_layers():
    fails(
        "hidden is empty: give the size of at least one", lambda: small(mg.DBM, hidden=()).fit(BITS)
    )
    for kind in (mg.DBM, mg.MultimodalDBM):
        fails("hidden=0: it must be an int", lambda kind=kind: small(kind, hidden=(4, 0)).fit(BITS))
    unknown = small(hidden={"z": (3,)})
    fails(r"unknown modality 'z': the modalities are \['a', 'b'\]", lambda: unknown.fit(BITS))
    fails("hidden=0: it must be", lambda: small(hidden={"a": (0,)}).fit(BITS))
    assert small(hidden=()).fit(BITS).transform(BITS).shape == (30, 3)


@over("generate", having=("early_stopping",))
def test_no_rows_left_to_learn_from(kind):
    fails(
        "validation_fraction=0.1 of 1 rows leaves none to learn from: lower it, or set early",
        lambda: small(kind, early_stopping=True).fit(BITS[:1]),
    )


@over("generate", family="joint")
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e300])
def test_tiny_and_huge_scales_are_learnt_alike(kind, scale):
    model = small(kind, units="gaussian", random_state=0).fit(REALS * scale)
    plain = small(kind, units="gaussian", random_state=0).fit(REALS)
    np.testing.assert_allclose(
        model.impute(changed(REALS, 0, slice(0, 3), np.nan) * scale)[0] / scale,
        plain.impute(changed(REALS, 0, slice(0, 3), np.nan))[0],
        rtol=1e-3,
        atol=1e-4,
    )


def test_stacks_of_layers():
    fails("hidden=None: it must be a tuple of layer sizes", lambda: mg.DBM(None).fit(BITS))
    fails("hidden=2.5: it must be a tuple", lambda: mg.MultimodalDBM(2.5).fit(BITS))
    fails("by name, is what MultimodalDBM takes", lambda: mg.DBM({"a": (3,)}).fit(BITS))


def test_numbers_of_words_of_the_log_partition_function():
    model = small(mg.RBM, units="replicated_softmax").fit(COUNTS)
    fails(
        r"totals\['a'\]=-3: it must be a number at least 0", lambda: model.log_partition({"a": -3})
    )
    fails("unknown modality 'z'", lambda: model.log_partition({"z": 3}))
    assert np.isfinite(model.log_partition({"a": 4}).value)


@boltzmann
def test_a_rate_far_too_high_is_capped(kind):
    model = small(kind, learning_rate=1e6, units="gaussian", max_iter=30).fit(REALS)
    assert max(abs(w).max() for w in model.model_.weights) < 100
    assert np.isfinite(model.impute(changed(REALS, 0, slice(0, 3), np.nan))).all()


def test_warm_start_refuses_another_machine():
    model = small(mg.DBM, warm_start=True).fit(BITS)
    for name, value in {
        "hidden": (9,),
        "units": "gaussian",
        "dtype": "float64",
        "n_chains": 7,
        "modalities": {"a": slice(0, 6)},
    }.items():
        before = getattr(model, name)
        model.set_params(**{name: value})
        what = "hidden layers" if name == "hidden" else name
        fails(f"{what}.* changed since the last fit, but warm_start", lambda: model.fit(BITS))
        model.set_params(**{name: before})
    assert model.fit(BITS).n_iter_ > 0


GARBAGE = st.one_of(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=7),
    ),
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.just(6)),
        elements=st.floats(width=64) | st.just(np.nan) | st.sampled_from([0.0, 1.0]),
    ),
    st.lists(st.text(max_size=3), max_size=4),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@given(X=GARBAGE, units=st.sampled_from(["auto", *UNITS]))
def test_garbage_is_learnt_or_refused_in_words(X, units):
    model = small(mg.MultimodalDBM, units=units, max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # partly NaN, or diverged
        try:
            filled, message = model.fit(X).impute(X), None
        except (ValueError, TypeError) as error:
            filled, message = np.zeros(1), str(error)
    assert message is None or len(message) > 20
    assert np.isfinite(filled).all()
