"""Saving and loading: every bit comes back, nothing is executed, damage is found."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import sklearn
from cupy_stand_in import installed
from estimators import all_estimators
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import BernoulliNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from sklearn.svm import SVC, SVR

import mmgraph
from mmgraph import foreign
from mmgraph.foreign import HOMES, kind_of
from mmgraph.persistence import ModelFileError, load, save

# A module of mmgraph with records and an estimator, as far as persistence can see


class Point(NamedTuple):
    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class Setting:
    scale: object
    doubled: object = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "doubled", 2)


@dataclasses.dataclass
class Thawed:
    scale: object


class Holder(BaseEstimator):
    def __init__(self, value=None, other=1):
        self.value = value
        self.other = other

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        self._rows = len(X)
        return self


@pytest.fixture(scope="module", autouse=True)
def held():
    """Make the classes above mmgraph's own while this module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        module = types.ModuleType("mmgraph.held")
        for kind in (Point, Setting, Thawed):
            patch.setattr(kind, "__module__", module.__name__)
            setattr(module, kind.__name__, kind)
        module.Borrowed = LinearRegression
        module.function = os.system
        patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(mmgraph, "Holder", Holder, raising=False)
        patch.setattr(mmgraph, "__all__", [*mmgraph.__all__, "Holder"])
        yield


def assert_same(a, b):
    """Assert that two values are the same in type and in every bit."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.kind in "OT":
            assert_same(a.tolist(), b.tolist())
        else:
            assert a.flags.f_contiguous == b.flags.f_contiguous
            assert a.tobytes() == b.tobytes()
    elif isinstance(a, (np.str_, np.bytes_)):
        assert a == b
    elif isinstance(a, np.generic):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, float):
        assert repr(a) == repr(b)
    elif sparse.issparse(a):
        assert a.shape == b.shape
        for part in ("data", "indices", "indptr"):
            assert_same(getattr(a, part), getattr(b, part))
    elif isinstance(a, np.random.RandomState):
        assert_same(a.get_state(), b.get_state())
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for pair in zip(a, b, strict=True):
            assert_same(*pair)
    elif dataclasses.is_dataclass(a):  # what it remembers beside its fields is not part of it
        assert_same(*([getattr(x, f.name) for f in dataclasses.fields(a)] for x in (a, b)))
    elif isinstance(a, dict):
        assert_same(list(a.items()), list(b.items()))
    elif isinstance(a, slice):
        assert_same([a.start, a.stop, a.step], [b.start, b.stop, b.step])
    elif isinstance(a, BaseEstimator):
        assert_same(vars(a), vars(b))
    else:
        assert a == b


def round_trip(value, path):
    save(Holder(value), path)
    return load(path).value


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(path, contents, *, comment="0 format 1", compression=zipfile.ZIP_STORED):
    """Write a model file of any contents whose digest is right."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
        archive.comment = f"mmgraph {comment} sha256 {'0' * 64}".encode()
    data = path.read_bytes()[:-64]
    path.write_bytes(data + hashlib.sha256(data).hexdigest().encode())


def forge_value(path, tree, **contents):
    """Write a model file with a Holder of a tree that save would not write."""
    model = json.dumps({"estimator": ["Holder", {"value": tree}, {}]})
    forge(path, {"model.json": model, **contents})


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def header(shape, descr="<f8"):
    file = io.BytesIO()
    fields = {"shape": shape, "fortran_order": False, "descr": descr}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


# Every bit comes back


@pytest.fixture(params=all_estimators(), ids=lambda kind: kind.__name__)
def estimator(request):
    return request.param()


