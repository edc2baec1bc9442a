"""Early, late and hybrid fusion: absent modalities, rules, parameters, weights, bad input."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC

import mmgraph as mg

LAYOUT = {"image": slice(0, 3), "text": slice(3, 6), "sound": slice(6, 8)}
CLASSIFIERS = [mg.EarlyFusionClassifier, mg.LateFusionClassifier, mg.HybridFusionClassifier]
REGRESSORS = [mg.EarlyFusionRegressor, mg.LateFusionRegressor, mg.HybridFusionRegressor]
RULES = ["weighted", "product", "sum", "max", "stacked"]


def rows(n=240, seed=0, noise=(0.8, 1.2, 2.0), n_classes=3):
    """Three modalities that tell the class, the first best, the last hardly."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    parts = [np.eye(3)[y % 3], np.eye(3)[y % 3], np.eye(3)[y % 3][:, :2]]
    X = np.hstack([p + s * rng.normal(size=p.shape) for p, s in zip(parts, noise, strict=True)])
    return X, y


def with_gaps(X, rate=0.3, seed=1):
    X = X.copy()
    rng = np.random.default_rng(seed)
    for columns in LAYOUT.values():
        X[rng.random(len(X)) < rate, columns] = np.nan
    return X


def only(X, *names):
    X = X.copy()
    for name, columns in LAYOUT.items():
        if name not in names:
            X[:, columns] = np.nan
    return X


X, Y = rows()
GAPS = with_gaps(X)
NEW, TRUTH = rows(400, seed=5)
NUMBER = X[:, 0] + X[:, 3] + 0.5 * X[:, 6]


# Absent modalities --------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", RULES)
@pytest.mark.parametrize("train", [X, GAPS], ids=["complete", "gaps"])
def test_a_row_of_one_modality_is_judged_by_its_estimator(combine, train):
    fusion = mg.LateFusionClassifier(combine=combine, modalities=LAYOUT).fit(train, Y)
    if combine == "stacked":
        assert not fusion.trusted_[fusion.gate_.find(np.eye(3, dtype=bool))].all()
        return
    for name, columns in LAYOUT.items():
        alone = fusion.estimators_[name].predict(NEW[:, columns])
        np.testing.assert_array_equal(fusion.predict(only(NEW, name)), alone)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("train", [X, GAPS], ids=["complete", "gaps"])
def test_never_below_the_best_single_present_modality(kind, train):
    fusion = kind(modalities=LAYOUT).fit(train, Y)
    for shown in (["image", "text"], ["image", "sound"], ["text", "sound"], list(LAYOUT)):
        columns = LAYOUT[shown[0]]  # the best of them
        there = ~np.isnan(train[:, columns.start])
        alone = LogisticRegression().fit(train[there, columns], Y[there])
        score = fusion.score(only(NEW, *shown), TRUTH)
        if kind is not mg.EarlyFusionClassifier or shown == list(LAYOUT):
            assert score >= alone.score(NEW[:, columns], TRUTH) - 0.01


@pytest.mark.parametrize("kind", [*CLASSIFIERS, mg.CoTraining])
def test_a_row_that_shows_nothing_has_the_class_frequencies(kind):
    y = np.where(np.arange(len(Y)) % 4, Y, 0)
    fusion = kind(modalities=LAYOUT).fit(GAPS, y)
    p = fusion.predict_proba(np.full((2, 8), np.nan))
    np.testing.assert_allclose(p, np.tile(np.bincount(y) / len(y), (2, 1)))


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regression(kind):
    fusion = kind(modalities=LAYOUT).fit(GAPS, NUMBER)
    assert is_regressor(fusion)
    target = NEW[:, 0] + NEW[:, 3] + 0.5 * NEW[:, 6]
    assert fusion.score(NEW, target) > 0.8
    nothing = fusion.predict(np.full((1, 8), np.nan))
    np.testing.assert_allclose(nothing, NUMBER.mean())
    if kind is not mg.EarlyFusionRegressor:
        alone = fusion.estimators_["text"].predict(NEW[:, LAYOUT["text"]])
        if kind is mg.LateFusionRegressor:
            np.testing.assert_allclose(fusion.predict(only(NEW, "text")), alone)


@pytest.mark.parametrize("combine", ["weighted", "product", "sum", "stacked"])
def test_rules_of_regression(combine):
    noisy = np.column_stack([NUMBER + s * RNG.normal(size=len(X)) for s in (0.1, 0.2, 3.0)])
    layout = {name: [i] for i, name in enumerate(LAYOUT)}
    fusion = mg.LateFusionRegressor(combine=combine, modalities=layout).fit(noisy, NUMBER)
    best = np.mean((noisy[:, 0] - NUMBER) ** 2)
    error = np.mean((fusion.predict(noisy) - NUMBER) ** 2)
    assert error < (1 if combine == "sum" else best)


