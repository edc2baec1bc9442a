"""Displays of kernels: weights, alignments, and of how reliable probabilities are."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import mmgraph as mg
from mmgraph.plotting import AlignmentMatrixDisplay, KernelWeightsDisplay, ReliabilityDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

LAYOUT = {"signal": slice(0, 2), "noise": slice(2, 4)}
X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


def dot(a, b):
    return float(a @ b)


@pytest.mark.parametrize("solver", ["alignf", "bayes"])
def test_weights(solver):
    model = mg.MKLClassifier(["rbf", dot], solver=solver, modalities=LAYOUT).fit(X, Y)
    figure, ax = plt.subplots()
    display = KernelWeightsDisplay.from_estimator(model, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    drawn = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(drawn, model.kernel_weights_)
    assert (display.bars_.errorbar is not None) == (solver == "bayes")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0].startswith("rbf, gamma")
    assert labels[1] == "dot"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [f"{m} ({share:.0%})" for m, share in model.modality_weights_.items()]
    figure.canvas.draw()
    assert display.plot() is display
    plt.close("all")


def test_weights_of_classes():
    y = Y + (X[:, 2] > 0)
    model = mg.MKLClassifier(["rbf"], weights="per-class", modalities=LAYOUT).fit(X, y)
    display = KernelWeightsDisplay.from_estimator(model)
    np.testing.assert_allclose(display.weights, model.kernel_weights_.mean(axis=0))
    assert display.bars_.errorbar is not None
    plt.close("all")


def test_alignments():
    kernels = ["rbf", "linear"]
    model = mg.MKLClassifier(kernels, modalities=LAYOUT).fit(X, Y)
    figure, ax = plt.subplots()
    display = AlignmentMatrixDisplay.from_estimator(model, ax=ax)
    assert display.figure_ is figure
    found = display.image_.get_array()
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_allclose(found, found.T)
    middle = np.eye(60) - 1 / 60
    gram, target = middle @ X[:, :2] @ X[:, :2].T @ middle, np.outer(Y - Y.mean(), Y - Y.mean())
    truth = np.sum(gram * target) / np.linalg.norm(gram) / np.linalg.norm(target)
    assert found[1, -1] == pytest.approx(truth)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[1::3] == ["signal: linear", "targets"]
    figure.canvas.draw()
    plt.close("all")


def test_reliability():
    class Sure(BaseEstimator):
        """Gives every row the same probabilities."""

        def __init__(self, p):
            self.p = p

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.tile([self.p, 1 - self.p], (len(X), 1))

    y = np.array(["a"] * 30 + ["b"] * 10)
    rows = np.zeros((40, 1))
    methods = {"fair": Sure(0.75).fit(rows, y), "vain": Sure(1.0).fit(rows, y)}
    display = ReliabilityDisplay.from_estimator(methods, rows, y)
    assert display.errors == {"fair": pytest.approx(0), "vain": pytest.approx(0.25)}
    np.testing.assert_allclose(display.lines_["vain"].get_xydata(), [[1, 0.75]])
    model = mg.MKLClassifier(["rbf"], modalities=LAYOUT).fit(X, Y)
    display = ReliabilityDisplay.from_estimator(model, X, Y, n_bins=4)
    assert display.count["MKLClassifier"].sum() == 60
    display.figure_.canvas.draw()
    plt.close("all")
