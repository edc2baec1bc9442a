"""Machines fine-tuned to classify: labels, missing modalities, machines that are fitted already."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

import mmgraph as mg
from mmgraph.engine import network
from mmgraph.engine.network import forward
from mmgraph.joint.classifier import _evidence

LAYOUT = {"a": slice(0, 6), "b": slice(6, 12)}


def rows(n=240, seed=0):
    """Bits of three classes in two modalities, with gaps."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    p = np.repeat(np.where(np.eye(3)[y] > 0, 0.85, 0.15), 4, axis=1)
    X = (rng.random((n, 12)) < p).astype(float)
    X[::5, LAYOUT["a"]] = np.nan
    X[1::5, LAYOUT["b"]] = np.nan
    X[7] = np.nan
    return X, y


X, Y = rows()
NAMES = np.array(["cat", "dog", "owl"])


def machine(kind=mg.MultimodalDBM, **changes):
    settings = {"n_components": 8, "hidden": (8,), "joint": 6, "modalities": LAYOUT, "max_iter": 5,
                "n_particles": 100, "random_state": 0}  # fmt: skip
    known = kind().get_params()
    return kind(**{k: v for k, v in settings.items() if k in known} | changes)


def small(dbm=None, **changes):
    settings = {"max_iter": 20, "learning_rate": 0.01, "random_state": 0}
    return mg.DBMClassifier(machine() if dbm is None else dbm, **{**settings, **changes})


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X, NAMES[Y])


# What it predicts --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [mg.RBM, mg.DBM, mg.MultimodalDBM])
def test_classes_are_learnt_whatever_is_missing(kind):
    new, y = rows(300, seed=1)
    shown = ~np.isnan(new).all(axis=1)
    model = small(machine(kind)).fit(X, Y)
    assert isinstance(model.dbm_, kind)
    assert (model.predict(new) == y)[shown].mean() > 0.85
    assert np.isfinite(model.predict_proba(np.full((2, 12), np.nan))).all()


def test_labels_of_any_type(fitted):
    np.testing.assert_array_equal(fitted.classes_, NAMES)
    assert set(fitted.predict(X)) <= set(NAMES)
    for labels in (Y - 1, Y * 1.0, NAMES[Y].astype(object), list(NAMES[Y])):
        model = small().fit(X, labels)
        np.testing.assert_array_equal(model.network_.weights[0], fitted.network_.weights[0])
    two = small(max_iter=2).fit(X, Y == 1)
    assert two.predict(X).dtype == bool


def test_probabilities_and_decisions_agree(fitted):
    p, eta = fitted.predict_proba(X), fitted.decision_function(X)
    assert p.shape == eta.shape == (240, 3)
    np.testing.assert_allclose(p, softmax(eta, axis=1))
    np.testing.assert_array_equal(NAMES[p.argmax(axis=1)], fitted.predict(X))
    assert fitted.score(X, NAMES[Y]) == np.mean(fitted.predict(X) == NAMES[Y])
    two = small(max_iter=3).fit(X, Y == 1)
    odds = two.decision_function(X)
    assert odds.shape == (240,)
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], expit(odds))
    np.testing.assert_array_equal(two.predict(X), odds > 0)


def test_what_is_missing_enters_as_the_machine_infers_it(fitted):
    """Filling a row in by mean field, and nothing else, is what a gap amounts to."""
    inputs = _evidence(fitted.dbm_, fitted._check(X), np.dtype("float64"))
    assert [x.shape for x in inputs] == [(240, 6), (240, 6), (240, 6)]
    for block, name in zip(inputs, LAYOUT, strict=False):
        shown = ~np.isnan(X[:, LAYOUT[name]])
        np.testing.assert_array_equal(block[shown], X[:, LAYOUT[name]][shown])
        assert 0 < block[~shown].min() < block[~shown].max() < 1
    eta = forward(fitted.network_.astype(np.float64), inputs)[-1]
    np.testing.assert_array_equal(eta, fitted.decision_function(X))


def test_fine_tuning_improves_on_the_machine_as_it_is():
    start = small(max_iter=1, learning_rate=1e-9).fit(X, Y)
    assert small().fit(X, Y).history_["loss"][-1] < start.history_["loss"][0] - 0.3


# The machine -------------------------------------------------------------------------------------


def test_a_machine_is_cloned_and_fitted_without_labels():
    dbm = machine()
    model = small(dbm).fit(X, Y)
    assert not hasattr(dbm, "training_state_")
    np.testing.assert_array_equal(model.dbm_.transform(X), machine().fit(X).transform(X))


def test_a_frozen_machine_is_used_as_it_is():
    dbm = machine().fit(X)
    before = dbm.transform(X)
    model = small(FrozenEstimator(dbm)).fit(X[:100], Y[:100])
    assert model.dbm_ is dbm
    np.testing.assert_array_equal(dbm.transform(X), before)
    again = clone(model).fit(X[:100], Y[:100])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    whole = small(machine()).fit(X, Y)
    frozen = small(FrozenEstimator(machine().fit(X))).fit(X, Y)
    np.testing.assert_array_equal(whole.predict_proba(X), frozen.predict_proba(X))


