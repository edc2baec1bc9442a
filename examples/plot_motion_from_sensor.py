"""
Motion from another sensor
==========================

A watch with an accelerometer only: how did the arm turn? A model that has seen both sensors on
other arms fills in the gyroscope, and says how sure it is.
"""

# %%
# The recordings are simulated. An arm is a pendulum that swings at the pace of a walk or of a run,
# with a stop now and then. The accelerometer feels gravity and the swing, the gyroscope the speed
# of turning; both are noisy.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg
from mmgraph.plotting import GeneratedStreamDisplay

RATE, LENGTH, ARM, GRAVITY = 20, 200, 0.6, 9.81  # frames a second, frames, metres, m/s^2
rng = np.random.default_rng(0)


def record():
    pace = np.repeat(rng.choice([0.0, 0.9, 1.6], 5), LENGTH // 5)
    pace = np.convolve(np.pad(pace, 10, mode="edge"), np.ones(21) / 21, mode="valid")
    angle = 0.4 * pace * np.sin(2 * np.pi * np.cumsum(pace) / RATE)
    speed = np.gradient(angle) * RATE
    along = GRAVITY * np.cos(angle) + ARM * speed**2
    across = GRAVITY * np.sin(angle) + ARM * np.gradient(speed) * RATE
    acceleration = np.c_[along, across] + 0.4 * rng.normal(size=(LENGTH, 2))
    return acceleration, speed[:, None] + 0.2 * rng.normal(size=(LENGTH, 1))


recordings = [record() for _ in range(40)]
acceleration, rotation = (np.concatenate(parts) for parts in zip(*recordings, strict=True))
sequence = np.repeat(np.arange(40), LENGTH)
X, modalities = mg.pack(acceleration=acceleration, rotation=rotation, sequence=sequence)
train, test = sequence < 30, sequence >= 30

# %%
# :class:`~mmgraph.TrajectoryHMM` has a few states, and in each of them values and slopes of all
# streams vary together. It is shown both sensors of thirty recordings, and of the other ten the
# accelerometer alone.

model = mg.TrajectoryHMM(8, sequence=0, modalities=modalities, random_state=0).fit(X[train])
display = GeneratedStreamDisplay.from_estimator(model, X[test], "rotation", which=1)

# %%
# Frame by frame there is nothing to see in the values alone: an arm that hangs down may swing
# either way. The slopes tell.

truth = X[test][:, modalities["rotation"]]
inputs = np.c_[X[:, modalities["acceleration"]], np.ones(len(X))]
weights = np.linalg.lstsq(inputs[train], X[train][:, modalities["rotation"]], rcond=None)[0]
guesses = {
    "a line": inputs[test] @ weights,
    "the model": model.generate(X[test], "rotation"),
}
for name, guess in guesses.items():
    print(f"{name}: R2 {1 - np.square(guess - truth).sum() / np.square(truth).sum():.2f}")
lower, upper = model.interval(X[test], "rotation", coverage=0.9)
print(f"in the 90 % intervals: {((lower <= truth) & (truth <= upper)).mean():.0%}")

# %%
# Draws differ where the model is not sure, and each is a motion that could have been.

draws = model.generate(X[test], "rotation", n_samples=3, random_state=0)[:, :LENGTH, 0]
_, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
ax.plot(draws.T, linewidth=1)
ax.plot(truth[:LENGTH], color="black", linewidth=0.8, label="real")
ax.set(xlabel="frame", ylabel="rotation")
ax.legend(frameon=False)
plt.show()
