"""Namespace and device, with a stand-in for CuPy where the real one is not needed."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import scipy.special

from mmgraph.backend import arrays, kernels


class FakeArray:
    """An array as CuPy's, as far as the type and `get` go."""

    shape = (2,)

    def get(self):
        return np.zeros(2)


FakeArray.__module__ = "cupy._core.core"


class CUDAFailureError(Exception):
    pass


def fake_cupy(monkeypatch, count):
    cupy = ModuleType("cupy")
    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDAFailureError)
    cupy.cuda = SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(arrays, "find_spec", lambda name: True)
    return cupy


def test_namespace_of_numpy():
    assert arrays.namespace() is np
    assert arrays.namespace(np.zeros(2), None, 1.0, [1, 2]) is np
    assert arrays.namespace(np.float32(1)) is np
    assert arrays.namespace(scipy.sparse.eye_array(2, format="csr")) is np


def test_namespace_of_cupy(monkeypatch):
    cupy = fake_cupy(monkeypatch, lambda: 1)
    assert arrays.namespace(FakeArray(), None, 1.0, np.float32(2)) is cupy
    with pytest.raises(TypeError, match="mixed"):
        arrays.namespace(np.zeros(2), FakeArray())


def test_special():
    functions = arrays.special(np)
    assert functions is scipy.special
    for name in ("expit", "log1p", "ndtr", "ndtri", "log_ndtr", "gammaln", "logsumexp"):
        assert hasattr(functions, name)


def test_moves_on_the_cpu():
    a = np.zeros(3)
    assert arrays.to_numpy(a) is a
    assert arrays.to_device(a, "cpu") is a
    assert arrays.to_device(a, "auto") is a
    assert arrays.to_device([1, 2], "cpu").shape == (2,)
    np.testing.assert_array_equal(arrays.to_numpy(FakeArray()), np.zeros(2))
    np.testing.assert_array_equal(arrays.to_device(FakeArray(), "cpu"), np.zeros(2))


def test_resolve_device(monkeypatch):
    assert arrays.resolve_device("auto", np.zeros(2)) == "cpu"
    assert arrays.resolve_device("cpu", np.zeros(2)) == "cpu"
    fake_cupy(monkeypatch, lambda: 1)
    assert arrays.resolve_device("auto", FakeArray()) == "cuda"
    assert arrays.resolve_device("cuda", np.zeros(2)) == "cuda"


@pytest.mark.parametrize("device", ["gpu", "CPU", None, 0])
def test_unknown_device(device):
    with pytest.raises(ValueError, match=f"'auto', 'cpu' or 'cuda'; got {device!r}"):
        arrays.resolve_device(device)


def test_cuda_without_cupy(monkeypatch):
    monkeypatch.setattr(arrays, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install mmgraph\[cuda12\] or mmgraph\[cuda13\]"):
        arrays.resolve_device("cuda")


def test_cuda_without_a_gpu(monkeypatch):
    def no_driver():
        raise CUDAFailureError("cudaErrorInsufficientDriver")

    fake_cupy(monkeypatch, no_driver)
    with pytest.raises(RuntimeError, match="no usable GPU: cudaErrorInsufficientDriver"):
        arrays.resolve_device("cuda")
    fake_cupy(monkeypatch, lambda: 0)
    with pytest.raises(RuntimeError, match="0 devices"):
        arrays.resolve_device("cuda")


def test_arrays_and_random_need_neither_numba_nor_cupy():
    code = """
import sys, numpy
from mmgraph.backend import arrays, kernels, random
arrays.namespace(numpy.zeros(2)); random.derive(random.key(0), 1)
assert "numba" not in sys.modules and "cupy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_kernels_have_the_same_functions():
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    import inspect

    from mmgraph.backend.kernels import (
        ascent_cuda,
        gram_cuda,
        markov_cuda,
        sampling_cuda,
        sequences_cuda,
        updates_cuda,
    )

    for noun, gpu, names in (
        ("sampling", sampling_cuda, vars(sampling_cuda.KERNELS["float32"])),
        ("ascent", ascent_cuda, ["ascend"]),
        ("updates", updates_cuda, ["adam", "nesterov"]),
        ("gram", gram_cuda, ["distances", "radial", "combined"]),
        ("markov", markov_cuda, ["mix"]),
        (
            "sequences",
            sequences_cuda,
            ["forward", "backward", "operators", "best_path", "draw_paths"],
        ),
    ):
        for name in names:
            twins = (kernels.of(np.zeros(2), noun), gpu)
            functions = [getattr(twin, name) for twin in twins]
            signatures = [inspect.signature(getattr(f, "py_func", f)) for f in functions]
            assert signatures[0] == signatures[1]
