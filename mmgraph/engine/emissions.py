"""What a state emits in one stream: one class a family.

All families meet the recursions through one matrix of features of the frames, computed once. It
starts with a column of ones, so the log-likelihoods of most families are one product, ``features @
weights``, and the statistics that they learn from are ``posterior.T @ features``, which add up over
frames. A frame in which the stream is absent has zeros for features, the one included: its
log-likelihood is 0 under every state and it counts for nothing, which marginalises the stream.

Parameters and statistics are in float64, on the CPU. Features and what is made of them may be on a
GPU. Real-valued streams are in the units of :class:`Scale`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln
from scipy.stats import poisson

from ..backend import kernels
from ..backend.arrays import beside, namespace, to_numpy

__all__ = [
    "COVARIANCES",
    "KINDS",
    "Bernoulli",
    "Categorical",
    "DenseGaussian",
    "Gaussian",
    "Mixture",
    "Poisson",
    "Prior",
    "Scale",
    "blank",
]

LOG_2PI = float(np.log(2 * np.pi))
PIECE = 1 << 16  # frames on a GPU whose products are added up in their own precision
FEW = 1e-8  # expected frames, below which a state learns nothing


class Prior(NamedTuple):
    """What the parameters are drawn to, as if more frames had been seen.

    Attributes
    ----------
    mean : float
        Pseudo-frames at the mean of the stream (the kappa of a normal-inverse-gamma or Wishart).
    covariance : float
        Pseudo-frames that count for the covariance (its degrees of freedom).
    scatter : float
        Sum of squares of these pseudo-frames in each column, in units of its variance.
    counts : float
        Pseudo-frames of each category, of each weight of a mixture, of 0 and of 1 (Dirichlet,
        beta), or at the mean rate (gamma).
    floor : float
        Least variance in any direction, in units of the variance of the columns.
    """

    mean: float = 0.0
    covariance: float = 0.0
    scatter: float = 0.0
    counts: float = 0.0
    floor: float = 1e-3


class Scale(NamedTuple):
    """Where a real-valued stream lies and how far it spreads: z = (x - shift) / scale.

    Attributes
    ----------
    shift, scale : ndarray of shape (n_columns,)
    """

    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, x):
        """Mean and standard deviation of rows; a column that does not vary has its magnitude."""
        size = np.maximum(x.max(axis=0), -x.min(axis=0)).astype(np.float64)
        size[size == 0] = 1.0
        y = x / size
        mean = y.mean(axis=0)
        y -= mean
        spread = np.sqrt(np.square(y, out=y).mean(axis=0))
        return cls(mean * size, np.where(spread > 1e-12, spread, 1.0) * size)

    def encode(self, x):
        """Rows in units of the standard deviation about the mean."""
        z = x - self.shift
        z /= self.scale
        return z

    def decode(self, z):
        """The way back."""
        return z * self.scale + self.shift

    @property
    def log_volume(self):
        """What a log-density of z exceeds that of x by."""
        return float(np.log(self.scale).sum())


class _Emission:
    """What families have in common. States number from 0 to ``n_states - 1``."""

    real = False  # whether the stream is to be scaled
    _by_state: tuple = ("probabilities",)  # arrays with a row a state

    def take(self, states):
        """The emission whose states are these ones of its own, in this order."""
        return replace(self, **{name: getattr(self, name)[states] for name in self._by_state})

    @staticmethod
    def check(x):
        """Raise unless rows that show the stream suit it."""

    @staticmethod
    def features(x, present):
        """Features of frames: ones, then the values; zeros where the stream is absent.

        Parameters
        ----------
        x : ndarray of shape (n_frames, n_columns)
            What it holds where the stream is absent does not matter.
        present : ndarray of bool, shape (n_frames,)

        Returns
        -------
        ndarray of shape (n_frames, n_features), in the dtype of x
        """
        f = np.zeros((len(x), 1 + x.shape[1]), x.dtype)
        f[present, 0] = 1
        f[present, 1:] = x[present]
        return f

    def log_likelihood(self, features):
        """Log-likelihood of each frame under each state.

        Parameters
        ----------
        features : ndarray of shape (n_frames, n_features)

        Returns
        -------
        ndarray of shape (n_frames, n_states)
        """
        return features @ _like(self.weights, features)

    def evaluate(self, features):
        """The log-likelihood, and what :meth:`statistics` can use of the work."""
        return self.log_likelihood(features), None

    def statistics(self, features, posterior, parts=None):
        """Statistics to learn from; those of several sets of frames add up.

        Parameters
        ----------
        features : ndarray of shape (n_frames, n_features)
        posterior : ndarray of shape (n_frames, n_states)
            Probability of each state in each frame.
        parts : ndarray, optional
            The second value of :meth:`evaluate`, which may be overwritten.

        Returns
        -------
        tuple of ndarray, float64
        """
        return (_product(posterior, features),)


@dataclass(frozen=True)
class Gaussian(_Emission):
    """Normal distributions with a variance a column, or one for all columns of a state.

    Parameters
    ----------
    means, variances : ndarray of shape (n_states, n_columns)
    spherical : bool
        Whether the columns of a state share one variance.
    """

    means: np.ndarray
    variances: np.ndarray
    spherical: bool = False
    real = True
    _by_state = ("means", "variances")

    @staticmethod
    def features(x, present):
        """Ones, the values and their squares."""
        n = x.shape[1]
        f = np.empty((len(x), 1 + 2 * n), x.dtype)
        f[:, 0] = 1
        f[:, 1 : 1 + n] = x
        np.multiply(x, x, out=f[:, 1 + n :])
        f[~present] = 0
        return f

    @property
    def weights(self):
        """Natural parameters, of shape (n_features, n_states)."""
        precision = 1 / self.variances
        constant = -0.5 * (LOG_2PI + np.log(self.variances) + precision * self.means**2).sum(axis=1)
        return np.vstack([constant, (precision * self.means).T, -0.5 * precision.T])

    def maximise(self, statistics, prior):
        """The most probable parameters given statistics."""
        n = self.means.shape[1]
        count, first, second = np.split(statistics[0], [1, 1 + n], axis=1)
        means = _divide(first, count + prior.mean, self.means)
        scatter = second - 2 * means * first + means**2 * (count + prior.mean) + prior.scatter
        total = count + prior.covariance
        if self.spherical:
            scatter = np.broadcast_to(scatter.mean(axis=1, keepdims=True), scatter.shape)
        variances = np.maximum(_divide(scatter, total, self.variances), prior.floor)
        return replace(self, means=means, variances=variances)

    def log_prior(self, prior):
        """Log-density of the parameters, up to a constant."""
        penalty = prior.covariance * np.log(self.variances)
        penalty += (prior.scatter + prior.mean * self.means**2) / self.variances
        return -0.5 * float(penalty.sum())

    @property
    def n_parameters(self):
        """Free parameters."""
        return self.means.size + (len(self.means) if self.spherical else self.variances.size)

    def mean(self):
        """Expected values in each state, of shape (n_states, n_columns)."""
        return self.means

    def draw(self, states, rows, key, step):
        """Values drawn in given states; random numbers are those of the named rows."""
        noise = _normal(rows, self.means.shape[1], key, step)
        return self.means[states] + np.sqrt(self.variances[states]) * noise


@dataclass(frozen=True)
class DenseGaussian(_Emission):
    """Normal distributions with a covariance matrix a state, or one that all states share.

    Parameters
    ----------
    means : ndarray of shape (n_states, n_columns)
    covariances : ndarray of shape (n_states, n_columns, n_columns) or (n_columns, n_columns)
    """

    means: np.ndarray
    covariances: np.ndarray
    real = True

    @property
    def tied(self):
        """Whether all states share one covariance."""
        return self.covariances.ndim == 2

    @property
    def _by_state(self):
        return ("means",) if self.tied else ("means", "covariances")

    def _whitening(self):
        """Inverse Cholesky factors, transposed, and half the log-determinants."""
        factors = np.linalg.cholesky(self.covariances)
        half_log_det = np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
        return np.swapaxes(np.linalg.inv(factors), -1, -2), half_log_det

    def log_likelihood(self, features):
        """Log-likelihood of each frame under each state."""
        xp, (whiten, half_log_det) = namespace(features), self._whitening()
        n_states, n = self.means.shape
        constant = -(half_log_det + 0.5 * n * LOG_2PI)
        if self.tied:
            z = self.means @ whiten
            y = features[:, 1:] @ _like(whiten, features)
            inner = np.vstack([constant - 0.5 * np.square(z).sum(axis=1), whiten @ z.T])
            found = features @ _like(inner, features)
            found -= 0.5 * xp.square(y).sum(axis=1)[:, None]
            return found
        found = xp.empty((len(features), n_states), features.dtype)
        for k in range(n_states):
            y = features @ _like(np.vstack([-self.means[k] @ whiten[k], whiten[k]]), features)
            found[:, k] = float(constant[k]) * features[:, 0] - 0.5 * xp.einsum("ij,ij->i", y, y)
        return found

    def statistics(self, features, posterior, parts=None):
        """Counts, sums and products of the columns."""
        if self.tied:
            weighted = features * posterior.sum(axis=1)[:, None]
            return _product(posterior, features), _product(features, weighted)
        products = [_product(features * g[:, None], features) for g in posterior.T]
        return (np.array(products),)

    def _shared(self, means, statistics, prior):
        """The most probable covariance that all states share, about given means."""
        count, first = statistics[0][:, :1], statistics[0][:, 1:]
        scatter = statistics[1][1:, 1:] - first.T @ means - means.T @ first
        scatter += means.T @ ((count + prior.mean) * means)
        scatter += prior.scatter * np.eye(len(scatter))
        total = count.sum() + prior.covariance
        return _floored(scatter / total if total > FEW else self.covariances, prior)

    def maximise(self, statistics, prior):
        """The most probable parameters given statistics."""
        n = self.means.shape[1]
        if self.tied:
            count, first = statistics[0][:, :1], statistics[0][:, 1:]
            means = _divide(first, count + prior.mean, self.means)
            return replace(self, means=means, covariances=self._shared(means, statistics, prior))
        moments = statistics[0]
        count, first = moments[:, :1, 0], moments[:, 0, 1:]
        means = _divide(first, count + prior.mean, self.means)
        cross = first[:, :, None] * means[:, None]
        scatter = moments[:, 1:, 1:] - cross - np.swapaxes(cross, 1, 2)
        scatter += (count + prior.mean)[:, :, None] * means[:, :, None] * means[:, None]
        scatter += prior.scatter * np.eye(n)
        total = (count + prior.covariance)[:, :, None]
        covariances = _floored(_divide(scatter, total, self.covariances), prior)
        return replace(self, means=means, covariances=covariances)

    def log_prior(self, prior):
        """Log-density of the parameters, up to a constant."""
        whiten, half_log_det = self._whitening()
        z = (self.means[:, None] @ whiten)[:, 0]
        penalty = (
            2 * prior.covariance * half_log_det.sum() + prior.scatter * np.square(whiten).sum()
        )
        return -0.5 * float(penalty + prior.mean * np.square(z).sum())

    @property
    def n_parameters(self):
        """Free parameters."""
        n = self.means.shape[1]
        matrices = 1 if self.tied else len(self.means)
        return self.means.size + matrices * n * (n + 1) // 2

    def mean(self):
        """Expected values in each state, of shape (n_states, n_columns)."""
        return self.means

    def draw(self, states, rows, key, step):
        """Values drawn in given states; random numbers are those of the named rows."""
        noise = _normal(rows, self.means.shape[1], key, step)
        factors = np.linalg.cholesky(self.covariances)
        if self.tied:
            return self.means[states] + noise @ factors.T
        return self.means[states] + np.einsum("nij,nj->ni", factors[states], noise)


@dataclass(frozen=True)
class Mixture(_Emission):
    """A mixture of normal distributions in each state.

    Parameters
    ----------
    shares : ndarray of shape (n_states, n_mix)
        Weights of the components of each state.
    components : Gaussian or DenseGaussian
        Of n_states * n_mix "states", those of one state next to each other.
    """

    shares: np.ndarray
    components: Gaussian | DenseGaussian
    real = True

    def take(self, states):
        """The emission whose states are these ones of its own, in this order."""
        n_mix = self.shares.shape[1]
        parts = (np.asarray(states)[:, None] * n_mix + np.arange(n_mix)).ravel()
        return Mixture(self.shares[states], self.components.take(parts))

    def features(self, x, present):
        """Those of the components."""
        return self.components.features(x, present)

    def evaluate(self, features):
        """The log-likelihood, and the share of each component in that of its state."""
        n_states, n_mix = self.shares.shape
        parts = self.components.log_likelihood(features)
        with np.errstate(divide="ignore"):
            parts += _like(np.log(self.shares).ravel(), parts)
        found = namespace(parts).empty((len(features), n_states), parts.dtype)
        kernels.of(found, "markov").mix(parts, found, n_mix)
        found *= features[:, :1]
        return found, parts

    def log_likelihood(self, features):
        """Log-likelihood of each frame under each state."""
        return self.evaluate(features)[0]

    def statistics(self, features, posterior, parts=None):
        """Those of the components."""
        parts = self.evaluate(features)[1] if parts is None else parts
        n_states, n_mix = self.shares.shape
        by_state = parts.reshape(-1, n_states, n_mix)
        by_state *= posterior[:, :, None]
        own = self.components.statistics(features, parts)
        return (_product(parts, features[:, :1]).reshape(n_states, n_mix), *own)

    def maximise(self, statistics, prior):
        """The parameters of greater probability given statistics (one step of EM)."""
        shares = _distribution(statistics[0], prior.counts, self.shares)
        return Mixture(shares, self.components.maximise(statistics[1:], prior))

    def log_prior(self, prior):
        """Log-density of the parameters, up to a constant."""
        own = prior.counts * np.log(self.shares).sum() if prior.counts else 0.0
        return float(own) + self.components.log_prior(prior)

    @property
    def n_parameters(self):
        """Free parameters."""
        return self.shares.size - len(self.shares) + self.components.n_parameters

    def mean(self):
        """Expected values in each state, of shape (n_states, n_columns)."""
        n_states, n_mix = self.shares.shape
        means = self.components.mean().reshape(n_states, n_mix, -1)
        return np.einsum("km,kmd->kd", self.shares, means)

    def draw(self, states, rows, key, step):
        """Values drawn in given states; random numbers are those of the named rows."""
        u = _uniform(rows, 1, key, step)
        above = u > np.cumsum(self.shares, axis=1)[states, :-1]
        chosen = states * self.shares.shape[1] + above.sum(axis=1)
        return self.components.draw(chosen, rows, key, step)


@dataclass(frozen=True)
class Categorical(_Emission):
    """One of several categories, as one-hot columns.

    Parameters
    ----------
    probabilities : ndarray of shape (n_states, n_columns)
    """

    probabilities: np.ndarray

    @staticmethod
    def check(x):
        """Raise unless rows are one-hot."""
        good = ((x == 0) | (x == 1)).all(axis=1) & (x.sum(axis=1) == 1)
        if not good.all():
            raise ValueError(
                f"categorical emissions need one-hot columns, but {int((~good).sum())} row(s) are "
                f"not, such as {x[np.argmin(good)]}. Encode the categories with OneHotEncoder."
            )

    def log_likelihood(self, features):
        """Log-likelihood of each frame under each state; -inf where it is impossible."""
        table = _like(self.probabilities.T, features)
        found = features[:, 1:] @ table  # the probability of the one category
        found[features[:, 0] == 0] = 1
        with np.errstate(divide="ignore"):
            return namespace(found).log(found, out=found)

    def maximise(self, statistics, prior):
        """The most probable parameters given statistics."""
        counts = statistics[0][:, 1:]
        return Categorical(_distribution(counts, prior.counts, self.probabilities))

    def log_prior(self, prior):
        """Log-density of the parameters, up to a constant."""
        return prior.counts * float(np.log(self.probabilities).sum()) if prior.counts else 0.0

    @property
    def n_parameters(self):
        """Free parameters."""
        return self.probabilities.size - len(self.probabilities)

    def mean(self):
        """Probabilities in each state, of shape (n_states, n_columns)."""
        return self.probabilities

    def draw(self, states, rows, key, step):
        """Values drawn in given states; random numbers are those of the named rows."""
        u = _uniform(rows, 1, key, step)
        above = u > np.cumsum(self.probabilities, axis=1)[states, :-1]
        return np.eye(self.probabilities.shape[1])[above.sum(axis=1)]


@dataclass(frozen=True)
class Poisson(_Emission):
    """Counts.

    Parameters
    ----------
    rates : ndarray of shape (n_states, n_columns)
    overall : ndarray of shape (n_columns,)
        Mean of the stream, which a prior draws to.
    """

    rates: np.ndarray
    overall: np.ndarray
    _by_state = ("rates",)

    @staticmethod
    def check(x):
        """Raise unless values are counts."""
        bad = (x < 0) | (x != np.floor(x))
        if bad.any():
            raise ValueError(
                f"Poisson emissions need whole numbers >= 0, but {x[bad][0]:g} is none. Pass the "
                "raw counts, or choose emissions='gaussian'."
            )

    @staticmethod
    def features(x, present):
        """Ones, the values and the logarithm of what all states divide by."""
        f = np.zeros((len(x), 2 + x.shape[1]), x.dtype)
        f[present, 0] = 1
        f[present, 1:-1] = x[present]
        f[present, -1] = -gammaln(x[present] + 1.0).sum(axis=1)
        return f

    @property
    def weights(self):
        """Natural parameters, of shape (n_features, n_states)."""
        rates = np.maximum(self.rates, 1e-30)  # so that no product is 0 times -inf
        ones = np.ones(len(rates))
        return np.vstack([-rates.sum(axis=1), np.log(rates).T, ones])

    def maximise(self, statistics, prior):
        """The most probable parameters given statistics."""
        count, first = statistics[0][:, :1], statistics[0][:, 1:-1]
        first = first + prior.counts * self.overall
        return replace(self, rates=_divide(first, count + prior.counts, self.rates))

    def log_prior(self, prior):
        """Log-density of the parameters, up to a constant."""
        rates = np.maximum(self.rates, 1e-30)
        return prior.counts * float((self.overall * np.log(rates) - rates).sum())

    @property
    def n_parameters(self):
        """Free parameters."""
        return self.rates.size

    def mean(self):
        """Rates of each state, of shape (n_states, n_columns)."""
        return self.rates

    def draw(self, states, rows, key, step):
        """Values drawn in given states; random numbers are those of the named rows."""
        return poisson.ppf(_uniform(rows, self.rates.shape[1], key, step), self.rates[states])


@dataclass(frozen=True)
class Bernoulli(_Emission):
    """Columns of 0 and 1, each for itself.

    Parameters
    ----------
    probabilities : ndarray of shape (n_states, n_columns)
        Of a 1.
    """

    probabilities: np.ndarray

    @staticmethod
    def check(x):
        """Raise unless values are 0 or 1."""
        bad = (x != 0) & (x != 1)
        if bad.any():
            raise ValueError(
                f"Bernoulli emissions need values of 0 and 1, but got {x[bad][0]:g}. Binarise the "
                "columns, or choose emissions='gaussian'."
            )

    @property
    def weights(self):
        """Natural parameters, of shape (n_features, n_states)."""
        p = np.clip(self.probabilities, 1e-30, 1 - 1e-15)  # so that no product is 0 times -inf
        return np.vstack([np.log1p(-p).sum(axis=1), (np.log(p) - np.log1p(-p)).T])

    def maximise(self, statistics, prior):
        """The most probable parameters given statistics."""
        count, first = statistics[0][:, :1], statistics[0][:, 1:]
        total = count + 2 * prior.counts
        return Bernoulli(_divide(first + prior.counts, total, self.probabilities))

    def log_prior(self, prior):
        """Log-density of the parameters, up to a constant."""
        p = np.clip(self.probabilities, 1e-30, 1 - 1e-15)
        return prior.counts * float((np.log(p) + np.log1p(-p)).sum())

    @property
    def n_parameters(self):
        """Free parameters."""
        return self.probabilities.size

    def mean(self):
        """Probabilities in each state, of shape (n_states, n_columns)."""
        return self.probabilities

    def draw(self, states, rows, key, step):
        """Values drawn in given states; random numbers are those of the named rows."""
        u = _uniform(rows, self.probabilities.shape[1], key, step)
        return (u < self.probabilities[states]).astype(float)


KINDS = ("gaussian", "gmm", "categorical", "poisson", "bernoulli")
COVARIANCES = ("diag", "full", "spherical", "tied")


def blank(kind, n_states, x, *, covariance_type="diag", n_mix=1):
    """An emission that knows nothing yet.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    n_states : int
    x : ndarray of shape (n_frames, n_columns)
        Values of the stream, scaled if it is real-valued.
    covariance_type : str
        One of :data:`COVARIANCES`, for the real-valued kinds.
    n_mix : int
        Components of each state, for mixtures.

    Returns
    -------
    Gaussian, DenseGaussian, Mixture, Categorical, Poisson or Bernoulli
    """
    shape = n_states, x.shape[1]
    if kind == "gmm":
        shares = np.full((n_states, n_mix), 1 / n_mix)
        parts = blank("gaussian", n_states * n_mix, x, covariance_type=covariance_type)
        return Mixture(shares, parts)
    if kind == "gaussian":
        if covariance_type in ("diag", "spherical"):
            return Gaussian(np.zeros(shape), np.ones(shape), covariance_type == "spherical")
        one = np.eye(shape[1])
        many = one if covariance_type == "tied" else np.tile(one, (n_states, 1, 1))
        return DenseGaussian(np.zeros(shape), many)
    if kind == "categorical":
        return Categorical(np.full(shape, 1 / shape[1]))
    overall = x.mean(axis=0, dtype=np.float64)
    if kind == "poisson":
        return Poisson(np.tile(overall, (n_states, 1)), overall)
    return Bernoulli(np.tile(overall, (n_states, 1)))


def _like(values, features):
    """Parameters where the features are, and in their precision."""
    return beside(values.astype(features.dtype), features)


def _product(one, other):
    """Sum over frames of the products of two columns each, in float64, on the CPU."""
    if namespace(one) is np:
        return (one.T @ other).astype(np.float64)
    pieces = (slice(a, a + PIECE) for a in range(0, len(one), PIECE))
    return to_numpy(sum((one[own].T @ other[own]).astype(np.float64) for own in pieces))


def _divide(total, count, before):
    """Means; what was before where nothing was counted."""
    seen = count > FEW
    return np.where(seen, total / np.where(seen, count, 1.0), before)


def _distribution(counts, pseudo, before):
    """Rows of counts as distributions; what was before where nothing was counted."""
    counts = counts + pseudo
    return _divide(counts, counts.sum(axis=1, keepdims=True), before)


def _floored(covariances, prior):
    """Covariances with no eigenvalue below the floor."""
    values, vectors = np.linalg.eigh(covariances)
    if values.min() >= prior.floor:
        return covariances
    values = np.maximum(values, prior.floor)
    return (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _uniform(rows, n_columns, key, step):
    return kernels.of(rows).uniform(rows, n_columns, key, step, 0, np.float64)


def _normal(rows, n_columns, key, step):
    return kernels.of(rows).normal(rows, n_columns, key, step, 1, np.float64)