def test_an_estimator_that_holds_others_than_ours_is_refused(tmp_path):
    X = np.random.default_rng(0).normal(size=(20, 6))
    fusion = mmgraph.LateFusionClassifier(KNeighborsClassifier()).fit(X, np.arange(20) % 2)
    with pytest.raises(
        TypeError,
        match=r"estimators cannot be saved: sklearn.*KNeighbors.* nor one of those .*skops",
    ):
        save(fusion, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_public_estimator_fitted(estimator, tmp_path):
    X = np.random.default_rng(0).normal(size=(20, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e.g. that it has not converged
        estimator.fit(X, np.arange(20) % 2)
    save(estimator, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert_same(loaded, estimator)
    for verb in ("predict", "transform", "impute", "score_samples"):
        if hasattr(estimator, verb):
            assert_same(getattr(loaded, verb)(X), getattr(estimator, verb)(X))


CLASSES = np.array(list("abc"))[np.arange(40) % 3]
NUMBERS = np.random.default_rng(1).normal(size=40)
FOREIGN_KINDS = [kind_of(name) for names in HOMES.values() for name in names if name != "Pipeline"]
OTHERS = [
    SVC(probability=True, kernel="poly"),
    make_pipeline(PCA(2), SVC(gamma=2.0)),
    LogisticRegression(C=0.3, solver="newton-cg"),
    KernelRidge(kernel="rbf"),
]


def learnt(estimator):
    """An estimator of scikit-learn fitted to few rows, and others."""
    X = np.random.default_rng(0).normal(size=(80, 5))
    if isinstance(estimator, (BernoulliNB, MultinomialNB)):
        X = np.round(abs(X))
    if isinstance(estimator, LabelBinarizer):
        return estimator.fit(CLASSES), CLASSES
    if "nu" in estimator.get_params():
        estimator.set_params(nu=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what may change in scikit-learn
        estimator.fit(X[:40], NUMBERS if is_regressor(estimator) else CLASSES)
    return estimator, X[40:]


@pytest.mark.parametrize(
    "estimator", [*(kind() for kind in FOREIGN_KINDS), *OTHERS], ids=lambda e: type(e).__name__
)
def test_estimator_of_scikit_learn_within(estimator, tmp_path):
    assert_same(round_trip(clone(estimator), tmp_path / "model"), clone(estimator))
    estimator, new = learnt(estimator)
    loaded = round_trip(estimator, tmp_path / "model")
    assert_same(loaded, estimator)
    for verb in ("predict", "transform", "decision_function", "predict_proba"):
        if hasattr(estimator, verb):
            assert_same(getattr(loaded, verb)(new), getattr(estimator, verb)(new))


def test_sparse_support_vectors(tmp_path):
    X = sparse.random_array((40, 5), density=0.5, format="csr", rng=0)
    machine = SVC().fit(X, CLASSES)
    loaded = round_trip(machine, tmp_path / "model")
    assert_same(loaded.decision_function(X), machine.decision_function(X))


@pytest.mark.parametrize("kind", ["EarlyFusion", "LateFusion", "HybridFusion"])
@pytest.mark.parametrize("task", ["Classifier", "Regressor"])
def test_fusion_of_two_modalities(kind, task, tmp_path):
    """With estimators by name, and rows with gaps, which a saved model answers alike."""
    X = np.random.default_rng(0).normal(size=(60, 6))
    y = (X[:, 0] + X[:, 3] > 0).astype(int) if task == "Classifier" else X[:, 0] + X[:, 3]
    X[::5, :3] = np.nan
    machine, linear = (SVC, LogisticRegression) if task == "Classifier" else (SVR, Ridge)
    held = {"a": machine(), "b": make_pipeline(StandardScaler(), linear())}
    one = {"estimator": machine()} if kind == "EarlyFusion" else {"estimators": held}
    layout = {"a": slice(0, 3), "b": slice(3, 6)}
    model = getattr(mmgraph, kind + task)(**one, modalities=layout).fit(X, y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert_same(loaded.predict(X), model.predict(X))
    if task == "Classifier":
        assert_same(loaded.predict_proba(X), model.predict_proba(X))


def test_other_version_of_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(sklearn, "__version__", "1.4.2")
    save(Holder(Ridge()), tmp_path / "model")
    monkeypatch.setattr(sklearn, "__version__", "1.4.9")
    load(tmp_path / "model")
    monkeypatch.setattr(sklearn, "__version__", "1.40.0")
    message = r"model' holds an estimator of scikit-learn 1\.4\.2, which may not work in 1\.40\.0"
    with pytest.raises(ModelFileError, match=message + r": load it with scikit-learn 1\.4, or fit"):
        load(tmp_path / "model")


def altered(name, change):
    """A support vector machine that has been tampered with."""
    machine, _ = learnt(SVC())
    setattr(machine, name, change(getattr(machine, name)))
    return machine


@pytest.mark.parametrize(
    ("name", "change"),
    {
        "_dual_coef_": lambda a: a[:, 1:],
        "_n_support": lambda a: a + np.array([99, -99, 0], a.dtype),
        "support_vectors_": lambda a: a[:, :1],
        "_intercept_": lambda a: a[:1],
        "_probA": lambda a: np.ones(2),
        "support_": lambda a: a[1:],
    }.items(),
)
def test_machines_that_do_not_fit_together(name, change, tmp_path, monkeypatch):
    machine = altered(name, change)
    with pytest.raises(TypeError, match="SVC whose arrays do not fit together"):
        save(Holder(machine), tmp_path / "model")
    with monkeypatch.context() as patch:
        patch.setattr(foreign, "check_safe", lambda estimator: None)
        save(Holder(machine), tmp_path / "model")
    with pytest.raises(ModelFileError, match="holds a SVC whose arrays do not fit together"):
        load(tmp_path / "model")


def test_public_estimator_unfitted(estimator, tmp_path):
    save(estimator, tmp_path / "model")
    assert_same(load(tmp_path / "model"), estimator)


def test_attributes_and_parameters(tmp_path):
    holder = Holder({"a": Holder(other=2)}).fit(np.eye(3))
    save(holder, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert_same(loaded, holder)
    assert set(vars(loaded)) == {"value", "other", "mean_", "_rows"}


STRUCTURED = np.dtype([("a", "<f4"), ("b", ">i8", (2,)), ("c", "<U3")])
VALUES = {
    "none": None,
    "bool": True,
    "ints": [0, -1, 2**53, -(2**64), 10**5000],
    "floats": [0.1, -0.0, 5.0, 1e308, 5e-324, np.inf, -np.inf, np.nan],
    "text": ["", "é", "\ud800", "a\0", "\n"],
    "bytes": b"\0\xff",
    "nested": [(1, [2, ()]), {"b": {}, "a": []}],
    "keys": {"b": 1, 0: 2, (1, "c"): 3, None: 4, True: 5, np.int64(7): 6, 0.5: 7},
    "slices": [slice(None), slice(0, None, 2), slice(np.int64(1), 2)],
    "sets": [{"b", "a"}, set(), frozenset({"c"})],
    "scalars": [np.float32(0.1), np.int8(-1), np.True_, np.complex64(1j), np.longdouble(1) / 3],
    "paths": [Path("a", "b.c"), Path()],
    "strings": [np.str_(""), np.str_("a\0"), np.bytes_(b"\0\xff\0")],
    "times": [np.datetime64("2020-01-01", "ns"), np.timedelta64("NaT", "s")],
    "void": np.zeros((), STRUCTURED)[()],
    "dtypes": [np.dtype("f4"), np.dtype(">i2"), STRUCTURED, np.dtype("M8[ns]")],
    "array": np.random.default_rng(0).normal(size=(3, 4)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "view": np.arange(24).reshape(4, 6)[::2, ::-3],
    "zero-d": np.array(3.0, ">f4"),
    "empty": np.empty((0, 3), np.float32),
    "unicode": np.array(["é", "abc"]),
    "structured": np.zeros(2, STRUCTURED),
    "aligned": np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "objects": np.array(["a", "bc", None], object),
    "object matrix": np.array([["a", "b"], ["c", "d"]], object),
    "string dtype": np.array(["a", "bcd"], np.dtypes.StringDType()),
    "csr array": sparse.csr_array(np.eye(3)),
    "csc array": sparse.csc_array(np.eye(3, 2, dtype=np.float32)),
    "csr matrix": sparse.csr_matrix((2, 5)),
    "csc matrix": sparse.csc_matrix(np.array([[0, np.nan]])),
    "named tuple": Point(np.arange(3), Point(1, (2,))),
    "dataclass": {"image": Setting(np.float64(0.1))},
    "same names": {"a b": np.zeros(1), "a.b": np.ones(1), "": np.ones(2), "../x": np.ones(3)},
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_value(value, tmp_path):
    assert_same(round_trip(value, tmp_path / "model"), value)


def test_random_state_goes_on(tmp_path):
    random_state = np.random.RandomState(0)
    random_state.normal(size=7)
    loaded = round_trip(random_state, tmp_path / "model")
    assert_same(loaded.normal(size=700), random_state.normal(size=700))


def test_memmap_becomes_an_array(tmp_path):
    mapped = np.memmap(tmp_path / "data", np.float32, "w+", shape=(4,))
    assert_same(round_trip(mapped, tmp_path / "model"), np.zeros(4, np.float32))


def test_gpu_array_becomes_an_array(tmp_path):
    with installed() as cupy:
        found = round_trip({"a": cupy.arange(3)}, tmp_path / "model")
    assert_same(found, {"a": np.arange(3)})


texts = st.text() | st.text(st.characters())
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary()
    | st.slices(5)
    | st.sets(texts)
    | hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(), hnp.byte_string_dtypes()),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
    )
    | hnp.scalar_dtypes().flatmap(lambda dtype: hnp.from_dtype(dtype)).map(np.asarray)
    | hnp.array_dtypes()
    .filter(lambda dtype: str(dtype).isascii())
    .flatmap(lambda dtype: hnp.arrays(dtype, 2))
)
keys = st.recursive(
    st.integers() | texts | st.booleans(), lambda inner: st.lists(inner, max_size=2).map(tuple)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Setting, inner)
        | st.builds(Holder, inner)
    ),
    max_leaves=8,
)


@given(value=values)
def test_any_value(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any_value"
    assert_same(round_trip(value, path), value)


def test_numpy_opens_the_file(tmp_path):
    save(Holder().fit(np.eye(2)), tmp_path / "model")
    with np.load(tmp_path / "model", allow_pickle=False) as arrays:
        assert_same(arrays["mean_"], np.full(2, 0.5))


def test_same_model_same_bytes(tmp_path):
    holder = Holder([{"b", "a"}, np.arange(3)])
    save(holder, tmp_path / "a")
    save(holder, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# What cannot be saved is an error that names it, before anything is written

MASKED = np.ma.masked_array([1.0, 2.0], [True, False])
RECORDS = np.zeros(1, [("a", "f4")]).view(np.recarray)
CYCLE = []
CYCLE.append(CYCLE)
FOREIGN = {
    "lambda": ({"image": lambda: 0}, r"^value\['image'\] cannot be saved: .*function"),
    "object": ([1, object()], r"^value\[1\] cannot be saved: .*builtins:object"),
    "class": (int, "builtins:type"),
    "sklearn": ((KNeighborsClassifier(),), r"^value\[0\] cannot be saved: .*pickles execute code"),
    "memory": (Pipeline([("a", Ridge())], memory="here"), "a Pipeline with a memory"),
    "precomputed": (SVC(kernel="precomputed"), "a SVC of precomputed kernels"),
    "kernel": (SVC(kernel=np.dot), r"^value\.kernel cannot be saved"),
    "generator": (np.random.default_rng(0), "Generator"),
    "random state": (np.random.RandomState(np.random.PCG64(0)), "PCG64"),
    "set": ({1}, "a set of anything but str"),
    "objects": (np.array(["a", object()], object), r"^value\[1\] cannot be saved"),
    "object field": (np.zeros(2, [("a", object)]), "no npy form"),
    "greek field": (np.zeros(2, [("σ", float)]), "no npy form"),
    "object dtype": (np.dtype(object), "no npy form"),
    "metadata": (np.zeros(2, np.dtype("f4", metadata={"a": 1})), "no npy form"),
    "missing string": (np.array(["a"], np.dtypes.StringDType(na_object=None)), "no npy form"),
    "masked": (MASKED, "MaskedArray"),
    "recarray": (RECORDS, "recarray"),
    "record": (RECORDS[0], "no npy form"),
    "coo": (sparse.coo_array(np.eye(2)), "coo_array"),
    "thawed": (Point(0, Thawed(1)), r"^value\.y cannot be saved: .*Thawed"),
    "named tuple": (sys.version_info, "version_info"),
    "local": (NamedTuple("Local", [("a", int)])(1), "not one that a module of mmgraph defines"),
    "cycle": (CYCLE, "contains itself"),
    "key": ({len: 1}, r"^key <built-in function len> of value cannot be saved"),
}


@pytest.mark.parametrize(("value", "message"), FOREIGN.values(), ids=FOREIGN)
def test_refuses_to_save(value, message, tmp_path):
    (tmp_path / "model").write_text("before")
    with pytest.raises(TypeError, match=message):
        save(Holder(value), tmp_path / "model")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_refuses_foreign_estimator(tmp_path):
    with pytest.raises(TypeError, match="LinearRegression is not a public estimator of mmgraph"):
        save(LinearRegression(), tmp_path / "model")
    with pytest.raises(TypeError, match="builtins:dict is not a public estimator of mmgraph"):
        save({}, tmp_path / "model")


# The file appears whole or not at all


def test_overwrite(tmp_path):
    path = tmp_path / "model"
    save(Holder(1), path, overwrite=False)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save(Holder(2), path, overwrite=False)
    assert load(path).value == 1
    save(Holder(2), str(path))
    assert load(str(path)).value == 2


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "numpy.lib.format.write_array"])
def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    path = tmp_path / "model"
    save(Holder(1), path)

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(type(error)):
            save(Holder(np.arange(3)), path)
    assert os.listdir(tmp_path) == ["model"]
    assert load(path).value == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_and_links(tmp_path):
    path, link = tmp_path / "model", tmp_path / "link"
    save(Holder(1), path)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    link.symlink_to(path)
    save(Holder(2), link)
    assert link.is_symlink()
    assert load(path).value == 2


# Damage is found


@pytest.fixture(scope="module")
def small(tmp_path_factory, held):
    path = tmp_path_factory.mktemp("small") / "model"
    save(Holder([1.5, "text"]).fit(np.eye(2)), path)
    return path


def test_every_flipped_byte_is_found(small, tmp_path):
    data, path = small.read_bytes(), tmp_path / "flipped"
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0xFF):
            flipped = bytearray(data)
            flipped[position] ^= mask
            path.write_bytes(flipped)
            with pytest.raises(ModelFileError, match=r"^'.*flipped' "):
                load(path)


def test_every_truncation_is_found(small, tmp_path):
    data, path = small.read_bytes(), tmp_path / "truncated"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="is not a model file of mmgraph"):
            load(path)


def test_anything_appended_is_found(small, tmp_path):
    for extra in (b"\0", b"\n", small.read_bytes()[-100:]):
        (tmp_path / "longer").write_bytes(small.read_bytes() + extra)
        with pytest.raises(ModelFileError):
            load(tmp_path / "longer")


def test_foreign_files(tmp_path):
    path = tmp_path / "foreign"
    np.savez(tmp_path / "foreign.npz", a=np.arange(3))
    contents = [b"", b"PK", pickle.dumps(Holder()), (tmp_path / "foreign.npz").read_bytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"^'.*foreign' is not a model file of mmgraph"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")
    assert issubclass(ModelFileError, ValueError)


def test_newer_format(small, tmp_path):
    forge(tmp_path / "newer", members(small), comment="9.1 format 7")
    message = r"written by mmgraph 9\.1 in format 7; this mmgraph .* reads up to format 1: upgrade"
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "newer")


# A forged file executes nothing and exhausts nothing


class Payload:
    def __reduce__(self):
        return (pytest.fail, ("the payload was executed",))


def test_pickle_is_refused(tmp_path):
    payload = npy(np.array([Payload()], object), allow_pickle=True)
    with pytest.raises(pytest.fail.Exception):
        np.load(io.BytesIO(payload), allow_pickle=True)
    forge_value(tmp_path / "forged", {"array": "a.npy"}, **{"a.npy": payload})
    with pytest.raises(ModelFileError, match=r"Python objects in 'a\.npy', which are never loaded"):
        load(tmp_path / "forged")


ARRAY = npy(np.arange(3.0))
FORGED = {
    "unknown kind": ({"pickle": "gASVAAA="}, "unknown kind, 'pickle'"),
    "two tags": ({"int": "0x1", "float": "1.0"}, "ValueError"),
    "function": ({"record": ["os:system", {"command": "true"}]}, "no class that mmgraph"),
    "reexport": ({"record": ["mmgraph.held:Borrowed", {}]}, "no class that mmgraph"),
    "function inside": ({"record": ["mmgraph.held:function", {}]}, "no class that mmgraph"),
    "not frozen": ({"record": ["mmgraph.held:Thawed", {"scale": 1}]}, "no class that mmgraph"),
    "through a module": (
        {"record": ["mmgraph.persistence:os.system", {}]},
        "no class that mmgraph",
    ),
    "dunder": ({"record": ["mmgraph.__main__:main", {}]}, "no class that mmgraph"),
    "wrong fields": ({"record": ["mmgraph.held:Point", {"z": 1}]}, "TypeError"),
    "no such module": ({"record": ["mmgraph.nonsense:Point", {}]}, "no class that mmgraph"),
    "no such class": ({"record": ["mmgraph.held:Nonsense", {}]}, "no class that mmgraph"),
    "no such estimator": ({"estimator": ["Nonsense", {}, {}]}, "'Nonsense', no class that"),
    "not an estimator": ({"estimator": ["save", {}, {}]}, "'save', no class that"),
    "no such member": ({"array": "b.npy"}, "KeyError"),
    "member twice": ([{"array": "a.npy"}, {"array": "a.npy"}], "KeyError"),
    "the tree itself": ({"array": "model.json"}, "KeyError"),
    "deep": (eval("[" * 50 + "]" * 50), None),
    "object scalar": ({"scalar": ["|O", "00" * 8]}, "no object"),
    "short scalar": ({"scalar": ["<f8", "00"]}, "no float64"),
    "unhashable": ({"dict": [[[], 1]]}, "TypeError"),
    "impossible sparse": (
        {"sparse": ["csr_array", {"tuple": [1, 1]}, *({"array": name} for name in "dip")]},
        "ValueError",
    ),
    "impossible state": ({"RandomState": [{"array": "k"}, 10**6, 0, 0.0]}, "state is impossible"),
}


@pytest.mark.parametrize(("tree", "message"), FORGED.values(), ids=FORGED)
def test_forged_value(tree, message, tmp_path):
    parts = {
        "a.npy": ARRAY,
        "d": npy(np.ones(1)),
        "i": npy(np.array([10**6])),
        "p": npy(np.array([0, 1])),
        "k": npy(np.zeros(624, np.uint32)),
    }
    forge_value(tmp_path / "forged", tree, **parts)
    if message is None:
        assert load(tmp_path / "forged").value == tree
        return
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "forged")


@pytest.mark.parametrize(
    "member",
    [
        header((10**15,)),
        header((10**15,), "<U100"),
        header((2**62, 2**62)),
        ARRAY[:-8],
        ARRAY + b"\0",
        ARRAY[:6] + b"\2\0" + ARRAY[8:],
        b"",
    ],
)
def test_declared_size_is_checked(member, tmp_path):
    forge_value(tmp_path / "forged", {"array": "a.npy"}, **{"a.npy": member})
    with pytest.raises(ModelFileError):
        load(tmp_path / "forged")


def test_compression_is_refused(small, tmp_path):
    contents = {**members(small), "bomb.npy": bytes(10**6)}
    forge(tmp_path / "bomb", contents, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="larger than the file"):
        load(tmp_path / "bomb")


def test_not_an_estimator(tmp_path):
    forge(tmp_path / "forged", {"model.json": '{"tuple": []}'})
    with pytest.raises(ModelFileError, match="holds no estimator"):
        load(tmp_path / "forged")


def test_bottomless_tree(tmp_path):
    deep = "[" * 10**5 + "]" * 10**5
    forge(tmp_path / "forged", {"model.json": deep})
    with pytest.raises(ModelFileError, match="RecursionError"):
        load(tmp_path / "forged")
