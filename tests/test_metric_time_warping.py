"""Metrics learnt from correspondences: formulas, noise columns, and correspondences in disorder."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

import mmgraph as mg
from mmgraph.engine.warping import dtw
from mmgraph.engine.warping_metric import canonical, relevant

TIME = np.linspace(0, 1, 90)
LATE = np.linspace(0, 1, 70) ** 1.4
LAYOUT = {"a": slice(0, 12), "b": slice(12, 24)}
METHODS = pytest.mark.parametrize("method", ["canonical", "relevant"])


def noisy(time, rng, n_noise=10):
    """Two features of a movement, and columns that say nothing."""
    movement = np.c_[np.sin(8 * time), time * np.cos(9 * time)]
    movement += 0.05 * rng.normal(size=movement.shape)
    return np.hstack([movement, 2 * rng.normal(size=(len(time), n_noise))])


def streams(seed=0):
    rng = np.random.default_rng(seed)
    one, two = noisy(TIME, rng), noisy(LATE, rng)
    X = np.full((90, 24), np.nan)
    X[:, :12], X[:70, 12:] = one, two
    return X


def known():
    """Every third frame of a, and the frame of b at that time."""
    return np.c_[:90, abs(TIME[:, None] - LATE).argmin(axis=1)][::3]


def off(path):
    return abs(TIME[path[:, 0]] - LATE[path[:, 1]]).mean()


@METHODS
def test_columns_of_noise_are_left_out(method):
    pairs, errors = {"b": known()}, []
    for seed in range(0, 10, 2):
        X, new = streams(seed), streams(seed + 1)
        model = mg.MetricTimeWarping(method, modalities=LAYOUT).fit(X, correspondences=pairs)
        plain = mg.DynamicTimeWarping(modalities=LAYOUT).fit(X)
        errors.append([off(m.align(new)[0].paths["b"]) for m in (model, plain)])
    learnt, euclid = np.mean(errors, axis=0)
    assert learnt < 0.025
    assert euclid > 2.5 * learnt
    found = model.align(new)[0]
    costs, _, _ = model.distances(new, 0, "b")
    assert found.distances["b"] == pytest.approx(costs[tuple(found.paths["b"].T)].sum())
    assert found.distances["b"] == pytest.approx(dtw(costs, metric="precomputed").distance)


def test_relevant_components_are_a_mahalanobis_distance():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(50, 4)) * [1, 10, 0.1, 1e6]
    two = one + 0.1 * rng.normal(size=(50, 4)) * [1, 20, 0.1, 1e6]
    inverse = np.linalg.inv((one - two).T @ (one - two) / 50)
    a, b = relevant(one, two, 4).project(one, two)
    expected = cdist(one, two, "mahalanobis", VI=inverse)
    np.testing.assert_allclose(cdist(a, b), expected, rtol=1e-6)
    few = relevant(one, two, 2).project(one, two)
    assert few[0].shape == (50, 2)


def test_canonical_distances_are_log_odds():
    """Up to terms of one frame alone, which no path can choose by."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4000, 1))
    two = 0.8 * one + 0.6 * rng.normal(size=(4000, 1))
    metric = canonical(one, 5 * two - 3, 1)
    u, v = metric.project(one, 5 * two - 3)
    z, w = ((x - x.mean()) / x.std() for x in (one, two))
    r = np.corrcoef(one.T, two.T)[0, 1]
    joint = multivariate_normal([0, 0], [[1, r], [r, 1]])
    alone = multivariate_normal([0], [[1]])
    odds = joint.logpdf(np.c_[z, w]) - alone.logpdf(z) - alone.logpdf(w)
    rest = odds + 0.5 * ((u - v) ** 2).ravel()
    own = r / (1 + r) / 2 * (z**2 + w**2).ravel()
    np.testing.assert_allclose(rest - own, rest[0] - own[0], atol=1e-9)


def test_streams_of_different_features_and_none_given():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 7))
    X = streams()
    one, two = X[:70, :12], X[:70, 12:] @ A
    layout = {"a": slice(0, 12), "b": slice(12, 19)}
    rows = np.hstack([one, two])
    pairs = known()[known()[:, 0] < 70]
    model = mg.MetricTimeWarping(modalities=layout).fit(rows, correspondences={"b": pairs})
    assert model.metrics_["b"].weights[0].shape == (12, 7)
    together = np.c_[:70, :70]
    given, none = (
        mg.MetricTimeWarping(modalities=layout).fit(rows, correspondences=pairs).transform(rows)
        for pairs in ({"b": together}, None)
    )
    np.testing.assert_array_equal(given, none)
    with pytest.raises(ValueError, match=r"\{'a': 12, 'b': 7\}.*take 'canonical'"):
        mg.MetricTimeWarping("relevant", modalities=layout).fit(rows)


