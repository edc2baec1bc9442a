"""Fits at the same time, and with other numbers of threads, give the same bits as each alone."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from estimators import all_estimators, made, over
from joblib import Parallel, delayed

SMALL = {
    "n_components": 3,
    "hidden": (5,),
    "joint": 4,
    "max_iter": 3,
    "n_particles": 20,
    "n_chains": 10,
    "sampling_sweeps": 3,
    "n_mean_chains": 2,
    "n_states": 2,
    "cv": 2,
    "random_state": 0,
    "modalities": {"a": slice(0, None, 2), "b": slice(1, None, 2)},
}
# Where BLAS multiplies or LAPACK factorises n x n numbers, OpenBLAS rounds otherwise on two
# threads, and a support vector machine stops at 1e-3.
OF_SQUARES = {"ESZSLClassifier", "KernelCCA", "MKLClassifier", "MKLRegressor", "MKLTransformer"}
VERBS = ("transform", "impute", "score_samples", "predict", "predict_proba", "decision_function")


def table(n):
    """Rows of two interleaved modalities, some of which lack one, and labels."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    X = (rng.random((n, 8)) < np.where(y, 0.8, 0.2)[:, None]).astype(float)
    X[rng.random(n) < 0.3, 0::2] = np.nan
    X[rng.random(n) < 0.1, 1::2] = np.nan
    return X, y


def answers(kind, n=60):
    """What an estimator answers, by verb."""
    X, y = table(n)
    model = made(kind, **SMALL).fit(X, y)
    return {verb: getattr(model, verb)(X) for verb in VERBS if hasattr(model, verb)}


@over("fit")
def test_threads_at_once(kind):
    alone = answers(kind)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(answers, [kind] * 4):
            np.testing.assert_equal(found, alone)


def test_processes_at_once():
    kinds = all_estimators()
    alone = [answers(kind) for kind in kinds]
    together = Parallel(n_jobs=2)(delayed(answers)(kind) for kind in kinds)
    np.testing.assert_equal(together, alone)


def test_one_thread_and_two():
    script = (
        "import pickle, sys\n"
        "from estimators import all_estimators\n"
        "from test_concurrency import answers\n"
        "found = {kind.__name__: answers(kind, 400) for kind in all_estimators()}\n"
        "sys.stdout.buffer.write(pickle.dumps(found))"
    )
    here = Path(__file__).parent
    names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"
    one, two = [], []
    for n_threads, found in zip("12", (one, two), strict=True):
        paths = os.pathsep.join([str(here), *sys.path])
        environment = {**os.environ, **dict.fromkeys(names, n_threads), "PYTHONPATH": paths}
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
        assert not run.returncode, run.stderr.decode()
        found.append(pickle.loads(run.stdout))
    for name, alone in one[0].items():
        if name in OF_SQUARES:
            for verb, value in alone.items():
                np.testing.assert_allclose(value, two[0][name][verb], rtol=1e-2, atol=1e-3)
        else:
            np.testing.assert_equal(alone, two[0][name], err_msg=name)
