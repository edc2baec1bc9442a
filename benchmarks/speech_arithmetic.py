"""Vector arithmetic: a picture of a 2, less the word "two", plus the word "seven".

    python -m benchmarks.speech_arithmetic [--speakers ...] [--rounds 6] [--out docs/results]

Pictures and spoken digits share a space that was learnt from pairs of the same digit. The query
image(a) - speech(a) + speech(b) is answered with a picture that was held out; it is right if it
shows b. The words are said by a speaker who was never heard, each speaker in turn. The embedding is
chosen by the speaker before (in the same way, without either), then fitted to the five others.

Sounds are standardised speaker by speaker, over all that he says, without a look at what it is.
Speakers to learn from are also heard a tenth faster and slower, and so higher and lower [1]_.

In the first column the speaker is heard for the first time. In the second the embedding has
adapted to his recordings, whose words nobody told: they are divided into ten equal parts by their
likeness to pictures of each digit, paired with such pictures, and the embedding is fitted again,
some rounds over. That he says every digit equally often is known there.

.. [1] Ko, Peddinti, Povey & Khudanpur (2015), Audio augmentation for speech recognition.
   Interspeech, 3586-3589.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.signal import resample_poly
from sklearn.frozen import FrozenEstimator

import mmgraph as mg
from benchmarks._report import list_table, save, spread
from benchmarks.speech import SPEAKERS
from mmgraph.engine.retrieval import unit

PAIRS, HEARD, QUERIES = 200, 30, 20  # a digit; recordings a digit; queries a pair of digits
EXAMPLES = 1, 10, 30  # recordings that say a word
SPEEDS = (10, 10), (10, 9), (10, 11)  # samples, for so many: as it was, faster, slower
ROUNDS = 6


class Data:
    """Sounds, standardised by speaker, and pictures, split alike for every speaker."""

    def __init__(self, seed=0):
        speech = mg.datasets.fetch_spoken_digits(verbose=False)
        digits = mg.datasets.load_digit_captions()
        rng = np.random.default_rng(seed)
        self.said, self.speaker = speech.target, speech.speaker
        waveforms = [wave.astype(float) for wave in speech.waveforms]
        self.sounds = np.array(
            [
                self.standardised(
                    [mg.datasets.mfcc_summary(resample_poly(w, down, up)) for w in waveforms]
                )
                for up, down in SPEEDS
            ]
        )
        self.audio = self.sounds[0]
        self.heard = speech.index < HEARD
        self.image, self.shown = digits.image, digits.target
        train = rng.permutation(digits.train)
        n = len(train) // 5
        self.pictures = {"train": train[n:], "validation": train[:n], "test": digits.test}

    def standardised(self, sounds):
        """Sounds in units of their speaker's."""
        sounds = np.array(sounds, float)
        for speaker in SPEAKERS:
            rows = self.speaker == speaker
            sounds[rows] = (sounds[rows] - sounds[rows].mean(axis=0)) / sounds[rows].std(axis=0)
        return sounds

    def pairs(self, speakers, rng):
        """Rows of sounds and pictures of the same digit, and the digit."""
        able = np.isin(self.speaker, speakers)
        digits = np.repeat(np.arange(10), PAIRS)
        sounds = [rng.choice(np.flatnonzero(able & (self.said == k)), PAIRS) for k in range(10)]
        sounds = np.concatenate(sounds)
        heard = self.sounds[rng.integers(len(SPEEDS), size=len(sounds)), sounds]
        return self.with_pictures(heard, digits, rng)

    def with_pictures(self, sounds, digits, rng):
        """Rows of sounds with pictures of these digits, and the digits."""
        pictures = self.pictures["train"]
        shown = [rng.choice(pictures[self.shown[pictures] == k]) for k in digits]
        return *mg.pack(audio=sounds, image=self.image[shown]), digits


def candidates(modalities):
    """Embeddings to choose from."""
    yield "CCA", mg.CCA(9, shrinkage=0.3, modalities=modalities)
    for shrinkage in (0.03, 0.3):
        kernel = mg.KernelCCA(
            9, shrinkage=shrinkage, approximation="cholesky", rank=300, modalities=modalities
        )
        yield f"KernelCCA, shrinkage {shrinkage}", kernel
        yield f"KernelCCA, shrinkage {shrinkage}, posteriors", mg.SemanticMatcher(kernel)


