"""Unit types: what the values of a layer are, and how they couple to the layers beside it.

Every unit type is an exponential family. Given its neighbours a layer with natural parameter
``eta = activation + bias`` has the density

    p(t | eta) = exp(eta . t + log_base(t) - log_partition(eta)),

where ``t`` is the sufficient statistic, the form in which the whole engine sees a layer.
``encode`` turns data into ``t`` and ``decode`` turns ``t`` back. A unit type is one frozen class;
its fields are its settings. Add one by writing the class and naming it in :data:`UNITS`.

``totals`` is the number of words of each row, and is used by the count units only. ``noise`` says
which random numbers a draw takes (see :class:`Noise`).
"""

import itertools
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ..backend import kernels
from ..backend.arrays import namespace, special
from ..backend.random import Key

__all__ = [
    "UNITS",
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Gaussian",
    "Noise",
    "Rectified",
    "ReplicatedSoftmax",
    "as_units",
    "guess_units",
]

EDGE = 0.01  # means are kept this far from the border of their range when a bias is set from them
MOST_WORDS = 1 << 24  # of a row: the whole numbers that float32 holds exactly


class Noise(NamedTuple):
    """Address of the random numbers of one draw.

    Attributes
    ----------
    key : Key
        Seed.
    rows : ndarray of uint32, shape (n_rows,)
        Global number of each row (or chain), so that batches do not change what is drawn.
    step : int
        Count of draws so far.
    stream : int
        Which layer draws.
    """

    key: Key
    rows: np.ndarray
    step: int
    stream: int


@dataclass(frozen=True)
class Units:
    """What all unit types share. Arrays are ``t`` of shape (n_rows, size) unless said otherwise."""

    name: ClassVar[str] = ""
    counts: ClassVar[bool] = False  # are there totals: a number of words a row?
    scaled: ClassVar[bool] = False  # is a scale learnt?

    def check(self, block, label):
        """Raise a ValueError where data cannot be of these units.

        Parameters
        ----------
        block : ndarray or CSR array of shape (n_rows, size)
            Rows that show the modality.
        label : str
            What to call it.
        """

    def encode(self, x, loc, scale):
        """Data to sufficient statistic."""
        return x

    def decode(self, t, loc, scale):
        """Sufficient statistic to data."""
        return t

    def start(self, x):
        """Location and scale to encode data `x` with: None where the units have none."""
        return None, None

    def mean(self, activation, bias, totals=None):
        """E[t | eta]."""
        raise NotImplementedError

    def draw(self, activation, bias, noise, totals=None):
        """Pair of E[t | eta] and a draw of t."""
        raise NotImplementedError

    def log_partition(self, eta, totals=None):
        """Log of the sum over t of exp(eta . t + log_base(t)), shape (n_rows,), float64."""
        raise NotImplementedError

    def log_base(self, t):
        """Log base measure, shape (n_rows,)."""
        return namespace(t).zeros(t.shape[0], t.dtype)

    def natural(self, mean):
        """Bias at which the expectation is about `mean` (1-D)."""
        raise NotImplementedError

    def states(self, size, total=None):
        """All values of t, shape (n_states, size); None if they cannot be counted."""
        return None

    def log_n_states(self, size, total=None):
        """Log of how many values t has: inf if they cannot be counted."""
        return np.inf


@dataclass(frozen=True)
class Bernoulli(Units):
    """Binary units, t in {0, 1}. Greys in [0, 1] are taken as probabilities.

    References
    ----------
    Hinton, G. E. (2012). A practical guide to training restricted Boltzmann machines, section 2.
    """

    name: ClassVar[str] = "bernoulli"

    def check(self, block, label):
        low, high = _range(block)
        if low < 0 or high > 1:
            raise ValueError(
                f"{label}: values from {low:g} to {high:g}, but Bernoulli units take values in "
                "[0, 1]. Scale them (MinMaxScaler), or choose units='gaussian'."
            )

    def mean(self, activation, bias, totals=None):
        return kernels.of(activation).sigmoid(activation, bias)

    def draw(self, activation, bias, noise, totals=None):
        return kernels.of(activation).bernoulli(activation, bias, *_address(noise))

    def log_partition(self, eta, totals=None):
        return _softplus(eta)

    def natural(self, mean):
        xp = namespace(mean)
        mean = xp.clip(mean, EDGE, 1 - EDGE)
        return xp.log(mean / (1 - mean))

    def states(self, size, total=None):
        bits = np.arange(2**size)[:, None] >> np.arange(size)
        return (bits & 1).astype(np.float64)

    def log_n_states(self, size, total=None):
        return size * float(np.log(2))


