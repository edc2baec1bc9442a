"""Names of types that many parameters have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Array", "Modalities", "Seed"]

Array = Any  # of NumPy, SciPy or CuPy, a DataFrame, or what becomes one
Modalities = Mapping[str, slice | Sequence[int] | Sequence[str]]  # columns of each
Seed = int | np.random.RandomState | np.random.Generator | None
