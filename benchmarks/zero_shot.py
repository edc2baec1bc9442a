"""Classes never seen, by their attributes: animals and digits.

    python -m benchmarks.zero_shot [--parts animals digits] [--out docs/results]

Animals with Attributes (36 pictures an animal): 40 animals to learn from, 10 to recognise; settings
are chosen on the training animals, a quarter of which is held out in turn. Digits: every pair of
the ten is held out once, named by attributes that were written down without a look at the data, or
by pictures of them in print; settings are chosen by holding out pairs of the other eight digits.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from sklearn.model_selection import ParameterGrid
from sklearn.svm import SVC

import mmgraph as mg
from mmgraph.engine.kernels import distances

from ._report import list_table, load, save, spread

FEATURES = ("surf", "phog", "lss", "sift", "rgsift")

# The lit segments of a seven-segment display: top, upper left and right, middle, lower left and
# right, bottom.
SEGMENTS = ("1110111", "0010010", "1011101", "1011011", "0111010") + (
    "1101011",
    "1101111",
    "1010010",
    "1111111",
    "1111011",
)
# How the digits are written by hand: a loop above, a loop below, one loop in all; a straight bar
# above, in the middle, below; a straight upright, a straight slant; an arc open to the left above,
# below; an arc open to the right above, below.
STROKES = ("001000000000", "000000100000", "000001011001", "000000001100", "000010110000") + (
    "000100000110",
    "010000000010",
    "000100011000",
    "110000000000",
    "100000000100",
)


def table_of(words):
    """Attributes of the digits, 0 or 1."""
    return np.array([[int(c) for c in word] for word in words], float)


# Typefaces that come with matplotlib.
TYPEFACES = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral") + (
    "STIXGeneralItalic",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)


def in_print(digit, typeface, size=32, cell=4):
    """A printed digit, as the pictures by hand were prepared: the ink in cells of a bitmap."""
    font = ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf", f"{typeface}.ttf")), 96)
    picture = Image.new("L", (200, 200))
    ImageDraw.Draw(picture).text((40, 40), str(digit), fill=255, font=font)
    picture = picture.crop(picture.getbbox())
    width = min(size, round(picture.width * size / picture.height))
    bitmap = np.zeros((size, size))
    left = (size - width) // 2
    bitmap[:, left : left + width] = picture.resize((width, size), Image.Resampling.BOX)
    n = size // cell
    return bitmap.reshape(n, cell, n, cell).mean(axis=(1, 3)).ravel() / 255


PRINTS = np.array([[in_print(k, typeface) for typeface in TYPEFACES] for k in range(10)])
DESCRIPTIONS = {
    "segments": table_of(SEGMENTS),
    "strokes": table_of(STROKES),
    "print": PRINTS.mean(axis=1),
}
# Ways to recognise a digit that was never seen, and their settings to choose from.
ATTRIBUTES = {"alpha": [1.0], "attribute_alpha": [1.0, 10.0]}
WAYS = {
    "segments or strokes": [{"described": ["segments", "strokes"], **ATTRIBUTES}],
    "grey values in print": [{"described": ["print"], **ATTRIBUTES}],
    "pictures in print": [{"described": ["pictures"], "shrinkage": [0.1, 0.3, 1.0]}],
}


def centred(attributes, known):
    """Attributes by class, less the mean of the known classes, of length one."""
    mean = np.mean([attributes[k] for k in known], axis=0)
    found = {k: a - mean for k, a in attributes.items()}
    return {k: a / (np.linalg.norm(a) or 1.0) for k, a in found.items()}


def only(attributes, classes):
    """Attributes of some classes."""
    return {k: attributes[k] for k in classes}


def accuracy(model, X, y, classes):
    """Share of rows whose class is right, among some classes."""
    scores = model.decision_function(X)
    places = np.flatnonzero(np.isin(model.classes_, classes))
    return float(np.mean(model.classes_[places[scores[:, places].argmax(axis=1)]] == y))


def share_right(model, X, y, classes):
    """Accuracy among two classes, of a classifier of these or of all digits."""
    if len(model.classes_) == 2:
        return float(model.score(X, y))
    return accuracy(model, X, y, classes)


def chosen(fit, folds, grid):
    """The settings that are best on average over folds of unseen classes, and their score."""
    settings = list(ParameterGrid(grid))
    scores = [float(np.mean([fit(fold, **s) for fold in folds])) for s in settings]
    best = int(np.argmax(scores))
    return settings[best], scores[best]


# Animals


def points(blocks, train):
    """Rows whose inner products are a mean of kernels, exactly: then it is computed only once.

    The kernels are radial, of the square roots of the shares of visual words, and as wide as the
    median distance between training rows.
    """
    total = 0.0
    for histograms in blocks:
        shares = np.sqrt(histograms / histograms.sum(axis=1, keepdims=True), dtype=float)
        squared = distances("rbf", shares)
        width = np.median(squared[np.ix_(train, train)][np.triu_indices(len(train), 1)])
        total = total + np.exp(-squared / width) / len(blocks)
    return np.linalg.cholesky(total + 1e-8 * np.eye(len(total)))


def animals(n_folds=4, seed=0):
    """One row a set of features."""
    data = mg.datasets.load_awa()
    y, train, test = data.target, data.train, data.test
    names = np.random.default_rng(seed).permutation(data.train_classes)
    folds = np.array_split(names, n_folds)
    for features in (FEATURES[:1], FEATURES):
        X = points([data[name] for name in features], train)
        kernel = mg.ESZSLClassifier()

        def fit(unseen, rows=train, X=X, kernel=kernel, **settings):
            seen = rows[~np.isin(y[rows], unseen)]
            new = rows[np.isin(y[rows], unseen)]
            attributes = centred(data.attributes, np.unique(y[seen]))
            model = kernel.set_params(
                attributes=only(attributes, np.unique(y[rows])), **settings
            ).fit(X[seen], y[seen])
            return accuracy(model, X[new], y[new], unseen)

        grid = {"alpha": (0.3, 1.0), "attribute_alpha": (1.0, 10.0, 100.0)}
        settings, validated = chosen(fit, folds, grid)
        found = fit(np.array(data.test_classes), np.concatenate([train, test]), **settings)
        yield {
            "features": ", ".join(features),
            **settings,
            "validation": validated,
            "test": found,
            **generalised(data, X, kernel.set_params(**settings), folds),
        }


def generalised(data, X, model, folds, seed=0):
    """All fifty animals as answers: accuracy on seen and unseen ones, and their harmonic mean.

    A sixth of the pictures of each training animal is for testing. The calibration is the one that
    makes the harmonic mean largest where a fold of the training animals is unseen.
    """
    y, rng = data.target, np.random.default_rng(seed)
    held = np.concatenate(
        [rng.choice(np.flatnonzero(y == k), 6, replace=False) for k in data.train_classes]
    )

    def scores(learnt, unseen):
        classes = np.unique([*learnt, *unseen])
        attributes = centred(data.attributes, learnt)
        rows = np.setdiff1d(np.flatnonzero(np.isin(y, learnt)), held)
        fitted = model.set_params(attributes=only(attributes, classes)).fit(X[rows], y[rows])
        groups = held[np.isin(y[held], learnt)], np.flatnonzero(np.isin(y, unseen))
        return fitted, [(fitted.decision_function(X[g]), y[g]) for g in groups]

    def harmonic(fitted, groups, calibration):
        right = [
            np.mean(fitted.classes_[(s - calibration * fitted.seen_).argmax(axis=1)] == truth)
            for s, truth in groups
        ]
        return [*right, 2 * np.prod(right) / max(sum(right), 1e-12)]

    tried = []
    for fold in folds[:2]:
        fitted, groups = scores(np.setdiff1d(data.train_classes, fold), fold)
        terms = groups[0][0].std() * np.linspace(0, 4, 41)
        tried.append([harmonic(fitted, groups, t)[2] for t in terms])
    best = np.linspace(0, 4, 41)[np.mean(tried, axis=0).argmax()]
    fitted, groups = scores(data.train_classes, data.test_classes)
    spread = groups[0][0].std()
    plain, calibrated = (harmonic(fitted, groups, c * spread) for c in (0.0, best))
    names = "seen", "unseen", "harmonic mean"
    return {
        **{f"{n}, not calibrated": v for n, v in zip(names, plain, strict=True)},
        **{f"{n}, calibrated": v for n, v in zip(names, calibrated, strict=True)},
    }


# Digits


def named(described, known, classes, shrinkage=None, **penalties):
    """A classifier of some digits, not fitted yet."""
    if described == "pictures":
        space = mg.KernelCCA(
            30, kernel="linear", shrinkage=shrinkage, approximation="cholesky", random_state=0
        )
        return mg.ZeroShotClassifier(space, descriptions={k: PRINTS[k] for k in classes})
    table = dict(enumerate(DESCRIPTIONS[described]))
    attributes = only(centred(table, known), range(10))
    return mg.ESZSLClassifier(attributes, kernel="rbf", **penalties)


def nearest(X, y, pair):
    """Share of pictures that are nearest to their digit in print, where nothing was learnt."""
    one, two = (DESCRIPTIONS["print"][k] / np.linalg.norm(DESCRIPTIONS["print"][k]) for k in pair)
    return float(np.mean(np.where(X @ one >= X @ two, *pair) == y))


def digits(few=40, seed=0):
    """One row a pair of digits."""
    data = mg.datasets.load_digit_captions()
    X, y, train, test = data.image, data.target, data.train, data.test
    some = np.concatenate([train[y[train] == k][:few] for k in range(10)])
    supervised = SVC(C=10).fit(X[train], y[train])
    rng = np.random.default_rng(seed)
    for pair in itertools.combinations(range(10), 2):
        known = np.setdiff1d(np.arange(10), pair)
        folds = rng.permutation(known).reshape(4, 2)

        def fit(unseen, known=known, **settings):
            learnt = np.setdiff1d(known, unseen)
            seen, new = (some[np.isin(y[some], c)] for c in (learnt, unseen))
            fitted = named(known=learnt, classes=unseen, **settings).fit(X[seen], y[seen])
            return share_right(fitted, X[new], y[new], unseen)

        seen, new = train[np.isin(y[train], known)], test[np.isin(y[test], pair)]
        row = {"pair": pair, "supervised": accuracy(supervised, X[new], y[new], pair)}
        row["nearest print"] = nearest(X[new], y[new], pair)
        for way, grid in WAYS.items():
            settings, validated = chosen(fit, folds, grid)
            fitted = named(known=known, classes=pair, **settings).fit(X[seen], y[seen])
            found = share_right(fitted, X[new], y[new], pair)
            row[way] = {**settings, "validation": validated, "test": found}
        best = max(WAYS, key=lambda way: row[way]["validation"])
        yield row | {"chosen": {"way": best, **row[best]}}


# Tables

STUDIES = {"animals": animals, "digits": digits}


def report(results):
    """Both tables."""
    kinds = "not calibrated", "calibrated"
    heads = ["features", "validation", "test", *(f"generalised, {k}" for k in kinds)]
    rows = [
        [
            r["features"],
            f"{r['validation']:.3f}",
            f"{r['test']:.3f}",
            *(
                " / ".join(f"{r[f'{n}, {k}']:.3f}" for n in ("seen", "unseen", "harmonic mean"))
                for k in kinds
            ),
        ]
        for r in results["animals"]
    ]
    bars = np.array([r["supervised"] for r in results["digits"]])
    numbers = [["supervised, all ten digits seen", spread(bars), "", ""]]
    for way in (*WAYS, "chosen", "nearest print"):
        found = [r[way] if way == "nearest print" else r[way]["test"] for r in results["digits"]]
        shares = np.array(found) / bars
        label = {"chosen": "chosen among the three", "nearest print": "print, nothing learnt"}
        above = f"{(shares > 0.8).sum()} of {len(shares)}"
        numbers.append([label.get(way, way), spread(found), spread(shares), above])
    digits_heads = ["named by", "accuracy of two", "ratio to supervised", "pairs above .8"]
    text = "**Animals with Attributes**\n\n" + list_table([heads, *rows])
    return text + "\n**Digits, all pairs**\n\n" + list_table([digits_heads, *numbers])


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parts", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = load(options.out, "zero_shot", {})  # of the other part
    for name in options.parts:
        results[name] = []
        for row in STUDIES[name]():
            print(row, flush=True)
            results[name].append(row)
    save(options.out, "zero_shot", report(results), results)


if __name__ == "__main__":
    main()