RNG = np.random.default_rng(7)


def test_stacking_of_scikit_learn_cannot_do_this():
    members = [(name, make_pipeline(StandardScaler(), LogisticRegression())) for name in ("a", "b")]
    with pytest.raises(ValueError, match="contains NaN"):
        StackingClassifier(members).fit(GAPS, Y)


def test_a_modality_of_noise_gets_little_weight():
    noise = np.hstack([X[:, :6], RNG.normal(size=(len(X), 2))])
    weights = mg.LateFusionClassifier(modalities=LAYOUT).fit(noise, Y).weights_
    assert weights["image"] > weights["text"] > weights["sound"]
    assert list(weights) == list(LAYOUT)


def test_out_of_fold_opinions_are_calibrated():
    """A forest and a naive Bayes exaggerate: their temperatures say so, and log-loss improves."""
    doubled = np.hstack([X, X[:, :6], X[:, :6]])
    layout = {"image": [*range(3)], "text": [*range(3, 20)]}
    fusion = mg.LateFusionClassifier(GaussianNB(), modalities=layout).fit(doubled, Y)
    assert fusion.scales_["text"] < 0.7
    held = cross_val_predict(fusion, doubled, Y, method="predict_proba")
    plain = cross_val_predict(GaussianNB(), doubled[:, 3:], Y, method="predict_proba")
    losses = [-np.log(np.maximum(p[np.arange(len(Y)), Y], 1e-12)).mean() for p in (held, plain)]
    assert losses[0] < losses[1]


# Estimators and parameters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        SVC(),
        LinearSVC(),
        KNeighborsClassifier(),
        RandomForestClassifier(20, random_state=0),
        Perceptron(),
        LinearDiscriminantAnalysis(),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_any_classifier(kind, estimator):
    names = {"estimators", "estimator"} & kind().get_params().keys()
    fusion = kind(modalities=LAYOUT).set_params(**dict.fromkeys(names, estimator)).fit(GAPS, Y)
    p = fusion.predict_proba(with_gaps(NEW))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert fusion.score(NEW, TRUTH) > 0.5


@pytest.mark.parametrize("container", [dict, lambda members: list(members.items())])
def test_estimators_by_name(container):
    members = {"image": SVC(C=2), "text": GaussianNB(), "sound": LogisticRegression()}
    fusion = mg.LateFusionClassifier(container(members), modalities=LAYOUT)
    assert fusion.get_params()["image__C"] == 2
    fusion.set_params(image__C=3, sound=KNeighborsClassifier(3), cv=4)
    assert fusion.get_params()["sound__n_neighbors"] == 3
    assert type(fusion.estimators) is type(container(members))
    assert clone(fusion).get_params()["image__C"] == 3
    fusion.fit(X, Y)
    assert fusion.estimators_["image"].C == 3
    assert isinstance(fusion.estimators_["sound"], KNeighborsClassifier)
    assert not hasattr(members["image"], "classes_")
    assert isinstance(members["sound"], LogisticRegression)


def test_grid_search_over_names_with_one_and_two_jobs():
    fusion = mg.LateFusionClassifier(
        [("image", SVC()), ("text", GaussianNB()), ("sound", LogisticRegression())],
        cv=3,
        modalities=LAYOUT,
    )
    found = [
        GridSearchCV(clone(fusion), {"image__C": [0.01, 1]}, cv=2, n_jobs=n_jobs).fit(GAPS, Y)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in found]
    np.testing.assert_array_equal(*scores)
    p = [search.predict_proba(with_gaps(NEW)) for search in found]
    np.testing.assert_array_equal(*p)


