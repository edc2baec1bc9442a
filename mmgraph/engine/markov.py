"""Hidden Markov models: one engine over any state space, transition and streams.

A model is the distribution of the first state, a transition and streams. Each stream has an
emission family with states of its own; ``states`` says which of them a state of the chain is in. So
chains whose state is a pair (coupled, factorial), or whose states share an emission (tied), are
this same model with another transition and another map. Sequences of any lengths stand one after
another in the arrays, without padding, and are taken a block at a time by
:mod:`mmgraph.engine.recursions`.
"""

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from ..backend.arrays import namespace
from ..backend.kernels.threads import in_parallel
from ..backend.random import derive
from . import arc_recursions, recursions
from .emissions import Prior, Scale
from .kronecker import Kronecker
from .recursions import Chain
from .ties import Coupled, Lasting
from .transitions import Band, Dense, log_dirichlet

__all__ = [
    "Counts",
    "Data",
    "Epoch",
    "Model",
    "Priors",
    "Stream",
    "best_paths",
    "draw_states",
    "expect",
    "expect_possible",
    "log_densities",
    "maximise",
    "posteriors",
    "train",
]

PARTS = 8  # sums of statistics, whatever the number of threads


class Stream(NamedTuple):
    """What the states emit in one stream.

    Attributes
    ----------
    emission : object of :mod:`mmgraph.engine.emissions`
    states : ndarray of int or None
        For each state of the chain the state of the emission. None: the same.
    weight : float
        Exponent of the likelihood. 0 leaves the stream out.
    scale : Scale or None
        Units of the emission, where it is real-valued.
    """

    emission: object
    states: np.ndarray | None = None
    weight: float = 1.0
    scale: Scale | None = None

    def encode(self, x):
        """Values in the units of the emission."""
        return x if self.scale is None else self.scale.encode(x)

    def decode(self, z):
        """Values in the units of the data."""
        return z if self.scale is None else self.scale.decode(z)

    def expected(self, posterior):
        """Expected values given probabilities of the states, in the units of the data."""
        mean = self.emission.mean()
        return self.decode(posterior @ (mean if self.states is None else mean[self.states]))

    def draw(self, path, rows, key, step):
        """Values drawn given the states of the chain, in the units of the data."""
        states = path if self.states is None else self.states[path]
        return self.decode(self.emission.draw(states, rows, key, step))


class Model(NamedTuple):
    """A hidden Markov model.

    Attributes
    ----------
    start : ndarray of shape (n_states,)
        Distribution of the first state of a sequence.
    transition : Dense, Band, Coupled, Lasting or Kronecker
    streams : tuple of Stream
    """

    start: np.ndarray
    transition: Dense | Band | Coupled | Lasting | Kronecker
    streams: tuple

    @property
    def n_states(self):
        """Number of states of the chain."""
        return len(self.start)

    @property
    def sizes(self):
        """States of each of the chains whose tuples the states are."""
        return tuple((self.transition.parts.max(axis=0) + 1).tolist())

    def by_chain(self, posterior):
        """Probabilities of the states of each chain, side by side, from those of the states."""
        if self.sizes == (self.n_states,):
            return posterior
        groups = [np.eye(part.max() + 1)[part] for part in self.transition.parts.T]
        return posterior @ np.hstack(groups).astype(posterior.dtype)

    def reweighted(self, weights):
        """The model with other weights of its streams."""
        pairs = zip(self.streams, weights, strict=True)
        return self._replace(streams=tuple(stream._replace(weight=w) for stream, w in pairs))


