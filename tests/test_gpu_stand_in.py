"""With ``device="cuda"`` every estimator says what it says on the CPU; on a stand-in for CuPy."""

import ast
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from cupy_stand_in import MODULES, counted, installed, names_of, ndarray, recorded
from device_checks import (
    COMPUTE_ON_GPU,
    LAYOUT,
    ON_CPU_ONLY,
    VARIANTS,
    check,
    check_variant,
    data,
    small,
)
from estimators import over
from joblib import parallel_config
from sklearn.frozen import FrozenEstimator

import mmgraph as mg
from benchmarks import gpu
from mmgraph.backend.arrays import to_numpy
from mmgraph.engine import arc_recursions


@pytest.fixture
def cupy():
    with installed() as module:
        yield module


@over(kinds=COMPUTE_ON_GPU)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-7), (np.float32, 2e-3)])
def test_same_answers(kind, dtype, tolerance, cupy, tmp_path):
    check(kind, dtype, cupy, tmp_path / "model", tolerance)


@pytest.mark.parametrize(("kind", "changes"), VARIANTS)
def test_same_answers_of_variants(kind, changes, cupy):
    check_variant(kind, changes, cupy, 1e-7)


@pytest.mark.parametrize("kind", ON_CPU_ONLY)
def test_others_refuse_in_words(kind, cupy):
    X, y = data()
    with pytest.raises(TypeError, match=r"computes on the CPU only: pass cupy.asnumpy\(X\)"):
        small(kind).fit(cupy.asarray(X), y)


def test_kernels_of_counts(cupy):
    X = abs(data()[0])
    for kernel in ("chi2", "additive_chi2", "intersection", "sigmoid", "polynomial"):
        model = mg.KernelCCA(kernel=kernel, modalities=LAYOUT, shrinkage=0.5)
        wanted = model.fit(X).transform(X)
        found = model.fit(cupy.asarray(X)).transform(cupy.asarray(X)).get()
        # Of counts two columns may tie for what fixes the sign.
        np.testing.assert_allclose(abs(found), abs(wanted), 1e-6, 1e-6)


def test_what_only_some_estimators_answer(cupy):
    X, _ = data()
    on_gpu, pairs = cupy.asarray(X), []
    for rows in (X, on_gpu):
        cca = small(mg.CCA).fit(rows)
        test = cca.permutation_test(rows, 20, random_state=0)
        pcca = small(mg.ProbabilisticCCA).fit(rows)
        given = pcca.conditional(rows, "a")
        part = mg.CCA(modalities=LAYOUT).partial_fit(rows[:30]).partial_fit(rows[30:])
        merged = (
            mg.CCA(modalities=LAYOUT).fit(rows[:30]).merge(mg.CCA(modalities=LAYOUT).fit(X[30:]))
        )
        retriever = mg.Retriever(mg.CCA(modalities=LAYOUT)).fit(rows)
        shown = rows[10:20]
        near = retriever.retrieve(shown, "a", "b", 3)
        moved = retriever.combine([("a", shown[:2, :4])], [("b", shown[:2, 4:])])
        pairs.append(
            [
                *(cca.score(rows), test.p_values, test.statistics, part.weights_["b"]),
                merged.weights_["b"],
                *(*given, *given.interval(0.8), pcca.means_["a"], pcca.loadings_["b"]),
                *(pcca.noise_covariances_["a"], near.indices, near.similarities, moved),
                *(retriever.score(rows), retriever.nearest(moved, "b", 2).indices),
            ]
        )
    for wanted, found in zip(*pairs, strict=True):
        found = found.get() if isinstance(found, ndarray) else found
        np.testing.assert_allclose(found, wanted, 1e-8, 1e-8)


@pytest.mark.parametrize("kind", [mg.ProbabilisticCCA, mg.RBM])
def test_draws_without_rows_are_where_the_training_rows_were(kind, cupy):
    X, _ = data()
    wanted = small(kind).fit(X).sample(3, random_state=0)
    moved, followed = small(kind, device="cuda").fit(X), small(kind).fit(cupy.asarray(X))
    for model, place in ((moved, np.ndarray), (followed, ndarray)):
        found = model.sample(3, random_state=0)
        assert isinstance(found, place)
        np.testing.assert_allclose(to_numpy(found), wanted, 1e-4, 1e-4)


