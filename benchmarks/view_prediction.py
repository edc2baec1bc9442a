"""One view of written digits predicted from another: R2 and intervals over all 30 ordered pairs.

    python -m benchmarks.view_prediction [--views fac fou ...] [--out docs/results]

UCI multiple features: six views of 2,000 digits, the first 100 of each class for training and the
last 100 for testing, columns standardised by the training rows. R2 is the mean over the columns of
the predicted view. What is "chosen" is chosen pair by pair, by the R2 of three-fold
cross-validation on the training rows.

cca-zoo takes part where it is installed.
"""

import argparse
import itertools
import json
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedKFold

import mmgraph as mg
from mmgraph.engine.factors import leading

from ._report import list_table, save

VIEWS = ("fac", "fou", "kar", "pix", "zer", "mor")
SHRINKAGE = 0.1  # of what does not choose one
SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3)
COMPONENTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 240)  # as many as there are, at most
COVERAGE = 0.9
OURS, FIXED = "ProbabilisticCCA", f"ProbabilisticCCA, shrinkage {SHRINKAGE}"
SCORES = "regression on the scores"


def standardised(data):
    """The views, without columns that do not vary in the training rows."""
    out = {}
    for name in VIEWS:
        rows = data[name][data.train]
        kept = rows.std(axis=0) > 0
        out[name] = ((data[name] - rows.mean(axis=0)) / np.where(kept, rows.std(axis=0), 1))[
            :, kept
        ]
    return out


class Pair:
    """Two views fitted together at a shrinkage, of which any number of components can be used."""

    def __init__(self, blocks, shrinkage):
        X, modalities = mg.pack(**blocks)
        most = min(block.shape[1] for block in blocks.values())
        self.blocks, self.modalities = blocks, modalities
        self.model = mg.ProbabilisticCCA(most, shrinkage=shrinkage, modalities=modalities).fit(X)
        self.every, self.most = self.model.model_, most

    def conditional(self, blocks, target, n_components):
        """The distribution of the target given the other view."""
        self.model.model_ = leading(self.every, n_components)
        return self.model.conditional(mg.pack(self.modalities, **blocks)[0], target)

    def regress(self, blocks, source, target, n_components):
        """The target by least squares on the canonical scores of the source."""
        self.model.model_ = self.every
        seen, new = (
            self.model.embed(mg.pack(self.modalities, **{source: b[source]})[0], source)
            for b in (self.blocks, blocks)
        )
        y = self.blocks[target]
        slope = np.linalg.lstsq(seen[:, :n_components], y - y.mean(axis=0))[0]
        return y.mean(axis=0) + new[:, :n_components] @ slope


def zoo(blocks, shrinkage, n_components):
    """cca-zoo's ridge CCA, whose shrinkage is ours where columns have variance 1."""
    from cca_zoo.linear import RidgeCCA

    most = min(block.shape[1] for block in blocks.values())
    model = RidgeCCA(min(n_components, most), shrinkage=shrinkage)
    return model.fit(list(blocks.values()))


def zoo_predict(model, blocks, source):
    """Its prediction of the other view."""
    names = list(blocks)
    made = model.predict([blocks[name] if name == source else None for name in names])
    return made[1 - names.index(source)]


def take(blocks, rows):
    return {name: block[rows] for name, block in blocks.items()}


def choose(blocks, folds, directions, with_zoo):
    """R2 of held-out training rows by method, direction and setting."""
    found = {}

    def note(method, direction, setting, y, made):
        found.setdefault((method, direction), {}).setdefault(setting, []).append(r2_score(y, made))

    for (learn, held), shrinkage in itertools.product(folds, SHRINKAGES):
        seen, new = take(blocks, learn), take(blocks, held)
        pair = Pair(seen, shrinkage)
        for k in sorted({min(k, pair.most) for k in COMPONENTS}):
            other = zoo(seen, shrinkage, k) if with_zoo else None
            for source, target in directions:
                setting, y = (shrinkage, k), new[target]
                made = pair.conditional(new, target, k).mean
                note(OURS, (source, target), setting, y, made)
                made = pair.regress(new, source, target, k)
                note(SCORES, (source, target), setting, y, made)
                if other:
                    made = zoo_predict(other, new, source)
                    note("cca-zoo predict", (source, target), setting, y, made)
    chosen = {}
    for (method, direction), scores in found.items():
        chosen[method, direction] = max(scores, key=lambda s, scores=scores: np.mean(scores[s]))
        if method == OURS:
            fixed = [s for s in scores if s[0] == SHRINKAGE]
            best = max(fixed, key=lambda s, scores=scores: np.mean(scores[s]))
            chosen[FIXED, direction] = best
    return chosen


