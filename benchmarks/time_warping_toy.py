"""Canonical time warping on the spiral of Zhou & De la Torre (2009), and on a warped spoken digit.

    python -m benchmarks.time_warping_toy [--out docs/results]

A spiral in two dimensions is warped twice at random, each copy is mapped linearly at random in its
plane, and a third column of noise is put beside it. The paper does not give all numbers; here the
spiral has 300 points and two turns, a warp is the running sum of random positive steps smoothed
over a fifteenth of the length, maps have uniform entries from 0 to 1, and the noise has the
deviation of the spiral. The error is the mean distance, in frames, between the points of the path
that was found and the true one, taken both ways.

In a second table the spiral is warped and mapped three times, and the paths from the first copy to
the two others are found one at a time, or all streams are aligned at once.

The spoken digit: on the one side the cepstra of a test recording, on the other the energies of its
bands (other features of the same sound), or the cepstra of the recording under noise as loud as
itself, slowed down by a fifth and bent by a power of time between a half and two. A recording's
error is the median over the path; of these the median is given. Spaces and models are also found
from as many training recordings, pooled: from streams alone, or from the correspondences of their
frames. Peers that are not installed have a row that says so, or none.
"""

import argparse
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

import mmgraph as mg
from mmgraph.engine.canonical_warping import even_path
from mmgraph.engine.warping import dtw

from ._clock import threads
from ._report import save, table

LENGTH, TURNS = 300, 2
HOP = 10  # ms between cepstra


def random_warp(rng, n, length):
    """Rising positions from 0 to n - 1 at which a stream is read `length` times."""
    steps = rng.random(length - 1) ** 3
    width = max(1, length // 15)
    steps = np.convolve(steps, np.ones(width), mode="same") + 1e-3
    at = np.r_[0, np.cumsum(steps)]
    return at / at[-1] * (n - 1)


def read(stream, at):
    """A stream at positions between its frames."""
    return np.column_stack([np.interp(at, np.arange(len(stream)), c) for c in stream.T])


def toy(seed, n_streams=2):
    """Some streams, and the positions in the spiral of the frames of each."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi * TURNS, LENGTH)
    spiral = turn[:, None] / turn[-1] * np.c_[np.cos(turn), np.sin(turn)]
    streams, positions = [], []
    for length in rng.integers(int(0.8 * LENGTH), int(1.2 * LENGTH), n_streams):
        at = random_warp(rng, LENGTH, length)
        noise = spiral.std() * rng.normal(size=(length, 1))
        streams.append(np.c_[read(spiral, at) @ rng.random((2, 2)), noise])
        positions.append(at)
    return streams, positions


def true_path(one, two):
    """The path that pairs frames at the same position."""
    return dtw(one, two, metric="cityblock").path


def error(found, truth):
    """Mean distance of the points of two paths to the other path, in frames."""
    gaps = [cKDTree(b).query(a)[0] for a, b in ((found, truth), (truth, found))]
    return float(np.concatenate(gaps).mean())


def ours(streams):
    X, modalities = packed(streams)
    model = mg.CanonicalTimeWarping(2, modalities=modalities).fit(X)
    return model.align(X)[0].paths["two"], model.n_iter_


def packed(streams):
    """Streams of different lengths beside each other, the shorter with NaN at its end."""
    filled = [np.full((max(map(len, streams)), s.shape[1]), np.nan) for s in streams]
    for block, stream in zip(filled, streams, strict=True):
        block[: len(stream)] = stream
    return mg.pack(**dict(zip(("one", "two", "three"), filled, strict=False)))


def tslearn(streams):
    from tslearn.metrics import ctw_path

    return np.array(ctw_path(*streams, n_components=2, max_iter=100)[0]), None


METHODS = {
    "even": lambda streams: (even_path(*map(len, streams)), None),
    "DTW": lambda streams: (dtw(*streams).path, None),
    "tslearn CTW": tslearn,
    "CanonicalTimeWarping": ours,
}


def run(n_repeats):
    """One row a method: its error over the repeats."""
    data = [toy(seed) for seed in range(n_repeats)]
    truths = [true_path(*positions) for _, positions in data]
    for name, method in METHODS.items():
        try:
            method(data[0][0])  # what is compiled, is compiled now
        except ImportError:
            yield {"method": name, "mean error": "not installed"}
            continue
        before = time.process_time()
        found = [method(streams) for streams, _ in data]
        seconds = (time.process_time() - before) / n_repeats
        errors = [error(path, truth) for (path, _), truth in zip(found, truths, strict=True)]
        steps = [n for _, n in found if n is not None]
        yield {
            "method": name,
            "mean error": float(np.mean(errors)),
            "standard error": float(np.std(errors) / np.sqrt(n_repeats)),
            "median error": float(np.median(errors)),
            "CPU-ms": 1000 * seconds,
            "repetitions": float(np.mean(steps)) if steps else "",
        }


def bands(waveform):
    """Another description of a sound than its cepstra: the root energy of 15 bands, every 10 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(float), 256)[::80]
    power = np.abs(np.fft.rfft(frames * np.hanning(256), axis=1)) ** 2
    edges = np.unique(np.geomspace(2, 128, 17).astype(int))
    return np.sqrt(np.add.reduceat(power[:, :128], edges[:-1], axis=1)) ** 0.5


