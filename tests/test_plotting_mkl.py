"""Display of the weights of kernels."""

import numpy as np
import pytest

import mmgraph as mg
from mmgraph.plotting import KernelWeightsDisplay

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
