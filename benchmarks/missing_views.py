"""Views that are absent in 30 % of training and of test: who fills them in best?

    python -m benchmarks.missing_views [--data digits speech] [--seeds 0 1 2] [--methods ...]
                                       [--cache FOLDER] [--out docs/results]

*digits*: UCI multiple features, six views, the first 100 of each class for training and the last
100 for testing. *speech*: spoken digits with pictures of written ones; the views are the four
quarters of the sound and a picture, joined at random within a digit; the test speaker (another by
seed) is not heard in training. Of all views 30 % are taken away at random, no row being left with
none. Those of the test rows are to be filled in.

Columns are standardised by what the training rows show, those of a picture by one standard
deviation. R2 is taken over the entries of a view that were taken away, against the training mean,
and averaged over the views. The log-score is the mean log-density of a value under a normal
distribution about what was filled in. ProbabilisticCCA and MOFA bring their own standard
deviations; for the others it is, column by column, the error on a fifth of the training rows, from
a fit to the rest. None is taken to be below 0.05.

MOFA takes part where mofapy2 is installed.
"""

import argparse
import json
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import Ridge

import mmgraph as mg

from ._report import list_table, save, spread

MISSING = 0.3
LEAST = 0.05  # standard deviation, for the log-score
N_ROWS = 1000  # of training and of test on speech
SPEAKERS = ("theo", "lucas", "george", "jackson", "nicolas", "yweweler")
# Chosen on three tenths of the training rows of the digits, with one more seed.
SETTINGS = {"n_components": 60, "shrinkage": 0.03, "tol": 1e-3}
SHRINKAGE = 0.1
FACTORS, STEPS = 25, 100  # of MOFA
COMPONENTS = 20  # of each view for IterativeImputer