@METHODS
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(method, scale):
    X, pairs = streams(), {"b": known()}
    usual = mg.MetricTimeWarping(method, modalities=LAYOUT).fit(X, correspondences=pairs)
    X2 = X * scale
    again = mg.MetricTimeWarping(method, modalities=LAYOUT).fit(X2, correspondences=pairs)
    paths = [m.align(x)[0].paths["b"] for m, x in ((usual, X), (again, X2))]
    np.testing.assert_array_equal(*paths)


@METHODS
def test_copies_constants_and_equal_streams(method):
    X = streams()
    X[:, [3, 15]] = X[:, [2, 14]]
    X[:, 4] = 7
    X[:70, 16] = 7
    pairs = {"b": known()}
    for shrinkage in (0.0, 0.1):
        model = mg.MetricTimeWarping(method, shrinkage=shrinkage, modalities=LAYOUT)
        assert np.isfinite(model.fit(X, correspondences=pairs).align(X)[0].distances["b"])
    one = X[:, :12]
    same = mg.MetricTimeWarping(method, modalities=LAYOUT).fit(np.hstack([one, one]))
    path = same.align(np.hstack([one, one]))[0].paths["b"]
    np.testing.assert_array_equal(path, np.c_[:90, :90])


@METHODS
def test_streams_of_constants(method):
    with pytest.raises(ValueError, match="'a' has zero variance"):
        mg.MetricTimeWarping(method, modalities=LAYOUT).fit(np.ones((5, 24)))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(3, 5), (2, 6)], r"\['b'\] goes back in time: \(2, 6\) comes after \(3, 5\).*sort"),
        ([(3, 5), (4, 4)], r"goes back in time: \(4, 4\) comes after \(3, 5\)"),
        ([(3, 80)], r"pair 0 is \(3, 80\), but row 80 does not show 'b'. Give rows of 'a' first"),
        ([(0, 0), (90, 3)], r"pair 1 is \(90, 3\), but X has rows 0 to 89"),
        ([(-1, 0)], r"pair 0 is \(-1, 0\)"),
        ([], "with one pair at least"),
        ([(0.5, 1)], "array of ints"),
        ([1, 2], r"of shape \(2,\)"),
    ],
)
def test_correspondences_in_disorder(pairs, message):
    with pytest.raises(ValueError, match=message):
        mg.MetricTimeWarping(modalities=LAYOUT).fit(streams(), correspondences={"b": pairs})


def test_correspondences_of_others():
    model, X = mg.MetricTimeWarping(modalities=LAYOUT), streams()
    with pytest.raises(ValueError, match=r"each of \['b'\]; got one for \['a'\]"):
        model.fit(X, correspondences={"a": known()})
    with pytest.raises(ValueError, match=r"each of \['b'\]; got <class 'numpy.ndarray'>"):
        model.fit(X, correspondences=known())
    layout = {"a": slice(1, 13), "b": slice(13, 25)}
    two = np.c_[np.repeat([0, 1], 90), np.vstack([X, X])]
    model = mg.MetricTimeWarping(modalities=layout, sequence=0)
    with pytest.raises(ValueError, match=r"pair 0 is \(2, 92\), which are rows of different seq"):
        model.fit(two, correspondences={"b": [(2, 92)]})
    pairs = np.vstack([known() + 90, known()])  # sequences in any order
    assert off(model.fit(two, correspondences={"b": pairs}).align(two)[0].paths["b"]) < 0.03


def test_no_row_shows_both():
    X = np.full((20, 24), np.nan)
    X[:10, :12], X[10:, 12:] = streams()[:10, :12], streams()[:10, 12:]
    with pytest.raises(ValueError, match=r"no row shows both 'a' and 'b': say .* correspondences="):
        mg.MetricTimeWarping(modalities=LAYOUT).fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "x"}, "method='x': choose one of"),
        ({"n_components": 0}, "n_components=0"),
        ({"shrinkage": 2}, "shrinkage=2"),
        ({"step_pattern": "x"}, "step_pattern='x'"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        mg.MetricTimeWarping(modalities=LAYOUT, **params).fit(streams())


def test_distances_need_the_reference():
    layout = {"a": slice(1, 13), "b": slice(13, 25)}
    X = np.c_[np.repeat([0, 1], 90), np.vstack([streams(), streams()])]
    X[90:, 1:13] = np.nan
    model = mg.MetricTimeWarping(modalities=layout, sequence=0).fit(X)
    assert model.align(X)[1].paths == {}
    with pytest.raises(ValueError, match="sequence 1 does not show the reference, 'a'"):
        model.distances(X, 1, "b")