def run_pair(data, blocks, one, two, with_zoo):
    """Scores of all methods in both directions, as records."""
    blocks = {one: blocks[one], two: blocks[two]}
    train, test = take(blocks, data.train), take(blocks, data.test)
    splits = StratifiedKFold(3, shuffle=True, random_state=0)
    folds = list(splits.split(data.train, data.target[data.train]))
    directions = [(one, two), (two, one)]
    chosen = choose(train, folds, directions, with_zoo)
    for source, target in directions:
        direction, y = (source, target), test[target]
        row = {"source": source, "target": target}

        def record(method, made, row=row, y=y, **more):
            return {**row, "method": method, "R2": r2_score(y, made), **more}

        alpha = len(data.train) * SHRINKAGE / (1 - SHRINKAGE)
        model = Ridge(alpha).fit(train[source], train[target])
        yield record(f"ridge, shrinkage {SHRINKAGE}", model.predict(test[source]))
        model = RidgeCV(np.geomspace(1, 1e4, 17)).fit(train[source], train[target])
        yield record("ridge, chosen", model.predict(test[source]))
        for method in (OURS, FIXED):
            shrinkage, k = chosen[method, direction]
            found = Pair(train, shrinkage).conditional(test, target, k)
            low, high = found.interval(COVERAGE)
            inside = (low <= y) & (y <= high)
            density = -0.5 * ((y - found.mean) / found.std) ** 2 - np.log(found.std)
            yield record(
                method,
                found.mean,
                coverage=float(inside.mean()),
                log_score=float(density.mean() - 0.5 * np.log(2 * np.pi)),
                setting=(shrinkage, k),
            )
        for k in (20, 40):
            pair = Pair(train, SHRINKAGE)
            made = pair.regress(test, source, target, min(k, pair.most))
            yield record(f"{SCORES}, {k}", made)
        shrinkage, k = chosen[SCORES, direction]
        made = Pair(train, shrinkage).regress(test, source, target, k)
        yield record(f"{SCORES}, chosen", made, setting=(shrinkage, k))
        if with_zoo:
            for k in (20, 40):
                made = zoo_predict(zoo(train, SHRINKAGE, k), test, source)
                yield record(f"cca-zoo predict, {k}", made)
            shrinkage, k = chosen["cca-zoo predict", direction]
            made = zoo_predict(zoo(train, shrinkage, k), test, source)
            yield record("cca-zoo predict, chosen", made, setting=(shrinkage, k))


def report(records):
    """The mean over the pairs by method, and the pairs by themselves."""
    by_method = {}
    for r in records:
        by_method.setdefault(r["method"], {})[r["source"], r["target"]] = r
    ours, with_zoo = by_method[OURS], "cca-zoo predict, chosen" in by_method
    rows = [["method", "mean R2", "lowest", "below ours", "90 % intervals cover", "log-score"]]
    for method, found in by_method.items():
        r2 = np.array([r["R2"] for r in found.values()])
        below = sum(r["R2"] < ours[pair]["R2"] for pair, r in found.items())
        cover = [r["coverage"] for r in found.values() if "coverage" in r]
        row = [method, f"{r2.mean():.4f}", f"{r2.min():.3f}"]
        row.append("" if method == OURS else f"{below} of {len(r2)}")
        if cover:
            score = np.mean([r["log_score"] for r in found.values()])
            row += [f"{np.mean(cover):.3f} ({min(cover):.3f} to {max(cover):.3f})", f"{score:.3f}"]
        rows.append([*row, *[""] * (6 - len(row))])
    if not with_zoo:
        rows.append(["cca-zoo predict", "not installed", "", "", "", ""])
    shown = ["ridge, chosen", f"{SCORES}, chosen"] + ["cca-zoo predict, chosen"] * with_zoo
    each = [["from, to", OURS, *shown, "90 % intervals cover", "shrinkage, components"]]
    for pair, r in ours.items():
        values = [r, *(by_method[method][pair] for method in shown)]
        cells = [f"{v['R2']:.3f}" for v in values]
        shrinkage, k = r["setting"]
        each.append([", ".join(pair), *cells, f"{r['coverage']:.3f}", f"{shrinkage:g}, {k}"])
    return list_table(rows) + "\n" + list_table(each)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--views", nargs="+", default=VIEWS, choices=VIEWS)
    parser.add_argument("--cache", type=Path, help="folder that keeps what was done, to go on from")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    data = mg.datasets.fetch_multiple_features(verbose=False)
    blocks, records = standardised(data), []
    with_zoo = find_spec("cca_zoo") is not None
    for one, two in itertools.combinations(options.views, 2):
        path = options.cache and options.cache / f"{one}-{two}.json"
        if path and path.exists():
            found = json.loads(path.read_text())
        else:
            start = time.process_time()
            found = list(run_pair(data, blocks, one, two, with_zoo))
            print(one, two, f"{time.process_time() - start:.0f} CPU-s", flush=True)
            if path:
                options.cache.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found))
        records += found
    save(options.out, "view_prediction", report(records), records)


if __name__ == "__main__":
    main()