@dataclass(frozen=True)
class Binomial(Units):
    """Counts of successes out of `trials`: t = x / sqrt(trials), x in {0, ..., trials}.

    A Bernoulli unit copied `trials` times with shared weights (Teh & Hinton 2001, "Rate-coded
    restricted Boltzmann machines for face recognition"). The square root keeps the variance of t,
    and so the size of a gradient step, that of one Bernoulli unit.

    Parameters
    ----------
    trials : int
        Largest count.
    """

    name: ClassVar[str] = "binomial"
    trials: int = 16

    def check(self, block, label):
        low, high = _range(block)
        if low < 0 or high > self.trials:
            raise ValueError(
                f"{label}: values from {low:g} to {high:g}, but Binomial(trials={self.trials}) "
                f"units take values in 0 to {self.trials}. Set trials to the largest count."
            )
        first = _fractional(block)
        if first is not None:
            raise ValueError(
                f"{label}: {first:g} is not a whole number, but binomial units take counts of "
                f"successes, 0 to trials={self.trials}. Scale and round them, or choose "
                "units='bernoulli' for greys in [0, 1]."
            )

    @property
    def _root(self):
        return float(np.sqrt(self.trials))

    def encode(self, x, loc, scale):
        return x / namespace(x).asarray(self._root, x.dtype)

    def decode(self, t, loc, scale):
        return t * namespace(t).asarray(self._root, t.dtype)

    def mean(self, activation, bias, totals=None):
        root = activation.dtype.type(self._root)
        return root * kernels.of(activation).sigmoid(activation / root, bias / root)

    def draw(self, activation, bias, noise, totals=None):
        root = activation.dtype.type(self._root)
        mean, draw = kernels.of(activation).binomial(
            activation / root, bias / root, self.trials, *_address(noise)
        )
        return mean / root, draw / root

    def log_partition(self, eta, totals=None):
        return self.trials * _softplus(eta / self._root)

    def log_base(self, t):
        gammaln = special(namespace(t)).gammaln
        n, k = self.trials, t * self._root
        return (gammaln(n + 1.0) - gammaln(k + 1) - gammaln(n - k + 1)).sum(axis=1)

    def natural(self, mean):
        xp = namespace(mean)
        p = xp.clip(mean / self._root, EDGE, 1 - EDGE)
        return self._root * xp.log(p / (1 - p))

    def states(self, size, total=None):
        grid = itertools.product(range(self.trials + 1), repeat=size)
        return np.array(list(grid), float).reshape(-1, size) / self._root

    def log_n_states(self, size, total=None):
        return size * float(np.log(self.trials + 1))


@dataclass(frozen=True)
class Gaussian(Units):
    """Real units with a learnt standard deviation: t = (x - loc) / scale, Var[t | eta] = 1.

    With the scale inside t the energy is ``|t|^2 / 2 - eta . t``, so x given its neighbours is
    normal with mean ``loc + scale * eta`` and standard deviation `scale`.

    Parameters
    ----------
    common : bool
        One scale for all columns (as suits pixels) instead of one a column.

    References
    ----------
    Melchior, Wang, Wiskott (2017). Gaussian-binary restricted Boltzmann machines for modeling
    natural image statistics. PLoS ONE 12(2).
    """

    name: ClassVar[str] = "gaussian"
    scaled: ClassVar[bool] = True
    common: bool = False

    def encode(self, x, loc, scale):
        return (x - loc) / scale

    def decode(self, t, loc, scale):
        return loc + scale * t

    def start(self, x):
        loc = x.mean(axis=0)
        return loc, _spread(x - loc, self.common)

    def mean(self, activation, bias, totals=None):
        return activation + bias

    def draw(self, activation, bias, noise, totals=None):
        return kernels.of(activation).gaussian(activation, bias, *_address(noise))

    def log_partition(self, eta, totals=None):
        return 0.5 * namespace(eta).square(eta, dtype=np.float64).sum(axis=1)

    def log_base(self, t):
        return -0.5 * (t * t).sum(axis=1) - 0.5 * t.shape[1] * float(np.log(2 * np.pi))

    def natural(self, mean):
        return mean


