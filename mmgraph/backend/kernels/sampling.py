"""Means and draws of units given their activation: the scalar functions and the CPU loops.

A mean is what a unit is expected to be given ``activation + bias``; a draw is one sample of it.
All functions take a matrix of activations, one row a sample, and return arrays of its dtype. Row i
draws from the stream of its global id ``rows[i]`` (see `mmgraph.backend.random`), so the split of
the rows into calls, threads or devices does not change a draw.

The scalar functions serve both the loops below and the GPU kernels of `sampling_cuda`. In float32
they use no float64 and vectorise; in float64 they are those of the mathematical library.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from .arguments import draw_words, n_trials, operands, outputs, vector, word_counts
from .threads import over_rows

# Every assignment is cast: Numba would widen uint32 products to uint64 and float32 ones to float64.
_u32 = np.uint32
_u64 = np.uint64
_i32 = np.int32
_f32 = np.float32

_scalar = njit(inline="always", error_model="numpy")
_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


# --- public functions -----------------------------------------------------------------------------


def uniform(rows, n_columns, key, step, stream, dtype=np.float32, *, out=None):
    """Draw uniforms on the open interval (0, 1), the same values in either dtype.

    Parameters
    ----------
    rows : array-like of shape (n,)
        Global row ids, below 2**32.
    n_columns : int
    key : mmgraph.backend.random.Key
    step, stream : int
        Words 2 and 3 of the counter, modulo 2**32.
    dtype : {float32, float64}
    out : ndarray of shape (n, n_columns), optional
        Written to instead of a new array.

    Returns
    -------
    ndarray of shape (n, n_columns)
    """
    rows = vector(np, rows, len(rows), np.uint32)
    (draw,) = outputs(np, out, (len(rows), n_columns), dtype, 1)
    over_rows(_uniform, (rows, draw), *draw_words(key, step, stream), n_entries=draw.size)
    return draw


def normal(rows, n_columns, key, step, stream, dtype=np.float32, *, out=None):
    """Draw standard normals by Box-Muller; parameters and shapes as `uniform`.

    Of the four uniforms of a counter, in the order of its words, u0 and u1 give columns i and
    B + i, u2 and u3 give columns 2B + i and 3B + i: a pair (u, v) becomes
    sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2 pi v). The values are always finite, at most
    5.77 in magnitude, and those of the two dtypes agree within 2e-6.
    """
    rows = vector(np, rows, len(rows), np.uint32)
    (draw,) = outputs(np, out, (len(rows), n_columns), dtype, 1)
    over_rows(_normal, (rows, draw), *draw_words(key, step, stream), n_entries=draw.size)
    return draw


def sigmoid(activation, bias, *, out=None):
    """Return 1 / (1 + exp(-activation - bias)).

    The relative error is below 3e-7 in float32 and 1e-15 in float64; NaN stays NaN.

    Parameters
    ----------
    activation : ndarray of shape (n, m), float32 or float64
    bias : array-like of shape (m,)
    out : ndarray of shape (n, m), optional
        Written to instead of a new array.

    Returns
    -------
    ndarray of shape (n, m)
    """
    activation, bias = operands(np, activation, bias)
    (mean,) = outputs(np, out, activation.shape, activation.dtype, 1)
    over_rows(_sigmoid, (activation, mean), bias, n_entries=mean.size)
    return mean


def softplus(activation, bias, *, out=None):
    """Return the sum over each row of log(1 + exp(activation + bias)), in float64.

    A term's error is below 2e-7 of the larger of it and 1 in float32; NaN stays NaN.

    Parameters
    ----------
    activation : ndarray of shape (n, m), float32 or float64
    bias : array-like of shape (m,)
    out : ndarray of shape (n,), float64, optional
        Written to instead of a new array.

    Returns
    -------
    ndarray of shape (n,), float64
    """
    activation, bias = operands(np, activation, bias)
    (total,) = outputs(np, out, activation.shape[:1], np.float64, 1)
    over_rows(_softplus, (activation, total), bias, n_entries=activation.size)
    return total


def bernoulli(activation, bias, rows, key, step, stream, *, out=None):
    """Return the sigmoid and a draw of zeros and ones: 1 where a uniform is below the mean.

    Parameters
    ----------
    activation : ndarray of shape (n, m), float32 or float64
    bias : array-like of shape (m,)
    rows : array-like of shape (n,)
        Global row ids, below 2**32.
    key : mmgraph.backend.random.Key
    step, stream : int
        Words 2 and 3 of the counter, modulo 2**32.
    out : tuple (mean, draw) of ndarrays of shape (n, m), optional
        Written to instead of new arrays.

    Returns
    -------
    mean, draw : ndarrays of shape (n, m)
        Where the activation is NaN the mean is NaN and the draw 0.
    """
    activation, bias = operands(np, activation, bias)
    rows = vector(np, rows, len(activation), np.uint32)
    mean, draw = outputs(np, out, activation.shape, activation.dtype, 2)
    over_rows(
        _bernoulli,
        (activation, rows, mean, draw),
        bias,
        *draw_words(key, step, stream),
        n_entries=mean.size,
    )
    return mean, draw


def gaussian(activation, bias, rows, key, step, stream, *, out=None):
    """Return activation + bias and that mean plus standard normals (of `normal`).

    Parameters and shapes as `bernoulli`.
    """
    activation, bias = operands(np, activation, bias)
    rows = vector(np, rows, len(activation), np.uint32)
    mean, draw = outputs(np, out, activation.shape, activation.dtype, 2)
    over_rows(
        _gaussian,
        (activation, rows, mean, draw),
        bias,
        *draw_words(key, step, stream),
        n_entries=mean.size,
    )
    return mean, draw


def softmax(activation, bias, totals, *, out=None):
    """Return ``totals[:, None] * softmax(activation + bias)``.

    Parameters
    ----------
    activation : ndarray of shape (n, m), float32 or float64
        An entry of -inf is a column that cannot occur.
    bias : array-like of shape (m,)
    totals : array-like of shape (n,)
        The sum of each row of the result.
    out : ndarray of shape (n, m), optional
        Written to instead of a new array.

    Returns
    -------
    ndarray of shape (n, m)
        A row with a NaN activation is NaN.
    """
    activation, bias = operands(np, activation, bias)
    totals = vector(np, totals, len(activation), activation.dtype)
    (mean,) = outputs(np, out, activation.shape, activation.dtype, 1)
    over_rows(_softmax, (activation, totals, mean), bias, n_entries=mean.size)
    return mean


def multinomial(activation, bias, totals, rows, key, step, stream, *, out=None):
    """Return `softmax` and a draw of counts: ``totals[i]`` words thrown independently by row i.

    Word d of a row inverts the row's cumulative mean (in float64) at the uniform of counter d // 4,
    lane d % 4: O(m + D log m) for D words.

    Parameters
    ----------
    activation : ndarray of shape (n, m), float32 or float64
    bias : array-like of shape (m,)
    totals : array-like of shape (n,)
        Rounded to draw. A row whose total is not in [0, 2**31), or whose mean is NaN, draws 0.
    rows, key, step, stream, out
        As `bernoulli`.

    Returns
    -------
    mean, draw : ndarrays of shape (n, m)
    """
    activation, bias = operands(np, activation, bias)
    totals = vector(np, totals, len(activation), activation.dtype)
    counts = word_counts(np, totals)
    rows = vector(np, rows, len(activation), np.uint32)
    mean, draw = outputs(np, out, activation.shape, activation.dtype, 2)
    if mean.size == 0:
        return mean, draw
    softmax(activation, bias, totals, out=mean)
    over_rows(
        _multinomial,
        (mean, counts, rows, draw),
        *draw_words(key, step, stream),
        n_entries=mean.size + 8 * int(counts.sum()),
    )
    return mean, draw


def binomial(activation, bias, trials, rows, key, step, stream, *, out=None):
    """Return ``trials * sigmoid`` and a draw of counts, by inversion of one uniform an entry.

    Parameters
    ----------
    activation : ndarray of shape (n, m), float32 or float64
    bias : array-like of shape (m,)
    trials : int
        Between 0 and 255.
    rows, key, step, stream, out
        As `bernoulli`.

    Returns
    -------
    mean, draw : ndarrays of shape (n, m)
        Where the activation is NaN the mean is NaN and the draw 0.
    """
    activation, bias = operands(np, activation, bias)
    rows = vector(np, rows, len(activation), np.uint32)
    mean, draw = outputs(np, out, activation.shape, activation.dtype, 2)
    over_rows(
        _binomial,
        (activation, rows, mean, draw),
        bias,
        np.int32(n_trials(trials)),
        *draw_words(key, step, stream),
        n_entries=8 * mean.size,
    )
    return mean, draw


# --- scalar functions, of CPU and GPU -------------------------------------------------------------


@_scalar
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four words of a counter: Philox4x32-10.

    A word lies in the low half of a uint64, which is what SIMD products take; what is above it is
    masked away before it can matter.
    """
    low = _u64(0xFFFFFFFF)
    c0, c1, c2, c3 = _u64(_u32(c0)), _u64(_u32(c1)), _u64(_u32(c2)), _u64(_u32(c3))
    k0, k1 = _u32(k0), _u32(k1)
    for _ in range(10):
        p0 = _u64(_u64(0xD2511F53) * _u64(c0 & low))
        p1 = _u64(_u64(0xCD9E8D57) * _u64(c2 & low))
        c0 = _u64(_u64(p1 >> _u64(32)) ^ c1 ^ _u64(k0))
        c2 = _u64(_u64(p0 >> _u64(32)) ^ c3 ^ _u64(k1))
        c1, c3 = p1, p0
        k0, k1 = _u32(k0 + _u32(0x9E3779B9)), _u32(k1 + _u32(0xBB67AE85))
    return _u32(c0), _u32(c1), _u32(c2), _u32(c3)


