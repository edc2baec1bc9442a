"""
Parts of a stream
=================

What goes on in a recording, and when does it change? A hidden Markov model cuts streams into states
that nobody has named.
"""

# %%
# The recordings are simulated: a day has stretches of rest, of work and of sport. A heart rate is
# measured in every frame, steps are counted in every fourth, and now and then a sensor is off.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg
from mmgraph.plotting import StateTimelineDisplay, TransitionGraphDisplay

rng = np.random.default_rng(0)
NAMES = ["rest", "work", "sport"]
move = np.array([[0.97, 0.03, 0.0], [0.02, 0.96, 0.02], [0.06, 0.0, 0.94]])
state = np.zeros((8, 160), int)
for day in state:
    for t in range(1, 160):
        day[t] = rng.choice(3, p=move[day[t - 1]])
state = state.ravel()
pulse = np.array([60, 75, 130])[state] + np.array([4, 10, 12])[state] * rng.normal(size=len(state))
steps = rng.poisson(np.array([0.2, 5, 30])[state]).astype(float)
steps[np.arange(len(state)) % 4 > 0] = np.nan
pulse[40:60] = np.nan
X, modalities = mg.pack(pulse=pulse, steps=steps, sequence=np.arange(len(state)) // 160)

# %%
# Steps are counts, so their emission is Poisson; the frames between the counts are no matter, nor
# is the gap in the heart rate.

model = mg.MultiStreamHMM(
    3, emissions={"steps": "poisson"}, sequence=0, modalities=modalities, n_init=3, random_state=0
).fit(X)
order = model.means_["pulse"].ravel().argsort()  # the states have no names of their own
found = order.argsort()[model.predict(X)]
print(f"frames in the right part: {(found == state).mean():.0%}")
display = StateTimelineDisplay.from_estimator(model, X)

# %%
# What follows what, and how long it lasts.

graph = TransitionGraphDisplay.from_estimator(model, names=np.array(NAMES)[order.argsort()])
plt.show()
