"""Forced alignment: borders against enumeration of all paths, and the estimator."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

import mmgraph as mg
from mmgraph.engine import concatenation, markov
from mmgraph.engine.concatenation import Unit
from mmgraph.engine.emissions import Gaussian
from mmgraph.engine.markov import Stream

RNG = np.random.default_rng(0)


def unit(rng, n_states, *, left_right=True, weight=1.0):
    """A unit with random parameters, of one stream with two columns."""
    matrix = rng.random((n_states, n_states))
    if left_right:
        matrix = np.triu(np.tril(matrix, 1))
    start = np.arange(n_states) == 0 if left_right else rng.random(n_states)
    emission = Gaussian(rng.normal(size=(n_states, 2)), rng.uniform(0.5, 2, (n_states, 2)))
    return Unit(
        start / start.sum(),
        matrix / matrix.sum(axis=1, keepdims=True),
        rng.uniform(0.1, 0.9, n_states),
        (Stream(emission, weight=weight),),
    )


def features(rng, n):
    x = rng.normal(size=(n, 2))
    return (Gaussian.features(x, np.ones(n, bool)),)


def ways(units, order, silence):
    """All that the chain may do, step by step: slot by slot which units, and their probability."""
    if silence is None:
        yield list(order), 1.0
        return
    for gaps in itertools.product([False, True], repeat=len(order) + 1):
        slots = [silence] if gaps[0] else []
        for k, gap in zip(order, gaps[1:], strict=True):
            slots += [k, silence] if gap else [k]
        yield slots, 0.5 ** len(gaps)


def enumerated(units, order, features, silence=None):
    """Probability of each way through the units: borders, best borders and the likelihood."""
    n = len(features[0])
    likelihoods = [
        u.streams[0].weight * u.streams[0].emission.log_likelihood(features[0]) for u in units
    ]
    found = {}
    for slots, share in ways(units, order, silence):
        for cuts in itertools.combinations(range(1, n), len(slots) - 1):
            edges = [0, *cuts, n]
            spans = list(itertools.pairwise(edges))
            inner = []
            for k, (a, b) in zip(slots, spans, strict=True):
                u = units[k]
                for path in itertools.product(range(u.n_states), repeat=b - a):
                    p = u.start[path[0]] * np.exp(likelihoods[k][a, path[0]])
                    for t in range(1, b - a):
                        i, j = path[t - 1], path[t]
                        p *= (1 - u.leave[i]) * u.matrix[i, j] * np.exp(likelihoods[k][a + t, j])
                    inner.append((k, a, b, p * u.leave[path[-1]]))
            sums, tops = [], []
            for k, (a, b) in zip(slots, spans, strict=True):
                own = [p for q, c, d, p in inner if (q, c, d) == (k, a, b)]
                sums.append(sum(own))
                tops.append(max(own))
            kept = tuple(s for k, s in zip(slots, spans, strict=True) if k != silence)
            total, best = found.get(kept, (0.0, 0.0))
            way = share * np.prod(sums), share * np.prod(tops)
            found[kept] = total + way[0], max(best, way[1])
    return found


def check(units, order, n, silence=None, seed=0):
    x = features(np.random.default_rng(seed), n)
    truth = enumerated(units, order, x, silence)
    border = concatenation.align(units, order, x, silence)
    total = sum(p for p, _ in truth.values())
    begin, end = np.zeros((2, len(order), n))
    for spans, (p, _) in truth.items():
        for i, (a, b) in enumerate(spans):
            begin[i, a] += p / total
            end[i, b - 1] += p / total
    np.testing.assert_allclose(border.begin, begin, atol=1e-12)
    np.testing.assert_allclose(border.end, end, atol=1e-12)
    np.testing.assert_allclose(border.log_likelihood, np.log(total), rtol=1e-12)
    best = max(truth, key=lambda spans: truth[spans][1])
    assert border.spans.tolist() == [list(span) for span in best]


@pytest.mark.parametrize("order", [[0], [0, 1], [1, 1], [0, 1, 0]])
@pytest.mark.parametrize("left_right", [True, False])
def test_borders_are_those_of_all_paths(order, left_right):
    units = [unit(RNG, 2, left_right=left_right), unit(RNG, 3, left_right=left_right)]
    check(units, order, 5)


@pytest.mark.parametrize("order", [[0], [0, 1], [1, 1]])
def test_silence_may_be_or_not(order):
    units = [unit(RNG, 2), unit(RNG, 1), unit(RNG, 2)]
    check(units, order, 5, silence=2)


def test_weighted_streams():
    units = [unit(RNG, 2, weight=0.3), unit(RNG, 2, weight=0.3)]
    check(units, [1, 0], 5)


def test_as_many_frames_as_units():
    units = [unit(RNG, 3), unit(RNG, 2)]
    found = concatenation.align(units, [0, 1, 0], features(RNG, 3))
    assert found.spans.tolist() == [[0, 1], [1, 2], [2, 3]]
    np.testing.assert_allclose(found.begin, np.eye(3))
    with pytest.raises(ValueError, match="2 frames cannot hold 3 units"):
        concatenation.align(units, [0, 1, 0], features(RNG, 2))


def test_an_order_that_the_frames_speak_against():
    """The only way to the end is by far the worst one at first: no probability is lost."""
    narrow = Gaussian(np.array([[0.0, 0.0]]), np.full((1, 2), 1e-3))
    far = Gaussian(np.array([[9.0, 9.0]]), np.full((1, 2), 1e-3))
    one = np.ones((1, 1))
    units = [Unit(one[0], one, np.array([0.1]), (Stream(e),)) for e in (narrow, far)]
    x = np.repeat([[9.0, 9.0], [0.0, 0.0]], 50, axis=0)
    found = concatenation.align(units, [0, 1], (Gaussian.features(x, np.ones(100, bool)),))
    np.testing.assert_allclose(found.begin.sum(axis=1), 1)
    np.testing.assert_allclose(found.end.sum(axis=1), 1)
    assert np.isfinite(found.log_likelihood)


def test_the_most_probable_order():
    """Against all orders of up to three units, by the best path of each."""
    units, shares = [unit(RNG, 2), unit(RNG, 2), unit(RNG, 2)], np.array([0.5, 0.3, 0.2])
    for seed in range(5):
        x = features(np.random.default_rng(seed), 4)
        scores = {}
        for n in range(1, 5):
            for order in itertools.product(range(3), repeat=n):
                way = max(p for _, p in enumerated(units, order, x).values())
                scores[order] = way * np.prod(shares[list(order)]) * 0.5**n
        best = max(scores, key=scores.get)
        order, starts = concatenation.decode(units, shares, x)
        assert tuple(order) == best
        assert starts.tolist() == [a for a, _ in concatenation.align(units, order, x).spans]


def test_how_a_unit_is_left():
    """A state's share of frames that were the last one, with half a frame more of either kind."""
    emission = Gaussian(np.array([[0.0], [100.0]]), np.ones((2, 1)))
    model = markov.Model(
        np.array([1.0, 0.0]), markov.Dense(np.array([[0.5, 0.5], [0, 1]])), (Stream(emission),)
    )
    x = np.array([0, 0, 100, 0, 100, 100, 0.0])[:, None]
    data = markov.Data((Gaussian.features(x, np.ones(7, bool)),), np.array([0, 3, 6, 7]))
    leave = concatenation.unit_of(model, data).leave
    np.testing.assert_allclose(leave, [1.5 / 5, 2.5 / 4], rtol=1e-6)


