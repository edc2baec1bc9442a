"""Every estimator says on a real GPU what it says on the CPU."""

import numpy as np
import pytest
from device_checks import COMPUTE_ON_GPU, VARIANTS, check, check_variant
from estimators import over

pytestmark = pytest.mark.gpu


@over(kinds=COMPUTE_ON_GPU)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-5), (np.float32, 1e-2)])
def test_same_answers(kind, dtype, tolerance, cupy, tmp_path):
    check(kind, dtype, cupy, tmp_path / "model", tolerance)


@pytest.mark.parametrize(("kind", "changes"), VARIANTS)
def test_same_answers_of_variants(kind, changes, cupy):
    check_variant(kind, changes, cupy, 1e-5)
