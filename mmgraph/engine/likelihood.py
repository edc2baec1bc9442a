"""The log-partition function of a Boltzmann machine, and log-densities that need it.

Exact by enumeration where the states of one colour can be counted; else by annealed importance
sampling from the machine without edges whose biases give the data's means.
"""

import itertools
import zlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.special import logsumexp

from ..backend.arrays import namespace, to_numpy
from .boltzmann import begin, bound, mean_field
from .units import Noise

__all__ = ["LogPartition", "annealed_log_partition", "exact_log_partition", "log_partition"]

MOST_STATES = 2**20  # of one colour, for exact enumeration
LENGTHS_AT_MOST = 9  # of a count layer, beyond which the log-partition function is interpolated


class LogPartition(NamedTuple):
    """A log-partition function.

    Attributes
    ----------
    value : float
    standard_error : float
        Of `value`, in nats; 0 where it is exact.
    effective_sample_size : float
        Of the importance weights; inf where it is exact.
    """

    value: float
    standard_error: float
    effective_sample_size: float


def log_partition(model, totals, key, *, n_chains=100, n_temperatures=1000):
    """Exact log-partition function where one colour has at most 2**20 states, else annealed.

    Parameters
    ----------
    model : Boltzmann
    totals : list of dict of int to float
        Numbers of words of the count layers, on which the machine is conditioned: one dict a wanted
        value. Without count layers, ``[{}]``.
    key : Key
        Seed of the chains.
    n_chains, n_temperatures : int
        Effort of an annealed estimate.

    Returns
    -------
    list of LogPartition
    """
    found = [
        None if _countable(model, lengths) is None else exact_log_partition(model, lengths)
        for lengths in totals
    ]
    rest = [lengths for lengths, value in zip(totals, found, strict=True) if value is None]
    if rest:
        annealed = iter(
            annealed_log_partition(
                model, rest, key, n_chains=n_chains, n_temperatures=n_temperatures
            )
        )
        found = [next(annealed) if value is None else value for value in found]
    return found


def exact_log_partition(model, totals):
    """Sum over all states of one colour; the other colour is summed out analytically.

    Raises
    ------
    ValueError
        When both colours have more than 2**20 states.
    """
    colour = _countable(model, totals)
    if colour is None:
        raise ValueError(
            "neither colour of the machine has at most 2**20 states, so its log-partition "
            "function cannot be enumerated: use annealed_log_partition."
        )
    layers, others = model.colours[colour], model.colours[1 - colour]
    tables = [
        model.units[k].states(len(model.biases[k]), totals.get(k)).astype(np.float64)
        for k in layers
    ]
    wide = _widened(model)
    n_states = int(np.prod([len(t) for t in tables]))
    sums = []
    for start in range(0, n_states, 1 << 13):
        number = np.arange(start, min(start + (1 << 13), n_states))
        digits = np.unravel_index(number, [len(t) for t in tables])
        values = [None] * model.n_layers
        total = np.zeros(len(number))
        for k, table, digit in zip(layers, tables, digits, strict=True):
            values[k] = table[digit]
            total += values[k] @ wide.biases[k] + model.units[k].log_base(values[k])
        for k in others:
            eta = wide.biases[k] + (wide.activation(values, k) if wide.neighbours[k] else 0.0)
            eta = np.broadcast_to(eta, (len(number), len(wide.biases[k])))
            total += model.units[k].log_partition(eta, totals.get(k))
        sums.append(logsumexp(total))
    return LogPartition(float(logsumexp(sums)), 0.0, np.inf)


def annealed_log_partition(model, totals, key, *, n_chains=100, n_temperatures=1000):
    """Annealed importance sampling from the data-mean base.

    The path goes from independent layers with the data's means (weights 0, whose log-partition
    function is known) linearly to the machine. One colour is summed out at every temperature.

    Parameters
    ----------
    model : Boltzmann
    totals : list of dict of int to float
        Numbers of words of the count layers; all are annealed in one run. An estimate does not
        depend on the others beside it.
    key : Key
    n_chains, n_temperatures : int

    Returns
    -------
    list of LogPartition

    References
    ----------
    Neal (2001), Annealed importance sampling. Salakhutdinov & Murray (2008), On the quantitative
    analysis of deep belief networks, ICML, section 4.2: the data-mean base.
    """
    xp = namespace(model.biases[0])
    dtype = model.dtype
    base = [
        kind.natural(xp.asarray(mean, np.float64)).astype(dtype)
        for kind, mean in zip(model.units, model.means, strict=True)
    ]
    n = n_chains * len(totals)
    words = {
        k: xp.asarray(np.repeat([lengths[k] for lengths in totals], n_chains), dtype)
        for k in totals[0]
    }
    sampled, summed = model.colours
    # A chain's numbers depend on its lengths and its place among their chains, on nothing else.
    first = [zlib.crc32(repr(sorted(lengths.items())).encode()) for lengths in totals]
    rows = (np.repeat(first, n_chains) + np.tile(np.arange(n_chains), len(totals))) % 2**32
    noise = Noise(key, xp.asarray(rows.astype(np.uint32)), 0, 0)
    values, log_z0 = [None] * model.n_layers, xp.zeros(n)
    for k in range(model.n_layers):
        eta = xp.broadcast_to(base[k].astype(np.float64), (n, len(base[k])))
        log_z0 += model.units[k].log_partition(eta, words.get(k))
        if k in sampled:
            zero = xp.zeros((n, len(base[k])), dtype)
            at = noise._replace(stream=k)
            values[k] = model.units[k].draw(zero, base[k], at, words.get(k))[1]

    def log_density(beta, inputs):
        total = xp.zeros(n)
        for k in sampled:
            total += values[k] @ ((1 - beta) * base[k] + beta * model.biases[k]).astype(np.float64)
        for k in summed:
            eta = (1 - beta) * base[k] + beta * (model.biases[k] + inputs[k])
            total += model.units[k].log_partition(eta.astype(np.float64), words.get(k))
        return total

    def move(layers, inputs, beta, step):
        for k in layers:
            at = noise._replace(step=step, stream=k)
            bias = ((1 - beta) * base[k] + beta * model.biases[k]).astype(dtype)
            scaled = dtype.type(beta) * inputs[k]
            values[k] = model.units[k].draw(scaled, bias, at, words.get(k))[1]

    log_weights = log_z0
    betas = np.linspace(0.0, 1.0, n_temperatures)
    for step in range(1, n_temperatures):
        inputs = {k: _input(model, values, k, n) for k in summed}
        log_weights += log_density(betas[step], inputs) - log_density(betas[step - 1], inputs)
        if step < n_temperatures - 1:
            move(summed, inputs, betas[step], step)
            inputs = {k: _input(model, values, k, n) for k in sampled}
            move(sampled, inputs, betas[step], step)
    return [_averaged(w) for w in to_numpy(log_weights).reshape(len(totals), n_chains)]


