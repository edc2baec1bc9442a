"""Counter-based random streams: Philox4x32-10.

A draw is a pure function of a key and of a counter

    (column block, global row, step, stream),

four uint32 words in, four uint32 words out. There is no state to advance, so neither batches, nor
threads, nor the device can change a draw.

**Layout.** A row of n columns takes B = ceil(n / 4) counters; counter i gives the words of columns
i, B + i, 2B + i and 3B + i (those beyond n are dropped).

**Uniforms.** A word w becomes ``((w >> 8) | 1) / 2**24``: an odd multiple of 2**-24, so the grid is
even, symmetric about 1/2 and inside the open interval (0, 1), and each value is exact in float32.
Float64 uniforms are these very values, widened: models of either precision see the same draws.

References
----------
Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC'11.
"""

import numbers
from typing import NamedTuple

import numpy as np

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_DERIVE = 0xFFFFFFFF  # the stream set apart for deriving keys


class Key(NamedTuple):
    """The two uint32 words that name a family of streams."""

    low: int
    high: int


def key(random_state=None):
    """Return the key that a ``random_state`` stands for.

    Parameters
    ----------
    random_state : None, int, numpy.random.RandomState, numpy.random.Generator or Key
        An int always gives the same key, well mixed (by ``numpy.random.SeedSequence``); a
        generator is advanced by two words; None draws from NumPy's global generator, as in
        scikit-learn; a key is returned as it is.

    Returns
    -------
    Key

    Raises
    ------
    ValueError
        If ``random_state`` is none of these, or a negative int.
    """
    if isinstance(random_state, Key):
        return random_state
    if isinstance(random_state, np.random.Generator):
        words = random_state.integers(0, 2**32, size=2, dtype=np.uint32)
    elif isinstance(random_state, np.random.RandomState):
        words = random_state.randint(0, 2**32, size=2, dtype=np.uint32)
    elif random_state is None or random_state is np.random:
        words = np.random.randint(0, 2**32, size=2, dtype=np.uint32)  # noqa: NPY002
    elif isinstance(random_state, numbers.Integral) and random_state >= 0:
        words = np.random.SeedSequence(int(random_state)).generate_state(2)
    else:
        raise ValueError(
            "random_state must be None, a non-negative int, a numpy.random.RandomState or a "
            f"numpy.random.Generator; got {random_state!r}."
        )
    return Key(*(int(word) for word in words))


def derive(key, *path):
    """Return the key of an independent sub-stream, named by a path of ints in [0, 2**64).

    ``derive(key, a, b)`` equals ``derive(derive(key, a), b)``; an empty path gives the key itself.

    Examples
    --------
    >>> from mmgraph.backend.random import derive, key
    >>> derive(key(0), 1) == derive(key(0), 1)
    True
    >>> derive(key(0), 1) == derive(key(0), 2)
    False
    """
    for step in path:
        step = int(step)
        if not 0 <= step < 2**64:
            raise ValueError(f"a path is made of ints in [0, 2**64); got {step}.")
        key = Key(*philox4x32((step & _WORD, step >> 32, 0, _DERIVE), key)[:2])
    return Key(*key)


def philox4x32(counter, key):
    """Return the four words of one counter: ten rounds of Philox, in plain Python.

    This is the slow reference of the compiled streams (`mmgraph.backend.kernels.sampling`).

    Parameters
    ----------
    counter : sequence of 4 ints
        uint32 words.
    key : Key or sequence of 2 ints
        uint32 words.

    Returns
    -------
    tuple of 4 ints
        uint32 words.

    Examples
    --------
    >>> [f"{word:08x}" for word in philox4x32((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = (int(word) for word in counter)
    k0, k1 = (int(word) for word in key)
    for _ in range(10):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _WORD, (p0 >> 32) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3
