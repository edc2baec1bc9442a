"""Estimators of kernel weights: what they learn, absent modalities, kernels, errors."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVC

import mmgraph as mg
from mmgraph.engine import bank
from mmgraph.engine.combination import SOLVERS
from mmgraph.fusion import kernel_machine

MODALITIES = {"good": slice(0, 2), "bad": slice(2, 4)}


def rows(n=120, seed=0, n_classes=2):
    """Two columns that tell the class by their radius, and two of noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = 1 + y + 0.2 * rng.normal(size=n)
    good = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return np.hstack([good, rng.normal(size=(n, 2))]), y


X, Y = rows()
NEW, TRUTH = rows(seed=1)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_solver_classifies(solver, n_classes):
    (X, y), (new, truth) = rows(n_classes=n_classes), rows(seed=1, n_classes=n_classes)
    model = mg.MKLClassifier(solver=solver, modalities=MODALITIES).fit(X, y)
    assert model.score(new, truth) > 0.85
    assert sum(model.modality_weights_.values()) == pytest.approx(1)
    assert model.kernel_weights_.shape == (10,)
    if solver == "mean":
        assert model.alignment_["learnt"] == pytest.approx(model.alignment_["mean"])
    elif solver != "bayes":
        assert model.modality_weights_["good"] > 0.6
    if solver == "alignf":
        assert model.alignment_["learnt"] > model.alignment_["mean"]
        model.set_params(solver_params={"penalty": 0.0}).fit(X, y)
        assert model.alignment_["learnt"] >= max(model.alignment_.values()) - 1e-9
    assert (model.kernel_weights_std_ is not None) == (solver == "bayes")


def test_equal_weights_are_a_support_vector_machine():
    kernels = [("rbf", {"gamma": g}) for g in (0.3, 3.0)]
    model = mg.MKLClassifier(
        kernels, solver="mean", C=2.0, center=False, modalities=MODALITIES
    ).fit(X, Y)

    def gram(A):
        parts = [rbf_kernel(A[:, c], X[:, c], g) for c in MODALITIES.values() for g in (0.3, 3.0)]
        return np.mean(parts, axis=0)

    truth = SVC(kernel="precomputed", C=2.0).fit(gram(X), Y)
    np.testing.assert_allclose(
        model.decision_function(NEW), truth.decision_function(gram(NEW)), atol=1e-6
    )
    centred = model.set_params(center=True).fit(X, Y)
    np.testing.assert_allclose(
        centred.decision_function(NEW), truth.decision_function(gram(NEW)), atol=2e-2
    )


def test_probabilities_are_calibrated():
    hard, y = rows(600)
    hard[:, :2] += np.random.default_rng(2).normal(scale=0.5, size=(600, 2))
    model = mg.MKLClassifier(modalities=MODALITIES).fit(hard[:300], y[:300])
    p = model.predict_proba(hard[300:])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(hard[300:]))
    confidence, right = p.max(axis=1), model.predict(hard[300:]) == y[300:]
    assert abs(confidence.mean() - right.mean()) < 0.06
    silent = mg.MKLClassifier(probability=False, modalities=MODALITIES).fit(hard, y)
    with pytest.raises(AttributeError, match="predict_proba needs probability=True"):
        silent.predict_proba(hard)


def test_absent_modalities():
    rng = np.random.default_rng(0)
    (train, y), (new, truth) = rows(300), rows(300, seed=1)
    twice = np.hstack([train[:, :2], train[:, :2] + 0.3 * rng.normal(size=(300, 2))])
    again = np.hstack([new[:, :2], new[:, :2] + 0.3 * rng.normal(size=(300, 2))])
    lacking = rng.integers(0, 3, 300)
    twice[lacking == 0, :2] = np.nan
    twice[lacking == 1, 2:] = np.nan
    twice[:2] = np.nan
    model = mg.MKLClassifier(modalities=MODALITIES).fit(twice, y)
    assert model.score(again, truth) > 0.9
    for absent in (slice(0, 2), slice(2, 4)):
        alone = again.copy()
        alone[:, absent] = np.nan
        assert model.score(alone, truth) > 0.85
    nothing = np.full((2, 4), np.nan)
    np.testing.assert_allclose(model.predict_proba(nothing), [np.bincount(y) / 300] * 2)
    assert model.bank_.n_rows == 298
    weight = np.where(np.isnan(twice).all(axis=1), 1.0, 0.0)
    empty = mg.MKLClassifier(modalities=MODALITIES).fit(twice, np.arange(300) % 2, weight)
    np.testing.assert_allclose(empty.predict_proba(nothing), 0.5)
    w = model.kernel_weights_
    K = model._balanced(model.bank_.combine(w), model.bank_.present, w)
    assert np.linalg.eigvalsh(K).min() > -1e-8


