"""Boltzmann machines as data: layers joined by edges, in two colours.

An RBM, a deep Boltzmann machine and a multimodal one with a pathway a modality are the same thing
here: a list of layers and a list of edges whose graph is a tree, and so has two colours such that
no edge joins layers of the same colour. Given one colour, the layers of the other are independent;
block Gibbs sampling and mean field each are one loop over the two colours.

The density of the statistics ``t_l`` of all layers is

    log p = sum_l (b_l . t_l + log_base_l(t_l)) + sum_(l,k) t_l' W_lk t_k - log Z.

Conditioning is clamping: a layer that is not free is skipped by every sweep. Offsets of the centred
parametrisation appear nowhere: they fold into the biases (see :mod:`mmgraph.engine.learning`).
"""

import itertools
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, reduce
from typing import NamedTuple

import numpy as np

from ..backend import kernels
from ..backend.arrays import namespace, to_device

__all__ = [
    "Boltzmann",
    "MeanField",
    "State",
    "begin",
    "bound",
    "explain",
    "flatten",
    "gibbs",
    "log_joint",
    "mean_field",
    "populate",
]

# Streams of random numbers beside those of the layers, which bear their index.
LENGTHS, PARTICLES = 1 << 14, 1 << 15
HALVINGS = 20  # of the interval in which the power of a row's weights is searched
FARTHEST = 1e6  # standard deviations of a real-valued statistic from its mean


