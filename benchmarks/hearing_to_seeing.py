"""Digits learnt by ear and tested by eye, and the reverse, in a shared representation.

    python -m benchmarks.hearing_to_seeing [--speakers ...] [--out docs/results]

The experiment of Ngiam et al. (2011, section 5.3) on spoken and written digits: representations are
learnt from pairs of sounds and pictures without their digits, a linear classifier from the one
modality alone, and it is tested on the other. Data, pairs and speakers are those of the benchmark
`speech`: the speaker who is tested is never heard before. Settings are chosen for each speaker by
the accuracy on the validation speaker, over the grids that are listed here.
"""

import argparse
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mmgraph as mg
from mmgraph.engine.units import Binomial

from ._report import list_table, save, spread
from .speech import DIRECTIONS, MODALITIES, SPEAKERS, Task

UNITS = {"audio": "gaussian", "image": Binomial(16)}
HIDDEN = {"audio": 256, "image": 128}
SHRINKAGES = (0.01, 0.1, 0.3)
COMPONENTS = (5, 9, 20, 40)


def values(task, modality, rows):
    """What the models see: standardised sounds, pixels as counts of 16."""
    block = task.blocks["audio"] if modality == "audio" else task.pixels
    return block[rows].astype(float)


def plain(task):
    """Both modalities as they are."""
    return {m: lambda x: x for m in MODALITIES}


def features(task):
    """Hidden units of a restricted Boltzmann machine for each modality, fitted without labels."""
    found = {}
    for m in MODALITIES:
        rbm = mg.RBM(HIDDEN[m], units={m: UNITS[m]}, random_state=task.seed, max_iter=30)
        rows = task.rows["train"][m]
        rbm.set_params(modalities={m: slice(None)}).fit(values(task, m, rows))
        found[m] = rbm.transform
    return found


def correlated(task, maps):
    """CCA over such features of the pairs, at each of the settings."""
    pairs = {m: maps[m](values(task, m, task.pairs[m])) for m in MODALITIES}
    X, modalities = mg.pack(**pairs)
    for shrinkage in SHRINKAGES:
        cca = mg.CCA(max(COMPONENTS), shrinkage=shrinkage, modalities=modalities).fit(X)

        def embed(x, modality, cca=cca):
            rows, _ = mg.pack(modalities, **{modality: maps[modality](x)})
            return cca.embed(rows, modality)

        for n in COMPONENTS:
            yield (shrinkage, n), lambda x, m, n=n, embed=embed: embed(x, m)[:, :n]


def joint_layer(kind, grid, **settings):
    """The joint layer of a machine or autoencoder, from either modality."""

    def learn(task):
        X, modalities = mg.pack(**{m: values(task, m, task.pairs[m]) for m in MODALITIES})
        for chosen in grid:
            model = kind(
                modalities=modalities,
                units=UNITS,
                random_state=task.seed,
                **settings,
                **chosen,
            ).fit(X)

            def embed(x, modality, model=model):
                return model.embed(mg.pack(modalities, **{modality: x})[0], modality)

            yield tuple(chosen.values()), embed

    return learn


METHODS = {
    "CCA": lambda task: correlated(task, plain(task)),
    "RBM features + CCA": lambda task: correlated(task, features(task)),
    "BimodalDeepAutoencoder": joint_layer(
        mg.BimodalDeepAutoencoder, [{"max_iter": n} for n in (10, 30)]
    ),
    "MultimodalDBM": joint_layer(
        mg.MultimodalDBM,
        [{"max_iter": n} for n in (6, 20)],
        hidden=(),
        joint=256,
        learning_rate=0.02,
        objective="multi_prediction",
    ),
}


def accuracy(task, embed, source, target, role):
    """Of a linear classifier of the one modality's representation, on the other's."""
    rows = task.rows["train"][source]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    classifier.fit(embed(values(task, source, rows), source), task.y[source][rows])
    rows = task.rows[role][target]
    return classifier.score(embed(values(task, target, rows), target), task.y[target][rows])


def run(speakers):
    """Accuracy by speaker, method and direction."""
    results = []
    for speaker, (method, learn) in itertools.product(speakers, METHODS.items()):
        task = Task(speaker)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            candidates = list(learn(task))
        for direction, (source, target) in DIRECTIONS.items():
            scores = [accuracy(task, e, source, target, "validation") for _, e in candidates]
            setting, embed = candidates[int(np.argmax(scores))]
            results.append(
                {
                    "speaker": speaker,
                    "method": method,
                    "direction": direction,
                    "setting": setting,
                    "validation": max(scores),
                    "test": accuracy(task, embed, source, target, "test"),
                }
            )
            print(json.dumps(results[-1]), flush=True)
    return results


def report(results):
    """Mean and standard deviation over the speakers."""
    rows = [["learnt from, tested on", *DIRECTIONS]]
    for method in METHODS:
        rows.append([method])
        for direction in DIRECTIONS:
            own = [r for r in results if (r["method"], r["direction"]) == (method, direction)]
            rows[-1].append(spread([r["test"] for r in own], ".2f"))
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--speakers", nargs="+", default=list(SPEAKERS), choices=SPEAKERS)
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    results = run(options.speakers)
    save(options.out, "hearing_to_seeing", report(results), results)


if __name__ == "__main__":
    main()
