"""Feed-forward networks: dense layers joined by edges that go up, and their exact gradient.

A network is a list of layers, the inputs first, and a list of edges from a layer to a later one.
A layer computes

    f(sum over the layers it sees of (value - offset) W, + bias).

A layer that sees none is its bias: a few numbers that are learnt with the rest.

With the means of the layers as offsets the network is centred. That changes what it can compute in
nothing, and how fast it learns in much, since steps of the weights no longer move the mean input;
and a unit that is dropped counts as its mean. An output layer computes the natural parameters
``eta`` of a target of some unit type, and its loss is

    -log p(t | eta) + log_base(t) = log_partition(eta) - eta . t,

whose gradient in ``eta`` is ``mean(eta) - t``. So least squares (Gaussian units), the logistic loss
(Bernoulli) and the cross-entropy of a softmax (categorical, replicated softmax) are one line each,
and a new unit type needs none.

:func:`train` is a generator like :func:`~mmgraph.engine.learning.learn`: it yields an immutable
:class:`Epoch` after each pass. A network computes where its arrays are, and so do its batches.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..backend import kernels
from ..backend.arrays import namespace, to_device
from ..backend.kernels.threads import for_products
from ..backend.random import derive

__all__ = [
    "ACTIVATIONS",
    "Batch",
    "Epoch",
    "Network",
    "Settings",
    "backward",
    "connect",
    "forward",
    "gradient",
    "loss",
    "train",
]

EPOCH, WEIGHTS = range(2)  # what a derived key is used for
SECOND_MOMENT, EPSILON = 0.999, 1e-8  # of Adam


@dataclass(frozen=True)
class Network:
    """A network: its graph and its parameters.

    Parameters
    ----------
    names : tuple of str
        Name of each layer. The first `n_inputs` are inputs; a layer follows all that it sees.
    n_inputs : int
    activations : tuple of str or None
        Key in :data:`ACTIVATIONS` for each layer; None for inputs and outputs.
    outputs : tuple of int
        The layers that are natural parameters of targets.
    units : tuple of Units
        Unit type of each output.
    edges : tuple of (int, int)
        The layers that each weight matrix joins, from and to.
    weights : tuple of ndarray, shape (size of from, size of to)
    biases : tuple of ndarray of shape (size,), or None
        None for inputs.
    offsets : tuple of ndarray of shape (size,), or None
        What is subtracted from the values of each layer that are passed on; None: nothing.

    References
    ----------
    Montavon & Mueller (2012). Deep Boltzmann machines and the centering trick. LeCun, Bottou, Orr &
    Mueller (1998). Efficient backprop, section 4.3.
    """

    names: tuple
    n_inputs: int
    activations: tuple
    outputs: tuple
    units: tuple
    edges: tuple
    weights: tuple
    biases: tuple
    offsets: tuple

    @property
    def n_layers(self):
        """Number of layers."""
        return len(self.names)

    @property
    def dtype(self):
        """Floating type of the parameters."""
        return self.weights[0].dtype

    @property
    def xp(self):
        """Namespace of the parameters."""
        return namespace(*self.weights)

    @property
    def n_multiplications(self):
        """Multiplications of a row with the largest weight matrix."""
        return max(w.size for w in self.weights)

    def __getstate__(self):
        """The fields alone."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _incoming(self):
        return self._edges_by(1)

    @cached_property
    def _outgoing(self):
        return self._edges_by(0)

    def _edges_by(self, end):
        """For each layer the edges that it is this end of."""
        by = [[] for _ in self.names]
        for e, edge in enumerate(self.edges):
            by[edge[end]].append(e)
        return by

    def astype(self, dtype):
        """The network in another precision."""
        if dtype == self.dtype:
            return self
        return self._with_each(lambda array: array.astype(dtype))

    def copy(self):
        """The network with arrays of its own."""
        return self._with_each(lambda array: array.copy())

    def to(self, device):
        """The network with its arrays on a device, "cpu" or "cuda"."""
        return self._with_each(lambda array: to_device(array, device))

    def _with_each(self, change):
        return replace(
            self,
            weights=tuple(map(change, self.weights)),
            biases=tuple(None if b is None else change(b) for b in self.biases),
            offsets=tuple(None if c is None else change(c) for c in self.offsets),
        )


