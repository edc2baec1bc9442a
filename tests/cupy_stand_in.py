"""A stand-in for CuPy over NumPy, stricter than CuPy itself, for machines without a GPU.

Its arrays refuse all that CuPy's refuse: NumPy's functions, being mixed with NumPy's arrays, and
any silent way back to the host. Functions are those that CuPy has, with the parameters that they
have there; ``cupy_names.json`` records both. ``python tests/cupy_stand_in.py`` writes that file
anew from the CuPy that is installed, without a GPU. Copies between host and device are counted.

Where CuPy is lenient (it lets NumPy's functions dispatch, and takes NumPy's index arrays), the
stand-in is not: what passes here needs no leniency.
"""

import inspect
import json
import operator
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import scipy.linalg
import scipy.special

RECORD = Path(__file__).with_name("cupy_names.json")
MODULES = ("cupy", "cupy.linalg", "cupyx.scipy.special", "cupyx.scipy.linalg")
HOMES = {
    "cupy": np,
    "cupy.linalg": np.linalg,
    "cupyx.scipy.special": scipy.special,
    "cupyx.scipy.linalg": scipy.linalg,
}
# Functions whose first argument need not be an array of the device.
FREE = {
    *("arange", "array", "asarray", "ascontiguousarray", "asfortranarray", "block_diag", "dtype"),
    *("broadcast_arrays", "column_stack", "concatenate", "einsum", "empty", "eye", "finfo"),
    *("full", "hstack", "identity", "iinfo", "ix_", "linspace", "meshgrid", "ndim", "ones"),
    *("promote_types", "result_type", "shape", "stack", "tri", "tril_indices", "triu_indices"),
    *("vstack", "where", "zeros", "isscalar", "diag_indices", "logspace", "geomspace", "indices"),
}
FROM_HOST = {"array", "asarray", "ascontiguousarray", "asfortranarray"}
transfers = SimpleNamespace(to_device=0, to_host=0, numbers_to_device=0, numbers_to_host=0)


class ndarray:
    """An array of the device."""

    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, held):
        self._held = np.asarray(held)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use .get().")

    def __array_function__(self, function, *args):
        raise TypeError(f"numpy.{function.__name__} was called with an array of the device.")

    # The ways to the host, which are counted

    def get(self):
        return self._on_host().copy()

    def item(self, *args):
        return self._on_host().item(*args)

    def tolist(self):
        return self._on_host().tolist()

    def _on_host(self):
        transfers.to_host += 1
        transfers.numbers_to_host += self._held.size
        return self._held

    def __bool__(self):
        return bool(self.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        return operator.index(self.item())

    # What is known without looking at the device

    dtype = property(lambda self: self._held.dtype)
    shape = property(lambda self: self._held.shape)
    ndim = property(lambda self: self._held.ndim)
    size = property(lambda self: self._held.size)
    nbytes = property(lambda self: self._held.nbytes)
    itemsize = property(lambda self: self._held.itemsize)
    flags = property(lambda self: self._held.flags)
    strides = property(lambda self: self._held.strides)
    T = property(lambda self: ndarray(self._held.T))
    real = property(lambda self: ndarray(self._held.real))

    def __len__(self):
        return len(self._held)

    def __iter__(self):
        return (ndarray(part) for part in self._held)

    def __getitem__(self, index):
        return ndarray(self._held[_index(index)])

    def __setitem__(self, index, value):
        self._held[_index(index)] = _inner(value)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return ndarray, (self._held,)

    def __repr__(self):
        return f"on device: {self._held!r}"

    def __getattr__(self, name):
        if name.startswith("_") or name not in recorded()["ndarray"]:
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        method, known = getattr(self._held, name), recorded()["cupy"].get(name)

        def call(*args, **kwargs):
            if isinstance(known, list):  # the function of this name has the same parameters
                extra = set(kwargs) - set(known)
                if extra:
                    raise TypeError(f"cupy.ndarray.{name} takes no {sorted(extra)}.")
            return _outer(method(*map(_inner, args), **{k: _inner(v) for k, v in kwargs.items()}))

        return call


ndarray.__module__ = "cupy"


def _operator(name, inplace=False):
    def method(self, other):
        other = _inner(other, lists=False)
        if inplace:
            self._held = getattr(self._held, name)(other)
            return self
        return ndarray(getattr(self._held, name)(other))

    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
):
    for _prefix in ("", "r"):
        _dunder = f"__{_prefix}{_name}__"
        setattr(ndarray, _dunder, _operator(_dunder))
    setattr(ndarray, f"__i{_name}__", _operator(f"__i{_name}__", inplace=True))