@_scalar
def unit(word):
    """Return the uniform of a word, in (0, 1): an odd multiple of 2**-24, exact in float32."""
    return _f32(_f32(_i32((_u32(word) >> _u32(8)) | _u32(1))) * _f32(2.0**-24))


@_scalar
def exponential32(x):
    """Return exp(x): 2**n times a polynomial; inf above 88.4, exactly 0 below -87.7."""
    x = _f32(-88.0) if x < _f32(-88.0) else _f32(x)
    x = _f32(88.8) if x > _f32(88.8) else _f32(x)
    # Adding 1.5 * 2**23 rounds to an integer, which is then the low bits of the sum.
    shifted = _f32(_f32(x * _f32(1.44269504)) + _f32(12582912.0))
    n = _f32(shifted - _f32(12582912.0))
    r = _f32(_f32(x - _f32(n * _f32(0.693359375))) + _f32(n * _f32(2.12194440e-4)))
    p = _f32(_f32(1.9875691500e-4) * r + _f32(1.3981999507e-3))
    p = _f32(p * r + _f32(8.3334519073e-3))
    p = _f32(p * r + _f32(4.1665795894e-2))
    p = _f32(p * r + _f32(1.6666665459e-1))
    p = _f32(p * r + _f32(5.0000001201e-1))
    p = _f32(_f32(_f32(p * r) * r + r) + _f32(1.0))
    power = _i32((_f32(shifted).view(_i32) << _i32(23)) + _i32(0x3F800000))
    return _f32(p * _i32(power).view(_f32))


