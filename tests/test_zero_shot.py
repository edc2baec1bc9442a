"""Classes that were never seen, by descriptions and by attributes."""

from itertools import product

import numpy as np
import pytest
from numpy.linalg import inv
from scipy.special import log_softmax
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

import mmgraph as mg
from mmgraph.engine.opinions import fit_temperature
from mmgraph.engine.regression import compatibility

RNG = np.random.default_rng(0)
ATTRIBUTES = {"".join(bits): 2.0 * np.array(bits, float) - 1 for bits in product("01", repeat=3)}
LABELS = np.array(list(ATTRIBUTES))
MIX = RNG.normal(size=(3, 6))
UNSEEN = "110", "001"


def rows(n=160, seed=1, noise=0.2):
    rng = np.random.default_rng(seed)
    y = LABELS[np.arange(n) % 8]
    told = np.array([ATTRIBUTES[label] for label in y])
    X, layout = mg.pack(x=told @ MIX + noise * rng.normal(size=(n, 6)), told=told)
    return X, y, layout


X, Y, LAYOUT = rows()
NEW, NEW_Y, _ = rows(80, seed=2)
SEEN = ~np.isin(Y, UNSEEN)
NEW_SEEN = ~np.isin(NEW_Y, UNSEEN)


def zero_shot(**params):
    return mg.ZeroShotClassifier(mg.CCA(3, modalities=LAYOUT), **params).fit(X[SEEN], Y[SEEN])


def eszsl(attributes=ATTRIBUTES, **params):
    return mg.ESZSLClassifier(attributes, **params).fit(X[SEEN, :6], Y[SEEN])


def test_unseen_classes_by_description():
    only = {label: ATTRIBUTES[label] for label in UNSEEN}
    classifier = zero_shot(descriptions=only)
    assert classifier.classes_.tolist() == sorted(UNSEEN)
    assert not classifier.seen_.any()
    assert classifier.score(NEW[~NEW_SEEN], NEW_Y[~NEW_SEEN]) > 0.95
    everything = zero_shot(descriptions=ATTRIBUTES)
    assert everything.classes_.tolist() == sorted(LABELS)
    np.testing.assert_array_equal(everything.seen_, ~np.isin(everything.classes_, UNSEEN))
    assert everything.score(NEW, NEW_Y) > 0.9


def test_the_score_is_the_cosine():
    classifier = zero_shot(descriptions=ATTRIBUTES, similarity="cosine")
    told, _ = mg.pack(LAYOUT, told=np.array([ATTRIBUTES[k] for k in classifier.classes_]))
    classes, points = (
        classifier.embedding_.embed(told, "told"),
        classifier.embedding_.embed(NEW, "x"),
    )
    cosine = points @ classes.T
    cosine /= np.linalg.norm(points, axis=1)[:, None] * np.linalg.norm(classes, axis=1)
    np.testing.assert_allclose(classifier.decision_function(NEW), cosine)


def test_what_describes_is_not_looked_at():
    classifier = zero_shot(descriptions=ATTRIBUTES)
    alone, _ = mg.pack(LAYOUT, x=NEW[:, :6])
    np.testing.assert_array_equal(classifier.predict(alone), classifier.predict(NEW))
    flipped = mg.ZeroShotClassifier(mg.CCA(3, modalities=LAYOUT), described_by="x").fit(X, Y)
    assert flipped.score(mg.pack(LAYOUT, told=NEW[:, 6:])[0], NEW_Y) == 1


def test_prompts_are_averaged():
    prompts = {k: np.array([v + [0.3, 0, 0], v - [0.3, 0, 0]]) for k, v in ATTRIBUTES.items()}
    classifier = zero_shot(descriptions=prompts)
    assert classifier.score(NEW, NEW_Y) > 0.9
    points = [
        classifier.geometry_.points(
            classifier.embedding_.embed(mg.pack(LAYOUT, told=prompt[None])[0], "told"), "told"
        )[0]
        for prompt in prompts["001"]
    ]
    mean = np.mean(points, axis=0)
    place = classifier.classes_.tolist().index("001")
    np.testing.assert_allclose(classifier.class_points_[place], mean / np.linalg.norm(mean))


