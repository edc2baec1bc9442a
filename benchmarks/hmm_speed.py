"""Time to learn a hidden Markov model, beside hmmlearn and pomegranate.

    python -m benchmarks.hmm_speed [--out docs/results]

100 sequences of 1,000 frames of 20 columns, 16 states with diagonal Gaussians, 10 iterations of EM
from the same values, on one thread. Then mixtures with as many Gaussians, the same frames in
10,000 sequences of all lengths, two left-right chains of 5 states that are at most one state apart
beside a matrix over all 25 pairs, and the memory that a model of many states needs. All take turns;
each time is the median of ``--repeats``, one of what takes more than five CPU-seconds. The ratio is
to mmgraph on the same job; only ratios within a run count.
"""

import argparse
import subprocess
import sys
import time
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import mmgraph as mg
from mmgraph.engine.emissions import Gaussian, Mixture, Scale
from mmgraph.engine.markov import Data, Model, Priors, Stream, train
from mmgraph.engine.ties import Coupled, joint_states
from mmgraph.engine.transitions import Dense

from ._clock import clock, columns, take_turns, threads
from ._report import save, table

N_STATES, N_COLUMNS, N_SEQUENCES, N_FRAMES, N_ITER = 16, 20, 100, 1000, 10
SLOW = 5  # CPU seconds of a fit that is not repeated


def rows(rng, n_states=N_STATES, n_sequences=N_SEQUENCES, n_frames=N_FRAMES):
    """Frames drawn from a hidden Markov model."""
    means = rng.normal(size=(n_states, N_COLUMNS))
    matrix = rng.dirichlet(np.full(n_states, 0.3), n_states) + 0.01
    cumulative = np.cumsum(matrix / matrix.sum(axis=1, keepdims=True), axis=1)
    states = np.empty((n_sequences, n_frames), int)
    states[:, 0] = rng.integers(n_states, size=n_sequences)
    for t in range(1, n_frames):
        above = rng.random(n_sequences)[:, None] > cumulative[states[:, t - 1], :-1]
        states[:, t] = above.sum(axis=1)
    x = means[states] + rng.normal(size=(n_sequences, n_frames, N_COLUMNS))
    return x.reshape(-1, N_COLUMNS)


def ours(x, lengths, means, variances, *, n_mix=1, dtype="float64"):
    """An estimator that goes on from given values, and X."""
    n_groups = len(means)
    n_states = n_groups // n_mix
    scale = Scale.of(x)
    emission = Gaussian(scale.encode(means), variances / scale.scale**2)
    if n_mix > 1:
        emission = Mixture(np.full((n_states, n_mix), 1 / n_mix), emission)
    X = np.c_[np.repeat(np.arange(len(lengths)), lengths), x]
    model = mg.MultiStreamHMM(
        n_states,
        max_iter=N_ITER,
        tol=0.0,
        priors={"floor": 0.0},
        sequence=0,
        dtype=dtype,
        warm_start=True,
    )
    model.fit(X[: lengths[0]])  # learns the layout; what it learnt is replaced
    even = np.full(n_states, 1 / n_states)
    stream = Stream(emission, scale=scale)
    model.model_ = Model(even, Dense(np.tile(even, (n_states, 1))), (stream,))
    return model, X


def theirs(implementation, lengths, means, variances, *, n_mix=1):
    """The same in hmmlearn."""
    from hmmlearn.hmm import GMMHMM, GaussianHMM

    n_states = len(means) // n_mix
    settings = {
        "covariance_type": "diag",
        "n_iter": N_ITER,
        "tol": -np.inf,
        "implementation": implementation,
        "init_params": "",
        "min_covar": 0.0,
    }
    if n_mix == 1:
        model = GaussianHMM(n_states, covars_prior=0.0, **settings)
        model.means_, model.covars_ = means, variances
    else:
        model = GMMHMM(n_states, n_mix, **settings)
        model.weights_ = np.full((n_states, n_mix), 1 / n_mix)
        model.means_ = means.reshape(n_states, n_mix, -1)
        model.covars_ = variances.reshape(n_states, n_mix, -1)
    model.startprob_ = np.full(n_states, 1 / n_states)
    model.transmat_ = np.full((n_states, n_states), 1 / n_states)
    return model