# The estimator -----------------------------------------------------------------------------------


SHAPES = {"rise": np.linspace(-2, 2, 15), "fall": np.linspace(3, -1, 12), "quiet": np.zeros(6)}
HMM = mg.MultiStreamHMM(4, topology="left-right")


def spoken(order, rng, noise=0.2):
    """Frames of units in a row, the label of each, and the borders."""
    x = np.concatenate([SHAPES[u] for u in order])
    x = np.c_[x, -2 * x] + noise * rng.normal(size=(len(x), 2))
    lengths = [len(SHAPES[u]) for u in order]
    return x, np.repeat(order, lengths), np.cumsum([0, *lengths])


def learnt(silence=None, units=("rise", "fall"), **params):
    rng = np.random.default_rng(1)
    order = rng.choice(units, 30)
    x, _, edges = spoken(order, rng)
    lengths = np.diff(edges)
    X, modalities = mg.pack(a=x[:, :1], b=x[:, 1:], sequence=np.repeat(np.arange(30), lengths))
    model = mg.ForcedAligner(HMM, silence=silence, sequence=0, modalities=modalities, **params)
    return model.fit(X, np.repeat(order, lengths))


@pytest.fixture(scope="module")
def aligner():
    return learnt()


def rows(*orders, seed=2):
    """X of sequences of units, and the borders in rows of X."""
    rng, blocks, edges, last = np.random.default_rng(seed), [], [], 0
    for i, order in enumerate(orders):
        x, _, own = spoken(order, rng)
        blocks.append(np.c_[np.full(len(x), i), x])
        edges.append(own + last)
        last = edges[-1][-1]
    return np.concatenate(blocks), edges