def test_embeddings_that_are_fitted_already(cupy):
    X, y = data()
    X = X[:50][~np.isnan(X[:50]).any(axis=1)]
    on_cpu = small(mg.CCA).fit(X)
    wanted = mg.Retriever(FrozenEstimator(on_cpu)).fit(X).transform(X)
    frozen = FrozenEstimator(mg.to_device(on_cpu, "cuda"))
    for rows in (X, cupy.asarray(X)):
        found = mg.Retriever(frozen).fit(rows).transform(rows)
        assert type(found) is type(rows)
        np.testing.assert_allclose(to_numpy(found), wanted, 1e-9, 1e-9)
    with pytest.raises(TypeError, match="this CCA is on the CPU"):
        mg.Retriever(FrozenEstimator(on_cpu)).fit(cupy.asarray(X))
    for embedding in (frozen, mg.CCA(device="cuda", modalities=LAYOUT)):
        with pytest.raises(ValueError, match="SemanticMatcher computes on the CPU only"):
            mg.SemanticMatcher(embedding).fit(X, y[: len(X)])
    machine = mg.RBM(4, max_iter=1, modalities=LAYOUT, device="cuda", random_state=0)
    by_machine = mg.Retriever(machine).fit(X)
    assert isinstance(by_machine.transform(X), np.ndarray)


LOOPS = [
    (mg.ProbabilisticCCA, {"noise": "diagonal", "tol": 0.0}),
    (mg.SparseCCA, {"tol": 0.0, "penalty": 0.8}),
    (mg.ContrastiveEmbedding, {"batch_size": 30}),
    (mg.RBM, {"batch_size": 30}),
    (mg.MultimodalDBM, {"batch_size": 30, "pretrain_iter": 0}),
    (mg.MultiStreamHMM, {"n_states": 2, "tol": 0.0}),
]


@pytest.mark.parametrize(("kind", "changes"), LOOPS)
def test_no_round_trip_inside_a_training_loop(kind, changes, cupy):
    X = cupy.asarray(data()[0])
    costs = []
    for max_iter in (4, 8):
        model = small(kind, max_iter=max_iter, device="cuda", **changes)
        with counted() as copies:
            model.fit(X)
        costs.append(copies)
    steps = 4
    # A few numbers an iteration decide whether to go on and are recorded; no array comes back.
    back = (costs[1].numbers_to_host - costs[0].numbers_to_host) / steps
    assert back <= 64
    # A batch's row numbers, and of what streams its rows, go there; nothing else does.
    there = (costs[1].numbers_to_device - costs[0].numbers_to_device) / steps
    assert there <= (4 * 60 * 9 if model._streams else 8 * 60)


def test_gram_matrices_of_single_kernels_stay_on_the_gpu(cupy):
    X, y = data()
    costs = []
    for n_widths in (5, 10):
        kernels = [("rbf", {"gamma": gamma}) for gamma in np.logspace(-2, 1, n_widths)]
        with counted() as copies:
            small(mg.MKLClassifier, kernels=kernels, probability=False).fit(cupy.asarray(X), y)
        costs.append(copies.numbers_to_host)
    # The combination goes to the machine once; of each kernel its sums over the rows are known.
    assert costs[0] >= 57**2
    assert (costs[1] - costs[0]) / 10 <= 4 * 60 < 57**2


def counts_in_sequences():
    """Counts, flags and categories of seven sequences of which some lack a stream."""
    rng = np.random.default_rng(0)
    state = np.arange(70) // 5 % 2
    flags = (rng.random((70, 2)) < 0.2 + 0.6 * state[:, None]).astype(float)
    flags[20:30] = np.nan
    X, modalities = mg.pack(
        counts=rng.poisson(1 + 4 * state)[:, None],
        flags=flags,
        kind=np.eye(3)[(state + rng.integers(2, size=70)) % 3],
        sequence=np.arange(70) // 10,
    )
    emissions = {"counts": "poisson", "flags": "bernoulli", "kind": "categorical"}
    columns = {"emissions": emissions, "sequence": 0, "modalities": modalities}
    return X, state, columns


def test_sequences_with_known_states_in_batches_and_over_block_borders(cupy, monkeypatch):
    X, state, columns = counts_in_sequences()
    known = np.where(np.arange(70) % 7 == 0, state, -1)
    pairs = []
    for rows in (X, cupy.asarray(X)):
        model = mg.MultiStreamHMM(2, max_iter=4, random_state=0, **columns)
        model.fit(rows, states=known)
        batch = mg.MultiStreamHMM(2, random_state=0, **columns).partial_fit(rows).partial_fit(rows)
        draws = model.generate(rows, "flags", n_samples=3, random_state=0)
        alone = model.embed(rows, "counts")
        found = [model.score_samples(rows), model.transform(rows), draws, alone]
        found += [model.transition_, batch.means_["counts"], model.predict(rows), model.bic(rows)]
        pairs.append([to_numpy(value) for value in found])
        monkeypatch.setattr("mmgraph.engine.arc_recursions.LARGEST", 50)
    for wanted, found in zip(*pairs, strict=True):
        np.testing.assert_allclose(found, wanted, 1e-8, 1e-8)


