"""Search of streams: by units, by rows of another modality, and what cannot be searched."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import logsumexp
from sklearn.frozen import FrozenEstimator

import mmgraph as mg
from mmgraph.engine import concatenation
from mmgraph.engine.passages import segment_means, stand_apart, windows

N = 4
CARDS = np.random.default_rng(0).normal(size=(N, 5))
SHAPES = (12, 0.3, 0), (16, 0.6, 1), (10, 0.2, 2), (14, 0.5, -1)  # frames, pitch, height
WAVES = [np.sin(np.arange(n) * pitch)[:, None] + height for n, pitch, height in SHAPES]


def played(order, rng, noise=0.1):
    """Frames of things in a row, and where each begins."""
    x = np.concatenate([WAVES[k] for k in order])
    x = np.c_[x, x**2] + noise * rng.normal(size=(len(x), 2))
    return x, np.cumsum([0, *(len(WAVES[k]) for k in order)])


def learning(n=60, **changes):
    """Examples of things played and shown on cards; X, layout and labels."""
    rng = np.random.default_rng(1)
    order = rng.integers(0, N, n)
    x, edges = played(order, rng)
    lengths = np.diff(edges)
    cards = (CARDS[order] + 0.1 * rng.normal(size=(n, 5))).repeat(lengths, axis=0)
    X, modalities = mg.pack(sound=x, card=cards, sequence=np.arange(n).repeat(lengths))
    return X, modalities, order.repeat(lengths)


X, LAYOUT, Y = learning()
HMM = mg.MultiStreamHMM(4, topology="left-right")
MODELS = {
    "units": mg.ForcedAligner(HMM),
    "windows": mg.CCA(3, shrinkage=0.1),
    "kernels": mg.KernelCCA(3, shrinkage=0.1),
}
ORDER = np.random.default_rng(2).integers(0, N, 40)
SOUND, EDGES = played(ORDER, np.random.default_rng(3))
STREAM, _ = mg.pack(LAYOUT, sound=SOUND, sequence=np.zeros(len(SOUND)))
QUERY, _ = mg.pack(LAYOUT, card=CARDS, sequence=np.zeros(N))


def fitted(name="units", **params):
    return mg.StreamSearch(MODELS[name], sequence=0, modalities=LAYOUT, **params).fit(X, Y)


@pytest.fixture(scope="module", params=MODELS)
def search(request):
    return fitted(request.param)


def precision(hits, wanted):
    """Share of the best hits, as many as there are, whose middle lies in what was wanted."""
    n = ORDER.tolist().count(wanted)
    middles = hits.spans[:n].mean(axis=1)
    found = ORDER[np.searchsorted(EDGES, middles, side="right") - 1]
    return (found == wanted).mean()


# The engine --------------------------------------------------------------------------------------


def test_windows():
    found = windows(10, [4, 30, 9], 3)
    assert found.tolist() == [[0, 4], [3, 7], [6, 10], [0, 9], [0, 10]]


def test_means_of_segments():
    x = np.random.default_rng(0).normal(size=(30, 2)) + 1e6
    spans = np.array([[3, 15], [7, 29], [4, 5], [0, 2]])
    means = segment_means(x, spans, 4).reshape(4, 4, 2)
    for own, (a, b) in zip(means[:2], spans[:2], strict=True):
        edges = a + np.arange(5) * (b - a) // 4
        for mean, (low, high) in zip(own, itertools.pairwise(edges), strict=True):
            np.testing.assert_allclose(mean, x[low:high].mean(axis=0))
    np.testing.assert_allclose(means[2], np.tile(x[4], (4, 1)))
    np.testing.assert_allclose(means[3], x[[0, 0, 1, 1]])


def test_no_two_overlap():
    rng = np.random.default_rng(0)
    begin = rng.integers(0, 50, 60)
    spans = np.column_stack([begin, begin + rng.integers(1, 9, 60)])
    scores = rng.normal(size=60)
    kept = stand_apart(spans, scores, 60)
    assert (np.diff(scores[kept]) <= 0).all()
    for i in range(60):  # each is kept or overlaps one that is better, and not both
        better = [j for j in kept if scores[j] > scores[i]]
        overlaps = [min(spans[i, 1], spans[j, 1]) > max(spans[i, 0], spans[j, 0]) for j in better]
        assert (i in kept) == (not any(overlaps))
    assert stand_apart(spans, scores, 3).tolist() == kept[:3].tolist()


def test_equal_scores_keep_their_order():
    spans = np.array([[0, 4], [2, 6], [4, 8]])
    assert stand_apart(spans, np.zeros(3), 9).tolist() == [0, 2]


def test_passages_are_weighed_as_whole_units():
    """The best path of a passage under a unit, against the alignment of this unit alone."""
    model = fitted().model_
    data = model._data(model._check(STREAM[:40]))
    features = tuple(f[:30] for f in data.features)
    found = concatenation.weigh(model.units_, features, np.array([0, 11, 19]))
    assert found.shape == (3, N)
    for i, (a, b) in enumerate(((0, 11), (11, 19), (19, 30))):
        for k, unit in enumerate(model.units_):
            own = tuple(f[a:b] for f in features)
            likelihood = concatenation._emitted(concatenation._alone(unit), own)
            best = -np.inf
            with np.errstate(divide="ignore"):
                value = np.log(unit.start) + likelihood[0]
                inner = np.log((1 - unit.leave)[:, None] * unit.matrix)
                for row in likelihood[1:]:
                    value = (value[:, None] + inner).max(axis=0) + row
            best = (value + np.log(unit.leave)).max()
            np.testing.assert_allclose(found[i, k], best)


def test_a_glance_is_a_frame_of_the_unit():
    """States weigh as often as drawn units visit them."""
    model = fitted().model_
    unit = model.units_[0]
    features = model._data(model._check(QUERY[:2])._replace(ids=None)).features
    rng, visits = np.random.default_rng(0), np.zeros(unit.n_states)
    for _ in range(4000):
        state = rng.choice(unit.n_states, p=unit.start)
        visits[state] += 1
        while rng.random() > unit.leave[state]:
            state = rng.choice(unit.n_states, p=unit.matrix[state])
            visits[state] += 1
    likelihood = concatenation._emitted(concatenation._alone(unit), features)
    expected = logsumexp(likelihood + np.log(visits / visits.sum()), axis=1)
    np.testing.assert_allclose(concatenation.glance([unit], features)[:, 0], expected, atol=0.1)


# The estimator -----------------------------------------------------------------------------------


def test_cards_find_what_they_show(search):
    found = search.search(STREAM, QUERY, k=15)
    for k, hits in enumerate(found):
        assert precision(hits, k) > 0.8
        assert (np.diff(hits.scores) <= 0).all()
        assert len(hits.spans) <= 15
        spans = hits.spans[np.argsort(hits.spans[:, 0])]
        assert (spans[1:, 0] >= spans[:-1, 1]).all()
        assert spans[0, 0] >= 0
        assert spans[-1, 1] <= len(STREAM)


def test_labels_find_units():
    for k, hits in enumerate(fitted().search(STREAM, units=range(N), k=15)):
        assert precision(hits, k) == 1
        assert abs(hits.spans[0] - EDGES[np.searchsorted(EDGES, hits.spans[0])]).max() <= 1
        n = ORDER.tolist().count(k)
        assert (hits.scores[:n] > 0).all()
        assert (hits.scores[n:] < 0).all()


def test_scores_are_log_odds():
    search = fitted()
    (hits,) = search.search(STREAM, units=[2], k=100)
    model = search.model_
    features = model._data(model._check(STREAM)).features
    _, starts = concatenation.decode(model.units_, model.shares_, features)
    weights = concatenation.weigh(model.units_, features, starts) + np.log(model.shares_)
    odds = weights[:, 2] - logsumexp(np.delete(weights, 2, axis=1), axis=1)
    np.testing.assert_allclose(hits.scores, np.sort(odds)[::-1])


def test_the_stream_is_all_that_is_looked_at(search):
    stream = STREAM.copy()
    stream[:, LAYOUT["card"]] = 7.0
    query = QUERY.copy()
    query[:, LAYOUT["sound"]] = 3.0
    for one, two in zip(search.search(STREAM, QUERY), search.search(stream, query), strict=True):
        np.testing.assert_array_equal(one.spans, two.spans)
        np.testing.assert_array_equal(one.scores, two.scores)


def test_several_streams_and_gaps(search):
    """Rows that do not show the stream are passed over; hits lie within one stream."""
    stream = np.insert(STREAM, 100, np.nan, axis=0)
    stream[:, 0] = 0
    cut = EDGES[20] + 1
    stream[cut:, 0] = 1
    for k, hits in enumerate(search.search(stream, QUERY, k=10)):
        assert not ((hits.spans[:, 0] < cut) & (hits.spans[:, 1] > cut)).any()
        middles = hits.spans[:5].mean(axis=1)
        middles -= middles > 100
        found = ORDER[np.searchsorted(EDGES, middles, side="right") - 1]
        assert (found == k).mean() >= 0.8


@pytest.mark.parametrize("name", ["units", "windows"])
def test_frozen_models(name):
    one = fitted(name)
    two = mg.StreamSearch(FrozenEstimator(one.model_), sequence=0, modalities=LAYOUT).fit(X, Y)
    assert two.model_ is one.model_
    for a, b in zip(one.search(STREAM, QUERY), two.search(STREAM, QUERY), strict=True):
        np.testing.assert_array_equal(a.spans, b.spans)


def test_lengths_of_windows():
    search = fitted("windows")
    lengths = [len(w) for w in WAVES]
    assert set(search.lengths_) <= set(lengths)
    short = fitted("windows", lengths=[9, 9], hop=4)
    assert short.lengths_.tolist() == [9]
    (hits,) = short.search(STREAM, QUERY[:1], k=3)
    assert (np.diff(hits.spans) == 9).all()
    assert (hits.spans[:, 0] % 4 == 0).all()


def test_another_modality_is_searched():
    """Any modality may be the stream."""
    search = fitted("windows", stream="card", lengths=[1], hop=1, n_segments=1)
    query, _ = mg.pack(LAYOUT, sound=WAVES[1][:1].repeat(2, axis=1), sequence=[0])
    cards, _ = mg.pack(LAYOUT, card=CARDS, sequence=np.zeros(N))
    (hits,) = search.search(cards, query, k=2)
    assert hits.spans.shape == (2, 2)


@pytest.mark.parametrize("name", ["units", "windows"])
@pytest.mark.parametrize("scale", [1e12, 1e-12])
def test_scales(name, scale):
    scaled, stream, query = X.copy(), STREAM.copy(), QUERY.copy()
    for rows in (scaled, stream, query):
        rows[:, 1:] *= scale
    model = mg.StreamSearch(MODELS[name], sequence=0, modalities=LAYOUT).fit(scaled, Y)
    for k, hits in enumerate(model.search(stream, query)):
        assert precision(hits, k) > 0.7


@pytest.mark.parametrize("name", ["units", "windows"])
def test_float32_and_constant_columns(name):
    wide = {**LAYOUT, "card": slice(3, 9)}
    rows = [np.c_[r, np.ones(len(r))].astype(np.float32) for r in (X, STREAM, QUERY)]
    for r in rows[1:]:
        r[:, -1][np.isnan(r[:, -2])] = np.nan
    model = mg.StreamSearch(MODELS[name], sequence=0, modalities=wide).fit(rows[0], Y)
    for k, hits in enumerate(model.search(*rows[1:])):
        assert precision(hits, k) > 0.7
        assert np.isfinite(hits.scores).all()


@pytest.mark.parametrize("name", ["units", "windows"])
def test_sparse_rows(name):
    dense = fitted(name)
    sparse = mg.StreamSearch(MODELS[name], sequence=0, modalities=LAYOUT).fit(sp.csr_array(X), Y)
    found = sparse.search(sp.csr_array(STREAM), sp.csr_array(QUERY))
    for one, two in zip(dense.search(STREAM, QUERY), found, strict=True):
        np.testing.assert_array_equal(one.spans, two.spans)
        np.testing.assert_allclose(one.scores, two.scores)


def test_one_frame(search):
    found = search.search(STREAM[:1], QUERY)
    assert [hits.spans.tolist() for hits in found] == [[[0, 1]]] * N


def test_a_stream_of_equal_constants(search):
    stream = STREAM[:50].copy()
    stream[:, 1:3] = 0.5
    for hits in search.search(stream, QUERY):
        assert len(hits.spans)
        assert np.isfinite(hits.scores).all()


def test_what_cannot_be_searched(search):
    with pytest.raises(ValueError, match=r"give either query, rows .* or units"):
        search.search(STREAM)
    with pytest.raises(ValueError, match=r"give either query, rows .* or units"):
        search.search(STREAM, QUERY, units=[0])
    with pytest.raises(ValueError, match="X does not show 'sound', which is searched"):
        search.search(QUERY, QUERY)
    with pytest.raises(ValueError, match=r"nothing beside 'sound' in 1 row\(s\), first in row 0"):
        search.search(STREAM, STREAM[:1])
    with pytest.raises(ValueError, match="k=0: it must be an int at least 1"):
        search.search(STREAM, QUERY, k=0)
    with pytest.raises(ValueError, match="X has 3 features"):
        search.search(STREAM[:, :3], QUERY)


def test_unknown_units():
    search = fitted()
    with pytest.raises(ValueError, match=r"units has 9, which was no label in fit: \[0, 1, 2, 3\]"):
        search.search(STREAM, units=[0, 9])
    with pytest.raises(ValueError, match="units='two': it must be a list of labels"):
        search.search(STREAM, units="two")
    with pytest.raises(ValueError, match="units are searched by a ForcedAligner"):
        fitted("windows").search(STREAM, units=[0])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"hop": 0}, ValueError, "hop=0: it must be an int at least 1"),
        ({"n_segments": 0.5}, ValueError, "n_segments=0.5: it must be an int"),
        ({"lengths": [10, 0]}, ValueError, "a window of lengths=0: it must be an int"),
        ({"similarity": "near"}, ValueError, "similarity='near': choose one of"),
        ({"stream": "light"}, ValueError, "unknown modality 'light'"),
        ({"model": mg.DynamicTimeWarping()}, TypeError, "it must be an estimator .* embed, such"),
    ],
)
def test_wrong_parameters(params, error, message):
    params = {"model": mg.CCA(), "sequence": 0, "modalities": LAYOUT, **params}
    with pytest.raises(error, match=message):
        mg.StreamSearch(**params).fit(X, Y)


def test_it_is_saved(search, tmp_path):
    mg.save(search, tmp_path / "model.mmg")
    again = mg.load(tmp_path / "model.mmg")
    for one, two in zip(search.search(STREAM, QUERY), again.search(STREAM, QUERY), strict=True):
        np.testing.assert_array_equal(one.spans, two.spans)
