"""The GPU kernels of mmgraph, as Numba compiles them: what they are called with."""

import importlib
from types import SimpleNamespace
from typing import NamedTuple

from numba import boolean, cuda, float32, float64, int32, int64, uint32

DTYPES = float32, float64
WORDS = (uint32,) * 4  # key, step, stream
# Whose sums are float64 whatever the arrays.
IN_FLOAT64 = {"multinomial", "softplus", "forward", "smooth", "operators"}


class Kernel(NamedTuple):
    """A kernel, by what it is of, its name, its Python function and the types it is called with."""

    noun: str
    name: str
    function: object
    signature: tuple


def of(dtype):
    """All kernels for arrays of one floating type."""
    families = _sampling, _steps, _gram, _sequences, _wavefront
    return [kernel for family in families for kernel in family(dtype)]


def compile_for(kernel, capability):
    """The PTX of a kernel for a compute capability such as (9, 0); no driver is needed."""
    dispatcher = importlib.import_module("numba.cuda.dispatcher")
    asked = dispatcher.get_current_device
    # Where Numba asks the current GPU what it is, answer with the one compiled for.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        return cuda.compile_ptx(kernel.function, kernel.signature, cc=capability)[0]
    finally:
        dispatcher.get_current_device = asked


def _sampling(dtype):
    from mmgraph.backend.kernels.sampling_cuda import KERNELS

    matrix, vector, rows = dtype[:, ::1], dtype[::1], uint32[::1]
    signatures = {
        "uniform": (rows, matrix, *WORDS),
        "normal": (rows, matrix, *WORDS),
        "sigmoid": (matrix, vector, matrix),
        "softplus": (matrix, vector, float64[::1]),
        "softmax": (matrix, vector, vector, matrix),
        "multinomial": (float64[:, ::1], int64[::1], rows, matrix, *WORDS),
        "bernoulli": (matrix, vector, rows, matrix, matrix, *WORDS),
        "gaussian": (matrix, vector, rows, matrix, matrix, *WORDS),
        "binomial": (matrix, vector, rows, matrix, matrix, int32, *WORDS),
    }
    for name, kernel in vars(KERNELS[str(dtype)]).items():
        yield Kernel("sampling", name, kernel.py_func, signatures[name])


def _steps(dtype):
    from mmgraph.backend.kernels import ascent_cuda, updates_cuda

    matrix, vector = dtype[:, ::1], dtype[::1]
    ascend = (matrix,) * 4 + (vector,) * 4 + (dtype,) * 4
    yield Kernel("ascent", "ascend", ascent_cuda._ascend.py_func, ascend)
    adam = (matrix,) * 4 + (dtype,) * 8
    yield Kernel("updates", "adam", updates_cuda._adam.py_func, adam)
    nesterov = (matrix,) * 3 + (dtype,) * 3
    yield Kernel("updates", "nesterov", updates_cuda._nesterov.py_func, nesterov)


def _gram(dtype):
    from mmgraph.backend.kernels.gram_cuda import KERNELS

    matrix, vector = dtype[:, ::1], dtype[::1]
    signature = int64, int64, matrix, matrix, vector, vector, dtype[:, :, ::1]
    yield Kernel("gram", "radial", KERNELS[str(dtype)].py_func, signature)


def _sequences(dtype):
    from mmgraph.backend.kernels.sequences_cuda import KERNELS, WIDTHS

    matrix, vector, offsets, whole = dtype[:, ::1], dtype[::1], int64[::1], int32[::1]
    arcs, origin = (whole, whole, vector), int32[:, ::1]
    signatures = {
        "forward": (matrix, offsets, matrix, *arcs, matrix, whole),
        "smooth": (matrix, matrix, vector, offsets, *arcs, matrix, float64[:, ::1]),
        "operators": (matrix, offsets, *arcs, dtype[:, :, ::1], float64[:, ::1]),
        "best_path": (matrix, offsets, matrix, *arcs, origin, whole, vector),
        "draw_paths": (matrix, offsets, *arcs, matrix, origin),
    }
    for width in WIDTHS:
        for name, kernel in vars(KERNELS[str(dtype), width]).items():
            yield Kernel(f"sequences, {width} states", name, kernel.py_func, signatures[name])


def _wavefront(dtype):
    from mmgraph.backend.kernels.wavefront_cuda import KERNELS

    matrix, vector, room, whole = dtype[:, ::1], dtype[::1], dtype[:, :, ::1], int64[::1]
    pairs = matrix, int64[:, ::1], whole
    hard = *pairs, vector, boolean, boolean, room, vector
    soft = *pairs, dtype, whole, whole, room, matrix, vector, vector, matrix
    for name, signature in (("distances", hard), ("soft_distances", soft)):
        function = getattr(KERNELS[str(dtype)], name).py_func
        yield Kernel("wavefront", name, function, signature)