for _name in ("lt", "le", "eq", "ne", "gt", "ge"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(
        ndarray,
        f"__{_name}__",
        lambda self, _name=f"__{_name}__": ndarray(getattr(self._held, _name)()),
    )


def _inner(value, lists=True):
    """What NumPy is to compute with; arrays of the host are refused."""
    if isinstance(value, ndarray):
        return value._held
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type numpy.ndarray (shape {value.shape}): mixed with CuPy.")
    if isinstance(value, list | tuple):
        if not lists:
            raise TypeError(f"Unsupported type {type(value)}.")
        return type(value)(map(_inner, value))
    return value


def _index(index):
    """An index; arrays of the host and lists are refused."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, ndarray) and not index.ndim and index.dtype.kind != "b":
        return index._held[()]
    return _inner(index, lists=False)


def _outer(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(value)
    if isinstance(value, list | tuple):  # named tuples of numpy.linalg too
        return list(map(_outer, value)) if type(value) is list else tuple(map(_outer, value))
    return value


def recorded():
    """Names of CuPy: a list of parameters, "ufunc", or "other", by module; and those of arrays."""
    if not _RECORD:
        _RECORD.update(json.loads(RECORD.read_text()))
    return _RECORD


_RECORD = {}


class Function:
    """A function of CuPy: NumPy's, as far as CuPy has it."""

    def __init__(self, module, name):
        self.home, self.name = HOMES[module], name
        self.parameters = recorded()[module][name]
        self.function = getattr(self.home, name)
        self.ufunc = self.parameters == "ufunc"

    def __call__(self, *args, **kwargs):
        name = self.name
        allowed = ["out", "dtype", "casting"] if self.ufunc else self.parameters
        if not self.ufunc and "*" not in "".join(allowed) and len(args) > len(allowed):
            raise TypeError(f"cupy's {name} takes {allowed}, got {len(args)} arguments.")
        unknown = set(kwargs) - set(allowed)
        if unknown and not any(p.startswith("**") for p in allowed):
            raise TypeError(f"cupy's {name} takes no {sorted(unknown)}; it has {allowed}.")
        if self.ufunc:
            args = [_inner(arg, lists=False) for arg in args]
        elif name in FROM_HOST:
            if not _on_device(args[0]):
                transfers.to_device += 1
                transfers.numbers_to_device += np.size(args[0])
            args = [_deep(args[0]), *args[1:]]
            kwargs.pop("blocking", None)
        else:
            if args and name not in FREE and not isinstance(args[0], ndarray):
                raise TypeError(f"cupy's {name} wants an array of the device, got {type(args[0])}.")
            args = list(map(_inner, args))
        kwargs = {k: _inner(v) for k, v in kwargs.items()}
        out = kwargs.get("out")
        if isinstance(out, tuple):
            kwargs["out"] = out[0]
        found = _as_in_cupy(self.function, name)(*args, **kwargs)
        return _outer(found)

    def __getattr__(self, name):  # maximum.accumulate, logical_and.reduce, add.at, ...
        if not self.ufunc or name not in ("reduce", "accumulate", "at", "outer", "reduceat"):
            raise AttributeError(name)
        method = getattr(self.function, name)
        return lambda *args, **kwargs: _outer(method(*map(_inner, args), **kwargs))


def _as_in_cupy(function, name):
    """NumPy's function where CuPy answers another way."""
    if function is np.linalg.cholesky:

        def cholesky(a):  # no error: NaN
            try:
                return function(a)
            except np.linalg.LinAlgError:
                return np.full_like(a, np.nan)

        return cholesky
    if function is np.array or function is np.asarray:
        return np.array if name == "array" else function
    return function


def _on_device(value):
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_on_device, value))
    return isinstance(value, ndarray)


