"""Recursions over blocks of sequences: what the frames say of the states of a chain.

Probabilities are scaled, which is quick and, for a chain that soon forgets where it was, all that
is needed. Where states cannot follow each other, the frames can make a state all but impossible
that later ones need: sequences in which that may have happened are found, and taken again on
logarithms. A long sequence is taken in pieces, so that the memory that is needed is that of a
block.
"""

from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..backend import kernels
from .transitions import floored

__all__ = ["Block", "Chain", "Smoothed", "blocks", "draw_paths", "filtered", "smoothed"]

BLOCK = 1 << 11  # frames that are worth a pass of Python
LEAST = 64  # frames of a piece, at least
LARGEST = 1 << 22  # entries (frames times states) of a block, beyond which its filter is not kept


class Block(NamedTuple):
    """Whole sequences that are worked on together.

    Attributes
    ----------
    rows : slice
        Their frames.
    offsets : ndarray of int64, shape (n_sequences + 1,)
        First frame of each sequence, numbered from that of the block, and the number of frames.
    sequences : slice
        Their numbers.
    """

    rows: slice
    offsets: np.ndarray
    sequences: slice

    def one(self, s):
        """The block of one of its sequences."""
        a, b = self.offsets[s : s + 2].tolist()
        first, number = self.rows.start, self.sequences.start + s
        return Block(slice(first + a, first + b), np.array([0, b - a]), slice(number, number + 1))


class Smoothed(NamedTuple):
    """What frames have come to.

    Attributes
    ----------
    rows : slice
    log_scale : ndarray of float64, shape (n_frames,)
        Log-density of each frame given those before it.
    posterior : ndarray of shape (n_frames, n_states)
    transition : ndarray
        Expected transitions, those into the frame after the last one included.
    parts : list
        What the emissions keep of the work.
    """

    rows: slice
    log_scale: np.ndarray
    posterior: np.ndarray
    transition: np.ndarray
    parts: list


class Chain:
    """A model made ready for a pass over data in one floating type."""

    def __init__(self, model, dtype):
        self.model = model
        self.dtype = dtype
        self.start = model.start.astype(dtype)
        self.kernel = kernels.of(self.start, "markov")
        self.uniform = kernels.of(self.start).uniform
        self.forward, self.backward, self.enter = model.transition.operands(dtype)

    @property
    def n_states(self):
        """Number of states."""
        return len(self.start)

    @property
    def log_start(self):
        """Logarithm of the distribution of the first state."""
        with np.errstate(divide="ignore"):
            return np.log(self.start)

    @property
    def log_enter(self):
        """Logarithm of what says who enters a state."""
        return self.model.transition.logarithm(self.enter)

    def likelihood(self, data, rows):
        """Log-likelihood of frames under each state, and what the emissions keep of the work."""
        total, kept = None, []
        for stream, features in zip(self.model.streams, data.features, strict=True):
            found, parts = stream.emission.evaluate(features[rows])
            kept.append(parts)
            if not stream.weight:
                continue
            if stream.weight != 1:
                found *= found.dtype.type(stream.weight)
            if stream.states is not None:
                found = np.take(found, stream.states, axis=1)
            if total is None:
                total = found
            else:
                total += found
        if total is None:
            total = np.zeros((len(features[rows]), self.n_states), self.dtype)
        if data.known is not None:
            known = data.known[rows]
            at = np.flatnonzero(known >= 0)
            possible = np.eye(self.n_states) if data.possible is None else data.possible
            total[at] = np.where(possible[known[at]], total[at], -np.inf)
        return total, kept

    def filter(self, likelihood, offsets, start):
        """Scaled likelihoods, filtered distributions and log-densities of frames."""
        scaled, filtered = np.empty_like(likelihood), np.empty_like(likelihood)
        log_scale = np.empty(len(likelihood))
        self.kernel.forward(likelihood, offsets, start, self.forward, scaled, filtered, log_scale)
        return scaled, filtered, log_scale

    # Where scaled probabilities may not do

    @cached_property
    def reach(self):
        """Operand of `lost`: it carries forward, and lets nothing vanish."""
        return floored(self.model.transition.operands(np.float64)[0])

    @property
    def unlost(self):
        """What `lost` begins with: nothing to speak of, where a state can be the first."""
        return np.where(self.model.start > 0, np.finfo(np.float64).tiny, 0.0)

    @cached_property
    def forgets(self):
        """Whether a state that is all but impossible cannot matter, whatever follows.

        That is so if after each state any other can follow, for then its successors are those of
        the states that are probable.
        """
        least = self.kernel.doubtful(self.dtype)
        start = self.model.start
        return self.model.transition.least >= least and start[start > 0].min() >= least

    def lost(self, likelihood, offsets, entered, log_scale):
        """Numbers of the sequences that must be taken again."""
        if self.forgets:
            return ()
        found = self.kernel.find_losses(likelihood, offsets, entered, self.reach, log_scale)
        return np.flatnonzero(found)

    @cached_property
    def arcs(self):
        """Sources, targets and logarithms of the probabilities of the arcs."""
        sources, targets, values = self.model.transition.entries
        return sources.astype(np.int32), targets.astype(np.int32), np.log(values)

    @property
    def exact(self):
        """Module of the recursions on logarithms."""
        return kernels.of(self.start, "arcs")

    def filter_exactly(self, data, rows, entered):
        """Log-likelihoods, logarithms of filtered distributions, and log-densities of frames."""
        likelihood, parts = self.likelihood(data, rows)
        likelihood = likelihood.astype(np.float64, copy=False)
        return likelihood, parts, *self.exact.forward(likelihood, entered, self.arcs)

    @property
    def log_first(self):
        """Logarithm of the distribution of the first state, in float64; a copy."""
        with np.errstate(divide="ignore"):
            return np.log(self.model.start)


