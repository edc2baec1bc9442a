"""Normal distributions whose mean is a sum, with one part for the state of each chain."""

from dataclasses import dataclass, replace

import numpy as np

from .emissions import FEW, DenseGaussian

__all__ = ["AdditiveGaussian"]


@dataclass(frozen=True)
class AdditiveGaussian(DenseGaussian):
    r"""Normal distributions of tuples of states: means that are sums, and one covariance.

    .. math:: \mu_z = \sum_m w_m(z_m)

    The best contributions w given probabilities of the tuples are a weighted least-squares
    solution, the one of least norm, for a constant may move from one chain to another.

    Parameters
    ----------
    means : ndarray of shape (n_states, n_columns)
        Of each tuple.
    covariances : ndarray of shape (n_columns, n_columns)
    parts : ndarray of int, shape (n_states, n_chains)
        State of each chain in each tuple.
    diagonal : bool
        Whether the columns are independent given the tuple.

    References
    ----------
    Ghahramani & Jordan (1997). Factorial hidden Markov models. Machine Learning 29, 245-273;
    appendix A.
    """

    parts: np.ndarray | None = None
    diagonal: bool = False

    @property
    def design(self):
        """Which contributions each tuple adds up, of shape (n_states, n_contributions)."""
        return np.hstack([np.eye(part.max() + 1)[part] for part in self.parts.T])

    def contributions(self):
        """What each state of each chain adds to the mean: a list with an array a chain."""
        found = np.linalg.lstsq(self.design, self.means, rcond=None)[0]
        return np.split(found, self._cuts())

    def maximise(self, statistics, prior):
        """The most probable parameters given statistics."""
        count, first = statistics[0][:, :1], statistics[0][:, 1:]
        weight, design = count + prior.mean, self.design
        if weight.sum() <= FEW:
            return self
        inner = design.T @ (weight * design)
        found = np.linalg.pinv(inner, rcond=1e-12, hermitian=True) @ (design.T @ first)
        found = self._with_unseen(np.split(found, self._cuts()), np.diag(inner) > FEW)
        means = design @ found
        return replace(self, means=means, covariances=self._shared(means, statistics, prior))

    def _with_unseen(self, found, seen):
        """Contributions that nothing was learnt of lie as before, beside those of their chain."""
        seen, kept = np.split(seen, self._cuts()), []
        if all(own.all() for own in seen):
            return np.vstack(found)
        for new, old, own in zip(found, self.contributions(), seen, strict=True):
            shift = (new - old)[own].mean(axis=0) if own.any() else 0.0
            kept.append(np.where(own[:, None], new, old + shift))
        return np.vstack(kept)

    def _cuts(self):
        return np.cumsum(self.parts.max(axis=0) + 1)[:-1]

    def _shared(self, means, statistics, prior):
        covariance = super()._shared(means, statistics, prior)
        return np.diag(np.diag(covariance)) if self.diagonal else covariance

    @property
    def n_parameters(self):
        """Free parameters."""
        n = self.means.shape[1]
        n_means = int((self.parts.max(axis=0) + 1).sum()) - self.parts.shape[1] + 1
        return n_means * n + (n if self.diagonal else n * (n + 1) // 2)
