"""The contract: what a family of twenty lines gets from the base, and how training is driven."""

import io
from contextlib import redirect_stderr
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from cupy_stand_in import installed
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import mmgraph as mg
from mmgraph.base import GenerativeMixin, MultimodalEstimator, RepresentationMixin, drive

pd = pytest.importorskip("pandas")


class JointGaussian(GenerativeMixin, MultimodalEstimator):
    """One Gaussian over all columns: the smallest generative family."""

    def __init__(self, modalities=None, sequence=None, random_state=None):
        self.modalities = modalities
        self.sequence = sequence
        self.random_state = random_state

    def fit(self, X, y=None):
        views = self._check(X, reset=True)
        X = self.layout_.join({n: dense(b) for n, b in views.blocks.items()}, views.n_rows)
        used = np.concatenate(list(self.layout_.columns.values()))
        complete = X[~np.isnan(X[:, used]).any(axis=1)]
        self.mean_, self.covariance_ = complete.mean(axis=0), np.cov(complete.T)
        return self

    def _complete(self, views, n_draws=None, key=None):
        columns, mean, cov = self.layout_.columns, self.mean_, self.covariance_
        lead = () if n_draws is None else (n_draws,)
        out = {n: np.full((*lead, *b.shape), np.inf) for n, b in views.blocks.items()}
        rng = np.random.default_rng(key)
        for shown, rows in views.patterns():
            hidden = [n for n in columns if n not in shown]
            if not hidden:
                continue
            h = np.concatenate([columns[n] for n in hidden])
            s = np.concatenate([columns[n] for n in shown] or [np.array([], int)])
            x = np.concatenate([dense(views.blocks[n][rows]) for n in shown], 1) if shown else None
            gain = cov[np.ix_(h, s)] @ np.linalg.pinv(cov[np.ix_(s, s)])
            z = mean[h] + (0 if x is None else (x - mean[s]) @ gain.T)
            z = np.broadcast_to(z, (*lead, len(rows), len(h)))
            if n_draws is not None:
                root = np.linalg.cholesky(cov[np.ix_(h, h)] - gain @ cov[np.ix_(s, h)])
                z = z + rng.normal(size=z.shape) @ root.T
            for n, part in zip(
                hidden,
                np.split(z, np.cumsum([len(columns[n]) for n in hidden])[:-1], -1),
                strict=True,
            ):
                out[n][..., rows, :] = part
        return out


class Scored(JointGaussian):
    """A family with a density too."""

    def _log_density(self, views):
        return views.present["a"] * 1.0


class Represented(RepresentationMixin, JointGaussian):
    """A family with a representation: modality a itself."""

    @property
    def _n_features_out(self):
        return len(self.layout_.columns["a"])

    def _represent(self, views):
        return dense(views.blocks["a"])


class Invertible(Represented):
    """A family whose representation can be turned back."""

    def _reconstruct(self, Z):
        return {"a": Z, "b": Z, "c": Z[:, :1]}


def dense(block):
    return block.toarray() if sp.issparse(block) else block


LAYOUT = {"a": slice(0, 2), "b": [4, 2], "c": [3]}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5)) + 3
MODEL = JointGaussian(LAYOUT, random_state=0).fit(X)


def without(name, rows=X):
    rows = rows.copy()
    rows[:, LAYOUT[name]] = np.nan
    return rows


# The verbs ---------------------------------------------------------------------------------------


def test_a_family_has_the_verbs_it_implements():
    none = JointGaussian()
    assert all(hasattr(none, verb) for verb in ("impute", "sample", "generate"))
    absent = ("transform", "fit_transform", "inverse_transform", "score_samples", "score")
    assert not any(hasattr(none, verb) for verb in (*absent, "set_output"))
    assert hasattr(Scored(), "score_samples")
    assert hasattr(Scored(), "score")
    assert hasattr(Represented(), "transform")
    assert not hasattr(Represented(), "inverse_transform")
    assert hasattr(Invertible(), "inverse_transform")
    with pytest.raises(AttributeError, match="has no attribute 'score_samples'"):
        none.score_samples(X)


