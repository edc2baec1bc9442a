"""Pictures by text and text by pictures: Wikipedia, mean average precision.

    python -m benchmarks.wikipedia_retrieval [--folds 2] [--out docs/results]

2,173 training rows, 693 test rows; a test picture ranks the test texts and the other way round, and
what is of the same category is relevant. First correlation, semantic and combined matching as they
were published (Rasiwasia et al. 2010), then kernels. Their settings, the similarity among them, are
chosen by cross-validation on the training rows, and the test rows are looked at once.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ParameterGrid, StratifiedKFold

import mmgraph as mg
from mmgraph.engine.retrieval import Geometry
from mmgraph.metrics import mean_average_precision

DOMAINS = "image", "text"
DIRECTIONS = "image to text", "text to image"
SIMILARITIES = "centred_cosine", "cosine", "correlation"
PENALTIES = 0.01, 0.1, 1.0
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


def candidates(modalities):
    """Settings of kernel CCA to choose from."""
    for change in ParameterGrid({"shrinkage": [0.1, 0.3], "n_components": [10, 20]}):
        kernel = mg.KernelCCA(approximation="cholesky", rank=300, modalities=modalities)
        yield change, kernel.set_params(**change)


def validated(X, y, modalities, folds):
    """Mean MAP over folds of the training rows, by settings, best first, with the estimators."""
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y))
    results = []
    for change, kernel in candidates(modalities):
        scores = {}
        for train, test in splits:
            frozen = FrozenEstimator(clone(kernel).fit(X[train]))
            embeddings = {("kernel CM", None): frozen.estimator}
            for C in PENALTIES:
                matcher = mg.SemanticMatcher(frozen, C=C).fit(X[train], y[train])
                embeddings["kernel SCM", C] = matcher
            for (method, C), embedding in embeddings.items():
                parts = {m: [embedding.embed(X[r], m) for r in (train, test)] for m in DOMAINS}
                for similarity in SIMILARITIES if C is None else SIMILARITIES[:2]:
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
            results.append((row | {"MAP": float(np.mean(values))}, retriever))
            print(results[-1][0], flush=True)
    return sorted(results, key=lambda result: -result[0]["MAP"])


def shuffled(y, n_draws=20):
    """MAP of random rankings."""
    rng = np.random.default_rng(0)
    same = y[:, None] == y
    return float(
        np.mean([mean_average_precision(rng.random(same.shape), same) for _ in range(n_draws)])
    )


def run(folds=2):
    """Rows of the table, and all that was validated."""
    data = mg.datasets.fetch_wikipedia(verbose=False)
    X, modalities = mg.pack(image=data.image, text=data.text)
    y, train, test = data.target, data.train, data.test
    chance = shuffled(y[test], 3)
    rows = [{"method": "random order", **dict.fromkeys(DIRECTIONS, chance)}]
    for similarity in ("cosine", "centred_cosine"):
        for name, retriever in published(modalities, similarity).items():
            found = measure(retriever.fit(X[train], y[train]), X[test], y[test])
            row = {"method": name, "similarity": similarity, **found}
            rows.append(row | ({"published": PUBLISHED[name]} if similarity == "cosine" else {}))
            print(row, flush=True)
    X = np.sqrt(X)  # Euclidean distances between square roots of shares mean more
    validation = validated(X[train], y[train], modalities, folds)
    for method in ("kernel CM", "kernel SCM"):
        settings, retriever = next(r for r in validation if r[0]["method"] == method)
        found = measure(retriever.fit(X[train], y[train]), X[test], y[test])
        rows.append({**settings, **found})
        print(rows[-1], flush=True)
    return rows, [settings for settings, _ in validation]


def table(rows):
    """The rows as a reStructuredText list-table."""
    heads = ["method", "similarity", *DIRECTIONS, "mean", "published"]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    cells = [heads]
    for row in rows:
        scores = [row[d] for d in DIRECTIONS]
        quoted = row.get("published")
        quoted = f"{quoted[0]:.3f} / {quoted[1]:.3f} / {np.mean(quoted):.3f}" if quoted else ""
        numbers = [f"{s:.3f}" for s in [*scores, np.mean(scores)]]
        similarity = row.get("similarity", "").replace("_", " ")
        cells.append([row["method"], similarity, *numbers, quoted])
    for row in cells:
        lines += [f"   {'*' if i == 0 else ' '} - {c}".rstrip() for i, c in enumerate(row)]
    return "\n".join(lines) + "\n"


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows, validation = run(options.folds)
    text = table(rows)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "wikipedia_retrieval.rst").write_text(text)
        record = {"test": rows, "validation": validation}
        (options.out / "wikipedia_retrieval.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
