"""Where a fitted model is: moving it between the CPU and the GPU."""

import copy
import dataclasses
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .backend import arrays

__all__ = ["placed", "to_device"]

ON_HOST = {"classes_", "cv_results_", "feature_names_in_", "history_", "layout_"}


def to_device(model: Any, device: str) -> Any:
    """A copy of a fitted estimator whose arrays are on a device.

    Parameters
    ----------
    model : estimator
        With a parameter ``device``.
    device : {"cpu", "cuda"}
        Where the copy shall compute.

    Returns
    -------
    estimator
        Of the same parameters. What it answers differs by rounding only.

    Raises
    ------
    TypeError
        If the estimator computes on the CPU only.
    ImportError, RuntimeError
        If there is no GPU to move to, or no CuPy.

    Examples
    --------
    >>> import mmgraph as mg
    >>> X = [[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]]
    >>> model = mg.CCA(1, modalities={"a": [0], "b": [1]}).fit(X)
    >>> mg.to_device(model, "cpu").weights_.keys() == model.weights_.keys()
    True
    """
    if not hasattr(model, "device"):
        raise TypeError(f"{type(model).__name__} computes on the CPU only: it has no device.")
    return placed(model, arrays.resolve_device(device))


def placed(value, device):
    """A value whose floating-point arrays, however deep in it, are on a device."""
    if isinstance(value, BaseEstimator):
        return _estimator(value, device)
    if hasattr(value, "to"):  # a record that knows what of it is on the device
        return value.to(device)
    if arrays.namespace(value) is not np or isinstance(value, np.ndarray):
        # Indices, masks and labels stay on the CPU, where they are used.
        return arrays.to_device(value, device) if value.dtype.kind == "f" else value
    if isinstance(value, dict):
        return {name: placed(item, device) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(placed(item, device) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(placed(item, device) for item in value)
    if dataclasses.is_dataclass(value) and value.__dataclass_params__.frozen:
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: placed(getattr(value, name), device) for name in names}
        )
    return value


def _estimator(estimator, device):
    params = estimator.get_params(deep=False)
    if not hasattr(estimator, "device"):
        return estimator
    moved = copy.copy(estimator)
    for name, value in vars(estimator).items():
        if name not in params and name not in ON_HOST | getattr(estimator, "_on_host", set()):
            setattr(moved, name, placed(value, device))
    moved._device = device
    return moved
