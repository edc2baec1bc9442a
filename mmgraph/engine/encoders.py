"""Encoders of modalities into one space, learnt by contrast.

Each modality is standardised and goes through a head of its own: linear, and a stack of rectified
layers beside it where one is asked for. What comes out is scaled to unit length. The heads are one
network, and the scale of similarities and their shift are two more biases of it, so the optimiser
treats all parameters alike.
"""

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..backend.arrays import device_of, namespace, pick
from .contrast import LOSSES, reciprocal_ranks, scale_of
from .correlation import correlate, solve
from .network import Batch, Network, backward, connect, forward
from .shrinkage import ledoit_wolf, quartic
from .spectral import row_space

__all__ = [
    "Encoders",
    "Objective",
    "balance",
    "build",
    "gradient",
    "mean_loss",
    "mean_reciprocal_rank",
    "measure_columns",
    "pairs_of",
    "represent",
    "rows_of",
    "start_at_correlations",
]

AT_ONCE = 4096  # rows that are encoded together
START_ROWS = 4000  # that show a modality, from which the heads' start is found
REST = 0.1  # of the random weights of components that have no variate
LEAST = 0.05  # weight of a variate: at 0 it would learn nothing
FARTHEST_SHIFT = 120.0  # beyond the largest scale, so that the mean is anything
FARTHEST = 1e6  # standard deviations of a value from its mean


@dataclass(frozen=True)
class Encoders:
    """The heads of all modalities, and how rows enter them.

    Parameters
    ----------
    network : Network
        One input and one output a modality, in their order, and a last output that sees nothing:
        the logarithm of the scale, and the shift.
    means, gains : tuple of ndarray of shape (n_columns,), float64
        What is subtracted from the columns of each modality, and what they are then multiplied
        with.
    """

    network: Network
    means: tuple
    gains: tuple

    @property
    def n_components(self):
        """Size of the space."""
        return len(self.network.biases[self.network.outputs[0]])

    @property
    def scale(self):
        """What similarities are multiplied with: the inverse of the temperature."""
        return scale_of(float(self.network.biases[-1][0]))

    @property
    def shift(self):
        """What is added to scaled similarities."""
        return float(self.network.biases[-1][1])

    def astype(self, dtype):
        """The encoders in another precision."""
        return replace(self, network=self.network.astype(dtype))


class Objective(NamedTuple):
    """What is minimised.

    Attributes
    ----------
    loss : str
        Key in :data:`~mmgraph.engine.contrast.LOSSES`.
    margin : float
        Of the ranking loss.
    learn_scale : bool
        Whether the scale is learnt; the shift always is.
    """

    loss: str
    margin: float = 0.2
    learn_scale: bool = True


def pairs_of(n_modalities):
    """The pairs of modalities that are contrasted; one alone is contrasted with itself."""
    return [(0, 0)] if n_modalities == 1 else list(combinations(range(n_modalities), 2))


def measure_columns(block, present):
    """Mean of each column over the rows that show it, and the inverse of its standard deviation.

    Parameters
    ----------
    block : array or CSR array of shape (n_rows, n_columns)
    present : ndarray of bool of shape (n_rows,)

    Returns
    -------
    mean, gain : ndarray of shape (n_columns,), float64
        The gain of a column that does not vary, but for rounding, is 0.
    """
    xp = namespace(block)
    rows = np.flatnonzero(present)
    largest = xp.zeros(block.shape[1])
    for part in _parts(block, rows):
        largest = xp.maximum(largest, abs(part).max(axis=0))
    unit = xp.where(largest > 0, largest, 1.0)
    mean = sum((part / unit).sum(axis=0) for part in _parts(block, rows)) / len(rows)
    square = sum(((part / unit - mean) ** 2).sum(axis=0) for part in _parts(block, rows))
    spread = xp.sqrt(square / len(rows))
    varies = spread > 10 * np.finfo(block.dtype).eps
    return mean * unit, xp.where(varies, 1 / xp.where(varies, spread, 1), 0) / unit


