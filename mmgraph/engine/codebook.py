"""A codebook: frames as one of a few codes."""

from typing import NamedTuple

import numpy as np

from .emissions import Scale
from .segmentation import cluster
from .warping import costs_between

__all__ = ["Codebook"]


class Codebook(NamedTuple):
    """Codes, each with a centre; a frame has the code of the nearest one.

    Attributes
    ----------
    scale : Scale
        Units of the frames.
    centres : ndarray of shape (n_codes, n_columns)
        In these units.
    """

    scale: Scale
    centres: np.ndarray

    @classmethod
    def of(cls, x, n_codes, rng):
        """The categories of one-hot frames, else clusters of them by k-means."""
        if (np.isin(x, (0, 1)).all(axis=1) & (x.sum(axis=1) == 1)).all():
            width = x.shape[1]
            return cls(Scale(np.zeros(width), np.ones(width)), np.eye(width))
        scale = Scale.of(x)
        z = scale.encode(x)
        labels = np.unique(cluster(z, min(n_codes, len(z)), rng), return_inverse=True)[1]
        members = np.eye(labels.max() + 1)[labels]
        return cls(scale, members.T @ z / members.sum(axis=0)[:, None])

    def encode(self, x):
        """Codes of frames, one-hot: (n_frames, n_codes)."""
        nearest = costs_between(self.scale.encode(x), self.centres).argmin(axis=1)
        return np.eye(len(self.centres))[nearest]

    def decode(self, shares):
        """Expected frames, given probabilities of the codes."""
        return self.scale.decode(shares @ self.centres)

    @property
    def log_volume(self):
        """Codes have no density: zero."""
        return 0.0
