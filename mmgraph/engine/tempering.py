"""Parallel tempering: chains at several temperatures that exchange their states.

Chains of a machine that has learnt its data well stay in one of its modes. At inverse temperature
beta the natural parameter of a layer is that of the machine times beta, plus that of independent
layers with the data's means times 1 - beta: at beta = 0 nothing is coupled and a chain forgets
where it was in one sweep. Neighbouring temperatures swap states in a way that leaves all
distributions as they are, so what was forgotten at the hot end arrives as a fresh state at
beta = 1.
"""

import numpy as np

from ..backend import kernels
from ..backend.arrays import namespace
from .boltzmann import State

__all__ = ["tempered_gibbs"]

SWAPS = 1 << 12  # stream of the numbers that decide swaps


def tempered_gibbs(model, state, n_sweeps, noise, *, betas, visit=None):
    """Block Gibbs sampling at several temperatures, with swaps of neighbours before each sweep.

    Swaps compare the layers of the second colour with those of the first summed out, which accepts
    more than the joint state would, and needs no product that the sweep does not need anyway.

    Parameters
    ----------
    model : Boltzmann
    state : State
        All layers free; the chains of the first inverse temperature come first, then those of the
        second, and so on.
    n_sweeps : int
    noise : Noise
        The first step's numbers; its stream is ignored.
    betas : sequence of float
        Inverse temperatures, from 1 down.
    visit : callable (values), optional
        Called after each sweep with the layers of all chains.

    Returns
    -------
    state : State
        Where the chains are now.
    means : list of ndarray
        The conditional means of the last sweep.
    swaps : ndarray of shape (n_temperatures - 1,)
        Share of the swaps of each pair of neighbours that were accepted; NaN where none was tried.

    References
    ----------
    Swendsen & Wang (1986), Replica Monte Carlo simulation of spin glasses. Desjardins, Courville,
    Bengio, Vincent & Delalleau (2010), Tempered Markov chain Monte Carlo for training of restricted
    Boltzmann machines, AISTATS.
    """
    xp = namespace(model.biases[0])
    first, second = model.colours
    n_rungs = len(betas)
    n = len(state.values[0]) // n_rungs
    base = model.base()
    shifts = [bias - start for bias, start in zip(model.biases, base, strict=True)]
    rung = xp.repeat(xp.arange(n_rungs), n)
    betas = xp.asarray(betas, model.dtype)
    beta = betas[rung]
    values, totals = list(state.values), list(state.totals)
    means = [None] * model.n_layers
    tried, done = np.zeros(n_rungs - 1), np.zeros(n_rungs - 1)

    def slope(k):
        return model.activation(values, k) + shifts[k] if model.neighbours[k] else shifts[k]

    def draw(k, slope, at):
        eta = beta[:, None] * slope
        means[k], values[k] = model.units[k].draw(eta, base[k], at._replace(stream=k), totals[k])

    for sweep in range(n_sweeps):
        at = noise._replace(step=noise.step + sweep)
        slopes = {k: slope(k) for k in first}
        lower = int(at.step) % 2  # which pairs: (0, 1), (2, 3), ... or (1, 2), (3, 4), ...
        partner = rung + xp.where(rung % 2 == lower, 1, -1)
        alone = (partner < 0) | (partner >= n_rungs)
        other = betas[xp.where(alone, rung, partner)]
        # log p at the partner's temperature less log p at its own, as far as the state matters.
        gain = xp.zeros(len(rung))
        for k in second:
            gain += (other - beta) * (values[k] @ shifts[k])
        for k in first:
            log_partition = model.units[k].log_partition
            gain += log_partition(base[k] + other[:, None] * slopes[k], totals[k])
            gain -= log_partition(base[k] + beta[:, None] * slopes[k], totals[k])
        rows = xp.arange(len(rung))
        mate = xp.where(alone, rows, rows + (partner - rung) * n)
        lots = kernels.of(noise.rows).uniform(noise.rows, 1, noise.key, at.step, SWAPS, np.float64)[
            :, 0
        ]
        swap = ~alone & (xp.log(lots[xp.minimum(rows, mate)]) < gain + gain[mate])
        taken = xp.where(swap, mate, rows)
        for k in second:
            values[k] = values[k][taken]
        for k in first:
            draw(k, slopes[k][taken], at)
        for k in second:
            draw(k, slope(k), at)
        for pair in range(lower, n_rungs - 1, 2):
            tried[pair] += n
            done[pair] += float(swap[pair * n : (pair + 1) * n].sum())
        if visit is not None:
            visit(values)
    with np.errstate(invalid="ignore"):
        return State(values, list(state.free), totals), means, done / tried