class Data(NamedTuple):
    """Sequences, one after another.

    Attributes
    ----------
    features : tuple of ndarray of shape (n_frames, n_features)
        Of each stream, by its emission; all of one floating type, that of the computation.
    offsets : ndarray of int64, shape (n_sequences + 1,)
        First frame of each sequence, and the number of frames.
    known : ndarray of int, shape (n_frames,), or None
        What is known of the state of each frame: a row of `possible`, or -1 for nothing.
    possible : ndarray of bool, shape (n_cases, n_states), or None
        States that each case leaves possible. None: the one of its number.
    """

    features: tuple
    offsets: np.ndarray
    known: np.ndarray | None = None
    possible: np.ndarray | None = None

    def where(self, known, parts):
        """The same frames, with something known of the states of the chains.

        Parameters
        ----------
        known : ndarray of int, shape (n_frames, n_chains)
            State of each chain, or -1.
        parts : ndarray of int, shape (n_states, n_chains)
            States of the chains in each state.
        """
        cases, codes = np.unique(known, axis=0, return_inverse=True)
        possible = ((cases[:, None] == parts) | (cases[:, None] < 0)).all(axis=2)
        return self._replace(known=codes.ravel(), possible=possible)

    def split(self, n_parts):
        """Whole sequences in at most so many parts, of about as many frames each."""
        ends = np.linspace(0, self.n_frames, n_parts + 1)
        cuts = np.unique(np.searchsorted(self.offsets, ends))
        parts = []
        for first, last in pairwise(cuts):
            offsets = self.offsets[first : last + 1]
            rows = slice(offsets[0], offsets[-1])
            features = tuple(own[rows] for own in self.features)
            known = None if self.known is None else self.known[rows]
            parts.append(Data(features, offsets - offsets[0], known, self.possible))
        return parts

    @property
    def n_frames(self):
        """Number of frames of all sequences."""
        return int(self.offsets[-1])

    @property
    def on_gpu(self):
        """Whether the features are on a GPU."""
        return namespace(*self.features) is not np

    @property
    def dtype(self):
        """Floating type of the computation."""
        return self.features[0].dtype


class Counts(NamedTuple):
    """Expected statistics of sequences under a model. They add up over sequences.

    Attributes
    ----------
    log_likelihood : float
    start : ndarray of shape (n_states,)
    transition : ndarray
        By diagonal, or as a matrix.
    emissions : tuple of tuple of ndarray
        By stream.
    """

    log_likelihood: float
    start: np.ndarray
    transition: np.ndarray
    emissions: tuple

    def times(self, factor):
        """Those of as many sequences again."""
        return Counts(
            self.log_likelihood * factor,
            self.start * factor,
            self.transition * factor,
            tuple(tuple(a * factor for a in own) for own in self.emissions),
        )

    def merge(self, other):
        """Those of both sets of sequences."""
        pairs = zip(self.emissions, other.emissions, strict=True)
        return Counts(
            self.log_likelihood + other.log_likelihood,
            self.start + other.start,
            self.transition + other.transition,
            tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in pairs),
        )


class Priors(NamedTuple):
    """What parameters are drawn to.

    Attributes
    ----------
    start, transition : float
        Pseudo-counts of each state, and of each arc that the topology has.
    emission : Prior
    """

    start: float = 0.0
    transition: float = 0.0
    emission: Prior = Prior()


class Epoch(NamedTuple):
    """What an iteration came to.

    Attributes
    ----------
    model : Model
    metrics : dict of str to float
    """

    model: Model
    metrics: dict


# Inference ---------------------------------------------------------------------------------------


def log_densities(model, data):
    """Log-density of each frame given those before it in its sequence.

    Parameters
    ----------
    model : Model
    data : Data

    Returns
    -------
    ndarray of shape (n_frames,), float64
        Their sum over a sequence is its log-likelihood. -inf where a frame is impossible; those
        after it are given those before it.
    """
    if data.on_gpu:
        return arc_recursions.log_densities(model, data)
    found = np.empty(data.n_frames)
    chain = Chain(model, data.dtype)

    def one(block):
        for rows, log_scale in recursions.filtered(chain, data, block):
            found[rows] = log_scale

    in_parallel(one, recursions.blocks(data.offsets, model.n_states))
    return found