@dataclass(frozen=True)
class Settings:
    """How to train.

    Parameters
    ----------
    optimizer : {"adam", "nesterov"}
    learning_rate : float
        Step size at the start.
    decay : {"constant", "linear", "inverse"}
        Course of the rate over `max_epochs`: constant, linearly to zero, or 1 / (1 + 10 t / T).
    momentum : float
        Share of the last step, or with Adam of the last mean gradient, that the next one keeps.
    batch_size : int
        Rows a step.
    max_epochs : int
        Passes over the rows.
    dropout : tuple of float
        For each layer, inputs too, the probability that a unit is left out of a step; outputs keep
        all of theirs. What is kept is scaled up, so that a trained network is used as it is.
    max_norm : float or None
        Largest norm of the weights into a unit.
    l2 : float
        Weight decay.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014). Dropout. JMLR 15, 1929-1958.
    """

    optimizer: str = "adam"
    learning_rate: float = 0.001
    decay: str = "linear"
    momentum: float = 0.9
    batch_size: int = 100
    max_epochs: int = 50
    dropout: tuple = ()
    max_norm: float | None = None
    l2: float = 0.0

    def rate(self, epoch):
        """Learning rate of an epoch (counted from 0)."""
        if self.decay == "linear":
            return self.learning_rate * max(1.0 - epoch / self.max_epochs, 0.0)
        if self.decay == "inverse":
            return self.learning_rate / (1.0 + 10.0 * epoch / self.max_epochs)
        return self.learning_rate


class Batch(NamedTuple):
    """Some rows.

    Attributes
    ----------
    inputs : list of ndarray of shape (n_rows, size)
        In the network's floating type.
    targets : list of ndarray of shape (n_rows, size)
        Sufficient statistics, one array an output.
    present : list of ndarray of bool of shape (n_rows,), or None
        The rows in which a target is known, and counts; None: all.
    """

    inputs: list
    targets: list
    present: list

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.inputs[0])


class Epoch(NamedTuple):
    """State of training after a pass: all that is needed to go on bit-exactly.

    Attributes
    ----------
    number : int
        Passes done.
    step : int
        Gradient steps done.
    network : Network
        Parameters.
    moments : list of tuple of ndarray
        What the optimiser remembers of each weight matrix, then of each bias.
    metrics : dict of str to float
        What `history_` records.
    """

    number: int
    step: int
    network: Network
    moments: list
    metrics: dict


# Layers ------------------------------------------------------------------------------------------


def _sigmoid(total, bias):
    return kernels.of(total).sigmoid(total, bias, out=total)


def _tanh(total, bias):
    xp = namespace(total)
    total += bias
    return xp.tanh(total, out=total)


def _relu(total, bias):
    xp = namespace(total)
    total += bias
    return xp.maximum(total, 0, out=total)


# Each is a pair: the value of a layer from its input, which it may use up, and its bias; and the
# slope at a value, as a function of that value.
ACTIVATIONS = {
    "sigmoid": (_sigmoid, lambda y: y * (1 - y)),
    "tanh": (_tanh, lambda y: 1 - y * y),
    "relu": (_relu, lambda y: y > 0),
}


def connect(names, sizes, n_inputs, activations, outputs, units, edges, key, *, dtype=np.float32):
    """A network with small random weights and biases of zero.

    Parameters
    ----------
    names, n_inputs, activations, outputs, units, edges
        See :class:`Network`.
    sizes : sequence of int
        Size of each layer.
    key : Key
    dtype : dtype

    Returns
    -------
    Network

    References
    ----------
    Glorot & Bengio (2010). Understanding the difficulty of training deep feedforward neural
    networks. AISTATS, eq. 16. He, Zhang, Ren & Sun (2015). Delving deep into rectifiers. ICCV,
    eq. 10.
    """
    rng = np.random.default_rng(derive(key, WEIGHTS))
    fan_in = np.zeros(len(names))
    for source, target in edges:
        fan_in[target] += sizes[source]
    weights = []
    for source, target in edges:
        if activations[target] == "relu":
            variance = 2 / fan_in[target]
        else:
            variance = 2 / (fan_in[target] + sizes[target])
        bound = np.sqrt(3 * variance)
        weights.append(rng.uniform(-bound, bound, (sizes[source], sizes[target])).astype(dtype))
    biases = [None if k < n_inputs else np.zeros(size, dtype) for k, size in enumerate(sizes)]
    return Network(
        tuple(names),
        n_inputs,
        tuple(activations),
        tuple(outputs),
        tuple(units),
        tuple(map(tuple, edges)),
        tuple(weights),
        tuple(biases),
        (None,) * len(names),
    )


def forward(network, inputs, *, masks=None):
    """Values of all layers; natural parameters for outputs.

    Parameters
    ----------
    network : Network
    inputs : list of ndarray of shape (n_rows, size)
        In the network's floating type; not changed.
    masks : list of ndarray of shape (n_rows, size), or None
        Factors of the layers' values (dropout); None where a layer keeps all of them.

    Returns
    -------
    list of ndarray of shape (n_rows, size)
        Before their mask.
    """
    return _forward(network, inputs, masks or [None] * network.n_layers)[0]