def test_without_descriptions_classes_lie_where_their_rows_do():
    classifier = zero_shot()
    assert classifier.classes_.tolist() == sorted(set(LABELS) - set(UNSEEN))
    described = zero_shot(descriptions={k: ATTRIBUTES[k] for k in classifier.classes_})
    np.testing.assert_allclose(classifier.class_points_, described.class_points_, atol=1e-12)


@pytest.mark.parametrize("make", [zero_shot, eszsl])
def test_calibration_moves_rows_to_unseen_classes(make):
    classifier = make(**({"descriptions": ATTRIBUTES} if make is zero_shot else {}))
    rows = NEW if make is zero_shot else NEW[:, :6]
    scores = classifier.decision_function(rows)
    classifier.set_params(calibration=0.1)
    np.testing.assert_allclose(classifier.decision_function(rows), scores - 0.1 * classifier.seen_)
    classifier.set_params(calibration=1e3)
    assert np.isin(classifier.predict(rows), UNSEEN).all()
    np.testing.assert_allclose(classifier.predict_proba(rows).sum(axis=1), 1)


def test_probabilities_and_temperature():
    scores, codes = RNG.normal(size=(50, 4)), RNG.integers(0, 4, 50)
    scores[np.arange(50), codes] += 1
    found = fit_temperature(scores, codes)
    grid = found * np.array([0.9, 1.0, 1.1])
    likelihood = [log_softmax(scores / t, axis=1)[np.arange(50), codes].mean() for t in grid]
    assert np.argmax(likelihood) == 1
    assert fit_temperature(1e12 * scores, codes) == pytest.approx(1e12 * found, rel=1e-3)
    classifier = zero_shot(descriptions=ATTRIBUTES)
    p = classifier.predict_proba(NEW)
    np.testing.assert_array_equal(classifier.classes_[p.argmax(axis=1)], classifier.predict(NEW))


def test_a_row_that_shows_nothing_has_no_opinion():
    classifier = zero_shot(descriptions=ATTRIBUTES)
    p = classifier.predict_proba(NEW[:3] * np.nan)
    np.testing.assert_allclose(p, 1 / 8)


def test_a_frozen_embedding():
    cca = mg.CCA(3, modalities=LAYOUT).fit(X)
    classifier = mg.ZeroShotClassifier(FrozenEstimator(cca), descriptions=ATTRIBUTES)
    assert classifier.fit(X[SEEN], Y[SEEN]).embedding_ is cca
    assert classifier.score(NEW, NEW_Y) > 0.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"descriptions": [1, 2]}, "descriptions must be a dict of two or more labels"),
        ({"descriptions": {"110": [1, 2, 3]}}, "a dict of two or more labels"),
        ({"descriptions": {1: [1, 2, 3], 2: [1, 1, 1]}}, "labels such as 1, but y such as"),
        (
            {"descriptions": {"a": [1, 2, 3], "b": [1, 1]}},
            r"descriptions\['b'\] has 2 columns, but 3",
        ),
        ({"descriptions": {"a": [1, 2, np.nan], "b": [1, 1, 1]}}, "NaN"),
        ({"described_by": "z"}, "unknown modality 'z'"),
        ({"similarity": "dot"}, "similarity='dot': choose one of"),
        ({"calibration": "x"}, "calibration='x': it must be a number"),
    ],
)
def test_bad_descriptions(params, message):
    with pytest.raises(ValueError, match=message):
        zero_shot(**params)


# ESZSL -------------------------------------------------------------------------------------------


def test_compatibility_is_the_primal_closed_form():
    phi, S = RNG.normal(size=(40, 5)), RNG.normal(size=(4, 3))
    codes, gamma, penalty = RNG.integers(0, 4, 40), 0.7, 0.3
    signs = np.where(codes[:, None] == np.arange(4), 1.0, -1.0)
    V = (
        inv(phi.T @ phi + gamma * np.eye(5))
        @ phi.T
        @ signs
        @ S
        @ inv(S.T @ S + penalty * np.eye(3))
    )
    A = compatibility(phi @ phi.T, codes, S, gamma, penalty)
    np.testing.assert_allclose(phi.T @ A, V, atol=1e-12)


