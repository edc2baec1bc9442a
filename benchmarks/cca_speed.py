"""How long canonical correlations take, beside peers and beside the products that they need.

    python -m benchmarks.cca_speed [--parts two three path stream] [--out docs/results]

All on one BLAS thread, in turn: the median of some rounds, and one of what takes more than ten
seconds. The rows are normal with ten latent variables in common. What is wrong with a peer that
cannot be run is said.

- One fit of two modalities, 20 components, shrinkage 0.1, beside the product of the rows with
  themselves (`X.T @ X`, of which BLAS computes one triangle) and with a copy (all of it).
- One fit of three modalities.
- A path: ten values of the shrinkage for each of two modalities in five folds, 500 fits. Of a peer
  single fits are timed, and multiplied.
- A stream of chunks, ten million rows of 100 and 100 columns, in a process of its own: its largest
  resident memory, and the time of `partial_fit` alone.
"""

import argparse
import json
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import mmgraph as mg

from ._clock import columns, take_turns, threads
from ._report import load, save, table

K, SHRINKAGE, N_LATENT = 20, 0.1, 10
N_FITS, SLOW = 500, 10
PEERS = {"cca-zoo": "cca_zoo", "pyrcca": "rcca", "mvlearn": "mvlearn.embed"}
PEERS |= {"statsmodels": "statsmodels.multivariate.cancorr"}


def rows(n, width, n_modalities, seed=0):
    """Columns of unit variance that share latent variables, and their layout."""
    rng = np.random.default_rng(seed)
    total = width * n_modalities
    X = rng.normal(size=(n, N_LATENT)) @ rng.normal(size=(N_LATENT, total)) * 0.1
    X += rng.normal(size=(n, total))
    X -= X.mean(axis=0)
    X /= X.std(axis=0, ddof=1)
    return X, {str(i): slice(i * width, (i + 1) * width) for i in range(n_modalities)}


def peers():
    """The modules of the peers that can be imported, and the versions or what is wrong."""
    found, notes = {}, {}
    for name, module in PEERS.items():
        try:
            found[name] = import_module(module)
            notes[name] = version(name)
        except (ImportError, PackageNotFoundError) as error:
            notes[name] = f"not run: {error}"
    return found, notes


def correlations(X, layout, weights):
    """Correlation of the variates of some weights, the mean over pairs, summed."""
    z = np.stack([X[:, place] @ w for place, w in zip(layout.values(), weights, strict=True)])
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    pairs = [(z[i] * z[j]).mean(axis=0) for i in range(len(z)) for j in range(i)]
    return float(np.mean(pairs, axis=0).sum())


# Calls by name, each with what makes a sum of correlations of its answer, and the one beside which
# the others stand.


def two(n, width, modules):
    """One fit of two modalities."""
    X, layout = rows(n, width, 2)
    a, b = (np.ascontiguousarray(X[:, place]) for place in layout.values())
    other = X.copy()

    def ours(shrinkage):
        return lambda: mg.CCA(K, shrinkage=shrinkage, modalities=layout).fit(X)

    def answer(model):
        weights = model.weights_
        return correlations(X, layout, weights.values() if isinstance(weights, dict) else weights)

    calls = {
        "X.T @ X": (lambda: X.T @ X, None),
        "X.T @ copy of X": (lambda: X.T @ other, None),
        "numpy.cov": (lambda: np.cov(X.T), None),
        f"mmgraph CCA, s = {SHRINKAGE:g}": (ours(SHRINKAGE), answer),
        "mmgraph CCA, s = 0": (ours(0.0), answer),
    }
    if "cca-zoo" in modules:
        from cca_zoo.linear import RidgeCCA

        ridge = RidgeCCA(K, shrinkage=SHRINKAGE)
        calls[f"cca-zoo RidgeCCA, s = {SHRINKAGE:g}"] = lambda: ridge.fit([a, b]), answer
    if "pyrcca" in modules:
        pyrcca = modules["pyrcca"].CCA(reg=0.1, numCC=K, kernelcca=False, verbose=False)
        calls["pyrcca, its ridge 0.1"] = lambda: pyrcca.train([a, b]), None
    if "mvlearn" in modules:
        mvlearn = modules["mvlearn"].CCA(K, regs=SHRINKAGE)
        calls[f"mvlearn CCA, s = {SHRINKAGE:g}"] = lambda: mvlearn.fit([a, b]), None
    if "statsmodels" in modules:
        calls["statsmodels CanCorr, s = 0"] = (
            lambda: modules["statsmodels"].CanCorr(a, b),
            lambda model: float(model.cancorr[:K].sum()),
        )
    return calls, "X.T @ copy of X"


