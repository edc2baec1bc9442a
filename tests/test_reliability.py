"""Weights of streams frame by frame, and how HMMClassifier finds them."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

import mmgraph as mg
from mmgraph.engine import markov
from mmgraph.engine.emissions import Categorical, Gaussian
from mmgraph.engine.markov import Data, Model, Stream
from mmgraph.engine.transitions import Dense

RNG = np.random.default_rng(0)
N = 6


def model_and_data():
    start, moves = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.2, 0.8]])
    real = Gaussian(RNG.normal(size=(2, 2)), np.ones((2, 2)))
    symbols = Categorical(np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]))
    there = np.ones(N, bool)
    features = (
        real.features(RNG.normal(size=(N, 2)), there),
        symbols.features(np.eye(3)[[0, 1, 2, 2, 0, 1]], there),
    )
    weights = RNG.random(N), np.array([1.0, 0.5, 0.0, 0.0, 2.0, 1.0])
    model = Model(start, Dense(moves), (Stream(real, weight=0.7), Stream(symbols)))
    return model, Data(features, np.array([0, N]), weights=weights)


def test_weights_of_frames_against_enumeration():
    model, data = model_and_data()
    total = np.zeros((N, 2))
    for stream, f, w in zip(model.streams, data.features, data.weights, strict=True):
        on = w > 0
        total[on] += stream.weight * w[on, None] * stream.emission.log_likelihood(f[on])
    paths = list(itertools.product(range(2), repeat=N))
    scores = np.array(
        [
            np.log(model.start[path[0]])
            + sum(np.log(model.transition.matrix[a, b]) for a, b in itertools.pairwise(path))
            + sum(total[t, k] for t, k in enumerate(path))
            for path in paths
        ]
    )
    np.testing.assert_allclose(markov.log_densities(model, data).sum(), logsumexp(scores))
    chances = np.exp(scores - logsumexp(scores))
    expected = np.einsum("p,ptk->tk", chances, np.eye(2)[np.array(paths)])
    np.testing.assert_allclose(markov.posteriors(model, data), expected, atol=1e-12)
    assert markov.best_paths(model, data)[0].tolist() == list(paths[scores.argmax()])


def test_a_weight_of_0_leaves_the_frame_out():
    model, data = model_and_data()
    off = np.arange(N) % 2 == 0
    features = [f.copy() for f in data.features]
    for f in features:
        f[off] = 0
    one = data._replace(weights=(np.where(off, 0.0, 1.0),) * 2)
    other = data._replace(features=tuple(features), weights=None)
    np.testing.assert_allclose(
        markov.posteriors(model, one), markov.posteriors(model, other), atol=1e-12
    )


def sequences(noise, seed=0, n=40, length=15):
    """Two streams that tell two classes apart, one of them with bursts of noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    ear, eye = (0.7 * y[:, None, None] + rng.normal(size=(n, length, 2)) for _ in range(2))
    burst = rng.random((n, length, 1)) < 0.5
    ear = ear + noise * burst * rng.normal(size=ear.shape)
    X, modalities = mg.pack(
        ear=ear.reshape(-1, 2), eye=eye.reshape(-1, 2), sequence=np.arange(n).repeat(length)
    )
    return X, y.repeat(length), {"sequence": 0, "modalities": modalities, "random_state": 0}


def test_doubtful_frames_lose_their_weight():
    X, y, columns = sequences(0)
    plain = mg.HMMClassifier(mg.MultiStreamHMM(2), **columns).fit(X, y)
    careful = mg.HMMClassifier(mg.MultiStreamHMM(2), doubt=0.1, **columns).fit(X, y)
    noisy, labels, _ = sequences(30, seed=1)
    assert plain.score_sequences(noisy, labels) < 0.8
    assert careful.score_sequences(noisy, labels) > 0.9
    ear, eye = careful._data(careful._check(noisy)).weights
    assert 0.4 < (ear == 0).mean() < 0.6
    assert (eye == 1).mean() > 0.8
    own = careful._data(careful._check(X)).weights[0]
    assert (own < 1).mean() == pytest.approx(0.1, abs=0.01)


def test_doubt_with_streams_missing():
    X, y, columns = sequences(0)
    X[::3, 1:3] = np.nan
    classifier = mg.HMMClassifier(mg.MultiStreamHMM(2), doubt=0.1, **columns).fit(X, y)
    X[:, 3:] = np.nan
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_bad_doubt():
    X, y, columns = sequences(0)
    for doubt in (-0.1, 1.0, "half"):
        with pytest.raises(ValueError, match=r"doubt=.*at least 0 and below 1"):
            mg.HMMClassifier(doubt=doubt, **columns).fit(X, y)
