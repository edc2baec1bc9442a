"""Recursions over the frames of sequences: the scalar functions and the CPU loops.

Frames of all sequences stand one after another; ``offsets`` says where each sequence starts, and
where the last one ends. A transition is an operand that distributions are carried over with:

- dense, a C-ordered matrix whose entry (i, j) is what state j gets from state i;
- a band, a tuple (shifts, values): what state j gets is the sum over d of values[d, j] times the
  entry j - shifts[d], where there is one;
- a Kronecker product, a tuple of matrices: states are tuples with one number a matrix, of which the
  last one runs first, and each number moves by its own matrix.

The operand of the other direction is the transposed one. Probabilities are scaled, not logarithms:
each frame's likelihoods are divided by the largest one, or where that leaves nothing of the states
that can be reached, by the largest of theirs. What is less than `smallest` of its frame is taken
for zero, which keeps every quantity finite in both directions; :func:`find_losses` says in which
sequences this may have been too much, and :mod:`.arcs` is for them.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

_f32, _f64, _i32, _i64 = np.float32, np.float64, np.int32, np.int64

_scalar = njit(inline="always", error_model="numpy")
_EXACT = {"contract", "nsz", "nnan"}  # exponentials round by adding and subtracting a number
_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath=_EXACT | {"reassoc"})
_exponential_loop = njit(cache=True, nogil=True, error_model="numpy", fastmath=_EXACT)

LEAST = 1e-100  # probability of an arc, for :func:`find_losses`


# --- public functions -----------------------------------------------------------------------------


def forward(log_likelihood, offsets, start, transition, scaled, filtered, log_scale):
    """Filter: the distribution of the state of each frame given the frames up to it.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_frames, n_states), float32 or float64
        Of each frame under each state; without NaN or inf, -inf where it is impossible.
    offsets : ndarray of int64, shape (n_sequences + 1,)
    start : ndarray of shape (n_states,)
        Distribution of the first state of each sequence.
    transition : ndarray or tuple of ndarray
        Operand that carries forward.
    scaled : ndarray of shape (n_frames, n_states)
        Written to: what turns the prediction of a frame's state into its filtered distribution.
    filtered : ndarray of shape (n_frames, n_states)
        Written to.
    log_scale : ndarray of float64, shape (n_frames,)
        Written to: log-density of each frame given those before it in its sequence. -inf where the
        frame is impossible; it is then passed over as if it had not been observed.
    """
    peaks = np.empty(len(log_scale))
    _relative(log_likelihood, scaled, peaks)
    _forward(
        log_likelihood,
        offsets,
        start,
        transition,
        scaled,
        filtered,
        peaks,
        log_scale,
        *_smallest(log_likelihood.dtype),
    )
    np.log(log_scale, out=log_scale)
    log_scale += peaks


def find_losses(log_likelihood, offsets, entered, transition, log_scale):
    """Find the sequences in which what was taken for zero may have come to something later.

    A filter in which no state that can be reached ever falls below `smallest` says how much at
    most, and where that stays below rounding nothing was lost.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_frames, n_states), float32 or float64
    offsets : ndarray of int64, shape (n_sequences + 1,)
    entered : ndarray of float64, shape (n_states,)
        What may have been lost before the first frame: above 0 where its state can be reached.
        Overwritten by the same of the frame after the last one.
    transition : ndarray or tuple of ndarray
        Operand that carries forward, in float64, whose entries are 0 or at least `LEAST`.
    log_scale : ndarray of float64, shape (n_frames,)
        From :func:`forward`.

    Returns
    -------
    ndarray of bool, shape (n_sequences,)
    """
    found = np.zeros(len(offsets) - 1, bool)
    smallest, _ = map(float, _smallest(log_likelihood.dtype))
    room = 1e-12 if log_likelihood.dtype == np.float64 else 1e-7
    _find_losses(log_likelihood, offsets, entered, transition, log_scale, smallest, room, found)
    return found


def backward(scaled, filtered, offsets, transition, last, posterior):
    """Smooth: the distribution of the state of each frame given its whole sequence.

    Parameters
    ----------
    scaled, filtered : ndarray of shape (n_frames, n_states)
        From :func:`forward`. `scaled` is overwritten by what the transitions into a frame are
        weighted with: the expected number of transitions from i to j into frame t is
        filtered[t - 1, i] transition[i, j] scaled[t, j].
    offsets : ndarray of int64, shape (n_sequences + 1,)
    transition : ndarray or tuple of ndarray
        Operand that carries backward.
    last : ndarray of shape (n_states,)
        What the frames after the last one say about its state (ones: there are none). Overwritten
        by what the frames from the first one on say about the state before it.
    posterior : ndarray of shape (n_frames, n_states)
        Written to.
    """
    _backward(scaled, filtered, offsets, transition, last, posterior)


def best_path(log_likelihood, offsets, log_start, log_transition, path):
    """Find the most probable states of each sequence (Viterbi).

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_frames, n_states)
    offsets : ndarray of int64, shape (n_sequences + 1,)
    log_start : ndarray of shape (n_states,)
    log_transition : ndarray or tuple of ndarray
        Logarithm of the operand that carries forward if a band, and backward if not.
    path : ndarray of int32, shape (n_frames,)
        Written to. Of equally good states the first.

    Returns
    -------
    ndarray of shape (n_sequences,), float64
        Log-probability of each sequence and its path. -inf where it is impossible, and then the
        path says nothing.
    """
    origin = np.empty(log_likelihood.shape, np.int32)
    best = np.empty(len(offsets) - 1)
    _best_path(log_likelihood, offsets, log_start, log_transition, origin, path, best)
    return best


def draw_paths(filtered, offsets, transition, uniforms, paths):
    """Draw the states of each sequence from their distribution given it.

    Parameters
    ----------
    filtered : ndarray of shape (n_frames, n_states)
        From :func:`forward`.
    offsets : ndarray of int64, shape (n_sequences + 1,)
    transition : ndarray or tuple of ndarray
        Operand as in :func:`best_path`, of probabilities.
    uniforms : ndarray of shape (n_draws, n_frames)
    paths : ndarray of int32, shape (n_draws, n_frames)
        Written to.
    """
    _draw_paths(filtered, offsets, transition, uniforms, paths)


def count_band(filtered, scaled, shifts, counts):
    """Add to counts[d, j] the sum over t of filtered[t - 1, j - shifts[d]] scaled[t, j].

    Parameters
    ----------
    filtered, scaled : ndarray of shape (n_frames, n_states)
        After :func:`backward`; rows of `scaled` that start a sequence are zero.
    shifts : ndarray of int64, shape (n_shifts,)
    counts : ndarray of float64, shape (n_shifts, n_states)
    """
    _count_band(filtered, scaled, shifts, counts)


def carry_rows(rows, transition, found):
    """Carry each row over a transition.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_states)
    transition : ndarray or tuple of ndarray
    found : ndarray of shape (n_rows, n_states)
        Written to.
    """
    _carry_rows(rows, transition, found)


def mix(log_components, log_likelihood, n_mix):
    """Log-sum-exp over groups of `n_mix` columns; the columns become shares of their group.

    Parameters
    ----------
    log_components : ndarray of shape (n_frames, n_states * n_mix)
        Overwritten by each component's share of its state's likelihood.
    log_likelihood : ndarray of shape (n_frames, n_states)
        Written to.
    n_mix : int
    """
    _mix(log_components, log_likelihood, n_mix)


def doubtful(dtype):
    """Likelihood below which a frame is scaled anew, and a little more than may be dropped."""
    return float(_smallest(dtype)[1])


def _smallest(dtype):
    """Share below which a state is taken for dead, and likelihood below which to look again."""
    real = np.dtype(dtype).type
    return (real(1e-200), real(1e-100)) if dtype == np.float64 else (real(1e-24), real(1e-10))


# --- scalar functions -----------------------------------------------------------------------------


@_scalar
def exponential32(x):
    """Return exp(x) for x <= 0, 0 below -87; relative error below 2e-7."""
    y = x if x > _f32(-87.0) else _f32(-87.0)
    t = _f32(y * _f32(1.44269504) + _f32(12582912.0))  # the integer is in the low bits
    n = _f32(t - _f32(12582912.0))
    r = _f32(_f32(y - n * _f32(0.693359375)) - n * _f32(-2.12194440e-4))
    p = _f32(_f32(1.0 / 5040.0) * r + _f32(1.0 / 720.0))
    p = _f32(p * r + _f32(1.0 / 120.0))
    p = _f32(p * r + _f32(1.0 / 24.0))
    p = _f32(p * r + _f32(1.0 / 6.0))
    p = _f32(p * r + _f32(0.5))
    p = _f32(p * r + _f32(1.0))
    p = _f32(p * r + _f32(1.0))
    scale = _i32(_i32(_f32(t).view(_i32) + _i32(127)) << _i32(23)).view(_f32)
    return _f32(p * scale) if x > _f32(-87.0) else _f32(0.0)


@_scalar
def exponential64(x):
    """Return exp(x) for x <= 709, 0 below -708; relative error below 1e-15."""
    y = x if x > -708.0 else -708.0
    t = y * 1.4426950408889634 + 6755399441055744.0  # the integer is in the low bits
    n = t - 6755399441055744.0
    r = (y - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6
    p = 1.0 / 6227020800.0 * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    scale = _i64(_i64(_f64(t).view(_i64) + _i64(1023)) << _i64(52)).view(_f64)
    return p * scale if x > -708.0 else 0.0


def _exponential(x):
    """Stand for exponential32 or exponential64, by the dtype of x."""


@overload(_exponential, inline="always")
def _choose_exponential(x):
    return (lambda x: exponential32(x)) if x == types.float32 else (lambda x: exponential64(x))


# --- one step, over a dense matrix, a band or a Kronecker product ---------------------------------


def _form(transition):
    """Which form an operand has: 0 dense, 1 band, 2 Kronecker product."""
    if not isinstance(transition, types.BaseTuple):
        return 0
    return 1 if isinstance(transition.types[0].dtype, types.Integer) else 2


def _carry(v, transition, out, work):
    """Carry a vector over a transition; `work` is another vector, overwritten."""


@overload(_carry)
def _choose_carry(v, transition, out, work):
    return (_carry_dense, _carry_band, _carry_product)[_form(transition)]


def _carry_dense(v, transition, out, work):
    n = len(v)
    quads = n - n % 4
    for j in range(n):
        out[j] = 0
    for i in range(0, quads, 4):  # four rows at a time, for `out` is read and written each time
        a, b, c, d = v[i], v[i + 1], v[i + 2], v[i + 3]
        r0, r1, r2, r3 = transition[i], transition[i + 1], transition[i + 2], transition[i + 3]
        for j in range(n):
            out[j] += (a * r0[j] + b * r1[j]) + (c * r2[j] + d * r3[j])
    for i in range(quads, n):
        for j in range(n):
            out[j] += v[i] * transition[i, j]


def _carry_band(v, transition, out, work):
    shifts, values = transition
    n = len(v)
    for j in range(n):
        out[j] = 0
    for d in range(len(shifts)):
        shift, row = shifts[d], values[d]
        for j in range(max(shift, 0), min(n, n + shift)):
            out[j] += row[j] * v[j - shift]


def _carry_product(v, transition, out, work):
    n, inner = len(v), len(v)
    turns = len(transition)
    for m in range(turns):  # one number of the states after the other, the first one first
        matrix = transition[m]
        size = len(matrix)
        inner //= size
        source = v if m == 0 else (out if (turns - m) % 2 == 0 else work)
        target = out if (turns - m) % 2 == 1 else work
        for first in range(0, n, size * inner):
            for j in range(size):
                to = target[first + j * inner : first + (j + 1) * inner]
                for r in range(inner):
                    to[r] = matrix[0, j] * source[first + r]
                for i in range(1, size):
                    share, start = matrix[i, j], first + i * inner
                    for r in range(inner):
                        to[r] += share * source[start + r]


def _enter(v, log_transition, out, origin, work, places):
    """For each state the best sum of an entry of `v` and a transition into it, and whence.

    `work` and `places` are other vectors, overwritten.
    """


@overload(_enter)
def _choose_enter(v, log_transition, out, origin, work, places):
    return (_enter_dense, _enter_band, _enter_product)[_form(log_transition)]


def _enter_dense(v, log_transition, out, origin, work, places):
    for j in range(len(v)):
        row, best, where = log_transition[j], v[0] + log_transition[j, 0], 0
        for i in range(1, len(v)):
            value = v[i] + row[i]
            if value > best:
                best, where = value, i
        out[j], origin[j] = best, where


def _enter_band(v, log_transition, out, origin, work, places):
    shifts, values = log_transition
    n = len(v)
    for j in range(n):
        out[j], origin[j] = -np.inf, 0
    for d in range(len(shifts)):
        shift, row = shifts[d], values[d]
        for j in range(max(shift, 0), min(n, n + shift)):
            value = v[j - shift] + row[j]
            if value > out[j]:
                out[j], origin[j] = value, j - shift


def _enter_product(v, log_transition, out, origin, work, places):
    n, inner = len(v), len(v)
    for j in range(n):
        out[j], origin[j] = v[j], j
    for m in range(len(log_transition)):
        matrix = log_transition[m]
        size = len(matrix)
        inner //= size
        for j in range(n):
            work[j], places[j] = out[j], origin[j]
        for first in range(0, n, size * inner):
            for j in range(size):
                for r in range(inner):
                    at = first + r
                    best, where = work[at] + matrix[j, 0], places[at]
                    for i in range(1, size):
                        value = work[at + i * inner] + matrix[j, i]
                        if value > best:
                            best, where = value, places[at + i * inner]
                    out[at + j * inner], origin[at + j * inner] = best, where


def _weigh(v, transition, state, out):
    """Entries of `v` times the transitions from them into a state."""


@overload(_weigh)
def _choose_weigh(v, transition, state, out):
    return (_weigh_dense, _weigh_band, _weigh_product)[_form(transition)]


def _weigh_dense(v, transition, state, out):
    for i in range(len(v)):
        out[i] = v[i] * transition[state, i]


def _weigh_band(v, transition, state, out):
    shifts, values = transition
    for i in range(len(v)):
        out[i] = 0
    for d in range(len(shifts)):
        source = state - shifts[d]
        if 0 <= source < len(v):
            out[source] = v[source] * values[d, state]


def _weigh_product(v, transition, state, out):
    n, inner = len(v), len(v)
    for i in range(n):
        out[i] = v[i]
    for m in range(len(transition)):
        matrix = transition[m]
        size = len(matrix)
        inner //= size
        row = matrix[state // inner % size]
        for i in range(n):
            out[i] *= row[i // inner % size]


@_loop
def _pick(weights, uniform):
    """First index of weight above 0 whose cumulative weight exceeds a share of the total."""
    total = 0.0
    for i in range(len(weights)):
        total += weights[i]
    target, reached, found = uniform * total, 0.0, 0
    for i in range(len(weights)):
        if weights[i] > 0:
            found = i
            reached += weights[i]
            if reached > target:
                break
    return found


# --- the CPU loops --------------------------------------------------------------------------------


@_exponential_loop
def _relative(log_likelihood, scaled, peaks):
    """Likelihoods relative to the largest of each frame, and that one's logarithm."""
    for t in range(len(peaks)):
        row, b = log_likelihood[t], scaled[t]
        peak = row[0]
        for j in range(len(row)):
            peak = row[j] if row[j] > peak else peak
        peaks[t] = peak
        if peak > -np.inf:
            for j in range(len(row)):
                b[j] = _exponential(row[j] - peak)
        else:
            for j in range(len(row)):
                b[j] = 0