@pytest.mark.parametrize("kind", [*CLASSIFIERS[1:], *REGRESSORS[1:]])
def test_number_of_jobs_does_not_matter(kind):
    y = Y if is_classifier(kind()) else NUMBER
    one, two = (kind(n_jobs=n, modalities=LAYOUT).fit(GAPS, y).predict(NEW) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_string_labels_and_weights(kind):
    names = np.array(["cat", "dog", "owl"])
    fusion = kind(modalities=LAYOUT).fit(GAPS, names[Y])
    assert fusion.classes_.tolist() == names.tolist()
    assert set(fusion.predict(NEW)) <= set(names)
    np.testing.assert_allclose(
        fusion.predict_proba(NEW), kind(modalities=LAYOUT).fit(GAPS, Y).predict_proba(NEW)
    )
    weights = np.where(Y == 0, 5.0, 1.0)
    heavy = kind(modalities=LAYOUT).fit(GAPS, Y, sample_weight=weights)
    assert heavy.predict_proba(NEW)[:, 0].mean() > fusion.predict_proba(NEW)[:, 0].mean()
    parameter = "estimator" if kind is mg.EarlyFusionClassifier else "estimators"
    model = kind(modalities=LAYOUT).set_params(**{parameter: KNeighborsClassifier()})
    with pytest.raises(TypeError, match="KNeighborsClassifier takes none: leave it out"):
        model.fit(X, Y, sample_weight=weights)


def test_splitters():
    by_number = mg.LateFusionClassifier(
        cv=KFold(4, shuffle=True, random_state=0), modalities=LAYOUT
    )
    by_splits = clone(by_number).set_params(cv=list(by_number.cv.split(X)))
    np.testing.assert_array_equal(
        by_number.fit(X, Y).predict_proba(NEW), by_splits.fit(X, Y).predict_proba(NEW)
    )


# Imputing -----------------------------------------------------------------------------------------


def test_early_fusion_imputes_with_any_generative_model():
    imputer = mg.RBM(8, units="gaussian", max_iter=3, random_state=0)
    fusion = mg.EarlyFusionClassifier(imputer=imputer, modalities=LAYOUT).fit(GAPS, Y)
    assert fusion.imputer_.layout_.names == tuple(LAYOUT)
    assert not hasattr(imputer, "model_")
    seen = fusion.imputer_.impute(GAPS)
    shown = ~np.isnan(GAPS).all(axis=1)
    direct = clone(fusion.estimator_).fit(seen[shown], Y[shown])
    np.testing.assert_allclose(fusion.predict_proba(NEW), direct.predict_proba(NEW), atol=1e-6)
    assert fusion.get_params()["imputer__n_components"] == 8


def test_early_fusion_scales_each_modality():
    fusion = mg.EarlyFusionClassifier(
        LogisticRegression(),
        transformers={"image": StandardScaler(), "text": MinMaxScaler(), "sound": StandardScaler()},
        modalities=LAYOUT,
    ).fit(GAPS, Y)
    there = ~np.isnan(GAPS[:, 0])
    np.testing.assert_allclose(fusion.transformers_["image"].mean_, GAPS[there, :3].mean(axis=0))
    fusion.set_params(sound=MinMaxScaler(), image__with_mean=False)
    assert fusion.get_params()["image__with_mean"] is False


def test_means_are_filled_in():
    fusion = mg.EarlyFusionRegressor(LinearRegression(), modalities=LAYOUT).fit(GAPS, NUMBER)
    used = ~np.isnan(GAPS).all(axis=1)
    filled = np.where(np.isnan(GAPS), np.nanmean(GAPS, axis=0), GAPS)
    exact = LinearRegression().fit(filled[used], NUMBER[used]).predict(filled)
    np.testing.assert_allclose(fusion.predict(GAPS)[used], exact[used])


# Odd data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*CLASSIFIERS, mg.CoTraining])
@pytest.mark.parametrize(
    "data",
    [
        np.hstack([X[:, :7], np.ones((len(X), 1))]),  # a constant column
        np.hstack([X[:, :6], X[:, :2]]),  # duplicates
        1e12 * X,
        1e-12 * X,
        X.astype(np.float32),
        sp.csr_array(X),
    ],
    ids=["constant", "duplicate", "1e12", "1e-12", "float32", "CSR"],
)
def test_odd_columns(kind, data):
    fusion = kind(modalities=LAYOUT).fit(data, Y)
    p = fusion.predict_proba(data)
    assert np.isfinite(p).all()
    assert p.dtype == (np.float32 if data.dtype == np.float32 else float)
    assert fusion.score(data, Y) > 0.6


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_class_with_one_member(kind):
    y = Y.copy()
    y[7] = 9
    fusion = kind(modalities=LAYOUT).fit(GAPS, y)
    assert fusion.predict_proba(NEW).shape == (len(NEW), 4)
    assert fusion.score(NEW, TRUTH) > 0.6


def test_a_modality_that_has_never_seen_a_class():
    """It cannot tell that class from the others, so the class keeps its prior probability there."""
    gaps = X.copy()
    gaps[Y == 2, :3] = np.nan
    fusion = mg.LateFusionClassifier(combine="product", modalities=LAYOUT).fit(gaps, Y)
    p = fusion.predict_proba(only(NEW, "image"))
    assert np.isfinite(p).all()
    assert p[:, 2].std() < 0.05
    gaps[Y == 1, :3] = np.nan
    fusion = mg.LateFusionClassifier(modalities=LAYOUT).fit(gaps, Y)
    assert fusion.estimators_["image"] is None
    assert fusion.score(NEW, TRUTH) > 0.5


def test_more_modalities_than_patterns_are_learnt_for():
    wide = np.hstack([X, X[:, :2] + 0.1])
    layout = {f"m{i}": [i] for i in range(10)}
    fusion = mg.LateFusionClassifier(GaussianNB(), modalities=layout).fit(wide, Y)
    assert len(fusion.gate_.patterns) == 11
    wide[::2, 3:6] = np.nan
    assert np.isfinite(fusion.predict_proba(wide)).all()


BAD = [
    ({"combine": "vote"}, r"combine='vote': choose one of \['weighted', 'product'"),
    ({"combine": None}, "combine=None: choose one of"),
    ({"cv": 1}, "cv=1: it must be an int at least 2, a splitter or splits"),
    ({"cv": "x"}, "cv='x': it must be an int at least 2"),
    ({"estimators": {"image": SVC()}}, r"no estimator for \['text', 'sound'\]: give each"),
    ({"estimators": {"picture": SVC()}}, "unknown modality 'picture'"),
    ({"estimators": "svc"}, "estimators='svc': give one estimator for all modalities, a dict"),
    ({"estimators": dict.fromkeys(LAYOUT, 3)}, "'image' is 3, which is no estimator"),
    (
        {"estimators": [(n, SVC()) for n in ("image", "text", "text", "sound")]},
        "names a modality twice",
    ),
    (
        {"estimators": SVC(decision_function_shape="ovo")},
        "set decision_function_shape='ovr', or wrap it",
    ),
    ({"estimators": Ridge()}, "Ridge has neither predict_proba nor decision_function: wrap it"),
]


@pytest.mark.parametrize(("params", "message"), BAD)
@pytest.mark.parametrize("kind", [mg.LateFusionClassifier, mg.HybridFusionClassifier])
def test_bad_parameters(kind, params, message):
    if not params.keys() <= kind().get_params().keys():
        pytest.skip("no such parameter")
    y = np.arange(len(X)) % 4
    with pytest.raises((TypeError, ValueError), match=message):
        kind(modalities=LAYOUT, **params).fit(X, y)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (mg.EarlyFusionClassifier(imputer="median"), "imputer='median': it must be 'mean' or an"),
        (mg.EarlyFusionClassifier(imputer=StandardScaler()), "an estimator with impute"),
        (mg.EarlyFusionClassifier(transformers=[1]), r"transformers=\[1\]: give one estimator"),
        (mg.HybridFusionClassifier(early=SVC()), "early=SVC.*must be an EarlyFusionClassifier"),
        (mg.HybridFusionRegressor(early=mg.EarlyFusionClassifier()), "an EarlyFusionRegressor"),
        (mg.LateFusionRegressor(combine="max"), "combine='max': choose one of"),
    ],
)
def test_more_bad_parameters(model, message):
    with pytest.raises((TypeError, ValueError), match=message):
        model.set_params(modalities=LAYOUT).fit(X, Y)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_bad_targets(kind):
    model = kind(modalities=LAYOUT)
    for y, message in [
        (None, "requires y to be passed"),
        (Y[:5], "inconsistent numbers of samples"),
        (np.zeros(len(X)), "y has one class only, .*0.0.*, but a classifier needs two"),
        (np.where(Y, np.nan, 1), "contains NaN"),
        (X[:, 0], "Unknown label type"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
    with pytest.raises(ValueError, match="at least one non-zero"):
        model.fit(X, Y, sample_weight=np.zeros(len(X)))
    with pytest.raises(ValueError, match="Negative values"):
        model.fit(X, Y, sample_weight=-np.ones(len(X)))


def test_an_error_says_whose_estimator_it_was():
    class Broken(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise RuntimeError("broken")

    members = {"image": Broken(), "text": SVC(), "sound": SVC()}
    with pytest.raises(RuntimeError, match="broken") as caught:
        mg.LateFusionClassifier(members, modalities=LAYOUT).fit(X, Y)
    assert re.search("in a fit to 240 rows of modality 'image'", caught.value.__notes__[0])


def test_a_modality_with_the_name_of_a_parameter():
    layout = {"cv": slice(0, 4), "b": slice(4, 8)}
    assert mg.LateFusionClassifier(modalities=layout).fit(X, Y).score(X, Y) > 0.5
    with pytest.raises(ValueError, match="modality 'cv' has the name of a parameter"):
        mg.LateFusionClassifier({"cv": SVC(), "b": SVC()}, modalities=layout).fit(X, Y)
