"""Latent alignment against all alignments, one by one, and what expectation and maximisation do."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import multivariate_normal

import mmgraph as mg
from mmgraph.engine.alignment_priors import Jumps, Positions, around_the_diagonal
from mmgraph.engine.codebook import Codebook
from mmgraph.engine.latent_alignment import FLOOR, Linear, Table, fit

RNG = np.random.default_rng(0)
WEIGHTS = RNG.dirichlet(np.ones(4))
PRIORS = {
    "forward": Jumps(WEIGHTS, 0, False),
    "back and forth": Jumps(WEIGHTS, -1, False),
    "open": Jumps(WEIGHTS, 0, True),
    "open, back and forth": Jumps(WEIGHTS, -2, True),
    "positions": Positions(WEIGHTS),
    "uniform": Positions.even(1),
}
each_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS.keys())


def log_prior(prior, a, n):
    """Log-probability of an alignment, from the definition."""
    if isinstance(prior, Positions):
        return sum(np.log(chances(prior, j, len(a), n)[i]) for j, i in enumerate(a))

    def jump(h, i, highest):
        places = h + prior.least + np.arange(len(prior.weights))
        allowed = prior.weights[(places >= 0) & (places <= highest)].sum()
        found = prior.weights[places == i]
        return np.log(found[0] / allowed) if len(found) else -np.inf

    if prior.open_ends:
        return -np.log(n) + sum(jump(h, i, n - 1) for h, i in itertools.pairwise(a))
    inner = sum(jump(h, i, n) for h, i in itertools.pairwise(a))
    return jump(-1, a[0], n - 1) + inner + jump(a[-1], n, n)


def chances(prior, j, m, n):
    offsets = (np.arange(n) + 0.5) / n - (j + 0.5) / m
    size = len(prior.weights)
    weights = prior.weights[np.minimum(((1 + offsets) / 2 * size).astype(int), size - 1)]
    return weights / weights.sum()


@each_prior
def test_the_sum_and_the_best_of_all_alignments(prior):
    rng = np.random.default_rng(1)
    for m, n in [(1, 1), (4, 3), (3, 4), (2, 3), (4, 1), (1, 4)]:
        costs = 3 * rng.normal(size=(m, n))
        cells = np.arange(m)
        logs = {
            a: log_prior(prior, a, n) - costs[cells, a].sum()
            for a in itertools.product(range(n), repeat=m)
        }
        found = prior.expect(costs)
        total = np.logaddexp.reduce(list(logs.values()))
        assert found.log_likelihood == pytest.approx(total, rel=1e-12)
        if total == -np.inf:
            continue
        posterior = np.zeros((m, n))
        for a, log in logs.items():
            posterior[cells, a] += np.exp(log - total)
        np.testing.assert_allclose(found.posterior, posterior, atol=1e-12)
        cost, path = prior.best(costs)
        assert cost == pytest.approx(-max(logs.values()))
        assert logs[tuple(path)] == pytest.approx(-cost)


def test_expected_jumps_are_those_of_all_alignments():
    prior, costs = PRIORS["back and forth"], RNG.normal(size=(4, 3))
    counts, total = np.zeros(4), 0.0
    for a in itertools.product(range(3), repeat=4):
        chance = np.exp(log_prior(prior, a, 3) - costs[np.arange(4), a].sum())
        jumps = np.diff([-1, *a, 3]) - prior.least
        total += chance
        if chance:
            counts += chance * np.bincount(jumps, minlength=4)
    np.testing.assert_allclose(prior.expect(costs).statistics[0], counts / total)


def test_an_alignment_that_is_bad_at_first_is_not_lost():
    """The chain may not stay behind, however bad it is to go on."""
    costs = np.zeros((60, 121))
    costs[:, 1:119] = 1e4
    costs += np.arange(121)
    prior = Jumps.even(0, 2, False)
    found = prior.expect(costs)
    path = prior.best(costs)[1]
    assert np.isfinite(found.log_likelihood)
    np.testing.assert_array_equal(np.diff(path), 2)
    np.testing.assert_allclose(found.posterior[np.arange(60), path], 1)


def test_the_linear_emission_against_scipy():
    x, y = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 2))
    gamma = RNG.dirichlet(np.ones(5), 4)
    model = Linear.best(Linear.statistics(x, y, gamma), 0.0)
    covariance = np.linalg.inv(model.root @ model.root.T)
    expected = [
        [-multivariate_normal(mean, covariance).logpdf(row) for mean in model.expected(x)]
        for row in y
    ]
    np.testing.assert_allclose(model.costs(x, y), expected)
    pairs = [(i, j) for i in range(5) for j in range(4)]
    root = np.sqrt([gamma[j, i] for i, j in pairs])[:, None]
    rows = np.array([np.r_[x[i], 1] for i, _ in pairs])
    least = np.linalg.lstsq(root * rows, root * np.array([y[j] for _, j in pairs]))[0]
    np.testing.assert_allclose(model.weights, least)


@pytest.mark.parametrize("kind", [Linear, Table])
def test_the_parameters_are_the_best(kind):
    """No step away from them raises the expected log-density."""
    if kind is Linear:
        x, y = RNG.normal(size=(9, 2)), RNG.normal(size=(7, 2))
    else:
        x, y = np.eye(3)[RNG.integers(0, 3, 9)], np.eye(4)[RNG.integers(0, 4, 7)]
    gamma = RNG.dirichlet(np.ones(9), 7)
    best = kind.best(kind.statistics(x, y, gamma), 2.0)

    def value(model):
        return model.log_prior(2.0) - (gamma * model.costs(x, y)).sum()

    for _ in range(30):
        step = 1e-2 * RNG.normal(size=best[0].shape)
        if kind is Table:
            other = best.probabilities * np.exp(step)
            other = Table(other / other.sum(axis=1, keepdims=True))
        else:
            turn = np.eye(2) + 1e-2 * RNG.normal(size=(2, 2))
            volume = best.log_volume - np.log(abs(np.linalg.det(turn)))
            other = Linear(best.weights + step, best.root @ turn, volume)
        assert value(other) < value(best)


def walks(n_pairs=12, seed=0):
    """Sources, and targets that are drawn from them along random jumps."""
    rng = np.random.default_rng(seed)
    A, pairs, paths = rng.normal(size=(5, 4)), [], []
    for _ in range(n_pairs):
        x = np.cumsum(rng.normal(size=(50, 5)), axis=0)
        a = np.cumsum(rng.choice(3, size=60, p=[0.45, 0.3, 0.25]))
        a = a[a < 50]
        pairs.append((x / x.std(axis=0), (x / x.std(axis=0))[a] @ A))
        pairs[-1][1][:] += 0.3 * rng.normal(size=pairs[-1][1].shape)
        paths.append(a)
    return pairs, paths


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@each_prior
def test_no_iteration_lowers_the_objective(prior, alpha):
    real, _ = walks()
    rng = np.random.default_rng(3)
    codes = [tuple(np.eye(6)[rng.integers(0, 6, size)] for size in (9, 11)) for _ in range(5)]
    for pairs, kind in ((real, Linear), (codes, Table)):
        _, history, _ = fit(pairs, kind, prior, alpha=alpha, max_iter=15, tol=-np.inf)
        objective = history["objective"]
        assert len(objective) == 15
        assert np.diff(objective).min() > -1e-9
        assert objective[-1] > objective[0]
        if not alpha:
            assert objective == history["log_likelihood"]


def test_jumps_find_the_way():
    pairs, paths = walks()
    model, _, converged = fit(pairs, Linear, Jumps.even(0, 3, False))
    assert converged
    even = [around_the_diagonal(len(y), len(x), 0.1).argmax(axis=1) for x, y in pairs]
    found = [model.prior.best(model.emission.costs(*pair))[1] for pair in pairs]
    gaps = [np.concatenate([abs(p - a) for p, a in zip(some, paths, strict=True)]).mean()
            for some in (even, found)]  # fmt: skip
    assert gaps[0] > 2
    assert gaps[1] < 0.7
    np.testing.assert_allclose(model.prior.weights[:3], [0.45, 0.3, 0.25], atol=0.06)


def test_words_are_translated_by_model_1():
    """The example of every textbook: which word of one language is which of the other."""
    rng = np.random.default_rng(0)
    order = rng.permutation(8)
    pairs = []
    for _ in range(60):
        words = rng.choice(8, 4, replace=False)
        pairs.append((np.eye(8)[words], np.eye(8)[order[rng.permutation(words)]]))
    model, _, _ = fit(pairs, Table, Positions.even(1), spread=np.inf, alpha=0.01, max_iter=40)
    np.testing.assert_array_equal(model.emission.probabilities.argmax(axis=1), order)
    # One iteration of the formula of Brown et al. (1993), by hand.
    first, _, _ = fit(pairs, Table, Positions.even(1), spread=np.inf, alpha=0, max_iter=1)
    t = np.zeros((8, 8))
    start = np.zeros((8, 8))
    for source, target in pairs:
        start += source.T @ np.ones((4, 4)) / 4 @ target
    start /= start.sum(axis=1, keepdims=True)
    for source, target in pairs:
        for f in target.argmax(axis=1):
            e = source.argmax(axis=1)
            t[e, f] += start[e, f] / start[e, f].sum()
    np.testing.assert_allclose(first.emission.probabilities, t / t.sum(axis=1, keepdims=True))


def test_codes():
    one_hot = np.eye(3)[[2, 0, 1, 1]]
    book = Codebook.of(one_hot, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(book.encode(one_hot), one_hot)
    rows = np.repeat([[0.0, 0], [5, 5], [9, 0]], 10, axis=0) * 1e12
    rows += 1e10 * np.random.default_rng(0).normal(size=rows.shape)
    book = Codebook.of(rows, 3, np.random.default_rng(0))
    shares = book.encode(rows)
    assert shares.sum(axis=0).tolist() == [10, 10, 10]
    np.testing.assert_allclose(book.decode(shares[[0]])[0], rows[:10].mean(axis=0))
    assert len(Codebook.of(np.ones((4, 2)), 3, np.random.default_rng(0)).centres) == 1


# The estimator -----------------------------------------------------------------------------------

TIME = np.linspace(0, 1, 90)
LATE = np.linspace(0, 1, 70) ** 1.4
LAYOUT = {"a": slice(0, 2), "b": slice(2, 5)}


def curve(time):
    return np.c_[np.sin(8 * time), time * np.cos(9 * time)]


def other(time):
    x, y = curve(time).T
    return np.c_[x + 2 * y, 3 * x - y, y - x]


def padded(one, two):
    X = np.full((max(len(one), len(two)), one.shape[1] + two.shape[1]), np.nan)
    X[: len(one), : one.shape[1]] = one
    X[: len(two), one.shape[1] :] = two
    return X


X = padded(curve(TIME), other(LATE))


@pytest.mark.parametrize("reference", ["a", "b"])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_streams_of_different_features(reference, scale):
    model = mg.LatentAligner(reference=reference, modalities=LAYOUT).fit(X * scale)
    (found,) = model.align(X * scale)
    own, away = ("a", "b") if reference == "a" else ("b", "a")
    path, posterior = found.paths[away], found.posteriors[away]
    times = {"a": TIME, "b": LATE}
    assert abs(times[own][path[:, 0]] - times[away][path[:, 1]]).mean() < 0.01
    assert posterior.shape == (len(times[own]), len(times[away]))
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    assert abs(times[own] - posterior @ times[away]).mean() < 0.01
    assert np.diff(model.history_[away]["objective"]).min() > -1e-9
    shift = len(LAYOUT) and np.log(scale) * (2 if reference == "a" else 3)
    usual = mg.LatentAligner(reference=reference, modalities=LAYOUT).fit(X)
    assert model.score(X * scale) == pytest.approx(usual.score(X) - shift)


@pytest.mark.parametrize(
    ("emission", "prior", "most"),
    [
        ("codebook", "jumps", 0.05),
        ("categorical", "jumps", 0.1),
        ("linear", "positions", 0.1),
        ("linear", "uniform", 0.51),  # of one sequence it says nothing
    ],
)
def test_every_emission_and_prior(emission, prior, most):
    model = mg.LatentAligner(emission, prior, n_codes=12, random_state=0, modalities=LAYOUT).fit(X)
    path = model.align(X)[0].paths["b"]
    assert abs(TIME[path[:, 0]] - LATE[path[:, 1]]).mean() < most
    assert np.isfinite(model.score(X))
    translated = model.translate(X, "b")
    assert np.isnan(translated[70:]).all()
    assert np.isfinite(translated[:70]).all()


def test_translation_is_that_of_the_features():
    model = mg.LatentAligner(modalities=LAYOUT).fit(X)
    np.testing.assert_allclose(model.translate(X, "b")[:70], curve(LATE), atol=0.05)
    assert model.translate(X.astype(np.float32), "b").dtype == np.float32
    with pytest.raises(ValueError, match=r"'a' is the reference.*choose one of \['b'\]"):
        model.translate(X, "a")
    with pytest.raises(ValueError, match="unknown modality 'c'"):
        model.translate(X, "c")


def test_more_columns_than_frames_copies_and_constants():
    wide = other(LATE) @ np.random.default_rng(0).normal(size=(3, 150))
    wide = np.hstack([wide, wide[:, :5], np.ones((70, 1))])
    many = padded(curve(TIME), wide)
    layout = {"a": slice(0, 2), "b": slice(2, 158)}
    for reference in ("a", "b"):
        model = mg.LatentAligner(reference=reference, modalities=layout).fit(many)
        assert np.isfinite(model.score(many))
        path = model.align(many)[0].paths["b" if reference == "a" else "a"]
        one, two = (TIME, LATE) if reference == "a" else (LATE, TIME)
        assert abs(one[path[:, 0]] - two[path[:, 1]]).mean() < 0.03


def test_streams_of_constants_have_no_better_path_than_another():
    rows = np.ones((9, 5))
    model = mg.LatentAligner(modalities=LAYOUT).fit(rows)
    assert np.isfinite(model.score(rows))
    np.testing.assert_array_equal(model.transform(rows), rows)


def test_noise_is_predicted_worse_than_a_stream():
    rng = np.random.default_rng(0)
    noise = padded(curve(TIME), rng.normal(size=(70, 3)))
    model = mg.LatentAligner(modalities=LAYOUT)
    assert model.fit(X).score(X) > model.fit(noise).score(noise) + 0.5


def test_the_variance_has_a_floor():
    rows = np.tile(np.arange(20.0)[:, None], 5)
    root = mg.LatentAligner(modalities=LAYOUT).fit(rows).models_["b"].emission.root
    assert np.linalg.eigvalsh(root @ root.T).max() <= 1 / FLOOR * (1 + 1e-9)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"emission": "x"}, "emission='x': choose one of"),
        ({"prior": "x"}, "prior='x': choose one of"),
        ({"jumps": 3}, r"jumps=3: it must be a pair of ints"),
        ({"jumps": (1, 3)}, r"jumps=\(1, 3\): it must be a pair"),
        ({"jumps": (0, 0)}, "the greatest at least 1"),
        ({"jumps": (0, 1.5)}, "pair of ints"),
        ({"spread": 0}, "spread=0: it must be a number above 0"),
        ({"alpha": -1}, "alpha=-1: it must be a number at least 0"),
        ({"n_codes": 0}, "n_codes=0: it must be an int at least 1"),
        ({"n_bins": 0}, "n_bins=0"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"tol": np.nan}, "tol=nan"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        mg.LatentAligner(modalities=LAYOUT, **params).fit(X)


def test_jumps_that_are_too_short():
    short = padded(curve(TIME[:5]), other(LATE))
    message = (
        r"no alignment of 5 frames with 70 is possible by jumps=\(0, 3\), which pass over at most 2"
    )
    with pytest.raises(ValueError, match=message):
        mg.LatentAligner(modalities=LAYOUT).fit(short)
    model = mg.LatentAligner(modalities=LAYOUT).fit(X)
    with pytest.raises(ValueError, match=f"rows 0 to 69: {message}"):
        model.align(short)
    assert model.score(short) == -np.inf
    assert mg.LatentAligner(open_ends=True, modalities=LAYOUT).fit(short).align(short)[0].paths


@pytest.mark.parametrize("prior", ["positions", "jumps", "uniform"])
def test_codes_that_never_went_together(prior):
    layout = {"a": slice(0, 2), "b": slice(2, 4)}
    rows = np.c_[np.eye(2)[[0] * 5 + [1] * 5], np.eye(2)[[0] * 5 + [1] * 5]]
    model = mg.LatentAligner("categorical", prior, alpha=0, spread=0.05, modalities=layout)
    model.fit(rows)
    assert np.isfinite(model.score(rows))
    model.models_["b"] = model.models_["b"]._replace(emission=Table(np.eye(2)))
    others = rows[:5, [1, 0, 2, 3]]
    assert model.score(others) == -np.inf
    with pytest.raises(ValueError, match=r"of 5 frames with 5 is possible: their codes never go"):
        model.align(others)


def test_streams_that_are_never_together():
    rows = np.c_[np.repeat([0, 1], 90), np.vstack([X, X])]
    rows[:90, 1:3] = np.nan
    rows[90:, 3:] = np.nan
    layout = {"a": [1, 2], "b": [3, 4, 5]}
    with pytest.raises(ValueError, match="no sequence shows both 'a' and 'b'"):
        mg.LatentAligner(modalities=layout, sequence=0).fit(rows)


def test_three_streams_and_one_without_the_reference():
    layout = {"a": [1, 2], "b": [3, 4, 5], "c": [6, 7]}
    early = np.linspace(0, 1, 90) ** 0.8
    one = np.c_[np.zeros(90), X, early[:, None] * [1, 2] + curve(early)]
    two = one.copy()
    two[:, 0], two[:, 1:3] = 1, np.nan
    model = mg.LatentAligner(modalities=layout, sequence=0).fit(np.vstack([one, two]))
    first, second = model.align(np.vstack([one, two]))
    assert set(first.paths) == set(first.posteriors) == {"b", "c"}
    path = first.paths["c"]
    assert abs(TIME[path[:, 0]] - early[path[:, 1]]).mean() < 0.02
    assert (second.clock, second.paths, dict(second.posteriors)) == ("b", {}, {})
    assert model.score(np.vstack([one, two])) == pytest.approx(model.score(one))
    assert model.score(two) == 0
    warped = model.transform(two)
    np.testing.assert_array_equal(warped[:, 3:6], two[:, 3:6])
    assert np.isnan(warped[:, 6:]).all()


def test_words_in_csr_rows():
    rng = np.random.default_rng(0)
    words = [
        np.hstack([np.eye(5)[(w := rng.permutation(5))], np.eye(5)[w[::-1]]]) for _ in range(9)
    ]
    rows = np.c_[np.repeat(np.arange(9), 5), np.vstack(words)]
    layout = {"a": slice(1, 6), "b": slice(6, 11)}
    model = mg.LatentAligner("categorical", "uniform", alpha=0.1, modalities=layout, sequence=0)
    dense = model.fit(rows).translate(rows, "b")
    sparse = model.fit(sp.csr_array(rows)).translate(sp.csr_array(rows), "b")
    np.testing.assert_allclose(dense, sparse)
    np.testing.assert_allclose(dense.sum(axis=1), 1)
    table = model.models_["b"].emission.probabilities
    np.testing.assert_allclose(table.sum(axis=1), 1)
