"""The demonstration: handwritten digits and their captions, one from the other.

``python -m mmgraph`` trains a :class:`~mmgraph.MultimodalDBM` on the pictures and captions of
:func:`~mmgraph.datasets.load_digit_captions` and measures, on rows it has not seen, what it writes,
draws, finds and fills in, beside simple baselines that are measured in the same way.
"""

import argparse
import csv
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.svm import SVC

from . import plotting
from .datasets import load_digit_captions
from .engine.units import Binomial
from .joint.dbm import MultimodalDBM
from .modalities import pack
from .persistence import load, save

__all__ = ["SETTINGS", "fit_digit_captions", "hide", "main", "pack_digits"]

CELLS = 16  # black or white cells that a pixel counts

SETTINGS = {
    "max_iter": 60,
    "units": {"image": Binomial(CELLS), "text": "replicated_softmax"},
}
QUICK = {"hidden": (), "joint": 16, "max_iter": 30, "batch_size": 10, "n_particles": 500}

N_DRAWS = 20  # of each picture
FLOOR = 0.1  # share of the base rate in every prediction of words, so that none is impossible

MEASURES = {
    "digit": "share of pictures whose digit the expected caption names",
    "style": "log-score of the words of style, in nats a caption above their base rate",
    "judge": "share of captions whose digit a judge (SVC, trained on real pictures) reads in draws",
    "spread": "variance of the draws within a digit, as a share of that of real pictures",
    "found": "share of the digit among the two pictures found for a caption",
    "overlap": "words of style that those pictures' captions share with it, of all in either",
    "error": "root mean square error, in cells of 16, of pixels that had to be filled in",
}


def pack_digits(digits):
    """Pictures, as counts of inked cells, and captions of the digits as one array.

    Parameters
    ----------
    digits : Bunch
        What :func:`~mmgraph.datasets.load_digit_captions` gives.

    Returns
    -------
    X : ndarray of shape (n_rows, 82)
    modalities : dict of str to slice
    """
    return pack(image=digits.image * CELLS, text=digits.counts)


def fit_digit_captions(X, modalities, **changes):
    """Fit the demonstration's model.

    Parameters
    ----------
    X, modalities
        Rows of what :func:`pack_digits` gives.
    **changes
        Parameters of :class:`~mmgraph.MultimodalDBM` that differ from :data:`SETTINGS`.

    Returns
    -------
    MultimodalDBM
    """
    return MultimodalDBM(modalities=modalities, **{**SETTINGS, **changes}).fit(X)


def hide(X, modalities, share, random_state):
    """Hide each modality in a share of the rows, never two in one row.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    modalities : dict of str to slice
    share : float
        At most 1 / number of modalities.
    random_state : int or Generator

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        With NaN.
    """
    X, n = np.array(X, float), round(share * len(X))
    rows = np.random.default_rng(random_state).permutation(len(X))
    for i, columns in enumerate(modalities.values()):
        X[rows[i * n : (i + 1) * n], columns] = np.nan
    return X


class Answers(NamedTuple):
    """What a method makes of the held-out rows.

    Attributes
    ----------
    words : ndarray of shape (n_rows, n_words)
        Expected caption of each picture.
    draws : ndarray of shape (n_draws, n_rows, n_pixels)
        Pictures for each caption.
    pictures : ndarray of shape (n_rows, n_pixels)
        Expected picture for each caption.
    """

    words: np.ndarray
    draws: np.ndarray
    pictures: np.ndarray