def three(n, width, modules):
    """One fit of three modalities."""
    X, layout = rows(n, width, 3)
    views = [np.ascontiguousarray(X[:, place]) for place in layout.values()]
    calls = {
        "mmgraph CCA": (
            lambda: mg.CCA(K, shrinkage=SHRINKAGE, modalities=layout).fit(X),
            lambda model: correlations(X, layout, model.weights_.values()),
        )
    }
    if "cca-zoo" in modules:
        from cca_zoo.linear import GCCA, MCCA

        for kind in (MCCA, GCCA):
            calls[f"cca-zoo {kind.__name__}"] = (
                lambda kind=kind: kind(K, shrinkage=SHRINKAGE).fit(views),
                lambda model: correlations(X, layout, model.weights_),
            )
    return calls, "mmgraph CCA"


def path(n, width, modules):
    """500 fits: ten by ten values of the shrinkage in five folds; of a peer a single one."""
    X, layout = rows(n, width, 2)
    ours = "mmgraph CCA(shrinkage='cv')"
    calls = {
        ours: (
            lambda: mg.CCA(K, shrinkage="cv", modalities=layout).fit(X),
            lambda model: float(model.cv_results_["mean_test_score"].max()),
        )
    }
    if "cca-zoo" in modules:
        from cca_zoo.linear import RidgeCCA

        train = [np.ascontiguousarray(X[: n * 4 // 5, place]) for place in layout.values()]
        ridge = RidgeCCA(K, shrinkage=SHRINKAGE)
        calls[f"cca-zoo RidgeCCA, {N_FITS} times one fit"] = lambda: ridge.fit(train), None
    return calls, ours


def stream(n_rows, width, chunk):
    """Fit a stream of generated chunks; the processor time of `partial_fit` and resident MB."""
    import resource

    rng = np.random.default_rng(0)
    X, layout = rows(2 * chunk, width, 2)
    X = X.astype(np.float32)
    model = mg.CCA(K, modalities=layout)
    spent = 0.0
    for _ in range(n_rows // chunk):
        first = rng.integers(chunk)
        part = X[first : first + chunk] * rng.choice([-1, 1], chunk).astype(np.float32)[:, None]
        start = time.process_time()
        model.partial_fit(part)
        spent += time.process_time() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": int(model.n_samples_seen_), "CPU-s": spent, "resident MB": megabytes}


def streamed(n_rows, width, chunk=50_000):
    """The same in a process of its own."""
    code = (
        "import json; from benchmarks._clock import threads; "
        "from benchmarks.cca_speed import stream\n"
        f"with threads(1): print(json.dumps(stream({n_rows}, {width}, {chunk})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


PARTS = {
    "two": (two, "one fit, two modalities", "of X.T @ copy"),
    "three": (three, "one fit, three modalities", "of mmgraph"),
    "path": (path, f"a path of {N_FITS} fits", "of mmgraph"),
}


def measure(name, n, width, modules, notes, rounds):
    """The rows of the table of one part."""
    part, task, beside = PARTS[name]
    calls, unit = part(n, width, modules)
    turns = take_turns({by: call for by, (call, _) in calls.items()}, rounds, SLOW)
    for by, (_, answer) in calls.items():
        if by in turns.failures:
            yield {"task": task, "by": f"{by}: {turns.failures[by]}"}
            continue
        times = np.array(turns.times[by]) * (N_FITS if "times one fit" in by else 1)
        row = {"task": task, "by": by, **columns(times, turns.times[unit])}
        row["ratio"] = f"{row['ratio']:.2f} {beside}"
        row["sum of correlations"] = f"{answer(turns.answers[by]):.6f}" if answer else ""
        yield row
    for peer in PEERS if name == "two" else ["cca-zoo"]:
        if peer not in modules:
            yield {"task": task, "by": f"{peer}: {notes[peer]}"}


def report(results):
    """One row a part and contender, the stream, and the peers."""
    rows = [row for name in PARTS for row in results.get(name, [])]
    stream, peers = results.get("stream"), results["peers"].items()
    parts = [table(rows, number=".3g")] if rows else []
    if stream:
        parts.append(
            f"A stream of {stream['rows']:,} rows of 100 and 100 columns: {stream['CPU-s']:.1f} "
            f"CPU-s in ``partial_fit``, {stream['resident MB']:.0f} MB resident at most."
        )
    parts.append("Peers: " + "; ".join(f"{name} {note}" for name, note in peers) + ".")
    return "\n".join(parts) + "\n"


@threads(1)
def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", type=int, default=10_000_000)
    parser.add_argument(
        "--parts", nargs="+", default=[*PARTS, "stream"], choices=[*PARTS, "stream"]
    )
    parser.add_argument("--out", type=Path, help="parts not run are kept as they are there")
    options = parser.parse_args(argv)
    modules, notes = peers()
    results = load(options.out, "cca_speed", {}) | {"peers": notes}
    for name in options.parts:
        if name == "stream":
            results[name] = streamed(options.stream, 100)
            continue
        sizes = options.rows, options.columns
        results[name] = list(measure(name, *sizes, modules, notes, options.rounds))
    save(options.out, "cca_speed", report(results), results)


if __name__ == "__main__":
    main()