@_scalar
def exponential64(x):
    """Return exp(x)."""
    return math.exp(x)


@_scalar
def logistic32(x):
    """Return 1 / (1 + exp(-x)), exactly 0 or 1 far out."""
    return _f32(_f32(1.0) / _f32(_f32(1.0) + exponential32(_f32(-x))))


@_scalar
def logistic64(x):
    """Return 1 / (1 + exp(-x)), exactly 0 or 1 far out."""
    return 1.0 / (1.0 + math.exp(-x))


@_scalar
def logarithm32(u):
    """Return log(u) of a normal number u > 0."""
    bits = _i32(_f32(u).view(_i32) - _i32(0x3F3504F3))  # so that the mantissa is in [.7, 1.4)
    n = _f32(_i32(bits >> _i32(23)))
    x = _i32(_i32(bits & _i32(0x007FFFFF)) + _i32(0x3F3504F3))
    x = _f32(_i32(x).view(_f32) - _f32(1.0))
    p = _f32(_f32(7.0376836292e-2) * x + _f32(-1.1514610310e-1))
    p = _f32(p * x + _f32(1.1676998740e-1))
    p = _f32(p * x + _f32(-1.2420140846e-1))
    p = _f32(p * x + _f32(1.4249322787e-1))
    p = _f32(p * x + _f32(-1.6668057665e-1))
    p = _f32(p * x + _f32(2.0000714765e-1))
    p = _f32(p * x + _f32(-2.4999993993e-1))
    p = _f32(p * x + _f32(3.3333331174e-1))
    square = _f32(x * x)
    tail = _f32(_f32(p * x) * square + n * _f32(-2.12194440e-4))
    return _f32(_f32(n * _f32(0.693359375)) + _f32(x + _f32(tail - _f32(0.5) * square)))