def pomegranate(x, lengths, means, variances):
    """A fit in pomegranate, in float32, which is its own; it learns how sequences end, too."""
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.hmm import DenseHMM

    def tensor(values):
        return torch.tensor(np.asarray(values), dtype=torch.float32)

    torch.set_num_threads(1)
    X = tensor(x.reshape(len(lengths), -1, x.shape[1]))
    even = np.full(len(means), 1 / len(means))
    edges = np.tile(even, (len(means), 1))

    def call():
        states = [
            Normal(tensor(mean), tensor(variance), covariance_type="diag")
            for mean, variance in zip(means, variances, strict=True)
        ]
        return DenseHMM(states, tensor(edges), tensor(even), max_iter=N_ITER, tol=1e-12).fit(X)

    return call


def chains(x, n_states=5, n_frames=N_FRAMES):
    """Two streams with left-right chains: close to each other, and as a matrix over all pairs."""
    offsets = np.arange(N_SEQUENCES + 1) * n_frames
    halves = np.split(Scale.of(x).encode(x), 2, axis=1)
    own = [Gaussian(half[:n_states], np.ones((n_states, half.shape[1]))) for half in halves]
    shown = np.ones(len(x), bool)
    data = Data(
        tuple(g.features(half, shown) for g, half in zip(own, halves, strict=True)), offsets
    )
    models = {}
    for name, asynchrony in (("mmgraph", 1), ("mmgraph, 25 states, dense", None)):
        parts = joint_states((n_states, n_states), asynchrony)
        steps = parts[None] - parts[:, None]
        arcs = ((steps >= 0) & (steps <= 1)).all(axis=2) if asynchrony else np.ones(steps.shape[:2])
        moves = Coupled.of(arcs / arcs.sum(axis=1, keepdims=True), parts)
        if asynchrony is None:
            moves = Dense(moves.matrix)
        start = np.eye(len(parts))[0] if asynchrony else np.full(len(parts), 1 / len(parts))
        streams = zip(own, parts.T, strict=True)
        streams = tuple(Stream(g, np.ascontiguousarray(part)) for g, part in streams)
        models[name] = Model(start, moves, streams)
    return models, data


def learn(model, data):
    """Iterations of EM, whenever called."""

    def call():
        for _ in train(model, data, Priors(), max_iter=N_ITER, tol=-np.inf):
            pass

    return call


def refit(model, X):
    """Fit from the values that the model has now, whenever called."""
    start = model.model_

    def call():
        model.model_ = start
        return model.fit(X)

    return call