def test_kernels_of_every_kind():
    def product(a, b):
        return float(a @ b)

    ready = rbf_kernel(X)
    layout = {"pixels": slice(0, 2), "counts": slice(2, 4), "row": [4]}
    data = np.column_stack([X[:, :2], np.abs(X[:, 2:]), np.arange(len(X))])
    kernels = {
        "pixels": ["rbf", ("poly", {"degree": 2}), product],
        "counts": ["chi2", "intersection", "additive_chi2", "cosine", "laplacian"],
        "row": [ready],
    }
    model = mg.MKLClassifier(kernels, modalities=layout).fit(data[:80], Y[:80])
    assert model.score(data[80:], Y[80:]) > 0.85
    names = [kernel.name for _, kernel in model.kernels_]
    assert names == [
        "rbf",
        "poly",
        product,
        "chi2",
        "intersection",
        "additive_chi2",
        "cosine",
        "laplacian",
        "precomputed",
    ]
    small = np.minimum(data[:5, None, 2:4], data[None, :5, 2:4]).sum(axis=2)
    found, _ = bank.build(
        {"counts": data[:5, 2:4]},
        {"counts": np.ones(5, bool)},
        [("counts", model.kernels_[4][1])],
        center=False,
    )
    np.testing.assert_allclose(found.combine([1.0]), small)


def test_ready_gram_matrices_in_a_grid_search():
    numbers = np.arange(len(X), dtype=float)[:, None]
    grams = [rbf_kernel(X[:, :2]), rbf_kernel(X[:, 2:])]
    model = mg.MKLClassifier(grams)
    search = GridSearchCV(model, {"C": [1.0, 10.0]}, cv=3).fit(numbers, Y)
    raw = mg.MKLClassifier([("rbf", {"gamma": 0.5})], modalities=MODALITIES)
    other = cross_val_score(raw, X, Y, cv=3)
    assert search.best_score_ == pytest.approx(other.mean(), abs=0.05)
    with pytest.raises(ValueError, match=r"row numbers from 0 to 500, but the Gram matrix has 120"):
        search.best_estimator_.predict([[0.0], [500.0]])


def test_memory_does_not_grow_with_the_number_of_kernels(monkeypatch):
    sizes = []
    empty = np.empty

    def spied(shape, *args, **kwargs):
        sizes.append(int(np.prod(shape)))
        return empty(shape, *args, **kwargs)

    largest = []
    for n_kernels in (10, 100):
        monkeypatch.setattr(bank.np, "empty", spied)
        monkeypatch.setattr(bank, "TILE_BYTES", 8 * 120 * 100)
        kernels = [("rbf", {"gamma": g}) for g in np.geomspace(0.01, 10, n_kernels)]
        mg.MKLClassifier(kernels, cache_size=0, solver="simple").fit(X, Y)
        monkeypatch.undo()
        largest.append(max(sizes))
        sizes.clear()
    assert largest[1] <= max(largest[0], 120 * 120)


def test_regression():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (200, 2))
    y = 100 + 30 * np.sin(2 * X[:, 0])
    layout = {"signal": [0], "noise": [1]}
    for solver in ("alignf", "simple", "ridge", "lp"):
        model = mg.MKLRegressor(solver=solver, modalities=layout).fit(X[:120], y[:120])
        assert model.score(X[120:], y[120:]) > 0.95
        assert model.modality_weights_["signal"] > 0.6
    alone = np.full((1, 2), np.nan)
    assert 60 < model.predict(alone)[0] < 140
    constant = mg.MKLRegressor().fit(X, np.full(200, 7.0))
    np.testing.assert_allclose(constant.predict(X[:3]), 7)


def test_representation():
    for y in (Y, X[:, 0] ** 2):
        model = mg.MKLTransformer(2, modalities=MODALITIES).fit(X, y)
        Z = model.transform(X)
        np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-8)
        np.testing.assert_allclose(Z.var(axis=0), model.explained_variance_)
        assert abs(np.corrcoef(Z.T)[0, 1]) < 1e-6
    plain = mg.MKLTransformer(2, solver="mean", modalities=MODALITIES).fit(X)
    assert set(np.round(plain.kernel_weights_, 6)) == {0.1}
    with pytest.raises(ValueError, match="solver='alignf' needs y"):
        mg.MKLTransformer(2).fit(X)


