"""The log-partition function of a Boltzmann machine, and log-densities that need it.

Exact by enumeration where the states of one colour can be counted; else by annealing from the
machine without edges whose biases give the data's means to the machine itself, and back.
"""

import itertools
import warnings
import zlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logsumexp
from sklearn.exceptions import ConvergenceWarning

from ..backend.arrays import namespace, to_numpy
from ..backend.random import derive
from .boltzmann import State, begin, bound, gibbs, mean_field
from .units import Noise

__all__ = ["LogPartition", "annealed_log_partition", "exact_log_partition", "log_partition"]

MOST_STATES = 2**20  # of one colour, for exact enumeration
AGREEMENT = 1.0  # nats by which the two directions may differ without a warning
LENGTHS_AT_MOST = 9  # of a count layer, beyond which the log-partition function is interpolated


class LogPartition(NamedTuple):
    """A log-partition function, in nats.

    Attributes
    ----------
    value : float
        The estimate: the acceptance ratio of both directions, but not below `forward` less two of
        its standard errors; `forward` where there is no other.
    standard_error : float
        Of `value`; 0 where it is exact.
    effective_sample_size : float
        Of the importance weights, in the worse direction; inf where it is exact.
    forward : float
        Estimate by annealing from the base to the machine: a stochastic lower bound.
    reverse : float
        Estimate by annealing from draws of the machine to the base: a stochastic upper bound, if
        they are exact draws. NaN without particles to start from.
    interval : tuple of float
        From the lowest to the highest of the three estimates, each give or take two standard
        errors; without `reverse` nothing bounds it from above: inf.
    """

    value: float
    standard_error: float
    effective_sample_size: float
    forward: float
    reverse: float
    interval: tuple[float, float]


def log_partition(model, totals, key, *, n_chains=50, n_temperatures=500):
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
    value = float(logsumexp(sums))
    return LogPartition(value, 0.0, np.inf, value, value, (value, value))


def annealed_log_partition(model, totals, key, *, n_chains=50, n_temperatures=500, base=None):
    """Annealed importance sampling from the data-mean base to the machine, and back.

    The path goes from independent layers with the data's means (weights 0, whose log-partition
    function is known) linearly to the machine. One colour is summed out at every temperature.
    Chains go both ways: forward from draws of the base, and, where the machine has particles, in
    reverse from these, after twice as many sweeps as there are temperatures.

    Parameters
    ----------
    model : Boltzmann
    totals : list of dict of int to float
        Numbers of words of the count layers; all are annealed in one run. An estimate does not
        depend on the others beside it.
    key : Key
    n_chains : int
        In each direction.
    n_temperatures : int
    base : list of ndarray of shape (size,), optional
        Biases of the base, one vector a layer; None: those that give the data's means.

    Returns
    -------
    list of LogPartition

    Warns
    -----
    ConvergenceWarning
        When the two directions differ by more than 1 nat.

    References
    ----------
    Neal (2001), Annealed importance sampling. Salakhutdinov & Murray (2008), On the quantitative
    analysis of deep belief networks, ICML, section 4.2: the data-mean base. Burda, Grosse &
    Salakhutdinov (2015), Accurate and conservative estimates of MRF log-likelihood using reverse
    annealing, AISTATS. Bennett (1976), Efficient estimation of free energy differences from Monte
    Carlo data: the acceptance ratio.
    """
    xp = namespace(model.biases[0])
    base = model.base() if base is None else [xp.asarray(b, model.dtype) for b in base]
    up = xp.linspace(0, 1, n_temperatures, dtype=model.dtype)[:, None]
    noise, words = _addresses(model, totals, "forward", n_chains, key)
    values, log_z0 = _independent(model, base, words, noise)
    if not model.particles:
        forward = _anneal(model, base, values, up, words, noise)
        return [_estimate(w) for w in _split(log_z0 + forward, len(totals))]
    back, _ = _addresses(model, totals, "reverse", n_chains, key)
    starts = _equilibrium(
        model, n_chains, 2 * n_temperatures, words, back._replace(key=derive(key, 1))
    )
    for k in model.colours[0]:
        values[k] = xp.concatenate([values[k], starts[k]])
    # Both directions in one run: chains differ in their temperatures only.
    betas = xp.repeat(xp.concatenate([up, up[::-1]], axis=1), len(log_z0), axis=1)
    words = {k: xp.concatenate([w, w]) for k, w in words.items()}
    noise = noise._replace(rows=xp.concatenate([noise.rows, back.rows]))
    forward, reverse = xp.split(_anneal(model, base, values, betas, words, noise), 2)
    found = [
        _estimate(*pair)
        for pair in zip(
            _split(log_z0 + forward, len(totals)),
            _split(log_z0 - reverse, len(totals)),
            strict=True,
        )
    ]
    _warn_of_disagreement(found, n_temperatures)
    return found


