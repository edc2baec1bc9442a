"""How long canonical correlations take, beside peers and beside the products that they need.

    python -m benchmarks.cca_speed [--parts two three path stream] [--out docs/results]

All on one BLAS thread, in seconds of processor time, the best of some runs. The rows are normal
with ten latent variables in common. What is wrong with a peer that cannot be run is said.

- One fit of two modalities, 20 components, shrinkage 0.1, beside the product of the rows with
  themselves (`X.T @ X`, of which BLAS computes one triangle) and with a copy (all of it).
- One fit of three modalities.
- A path: ten values of the shrinkage for each of two modalities in five folds, 500 fits. Of a peer
  three fits are timed, and multiplied.
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
from threadpoolctl import threadpool_limits

import mmgraph as mg

from ._report import table

K, SHRINKAGE, N_LATENT = 20, 0.1, 10
N_FITS, N_TIMED = 500, 3
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


def seconds(call, n=3):
    """The least processor time of some calls, and what the last one gave."""
    best = np.inf
    for _ in range(n):
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return best, result


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


def attempt(name, call, unit):
    """A row of a peer that may not work with the libraries of today."""
    try:
        return name, seconds(call, 1)[0], unit, None
    except (AttributeError, TypeError) as error:
        return f"{name}: fails ({str(error)[:60]})", None, unit, None


def two(n, width, modules):
    """One fit of two modalities."""
    X, layout = rows(n, width, 2)
    a, b = (np.ascontiguousarray(X[:, place]) for place in layout.values())
    other = X.copy()
    gemm, _ = seconds(lambda: X.T @ other)
    yield "X.T @ X", seconds(lambda: X.T @ X)[0], gemm, None
    yield "X.T @ copy of X", gemm, gemm, None
    yield "numpy.cov", seconds(lambda: np.cov(X.T))[0], gemm, None

    def ours(shrinkage):
        return mg.CCA(K, shrinkage=shrinkage, modalities=layout).fit(X)

    def answer(*weights):
        return correlations(X, layout, weights)

    for s in (SHRINKAGE, 0.0):
        spent, model = seconds(lambda s=s: ours(s))
        yield f"mmgraph CCA, s = {s:g}", spent, gemm, answer(*model.weights_.values())
    if "cca-zoo" in modules:
        from cca_zoo.linear import RidgeCCA

        spent, model = seconds(lambda: RidgeCCA(K, shrinkage=SHRINKAGE).fit([a, b]))
        yield "cca-zoo RidgeCCA, s = 0.1", spent, gemm, answer(*model.weights_)
    if "pyrcca" in modules:
        ridge = modules["pyrcca"].CCA(reg=0.1, numCC=K, kernelcca=False, verbose=False)
        yield attempt("pyrcca, its ridge 0.1", lambda: ridge.train([a, b]), gemm)
    if "mvlearn" in modules:
        ridge = modules["mvlearn"].CCA(K, regs=SHRINKAGE)
        yield attempt("mvlearn CCA, s = 0.1", lambda: ridge.fit([a, b]), gemm)
    if "statsmodels" in modules:
        spent, model = seconds(lambda: modules["statsmodels"].CanCorr(a, b), 1)
        yield "statsmodels CanCorr, s = 0", spent, gemm, float(model.cancorr[:K].sum())


def three(n, width, modules):
    """One fit of three modalities."""
    X, layout = rows(n, width, 3)
    views = [np.ascontiguousarray(X[:, place]) for place in layout.values()]
    spent, model = seconds(lambda: mg.CCA(K, shrinkage=SHRINKAGE, modalities=layout).fit(X))
    yield "mmgraph CCA", spent, spent, correlations(X, layout, model.weights_.values())
    if "cca-zoo" in modules:
        from cca_zoo.linear import GCCA, MCCA

        for kind in (MCCA, GCCA):
            taken, model = seconds(lambda kind=kind: kind(K, shrinkage=SHRINKAGE).fit(views), 1)
            name = f"cca-zoo {kind.__name__}"
            yield name, taken, spent, correlations(X, layout, model.weights_)


def path(n, width, modules):
    """500 fits: ten by ten values of the shrinkage in five folds."""
    X, layout = rows(n, width, 2)
    views = [np.ascontiguousarray(X[:, place]) for place in layout.values()]
    spent, model = seconds(lambda: mg.CCA(K, shrinkage="cv", modalities=layout).fit(X), 1)
    best = float(model.cv_results_["mean_test_score"].max())
    yield "mmgraph CCA(shrinkage='cv')", spent, spent, best
    if "cca-zoo" in modules:
        from cca_zoo.linear import RidgeCCA

        train = [view[: n * 4 // 5] for view in views]
        taken, _ = seconds(lambda: RidgeCCA(K, shrinkage=SHRINKAGE).fit(train), N_TIMED)
        yield f"cca-zoo RidgeCCA, {N_FITS} times one fit", N_FITS * taken, spent, None


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
        "import json; from threadpoolctl import threadpool_limits; "
        "from benchmarks.cca_speed import stream\n"
        f"with threadpool_limits(1): print(json.dumps(stream({n_rows}, {width}, {chunk})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


PARTS = {
    "two": (two, "one fit, two modalities", "of X.T @ copy"),
    "three": (three, "one fit, three modalities", "of mmgraph"),
    "path": (path, f"a path of {N_FITS} fits", "of mmgraph"),
}


def measure(name, n, width, modules):
    """The rows of the table of one part."""
    part, task, beside = PARTS[name]
    with threadpool_limits(1):
        for by, spent, unit, value in part(n, width, modules):
            yield {
                "task": task,
                "by": by,
                "CPU-s": "" if spent is None else spent,
                "ratio": "" if spent is None else f"{spent / unit:.2f} {beside}",
                "sum of correlations": "" if value is None else f"{value:.6f}",
            }


def text(record):
    """The record as reStructuredText."""
    rows = [row for name in PARTS for row in record.get(name, [])]
    stream, peers = record.get("stream"), record["peers"].items()
    lines = [table(rows)] if rows else []
    if stream:
        lines.append(
            f"A stream of {stream['rows']:,} rows of 100 and 100 columns: {stream['CPU-s']:.1f} "
            f"CPU-s in ``partial_fit``, {stream['resident MB']:.0f} MB resident at most."
        )
    lines.append("Peers: " + "; ".join(f"{name} {note}" for name, note in peers) + ".")
    return "\n".join([*lines, "", record["machine"], ""])


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=500)
    parser.add_argument("--stream", type=int, default=10_000_000)
    parser.add_argument(
        "--parts", nargs="+", default=[*PARTS, "stream"], choices=[*PARTS, "stream"]
    )
    parser.add_argument("--out", type=Path, help="parts not run are kept as they are there")
    options = parser.parse_args(argv)
    modules, notes = peers()
    path = options.out and options.out / "cca_speed.json"
    record = json.loads(path.read_text()) if path and path.exists() else {}
    record |= {"peers": notes, "machine": versions()}
    for name in options.parts:
        if name == "stream":
            record[name] = streamed(options.stream, 100)
            print(record[name])
            continue
        record[name] = []
        for row in measure(name, options.rows, options.columns, modules):
            print(*row.values(), sep="  ", flush=True)
            record[name].append(row)
    print(text(record))
    if path:
        options.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
        path.with_suffix(".rst").write_text(text(record))


if __name__ == "__main__":
    main()
