"""
Two streams that do not keep time
=================================

One movement is recorded twice, at different speeds and by different instruments. Which frame of the
one goes with which of the other?
"""

# %%
# The movement has two coordinates. The first instrument measures both. The second has three
# channels, each a mixture of the coordinates with some noise; there the movement is slow at first
# and quick later.

import matplotlib.pyplot as plt
import numpy as np

import mmgraph as mg
from mmgraph.plotting import WarpedStreamsDisplay, WarpingPathDisplay

rng = np.random.default_rng(0)


def movement(time):
    return np.c_[np.sin(8 * time), time * np.cos(9 * time)]


steady, late = np.linspace(0, 1, 200), np.linspace(0, 1, 200) ** 1.6
mixture = np.array([[1.0, 0.3, -0.5], [0.4, -1.0, 0.7]])
second = movement(late) @ mixture + 0.05 * rng.normal(size=(200, 3))
X, modalities = mg.pack(first=movement(steady), second=second)

# %%
# Canonical time warping finds what the instruments have in common, and the path along which they
# agree. Pale is near.

model = mg.CanonicalTimeWarping(2, modalities=modalities).fit(X)
path = model.align(X)[0].paths["second"]
error = abs(steady[path[:, 0]] - late[path[:, 1]]).mean()
print(f"off by {error:.3f} of the length, {abs(steady - late).mean():.3f} without a warp")

display = WarpingPathDisplay.from_estimator(model, X, "second")
truth = 199 * np.interp(steady, late, steady)
display.ax_.plot(truth, np.arange(200), "k:", lw=1.5, label="truth")
_ = display.ax_.legend(frameon=False)

# %%
# After the warp both show the same moment in each row, so that any fusion can follow in a pipeline.

display = WarpedStreamsDisplay.from_estimator(model, X)
plt.show()
