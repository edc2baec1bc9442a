"""Search of a minute of spoken digits by a picture of a digit, or by its name.

    python -m benchmarks.stream_search [--speakers ...] [--out docs/results]

Recordings of a speaker who was never heard, without their quiet edges (30 dB below the loudest
8 ms) and in random order, make a stream of a minute. It is searched for each of the ten digits, by
name and by pictures that were held out (scikit-learn's, 8 x 8, in 20 principal components). A hit
is right if the digit was said there: if it covers the middle of the recording and shares half of
their union with it; a second hit of the same recording is wrong. Average precision counts the
recordings that are not found too; it is averaged over digits, and for pictures over five of each.

All is learnt from half of the other speakers' recordings, each also played slower and faster by an
eighth, as if there were more speakers, with a picture of the digit drawn at random beside every
recording. Settings are chosen by the mean average precision of pictures and names on the speaker
before in the list, with the other four training; then all five train. The test speaker's stream is
searched once.

Baselines: windows of several lengths, and their distance by dynamic time warping to the nearest of
some training recordings of the digit (a name is their label, a picture goes by the label that a
support vector machine gives it).
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import SVC

import mmgraph as mg
from benchmarks._digit_streams import SPEAKERS, examples, resampled, sounds, stream, streams
from benchmarks._report import save, table
from mmgraph.engine.passages import stand_apart, windows
from mmgraph.engine.warping import dtw_distances

PICTURES = 5  # of each digit that are asked with
FRAMES = 6000  # a minute
TEMPLATES = 5  # recordings of a digit, for the baseline
K = 100  # hits a query
WEIGHTS = 0.3, 0.2, 0.1  # exponents of the sound
VOICES = 1.0, 0.88, 1.13  # how much faster recordings are played


class Pictures:
    """Pictures of digits, split in three."""

    def __init__(self):
        digits = mg.datasets.load_digit_captions()
        x = PCA(20, random_state=0).fit(digits.image[digits.train]).transform(digits.image)
        train = np.random.default_rng(0).permutation(digits.train)
        n = len(train) // 5
        rows = {"train": train[n:], "validation": train[:n], "test": digits.test}
        self.x = {role: x[r] for role, r in rows.items()}
        self.digit = {role: digits.target[r] for role, r in rows.items()}

    def draw(self, role, wanted, rng):
        """A picture of each wanted digit."""
        by_digit = [np.flatnonzero(self.digit[role] == k) for k in range(10)]
        return self.x[role][[rng.choice(by_digit[k]) for k in wanted]]


def minute(waves, data, speaker, seed):
    """A stream of a minute."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(data.speaker == speaker))
    lengths = np.cumsum([len(waves[i]) for i in rows])
    return stream(waves, data.target, rows[: np.searchsorted(lengths, 80 * FRAMES)])


def searches():
    """Searches to choose from, by name; those of units still want the weight of the sound."""
    for n_states in (8, 12):
        hmm = mg.MultiStreamHMM(
            n_states,
            topology="left-right",
            covariance_type={"image": "full"},
            max_iter=10,
            tol=0.0,
        )
        yield f"units of {n_states} states", mg.StreamSearch(mg.ForcedAligner(hmm))
    kernel = mg.KernelCCA(9, shrinkage=0.001, approximation="cholesky", rank=600)
    yield "windows, KernelCCA", mg.StreamSearch(kernel)
    matcher = mg.SemanticMatcher(kernel)
    yield "windows, posteriors", mg.StreamSearch(matcher, similarity="cosine")


def weighted(search):
    """A fitted search with each weight of the sound; nothing is learnt with it."""
    if not isinstance(search.model_, mg.ForcedAligner):
        yield "", search
        return
    units = search.model_.units_
    for weight in WEIGHTS:
        search.model_.units_ = [unit.reweighted([weight, 1.0]) for unit in units]
        yield f", weight {weight}", search


def fitted(search, some, pictures, seed=0):
    """A search that has learnt from streams and pictures."""
    frames, digits = examples(some)
    lengths = [len(x) for x in frames]
    shown = pictures.draw("train", digits, np.random.default_rng(seed))
    X, modalities = mg.pack(
        audio=np.concatenate(frames),
        image=np.repeat(shown, lengths, axis=0),
        sequence=np.repeat(np.arange(len(frames)), lengths),
    )
    search.set_params(sequence=0, modalities=modalities)
    return search.fit(X, np.repeat(digits, lengths))


def average_precision(spans, one, digit):
    """Of ranked passages, as those of a digit."""
    mine = one.digits == digit
    begin, end = one.borders[:-1][mine], one.borders[1:][mine]
    free, right = np.ones(len(begin), bool), np.zeros(len(spans), bool)
    for i, (a, b) in enumerate(spans):
        shared = np.minimum(b, end) - np.maximum(a, begin)
        whole = np.maximum(b, end) - np.minimum(a, begin)
        middle = (begin + end) / 2
        found = np.flatnonzero((a <= middle) & (middle <= b) & (shared >= whole / 2) & free)
        if len(found):
            right[i], free[found[0]] = True, False
    precision = np.cumsum(right) / (1 + np.arange(len(spans)))
    return float(precision[right].sum() / len(begin))