@pytest.mark.parametrize("topology", ["ergodic", "left-right"])
def test_long_sequences_are_cut(topology, cupy, monkeypatch):
    rng = np.random.default_rng(0)
    state = np.minimum(np.arange(300) // 40, 2)
    frames = 2.0 * state[:, None] + rng.normal(size=(300, 2))
    frames[100:110] = np.nan
    X, modalities = mg.pack(a=frames, sequence=np.arange(300) // 170)
    pairs, asked, ends = [], [], arc_recursions._ends
    monkeypatch.setattr(arc_recursions, "_ends", lambda *a: asked.append(len(a[0])) or ends(*a))
    monkeypatch.setattr(arc_recursions, "SHORTEST", 13)
    for rows in (X, cupy.asarray(X)):
        model = mg.MultiStreamHMM(
            3, topology=topology, max_iter=5, tol=0, sequence=0, modalities=modalities
        ).set_params(random_state=0)
        found = [model.fit(rows).transform(rows), model.score_samples(rows), model.transition_]
        pairs.append([*map(to_numpy, found), model.history_["log_likelihood"]])
        assert set(asked) == (set() if rows is X else {14 + 10})
    for wanted, found in zip(*pairs, strict=True):
        np.testing.assert_allclose(found, wanted, 1e-8, 1e-8)


def test_an_impossible_frame_of_a_long_sequence(cupy, monkeypatch):
    monkeypatch.setattr("mmgraph.engine.arc_recursions.SHORTEST", 10)
    kind = np.eye(3)[np.arange(100) % 2]
    model = mg.MultiStreamHMM(2, emissions="categorical", random_state=0).fit(kind)
    odd = kind.copy()
    odd[50] = [0, 0, 1]  # never seen
    wanted, found = (
        m.score_samples(X) for m, X in ((model, odd), (mg.to_device(model, "cuda"), odd))
    )
    assert np.isneginf(wanted[50])
    np.testing.assert_allclose(found, wanted, 1e-8)


def test_classes_of_sequences(cupy):
    X, _, columns = counts_in_sequences()
    emissions = columns.pop("emissions")
    y = np.repeat(["a", "b", "a", "b", "a", "b", "a"], 10)
    pairs = []
    for rows in (X, cupy.asarray(X)):
        model = mg.MultiStreamHMM(2, emissions=emissions, max_iter=3, random_state=0)
        model = mg.HMMClassifier(model, **columns).fit(rows, y).tune(rows, y)
        found = [model.decision_function(rows), model.score_sequences(rows, y)]
        pairs.append([*map(to_numpy, found), [*model.stream_weights_.values()]])
        labels = model.predict(rows)
        assert isinstance(labels, np.ndarray)
    for wanted, found in zip(*pairs, strict=True):
        np.testing.assert_allclose(found, wanted, 1e-8, 1e-8)


def test_workers_are_not_given_what_is_on_a_gpu(cupy):
    X = data()[0]
    with parallel_config("loky", n_jobs=2):
        model = small(mg.MultiStreamHMM).fit(cupy.asarray(X))
    wanted = small(mg.MultiStreamHMM).fit(X).transform(X)
    np.testing.assert_allclose(model.transform(X), wanted, 1e-8, 1e-8)


def test_chains_that_are_too_wide_are_refused_in_words(cupy, monkeypatch):
    monkeypatch.setattr("mmgraph.backend.kernels.sequences_cuda.WIDTHS", (1, 2))
    from mmgraph.backend.kernels import sequences_cuda

    with pytest.raises(ValueError, match=r"at most 2 states, but this one has 3: fit with device"):
        sequences_cuda._kernels(np.zeros((4, 3)))


def test_no_names_but_those_of_cupy():
    """What the code calls as ``xp.name(...)`` is in CuPy, with the parameters that it is given."""
    unknown = []
    for path in sorted(Path(mg.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = _dotted(node.func) if isinstance(node, ast.Call) else None
            if name is None or name[0] != "xp" or name[-1] in ("reduce", "accumulate", "at"):
                continue
            known = recorded()[".".join(["cupy", *name[1:-1]])].get(name[-1])
            given = {keyword.arg for keyword in node.keywords}
            if known == "ufunc":
                known = ["out", "dtype", "casting"]
            if known is None or (isinstance(known, list) and not _takes(known, given)):
                unknown.append(f"{path.name}:{node.lineno} {'.'.join(name)} {sorted(given)}")
    assert not unknown


def _dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) and parts else None


def _takes(parameters, given):
    return given <= set(parameters) or any(p.startswith("**") for p in parameters)


def test_the_record_is_that_of_the_installed_cupy():
    spec = importlib.util.find_spec("cupy")
    if spec is None:
        pytest.skip("CuPy is not installed")
    import cupy

    found = names_of(cupy, Path(spec.origin).parents[1])
    for module in (*MODULES, "ndarray"):
        assert found[module] == recorded()[module]


def test_too_little_memory_is_said_in_words(cupy):
    X, _ = data()
    cupy.cuda.runtime.memGetInfo = lambda: (X.nbytes // 2, X.nbytes)
    with pytest.raises(MemoryError, match=r"room for 30 of its rows.*batch_size.*device='cpu'"):
        small(mg.CCA, device="cuda").fit(X)


def test_memory_that_ends_in_a_training_loop_is_said_in_words(cupy, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError("Out of memory allocating 8 bytes")

    monkeypatch.setattr("mmgraph.engine.network._step", full)
    with pytest.raises(MemoryError, match="allocating 8 bytes; lower batch_size"):
        small(mg.ContrastiveEmbedding, device="cuda").fit(data()[0])


def test_ready_gram_matrices_stay_on_the_cpu(cupy):
    y = data()[1]
    ids, K = np.arange(60.0)[:, None], np.eye(60)
    model = mg.MKLClassifier(kernels=[K], modalities={"row": [0]})
    with pytest.raises(TypeError, match=r"a Gram matrix of .* on the CPU only: fit with device"):
        model.fit(cupy.asarray(ids), y)


def test_models_do_not_change_places_by_themselves(cupy):
    X, _ = data()
    model = small(mg.CCA).fit(X)
    with pytest.raises(TypeError, match=r"is on the CPU: move it with mmgraph.to_device"):
        model.transform(cupy.asarray(X))
    with pytest.raises(TypeError, match="computes on the CPU only"):
        mg.to_device(mg.TrajectoryHMM(), "cuda")
    assert isinstance(small(mg.CCA, device="cpu").fit(X).transform(cupy.asarray(X)), ndarray)
    on_gpu = mg.to_device(model, "cuda")
    assert isinstance(on_gpu.weights_["a"], ndarray)
    assert isinstance(model.weights_["a"], np.ndarray)
    back = mg.to_device(on_gpu, "cpu")
    np.testing.assert_array_equal(back.transform(X), model.transform(X))


def test_sparse_rows_are_refused_on_the_gpu_in_words(cupy):
    X = np.abs(np.nan_to_num(data()[0]))
    with pytest.raises(TypeError, match=r"dense rows only: pass X.toarray\(\)"):
        small(mg.CCA, device="cuda").fit(sp.csr_array(X))


def test_rows_of_bad_shape_or_value_are_refused(cupy):
    X = cupy.asarray(data()[0])
    model = small(mg.CCA).fit(X)
    for bad, message in (
        (X[0], "Expected 2D array"),
        (X[:0], "minimum of 1 is required"),
        (X[:, :5], "expecting 9 features"),
        (cupy.full((2, 9), np.inf), "contains infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            model.transform(bad)


def test_the_stand_in_is_strict(cupy):
    x, rows = cupy.asarray([1.0, 2.0]), np.array([0])
    for wrong in (
        lambda: np.asarray(x),
        lambda: np.sqrt(x),
        lambda: np.sum(x),
        lambda: x + np.ones(2),
        lambda: np.ones(2) * x,
        lambda: x[rows],
        lambda: cupy.concatenate([x, np.ones(2)]),
        lambda: cupy.sum([1.0, 2.0]),
        lambda: cupy.divide(x, x, where=x > 0),
        lambda: x.max(initial=0.0),
        lambda: cupy.linalg.pinv(x[None], hermitian=True),
    ):
        with pytest.raises(TypeError):
            wrong()
    assert not hasattr(cupy, "block")
    with counted() as copies:
        float(x[0]), x.get(), cupy.asarray(rows), cupy.asarray(x)
    assert (copies.to_host, copies.to_device) == (2, 1)


def test_the_benchmark_runs(cupy):
    cupy.cuda.Device = lambda: SimpleNamespace(synchronize=lambda: None)
    found = list(gpu.run(cupy, shrink=100))
    assert len(found) == 10
    assert all(row["wall-s"] > 0 for row in found)
    assert "InfoNCE" in gpu.report({"device": "a stand-in", "jobs": found})
