"""Every public estimator on anything: it is right, or says in words what is wrong.

An example is a table and what has been done to it. Whatever comes, an estimator answers with finite
numbers of the right shape (NaN only where it was given NaN), or raises ValueError or TypeError with
a sentence; it does not change what it was given, and numbers that only look different are learnt
alike. ``pytest -rP tests/test_fuzz.py`` tells the number of cases; a search of thousands is
``--hypothesis-profile=search``.
"""

import warnings
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from estimators import made, over
from hypothesis import example, given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")

SMALL = {
    "n_components": 2,
    "hidden": (4,),
    "joint": 3,
    "max_iter": 2,
    "n_particles": 8,
    "n_chains": 5,
    "sampling_sweeps": 2,
    "n_mean_chains": 2,
    "n_states": 2,
    "cv": 2,
    "random_state": 0,
}
VERBS = ("transform", "impute", "score_samples", "predict", "predict_proba", "decision_function")
N, P = 12, 6
CASES = Counter()


# Numbers to begin with, of shape (n, p).
VALUES = {
    "normal": lambda rng, n, p: rng.normal(size=(n, p)),
    "bits": lambda rng, n, p: rng.integers(0, 2, (n, p)).astype(float),
    "counts": lambda rng, n, p: rng.poisson(3, (n, p)).astype(float),
    "constant": lambda rng, n, p: np.ones((n, p)),
    "zeros": lambda rng, n, p: np.zeros((n, p)),
    "huge": lambda rng, n, p: 1e12 * rng.normal(size=(n, p)),
    "tiny": lambda rng, n, p: 1e-12 * rng.normal(size=(n, p)),
    "enormous": lambda rng, n, p: 1e200 * rng.normal(size=(n, p)),
    "far": lambda rng, n, p: 1e8 + rng.normal(size=(n, p)),
    "alike": lambda rng, n, p: np.repeat(rng.normal(size=(n, 1)), p, axis=1),
    "one outlier": lambda rng, n, p: np.vstack(
        [np.full((1, p), 1e10), rng.normal(size=(n - 1, p))]
    ),
}


def gaps(X, rng, kind):
    """The table with NaN somewhere."""
    if kind == "rows":
        X[rng.random(len(X)) < 0.3] = np.nan
    elif kind == "modality":
        X[rng.random(len(X)) < 0.4, 0::2] = np.nan
        X[rng.random(len(X)) < 0.2, 1::2] = np.nan
    elif kind == "never":
        X[:, 1::2] = np.nan
    elif kind == "cells":
        X[rng.random(X.shape) < 0.1] = np.nan
    elif kind == "all":
        X[:] = np.nan
    elif kind == "infinite":
        X[tuple(rng.integers(0, X.shape))] = np.inf
    return X


def locked(X):
    """The table, as one that cannot be written to."""
    X.setflags(write=False)
    return X


# The same numbers as another object, which are learnt alike ...
ALIKE = {
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "list": lambda X: X.tolist(),
    "object": lambda X: X.astype(object),
    "read-only": locked,
    "odd names": lambda X: pd.DataFrame(X, columns=[f"x {i}__é" for i in range(X.shape[1])]),
    "other index": lambda X: pd.DataFrame(
        X, np.arange(len(X))[::-1], [*map(str, range(X.shape[1]))]
    ),
}
# ... and others, which may be refused.
FORMS = {
    **ALIKE,
    "array": lambda X: X,
    "csr": sp.csr_array,
    "csc": sp.csc_matrix,
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "long double": lambda X: X.astype(np.longdouble),
    "int": lambda X: X.astype(int),
    "bool": lambda X: X > 0,
    "complex": lambda X: X.astype(complex),
    "text": lambda X: X.astype(str),
    "same names": lambda X: pd.DataFrame(X, columns=["x"] * X.shape[1]),
    "1d": np.ravel,
    "3d": lambda X: X[None],
}
GAPS = ["none"] * 6 + ["rows", "modality", "never", "cells", "all", "infinite"]
TABLES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*VALUES]),
        "n": st.sampled_from([N] * 8 + [40] * 4 + [3, 2, 1, 0]),
        "p": st.sampled_from([P] * 10 + [30, 2, 1, 0]),
        "gap": st.sampled_from(GAPS),
        "form": st.sampled_from(["array"] * 12 + [*FORMS]),
        "layout": st.sampled_from(["interleaved"] * 6 + ["one"] * 3 + ["wrong"]),
        "labels": st.sampled_from(["two"] * 6 + ["words", "one", "each", "few"]),
        "seed": st.integers(0, 3),
    }
)
LAYOUTS = {
    "interleaved": {"a": slice(0, None, 2), "b": slice(1, None, 2)},
    "one": None,
    "wrong": {"a": [0, 1], "b": [1, 2]},
}


