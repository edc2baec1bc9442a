"""Forced alignment of spoken digits: borders in the stream of a speaker who was never heard.

    python -m benchmarks.forced_alignment [--speakers ...] [--out docs/results]

All 500 recordings of a speaker, in random order, make ten streams of 50 digits. The digits and
their order are known, the borders are looked for; the truth is where one recording ends and the
next one begins. Models learn from such streams of the other speakers. A border between two frames
lies half between their middles.

Some speakers' recordings begin and end with silence (80 ms at either end for lucas), and a border
within silence could be anywhere: the first table has recordings without the edges that are 30 dB
below the loudest 8 ms, the second one recordings as they are.

The number of states is chosen, by the median error, on the speaker before in the list, with the
other four training; then all five train. There too the exponent of the sound is chosen with which
the middle 90 % of the posterior of a border have the truth nine times in ten; the borders
themselves are found with exponent 1.

Baselines: the digits' mean durations, drawn out to the length of the stream; and dynamic time
warping to the same digits said by each training speaker, of whose borders the median is taken.
"""

import argparse
from pathlib import Path

import numpy as np

import mmgraph as mg
from benchmarks._digit_streams import SPEAKERS, examples, packed, sounds, streams
from benchmarks._report import save, table
from mmgraph.engine.warping import dtw

STATES = 5, 8, 12
WEIGHTS = 1.0, 0.5, 0.3, 0.2, 0.1, 0.05
LENGTH = 50  # digits a stream
MS = 10


def fitted(some, n_states):
    """An aligner that has learnt from streams."""
    X, modalities, y = packed(*examples(some))
    hmm = mg.MultiStreamHMM(n_states, topology="left-right", max_iter=10, tol=0.0)
    return mg.ForcedAligner(hmm, sequence=0, modalities=modalities).fit(X, y)


def align(aligner, one):
    """What an aligner finds in a stream."""
    X, _, _ = packed([one.frames], [0])
    (found,) = aligner.align(X, [one.digits.tolist()])
    return found


def even(some, one):
    """Borders at the digits' mean durations, drawn out to the length of the stream."""
    lengths, digits = np.concatenate([np.diff(s.borders) for s in some]), [s.digits for s in some]
    mean = np.bincount(np.concatenate(digits), lengths) / np.bincount(np.concatenate(digits))
    at = np.cumsum(mean[one.digits])
    return at[:-1] / at[-1] * len(one.frames)


def warped(some, one, rng):
    """Borders by dynamic time warping to examples of the same digits."""
    frames, digits = examples(some)
    chosen = [frames[rng.choice(np.flatnonzero(digits == k))] for k in one.digits]
    path = dtw(np.concatenate(chosen), one.frames).path
    at = np.cumsum([len(x) for x in chosen])[:-1]
    return path[np.searchsorted(path[:, 0], at), 1]


def covered(found, truth, share=0.9):
    """Whether the middle `share` of the posterior of each border has the truth, to half a frame."""
    reached = np.cumsum(found.begin[1:], axis=1)
    low = (reached < (1 - share) / 2).sum(axis=1)
    high = (reached < (1 + share) / 2).sum(axis=1)
    return (low - 0.5 <= truth) & (truth <= high + 0.5)


def coverage(aligner, some, weights=WEIGHTS):
    """Share of the borders of streams that lie in their interval, by exponent of the sound."""
    units, found = aligner.units_, {}
    for weight in weights:
        aligner.units_ = [unit.reweighted([weight]) for unit in units]  # nothing is learnt with it
        inside = [covered(align(aligner, one), one.borders[1:-1]) for one in some]
        found[weight] = float(np.concatenate(inside).mean())
    aligner.units_ = units
    return found


def run(speaker, data, trim, n_recordings=500):
    """Errors in ms by method, and what was chosen."""
    waves = sounds(data, trim=trim)
    made = {
        s: streams(waves, data, s, LENGTH, np.random.default_rng(i), n_recordings)
        for i, s in enumerate(SPEAKERS)
    }
    before = SPEAKERS[SPEAKERS.index(speaker) - 1]
    rest = [s for s in SPEAKERS if s not in (speaker, before)]
    four = [one for s in rest for one in made[s]]
    validated = {}
    for n_states in STATES:
        aligner = fitted(four, n_states)
        gaps = [align(aligner, s).spans[1:, 0] - s.borders[1:-1] for s in made[before]]
        validated[n_states] = MS * float(np.median(abs(np.concatenate(gaps))))
    best = min(validated, key=validated.get)
    sure = coverage(fitted(four, best), made[before])
    weight = min(sure, key=lambda w: abs(sure[w] - 0.9))
    aligner, rng = fitted([*four, *made[before]], best), np.random.default_rng(0)
    errors = {"forced alignment": [], "time warping": [], "mean durations": []}
    for one in made[speaker]:
        truth = one.borders[1:-1]
        found = align(aligner, one)
        borders = {
            "forced alignment": found.spans[1:, 0],
            "time warping": np.median([warped(made[s], one, rng) for s in [*rest, before]], axis=0),
            "mean durations": even([*four, *made[before]], one),
        }
        for name, at in borders.items():
            errors[name].append(MS * abs(at - truth))
    return {
        "speaker": speaker,
        "states": best,
        "validation": validated,
        "exponent": weight,
        "covered": list(coverage(aligner, made[speaker], [1.0, weight]).values()),
        "errors": {name: np.concatenate(e).round(2).tolist() for name, e in errors.items()},
    }


def rows(results):
    """One row a method: the median of each speaker, and what all borders come to."""
    for name in results[0]["errors"]:
        by_speaker = {r["speaker"]: np.array(r["errors"][name]) for r in results}
        every = np.concatenate(list(by_speaker.values()))
        yield {
            "median error, ms": name,
            **{speaker: float(np.median(e)) for speaker, e in by_speaker.items()},
            "all": float(np.median(every)),
            "mean": float(every.mean()),
            "within 50 ms, %": 100 * float((every <= 50).mean()),
        }


def report(results):
    """A table with and without edges, and how often intervals hold."""
    parts = []
    for kind, found in results.items():
        covered = [list(dict(r["covered"]).values()) for r in found]
        one, own = 100 * np.mean(covered, axis=0)
        parts.append(
            f"{kind.capitalize()}. Borders in their 90 % intervals: {one:.0f} % with exponent 1,"
            f" {own:.0f} % with the chosen one.\n\n{table(list(rows(found)), number='.3g')}"
        )
    return "\n".join(parts)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS, choices=SPEAKERS)
    parser.add_argument("--recordings", type=int, default=500, help="of each speaker")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    data, results = mg.datasets.fetch_spoken_digits(verbose=False), {}
    for kind, trim in (("edges trimmed", True), ("recordings as they are", False)):
        results[kind] = []
        for speaker in options.speakers:
            found = run(speaker, data, trim, options.recordings)
            print(kind, *(v for k, v in found.items() if k != "errors"), flush=True)
            results[kind].append(found)
    save(options.out, "forced_alignment", report(results), results)


if __name__ == "__main__":
    main()
