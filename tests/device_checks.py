"""What an estimator must say alike on a CPU and a GPU; for the stand-in for CuPy and for CuPy."""

import numpy as np
from estimators import all_estimators, made
from sklearn.base import is_regressor

import mmgraph as mg
from mmgraph.backend.arrays import to_numpy

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
THREE = {"a": slice(0, 3), "b": slice(3, 6), "c": slice(6, 9)}
WIDE = {"a": slice(0, 4), "b": slice(4, 120)}
VARIANTS = [
    (mg.CCA, {"shrinkage": "cv", "shrinkages": [0.1, 0.9], "cv": 3}),
    (mg.CCA, {"shrinkage": "cv", "shrinkages": [0.1, 0.9], "modalities": THREE}),
    (mg.CCA, {"shrinkage": {"a": "ledoit-wolf", "b": "oas"}}),
    (mg.CCA, {"criterion": "sumcor", "modalities": THREE}),
    (mg.CCA, {"criterion": "ssqcor", "modalities": THREE}),
    (mg.CCA, {"modalities": {"a": slice(0, 9)}}),
    (mg.CCA, {"modalities": WIDE, "shrinkage": 0.1}),
    (mg.SparseCCA, {"modalities": THREE, "penalty": 0.8}),
    (mg.ProbabilisticCCA, {"noise": "diagonal"}),
    (mg.ProbabilisticCCA, {"noise": {"a": "isotropic", "b": "full"}}),
    (mg.ProbabilisticCCA, {"n_components": "auto", "modalities": THREE}),
    (mg.KernelCCA, {"approximation": "nystroem", "rank": 20}),
    (mg.KernelCCA, {"approximation": "cholesky", "rank": 20}),
    (mg.KernelCCA, {"approximation": "fourier", "rank": 20}),
    (mg.KernelCCA, {"kernel": {"a": "laplacian", "b": "poly"}, "shrinkage": 0.1}),
    (mg.KernelCCA, {"kernel": {"a": "cosine", "b": "linear"}, "shrinkage": 1e-6}),
    (mg.ContrastiveEmbedding, {"hidden": (), "init": "cca", "loss": "sigmoid"}),
    (mg.ContrastiveEmbedding, {"loss": "ranking", "batch_size": 20}),
    (mg.ContrastiveEmbedding, {"batch_size": 20, "dropout": 0.2, "early_stopping": True}),
    (mg.Retriever, {"similarity": "correlation", "hubness": "csls", "answer": "medoid"}),
    (mg.Retriever, {"answer": "vote", "through": "source"}),
    (mg.ESZSLClassifier, {"kernel": "rbf"}),
    (mg.MKLClassifier, {"kernels": ["rbf", "laplacian", "linear", ("poly", {"degree": 2})]}),
    (mg.MKLClassifier, {"normalize": "cosine", "solver": "easy"}),
    (mg.MKLClassifier, {"normalize": "trace", "solver": "simple", "solver_params": {"tol": 1e-8}}),
    (mg.MKLClassifier, {"solver": "bayes", "cache_size": 0, "center": False}),
    (mg.MKLClassifier, {"rank": 10}),
    (mg.MKLTransformer, {"solver": "ridge", "normalize": "variance"}),
    (mg.MultiStreamHMM, {"covariance_type": "full", "algorithm": "viterbi"}),
    (mg.MultiStreamHMM, {"covariance_type": {"a": "tied", "b": "spherical"}, "durations": 2}),
    (mg.MultiStreamHMM, {"emissions": {"a": "gmm"}, "topology": "left-right", "tied": [0, 1, 0]}),
    (mg.MultiStreamHMM, {"stream_weights": {"a": 0.5, "b": 0.0}}),
    (mg.CoupledHMM, {"topology": "left-right", "asynchrony": 1}),
    (mg.BimodalDeepAutoencoder, {"init": "rbm", "init_max_iter": 1}),
    (mg.BimodalDeepAutoencoder, {"modalities": THREE, "activation": "tanh", "dropout": 0.1}),
    (mg.RBM, {"negative_phase": "tempering"}),
    (mg.MultimodalDBM, {"objective": "hybrid"}),
]


def data(dtype=np.float64, layout=LAYOUT):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    X = z @ rng.normal(size=(2, 9)) + 0.3 * rng.normal(size=(60, 9))
    columns = [*(layout or {}).values()]
    for row, place in zip((3, 5, 58), columns + columns[:1], strict=False):
        X[row, place] = np.nan
    return X.astype(dtype), np.where(z[:, 0] > 0, "up", "down")


def small(kind, **changes):
    return made(kind, **SMALL | {"modalities": LAYOUT} | changes)


def said(model, X):
    """What the verbs of a model say of rows."""
    return {name: verb(model, X) for name, verb in VERBS.items() if hasattr(model, name)}


def assert_alike(found, wanted, kind, tolerance):
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        labels = name == "predict" and wanted[name].dtype.kind != "f"
        assert isinstance(value, np.ndarray if labels else kind), name
        value = to_numpy(value)
        assert value.dtype == wanted[name].dtype, name
        if value.dtype.kind in "US":
            np.testing.assert_array_equal(value, wanted[name])
        else:
            np.testing.assert_allclose(value, wanted[name], tolerance, tolerance, err_msg=name)


def taught(kind, y):
    """Numbers in place of labels where an estimator learns numbers."""
    return (y == "up").astype(float) if is_regressor(kind()) else y


def check(kind, dtype, cupy, path, tolerance):
    """Raise unless an estimator says on the GPU what it says on the CPU, also when moved."""
    X, y = data(dtype)
    y = taught(kind, y)
    wanted = said(small(kind, device="cpu").fit(X, y), X)
    # NumPy in, NumPy out
    model = small(kind, device="cuda").fit(X, y)
    assert_alike(said(model, X), wanted, np.ndarray, tolerance)
    # CuPy in, CuPy out
    on_gpu = cupy.asarray(X)
    followed = small(kind).fit(on_gpu, y)
    assert_alike(said(followed, on_gpu), wanted, cupy.ndarray, tolerance)
    # Saved on a GPU, loaded on a CPU, moved to a GPU again
    mg.save(followed, path)
    loaded = mg.load(path)
    assert_alike(said(loaded, X), wanted, np.ndarray, tolerance)
    assert_alike(said(mg.to_device(loaded, "cuda"), on_gpu), wanted, cupy.ndarray, tolerance)


def check_variant(kind, changes, cupy, tolerance):
    """Raise unless a variant of an estimator says on the GPU what it says on the CPU."""
    X, y = data(layout=changes.get("modalities", LAYOUT))
    if changes.get("modalities") is WIDE:
        X = np.hstack([X, np.random.default_rng(1).normal(size=(60, 111))])
        X[:, 9:][np.isnan(X[:, 4])] = np.nan
    wanted = said(small(kind, **changes).fit(X, y), X)
    on_gpu = cupy.asarray(X)
    found = said(small(kind, **changes).fit(on_gpu, y), on_gpu)
    assert_alike(found, wanted, cupy.ndarray, tolerance)
