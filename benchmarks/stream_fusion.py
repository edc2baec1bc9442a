"""Sequences of two streams named by hidden Markov models: under noise, and of movements.

    python -m benchmarks.stream_fusion [--out docs/results]

*noise*: spoken digits as two microphones hear them, one in the air and one at the throat, which
passes the lowest 8 of 24 bands (up to 840 Hz). White noise of a fixed seed is added to the first.
Models learn from quiet recordings (10 to 49 of each speaker and digit), weights are tuned on
recordings 5 to 9, and the official test recordings are scored. Weights are tuned for each level of
noise, which takes the level for known; or, *measured*, for each of some bins of what a recording
tells of its noise: by how much its loud frames are louder than its soft ones.

*motions*: the activities of BasicMotions from acceleration and rotation, ten folds of whole
recordings, two of each activity in a fold. In each fold the number of states is chosen on a quarter
of the training sequences.

*vowels*: Japanese Vowels, settings chosen by three folds of the training sequences.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

import mmgraph as mg
from mmgraph.datasets import fetch_basic_motions, fetch_japanese_vowels, fetch_spoken_digits
from mmgraph.engine.warping import dtw_distances

from ._report import save, table
from .spoken_digits_hmm import cepstra

LEVELS = (np.inf, 20, 15, 10, 5, 0, -5)  # signal to noise, in dB
THROAT = 8  # bands
BINS = 8  # of measured noise
STATES = (2, 4, 8)
VOWELS = [(n, kind) for n in (1, 3, 5, 8) for kind in ("diag", "tied", "full")]


# Noise -------------------------------------------------------------------------------------------


def noisy(sound, level, number):
    """A sound with white noise at a level in dB."""
    sound = sound.astype(float)
    noise = np.random.default_rng([0, number]).normal(size=len(sound))
    return sound + noise * np.sqrt(np.square(sound).mean() / 10 ** (level / 10))


def heard(digits, chosen, level):
    """X, its columns, and the digit of each row, of some recordings."""
    air = [cepstra(noisy(digits.waveforms[i], level, i)) for i in chosen]
    throat = [cepstra(digits.waveforms[i], THROAT) for i in chosen]
    lengths = [len(frames) for frames in air]
    sequence = np.repeat(chosen, lengths)
    X, modalities = mg.pack(
        air=np.concatenate(air), throat=np.concatenate(throat), sequence=sequence
    )
    return X, modalities, digits.target[sequence]


def noise():
    """One row a level of noise: error in per cent of each way to fuse."""
    digits = fetch_spoken_digits(verbose=False)
    index = digits.index
    X, modalities, y = heard(digits, np.flatnonzero(index >= 10), np.inf)
    hmm = mg.MultiStreamHMM(5, topology="left-right", max_iter=10, tol=0.0)
    classifier = mg.HMMClassifier(hmm, sequence=0, modalities=modalities).fit(X, y)

    def right(rows, weights):
        """Whether each frame's recording gets its digit."""
        classifier.stream_weights_ = weights
        return classifier.predict(rows[0]) == rows[1]

    def tuned(rows):
        return classifier.tune(*rows).stream_weights_

    held_out, test = (
        [heard(digits, np.flatnonzero(part), level)[::2] for level in LEVELS]
        for part in ((index >= 5) & (index < 10), index < 5)
    )
    pooled = [np.concatenate(parts) for parts in zip(*map(apart, held_out, LEVELS), strict=True)]
    measured = contrast(pooled[0])
    edges = np.quantile(measured, np.arange(1, BINS) / BINS)
    bins = np.searchsorted(edges, measured)
    by_bin = [tuned([part[bins == b] for part in pooled]) for b in range(BINS)]
    equal = {"air": 1.0, "throat": 1.0}
    for level, validation, rows in zip(LEVELS, held_out, test, strict=True):
        weights, own = tuned(validation), np.searchsorted(edges, contrast(rows[0]))
        ways = {
            "air": right(rows, {"air": 1.0, "throat": 0.0}),
            "throat": right(rows, {"air": 0.0, "throat": 1.0}),
            "equal": right(rows, equal),
            "tuned": right(rows, weights),
            "measured": np.select(
                [own == b for b in range(BINS)], [right(rows, w) for w in by_bin]
            ),
        }
        firsts = np.unique(rows[0][:, 0], return_index=True)[1]
        yield {
            "noise, dB": "none" if np.isinf(level) else str(level),
            **{way: 100 * float(1 - found[firsts].mean()) for way, found in ways.items()},
            "weight of air": f"{weights['air']:.1f}",
        }