def adapt(embedding, data, speaker, known, rounds):
    """The embedding, fitted to the known pairs and to what a speaker seems to say."""
    rng = np.random.default_rng(2)
    X, _, y = known
    own = data.audio[data.speaker == speaker]
    pictures = data.pictures["train"]
    for _ in range(rounds):
        shown = mg.pack(embedding.layout_.columns, image=data.image[pictures])[0]
        heard = mg.pack(embedding.layout_.columns, audio=own)[0]
        image = unit(embedding.embed(shown, "image"))
        of_digits = np.array([image[data.shown[pictures] == k].mean(axis=0) for k in range(10)])
        likeness = unit(embedding.embed(heard, "audio")) @ unit(of_digits).T
        seems = linear_sum_assignment(np.repeat(-likeness, len(own) // 10, axis=1))[1]
        pseudo, _, digits = data.with_pictures(own, seems // (len(own) // 10), rng)
        embedding.fit(np.vstack([X, pseudo]), np.concatenate([y, digits]))
    return embedding


def query(start, less=0.0, plus=0.0):
    """What `combine` gives of points: their sum, of length one."""
    return unit(start - less + plus)


def measure(embedding, data, speaker, role, seed=0):
    """R@1 by what is asked, over all pairs of different digits."""
    rng = np.random.default_rng(seed)
    pictures = data.pictures[role]
    words = np.flatnonzero((data.speaker == speaker) & data.heard)
    layout = embedding.layout_.columns
    shown, _ = mg.pack(layout, image=data.image[pictures])
    heard, _ = mg.pack(layout, audio=data.audio[words])
    retriever = mg.Retriever(FrozenEstimator(embedding)).fit(np.vstack([shown, heard]))
    image, audio = retriever.embed(shown, "image"), retriever.embed(heard, "audio")
    truth, said = data.shown[pictures], data.said[words]

    def right(points, wanted):
        found = retriever.nearest(points, "image", 1).indices[:, 0]
        return float(np.mean(truth[found] == wanted))

    first, then = (np.repeat(d, QUERIES) for d in np.nonzero(~np.eye(10, dtype=bool)))
    x = image[[rng.choice(np.flatnonzero(truth == a)) for a in first]]
    scores = {}
    for n in EXAMPLES:
        spoken = [
            unit(
                np.array(
                    [
                        audio[rng.choice(np.flatnonzero(said == k), n, replace=False)].mean(axis=0)
                        for k in digits
                    ]
                )
            )
            for digits in (first, then)
        ]
        a, b = spoken
        word = "one recording" if n == 1 else f"{n} recordings"
        scores[f"image(a) - speech(a) + speech(b), {word}"] = right(query(x, a, b), then)
        scores[f"image(a) + speech(b), {word}"] = right(query(x, plus=b), then)
        scores[f"speech(b), {word}"] = right(b, then)
    noise = unit(rng.normal(size=b.shape)) * np.linalg.norm(b - a, axis=1, keepdims=True)
    scores["image(a) + a random vector as long"] = right(query(x, plus=noise), then)
    return scores


def run(speaker, data, rounds):
    """The chosen embedding, and its scores on the held-out speaker, before and after adapting."""
    before = SPEAKERS[SPEAKERS.index(speaker) - 1]
    main = f"image(a) - speech(a) + speech(b), {EXAMPLES[-1]} recordings"
    rest = [s for s in SPEAKERS if s not in (speaker, before)]
    X, modalities, y = data.pairs(rest, np.random.default_rng(0))
    validated = {
        name: measure(embedding.fit(X, y), data, before, "validation")[main]
        for name, embedding in candidates(modalities)
    }
    best = max(validated, key=validated.get)
    known = X, modalities, y = data.pairs([*rest, before], np.random.default_rng(1))
    embedding = dict(candidates(modalities))[best].fit(X, y)
    scores = measure(embedding, data, speaker, "test")
    adapted = measure(adapt(embedding, data, speaker, known, rounds), data, speaker, "test")
    return {
        "speaker": speaker,
        "embedding": best,
        "validation": validated,
        "R@1": scores,
        "adapted R@1": adapted,
    }


def report(results):
    """Mean and standard deviation over the speakers, before and after adapting, and each."""
    names = [r["speaker"] for r in results]
    rows = [["query", "first heard", "adapted", *(f"{name}, adapted" for name in names)]]
    for query in results[0]["R@1"]:
        found = [[r[when][query] for r in results] for when in ("R@1", "adapted R@1")]
        rows.append([query, *map(spread, found), *(f"{f:.3f}" for f in found[1])])
    return list_table(rows)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS, choices=SPEAKERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of adapting to the speaker")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    data, results = Data(), []
    for speaker in options.speakers:
        results.append(run(speaker, data, options.rounds))
        print(results[-1], flush=True)
    save(options.out, "speech_arithmetic", report(results), results)


if __name__ == "__main__":
    main()
