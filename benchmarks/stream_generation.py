"""One stream of a sequence from another: a gyroscope from an accelerometer, and cepstra.

    python -m benchmarks.stream_generation [--out docs/results]

*motions*: rotation from acceleration in BasicMotions, ten folds of whole recordings, two of each
activity in a fold. *speech*: cepstra 6 to 12 of spoken digits from cepstra 0 to 5; recordings 5 to
9 of each speaker and digit train, the official test recordings test. In each fold the number of
states is chosen on a quarter of the training sequences, by the log-score of a model of the others.
The spread of trajectories is that of the same quarter.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.stats import multivariate_normal, norm
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedKFold

import mmgraph as mg
from mmgraph.datasets import fetch_basic_motions, fetch_spoken_digits, mfcc
from mmgraph.metrics import interval_coverage

from ._report import list_table, load, save

STATES = {"motions": (4, 8, 16), "speech": (8, 16)}
DRAWS = 200  # for the intervals of the model that has no others


def motions():
    """X, its columns, the stream to generate, and the folds of the rows."""
    data = fetch_basic_motions(verbose=False)
    X, modalities = mg.pack(
        acceleration=data.acceleration, rotation=data.rotation, sequence=data.sequence
    )
    firsts = np.unique(data.sequence, return_index=True)[1]
    folds = StratifiedKFold(10, shuffle=True, random_state=0).split(firsts, data.target[firsts])
    tests = [np.isin(data.sequence, test) for _, test in folds]
    return X, modalities, "rotation", [(np.flatnonzero(~t), np.flatnonzero(t)) for t in tests]


def speech():
    """The same of cepstra."""
    digits = fetch_spoken_digits(verbose=False)
    chosen = np.flatnonzero(digits.index < 10)
    frames = [mfcc(digits.waveforms[i]) for i in chosen]
    sequence = np.repeat(chosen, [len(f) for f in frames])
    c = np.concatenate(frames)
    X, modalities = mg.pack(low=c[:, :6], high=c[:, 6:], sequence=sequence)
    test = digits.index[sequence] < 5
    return X, modalities, "high", [(np.flatnonzero(~test), np.flatnonzero(test))]


def neighbours(X, columns, order=2):
    """Values of a stream, with slopes and curvatures; ends as if the stream stood still."""
    x, ids = X[:, columns], X[:, 0]
    before, after = (np.roll(x, k, axis=0) for k in (1, -1))
    first, last = np.r_[True, ids[1:] != ids[:-1]], np.r_[ids[1:] != ids[:-1], True]
    before[first], after[last] = x[first], x[last]
    return np.hstack([x, (after - before) / 2, after - 2 * x + before][: order + 1])


class Normal:
    """A linear model with normal errors, frame by frame."""

    def __init__(self, modalities, target, order, alphas):
        self.target = modalities[target]
        (self.source,) = (s for name, s in modalities.items() if name != target)
        self.order, self.alphas = order, alphas

    def fit(self, X):
        """Learn from rows."""
        inputs, y = neighbours(X, self.source, self.order), X[:, self.target]
        self.centre, self.scale = inputs.mean(axis=0), inputs.std(axis=0)
        self.model = RidgeCV(self.alphas).fit((inputs - self.centre) / self.scale, y)
        errors = y - self.mean(X)
        self.covariance = errors.T @ errors / len(errors)
        return self

    def mean(self, X):
        """Expected target."""
        inputs = neighbours(X, self.source, self.order)
        return self.model.predict((inputs - self.centre) / self.scale)

    def answer(self, X):
        """Mean, ends of the 90 % intervals, and log-densities of sequences and of frames."""
        mean, reach = self.mean(X), norm.isf(0.05) * np.sqrt(np.diag(self.covariance))
        zero = np.zeros(len(self.covariance))
        log = multivariate_normal(zero, self.covariance).logpdf(X[:, self.target] - mean)
        return mean, (mean - reach, mean + reach), log, log


class Trajectories:
    """TrajectoryHMM by one of its methods."""

    def __init__(self, model, target, method):
        self.model, self.target, self.method = model, target, method

    def answer(self, X):
        """Mean, ends of the 90 % intervals, and log-densities of sequences and of frames."""
        self.model.set_params(method=self.method)
        mean = self.model.generate(X, self.target)
        ends = self.model.interval(X, self.target)
        sequences = self.model.log_conditional(X, self.target)
        if self.method != "trajectory":
            return mean, ends, sequences, sequences
        deviation = (ends[1] - ends[0]) / (2 * norm.isf(0.05))
        y = X[:, self.model.layout_.columns[self.target]]
        return mean, ends, sequences, norm(mean, deviation).logpdf(y).sum(axis=1)


class Independent:
    """MultiStreamHMM: streams that are independent given the state."""

    def __init__(self, model, target):
        self.model, self.target = model, target

    def answer(self, X):
        """Mean, ends of the 90 % intervals, and log-densities of sequences."""
        draws = self.model.generate(X, self.target, n_samples=DRAWS, random_state=0)
        log = self.model.log_conditional(X, self.target)
        ends = np.quantile(draws, [0.05, 0.95], axis=0)
        return self.model.generate(X, self.target), ends, log, None


def choose(make, X, target, states):
    """The number of states of the best log-score on a quarter of the sequences, and its model."""
    held_out = np.unique(X[:, 0], return_inverse=True)[1] % 4 == 0
    models = [make(n).fit(X[~held_out]) for n in states]
    scores = [model.log_conditional(X[held_out], target).mean() for model in models]
    best = int(np.argmax(scores))
    if hasattr(models[best], "calibrate"):
        models[best].calibrate(X[held_out])
    return states[best], models[best]


def answers(X, modalities, target, train, states):
    """A method that was fitted, by name, with the number of its states."""
    settings = {"sequence": 0, "modalities": modalities, "random_state": 0}

    def joint(n_states):
        return mg.TrajectoryHMM(n_states, **settings)

    def independent(n_states):
        return mg.MultiStreamHMM(n_states, covariance_type="full", max_iter=50, **settings)

    rows, alphas = X[train], np.logspace(-2, 5, 15)
    yield "conditional Gaussian", Normal(modalities, target, 0, [1e-6]).fit(rows), None
    yield "ridge", Normal(modalities, target, 0, alphas).fit(rows), None
    yield "ridge, of slopes too", Normal(modalities, target, 2, alphas).fit(rows), None
    n, _ = choose(independent, rows, target, states)
    yield "HMM, independent streams", Independent(independent(n).fit(rows), target), n
    n, part = choose(joint, rows, target, states)
    model = joint(n).fit(rows)
    model.spread_ = part.spread_
    for method in ("viterbi", "mean", "trajectory"):
        yield f"TrajectoryHMM, {method}", Trajectories(model, target, method), n


def run(name, data, most):
    """One row a method."""
    X, modalities, target, folds = data
    columns, found = modalities[target], {}
    for train, test in folds[:most]:
        before = time.process_time()
        for method, fitted, n_states in answers(X, modalities, target, train, STATES[name]):
            row = found.setdefault(method, {"rows": [], "states": []})
            row["rows"].append((test, *fitted.answer(X[test])))
            row["states"].append(n_states)
        print(f"{name}: {time.process_time() - before:.0f} CPU-s", flush=True)
    for method, row in found.items():
        test, mean, (lower, upper), sequences, frames = zip_rows(row["rows"])
        truth = X[test][:, columns]
        slope = [
            neighbours(np.c_[X[test, :1], v], slice(1, None))[:, len(v.T) : 2 * len(v.T)]
            for v in (truth, mean)
        ]
        yield {
            "data": name,
            "method": method,
            "R2": r2_score(truth, mean),
            "R2 of slopes": r2_score(*slope),
            "log-score": sequences.mean(),
            "standard error": standard_error(sequences, X[test, 0]),
            "by frame": None if frames is None else frames.mean(),
            "coverage, %": 100 * interval_coverage(truth, lower, upper),
            "states": row["states"],
        }


def standard_error(values, sequence):
    """That of the mean of values, whose sequences are independent."""
    means = [values[sequence == s].mean() for s in np.unique(sequence)]
    return float(np.std(means, ddof=1) / np.sqrt(len(means)))


def zip_rows(rows):
    """The answers of all folds, one after another."""
    tests, means, ends, sequences, frames = zip(*rows, strict=True)
    ends = np.concatenate(ends, axis=1)
    frames = None if frames[0] is None else np.concatenate(frames)
    return np.concatenate(tests), np.concatenate(means), ends, np.concatenate(sequences), frames


def cell(name, value):
    """A value as text."""
    if name == "states":
        return "" if value[0] is None else ", ".join(map(str, sorted(set(value))))
    if value is None:
        return ""
    digits = {"R2": 3, "R2 of slopes": 3, "coverage, %": 1}.get(name, 2)
    return value if isinstance(value, str) else f"{value:.{digits}f}"


def report(results):
    """One row a method and kind of data."""
    return list_table([list(results[0]), *([cell(*item) for item in r.items()] for r in results)])


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folds", type=int, help="of the motions, at most; None: all ten")
    parser.add_argument("--data", nargs="+", default=["motions", "speech"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = load(options.out, "stream_generation", [])
    for name in options.data:
        results = [row for row in results if row["data"] != name]
        for row in run(name, {"motions": motions, "speech": speech}[name](), options.folds):
            print(*(cell(*item) for item in row.items()), sep="  ", flush=True)
            results.append(row)
        save(options.out, "stream_generation", report(results), results)


if __name__ == "__main__":
    main()
