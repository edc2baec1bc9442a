"""What learning and annealing cost beside their matrix products and beside other libraries.

    python -m benchmarks.speed [--seconds 6] [--temperatures 60] [--out docs/results]

Four questions, one table each:

- a step of persistent contrastive divergence, beside its five matrix products alone, scikit-learn,
  a plain PyTorch program, and the package rbms where these are installed, with one and two threads;
- a temperature of annealed importance sampling, beside its two products;
- the most memory that learning holds, beside the data, the parameters and the chains;
- how a pass grows when rows, units or modalities are doubled four times.

All that is compared takes turns in one process. Times are the median of its turns, in CPU and wall
milliseconds; ratios are medians over the turns too. On a machine with other work only they mean
something.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import tracemalloc
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.neural_network import BernoulliRBM

from mmgraph.backend.kernels.threads import for_products
from mmgraph.backend.random import key
from mmgraph.engine.learning import Data, Settings, construct, learn
from mmgraph.engine.likelihood import annealed_log_partition
from mmgraph.engine.units import Bernoulli

from ._clock import clock
from ._report import save, table

SIZES = [(784, 1024, 256), (784, 500, 100), (784, 12, 100)]  # visible, hidden, batch
STEPS = 5  # a turn
RATE, MOMENTUM = 0.01, 0.5


def binary(n_rows, n_columns, seed=0):
    """Random binary rows, a fifth of them ones."""
    return (np.random.default_rng(seed).random((n_rows, n_columns)) < 0.2).astype(np.float32)


def machine(blocks, n_hidden):
    """A machine that joins every block of columns to one hidden layer, and its data."""
    n = len(blocks)
    sizes = [*(block.shape[1] for block in blocks), n_hidden]
    data = Data(blocks, [np.ones(len(blocks[0]), bool) for _ in blocks])
    names = [str(layer) for layer in range(n + 1)]
    edges = [(layer, n) for layer in range(n)]
    return construct(names, [Bernoulli()] * (n + 1), n, sizes, edges, data, key(0)), data


def passes(blocks, n_hidden, batch):
    """A generator of passes over the rows."""
    settings = Settings(
        learning_rate=RATE,
        momentum=MOMENTUM,
        decay="constant",
        batch_size=batch,
        n_chains=batch,
        max_epochs=10**9,
    )
    return learn(*machine(blocks, n_hidden), settings, key(1))


# --- the ways to take STEPS steps -----------------------------------------------------------------


def mmgraph(X, n_hidden, batch):
    """Passes of the engine."""
    return partial(next, passes([X], n_hidden, batch))


def products(X, n_hidden, batch):
    """The five products of a step."""
    v, h, w = X[:batch], binary(batch, n_hidden), binary(X.shape[1], n_hidden)

    def turn():
        with for_products(w.size * batch):
            for _ in range(STEPS):
                v @ w, h @ w.T, v @ w, v.T @ h, v.T @ h

    return turn


def scikit_learn(X, n_hidden, batch):
    """BernoulliRBM, which is PCD-1 without momentum or centring, in float32."""
    rbm = BernoulliRBM(n_hidden, learning_rate=RATE, batch_size=batch, n_iter=1, random_state=0)
    rbm.fit(X)
    rng = np.random.RandomState(0)

    def turn():
        for start in range(0, len(X), batch):
            rbm._fit(X[start : start + batch], rng)

    return turn


def pytorch(X, n_hidden, batch):
    """PCD-1 with momentum, without centring, as one would write it."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    X = torch.from_numpy(X)
    sizes = (X.shape[1], n_hidden), (X.shape[1],), (n_hidden,)
    W, b, c = parameters = [0.01 * torch.randn(size) for size in sizes]
    moves = [torch.zeros_like(p) for p in parameters]
    chains = torch.bernoulli(torch.full((batch, n_hidden), 0.5))

    def turn():
        nonlocal chains
        for rows in torch.randperm(len(X)).split(batch):
            x = X[rows]
            h = torch.sigmoid(x @ W + c)
            v = torch.bernoulli(torch.sigmoid(chains @ W.T + b))
            mean = torch.sigmoid(v @ W + c)
            chains = torch.bernoulli(mean)
            gradients = [
                (x.T @ h - v.T @ mean) / batch,
                x.mean(0) - v.mean(0),
                h.mean(0) - mean.mean(0),
            ]
            for parameter, move, gradient in zip(parameters, moves, gradients, strict=True):
                move.mul_(MOMENTUM).add_(gradient, alpha=RATE)
                parameter.add_(move)

    return turn


