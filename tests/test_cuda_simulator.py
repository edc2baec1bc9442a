"""The GPU kernels in Numba's CUDA simulator, which must be chosen before Numba is imported."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
@pytest.mark.parametrize(
    "noun", ["sampling", "ascent", "updates", "gram", "markov", "sequences", "wavefront"]
)
def test_every_kernel_equals_its_cpu_twin(noun):
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": path}
    code = f"import twins_{noun} as twins; twins.check()"
    known = "ignore:The 'generic' unit for NumPy timedelta:DeprecationWarning"  # see setup.cfg
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", known, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