@_loop
def _forward(
    log_likelihood, offsets, start, transition, scaled, filtered, peaks, totals, smallest, doubtful
):
    n_states = len(start)
    zero, one = smallest * 0, smallest / smallest
    predicted, work = start.copy(), start.copy()
    for s in range(len(offsets) - 1):
        rate = one
        for t in range(offsets[s], offsets[s + 1]):
            # The last frame is scaled only after it has been carried on: the carry need not wait.
            if t == offsets[s]:
                predicted[:] = start
            else:
                _carry(filtered[t - 1], transition, predicted, work)
            b, a = scaled[t], filtered[t]
            total = zero
            for j in range(n_states):
                predicted[j] *= rate
                a[j] = predicted[j] * b[j]
                total += a[j]
            if not total > doubtful:
                peaks[t] = _rescue(log_likelihood[t], predicted, smallest, b)
                total = zero
                for j in range(n_states):
                    a[j] = predicted[j] * b[j]
                    total += a[j]
            totals[t] = total
            rate = one / total
    for t in range(len(totals)):
        rate, b, a = one / totals[t], scaled[t], filtered[t]
        for j in range(n_states):
            share, gain = a[j] * rate, b[j] * rate
            a[j] = share if share > smallest else zero
            b[j] = gain if share > smallest else zero


