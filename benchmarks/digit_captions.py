"""Digit captions: images to words and words to images, held out, beside the baselines.

    python -m benchmarks.digit_captions [--seeds 5] [--validation] [--out docs/results]

Each seed draws its own stratified test fifth of the 1,797 images. ``--validation`` scores a fifth
of the training rows instead, which is where settings are chosen; the test rows are for the table.

The scores:

word        share of images whose most expected digit name is right (mean of p(text | image))
image       share of captions whose drawn picture a judge reads as their digit. The judge is an SVC
            that was fitted to the training images.
variance    within-digit variance of the drawn pictures over that of the real ones (class means: 0)
style       log-score of the style words (is the word in the caption?), nats a word, minus that of
            their base rates; above 0 is better than the base rate
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.svm import SVC

import mmgraph as mg
from mmgraph.engine.units import Binomial

SETTINGS = {
    "hidden": {"image": (128,), "text": (64,)},
    "joint": 128,
    "units": {"image": Binomial(16), "text": "replicated_softmax"},
}
N_DRAWS = 50  # of each caption, for the style words


def split(target, seed, validation):
    """Training and test rows of a seed, or training and validation rows within the former."""
    rows = np.arange(len(target))
    cut = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
    train, test = next(cut.split(rows, target))
    if validation:
        inner, held = next(cut.split(train, target[train]))
        train, test = train[inner], train[held]
    return train, test


class Scores:
    """The four scores of any way to fill in one modality, on one split."""

    def __init__(self, digits, train, test):
        self.digits, self.train, self.test = digits, train, test
        self.target = digits.target
        self.judge = SVC(C=10).fit(digits.image[train], self.target[train])
        self.words = digits.counts[:, 10:] > 0
        self.spread = self._within(digits.image[test])
        rate = self.words[train].mean(axis=0)
        self.base = self._log_score(np.broadcast_to(rate, self.words[test].shape))

    def _within(self, images):
        target = self.target[self.test]
        return np.mean([images[target == c].var(axis=0).sum() for c in range(10)])

    def _log_score(self, probability):
        p = np.where(self.words[self.test], probability, 1 - probability)
        return float(np.log(p).mean())

    def __call__(self, counts, images, present):
        """Score expected word counts, pictures, and probabilities that words are present."""
        right = self.target[self.test]
        return {
            "word": float((counts[:, :10].argmax(axis=1) == right).mean()),
            "image": float((self.judge.predict(images) == right).mean()),
            "variance": float(self._within(images) / self.spread),
            "style": self._log_score(np.clip(present, 0.01, 0.99)) - self.base,
        }


def ours(digits, train, test, seed, **changes):
    """Fit the multimodal DBM; generate either modality from the other."""
    trials = digits.image * 16
    X, modalities = mg.pack(image=trials, text=digits.counts)
    settings = {**SETTINGS, **changes}
    model = mg.MultimodalDBM(modalities=modalities, random_state=seed, **settings)
    start = time.process_time()
    model.fit(X[train])
    seconds = time.process_time() - start
    counts = model.generate(X[test], "text")
    draws = model.generate(X[test], "text", n_samples=N_DRAWS)
    present = ((draws[:, :, 10:] > 0).sum(axis=0) + 0.5) / (N_DRAWS + 1)
    images = model.generate(X[test], "image", n_samples=1)[0] / 16
    return counts, images, present, seconds


def class_mean(digits, train, test, judge):
    """The mean of the rows of the digit that the other modality shows."""
    seen = judge.predict(digits.image[test])
    said = digits.counts[test, :10].argmax(axis=1)
    target = digits.target[train]

    def means(block):
        return np.array([block[train][target == c].mean(axis=0) for c in range(10)])

    return means(digits.counts)[seen], means(digits.image)[said], means(digits.counts > 0)[seen]


def nearest_neighbour(digits, train, test):
    """The partner of the nearest training row."""

    def nearest(block):
        a, b = block[test].astype(float), block[train].astype(float)
        distance = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
        return train[distance.argmin(axis=1)]

    by_image, by_text = nearest(digits.image), nearest(digits.counts)
    return digits.counts[by_image], digits.image[by_text], digits.counts[by_image] > 0


def cca_ridge(digits, train, test, n_components=17, shrinkage=0.1):
    """Ridge regression on the canonical scores of the other modality."""
    image, text = digits.image, digits.counts.astype(float)
    centred = [b[train] - b[train].mean(axis=0) for b in (image, text)]
    roots = []
    for block in centred:
        cov = block.T @ block / len(block)
        ridge = shrinkage * np.trace(cov) / len(cov) * np.eye(len(cov))
        values, vectors = np.linalg.eigh((1 - shrinkage) * cov + ridge)
        roots.append(vectors / np.sqrt(values) @ vectors.T)
    cross = roots[0] @ (centred[0].T @ centred[1] / len(train)) @ roots[1]
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    scores = [
        (b - b[train].mean(axis=0)) @ r @ v[:, :n_components]
        for b, r, v in zip((image, text), roots, (left, right.T), strict=True)
    ]

    def predict(z, block):
        return Ridge(1.0).fit(z[train], block[train]).predict(z[test])

    return (
        predict(scores[0], text),
        predict(scores[1], image),
        predict(scores[0], (text > 0).astype(float)),
    )


def run(seed, validation=False, **changes):
    """All methods on one split."""
    digits = mg.datasets.load_digit_captions()
    train, test = split(digits.target, seed, validation)
    scores = Scores(digits, train, test)
    *filled, seconds = ours(digits, train, test, seed, **changes)
    rows = {"MultimodalDBM": {**scores(*filled), "fit CPU-s": seconds}}
    if not changes:
        others = {
            "class mean": class_mean(digits, train, test, scores.judge),
            "nearest neighbour's partner": nearest_neighbour(digits, train, test),
            "CCA + ridge": cca_ridge(digits, train, test),
        }
        for name, (counts, images, present) in others.items():
            rows[name] = scores(counts, images, present[:, 10:])
        right = scores.judge.score(digits.image[test], digits.target[test])
        rows["real data (the judge's ceiling)"] = {"image": right, "variance": 1.0}
    return rows


def table(results):
    """Mean and standard deviation over seeds, as a reStructuredText list-table."""
    columns = ["word", "image", "variance", "style", "fit CPU-s"]
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - method"]
    lines += [f"     - {c}" for c in columns]
    for method in results[0]:
        lines.append(f"   * - {method}")
        for c in columns:
            values = [r[method][c] for r in results if c in r[method]]
            digits = 1 if c == "fit CPU-s" else 3
            cell = f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}" if values else ""
            lines.append(f"     - {cell}".rstrip())
    return "\n".join(lines) + "\n"


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    for seed in range(options.seeds):
        results.append(run(seed, options.validation))
        print(f"seed {seed}:", json.dumps(results[-1]), flush=True)
    text = table(results)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "digit_captions.rst").write_text(text)
        (options.out / "digit_captions.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
