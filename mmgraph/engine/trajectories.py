r"""Trajectories that agree with what a state says of values and of their slopes.

A frame's features are linear in the values around it: :math:`f_t = \sum_j H_j c_{t+j}`, with j of
-1, 0 and 1. Where each state has a normal distribution of the features, a path of states makes the
trajectory c normal too, with a banded precision matrix (Tokuda et al. 2000):

.. math::

   P = \sum_t W_t^\top \Sigma_t^{-1} W_t, \qquad
   P \bar c = \sum_t W_t^\top \Sigma_t^{-1} \mu_t

References
----------
Tokuda, Yoshimura, Masuko, Kobayashi & Kitamura (2000). Speech parameter generation algorithms for
HMM-based speech synthesis. ICASSP, 1315-1318.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded, solve_banded

from ..backend.kernels.banded import inverse_diagonal

__all__ = ["WINDOWS", "Equations", "Experts", "Plan", "Trajectory", "experts", "log_density_of"]

# What a value, its slope and its curvature are of the values one frame before, at, and after.
WINDOWS = np.array([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.5], [1.0, -2.0, 1.0]])
LOG_2PI = float(np.log(2 * np.pi))


class Plan(NamedTuple):
    """How the features of frames follow from the values of several streams.

    Attributes
    ----------
    windows : ndarray of shape (3, n_features, n_columns)
        H: features as a linear function of the values before, at, and after. The first
        ``n_columns`` features are the values themselves.
    groups : ndarray of int, shape (n_features,)
        The columns of a stream are a group, its slopes are one, and its curvatures.
    owners : ndarray of int, shape (n_groups,)
        The stream of each group. The first ``n_streams`` groups are the streams.
    """

    windows: np.ndarray
    groups: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, z, present, streams, offsets, order):
        """The plan for some sequences.

        Parameters
        ----------
        z : ndarray of shape (n_frames, n_columns)
            Values, of about unit variance, to which slopes are brought too.
        present : ndarray of bool, shape (n_frames, n_streams)
        streams : ndarray of int, shape (n_columns,)
            The stream of each column.
        offsets : ndarray of int, shape (n_sequences + 1,)
            First frame of each sequence, and the number of frames.
        order : int
            0: values; 1: slopes too; 2: curvatures too.

        Returns
        -------
        Plan
            A stream that never shows three frames in a row has no slopes.
        """
        one, wide = np.eye(z.shape[1]), _wide(present, offsets)
        windows, groups = [WINDOWS[0][:, None, None] * one], [streams]
        owners = list(range(present.shape[1]))
        for window in WINDOWS[1 : order + 1]:
            slopes = _linear(window[:, None, None] * one, z)
            for stream in np.flatnonzero(wide.any(axis=0)):
                columns = np.flatnonzero(streams == stream)
                shown = slopes[np.ix_(wide[:, stream], columns)]
                size = np.sqrt(np.square(shown).mean(axis=0))
                size[size < 1e-12] = 1.0
                windows.append(window[:, None, None] * one[columns] / size[:, None])
                groups.append(np.full(len(columns), len(owners)))
                owners.append(stream)
        return cls(np.concatenate(windows, axis=1), np.concatenate(groups), np.array(owners))

    @property
    def n_columns(self):
        """Number of columns of all streams."""
        return self.windows.shape[2]

    def features(self, z, present, offsets):
        """Features of frames, and which groups are there.

        Parameters
        ----------
        z : ndarray of shape (n_frames, n_columns)
            What it holds where a stream is absent does not matter.
        present : ndarray of bool, shape (n_frames, n_streams)
        offsets : ndarray of int, shape (n_sequences + 1,)

        Returns
        -------
        values : ndarray of shape (n_frames, n_features)
        there : ndarray of bool, shape (n_frames, n_groups)
            A slope is there where the stream shows the frame and those on either side.
        """
        slopes = self.owners[present.shape[1] :]
        there = np.hstack([present, _wide(present, offsets)[:, slopes]])
        return _linear(self.windows, z), there


def _wide(present, offsets):
    """Whether a frame and its neighbours in the sequence are there."""
    wide = np.zeros_like(present)
    wide[1:-1] = present[:-2] & present[1:-1] & present[2:]
    wide[offsets[:-1]] = wide[offsets[1:] - 1] = False
    return wide


def _linear(windows, z):
    """A linear function of the values before, at, and after each row."""
    padded = np.pad(z, ((1, 1), (0, 0)))
    return sum(padded[i : i + len(z)] @ H.T for i, H in enumerate(windows))


class Experts(NamedTuple):
    """What each state says of the values in three frames: factors of a normal density.

    Attributes
    ----------
    precisions : ndarray of shape (n_states, 3 * n_columns, 3 * n_columns)
    pulls : ndarray of shape (n_states, 3 * n_columns)
        Precision times mean.
    """

    precisions: np.ndarray
    pulls: np.ndarray


def experts(means, covariances, windows):
    """What states with normal features say of the values.

    Parameters
    ----------
    means : ndarray of shape (n_states, n_features)
    covariances : ndarray of shape (n_states, n_features, n_features)
    windows : ndarray of shape (3, n_features, n_columns)
        H: features as a linear function of the values before, at, and after.

    Returns
    -------
    Experts
    """
    H = np.concatenate(windows, axis=1)
    weighted = np.linalg.solve(covariances, np.broadcast_to(H, (len(means), *H.shape)))
    precisions = H.T @ weighted
    return Experts(
        (precisions + np.swapaxes(precisions, 1, 2)) / 2, np.einsum("kfc,kf->kc", weighted, means)
    )


class Equations(NamedTuple):
    """The normal equations of a trajectory, of its values frame by frame.

    Attributes
    ----------
    band : ndarray of shape (n_diagonals, n_frames * n_columns)
        Precision matrix, its upper diagonals as SciPy has them: the main one last.
    pull : ndarray of shape (n_frames * n_columns,)
    """

    band: np.ndarray
    pull: np.ndarray

    @classmethod
    def of(cls, posterior, inner, ends):
        """The equations of a sequence.

        Parameters
        ----------
        posterior : ndarray of shape (n_frames, n_states)
            Probability of each state in each frame.
        inner : Experts
            For frames that have one on either side.
        ends : Experts
            For the first and the last frame: they may speak of their own frame only.

        Returns
        -------
        Equations
        """
        n_frames, n = len(posterior), inner.pulls.shape[1] // 3
        blocks, pull = np.zeros((3, n_frames, n, n)), np.zeros((n_frames, n))
        rows = np.arange(n_frames)
        parts = (rows[1:-1], inner, range(3)), (rows[[0, -1]][:n_frames], ends, (1,))
        for frames, own, reach in parts:
            precision = np.tensordot(posterior[frames], own.precisions, 1).reshape(-1, 3, n, 3, n)
            force = (posterior[frames] @ own.pulls).reshape(-1, 3, n)
            for i in reach:
                pull[frames + i - 1] += force[:, i]
                for j in (j for j in reach if j >= i):
                    blocks[j - i, frames + i - 1] += precision[:, i, :, j]
        band = np.zeros((3 * n, n_frames * n))
        for gap in range(3):
            for r in range(n):
                for c in range(r if gap == 0 else 0, n):
                    distance = gap * n + c - r
                    band[-1 - distance, gap * n + c :: n] = blocks[gap, : n_frames - gap, r, c]
        return cls(band, pull.ravel())

    def given(self, values, known):
        """The equations of what is left when some values are known.

        Parameters
        ----------
        values : ndarray of shape (n_frames, n_columns)
        known : ndarray of bool, shape (n_frames, n_columns)

        Returns
        -------
        Equations
            In which each known value is by itself, with precision 1.
        """
        known = known.ravel()
        fixed = np.where(known, values.ravel(), 0.0)
        band, pull = self.band.copy(), self.pull.copy()
        for distance in range(1, min(len(band), len(pull))):
            ahead = band[-1 - distance, distance:]
            pull[:-distance] -= ahead * fixed[distance:]
            pull[distance:] -= ahead * fixed[:-distance]
            ahead[known[distance:] | known[:-distance]] = 0
        band[-1, known] = 1
        pull[known] = fixed[known]
        return Equations(band, pull)

    def solve(self):
        """The distribution of the trajectory.

        Returns
        -------
        Trajectory
        """
        factor = cholesky_banded(self.band, lower=False, check_finite=False)
        mean = cho_solve_banded((factor, False), self.pull, check_finite=False)
        return Trajectory(mean, factor)


class Trajectory(NamedTuple):
    """A normal distribution of the values of a sequence, frame by frame.

    Attributes
    ----------
    mean : ndarray of shape (n,)
    factor : ndarray of shape (n_diagonals, n)
        U of the precision matrix U' U, by diagonal, the main one last.
    """

    mean: np.ndarray
    factor: np.ndarray

    def deviate(self, noise):
        """Deviations from the mean, of standard normal noise of shape (n,)."""
        return solve_banded((0, len(self.factor) - 1), self.factor, noise, check_finite=False)

    def whiten(self, deviations):
        """The way back: standard normal noise of deviations from the mean."""
        noise = self.factor[-1] * deviations
        for distance in range(1, min(len(self.factor), len(deviations))):
            noise[:-distance] += self.factor[-1 - distance, distance:] * deviations[distance:]
        return noise

    def log_density(self, deviations):
        """Log-density of each deviation from the mean, of shape (n,), given those after it."""
        return np.log(self.factor[-1]) - 0.5 * (self.whiten(deviations) ** 2 + LOG_2PI)

    def variances(self):
        """Variance of each value, of shape (n,)."""
        found = np.empty_like(self.mean)
        inverse_diagonal(np.ascontiguousarray(self.factor), found)
        return found


def log_density_of(equations, trajectory, values, asked, known, factors=1.0):
    """Log-density of values under a trajectory.

    Parameters
    ----------
    equations : Equations
        Given what is known.
    trajectory : Trajectory
        What they come to.
    values : ndarray of shape (n_frames, n_columns)
    asked, known : ndarray of bool, shape (n_frames, n_columns)
        The values in question, and those that are given; others are integrated out.
    factors : float or ndarray of shape (n_columns,)
        What deviations from the trajectory are multiplied with.

    Returns
    -------
    ndarray of shape (n_frames,)
        Of the values in question in each frame, given those after it.
    """
    deviations = ((values - trajectory.mean.reshape(values.shape)) / factors).ravel()
    fixed = asked | known
    blank = Equations(equations.band, np.zeros_like(deviations))
    rest = blank.given(deviations.reshape(values.shape), fixed).solve()
    deviations = np.where(asked.ravel(), deviations, rest.mean)
    whole = np.where(known.ravel(), 0.0, trajectory.log_density(deviations))
    left = np.where(fixed.ravel(), 0.0, rest.log_density(deviations - rest.mean))
    log_density = (whole - left).reshape(values.shape) - asked * np.log(factors)
    return log_density.sum(axis=1)
