"""Spoken digits by hidden Markov models: the official split, and speakers who were never heard.

    python -m benchmarks.spoken_digits_hmm [--out docs/results]

One left-right model a digit learns from mel-frequency cepstra and their first and second
differences, in 10 iterations from parts of equal length. The baseline is a support vector machine
on the average cepstra of eight segments. Settings are chosen with recordings 5 to 9 of the
training rows held out (``--validation``). The test rows were scored three times while this was
written, and once more for the table.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy.fft import dct
from scipy.signal import get_window, savgol_filter
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import mmgraph as mg
from mmgraph.datasets import fetch_spoken_digits

from ._report import save, spread, table

MODELS = {
    "5 states, 1 Gaussian": (5, 1),
    "8 states, 1 Gaussian": (8, 1),
    "5 states, 4 Gaussians": (5, 4),
    "8 states, 4 Gaussians": (8, 4),
}


def mel_bands(n_bands=24, n_fft=256, sample_rate=8000):
    """Triangles of equal area, equally spaced in Slaney's mels: shape (n_bands, n_fft // 2 + 1)."""
    top = 15 + 27 * np.log(sample_rate / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, top, n_bands + 2)
    corners = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    low, middle, high = (corners[i : i + n_bands, None] for i in range(3))
    f = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    rising, falling = (f - low) / (middle - low), (high - f) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def cepstra(waveform, n_bands=24):
    """Cepstra and their first and second differences: shape (n_frames, 39).

    13 cepstra of the lowest of 24 bands (fewer where these are), of Hann windows of 25 ms every 10
    ms, in decibels; differences over 9 frames.
    """
    sound = np.pad(waveform / 32768, (0, max(0, 256 + 8 * 80 - len(waveform))))
    window = np.pad(get_window("hann", 200), 28)
    frames = np.lib.stride_tricks.sliding_window_view(sound, 256)[::80]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    loudness = 10 * np.log10(np.maximum(power @ mel_bands()[:n_bands].T, 1e-10))
    loudness = np.maximum(loudness, loudness.max() - 80)
    c = dct(loudness, type=2, norm="ortho", axis=1)[:, :13]
    slopes = [savgol_filter(c, 9, k, deriv=k, axis=0, mode="interp") for k in (1, 2)]
    return np.hstack([c, *slopes])


def pack(sounds, chosen):
    """Frames of the chosen recordings in one array, the number of the recording first."""
    frames = [sounds[i] for i in chosen]
    lengths = [len(f) for f in frames]
    return mg.pack(audio=np.concatenate(frames), sequence=np.repeat(chosen, lengths)), lengths


def hmm(n_states, n_mix, **changes):
    """A classifier, not fitted."""
    settings = {
        "emissions": "gaussian" if n_mix == 1 else "gmm",
        "n_mix": n_mix,
        "topology": "left-right",
        "max_iter": 10,
        "tol": 0.0,
        "random_state": 0,
        **changes,
    }
    return mg.HMMClassifier(mg.MultiStreamHMM(n_states, **settings), sequence=0)


def accuracy(sounds, target, train, test, n_states, n_mix, **changes):
    """Share of the test recordings that get their digit, and the seconds of fitting."""
    (X, modalities), lengths = pack(sounds, train)
    classifier = hmm(n_states, n_mix, **changes).set_params(modalities=modalities)
    before = time.process_time()
    classifier.fit(X, np.repeat(target[train], lengths))
    seconds = time.process_time() - before
    (X, _), lengths = pack(sounds, test)
    return classifier.score_sequences(X, np.repeat(target[test], lengths)), seconds


def baseline(features, target, train, test):
    """A support vector machine on averages of segments."""
    before = time.process_time()
    model = make_pipeline(StandardScaler(), SVC(C=10)).fit(features[train], target[train])
    return model.score(features[test], target[test]), time.process_time() - before


def measure(fit, digits, train, test, speakers, seeds):
    """Accuracy on the test rows, and on each speaker when the others train; over seeds."""
    official, seconds, means, worst = [], [], [], []
    for seed in seeds:
        score, took = fit(train, test, seed)
        official.append(100 * score)
        seconds.append(took)
        if speakers:
            outs = [digits.speaker == speaker for speaker in np.unique(digits.speaker)]
            found = [fit(np.flatnonzero(~o), np.flatnonzero(o), seed)[0] for o in outs]
            means.append(100 * np.mean(found))
            worst.append(100 * np.min(found))
    row = {"official split, %": official, "fit CPU-s": [min(seconds)]}
    return row | ({"new speaker, %": means, "worst speaker, %": worst} if speakers else {})


def run(digits, *, validation=False, n_seeds=5, **changes):
    """One row a model: lists over the seeds, of which only mixtures have more than one."""
    sounds = [cepstra(w) for w in digits.waveforms]
    train, test = digits.train, digits.test
    if validation:
        held_out = digits.index[train] < 10
        train, test = train[~held_out], train[held_out]

    def machine(train, test, seed):
        return baseline(digits.audio, digits.target, train, test)

    def markov(train, test, seed, size):
        return accuracy(sounds, digits.target, train, test, *size, random_state=seed, **changes)

    fits = {"support vector machine": (machine, 1)}
    for name, size in MODELS.items():
        fits[name] = partial(markov, size=size), n_seeds if size[1] > 1 else 1
    for name, (fit, n) in fits.items():
        yield {"model": name} | measure(fit, digits, train, test, not validation, range(n))


def report(results):
    """One row a model; lists of numbers by their mean and spread."""
    written = [
        {head: v if isinstance(v, str) else spread(v, ".1f") for head, v in row.items()}
        for row in results
    ]
    return table(written)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--validation", action="store_true", help="score on training rows held out")
    parser.add_argument("--floor", type=float, default=1e-3, help="least variance")
    parser.add_argument("--seeds", type=int, default=5, help="of the mixtures' clusters")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    results = []
    settings = {"priors": {"floor": options.floor}}
    digits = fetch_spoken_digits(verbose=False)
    for row in run(digits, validation=options.validation, n_seeds=options.seeds, **settings):
        print(*row.values(), sep="  ", flush=True)
        results.append(row)
    save(options.out, "spoken_digits_hmm", report(results), results)


if __name__ == "__main__":
    main()