def test_a_frozen_machine_is_saved_too(tmp_path):
    model = small(FrozenEstimator(machine().fit(X)), max_iter=2).fit(X, Y)
    mg.save(model, tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert isinstance(loaded.dbm, FrozenEstimator)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_no_machine_means_a_multimodal_one():
    model = mg.DBMClassifier(max_iter=1, random_state=0)
    assert model.modalities is None
    bits = np.nan_to_num(X)
    model.set_params(dbm=mg.MultimodalDBM(max_iter=1, n_particles=10)).fit(bits, Y)
    assert isinstance(model.dbm_, mg.MultimodalDBM)
    assert isinstance(model.dbm_.random_state, int)  # a seed from the classifier's
    assert isinstance(mg.DBMClassifier()._machine(), mg.MultimodalDBM)


def test_machines_of_real_values_and_counts():
    rng = np.random.default_rng(0)
    real, words = rng.normal(size=(240, 3)), rng.poisson(1 + 3 * np.eye(3)[Y])
    rows, modalities = mg.pack(real=5 * np.eye(3)[Y] + real, words=words)
    rows[::4, modalities["real"]] = np.nan
    dbm = machine(modalities=modalities, units={"words": "replicated_softmax"})
    assert small(dbm).fit(rows, Y).score(rows, Y) > 0.9


# Fitting -----------------------------------------------------------------------------------------


def test_bad_labels():
    for labels, message in (
        (None, "requires y to be passed, but the target y is None"),
        (np.zeros(240), r"y has one class only, 0.0, but a classifier needs two"),
        (Y[:7], "inconsistent numbers of samples"),
        (np.linspace(0, 1, 240), "Unknown label type: continuous"),
        (np.where(Y == 1, np.nan, Y), "y contains NaN"),
        (np.eye(3)[Y], "y should be a 1d array"),
    ):
        with pytest.raises(ValueError, match=message):
            small().fit(X, labels)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        small(max_iter=1).fit(X, Y[:, None])


def test_bad_machines():
    for dbm in (mg.DBM, 3, mg.BimodalDeepAutoencoder(), FrozenEstimator(mg.DBMClassifier())):
        with pytest.raises(
            TypeError, match="it must be an RBM, a DBM or a MultimodalDBM, or a Fro"
        ):
            mg.DBMClassifier(dbm).fit(X, Y)
    with pytest.raises(ValueError, match="not fitted"):
        small(FrozenEstimator(machine())).fit(X, Y)
    narrow = FrozenEstimator(machine(modalities=None).fit(np.nan_to_num(X[:, :5])))
    with pytest.raises(ValueError, match="X has 12 features, but MultimodalDBM is expecting 5"):
        small(narrow).fit(np.nan_to_num(X), Y)


def test_history_and_early_stopping():
    model = small(max_iter=4).fit(X, Y)
    assert set(model.history_) == {"epoch", "learning_rate", "weight_norm", "loss"}
    assert model.n_iter_ == 4
    early = small(max_iter=80, early_stopping=True, n_iter_no_change=2, learning_rate=0.05,
                  validation_fraction=0.3, learning_rate_schedule="constant").fit(X, Y)  # fmt: skip
    scores = early.history_["validation_score"]
    assert len(scores) < 80
    assert early.n_iter_ == 1 + int(np.argmax(scores))
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 of 2 rows leaves none"):
        small(early_stopping=True, validation_fraction=0.9).fit(X[2:4], Y[2:4])


def test_dropout_and_max_norm_are_used():
    frozen = FrozenEstimator(machine().fit(X))
    plain = small(frozen, max_iter=3).fit(X, Y).history_["loss"]
    for changes in ({"dropout": 0.5}, {"input_dropout": 0.5}, {"max_norm": 0.5}, {"l2": 0.1}):
        assert small(frozen, max_iter=3, **changes).fit(X, Y).history_["loss"] != plain


def test_model_selection_reaches_the_machine():
    grid = {"dbm__joint": [2, 4]}
    search = GridSearchCV(small(machine(max_iter=1), max_iter=2), grid, cv=2).fit(X, Y)
    assert search.best_estimator_.dbm_.joint == search.best_params_["dbm__joint"]
    assert np.isfinite(cross_val_score(small(max_iter=1), X, NAMES[Y], cv=2)).all()


def test_ctrl_c_keeps_the_network_so_far(monkeypatch):
    step, calls = network._step, []

    def patched(*args):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return step(*args)

    settings = {"batch_size": 80, "learning_rate_schedule": "constant"}
    whole = small(max_iter=2, **settings).fit(X, Y)
    monkeypatch.setattr(network, "_step", patched)
    with pytest.warns(ConvergenceWarning, match=r"interrupted after 2 epoch\(s\)"):
        stopped = small(max_iter=9, **settings).fit(X, Y)
    np.testing.assert_array_equal(stopped.predict_proba(X), whole.predict_proba(X))
