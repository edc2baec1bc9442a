"""Hidden Markov models one after another: units in a known order, or in any.

A unit is a hidden Markov model that can be left; :mod:`mmgraph.engine.markov` learns it. Units in a
row are one chain again, whose states share the emissions of their unit. Its last state is the end,
which is entered in a frame of its own after the last one, so that every path has passed all units
by then.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from ..backend import kernels
from .transitions import Band

__all__ = ["Border", "Unit", "align", "chain", "decode", "glance", "loop", "unit_of", "weigh"]

HALF = 0.5  # probability of what may be or not be: a silence, another unit


class Unit(NamedTuple):
    """A hidden Markov model that can be left.

    Attributes
    ----------
    start : ndarray of shape (n_states,)
        Distribution of the first state.
    matrix : ndarray of shape (n_states, n_states)
        Transitions where the unit goes on.
    leave : ndarray of shape (n_states,)
        Probability that a frame in this state is the last one of the unit.
    streams : tuple of Stream
    """

    start: np.ndarray
    matrix: np.ndarray
    leave: np.ndarray
    streams: tuple

    @property
    def n_states(self):
        """Number of states."""
        return len(self.start)

    def reweighted(self, weights):
        """The unit with other weights of its streams."""
        pairs = zip(self.streams, weights, strict=True)
        return self._replace(streams=tuple(stream._replace(weight=w) for stream, w in pairs))


class Network(NamedTuple):
    """Units joined to one chain.

    Attributes
    ----------
    start : ndarray of shape (n_states,)
        Distribution of the first state. The last state is the end.
    transition : Band
    streams : tuple of Shared
    first : ndarray of int64, shape (n_slots + 1,)
        First state of each unit in the chain, and the end.
    slot : ndarray of int64, shape (n_states - 1,)
        Which unit of the chain a state belongs to.
    """

    start: np.ndarray
    transition: Band
    streams: tuple
    first: np.ndarray
    slot: np.ndarray


class Shared(NamedTuple):
    """What the states of a chain emit in one stream.

    Attributes
    ----------
    emissions : tuple of object of :mod:`mmgraph.engine.emissions`
        Those of all units.
    states : ndarray of int, shape (n_states - 1,)
        For each state of the chain the state of the emissions side by side.
    weight : float
        Exponent of the likelihood.
    """

    emissions: tuple
    states: np.ndarray
    weight: float


class Border(NamedTuple):
    """Where the units of a known order begin and end.

    Attributes
    ----------
    spans : ndarray of int64, shape (n_units, 2)
        First frame of each unit, and the one after its last, on the most probable path.
    begin, end : ndarray of shape (n_units, n_frames)
        Probability that a unit begins with a frame, and that it ends with it.
    log_likelihood : float
        Of the frames, given the order.
    """

    spans: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    log_likelihood: float


def unit_of(model, data):
    """The unit that examples make of a model that was learnt from them.

    The probability to leave a state is the share of its frames that are the last of an example,
    with half a frame more of either kind: no example says that there cannot be a shorter one.

    Parameters
    ----------
    model : Model
    data : Data
        Whole examples, one after another.

    Returns
    -------
    Unit
    """
    unit = Unit(model.start, model.transition.matrix, np.zeros(model.n_states), model.streams)
    posterior, band = _emitted(_alone(unit), data.features), _going_on(unit)
    for a, b in pairwise(data.offsets):
        if _smooth(posterior[a:b], unit.start, band) == -np.inf:
            posterior[a:b] = 0  # an impossible example says nothing
    last = posterior[data.offsets[1:] - 1].sum(axis=0)
    return unit._replace(leave=(last + 0.5) / (posterior.sum(axis=0) + 1.0))


def chain(units, order, silence=None):
    """The chain of units in a known order.

    Parameters
    ----------
    units : list of Unit
        With streams of the same emissions.
    order : sequence of int
        Number of each unit.
    silence : int, optional
        Number of a unit that may stand before, between and after those of the order.

    Returns
    -------
    Network
    """
    if silence is None:
        links = [(i, i + 1, 1.0) for i in range(len(order))]
        return _join(units, order, [(0, 1.0)], links)
    slots = np.full(2 * len(order) + 1, silence)
    slots[1::2] = order
    links = []
    for i in range(1, len(slots), 2):
        links += [(i - 1, i, 1.0), (i, i + 1, HALF), (i, i + 2, HALF)]
    links.append((len(slots) - 1, len(slots), 1.0))
    return _join(units, slots, [(0, HALF), (1, HALF)], links)


def loop(units, shares):
    """The chain of units in any order, each of which another one follows, or the end.

    Parameters
    ----------
    units : list of Unit
    shares : ndarray of shape (n_units,)
        How often each occurs.

    Returns
    -------
    Network
    """
    n = len(units)
    links = [(i, j, HALF * shares[j]) for i in range(n) for j in range(n)]
    links += [(i, n, HALF) for i in range(n)]
    return _join(units, range(n), list(enumerate(shares)), links)


def align(units, order, features, silence=None):
    """Find the borders of units in a known order.

    Parameters
    ----------
    units : list of Unit
    order : sequence of int
        Number of each unit of the sequence.
    features : tuple of ndarray of shape (n_frames, n_features)
        Of each stream.
    silence : int, optional
        Number of the unit that may stand before, between and after them.

    Returns
    -------
    Border

    Raises
    ------
    ValueError
        If the frames are impossible in this order.

    Notes
    -----
    That the chain has come as far as a unit becomes more probable from frame to frame; by how much
    is the probability that the unit begins there.

    Examples
    --------
    >>> import numpy as np
    >>> from mmgraph.engine.concatenation import Unit, align
    >>> from mmgraph.engine.emissions import Gaussian
    >>> from mmgraph.engine.markov import Stream
    >>> one, low, high = np.ones((1, 1)), np.zeros((1, 1)), np.full((1, 1), 5.0)
    >>> units = [Unit(one[0], one, 0.2 * one[0], (Stream(Gaussian(m, one)),)) for m in (low, high)]
    >>> x = np.array([[0.1], [0.0], [4.9], [5.2]])
    >>> align(units, [0, 1], (Gaussian.features(x, np.ones(4, bool)),)).spans.tolist()
    [[0, 2], [2, 4]]
    """
    n, order = len(features[0]), np.asarray(order)
    if len(order) > n:
        raise ValueError(f"{n} frames cannot hold {len(order)} units: each has one at least.")
    network = chain(units, order, silence)
    likelihood = _likelihood(network, features)
    path, best = _best_path(network, likelihood)
    if best == -np.inf:
        raise ValueError(
            "the frames are impossible under this order of units: check the order, or give the "
            "probabilities of the model a prior."
        )
    places = np.arange(len(order)) * (1 if silence is None else 2) + (silence is not None)
    slots = network.slot[path]
    spans = np.column_stack([np.searchsorted(slots, places, side) for side in ("left", "right")])
    log_likelihood = _smooth(likelihood, network.start, network.transition)
    held = np.add.reduceat(likelihood[:n], network.first, axis=1).T  # now the posterior
    reached = np.cumsum(held[::-1], axis=0)[::-1]  # that the chain has come to a unit by a frame
    before = np.pad(reached, ((0, 0), (1, 0)))
    after = np.pad(reached, ((0, 0), (0, 1)), constant_values=1)
    begin, end = np.diff(before)[places], np.diff(after)[places + 1]
    return Border(spans, np.maximum(begin, 0), np.maximum(end, 0), log_likelihood)


def decode(units, shares, features):
    """Find the most probable order of units.

    Parameters
    ----------
    units : list of Unit
    shares : ndarray of shape (n_units,)
        How often each occurs.
    features : tuple of ndarray of shape (n_frames, n_features)
        Of each stream.

    Returns
    -------
    order : ndarray of int64, shape (n_found,)
    starts : ndarray of int64, shape (n_found,)
        First frame of each.

    Notes
    -----
    Where a unit may have been left and entered again between two frames, it is taken to have been
    if that is the more probable way.
    """
    network = loop(units, shares)
    path, _ = _best_path(network, _likelihood(network, features))
    slots = network.slot[path]
    new = np.r_[True, slots[1:] != slots[:-1]]
    for t in np.flatnonzero(~new):
        unit, base = units[slots[t]], network.first[slots[t]]
        a, b = path[t - 1] - base, path[t] - base
        stays = (1 - unit.leave[a]) * unit.matrix[a, b]
        new[t] = unit.leave[a] * HALF * shares[slots[t]] * unit.start[b] > stays
    starts = np.flatnonzero(new)
    return slots[starts], starts


def weigh(units, features, starts):
    """Log-likelihood of passages under each unit, on its best path.

    Parameters
    ----------
    units : list of Unit
    features : tuple of ndarray of shape (n_frames, n_features)
        Of each stream.
    starts : ndarray of int, shape (n_passages,)
        First frame of each passage, which goes on to the next one.

    Returns
    -------
    ndarray of shape (n_passages, n_units)
    """
    offsets, found = np.r_[starts, len(features[0])], []
    for unit in units:
        likelihood, band = _emitted(_alone(unit), features), _going_on(unit)
        path = np.empty(len(likelihood), np.int32)
        with np.errstate(divide="ignore"):
            likelihood[offsets[1:] - 1] += np.log(unit.leave)
            enter = band.shifts, np.log(band.values)
            best = kernels.of(likelihood, "markov").best_path(
                likelihood, offsets, np.log(unit.start), enter, path
            )
        found.append(best)
    return np.column_stack(found)


def glance(units, features):
    """Log-likelihood of single frames under each unit, whenever in it they may be seen.

    Parameters
    ----------
    units : list of Unit
    features : tuple of ndarray of shape (n_frames, n_features)
        Of each stream.

    Returns
    -------
    ndarray of shape (n_frames, n_units)
    """
    found = []
    for unit in units:
        visits = np.linalg.solve(
            np.eye(unit.n_states) - ((1 - unit.leave)[:, None] * unit.matrix).T, unit.start
        )
        with np.errstate(divide="ignore"):
            share = np.log(np.maximum(visits, 0) / visits.sum())
        found.append(logsumexp(_emitted(_alone(unit), features) + share, axis=1))
    return np.column_stack(found)


def _alone(unit):
    """Streams of one unit."""
    return [_shared([unit], [0], m) for m in range(len(unit.streams))]


def _going_on(unit):
    """Transitions where the unit is not left."""
    return Band.of((1 - unit.leave)[:, None] * unit.matrix)


def _emitted(streams, features):
    """Log-likelihood of frames under the states of a chain, its end left out."""
    found = np.zeros((len(features[0]), len(streams[0].states)))
    for stream, x in zip(streams, features, strict=True):
        if stream.weight:
            own = np.hstack([emission.evaluate(x)[0] for emission in stream.emissions])
            found += stream.weight * own[:, stream.states]
    return found


def _likelihood(network, features):
    """Log-likelihood of frames under the states, the end in a frame of its own after them."""
    found = np.pad(_emitted(network.streams, features), (0, 1), constant_values=-np.inf)
    found[-1, -1] = 0
    return found


def _smooth(likelihood, start, band):
    """Turn log-likelihoods of one sequence into distributions of the state; the log-likelihood."""
    recursion = kernels.of(likelihood, "arcs")
    sources, targets, values = band.entries
    arcs = sources, targets, np.log(values)
    with np.errstate(divide="ignore"):
        entered = np.log(start)
    filtered, log_scale = recursion.forward(likelihood, entered, arcs)
    recursion.backward(likelihood, filtered, log_scale, None, arcs)
    return log_scale.sum()


def _best_path(network, likelihood):
    """Most probable states, without the end, and the log-probability."""
    path = np.empty(len(likelihood), np.int32)
    offsets = np.array([0, len(likelihood)])
    with np.errstate(divide="ignore"):
        enter = network.transition.shifts, np.log(network.transition.values)
        best = kernels.of(likelihood, "markov").best_path(
            likelihood, offsets, np.log(network.start), enter, path
        )
    return path[:-1], best[0]


def _join(units, slots, first, links):
    """Join units to a chain.

    Parameters
    ----------
    units : list of Unit
    slots : sequence of int
        The unit in each place of the chain.
    first : list of (int, float)
        Places that the chain may start in, and their probabilities.
    links : list of (int, int, float)
        Place that is left, place that is entered (one more than there are: the end), probability.
    """
    slots = np.asarray(slots)
    sizes = np.array([unit.n_states for unit in units])[slots]
    offsets = np.r_[0, np.cumsum(sizes)]
    end = offsets[-1]
    entries = [units[k].start for k in slots] + [np.ones(1)]
    start = np.zeros(end + 1)
    for i, p in first:
        start[offsets[i] : offsets[i] + len(entries[i])] += p * entries[i]
    arcs = []
    for k, offset in zip(slots, offsets, strict=False):
        inner = (1 - units[k].leave)[:, None] * units[k].matrix
        arcs.append(_arcs(inner, offset, offset))
    for i, j, p in links:
        arcs.append(_arcs(p * np.outer(units[slots[i]].leave, entries[j]), offsets[i], offsets[j]))
    sources, targets, values = map(np.concatenate, zip(*arcs, strict=True))
    shifts, place = np.unique(sources - targets, return_inverse=True)
    band = np.zeros((len(shifts), end + 1))
    np.add.at(band, (place, targets), values)
    return Network(
        start,
        Band(-shifts, band),
        tuple(_shared(units, slots, m) for m in range(len(units[0].streams))),
        offsets,
        np.repeat(np.arange(len(slots)), sizes),
    )


def _arcs(matrix, source, target):
    rows, columns = np.nonzero(matrix)
    return rows + source, columns + target, matrix[rows, columns]


def _shared(units, slots, m):
    """One stream of the chain: the states of a unit share its emissions wherever it stands."""
    own = [unit.streams[m] for unit in units]
    counts = [len(stream.emission.mean()) for stream in own]
    places = [
        base + (np.arange(count) if stream.states is None else stream.states)
        for stream, count, (base, _) in zip(
            own, counts, pairwise(np.r_[0, np.cumsum(counts)]), strict=True
        )
    ]
    states = np.concatenate([places[k] for k in slots])
    return Shared(tuple(stream.emission for stream in own), states, own[0].weight)
