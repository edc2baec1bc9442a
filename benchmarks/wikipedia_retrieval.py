"""Pictures by text and text by pictures: Wikipedia, mean average precision.

    python -m benchmarks.wikipedia_retrieval [--folds 3] [--out docs/results]

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
from mmgraph.metrics import mean_average_precision

DIRECTIONS = {"image to text": ("image", "text"), "text to image": ("text", "image")}
PUBLISHED = {"CM": (0.249, 0.196), "SM": (0.225, 0.223), "SCM": (0.277, 0.226)}


def measure(retriever, X, y, text="text"):
    """MAP in both directions among some rows."""
    points = {m: retriever.embed(X, m) for m in ("image", text)}
    similarity = points["image"] @ points[text].T
    same = y[:, None] == y
    found = mean_average_precision(similarity, same), mean_average_precision(similarity.T, same)
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
    """Estimators and the settings to choose from."""
    kernels = [{"image": "chi2", "text": text} for text in ("rbf", "chi2")]
    correlated = {
        "kernel": kernels,
        "shrinkage": [0.1, 0.3],
        "n_components": [10, 20],
    }
    kernel = mg.KernelCCA(approximation="cholesky", rank=300, modalities=modalities)
    for change in ParameterGrid(correlated):
        embedding = clone(kernel).set_params(**change)
        yield {"method": "kernel CM", **change}, mg.Retriever(embedding)
        for C in (0.1, 1.0):
            matcher = mg.SemanticMatcher(embedding, C=C)
            yield {"method": "kernel SCM", **change, "C": C}, mg.Retriever(matcher)
    for C in (0.1, 1.0, 10.0):
        matcher = mg.SemanticMatcher(mg.CCA(modalities=modalities), matching="semantic", C=C)
        yield {"method": "SM", "C": C}, mg.Retriever(matcher)


def validated(X, y, modalities, folds):
    """Mean MAP over folds of the training rows, of every candidate and similarity."""
    results = []
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y))
    for settings, retriever in candidates(modalities):
        similarities = ["cosine", "centred_cosine"]
        if settings["method"] == "kernel CM":
            similarities.append("correlation")
        scores = {name: [] for name in similarities}
        for train, test in splits:
            fitted = clone(retriever).fit(X[train], y[train])
            frozen = mg.Retriever(FrozenEstimator(fitted.embedding_))
            for name in similarities:
                again = clone(frozen).set_params(similarity=name).fit(X[train])
                scores[name].append(np.mean([*measure(again, X[test], y[test]).values()]))
        for name, values in scores.items():
            row = {**settings, "similarity": name, "MAP": float(np.mean(values))}
            results.append((row, clone(retriever).set_params(similarity=name)))
        print({n: round(float(np.mean(v)), 4) for n, v in scores.items()}, settings, flush=True)
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
    parser.add_argument("--folds", type=int, default=3)
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
