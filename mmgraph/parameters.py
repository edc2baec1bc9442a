"""Checks of the parameters of estimators."""

import numbers

import numpy as np

__all__ = ["choose", "layer_sizes", "require"]


def require(name, value, low, high, kind):
    """Raise unless a parameter is a number of its kind and range; "<" leaves a bound out."""
    least, most = float(low.lstrip("<")), float(high.lstrip("<"))
    good = isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most
    good = (
        good and not (low[0] == "<" and value == least) and not (high[0] == "<" and value == most)
    )
    if not good:
        sort = "an int" if kind is numbers.Integral else "a number"
        above = f"above {least:g}" if low[0] == "<" else f"at least {least:g}"
        below = (
            "" if most == np.inf else f" and {'below' if high[0] == '<' else 'at most'} {most:g}"
        )
        raise ValueError(f"{name}={value!r}: it must be {sort} {above}{below}.")


def choose(name, value, allowed):
    """Raise unless a parameter is one of the values that it may have."""
    if not isinstance(value, str | bool | np.bool_) or value not in allowed:
        raise ValueError(f"{name}={value!r}: choose one of {list(allowed)}.")


def layer_sizes(name, sizes, *, allow_empty=False, hint=""):
    """Sizes of a stack of layers, checked, as a tuple."""
    sizes = (sizes,) if isinstance(sizes, numbers.Integral) else sizes
    if not isinstance(sizes, tuple | list):
        raise ValueError(
            f"{name}={sizes!r}: it must be a tuple of layer sizes such as (256, 128).{hint}"
        )
    if not sizes and not allow_empty:
        raise ValueError(f"{name} is empty: give the size of at least one layer.")
    for size in sizes:
        require(name, size, "1", "inf", numbers.Integral)
    return tuple(sizes)