@_scalar
def softplus32(x):
    """Return log(1 + exp(x))."""
    x = _f32(x)
    top = _f32(0.0) if x < _f32(0.0) else x
    return _f32(top + logarithm32(_f32(_f32(1.0) + exponential32(_f32(-abs(x))))))


@_scalar
def softplus64(x):
    """Return log(1 + exp(x))."""
    top = 0.0 if x < 0.0 else x
    return top + math.log1p(math.exp(-abs(x)))


@_scalar
def box_muller32(first, second):
    """Return two standard normals from two words."""
    radius = _f32(math.sqrt(_f32(_f32(-2.0) * logarithm32(unit(first)))))
    # The angle is `quarter` quarter turns and a rest of at most an eighth, both exact.
    turns = _f32(_f32(4.0) * unit(second))
    quarter = _i32(_f32(turns + _f32(0.5)))
    x = _f32(_f32(turns - _f32(quarter)) * _f32(1.5707963268))
    z = _f32(x * x)
    s = _f32(_f32(-1.9515295891e-4) * z + _f32(8.3321608736e-3))
    s = _f32(s * z + _f32(-1.6666654611e-1))
    s = _f32(_f32(s * z) * x + x)
    c = _f32(_f32(2.443315711809948e-5) * z + _f32(-1.388731625493765e-3))
    c = _f32(c * z + _f32(4.166664568298827e-2))
    c = _f32(_f32(_f32(c * z) * z - _f32(0.5) * z) + _f32(1.0))
    odd = _i32(quarter & _i32(1)) == _i32(1)
    cosine = s if odd else c
    sine = c if odd else s
    cosine = _f32(-cosine) if _i32((quarter + _i32(1)) & _i32(2)) == _i32(2) else cosine
    sine = _f32(-sine) if _i32(quarter & _i32(2)) == _i32(2) else sine
    return _f32(radius * cosine), _f32(radius * sine)


@_scalar
def box_muller64(first, second):
    """Return two standard normals from two words."""
    radius = math.sqrt(-2.0 * math.log(np.float64(unit(first))))
    angle = (2.0 * math.pi) * np.float64(unit(second))
    return radius * math.cos(angle), radius * math.sin(angle)


