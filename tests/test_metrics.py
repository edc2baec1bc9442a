"""Measures against scikit-learn, brute force and integration."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import average_precision_score, r2_score

from mmgraph import metrics

RNG = np.random.default_rng(0)
SIMILARITY = RNG.normal(size=(12, 30))
RELEVANCE = RNG.random((12, 30)) < 0.2


def brute(similarity, relevance, k):
    """Precision at each relevant item among the first k, one query at a time."""
    out = []
    for s, r in zip(similarity, relevance, strict=True):
        ranked = [bool(r[i]) for i in sorted(range(len(s)), key=lambda i: (-s[i], i))]
        hits = [sum(ranked[: i + 1]) / (i + 1) for i in range(k) if ranked[i]]
        out.append(sum(hits) / min(k, sum(ranked)))
    return out


def test_average_precision_is_that_of_scikit_learn():
    expected = [average_precision_score(r, s) for s, r in zip(SIMILARITY, RELEVANCE, strict=True)]
    found = metrics.average_precision(SIMILARITY, RELEVANCE)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert metrics.mean_average_precision(SIMILARITY, RELEVANCE) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_by_brute_force(k, ties):
    similarity = np.round(SIMILARITY) if ties else SIMILARITY
    found = metrics.average_precision(similarity, RELEVANCE, k=k)
    np.testing.assert_allclose(found, brute(similarity, RELEVANCE, k), rtol=1e-12)


def test_queries_without_an_answer_are_left_out():
    relevance = RELEVANCE.copy()
    relevance[3] = False
    assert np.isnan(metrics.average_precision(SIMILARITY, relevance)[3])
    rest = np.delete(np.arange(12), 3)
    assert metrics.mean_average_precision(SIMILARITY, relevance) == pytest.approx(
        metrics.mean_average_precision(SIMILARITY[rest], RELEVANCE[rest])
    )
    for measure in (metrics.mean_average_precision, metrics.median_rank):
        with pytest.raises(ValueError, match="no query has a relevant item"):
            measure(SIMILARITY, relevance & False)


def test_precision_and_recall_at_k():
    precision, recall = metrics.precision_recall_at_k(SIMILARITY, RELEVANCE, [1, 7, 30])
    for i, k in enumerate((1, 7, 30)):
        first = np.argsort(-SIMILARITY, axis=1)[:, :k]
        hits = np.take_along_axis(RELEVANCE, first, 1).sum(axis=1)
        assert precision[i] == pytest.approx((hits / k).mean())
        assert recall[i] == pytest.approx((hits / RELEVANCE.sum(axis=1)).mean())
    assert recall[-1] == 1
    assert metrics.precision_recall_at_k(SIMILARITY, RELEVANCE, 7) == (precision[1], recall[1])


def test_recall_and_median_rank_of_partners():
    square = SIMILARITY[:, :12]
    ranks = [(row > row[i]).sum() + 1 for i, row in enumerate(square)]
    assert metrics.median_rank(square) == np.median(ranks)
    for k in (1, 3, 12):
        assert metrics.recall_at_k(square, k) == np.mean(np.array(ranks) <= k)
    first = RELEVANCE[np.arange(12), SIMILARITY.argmax(axis=1)]
    assert metrics.recall_at_k(SIMILARITY, 1, RELEVANCE) == first.mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.recall_at_k(SIMILARITY, 1), r"shape \(12, 30\), which is not square"),
        (lambda: metrics.average_precision(SIMILARITY, RELEVANCE[:5]), r"relevance has shape \(5"),
        (lambda: metrics.average_precision(SIMILARITY, SIMILARITY), "relevance must be boolean"),
        (lambda: metrics.average_precision(SIMILARITY, RELEVANCE, k=31), "k=31, but .* 30 items"),
        (lambda: metrics.average_precision(SIMILARITY, RELEVANCE, k=2.5), "k must be an int"),
        (lambda: metrics.average_precision(SIMILARITY * np.nan, RELEVANCE), "contains NaN"),
        (lambda: metrics.cross_view_r2([[1.0]], [[1.0]], [1.0]), "no variance to explain"),
        (lambda: metrics.cross_view_r2([[1.0]], [[1.0]], [1.0, 2.0]), r"mean has shape \(2,\)"),
        (lambda: metrics.cross_view_r2([[1.0]], [[1.0, 2.0]], 0.0), "they must agree"),
        (lambda: metrics.interval_coverage([1.0], [2.0], [0.0]), "lower exceeds upper"),
        (lambda: metrics.interval_coverage([1.0], [2.0, 3.0], [4.0]), "the shapes"),
        (lambda: metrics.crps([1.0], [[1.0]]), "needs two or more"),
        (lambda: metrics.crps([1.0], [1.0, 2.0]), r"must be \(n_draws"),
        (lambda: metrics.crps_gaussian(0.0, 0.0, 0.0), "std must be positive"),
        (
            lambda: metrics.canonical_correlations([[1.0], [np.nan]], [[1.0], [2.0]]),
            "needs two or more",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_canonical_correlations_of_held_out_scores(scale):
    a = RNG.normal(size=(50, 3))
    b = a + RNG.normal(size=(50, 3))
    b[:, 2] = 0.1
    b[4, 0] = np.nan
    kept = np.arange(50) != 4
    expected = [np.corrcoef(a[kept, j], b[kept, j])[0, 1] for j in range(2)]
    found = metrics.canonical_correlations(scale * a, scale * b)
    np.testing.assert_allclose(found, [*expected, 0], atol=1e-12)


def test_cross_view_r2():
    truth, mean = RNG.normal(size=(20, 4)), np.zeros(4)
    predicted = truth + 0.3 * RNG.normal(size=(20, 4))
    found = metrics.cross_view_r2(truth, predicted, truth.mean(axis=0))
    expected = r2_score(truth, predicted, multioutput="variance_weighted")
    assert found == pytest.approx(expected)
    assert metrics.cross_view_r2(truth, np.tile(mean, (20, 1)), mean) == 0
    assert metrics.cross_view_r2(1e200 * truth, 1e200 * truth, mean) == 1


def test_interval_coverage():
    truth = RNG.normal(size=(2000, 3))
    edge = norm.ppf(0.95)
    found = metrics.interval_coverage(truth, np.full_like(truth, -edge), np.full_like(truth, edge))
    assert found == pytest.approx(0.9, abs=0.02)


def test_crps_of_draws_by_brute_force():
    truth, draws = RNG.normal(size=(3, 2)), RNG.normal(size=(5, 3, 2))
    pairs = np.abs(draws[:, None] - draws[None]).sum(axis=(0, 1)) / (2 * 5 * 4)
    expected = (np.abs(draws - truth).mean(axis=0) - pairs).mean()
    assert metrics.crps(truth, draws) == pytest.approx(expected)


def test_crps_of_draws_is_unbiased():
    truth, mean, std = 0.7, 0.2, 1.3
    exact = metrics.crps_gaussian(truth, mean, std)
    for n in (2, 5):  # the fair estimator has the same expectation with few draws
        draws = RNG.normal(mean, std, (n, 200_000))
        assert metrics.crps(np.full(200_000, truth), draws) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(("t", "mean", "std"), [(0.0, 0.0, 1.0), (1.5, -0.3, 0.4)])
def test_crps_of_a_gaussian_is_the_integral(t, mean, std):
    below = quad(lambda x: norm.cdf(x, mean, std) ** 2, -np.inf, t)[0]
    above = quad(lambda x: norm.sf(x, mean, std) ** 2, t, np.inf)[0]
    assert metrics.crps_gaussian(t, mean, std) == pytest.approx(below + above, rel=1e-6)