def three(n_repeats):
    """Errors of two paths from one stream, found apart and together."""
    errors = {"one pair at a time": [], "three streams at once": []}
    for seed in range(n_repeats):
        streams, positions = toy(seed, 3)
        truths = [true_path(positions[0], other) for other in positions[1:]]
        X, modalities = packed(streams)
        (found,) = mg.CanonicalTimeWarping(2, modalities=modalities).fit(X).align(X)
        apart = [ours([streams[0], other])[0] for other in streams[1:]]
        for name, paths in zip(errors, (apart, found.paths.values()), strict=True):
            errors[name].append(np.mean([error(*p) for p in zip(paths, truths, strict=True)]))
    for name, some in errors.items():
        yield {
            "CanonicalTimeWarping": name,
            "mean error": float(np.mean(some)),
            "standard error": float(np.std(some) / np.sqrt(n_repeats)),
            "median error": float(np.median(some)),
        }


def noisy(waveform, rng):
    """Cepstra under noise as loud as the sound."""
    sound = waveform + waveform.std() * rng.normal(size=len(waveform))
    return mg.datasets.mfcc(sound)


def spoken(digits, rows, other, rng):
    """Two descriptions of recordings, the second warped, and where its frames come from."""
    for row in rows:
        sound = digits.waveforms[row]
        cepstra = mg.datasets.mfcc(sound)
        described = bands(sound) if other == "bands" else noisy(sound, rng)
        n = min(len(cepstra), len(described))
        late = np.linspace(0, 1, round(1.2 * n)) ** np.exp(rng.uniform(-0.7, 0.7))
        yield (cepstra[:n], read(described[:n], (n - 1) * late)), (n - 1) * late


def joined(recordings):
    """Recordings one below the other, with a column that numbers them, and where they begin."""
    parts = [packed(streams) for streams in recordings]
    lengths = [len(rows) for rows, _ in parts]
    rows = np.vstack([rows for rows, _ in parts])
    layout = {name: slice(s.start + 1, s.stop + 1) for name, s in parts[0][1].items()}
    starts = np.cumsum([0, *lengths])
    return np.c_[np.repeat(np.arange(len(parts)), lengths), rows], layout, starts


def speech(n_recordings, other):
    """Errors in ms on two descriptions of test recordings."""
    digits = mg.datasets.fetch_spoken_digits(verbose=False)
    rng = np.random.default_rng(0)
    heard, new = (
        list(spoken(digits, rng.permutation(rows)[:n_recordings], other, rng))
        for rows in (digits.train, digits.test)
    )
    X, layout, starts = joined([streams for streams, _ in heard])
    Y, _, _ = joined([streams for streams, _ in new])
    known = [
        start + np.c_[np.rint(at).astype(int), np.arange(len(at))]
        for start, (_, at) in zip(starts, heard, strict=False)
    ]
    common = {"modalities": layout, "sequence": 0}
    paths = {"even": [even_path(*map(len, streams)) for streams, _ in new]}
    if other == "bands":
        paths["CanonicalTimeWarping, each recording alone"] = [ours(s)[0] for s, _ in new]
        with suppress(ImportError):
            paths["tslearn CTW, each recording alone"] = [tslearn(s)[0] for s, _ in new]
    else:
        paths["DTW, Euclidean"] = [dtw(*streams).path for streams, _ in new]
    models = {
        "CanonicalTimeWarping": mg.CanonicalTimeWarping(12, shrinkage=0.1, **common).fit(X),
        "LatentAligner": mg.LatentAligner(**common).fit(X),
    }
    for method in ("canonical", "relevant") if other != "bands" else ("canonical",):
        model = mg.MetricTimeWarping(method, 12, **common)
        models[f"MetricTimeWarping, {method}"] = model.fit(
            X, correspondences={"two": np.vstack(known)}
        )
    for name, model in models.items():
        paths[f"{name}, training recordings"] = [
            found.paths["two"] - found.rows.start for found in model.align(Y)
        ]
    for name, some in paths.items():
        errors = [
            HOP * float(np.median(abs(path[:, 0] - at[path[:, 1]])))
            for path, (_, at) in zip(some, new, strict=True)
        ]
        yield {
            f"cepstra and {other}": name,
            "median error, ms": float(np.median(errors)),
            "nine in ten below, ms": float(np.quantile(errors, 0.9)),
            "recordings": len(errors),
        }


def report(results):
    """A table a study."""
    return "\n".join(table(rows, number=".3g") for rows in results.values())


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--recordings", type=int, default=60)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    found = {
        "toy": list(run(options.repeats)),
        "three": list(three(options.repeats)),
        "bands": list(speech(options.recordings, "bands")),
        "noise": list(speech(options.recordings, "noisy cepstra")),
    }
    save(options.out, "time_warping_toy", report(found), found)


if __name__ == "__main__":
    main()
