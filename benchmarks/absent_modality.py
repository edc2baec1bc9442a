"""Classification and retrieval when modalities are absent at test: zeroed, inferred or generated.

    python -m benchmarks.absent_modality [--seeds 5] [--validation] [--resume] [--out docs/results]

The claims of Srivastava & Salakhutdinov (2012) on two sets of real data: Wikipedia's pictures and
texts (the authors' split), and six views of handwritten digits (the loader's). Training rows are
complete. Seeds are those of the models. ``--validation`` scores three tenths of the training rows
instead of the test rows, which is how the settings were chosen. ``--resume`` keeps what the file of
numbers already holds.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import mmgraph as mg
from mmgraph.datasets import fetch_multiple_features, fetch_wikipedia

from ._report import keep, list_table, load, save, spread

VIEWS = {
    "Wikipedia": ("image", "text"),
    "Digits": ("fac", "fou", "kar", "pix", "zer", "mor"),
}
N_DRAWS, N_SWEEPS = 5, 10  # of what is generated
PENALTIES = {"C": [1e-3, 1e-2, 1e-1, 1.0, 10.0]}


# Data --------------------------------------------------------------------------------------------


def _root():
    return make_pipeline(FunctionTransformer(np.sqrt), StandardScaler())


def _whitened():
    return make_pipeline(StandardScaler(), PCA(0.95, whiten=True))


RECIPES = {  # units, and what is done to the columns before
    "standardised": ("gaussian", StandardScaler),
    "whitened": ("gaussian", _whitened),
    "root": ("gaussian", _root),
    "50 words": ("replicated_softmax", lambda: FunctionTransformer(lambda x: np.round(50 * x))),
}


class Task(NamedTuple):
    """Rows of one data set, cut in two."""

    blocks: dict
    target: np.ndarray
    train: np.ndarray
    test: np.ndarray

    @classmethod
    def load(cls, name, *, validation=False):
        data = {"Wikipedia": fetch_wikipedia, "Digits": fetch_multiple_features}[name]()
        blocks = {view: data[view] for view in VIEWS[name]}
        train, test = data.train, data.test
        if validation:
            train, test = train_test_split(
                train, test_size=0.3, stratify=data.target[train], random_state=0
            )
        return cls(blocks, data.target, train, test)

    def packed(self, recipes):
        """X, its modalities and their units, prepared from the training rows by recipes by view."""
        blocks, units = {}, {}
        for view, block in self.blocks.items():
            units[view], make = RECIPES[recipes.get(view, "standardised")]
            blocks[view] = make().fit(block[self.train]).transform(block).astype(np.float32)
        return *mg.pack(**blocks), units

    def queries(self):
        """Name of each kind of query, and the modalities that it shows."""
        names = list(self.blocks)
        found = {name: [name] for name in names}
        if len(names) > 2:
            found |= {f"not {name}": [n for n in names if n != name] for name in names}
        return found


def hide(X, modalities, shown):
    """X with NaN in the modalities that are not shown."""
    X = X.copy()
    for name, columns in modalities.items():
        if name not in shown:
            X[:, columns] = np.nan
    return X


# Methods: each returns its ways to fill, from rows with NaN to representations -------------------


def _joint(X, modalities, units, seed, **settings):
    model = mg.MultimodalDBM(modalities=modalities, units=units, random_state=seed, **settings)
    model.set_params(sampling_sweeps=N_SWEEPS).fit(X)
    return {
        "zeroed": lambda X: model.transform(np.nan_to_num(X)),
        "inferred": model.transform,
        "generated": lambda X: _mean_of_draws(model, X, seed),
    }


def _mean_of_draws(model, X, seed):
    """Representation of what is shown with draws of what is not, averaged over the draws."""
    draws = model.sample(N_DRAWS, given=X, random_state=seed)
    return np.mean([model.transform(draw) for draw in draws], axis=0)


def _stack(X, modalities, units, seed, hidden=(128, 128), joint=128, **settings):
    """A greedy stack of RBMs, one a modality and layer and one on top; features go up only."""

    def grow(X, n_components, **changes):
        rbm = mg.RBM(
            n_components, random_state=seed, sampling_sweeps=N_SWEEPS, **settings, **changes
        )
        return rbm.fit(X)

    ways, below, kinds = {}, {}, {}
    for name, columns in modalities.items():
        ways[name], rows, kind = [], X[:, columns], units[name]
        for size in hidden[name] if isinstance(hidden, dict) else hidden:
            ways[name].append(grow(rows, size, units=kind))
            rows, kind = ways[name][-1].transform(rows), "bernoulli"
        below[name], kinds[name] = rows, kind
    packed, columns = mg.pack(**below)
    top = grow(packed, joint, units=kinds, modalities=columns)

    def climb(X):
        out = np.full((len(X), packed.shape[1]), np.nan)
        for name, way in ways.items():
            shown = ~np.isnan(X[:, modalities[name]]).any(axis=1)
            rows = X[shown][:, modalities[name]]
            for rbm in way if shown.any() else ():
                rows = rbm.transform(rows)
            if shown.any():
                out[np.ix_(shown, np.arange(packed.shape[1])[columns[name]])] = rows
        return out

    return {
        "zeroed": lambda X: top.transform(climb(np.nan_to_num(X))),
        "generated": lambda X: _mean_of_draws(top, climb(X), seed),
    }


def _autoencoder(X, modalities, units, seed, **settings):
    model = mg.BimodalDeepAutoencoder(
        modalities=modalities, units=units, random_state=seed, **settings
    ).fit(X)
    return {
        "zeroed, as in training": model.transform,
        "generated": lambda X: _mean_of_draws(model, X, seed),
    }


def _raw(X, y, modalities):
    """The columns themselves, absent ones filled without a joint model."""

    def split(Y):
        absent = np.isnan(Y[0])
        return ~absent, absent

    def filled(fill):
        def represent(Y):
            shown, absent = split(Y)
            Y = Y.copy()
            if absent.any():
                Y[:, absent] = fill(Y[:, shown], shown, absent)
            return Y

        return represent

    def class_mean(Y, shown, absent):
        means = np.stack([X[y == c][:, absent].mean(axis=0) for c in np.unique(y)])
        return classifier(X[:, shown], y).predict_proba(Y) @ means

    def neighbour(Y, shown, absent):
        near = NearestNeighbors(n_neighbors=1).fit(X[:, shown]).kneighbors(Y)[1][:, 0]
        return X[near][:, absent]

    def ridge(Y, shown, absent):
        return RidgeCV(np.logspace(-1, 5, 7)).fit(X[:, shown], X[:, absent]).predict(Y)

    return {
        "mean": filled(lambda Y, shown, absent: 0.0),
        "mean of the predicted class": filled(class_mean),
        "nearest neighbour": filled(neighbour),
        "ridge": filled(ridge),
    }


# Scores ------------------------------------------------------------------------------------------


def classifier(Z, y, C=None):
    """Logistic regression, its penalty by cross-validation unless given."""
    model = LogisticRegression(max_iter=300, C=1.0 if C is None else C)
    if C is None:
        model = GridSearchCV(model, PENALTIES, cv=3)
    return model.fit(Z, y)


def mean_average_precision(queries, items, y):
    """Of each query's whole ranking of the items other than its own row, by cosine."""
    queries, items = (
        z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12) for z in (queries, items)
    )
    alike = queries @ items.T
    np.fill_diagonal(alike, -np.inf)
    order = np.argsort(-alike, axis=1)[:, :-1]
    relevant = y[order] == y[:, None]
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return float(np.mean((precision * relevant).sum(axis=1) / relevant.sum(axis=1)))


