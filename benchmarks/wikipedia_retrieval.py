"""Pictures by text and text by pictures: Wikipedia, mean average precision.

    python -m benchmarks.wikipedia_retrieval [--folds 3] [--out docs/results]

2,173 training rows, 693 test rows; a test picture ranks the test texts and the other way round, and
what is of the same category is relevant. First correlation, semantic and combined matching as they
were published (Rasiwasia et al. 2010), then kernels. Their settings, the similarity among them, are
chosen by cross-validation on the training rows, and the test rows are looked at once.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ParameterGrid, StratifiedKFold

import mmgraph as mg
from mmgraph.engine.kernels import median_width
from mmgraph.engine.retrieval import Geometry
from mmgraph.metrics import mean_average_precision

from ._report import list_table, save

DOMAINS = "image", "text"
DIRECTIONS = "image to text", "text to image"
SIMILARITIES = {
    "kernel CM": ("centred_cosine", "cosine", "correlation"),
    "kernel SCM": ("centred_cosine", "cosine", "inner_product"),
}
PENALTIES = 0.003, 0.01, 0.03
PUBLISHED = {"CM": (0.249, 0.196), "SM": (0.225, 0.223), "SCM": (0.277, 0.226)}


def precision(points, y):
    """MAP in both directions."""
    similarity = points["image"] @ points["text"].T
    same = y[:, None] == y
    return mean_average_precision(similarity, same), mean_average_precision(similarity.T, same)


def measure(retriever, X, y):
    """MAP in both directions among some rows, by direction."""
    found = precision({m: retriever.embed(X, m) for m in DOMAINS}, y)
    return dict(zip(DIRECTIONS, found, strict=True))


def published(modalities, similarity="cosine"):
    """The three matchings of the paper."""
    return {
        "CM": mg.Retriever(mg.CCA(7, modalities=modalities), similarity=similarity),
        "SM": mg.Retriever(
            mg.SemanticMatcher(mg.CCA(modalities=modalities), matching="semantic"),
            similarity=similarity,
        ),
        "SCM": mg.Retriever(
            mg.SemanticMatcher(mg.CCA(9, modalities=modalities)), similarity=similarity
        ),
    }


def kernels(data, texts="text"):
    """Rows for kernels, their modalities, and settings of kernel CCA to choose from."""
    if texts == "text":
        # Euclidean distances between square roots of shares mean more.
        X, modalities = mg.pack(image=data.image, text=np.sqrt(data.text))
        kernel = {"image": "chi2", "text": "rbf"}
        grid = {"text": (1, 2), "n_components": (50, 100, 200)}
    else:
        X, modalities = mg.pack(image=data.image, text=data[texts])
        kernel = {"image": "chi2", "text": "cosine"}
        grid = {"n_components": (50, 100)}
    medians = {
        m: median_width(kernel[m], X[data.train][:, modalities[m]]) for m in DOMAINS if m in grid
    }
    model = mg.KernelCCA(
        kernel=kernel,
        shrinkage=0.1,
        approximation="cholesky",
        rank=400,
        modalities=modalities,
        random_state=0,
    )
    candidates = []
    for change in ParameterGrid(grid):
        gamma = {m: change[m] / median for m, median in medians.items()}
        candidate = clone(model).set_params(n_components=change["n_components"], gamma=gamma)
        candidates.append((change, candidate))
    return X, candidates


def validated(X, y, candidates, folds):
    """Mean MAP over folds of the training rows, by settings, best first, with the estimators."""
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y))
    results = []
    for change, kernel in candidates:
        scores = {}
        for train, test in splits:
            frozen = FrozenEstimator(clone(kernel).fit(X[train]))
            embeddings = {("kernel CM", None): frozen.estimator}
            for C in PENALTIES:
                matcher = mg.SemanticMatcher(frozen, C=C).fit(X[train], y[train])
                embeddings["kernel SCM", C] = matcher
            for (method, C), embedding in embeddings.items():
                parts = {m: [embedding.embed(X[r], m) for r in (train, test)] for m in DOMAINS}
                for similarity in SIMILARITIES[method]:
                    known = {m: fitted for m, (fitted, _) in parts.items()}
                    correlations = getattr(embedding, "canonical_correlations_", None)
                    space = Geometry.of(similarity, known, correlations)
                    points = {m: space.points(new, m) for m, (_, new) in parts.items()}
                    found = np.mean(precision(points, y[test]))
                    scores.setdefault((method, C, similarity), []).append(found)
        for (method, C, similarity), values in scores.items():
            row = {"method": method, **change, "C": C, "similarity": similarity}
            embedding = kernel if C is None else mg.SemanticMatcher(kernel, C=C)
            retriever = mg.Retriever(embedding, similarity=similarity)
            row |= {"MAP": float(np.mean(values)), "sd": float(np.std(values))}
            results.append((row, retriever))
            print(results[-1][0], flush=True)
    return sorted(results, key=lambda result: -result[0]["MAP"])


def shuffled(y, n_draws=20):
    """MAP of random rankings."""
    rng = np.random.default_rng(0)
    same = y[:, None] == y
    return float(
        np.mean([mean_average_precision(rng.random(same.shape), same) for _ in range(n_draws)])
    )


def run(folds=3):
    """Rows of the table, and all that was validated."""
    data = mg.datasets.fetch_wikipedia(tfidf=True, verbose=False)
    X, modalities = mg.pack(image=data.image, text=data.text)
    y, train, test = data.target, data.train, data.test
    chance = shuffled(y[test], 3)
    rows = [{"method": "random order", **dict.fromkeys(DIRECTIONS, chance)}]
    for similarity in ("cosine", "centred_cosine", "inner_product"):
        for name, retriever in published(modalities, similarity).items():
            if name == "CM" and similarity == "inner_product":
                continue  # it is for posteriors
            found = measure(retriever.fit(X[train], y[train]), X[test], y[test])
            row = {"method": name, "similarity": similarity, **found}
            rows.append(row | ({"published": PUBLISHED[name]} if similarity == "cosine" else {}))
            print(row, flush=True)
    validation = {}
    for texts, methods in (("text", ("kernel CM", "kernel SCM")), ("tfidf", ("kernel SCM",))):
        X, candidates = kernels(data, texts)
        validation[texts] = validated(X[train], y[train], candidates, folds)
        for method in methods:
            settings, retriever = next(r for r in validation[texts] if r[0]["method"] == method)
            found = measure(retriever.fit(X[train], y[train]), X[test], y[test])
            rows.append({**settings, "texts": texts, **found})
            print(rows[-1], flush=True)
    return rows, {texts: [row for row, _ in results] for texts, results in validation.items()}


def report(results):
    """One row a method."""
    cells = [["method", "similarity", *DIRECTIONS, "mean", "published"]]
    for row in results["test"]:
        scores = [row[d] for d in DIRECTIONS]
        quoted = row.get("published")
        quoted = f"{quoted[0]:.3f} / {quoted[1]:.3f} / {np.mean(quoted):.3f}" if quoted else ""
        numbers = [f"{s:.3f}" for s in [*scores, np.mean(scores)]]
        similarity = row.get("similarity", "").replace("_", " ")
        method = row["method"] + (", texts as tf-idf" if row.get("texts") == "tfidf" else "")
        cells.append([method, similarity, *numbers, quoted])
    return list_table(cells)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows, validation = run(options.folds)
    results = {"test": rows, "validation": validation}
    save(options.out, "wikipedia_retrieval", report(results), results)


if __name__ == "__main__":
    main()