@dataclass(frozen=True)
class Rectified(Units):
    """Non-negative real units: a Gaussian cut off below zero, t = x / scale >= 0.

    The truncated normal, so that the model stays a proper density (the noisy rectified linear unit
    of Nair & Hinton 2010 is a cheap stand-in for it).

    Parameters
    ----------
    common : bool
        One scale for all columns instead of one a column.
    """

    name: ClassVar[str] = "rectified"
    scaled: ClassVar[bool] = True
    common: bool = False

    def check(self, block, label):
        low, _ = _range(block)
        if low < 0:
            raise ValueError(
                f"{label}: smallest value {low:g}, but rectified units take values >= 0. "
                "Choose units='gaussian'."
            )

    def encode(self, x, loc, scale):
        return x / scale

    def decode(self, t, loc, scale):
        return t * scale

    def start(self, x):
        return None, _spread(x, self.common)

    def mean(self, activation, bias, totals=None):
        eta = activation + bias
        return namespace(eta).maximum(eta + _hazard(eta), 0)

    def draw(self, activation, bias, noise, totals=None):
        eta = activation + bias
        u = kernels.of(eta).uniform(
            noise.rows, eta.shape[1], noise.key, noise.step, noise.stream, eta.dtype
        )
        xp, sc = namespace(eta), special(namespace(eta))
        wide = eta.astype(np.float64)
        # P(t > s) = Phi(eta - s) / Phi(eta); where that underflows the tail is exponential.
        inside = wide - sc.ndtri(u * sc.ndtr(xp.maximum(wide, -35.0)))
        tail = -xp.log(u) / xp.maximum(-wide, 1.0)
        draw = xp.maximum(xp.where(wide > -35.0, inside, tail), 0).astype(eta.dtype)
        return xp.maximum(eta + _hazard(eta), 0), draw

    def log_partition(self, eta, totals=None):
        wide = eta.astype(np.float64)  # the terms cancel where eta is far below zero
        return (special(namespace(eta)).log_ndtr(wide) + 0.5 * wide * wide).sum(axis=1)

    def log_base(self, t):
        return -0.5 * (t * t).sum(axis=1) - 0.5 * t.shape[1] * float(np.log(2 * np.pi))

    def natural(self, mean):
        xp = namespace(mean)
        low, high = xp.full_like(mean, -30.0), xp.full_like(mean, 30.0)
        goal = xp.maximum(mean, EDGE)
        for _ in range(40):  # the mean rises with eta: bisect
            middle = (low + high) / 2
            below = middle + _hazard(middle) < goal
            low, high = xp.where(below, middle, low), xp.where(below, high, middle)
        return (low + high) / 2