def score(task, X, modalities, ways, own=()):
    """Accuracies and retrieval of each way to fill, by kind of query.

    "one": one classifier, fitted to the representations of complete training rows, for all queries.
    "own": for the ways in `own` and queries of one modality, a classifier a kind of query, fitted
    to training rows that show no more than it does.
    """
    train, test = X[task.train], X[task.test]
    y, truth = task.target[task.train], task.target[task.test]
    encode = next(iter(ways.values()))  # complete rows are the same to all ways
    Z = encode(train)
    mean, scale = Z.mean(axis=0), Z.std(axis=0).mean()

    def at(Z):
        return (Z - mean) / scale

    one, items = classifier(at(Z), y), at(encode(test))
    both = {"one": one.score(items, truth), "map": mean_average_precision(items, items, truth)}
    found = {}
    for way, represent in ways.items():
        found[way] = {"all": both}
        for name, shown in task.queries().items():
            if way == "generated" and len(shown) > 1:
                continue  # costly, and as good as inferred
            Z = at(represent(hide(test, modalities, shown)))
            scores = {"one": one.score(Z, truth), "map": mean_average_precision(Z, items, truth)}
            if way in own and len(shown) == 1:
                rows = at(represent(hide(train, modalities, shown)))
                scores["own"] = classifier(rows, y, one.best_params_["C"]).score(Z, truth)
            found[way][name] = scores
    return found


def alone(task, X, modalities):
    """Classifiers of the shown columns alone."""
    found = {}
    for name, shown in {"all": list(modalities), **task.queries()}.items():
        columns = ~np.isnan(hide(X[:1], modalities, shown)[0])
        own = classifier(X[task.train][:, columns], task.target[task.train])
        found[name] = {"own": own.score(X[task.test][:, columns], task.target[task.test])}
    return found


def chance(task):
    """The largest class, and a random ranking."""
    truth = task.target[task.test]
    Z = np.random.default_rng(0).normal(size=(len(truth), 100))
    same = np.mean(truth == np.bincount(task.target[task.train]).argmax())
    scores = {"one": float(same), "own": float(same), "map": mean_average_precision(Z, Z, truth)}
    return dict.fromkeys(["all", *task.queries()], scores)