class Task:
    """The held-out rows, the judge, the baselines and the measures."""

    def __init__(self, digits, train, test, seed):
        self.digits, self.train, self.test = digits, train, test
        self.X, self.modalities = pack_digits(digits)
        self.rng = np.random.default_rng(seed)
        self.images, self.words = digits.image * CELLS, digits.counts.astype(float)
        self.names, self.target = digits.vocabulary, digits.target
        self.judge = SVC(C=10).fit(self.images[train], self.target[train])
        self.hidden = hide(self.X[test], self.modalities, 0.3, seed)

    def truth(self):
        """The held-out captions and pictures themselves."""
        pictures = self.images[self.test]
        return Answers(self.words[self.test], pictures[None], pictures)

    def base_rate(self):
        """The mean caption and the mean picture, whatever is asked."""
        words, picture = (
            np.tile(block[self.train].mean(axis=0), (len(self.test), 1))
            for block in (self.words, self.images)
        )
        return Answers(words, picture[None], picture)

    def class_mean(self):
        """The mean over the digit: the one that the judge reads, or the caption names."""

        def means(block):
            rows = (self.train[self.target[self.train] == k] for k in range(10))
            return np.array([block[r].mean(axis=0) for r in rows])

        pictures = means(self.images)[self.words[self.test, :10].argmax(axis=1)]
        words = means(self.words)[self.judge.predict(self.images[self.test])]
        return Answers(words, pictures[None], pictures)

    def neighbour(self):
        """The partner of the nearest training row; drawn among those that are equally near."""
        train, test = self.train, self.test
        nearest = pairwise_distances(self.images[test], self.images[train]).argmin(axis=1)
        distance = pairwise_distances(self.words[test], self.words[train])
        equal = distance <= distance.min(axis=1, keepdims=True) + 1e-9
        pictures = (equal / equal.sum(axis=1, keepdims=True)) @ self.images[train]
        chosen = [[self.rng.choice(np.flatnonzero(e)) for e in equal] for _ in range(N_DRAWS)]
        return Answers(self.words[train[nearest]], self.images[train[np.array(chosen)]], pictures)

    def ridge(self):
        """Ridge regression on the other modality, its penalty by cross-validation."""

        def predict(x, y):
            model = RidgeCV(np.logspace(-2, 4, 13)).fit(x[self.train], y[self.train])
            return model.predict(x[self.test])

        pictures = predict(self.words, self.images)
        return Answers(predict(self.images, self.words), pictures[None], pictures)

    def model(self, dbm):
        """What the model generates."""
        X = self.X[self.test]
        draws = dbm.generate(X, "image", n_samples=N_DRAWS)
        return Answers(dbm.generate(X, "text"), draws, dbm.generate(X, "image"))

    def measure(self, answers, filled=None):
        """Each of :data:`MEASURES`.

        Parameters
        ----------
        answers : Answers
        filled : ndarray, optional
            The rows of `hidden` with nothing missing; None: filled from the answers.

        Returns
        -------
        dict of str to float
        """
        y, truth = self.target[self.test], self.words[self.test]
        base = self.words[self.train].mean(axis=0)
        found = self.find(answers.words)
        style, of_found = truth[:, None, 10:] > 0, truth[found][..., 10:] > 0
        absent = np.isnan(self.hidden[:, self.modalities["image"]]).any(axis=1)
        pictures = answers.pictures if filled is None else filled[:, self.modalities["image"]]
        error = pictures[absent] - self.images[self.test][absent]
        return {
            "digit": np.mean(answers.words[:, :10].argmax(axis=1) == y),
            "style": np.mean(
                (truth[:, 10:] * np.log(self.shares(answers.words, base, 10))).sum(axis=1)
                - truth[:, 10:] @ np.log(base[10:] / base[10:].sum())
            ),
            "judge": np.mean([self.judge.predict(draw) == y for draw in answers.draws]),
            "spread": np.mean([self.spread(draw) for draw in answers.draws])
            / self.spread(self.images[self.test]),
            "found": np.mean(y[found] == y[:, None]),
            "overlap": np.mean((style & of_found).sum(axis=2) / (style | of_found).sum(axis=2)),
            "error": np.sqrt(np.mean(error**2)),
        }

    def shares(self, words, base, first=0):
        """Expected counts as probabilities of the words from `first` on, none of them zero."""
        words, base = np.maximum(words[:, first:], 0), base[first:] / base[first:].sum()
        return (1 - FLOOR) * words / words.sum(axis=1, keepdims=True).clip(1e-9) + FLOOR * base

    def find(self, words, n=2):
        """The pictures by whose expected words each caption is likeliest, shape (n_rows, n)."""
        likelihood = np.log(self.shares(words, self.words[self.train].mean(axis=0)))
        return np.argsort(-self.words[self.test] @ likelihood.T, axis=1, kind="stable")[:, :n]

    def spread(self, pictures):
        """Variance of pixels within a digit, averaged."""
        y = self.target[self.test]
        return np.mean([pictures[y == k].var(axis=0).mean() for k in np.unique(y)])


