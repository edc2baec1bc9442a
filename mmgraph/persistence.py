"""Save an estimator to one file, and load it without executing anything the file says.

A model file is a zip of ``.npy`` members, which :func:`numpy.load` opens, and one ``model.json``:
the class, its parameters and its fitted attributes as a tree of values in which every array is the
name of a member. What JSON lacks is an object of one key that names the kind, such as
``{"tuple": [1, 2]}`` or ``{"array": "components_.npy"}``. Members are not compressed, so no
member can be larger than the file.

The zip's comment says the versions of mmgraph and of the format and, in the last 64 bytes of the
file, the SHA-256 of all bytes before them: one digest covers arrays, tree and headers alike. It
guards against damage, not against forgery, so a file is never trusted further than that: its
classes are looked up among mmgraph's own and some of scikit-learn's, arrays are read without
pickle, and declared shapes are compared with the bytes that are there before memory is asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import re
import uuid
import warnings
import zipfile
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import sklearn
from numpy.lib import format as npy
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from . import foreign
from ._version import __version__
from .backend.arrays import to_numpy

__all__ = ["ModelFileError", "load", "save"]

FORMAT_VERSION = 1
TREE = "model.json"
COMMENT = re.compile(rb"mmgraph (\S{1,40}) format (\d{1,6}) sha256 ([0-9a-f]{64})\Z")
DIGEST_LENGTH = 64
MAX_DEPTH = 64
HEADER = (1, 0)  # the npy version of every member
DTYPES_OF_OBJECTS = {"O": np.dtype(object), "T": np.dtypes.StringDType()}
SPARSE = {
    f"{order}_{kind}": getattr(sparse, f"{order}_{kind}")
    for order in ("csr", "csc")
    for kind in ("array", "matrix")
}


class ModelFileError(ValueError):
    """The file is not a model file, is damaged, or is of a newer mmgraph."""


def save(estimator: Any, path: str | os.PathLike, *, overwrite: bool = True) -> None:
    """Save an estimator, fitted or not, to one file.

    The file appears under its name only when it is complete: an error or an interruption leaves
    the previous file as it was. The same estimator always gives the same bytes.

    Parameters
    ----------
    estimator : estimator
        A public estimator of mmgraph. Its parameters and attributes may be None, bool, int, float,
        str, bytes, paths, slices, tuples, lists, dicts and sets of such values, NumPy scalars,
        dtypes, arrays and ``RandomState``, SciPy CSR and CSC matrices, named tuples and frozen
        dataclasses of mmgraph, and other estimators of mmgraph, also in scikit-learn's
        ``FrozenEstimator``. CuPy arrays are saved as NumPy arrays.

        Within them there may be estimators of scikit-learn whose fitted state is arrays and plain
        values: LogisticRegression, LogisticRegressionCV, LinearRegression, Ridge, RidgeCV,
        RidgeClassifier, Lasso, ElasticNet; SVC, NuSVC, LinearSVC, SVR, NuSVR, LinearSVR (kernels
        by name); KernelRidge; GaussianNB, BernoulliNB, MultinomialNB; LinearDiscriminantAnalysis,
        QuadraticDiscriminantAnalysis; StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler,
        Normalizer, LabelBinarizer; PCA, TruncatedSVD; and a Pipeline of them without ``memory``.
    path : str or path-like
        Name of the file; no extension is added.
    overwrite : bool, default=True
        Whether to replace a file of that name.

    Raises
    ------
    TypeError
        If an attribute is none of the above. The message names it, and nothing is written.
    FileExistsError
        If the file exists and ``overwrite=False``.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import os, tempfile
    >>> import mmgraph as mg
    >>> path = os.path.join(tempfile.mkdtemp(), "rbm.mmgraph")
    >>> mg.save(mg.RBM(n_components=8), path)
    >>> mg.load(path)
    RBM(n_components=8)
    """
    encode = _Encoder()
    tree = {"estimator": encode.estimator(estimator)}
    path = Path(path).resolve()
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; overwrite=True would replace it")
    _replace(path, tree, encode.arrays)


def load(path: str | os.PathLike) -> Any:
    """Load an estimator from a file written by :func:`save`.

    Parameters
    ----------
    path : str or path-like
        Name of the file.

    Returns
    -------
    estimator : estimator
        Equal to the saved one in every bit of its parameters and attributes.

    Raises
    ------
    ModelFileError
        If the file is not a model file, is truncated or damaged, was written in a newer format, or
        holds a class that this mmgraph does not know, or an estimator of another minor version of
        scikit-learn. It is a ``ValueError``.

    See Also
    --------
    save : The way there.

    Notes
    -----
    Loading executes nothing from the file. It only constructs classes that mmgraph defines, and
    those of scikit-learn that :func:`save` lists.

    The arrays can be read without mmgraph too: the file is what :func:`numpy.savez` writes.

    Examples
    --------
    >>> import os, tempfile
    >>> import mmgraph as mg
    >>> path = os.path.join(tempfile.mkdtemp(), "rbm.mmgraph")
    >>> mg.save(mg.RBM(n_components=8), path)
    >>> mg.load(path).n_components
    8
    """
    return read_value(path, BaseEstimator, "estimator")


# For other modules of mmgraph: files of values that are no estimators


def write_value(value, path):
    """Write a value of the types that :func:`save` lists to a file, as :func:`save` does."""
    encode = _Encoder()
    tree = encode(value, "", 0)
    _replace(Path(path).resolve(), tree, encode.arrays)


def read_value(path, kind, noun):
    """Read a value of a certain class, called `noun` in errors, as :func:`load` does."""
    with open(path, "rb") as file:
        try:
            _check_digest(file)
            value = _read(file)
            if not isinstance(value, kind):
                raise ModelFileError(f"holds no {noun}")
            return value
        except ModelFileError as error:
            raise ModelFileError(f"{os.fspath(path)!r} {error}") from error.__cause__
        except MemoryError:
            raise
        except Exception as error:  # whatever a forged file provokes is an error of the file
            message = f"{os.fspath(path)!r} holds no valid {noun} ({type(error).__name__}: {error})"
            raise ModelFileError(message) from error


def digest(value, where="value"):
    """SHA-256, in hexadecimal, of a value of the types that :func:`save` lists.

    Errors call it `where`.
    """
    encode = _Encoder()
    sha = hashlib.sha256(_as_json(encode(value, where, 0)))
    file = SimpleNamespace(write=sha.update)
    for array in encode.arrays.values():
        npy.write_array(file, array, HEADER, allow_pickle=False)  # copies some MB at a time
    return sha.hexdigest()


def remove_leftovers(path):
    """Remove what writers of a file left beside it when they were killed."""
    path = Path(path).resolve()
    temporary = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{32}\.tmp")
    for other in path.parent.iterdir():
        if temporary.fullmatch(other.name):
            other.unlink(missing_ok=True)


# The file


def _replace(path, tree, arrays):
    """Write a tree and its arrays to a file that appears under its name when it is complete."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "x+b") as file:
            _write(file, tree, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _as_json(tree):
    return json.dumps(tree, allow_nan=False, separators=(",", ":")).encode("ascii")


def _write(file, tree, arrays):
    """Write a tree and its arrays to an empty file opened for reading and writing."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(zipfile.ZipInfo(TREE), "w") as member:  # ZipInfo: no date, same bytes
            member.write(_as_json(tree))
        for name, array in arrays.items():
            large = array.nbytes > 1 << 30
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=large) as member:
                npy.write_array(member, array, HEADER, allow_pickle=False)
        comment = f"mmgraph {__version__} format {FORMAT_VERSION} sha256 {'0' * DIGEST_LENGTH}"
        archive.comment = comment.encode("ascii")
    digest = _digest(file)
    file.seek(-DIGEST_LENGTH, os.SEEK_END)
    file.write(digest)


def _digest(file):
    """SHA-256, in hexadecimal, of all but the last 64 bytes of a file."""
    size = file.seek(0, os.SEEK_END) - DIGEST_LENGTH
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, 1 << 20))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode("ascii")


def _check_digest(file):
    """Refuse a file that is foreign, damaged or of a newer format."""
    foreign = file.read(4) != b"PK\x03\x04"
    file.seek(max(0, file.seek(0, os.SEEK_END) - 200))
    comment = COMMENT.search(file.read())
    if foreign or not comment:
        raise ModelFileError("is not a model file of mmgraph, or is truncated or damaged")
    writer, version, digest = comment.groups()
    if digest != _digest(file):
        raise ModelFileError("is damaged: its bytes are not those that were written")
    if int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"was written by mmgraph {writer.decode('ascii')} in format {int(version)}; this "
            f"mmgraph {__version__} reads up to format {FORMAT_VERSION}: upgrade mmgraph"
        )


def _read(file):
    """Read the value of a file whose digest is right."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in members.values())
        if not stored or sum(info.file_size for info in archive.infolist()) > size:
            raise ModelFileError("declares members that are larger than the file")
        tree = json.loads(archive.read(members.pop(TREE)))
        return _Decoder(archive, members)(tree)


# Values to trees


class _Encoder:
    """Turns a value into a tree; the arrays in it are put aside in ``arrays``, by member name."""

    def __init__(self):
        self.arrays = {}

    def __call__(self, value, where, depth):
        if depth > MAX_DEPTH:
            raise _unfit(where, f"nested more than {MAX_DEPTH} deep, or contains itself")
        return self._encode(value, where, depth + 1)

    def _encode(self, value, where, depth):
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if abs(value) < 1 << 53 else {"int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is bytes:
            return {"bytes": value.hex()}
        if kind is list:
            return self._items(value, where, depth)
        if kind is tuple:
            return {"tuple": self._items(value, where, depth)}
        if kind is dict:
            return {"dict": self._pairs(value, where, depth)}
        if kind in (set, frozenset):
            if not all(type(item) is str for item in value):
                raise _unfit(where, "a set of anything but str")
            return {kind.__name__: sorted(value)}
        if kind is slice:
            return {"slice": self._items([value.start, value.stop, value.step], where, depth)}
        if kind in (np.str_, np.bytes_):  # as arrays they would lose their trailing nulls
            return {kind.__name__: value[:] if kind is np.str_ else value.hex()}
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, np.generic):
            return {"scalar": [self._dtype(value.dtype, where, depth), value.tobytes().hex()]}
        if isinstance(value, np.dtype):
            return {"dtype": self._dtype(value, where, depth)}
        value = to_numpy(value)
        kind = type(value)
        if kind in (np.ndarray, np.memmap):
            return self._array(value, where, depth)
        if kind in SPARSE.values():
            parts = [value.shape, value.data, value.indices, value.indptr]
            return {"sparse": [kind.__name__, *self._items(parts, where, depth)]}
        if kind is np.random.RandomState:
            return {"RandomState": self(self._random_state(value, where), where, depth)}
        if _is_record(kind):
            return {"record": self._record(value, where, depth)}
        if kind is FrozenEstimator:
            return {"frozen": self(value.estimator, where, depth)}
        if foreign.kind_of(kind.__name__) is kind:
            return {"sklearn": self._foreign(value, where, depth)}
        if isinstance(value, BaseEstimator):
            return {"estimator": self.estimator(value, where, depth)}
        raise _unfit(where, f"{_name(kind)} is none of the types that mmgraph.save lists")

    def _items(self, values, where, depth):
        return [self(item, f"{where}[{i}]", depth) for i, item in enumerate(values)]

    def _pairs(self, mapping, where, depth):
        return [
            [self(key, f"key {key!r} of {where}", depth), self(item, f"{where}[{key!r}]", depth)]
            for key, item in mapping.items()
        ]

    def _dtype(self, dtype, where, depth):
        self._check_array(np.empty(0, dtype), where)
        return self(npy.dtype_to_descr(dtype), where, depth)

    def _array(self, array, where, depth):
        if array.dtype in DTYPES_OF_OBJECTS.values():
            items = self._items(array.ravel().tolist(), where, depth)
            return {"objects": [array.dtype.kind, list(array.shape), items]}
        array = np.asarray(array)
        self._check_array(array, where)
        stem = re.sub(r"\W+", ".", where, flags=re.ASCII).strip(".")[:80] or "array"
        name = f"{stem}.npy"
        if name in self.arrays:
            name = f"{stem}-{len(self.arrays)}.npy"
        self.arrays[name] = array
        return {"array": name}

    @staticmethod
    def _check_array(array, where):
        """Refuse an array unless its npy header says exactly what the array is."""
        header = io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(array))
                header.seek(0)
                shape, _, dtype = _read_header(header)
            kept = (shape, dtype, dtype.type) == (array.shape, array.dtype, array.dtype.type)
        except (ValueError, TypeError, Warning):
            kept = False
        if not kept or array.dtype.hasobject:
            raise _unfit(where, f"arrays of {array.dtype!r} have no npy form")

    @staticmethod
    def _random_state(value, where):
        state = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise _unfit(where, f"a RandomState over {state['bit_generator']}")
        return [state["state"]["key"], state["state"]["pos"], state["has_gauss"], state["gauss"]]

    def _record(self, record, where, depth):
        kind = type(record)
        name = _name(kind)
        if _record_class(name) is not kind:
            raise _unfit(where, f"the record {name} is not one that a module of mmgraph defines")
        fields = {field: getattr(record, field) for field in _fields(kind)}
        return [name, self._attributes(fields, where, depth)]

    def estimator(self, estimator, where="", depth=0):
        kind = type(estimator)
        if _public_estimator(kind.__name__) is not kind:
            reason = f"{_name(kind)} is not a public estimator of mmgraph"
            if kind.__module__.startswith("sklearn."):
                reason += (
                    ", nor one of those of scikit-learn that save takes. pickle, joblib and skops "
                    "save any; what they load you must trust, since pickles execute code"
                )
            raise _unfit(where, reason)
        return [kind.__name__, *self._parts(estimator, where, depth)]

    def _parts(self, estimator, where, depth):
        """Parameters and the rest of an estimator."""
        params = estimator.get_params(deep=False)
        state = {key: value for key, value in vars(estimator).items() if key not in params}
        if "_device" in state:  # arrays are read back on the CPU
            state["_device"] = "cpu"
        return [self._attributes(values, where, depth) for values in (params, state)]

    def _foreign(self, estimator, where, depth):
        try:
            foreign.check_safe(estimator)
        except ValueError as error:
            raise _unfit(where, error) from None
        kind = type(estimator).__name__
        return [sklearn.__version__, kind, *self._parts(estimator, where, depth)]

    def _attributes(self, values, where, depth):
        return {
            name: self(value, f"{where}.{name}" if where else name, depth)
            for name, value in values.items()
        }


