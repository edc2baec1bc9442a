"""Which digit of one speaker is which of another who says the same string: without labels.

    python -m benchmarks.latent_alignment [--out docs/results]

Two speakers say the same string of eight digits, put together from recordings of single digits with
pauses of up to half a second between them. One is described by cepstra; the other by cepstra as
well, or by the energies of bands, which are other features. Aligners see pairs of strings of four
speakers (training recordings) and no labels, and are then asked about strings of the two speakers
that are left (test recordings). A digit of the one counts as found where most of its frames go with
frames of the same digit of the other, by its place in the string. Three splits leave out each
speaker once. The settings are the defaults, and were looked at with two of the four training
speakers left out of the first split (``--validation``).
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.signal import savgol_filter

import mmgraph as mg
from mmgraph.engine.canonical_warping import even_path

from ._report import save, spread, table

LENGTH = 8  # digits a string
PAUSE = 0.5  # seconds, at most
SPLITS = [("george", "jackson"), ("lucas", "nicolas"), ("theo", "yweweler")]
HOP, WINDOW = 80, 256  # samples


def bands(waveform):
    """Log-energies of 15 bands, every 10 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(float), WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2
    edges = np.unique(np.geomspace(2, 128, 17).astype(int))
    energy = np.add.reduceat(power[:, :128], edges[:-1], axis=1)
    return np.log(energy + 1e-6 * energy.mean())


def describe(features):
    """Features and their slopes, each with mean 0 and deviation 1 over the string."""
    both = np.hstack([features, savgol_filter(features, 9, 1, deriv=1, axis=0)])
    return (both - both.mean(axis=0)) / both.std(axis=0)


KINDS = {"cepstra": mg.datasets.mfcc, "bands": bands}


def say(digits, string, rows, rng):
    """Sound of a string from recordings of its digits, and the place in it of each sample."""
    sounds, places = [], []
    for place, digit in enumerate(string):
        one = digits.waveforms[rng.choice(rows[digits.target[rows] == digit])]
        pause = 3 * rng.normal(size=int(rng.uniform(0, PAUSE) * digits.sample_rate))
        sounds += [pause, one]
        places += [np.full(len(pause), -1), np.full(len(one), place)]
    return np.concatenate(sounds), np.concatenate(places)


def strings(digits, speakers, rows, n_strings, rng):
    """Pairs of (sound, places) of the same string by two of some speakers."""
    for _ in range(n_strings):
        string = rng.integers(0, 10, LENGTH)
        pair = rng.permutation(speakers)[:2]
        yield [say(digits, string, rows[digits.speaker[rows] == s], rng) for s in pair]


def packed(pairs, kinds):
    """Streams of all strings in one array, and the places of the frames of each."""
    blocks, places = [], []
    for i, pair in enumerate(pairs):
        streams = [describe(KINDS[k](s)) for k, (s, _) in zip(kinds, pair, strict=True)]
        length = max(map(len, streams))
        filled = [np.pad(s, ((0, length - len(s)), (0, 0)), constant_values=np.nan)
                  for s in streams]  # fmt: skip
        blocks.append(np.hstack([np.full((length, 1), i), *filled]))
        middles = (WINDOW // 2 + HOP * np.arange(len(s)) for s in streams)
        places.append([p[at] for at, (_, p) in zip(middles, pair, strict=True)])
    one, two = streams[0].shape[1], streams[1].shape[1]
    layout = {"one": slice(1, 1 + one), "two": slice(1 + one, 1 + one + two)}
    return np.vstack(blocks), layout, places


def score(path, places):
    """Share of the digits of the first stream that are found, and of their frames."""
    own, other = places[0][path[:, 0]], places[1][path[:, 1]]
    votes = np.array([np.bincount(other[own == d] + 1, minlength=LENGTH + 1)[1:]
                      for d in range(LENGTH)])  # fmt: skip
    right = (votes.argmax(axis=1) == np.arange(LENGTH)) & votes.any(axis=1)
    return right.mean(), (own == other)[own >= 0].mean()


def methods(kinds, layout, **changes):
    """Aligners by name; None draws the streams out evenly."""
    common = {"modalities": layout, "sequence": 0}
    yield "even", None
    if kinds[0] == kinds[1]:
        yield "DynamicTimeWarping", mg.DynamicTimeWarping(**common)
    yield "CanonicalTimeWarping", mg.CanonicalTimeWarping(8, shrinkage=0.1, **common)
    for emission, prior in [
        ("linear", "uniform"),
        ("linear", "positions"),
        ("linear", "jumps"),
        ("codebook", "jumps"),
        ("categorical", "jumps"),
    ]:
        model = mg.LatentAligner(emission, prior, random_state=0, **common, **changes)
        yield f"LatentAligner, {emission}, {prior}", model


def run(digits, splits, n_train, n_test, *, validation=False, seed=0, **changes):
    """One row a pair of descriptions and a method: the shares over the splits."""
    found = {}
    for number, held_out in enumerate(splits):
        rng = np.random.default_rng([seed, number])
        known = [s for s in np.unique(digits.speaker) if s not in held_out]
        train, test = digits.train, digits.test
        if validation:
            train, test = train[digits.index[train] >= 10], train[digits.index[train] < 10]
            known, held_out = known[:2], known[2:]
        heard = list(strings(digits, known, train, n_train, rng))
        new = list(strings(digits, held_out, test, n_test, rng))
        for kinds in (("cepstra", "cepstra"), ("cepstra", "bands")):
            X, layout, _ = packed(heard, kinds)
            Y, _, places = packed(new, kinds)
            for name, model in methods(kinds, layout, **changes):
                before = time.process_time()
                if model is None:
                    paths = [even_path(*map(len, pair)) for pair in places]
                else:
                    aligned = model.fit(X).align(Y)
                    paths = [a.paths["two"] - a.rows.start for a in aligned]
                seconds = time.process_time() - before
                scores = [score(*pair) for pair in zip(paths, places, strict=True)]
                rows = found.setdefault((kinds, name), [])
                rows.append((*np.mean(scores, axis=0), seconds))
                print(number, kinds, name, np.round(rows[-1], 3), flush=True)
    for (kinds, name), rows in found.items():
        shares = np.array(rows)
        yield {
            "streams": " / ".join(kinds),
            "aligner": name,
            "digits found": spread(shares[:, 0]),
            "frames in them": spread(shares[:, 1]),
            "CPU-s": f"{shares[:, 2].mean():.0f}",
        }


def report(results):
    """One row an aligner."""
    return table(results)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--validation", action="store_true", help="leave out training speakers")
    parser.add_argument("--train", type=int, default=60, help="pairs of strings that are learnt")
    parser.add_argument("--test", type=int, default=40, help="pairs that are asked about")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--spread", type=float, default=0.1)
    parser.add_argument("--most", type=int, default=3, help="the greatest jump")
    parser.add_argument("--codes", type=int, default=64)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = list(
        run(
            mg.datasets.fetch_spoken_digits(verbose=False),
            SPLITS[:1] if options.validation else SPLITS,
            options.train,
            options.test,
            validation=options.validation,
            alpha=options.alpha,
            spread=options.spread,
            jumps=(0, options.most),
            n_codes=options.codes,
        )
    )
    save(options.out, "latent_alignment", report(results), results)


if __name__ == "__main__":
    main()