@_exponential_loop
def _find_losses(log_likelihood, offsets, entered, transition, log_scale, smallest, room, found):
    n_states = len(entered)
    lost, start, work = entered.copy(), entered.copy(), entered.copy()
    for s in range(len(offsets) - 1):
        entered[:] = start
        for t in range(offsets[s], offsets[s + 1]):
            row, scale, most = log_likelihood[t], log_scale[t], 0.0
            for j in range(n_states):
                gain = row[j] - scale  # inf where the frame was passed over
                work[j] = _exponential(gain if gain < 700.0 else 700.0)
            for j in range(n_states):
                share = (entered[j] + smallest) * work[j] + smallest
                lost[j] = share if entered[j] > 0 and row[j] > -np.inf else 0.0
                most = lost[j] if lost[j] > most else most
            if most == 0:
                lost[:] = entered
            if most > room:
                found[s] = True
                break
            _carry(lost, transition, entered, work)


@_exponential_loop
def _rescue(row, predicted, smallest, b):
    """Likelihoods relative to the largest of the states that can be reached, and its logarithm.

    All are one where none of these states can have brought the frame about.
    """
    peak = row[0] - np.inf
    for j in range(len(row)):
        if predicted[j] > smallest and row[j] > peak:
            peak = row[j]
    for j in range(len(row)):
        if not peak > -np.inf:
            b[j] = 1
        elif predicted[j] > smallest:
            b[j] = _exponential(row[j] - peak)
        else:
            b[j] = 0
    return peak


