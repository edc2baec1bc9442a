"""Retrieval, translation by example and semantic matching."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score

import mmgraph as mg
from mmgraph.engine.regression import fit_softmax
from mmgraph.engine.retrieval import Geometry, answer, hubness, top_k, unit

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 5)), RNG.normal(size=(3, 3))


def rows(n=80, seed=1, noise=0.1, views=2):
    """Modalities that show the same three causes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    blocks = {
        name: z @ mix + noise * rng.normal(size=(n, mix.shape[1]))
        for name, mix in zip("abc"[:views], MIX, strict=False)
    }
    return mg.pack(**blocks)


X, LAYOUT = rows()
NEW = rows(20, seed=2)[0]


def fitted(X=X, modalities=LAYOUT, n_components=3, **params):
    return mg.Retriever(mg.CCA(n_components, modalities=modalities), **params).fit(X)


# The engine --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 7, 50])
@pytest.mark.parametrize("penalised", [False, True])
def test_top_k_in_blocks_is_the_sorted_whole(dtype, k, penalised):
    queries, gallery = (RNG.normal(size=(n, 6)).astype(dtype) for n in (23, 50))
    gallery[30] = gallery[4]  # a tie
    penalty = RNG.random(50) if penalised else None
    scores = queries @ gallery.T - (0 if penalty is None else penalty.astype(dtype))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    for sizes in ((1024, 16384), (5, 8), (1, 1)):
        found = top_k(queries, gallery, k, penalty=penalty, sizes=sizes)
        values = np.take_along_axis(scores, order, 1)
        np.testing.assert_allclose(found.similarities, values, atol=1e-5)
        if not penalised and sizes != (1, 1):  # products of other shapes round otherwise
            same = np.take_along_axis(scores, found.indices, 1)
            np.testing.assert_allclose(same, values, atol=1e-5)
    assert found.similarities.dtype == dtype


def test_top_k_keeps_the_order_of_ties():
    found = top_k(np.ones((2, 1)), np.ones((9, 1)), 4, sizes=(1, 3))
    np.testing.assert_array_equal(found.indices, np.tile(np.arange(4), (2, 1)))


def test_top_k_does_not_hold_the_whole_matrix():
    import tracemalloc

    points = RNG.normal(size=(30_000, 4)).astype(np.float32)
    tracemalloc.start()
    top_k(points[:3000], points, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * 3000 * 30_000 * 4 + 1e8


def test_hubness_orders_as_csls_does():
    queries, gallery = unit(RNG.normal(size=(15, 4))), unit(RNG.normal(size=(30, 4)) + 0.5)
    cosines, k = queries @ gallery.T, 3
    r_gallery = np.sort(cosines, axis=0)[-k:].mean(axis=0)
    r_queries = np.sort(cosines, axis=1)[:, -k:].mean(axis=1)
    csls = 2 * cosines - r_gallery - r_queries[:, None]
    penalty = hubness(gallery, queries, k)
    np.testing.assert_allclose(penalty, r_gallery / 2)
    found = top_k(queries, gallery, 30, penalty=penalty)
    np.testing.assert_array_equal(found.indices, np.argsort(-csls, axis=1, kind="stable"))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_unit(scale):
    Z = np.array([[3.0, 4.0], [0.0, 0.0]]) * scale
    np.testing.assert_allclose(unit(Z), [[0.6, 0.8], [0, 0]])


def test_geometry_is_the_named_similarity():
    a, b = RNG.normal(size=(9, 3)) + 1, RNG.normal(size=(9, 3)) - 2
    rho = np.array([0.9, 0.5, -0.2])

    def cosine(x, y):
        return x @ y / np.sqrt((x @ x) * (y @ y))

    ma, mb = a.mean(axis=0), b.mean(axis=0)
    expected = {
        "cosine": cosine(a[0], b[1]),
        "centred_cosine": cosine(a[0] - ma, b[1] - mb),
        "correlation": cosine((a[0] - ma) * abs(rho), (b[1] - mb) * abs(rho)),
        "inner_product": a[0] @ b[1],
    }
    for name, value in expected.items():
        geometry = Geometry.of(name, {"a": a, "b": b}, rho)
        found = geometry.points(a, "a")[0] @ geometry.points(b, "b")[1]
        assert found == pytest.approx(value)


def test_answers():
    values = RNG.normal(size=(4, 6, 2))
    weights = RNG.random((4, 6))
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        answer("mean", values, weights), np.einsum("nk,nkd->nd", weights, values)
    )
    distances = ((values[:, :, None] - values[:, None]) ** 2).sum(axis=3)
    best = np.einsum("nij,nj->ni", distances, weights).argmin(axis=1)
    np.testing.assert_array_equal(answer("medoid", values, weights), values[np.arange(4), best])
    votes = np.array([[[1.0, 0], [0, 1], [0, 1]]])
    np.testing.assert_array_equal(answer("vote", votes, np.array([[0.4, 0.3, 0.3]])), [[0, 1]])
    np.testing.assert_array_equal(answer("vote", votes, np.array([[0.6, 0.2, 0.2]])), [[1, 0]])