def _parts(block, rows):
    """Rows of a block, some at a time, dense and in float64."""
    for start in range(0, len(rows), AT_ONCE):
        yield _dense(pick(block, rows[start : start + AT_ONCE])).astype(np.float64)


def _dense(block):
    return block.toarray() if sp.issparse(block) else block


def build(names, means, gains, hidden, n_components, log_scale, key, *, dtype=np.float32):
    """Encoders with random weights.

    Parameters
    ----------
    names : sequence of str
    means, gains : list of ndarray of shape (n_columns,)
        From :func:`measure_columns`.
    hidden : sequence of tuple of int
        Sizes of the hidden layers of each modality, from the data up.
    n_components : int
    log_scale : float
    key : Key
    dtype : dtype

    Returns
    -------
    Encoders
    """
    n = len(names)
    labels, sizes, edges, tops = list(names), [len(mean) for mean in means], [], []
    for k, stack in enumerate(hidden):
        below = k
        for depth, size in enumerate(stack):
            labels.append(f"{names[k]} hidden {depth + 1}")
            sizes.append(size)
            edges.append((below, len(sizes) - 1))
            below = len(sizes) - 1
        tops.append(below)
    n_hidden = len(sizes) - n
    outputs = range(n + n_hidden, 2 * n + n_hidden + 1)
    for k, top in enumerate(tops):
        edges += [(source, outputs[k]) for source in dict.fromkeys((k, top))]
    network = connect(
        [*labels, *(f"{name} embedded" for name in names), "scale and shift"],
        [*sizes, *[n_components] * n, 2],
        n,
        [None] * n + ["relu"] * n_hidden + [None] * (n + 1),
        outputs,
        (),
        edges,
        key,
        dtype=dtype,
    )
    network.biases[-1][0] = log_scale
    return Encoders(network.to(device_of(*means)), tuple(means), tuple(gains))


def rows_of(model, blocks, present, labels=None):
    """What :func:`~mmgraph.engine.network.train` reads: rows, standardised.

    Parameters
    ----------
    model : Encoders
    blocks : list of array or CSR array of shape (n_rows, n_columns)
        The columns of each modality.
    present : list of ndarray of bool of shape (n_rows,)
        The rows that show it.
    labels : ndarray of int of shape (n_rows,), optional
        Class of each row.

    Returns
    -------
    callable (rows, rng=None) -> Batch
        Zeros where a modality is absent; the labels are its only target.

    Raises
    ------
    ValueError
        From the callable, where a value lies too far from the mean.
    """

    def source(rows, rng=None):
        shown = [mask[rows] for mask in present]
        inputs = []
        for name, block, mask, mean, gain in zip(
            model.network.names, blocks, shown, model.means, model.gains, strict=False
        ):
            x = (_dense(pick(block, rows)) - mean) * gain
            if not mask.all():
                x[namespace(x).asarray(~mask)] = 0
            if x.size and abs(x).max() > FARTHEST:
                raise ValueError(
                    f"modality {name!r}: a value lies more than {FARTHEST:g} standard deviations "
                    "from the mean of the training rows: scale X as it was scaled in fit."
                )
            inputs.append(x.astype(model.network.dtype, copy=False))
        return Batch(inputs, [] if labels is None else [labels[rows]], shown)

    return source


# Learning ----------------------------------------------------------------------------------------


def gradient(network, batch, objective, *, masks=None, out=None):
    """Gradient of the loss, averaged over the pairs of modalities, in weights and biases.

    Parameters
    ----------
    network : Network
        Of :class:`Encoders`.
    batch : Batch
    objective : Objective
    masks, out
        See :func:`~mmgraph.engine.network.gradient`.

    Returns
    -------
    list of ndarray
        Of each weight matrix, then of the bias of each layer that is no input.
    """
    xp = network.xp

    def slope(values):
        units, lengths = zip(*(_unit(values[k]) for k in network.outputs[:-1]), strict=True)
        errors = [xp.zeros_like(z) for z in units]
        both = xp.zeros((1, 2), network.dtype)
        pairs = pairs_of(network.n_inputs)
        for a, b, rows, found in _slopes(network, units, batch, objective):
            errors[a][rows] += found.first
            errors[b][rows] += found.second
            both[0, 0] += found.log_scale * objective.learn_scale
            both[0, 1] += found.shift
        for z, length, error in zip(units, lengths, errors, strict=True):
            error -= xp.einsum("ij,ij->i", error, z)[:, None] * z
            share = (length > 0) * network.dtype.type(1 / len(pairs))
            error *= share / xp.where(length > 0, length, 1)
        return [*errors, both / network.dtype.type(len(pairs))]

    return backward(network, batch.inputs, slope, masks, out)