@_loop
def _backward(scaled, filtered, offsets, transition, last, posterior):
    n_states = len(last)
    beta, end, work = last.copy(), last.copy(), last.copy()
    for s in range(len(offsets) - 1):
        beta[:] = end
        for t in range(offsets[s + 1] - 1, offsets[s] - 1, -1):
            a, u, g = filtered[t], scaled[t], posterior[t]
            for j in range(n_states):
                g[j] = a[j] * beta[j]
                u[j] = u[j] * beta[j]
            _carry(u, transition, beta, work)
    last[:] = beta


@_loop
def _best_path(log_likelihood, offsets, log_start, log_transition, origin, path, best):
    n_states = len(log_start)
    value, entered, work = log_start.copy(), log_start.copy(), log_start.copy()
    places = np.empty(n_states, origin.dtype)
    for s in range(len(offsets) - 1):
        first, end = offsets[s], offsets[s + 1]
        for j in range(n_states):
            value[j] = log_start[j] + log_likelihood[first, j]
        for t in range(first + 1, end):
            _enter(value, log_transition, entered, origin[t], work, places)
            row = log_likelihood[t]
            for j in range(n_states):
                value[j] = entered[j] + row[j]
        state = 0
        for j in range(1, n_states):
            if value[j] > value[state]:
                state = j
        best[s] = value[state]
        for t in range(end - 1, first - 1, -1):
            path[t] = state
            state = origin[t, state]