def test_borders_of_two_sequences(aligner):
    orders = ["rise", "fall", "fall", "rise"], ["fall"]
    X, edges = rows(*orders)
    found = aligner.align(X, orders)
    for one, order, own in zip(found, orders, edges, strict=True):
        assert one.units.tolist() == order
        assert one.rows == slice(own[0], own[-1])
        assert one.spans[0, 0] == own[0]
        assert one.spans[-1, 1] == own[-1]
        assert abs(one.spans[:, 0] - own[:-1]).max() <= 1
        np.testing.assert_array_equal(one.spans[1:, 0], one.spans[:-1, 1])
        np.testing.assert_allclose(one.begin.sum(axis=1), 1)
        assert abs((one.begin.argmax(axis=1) + own[0]) - own[:-1]).max() <= 1
    assert [f.units.tolist() for f in aligner.align(X)] == list(orders)
    labels = np.concatenate([spoken(o, RNG)[1] for o in orders])
    assert (aligner.predict(X) == labels).mean() > 0.95
    assert aligner.score(X, labels) > 0.95


def test_silence_lies_between_the_spans():
    model = learnt("quiet", ("rise", "fall", "quiet"))
    spoken_order = ["rise", "quiet", "quiet", "fall", "rise", "quiet"]
    X, (edges,) = rows(spoken_order)
    (found,) = model.align(X, [["rise", "fall", "rise"]])
    truth = np.array([[edges[0], edges[1]], [edges[3], edges[4]], [edges[4], edges[5]]])
    assert abs(found.spans - truth).max() <= 1
    assert abs(found.end.argmax(axis=1) + 1 - truth[:, 1]).max() <= 1
    assert model.align(X)[0].units.tolist() == ["rise", "fall", "rise"]
    X, _ = rows(["quiet", "quiet"])
    with pytest.raises(ValueError, match="sequence 0 has no units: it is all 'quiet'"):
        model.align(X)


def test_labelled_frames_do_as_well_as_recordings():
    rng = np.random.default_rng(3)
    order = ["rise", "fall"] * 15
    x, y, _ = spoken(order, rng)
    X = np.c_[np.zeros(len(x)), x]
    layout = {"a": [1], "b": [2]}
    model = mg.ForcedAligner(HMM, sequence=0, modalities=layout).fit(X, y)
    assert model.shares_.tolist() == [0.5, 0.5]
    rest, (edges,) = rows(["fall", "rise", "fall"])
    found = model.align(rest, [["fall", "rise", "fall"]])[0]
    assert abs(found.spans[:, 0] - edges[:-1]).max() <= 1


def test_likelihood_is_in_the_units_of_x(aligner):
    """Streams ten times as large have densities a tenth as large, a value."""
    X, _ = rows(["rise", "fall"])
    one = aligner.align(X, [["rise", "fall"]])[0]
    wide, _ = rows(["rise", "fall"])
    wide[:, 1:] *= 10
    rng = np.random.default_rng(1)
    order = rng.choice(("rise", "fall"), 30)
    x, _, edges = spoken(order, rng)
    lengths = np.diff(edges)
    train = np.c_[np.repeat(np.arange(30), lengths), 10 * x]
    model = mg.ForcedAligner(HMM, sequence=0, modalities=aligner.modalities)
    two = model.fit(train, np.repeat(order, lengths)).align(wide, [["rise", "fall"]])[0]
    expected = one.log_likelihood - 2 * len(X) * np.log(10)
    np.testing.assert_allclose(two.log_likelihood, expected, rtol=1e-6)
    np.testing.assert_allclose(two.begin, one.begin, atol=1e-6)


def test_absent_streams_are_left_out(aligner):
    X, (edges,) = rows(["rise", "fall", "rise"])
    for hide in ([1], [2]):
        part = X.copy()
        part[5:30, hide] = np.nan
        found = aligner.align(part, [["rise", "fall", "rise"]])[0]
        assert abs(found.spans[:, 0] - edges[:-1]).max() <= 2
    X[:, 1:] = np.nan  # nothing is seen: all depends on how long units last
    found = aligner.align(X, [["rise", "fall", "rise"]])[0]
    assert np.isfinite(found.begin).all()
    np.testing.assert_allclose(found.begin.sum(axis=1), 1)