@dataclass(frozen=True)
class Categorical(Units):
    """One-hot units: exactly one of the columns is 1 (of each group of columns).

    Parameters
    ----------
    groups : tuple of int, optional
        Numbers of columns of the groups, each of which is one categorical variable. None: the
        whole modality is one variable.
    """

    name: ClassVar[str] = "categorical"
    groups: tuple | None = None

    def _slices(self, size):
        groups = (size,) if self.groups is None else tuple(self.groups)
        if sum(groups) != size:
            raise ValueError(
                f"Categorical(groups={self.groups}) covers {sum(groups)} columns, but the "
                f"modality has {size}."
            )
        edges = np.cumsum([0, *groups])
        return [slice(a, b) for a, b in itertools.pairwise(edges.tolist())]

    def check(self, block, label):
        block = block.toarray() if hasattr(block, "indptr") else block
        for group in self._slices(block.shape[1]):
            part = block[:, group]
            bad = ((part != 0) & (part != 1)).any(axis=1) | (part.sum(axis=1) != 1)
            if bad.any():
                raise ValueError(
                    f"{label}: columns {group.start} to {group.stop - 1} are not one-hot (one 1, "
                    f"else 0) in {int(bad.sum())} row(s), such as {part[bad][0]}. Encode the "
                    "categories (OneHotEncoder), or choose other units."
                )

    def mean(self, activation, bias, totals=None):
        kernel, xp = kernels.of(activation), namespace(activation)
        one = xp.ones(activation.shape[0], activation.dtype)
        parts = [kernel.softmax(activation[:, g], bias[g], one) for g in self._slices(len(bias))]
        return parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=1)

    def draw(self, activation, bias, noise, totals=None):
        kernel, xp = kernels.of(activation), namespace(activation)
        one = xp.ones(activation.shape[0], activation.dtype)
        pairs = [
            kernel.multinomial(
                activation[:, g],
                bias[g],
                one,
                *_address(noise._replace(stream=noise.stream + (i << 16))),
            )
            for i, g in enumerate(self._slices(len(bias)))
        ]
        if len(pairs) == 1:
            return pairs[0]
        return tuple(xp.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))

    def log_partition(self, eta, totals=None):
        return sum(_logsumexp(eta[:, g]) for g in self._slices(eta.shape[1]))

    def natural(self, mean):
        xp = namespace(mean)
        return xp.log(xp.maximum(mean, EDGE / len(mean)))

    def states(self, size, total=None):
        eyes = [np.eye(g.stop - g.start) for g in self._slices(size)]
        return np.array([np.concatenate(rows) for rows in itertools.product(*eyes)])

    def log_n_states(self, size, total=None):
        return sum(float(np.log(g.stop - g.start)) for g in self._slices(size))


@dataclass(frozen=True)
class ReplicatedSoftmax(Units):
    """Word counts: as many copies of one categorical unit as the row has words.

    The number of words of a row is kept: given its neighbours a row of D words is multinomial
    with D draws. Multiplying the hidden biases by D, as the original does, is contained in it: a
    constant added to all weights of a hidden unit adds that constant times D to its input.

    References
    ----------
    Salakhutdinov & Hinton (2009). Replicated softmax: an undirected topic model. NIPS 22.
    """

    name: ClassVar[str] = "replicated_softmax"
    counts: ClassVar[bool] = True

    def check(self, block, label):
        low, _ = _range(block)
        if low < 0:
            raise ValueError(
                f"{label}: smallest value {low:g}, but word counts are >= 0. Pass raw counts "
                "(CountVectorizer), or choose units='gaussian'."
            )
        first = _fractional(block)
        if first is not None:
            raise ValueError(
                f"{label}: {first:g} is not a whole number, but replicated softmax units take "
                "word counts. Pass raw counts (CountVectorizer), or choose units='gaussian'."
            )
        with np.errstate(over="ignore"):
            words = block.sum(axis=1, dtype=np.float64).max() if block.size else 0
        if words > MOST_WORDS:
            raise ValueError(
                f"{label}: a row has {words:g} words, but counts are exact up to {MOST_WORDS:,} "
                "words a row. Are these counts? Divide them, or choose units='gaussian'."
            )

    def mean(self, activation, bias, totals=None):
        return kernels.of(activation).softmax(activation, bias, totals)

    def draw(self, activation, bias, noise, totals=None):
        return kernels.of(activation).multinomial(activation, bias, totals, *_address(noise))

    def log_partition(self, eta, totals=None):
        return totals * _logsumexp(eta)

    def log_base(self, t):
        gammaln = special(namespace(t)).gammaln
        return gammaln(t.sum(axis=1) + 1) - gammaln(t + 1).sum(axis=1)

    def natural(self, mean):
        xp = namespace(mean)
        return xp.log(xp.maximum(mean, EDGE * mean.mean()))

    def states(self, size, total=None):
        words = itertools.combinations_with_replacement(range(size), int(total))
        return np.array([np.bincount(np.array(w, int), minlength=size) for w in words], float)

    def log_n_states(self, size, total=None):
        gammaln = special(np).gammaln
        return float(gammaln(size + total) - gammaln(total + 1) - gammaln(size))


