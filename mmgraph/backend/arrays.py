"""The namespace and the device of an array."""

import sys
from functools import cache
from importlib.util import find_spec

import numpy as np

_DEVICES = ("auto", "cpu", "cuda")
NO_GPU = "Install or update NVIDIA's driver (nvidia-smi must list the GPU), or set device='cpu'."


def namespace(*arrays):
    """Return the array module, NumPy or CuPy, that the arrays belong to.

    Python scalars, sequences and None belong to any namespace. CuPy is never imported here: an
    array of CuPy can only exist where CuPy already is.

    Parameters
    ----------
    *arrays : array-like, sparse matrix or None

    Returns
    -------
    module
        ``cupy`` when the arrays live on the GPU, else ``numpy``.

    Raises
    ------
    TypeError
        If arrays of NumPy and of CuPy are mixed.
    """
    if not any(map(_is_cupy, arrays)):
        return np
    on_gpu = [_is_cupy(array) for array in arrays if hasattr(array, "shape") and array.shape != ()]
    if not on_gpu:
        # 0-d arrays decide only when there is nothing else.
        on_gpu = [_is_cupy(array) for array in arrays]
    if not any(on_gpu):
        return np
    if not all(on_gpu):
        raise TypeError(
            "NumPy and CuPy arrays are mixed in one call; move them to one device first, "
            "with to_device(array, 'cuda') or to_numpy(array)."
        )
    return sys.modules["cupy"]


def special(xp):
    """Return the special functions of a namespace: ``scipy.special`` or ``cupyx.scipy.special``."""
    if xp.__name__ == "cupy":
        import cupyx.scipy.special as functions
    else:
        import scipy.special as functions
    return functions


def to_numpy(array):
    """Return the array on the CPU; what is not a CuPy array or matrix comes back as it is."""
    return array.get() if _is_cupy(array) else array


def to_device(array, device):
    """Return the array on ``device``, copied only if it is not there yet.

    Parameters
    ----------
    array : array-like or sparse matrix
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` leaves the array where it is.

    Returns
    -------
    ndarray or sparse matrix
        Of NumPy (SciPy) or of CuPy.
    """
    device = resolve_device(device, array)
    if device == "cpu":
        array = to_numpy(array)
        return array if hasattr(array, "shape") else np.asarray(array)
    if _is_cupy(array):
        return array
    if hasattr(array, "tocsr"):
        from cupyx.scipy import sparse

        return sparse.csr_matrix(array.tocsr())
    import cupy

    array = np.asarray(array)
    _require_room(cupy, array)
    return cupy.asarray(array)


def device_of(*arrays):
    """Return where the arrays are, ``"cpu"`` or ``"cuda"``."""
    return "cpu" if namespace(*arrays) is np else "cuda"


def beside(array, other):
    """Return the array where another one is, on the CPU or the GPU."""
    return to_device(array, device_of(other))


def pick(array, rows):
    """Return some rows of an array, wherever it is, by an index, mask or slice of the CPU."""
    if isinstance(rows, slice) or not _is_cupy(array):
        return array[rows]
    return array[namespace(array).asarray(rows)]


def resolve_device(device, *arrays):
    """Return where to compute, ``"cpu"`` or ``"cuda"``; never falls back silently.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` follows the arrays.
    *arrays : array-like
        Looked at only for ``"auto"``.

    Returns
    -------
    {"cpu", "cuda"}

    Raises
    ------
    ValueError
        If ``device`` is none of the three.
    ImportError
        If ``"cuda"`` is asked for and CuPy or numba-cuda is not installed.
    RuntimeError
        If ``"cuda"`` is asked for and CuPy finds no driver or no GPU.
    """
    if not isinstance(device, str) or device not in _DEVICES:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda'; got {device!r}.")
    if device == "auto":
        return device_of(*arrays)
    if device == "cuda":
        _require_gpu()
    return device


def _require_gpu():
    missing = [name for name in ("cupy", "numba_cuda") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"device='cuda' needs {' and '.join(missing)}, not installed here: "
            "pip install mmgraph[cuda12] or mmgraph[cuda13]."
        )
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"device='cuda' found no usable GPU: {error}. {NO_GPU}") from error
    if count == 0:
        raise RuntimeError(f"device='cuda' found no usable GPU: CuPy counts 0 devices. {NO_GPU}")


def _require_room(cupy, array):
    """Raise a MemoryError where the array does not fit into what the GPU has left."""
    free, _ = cupy.cuda.runtime.memGetInfo()
    free += cupy.get_default_memory_pool().free_bytes()
    if array.nbytes > free:
        rows = free * len(array) // array.nbytes
        raise MemoryError(
            f"an array of shape {array.shape} takes {array.nbytes / 1e9:.3g} GB, but the GPU has "
            f"{free / 1e9:.3g} GB left, room for {rows} of its rows: give fewer rows at a time "
            "(partial_fit, or a smaller batch_size), or fit with device='cpu'."
        )


def _is_cupy(array):
    return _of_cupy(type(array))


@cache
def _of_cupy(kind):
    roots = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return not roots.isdisjoint({"cupy", "cupyx"})