def labels(kind, n, rng):
    """A label a row."""
    return {
        "two": lambda: np.arange(n) % 2,
        "words": lambda: np.array(["yes", "no"])[np.arange(n) % 2],
        "one": lambda: np.zeros(n, int),
        "each": lambda: np.arange(n),
        "few": lambda: np.where(np.arange(n) == 0, 1, 0),
    }[kind]()


def frozen(X):
    """What a table holds, to compare it later."""
    if sp.issparse(X):
        return X.toarray().copy()
    return np.array(X, dtype=object, copy=True)


def unchanged(before, X):
    after = frozen(X)
    same = (before == after) | ((before != before) & (after != after))
    return before.shape == after.shape and bool(np.all(same))


def attempt(verb, *args):
    """The answer, or None where it was refused in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # partly NaN, no convergence, ...
            warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
            # of scikit-learn, about 1e200 or an infinity; its answer is looked at below
            warnings.filterwarnings("ignore", "invalid value encountered in reduce")
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn")
            return verb(*args)
    except (ValueError, TypeError) as error:
        message = str(error)
    assert len(message) > 20
    return None


def given_nan(X):
    """Rows in which anything is NaN."""
    X = X.toarray() if sp.issparse(X) else np.asarray(X, dtype=float)
    return np.isnan(X).any(axis=1)


def found_before(**changes):
    """A case that something once failed on."""
    plain = {"kind": "normal", "n": N, "p": P, "gap": "none", "form": "array"}
    return plain | {"layout": "interleaved", "labels": "two", "seed": 0} | changes


@over("fit")
@settings(max_examples=settings().max_examples // 5)
@given(case=TABLES)
@example(found_before(kind="constant", p=30, gap="modality"))
@example(found_before(kind="far", form="csr"))
@example(found_before(kind="normal", n=3, gap="rows"))
def test_right_or_refused_in_words(kind, case):
    rng = np.random.default_rng(case["seed"])
    X = np.empty((case["n"], case["p"]))
    if X.size:
        X = gaps(VALUES[case["kind"]](rng, *X.shape), rng, case["gap"])
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            X = FORMS[case["form"]](X)
    except (ValueError, OverflowError):
        return  # such a table cannot be: NaN is no int
    y = labels(case["labels"], case["n"], rng)
    before = frozen(X)
    model = made(kind, **SMALL, modalities=LAYOUTS[case["layout"]])
    fitted = attempt(model.fit, X, y)
    CASES["refused" if fitted is None else "learnt"] += 1
    if fitted is not None:
        for verb in VERBS:
            if hasattr(model, verb):
                found = attempt(getattr(model, verb), X)
                CASES["answers"] += found is not None
                if found is not None:
                    found = found.toarray() if sp.issparse(found) else np.asarray(found)
                    assert len(found) == case["n"], verb
                    if found.dtype.kind == "f":
                        bad = ~np.isfinite(found.reshape(len(found), -1)).all(axis=1)
                        assert not (bad & ~given_nan(X)).any(), f"{verb} is not finite"
    assert unchanged(before, X), "X was changed"


@over("fit")
def test_numbers_that_only_look_different(kind):
    rng = np.random.default_rng(0)
    X = gaps(VALUES["normal"](rng, 40, P), rng, "modality")
    y = np.arange(40) % 2
    found = {}
    for form in ("array", *ALIKE):
        dressed = FORMS[form](X.copy())
        model = made(kind, **SMALL, modalities=LAYOUTS["interleaved"]).fit(dressed, y)
        found[form] = [getattr(model, verb)(dressed) for verb in VERBS if hasattr(model, verb)]
        for one, other in zip(found["array"], found[form], strict=True):
            one, other = (a.toarray() if sp.issparse(a) else np.asarray(a) for a in (one, other))
            if one.dtype.kind == "f":
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=form)
            else:
                np.testing.assert_array_equal(one, other, err_msg=form)


def test_some_were_learnt_and_some_refused():
    """``-rP`` shows how many."""
    if not CASES:
        pytest.skip("no table was tried in this run")
    print(dict(CASES))
    assert min(CASES["learnt"], CASES["refused"]) > sum(CASES.values()) // 20