def _addresses(model, totals, direction, n_chains, key):
    """Where the chains take their random numbers, and how many words each has.

    A chain's numbers depend on its lengths, its direction and its place among their chains, on
    nothing else.
    """
    xp = namespace(model.biases[0])
    first = [zlib.crc32(f"{direction} {sorted(lengths.items())}".encode()) for lengths in totals]
    rows = np.repeat(first, n_chains) + np.tile(np.arange(n_chains), len(totals))
    words = {
        k: xp.asarray(np.repeat([lengths[k] for lengths in totals], n_chains), model.dtype)
        for k in totals[0]
    }
    return Noise(key, xp.asarray((rows % 2**32).astype(np.uint32)), 0, 0), words


def _independent(model, base, words, noise):
    """Draws of the first colour from the base, and the base's log-partition function."""
    xp = namespace(model.biases[0])
    values, log_z, n = [None] * model.n_layers, 0.0, len(noise.rows)
    for k, (kind, bias) in enumerate(zip(model.units, base, strict=True)):
        eta = xp.broadcast_to(bias.astype(np.float64), (n, len(bias)))
        log_z = log_z + kind.log_partition(eta, words.get(k))
        if k in model.colours[0]:
            zero = xp.zeros((n, len(bias)), model.dtype)
            values[k] = kind.draw(zero, bias, noise._replace(stream=k), words.get(k))[1]
    return values, log_z


def _equilibrium(model, n_chains, n_sweeps, words, noise):
    """Draws of the machine: sweeps from its latest particles, at the wanted numbers of words."""
    xp = namespace(model.biases[0])
    latest = -1 - xp.arange(len(noise.rows)) % n_chains % len(model.particles[0])
    values = [None] * model.n_visible + [p[latest].astype(model.dtype) for p in model.particles]
    totals = [words.get(k) for k in range(model.n_layers)]
    for k in model.visible:
        activation, at = _input(model, values, k, len(latest)), noise._replace(stream=k)
        values[k] = model.units[k].draw(activation, model.biases[k], at, totals[k])[1]
    start = State(values, [True] * model.n_layers, totals)
    return gibbs(model, start, n_sweeps, noise._replace(step=1))[0].values


def _anneal(model, base, values, betas, words, noise):
    """Log importance weights of chains that are moved through temperatures.

    At inverse temperature beta a layer has the natural parameter ``base + beta * slope``, whose
    slope is its input from the layers beside it and what its bias adds to the base's. The second
    colour is summed out. The path is its own reverse: with falling `betas` the weights are those of
    the way back.

    Parameters
    ----------
    values : list of ndarray or None
        Where the chains are: the layers of the first colour; changed in place.
    betas : ndarray of shape (n_temperatures, n_chains) or (n_temperatures, 1)

    Returns
    -------
    ndarray of shape (n_chains,), float64
    """
    sampled, summed = model.colours
    n = len(noise.rows)
    shifts = [bias - start for bias, start in zip(model.biases, base, strict=True)]
    log_weights = namespace(betas).zeros(n)

    def slopes(layers):
        found = {k: _input(model, values, k, n) for k in layers}
        for k in layers:
            found[k] += shifts[k]
        return found

    def move(slopes, beta, at):
        for k, slope in slopes.items():
            here = at._replace(stream=k)
            values[k] = model.units[k].draw(beta * slope, base[k], here, words.get(k))[1]

    for step in range(1, len(betas)):
        old, new = betas[step - 1, :, None], betas[step, :, None]
        for k in sampled:
            log_weights += (new - old)[:, 0] * (values[k] @ shifts[k])
        rising = slopes(summed)
        for k, slope in rising.items():
            for beta, sign in (new, 1), (old, -1):
                eta = beta * slope
                eta += base[k]
                log_weights += sign * model.units[k].log_partition(eta, words.get(k))
        if step < len(betas) - 1:
            at = noise._replace(step=step)
            move(rising, new, at)
            move(slopes(sampled), new, at)
    return log_weights


