"""Displays of canonical variates."""

import numpy as np
import pytest

import mmgraph as mg
from mmgraph.plotting import (
    CorrelationCircleDisplay,
    RegularisationPathDisplay,
    ScoresDisplay,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

LAYOUT = {"a": slice(0, None, 2), "b": slice(1, None, 2)}
X = np.random.default_rng(0).normal(size=(40, 9)) + np.random.default_rng(1).normal(size=(40, 1))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def cca():
    return mg.CCA(3, shrinkage="cv", shrinkages=[0.0, 0.1, 1.0], modalities=LAYOUT).fit(X)


def test_displays_draw_where_they_are_told(cca):
    for draw in (
        lambda **at: CorrelationCircleDisplay.from_estimator(cca, **at),
        lambda **at: ScoresDisplay.from_estimator(cca, X, **at),
        lambda **at: RegularisationPathDisplay.from_estimator(cca, **at),
    ):
        figure, ax = plt.subplots()
        display = draw(ax=ax)
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert display.plot() is display
        figure.canvas.draw()


def test_circle(cca):
    labels = {"a": list("vwxyz")}
    display = CorrelationCircleDisplay.from_estimator(
        cca, components=(2, 0), labels=labels, n_labels=2
    )
    for name in LAYOUT:
        offsets = display.scatters_[name].get_offsets()
        np.testing.assert_allclose(offsets, cca.loadings_[name][:, [2, 0]])
    far = np.argsort(-np.hypot(*cca.loadings_["a"][:, [2, 0]].T))[:2]
    assert {t.get_text() for t in display.ax_.texts} == {"vwxyz"[i] for i in far}
    assert display.ax_.get_xlabel() == "loading on component 3"
    for wrong in ((0, 3), (0,), (-1, 0)):
        with pytest.raises(ValueError, match="give two numbers from 0 to 2"):
            CorrelationCircleDisplay.from_estimator(cca, components=wrong)


def test_circle_takes_the_names_of_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X[:, :4], columns=["a__one", "b__two", "a__three", "b__four"])
    display = CorrelationCircleDisplay.from_estimator(mg.CCA(2).fit(frame))
    assert display.labels == {"a": ["one", "three"], "b": ["two", "four"]}


def test_scores(cca):
    holed = X.copy()
    holed[0, 1::2] = np.nan
    y = np.arange(40) % 3
    display = ScoresDisplay.from_estimator(cca, holed, y, target_names=["p", "q", "r"])
    np.testing.assert_allclose(display.scores["a"], cca.embed(holed, "a")[:, :2])
    assert np.isnan(display.scores["b"][0]).all()
    assert len(display.links_.get_segments()) == 79
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["p", "q", "r"]


def test_path(cca):
    display = RegularisationPathDisplay.from_estimator(cca)
    mean = cca.cv_results_["mean_test_score"]
    np.testing.assert_allclose(display.mesh_.get_array().ravel(), mean)
    np.testing.assert_array_equal(display.best, list(cca.shrinkage_.values()))
    three = {"a": slice(0, 3), "b": slice(3, 6), "c": slice(6, 9)}
    for grid in (None, [0.0, 0.1, 0.5], [0.0]):
        model = mg.CCA(1, shrinkage="cv", shrinkages=grid, modalities=three).fit(X)
        display = RegularisationPathDisplay.from_estimator(model)
        np.testing.assert_allclose(
            display.lines_[0].get_ydata(), model.cv_results_["mean_test_score"]
        )
    with pytest.raises(ValueError, match="fit it with shrinkage='cv'"):
        RegularisationPathDisplay.from_estimator(mg.CCA().fit(X))
