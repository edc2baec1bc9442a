"""Co-training: marks of missing labels, rounds, stopping, absent modalities, bad input."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from test_fusion import LAYOUT, NEW, TRUTH, only, rows, with_gaps

import mmgraph as mg

X, Y = rows(400, seed=3, noise=(0.5, 0.5, 0.7))
FEW = np.where(np.arange(400) < 24, Y, -1)


def fitted(y=FEW, X=X, **params):
    return mg.CoTraining(GaussianNB(), modalities=LAYOUT, **params).fit(X, y)


@pytest.mark.parametrize(
    "y",
    [
        FEW.astype(float),
        np.where(FEW < 0, np.nan, FEW),
        np.where(FEW < 0, "", FEW.astype(str)),
        np.where(FEW < 0, None, FEW.astype(str).astype(object)),
        np.where(FEW < 0, np.nan, FEW.astype(str).astype(object)),
        np.where(FEW < 0, -1, FEW.astype(str).astype(object)),
    ],
    ids=["-1.0", "NaN", "empty", "None", "NaN of objects", "-1 of objects"],
)
def test_marks_of_rows_without_labels(y):
    found = fitted(y)
    np.testing.assert_array_equal(found.predict_proba(NEW), fitted().predict_proba(NEW))
    assert len(found.classes_) == 3
    np.testing.assert_array_equal(found.transduction_[:24], y[:24])


def test_minus_one_and_one_are_labels():
    y = np.where(Y > 0, 1, -1)
    assert fitted(y).classes_.tolist() == [-1, 1]


def test_rows_without_labels_help():
    with_them, without = fitted(), fitted(n_rounds=0)
    assert with_them.n_rounds_ > 0
    assert with_them.score(NEW, TRUTH) >= without.score(NEW, TRUTH)
    scores = with_them.held_out_scores_
    assert len(scores) == 6
    assert with_them.n_rounds_ == np.flatnonzero(scores == scores.max())[-1]
    assert (with_them.transduction_ == Y).mean() > 0.9


def test_falls_back_to_the_labelled_rows_alone():
    """Rows without labels that are of none of the classes only harm: no round is kept."""
    strange = X.copy()
    strange[24:] = np.random.default_rng(0).normal(size=(376, 8)) * 30
    found = fitted(X=strange)
    assert found.n_rounds_ == 0
    alone = mg.CoTraining(GaussianNB(), modalities=LAYOUT).fit(strange[:24], FEW[:24])
    np.testing.assert_allclose(found.predict_proba(NEW), alone.predict_proba(NEW))
    assert alone.held_out_scores_.shape == (1,)


def test_absent_modalities():
    found = fitted(X=with_gaps(X))
    assert found.score(with_gaps(NEW), TRUTH) > 0.6
    for name, columns in LAYOUT.items():
        alone = found.estimators_[name].predict(NEW[:, columns])
        np.testing.assert_array_equal(found.predict(only(NEW, name)), alone)


def test_estimators_by_name_and_jobs():
    members = {"image": SVC(), "text": GaussianNB(), "sound": GaussianNB()}
    one, two = (
        mg.CoTraining(members, n_rounds=2, n_jobs=n, modalities=LAYOUT)
        .set_params(image__C=0.5)
        .fit(X, FEW)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one.predict_proba(NEW), two.predict_proba(NEW))
    assert one.estimators_["image"].C == 0.5


def test_one_modality_teaches_itself():
    assert mg.CoTraining(GaussianNB()).fit(X, FEW).score(NEW, TRUTH) > 0.7


def test_one_labelled_row_a_class():
    y = np.full(400, -1)
    for k in range(3):
        y[np.flatnonzero(k == Y)[0]] = k
    assert np.isfinite(fitted(y).predict_proba(NEW)).all()


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({"n_rounds": -1}, FEW, "n_rounds=-1: it must be an int at least 0"),
        ({"n_rounds": 1.5}, FEW, "n_rounds=1.5"),
        ({"agreement": 2}, FEW, "agreement=2: it must be a number from 0 to 1"),
        ({"agreement": "x"}, FEW, "agreement='x'"),
        ({"cv": 0}, FEW, "cv=0: it must be an int at least 2"),
        ({}, np.full(400, -1), "y has no label"),
        ({}, np.full(400, np.nan), "y has no label"),
        ({}, np.where(FEW == 2, 2, -1), "y has one class only"),
        ({}, FEW[:9], "inconsistent numbers of samples"),
        ({}, None, "requires y to be passed"),
    ],
)
def test_bad_input(params, y, message):
    with pytest.raises(ValueError, match=message):
        fitted(y, **params)
