"""Autoencoders of several modalities: what is shown goes up to a joint layer and all comes down.

The encoder is a tree of layers from the modalities up to the joint layer, the decoder its mirror
image. A modality enters as its sufficient statistic about its mean, and as zeros where it is
hidden; what comes out are the natural parameters of its units.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..backend.arrays import device_of, namespace
from .boltzmann import Boltzmann, begin
from .learning import SMALLEST_SCALE
from .network import Batch, Network, connect, forward, loss

__all__ = [
    "Autoencoder",
    "build",
    "complete",
    "draw",
    "encode",
    "log_density",
    "measure_noise",
    "objective",
    "patterns",
    "source",
    "start_from",
]

SCALE_ROWS = 1000  # rows from which the spread of a modality is found
NOISE_ROWS = 5000  # rows from which the noise of a modality is found


@dataclass(frozen=True)
class Autoencoder:
    """An autoencoder: its network and what turns rows into inputs of it.

    Parameters
    ----------
    marginals : Boltzmann
        The modalities without any edge: encodes them, and knows their means and lengths.
    gains : tuple of float
        What the statistics of each modality are multiplied with, so that their spread is about 1.
    network : Network
        One input and one output a modality.
    noises : tuple of ndarray or None
        Standard deviation of the residuals of real-valued modalities, in units of the statistic;
        None for other units, and before it is measured.
    """

    marginals: Boltzmann
    gains: tuple
    network: Network
    noises: tuple

    @property
    def joint(self):
        """Index of the joint layer."""
        return (self.network.n_layers - 1) // 2

    @property
    def n_components(self):
        """Size of the joint layer."""
        return len(self.network.biases[self.joint])

    def astype(self, dtype):
        """The autoencoder in another precision."""
        if dtype == self.network.dtype:
            return self
        return replace(
            self, marginals=self.marginals.astype(dtype), network=self.network.astype(dtype)
        )

    @property
    def decoder(self):
        """The network from the joint layer down."""
        net, joint = self.network, self.joint
        half = len(net.edges) // 2
        return Network(
            net.names[joint:],
            1,
            (None, *net.activations[joint + 1 :]),
            tuple(layer - joint for layer in net.outputs),
            net.units,
            tuple((a - joint, b - joint) for a, b in net.edges[half:]),
            net.weights[half:],
            (None, *net.biases[joint + 1 :]),
            net.offsets[joint:],
        )


def build(marginals, names, sizes, edges, activation, data, rows, key):
    """An autoencoder with random weights, which at first answers about each modality's mean.

    Parameters
    ----------
    marginals : Boltzmann
        A machine of the modalities alone.
    names, sizes : sequence
        Name and size of each layer of the encoder, the modalities first and the joint layer last.
    edges : sequence of (int, int)
        Layers of the encoder that are joined, the lower first; a layer follows those below it.
    activation : str
        Key in :data:`~mmgraph.engine.network.ACTIVATIONS`.
    data : Data
    rows : ndarray of int
        Training rows.
    key : Key

    Returns
    -------
    Autoencoder
    """
    n, n_inputs = len(names), marginals.n_visible
    inner = list(reversed(range(n_inputs, n - 1)))
    mirror = {layer: n + i for i, layer in enumerate([*inner, *range(n_inputs)])}
    mirror[n - 1] = n - 1
    outputs = [mirror[k] for k in range(n_inputs)]
    network = connect(
        [*names, *(f"{names[k]} decoded" for k in [*inner, *range(n_inputs)])],
        [*sizes, *(sizes[k] for k in [*inner, *range(n_inputs)])],
        n_inputs,
        [None] * n_inputs + [activation] * (n - n_inputs + len(inner)) + [None] * n_inputs,
        outputs,
        marginals.units,
        [*edges, *((mirror[upper], mirror[lower]) for lower, upper in edges)],
        key,
        dtype=marginals.dtype,
    )
    biases = (*network.biases[:-n_inputs], *marginals.to("cpu").biases)
    gains = []
    for k, kind in enumerate(marginals.units):
        showing = rows[data.present[k][rows]]
        shown, _ = data.batch(marginals, showing[:: max(1, len(showing) // SCALE_ROWS)])
        spread = 1.0 if kind.scaled else float(np.sqrt(shown[k].var(axis=0).mean()))
        gains.append(1.0 / spread if spread > 0 else 1.0)
    network = replace(network, biases=biases)
    network = network.to(device_of(*marginals.biases))
    return Autoencoder(marginals, tuple(gains), network, (None,) * n_inputs)


def start_from(model, stack):
    """The autoencoder with the weights of a stack of machines, up and down.

    Parameters
    ----------
    model : Autoencoder
        Of sigmoid layers.
    stack : Stack
        Of the same layers (:func:`~mmgraph.engine.unrolling.pretrain`).

    Returns
    -------
    Autoencoder
    """
    net, n_inputs = model.network, model.network.n_inputs
    up, biases = list(stack.up), list(net.biases)
    half = len(net.edges) // 2
    for layer, bias in stack.hidden.items():
        biases[layer] = bias.copy()
    for e, (lower, upper) in enumerate(net.edges[:half]):
        if lower < n_inputs:  # the machine saw t, the network sees gain (t - mean)
            biases[upper] = biases[upper] + model.marginals.means[lower] @ up[e]
            up[e] = up[e] / up[e].dtype.type(model.gains[lower])
        biases[net.edges[half + e][1]] = stack.visible[lower]
    return replace(model, network=replace(net, weights=(*up, *stack.down), biases=tuple(biases)))


# Rows --------------------------------------------------------------------------------------------


def _inputs(model, shown, kept, n_rows):
    """Inputs of the network: zeros where a modality is not kept."""
    xp = model.network.xp
    net, inputs = model.network, []
    for k in range(net.n_inputs):
        size = len(model.marginals.biases[k])
        if k not in shown or not kept[k].any():
            inputs.append(xp.zeros((n_rows, size), net.dtype))
            continue
        x = (shown[k] - model.marginals.means[k]) * net.dtype.type(model.gains[k])
        known = xp.asarray(kept[k])[:, None]
        inputs.append(x if kept[k].all() else xp.where(known, x, net.dtype.type(0)))
    return inputs


def _batch(model, data, rows, keep):
    """The named rows as a Batch; `keep` says from what is present what goes in."""
    xp = model.network.xp
    shown, _ = data.batch(model.marginals, rows)
    n, masks = len(rows), [mask[rows] for mask in data.present]
    targets = []
    for k, mask in enumerate(masks):
        if not mask.any():
            targets.append(xp.zeros((n, len(model.marginals.biases[k])), model.network.dtype))
        else:
            t = shown[k]
            known = xp.asarray(mask)[:, None]
            targets.append(t if mask.all() else xp.where(known, t, t.dtype.type(0)))
    known = [None if mask.all() else mask for mask in masks]
    return Batch(_inputs(model, shown, keep(masks), n), targets, known)


def source(model, data):
    """What :func:`~mmgraph.engine.network.train` reads: rows that show a random part of themselves.

    Each time a row is used it shows some of its modalities, every choice of one or more being
    equally likely, and all that it has are to be reconstructed. With two modalities a third of the
    rows shows both, a third only the one and a third only the other.

    Parameters
    ----------
    model : Autoencoder
    data : Data

    Returns
    -------
    callable (rows, rng) -> Batch

    References
    ----------
    Ngiam, Khosla, Kim, Nam, Lee & Ng (2011). Multimodal deep learning. ICML, section 3.3.
    """
    return lambda rows, rng: _batch(model, data, rows, lambda masks: _some_of(masks, rng))


def _some_of(masks, rng):
    """Some of the modalities of each row, at least one: masks."""
    present = np.column_stack(masks)
    kept = present.copy()
    todo = np.flatnonzero(present.sum(axis=1) > 1)
    while len(todo):
        kept[todo] = present[todo] & (rng.random((len(todo), len(masks))) < 0.5)
        todo = todo[~kept[todo].any(axis=1)]
    return list(kept.T)


def patterns(masks):
    """What rows show, and what they show when each modality is hidden in turn.

    A modality that is all that a row shows is not hidden.

    Parameters
    ----------
    masks : list of ndarray of bool, shape (n_rows,)
        The rows that show each modality.

    Yields
    ------
    list of ndarray of bool, shape (n_rows,)
    """
    masks = list(masks)
    yield masks
    count = sum(mask.astype(int) for mask in masks)
    for k in range(len(masks) if len(masks) > 1 else 0):
        yield [m & (count < 2) if i == k else m for i, m in enumerate(masks)]


def objective(model, data, rows, at_once=4096):
    """Loss of rows under the :func:`patterns` of what they show, averaged over these.

    Parameters
    ----------
    model : Autoencoder
    data : Data
    rows : ndarray of int
    at_once : int
        Rows computed together.

    Returns
    -------
    float
        ``-log p(t | eta) + log_base(t)``, nats a row.
    """
    total = 0.0
    n_patterns = len(list(patterns([m[:1] for m in data.present])))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        for i in range(n_patterns):
            batch = _batch(model, data, part, lambda masks, i=i: list(patterns(masks))[i])
            total += loss(model.network, batch) * len(part)
    return total / (len(rows) * n_patterns)


# Inference ---------------------------------------------------------------------------------------


def encode(model, shown, present, n_rows):
    """Joint layer, shape (n_rows, n_components), and natural parameters of every modality."""
    values = forward(model.network, _inputs(model, shown, present, n_rows))
    return values[model.joint], [values[layer] for layer in model.network.outputs]


def complete(model, etas, totals):
    """Expected statistics of every modality, from natural parameters and numbers of words."""
    return [
        kind.mean(eta, _nothing(eta), total)
        for kind, eta, total in zip(model.network.units, etas, totals, strict=True)
    ]


def _nothing(eta):
    return namespace(eta).zeros(eta.shape[1], eta.dtype)


def draw(model, etas, totals, noise):
    """One draw a row of every modality, from the noise of its units around the mean.

    Parameters
    ----------
    model : Autoencoder
    etas : list of ndarray of shape (n_rows, size)
    totals : list of ndarray of shape (n_rows,), or None
        Number of words.
    noise : Noise
        Its stream is ignored.

    Returns
    -------
    list of ndarray of shape (n_rows, size)
        Statistics.
    """
    found = []
    for k, (kind, eta, total) in enumerate(zip(model.network.units, etas, totals, strict=True)):
        at, none = noise._replace(stream=k), _nothing(eta)
        if kind.scaled:
            spread = model.noises[k].astype(eta.dtype)
            around = kind.mean(eta, none, total) / spread
            found.append(spread * kind.draw(around, none, at, total)[1])
        else:
            found.append(kind.draw(eta, none, at, total)[1])
    return found


def measure_noise(model, data, rows):
    """The autoencoder with the residuals of its real-valued modalities, given the others.

    Parameters
    ----------
    model : Autoencoder
    data : Data
    rows : ndarray of int
        Training rows.

    Returns
    -------
    Autoencoder
    """
    xp = model.network.xp
    noises = []
    present = np.column_stack(data.present)
    for k, kind in enumerate(model.network.units):
        if not kind.scaled:
            noises.append(None)
            continue
        some = rows[present[rows, k]]
        beside = some[present[some].sum(axis=1) > 1]
        some = beside if len(beside) else some
        some = some[:: max(1, len(some) // NOISE_ROWS)]
        shown, masks = data.batch(model.marginals, some)
        truth = shown[k].astype(np.float64)
        masks = {j: m & (j != k) for j, m in masks.items()}
        absent = xp.zeros(len(some), bool)
        kept = {j: masks.get(j, absent) for j in range(model.network.n_inputs)}
        _, etas = encode(model, shown, kept, len(some))
        none = xp.zeros(truth.shape[1], etas[k].dtype)
        squares = ((truth - kind.mean(etas[k], none)) ** 2).mean(axis=0)
        if kind.common:
            squares = xp.full_like(squares, squares.mean())
        noises.append(xp.maximum(xp.sqrt(squares), SMALLEST_SCALE))
    return replace(model, noises=tuple(noises))


def log_density(model, shown, present, kept, n_rows):
    """Log-density of each modality of rows, given what is kept of them.

    Parameters
    ----------
    model : Autoencoder
    shown : dict of int to ndarray
        Statistics of modalities.
    present : dict of int to ndarray of bool, shape (n_rows,)
        The rows that show them.
    kept : dict of int to ndarray of bool, shape (n_rows,)
        The rows whose modality goes in.
    n_rows : int

    Returns
    -------
    list of ndarray of shape (n_rows,), float64
        In nats; 0 where the modality is absent.
    """
    xp = model.network.xp
    totals = begin(model.marginals, shown, n_rows, present=present).totals
    _, etas = encode(model, shown, kept, n_rows)
    found = []
    for k, (kind, eta, total) in enumerate(zip(model.network.units, etas, totals, strict=True)):
        if k not in shown:
            found.append(xp.zeros(n_rows))
            continue
        t, volume = xp.where(present[k][:, None], shown[k], 0).astype(np.float64), 0.0
        eta = eta.astype(np.float64)
        if kind.scaled:
            spread = model.noises[k]
            none = xp.zeros(eta.shape[1])
            t, eta = t / spread, kind.mean(eta, none, total) / spread
            volume = model.marginals.log_jacobian(k) - float(xp.log(spread).sum())
        total = None if total is None else total.astype(np.float64)
        fit = (eta * t).sum(axis=1) + kind.log_base(t) - kind.log_partition(eta, total)
        found.append(xp.where(present[k], fit + volume, 0.0))
    return found
