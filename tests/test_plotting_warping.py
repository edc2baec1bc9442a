"""Displays of warping paths and warped streams."""

import numpy as np
import pytest

import mmgraph as mg
from mmgraph.plotting import WarpedStreamsDisplay, WarpingPathDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RNG = np.random.default_rng(0)
LAYOUT = {"a": [1, 2], "b": [3, 4]}
X = np.c_[np.repeat([0, 1], 20), RNG.normal(size=(40, 4)).cumsum(axis=0)]
X[15:20, 3:] = np.nan


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


KINDS = [
    mg.DynamicTimeWarping,
    mg.CanonicalTimeWarping,
    mg.MetricTimeWarping,
    mg.LatentAligner,
]


@pytest.fixture(params=KINDS)
def aligner(request):
    return request.param(modalities=LAYOUT, sequence=0).fit(X)


def test_displays_draw_where_they_are_told(aligner):
    for draw in (
        lambda **at: WarpingPathDisplay.from_estimator(aligner, X, "b", **at),
        lambda **at: WarpedStreamsDisplay.from_estimator(aligner, X, which=1, **at),
    ):
        figure, ax = plt.subplots()
        display = draw(ax=ax)
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert draw().figure_ is not figure


def test_the_path_is_cheap_and_in_frames_of_the_streams(aligner):
    display = WarpingPathDisplay.from_estimator(aligner, X, "b")
    assert display.distances.shape == (20, 15)
    assert display.path[[0, -1]].tolist() == [[0, 0], [19, 14]]
    cost = display.distances[tuple(display.path.T)].sum()
    whole = aligner.align(X)[0].distances["b"]
    if isinstance(aligner, mg.LatentAligner):  # whose alignments have a probability of their own
        assert 0 < whole - cost < 20 * np.log(100)
    else:
        assert cost == pytest.approx(whole)
    assert display.names == ("a", "b")


def test_streams_before_and_after(aligner):
    display = WarpedStreamsDisplay.from_estimator(aligner, X, feature={"a": 0, "b": 1})
    np.testing.assert_array_equal(display.before["b"], X[:20, 4])
    np.testing.assert_array_equal(display.after["b"], aligner.transform(X)[:20, 4])
    assert [len(lines) for lines in display.lines_.values()] == [2, 2]


def test_streams_that_have_no_path(aligner):
    for name in ("a", "c"):
        with pytest.raises(ValueError, match=rf"sequence 0 has no path to '{name}'.*\['b'\]"):
            WarpingPathDisplay.from_estimator(aligner, X, name)
    rows = X.copy()
    rows[:20, 3:] = np.nan
    with pytest.raises(ValueError, match="sequence 0 does not show 'b'"):
        aligner.distances(rows, 0, "b")
