"""Digit captions: images to words and words to images, held out, beside the baselines.

    python -m benchmarks.digit_captions [--seeds 5] [--validation] [--out docs/results]

The task is the demonstration's (``mmgraph.demo``), and so are the model's settings. Each seed draws
its own stratified test fifth of the 1,797 images. ``--validation`` scores a fifth of the training
rows instead, which is where the settings were chosen; the test rows are for the table.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import StratifiedShuffleSplit

from mmgraph.datasets import load_digit_captions
from mmgraph.demo import MEASURES, Answers, Task, fit_digit_captions

from ._report import list_table, save, spread

OBJECTIVES = "likelihood", "multi_prediction", "hybrid"
COLUMNS = (*MEASURES, "fit CPU-s")


def split(target, seed, validation):
    """Training and test rows of a seed, or training and validation rows within the former."""
    cut = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
    train, test = next(cut.split(target, target))
    if validation:
        inner, held = next(cut.split(train, target[train]))
        train, test = train[inner], train[held]
    return train, test


def cca_ridge(task, shrinkage=0.1):
    """Ridge regression on the canonical scores of the other modality, the penalties by CV."""
    blocks = task.images, task.words
    means = [b[task.train].mean(axis=0) for b in blocks]
    roots = []
    for block, mean in zip(blocks, means, strict=True):
        centred = block[task.train] - mean
        covariance = centred.T @ centred / len(centred)
        target = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * target)
        roots.append(vectors / np.sqrt(values) @ vectors.T)
    centred = [b[task.train] - m for b, m in zip(blocks, means, strict=True)]
    cross = roots[0] @ centred[0].T @ centred[1] @ roots[1]
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    scores = [
        (b - m) @ root @ v
        for b, m, root, v in zip(blocks, means, roots, (left, right.T), strict=True)
    ]

    def predict(z, block):
        model = RidgeCV(np.logspace(-4, 4, 17)).fit(z[task.train], block[task.train])
        return model.predict(z[task.test])

    pictures = predict(scores[1], task.images)
    return Answers(predict(scores[0], task.words), pictures[None], pictures)


def ours(task, **changes):
    """Scores of a machine."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # chains keep to their digit
        model = fit_digit_captions(task.X[task.train], task.modalities, **changes)
    seconds = time.process_time() - start
    return {**task.measure(task.model(model), model.impute(task.hidden)), "fit CPU-s": seconds}


def run(seed, *, validation=False, **changes):
    """All methods on one split: a dict of their scores."""
    digits = load_digit_captions()
    task = Task(digits, *split(digits.target, seed, validation), seed)
    return {
        **{
            f"MultimodalDBM, {objective.replace('_', '-')}": ours(
                task, random_state=seed, objective=objective, **changes
            )
            for objective in OBJECTIVES
        },
        "CCA + ridge": task.measure(cca_ridge(task)),
        "ridge regression": task.measure(task.ridge()),
        "nearest neighbour's partner": task.measure(task.neighbour()),
        "class mean": task.measure(task.class_mean()),
        "base rate": task.measure(task.base_rate()),
        "the truth itself": task.measure(task.truth()),
    }


def report(results):
    """Mean and standard deviation over the seeds."""
    rows = [["method", *COLUMNS]]
    for method in results[0]:
        rows.append([method])
        for column in COLUMNS:
            values = [result[method][column] for result in results if column in result[method]]
            rows[-1].append(spread(values, ".1f" if column == "fit CPU-s" else ".3f"))
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    results = []
    for seed in range(options.seeds):
        results.append(run(seed, validation=options.validation))
        print(f"seed {seed}:", json.dumps(results[-1]["MultimodalDBM, likelihood"]), flush=True)
    save(options.out, "digit_captions", report(results), results)


if __name__ == "__main__":
    main()