def blocks(offsets, n_states):
    """Whole sequences next to each other, of about BLOCK frames together.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_sequences + 1,)
    n_states : int

    Yields
    ------
    Block
    """
    first, most = 0, min(BLOCK, LARGEST // n_states)
    while first < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[first] + most, side="right")) - 1
        end = max(end, first + 1)
        rows = slice(int(offsets[first]), int(offsets[end]))
        yield Block(rows, offsets[first : end + 1] - rows.start, slice(first, end))
        first = end


def filtered(chain, data, block):
    """Log-densities of the frames of a block, each given those before it in its sequence.

    Parameters
    ----------
    chain : Chain
    data : Data
    block : Block

    Yields
    ------
    rows : slice
        What comes later about a row replaces what came before.
    log_scale : ndarray of float64, shape (n_frames,)
    """
    start, again, entered = chain.start, (), chain.unlost
    for rows, offsets in _pieces(block, chain.n_states):
        likelihood, _ = chain.likelihood(data, rows)
        _, distribution, log_scale = chain.filter(likelihood, offsets, start)
        yield rows, log_scale
        again = chain.lost(likelihood, offsets, entered, log_scale)
        if len(again):
            break
        start = chain.model.transition.carry(distribution[-1])
    for s in again:
        one = block.one(s)
        entered = chain.log_first
        for rows, _ in _pieces(one, chain.n_states):
            yield rows, chain.filter_exactly(data, rows, entered)[-1]


