"""What :mod:`mmgraph.engine.markov` says, of frames on a GPU: all sequences at once, arc by arc.

The likelihoods of frames and the statistics of emissions are array code there. The recursions are
on logarithms, where nothing vanishes. Frames stay on the GPU, and what comes back is what the model
needs: sums over frames, and the answers that were asked for.

A frame waits for the one before it, so a few long sequences leave a GPU idle. They are cut: of each
piece it is found first what it makes of any state it may begin with, all pieces at once; from these
operators follows where every piece begins and what comes after it, and then the pieces are filtered
and smoothed at once as if they were sequences (a parallel scan: Särkkä & García-Fernández 2021,
Temporal parallelization of Bayesian smoothers, IEEE Transactions on Automatic Control 66(1)).
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from ..backend import kernels
from ..backend.arrays import beside, namespace, to_numpy
from ..backend.kernels.sequences import Arcs
from ..backend.random import derive

__all__ = ["best_paths", "draw_states", "expect", "log_densities", "posteriors"]

LARGEST = 1 << 28  # frames times states that are worked on together
PIECES = 512  # that keep a GPU busy
SHORTEST = 64  # frames of a piece
WORTH = 4  # pieces of the longest sequence, from which it is worth cutting
WIDEST = 64  # states of a chain that is cut


class _Block(NamedTuple):
    """Whole sequences that are worked on together: their numbers, frames, and where each begins."""

    sequences: slice
    rows: slice
    offsets: np.ndarray


def log_densities(model, data):
    """Log-density of each frame given those before it; see `markov.log_densities`."""
    found = np.empty(data.n_frames)
    for block in _blocks(model, data):
        frames, _ = _likelihood(model, data, block.rows)
        found[block.rows] = to_numpy(_filter(model, frames, block)[1])
    return found


def posteriors(model, data):
    """Distribution of the state of each frame given its sequence; see `markov.posteriors`."""
    found = np.empty((data.n_frames, model.n_states), data.dtype)
    for block in _blocks(model, data):
        found[block.rows] = to_numpy(_smooth(model, data, block)[0])
    found /= found.sum(axis=1, keepdims=True)
    return found


def best_paths(model, data):
    """Most probable states of each sequence; see `markov.best_paths`."""
    path, best = np.empty(data.n_frames, np.int32), np.empty(len(data.offsets) - 1)
    for block in _blocks(model, data):
        frames, _ = _likelihood(model, data, block.rows)
        own, best[block.sequences] = _best(model, frames, block)
        path[block.rows] = to_numpy(own)
    return path, best


def draw_states(model, data, n_draws, key):
    """Draw the states of each sequence; see `markov.draw_states`."""
    found = np.empty((n_draws, data.n_frames), np.int32)
    for block in _blocks(model, data):
        frames, _ = _likelihood(model, data, block.rows)
        xp, kernel = namespace(frames), kernels.of(frames, "sequences")
        filtered, _ = _filter(model, frames, block)
        rows = xp.arange(block.rows.start, block.rows.stop, dtype=np.uint32)
        uniform = kernels.of(rows).uniform
        draws = [uniform(rows, 1, derive(key, d), 0, 0, np.float64)[:, 0] for d in range(n_draws)]
        paths = xp.empty((n_draws, len(rows)), np.int32)
        uniforms = xp.stack(draws).astype(filtered.dtype)
        offsets = xp.asarray(block.offsets)
        kernel.draw_paths(filtered, offsets, _arcs(model, filtered), uniforms, paths)
        found[:, block.rows] = to_numpy(paths)
    return found


def expect(model, data, algorithm="em"):
    """Log-likelihood, and expected statistics; see `markov.Counts`."""
    gather = _along_path if algorithm == "viterbi" else _over_paths
    likelihood, total = 0.0, None
    for block in _blocks(model, data):
        own, *counts = gather(model, data, block)
        likelihood += own
        total = counts if total is None else _plus(total, counts)
    return likelihood, *total


# Parts -------------------------------------------------------------------------------------------


def _plus(one, other):
    """Sums of numbers, however deep in tuples."""
    if isinstance(one, list | tuple):
        return tuple(_plus(a, b) for a, b in zip(one, other, strict=True))
    return one + other


def _over_paths(model, data, block):
    """What a block adds to the statistics, over all paths."""
    posterior, log_scale, taken, parts = _smooth(model, data, block)
    begins = namespace(posterior).asarray(block.offsets[:-1])
    sources, targets, _ = model.transition.entries
    return (
        float(log_scale.sum()),
        to_numpy(posterior[begins].astype(np.float64).sum(axis=0)),
        model.transition.tally(sources, targets, to_numpy(taken)),
        _statistics(model, data, block.rows, posterior, parts),
    )


def _along_path(model, data, block):
    """The same along the most probable paths."""
    frames, parts = _likelihood(model, data, block.rows)
    path, best = _best(model, frames, block)
    xp, n = namespace(path), model.n_states
    chosen = (path[:, None] == xp.arange(n, dtype=path.dtype)).astype(frames.dtype)
    path, starts = to_numpy(path), block.offsets[:-1]
    inner = np.delete(np.arange(len(path)), starts)
    return (
        float(best.sum()),
        np.bincount(path[starts], minlength=n).astype(float),
        model.transition.tally(path[inner - 1], path[inner]),
        _statistics(model, data, block.rows, chosen, parts),
    )


def _blocks(model, data):
    most, first, last = LARGEST // model.n_states, 0, len(data.offsets) - 1
    while first < last:
        end = int(np.searchsorted(data.offsets, data.offsets[first] + most, side="right")) - 1
        end = max(end, first + 1)
        rows = slice(int(data.offsets[first]), int(data.offsets[end]))
        yield _Block(slice(first, end), rows, data.offsets[first : end + 1] - rows.start)
        first = end


def _likelihood(model, data, rows):
    """Log-likelihood of frames under each state, and what the emissions keep of the work."""
    total, kept = None, []
    for stream, features in zip(model.streams, data.features, strict=True):
        xp = namespace(features)
        own, parts = stream.emission.evaluate(features[rows])
        kept.append(parts)
        if not stream.weight:
            continue
        if stream.weight != 1:
            own *= own.dtype.type(stream.weight)
        own = own if stream.states is None else own[:, xp.asarray(stream.states)]
        total = own if total is None else total + own
    if total is None:
        total = xp.zeros((rows.stop - rows.start, model.n_states), data.dtype)
    if data.known is not None:
        known = data.known[rows]
        possible = np.eye(model.n_states, dtype=bool) if data.possible is None else data.possible
        allowed = xp.asarray(np.where((known >= 0)[:, None], possible[known], True))
        total = xp.where(allowed, total, -np.inf)
    return xp.ascontiguousarray(total), kept


def _arcs(model, frames):
    """The arcs of the model where the frames are, in their precision."""
    sources, targets, values = model.transition.entries
    arcs = Arcs.of(sources, targets, np.log(values).astype(frames.dtype), model.n_states)
    return Arcs(*(beside(array, frames) for array in arcs))


def _chain(model, frames, block):
    """Where sequences begin, the logarithm of the start, and the arcs, where the frames are."""
    with np.errstate(divide="ignore"):
        start = np.log(model.start).astype(frames.dtype)
    return beside(block.offsets, frames), beside(start[None], frames), _arcs(model, frames)


def _filter(model, frames, block):
    """Logarithms of filtered distributions, and log-densities."""
    found, _ = _filter_in_pieces(model, frames, block)
    return found


def _filter_in_pieces(model, frames, block):
    """The same, with the pieces: where they begin, and what comes after each."""
    offsets, start, arcs = _chain(model, frames, block)
    kernel, cuts = kernels.of(frames, "sequences"), _cuts(model, block)
    if cuts is not None:
        at = beside(cuts, frames)
        operators = to_numpy(kernel.operators(frames, at, arcs))
        firsts = np.isin(cuts[:-1], block.offsets)
        ends = _ends(operators, firsts, to_numpy(start)[0], model.transition.matrix)
        if ends is not None:
            begun, after = (beside(rows.astype(frames.dtype), frames) for rows in ends)
            return kernel.forward(frames, at, begun, arcs), (at, after, arcs)
    return kernel.forward(frames, offsets, start, arcs), (offsets, None, arcs)


def _cuts(model, block):
    """Where sequences are cut, their ends included; None: they are better left whole."""
    lengths = np.diff(block.offsets)
    size = max(SHORTEST, -(-int(block.offsets[-1]) // PIECES))
    if len(lengths) >= PIECES or lengths.max() < WORTH * size or model.n_states > WIDEST:
        return None
    pieces = [np.arange(a, b, size) for a, b in pairwise(block.offsets)]
    return np.concatenate([*pieces, block.offsets[-1:]])


def _ends(operators, firsts, log_start, matrix):
    """Where each piece begins, and what comes after it.

    Parameters
    ----------
    operators : ndarray of shape (n_pieces, n_states, n_states)
        See :func:`mmgraph.backend.kernels.sequences.operators`.
    firsts : ndarray of bool, shape (n_pieces,)
        Whether a piece begins a sequence.
    log_start : ndarray of shape (n_states,)
    matrix : ndarray of shape (n_states, n_states)
        Of transitions.

    Returns
    -------
    begun : ndarray of shape (n_pieces, n_states)
        Logarithm of the distribution of a piece's first state given the frames before it.
    after : ndarray of shape (n_pieces, n_states)
        Logarithm of what later frames say about the state that follows a piece, relative to their
        density; NaN where there are none.

    None in place of both if a piece is impossible.
    """
    with np.errstate(divide="ignore"):
        moves = np.log(matrix)
    n_pieces, n = operators.shape[:2]
    begun, after, last = np.empty((n_pieces, n)), np.full((n_pieces, n), np.nan), log_start
    for c in range(n_pieces):
        entered = log_start if firsts[c] else logsumexp(last[:, None] + moves, axis=0)
        begun[c] = entered - logsumexp(entered)
        last = logsumexp(begun[c][:, None] + operators[c], axis=0)
        if not last.max() > -np.inf:
            return None
    for c in range(n_pieces - 1, 0, -1):
        if firsts[c]:
            continue
        then = after[c]
        then = np.zeros(n) if np.isnan(then[0]) else logsumexp(moves + then, axis=1)
        seen = logsumexp(operators[c] + then, axis=1)
        after[c - 1] = seen - logsumexp(begun[c] + seen)
    return begun, after


def _smooth(model, data, block):
    """Posterior, log-densities, how often each arc is taken, and what the emissions keep."""
    frames, parts = _likelihood(model, data, block.rows)
    (filtered, log_scale), (offsets, after, arcs) = _filter_in_pieces(model, frames, block)
    backward = kernels.of(frames, "sequences").backward
    taken = backward(frames, filtered, log_scale, offsets, arcs, after)
    return frames, log_scale, taken, parts


def _best(model, frames, block):
    """Most probable path, and its log-probability on the CPU."""
    path = namespace(frames).empty(len(frames), np.int32)
    chain = _chain(model, frames, block)
    best = kernels.of(frames, "sequences").best_path(frames, *chain, path)
    return path, to_numpy(best)


def _statistics(model, data, rows, posterior, parts):
    """Statistics of the emissions of each stream, on the CPU."""
    found = []
    for stream, features, kept in zip(model.streams, data.features, parts, strict=True):
        own = posterior
        if stream.states is not None:
            groups = np.eye(len(stream.emission.mean()), dtype=posterior.dtype)[stream.states]
            own = posterior @ beside(groups, posterior)
        found.append(stream.emission.statistics(features[rows], own, kept))
    return tuple(found)
