"""Comparing the GPU kernels of recursions over frames with the CPU; for the simulator and a GPU."""

import numpy as np

from mmgraph.backend.kernels import markov, markov_cuda

SHAPES = [(1, (4, 1, 3)), (5, (3, 4))]


def problem(n_states, lengths, dtype, rng):
    """Sequences, of which one frame is all but impossible and one is impossible."""
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    log_likelihood = rng.normal(-3, 4, (offsets[-1], n_states)).astype(dtype)
    start = rng.dirichlet(np.ones(n_states)).astype(dtype)
    transition = rng.dirichlet(np.ones(n_states), n_states).astype(dtype)
    if n_states > 2:
        transition[:, 0] = 0  # a state that is never entered, and is all that can be seen
        transition /= transition.sum(axis=1, keepdims=True)
        log_likelihood[1, 0] += dtype(500)
        log_likelihood[2] = -np.inf
    return log_likelihood, offsets, start, np.ascontiguousarray(transition)


def recursions(twin, log_likelihood, offsets, start, transition, like):
    """All that both directions say."""
    scaled, filtered, posterior = (like.copy() for _ in range(3))
    log_scale = like[:, 0].astype(np.float64)
    twin.forward(log_likelihood, offsets, start, transition, scaled, filtered, log_scale)
    gains, last = scaled.copy(), start * 0 + 1
    backward = transition.T.copy()
    twin.backward(scaled, filtered, offsets, backward, last, posterior)
    return filtered, gains, log_scale, scaled, posterior, last


def check(to_device=np.asarray, to_numpy=np.asarray, shapes=SHAPES):
    """Raise unless the twins agree on sequences of the given numbers of states and lengths."""
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 2e-4), (np.float64, 1e-10)):
        for n_states, lengths in shapes:
            given = problem(n_states, lengths, dtype, rng)
            like = np.zeros_like(given[0])
            expected = recursions(markov, *given, like)
            found = recursions(markov_cuda, *map(to_device, given), to_device(like))
            for one, other in zip(found, expected, strict=True):
                one = to_numpy(one)
                assert one.dtype == other.dtype
                np.testing.assert_allclose(one, other, tolerance, tolerance)
