"""The tests that need a GPU: ``pytest -m gpu``; skipped with a reason where there is none."""

import sys
from pathlib import Path

import pytest

from mmgraph.backend import arrays

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def cupy():
    try:
        arrays.resolve_device("cuda")
    except (ImportError, RuntimeError) as error:
        pytest.skip(str(error))
    import cupy

    return cupy


def pytest_terminal_summary(terminalreporter):
    """Say what the tests ran on."""
    try:
        arrays.resolve_device("cuda")
    except (ImportError, RuntimeError):
        return
    import cupy

    device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    driver = cupy.cuda.runtime.driverGetVersion()
    terminalreporter.write_line(
        f"GPU: {device['name'].decode()}, {device['totalGlobalMem'] / 1e9:.0f} GB; CUDA driver "
        f"{driver // 1000}.{driver % 1000 // 10}; CuPy {cupy.__version__}"
    )
