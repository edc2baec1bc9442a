"""Counter-based streams: known answers, and that nothing but the counter and the key matters."""

import numpy as np
import oracle_sampling as oracle
import pytest
from scipy import stats

from mmgraph.backend import random
from mmgraph.backend.kernels import sampling, threads

ROWS = np.array([0, 1, 5, 2**31, 2**32 - 1], dtype=np.uint32)
KEY = random.key(0)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0,) * 4, (0,) * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter, key, answer):
    for philox in (random.philox4x32, lambda c, k: sampling.philox(*c, *k)):
        assert " ".join(f"{word:08x}" for word in philox(counter, key)) == answer


def test_key_is_deterministic_and_well_mixed():
    keys = [random.key(seed) for seed in range(1000)]
    assert len(set(keys)) == 1000
    assert random.key(7) == random.key(np.int64(7)) == keys[7]
    assert all(0 <= word < 2**32 for key in keys for word in key)
    bits = [format(low ^ high, "032b") for low, high in keys]
    ones = np.array([[int(bit) for bit in row] for row in bits]).mean(axis=0)
    assert np.all(np.abs(ones - 0.5) < 0.08)


def test_key_of_generators():
    assert random.key(np.random.RandomState(3)) == random.key(np.random.RandomState(3))
    assert random.key(np.random.default_rng(3)) == random.key(np.random.default_rng(3))
    generator = np.random.RandomState(3)
    assert random.key(generator) != random.key(generator)
    assert random.key() != random.key()
    assert random.key(KEY) is KEY


@pytest.mark.parametrize("bad", [-1, 1.5, "seed", [1, 2]])
def test_key_of_something_else(bad):
    with pytest.raises(ValueError, match="random_state must be"):
        random.key(bad)


def test_derive():
    paths = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (2**32,), (2**64 - 1,)]
    assert len({random.derive(KEY, *path) for path in paths}) == len(paths)
    assert random.derive(KEY) == KEY
    assert random.derive(KEY, 4, 2) == random.derive(random.derive(KEY, 4), 2)
    with pytest.raises(ValueError, match="path"):
        random.derive(KEY, -1)


@pytest.mark.parametrize("n_columns", [1, 2, 3, 4, 5, 7, 8, 130])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_and_normal_against_the_oracle(n_columns, dtype):
    u = sampling.uniform(ROWS, n_columns, KEY, 3, 4, dtype)
    assert u.dtype == dtype
    np.testing.assert_array_equal(u, oracle.uniform(ROWS, n_columns, KEY, 3, 4))
    z = sampling.normal(ROWS, n_columns, KEY, 3, 4, dtype)
    assert z.dtype == dtype
    atol = 2e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(z, oracle.normal(ROWS, n_columns, KEY, 3, 4), rtol=0, atol=atol)


def test_ends_of_the_unit_interval():
    assert sampling.unit(np.uint32(0)) == 2.0**-24
    assert sampling.unit(np.uint32(2**32 - 1)) == 1 - 2.0**-24
    for first in (0, 2**32 - 1, 2**31):
        for second in (0, 2**32 - 1, 2**31, 2**30):
            pair = np.uint32(first), np.uint32(second)
            z = sampling.box_muller32(*pair)
            np.testing.assert_allclose(z, sampling.box_muller64(*pair), rtol=0, atol=2e-6)
            assert np.isfinite(z).all()


def test_normal32_is_accurate_everywhere():
    u = sampling.uniform(np.arange(2000), 64, KEY, 0, 0)
    z32 = sampling.normal(np.arange(2000), 64, KEY, 0, 0)
    z64 = sampling.normal(np.arange(2000), 64, KEY, 0, 0, np.float64)
    assert np.abs(z32 - z64).max() < 2e-6
    assert u.min() > 0
    assert u.max() < 1


@pytest.mark.parametrize("draw", [sampling.uniform, sampling.normal])
def test_any_split_of_the_rows_gives_the_same(draw):
    rows = np.arange(40)
    whole = draw(rows, 13, KEY, 1, 2)
    parts = [draw(rows[i : i + 7], 13, KEY, 1, 2) for i in range(0, 40, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(draw(rows[::-1], 13, KEY, 1, 2), whole[::-1])


def test_any_number_of_threads_gives_the_same(monkeypatch):
    rows = np.arange(1000)
    results = []
    for count in (1, 2, 3, 8):
        monkeypatch.setattr(threads, "n_threads", lambda count=count: count)
        results.append(sampling.normal(rows, 301, KEY, 1, 2))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_uniformity():
    u = sampling.uniform(np.arange(500), 400, KEY, 0, 0, np.float64)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    for axis in (0, 1):
        means = u.mean(axis=axis)
        assert stats.kstest((means - 0.5) * np.sqrt(12 * u.shape[axis]), "norm").pvalue > 1e-3


def test_normality():
    z = sampling.normal(np.arange(500), 400, KEY, 0, 0, np.float64)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(z[:, ::50], rowvar=False)  # B = 100: both ends of Box-Muller pairs
    assert np.abs(correlation - np.eye(8)).max() < 0.2


def test_streams_are_independent():
    def draw(key=KEY, first=0, step=0, stream=0):
        return sampling.uniform(np.arange(first, first + 200), 200, key, step, stream).ravel()

    draws = np.stack(
        [
            draw(),
            draw(step=1),
            draw(stream=1),
            draw(first=200),
            draw(key=random.key(1)),
            draw(key=random.derive(KEY, 0)),
        ]
    )
    correlation = np.corrcoef(draws.astype(np.float64))
    assert np.abs(correlation - np.eye(len(draws))).max() < 0.025
    assert not np.any(draws[0] == draws[1:], axis=1).all()


def test_step_wraps_at_32_bits():
    a = sampling.uniform(ROWS, 5, KEY, 2**32 + 1, 2**32 + 2)
    np.testing.assert_array_equal(a, sampling.uniform(ROWS, 5, KEY, 1, 2))
