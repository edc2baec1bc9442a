"""Which columns are whose: packing, layouts, presence, sequences."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import mmgraph as mg
from mmgraph.modalities import Layout

pd = pytest.importorskip("pandas")
RNG = np.random.default_rng(0)


def equal(a, b):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# pack and unpack -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (RNG.normal(size=(3, 4)), np.float64),
        (RNG.normal(size=(3, 4)).astype(np.float32), np.float32),
        (RNG.normal(size=(3, 4)).astype(np.float16), np.float32),
        (RNG.normal(size=(3, 2, 5, 1)), np.float64),
        (RNG.normal(size=3), np.float64),
        (RNG.integers(0, 200, (3, 2)).astype(np.uint8), np.float32),
        (RNG.integers(0, 200, (3, 2)), np.float64),
        (RNG.integers(0, 2, (3, 2)).astype(bool), np.float32),
        ([[1, 2], [3, 4], [5, 6]], np.float64),
        (((1.5,), (2.5,), (3.5,)), np.float64),
    ],
)
def test_arrays_of_any_shape_and_type(data, dtype):
    X, modalities = mg.pack(one=np.zeros((3, 2), np.float32), two=data)
    width = int(np.prod(np.shape(data)[1:]))
    assert X.dtype == dtype
    assert modalities == {"one": slice(0, 2), "two": slice(2, 2 + width)}
    equal(mg.unpack(X, modalities)["two"], np.reshape(data, (3, width)).astype(dtype))


def test_rows_of_none_are_absent():
    X, modalities = mg.pack(a=[[1.0, 2.0], None, [3.0, 4.0]], b=(None, 5, 6), c=[np.eye(2)] * 3)
    equal(X[:, modalities["a"]], [[1, 2], [np.nan, np.nan], [3, 4]])
    equal(X[:, modalities["b"]], [[np.nan], [5], [6]])
    assert modalities["c"] == slice(3, 7)
    float32 = np.ones(2, np.float32)
    assert mg.pack(a=[float32, None])[0].dtype == np.float32
    ragged = np.array([None, np.ones(2)], dtype=object)
    equal(mg.pack(a=ragged)[0], [[np.nan, np.nan], [1, 1]])


def test_sparse_gives_csr():
    counts = sp.coo_array(RNG.random((4, 6)) * (RNG.random((4, 6)) < 0.5))
    X, modalities = mg.pack(image=np.ones((4, 2), np.float32), text=counts)
    assert X.format == "csr"
    assert X.dtype == np.float64
    equal(X.toarray(), np.c_[np.ones((4, 2)), counts.toarray()])
    text = mg.unpack(X, modalities)["text"]
    assert text.format == "csr"
    equal(text.toarray(), counts.toarray())
    assert mg.pack(a=sp.csr_array(np.eye(3, dtype=bool)))[0].dtype == np.float32
    assert mg.unpack(sp.coo_array(X), modalities)["image"].format == "csr"


def test_absent_sparse_modality_is_one_explicit_nan_a_row():
    _, modalities = mg.pack(image=np.ones((2, 3)), text=sp.csr_array((2, 5)))
    X, again = mg.pack(modalities, image=sp.csr_array(np.ones((4, 3))))
    assert again == modalities
    assert np.isnan(X.data).sum() == 4
    views = Layout.resolve(modalities, 8).views(X)
    assert not views.present["text"].any()
    assert views.present["image"].all()


def test_data_frames_get_prefixes_and_keep_their_index():
    image = pd.DataFrame({"px0": [1.0, 2.0], "px1": [3.0, 4.0]}, index=["r", "s"])
    tail = pd.Series([7, 8], index=["r", "s"], name="age")
    X, modalities = mg.pack(image=image, text=[[5, 6], None], person=tail)
    assert list(X.columns) == ["image__px0", "image__px1", "text__0", "text__1", "person__age"]
    assert list(X.index) == ["r", "s"]
    assert modalities["image"] == ["image__px0", "image__px1"]
    for layout in (modalities, None):
        parts = mg.unpack(X, layout)
        pd.testing.assert_frame_equal(parts["image"], image)
        assert list(parts["person"].columns) == ["age"]
        equal(parts["text"], [[5, 6], [np.nan, np.nan]])


def test_sparse_beside_data_frames_is_dense_and_absent_in_full():
    _, modalities = mg.pack(a=sp.csr_array((1, 2)), b=np.ones((1, 3)))
    absent = mg.unpack(mg.pack(modalities, a=sp.csr_array((2, 2)))[0], modalities)["b"]
    X, layout = mg.pack(b=absent, c=pd.DataFrame({"c": [1.0, 2.0]}))
    assert X[layout["b"]].isna().all(axis=None)


def test_unpack_keeps_names_without_prefix_and_takes_stacks_of_draws():
    X = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["u", "v", "w"])
    parts = mg.unpack(X, {"a": ["w", "u"], "b": ["v"]})
    assert list(parts["a"].columns) == ["w", "u"]
    draws = RNG.normal(size=(5, 2, 3))
    equal(mg.unpack(draws, {"a": [2, 0], "b": 1})["a"], draws[..., [2, 0]])
    layout = Layout.resolve({"a": ["w", "u"], "b": ["v"]}, 3, feature_names=["u", "v", "w"])
    equal(mg.unpack(draws, layout)["a"], draws[..., [2, 0]])
    with pytest.raises(ValueError, match="X has 2 columns, but the layout has 3"):
        mg.unpack(draws[..., :2], layout)


def test_unpack_takes_lists():
    equal(mg.unpack([[1, 2], [3, 4]], {"a": [0], "b": [1]})["b"], [[2], [4]])


def test_like_an_earlier_layout():
    X, modalities = mg.pack(image=np.ones((2, 2, 2)), text=np.zeros((2, 3)), tag=[1, 2])
    Y, again = mg.pack(modalities, text=[[0, 1, 2]])
    assert again == modalities
    assert Y.shape == (1, X.shape[1])
    views = Layout.resolve(modalities, Y.shape[1]).views(Y)
    assert {name: bool(mask.all()) for name, mask in views.present.items()} == {
        "image": False,
        "text": True,
        "tag": False,
    }


@pytest.mark.parametrize(
    "like",
    [
        {"a": slice(0, 5, 2), "b": slice(1, 4, 2)},
        {"b": [4, 0], "a": [1, 3, 2]},
        {"a": slice(4, 1, -1), "b": (0, 1)},
        {"a": np.array([True, False, True, False, True]), "b": np.array([1, 3])},
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, pd.DataFrame])
def test_like_any_layout_of_bounded_columns(like, kind):
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2))
    X, again = mg.pack(like, a=kind(a), b=b)
    assert again == dict(like)
    assert sp.issparse(X) == (kind is sp.csr_array)
    parts = mg.unpack(X.toarray() if sp.issparse(X) else X, like)
    equal(parts["a"], a)
    equal(parts["b"], b)
    alone = mg.pack(like, b=kind(b))[0]
    views = Layout.resolve(like, 5).views(alone)
    assert not views.present["a"].any()
    assert views.present["b"].all()


def test_like_slices_without_an_end():
    like = {"a": slice(0, None, 2), "b": slice(1, None, 2)}
    X, _ = mg.pack(like, a=[[1, 3]], b=[[2, 4]])
    equal(X, [[1, 2, 3, 4]])
    with pytest.raises(ValueError, match=r"'b' is absent, and slice.* give the slice an end"):
        mg.pack(like, a=[[1, 3]])


def test_like_a_data_frame_layout_keeps_its_names():
    frame = pd.DataFrame([[1.0, 2.0]], columns=["x", "y"])
    X, modalities = mg.pack(sequence=[4], image=frame, text=[[5, 6]])
    Y, again = mg.pack(modalities, sequence=[4], text=[[5, 6], None][:1])
    assert again == modalities
    assert list(Y.columns) == list(X.columns)
    assert Y[modalities["image"]].isna().all(axis=None)
    Y, _ = mg.pack(modalities, sequence=[4], image=frame)
    assert list(Y.columns) == list(X.columns)
    with pytest.raises(ValueError, match="'image' has the columns 'image__y', 'image__x', but"):
        mg.pack(modalities, image=frame[["y", "x"]])


def test_sequence_ids_come_first():
    X, modalities = mg.pack(sequence=[7, 7, 9], audio=np.ones((3, 2), np.float32))
    equal(X[:, 0], [7, 7, 9])
    assert X.dtype == np.float64
    assert modalities == {"audio": slice(1, 3)}
    assert set(mg.unpack(X, modalities, sequence=0)) == {"audio"}
    X, modalities = mg.pack(sequence=[7, 7, 9], audio=pd.DataFrame(np.ones((3, 2))))
    assert X.columns[0] == "sequence"
    assert set(mg.unpack(X, sequence="sequence")) == {"audio"}
    X, _ = mg.pack(sequence=[1, 2], text=sp.csr_array(np.eye(2)))
    equal(X.toarray(), [[1, 1, 0], [2, 0, 1]])
    like = {"audio": slice(1, 3), "video": slice(3, 4)}
    equal(mg.pack(like, sequence=[5], video=[1.0])[0], [[5, np.nan, np.nan, 1]])
    with pytest.raises(ValueError, match="column 0 for the sequence ids: pass sequence="):
        mg.pack(like, video=[1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at least one modality, such as pack"),
        ({"a": np.ones((2, 1)), "b": np.ones((3, 1))}, r"number of rows: {'a': 2, 'b': 3}.*None"),
        ({"a": np.ones((2, 1)), "sequence": [1]}, r"rows: {'a': 2, 'sequence': 1}"),
        ({"a": [None, None]}, "'a' is None in every row.*leave it out"),
        ({"a": [[1], None, [1, 2]]}, r"'a' differ in width: \[1, 2\]"),
        ({"a": [[1], [1, 2]]}, "'a' is not an array of numbers .*same number of features, or None"),
        ({"a": 3.0}, "'a' must have one entry a row; got the single value 3"),
        ({"a": ["x", "y"]}, "'a' must hold numbers; got dtype <U1.*CountVectorizer"),
        ({"a": np.array(["x", None], dtype=object)}, "'a' must hold numbers"),
        ({"a": np.ones((2, 1), complex)}, "'a' must hold numbers; got dtype complex"),
        ({"a": np.ones((2, 0))}, r"'a' has no columns \(shape \(2, 0\)\)"),
        ({"a": [1, 2], "sequence": ["u", "v"]}, "one number a row.*np.unique"),
        ({"a": [1, 2], "sequence": [[1], [2]]}, r"an array of shape \(2, 1\)"),
        ({"a__b": pd.DataFrame({"x": [1.0]})}, "'a__b' has '__' in its name.*another name"),
        (
            {"a": pd.DataFrame({"x": [1.0]}), "b": pd.DataFrame({"x": [1.0]}, index=[5])},
            "'b' has another index than the first DataFrame",
        ),
    ],
)
def test_pack_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        mg.pack(**arguments)


def test_pack_sequences_lays_each_recording_below_the_last():
    rng = np.random.default_rng(0)
    lengths = {"a": [3, 0, 2], "b": [1, 4, 2]}  # 0: not there
    parts = {
        name: [rng.normal(size=(n, 2)) if n else None for n in own] for name, own in lengths.items()
    }
    X, modalities = mg.pack_sequences(**parts)
    np.testing.assert_array_equal(X[:, 0], [0, 0, 0, 1, 1, 1, 1, 2, 2])
    views = Layout.resolve(modalities, 5, sequence=0).views(X)
    for name, own in parts.items():
        for rows, n, part in zip(views.sequences(), lengths[name], own, strict=True):
            assert views.present[name][rows].sum() == n
            if n:
                np.testing.assert_array_equal(views.blocks[name][rows][:n], part)
    slow, _ = mg.pack_sequences(modalities, b=[[[1, 2], None, [3, 4]]])  # and a is not there
    np.testing.assert_array_equal(slow[:, 3], [1, np.nan, 3])
    assert np.isnan(slow[:, 1:3]).all()


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({}, "differ in their number of sequences: {}"),
        ({"a": [[1], [2]], "b": [[1]]}, r"number of sequences: {'a': 2, 'b': 1}.*None"),
        ({"a": [[1], None], "b": [[1], None]}, "sequence 1 has no frame in any stream"),
        ({"a": [np.ones((2, 1)), np.ones((2, 3))]}, r"'a' differ in their number .*: \[1, 3\]"),
        ({"a": [[1]], "b": [None]}, "sequences of stream 'b' are all None"),
        ({"a": [["x"]]}, "'a' must hold numbers"),
        ({"a": [3.0]}, "'a' must have one entry a row"),
    ],
)
def test_pack_sequences_says_what_is_wrong(streams, message):
    with pytest.raises(ValueError, match=message):
        mg.pack_sequences(**streams)


def test_pack_like_says_what_is_wrong():
    like = {"a": slice(0, 2), "b": slice(2, 3)}
    with pytest.raises(ValueError, match=r"unknown modality 'c': the modalities are \['a', 'b'\]"):
        mg.pack(like, c=[[1]])
    with pytest.raises(ValueError, match="'a' has 3 columns, but 2 in the layout: give it"):
        mg.pack(like, a=[[1, 2, 3]])


@st.composite
def layouts(draw):
    """A random layout, its number of columns, and the columns of each modality as lists."""
    n = draw(st.integers(1, 9))
    order = draw(st.permutations(range(n)))
    n_modalities = draw(st.integers(1, min(3, n)))
    cuts = draw(st.permutations(range(1, n)))[: n_modalities - 1]
    edges = [0, *sorted(cuts), n]
    listed = {f"m{k}": order[edges[k] : edges[k + 1]] for k in range(n_modalities)}
    if draw(st.booleans()) and n_modalities > 1:  # interleaved, perhaps reversed
        step = draw(st.sampled_from([1, -1]))
        spec = {
            f"m{k}": slice(k, n, n_modalities)
            if step == 1
            else slice(n - 1 - k, None, -n_modalities)
            for k in range(n_modalities)
        }
        return spec, n, {name: list(range(n))[s] for name, s in spec.items()}
    form = draw(st.sampled_from([list, tuple, np.array, lambda c: [i - n for i in c]]))
    return {name: form(c) for name, c in listed.items()}, n, listed


@given(layouts(), st.integers(0, 4), st.sampled_from(["dense", "sparse", "frame"]), st.data())
def test_round_trip_of_random_layouts(case, n_rows, kind, data):
    spec, n, listed = case
    layout = Layout.resolve(spec, n)
    assert {name: c.tolist() for name, c in layout.columns.items()} == listed
    X = np.arange(n_rows * n, dtype=float).reshape(n_rows, n) + 1
    held = {"dense": lambda: X, "sparse": lambda: sp.csr_array(X), "frame": lambda: pd.DataFrame(X)}
    parts = mg.unpack(held[kind](), spec)
    for name, columns in listed.items():
        part = parts[name].toarray() if kind == "sparse" else np.asarray(parts[name])
        equal(part, X[:, columns])
    dense = {name: X[:, columns] for name, columns in listed.items()}
    equal(layout.join(dense, n_rows), X)
    if kind != "frame" and all(c >= 0 for columns in spec.values() for c in layout_ints(columns)):
        again = mg.pack(spec, **parts)[0]
        equal(again.toarray() if kind == "sparse" else again, X)
    shown = data.draw(st.lists(st.sampled_from(list(spec)), unique=True))
    views = layout.views(layout.join({name: dense[name] for name in shown}, n_rows))
    assert {name for name, mask in views.present.items() if mask.all()} >= set(shown)
    if n_rows:
        assert [set(p) for p, _ in views.patterns()] == [set(shown)]


def layout_ints(spec):
    return [] if isinstance(spec, slice) else spec


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 5), st.booleans())
def test_round_trip_of_packing(widths, n_rows, with_ids):
    blocks = {f"m{k}": RNG.normal(size=(n_rows, w)) for k, w in enumerate(widths)}
    ids = np.arange(n_rows) if with_ids else None
    X, modalities = mg.pack(**blocks, sequence=ids)
    parts = mg.unpack(X, modalities, sequence=0 if with_ids else None)
    assert list(parts) == list(blocks)
    for name, block in blocks.items():
        equal(parts[name], block)
    equal(mg.pack(modalities, **parts, sequence=ids)[0], X)


# Layout.resolve --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "columns"),
    [
        ({"a": slice(0, 2), "b": slice(2, None)}, {"a": [0, 1], "b": [2, 3, 4]}),
        ({"a": slice(-3, None), "b": [0, 1]}, {"a": [2, 3, 4], "b": [0, 1]}),
        ({"a": slice(None, None, -1)}, {"a": [4, 3, 2, 1, 0]}),
        ({"a": [-1, 0], "b": range(1, 4)}, {"a": [4, 0], "b": [1, 2, 3]}),
        ({"a": 2, "b": np.array([0, 1, 3, 4])}, {"a": [2], "b": [0, 1, 3, 4]}),
        ({"a": np.array([1, 0, 0, 1, 0], bool), "b": [1, 2, 4]}, {"a": [0, 3], "b": [1, 2, 4]}),
        ({"a": [True, False, False, True, False], "b": (1, 2, 4)}, {"a": [0, 3], "b": [1, 2, 4]}),
        ({"a": ["c0", "c4"], "b": ["c3", 1, 2]}, {"a": [0, 4], "b": [3, 1, 2]}),
        ({"a": "c1", "b": pd.Index(["c0", "c2", "c3", "c4"])}, {"a": [1], "b": [0, 2, 3, 4]}),
        (None, {"X": [0, 1, 2, 3, 4]}),
    ],
)
def test_resolve(spec, columns):
    layout = Layout.resolve(spec, 5, feature_names=[f"c{i}" for i in range(5)])
    assert {name: c.tolist() for name, c in layout.columns.items()} == columns
    assert layout.names == tuple(columns)
    assert layout.require("a" if spec else "X")


def test_resolve_reads_prefixes():
    names = ["image__px0", "text__a__b", "utterance", "image__px1"]
    layout = Layout.resolve(None, 4, feature_names=names, sequence="utterance")
    assert {n: c.tolist() for n, c in layout.columns.items()} == {"image": [0, 3], "text": [1]}
    assert layout.sequence == 2
    with pytest.raises(ValueError, match=r"column 2 \('utterance'\) belongs to no modality"):
        Layout.resolve(None, 4, feature_names=names)
    assert Layout.resolve(None, 2, feature_names=["__x", "y"]).names == ("X",)


def test_slices_run_across_the_sequence_id():
    layout = Layout.resolve({"a": slice(None)}, 3, sequence=-2)
    assert layout.columns["a"].tolist() == [0, 2]
    assert Layout.resolve(None, 3, sequence=0).columns["X"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"a": [0, 1], "b": [1, 2]}, r"column 1 \('c1'\) belongs to both 'a' and 'b': give it to"),
        ({"a": [0, 1, 0], "b": [2]}, r"column 0 \('c0'\) belongs to both 'a' and 'a'"),
        ({"a": [0, 1]}, r"column 2 \('c2'\) belongs to no modality \(X has n_features=3\): add it"),
        ({"a": ["c0", "zz"]}, "'a' names column 'zz', which X does not have: its columns are 'c0'"),
        ({"a": slice(None), "b": []}, "'b' has no columns: X has n_features=3. Give it at least"),
        ({"a": slice(0, 3), "b": slice(3, None)}, "'b' has no columns: X has n_features=3"),
        ({"a": [0, 3]}, "'a' lists column 3, but X has n_features=3: give numbers from 0 to 2"),
        ({"a": [-4]}, "'a' lists column -4, but X has n_features=3"),
        ({"a": slice(0, 64)}, r"'a' is slice\(0, 64, None\), but X has n_features=3: end the sl"),
        ({"a": slice("c0", "c2")}, "'a' is slice.*must be ints. To name columns, list them all"),
        ({"a": [0.0, 1.0]}, "'a' lists 0.0 as a column: give column numbers or names"),
        ({"a": [[0, 1], [2]]}, r"'a' lists \[0, 1\] as a column"),
        ({"a": [True, False]}, "'a' is a boolean mask of length 2, but X has n_features=3"),
        ({"a": [True, 1]}, "'a' lists True as a column"),
        ({"a": None}, "'a' is None: give its columns as a slice, a list of ints"),
        ({"a": 1.5}, "'a' is 1.5: give its columns"),
        ({"a": {0, 1, 2}}, "'a' is {0, 1, 2}: give its columns"),
        ({"a": {"c0": 1}}, "'a' is {'c0': 1}: give its columns"),
        ({}, "modalities must be a dict such as .*; got {}"),
        ([0, 1, 2], r"modalities must be a dict such as .* or None; got \[0, 1, 2\]"),
        ({0: [0, 1, 2]}, "name must be a non-empty str; got 0"),
        ({"": [0, 1, 2]}, "name must be a non-empty str; got ''"),
    ],
)
def test_resolve_says_what_is_wrong(spec, message):
    with pytest.raises(ValueError, match=message):
        Layout.resolve(spec, 3, feature_names=["c0", "c1", "c2"])


def test_resolve_without_names_and_with_a_sequence():
    with pytest.raises(ValueError, match="'a' names column 'c0', but X has no column names: pass"):
        Layout.resolve({"a": ["c0"]}, 3)
    with pytest.raises(ValueError, match="sequence names column 'id', but X has no column names"):
        Layout.resolve(None, 3, sequence="id")
    with pytest.raises(ValueError, match="sequence lists column 3, but X has n_features=3"):
        Layout.resolve(None, 3, sequence=3)
    with pytest.raises(ValueError, match=r"sequence lists 0.5 as a column"):
        Layout.resolve(None, 3, sequence=0.5)
    with pytest.raises(ValueError, match="column 0 belongs to both 'sequence' and 'a'"):
        Layout.resolve({"a": [0, 1, 2]}, 3, sequence=0)
    with pytest.raises(ValueError, match="column 1 belongs to no modality"):
        Layout.resolve({"a": [0, 2]}, 3)
    with pytest.raises(ValueError, match="'X' has no columns: X has n_features=1"):
        Layout.resolve(None, 1, sequence=0)
    with pytest.raises(ValueError, match=r"unknown modality 'b': the modalities are \['X'\]"):
        Layout.resolve(None, 1).require("b")


# Presence and views ----------------------------------------------------------------------------

NAN = np.nan
ROWS = np.array([[1, 2, 3.0], [NAN, NAN, 3], [1, 2, NAN], [NAN, NAN, NAN]])
LAYOUT = Layout.resolve({"a": [0, 1], "b": [2]}, 3)


def test_presence():
    views = LAYOUT.views(ROWS)
    equal(views.present["a"], [True, False, True, False])
    equal(views.present["b"], [True, True, False, False])
    assert views.n_rows == 4
    assert views.ids is None
    assert views.dtype == np.float64
    assert LAYOUT.views(ROWS.astype(np.float32)).dtype == np.float32


def test_a_partly_nan_block_warns_and_counts_as_absent():
    rows = ROWS.copy()
    rows[[0, 2], 1] = NAN
    with pytest.warns(UserWarning, match=r"'a' is NaN in part .* in 2 row\(s\), first in row 0"):
        views = LAYOUT.views(rows)
    equal(views.present["a"], [False] * 4)
    equal(views.present["b"], [True, True, False, False])


def test_sparse_presence():
    marked = sp.csr_array(([1.0, NAN, NAN, NAN], ([0, 1, 1, 2], [0, 0, 1, 2])), shape=(4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        views = LAYOUT.views(marked)
    equal(views.present["a"], [True, False, True, True])
    equal(views.present["b"], [True, True, False, True])
    assert views.blocks["a"].format == "csr"


def test_blocks_are_views_where_columns_are_evenly_spaced():
    X = np.zeros((2, 4))
    assert np.shares_memory(X, Layout.resolve({"a": [0, 2], "b": [1, 3]}, 4).block(X, "b"))
    assert not np.shares_memory(X, Layout.resolve({"a": [2, 0], "b": [1, 3]}, 4).block(X, "a"))


@pytest.mark.parametrize("rows", [slice(1, 3), [3, 0], np.array([True, False, False, True])])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_take(rows, kind):
    layout = Layout.resolve({"a": [0, 1]}, 3, sequence=2)
    X = np.arange(12.0).reshape(4, 3)
    taken = layout.views(kind(X)).take(rows)
    block = taken.blocks["a"]
    equal(block.toarray() if sp.issparse(block) else block, X[rows][:, :2])
    equal(taken.ids, X[rows, 2])
    assert taken.n_rows == len(X[rows])


def test_hide_changes_only_what_is_named():
    views = LAYOUT.views(ROWS)
    hidden = views.hide("a")
    assert not hidden.present["a"].any()
    equal(hidden.present["b"], views.present["b"])
    equal(views.present["a"], [True, False, True, False])
    assert hidden.blocks is views.blocks
    assert not any(mask.any() for mask in views.hide("a", "b").present.values())


def test_patterns():
    found = {shown: rows.tolist() for shown, rows in LAYOUT.views(ROWS[[0, 1, 0, 3]]).patterns()}
    both = frozenset({"a", "b"})
    assert found == {both: [0, 2], frozenset({"b"}): [1], frozenset(): [3]}
    assert list(LAYOUT.views(ROWS[:0]).patterns()) == []


# Sequences -------------------------------------------------------------------------------------


def runs(ids, kind=np.asarray):
    X = np.c_[np.ones(len(ids)), ids]
    return Layout.resolve({"a": [0]}, 2, sequence=1).views(kind(X)).sequences()


def test_sequences():
    assert runs([4, 4, 2, 9, 9]) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert runs([0, 0, 1], sp.csr_array) == [slice(0, 2), slice(2, 3)]
    assert runs([]) == []
    whole = Layout.resolve(None, 2)
    assert whole.views(np.ones((3, 2))).sequences() == [slice(0, 3)]
    assert whole.views(np.ones((0, 2))).sequences() == []


def test_sequences_must_be_contiguous_and_known():
    with pytest.raises(ValueError, match=r"sequence id 4 stands in rows .* sort the rows"):
        runs([4, 4, 2, 4])
    with pytest.raises(ValueError, match="sequence id is NaN in row 1: give every row"):
        runs([4, NAN, 2])


def test_join_fills_in_ids_and_leaves_the_absent_nan():
    layout = Layout.resolve({"a": [0], "b": [2]}, 3, sequence=1)
    equal(layout.join({"b": np.ones((2, 1))}, 2, ids=[5, 6]), [[NAN, 5, 1], [NAN, 6, 1]])
    stack = layout.join({"b": np.ones((4, 2, 1))}, 2, np.float32)
    assert stack.shape == (4, 2, 3)
    assert stack.dtype == np.float32


def test_output_indices_of_a_column_transformer_are_modalities():
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import StandardScaler

    steps = ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", StandardScaler(), [2])])
    X = np.random.default_rng(0).normal(size=(9, 3))
    steps.fit(X)
    assert "remainder" in steps.output_indices_
    layout = Layout.resolve(steps.output_indices_, 3)
    assert layout.names == ("a", "b")


@pytest.mark.parametrize(
    "kind",
    [
        mg.CCA,
        mg.SparseCCA,
        mg.KernelCCA,
        mg.ProbabilisticCCA,
        mg.DynamicTimeWarping,
        mg.CanonicalTimeWarping,
        mg.MetricTimeWarping,
        mg.LatentAligner,
    ],
)
def test_a_modality_given_as_y_is_told(kind):
    X, Y = np.random.default_rng(0).normal(size=(2, 40, 3))
    with pytest.warns(UserWarning, match=r"y is ignored: .* beside the others"):
        kind().fit(X, Y)
    kind().fit(X, Y[:, 0])