@_scalar
def binomial_count(u, p, trials):
    """Return the smallest k of 0..trials whose cumulative probability exceeds u, in float32.

    The draw is one of 2**24 uniforms, so float32 serves both dtypes. With p <= 1/2 (or mirrored),
    P(0) = q**trials can be as small as 2**-255: half of it is moved to the other side, the target,
    and neither side leaves the range of float32.
    """
    p = _f32(p)
    mirrored = p > _f32(0.5)
    p = _f32(_f32(1.0) - p) if mirrored else p
    u = _f32(_f32(1.0) - u) if mirrored else _f32(u)
    q = _f32(_f32(1.0) - p)
    half = _f32(1.0)
    for _ in range(trials // 2):
        half = _f32(half * q)
    term = _f32(half * q) if trials % 2 == 1 else half
    target = _f32(u / half)
    odds = _f32(p / q)
    reached = term
    left, count = _f32(trials), _f32(0.0)
    # In the upper tail rounding could leave the target out of reach: stop where nothing is added.
    while left > _f32(0.0) and target >= reached and term > _f32(_f32(1e-8) * reached):
        count = _f32(count + _f32(1.0))
        term = _f32(term * _f32(_f32(left * odds) / count))
        left = _f32(left - _f32(1.0))
        reached = _f32(reached + term)
    return left if mirrored else count


@_scalar
def first_above(cumulative, target):
    """Return the first index whose entry of the ascending ``cumulative`` exceeds ``target``."""
    first, last = 0, len(cumulative) - 1
    while first < last:
        middle = (first + last) // 2
        if cumulative[middle] > target:
            last = middle
        else:
            first = middle + 1
    return first


# --- the CPU loops --------------------------------------------------------------------------------


def _exponential(x):
    """Stand for exponential32 or exponential64, by the dtype of x."""


def _logistic(x):
    """Stand for logistic32 or logistic64, by the dtype of x."""


@overload(_exponential, inline="always")
def _choose_exponential(x):
    return (lambda x: exponential32(x)) if x == types.float32 else (lambda x: exponential64(x))


@overload(_logistic, inline="always")
def _choose_logistic(x):
    return (lambda x: logistic32(x)) if x == types.float32 else (lambda x: logistic64(x))


def _soft(x):
    """Stand for softplus32 or softplus64, by the dtype of x."""


@overload(_soft, inline="always")
def _choose_softplus(x):
    return (lambda x: softplus32(x)) if x == types.float32 else (lambda x: softplus64(x))


def _normals(draw, words):
    """Stand for _normals32 or _normals64, by the dtype of draw."""


@overload(_normals)
def _choose_normals(draw, words):
    if draw.dtype == types.float32:
        return lambda draw, words: _normals32(draw, words)
    return lambda draw, words: _normals64(draw, words)


@_loop
def _words(words, row, k0, k1, step, stream):
    """Fill ``words``, 4B of them, with those of a row."""
    n = len(words) // 4
    w0, w1, w2, w3 = words[:n], words[n : 2 * n], words[2 * n : 3 * n], words[3 * n :]
    for c in range(n):
        w0[c], w1[c], w2[c], w3[c] = philox(c, row, step, stream, k0, k1)


@_loop
def _normals32(draw, words):
    """Fill ``draw`` with normals; word i of the first (third) quarter pairs with the next one's."""
    n = len(words) // 4
    for half in (0, 2 * n):
        w0, w1 = words[half : half + n], words[half + n : half + 2 * n]
        z0, z1 = draw[half : half + n], draw[half + n : half + 2 * n]
        for c in range(n):
            z0[c], z1[c] = box_muller32(w0[c], w1[c])


@_loop
def _normals64(draw, words):
    """Fill ``draw`` with normals, as _normals32."""
    n = len(words) // 4
    for half in (0, 2 * n):
        for c in range(half, half + n):
            draw[c], draw[n + c] = box_muller64(words[c], words[n + c])


@_loop
def _quarters(n_columns):
    """Return 4B, the words that the counters of a row give."""
    return (n_columns + 3) // 4 * 4


@_loop
def _uniform(rows, draw, k0, k1, step, stream):
    n = draw.shape[1]
    words = np.empty(_quarters(n), dtype=np.uint32)
    for i in range(len(rows)):
        _words(words, rows[i], k0, k1, step, stream)
        row = draw[i]
        for j in range(n):
            row[j] = unit(words[j])


@_loop
def _normal(rows, draw, k0, k1, step, stream):
    n = draw.shape[1]
    words = np.empty(_quarters(n), dtype=np.uint32)
    z = np.empty(len(words), dtype=draw.dtype)
    for i in range(len(rows)):
        _words(words, rows[i], k0, k1, step, stream)
        _normals(z, words)
        draw[i] = z[:n]


@_loop
def _sigmoid(activation, mean, bias):
    n = len(bias)
    for i in range(len(activation)):
        a, m = activation[i], mean[i]
        for j in range(n):
            m[j] = _logistic(a[j] + bias[j])


@_loop
def _bernoulli(activation, rows, mean, draw, bias, k0, k1, step, stream):
    n = len(bias)
    words = np.empty(_quarters(n), dtype=np.uint32)
    for i in range(len(rows)):
        _words(words, rows[i], k0, k1, step, stream)
        a, m, d = activation[i], mean[i], draw[i]
        for j in range(n):
            p = _logistic(a[j] + bias[j])
            m[j] = p
            d[j] = _f32(1.0) if unit(words[j]) < p else _f32(0.0)


@_loop
def _gaussian(activation, rows, mean, draw, bias, k0, k1, step, stream):
    n = len(bias)
    words = np.empty(_quarters(n), dtype=np.uint32)
    z = np.empty(len(words), dtype=draw.dtype)
    for i in range(len(rows)):
        _words(words, rows[i], k0, k1, step, stream)
        _normals(z, words)
        a, m, d = activation[i], mean[i], draw[i]
        for j in range(n):
            m[j] = a[j] + bias[j]
            d[j] = a[j] + bias[j] + z[j]


_LANES = 32  # partial maxima and sums: they vectorise, in one order on every machine


@_loop
def _largest(values, lanes):
    """Return the maximum of a row; NaN may or may not be seen."""
    lanes[:] = values[0]
    whole = len(values) // _LANES * _LANES
    for start in range(0, whole, _LANES):
        part = values[start : start + _LANES]
        for lane in range(_LANES):
            lanes[lane] = part[lane] if part[lane] > lanes[lane] else lanes[lane]
    largest = lanes[0]
    for lane in range(1, _LANES):
        largest = max(largest, lanes[lane])
    for j in range(whole, len(values)):
        largest = max(largest, values[j])
    return largest


@_loop
def _sum(values, lanes):
    """Return the sum of a row."""
    lanes[:] = 0
    whole = len(values) // _LANES * _LANES
    for start in range(0, whole, _LANES):
        part = values[start : start + _LANES]
        for lane in range(_LANES):
            lanes[lane] += part[lane]
    total = lanes[0]
    for lane in range(1, _LANES):
        total += lanes[lane]
    for j in range(whole, len(values)):
        total += values[j]
    return total


@_loop
def _softplus(activation, total, bias):
    n = len(bias)
    terms = np.empty(n, dtype=activation.dtype)
    lanes = np.empty(_LANES, dtype=np.float64)
    for i in range(len(activation)):
        a = activation[i]
        for j in range(n):
            terms[j] = _soft(a[j] + bias[j])
        total[i] = _sum(terms, lanes)


@_loop
def _softmax(activation, totals, mean, bias):
    n = len(bias)
    if n == 0:
        return
    shifted = np.empty(n, dtype=mean.dtype)
    lanes = np.empty(_LANES, dtype=mean.dtype)
    for i in range(len(activation)):
        a, m = activation[i], mean[i]
        for j in range(n):
            shifted[j] = a[j] + bias[j]
        largest = _largest(shifted, lanes)
        for j in range(n):
            m[j] = _exponential(shifted[j] - largest)
        scale = totals[i] / _sum(m, lanes)
        for j in range(n):
            m[j] *= scale


@_loop
def _multinomial(mean, counts, rows, draw, k0, k1, step, stream):
    n = mean.shape[1]
    cumulative = np.empty(n, dtype=np.float64)
    words = np.empty(4, dtype=np.uint32)
    for i in range(len(rows)):
        m, d = mean[i], draw[i]
        total = 0.0
        for j in range(n):
            total += np.float64(m[j])
            cumulative[j] = total
            d[j] = 0
        if math.isnan(total):
            continue
        for start in range(0, counts[i], 4):
            words[0], words[1], words[2], words[3] = philox(
                start // 4, rows[i], step, stream, k0, k1
            )
            for lane in range(min(4, counts[i] - start)):
                target = np.float64(unit(words[lane])) * total
                d[first_above(cumulative, target)] += 1


@_loop
def _binomial(activation, rows, mean, draw, bias, trials, k0, k1, step, stream):
    n = len(bias)
    words = np.empty(_quarters(n), dtype=np.uint32)
    for i in range(len(rows)):
        _words(words, rows[i], k0, k1, step, stream)
        a, m, d = activation[i], mean[i], draw[i]
        for j in range(n):
            p = _logistic(a[j] + bias[j])
            m[j] = _f32(trials) * p
            d[j] = binomial_count(unit(words[j]), p, trials)