def rbms(X, n_hidden, batch):
    """The package rbms (PyTorch): centred PCD-1 with momentum."""
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.training.pcd import fit_batch_pcd

    X = torch.from_numpy(X)
    sizes = (X.shape[1], n_hidden), (X.shape[1],), (n_hidden,)
    model = BBRBM(*(0.01 * torch.randn(size) for size in sizes))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, maximize=True)
    chains, ones = model.init_chains(batch), torch.ones(batch)

    @torch.no_grad()
    def turn():
        nonlocal chains
        for rows in torch.randperm(len(X)).split(batch):
            optimizer.zero_grad(set_to_none=False)
            chains, _ = fit_batch_pcd((X[rows], ones), chains, model, gibbs_steps=1, beta=1.0)
            optimizer.step()

    return turn


WAYS = {"mmgraph": mmgraph, "its products": products, "scikit-learn": scikit_learn}
PEERS = {"PyTorch": ("torch", pytorch), "rbms": ("rbms", rbms)}
WAYS |= {name: way for name, (module, way) in PEERS.items() if find_spec(module)}


# --- the measurements -----------------------------------------------------------------------------


def take_turns(turns, seconds):
    """CPU and wall milliseconds of every turn of every contender, shape (n_turns, 2)."""
    found, start = {name: [] for name in turns}, time.perf_counter()
    for turn in turns.values():
        turn()
    while time.perf_counter() - start < seconds or len(found["mmgraph"]) < 5:
        for name, turn in turns.items():
            wall, cpu = time.perf_counter(), time.process_time()
            turn()
            took = time.process_time() - cpu, time.perf_counter() - wall
            found[name].append(1e3 * np.array(took))
    return {name: np.array(times) for name, times in found.items()}


def step(seconds):
    """One row a size and contender, with the threads of this process."""
    for n_visible, n_hidden, batch in SIZES:
        X = binary(STEPS * batch, n_visible)
        turns = {name: way(X, n_hidden, batch) for name, way in WAYS.items()}
        times = take_turns(turns, seconds)
        for name, taken in times.items():
            yield {
                "threads": int(os.environ["OMP_NUM_THREADS"]),
                "visible x hidden, batch": f"{n_visible} x {n_hidden}, {batch}",
                "": name,
                "CPU-ms a step": float(np.median(taken[:, 0])) / STEPS,
                "wall-ms a step": float(np.median(taken[:, 1])) / STEPS,
                "CPU / products": float(np.median(taken[:, 0] / times["its products"][:, 0])),
                "wall / products": float(np.median(taken[:, 1] / times["its products"][:, 1])),
                "CPU / mmgraph": float(np.median(taken[:, 0] / times["mmgraph"][:, 0])),
                "least": float(taken[:, 0].min()) / STEPS,
                "most": float(taken[:, 0].max()) / STEPS,
            }
        for name in PEERS:
            if name not in WAYS:
                yield {
                    "threads": int(os.environ["OMP_NUM_THREADS"]),
                    "visible x hidden, batch": f"{n_visible} x {n_hidden}, {batch}",
                    "": f"{name} (not installed)",
                }


def annealing(n_temperatures, n_chains=1000, n_visible=784, n_hidden=500, repeats=3):
    """A temperature of forward annealing beside its two products."""
    model, _ = machine([binary(500, n_visible)], n_hidden)
    v, h = binary(n_chains, n_visible), binary(n_chains, n_hidden)
    w, taken = model.weights[0], []

    def pairs():
        for _ in range(n_temperatures - 1):
            v @ w, h @ w.T

    for _ in range(repeats):
        whole, _ = clock(
            partial(
                annealed_log_partition,
                model,
                [{}],
                key(1),
                n_chains=n_chains,
                n_temperatures=n_temperatures,
            )
        )
        products, _ = clock(pairs)
        taken.append((*whole, products[0]))
    taken = np.array(taken) * 1e3 / (n_temperatures - 1)
    yield {
        "chains": n_chains,
        "temperatures": n_temperatures,
        "visible x hidden": f"{n_visible} x {n_hidden}",
        "CPU-ms a temperature": float(np.median(taken[:, 0])),
        "least": float(taken[:, 0].min()),
        "most": float(taken[:, 0].max()),
        "wall-ms a temperature": float(np.median(taken[:, 1])),
        "of its products": float(np.median(taken[:, 2])),
        "ratio": float(np.median(taken[:, 0] / taken[:, 2])),
    }