def mean_loss(network, batch, objective):
    """The loss whose :func:`gradient` training follows, without dropout."""
    values = forward(network, batch.inputs)
    units = [_unit(values[k])[0] for k in network.outputs[:-1]]
    found = _slopes(network, units, batch, objective)
    return float(sum(slope.loss for *_, slope in found)) / len(pairs_of(network.n_inputs))


def _unit(U):
    """Rows of unit length, and the length that each had; rows of zeros stay."""
    xp = namespace(U)
    length = xp.sqrt(xp.einsum("ij,ij->i", U, U))[:, None]
    return U / xp.where(length > 0, length, 1), length


def _slopes(network, units, batch, objective):
    """For each pair of modalities that two rows or more show together: the rows, and the slope."""
    log_scale, shift = network.biases[-1].tolist()
    for a, b in pairs_of(len(units)):
        rows = np.flatnonzero(batch.present[a] & batch.present[b])
        if len(rows) < 2:
            continue
        labels = network.xp.asarray(batch.targets[0][rows]) if batch.targets else None
        rows = network.xp.asarray(rows)
        yield (
            a,
            b,
            rows,
            LOSSES[objective.loss](
                units[a][rows],
                units[b][rows],
                log_scale=log_scale,
                shift=shift,
                margin=objective.margin,
                labels=labels,
            ),
        )


# The start ---------------------------------------------------------------------------------------