def test_weights_of_rows_and_classes():
    y = np.r_[np.zeros(100, int), np.ones(20, int)]
    data, _ = rows()
    plain = mg.MKLClassifier(probability=False).fit(data, y)
    balanced = mg.MKLClassifier(probability=False, class_weight="balanced").fit(data, y)
    assert (balanced.predict(NEW) == 1).sum() > (plain.predict(NEW) == 1).sum()
    weight = np.where(y == 1, 6.0, 1.2)
    same = mg.MKLClassifier(probability=False).fit(data, y, weight / 2)
    assert np.isfinite(same.decision_function(NEW)).all()


CLOSE_FORMS = ("mean", "align", "alignf", "single", "easy")


@pytest.mark.parametrize("solver", [*CLOSE_FORMS, "simple", "lp"])
@pytest.mark.parametrize("kind", [mg.MKLClassifier, mg.MKLRegressor])
def test_weighted_rows_are_repeated_rows(kind, solver, monkeypatch):
    exact = partial(kernel_machine.support_vectors, tol=1e-9)
    monkeypatch.setattr(kernel_machine, "support_vectors", exact)
    (data, y), counts = rows(60, n_classes=3), np.arange(60) % 4
    data[5:9, :2] = np.nan
    often = np.repeat(np.arange(60), counts)
    y = y if kind is mg.MKLClassifier else y + data[:, 3]
    fold = np.arange(60) % 7 < 3
    settings = {"solver": solver, "normalize": "trace", "modalities": MODALITIES}
    splits = [
        [[(np.flatnonzero(f), np.flatnonzero(~f)), (np.flatnonzero(~f), np.flatnonzero(f))]]
        for f in (fold, fold[often])
    ]
    models = []
    for rows_, weights, (cv,) in ((np.arange(60), counts, splits[0]), (often, None, splits[1])):
        model = kind(**settings, **({"cv": cv} if kind is mg.MKLClassifier else {}))
        models.append(model.fit(data[rows_], y[rows_], weights))
    np.testing.assert_allclose(*(m.kernel_weights_ for m in models), atol=1e-3)
    verbs = ["decision_function", "predict_proba"] if kind is mg.MKLClassifier else ["predict"]
    atol = 1e-5 if solver in CLOSE_FORMS[:4] else 1e-2
    for verb in verbs:
        np.testing.assert_allclose(*(getattr(m, verb)(NEW) for m in models), atol=atol)