@pytest.mark.parametrize("change", [1e12, 1e-12, "float32", "constant", "duplicated", "wide"])
def test_scales_and_types(aligner, change):
    rng = np.random.default_rng(1)
    order = rng.choice(("rise", "fall"), 30)
    x, y, edges = spoken(order, rng)
    train = np.c_[np.repeat(np.arange(30), np.diff(edges)), x]
    X, (edges,) = rows(["rise", "fall"])
    layout = dict(aligner.modalities)
    if change == "float32":
        train, X = train.astype(np.float32), X.astype(np.float32)
    elif change == "constant":
        train, X = np.c_[train, np.ones(len(train))], np.c_[X, np.ones(len(X))]
        layout["b"] = slice(2, 4)
    elif change == "duplicated":
        train, X = np.c_[train, train[:, 2]], np.c_[X, X[:, 2]]
        layout["b"] = slice(2, 4)
    elif change == "wide":  # more columns than a unit has frames
        train, X = (np.c_[rows, 0.1 * rng.normal(size=(len(rows), 400))] for rows in (train, X))
        layout["b"] = slice(2, 403)
    else:
        train[:, 1:] *= change
        X[:, 1:] *= change
    model = mg.ForcedAligner(HMM, sequence=0, modalities=layout).fit(train, y)
    found = model.align(X, [["rise", "fall"]])[0]
    assert abs(found.spans[:, 0] - edges[:-1]).max() <= 1
    assert np.isfinite(found.begin).all()


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (["rise"], r"units\[0\]='rise': it must be a list of one label or more, such as \['fall'"),
        ("rise", "units='rise': it must be a list with one list of labels a seq"),
        ([["rise"], ["fall"]], r"units has 2 entries, but X has 1 sequence\(s\): give"),
        (3, "units=3: it must be a list with one list of labels a sequence"),
        ([[]], r"units\[0\]=\[\]: it must be a list of one label or more"),
        ([["rise", "sink"]], r"units\[0\] has 'sink', .*the units are \['fall', 'rise'\]"),
        ([["rise"] * 99], r"sequence 0 \(rows 0 to 26\): 27 frames cannot hold 99 units"),
    ],
)
def test_wrong_orders(aligner, units, message):
    X, _ = rows(["rise", "fall"])
    with pytest.raises(ValueError, match=message):
        aligner.align(X, units)


def test_sparse_rows(aligner):
    X, _ = rows(["rise", "fall"])
    dense, sparse = (aligner.align(x, [["rise", "fall"]])[0] for x in (X, sp.csr_array(X)))
    np.testing.assert_array_equal(dense.begin, sparse.begin)


def test_one_frame(aligner):
    X, _ = rows(["rise"])
    found = aligner.align(X[:1], [["rise"]])[0]
    assert found.spans.tolist() == [[0, 1]]
    assert found.begin.tolist() == [[1.0]]


def test_what_cannot_be_learnt():
    X, _ = rows(["rise", "fall"])
    y = np.repeat(["rise", "fall"], [15, 12])
    model = mg.ForcedAligner(sequence=0, modalities={"a": [1], "b": [2]})
    with pytest.raises(TypeError, match=r"hmm=3: it must be a MultiStreamHMM"):
        mg.ForcedAligner(3).fit(X, y)
    with pytest.raises(ValueError, match=r"silence='quiet' is no label in y.*label the frames"):
        mg.ForcedAligner(silence="quiet").fit(X, y)
    with pytest.raises(ValueError, match="one class only, 'rise'"):
        model.fit(X, np.full(27, "rise"))
    hidden = X.copy()
    hidden[:15, 1] = np.nan
    with pytest.raises(ValueError, match=r"'a' is absent .* rows of unit rise: nothing"):
        model.fit(hidden, y)


def test_a_category_that_was_never_seen_makes_frames_impossible():
    one_hot = np.eye(3)[[0, 1, 0, 1, 0, 1, 0, 1]]
    y = [0, 1] * 4
    hmm = mg.MultiStreamHMM(1, emissions="categorical")
    model = mg.ForcedAligner(hmm).fit(one_hot, y)
    with pytest.raises(ValueError, match=r"rows 0 to 1\): the frames are impossible .* a prior"):
        model.align(np.eye(3)[[0, 2]], [[0, 1]])


def test_it_is_saved(aligner, tmp_path):
    mg.save(aligner, tmp_path / "model.mmg")
    again = mg.load(tmp_path / "model.mmg")
    X, _ = rows(["rise", "fall"])
    one, two = (m.align(X, [["rise", "fall"]])[0] for m in (aligner, again))
    np.testing.assert_array_equal(one.begin, two.begin)