def test_impute_keeps_the_observed_and_fills_in_the_rest():
    rows = X[:40].copy()
    rows[:10] = without("a")[:10]
    rows[5:15] = without("b", rows)[5:15]
    filled = MODEL.impute(rows)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~np.isnan(rows)], rows[~np.isnan(rows)])
    np.testing.assert_array_equal(filled, MODEL.impute(rows))
    # Row 0 by the textbook formula.
    h, s, cov = [0, 1], [2, 3, 4], np.cov(X.T)
    mean = X.mean(axis=0)
    gain = cov[np.ix_(h, s)] @ np.linalg.inv(cov[np.ix_(s, s)])
    np.testing.assert_allclose(filled[0, h], mean[h] + gain @ (X[0, s] - mean[s]))
    np.testing.assert_array_equal(MODEL.impute(X[:4]), X[:4])
    nothing = np.full((2, 5), np.nan)
    np.testing.assert_allclose(MODEL.impute(nothing), [mean, mean])


def test_impute_and_generate_keep_the_floating_type():
    rows = without("c")[:5].astype(np.float32)
    assert MODEL.impute(rows).dtype == np.float32
    assert MODEL.generate(rows, "c").dtype == np.float32
    assert MODEL.sample(2, given=rows).dtype == np.float32
    assert MODEL.impute(without("c")[:5]).dtype == np.float64
    assert MODEL.generate(np.ones((2, 5), int), "c").dtype == np.float64


def test_sample():
    draws = MODEL.sample(4000, random_state=1)
    assert draws.shape == (4000, 5)
    np.testing.assert_allclose(draws.mean(axis=0), X.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(X.T), atol=0.15 * np.abs(np.cov(X.T)).max())
    assert MODEL.sample().shape == (1, 5)
    given = without("b")[:6]
    draws = MODEL.sample(3, given=given, random_state=1)
    assert draws.shape == (3, 6, 5)
    shown = ~np.isnan(given)
    np.testing.assert_array_equal(draws[:, shown], np.broadcast_to(given[shown], (3, shown.sum())))
    assert not np.array_equal(draws[0], draws[1])
    assert np.isfinite(draws).all()
    complete = MODEL.sample(2, given=X[:3])
    np.testing.assert_array_equal(complete, [X[:3], X[:3]])


def test_generate():
    mean = MODEL.generate(X[:7], "b")
    assert mean.shape == (7, 2)
    np.testing.assert_allclose(mean, MODEL.impute(without("b")[:7])[:, LAYOUT["b"]])
    draws = MODEL.generate(X[:7], "b", n_samples=2000, random_state=0)
    assert draws.shape == (2000, 7, 2)
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.25)


def test_seeds():
    def draw(seed, model=MODEL):
        return model.generate(X[:2], "c", n_samples=2, random_state=seed)

    np.testing.assert_array_equal(draw(5), draw(5))
    np.testing.assert_array_equal(draw(None), draw(0))  # the estimator's own
    assert not np.array_equal(draw(5), draw(6))
    rng = np.random.RandomState(0)
    assert not np.array_equal(draw(rng), draw(rng))
    unseeded = JointGaussian(LAYOUT).fit(X)
    assert not np.array_equal(draw(None, unseeded), draw(None, unseeded))


def garbage(value):
    rows = X[:6].copy()
    rows[:, LAYOUT["b"]] = value
    return rows


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300, 0.0])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, sp.coo_matrix, pd.DataFrame, list])
def test_generate_never_looks_at_the_target(value, kind):
    rows = kind(garbage(value))
    np.testing.assert_array_equal(MODEL.generate(rows, "b"), MODEL.generate(X[:6], "b"))
    after = rows.toarray() if sp.issparse(rows) else np.asarray(rows)
    np.testing.assert_array_equal(after, garbage(value))  # and X is not changed


