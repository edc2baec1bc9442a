"""Normal distributions over groups of columns, any of which a frame may lack."""

from dataclasses import dataclass

import numpy as np

from .emissions import DenseGaussian

__all__ = ["JointGaussian"]

MOST = 1 << 12  # frames at a time


@dataclass(frozen=True)
class JointGaussian(DenseGaussian):
    """Normal distributions with one covariance over several groups of columns.

    It meets the recursions like any emission (:mod:`mmgraph.engine.emissions`), but its features
    say of every group whether it is there. Groups that are absent are integrated out, and counted
    with their expected values when it learns [1]_.

    Parameters
    ----------
    means : ndarray of shape (n_states, n_columns)
    covariances : ndarray of shape (n_states, n_columns, n_columns)
    groups : ndarray of int, shape (n_columns,)
        The group of each column.

    References
    ----------
    .. [1] Ghahramani & Jordan (1994), Supervised learning from incomplete data via an EM approach.
       NIPS 6, 120-127.
    """

    groups: np.ndarray

    @classmethod
    def blank(cls, n_states, groups):
        """One that knows nothing yet: standard normal in every state."""
        n = len(groups)
        return cls(np.zeros((n_states, n)), np.tile(np.eye(n), (n_states, 1, 1)), groups)

    def features(self, x, present):
        """Whether anything is there, the values, and which groups are there.

        Parameters
        ----------
        x : ndarray of shape (n_frames, n_columns)
            What it holds where a group is absent does not matter.
        present : ndarray of bool, shape (n_frames, n_groups)

        Returns
        -------
        ndarray of shape (n_frames, 1 + n_columns + n_groups), in the dtype of x
        """
        there = present.any(axis=1, keepdims=True)
        return np.hstack([there, np.where(present[:, self.groups], x, 0), present], dtype=x.dtype)

    def _patterns(self, features):
        """Some frames that show the same groups, and the columns of these."""
        present = features[:, 1 + len(self.groups) :] > 0
        patterns, inverse = np.unique(present, axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            rows, shown = np.flatnonzero(inverse.ravel() == i), np.flatnonzero(pattern[self.groups])
            for first in range(0, len(rows), MOST):
                yield rows[first : first + MOST], shown

    def log_likelihood(self, features):
        """Log-likelihood of each frame under each state; 0 where nothing is there."""
        found = np.zeros((len(features), len(self.means)), features.dtype)
        for rows, shown in self._patterns(features):
            if len(shown):
                marginal = DenseGaussian(
                    self.means[:, shown], self.covariances[:, shown[:, None], shown]
                )
                found[rows] = marginal.log_likelihood(features[np.ix_(rows, [0, *(1 + shown)])])
        return found

    def conditionals(self, features):
        """What each state expects of all columns, given those that are there.

        Parameters
        ----------
        features : ndarray of shape (n_frames, 1 + n_columns + n_groups)

        Yields
        ------
        rows : ndarray of int
            Some frames that show the same groups.
        means : ndarray of shape (n_states, len(rows), n_columns)
            The values where they are there.
        covariances : ndarray of shape (n_states, n_columns, n_columns)
            Zeros where they are there.
        """
        n_states, n = self.means.shape
        for rows, shown in self._patterns(features):
            x = features[np.ix_(rows, 1 + np.arange(n))]
            means = np.tile(x, (n_states, 1, 1)).astype(np.float64)
            covariances = np.zeros((n_states, n, n))
            hidden = np.setdiff1d(np.arange(n), shown)
            for mean, S, found, left in zip(
                self.means, self.covariances, means, covariances, strict=True
            ):
                across = S[np.ix_(shown, hidden)]
                slope = np.linalg.solve(S[np.ix_(shown, shown)], across)
                found[:, hidden] = mean[hidden] + (x[:, shown] - mean[shown]) @ slope
                left[np.ix_(hidden, hidden)] = S[np.ix_(hidden, hidden)] - across.T @ slope
            yield rows, means, covariances

    def statistics(self, features, posterior, parts=None):
        """Expected counts, sums and products of the columns."""
        n = self.means.shape[1]
        total = np.zeros((len(self.means), 1 + n, 1 + n))
        for rows, means, covariances in self.conditionals(features):
            weights = (posterior[rows] * features[rows, :1]).T.astype(np.float64)
            for moments, w, x, left in zip(total, weights, means, covariances, strict=True):
                rows_of_ones = np.hstack([np.ones((len(x), 1)), x])
                moments += (rows_of_ones * w[:, None]).T @ rows_of_ones
                moments[1:, 1:] += w.sum() * left
        return (total,)

    def moments(self, features, posterior):
        """Mean and variance of all columns, given what is there and the states' probabilities.

        Parameters
        ----------
        features : ndarray of shape (n_frames, 1 + n_columns + n_groups)
        posterior : ndarray of shape (n_frames, n_states)

        Returns
        -------
        mean, variance : ndarray of shape (n_frames, n_columns)
            The values and 0 where they are there.
        """
        mean, variance = np.zeros((2, len(features), self.means.shape[1]))
        for rows, means, covariances in self.conditionals(features):
            share = posterior[rows]
            mean[rows] = np.einsum("tk,ktd->td", share, means)
            spread = np.square(means - mean[rows])
            own = np.diagonal(covariances, axis1=1, axis2=2)
            variance[rows] = np.einsum("tk,ktd->td", share, spread) + share @ own
        return mean, variance

    def complete(self, features, path, noise):
        """Draw what is not there, given what is and the state of each frame.

        Parameters
        ----------
        features : ndarray of shape (n_frames, 1 + n_columns + n_groups)
        path : ndarray of int, shape (n_frames,)
        noise : ndarray of shape (n_frames, n_columns)
            Standard normal.

        Returns
        -------
        ndarray of shape (n_frames, n_columns)
        """
        found = np.empty((len(features), self.means.shape[1]))
        for rows, means, covariances in self.conditionals(features):
            hidden = np.flatnonzero(np.diagonal(covariances, axis1=1, axis2=2).any(axis=0))
            factors = np.linalg.cholesky(covariances[:, hidden[:, None], hidden])
            states = path[rows]
            found[rows] = means[states, np.arange(len(rows))]
            own = noise[np.ix_(rows, hidden)]
            found[np.ix_(rows, hidden)] += np.einsum("tij,tj->ti", factors[states], own)
        return found
