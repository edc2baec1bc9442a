"""Comparing every GPU kernel with its CPU twin; for the simulator and for a real GPU."""

import numpy as np

from mmgraph.backend import random
from mmgraph.backend.kernels import sampling, sampling_cuda

KEY = random.key(2)
SHAPES = [(5, 11), (3, 1), (2, 4), (0, 5), (3, 0)]


def check(to_device=np.asarray, to_numpy=np.asarray, shapes=SHAPES):
    """Raise unless the twins agree on matrices of the given shapes."""
    for dtype in (np.float32, np.float64):
        for n, m in shapes:
            check_shape(n, m, dtype, to_device, to_numpy)
    check_edges(to_device, to_numpy)


def check_shape(n, m, dtype, to_device, to_numpy):
    rng = np.random.default_rng(n * m)
    activation = rng.normal(scale=2, size=(n, m)).astype(dtype)
    bias = rng.normal(size=m).astype(dtype)
    totals = rng.integers(0, 50, size=n).astype(dtype)
    rows = rng.integers(0, 2**32, size=n, dtype=np.uint32)
    stream = (rows, KEY, 7, 8)
    same = (to_device, to_numpy, dtype)

    compare("uniform", (rows, m, KEY, 7, 8, dtype), *same, exact=True)
    compare("normal", (rows, m, KEY, 7, 8, dtype), *same)
    compare("sigmoid", (activation, bias), *same)
    compare("softplus", (activation, bias), *same)
    compare("bernoulli", (activation, bias, *stream), *same)
    compare("gaussian", (activation, bias, *stream), *same)
    compare("softmax", (activation, bias, totals), *same)
    compare("multinomial", (activation, bias, totals, *stream), *same)
    compare("binomial", (activation, bias, 20, *stream), *same)


def check_edges(to_device, to_numpy):
    for dtype in (np.float32, np.float64):
        x = np.array([[-np.inf, -1e30, 0, 1e30, np.inf, np.nan], [-np.inf, 0, 1, 2, 3, 4]], dtype)
        bias, rows, totals = np.zeros(6, dtype), np.arange(2, dtype=np.uint32), np.full(2, 5.0)
        same = (to_device, to_numpy, dtype)
        compare("bernoulli", (x, bias, rows, KEY, 0, 0), *same)
        compare("binomial", (x, bias, 255, rows, KEY, 0, 0), *same)
        x[x == np.inf] = 0
        compare("multinomial", (x, bias, totals, rows, KEY, 0, 0), *same)


def compare(name, arguments, to_device, to_numpy, dtype, exact=False):
    def move(argument):
        return to_device(argument) if isinstance(argument, np.ndarray) else argument

    expected = getattr(sampling, name)(*arguments)
    results = getattr(sampling_cuda, name)(*(move(argument) for argument in arguments))
    if not isinstance(expected, tuple):
        expected, results = (expected,), (results,)
    counts = name in ("bernoulli", "multinomial", "binomial")
    rtol, atol = (2e-6, 3e-6) if dtype == np.float32 else (1e-13, 1e-14)
    for place, (result, e) in enumerate(zip(results, expected, strict=True)):
        result = to_numpy(result)
        assert result.dtype == e.dtype == (np.float64 if name == "softplus" else dtype)
        if exact:
            np.testing.assert_array_equal(result, e, err_msg=name)
        elif counts and place == 1:
            # Rounding may push a rare uniform over the boundary: two counts then change.
            assert np.sum(result != e) <= 2 * e.size // 10000, name
        else:
            np.testing.assert_allclose(result, e, rtol=rtol, atol=atol, err_msg=name)