def test_generate_takes_a_target_of_any_type():
    expected = MODEL.generate(X[:6], "b")
    rows = X[:6].astype(object)
    rows[:, LAYOUT["b"]] = "to be generated"
    np.testing.assert_array_equal(MODEL.generate(rows, "b"), expected)
    frame = pd.DataFrame(X[:6], columns=range(10, 15))
    frame[12], frame[14] = "to be generated", pd.array([None] * 6, dtype="Int64")
    np.testing.assert_array_equal(MODEL.generate(frame, "b"), expected)
    partly = garbage(np.nan)
    partly[0, 2] = 1.0  # no warning either
    np.testing.assert_array_equal(MODEL.generate(partly, "b"), expected)
    counts = np.round(X[:6]).astype(int)
    np.testing.assert_array_equal(
        MODEL.generate(counts, "b"), MODEL.generate(counts.astype(float), "b")
    )
    np.testing.assert_array_equal(
        MODEL.generate(sp.csr_array(counts), "b"), MODEL.generate(counts, "b")
    )


def test_other_modalities_are_looked_at():
    rows = X[:3].copy()
    rows[1, 0] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        MODEL.generate(rows, "b")


def test_sparse_rows():
    rows = sp.csr_array(X)
    model = JointGaussian(LAYOUT).fit(rows)
    np.testing.assert_allclose(model.mean_, MODEL.mean_)
    marked = sp.csr_array(np.r_[X[:2], without("c")[2:4]])
    filled = model.impute(marked)
    assert isinstance(filled, np.ndarray)
    np.testing.assert_allclose(filled, MODEL.impute(marked.toarray()))


def test_data_frames():
    names = ["a__0", "a__1", "b__0", "c__0", "b__1"]
    frame = pd.DataFrame(X, columns=names)
    model = JointGaussian().fit(frame)
    assert model.layout_.names == ("a", "b", "c")
    assert model.layout_.columns["b"].tolist() == [2, 4]
    generated = model.generate(frame.assign(b__0="x"), "b")
    np.testing.assert_allclose(generated[:, ::-1], MODEL.generate(X, "b"))
    with pytest.raises(ValueError, match="feature names should match"):
        model.impute(frame[names[::-1]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.generate(frame.rename(columns={"a__0": "other"}), "b")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.impute(X)
    draws = mg.unpack(model.sample(3, given=frame[:2]), model.layout_)
    assert draws["b"].shape == (3, 2, 2)


def test_sequence_ids_are_kept():
    rows = np.c_[np.repeat([8.0, 9.0], 150), X]
    layout = {"a": [1, 2], "b": [3, 4, 5]}
    model = JointGaussian(layout, sequence=0, random_state=0).fit(rows)
    hidden = rows.copy()
    hidden[:, 1:3] = np.nan
    filled = model.impute(hidden)
    np.testing.assert_array_equal(filled[:, 0], rows[:, 0])
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(model.sample(2, given=hidden)[:, :, 0], [rows[:, 0]] * 2)
    assert np.isfinite(model.sample(4)).all()
    assert model.generate(rows, "a").shape == (300, 2)


def test_transform_and_back():
    model = Invertible(LAYOUT).fit(X.astype(np.float32))
    Z = model.transform(X.astype(np.float32))
    assert Z.dtype == np.float32
    assert model.transform(X).dtype == np.float64
    back = model.inverse_transform(Z)
    np.testing.assert_allclose(back[:, LAYOUT["b"]], Z)
    assert list(model.get_feature_names_out()) == ["invertible0", "invertible1"]
    frame = model.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == ["invertible0", "invertible1"]
    np.testing.assert_allclose(model.inverse_transform(frame), model.inverse_transform(Z))
    bad = [
        (Z[:, :1], r"Z has shape \(300, 1\), but transform gives \(n_rows, 2\)"),
        (Z[0], "Expected 2D array"),
        (np.full((2, 2), np.nan), "Z contains NaN"),
    ]
    for Z, message in bad:
        with pytest.raises(ValueError, match=message):
            model.inverse_transform(Z)


def test_score_is_the_mean_of_score_samples():
    model = Scored(LAYOUT).fit(X)
    rows = np.r_[without("a")[:3], X[:1]]
    np.testing.assert_array_equal(model.score_samples(rows), [0, 0, 0, 1])
    assert model.score(rows) == 0.25


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.transform(X),
        lambda m: m.inverse_transform(X),
        lambda m: m.impute(X),
        lambda m: m.sample(),
        lambda m: m.sample(given=X),
        lambda m: m.generate(X, "a"),
        lambda m: m.get_feature_names_out(),
    ],
)
def test_unfitted_use(call):
    with pytest.raises(NotFittedError, match="Invertible instance is not fitted yet"):
        call(Invertible(LAYOUT))