def measure(search, one, pictures, role):
    """Mean average precision by name, where names can be asked for, and by picture."""
    X, _ = mg.pack(search.modalities, audio=one.frames, sequence=np.zeros(len(one.frames)))
    wanted = np.repeat(np.arange(10), PICTURES)
    drawn = pictures.draw(role, wanted, np.random.default_rng(1))
    query, _ = mg.pack(search.modalities, image=drawn, sequence=np.zeros(len(drawn)))
    found = {"picture": (search.search(X, query, k=K), wanted)}
    if isinstance(search.model_, mg.ForcedAligner):
        found["name"] = search.search(X, units=range(10), k=K), range(10)
    return {
        name: float(
            np.mean([average_precision(h.spans, one, d) for h, d in zip(*some, strict=True)])
        )
        for name, some in found.items()
    }


def nearest_template(some, one, pictures, role, seed=0):
    """The baseline: windows by their warped distance to recordings of the digit."""
    rng = np.random.default_rng(seed)
    frames, digits = examples(some)
    lengths = np.quantile([len(x) for x in frames], [0.1, 0.3, 0.5, 0.7, 0.9]).round()
    spans = windows(len(one.frames), lengths, 8)
    passages = [one.frames[a:b] for a, b in spans]
    reader = SVC(C=10).fit(pictures.x["train"], pictures.digit["train"])
    found = []
    for k in range(10):
        chosen = rng.choice(np.flatnonzero(digits == k), TEMPLATES, replace=False)
        scores = np.full(len(spans), -np.inf)
        for i in chosen:
            pairs = [(frames[i], passage) for passage in passages]
            steps = len(frames[i]) + np.diff(spans)[:, 0]
            scores = np.maximum(scores, -dtw_distances(pairs, step_pattern="symmetric2") / steps)
        best = stand_apart(spans, scores, K)
        found.append(spans[best])
    wanted = np.repeat(np.arange(10), PICTURES)
    read = reader.predict(pictures.draw(role, wanted, np.random.default_rng(1)))
    return {
        "name": float(np.mean([average_precision(found[k], one, k) for k in range(10)])),
        "picture": float(
            np.mean(
                [average_precision(found[r], one, k) for r, k in zip(read, wanted, strict=True)]
            )
        ),
    }


def heard(data, waves, most):
    """Streams of each speaker to learn from, in several voices."""
    voices = [waves if f == 1 else [resampled(w, f) for w in waves] for f in VOICES]
    return {
        speaker: [
            one
            for some in voices
            for one in streams(some, data, speaker, 50, np.random.default_rng(i), most)
        ]
        for i, speaker in enumerate(SPEAKERS)
    }


def run(speaker, data, waves, train, pictures):
    """Mean average precision of the chosen models and of the baseline, and what was chosen."""
    before = SPEAKERS[SPEAKERS.index(speaker) - 1]
    four = [one for s in SPEAKERS if s not in (speaker, before) for one in train[s]]
    five = [*four, *train[before]]
    known, new = (minute(waves, data, s, seed=7) for s in (before, speaker))
    validated = {
        name + weight: measure(search, known, pictures, "validation")
        for name, untrained in searches()
        for weight, search in weighted(fitted(untrained, four, pictures))
    }
    found, chosen = {"nearest template": nearest_template(five, new, pictures, "test")}, {}
    for kind in ("units", "windows"):
        own = {name: v for name, v in validated.items() if name.startswith(kind)}
        best = max(own, key=lambda name: np.mean(list(own[name].values())))
        name = best.partition(", weight")[0]
        search = fitted(dict(searches())[name], five, pictures)
        search = next(s for w, s in weighted(search) if name + w == best)
        found[kind], chosen[kind] = measure(search, new, pictures, "test"), best
    return {
        "speaker": speaker,
        "digits": len(new.digits),
        "chosen": chosen,
        "validation": validated,
        "average precision": found,
    }


METHODS = {
    "nearest template": "nearest template, warped",
    "windows": "StreamSearch, windows of an embedding",
    "units": "StreamSearch, units of a ForcedAligner",
}


def rows(results):
    """One row a method and kind of query."""
    for kind, method in METHODS.items():
        for query in ("name", "picture"):
            if query in results[0]["average precision"][kind]:
                found = {r["speaker"]: r["average precision"][kind][query] for r in results}
                values = list(found.values())
                yield {
                    "method": method,
                    "asked by": query,
                    **found,
                    "mean": float(np.mean(values)),
                    "deviation": float(np.std(values)),
                }


def report(results):
    """One row a method and kind of query."""
    return table(list(rows(results)), number=".3g")


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS, choices=SPEAKERS)
    parser.add_argument("--train", type=int, default=250, help="recordings of each speaker")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    data, pictures, results = mg.datasets.fetch_spoken_digits(verbose=False), Pictures(), []
    waves = sounds(data, trim=True)
    train = heard(data, waves, options.train)
    for speaker in options.speakers:
        results.append(run(speaker, data, waves, train, pictures))
        print(results[-1], flush=True)
    save(options.out, "stream_search", report(results), results)


if __name__ == "__main__":
    main()