def contenders(n_frames, seed):
    """Calls by job and program, each fitting from the same values."""
    rng = np.random.default_rng(seed)
    x = rows(rng, n_frames=n_frames)
    n = len(x)
    even = np.full(N_SEQUENCES, n_frames)
    means = x[rng.choice(n, N_STATES, replace=False)]
    variances = np.tile(x.var(axis=0), (N_STATES, 1))
    ragged = np.bincount(rng.choice(n // 10, n - n // 10), minlength=n // 10) + 1
    jobs = {
        "Gaussians": (even, {}),
        "Gaussians, float32": (even, {"dtype": "float32"}),
        f"Gaussians, {n // 10:,} ragged sequences": (ragged, {}),
        "4 states of 4 Gaussians": (even, {"n_mix": 4}),
    }
    peers = {"Gaussians": ("scaling", "log"), "4 states of 4 Gaussians": ("log",)}
    calls = {}
    if find_spec("hmmlearn"):
        import_module("hmmlearn.hmm")  # which takes time of its own
    for job, (lengths, options) in jobs.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calls[job, "mmgraph"] = refit(*ours(x, lengths, means, variances, **options))
        for kind in peers.get(job, ()) if find_spec("hmmlearn") else ():
            options = {"n_mix": options.get("n_mix", 1)}
            calls[job, f"hmmlearn, {kind}"] = lambda kind=kind, lengths=lengths, options=options: (
                theirs(kind, lengths, means, variances, **options).fit(x, lengths)
            )
    if find_spec("pomegranate"):
        job = "Gaussians, float32", "pomegranate"
        calls[job] = pomegranate(x, even, means, variances)
    models, data = chains(x, n_frames=n_frames)
    for name, model in models.items():
        calls["Two chains of 5 states, asynchrony 1", name] = learn(model, data)
    return calls, n


def run(n_frames=N_FRAMES, repeats=3, seed=0):
    """One row a job and program."""
    calls, n = contenders(n_frames, seed)
    for (_, program), call in calls.items():
        if "mmgraph" in program:
            clock(call)  # compiles
    turns = take_turns(calls, repeats, SLOW)
    for (job, program), times in turns.times.items():
        beside = turns.times[job, "mmgraph"]
        row = {"job": job, "program": program, **columns(times, beside)}
        if job == "Gaussians" and program != "mmgraph":
            own = turns.answers[job, "mmgraph"]
            likelihood = own.history_["log_likelihood"][-1]
            likelihood -= own.model_.streams[0].scale.log_volume
            gap = abs(likelihood - turns.answers[job, program].monitor_.history[-1] / n)
            row["likelihood differs by"] = f"{gap / abs(likelihood):.0e}"
        yield row
    for (job, program), why in turns.failures.items():
        yield {"job": job, "program": f"{program}: {why}"}
    for peer, job in (("hmmlearn", "Gaussians"), ("pomegranate", "Gaussians, float32")):
        if find_spec(peer) is None:
            yield {"job": job, "program": f"{peer} (not installed)"}
    yield {
        "job": "Gaussians",
        "program": "dynamax (not run: it needs a nightly build of a library)",
    }


def peak():
    """Most memory that this process has held, in mebibytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(n_states=1024, n_sequences=100, n_frames=1000):
    """Mebibytes that one step of EM adds to the peak of the process, beside its own data."""
    from mmgraph.engine.emissions import Prior
    from mmgraph.engine.markov import Data, Priors, train

    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_sequences * n_frames, 2))
    emission = Gaussian(rng.normal(size=(n_states, 2)), np.ones((n_states, 2)))
    offsets = np.arange(n_sequences + 1) * n_frames
    few = Data((emission.features(x[:10], np.ones(10, bool)),), np.array([0, 10]))
    data = Data((emission.features(x, np.ones(len(x), bool)),), offsets)
    model = Model(
        np.full(n_states, 1 / n_states),
        Dense(rng.dirichlet(np.ones(n_states), n_states)),
        (Stream(emission),),
    )
    small = Model(np.ones(1), Dense(np.ones((1, 1))), (Stream(Gaussian(x[:1], x[:1] ** 2)),))
    next(train(small, few, Priors(emission=Prior()), max_iter=1, tol=0))  # compiles
    before = peak()
    start = time.process_time()
    next(train(model, data, Priors(emission=Prior()), max_iter=1, tol=0))
    took = time.process_time() - start
    return peak() - before, took


def report(results):
    """One row a job and program, and the memory."""
    rows = results["jobs"]
    if "ratio" not in rows[0]:  # of an earlier form
        own = {r["job"]: r["CPU-s"] for r in rows if r["program"] == "mmgraph"}
        ratios = [r["CPU-s"] and r["CPU-s"] / own[r["job"]] for r in rows]
        rows = [r | {"ratio": ratio} for r, ratio in zip(rows, ratios, strict=True)]
    memory = results["memory"]
    spent = f", {memory['CPU-s']:.0f} CPU-seconds" if "CPU-s" in memory else ""
    return (
        f"{table(rows, number='.3g')}\n"
        f"One step of EM of {memory['states']} states over 100 sequences of "
        f"{memory.get('frames', 1000):,} frames: {memory['MiB']:.0f} MiB above the data{spent}.\n"
    )


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=N_FRAMES, help="of each sequence")
    parser.add_argument("--memory", action="store_true", help="measure the memory, and stop")
    parser.add_argument("--states", type=int, default=1024, help="of the model whose memory it is")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    if options.memory:
        print(*memory(options.states, n_frames=options.frames))
        return
    command = [sys.executable, "-m", "benchmarks.hmm_speed", "--memory"]
    command += ["--states", str(options.states), "--frames", str(options.frames)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    jobs = list(run(options.frames, options.repeats))
    mebibytes, spent = map(float, answer.stdout.split())
    space = {"states": options.states, "frames": options.frames, "MiB": mebibytes, "CPU-s": spent}
    results = {"jobs": jobs, "memory": space}
    save(options.out, "hmm_speed", report(results), results)


if __name__ == "__main__":
    main()