# The estimator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("similarity", ["cosine", "centred_cosine", "correlation"])
@pytest.mark.parametrize("hubs", [None, "csls"])
def test_every_modality_finds_its_partners(similarity, hubs):
    X, layout = rows(views=3, noise=0.02)
    retriever = fitted(X, layout, similarity=similarity, hubness=hubs)
    for source in "abc":
        for target in "abc":
            found = retriever.retrieve(X, source, target, k=5)
            hit = (found.indices == np.arange(len(X))[:, None]).any(axis=1)
            assert hit.mean() > 0.9
            assert (np.diff(found.similarities, axis=1) <= 0).all()


def test_inner_products_of_posteriors_are_probabilities_of_the_same_class():
    X, layout = rows(views=2)
    y = np.arange(len(X)) % 3
    matcher = mg.SemanticMatcher(mg.CCA(3, modalities=layout))
    retriever = mg.Retriever(matcher, similarity="inner_product").fit(X, y)
    p, q = (retriever.embedding_.embed(X, m) for m in "ab")
    found = retriever.retrieve(X, "a", "b", k=4)
    np.testing.assert_allclose(found.similarities, -np.sort(-(p @ q.T), axis=1)[:, :4])
    np.testing.assert_allclose(retriever.transform(X), p + q)
    assert 0 < retriever.score(X, y) <= 1
    assert np.isfinite(retriever.generate(X, "b")).all()


def test_retrieve_is_the_sorted_cosine():
    retriever = fitted(similarity="cosine")
    q, g = retriever.embedding_.embed(NEW, "a"), retriever.embedding_.embed(X, "b")
    cosine = q @ g.T / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(g, axis=1)
    found = retriever.retrieve(NEW, "a", "b", k=6)
    np.testing.assert_array_equal(found.indices, np.argsort(-cosine, axis=1)[:, :6])
    np.testing.assert_allclose(found.similarities, -np.sort(-cosine, axis=1)[:, :6])


def test_rows_without_the_target_are_not_retrieved():
    gaps = X.copy()
    gaps[::2, LAYOUT["b"]] = np.nan
    retriever = fitted(gaps)
    found = retriever.retrieve(NEW, "a", "b", k=40)
    assert (found.indices % 2 == 1).all()
    with pytest.raises(ValueError, match=r"k=41, but 40 gallery row\(s\) show 'b'"):
        retriever.retrieve(NEW, "a", "b", k=41)
    with pytest.raises(ValueError, match=r"'b' is absent in 40 row\(s\), first in row 0"):
        retriever.retrieve(gaps, "b", "a")


def test_a_frozen_embedding_is_not_fitted_again():
    cca = mg.CCA(3, modalities=LAYOUT).fit(X)
    retriever = mg.Retriever(FrozenEstimator(cca)).fit(NEW)
    assert retriever.embedding_ is cca
    assert len(retriever.points_["a"]) == 20
    with pytest.raises(ValueError, match="X has n_features=4"):
        mg.Retriever(FrozenEstimator(cca)).fit(NEW[:, :4])