def smoothed(chain, data, block):
    """Smooth a block and count its transitions, a piece at a time from the last to the first.

    A long sequence is filtered in pieces of which only the last distribution is kept, and each is
    filtered again when its turn comes, so the memory grows with the root of its length.

    Parameters
    ----------
    chain : Chain
    data : Data
    block : Block

    Yields
    ------
    Smoothed
        The sequences that are taken again are zeros until then.
    """
    pieces = _pieces(block, chain.n_states)
    starts, entered = [chain.start], chain.unlost
    for rows, offsets in pieces[:-1]:
        likelihood, _ = chain.likelihood(data, rows)
        _, distribution, log_scale = chain.filter(likelihood, offsets, starts[-1])
        if len(chain.lost(likelihood, offsets, entered, log_scale)):
            yield from _smoothed_exactly(chain, data, block)
            return
        starts.append(chain.model.transition.carry(distribution[-1]))
    last, after, again = np.ones_like(chain.start), None, ()
    for (rows, offsets), start in zip(reversed(pieces), reversed(starts), strict=True):
        posterior, parts = chain.likelihood(data, rows)
        scaled, distribution, log_scale = chain.filter(posterior, offsets, start)
        if after is None:
            again = chain.lost(posterior, offsets, entered, log_scale)
            if len(again) == len(block.offsets) - 1:
                break
            for s in again:
                own = slice(*offsets[s : s + 2])
                scaled[own], distribution[own], log_scale[own] = 0, 0, 0
        chain.kernel.backward(scaled, distribution, offsets, chain.backward, last, posterior)
        first = scaled[0].copy()
        scaled[offsets[:-1]] = 0
        counts = chain.model.transition.count(distribution, scaled)
        if after is not None:  # the transition into the piece that follows
            pair = np.stack([distribution[-1], np.zeros_like(after)])
            counts += chain.model.transition.count(pair, np.stack([np.zeros_like(after), after]))
        after = first
        yield Smoothed(rows, log_scale, posterior, chain.model.transition.expected(counts), parts)
    for s in again:
        yield from _smoothed_exactly(chain, data, block.one(s))


def draw_paths(chain, data, block, uniforms, paths):
    """Draw the states of the sequences of a block from their distribution given it.

    Parameters
    ----------
    chain : Chain
    data : Data
    block : Block
    uniforms : ndarray of shape (n_draws, n_frames)
    paths : ndarray of int32, shape (n_draws, n_frames)
        Written to.
    """
    likelihood, _ = chain.likelihood(data, block.rows)
    _, distribution, log_scale = chain.filter(likelihood, block.offsets, chain.start)
    chain.kernel.draw_paths(distribution, block.offsets, chain.enter, uniforms, paths)
    entered = chain.unlost
    for s in chain.lost(likelihood, block.offsets, entered, log_scale):
        _, _, logs, _ = chain.filter_exactly(data, block.one(s).rows, chain.log_first)
        own = slice(*block.offsets[s : s + 2])
        chain.exact.draw_paths(logs, chain.arcs, uniforms[:, own], paths[:, own])


class _Piece(NamedTuple):
    """Frames of a block that are worked on together: all of it, or a part of one long sequence."""

    rows: slice
    offsets: np.ndarray


def _pieces(block, n_states):
    n = int(block.offsets[-1])
    if n * n_states <= LARGEST or len(block.offsets) > 2:
        return [_Piece(block.rows, block.offsets)]
    at_once = max(LEAST, min(LARGEST // n_states, int(np.sqrt(n))))
    cuts = [*range(0, n, at_once), n]
    start = block.rows.start
    return [_Piece(slice(start + a, start + b), np.array([0, b - a])) for a, b in pairwise(cuts)]


def _smoothed_exactly(chain, data, block):
    """Smooth one sequence on logarithms, in pieces in the same way."""
    rows = [piece.rows for piece in _pieces(block, chain.n_states)]
    starts, entered = [], chain.log_first
    for own in rows[:-1]:
        starts.append(entered.copy())
        chain.filter_exactly(data, own, entered)
    starts.append(entered)
    after = None
    for own, start in zip(reversed(rows), reversed(starts), strict=True):
        posterior, parts, logs, log_scale = chain.filter_exactly(data, own, start)
        taken, after = chain.exact.backward(posterior, logs, log_scale, after, chain.arcs)
        counts = chain.model.transition.tally(*chain.arcs[:2], taken)
        yield Smoothed(own, log_scale, posterior.astype(chain.dtype, copy=False), counts, parts)