# Tables ------------------------------------------------------------------------------------------

METHODS = {
    "MultimodalDBM": _joint,
    "stack of RBMs": _stack,
    "BimodalDeepAutoencoder": _autoencoder,
}
RAW = "columns themselves"
ROOTS = {"image": "root", "text": "root"}
PICTURES = {"image": "root", "text": "50 words"}
WORDS = {"image": "50 words", "text": "50 words"}
SIZES = {
    "Wikipedia": {"hidden": {"image": (128,), "text": ()}, "joint": 128},
    "Digits": {"hidden": (64,), "joint": 256},
}
SIGMOID = {"activation": "sigmoid", "learning_rate": 0.005}
SETTINGS = {  # recipes by view and parameters, chosen on validation rows
    "Wikipedia": {
        "MultimodalDBM": (PICTURES, {"max_iter": 40}),
        "stack of RBMs": (WORDS, {"max_iter": 40}),
        "BimodalDeepAutoencoder": (PICTURES, {"max_iter": 20, **SIGMOID}),
    },
    "Digits": {
        "MultimodalDBM": ({}, {"max_iter": 40, "pretrain_iter": 30}),
        "stack of RBMs": ({}, {"max_iter": 40}),
        "BimodalDeepAutoencoder": ({}, {"max_iter": 100}),
    },
}
COLUMNS = {  # of each table: heading, kinds of query, measure
    "Wikipedia": [
        ("both: accuracy", ["all"], "one"),
        ("MAP", ["all"], "map"),
        ("image: accuracy", ["image"], "one"),
        ("own classifier", ["image"], "own"),
        ("MAP", ["image"], "map"),
        ("text: accuracy", ["text"], "one"),
        ("own classifier", ["text"], "own"),
        ("MAP", ["text"], "map"),
    ],
    "Digits": [
        ("all six: accuracy", ["all"], "one"),
        ("MAP", ["all"], "map"),
        ("one view: accuracy", [*VIEWS["Digits"]], "one"),
        ("own classifier", [*VIEWS["Digits"]], "own"),
        ("MAP", [*VIEWS["Digits"]], "map"),
        ("five views: accuracy", [f"not {view}" for view in VIEWS["Digits"]], "one"),
        ("own classifier", [f"not {view}" for view in VIEWS["Digits"]], "own"),
        ("MAP", [f"not {view}" for view in VIEWS["Digits"]], "map"),
    ],
}


def run(name, method, seed, *, validation=False):
    """Scores of one method and seed: for each way to fill, the measures by kind of query."""
    task = Task.load(name, validation=validation)
    if method == RAW:
        X, modalities, _ = task.packed(ROOTS if name == "Wikipedia" else {})
        train = task.train
        ways = _raw(X[train], task.target[train], modalities)
        found = score(task, X, modalities, ways)
        return {**found, "left out": alone(task, X, modalities), "chance": chance(task)}
    recipes, settings = SETTINGS[name][method]
    X, modalities, units = task.packed(recipes)
    start = time.process_time()
    fit = METHODS[method.split(",")[0]]
    ways = fit(X[task.train], modalities, units, seed, **{**SIZES[name], **settings})
    seconds = time.process_time() - start
    found = score(task, X, modalities, ways, own=("zeroed", "inferred"))
    for scores in found.values():
        scores["fit CPU-s"] = seconds
    return found


def report(results):
    """A table a data set: mean and standard deviation over the seeds."""
    return "\n".join(f"**{name}**\n\n{_table(name, results)}" for name in SETTINGS)


def _table(name, results):
    rows = [["method", "absent is", "seeds", *(heading for heading, _, _ in COLUMNS[name])]]
    for method in dict.fromkeys(key.split("/")[1] for key in results):
        runs = [found for key, found in results.items() if key.startswith(f"{name}/{method}/")]
        for way in runs[0] if runs else ():
            rows.append([method, way, str(len(runs))])
            for _, queries, measure in COLUMNS[name]:
                values = [
                    np.mean([found[way][query][measure] for query in queries])
                    for found in runs
                    if measure in found[way].get(queries[0], ())
                ]
                rows[-1].append(spread(values))
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for the table and the numbers")
    options = parser.parse_args(argv)
    results = load(options.out, "absent_modality", {}) if options.resume else {}
    for name, methods in SETTINGS.items():
        for seed in range(options.seeds):
            for method in [*methods, *([RAW] if seed == 0 else [])]:
                key = f"{name}/{method}/{seed}"
                if key in results:
                    continue
                results[key] = run(name, method, seed, validation=options.validation)
                print(key, flush=True)
                keep(options.out, "absent_modality", results)
    save(options.out, "absent_modality", report(results), results)


if __name__ == "__main__":
    main()