def start_at_correlations(model, source, rows, present):
    """The encoders with linear heads that compute regularised canonical variates.

    With two modalities these are their canonical correlation analysis, with more the generalised
    one of largest variance, and with one its principal components, scaled to equal variance. The
    covariance of each modality is shrunken by the formula of Ledoit and Wolf. Each variate is
    weighted with its correlation. Components that have none keep a tenth of their random weights,
    and hidden layers begin by adding nothing.

    Parameters
    ----------
    model : Encoders
        From :func:`build`.
    source : callable (rows) -> Batch
        From :func:`rows_of`.
    rows : ndarray of int
        Training rows.
    present : list of ndarray of bool of shape (n_rows,)
        The rows that show each modality.

    Returns
    -------
    Encoders
    """
    xp = model.network.xp
    showing = [rows[mask[rows]] for mask in present]
    some = [each[:: max(1, len(each) // START_ROWS)] for each in showing]
    batch = source(np.unique(np.concatenate(some)))
    variates = _variates(batch, model.n_components)
    net = model.network
    weights = list(net.weights)
    for e, (below, target) in enumerate(net.edges):
        if target not in net.outputs:
            continue
        if below >= net.n_inputs:
            weights[e] = xp.zeros_like(weights[e])
            continue
        weights[e] = weights[e] * net.dtype.type(REST)
        found = xp.flatnonzero((variates[below] != 0).any(axis=0))
        weights[e][:, found] = variates[below][:, found]
    return replace(model, network=replace(net, weights=tuple(weights)))


def _variates(batch, n_components):
    """Weights of the canonical variates of each modality, times the correlations of these."""
    xp = namespace(*batch.inputs)
    blocks, bases, shrinkage = [], [], []
    for x, shown in zip(batch.inputs, batch.present, strict=True):
        rows, basis = pick(x, shown).astype(np.float64), None
        mean = rows.mean(axis=0)
        fourth, width = quartic(rows, mean), rows.shape[1]
        if width > len(rows):
            rows, basis = row_space(rows, mean)
        else:
            rows -= mean
        block = xp.zeros((len(x), rows.shape[1]))
        block[xp.asarray(shown)] = rows
        blocks.append(block)
        bases.append(basis)
        shrinkage.append(ledoit_wolf(rows.T @ rows / len(rows), len(rows), width, fourth))
    ends = np.cumsum([block.shape[1] for block in blocks]).tolist()
    places = [slice(end - block.shape[1], end) for end, block in zip(ends, blocks, strict=True)]
    covariance = xp.zeros((ends[-1], ends[-1]))
    for a, b in product(range(len(blocks)), repeat=2):
        both = batch.present[a] & batch.present[b]
        covariance[places[a], places[b]] = blocks[a].T @ blocks[b] / max(1, both.sum())
    widths = [x.shape[1] for x in batch.inputs]
    weights = solve(covariance, places, n_components, shrinkage=shrinkage, widths=widths)
    variates = [
        [w.T @ covariance[one, two] @ v for v, two in zip(weights, places, strict=True)]
        for w, one in zip(weights, places, strict=True)
    ]
    r = correlate(xp.stack([xp.stack(row) for row in variates]))
    weights = [w * xp.maximum(r, LEAST) for w in weights]
    return [w if basis is None else basis @ w for w, basis in zip(weights, bases, strict=True)]


def balance(model, batch):
    """The encoders with the shift at which the sigmoid loss expects as many partners as there are.

    Parameters
    ----------
    model : Encoders
    batch : Batch

    Returns
    -------
    Encoders
    """
    biases = [*model.network.biases[:-1], model.network.biases[-1].copy()]
    network = replace(model.network, biases=tuple(biases))
    values = forward(network, batch.inputs)
    units = [_unit(values[k])[0] for k in network.outputs[:-1]]
    low, high = -FARTHEST_SHIFT, FARTHEST_SHIFT
    while high - low > 0.01:
        biases[-1][1] = (low + high) / 2
        expected = sum(s.shift for *_, s in _slopes(network, units, batch, Objective("sigmoid")))
        low, high = (low, biases[-1][1]) if expected > 0 else (biases[-1][1], high)
    return replace(model, network=network)


# Inference ---------------------------------------------------------------------------------------


def represent(model, batch):
    """Mean of the unit vectors of the modalities that each row shows; zeros where it shows none.

    Parameters
    ----------
    model : Encoders
    batch : Batch

    Returns
    -------
    ndarray of shape (n_rows, n_components)
    """
    xp = model.network.xp
    values = forward(model.network, batch.inputs)
    total = xp.zeros((batch.n_rows, model.n_components), model.network.dtype)
    for k, mask in zip(model.network.outputs[:-1], batch.present, strict=True):
        total += _unit(values[k])[0] * xp.asarray(mask)[:, None]
    count = np.maximum(np.sum(batch.present, axis=0), 1).astype(total.dtype)
    return total / xp.asarray(count)[:, None]


def mean_reciprocal_rank(model, source, rows):
    """How high the partner of each row ranks, in both directions, over the pairs of modalities.

    Parameters
    ----------
    model : Encoders
    source : callable (rows) -> Batch
    rows : ndarray of int

    Returns
    -------
    float
        Mean over the pairs that rows show; NaN if none does.
    """
    xp = model.network.xp
    n = model.network.n_inputs
    parts = [source(rows[i : i + AT_ONCE]) for i in range(0, len(rows), AT_ONCE)]
    units = [[] for _ in range(n)]
    for batch in parts:
        values = forward(model.network, batch.inputs)
        for k in range(n):
            units[k].append(_unit(values[model.network.outputs[k]])[0])
    units = [xp.concatenate(each) for each in units]
    present = [np.concatenate([batch.present[k] for batch in parts]) for k in range(n)]
    labels = np.concatenate([b.targets[0] for b in parts]) if parts[0].targets else None
    found = []
    for a, b in pairs_of(n):
        both = present[a] & present[b]
        if both.any():
            of = None if labels is None else xp.asarray(labels[both])
            for first, second in ((a, b), (b, a)):
                ranks = reciprocal_ranks(
                    pick(units[first], both), pick(units[second], both), labels=of
                )
                found.append(float(ranks.mean()))
    return float(np.mean(found)) if found else float("nan")