def main(argv=None):
    """Run the demonstration; `argv` as on the command line."""
    parser = argparse.ArgumentParser(prog="python -m mmgraph", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the results")
    parser.add_argument("--seed", type=int, default=0, help="seed of the model and its draws")
    parser.add_argument("--quick", action="store_true", help="a tiny model on a fifth of the rows")
    parser.add_argument("--no-figures", action="store_true", help="write text only")
    options = parser.parse_args(argv)
    start = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)

    digits = load_digit_captions()
    every = 5 if options.quick else 1
    task = Task(digits, digits.train[::every], digits.test[::every], options.seed)
    changes = {"random_state": options.seed, "verbose": 1, **(QUICK if options.quick else {})}
    print(f"Training on {len(task.train)} pictures with captions", flush=True)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        dbm = fit_digit_captions(task.X[task.train], task.modalities, **changes)
    for note in notes:
        print(f"Note: {note.message}", flush=True)

    print(f"Generating for {len(task.test)} held-out rows", flush=True)
    filled = dbm.impute(task.hidden)
    made = task.model(dbm)
    scores = {
        "MultimodalDBM": task.measure(made, filled),
        "ridge regression": task.measure(task.ridge()),
        "nearest neighbour's partner": task.measure(task.neighbour()),
        "class mean": task.measure(task.class_mean()),
        "base rate": task.measure(task.base_rate()),
        "the truth itself": task.measure(task.truth()),
    }
    print("Estimating log-densities", flush=True)
    path = options.out / "model.mmgraph"
    report = "\n\n".join(
        [
            "# Digits and captions",
            _table(scores),
            "\n".join(f"- {name}: {meaning}." for name, meaning in MEASURES.items()),
            _samples(task, dbm),
            _retrieval(task, dbm, made),
            _densities(task, dbm),
            _reload(task, dbm, made, path),
        ]
    )
    places = [options.out / "report.md", options.out / "scores.csv", path]
    places[0].write_text(report + "\n", encoding="utf-8")
    _write_csv(places[1], scores)
    if not options.no_figures:
        places += _figures(task, dbm, options.out)
    print(f"\n{report}\n\n{time.perf_counter() - start:.0f} seconds. Written:")
    print(*places, sep="\n")


def _table(scores):
    width = max(map(len, scores))
    lines = ["| " + " " * width + " | " + " | ".join(f"{name:>7}" for name in MEASURES) + " |"]
    lines.append("| " + "-" * width + " |" + " ------: |" * len(MEASURES))
    for method, row in scores.items():
        cells = (f"{row[name]:7.3f}" for name in MEASURES)
        lines.append(f"| {method:<{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write_csv(path, scores):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", *MEASURES])
        for method, row in scores.items():
            writer.writerow([method, *(f"{row[name]:.6f}" for name in MEASURES)])


def _one_of_each(task):
    """A held-out row of each digit."""
    y = task.target[task.test]
    return task.test[[np.flatnonzero(y == k)[-1] for k in np.unique(y)]]


