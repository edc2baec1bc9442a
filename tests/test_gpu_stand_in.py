"""With ``device="cuda"`` every estimator says what it says on the CPU; on a stand-in for CuPy."""

import numpy as np
import pytest
from cupy_stand_in import installed, ndarray
from estimators import all_estimators, made, over

import mmgraph as mg

LAYOUT = {"a": slice(0, 4), "b": slice(4, 9)}
SMALL = {
    "n_components": 2,
    "hidden": (6,),
    "joint": 4,
    "max_iter": 3,
    "pretrain_iter": 1,
    "n_particles": 50,
    "n_chains": 20,
    "sampling_sweeps": 5,
    "n_mean_chains": 3,
    "random_state": 0,
}
VERBS = {
    "transform": lambda m, X: m.transform(X),
    "embed": lambda m, X: m.embed(X, "a"),
    "inverse_transform": lambda m, X: m.inverse_transform(m.transform(X)),
    "impute": lambda m, X: m.impute(X),
    "sample": lambda m, X: m.sample(2, given=X, random_state=0),
    "generate": lambda m, X: m.generate(X, "a"),
    "score_samples": lambda m, X: m.score_samples(X),
    "log_conditional": lambda m, X: m.log_conditional(X, "a"),
    "predict": lambda m, X: m.predict(X),
    "predict_proba": lambda m, X: m.predict_proba(X),
    "decision_function": lambda m, X: m.decision_function(X),
}
COMPUTE_ON_GPU = [kind for kind in all_estimators() if hasattr(kind(), "device")]
ON_CPU_ONLY = [kind for kind in all_estimators() if not hasattr(kind(), "device")]


@pytest.fixture
def cupy():
    with installed() as module:
        yield module


def data(dtype=np.float64):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    X = z @ rng.normal(size=(2, 9)) + 0.3 * rng.normal(size=(60, 9))
    X[3, :4] = X[5, 4:] = X[58, :4] = np.nan
    return X.astype(dtype), np.where(z[:, 0] > 0, "up", "down")


def small(kind, **changes):
    return made(kind, **SMALL | {"modalities": LAYOUT} | changes)


def said(model, X):
    """What the verbs of a model say of rows."""
    return {name: verb(model, X) for name, verb in VERBS.items() if hasattr(model, name)}


def assert_alike(found, wanted, dtype, kind):
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert isinstance(value, np.ndarray if name == "predict" else kind), name
        value = value.get() if isinstance(value, ndarray) else value
        assert value.dtype == wanted[name].dtype, name
        if value.dtype.kind in "US":
            np.testing.assert_array_equal(value, wanted[name])
        else:
            tol = 2e-3 if dtype == np.float32 else 1e-7
            np.testing.assert_allclose(value, wanted[name], tol, tol, err_msg=name)


@over(kinds=COMPUTE_ON_GPU)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_answers(kind, dtype, cupy, tmp_path):
    X, y = data(dtype)
    wanted = said(small(kind, device="cpu").fit(X, y), X)
    # NumPy in, NumPy out
    model = small(kind, device="cuda").fit(X, y)
    assert_alike(said(model, X), wanted, dtype, np.ndarray)
    # CuPy in, CuPy out
    followed = small(kind).fit(cupy.asarray(X), y)
    on_gpu = cupy.asarray(X)
    assert_alike(said(followed, on_gpu), wanted, dtype, ndarray)
    # Saved on a GPU, loaded on a CPU, moved to a GPU again
    mg.save(followed, tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert_alike(said(loaded, X), wanted, dtype, np.ndarray)
    assert_alike(said(mg.to_device(loaded, "cuda"), on_gpu), wanted, dtype, ndarray)


@pytest.mark.parametrize("kind", ON_CPU_ONLY)
def test_others_refuse_in_words(kind, cupy):
    X, y = data()
    with pytest.raises(TypeError, match=r"computes on the CPU only: pass cupy.asnumpy\(X\)"):
        small(kind).fit(cupy.asarray(X), y)