@_loop
def _draw_paths(filtered, offsets, transition, uniforms, paths):
    weights = np.empty(filtered.shape[1], filtered.dtype)
    for d in range(len(paths)):
        for s in range(len(offsets) - 1):
            last = offsets[s + 1] - 1
            state = _pick(filtered[last], uniforms[d, last])
            paths[d, last] = state
            for t in range(last - 1, offsets[s] - 1, -1):
                _weigh(filtered[t], transition, state, weights)
                state = _pick(weights, uniforms[d, t])
                paths[d, t] = state


@_loop
def _carry_rows(rows, transition, found):
    work = np.empty_like(rows[0])
    for t in range(len(rows)):
        _carry(rows[t], transition, found[t], work)


@_loop
def _count_band(filtered, scaled, shifts, counts):
    n = scaled.shape[1]
    for t in range(1, len(scaled)):
        a, u = filtered[t - 1], scaled[t]
        for d in range(len(shifts)):
            shift, row = shifts[d], counts[d]
            for j in range(max(shift, 0), min(n, n + shift)):
                row[j] += a[j - shift] * u[j]


@_exponential_loop
def _mix(log_components, log_likelihood, n_mix):
    n_states = log_likelihood.shape[1]
    for t in range(len(log_components)):
        row = log_components[t]
        for k in range(n_states):
            group = row[k * n_mix : (k + 1) * n_mix]
            largest = group[0]
            for m in range(n_mix):
                largest = group[m] if group[m] > largest else largest
            total = group[0] * 0
            if largest > -np.inf:
                for m in range(n_mix):
                    group[m] = _exponential(group[m] - largest)
                    total += group[m]
                log_likelihood[t, k] = math.log(total) + largest
                for m in range(n_mix):
                    group[m] /= total
            else:
                log_likelihood[t, k] = largest
                group[:] = 0
