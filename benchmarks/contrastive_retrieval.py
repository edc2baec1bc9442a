"""Finding the partner: emoji by their keywords and halves of digits by each other.

    python -m benchmarks.contrastive_retrieval [--seeds 3] [--out docs/results]

Each test row of one modality ranks all test rows of the other by the cosine of their embeddings,
in both directions. Compared are canonical variates (regularised, weighted with their correlations:
the start of the heads, which learn nothing) and :class:`ContrastiveEmbedding` by loss, with linear
heads and with a hidden layer. The dropout is chosen on a fifth of the training rows by the mean
reciprocal rank, with one seed; test rows are looked at once, with the mean and the standard
deviation over the seeds. Emoji without keywords are left out, and so are all emoji where the file
is not there.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import mmgraph as mg
from mmgraph.engine.contrast import reciprocal_ranks

from ._report import save, table

DROPOUTS = [(0.0, 0.0), (0.5, 0.2), (0.5, 0.5)]  # of hidden units, of columns
METHODS = {
    "canonical variates": {"max_iter": 1, "learning_rate": 1e-12},
    **{
        f"{loss}, {'linear' if not hidden else 'hidden'}": {"loss": loss, "hidden": hidden}
        for hidden in ((), (256,))
        for loss in ("clip", "sigmoid", "ranking")
    },
}
BASE = {"n_components": 64, "max_iter": 30}


def emoji():
    """Pictures and keywords: X, modalities, training and test rows."""
    data = mg.datasets.load_emoji()
    X, modalities = mg.pack(image=data.image, text=data.text)
    tagged = data.text.any(axis=1)
    return X, modalities, data.train[tagged[data.train]], data.test[tagged[data.test]]


def halves():
    """Left and right halves of digits."""
    data = mg.datasets.load_digit_captions()
    X, modalities = mg.pack(left=data.images[:, :, :4], right=data.images[:, :, 4:])
    return X, modalities, data.train, data.test


DATA = {"emoji": emoji, "digit halves": halves}


def fitted(X, modalities, rows, seed, **params):
    """A fitted embedding."""
    params = {**BASE, "modalities": modalities, "random_state": seed, **params}
    return mg.ContrastiveEmbedding(**params).fit(X[rows])


def measure(model, X):
    """R@1 and R@10 in per cent, and the median and mean reciprocal rank, over both directions."""
    Z, W = (model.embed(X, name) for name in model.modalities)
    ranks = np.array([1 / reciprocal_ranks(*pair) for pair in ((Z, W), (W, Z))])
    return {
        "R@1 %": 100 * (ranks <= 1).mean(),
        "R@10 %": 100 * (ranks <= 10).mean(),
        "median rank": np.median(ranks, axis=1).mean(),
        "MRR": (1 / ranks).mean(),
    }


def run(name, seeds):
    """One row a method."""
    X, modalities, train, test = DATA[name]()
    learnt, held_out = train[np.arange(len(train)) % 5 != 0], train[::5]
    for method, params in METHODS.items():
        scores = {}
        for dropout, input_dropout in DROPOUTS if "loss" in params else DROPOUTS[:1]:
            options = {**params, "dropout": dropout, "input_dropout": input_dropout}
            model = fitted(X, modalities, learnt, 0, **options)
            scores[dropout, input_dropout] = model.score(X[held_out])
        dropout, input_dropout = max(scores, key=scores.get)
        options = {**params, "dropout": dropout, "input_dropout": input_dropout}
        start, found = time.process_time(), []
        for seed in range(seeds):
            found.append(measure(fitted(X, modalities, train, seed, **options), X[test]))
        seconds = (time.process_time() - start) / seeds
        each = {key: np.array([one[key] for one in found]) for key in found[0]}
        yield {
            "data": f"{name}, {len(test)} test rows",
            "method": method,
            "dropout": f"{dropout:g}, {input_dropout:g}" if "loss" in params else "",
            "validation MRR": f"{scores[dropout, input_dropout]:.3f}",
            **{
                key: f"{v.mean():.{3 if key == 'MRR' else 1}f} ± "
                f"{v.std():.{3 if key == 'MRR' else 1}f}"
                for key, v in each.items()
            },
            "CPU-s": seconds,
        }


def report(results):
    """One row a data set and method."""
    return table(results)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = []
    for name in options.data:
        try:
            for row in run(name, options.seeds):
                print(*row.values(), sep="  ", flush=True)
                results.append(row)
        except OSError as error:
            print(f"{name} is left out: {error}")
    save(options.out, "contrastive_retrieval", report(results), results)


if __name__ == "__main__":
    main()
