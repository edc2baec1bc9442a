"""
Chains that do not mix, and tempering
=====================================

A Boltzmann machine learns from the difference between the data and chains of its own. Where the
data has modes far apart, the chains stay each in its own, the machine cannot see how likely it
makes each mode, and the likelihood gets worse while everything looks fine. Parallel tempering cures
it.
"""

# %%
# Bars and stripes: every pattern of whole rows, or of whole columns, on a square of four by four
# pixels. To come from one of the 30 patterns to another, four pixels have to change at once.

import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

import mmgraph as mg

lines = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
bars = np.repeat(lines[:, None], 4, axis=1)
patterns = np.unique(np.concatenate([bars, bars.transpose(0, 2, 1)]).reshape(-1, 16), axis=0)
X = np.repeat(patterns, 20, axis=0)

# %%
# Two machines, which differ in their negative phase only. The first one warns that its chains do
# not mix.

settings = {"n_components": 16, "learning_rate": 0.2, "max_iter": 200, "random_state": 0}
with warnings.catch_warnings(record=True) as notes:
    warnings.simplefilter("always", ConvergenceWarning)
    plain = mg.RBM(**settings).fit(X)
print(notes[0].message)
tempered = mg.RBM(negative_phase="tempering", **settings).fit(X)

# %%
# With 16 hidden units the likelihood is exact: all their states are counted. A machine that gave
# every pattern the same probability, and nothing to any other picture, would reach the best
# possible mean, -log 30.

models = {"persistent chains": plain, "parallel tempering": tempered}
print(f"best possible       {-np.log(30):6.2f} nats a pattern")
for name, model in models.items():
    print(f"{name:<19} {model.score_samples(patterns).mean():6.2f}")

# %%
# How likely each machine makes each pattern
# ------------------------------------------
#
# The persistent chains sit on some of the patterns. What they do not visit they do not push down,
# what they sit on they push away: the probabilities end up far apart, though the machine knows all
# patterns well.

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, model in models.items():
    p = np.sort(np.exp(model.score_samples(patterns)))[::-1]
    ax.semilogy(np.arange(1, 31), p, "o-", ms=4, label=name)
ax.axhline(1 / 30, color="0.5", ls=":", label="the data")
ax.set(xlabel="pattern, by rank", ylabel="probability")
ax.legend()
plt.show()

# %%
# What tells without the exact likelihood
# ---------------------------------------
#
# ``history_`` has the health of the chains: their R-hat, which is near 1 where all have seen the
# same, and how often neighbouring temperatures swapped their states.

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for name, model in models.items():
    axes[0].semilogy(model.history_["epoch"], model.history_["rhat"], label=name)
axes[0].axhline(1, color="0.5", ls=":")
axes[0].set(xlabel="epoch", ylabel="R-hat of the chains")
axes[0].legend()
axes[1].plot(tempered.history_["epoch"], tempered.history_["swap_rate"], color="C1")
axes[1].set(xlabel="epoch", ylabel="lowest swap rate", ylim=(0, 1))
plt.show()

# %%
# Tempering costs ``n_temperatures`` chains for one. Where plain chains mix, that is paid for
# nothing.