def test_what_is_no_embedding():
    from sklearn.decomposition import PCA

    for wrong in (PCA(), "cca", FrozenEstimator(PCA())):
        with pytest.raises(TypeError, match="must be an estimator of mmgraph that has embed"):
            mg.Retriever(wrong).fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"similarity": "dot"}, r"similarity='dot': choose one of \['cosine'"),
        ({"hubness": "is"}, "hubness='is': choose one of"),
        ({"answer": "median"}, "answer='median': choose one of"),
        ({"through": "both"}, "through='both': choose one of"),
        ({"n_neighbors": 0}, "n_neighbors=0: it must be an int at least 1"),
        ({"n_hub_neighbors": 1.5}, "n_hub_neighbors=1.5"),
        ({"temperature": 0}, "temperature=0: it must be a number above 0"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        fitted(**params)


def test_vector_arithmetic():
    """A row that has a's causes but for one, which it has from b."""
    cause, rest = np.array([3.0, 0, 0]), RNG.normal(size=(30, 3)) * [0, 1, 1]
    z = np.r_[rest - cause, rest + cause]
    X, layout = mg.pack(a=z @ MIX[0], b=z @ MIX[1])
    retriever = fitted(X, layout, similarity="cosine")
    pure = np.array([-cause, cause]) @ MIX[1]
    query = retriever.combine([("a", X[:30, layout["a"]]), ("b", pure[1])], [("b", pure[0])])
    assert query.shape == (30, 3)
    np.testing.assert_allclose((query**2).sum(axis=1), 1)
    found = retriever.nearest(query, "a", 1).indices[:, 0]
    assert (found >= 30).all()
    same = retriever.combine([("a", X[:30, layout["a"]])])
    np.testing.assert_allclose(same, retriever.embed(X[:30], "a"))
    np.testing.assert_allclose(retriever.combine([("a", sp.csr_array(X[:30, layout["a"]]))]), same)
    examples = retriever.combine([("a", X[:30, layout["a"]].reshape(10, 3, -1))])
    np.testing.assert_allclose(examples, unit(same.reshape(10, 3, -1).mean(axis=1)))


@pytest.mark.parametrize(
    ("plus", "message"),
    [
        ([], "nothing to combine"),
        ([("z", [1.0])], "unknown modality 'z'"),
        ([("a", [1.0])], "'a' has 4 columns, but 1 are given"),
        ([("a", np.ones((2, 4))), ("b", np.ones((3, 5)))], r"the parts have \[2, 3\] rows"),
        ([("a", [np.nan] * 4)], "NaN"),
    ],
)
def test_what_cannot_be_combined(plus, message):
    with pytest.raises(ValueError, match=message):
        fitted().combine(plus)


def test_points_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"the space has 3 dimensions: pass what combine"):
        fitted().nearest(np.ones((2, 5)), "a")


@pytest.mark.parametrize("through", ["target", "source"])
@pytest.mark.parametrize("kind", ["mean", "medoid", "vote"])
def test_generate_by_brute_force(through, kind):
    retriever = fitted(answer=kind, through=through, n_neighbors=5, temperature=0.2)
    made = retriever.generate(NEW, "b")
    compared = retriever.points_["b" if through == "target" else "a"]
    similarity = retriever.embed(NEW, "a") @ compared.T
    for i, row in enumerate(similarity):
        best = np.argsort(-row)[:5]
        shares = np.exp(row[best] / 0.2)
        values, shares = X[best][:, LAYOUT["b"]], shares / shares.sum()
        mean = shares @ values
        if kind == "mean":
            expected = mean
        elif kind == "medoid":
            expected = values[((values - mean) ** 2).sum(axis=1).argmin()]
        else:
            expected = values[shares.argmax()]  # all are different
        np.testing.assert_allclose(made[i], expected)


def test_draws_are_gallery_rows_by_weight():
    retriever = fitted(n_neighbors=3, temperature=0.05)
    draws = retriever.generate(NEW[:2], "b", n_samples=3000, random_state=0)
    found = retriever.retrieve(NEW[:2], "a", "b", k=3)
    for i in range(2):
        weights = np.exp(found.similarities[i] / 0.05)
        for j, weight in zip(found.indices[i], weights / weights.sum(), strict=True):
            share = (draws[:, i] == X[j, LAYOUT["b"]]).all(axis=1).mean()
            assert share == pytest.approx(weight, abs=0.04)


def test_joint_draws_are_gallery_rows():
    draws = fitted().sample(200, random_state=0)
    gallery = {tuple(row) for row in X}
    assert all(tuple(row) in gallery for row in draws)
    assert len({tuple(row) for row in draws}) > 50


def test_absent_modalities_are_taken_from_one_row():
    X, layout = rows(views=3)
    retriever = fitted(X, layout)
    given = X.copy()
    given[:, layout["b"]] = given[:, layout["c"]] = np.nan
    both = retriever.sample(4, given=given, random_state=0)[..., 4:]
    gallery = {tuple(row) for row in X[:, 4:]}
    assert all(tuple(row) in gallery for row in both.reshape(-1, 8))
    disjoint = X.copy()
    disjoint[::2, layout["b"]] = disjoint[1::2, layout["c"]] = np.nan
    apart = mg.Retriever(FrozenEstimator(retriever.embedding_)).fit(disjoint)
    assert np.isfinite(apart.impute(given)).all()


