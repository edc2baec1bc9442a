"""Rows as the frames of sequences, stream by stream."""

import numpy as np
import scipy.sparse as sp

__all__ = ["dense", "encoded"]

FARTHEST = 1e6  # standard deviations that a value may lie from the mean


def dense(views, name):
    """Values of one stream; zeros where it is absent."""
    block = views.blocks[name]
    block = block.toarray() if sp.issparse(block) else block
    present = views.present[name]
    return block if present.all() else np.where(present[:, None], block, 0)


def encoded(views, name, stream):
    """Values of one stream in the units of its emission, checked."""
    x, present = dense(views, name), views.present[name]
    shown = x if present.all() else x[present]
    try:
        stream.emission.check(shown)
    except ValueError as error:
        raise ValueError(f"modality {name!r}: {error}") from None
    z = stream.encode(x)
    if stream.scale is not None and len(shown):
        own = z if present.all() else z[present]
        distance = max(own.max(), -own.min())
        if not distance < FARTHEST:
            raise ValueError(
                f"modality {name!r}: a value lies {distance:.3g} standard deviations from the mean "
                f"of the training rows, and {FARTHEST:g} is the most: check the scale of X."
            )
    return z