def apart(rows, level):
    """Rows whose recordings have other numbers than those of other levels."""
    X = rows[0].copy()
    X[:, 0] += 1e6 * LEVELS.index(level)
    return X, rows[1]


def contrast(X):
    """Loudest less softest frames (nine and one tenth) of each row's recording in the air."""
    starts = np.flatnonzero(np.r_[True, np.diff(X[:, 0]) != 0])
    parts = np.split(X[:, 1], starts[1:])
    spans = [np.subtract(*np.quantile(part, [0.9, 0.1])) for part in parts]
    return np.repeat(spans, [len(part) for part in parts])


# Motions -----------------------------------------------------------------------------------------


def classify(modalities, n_states, model="MultiStreamHMM"):
    """A classifier, not fitted."""
    hmm = getattr(mg, model)(n_states, max_iter=20, priors={"covariance": 1, "scatter": 0.1})
    return mg.HMMClassifier(hmm, sequence=0, modalities=modalities, random_state=0)


def one(X, modalities, name):
    """The columns of one stream."""
    return np.c_[X[:, 0], X[:, modalities[name]]], {name: slice(1, None)}


class Late:
    """A classifier a stream, their log-posteriors added."""

    def __init__(self, modalities, n_states):
        self.modalities, self.n_states = modalities, n_states

    def fit(self, X, y):
        """Learn each stream."""
        self.parts = {}
        for name in self.modalities:
            rows, columns = one(X, self.modalities, name)
            self.parts[name] = classify(columns, self.n_states).fit(rows, y)
        return self

    def predict(self, X):
        """The class of each row."""
        total = sum(
            part.decision_function(one(X, self.modalities, name)[0])
            for name, part in self.parts.items()
        )
        return next(iter(self.parts.values())).classes_[total.argmax(axis=1)]


class Tuned:
    """A classifier whose stream weights are tuned on a quarter of the training sequences."""

    def __init__(self, modalities, n_states):
        self.classifier = classify(modalities, n_states)

    def fit(self, X, y):
        """Learn from most sequences, tune on the others, learn from all."""
        quarter = np.unique(X[:, 0], return_inverse=True)[1] % 4 == 1
        weights = self.classifier.fit(X[~quarter], y[~quarter]).tune(X[quarter], y[quarter])
        self.classifier.set_params(stream_weights=dict(weights.stream_weights_)).fit(X, y)
        return self

    def predict(self, X):
        """The class of each row."""
        return self.classifier.predict(X)


class Alone:
    """A classifier of one stream, or of all columns as one."""

    def __init__(self, modalities, n_states, name):
        self.modalities, self.name = modalities, name
        self.classifier = classify({name: slice(1, None)}, n_states)

    def _rows(self, X):
        return X if self.name == "both" else one(X, self.modalities, self.name)[0]

    def fit(self, X, y):
        """Learn."""
        self.classifier.fit(self._rows(X), y)
        return self

    def predict(self, X):
        """The class of each row."""
        return self.classifier.predict(self._rows(X))


class Nearest:
    """The class of the nearest sequence by dynamic time warping of all columns."""

    def __init__(self, modalities, n_states=None):
        pass

    def fit(self, X, y):
        """Keep the sequences."""
        self.scale = X[:, 1:].std(axis=0)
        self.sequences, self.labels = self._split(X), y[np.r_[True, np.diff(X[:, 0]) != 0]]
        return self

    def _split(self, X):
        return np.split(X[:, 1:] / self.scale, np.flatnonzero(np.diff(X[:, 0])) + 1)

    def predict(self, X):
        """The class of each row."""
        sequences = self._split(X)
        pairs = [(one, other) for one in sequences for other in self.sequences]
        nearest = dtw_distances(pairs).reshape(len(sequences), -1).argmin(axis=1)
        return np.repeat(self.labels[nearest], [len(s) for s in sequences])