def _samples(task, dbm):
    rows = _one_of_each(task)
    draws = dbm.generate(task.X[rows], "text", n_samples=3)
    lines = ["Captions drawn for held-out pictures, beside the true one:", ""]
    for i, row in enumerate(rows):
        drawn = (" ".join(plotting.words_of(counts, task.names)) for counts in draws[:, i])
        lines.append(f"- {task.digits.captions[row]}: {' | '.join(drawn)}")
    return "\n".join(lines)


def _retrieval(task, dbm, made):
    """The two pictures found for some captions, and how the other way of finding fares."""
    lines = [
        "The two held-out pictures for a caption are those by whose expected words (generated from "
        "the picture alone) the caption is likeliest:",
        "",
    ]
    captions, position = (
        task.digits.captions,
        dict(zip(task.test, range(len(task.test)), strict=True)),
    )
    found = task.find(made.words)
    for row in _one_of_each(task)[:5]:
        near = (captions[task.test[i]] for i in found[position[row]])
        lines.append(f"- {captions[row]} -> {' | '.join(near)}")
    alone = {}
    for name, columns in task.modalities.items():
        X = np.full_like(task.X[task.test], np.nan)
        X[:, columns] = task.X[task.test][:, columns]
        alone[name] = dbm.transform(X)
        alone[name] -= alone[name].mean(axis=0)
    order = np.argsort(-cosine_similarity(alone["text"], alone["image"]), axis=1)[:, :2]
    y = task.target[task.test]
    lines += [
        "",
        "By the cosine of the two representations, of the caption alone and of the picture alone, "
        f"the share of the digit among the two is {np.mean(y[order] == y[:, None]):.3f}.",
    ]
    return "\n".join(lines)


def _densities(task, dbm):
    X = task.X[task.test]
    both, partly = dbm.score_samples(X).mean(), dbm.score_samples(task.hidden).mean()
    text, image = (dbm.log_conditional(X, name).mean() for name in ("text", "image"))
    return (
        "Log-density of held-out rows (an estimate, nats a row): "
        f"{both:.1f} complete, {partly:.1f} with 30 % of the modalities missing; {text:.1f} of the "
        f"caption given the picture, {image:.1f} of the picture given the caption."
    )


def _reload(task, dbm, made, path):
    """Save the model and check that what is loaded again is the same."""
    save(dbm, path)
    words = load(path).generate(task.X[task.test], "text")
    if not np.array_equal(words, made.words):
        raise RuntimeError(f"the model that was loaded from {path} answers differently.")
    return "The saved model was loaded again and gives the same answers to the last bit."


def _figures(task, dbm, folder):
    """Draw and save the figures; their places."""
    try:
        import matplotlib
    except ImportError:
        print(
            "No figures: matplotlib is not installed (pip install mmgraph[plot]).", file=sys.stderr
        )
        return []
    matplotlib.use("Agg")
    rows = _one_of_each(task)
    X, shape = task.X[rows], {"image": (8, 8)}
    captions = [task.digits.captions[row] for row in rows]
    shown = {"image_shape": shape, "vocabulary": {"text": task.names}}
    generation = plotting.GenerationDisplay.from_estimator
    displays = {
        "words_for_pictures": generation(dbm, X, "text", **shown),
        "pictures_for_words": generation(dbm, X, "image", given_labels=captions, **shown),
        "joint_space": plotting.JointSpaceDisplay.from_estimator(
            dbm, task.X[task.test], task.target[task.test], target_names=task.digits.target_names
        ),
        "receptive_fields": plotting.ReceptiveFieldsDisplay.from_estimator(dbm, "image"),
        "training": plotting.TrainingDisplay.from_estimator(dbm),
        "chains": plotting.ChainDisplay.from_estimator(dbm),
    }
    places = []
    for name, display in displays.items():
        places.append(folder / f"{name}.png")
        display.figure_.savefig(places[-1], dpi=120)
        matplotlib.pyplot.close(display.figure_)
    return places