UNITS = {
    kind.name: kind
    for kind in (Bernoulli, Binomial, Gaussian, Rectified, Categorical, ReplicatedSoftmax)
}


def as_units(spec):
    """Units from a name in :data:`UNITS` or from a ready :class:`Units` object."""
    if isinstance(spec, Units):
        return spec
    if isinstance(spec, str) and spec in UNITS:
        return UNITS[spec]()
    raise ValueError(
        f"units={spec!r}: choose 'auto', one of {sorted(UNITS)}, a Units object, or a dict of "
        "these by modality."
    )


def guess_units(block):
    """Units that suit the values of a modality, for ``units="auto"``.

    Parameters
    ----------
    block : ndarray or CSR array of shape (n_rows, n_columns)
        Present rows.

    Returns
    -------
    Units
        Bernoulli where all values lie in [0, 1]; categorical where moreover every row is one-hot;
        replicated softmax where the values look like word counts (whole numbers >= 0, in a sparse
        matrix, or most of them 0 and the others 4 or less on average); else Gaussian.
    """
    values = block.data if hasattr(block, "indptr") else block
    if values.size == 0 or (values.min() >= 0 and values.max() <= 1):
        binary = bool(((values == 0) | (values == 1)).all())
        one_hot = binary and block.shape[1] > 1 and bool((block.sum(axis=1) == 1).all())
        return Categorical() if one_hot else Bernoulli()
    if values.min() >= 0 and _fractional(values) is None:
        seen = values[values > 0]
        if values is not block or (2 * len(seen) < block.size and seen.mean() <= 4):
            return ReplicatedSoftmax()
    return Gaussian()


def _address(noise):
    return noise.rows, noise.key, noise.step, noise.stream


def _range(block):
    """Smallest and largest value; (0, 0) where there is none."""
    values = block.data if hasattr(block, "indptr") else block
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _spread(x, common):
    """Root mean squares of the columns; columns of zeros get that of the whole block."""
    xp = namespace(x)
    peak = xp.abs(x).max()
    squares = ((x / peak) ** 2).mean(axis=0)  # neither tiny nor huge values leave their range
    whole = xp.sqrt(squares.mean())
    if common:
        return xp.full_like(squares, whole) * peak
    return xp.where(squares > 1e-12 * whole**2, xp.sqrt(squares), whole) * peak


def _fractional(block):
    """The first value that is not a whole number, or None."""
    values = np.ravel(block.data if hasattr(block, "indptr") else block)
    bad = abs(values - np.rint(values)) > 1e-6 * np.maximum(1, abs(values))
    return values[np.argmax(bad)] if bad.any() else None


def _softplus(eta):
    """Sum over each row of log(1 + exp(eta)): the terms in the precision of eta, the sum wide."""
    return kernels.of(eta).softplus(eta, namespace(eta).zeros(eta.shape[1], eta.dtype))


def _logsumexp(eta):
    """Log of the sum over each row of exp(eta), in float64."""
    xp = namespace(eta)
    top = eta.max(axis=1, keepdims=True)
    return xp.log(xp.exp(eta - top).sum(axis=1, dtype=np.float64)) + top[:, 0]


def _hazard(eta):
    """phi(eta) / Phi(eta), the mean shift of a normal that is cut off below zero."""
    xp, sc = namespace(eta), special(namespace(eta))
    wide = eta.astype(np.float64)
    hazard = xp.exp(-0.5 * wide * wide - 0.5 * float(np.log(2 * np.pi)) - sc.log_ndtr(wide))
    return hazard.astype(eta.dtype)