def _averaged(log_weights):
    """Log of the mean importance weight, its standard error, and how many weights count."""
    n, top = len(log_weights), log_weights.max()
    weights = np.exp(log_weights - top)
    mean = weights.mean()
    error = weights.std(ddof=1) / np.sqrt(n) / mean if n > 1 else np.inf
    ess = weights.sum() ** 2 / (weights**2).sum()
    return LogPartition(float(top + np.log(mean)), float(error), float(ess))


def log_density(model, shown, present, n_rows, log_z, *, max_sweeps=50):
    """Log-density of what the rows show, or its mean-field lower bound.

    Exact for complete rows of a machine whose hidden layers are of one colour (an RBM) when the
    log-partition function is; else a lower bound up to the error of the latter.

    Parameters
    ----------
    model : Boltzmann
    shown, present, n_rows
        See :func:`~mmgraph.engine.boltzmann.begin`.
    log_z : callable (list of dict of int to float) -> array-like
        Log-partition function given numbers of words of the count layers.
    max_sweeps : int

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    state = begin(model, shown, n_rows, present=present)
    total = bound(model, mean_field(model, state, max_sweeps=max_sweeps))
    counts = [k for k in model.visible if model.units[k].counts]
    table = np.zeros((n_rows, len(counts)))
    for i, k in enumerate(counts):
        table[:, i] = to_numpy(state.totals[k])
    lengths, which = np.unique(table, axis=0, return_inverse=True)
    values = _for_each_length(model, log_z, counts, lengths)
    total = to_numpy(total) - values[np.ravel(which)]
    for k in model.visible:
        if k in shown:
            total += np.where(to_numpy(present[k]), model.log_jacobian(k), 0.0)
    shows_something = np.zeros(n_rows, bool)
    for mask in present.values():
        shows_something |= to_numpy(mask)
    return np.where(shows_something, total, 0.0)


def _for_each_length(model, log_z, counts, lengths):
    """Log-partition function given each row of `lengths`, shape (n, number of count layers).

    Where the training rows had many different lengths it is computed at a grid over their range
    and interpolated: it is a smooth convex function of each number of words (a log-sum-exp of
    linear ones). The grid depends on the model alone, so that no row's density depends on others.
    """
    grid = []
    for k in counts:
        table = to_numpy(model.lengths[k]).astype(np.float64)
        nodes = np.unique(table)
        if len(nodes) > LENGTHS_AT_MOST:
            # Dense where documents are short: there it bends most.
            nodes = np.linspace(*np.sqrt(nodes[[0, -1]]), LENGTHS_AT_MOST) ** 2
            nodes = np.unique(nodes.round())
        grid.append(nodes)
    smooth = np.zeros(len(lengths), bool)
    if any(len(nodes) == LENGTHS_AT_MOST for nodes in grid):
        smooth[:] = True
        for nodes, column in zip(grid, lengths.T, strict=True):
            few = len(nodes) < LENGTHS_AT_MOST
            smooth &= (
                np.isin(column, nodes) if few else (column >= nodes[0]) & (column <= nodes[-1])
            )
    values = np.empty(len(lengths))

    def at(table):
        return log_z([dict(zip(counts, map(float, row), strict=True)) for row in table])

    if not smooth.all():
        values[~smooth] = at(lengths[~smooth])
    if smooth.any():
        nodes = np.reshape(at(list(itertools.product(*grid))), [len(n) for n in grid])
        used = [i for i, n in enumerate(grid) if len(n) > 1]
        nodes = nodes.reshape([len(grid[i]) for i in used])
        method = "pchip" if min(len(grid[i]) for i in used) >= 4 else "linear"
        curve = RegularGridInterpolator([grid[i] for i in used], nodes, method=method)
        values[smooth] = curve(lengths[smooth][:, used])
    return values


def _countable(model, totals):
    """The colour with the fewest states, if they are at most 2**20."""
    sizes = [
        np.prod([model.units[k].n_states(len(model.biases[k]), totals.get(k)) for k in colour])
        for colour in model.colours
    ]
    best = int(np.argmin(sizes))
    return best if sizes[best] <= MOST_STATES else None


def _widened(model):
    """The machine in float64 on the host."""
    return replace(
        model,
        weights=tuple(to_numpy(w).astype(np.float64) for w in model.weights),
        biases=tuple(to_numpy(b).astype(np.float64) for b in model.biases),
    )


def _input(model, values, layer, n_rows):
    if model.neighbours[layer]:
        return model.activation(values, layer)
    return namespace(model.biases[0]).zeros((n_rows, len(model.biases[layer])), model.dtype)
