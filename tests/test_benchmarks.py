"""What the benchmarks compute by themselves."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

import mmgraph as mg
from benchmarks import _report
from benchmarks.__main__ import rewrite
from benchmarks._clock import columns, take_turns
from benchmarks._mnist import binarised, measure
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


RESULTS = sorted((Path(__file__).parent.parent / "docs" / "results").glob("*.json"))


def test_table_has_a_row_each():
    text = _report.table([{"a": 1.234, "b": "x"}, {"a": np.nan, "c": 3}], number=".1f")
    rows = [row.split("\n     -") for row in text.split("* -")[1:]]
    assert [[c.strip() for c in row] for row in rows] == [
        ["a", "b", "c"],
        ["1.2", "x", ""],
        ["", "", "3"],
    ]


def test_spread_is_of_several():
    assert _report.spread([1.0, 3.0], ".1f") == "2.0 ± 1.0"
    assert _report.spread([2.0], ".1f") == "2.0"
    assert _report.spread([]) == ""


def test_numbers_are_kept_with_their_machine(tmp_path, capsys):
    assert _report.load(None, "one", []) == []
    assert _report.load(tmp_path, "one", {"a": 0}) == {"a": 0}
    _report.save(tmp_path / "new", "one", "the table\n", [{"a": np.float64(0.5)}])
    assert capsys.readouterr().out == "the table\n\n"
    record = json.loads((tmp_path / "new" / "one.json").read_text("utf-8"))
    assert {"command", "environment", "results"} == set(record)
    assert record["environment"]["versions"]["numpy"] == np.__version__
    assert _report.load(tmp_path / "new", "one", None) == [{"a": 0.5}]
    text = (tmp_path / "new" / "one.rst").read_text("utf-8")
    assert text.startswith("the table\n\nLast run on ")
    assert record["environment"]["processor"] in text


def test_numbers_from_before_are_read(tmp_path):
    (tmp_path / "old.json").write_text("[1, 2]")
    assert _report.load(tmp_path, "old", None) == [1, 2]
    assert _report.measured([1, 2]) == ""


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_tables_follow_from_their_numbers(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    rewrite(copy)
    assert copy.with_suffix(".rst").read_text("utf-8") == path.with_suffix(".rst").read_text(
        "utf-8"
    )


def test_turns():
    calls = []

    def fails():
        raise AttributeError("no such thing")

    def slow():
        calls.append("slow")
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass
        return 1

    turns = take_turns({"mmgraph": lambda: calls.append("mmgraph"), "a": slow, "b": fails}, 3, 0.01)
    assert calls == ["mmgraph", "slow", "mmgraph", "mmgraph"]
    assert turns.answers["a"] == 1
    assert turns.failures == {"b": "fails: no such thing"}
    assert [len(times) for times in turns.times.values()] == [3, 1]
    with pytest.raises(AttributeError, match="no such"):
        take_turns({"mmgraph": fails}, 1)


def test_columns_of_times():
    found = columns([(2, 4), (6, 6), (4, 5)], [(1, 1), (2, 1), (4, 1)])
    assert found == {"CPU-s": 4, "least": 2, "most": 6, "wall-s": 5, "ratio": 2}
    assert columns([(2, 4)], [(1, 1), (8, 8)])["ratio"] == 2


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