@pytest.mark.parametrize("verb", ["impute", "generate", "sample"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:, :3], "X has 3 features, but JointGaussian is expecting 5 features"),
        (np.c_[X, X], "X has 10 features, but JointGaussian is expecting 5"),
        (sp.csr_array(X[:, :3]), "X has 3 features"),
        (pd.DataFrame(X[:, :3]), "X has 3 features"),
        (X[0], "Expected 2D array, got 1D array"),
        (X[None], "Found array with dim 3"),
        (X[:0], r"Found array with 0 sample\(s\)"),
        ([[1, 2], [3]], "inhomogeneous"),
        ([["u"] * 5], "could not convert string|dtype='numeric'"),
    ],
)
def test_rows_that_do_not_fit(verb, rows, message):
    call = {
        "impute": MODEL.impute,
        "generate": lambda rows: MODEL.generate(rows, "b"),
        "sample": lambda rows: MODEL.sample(given=rows),
    }[verb]
    with pytest.raises(ValueError, match=message):
        call(rows)


def test_unknown_target():
    message = r"unknown modality 'z': the modalities are \['a', 'b', 'c'\]"
    with pytest.raises(ValueError, match=message):
        MODEL.generate(X, "z")


@pytest.mark.parametrize("n_samples", [0, -1, 2.0, "3", True])
def test_n_samples(n_samples):
    message = f"n_samples must be an int >= 1; got {n_samples!r}"
    with pytest.raises(ValueError, match=message):
        MODEL.sample(n_samples)
    with pytest.raises(ValueError, match=message):
        MODEL.sample(n_samples, given=X)
    with pytest.raises(ValueError, match=message):
        MODEL.generate(X, "a", n_samples=n_samples)
    assert MODEL.sample(np.int64(2)).shape == (2, 5)


def test_a_modality_that_no_row_shows():
    with pytest.raises(ValueError, match=r"'c' is absent \(NaN\) in all 300 rows: .* Drop"):
        JointGaussian(LAYOUT).fit(without("c"))
    assert MODEL.impute(without("c")).shape == X.shape  # once fitted it is no matter


# Driving -----------------------------------------------------------------------------------------


class Record(NamedTuple):
    number: int
    metrics: dict


def course(scores, *, then=None, closed=None):
    """Epochs with the given scores, then an exception in the middle of the next one."""
    try:
        for number, score in enumerate(scores, 1):
            yield Record(number, {"epoch": number, "validation_score": score})
        if then is not None:
            raise then
    finally:
        if closed is not None:
            closed.append(True)


def test_drive_returns_the_last_epoch_and_the_history():
    last, history = drive(course([1.0, 3.0, 2.0]), total=3)
    assert last.number == 3
    assert history == {"epoch": [1, 2, 3], "validation_score": [1.0, 3.0, 2.0]}
    assert type(history) is dict
    assert drive(course([]), total=3) == (None, {})