def _deep(value):
    if isinstance(value, ndarray):
        return value._held
    if isinstance(value, list | tuple):
        return [_deep(part) for part in value]
    return value


def _module(name):
    module = ModuleType(name)

    def find(attribute):
        known = recorded()[name].get(attribute)
        if known is None:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        if known == "other":
            return getattr(HOMES[name], attribute)
        return Function(name, attribute)

    module.__getattr__ = find
    return module


def build():
    """The modules of the stand-in, by name."""
    modules = {name: _module(name) for name in MODULES}
    cupy = modules["cupy"]
    cupy.ndarray, cupy.linalg = ndarray, modules["cupy.linalg"]
    cupy.asnumpy = lambda array: array.get()
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError, memGetInfo=lambda: (1e9, 1e9)
    )
    cupy.cuda = SimpleNamespace(runtime=runtime)
    cupy.get_default_memory_pool = lambda: SimpleNamespace(free_bytes=lambda: 0)
    cupyx, scipy_ = ModuleType("cupyx"), ModuleType("cupyx.scipy")
    cupyx.scipy = scipy_
    scipy_.special, scipy_.linalg = modules["cupyx.scipy.special"], modules["cupyx.scipy.linalg"]
    return modules | {"cupyx": cupyx, "cupyx.scipy": scipy_}


class Twin:
    """The GPU twin of a module of kernels, computed by the CPU's."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        function = getattr(self.module, name)

        def call(*args, **kwargs):
            return _outer(function(*map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()}))

        return call


def _plain(value):
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("a kernel of the GPU was given an array of the host.")
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if hasattr(value, "_fields"):
        return type(value)(*map(_plain, value))
    return value._held if isinstance(value, ndarray) else value


@contextmanager
def installed():
    """CuPy's place taken by the stand-in, the GPU's kernels by the CPU's; gives the module."""
    from mmgraph.backend import arrays, kernels

    modules = build()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    find_spec, of = arrays.find_spec, kernels._module
    arrays.find_spec = lambda name: True

    def module(name):
        return Twin(of(name.removesuffix("_cuda"))) if name.endswith("_cuda") else of(name)

    kernels._module = module
    try:
        yield modules["cupy"]
    finally:
        arrays.find_spec, kernels._module = find_spec, of
        for name, was in before.items():
            if was is None:
                del sys.modules[name]
            else:
                sys.modules[name] = was


@contextmanager
def counted():
    """Count the copies made within, and how many numbers they took."""
    start = vars(transfers).copy()
    found = SimpleNamespace()
    yield found
    for name, value in vars(transfers).items():
        setattr(found, name, value - start[name])


# The record ---------------------------------------------------------------------------------------


def names_of(cupy, root):
    """What :data:`RECORD` holds, of the CuPy that is installed in the folder `root`."""
    found = {"version": cupy.__version__, "ndarray": sorted(dir(cupy.ndarray))}
    for name, home in HOMES.items():
        found[name] = known = {}
        module = None
        try:
            module = __import__(name, fromlist=["_"])
        except ImportError:  # needs a library of CUDA: the source says what there is
            for path in sorted((root / name.replace(".", "/")).glob("*.py")):
                for line in re.findall(r"^def ([a-z]\w*)\(([^)]*)\)", path.read_text(), re.M):
                    known[line[0]] = re.findall(r"(\*{0,2}\w+)(?:=[^,]*)?(?:,|$)", line[1])
        for attribute in dir(module) if module else ():
            if attribute.startswith("_") or not hasattr(home, attribute):
                continue
            value = getattr(module, attribute)
            if type(value).__name__ == "ufunc":
                known[attribute] = "ufunc"
            elif isinstance(value, type) or not callable(value):
                if not isinstance(value, ModuleType) and not hasattr(value, "__cuda_array__"):
                    known[attribute] = "other"
            else:
                known[attribute] = _parameters(value)
    return found


def _parameters(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ["*args", "**kwargs"]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name for p in parameters]


if __name__ == "__main__":
    import cupy

    record = names_of(cupy, Path(cupy.__file__).parents[1])
    RECORD.write_text(json.dumps(record, indent=0, sort_keys=True) + "\n")
