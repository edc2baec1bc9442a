"""Learning of a Boltzmann machine by stochastic gradients.

One step: clamp what a batch shows and infer the rest (the positive phase), let chains of the model
move (the negative phase), and follow the difference of the two centred statistics. What the chains
are free to move is the objective: all layers, for the likelihood of a row; or one modality and the
latent layers, for the likelihood of that modality given the others (multi-prediction).
:func:`learn` is a generator: it yields an immutable :class:`Epoch` after each pass, so whoever
drives it can show progress, stop, be interrupted or save, and loses nothing.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..backend import kernels
from ..backend.arrays import namespace
from ..backend.kernels.threads import for_products
from ..backend.random import derive
from .boltzmann import Boltzmann, State, begin, gibbs, mean_field
from .chains import Health
from .tempering import tempered_gibbs
from .units import Noise

__all__ = ["Data", "Epoch", "Settings", "construct", "learn", "reconstruction"]

DATA, CHAINS, ORDER, WEIGHTS, HOLES, TARGETS = range(6)  # what a derived key is used for
LOTS = 1 << 13  # stream of the numbers that decide which modality is predicted
# Of a prediction whose chains start at other rows, for want of chains of the joint distribution.
SWEEPS_FROM_DATA = 10
CAP = 0.25  # of learning rate times largest eigenvalue of a visible layer's covariance
CAP_ROWS, CAP_ITERATIONS = 1000, 20  # effort of finding it
# Of weights, times the root of the larger layer: at less, a deep machine stays for tens of epochs
# at the saddle where its layers know nothing of each other.
INITIAL_SPREAD = 0.5
SMALLEST_SCALE = 0.03  # of a column, relative to its standard deviation


@dataclass(frozen=True)
class Settings:
    """How to learn.

    Parameters
    ----------
    learning_rate : float
        Step size of weights and biases.
    objective : {"likelihood", "multi_prediction", "hybrid"}
        What to maximise: the likelihood of what a row shows, that of each modality it shows given
        the others it shows, or the mean of both.
    decay : {"constant", "linear", "inverse"}
        Course of the rate over `max_epochs`: constant, linearly to zero, or 1 / (1 + 10 t / T).
    momentum : float
        Share of the last step that the next one keeps.
    batch_size : int
        Rows a step.
    max_epochs : int
        Passes over the rows.
    n_chains : int
        Number of chains of the model's own statistics.
    n_temperatures : int
        At how many temperatures there are so many chains; 1: no parallel tempering.
    n_gibbs : int
        Sweeps of the chains a step.
    persistent : bool
        Chains go on from step to step (PCD) instead of starting at the data (CD).
    centered : bool
        Follow the centred gradient.
    l2 : float
        Weight decay.
    max_norm : float
        Largest norm of the weights from a lower layer to a unit of the upper one.
    sparsity_target, sparsity_cost : float
        Mean activity that hidden units are drawn to, and how strongly.
    mean_field_sweeps : int
        Largest number of mean-field sweeps of a batch.
    offset_rate : float
        Share of a batch in the moving average of the offsets.
    """

    learning_rate: float = 0.05
    objective: str = "likelihood"
    decay: str = "linear"
    momentum: float = 0.5
    batch_size: int = 100
    max_epochs: int = 100
    n_chains: int = 100
    n_temperatures: int = 1
    n_gibbs: int = 1
    persistent: bool = True
    centered: bool = True
    l2: float = 0.0
    max_norm: float = np.inf
    sparsity_target: float = 0.1
    sparsity_cost: float = 0.0
    mean_field_sweeps: int = 10
    offset_rate: float = 0.02

    @property
    def betas(self):
        """Inverse temperatures of the chains, equally spaced from 1 to 0."""
        return np.linspace(1.0, 0.0, self.n_temperatures)

    def rate(self, epoch):
        """Learning rate of an epoch (counted from 0)."""
        if self.decay == "linear":
            return self.learning_rate * max(1.0 - epoch / self.max_epochs, 0.0)
        if self.decay == "inverse":
            return self.learning_rate / (1.0 + 10.0 * epoch / self.max_epochs)
        return self.learning_rate

    def predicts(self, step):
        """Whether a step is one of multi-prediction; of a hybrid, every other one is."""
        return self.objective == "multi_prediction" or (self.objective == "hybrid" and step % 2)


class Data(NamedTuple):
    """Training rows by visible layer.

    Attributes
    ----------
    blocks : list of ndarray or CSR array of shape (n_rows, size)
        Raw values.
    present : list of ndarray of bool, shape (n_rows,)
        Rows in which the modality was observed.
    """

    blocks: list
    present: list

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.present[0])

    def take(self, rows):
        """Some of the rows."""
        return Data([b[rows] for b in self.blocks], [m[rows] for m in self.present])

    def batch(self, model, rows):
        """Encoded statistics and presence of some rows, for :func:`begin`, where the model is."""
        xp = namespace(model.biases[0])
        shown, present = {}, {}
        for layer, (block, mask) in enumerate(zip(self.blocks, self.present, strict=True)):
            mask = mask[rows]
            if not mask.any():
                continue
            x = block[rows]
            x = xp.asarray(x.toarray() if hasattr(x, "toarray") else x)
            shown[layer], present[layer] = model.encode(layer, x), xp.asarray(mask)
        return shown, present


class Epoch(NamedTuple):
    """State of learning after a pass: all that is needed to go on bit-exactly.

    Attributes
    ----------
    number : int
        Passes done.
    step : int
        Gradient steps done.
    model : Boltzmann
        Parameters.
    velocity : tuple of ndarray
        Momentum of weights, biases and log scales.
    chains : list of ndarray
        Where the chains are.
    chain_totals : list of ndarray or None
        Numbers of words of the chains.
    metrics : dict of str to float
        What `history_` records.
    """

    number: int
    step: int
    model: Boltzmann
    velocity: tuple
    chains: list
    chain_totals: list
    metrics: dict


def construct(names, units, n_visible, sizes, edges, data, key, *, dtype=np.float32):
    """A fresh machine: small random weights, biases that give the data's means.

    Parameters
    ----------
    names, units, n_visible, edges
        See :class:`Boltzmann`.
    sizes : sequence of int
        Size of each layer.
    data : Data
        Training rows; sets visible biases, locations, scales and lengths.
    key : Key
    dtype : dtype

    Returns
    -------
    Boltzmann
    """
    rng = np.random.default_rng(derive(key, WEIGHTS))
    biases, means, locs, scales, floors, lengths = [], [], [], [], [], []
    for layer, kind in enumerate(units):
        loc = scale = floor = length = None
        if layer < n_visible:
            x = data.blocks[layer][data.present[layer]]
            if kind.counts:
                words = np.sort(np.asarray(x.sum(axis=1)).ravel())
                length = words[((np.arange(101) + 0.5) / 101 * len(words)).astype(int)]
            if kind.scaled:
                x = x.toarray() if hasattr(x, "toarray") else x
                loc, scale = kind.start(x.astype(np.float64))
                floor = SMALLEST_SCALE * scale
                mean = kind.encode(x.astype(np.float64), loc, scale).mean(axis=0)
            else:
                mean = kind.encode(np.asarray(x.mean(axis=0), float).ravel(), loc, scale)
            bias = kind.natural(mean)
        else:
            bias, mean = np.zeros(sizes[layer]), np.full(sizes[layer], 0.5)
        biases.append(bias)
        means.append(mean)
        locs.append(loc)
        scales.append(scale)
        floors.append(floor)
        lengths.append(length)
    weights = []
    for lower, upper in edges:
        spread = INITIAL_SPREAD / np.sqrt(max(sizes[lower], sizes[upper]))
        w = rng.normal(0, spread, (sizes[lower], sizes[upper]))
        weights.append(w)
        biases[lower] = biases[lower] - w @ means[upper]
        biases[upper] = biases[upper] - means[lower] @ w

    def typed(arrays):
        return tuple(None if a is None else np.ascontiguousarray(a, dtype) for a in arrays)

    return Boltzmann(
        tuple(names),
        tuple(units),
        n_visible,
        tuple(edges),
        typed(weights),
        typed(biases),
        typed(means),
        tuple(locs),
        tuple(scales),
        tuple(floors),
        typed(lengths),
    )


def learn(model, data, settings, key, *, resume=None, rows=None, reduce=None):
    """Fit a machine to rows that may lack some modalities.

    Workers that learn together, each of its own rows, are as many calls of this function that
    start at one model, have equal settings and keys of their own (so that their chains differ), and
    share a `reduce`. Each step is then that of all their batches and chains together, and all come
    to the same model.

    Parameters
    ----------
    model : Boltzmann
        Where to start.
    data : Data
        Training rows.
    settings : Settings
    key : Key
        Seed: equal keys give equal results.
    resume : Epoch, optional
        Go on from there instead.
    rows : ndarray of int, optional
        The rows to learn from; None: all.
    reduce : callable, optional
        Mean over the workers of an array that each gives, as an all-reduce makes it; each must get
        the same bits.

    Yields
    ------
    Epoch
        After each pass. The arrays of an epoch are never changed afterwards.

    Raises
    ------
    FloatingPointError
        When the parameters stop being finite. What was yielded before is good.
    ValueError
        If workers have not as many rows each.

    References
    ----------
    Tieleman (2008), persistent contrastive divergence. Melchior, Fischer, Wiskott (2016), How to
    center deep Boltzmann machines, JMLR 17(99), algorithm 1. Goodfellow, Mirza, Courville & Bengio
    (2013), Multi-prediction deep Boltzmann machines, NIPS 26, and Sohn, Shang & Lee (2014),
    Improved multimodal deep learning with variation of information, NIPS 27: objectives of
    predicting some of the variables from the others.
    """
    xp = namespace(model.biases[0])
    rows = np.arange(data.n_rows) if rows is None else np.asarray(rows)
    if resume is None:
        chains, totals = _start_chains(model, settings, derive(key, CHAINS))
        n_parts = len(model.weights) + 2 * model.n_layers
        resume = Epoch(0, 0, model, (None,) * n_parts, chains, totals, {})
    model, step = resume.model, resume.step
    velocity = [None if v is None else v.copy() for v in resume.velocity]
    chains = State(list(resume.chains), [True] * model.n_layers, list(resume.chain_totals))
    work = model.n_multiplications * max(settings.batch_size, settings.n_chains)
    keys = {use: derive(key, use) for use in (DATA, CHAINS, HOLES, TARGETS)}
    persistent = settings.persistent and settings.objective != "multi_prediction"
    reduce = _same if reduce is None else reduce
    [usual] = _agreed([len(rows)], reduce, xp)
    [apart] = _agreed([abs(len(rows) - usual)], reduce, xp)
    if apart > 1e-6:
        raise ValueError(f"workers must have as many rows each; this one has {len(rows)}.")
    caps = None
    for epoch in range(resume.number, settings.max_epochs):
        order = np.random.default_rng([*derive(key, ORDER), epoch]).permutation(rows)
        rate = settings.rate(epoch)
        if caps is None or any(scale is not None for scale in model.scales):
            caps = _agreed(_rate_caps(model, data, rows), reduce, xp)
        health = Health(model, settings.n_chains, -(-len(order) // settings.batch_size))
        with np.errstate(over="ignore", invalid="ignore"), for_products(work):
            for start in range(0, len(order), settings.batch_size):
                batch = order[start : start + settings.batch_size]
                positive = _positive(model, data, batch, settings, chains, keys[HOLES], step)
                if settings.predicts(step):
                    negative = _predictions(
                        model, positive, batch, settings, chains, keys[TARGETS], step
                    )
                    if not persistent:
                        latest = _chains_at(model, positive, batch, keys[DATA], step)
                        chains = latest.followed_by(chains, settings.n_chains)
                else:
                    if not persistent:
                        chains = _chains_at(model, positive, batch, keys[DATA], step)
                    rows_of_chains = xp.arange(len(chains.values[0]), dtype=np.uint32)
                    noise = Noise(keys[CHAINS], rows_of_chains, (step + 1) * settings.n_gibbs, 0)
                    swaps = None
                    if settings.n_temperatures > 1:
                        chains, means, swaps = tempered_gibbs(
                            model, chains, settings.n_gibbs, noise, betas=settings.betas
                        )
                    else:
                        chains, means = gibbs(model, chains, settings.n_gibbs, noise)
                    if persistent:
                        health.see(chains, swaps)
                    negative = _statistics(model, chains, means)
                    if settings.n_temperatures > 1:
                        negative = [t[: settings.n_chains] for t in negative]
                model = _step(model, positive, negative, velocity, rate, settings, caps, reduce)
                if settings.max_norm < np.inf:
                    model = _shortened(model, settings.max_norm)
                step += 1
            if not persistent:  # leave as many chains as asked for, near the data
                batch = np.resize(order, settings.n_chains)
                positive = _positive(model, data, batch, settings, chains, keys[HOLES], step)
                chains = _chains_at(model, positive, batch, keys[DATA], step)
        norm = float(xp.sqrt(sum((w * w).sum() for w in model.weights)))
        if not np.isfinite(norm) or not all(bool(xp.isfinite(b).all()) for b in model.biases):
            raise FloatingPointError(f"the parameters are no longer finite in epoch {epoch + 1}")
        metrics = {"epoch": epoch + 1, "learning_rate": rate, "weight_norm": norm}
        metrics |= health.metrics()
        resume = Epoch(
            epoch + 1,
            step,
            model,
            tuple(None if v is None else v.copy() for v in velocity),
            list(chains.values),
            list(chains.totals),
            metrics,
        )
        yield resume


def reconstruction(model, data, rows, *, max_sweeps=5):
    """Log-density of rows given the hidden layers inferred from them: nats a row.

    Not a likelihood, but cheap, and rises while a machine learns to describe the rows.

    Parameters
    ----------
    model : Boltzmann
    data : Data
    rows : ndarray of int
    max_sweeps : int
        Of mean field.

    Returns
    -------
    float
        Sum over the modalities of the mean over the rows that show them.
    """
    shown, present = data.batch(model, rows)
    state = begin(model, shown, len(rows), present=present)
    values = mean_field(model, state, max_sweeps=max_sweeps).state.values
    total = 0.0
    for layer, mask in present.items():
        kind, truth = model.units[layer], shown[layer]
        eta = model.activation(values, layer) + model.biases[layer]
        normaliser = kind.log_partition(eta, state.totals[layer])
        fit = (eta * truth).sum(axis=1) + kind.log_base(truth) - normaliser
        total += float(fit[mask].mean()) + model.log_jacobian(layer)
    return total


def _positive(model, data, batch, settings, chains, key, step):
    """The batch with its latent layers inferred: a State whose `free` marks what was absent.

    What a row lacks is drawn, not inferred by mean field, which would make the machine believe its
    own guesses: a chain starts at one of the learner's chains that explains what the row shows, and
    what it draws is taken for observed.
    """
    xp = namespace(model.biases[0])
    shown, present = data.batch(model, batch)
    absent = [layer not in shown or not bool(present[layer].all()) for layer in model.visible]
    if not any(absent):
        state = begin(model, shown, len(batch), present=present)
        return mean_field(model, state, max_sweeps=settings.mean_field_sweeps, tol=1e-3).state
    noise = Noise(key, xp.asarray(batch, np.uint32), step * (settings.n_gibbs + 1), 0)
    state = _infer(model, shown, len(batch), settings, chains, present=present, noise=noise)
    free = state.free
    state, _ = gibbs(model, state, settings.n_gibbs, noise._replace(step=noise.step + 1))
    clamped = [layer in model.hidden for layer in range(model.n_layers)]
    state = state._replace(free=clamped)
    found = mean_field(model, state, max_sweeps=settings.mean_field_sweeps, tol=1e-3)
    return found.state._replace(free=free)


def _predictions(model, positive, batch, settings, chains, key, step):
    """Statistics of chains that predict one modality of each row from the others it shows.

    The gradient of log p(target | rest) is that of the likelihood with the rest clamped in the
    negative phase too. Each row's target is drawn anew at each step, and is inferred as if it were
    absent: chains that start at the target itself would never meet what is mistaken for it.
    """
    xp = namespace(model.biases[0])
    n, n_sweeps = len(batch), settings.n_gibbs
    if settings.objective == "multi_prediction":
        n_sweeps = max(n_sweeps, SWEEPS_FROM_DATA)
    noise = Noise(key, xp.asarray(batch, np.uint32), step * (n_sweeps + 1), 0)
    absent = xp.zeros((model.n_visible, n), bool)
    for k in model.visible:
        absent[k] = positive.free[k]
    lots = kernels.of(positive.values[0]).uniform(
        noise.rows, model.n_visible, noise.key, noise.step, LOTS, np.float64
    )
    target = xp.where(absent, -1, lots.T).argmax(axis=0)
    present = {k: ~absent[k] & (target != k) for k in model.visible}
    shown = {k: positive.values[k] for k in model.visible}
    lengths = {k: positive.totals[k] for k in model.visible if model.units[k].counts}
    state = _infer(model, shown, n, settings, chains, present=present, noise=noise, lengths=lengths)
    noise = noise._replace(step=noise.step + 1)
    return _statistics(model, *gibbs(model, state, n_sweeps, noise))


def _infer(model, shown, n_rows, settings, chains, **given):
    """Rows ready for clamped chains, which start at those of `chains` that explain the rows."""
    n = settings.n_chains
    particles = tuple(chains.values[layer][:n].astype(np.uint8) for layer in model.hidden)
    return begin(replace(model, particles=particles), shown, n_rows, **given)


def _statistics(model, chains, means):
    """What the chains say of each layer: conditional means of the colour that was drawn last."""
    return [
        chains.replaced(layer, means[layer]) if layer in model.colours[1] else values
        for layer, values in enumerate(chains.values)
    ]


def _start_chains(model, settings, key):
    """Chains at independent draws around the layers' means."""
    xp = namespace(model.biases[0])
    n = settings.n_chains * settings.n_temperatures
    noise = Noise(key, xp.arange(n, dtype=np.uint32), 0, 0)
    state = begin(model, {}, n, noise=noise)
    state, _ = gibbs(model, state, 1, noise)
    return list(state.values), list(state.totals)


