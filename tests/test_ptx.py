"""Every GPU kernel compiles to PTX, without a driver; float32 kernels use no float64."""

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

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
    assert dtype != float32 or kernel.name in IN_FLOAT64 or ".f64" not in ptx
