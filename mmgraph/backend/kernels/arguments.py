"""The arguments that both twins of a kernel take, checked and made contiguous."""

import numpy as np

_FLOATS = (np.float32, np.float64)


def operands(xp, activation, *vectors):
    """Return the activation C-contiguous and the vectors (of columns) in its dtype."""
    activation = xp.ascontiguousarray(activation)
    if activation.ndim != 2 or activation.dtype not in _FLOATS:
        raise TypeError(
            "activation must be a 2-D array of float32 or float64; "
            f"got shape {activation.shape} of {activation.dtype}."
        )
    return activation, *(vector(xp, v, activation.shape[1], activation.dtype) for v in vectors)


def vector(xp, values, length, dtype):
    """Return a contiguous 1-D array of the given length and dtype."""
    values = xp.ascontiguousarray(xp.asarray(values, dtype=dtype))
    if values.shape != (length,):
        raise ValueError(f"expected a vector of shape ({length},); got shape {values.shape}.")
    return values


def outputs(xp, out, shape, dtype, number):
    """Return ``number`` C-contiguous arrays to write to: new ones, or those of ``out``."""
    if out is None:
        return tuple(xp.empty(shape, dtype=dtype) for _ in range(number))
    out = out if isinstance(out, tuple) else (out,)
    good = len(out) == number and all(
        array.shape == shape and array.dtype == dtype and array.flags.c_contiguous for array in out
    )
    if not good:
        raise ValueError(
            f"out must be {number} C-contiguous array(s) of shape {shape} and {np.dtype(dtype)}; "
            f"got {[(array.shape, str(array.dtype)) for array in out]}."
        )
    return out


def draw_words(key, step, stream):
    """Return the words of a draw that all its rows share: key, step, stream, as uint32."""
    return tuple(np.uint32(int(word) & 0xFFFFFFFF) for word in (*key, step, stream))


def word_counts(xp, totals):
    """Return how many words to draw per row: totals rounded; 0 where not in [0, 2**31)."""
    possible = (totals >= 0) & (totals < 2**31)
    return xp.rint(xp.where(possible, totals, 0)).astype(np.int64)


def n_trials(trials):
    """Return the number of trials of a binomial, checked."""
    if not (0 <= trials <= 255 and trials == int(trials)):
        raise ValueError(f"trials must be an int in [0, 255]; got {trials!r}.")
    return int(trials)