def _forward(network, inputs, masks):
    """Values of all layers, and what the layers above see of them."""
    xp = network.xp
    values, seen = list(inputs), []
    for layer in range(network.n_layers):
        if layer >= network.n_inputs:
            total = None
            for e in network._incoming[layer]:
                product = seen[network.edges[e][0]] @ network.weights[e]
                total = product if total is None else xp.add(total, product, out=total)
            bias, activation = network.biases[layer], network.activations[layer]
            if total is None:
                total = xp.zeros((len(inputs[0]), len(bias)), network.dtype)
            if activation is None:
                total += bias
                values.append(total)
            else:
                values.append(ACTIVATIONS[activation][0](total, bias))
        passed, offset, mask = values[layer], network.offsets[layer], masks[layer]
        if offset is not None:
            passed = passed - offset
        if mask is not None:
            passed = passed * mask if offset is None else xp.multiply(passed, mask, out=passed)
        seen.append(passed)
    return values, seen


def _totals(units, target):
    """Number of words of each row, where the units are counts."""
    return target.sum(axis=1) if units.counts else None


def losses(network, values, batch):
    """Loss of each output in each row, 0 where its target is missing.

    Parameters
    ----------
    network : Network
    values : list of ndarray
        Of all layers (:func:`forward`).
    batch : Batch

    Returns
    -------
    list of ndarray of shape (n_rows,), float64
        ``-log p(t | eta) + log_base(t)``.
    """
    xp = network.xp
    found = []
    for layer, kind, t, mask in zip(
        network.outputs, network.units, batch.targets, batch.present, strict=True
    ):
        eta = values[layer]
        each = kind.log_partition(eta, _totals(kind, t)) - xp.einsum("ij,ij->i", eta, t)
        found.append(each if mask is None else xp.where(xp.asarray(mask), each, 0.0))
    return found


def loss(network, batch):
    """Mean over the rows of the sum of the outputs' losses, without dropout.

    Parameters
    ----------
    network : Network
    batch : Batch

    Returns
    -------
    float
    """
    values = forward(network, batch.inputs)
    return float(sum(each.mean() for each in losses(network, values, batch)))


def gradient(network, batch, *, masks=None, out=None):
    """Exact gradient of :func:`loss` in the weights and biases, by back-propagation.

    Parameters
    ----------
    network : Network
    batch : Batch
    masks : list of ndarray or None, optional
        Factors of the layers' values, as :func:`forward` takes them.
    out : list of ndarray, optional
        Written to instead of new arrays.

    Returns
    -------
    list of ndarray
        Of each weight matrix, then of the bias of each layer that is no input.

    References
    ----------
    Rumelhart, Hinton & Williams (1986). Learning representations by back-propagating errors.
    Nature 323, 533-536.
    """

    def slope(values):
        return _errors(network, values, batch)

    return backward(network, batch.inputs, slope, masks, out)


def _errors(network, values, batch):
    """Gradient of the loss in each output."""
    xp = network.xp
    errors = []
    for layer, kind, t, known in zip(
        network.outputs, network.units, batch.targets, batch.present, strict=True
    ):
        none = xp.zeros(t.shape[1], network.dtype)
        error = kind.mean(values[layer], none, _totals(kind, t)) - t
        if known is not None:
            error *= xp.asarray(known)[:, None]
        error *= network.dtype.type(1 / batch.n_rows)
        errors.append(error)
    return errors


def backward(network, inputs, slope, masks=None, out=None):
    """Gradient of any function of the outputs in the weights and biases, by back-propagation.

    Parameters
    ----------
    network : Network
    inputs : list of ndarray of shape (n_rows, size)
    slope : callable (values of all layers) -> list of ndarray of shape (n_rows, size)
        Gradient of the function in the values of each output.
    masks, out
        As in :func:`gradient`.

    Returns
    -------
    list of ndarray
        Of each weight matrix, then of the bias of each layer that is no input.
    """
    xp = network.xp
    masks = masks or [None] * network.n_layers
    values, seen = _forward(network, inputs, masks)
    n_edges = len(network.edges)
    out = _room(network) if out is None else out
    errors = [None] * network.n_layers
    for layer, error in zip(network.outputs, slope(values), strict=True):
        errors[layer] = error
    for layer in reversed(range(network.n_inputs, network.n_layers)):
        error = errors[layer]
        if network.activations[layer] is not None:
            for e in network._outgoing[layer]:
                product = errors[network.edges[e][1]] @ network.weights[e].T
                error = product if error is None else xp.add(error, product, out=error)
            if masks[layer] is not None:
                error *= masks[layer]
            error *= ACTIVATIONS[network.activations[layer]][1](values[layer])
            errors[layer] = error
        for e in network._incoming[layer]:
            xp.matmul(seen[network.edges[e][0]].T, error, out=out[e])
        xp.sum(error, axis=0, out=out[n_edges + layer - network.n_inputs])
    return out


def _room(network):
    """Arrays like the weights, then like the biases."""
    xp = network.xp
    return [xp.empty_like(a) for a in _parameters(network)]