def fusions(modalities):
    """How to make each method from a number of states."""
    ways = {name: lambda n, name=name: Alone(modalities, n, name) for name in modalities}
    ways["early: all columns in one stream"] = lambda n: Alone(modalities, n, "both")
    ways["late: posteriors multiplied"] = lambda n: Late(modalities, n)
    ways["multi-stream"] = lambda n: classify(modalities, n)
    ways["multi-stream, weights tuned"] = lambda n: Tuned(modalities, n)
    if hasattr(mg, "CoupledHMM"):
        ways["coupled"] = lambda n: classify(modalities, n, "CoupledHMM")
    ways["nearest sequence by time warping"] = lambda n: Nearest(modalities)
    return ways


def motions():
    """One row a method: accuracy in per cent, over folds."""
    data = fetch_basic_motions(verbose=False)
    X, modalities = mg.pack(
        acceleration=data.acceleration, rotation=data.rotation, sequence=data.sequence
    )
    firsts = np.unique(data.sequence, return_index=True)[1]
    y, labels = data.target, data.target[firsts]
    folds = list(StratifiedKFold(10, shuffle=True, random_state=0).split(firsts, labels))
    for method, make in fusions(modalities).items():
        scores, before = [], time.process_time()
        for train, test in folds:
            rows, others = np.isin(data.sequence, train), np.isin(data.sequence, test)
            n_states = STATES[0]
            if "nearest" not in method:
                quarter = np.isin(data.sequence, train[np.arange(len(train)) % 4 == 0])
                part = rows & ~quarter
                found = [make(n).fit(X[part], y[part]).predict(X[quarter]) for n in STATES]
                n_states = STATES[int(np.argmax([(f == y[quarter]).mean() for f in found]))]
            fitted = make(n_states).fit(X[rows], y[rows])
            scores.append(100 * float((fitted.predict(X[others]) == y[others]).mean()))
        took = time.process_time() - before
        yield {
            "method": method,
            "accuracy, %": float(np.mean(scores)),
            "standard error": float(np.std(scores, ddof=1) / np.sqrt(len(scores))),
            "CPU-s": took,
        }


# Vowels ------------------------------------------------------------------------------------------


def vowels():
    """The setting that training sequences choose, and its accuracy on the test sequences."""
    data = fetch_japanese_vowels(verbose=False)
    X, modalities = mg.pack(cepstra=data.cepstra, sequence=data.sequence)
    y, rows = data.target, data.train

    def score(setting, train, test):
        n_states, kind = setting
        priors = {"covariance": 1, "scatter": 0.1, "transition": 0.1}
        hmm = mg.MultiStreamHMM(
            n_states, covariance_type=kind, topology="left-right", max_iter=15, priors=priors
        )
        classifier = mg.HMMClassifier(hmm, sequence=0, modalities=modalities)
        return classifier.fit(X[train], y[train]).score_sequences(X[test], y[test])

    fold = data.sequence[rows] % 3
    means = [
        np.mean([score(setting, rows[fold != k], rows[fold == k]) for k in range(3)])
        for setting in VOWELS
    ]
    best = int(np.argmax(means))
    yield {
        "states": str(VOWELS[best][0]),
        "covariance": VOWELS[best][1],
        "three folds of training, %": 100 * float(means[best]),
        "test, %": 100 * score(VOWELS[best], rows, data.test),
    }


def report(results):
    """The rows of one part."""
    return table(results, number=".1f")


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parts = {"noise": noise, "motions": motions, "vowels": vowels}
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    for name in options.parts:
        results = []
        for row in parts[name]():
            print(*row.values(), sep="  ", flush=True)
            results.append(row)
        save(options.out, f"stream_fusion_{name}", report(results), results)


if __name__ == "__main__":
    main()