def posteriors(model, data):
    """Distribution of the state of each frame given its sequence.

    Parameters
    ----------
    model : Model
    data : Data

    Returns
    -------
    ndarray of shape (n_frames, n_states)
    """
    if data.on_gpu:
        return arc_recursions.posteriors(model, data)
    found = np.empty((data.n_frames, model.n_states), data.dtype)
    chain = Chain(model, data.dtype)

    def one(block):
        for piece in recursions.smoothed(chain, data, block):
            found[piece.rows] = piece.posterior

    in_parallel(one, recursions.blocks(data.offsets, model.n_states))
    found /= found.sum(axis=1, keepdims=True)
    return found


def best_paths(model, data):
    """Most probable states of each sequence.

    Parameters
    ----------
    model : Model
    data : Data

    Returns
    -------
    path : ndarray of int32, shape (n_frames,)
    log_probability : ndarray of shape (n_sequences,)
        Of each sequence together with its path.
    """
    if data.on_gpu:
        return arc_recursions.best_paths(model, data)
    path = np.empty(data.n_frames, np.int32)
    best = np.empty(len(data.offsets) - 1)
    chain = Chain(model, data.dtype)

    def one(block):
        rows, offsets = block.rows, block.offsets
        likelihood, _ = chain.likelihood(data, rows)
        best[block.sequences] = chain.kernel.best_path(
            likelihood, offsets, chain.log_start, chain.log_enter, path[rows]
        )

    in_parallel(one, recursions.blocks(data.offsets, model.n_states))
    return path, best


def draw_states(model, data, n_draws, key):
    """Draw the states of each sequence from their distribution given it.

    Parameters
    ----------
    model : Model
    data : Data
    n_draws : int
    key : Key

    Returns
    -------
    ndarray of int32, shape (n_draws, n_frames)
    """
    if data.on_gpu:
        return arc_recursions.draw_states(model, data, n_draws, key)
    paths = np.empty((n_draws, data.n_frames), np.int32)
    chain = Chain(model, data.dtype)

    def one(block):
        rows = block.rows
        ids = np.arange(rows.start, rows.stop, dtype=np.uint32)
        uniforms = [chain.uniform(ids, 1, derive(key, d), 0, 0, np.float64) for d in range(n_draws)]
        uniforms = np.stack(uniforms)[:, :, 0]
        recursions.draw_paths(chain, data, block, uniforms, paths[:, rows])

    in_parallel(one, recursions.blocks(data.offsets, model.n_states))
    return paths


# Learning ----------------------------------------------------------------------------------------