@pytest.mark.parametrize("verbose", [0, 1])
def test_drive_shows_a_bar_when_asked(verbose):
    with redirect_stderr(io.StringIO()) as shown:
        drive(course([1.0, 2.345678]), total=2, verbose=verbose, description="RBM")
    if verbose:
        for text in ("RBM", "2/2", "validation_score=2.346"):
            assert text in shown.getvalue()
        assert "epoch=" not in shown.getvalue()
    else:
        assert shown.getvalue() == ""


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (KeyboardInterrupt(), r"interrupted after 2 epoch\(s\): kept the model so far"),
        (
            FloatingPointError("weights are nan"),
            r"diverged \(weights are nan\) after 2 epoch\(s\): kept the last good parameters. "
            "Lower learning_rate",
        ),
    ],
)
def test_drive_keeps_the_last_good_epoch(then, message):
    with pytest.warns(ConvergenceWarning, match=message):
        last, history = drive(course([1.0, 0.5], then=then), total=9)
    assert last.number == 2
    assert history["epoch"] == [1, 2]
    with pytest.warns(ConvergenceWarning, match=message):
        best, _ = drive(course([1.0, 0.5], then=then), total=9, patience=5)
    assert best.number == 1


def test_drive_before_the_first_epoch():
    with pytest.raises(KeyboardInterrupt):
        drive(course([], then=KeyboardInterrupt()), total=9)
    with pytest.raises(ValueError, match=r"in its first epoch \(nan\): lower learning_rate, and"):
        drive(course([], then=FloatingPointError("nan")), total=9)


def test_drive_lets_other_errors_pass():
    closed = []
    with pytest.raises(ZeroDivisionError):
        drive(course([1.0], then=ZeroDivisionError(), closed=closed), total=9)
    assert closed


def test_early_stopping_returns_the_best_epoch():
    closed = []
    scores = [1.0, 2.0, 1.9, 1.5, 3.0]
    best, history = drive(course(scores, closed=closed), total=5, patience=2)
    assert best.number == 2
    assert history["epoch"] == [1, 2, 3, 4]
    assert closed  # the generator was left in the middle
    assert drive(course(scores), total=5, patience=3)[0].number == 5
    assert drive(course([1.0, 1.05, 1.08, 1.0]), total=4, patience=2, tol=0.1)[0].number == 1


def test_drive_goes_on_where_a_course_was_saved():
    scores, saved = [1.0, 2.0, 1.9, 1.5, 3.0], []

    def save(course, *, final=False):
        saved.append((course, final))

    for patience in (None, 2):
        saved.clear()
        whole = drive(course(scores), total=5, patience=patience, save=save)
        assert [final for _, final in saved] == [False] * (len(saved) - 1) + [True]
        assert saved[-1][0] == saved[-2][0]
        for so_far, _ in saved:
            assert so_far.n_epochs == so_far.last.number
            rest = course(scores)
            for _ in range(so_far.n_epochs):
                next(rest)
            assert drive(rest, total=5, patience=patience, course=so_far) == whole
        assert whole[0].number == (2 if patience else 5)
    stopped = course([], then=KeyboardInterrupt())
    with pytest.warns(ConvergenceWarning, match=r"interrupted after 4 epoch\(s\)"):
        assert drive(stopped, total=5, course=saved[-1][0]) == whole


def test_drive_counts_epochs_of_records_without_their_number():
    def epochs():
        yield Record(1, {"score": 1.0})
        raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match=r"after 1 epoch\(s\)"):
        assert drive(epochs(), total=2)[1] == {"score": [1.0]}


def test_cupy_arrays_are_refused_in_words():
    with installed() as cupy:
        X = cupy.zeros((3, 2))
        with pytest.raises(TypeError, match=r"computes on the CPU only: pass cupy.asnumpy\(X\)"):
            JointGaussian().fit(X)
