"""Aligners: paths between streams, a common clock, and where streams have gaps."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mmgraph as mg
from mmgraph.engine.canonical_warping import even_path, joint_path
from mmgraph.engine.warping import dtw

ALIGNERS = [
    mg.DynamicTimeWarping,
    mg.CanonicalTimeWarping,
    mg.MetricTimeWarping,
    mg.LatentAligner,
]
every = pytest.mark.parametrize("kind", ALIGNERS, ids=lambda kind: kind.__name__)
banded = pytest.mark.parametrize("kind", ALIGNERS[:3], ids=lambda kind: kind.__name__)


def curve(time):
    """Two features of a movement that does not repeat itself."""
    return np.c_[np.sin(8 * time), time * np.cos(9 * time)]


def padded(*streams):
    """Streams side by side, each with NaN after its end."""
    X = np.full((max(map(len, streams)), sum(s.shape[1] for s in streams)), np.nan)
    stop = 0
    for stream in streams:
        X[: len(stream), stop : (stop := stop + stream.shape[1])] = stream
    return X


TIME = np.linspace(0, 1, 90)
LATE = np.linspace(0, 1, 70) ** 1.4
LAYOUT = {"a": slice(0, 2), "b": slice(2, 4)}


def mixed(time):
    """The same movement in three other features."""
    x, y = curve(time).T
    return np.c_[x + 2 * y, 3 * x - y, y - x]


# Dynamic time warping ----------------------------------------------------------------------------


def test_paths_are_those_of_the_engine_in_rows_of_x():
    A, B = curve(TIME), curve(LATE)
    X = padded(A, B)
    X = np.insert(X, 5, np.nan, axis=0)  # a row that shows nothing
    (found,) = mg.DynamicTimeWarping(modalities=LAYOUT).fit(X).align(X)
    expected = dtw(A, B)
    rows = expected.path + (expected.path >= 5)
    np.testing.assert_array_equal(found.paths["b"], rows)
    assert found.distances == {"b": expected.distance}
    assert (found.clock, found.rows) == ("a", slice(0, 91))


def test_streams_are_warped_onto_the_clock():
    X = padded(curve(TIME), curve(LATE))
    for reference, rows in (("a", 90), ("b", 70)):
        warped = mg.DynamicTimeWarping(reference, modalities=LAYOUT).fit_transform(X)
        keeps = LAYOUT[reference]
        np.testing.assert_array_equal(warped[:, keeps], X[:, keeps])
        assert np.isfinite(warped[:rows]).all()
        assert np.isnan(warped[rows:]).all()
        assert abs(warped[:rows, :2] - warped[:rows, 2:]).mean() < 0.02
    assert np.nanmean(abs(X[:, :2] - X[:, 2:])) > 0.2


def test_a_slower_stream():
    X = np.c_[curve(TIME), curve(TIME**1.3)]
    X[np.arange(90) % 3 > 0, 2:] = np.nan
    warped = mg.DynamicTimeWarping(modalities=LAYOUT).fit_transform(X)
    assert np.isfinite(warped).all()
    assert abs(warped[:, :2] - warped[:, 2:]).mean() < 0.1
    slow = mg.DynamicTimeWarping("b", modalities=LAYOUT).fit_transform(X)
    np.testing.assert_array_equal(np.isnan(slow[:, 0]), np.arange(90) % 3 > 0)


@every
def test_each_sequence_is_aligned_alone(kind):
    layout = {"a": [1, 2], "b": [3, 4]}
    one, two = padded(curve(TIME), curve(LATE)), padded(curve(LATE), curve(TIME**2))
    X = np.vstack([np.c_[np.full(len(s), i), s] for i, s in ((7, one), (3, two))])
    model = kind(modalities=layout, sequence=0).fit(X)
    whole = model.transform(X)
    np.testing.assert_array_equal(whole[:, 0], X[:, 0])
    parts = [model.transform(X[X[:, 0] == i]) for i in (7, 3)]
    np.testing.assert_array_equal(whole, np.vstack(parts))
    assert [found.rows for found in model.align(X)] == [slice(0, 90), slice(90, 180)]


@every
def test_sequences_that_lack_streams(kind):
    layout = {"a": [1, 2], "b": [3, 4]}
    full = np.c_[np.zeros(90), padded(curve(TIME), curve(LATE))]
    model = kind(modalities=layout, sequence=0).fit(full)
    X = full[:70].copy()
    X[:, 1:3] = np.nan
    np.testing.assert_array_equal(model.transform(X), X)
    (found,) = model.align(X)
    assert (found.clock, found.paths) == ("b", {})
    X[:, 1:] = np.nan
    np.testing.assert_array_equal(model.transform(X), X)
    assert model.align(X)[0].clock is None


@every
def test_one_frame_and_one_modality(kind):
    X = padded(curve(TIME), curve(LATE))
    model = kind(modalities=LAYOUT).fit(X)
    short = X[:3].copy()
    short[1:, 2:] = np.nan
    np.testing.assert_array_equal(model.align(short)[0].paths["b"], [[0, 0], [1, 0], [2, 0]])
    np.testing.assert_array_equal(model.transform(X[:1]), X[:1])
    np.testing.assert_array_equal(kind().fit_transform(curve(TIME)), curve(TIME))


@pytest.mark.parametrize(
    "kind", [k for k in ALIGNERS if k is not mg.MetricTimeWarping], ids=lambda kind: kind.__name__
)
def test_in_a_pipeline_before_fusion(kind):
    X = padded(curve(TIME), curve(LATE))
    model = make_pipeline(
        StandardScaler(), kind(modalities=LAYOUT), mg.CCA(2, modalities=LAYOUT)
    ).fit(X)
    assert model[-1].canonical_correlations_.min() > 0.98
    straight = make_pipeline(StandardScaler(), mg.CCA(2, modalities=LAYOUT)).fit(X)
    assert straight[-1].canonical_correlations_.min() < 0.9


@every
def test_an_unknown_reference(kind):
    message = r"unknown modality 'c': the modalities are \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        kind(reference="c", modalities=LAYOUT).fit(padded(curve(TIME), curve(LATE)))


@banded
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"band": -1}, "band=-1: it must be a number at least 0, or None"),
        ({"band": "wide"}, "band='wide': it must be"),
    ],
)
def test_bad_parameters(kind, params, message):
    with pytest.raises(ValueError, match=message):
        kind(modalities=LAYOUT, **params).fit(padded(curve(TIME), curve(LATE)))


@banded
def test_a_band_that_admits_no_path(kind):
    X = padded(curve(TIME[:3]), curve(TIME))
    model = kind(modalities=LAYOUT, band=2)
    with pytest.raises(ValueError, match=r"no path is admitted .* 3 and 90 .* by band=2: widen"):
        model.fit(X).align(X)


def test_streams_of_different_features():
    with pytest.raises(ValueError, match=r"\{'a': 2, 'b': 3\}.* CanonicalTimeWarping"):
        mg.DynamicTimeWarping(modalities={"a": [0, 1], "b": [2, 3, 4]}).fit(
            padded(curve(TIME), mixed(LATE))
        )
    with pytest.raises(ValueError, match=r"step_pattern='x': choose one of"):
        mg.DynamicTimeWarping(step_pattern="x").fit(curve(TIME))


def test_streams_of_constants():
    X = padded(np.ones((5, 2)), np.ones((3, 2)))
    warped = mg.DynamicTimeWarping(modalities=LAYOUT).fit_transform(X)
    np.testing.assert_array_equal(warped, np.ones((5, 4)))
    with pytest.raises(ValueError, match="'a' has zero variance"):
        mg.CanonicalTimeWarping(modalities=LAYOUT).fit(X)


# Canonical time warping --------------------------------------------------------------------------

WIDE = {"a": slice(0, 2), "b": slice(2, 5)}


def off(path, one, two):
    return abs(one[path[:, 0]] - two[path[:, 1]]).mean()


def test_streams_of_different_features_are_aligned():
    X = padded(curve(TIME), mixed(LATE))
    model = mg.CanonicalTimeWarping(modalities=WIDE).fit(X)
    assert off(model.align(X)[0].paths["b"], TIME, LATE) < 0.01
    assert off(even_path(90, 70), TIME, LATE) > 0.08
    assert model.converged_
    assert model.objective_ == min(model.history_["objective"])
    np.testing.assert_allclose(model.objective_, 1 - model.canonical_correlations_.mean())
    assert model.history_["objective"][0] > 5 * model.objective_


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(scale):
    X = padded(curve(TIME), mixed(LATE))
    usual = mg.CanonicalTimeWarping(modalities=WIDE).fit(X).align(X)[0].paths["b"]
    X[:, 2:] *= scale
    found = mg.CanonicalTimeWarping(modalities=WIDE).fit(X).align(X)[0].paths["b"]
    np.testing.assert_array_equal(found, usual)


def test_copies_constants_and_more_columns_than_frames():
    rng = np.random.default_rng(0)
    B = mixed(LATE)
    wide = np.hstack([B, B[:, :1], np.ones((70, 1))])
    X = padded(curve(TIME), wide)
    model = mg.CanonicalTimeWarping(modalities={"a": slice(0, 2), "b": slice(2, 7)}).fit(X)
    assert off(model.align(X)[0].paths["b"], TIME, LATE) < 0.01
    many = padded(curve(TIME), B @ rng.normal(size=(3, 150)))
    model = mg.CanonicalTimeWarping(
        shrinkage=0.01, modalities={"a": slice(0, 2), "b": slice(2, 152)}
    ).fit(many)
    assert off(model.align(many)[0].paths["b"], TIME, LATE) < 0.02


def test_three_streams_at_once():
    early = np.linspace(0, 1, 80) ** 0.8
    X = padded(curve(TIME), mixed(LATE), mixed(early)[:, 1:])
    layout = {"a": slice(0, 2), "b": slice(2, 5), "c": slice(5, 7)}
    model = mg.CanonicalTimeWarping(modalities=layout).fit(X)
    (found,) = model.align(X)
    assert off(found.paths["b"], TIME, LATE) < 0.02
    assert off(found.paths["c"], TIME, early) < 0.02


def test_the_joint_path_of_one_path_is_that_path():
    path = dtw(curve(TIME), curve(LATE)).path
    clock, frames = joint_path({"b": path}, 90)
    np.testing.assert_array_equal(np.c_[clock, frames["b"]], path)


def test_the_joint_path_of_two_repeats_the_fewer():
    paths = {"b": np.array([[0, 0], [0, 1], [1, 2]]), "c": np.array([[0, 0], [1, 0], [1, 1]])}
    clock, frames = joint_path(paths, 2)
    assert clock.tolist() == [0, 0, 1, 1]
    assert frames["b"].tolist() == [0, 1, 2, 2]
    assert frames["c"].tolist() == [0, 0, 0, 1]


def test_sequences_share_the_space():
    layout = {"a": [1, 2], "b": [3, 4, 5]}
    parts = [(TIME, LATE), (TIME**1.2, LATE), (LATE, TIME)]
    X = np.vstack(
        [
            np.c_[np.full(90, i), padded(curve(one), mixed(two))]
            for i, (one, two) in enumerate(parts)
        ]
    )
    model = mg.CanonicalTimeWarping(modalities=layout, sequence=0).fit(X)
    for found, (one, two) in zip(model.align(X), parts, strict=True):
        assert off(found.paths["b"] - found.rows.start, one, two) < 0.01


def test_streams_that_are_never_together():
    layout = {"a": [1, 2], "b": [3, 4, 5]}
    X = np.c_[np.repeat([0, 1], 90), np.vstack([padded(curve(TIME), mixed(TIME))] * 2)]
    X[:90, 1:3] = np.nan
    X[90:, 3:] = np.nan
    with pytest.raises(ValueError, match="no row shows both"):
        mg.CanonicalTimeWarping(modalities=layout, sequence=0).fit(X)