def memory(n_passes=2):
    """The most that NumPy held at once during a fit, and the largest single array."""
    for n_rows, n_visible, n_hidden, batch in [
        (5000, 784, 1024, 256),
        (1000, 784, 4096, 256),
        (20000, 784, 100, 100),
    ]:
        X = binary(n_rows, n_visible)
        learning = passes([X], n_hidden, batch)
        next(learning)  # what is compiled is not counted
        del learning
        learning = passes([X], n_hidden, batch)
        tracemalloc.start()
        epoch = next(learning)
        for _ in range(n_passes - 1):
            epoch = next(learning)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        parameters = sum(w.nbytes for w in (*epoch.model.weights, *epoch.model.biases))
        chains = sum(values.nbytes for values in epoch.chains)
        yield {
            "rows": n_rows,
            "visible x hidden, batch": f"{n_visible} x {n_hidden}, {batch}",
            "data, MB": X.nbytes / 1e6,
            "parameters, MB": parameters / 1e6,
            "chains, MB": chains / 1e6,
            "peak beside the data, MB": peak / 1e6,
            "peak / parameters": peak / parameters,
        }


def growth(doublings=4, repeats=5):
    """CPU time of a pass, doubled `doublings` times, and the exponent fitted to it."""

    def rows(factor):
        return [binary(1000 * factor, 256)], 256

    def units(factor):
        return [binary(1000, 256)], 128 * factor

    def columns(factor):
        return [binary(1000, 128 * factor)], 256

    def modalities(factor):
        return [binary(1000, 64, seed) for seed in range(2 * factor)], 256

    for name, problem in {
        "rows": rows,
        "hidden units": units,
        "columns": columns,
        "modalities": modalities,
    }.items():
        factors = 2 ** np.arange(doublings + 1)
        learnings = [passes(*problem(factor), 100) for factor in factors]
        for learning in learnings:
            next(learning)
        taken = np.empty((repeats, len(factors)))
        for repeat in range(repeats):
            for i, learning in enumerate(learnings):
                start = time.process_time()
                next(learning)
                taken[repeat, i] = time.process_time() - start
        milliseconds = 1e3 * np.median(taken, axis=0)
        exponent = np.polyfit(np.log(factors), np.log(milliseconds), 1)[0]
        yield {
            "doubled": name,
            **{f"x {factor}": float(ms) for factor, ms in zip(factors, milliseconds, strict=True)},
            "exponent": float(exponent),
            "theory": 1,
        }


def with_threads(n_threads, name, argument):
    """Run one measurement in a process of its own, with a number of threads; return its rows."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(n_threads))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", "--only", name, str(argument)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def report(results):
    """A table a question."""
    named = {name: results[name] for name in ("step", "annealing", "memory", "growth")}
    return "\n".join(f"{name.capitalize()}\n\n{table(rows)}" for name, rows in named.items())


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=6, help="of every size of a step")
    parser.add_argument("--temperatures", type=int, default=60)
    parser.add_argument("--doublings", type=int, default=4)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.only:
        name, argument = options.only
        ways = {"step": step, "annealing": annealing, "memory": memory, "growth": growth}
        print(json.dumps(list(ways[name](float(argument) if name == "step" else int(argument)))))
        return
    results = {
        "step": [row for n in (1, 2) for row in with_threads(n, "step", options.seconds)],
        "annealing": with_threads(1, "annealing", options.temperatures),
        "memory": with_threads(1, "memory", 2),
        "growth": with_threads(1, "growth", options.doublings),
    }
    save(options.out, "speed", report(results), results)


if __name__ == "__main__":
    main()