def test_weights_for_each_class():
    """Two classes are told by one modality, two by the other."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    signals = np.column_stack([y == 0, y == 1, y == 2, y == 3]) + 0.3 * rng.normal(size=(400, 4))
    layout = {"first": slice(0, 2), "second": slice(2, 4)}
    model = mg.MKLClassifier(["rbf"], weights="per-class", solver="align", modalities=layout)
    model.fit(signals[:200], y[:200])
    assert model.kernel_weights_.shape == (4, 2)
    first, second = model.kernel_weights_.T
    assert (first[:2] > second[:2]).all()
    assert (first[2:] < second[2:]).all()
    assert model.score(signals[200:], y[200:]) > 0.85
    assert model.predict_proba(signals[200:]).shape == (200, 4)
    assert sum(model.modality_weights_.values()) == pytest.approx(1)
    for c in range(4):  # each machine is that of its own problem
        alone = clone(model).set_params(weights="shared").fit(signals[:200], y[:200] == c)
        np.testing.assert_allclose(alone.kernel_weights_, model.kernel_weights_[c])
        np.testing.assert_allclose(
            alone.decision_function(signals), model.decision_function(signals)[:, c], atol=1e-6
        )
    for solver in ("simple", "bayes"):
        model.set_params(solver=solver).fit(signals[:200], y[:200])
        assert model.kernel_weights_.shape == (4, 2)
        assert model.n_iter_ > 1
        assert all(len(lists) == 4 for lists in model.history_.values())
    two = clone(model).set_params(solver="align").fit(X[:, :4], Y)
    assert two.kernel_weights_.shape == (2,)
    with pytest.raises(ValueError, match="rank=5 with weights='per-class'"):
        model.set_params(rank=5).fit(signals, y)


def test_splits_for_the_probabilities():
    half = np.arange(len(X)) % 2 == 0
    splits = [
        (np.flatnonzero(half), np.flatnonzero(~half)),
        (np.flatnonzero(~half), np.flatnonzero(half)),
    ]
    one = mg.MKLClassifier(cv=splits).fit(X, Y)
    assert one.temperature_ != mg.MKLClassifier(cv=3).fit(X, Y).temperature_
    assert one.temperature_ == mg.MKLClassifier(cv=iter(splits)).fit(X, Y).temperature_
    part = mg.MKLClassifier(cv=splits[:1]).fit(X, Y)  # half of the rows are never left out
    assert np.isfinite(part.predict_proba(NEW)).all()


def test_kernels_of_no_use():
    same = [("rbf", {"gamma": 1.0})] * 4
    plain = {"solver_params": {"penalty": 0.0}, "modalities": MODALITIES}
    one = mg.MKLClassifier(same[:1], **plain).fit(X, Y)
    four = mg.MKLClassifier(same, **plain).fit(X, Y)
    np.testing.assert_allclose(one.decision_function(NEW), four.decision_function(NEW), atol=1e-2)
    constant = np.column_stack([X, np.full(len(X), 3.0)])
    for solver in SOLVERS:
        layout = {**MODALITIES, "constant": [4]}
        model = mg.MKLClassifier(solver=solver, modalities=layout).fit(constant, Y)
        assert np.isfinite(model.predict_proba(constant)).all()
    nothing = mg.MKLClassifier(["linear"]).fit(np.ones((6, 2)), [0, 1, 0, 1, 1, 1])
    assert set(nothing.predict(np.ones((2, 2)))) == {1}


def test_a_class_of_one_row():
    y = np.array(["a"] * 60 + ["b"] * 59 + ["c"])
    model = mg.MKLClassifier().fit(X, y)
    assert set(model.predict(X)) <= {"a", "b", "c"}
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scales(scale):
    one = mg.MKLClassifier(modalities=MODALITIES).fit(X, Y).decision_function(NEW)
    two = mg.MKLClassifier(modalities=MODALITIES).fit(scale * X, Y).decision_function(scale * NEW)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_sparse_rows():
    counts = np.random.default_rng(0).poisson(1.0, (60, 6)).astype(float)
    y = (counts[:, 0] > 1).astype(int)
    dense = mg.MKLClassifier(["linear", "rbf"]).fit(counts, y)
    sparse = mg.MKLClassifier(["linear", "rbf"]).fit(sp.csr_array(counts), y)
    for rows_ in (counts, sp.csr_array(counts)):
        np.testing.assert_allclose(
            dense.decision_function(counts), sparse.decision_function(rows_), atol=1e-6
        )


def test_a_solver_that_stops_early():
    with pytest.warns(ConvergenceWarning, match=r"solver='lp' stopped after 1 iterations .* raise"):
        mg.MKLClassifier(solver="lp", solver_params={"max_iter": 1}).fit(X, Y)


def minus(a, b):
    return -float(a @ b)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"kernels": [minus]},
            "kernel 'function' .* positive semi-definite .*smallest eigen",
        ),
        (
            {"kernels": [np.eye(3)]},
            "'X' has 4 columns, but with a ready Gram matrix it must be",
        ),
        ({"kernels": [np.ones((3, 4))]}, r"has shape \(3, 4\), but must be square"),
        ({"kernels": []}, "is an empty list: give one kernel at least"),
        ({"kernels": "rbf"}, r"kernels='rbf' of modality 'X': give a list"),
        ({"kernels": ["gauss"]}, "'gauss' among the kernels of modality 'X': choose a name of"),
        ({"kernels": {"Y": ["rbf"]}}, "unknown modality 'Y'"),
        ({"kernels": {}}, r"kernels has none for the modalities \['X'\]"),
        ({"solver": "best"}, "solver='best': choose one of"),
        ({"solver_params": {"p": 2}}, r"has 'p', but the settings of solver='alignf' are \['pen"),
        ({"solver_params": {"penalty": -1}}, "penalty=-1: it must be at least 0"),
        ({"solver": "lp", "solver_params": {"p": 1}}, "p=1: it must be above 1"),
        ({"solver": "cardinality", "solver_params": {"k": 9}}, "k=9: it must lie between 1 and"),
        ({"C": 0}, "C=0: it must be a number above 0"),
        ({"normalize": "max"}, "normalize='max': choose one of"),
        ({"cv": 1}, "cv=1: it must be an int at least 2"),
        ({"rank": 0}, "rank=0: it must be an int at least 1"),
        ({"weights": "own"}, "weights='own': choose one of"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        mg.MKLClassifier(**params).fit(X, Y)


def test_bad_targets():
    with pytest.raises(ValueError, match="y has one class only, 1"):
        mg.MKLClassifier().fit(X, np.ones(len(X), int))
    with pytest.raises(ValueError, match="requires y to be passed"):
        mg.MKLRegressor().fit(X, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        mg.MKLRegressor().fit(X, Y[:-1])


@pytest.mark.parametrize("kind", [mg.MKLClassifier, mg.MKLRegressor])
def test_scores_beside_the_baselines(kind):
    model = kind(solver="cardinality", solver_params={"k": 2}, modalities=MODALITIES)
    scores = model.baseline_scores(X, Y, cv=3)
    assert list(scores) == ["learnt", "mean", "single"]
    np.testing.assert_allclose(scores["learnt"], cross_val_score(model, X, Y, cv=3))
    equal = kind(solver="mean", modalities=MODALITIES)
    np.testing.assert_allclose(scores["mean"], cross_val_score(equal, X, Y, cv=3))
    one = kind(solver="single", modalities=MODALITIES).fit(X, Y)
    assert sorted(one.kernel_weights_)[-2:] == [0, 1]
    assert one.alignment_["learnt"] == pytest.approx(one.alignment_["best"])
    assert not hasattr(model, "bank_")


# Low rank ----------------------------------------------------------------------------------------


@pytest.fixture
def precise(monkeypatch):
    """Machines that are solved to many digits."""
    for name in ("support_vectors", "linear_support_vectors"):
        solve = partial(getattr(kernel_machine, name), tol=1e-5)
        monkeypatch.setattr(kernel_machine, name, solve)


@pytest.mark.usefixtures("precise")
@pytest.mark.parametrize(("solver", "atol"), [("alignf", 1e-3), ("simple", 2e-2)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_full_rank_is_exact(solver, atol, n_classes):
    (X, y), (new, _) = rows(n_classes=n_classes), rows(seed=1, n_classes=n_classes)
    X[:5, :2] = X[5:10, 2:] = np.nan
    exact = mg.MKLClassifier(solver=solver, modalities=MODALITIES, C=1.0).fit(X, y)
    whole = mg.MKLClassifier(solver=solver, modalities=MODALITIES, C=1.0, rank=120).fit(X, y)
    np.testing.assert_allclose(whole.kernel_weights_, exact.kernel_weights_, atol=1e-10)
    for name in ("decision_function", "predict_proba"):
        one, two = getattr(exact, name)(new), getattr(whole, name)(new)
        np.testing.assert_allclose(two, one, atol=atol)


@pytest.mark.usefixtures("precise")
def test_rank_of_a_regression():
    y = 100 + 30 * np.sin(2 * X[:, 0])
    exact, whole, low = (
        mg.MKLRegressor(rank=rank, random_state=0).fit(X, y) for rank in (None, 120, 60)
    )
    np.testing.assert_allclose(whole.predict(NEW), exact.predict(NEW), atol=0.1)
    assert low.score(X, y) > 0.85
    assert low.bank_.n_rows == len(low.dual_coef_) <= 60


def test_features_are_those_of_the_landmarks():
    (X, y), lacking = rows(1500), np.random.default_rng(1).integers(0, 3, 1500)
    X[lacking == 0, :2] = np.nan
    model = mg.MKLClassifier(modalities=MODALITIES, rank=40, random_state=0).fit(X, y)
    assert model.bank_.n_rows <= 40
    again = mg.MKLClassifier(modalities=MODALITIES, rank=40, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.dual_coef_, again.dual_coef_)
    shown = lacking > 0
    assert model.score(X[shown], y[shown]) > 0.9
    assert np.isfinite(model.predict_proba(np.full((2, 4), np.nan))).all()


def test_sample_of_rows_knows_each_class_and_modality():
    (X, y), rng = rows(2000), np.random.default_rng(2)
    y[7], X[:, 2:] = 2, np.nan
    X[11, 2:] = rng.normal(size=2)
    for solver in ("alignf", "simple"):
        model = mg.MKLClassifier(
            ["rbf", "poly"], solver=solver, rank=20, random_state=0, normalize="cosine",
            modalities=MODALITIES,
        ).fit(X, y)  # fmt: skip
        assert np.isfinite(model.predict_proba(X)).all()
        assert model.predict_proba(X).shape == (2000, 3)