@dataclass(frozen=True)
class Boltzmann:
    """A Boltzmann machine: its graph and its parameters. The first layers are the visible ones.

    Parameters
    ----------
    names : tuple of str
        Name of each layer; visible layers bear the name of their modality.
    units : tuple of Units
        Unit type of each layer.
    n_visible : int
        How many of the layers are visible.
    edges : tuple of (int, int)
        The layers that each weight matrix joins, lower layer first.
    weights : tuple of ndarray, shape (size of lower, size of upper)
        One matrix an edge.
    biases : tuple of ndarray, shape (size,)
        One vector a layer.
    means : tuple of ndarray, shape (size,)
        Expectation of each layer's statistic over the training rows: where inference starts.
    locs, scales : tuple of ndarray or None
        What encodes the data of a layer whose units have a scale, in float64.
    floors : tuple of ndarray or None
        Smallest scales that learning may reach: a column that does not vary, or that the others
        determine, would have the scale 0 and an infinite density.
    lengths : tuple of ndarray or None
        For count layers, quantiles of the number of words of the training rows.
    particles : tuple of ndarray of uint8, shape (n_particles, size)
        The hidden layers of joint draws from the machine, from which inference starts; empty while
        it learns.
    """

    names: tuple
    units: tuple
    n_visible: int
    edges: tuple
    weights: tuple
    biases: tuple
    means: tuple
    locs: tuple
    scales: tuple
    floors: tuple
    lengths: tuple
    particles: tuple = ()

    @property
    def n_layers(self):
        """Number of layers."""
        return len(self.names)

    @property
    def dtype(self):
        """Floating type of the parameters."""
        return self.biases[0].dtype

    @property
    def device(self):
        """Where the arrays are, "cpu" or "cuda"."""
        return "cpu" if namespace(self.biases[0]) is np else "cuda"

    @property
    def n_multiplications(self):
        """Multiplications of a row with the largest weight matrix."""
        return max(w.size for w in self.weights)

    @property
    def visible(self):
        """Indices of the visible layers."""
        return range(self.n_visible)

    @property
    def hidden(self):
        """Indices of the hidden layers."""
        return range(self.n_visible, self.n_layers)

    def __getstate__(self):
        """The fields alone: what is remembered beside them is found again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def memory(self):
        """Where what is computed from these parameters (log-partition functions) is remembered."""
        return {}

    @property
    def gains(self):
        """For each edge, how often the upper layer counts the lower, and the lower the upper."""
        return ((1.0, 1.0),) * len(self.edges)

    @property
    def neighbours(self):
        """For each layer its edges as (edge, other layer, whether the layer is the upper one)."""
        return _graph(self.n_layers, tuple(map(tuple, self.edges)))[0]

    @property
    def colours(self):
        """The layers of either colour; the first visible layer has the first colour."""
        return _graph(self.n_layers, tuple(map(tuple, self.edges)))[1]

    def to(self, device):
        """The machine with its arrays on a device, "cpu" or "cuda"."""
        arrays = ("weights", "biases", "means", "locs", "scales", "floors", "lengths", "particles")
        return self._with_each(arrays, lambda array: to_device(array, device))

    def astype(self, dtype):
        """The machine in another precision; remembered."""
        if dtype == self.dtype:
            return self
        name = ("dtype", np.dtype(dtype).name)
        if name not in self.memory:
            arrays = ("weights", "biases", "means", "lengths")
            self.memory[name] = self._with_each(arrays, lambda array: array.astype(dtype))
        return self.memory[name]

    def _with_each(self, names, change):
        """The machine with every array of some fields changed."""
        return replace(
            self,
            **{
                name: tuple(None if a is None else change(a) for a in getattr(self, name))
                for name in names
            },
        )

    def activation(self, states, layer, known=None):
        """Input of a layer from its neighbours, shape (n_rows, size), without its bias.

        `known` has the parts that need not be computed, by edge and layer.
        """
        total = None
        for e, other, upper in self.neighbours[layer]:
            part = known.get((e, layer)) if known else None
            if part is None:
                part = self._input(states[other], e, upper)
            total = part if total is None else total + part
        return total

    def _input(self, values, edge, upper):
        """What comes along an edge from `values` to its upper layer, or to its lower."""
        part = values @ (self.weights[edge] if upper else self.weights[edge].T)
        gain = self.gains[edge][not upper]
        return part if gain == 1 else gain * part

    def inputs_of_clamped(self, state):
        """What the layers that are clamped in all rows send to the others, by edge and layer."""
        return {
            (e, layer): self._input(state.values[other], e, upper)
            for layer in range(self.n_layers)
            if state.free[layer] is not False
            for e, other, upper in self.neighbours[layer]
            if state.free[other] is False
        }

    def encode(self, layer, x):
        """Data of a visible layer as statistic, in the machine's precision.

        Raises
        ------
        ValueError
            Where a value lies so far from what the machine was fitted to that nothing can be said.
        """
        t = self.units[layer].encode(x, self.locs[layer], self.scales[layer])
        if self.scales[layer] is not None and (abs(t) > FARTHEST).any():
            raise ValueError(
                f"modality {self.names[layer]!r}: a value lies more than {FARTHEST:g} standard "
                "deviations from those of the training rows. Is it in the same unit?"
            )
        return t.astype(self.dtype, copy=False)

    def decode(self, layer, t):
        """Statistic of a visible layer as data."""
        return self.units[layer].decode(t, self.locs[layer], self.scales[layer])

    def log_jacobian(self, layer):
        """Log volume change of `encode`, to be added to a log-density of statistics."""
        scale = self.scales[layer]
        return 0.0 if scale is None else -float(namespace(scale).log(scale).sum())

    def base(self):
        """Biases of the machine without edges whose layers have the data's means."""
        xp = namespace(self.biases[0])
        pairs = zip(self.units, self.means, strict=True)
        return [
            kind.natural(xp.asarray(mean, np.float64)).astype(self.dtype) for kind, mean in pairs
        ]

    def length(self, layer, u=None):
        """Number of words for a row without any: the median, or the quantiles `u` in (0, 1)."""
        table = self.lengths[layer]
        if u is None:
            return table[len(table) // 2]
        return table[(u * len(table)).astype(np.intp)]


@cache
def _graph(n_layers, edges):
    """Neighbours and colours, the same for all machines that learning passes through."""
    around = [[] for _ in range(n_layers)]
    for e, (lower, upper) in enumerate(edges):
        around[lower].append((e, upper, False))
        around[upper].append((e, lower, True))
    colour = {}
    for root in range(n_layers):
        stack = [(root, 0)] if root not in colour else []
        while stack:
            layer, shade = stack.pop()
            if colour.setdefault(layer, shade) != shade:
                raise ValueError(f"the edges {edges} leave no two colours.")
            stack += [(k, 1 - shade) for _, k, _ in around[layer] if k not in colour]
    colours = (tuple(k for k in range(n_layers) if colour[k] == c) for c in (0, 1))
    return tuple(map(tuple, around)), tuple(colours)


class State(NamedTuple):
    """Statistics of all layers for some rows, and what of it is free.

    Attributes
    ----------
    values : list of ndarray, shape (n_rows, size)
        One array a layer.
    free : list of bool or ndarray of bool, shape (n_rows,)
        Whether a layer is to be inferred, in all rows or in some.
    totals : list of ndarray, shape (n_rows,), or None
        Number of words of each row, for count layers.
    """

    values: list
    free: list
    totals: list

    def followed_by(self, other, n_rows):
        """Its rows and then those of another state, `n_rows` at most; all free."""

        def joined(a, b):
            return None if a is None else namespace(a).concatenate([a, b])[:n_rows]

        return State(
            [joined(a, b) for a, b in zip(self.values, other.values, strict=True)],
            [True] * len(self.free),
            [joined(a, b) for a, b in zip(self.totals, other.totals, strict=True)],
        )

    def replaced(self, layer, new):
        """The layer's new values where it is free, its old ones elsewhere."""
        mask = self.free[layer]
        if mask is True or mask is False:
            return new if mask else self.values[layer]
        return namespace(new).where(mask[:, None], new, self.values[layer])


class MeanField(NamedTuple):
    """A factorised posterior.

    Attributes
    ----------
    state : State
        Its means, and the clamped values.
    etas : list of ndarray or None
        Natural parameters of the factors of the free layers.
    n_sweeps : int
        How many sweeps it took.
    """

    state: State
    etas: list
    n_sweeps: int


def begin(model, shown, n_rows, *, present=None, noise=None, lengths=None, min_effective=1.0):
    """State in which the shown layers hold their values and the others are ready to be inferred.

    A machine with particles (joint draws of its own hidden layers) starts each row at particles
    weighted by how well they explain what the row shows,

        w_i proportional to p(shown | hidden layers of particle i),

    which is importance sampling of the posterior with the machine's own distribution as proposal:
    in the limit of many particles it needs no further step, and it finds the right mode where a
    chain from anywhere else would need thousands of sweeps. With `noise` one particle is drawn a
    row; without, the hidden layers start at the weighted mean.

    Parameters
    ----------
    model : Boltzmann
    shown : dict of int to array of shape (n_rows, size)
        Statistics of visible layers (already encoded). Rows where one is absent may hold anything.
    n_rows : int
    present : dict of int to ndarray of bool, optional
        Rows in which a shown layer really is present; None: in all.
    noise : Noise, optional
        Randomness for drawing particles, and lengths of free count layers (else the median).
    lengths : dict of int to ndarray of shape (n_rows,), optional
        Lengths of count layers in rows that do not show them.
    min_effective : float
        Effective number of particles that each row starts at, at least: see :func:`flatten`.

    Returns
    -------
    State

    References
    ----------
    Rubin (1988), sampling/importance resampling.
    """
    xp = namespace(model.biases[0])
    values, free, totals = [], [], []
    for layer in range(model.n_layers):
        mean, x = model.means[layer], shown.get(layer)
        mask = x is None
        if x is not None and present is not None and not present[layer].all():
            mask = ~present[layer]
        total = None
        if model.units[layer].counts:
            if lengths is not None and layer in lengths:
                total = xp.asarray(lengths[layer], model.dtype)
            else:
                u = None if noise is None else _uniform(noise, LENGTHS + layer)
                total = xp.broadcast_to(xp.asarray(model.length(layer, u), model.dtype), (n_rows,))
            mean = mean / max(float(mean.sum()), 1e-30) * total[:, None]
            if x is not None:
                words = xp.asarray(x.sum(axis=1), model.dtype).reshape(-1)
                total = words if mask is False else xp.where(mask, total, words)
        if mask is True:
            x = xp.broadcast_to(mean, (n_rows, mean.shape[-1]))
        elif mask is not False:
            x = x.toarray() if hasattr(x, "toarray") else x
            x = xp.where(mask[:, None], mean, x)
        values.append(x)
        free.append(mask)
        totals.append(total)
    state = State(values, free, totals)
    if model.particles:
        log_weights = flatten(explain(model, state), min_effective)
        particles = [p.astype(model.dtype) for p in model.particles]
        if noise is None:
            log_weights -= log_weights.max(axis=1, keepdims=True)
            weights = xp.exp(log_weights)
            weights = (weights / weights.sum(axis=1, keepdims=True)).astype(model.dtype)
            start = [weights @ p for p in particles]
        else:
            chosen = _choose(log_weights, _uniform(noise, PARTICLES))
            start = [p[chosen] for p in particles]
        state.values[model.n_visible :] = start
    return state


def explain(model, state):
    """Log-density of what each row shows given each particle, shape (n_rows, n_particles).

    Terms that are the same for all particles are left out.
    """
    xp = namespace(model.biases[0])
    n = len(model.particles[0])
    around = [None] * model.n_visible + [p.astype(model.dtype) for p in model.particles]
    total = xp.zeros((len(state.values[0]), n), model.dtype)
    for layer in model.visible:
        if state.free[layer] is True:
            continue
        eta = model.activation(around, layer) + model.biases[layer]
        one = xp.ones(n, model.dtype)
        normaliser = model.units[layer].log_partition(eta, one).astype(model.dtype)
        if model.units[layer].counts:
            normaliser = state.totals[layer][:, None] * normaliser
        fit = xp.asarray(state.values[layer] @ eta.T) - normaliser
        if state.free[layer] is not False:
            fit = xp.where(state.free[layer][:, None], 0, fit)
        total += fit
    return total


def flatten(log_weights, min_effective):
    """Log weights, each row times the largest power in (0, 1] that leaves it flat enough.

    The effective number of a row's weights is (sum w)^2 / sum w^2 (Kish). Where a modality's
    columns depend on each other more than the machine says, it takes their evidence for more than
    it is, and one particle has all the weight; a power below 1 is evidence that counts less.

    Parameters
    ----------
    log_weights : ndarray of shape (n_rows, n_particles)
    min_effective : float
        Effective number that each row keeps, at least; 1 or less changes nothing. No more than
        there are particles can be had.

    Returns
    -------
    ndarray of shape (n_rows, n_particles)

    References
    ----------
    Kish (1965), Survey sampling. Del Moral, Doucet & Jasra (2006), Sequential Monte Carlo samplers,
    JRSS B 68(3), who choose temperatures by the effective number.
    """
    if min_effective <= 1:
        return log_weights
    xp = namespace(log_weights)
    fall = (log_weights - log_weights.max(axis=1, keepdims=True)).astype(np.float64)

    def enough(power):
        weights = xp.exp(power[:, None] * fall)
        return weights.sum(axis=1) ** 2 >= min_effective * (weights * weights).sum(axis=1)

    low, high = xp.zeros(len(fall)), xp.ones(len(fall))
    as_they_are = enough(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        good = enough(middle)
        low, high = xp.where(good, middle, low), xp.where(good, high, middle)
    power = xp.where(as_they_are, 1.0, low)
    return (power[:, None] * fall).astype(log_weights.dtype)


def _choose(log_weights, u):
    """Index of one column a row, drawn in proportion to exp(log_weights), by uniforms `u`."""
    xp = namespace(log_weights)
    weights = xp.exp((log_weights - log_weights.max(axis=1, keepdims=True)).astype(np.float64))
    total = xp.cumsum(weights, axis=1)
    chosen = (total < u[:, None] * total[:, -1:]).sum(axis=1)
    return xp.minimum(chosen, log_weights.shape[1] - 1)


def sweep(model, state, update, known=None):
    """Update every free layer once, one colour after the other.

    Parameters
    ----------
    model : Boltzmann
    state : State
        Changed in place (its lists, not its arrays).
    update : callable (layer, activation, bias, total) -> ndarray
        New statistic of a layer.
    known : dict, optional
        What clamped layers send: computed once for many sweeps.
    """
    for layer in itertools.chain(*model.colours):
        if state.free[layer] is not False:
            activation = model.activation(state.values, layer, known)
            new = update(layer, activation, model.biases[layer], state.totals[layer])
            state.values[layer] = state.replaced(layer, new)


def mean_field(model, state, *, max_sweeps=50, tol=1e-4):
    """Factorised posterior of the free layers, by coordinate ascent of the bound.

    Where the free layers are of one colour (an RBM's hidden layer given complete rows) it is exact
    after one sweep.

    Parameters
    ----------
    model : Boltzmann
    state : State
        Where to start; not changed.
    max_sweeps : int
        Largest number of sweeps.
    tol : float
        Stop when no mean changed by more than this in a sweep.

    Returns
    -------
    MeanField

    References
    ----------
    Salakhutdinov & Hinton (2009). Deep Boltzmann machines. AISTATS, eq. 7-9.
    """
    state = state._replace(values=list(state.values))
    etas = [None] * model.n_layers
    free = [layer for layer in range(model.n_layers) if state.free[layer] is not False]
    once = any(set(free) <= set(colour) for colour in model.colours)
    changes = []

    def update(layer, activation, bias, total):
        mean = model.units[layer].mean(activation, bias, total)
        etas[layer] = (activation, bias)
        if not once and tol > 0 and mean.size:
            changes.append(abs(mean - state.values[layer]).max())
        return mean

    n_sweeps, known = 0, model.inputs_of_clamped(state)
    while n_sweeps < max_sweeps:
        n_sweeps += 1
        changes.clear()
        sweep(model, state, update, known)
        # The one number of a sweep that a GPU is waited for.
        most = float(reduce(namespace(*changes).maximum, changes)) if changes else 0.0
        if once or (tol > 0 and not most >= tol):  # or where it is not finite
            break
    etas = [None if pair is None else pair[0] + pair[1] for pair in etas]
    return MeanField(state, etas, n_sweeps)


def gibbs(model, state, n_sweeps, noise, *, visit=None):
    """Clamped block Gibbs sampling.

    Parameters
    ----------
    model : Boltzmann
    state : State
        Where the chains are, one a row; not changed.
    n_sweeps : int
    noise : Noise
        The first step's numbers; its stream is ignored.
    visit : callable (means), optional
        Called after each sweep with the conditional means from which the layers were drawn.

    Returns
    -------
    state : State
        Where the chains are now.
    means : list of ndarray or None
        The conditional means of the last sweep.
    """
    state = state._replace(values=list(state.values))
    means = [None] * model.n_layers
    known = model.inputs_of_clamped(state)
    for step in range(n_sweeps):
        here = noise._replace(step=noise.step + step)

        def update(layer, activation, bias, total, here=here):
            at = here._replace(stream=layer)
            means[layer], draw = model.units[layer].draw(activation, bias, at, total)
            return draw

        sweep(model, state, update, known)
        if visit is not None:
            visit(means)
    return state, means


def log_joint(model, values):
    """Unnormalised log-density of the statistics of all layers, shape (n_rows,), float64."""
    total = 0.0
    for layer, t in enumerate(values):
        total = total + (t @ model.biases[layer]) + model.units[layer].log_base(t)
    for e, (lower, upper) in enumerate(model.edges):
        total = total + ((values[lower] @ model.weights[e]) * values[upper]).sum(axis=1)
    return total


def bound(model, inferred):
    """Lower bound on the unnormalised log-density of what is clamped, shape (n_rows,), float64.

    E_q[log p(t)] plus the entropy of q. It is exact where mean field is.

    Parameters
    ----------
    model : Boltzmann
    inferred : MeanField

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    state, etas = inferred.state, inferred.etas
    xp = namespace(model.biases[0])
    wide = np.float64
    total = 0.0
    for layer, t in enumerate(state.values):
        t = xp.asarray(t.toarray() if hasattr(t, "toarray") else t, wide)
        units, mask = model.units[layer], state.free[layer]
        total = total + t @ model.biases[layer].astype(wide)
        inside = outside = 0.0
        if mask is not False:
            eta = etas[layer].astype(wide)
            words = state.totals[layer]
            words = None if words is None else words.astype(wide)
            inside = units.log_partition(eta, words) - (eta * t).sum(axis=1)
        if mask is not True:
            outside = units.log_base(t)
        if mask is True:
            total = total + inside
        elif mask is False:
            total = total + outside
        else:
            total = total + xp.where(mask, inside, outside)
    for e, (lower, upper) in enumerate(model.edges):
        product = state.values[lower] @ model.weights[e]
        total = total + (product.astype(wide) * state.values[upper]).sum(axis=1)
    return total


def populate(model, state, n_particles, noise, *, thin=5, move=gibbs, n_chains=None):
    """The machine with joint draws from its chains, for :func:`begin` to start at.

    Parameters
    ----------
    model : Boltzmann
    state : State
        Chains near equilibrium, all layers free.
    n_particles : int
        How many draws: the chains are read every `thin` sweeps until there are enough.
    noise : Noise
    thin : int
        0: the chains are read as they are, and so once only.
    move : callable (model, state, n_sweeps, noise) -> tuple with the new state first
        What lets the chains move.
    n_chains : int, optional
        Only the first chains are draws of the machine (the others are tempered); None: all.

    Returns
    -------
    Boltzmann
    """
    xp = namespace(model.biases[0])
    reads = []
    n = len(state.values[0]) if n_chains is None else n_chains
    for i in range(-(-n_particles // n) if thin else 1):
        if thin:
            state = move(model, state, thin, noise._replace(step=noise.step + i * thin))[0]
        reads.append([state.values[layer][:n].astype(np.uint8) for layer in model.hidden])
    pool = tuple(xp.concatenate(parts)[:n_particles] for parts in zip(*reads, strict=True))
    return replace(model, particles=pool)


def _uniform(noise, stream):
    """One float64 uniform a row."""
    return kernels.of(noise.rows).uniform(noise.rows, 1, noise.key, noise.step, stream, np.float64)[
        :, 0
    ]