def expect(model, data, algorithm="em"):
    """Expected statistics of sequences under a model.

    Parameters
    ----------
    model : Model
    data : Data
    algorithm : {"em", "viterbi"}
        Over all paths, or along the most probable one.

    Returns
    -------
    Counts
    """
    if data.on_gpu:
        return Counts(*arc_recursions.expect(model, data, algorithm))
    chain = Chain(model, data.dtype)
    blocks = list(recursions.blocks(data.offsets, model.n_states))
    n_parts = max(1, min(PARTS, len(blocks), recursions.LARGEST // model.n_states**2))
    cuts = [len(blocks) * i // n_parts for i in range(n_parts + 1)]
    parts = [blocks[a:b] for a, b in pairwise(cuts)]
    gather = _along_path if algorithm == "viterbi" else _over_paths

    def one(part):
        total = None
        for block in part:
            for counts in gather(chain, data, block):
                total = counts if total is None else total.merge(counts)
        return total

    first, *rest = in_parallel(one, parts)
    for part in rest:
        first = first.merge(part)
    return first


def expect_possible(model, data, algorithm="em"):
    """As :func:`expect`; raises ValueError if sequences are impossible under the model."""
    return _checked(expect(model, data, algorithm))


def _checked(counts):
    if not np.isfinite(counts.log_likelihood):
        raise ValueError(
            "a sequence is impossible under the model: check the known states against the "
            "topology, or give the probabilities a prior."
        )
    return counts


def maximise(model, counts, priors):
    """The most probable parameters given expected statistics.

    Parameters
    ----------
    model : Model
        Where nothing was counted, its parameters stay.
    counts : Counts
    priors : Priors

    Returns
    -------
    Model
    """
    start = np.where(model.start > 0, counts.start + priors.start, 0.0)
    start = model.transition.maximise_start(start, model.start)
    streams = (
        stream._replace(emission=stream.emission.maximise(statistics, priors.emission))
        for stream, statistics in zip(model.streams, counts.emissions, strict=True)
    )
    transition = model.transition.maximise(counts.transition, priors.transition)
    return Model(start, transition, tuple(streams))


def log_prior(model, priors):
    """Log-density of the parameters, up to a constant."""
    own = log_dirichlet(model.start, priors.start) + model.transition.log_prior(priors.transition)
    return own + sum(stream.emission.log_prior(priors.emission) for stream in model.streams)


def train(model, data, priors, *, max_iter, tol, algorithm="em") -> Iterator[Epoch]:
    """Learn by expectation and maximisation, or along the most probable paths.

    The sequences are shared out among the workers of joblib's active backend, one unless
    :func:`joblib.parallel_config` says otherwise; their statistics are added up. Those on a GPU are
    not shared out.

    Parameters
    ----------
    model : Model
        Where to start.
    data : Data
    priors : Priors
    max_iter : int
    tol : float
        Stop where the objective gains less than this a frame.
    algorithm : {"em", "viterbi"}

    Yields
    ------
    Epoch
        Its ``log_likelihood`` and ``objective`` (with the log-prior) are those of the model before
        the iteration, in nats a frame.

    Raises
    ------
    ValueError
        If sequences are impossible under the model.
    """
    before, n_jobs = -np.inf, 1 if data.on_gpu else effective_n_jobs(None)
    parts = data.split(n_jobs)
    with Parallel(n_jobs if data.on_gpu else None) as workers:  # to which the frames go once
        for _ in range(max_iter):
            work = (delayed(expect)(model, part, algorithm) for part in parts)
            counts = _checked(reduce(Counts.merge, workers(work)))
            likelihood = counts.log_likelihood / data.n_frames
            objective = likelihood + log_prior(model, priors) / data.n_frames
            model = maximise(model, counts, priors)
            yield Epoch(model, {"log_likelihood": likelihood, "objective": objective})
            if objective - before < tol:
                return
            before = objective


# What a block adds ------------------------------------------------------------------------------


def _over_paths(chain, data, block):
    """Expected statistics of the pieces of a block."""
    for piece in recursions.smoothed(chain, data, block):
        begins = _starts(block, piece.rows)
        yield Counts(
            float(piece.log_scale.sum()),
            piece.posterior[begins].sum(axis=0, dtype=np.float64),
            piece.transition,
            _statistics(chain.model, data, piece.rows, piece.posterior, piece.parts),
        )


def _along_path(chain, data, block):
    """Statistics of a block along its most probable paths."""
    likelihood, parts = chain.likelihood(data, block.rows)
    path = np.empty(len(likelihood), np.int32)
    best = chain.kernel.best_path(likelihood, block.offsets, chain.log_start, chain.log_enter, path)
    chosen = np.zeros_like(likelihood)
    chosen[np.arange(len(path)), path] = 1
    starts = block.offsets[:-1]
    inner = np.delete(np.arange(len(path)), starts)
    yield Counts(
        float(best.sum()),
        chosen[starts].sum(axis=0, dtype=np.float64),
        chain.model.transition.tally(path[inner - 1], path[inner]),
        _statistics(chain.model, data, block.rows, chosen, parts),
    )


def _starts(block, rows):
    """Frames of a piece, numbered from its first, at which a sequence starts."""
    starts = block.offsets[:-1] + block.rows.start
    return starts[(starts >= rows.start) & (starts < rows.stop)] - rows.start


def _statistics(model, data, rows, posterior, parts):
    """Statistics of the emissions of each stream."""
    found = []
    for stream, features, kept in zip(model.streams, data.features, parts, strict=True):
        own = posterior
        if stream.states is not None:
            own = (
                posterior
                @ np.eye(len(stream.emission.mean()), dtype=posterior.dtype)[stream.states]
            )
        found.append(stream.emission.statistics(features[rows], own, kept))
    return tuple(found)
