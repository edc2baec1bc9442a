"""Displays of borders and of hits."""

import numpy as np
import pytest

import mmgraph as mg
from mmgraph.plotting import BorderPosteriorDisplay, SearchHitsDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RNG = np.random.default_rng(0)
Y = np.tile([0, 1, 1, 0], 10).repeat(8)
X = np.c_[np.arange(320) // 8, Y + np.tile(np.linspace(0, 2, 8), 40), Y]
X[:, 1] += 0.1 * RNG.normal(size=320)
STREAM = np.c_[np.zeros(48), X[:48, 1], np.full(48, np.nan)]
UNITS = [0, 1, 1, 0, 0, 1]
LAYOUT = {"sound": [1], "card": [2]}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def search():
    hmm = mg.MultiStreamHMM(3, topology="left-right")
    return mg.StreamSearch(mg.ForcedAligner(hmm), sequence=0, modalities=LAYOUT).fit(X, Y)


def test_displays_draw_where_they_are_told(search):
    for draw in (
        lambda **at: BorderPosteriorDisplay.from_estimator(search.model_, STREAM, [UNITS], **at),
        lambda **at: SearchHitsDisplay.from_estimator(search, STREAM, units=[1], **at),
    ):
        figure, ax = plt.subplots()
        display = draw(ax=ax)
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert draw().figure_ is not figure


def test_borders_are_those_of_the_aligner(search):
    two = np.vstack([STREAM, STREAM + [1, 0, 0]])
    display = BorderPosteriorDisplay.from_estimator(
        search.model_, two, [UNITS, UNITS], which=1, truth=np.arange(0, 49, 8)
    )
    found = search.model_.align(STREAM, [UNITS])[0]
    np.testing.assert_array_equal(display.spans, found.spans)
    for line, begin in zip(display.lines_, found.begin, strict=True):
        np.testing.assert_allclose(line.get_ydata(), begin)
    bars = [(bar.get_x() + 0.5, bar.get_x() + bar.get_width() + 0.5) for bar in display.bars_]
    np.testing.assert_allclose(bars, found.spans)
    assert [text.get_text() for text in display.ax_.texts] == [str(u) for u in UNITS]


def test_hits_are_those_of_the_search(search):
    query = np.array([[0, np.nan, 0], [0, np.nan, 1]])
    display = SearchHitsDisplay.from_estimator(
        search, STREAM, query, k=3, truth=[[[0, 8]], []], names=["low", "high"]
    )
    for bars, hits in zip(display.bars_, search.search(STREAM, query, k=3), strict=True):
        shown = [(bar.get_x() + 0.5, bar.get_x() + bar.get_width() + 0.5) for bar in bars]
        np.testing.assert_allclose(shown, hits.spans)
        shades = [bar.get_alpha() for bar in bars]
        assert shades == sorted(shades, reverse=True)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["low", "high"]
    named = SearchHitsDisplay.from_estimator(search, STREAM, units=[1])
    assert named.names == ["1"]