class Task:
    """Training and test rows with holes, the truth of the test rows, in standard units."""

    def __init__(self, data, seed):
        rng = np.random.default_rng(seed)
        train, test = _digits() if data == "digits" else _speech(seed, rng)
        X, self.modalities = mg.pack(**train)
        truth = mg.pack(self.modalities, **test)[0]
        self.train, hidden = self._holes(X, rng), self._holes(truth, rng)
        mean, sd = np.nanmean(self.train, axis=0), np.nanstd(self.train, axis=0)
        if data == "speech":
            sd[self.modalities["image"]] = np.sqrt(np.mean(sd[self.modalities["image"]] ** 2))
        self.kept = sd > 0
        sd[~self.kept] = 1
        self.train, self.test, self.truth = ((a - mean) / sd for a in (self.train, hidden, truth))
        self.gaps = np.isnan(self.test)
        order = rng.permutation(len(X))
        self.rest, self.held = np.sort(order[len(X) // 5 :]), np.sort(order[: len(X) // 5])
        self.seed = seed

    def _holes(self, X, rng):
        X, absent = X.copy(), rng.random((len(X), len(self.modalities))) < MISSING
        none = absent.all(axis=1)
        absent[none, rng.integers(0, absent.shape[1], none.sum())] = False
        for mask, place in zip(absent.T, self.modalities.values(), strict=True):
            X[mask, place] = np.nan
        return X

    def errors(self, fill):
        """Root mean squared error by column of a method on training rows that it did not see."""
        held = self.train[self.held]
        more = self._holes(held, np.random.default_rng([self.seed, 1]))
        found = fill(self, self.train[self.rest], more)
        asked = np.isnan(more) & ~np.isnan(held)
        squares = np.where(asked, (np.where(asked, found, 0) - np.nan_to_num(held)) ** 2, 0)
        return np.sqrt(squares.sum(axis=0) / asked.sum(axis=0))

    def scores(self, filled, sd):
        """R2 and log-score of the entries that were taken away."""
        gaps = self.gaps & self.kept
        step, base = filled - self.truth, self.truth  # the training mean is zero
        r2 = [
            1 - np.sum(step[:, p][gaps[:, p]] ** 2) / np.sum(base[:, p][gaps[:, p]] ** 2)
            for p in self.modalities.values()
        ]
        sd = np.broadcast_to(sd, gaps.shape)[gaps].clip(LEAST)
        density = -0.5 * (step[gaps] / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
        return {"R2": np.mean(r2), "log-score": density.mean()}


def _digits():
    data = mg.datasets.fetch_multiple_features(verbose=False)
    names = ("fac", "fou", "kar", "pix", "zer", "mor")
    return tuple({name: data[name][rows] for name in names} for rows in (data.train, data.test))


def _speech(seed, rng):
    sound, image = mg.datasets.fetch_spoken_digits(verbose=False), mg.datasets.load_digit_captions()
    speaker = SPEAKERS[seed % len(SPEAKERS)]

    def rows(heard, seen):
        digits = rng.integers(0, 10, N_ROWS)
        one = [rng.choice(np.flatnonzero(heard & (sound.target == k))) for k in digits]
        two = [rng.choice(seen[image.target[seen] == k]) for k in digits]
        quarters = np.split(sound.audio[one].astype(float), 4, axis=1)
        views = {f"quarter{i}": block for i, block in enumerate(quarters, 1)}
        return {**views, "image": image.image[two].reshape(N_ROWS, -1)}

    order = rng.permutation(len(image.target))
    half = len(order) // 2
    heard = sound.speaker != speaker
    return rows(heard, order[:half]), rows(~heard, order[half:])


# The methods: each fills in new rows given training rows ------------------------------------------


def mean(task, train, new):
    """The mean of the training rows."""
    return np.where(np.isnan(new), 0.0, new)


def neighbours(n):
    """The mean of the nearest training rows that show the view."""

    def fill(task, train, new):
        return KNNImputer(n_neighbors=n, keep_empty_features=True).fit(train).transform(new)

    return fill


def ridge(task, train, new):
    """A regression for each choice of views, on the training rows that show what it needs."""
    out, places = new.copy(), list(task.modalities.values())
    shown = np.column_stack([~np.isnan(train[:, place.start]) for place in places])
    there = np.column_stack([~np.isnan(new[:, place.start]) for place in places])
    for pattern in np.unique(there, axis=0):
        rows = (there == pattern).all(axis=1)
        columns = np.flatnonzero(np.repeat(pattern, [p.stop - p.start for p in places]))
        for k in np.flatnonzero(~pattern):
            learn = shown[:, pattern].all(axis=1) & shown[:, k]
            made = 0.0
            if learn.sum() > 1 and len(columns):
                model = Ridge(learn.sum() * SHRINKAGE / (1 - SHRINKAGE))
                model.fit(train[learn][:, columns], train[learn][:, places[k]])
                made = model.predict(new[rows][:, columns])
            out[rows, places[k]] = made
    return out


def iterative(task, train, new):
    """scikit-learn's IterativeImputer on the principal components of each view, and back."""
    parts, places = {}, task.modalities.items()
    for name, place in places:
        block = train[:, place]
        block = block[~np.isnan(block[:, 0])]
        parts[name] = PCA(min(COMPONENTS, *block.shape), random_state=0).fit(block)

    def project(rows):
        blocks = []
        for name, place in places:
            block = rows[:, place]
            shown = ~np.isnan(block[:, 0])
            found = np.full((len(rows), parts[name].n_components_), np.nan)
            found[shown] = parts[name].transform(block[shown])
            blocks.append(found)
        return np.hstack(blocks)

    imputer = IterativeImputer(max_iter=5, tol=0.0, random_state=0)
    with np.errstate(all="ignore"):
        filled = _quietly(lambda: imputer.fit(project(train)).transform(project(new)))
    out, at = new.copy(), 0
    for name, place in places:
        width = parts[name].n_components_
        made = parts[name].inverse_transform(filled[:, at : at + width])
        out[:, place] = np.where(np.isnan(new[:, place]), made, new[:, place])
        at += width
    return out


def _quietly(call):
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return call()


def mofa(task):
    """MOFA, with the factors of test rows from its expected weights and precisions."""
    from mofapy2.run.entry_point import entry_point

    entry = entry_point()
    entry.set_data_options(scale_views=False)
    entry.set_data_matrix([[task.train[:, place]] for place in task.modalities.values()])
    entry.set_model_options(factors=FACTORS, ard_weights=True, spikeslab_weights=False)
    entry.set_train_options(iter=STEPS, convergence_mode="fast", seed=task.seed, quiet=True)
    entry.build()
    entry.run()
    nodes = entry.model.nodes
    weights = np.vstack(nodes["W"].getExpectation())
    precisions = np.concatenate([np.asarray(tau)[0] for tau in nodes["Tau"].getExpectation()])
    filled, sd = np.empty_like(task.test), np.empty_like(task.test)
    centre = np.nanmean(task.train, axis=0)
    for row, x in enumerate(task.test - centre):
        shown = ~np.isnan(x)
        told = weights[shown] * precisions[shown, None]
        covariance = np.linalg.inv(np.eye(weights.shape[1]) + told.T @ weights[shown])
        filled[row] = centre + weights @ (covariance @ (told.T @ x[shown]))
        spread = np.sum((weights @ covariance) * weights, axis=1)
        sd[row] = np.sqrt(spread + 1 / precisions)
    return filled, sd


def probabilistic_cca(task, **changes):
    """Our means and standard deviations."""
    settings = {"modalities": task.modalities, **SETTINGS, **changes}
    model = mg.ProbabilisticCCA(**settings).fit(task.train)
    filled, sd = task.test.copy(), np.ones(task.test.shape)
    for name, place in task.modalities.items():
        found = model.conditional(task.test, name)
        absent = np.isnan(task.test[:, place.start])
        filled[absent, place] = found.mean[absent]
        sd[absent, place] = found.std[absent]
    return filled, sd


FILLERS = {
    "mean": mean,
    "nearest neighbour": neighbours(1),
    "10 nearest neighbours": neighbours(10),
    "ridge for each pattern": ridge,
    "IterativeImputer": iterative,
}
MODELS = {"MOFA": mofa, "ProbabilisticCCA": probabilistic_cca}
METHODS = [*FILLERS, *MODELS]


def run(method, data, seed):
    """Scores of a method on a data set."""
    task, start = Task(data, seed), time.process_time()
    if method in FILLERS:
        filled = FILLERS[method](task, task.train, task.test)
        seconds = time.process_time() - start
        sd = task.errors(FILLERS[method])
    else:
        filled, sd = MODELS[method](task)
        seconds = time.process_time() - start
    return {**task.scores(filled, sd), "CPU-s": seconds}


def report(results):
    """Mean and standard deviation over the seeds."""
    rows = [["", "method", "R2", "log-score", "CPU-s"]]
    for data, method in dict.fromkeys((r["data"], r["method"]) for r in results):
        found = [r for r in results if (r["data"], r["method"]) == (data, method)]
        if "R2" not in found[0]:
            rows.append([data, method, "not installed", "", ""])
            continue
        cells = [data, method]
        for measure in ("R2", "log-score"):
            values = [r[measure] for r in found]
            cells.append(spread(values))
        rows.append([*cells, f"{np.mean([r['CPU-s'] for r in found]):.1f}"])
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", nargs="+", default=["digits", "speech"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--cache", type=Path, help="folder that keeps what was done, to go on from")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = []
    for data in options.data:
        for method in options.methods:
            for seed in options.seeds:
                about = {"data": data, "method": method, "seed": seed}
                path = options.cache and options.cache / f"{data}-{method}-{seed}.json"
                if path and path.exists():
                    scores = json.loads(path.read_text())
                elif method == "MOFA" and find_spec("mofapy2") is None:
                    scores = {}
                else:
                    scores = run(method, data, seed)
                    print(about, scores, flush=True)
                    if path:
                        options.cache.mkdir(parents=True, exist_ok=True)
                        path.write_text(json.dumps(scores))
                results.append({**about, **scores})
    save(options.out, "missing_views", report(results), results)


if __name__ == "__main__":
    main()
