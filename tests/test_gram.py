"""Radial kernels of all widths in one pass: what scikit-learn says, and the twin's simulator."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import chi2_kernel, laplacian_kernel, manhattan_distances, rbf_kernel

from mmgraph.backend.kernels import gram

PEERS = {"rbf": rbf_kernel, "laplacian": laplacian_kernel, "chi2": chi2_kernel}


@pytest.mark.parametrize("name", PEERS)
def test_agrees_with_scikit_learn(name):
    rng = np.random.default_rng(0)
    A, B, gammas = rng.random((7, 5)), rng.random((4, 5)), [0.1, 1.0, 3.0]
    wanted = np.stack([PEERS[name](A, B, gamma=gamma) for gamma in gammas])
    np.testing.assert_allclose(gram.radial(name, A, B, gammas), wanted)
    weights = [0.5, 0.0, 2.0]
    total = gram.combined(name, A, B, gammas, weights)
    np.testing.assert_allclose(total, np.tensordot(weights, wanted, 1))
    np.testing.assert_allclose(np.exp(-3 * gram.distances(name, A, B)), wanted[2])


def test_distances():
    A = np.random.default_rng(0).normal(size=(6, 3))
    np.testing.assert_allclose(gram.distances("laplacian", A, A[:2]), manhattan_distances(A, A[:2]))


def test_what_does_not_fit_together():
    A = np.zeros((3, 2))
    for B in (np.zeros((3, 3)), np.zeros((3, 2), np.float32)):
        with pytest.raises(ValueError, match="one dtype"):
            gram.distances("rbf", A, B)