def _parameters(network):
    return [*network.weights, *network.biases[network.n_inputs :]]


# Training ----------------------------------------------------------------------------------------


def train(network, source, rows, settings, key, *, resume=None, descend=None):
    """Fit a network to rows by stochastic gradients.

    Parameters
    ----------
    network : Network
        Where to start.
    source : callable (rows, rng) -> Batch
        The named rows; `rng` is the generator for what it randomises.
    rows : ndarray of int
        The rows to learn from.
    settings : Settings
    key : Key
        Seed: equal keys give equal results.
    resume : Epoch, optional
        Go on from there instead.
    descend : callable (network, batch, masks=..., out=...), optional
        The gradient to follow, instead of :func:`gradient`.

    Yields
    ------
    Epoch
        After each pass. The arrays of an epoch are never changed afterwards.

    Raises
    ------
    FloatingPointError
        When the parameters stop being finite. What was yielded before is good.
    """
    xp = network.xp
    if resume is None:
        n_moments = 2 if settings.optimizer == "adam" else 1
        moments = [tuple(xp.zeros_like(a) for _ in range(n_moments)) for a in _parameters(network)]
        resume = Epoch(0, 0, network, moments, {})
    network, step = resume.network.copy(), resume.step
    moments = [tuple(m.copy() for m in pair) for pair in resume.moments]
    room = _room(network)
    rates = settings.dropout or (0.0,) * network.n_layers
    work = network.n_multiplications * settings.batch_size
    descend = gradient if descend is None else descend
    for epoch in range(resume.number, settings.max_epochs):
        rng = np.random.default_rng([*derive(key, EPOCH), epoch])
        order = rng.permutation(rows)
        rate = settings.rate(epoch)
        with np.errstate(over="ignore", invalid="ignore"), for_products(work):
            for start in range(0, len(order), settings.batch_size):
                batch = source(order[start : start + settings.batch_size], rng)
                masks = [
                    _mask(batch.n_rows, network, layer, share, rng)
                    for layer, share in enumerate(rates)
                ]
                descend(network, batch, masks=masks, out=room)
                step += 1
                _step(network, room, moments, step, rate, settings)
        norm = float(xp.sqrt(sum(xp.vdot(w, w) for w in network.weights)))
        if not np.isfinite(norm) or not all(xp.isfinite(a).all() for a in _parameters(network)):
            raise FloatingPointError(f"the parameters are no longer finite in epoch {epoch + 1}")
        metrics = {"epoch": epoch + 1, "learning_rate": rate, "weight_norm": norm}
        kept = [tuple(m.copy() for m in pair) for pair in moments]
        yield Epoch(epoch + 1, step, network.copy(), kept, metrics)


def _mask(n_rows, network, layer, share, rng):
    """Factors of a layer's units: 0 with probability `share`, else 1 / (1 - share)."""
    xp = network.xp
    if share == 0 or layer in network.outputs:
        return None
    inputs = layer < network.n_inputs
    edge = (network._outgoing if inputs else network._incoming)[layer][0]
    size = network.weights[edge].shape[0 if inputs else 1]
    words = rng.integers(0, 1 << 16, (n_rows, size), np.uint16)
    lowest = round(share * (1 << 16))
    return xp.asarray(words >= lowest) * network.dtype.type((1 << 16) / ((1 << 16) - lowest))


def _step(network, gradients, moments, step, rate, settings):
    """One step of all parameters, in place; weight decay and max-norm leave the biases alone."""
    xp = network.xp
    updates = kernels.of(network.weights[0], "updates")
    weighted = range(network.n_inputs, network.n_layers)
    squares = {layer: xp.zeros(len(network.biases[layer]), network.dtype) for layer in weighted}
    into = [squares[target] for _, target in network.edges]
    into += [xp.zeros_like(squares[layer]) for layer in weighted]  # of biases: not used
    for i, (value, g, past) in enumerate(
        zip(_parameters(network), gradients, moments, strict=True)
    ):
        value, g, *past = (a.reshape(-1, a.shape[-1]) for a in (value, g, *past))
        decay = settings.l2 if i < len(network.edges) else 0.0
        if settings.optimizer == "adam":
            betas = (settings.momentum, SECOND_MOMENT)
            updates.adam(value, g, tuple(past), step, rate, betas, EPSILON, decay, into[i])
        else:
            updates.nesterov(value, g, past[0], rate, settings.momentum, decay, into[i])
    if settings.max_norm is None:
        return
    for layer in weighted:
        over = squares[layer] > settings.max_norm**2
        if layer not in network.outputs and over.any():
            factor = xp.where(over, settings.max_norm / xp.sqrt(squares[layer]), 1)
            for e in network._incoming[layer]:
                network.weights[e][...] *= factor.astype(network.dtype)
