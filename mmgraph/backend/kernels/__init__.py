"""The loops that are not BLAS: one noun a pair of modules, ``noun.py`` and ``noun_cuda.py``."""

from functools import cache
from importlib import import_module

import numpy as np

from ..arrays import namespace


def of(array, noun="sampling"):
    """Return the module of the kernels of ``noun`` for where ``array`` lives.

    This is the only place where CPU or GPU is chosen: the twins have the same functions.
    """
    return _module(noun if namespace(array) is np else f"{noun}_cuda")


@cache
def _module(name):
    return import_module(f"{__name__}.{name}")