def test_translation_is_better_than_the_mean():
    for through in ("target", "source"):
        made = fitted(through=through, temperature=0.02).generate(NEW, "b")
        assert mg.metrics.cross_view_r2(NEW[:, 4:], made, X[:, 4:].mean(axis=0)) > 0.4


def test_score_is_the_mean_average_precision():
    retriever = fitted()
    y = np.arange(20) % 3
    a, b = (retriever.embed(NEW, m) for m in "ab")
    same = y[:, None] == y
    expected = [
        average_precision_score(same[i], s[i]) for s in (a @ b.T, b @ a.T) for i in range(20)
    ]
    assert retriever.score(NEW, y) == pytest.approx(np.mean(expected))
    partners = [1 / ((s > s[i]).sum() + 1) for m in (a @ b.T, b @ a.T) for i, s in enumerate(m)]
    assert retriever.score(NEW) == pytest.approx(np.mean(partners))
    alone = NEW.copy()
    alone[:10, :4], alone[10:, 4:] = np.nan, np.nan
    with pytest.raises(ValueError, match="no row can be found by another modality"):
        retriever.score(alone)
    assert 0 < fitted(hubness="csls").score(NEW) <= 1


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e300])
def test_scale_does_not_matter(scale):
    one, two = fitted(), fitted(X * scale)
    np.testing.assert_array_equal(
        one.retrieve(NEW, "a", "b").indices, two.retrieve(NEW * scale, "a", "b").indices
    )


def test_sparse_gallery():
    retriever = fitted(sp.csr_array(X))
    np.testing.assert_allclose(
        retriever.generate(sp.csr_array(NEW), "b"), fitted().generate(NEW, "b"), rtol=1e-6
    )


# Semantic matching -------------------------------------------------------------------------------

Y = (X[:, 0] > 0).astype(int) + (X[:, 4] > 0)


@pytest.mark.parametrize("matching", ["correlation", "semantic", "combined"])
def test_the_three_matchings(matching):
    matcher = mg.SemanticMatcher(mg.CCA(3, modalities=LAYOUT), matching=matching).fit(X, Y)
    Z = matcher.embed(NEW, "a")
    if matching == "correlation":
        np.testing.assert_array_equal(Z, matcher.embedding_.embed(NEW, "a"))
    else:
        seen = matcher.embedding_
        features = NEW[:, :4] if seen is None else seen.embed(NEW, "a")
        np.testing.assert_allclose(Z, matcher.regressions_["a"].probabilities(features))
        np.testing.assert_allclose(Z.sum(axis=1), 1)
        none = matcher.transform(NEW * np.nan)
        np.testing.assert_allclose(none, np.tile(np.bincount(Y) / 80, (20, 1)))
    assert matcher.score(X, Y) > 0.6
    retriever = mg.Retriever(matcher).fit(X, Y)
    assert retriever.retrieve(NEW, "a", "b", k=2).indices.shape == (20, 2)


def test_correlation_matching_needs_no_labels():
    assert mg.SemanticMatcher(matching="correlation").fit(X).score(X) == 1
    with pytest.raises(ValueError, match="requires y"):
        mg.SemanticMatcher().fit(X)
    with pytest.raises(ValueError, match="matching='both'"):
        mg.SemanticMatcher(matching="both").fit(X, Y)


def test_a_class_that_a_modality_never_shows():
    gaps = X.copy()
    gaps[Y == 2, :4] = np.nan
    matcher = mg.SemanticMatcher(mg.CCA(3, modalities=LAYOUT), matching="semantic").fit(gaps, Y)
    assert (matcher.embed(NEW, "a")[:, 2] == 0).all()
    assert (matcher.embed(NEW, "b")[:, 2] > 0).all()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_softmax_regression_is_scikit_learns_at_any_scale(scale):
    from sklearn.linear_model import LogisticRegression

    x = RNG.normal(size=(90, 4))
    for n_classes in (2, 3):
        y = (x[:, 0] + x[:, 1] > 0).astype(int) + (n_classes == 3) * (x[:, 2] > 0)
        z = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0).mean())
        expected = LogisticRegression(C=0.7, tol=1e-8).fit(z, y).predict_proba(z)
        for data in (scale * x, sp.csr_array(scale * x)):
            found = fit_softmax(data, y, n_classes, 0.7).probabilities(data)
            np.testing.assert_allclose(found, expected, atol=1e-3)
