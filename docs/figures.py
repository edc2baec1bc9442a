"""The figures of the README and the documentation.

    python docs/figures.py

Trains the model of ``make demo`` and writes ``docs/_static/digit_captions.png``.
"""

from pathlib import Path

import matplotlib
import numpy as np

import mmgraph as mg
from mmgraph.demo import fit_digit_captions, pack_digits
from mmgraph.plotting import GenerationDisplay

STATIC = Path(__file__).parent / "_static"
SHOWN = (2, 4, 5, 7, 9)


def digit_captions():
    """Held-out pictures with generated captions, and held-out captions with generated pictures."""
    from matplotlib import pyplot as plt

    digits = mg.datasets.load_digit_captions()
    X, modalities = pack_digits(digits)
    dbm = fit_digit_captions(X[digits.train], modalities, random_state=0)
    target = digits.target[digits.test]
    rows = digits.test[[np.flatnonzero(target == digit)[-1] for digit in SHOWN]]
    shown = {"image_shape": {"image": (8, 8)}, "vocabulary": {"text": digits.vocabulary}}

    figure = plt.figure(figsize=(13, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15), wspace=0.04)
    left.suptitle("images given, captions generated", fontweight="bold")
    GenerationDisplay.from_estimator(
        dbm, X[rows], "text", n_draws=2, random_state=0, ax=left.subplots(), **shown
    )
    right.suptitle("captions given, images generated", fontweight="bold")
    captions = [digits.captions[row].split(": ")[1] for row in rows]
    GenerationDisplay.from_estimator(
        dbm,
        X[rows],
        "image",
        n_draws=4,
        random_state=0,
        given_labels=captions,
        ax=right.subplots(),
        **shown,
    )
    return figure


if __name__ == "__main__":
    matplotlib.use("Agg")
    STATIC.mkdir(exist_ok=True)
    digit_captions().savefig(STATIC / "digit_captions.png", dpi=110)