def _split(log_weights, n_parts):
    return np.split(to_numpy(log_weights), n_parts)


def _estimate(forward, reverse=None):
    """The log-partition function from the log weights of chains in one or both directions.

    With equal numbers of chains Bennett's acceptance ratio is the c at which

        sum_i sigmoid(forward_i - c) = sum_i sigmoid(c - reverse_i),

    the most likely value given all weights (Shirts, Bair, Hooker & Pande 2003). It needs the two
    distributions of weights to overlap, where either direction by itself needs its rarest weights.
    But it trusts the start draws of the reverse chains. A forward estimate needs none and is hardly
    ever too high, so nothing much below it is believed.
    """
    up, up_error, up_size = _mean_weight(forward)
    if reverse is None or not np.isfinite([*forward, *reverse]).all():
        return LogPartition(up, up_error, up_size, up, np.nan, (up - 2 * up_error, np.inf))
    down, down_error, down_size = _mean_weight(-reverse)
    down = -down

    def excess(c):
        return expit(forward - c).sum() - expit(c - reverse).sum()

    both = np.concatenate([forward, reverse])
    value = brentq(excess, both.min() - 1, both.max() + 1)
    shares = _mean_weight(log_expit(forward - value)), _mean_weight(log_expit(value - reverse))
    error = float(np.hypot(shares[0][1], shares[1][1]))
    if value < up - 2 * up_error:
        value, error = up - 2 * up_error, up_error
    estimates = np.array([value, up, down])
    margins = 2 * np.array([error, up_error, down_error])
    interval = float((estimates - margins).min()), float((estimates + margins).max())
    return LogPartition(float(value), error, min(up_size, down_size), up, down, interval)


def _mean_weight(log_weights):
    """Log of the mean weight, its standard error, and how many weights count."""
    n, top = len(log_weights), log_weights.max()
    weights = np.exp(log_weights - top)
    mean = weights.mean()
    error = weights.std(ddof=1) / np.sqrt(n) / mean if n > 1 else np.inf
    size = weights.sum() ** 2 / (weights**2).sum()
    return float(top + np.log(mean)), float(error), float(size)


def _warn_of_disagreement(found, n_temperatures):
    """Warn, once, of the estimate whose two directions differ most."""
    worst = max(found, key=lambda z: np.nan_to_num(abs(z.reverse - z.forward)))
    gap = worst.reverse - worst.forward
    if not abs(gap) > AGREEMENT:
        return
    reason = "the path has too few steps or the model has parts that few chains find"
    if gap < 0:
        reason = "reverse below forward: the model's particles are not draws of the model"
    warnings.warn(
        f"the log-partition function is {worst.forward:.2f} by forward and {worst.reverse:.2f} by "
        f"reverse annealing, which should agree ({reason}). The level of score_samples is as "
        f"uncertain as the value taken, {worst.value:.2f}; differences between rows of one model "
        f"are not. Raise n_temperatures, here {n_temperatures}: log_partition(n_temperatures=...) "
        "tells by how much to correct.",
        ConvergenceWarning,
        stacklevel=2,
    )


def log_density(model, shown, present, n_rows, log_z, *, lengths=None, max_sweeps=50):
    """Log-density of what the rows show, or its mean-field lower bound.

    Exact for complete rows of a machine whose hidden layers are of one colour (an RBM) when the
    log-partition function is; else a lower bound up to the error of the latter.

    Parameters
    ----------
    model : Boltzmann
    shown, present, n_rows, lengths
        See :func:`~mmgraph.engine.boltzmann.begin`.
    log_z : callable (list of dict of int to float) -> array-like
        Log-partition function given numbers of words of the count layers.
    max_sweeps : int

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    state = begin(model, shown, n_rows, present=present, lengths=lengths)
    total = bound(model, mean_field(model, state, max_sweeps=max_sweeps))
    counts = [k for k in model.visible if model.units[k].counts]
    table = np.zeros((n_rows, len(counts)))
    for i, k in enumerate(counts):
        table[:, i] = to_numpy(state.totals[k])
    combinations, which = np.unique(table, axis=0, return_inverse=True)
    values = _for_each_length(model, log_z, counts, combinations)
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
        sum(model.units[k].log_n_states(len(model.biases[k]), totals.get(k)) for k in colour)
        for colour in model.colours
    ]
    best = int(np.argmin(sizes))
    return best if sizes[best] <= np.log(MOST_STATES) + 1e-9 else None


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