def test_unseen_classes_by_attributes():
    for kernel in ("linear", "rbf", lambda a, b: a @ b):
        assert eszsl(kernel=kernel, alpha=0.1).score(NEW[:, :6], NEW_Y) > 0.85
    only = eszsl()
    assert only.score(NEW[~NEW_SEEN, :6], NEW_Y[~NEW_SEEN]) > 0.85


def test_scores_by_brute_force():
    classifier = eszsl(alpha=0.5, attribute_alpha=2.0)
    x, y = X[SEEN, :6], Y[SEEN]
    centre = x.mean(axis=0)
    scale = np.sqrt(((x - centre) ** 2).sum(axis=1).mean())
    phi, new = (x - centre) / scale, (NEW[:, :6] - centre) / scale
    S = np.array([ATTRIBUTES[k] for k in classifier.classes_])  # of mean square 1
    known = S[classifier.seen_]
    signs = np.where(y[:, None] == classifier.classes_[classifier.seen_], 1.0, -1.0)
    V = inv(phi.T @ phi + 0.5 * np.eye(6)) @ phi.T @ signs @ known
    V = V @ inv(known.T @ known + 2.0 * np.eye(3))
    np.testing.assert_allclose(classifier.decision_function(NEW[:, :6]), new @ V @ S.T, atol=1e-10)


def test_without_attributes_it_is_ridge_regression():
    classifier = eszsl(None, alpha=0.5, attribute_alpha=1e-9)
    x, y = X[SEEN, :6], Y[SEEN]
    scale = np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean())
    signs = np.where(y[:, None] == classifier.classes_, 1.0, -1.0)
    ridge = Ridge(alpha=0.5).fit(x / scale, signs)
    expected = (NEW[:, :6] - x.mean(axis=0)) / scale @ ridge.coef_.T
    np.testing.assert_allclose(classifier.decision_function(NEW[:, :6]), expected, atol=1e-6)


def test_kernels_of_modalities_are_averaged():
    layout = {"a": slice(0, 3), "b": slice(3, 6)}
    both = eszsl(kernel={"a": "rbf", "b": "linear"}, modalities=layout)
    assert {name: k.name for name, k in both.kernels_.items()} == {"a": "rbf", "b": "linear"}
    assert both.score(NEW[:, :6], NEW_Y) > 0.7
    gaps = NEW[:, :6].copy()
    gaps[:40, :3] = np.nan
    scores = both.decision_function(gaps)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[40:], both.decision_function(NEW[:, :6])[40:])
    np.testing.assert_allclose(both.decision_function(gaps[:1] * np.nan), 0)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scale_does_not_matter(scale):
    one = eszsl()
    two = mg.ESZSLClassifier({k: scale * v for k, v in ATTRIBUTES.items()})
    two.fit(scale * X[SEEN, :6], Y[SEEN])
    np.testing.assert_allclose(
        one.decision_function(NEW[:, :6]), two.decision_function(scale * NEW[:, :6]), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"attributes": {k: ATTRIBUTES[k] for k in UNSEEN}},
            "attributes lacks '000', a class of y",
        ),
        ({"kernel": "nope"}, "kernel='nope': choose one of"),
        ({"kernel": {"z": "rbf"}}, "unknown modality 'z'"),
        ({"alpha": 0}, "alpha=0: it must be a number above 0"),
        ({"attribute_alpha": np.inf}, "attribute_alpha=inf"),
        ({"calibration": None}, "calibration=None"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        eszsl(**params)


def test_features_that_do_not_vary():
    classifier = mg.ESZSLClassifier(kernel="rbf").fit(np.ones((6, 2)), [0, 1] * 3)
    np.testing.assert_allclose(classifier.predict_proba(np.ones((2, 2))), 0.5)
