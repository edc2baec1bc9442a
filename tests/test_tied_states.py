"""States that share what they emit."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

import mmgraph as mg
from mmgraph.engine import markov
from mmgraph.engine.emissions import KINDS, blank
from mmgraph.engine.markov import Data, Model, Priors, Stream
from mmgraph.engine.transitions import transition
from mmgraph.fusion.hmmlearn_bridge import to_hmmlearn

RNG = np.random.default_rng(0)
TIES = np.array([0, 1, 0])
CYCLE = np.cumsum(RNG.random(240) < 0.2) % 4  # rest, up, rest, down: two kinds of rest
NAMES = np.array(["rest", "up", "rest", "down"])
SHOWN = np.array([0.0, 3.0, 0.0, -3.0])[CYCLE][:, None] + 0.3 * RNG.normal(size=(240, 1))
STEPS = RNG.poisson([1.0, 6.0, 3.0, 6.0])[:, None].repeat(60, axis=1).T[np.arange(240) % 60, CYCLE]


def rows(kind, n=7):
    if kind == "categorical":
        return np.eye(3)[RNG.integers(3, size=n)]
    if kind in ("poisson", "bernoulli"):
        return RNG.integers(2 if kind == "bernoulli" else 5, size=(n, 2)).astype(float)
    return RNG.normal(size=(n, 2))


def chain(kind, covariance_type, ties):
    """A small model whose states are tied, learnt from, and its frames."""
    x = rows(kind)
    emission = blank(kind, ties.max() + 1, x, covariance_type=covariance_type, n_mix=2)
    features = emission.features(x, np.arange(7) != 3)
    posterior = RNG.dirichlet(np.ones(ties.max() + 1), size=7)
    statistics = emission.statistics(features, posterior)
    emission = emission.maximise(statistics, Priors().emission._replace(counts=0.5, mean=0.5))
    start, moves = RNG.dirichlet(np.ones(3)), RNG.dirichlet(np.ones(3), size=3)
    model = Model(start, transition(moves), (Stream(emission, states=ties),))
    return model, Data((features,), np.array([0, 7]))


@pytest.mark.parametrize("covariance_type", ["diag", "full", "spherical", "tied"])
@pytest.mark.parametrize("kind", KINDS)
def test_inference_sums_over_all_paths(kind, covariance_type):
    model, data = chain(kind, covariance_type, TIES)
    emission = model.streams[0].emission
    likelihood = emission.log_likelihood(data.features[0])[:, TIES]
    paths = np.array(list(itertools.product(range(3), repeat=7)))
    with np.errstate(divide="ignore"):
        start, moves = np.log(model.start), np.log(model.transition.matrix)
    scores = start[paths[:, 0]] + moves[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    scores += likelihood[np.arange(7), paths].sum(axis=1)
    total = logsumexp(scores)
    chances = np.exp(scores - total)
    wanted = np.stack([np.eye(3)[paths[:, t]].T @ chances for t in range(7)])
    np.testing.assert_allclose(markov.log_densities(model, data).sum(), total)
    np.testing.assert_allclose(markov.posteriors(model, data), wanted, atol=1e-12)
    path, best = markov.best_paths(model, data)
    np.testing.assert_allclose(best[0], scores.max())
    np.testing.assert_allclose(scores[(paths == path).all(axis=1)], scores.max())
    # what is learnt of an emission is what all its states show
    counts = markov.expect(model, data)
    pooled = np.stack([wanted[:, k == TIES].sum(axis=1) for k in range(2)], axis=1)
    for found, own in zip(
        counts.emissions[0], emission.statistics(data.features[0], pooled), strict=True
    ):
        np.testing.assert_allclose(found, own, atol=1e-10)
    loose = model._replace(streams=(Stream(emission.take(TIES)),))
    np.testing.assert_allclose(markov.log_densities(loose, data).sum(), total)


def model_of(**changes):
    X, modalities = mg.pack(height=SHOWN, steps=STEPS[:, None], sequence=np.arange(240) // 60)
    settings = {"emissions": {"steps": "poisson"}, "tied": {"height": NAMES}, "max_iter": 15}
    settings |= {"sequence": 0, "modalities": modalities, "random_state": 0, **changes}
    return mg.MultiStreamHMM(4, **settings), X


@pytest.mark.parametrize("changes", [{}, {"durations": 3}, {"topology": "left-right"}])
def test_learning_never_lowers_the_objective_and_keeps_the_ties(changes, tmp_path):
    model, X = model_of(**changes)
    known = np.where(np.arange(240) % 4 == 0, CYCLE, -1) if "topology" not in changes else None
    model.fit(X, states=known)
    assert (np.diff(model.history_["objective"]) > -1e-9).all()
    height, steps = model.means_["height"], model.means_["steps"]
    assert height.shape == (4, 1)
    assert height[0] == height[2]
    assert steps[0] != steps[2]
    assert model.generate(X, "height").shape == (240, 1)
    np.testing.assert_allclose(model._reconstruct(model.transform(X))["height"].shape, (240, 1))
    assert np.isfinite(model.sample(30, random_state=0)).all()
    mg.save(model, tmp_path / "model")
    np.testing.assert_array_equal(mg.load(tmp_path / "model").transform(X), model.transform(X))


def test_ties_save_parameters_and_find_what_differs_by_its_neighbours():
    model, X = model_of()
    model.fit(X)
    free, _ = model_of(tied=None)
    free.fit(X)
    assert free._n_parameters() - model._n_parameters() == 2  # a mean and a variance
    same, _ = model_of(tied={"height": [1, 2, 3, 4]})
    np.testing.assert_allclose(same.fit(X).transform(X), free.transform(X), atol=1e-8)
    everywhere, _ = model_of(tied=NAMES)
    assert everywhere.fit(X).means_["steps"][0] == everywhere.means_["steps"][2]


def test_warm_starts_keep_their_ties():
    model, X = model_of(warm_start=True)
    before = model.fit(X).history_["objective"][-1]
    assert model.fit(X).history_["objective"][0] >= before - 1e-9
    with pytest.raises(ValueError, match=r"tied changed since the last fit.*warm_start=False"):
        model.set_params(tied=None).fit(X)


@pytest.mark.parametrize("changes", [{"tied": NAMES}, {"durations": 3}])
def test_hmmlearn_gets_an_emission_a_state(changes):
    pytest.importorskip("hmmlearn")
    model = mg.MultiStreamHMM(4, max_iter=5, random_state=0, **changes).fit(SHOWN)
    np.testing.assert_allclose(
        to_hmmlearn(model).score(SHOWN), model.score_samples(SHOWN).sum(), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("tied", "message"),
    [
        ([0, 1], r"tied=\[0, 1\] must have one entry for each of the n_states=4 states"),
        ("all", "tied='all' must have one entry for each"),
        ({"sound": NAMES}, "unknown modality 'sound'"),
    ],
)
def test_bad_ties(tied, message):
    model, X = model_of(tied=tied)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
