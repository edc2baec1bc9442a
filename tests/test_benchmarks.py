"""What the benchmarks compute by themselves."""

import numpy as np

import mmgraph as mg
from benchmarks._mnist import binarised, measure, table
from benchmarks.contrastive_retrieval import measure as measure_retrieval
from benchmarks.mnist_small import HIDDEN, fit_mmgraph, machine, score
from benchmarks.stream_fusion import noisy
from benchmarks.stream_generation import Normal, neighbours


def images(n=200, width=12):
    x = np.random.default_rng(0).integers(0, 256, (n, width), dtype=np.uint8)
    x[:, 0], x[:, 1] = 0, 255
    return x


def test_pixels_are_on_with_the_probability_of_their_intensity():
    data = np.repeat(np.array([[0, 51, 204, 255]], np.uint8), 20_000, axis=0)
    drawn = binarised(data, 0)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 0.2, 0.8, 1], atol=0.01)
    assert (drawn[:, [0, 3]] == [0, 1]).all()
    assert (drawn == binarised(data, 0)).all()
    assert (drawn != binarised(data, [0, 1])).any()


def test_score_of_foreign_parameters_is_the_exact_log_likelihood():
    x = binarised(images(), 0)
    rbm = mg.RBM(HIDDEN, max_iter=2, random_state=0).fit(x)
    arrays = (rbm.model_.weights[0], *rbm.model_.biases)
    found = score(arrays, machine(x, 1)[0], x)
    np.testing.assert_allclose(found, rbm.score_samples(x).mean(), rtol=1e-5)


def test_a_budget_is_kept():
    x = binarised(images(), 0)
    model, seconds = fit_mmgraph(x, 0, 0.3, falling=True, batch_size=100)
    assert 0 <= seconds <= 0.3
    assert np.isfinite(model.weights[0]).all()


def test_measured_likelihoods_bracket():
    x = binarised(images(), 0)
    rbm = mg.RBM(HIDDEN, max_iter=2, random_state=0).fit(x)
    rbm.cpu_seconds_ = 1.0
    found = measure(rbm, x, x, n_chains=10, n_temperatures=10)
    np.testing.assert_allclose(found["test"], rbm.score_samples(x).mean(), rtol=1e-5)
    assert found["test"] == found["test, by reverse"] == found["training"]


def test_table_has_a_row_each():
    text = table([{"a": 1.234, "b": "x"}, {"a": 2.0, "b": ""}])
    assert text.count("* -") == 3
    assert "1.23" in text


def test_retrieval_is_measured_in_both_directions():
    class Embedding:
        modalities = ("a", "b")

        def embed(self, X, modality):
            return X[modality]

    X = {"a": np.eye(4), "b": np.eye(4)[[1, 0, 2, 3]] * 0.5 + np.eye(4) * 0.2}
    found = measure_retrieval(Embedding(), X)
    assert found["R@1 %"] == 50
    assert found["R@10 %"] == 100
    assert found["median rank"] == 1.5
    np.testing.assert_allclose(found["MRR"], 0.75)


def test_noise_has_its_level():
    sound = np.sin(np.arange(8000))
    for level in (-5, 0, 20):
        noise = noisy(sound, level, 0) - sound
        found = 10 * np.log10(np.square(sound).mean() / np.square(noise).mean())
        np.testing.assert_allclose(found, level, atol=0.2)
    np.testing.assert_array_equal(noisy(sound, np.inf, 0), sound)


def test_slopes_stay_within_their_sequence():
    X = np.array([[0, 1.0], [0, 2], [0, 4], [1, 10], [1, 10]])
    found = neighbours(X, slice(1, None))
    np.testing.assert_array_equal(found[:, 1], [0.5, 1.5, 1, 0, 0])
    np.testing.assert_array_equal(found[:, 2], [1, 1, -2, 0, 0])


def test_the_linear_model_covers_what_it_says():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    X = np.c_[np.zeros(3000), x, x @ [[1.0, 0], [1, 2]] + rng.normal(size=(3000, 2))]
    model = Normal({"a": slice(1, 3), "b": slice(3, 5)}, "b", 0, [1e-6]).fit(X)
    mean, (lower, upper), log, _ = model.answer(X)
    np.testing.assert_allclose(mean, x @ [[1.0, 0], [1, 2]], atol=0.2)
    np.testing.assert_allclose(((lower < X[:, 3:]) & (X[:, 3:] < upper)).mean(), 0.9, atol=0.01)
    np.testing.assert_allclose(log.mean(), -1 - np.log(2 * np.pi), atol=0.05)