def _chains_at(model, positive, batch, key, step):
    """Chains that start at the data (contrastive divergence): hidden layers drawn, all free."""
    xp = namespace(model.biases[0])
    state = positive._replace(free=[layer in model.hidden for layer in range(model.n_layers)])
    noise = Noise(key, xp.asarray(batch, np.uint32), step, 0)
    state, _ = gibbs(model, state, 1, noise)
    return state._replace(free=[True] * model.n_layers)


def _rate_caps(model, data, rows):
    """Largest stable rate of each layer's parameters.

    The curvature of the likelihood in the weights of a layer grows with the largest eigenvalue of
    the covariance of its statistic: beyond about 2 / eigenvalue gradient steps oscillate, which in
    real-valued layers of correlated columns is far below the rates that suit binary ones. For
    hidden layers, whose covariance is not known yet, it is taken for that of one binary unit. The
    eigenvalue is that at the layer's present scale, and so grows as the scale is learnt.
    """
    xp = namespace(model.biases[0])
    caps = [4 * CAP] * model.n_layers
    some = rows[:: max(1, len(rows) // CAP_ROWS)]
    shown, present = data.batch(model, some)
    for layer, t in shown.items():
        t = t[present[layer]].astype(np.float64)
        t = t - t.mean(axis=0)
        v = xp.ones(t.shape[1]) / np.sqrt(t.shape[1])
        for _ in range(CAP_ITERATIONS):
            v = t.T @ (t @ v) / len(t)
            eigenvalue = xp.sqrt((v * v).sum())
            v = v / xp.where(eigenvalue > 0, eigenvalue, 1.0)
        eigenvalue = float(eigenvalue)
        if eigenvalue > 0:
            caps[layer] = CAP / eigenvalue
    return caps


def _same(x):
    """The mean over one worker."""
    return x


def _agreed(numbers, reduce, xp):
    """Numbers of the host, the same for all workers: their means."""
    return numbers if reduce is _same else reduce(xp.asarray(numbers, np.float64)).tolist()


def _step(model, positive, negative, velocity, rate, settings, caps=None, reduce=_same):
    """One step along the centred gradient, of all workers; returns the new machine.

    With offsets c the machine's energy has (t_l - c_l)' W (t_k - c_k) for an edge, and its biases
    fold to b_l - sum_k W c_k. So a step dW and a step db of the centred bias change the folded bias
    by db_l - sum_k dW c_k; moving the offsets changes nothing.
    """
    xp, ascent = namespace(model.biases[0]), kernels.of(model.biases[0], "ascent")
    data, masks = positive.values, positive.free
    n_data, n_model = len(data[0]), len(negative[0])
    caps = caps or [np.inf] * model.n_layers
    rho = model.dtype.type(settings.offset_rate)
    moment = model.dtype.type(settings.momentum)

    averages = [reduce(_average(t)) for t in data]
    differences = [a - reduce(_average(t)) for a, t in zip(averages, negative, strict=True)]
    offsets = [c + rho * (a - c) for c, a in zip(model.means, averages, strict=True)]
    center = offsets if settings.centered else [xp.zeros_like(c) for c in offsets]

    def step_size(*layers):
        return model.dtype.type(min(rate, *(caps[k] for k in layers)))

    def advance(index, gradient, layer):
        """The velocity after a step along `gradient`."""
        change = step_size(layer) * gradient
        if velocity[index] is not None:
            change += moment * velocity[index]
        velocity[index] = change
        return change

    n_edges = len(model.edges)
    biases = []
    for layer in range(model.n_layers):
        gradient = differences[layer]
        if settings.sparsity_cost and layer >= model.n_visible:
            lacking = settings.sparsity_target - averages[layer]
            gradient = gradient + settings.sparsity_cost * lacking
        biases.append(model.biases[layer] + advance(n_edges + layer, gradient, layer))
    weights = []
    for e, (lower, upper) in enumerate(model.edges):
        # The centred gradient is the mean product of the data, less that of the chains, less
        # center x difference and difference x center.
        size = step_size(lower, upper)
        if velocity[e] is None:
            velocity[e] = xp.zeros_like(model.weights[e])
        change = velocity[e]
        moved = ascent.ascend(
            model.weights[e],
            change,
            reduce(data[lower].T @ data[upper]),
            reduce(negative[lower].T @ negative[upper]),
            (center[lower], size * differences[lower]),
            (center[upper], size * differences[upper]),
            (size / n_data, size / n_model),
            moment,
            size * settings.l2,
        )
        weights.append(moved)
        up, down = model.gains[e]
        biases[lower] = biases[lower] - down * (change @ center[upper])
        biases[upper] = biases[upper] - up * (center[lower] @ change)
    scales = list(model.scales)
    for layer in model.visible:
        if scales[layer] is None:
            continue
        # d log p / d log scale = E_data[t (t - eta)] - 1, exactly: the partition function's share
        # is the change of volume.
        t = data[layer]
        eta = model.activation(data, layer) + model.biases[layer]
        product = t * (t - eta)
        if masks[layer] is not False:
            product = product[:0] if masks[layer] is True else product[~masks[layer]]
        [n_shown] = _agreed([len(product)], reduce, xp)
        total = reduce(product.sum(axis=0))
        if not n_shown:
            continue
        gradient = total / total.dtype.type(n_shown) - 1
        if getattr(model.units[layer], "common", False):
            gradient = xp.full_like(gradient, gradient.mean())
        gradient = xp.clip(gradient, -1, 1)
        change = advance(n_edges + model.n_layers + layer, gradient, layer)
        scale = scales[layer] * xp.exp(change.astype(np.float64))
        scales[layer] = xp.maximum(scale, model.floors[layer])
    return replace(
        model,
        weights=tuple(weights),
        biases=tuple(biases),
        means=tuple(offsets),
        scales=tuple(scales),
    )


def _average(t):
    """Mean over the rows, by a product: exact where a sum of whole numbers is."""
    return namespace(t).ones(len(t), t.dtype) @ t / len(t)


def _shortened(model, max_norm):
    """The machine with the weights of no upper unit longer than `max_norm`, about its offsets."""
    xp = namespace(model.biases[0])
    weights, biases = list(model.weights), list(model.biases)
    for e, (lower, upper) in enumerate(model.edges):
        norms = xp.sqrt(xp.einsum("ij,ij->j", weights[e], weights[e]))
        if not (norms > max_norm).any():
            continue
        short = weights[e] * xp.minimum(1, max_norm / xp.maximum(norms, 1e-30))
        change, weights[e] = short - weights[e], short
        up, down = model.gains[e]
        biases[lower] = biases[lower] - down * (change @ model.means[upper])
        biases[upper] = biases[upper] - up * (model.means[lower] @ change)
    return replace(model, weights=tuple(weights), biases=tuple(biases))