def _unfit(where, reason):
    return TypeError(f"{where or 'the estimator'} cannot be saved: {reason}")


# Trees to values


class _Decoder:
    """Turns a tree back into the value; every member of the archive is used at most once."""

    def __init__(self, archive, members):
        self.archive = archive
        self.members = members

    def __call__(self, tree):
        if isinstance(tree, list):
            return [self(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        [(tag, content)] = tree.items()
        if tag not in self.READERS:
            raise ModelFileError(f"holds a value of an unknown kind, {tag!r:.80}")
        return self.READERS[tag](self, content)

    def _dict(self, content):
        return {self(key): self(item) for key, item in content}

    def _slice(self, content):
        return slice(*self(content))

    def _dtype(self, content):
        return npy.descr_to_dtype(self(content))

    def _scalar(self, content):
        dtype, data = self._dtype(content[0]), bytes.fromhex(content[1])
        if dtype.hasobject or dtype.itemsize != len(data):
            raise ModelFileError(f"holds a scalar that is no {dtype}")
        return np.ndarray((), dtype, data)[()]

    def _array(self, name):
        info = self.members.pop(name)
        with self.archive.open(info) as member:
            shape, _, dtype = _read_header(member)
            if dtype.hasobject:
                raise ModelFileError(f"holds Python objects in {name!r}, which are never loaded")
            if member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
                raise ModelFileError(f"declares another size for {name!r} than is there")
        with self.archive.open(info) as member:
            return npy.read_array(member, allow_pickle=False)

    def _objects(self, content):
        kind, shape, items = content
        array = np.empty(len(items), DTYPES_OF_OBJECTS[kind])
        for i, item in enumerate(items):
            array[i] = self(item)
        return array.reshape(shape)

    def _sparse(self, content):
        name, shape, *parts = content
        matrix = SPARSE[name](tuple(map(self, parts)), shape=self(shape))
        matrix.check_format(full_check=True)
        return matrix

    def _random_state(self, content):
        key, position, has_gauss, gauss = self(content)
        if (key.shape, key.dtype) != ((624,), np.uint32) or not 0 <= position <= 624:
            raise ModelFileError("holds a RandomState whose state is impossible")
        random_state = np.random.RandomState(0)
        random_state.set_state(("MT19937", key, position, has_gauss, gauss))
        return random_state

    def _record(self, content):
        name, fields = content
        kind = _record_class(name) or self._unknown(name)
        return kind(**self._attributes(fields))

    def _estimator(self, content):
        name, params, state = content
        kind = _public_estimator(name) or self._unknown(name)
        return self._assembled(kind, params, state)

    def _assembled(self, kind, params, state):
        estimator = kind(**self._attributes(params))
        vars(estimator).update(self._attributes(state))
        return estimator

    def _foreign(self, content):
        version, name, params, state = content
        kind = foreign.kind_of(name) or self._unknown(name)
        try:
            foreign.check_version(version)
        except ValueError as error:
            raise ModelFileError(str(error)) from None
        estimator = self._assembled(kind, params, state)
        try:
            foreign.check_safe(estimator)
        except ValueError as error:
            raise ModelFileError(f"holds {error}") from None
        return estimator

    def _unknown(self, name):
        raise ModelFileError(f"holds a {name!r:.80}, no class that mmgraph {__version__} knows")

    def _attributes(self, trees):
        return {name: self(tree) for name, tree in trees.items()}

    READERS: ClassVar = {
        "int": lambda self, content: int(content, 16),
        "float": lambda self, content: float(content),
        "bytes": lambda self, content: bytes.fromhex(content),
        "tuple": lambda self, content: tuple(map(self, content)),
        "dict": _dict,
        "set": lambda self, content: set(content),
        "frozenset": lambda self, content: frozenset(content),
        "slice": _slice,
        "path": lambda self, content: Path(content),
        "str_": lambda self, content: np.str_(content),
        "bytes_": lambda self, content: np.bytes_(bytes.fromhex(content)),
        "scalar": _scalar,
        "dtype": _dtype,
        "array": _array,
        "objects": _objects,
        "sparse": _sparse,
        "RandomState": _random_state,
        "record": _record,
        "estimator": _estimator,
        "sklearn": _foreign,
        "frozen": lambda self, content: FrozenEstimator(self(content)),
    }


def _read_header(file):
    """Shape, order and dtype that the header of an npy file declares."""
    if npy.read_magic(file) != HEADER:
        raise ModelFileError("holds an array of an unknown npy version")
    return npy.read_array_header_1_0(file)


# The classes that a file may name


def _public_estimator(name):
    """The public estimator of mmgraph of that name, or None."""
    package = import_module(__package__)
    kind = getattr(package, name) if name in package.__all__ else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseEstimator) else None


def _record_class(name):
    """The named tuple or frozen dataclass ``module:qualname`` that mmgraph defines, or None."""
    if not re.fullmatch(rf"{__package__}(\.(?!__)\w+)+:\w+(\.\w+)*", name):
        return None
    module, qualname = name.split(":")
    try:
        kind = attrgetter(qualname)(import_module(module))
    except (ModuleNotFoundError, AttributeError):
        return None
    return kind if _is_record(kind) and kind.__module__ == module else None


def _name(kind):
    return f"{kind.__module__}:{kind.__qualname__}"


def _is_record(kind):
    """Whether a class is a named tuple or a frozen dataclass."""
    if not isinstance(kind, type):
        return False
    if dataclasses.is_dataclass(kind):
        return kind.__dataclass_params__.frozen
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _fields(kind):
    """Names of the fields that construct a record."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.init]
    return kind._fields
