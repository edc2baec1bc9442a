"""Every GPU kernel compiles to PTX, without a driver; float32 kernels use no float64."""

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from numba import boolean, cuda, float32, float64, int32, int64, uint32
from numba import float32

from benchmarks._kernels import DTYPES, IN_FLOAT64, Kernel, compile_for, of

KERNELS = [(dtype, kernel) for dtype in DTYPES for kernel in of(dtype)]
NAMES = [f"{dtype}-{kernel.noun}-{kernel.name}" for dtype, kernel in KERNELS]


@pytest.fixture(scope="module")
def compiler():
    """Skip where the CUDA compiler libraries are missing."""

    def nothing(values):
        values[0] = 0

    try:
        compile_for(Kernel("nothing", "nothing", nothing, (float32[::1],)), (8, 0))
    except Exception as error:
        pytest.skip(f"no CUDA compiler (libnvvm and libnvrtc): {error}")


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize(("dtype", "kernel"), KERNELS, ids=NAMES)
def test_compiles(dtype, kernel, capability, compiler):
    ptx = compile_for(kernel, capability)
    assert ".entry" in ptx
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    if dtype == float32 and name not in ("multinomial", "softplus"):  # whose sums are float64
        assert ".f64" not in ptx


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_ascent_compiles(dtype, to_ptx):
    from mmgraph.backend.kernels.ascent_cuda import _ascend

    signature = (dtype[:, ::1],) * 4 + (dtype[::1],) * 4 + (dtype,) * 4
    ptx = to_ptx(_ascend.py_func, signature, (9, 0))
    assert ".entry" in ptx
    if dtype == float32:
        assert ".f64" not in ptx


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("name", ["distances", "soft_distances"])
def test_warping_compiles(name, dtype, capability, to_ptx):
    from mmgraph.backend.kernels.wavefront_cuda import KERNELS

    room, whole = dtype[:, :, ::1], int64[::1]
    if name == "distances":
        signature = dtype[::1], boolean, boolean, room, dtype[::1]
    else:
        cells = dtype[:, ::1], dtype[::1]
        signature = dtype, whole, whole, room, *cells, dtype[::1], dtype[:, ::1]
    signature = dtype[:, ::1], int64[:, ::1], whole, *signature
    ptx = to_ptx(getattr(KERNELS[str(dtype)], name).py_func, signature, capability)
    assert ".entry" in ptx
    if dtype == float32:
        assert ".f64" not in ptx


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_updates_compile(dtype, capability, to_ptx):
    from mmgraph.backend.kernels import updates_cuda

    matrix = dtype[:, ::1]
    for kernel, signature in (
        (updates_cuda._adam, (matrix,) * 4 + (dtype,) * 8),
        (updates_cuda._nesterov, (matrix,) * 3 + (dtype,) * 3),
    ):
        ptx = to_ptx(kernel.py_func, signature, capability)
        assert ".entry" in ptx
        assert dtype == float64 or ".f64" not in ptx


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_gram_compiles(dtype, capability, to_ptx):
    from mmgraph.backend.kernels.gram_cuda import KERNELS

    matrix, vector = dtype[:, ::1], dtype[::1]
    signature = int64, matrix, matrix, vector, vector, dtype[:, :, ::1], matrix
    ptx = to_ptx(KERNELS[str(dtype)].py_func, signature, capability)
    assert ".shared" in ptx
    assert dtype == float64 or ".f64" not in ptx


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_markov_compiles(dtype, capability, to_ptx):
    from mmgraph.backend.kernels.markov_cuda import KERNELS, WIDTHS

    matrix, vector, rows = dtype[:, ::1], dtype[::1], int64[::1]
    for width in WIDTHS:
        both = KERNELS[str(dtype), width]
        forward = matrix, rows, vector, matrix, matrix, matrix, float64[::1], dtype, dtype
        ptx = to_ptx(both.of_forward.py_func, forward, capability)
        assert ".shared" in ptx  # its log_scale is float64, as on the CPU
        backward = matrix, matrix, rows, matrix, vector, vector, matrix
        ptx = to_ptx(both.of_backward.py_func, backward, capability)
        assert dtype == float64 or ".f64" not in ptx
    assert dtype != float32 or kernel.name in IN_FLOAT64 or ".f64" not in ptx
