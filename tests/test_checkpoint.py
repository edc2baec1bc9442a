"""A fit that is killed at any moment and called again ends as if nothing had happened."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

import mmgraph as mg
from mmgraph import checkpoint, persistence
from mmgraph.backend.random import key
from mmgraph.base import Course
from mmgraph.engine import encoders, learning, network
from mmgraph.joint import machine
from mmgraph.persistence import ModelFileError, digest

MODALITIES = {"image": slice(0, 4), "text": slice(4, 9)}


def rows(n=50, seed=0):
    """Reals and word counts, with gaps."""
    rng = np.random.default_rng(seed)
    X = np.hstack([rng.normal(size=(n, 4)), rng.poisson(1.5, (n, 5))])
    X[::7, :4] = np.nan
    X[3::7, 4:] = np.nan
    return X


X = rows()


def dbm(path=None, **changes):
    settings = {
        "hidden": {"image": (5,)},
        "joint": 4,
        "units": {"image": "gaussian", "text": "replicated_softmax"},
        "modalities": MODALITIES,
        "max_iter": 8,
        "n_chains": 10,
        "learning_rate": 0.01,
        "random_state": 0,
        "checkpoint": path,
    }
    return mg.MultimodalDBM(**{**settings, **changes})


BINARY = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(np.float32)
SMALL = {"max_iter": 8, "n_chains": 10, "random_state": 0}
FITS = {
    "MultimodalDBM": (dbm(), X),
    "DBM": (
        mg.DBM((5, 3), momentum=0.9, learning_rate_schedule="inverse", dtype="float64", **SMALL),
        BINARY,
    ),
    "RBM": (
        mg.RBM(4, negative_phase="cd", units="gaussian", modalities=MODALITIES, **SMALL),
        X,
    ),
    "multi-prediction": (dbm(objective="multi_prediction"), X),
    "hybrid": (dbm(objective="hybrid"), X),
    "tempering": (dbm(negative_phase="tempering", n_temperatures=3), X),
    "early stopping": (
        mg.RBM(4, learning_rate=0.5, early_stopping=True, n_iter_no_change=3, **SMALL),
        BINARY,
    ),
}
boltzmann = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
NETWORK = {"max_iter": 6, "random_state": 0, "dropout": 0.2}
NETWORKS = {
    "BimodalDeepAutoencoder": (
        mg.BimodalDeepAutoencoder(
            (5,),
            4,
            units={"text": "replicated_softmax"},
            modalities=MODALITIES,
            init="rbm",
            init_max_iter=2,
            **NETWORK,
        ),
        X,
    ),
    "DBMClassifier": (mg.DBMClassifier(dbm(max_iter=2), optimizer="nesterov", **NETWORK), X),
    "ContrastiveEmbedding": (
        mg.ContrastiveEmbedding(4, hidden={"text": (5,)}, modalities=MODALITIES, **NETWORK),
        X,
    ),
    "ContrastiveEmbedding, early stopping": (
        mg.ContrastiveEmbedding(
            4,
            loss="sigmoid",
            batch_size=7,
            early_stopping=True,
            n_iter_no_change=9,
            modalities=MODALITIES,
            **NETWORK,
        ),
        X,
    ),
    "DBMClassifier, early stopping": (
        mg.DBMClassifier(mg.RBM(4, **SMALL), early_stopping=True, n_iter_no_change=9, **NETWORK),
        BINARY,
    ),
}
every = pytest.mark.parametrize("fit", [*FITS.values(), *NETWORKS.values()], ids=[*FITS, *NETWORKS])


def fitted(model, X):
    """Fit a model to rows, which have labels for those that want them."""
    return model.fit(X, np.arange(len(X)) % 2)


def bits(model):
    """What a fit has learnt, in every bit: parameters, chains, momentum, history, key."""
    return digest({name: value for name, value in vars(model).items() if name.endswith("_")})


def assert_same_fit(one, two):
    if hasattr(one, "training_state_"):
        for a, b in zip(one.model_.weights, two.model_.weights, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_equal(one.history_, two.history_)
    assert one.n_iter_ == two.n_iter_
    assert bits(one) == bits(two)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Write after every epoch."""
    monkeypatch.setattr(checkpoint, "PAUSE", 0)
    monkeypatch.setattr(checkpoint, "SHARE", 1)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "fit.checkpoint")


# Killed with SIGKILL, in a process of its own

posix = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in(module, name, number, *, after=False):
    """Make the call of that number (from 1) of a function kill the process, before or after it."""
    function, calls = getattr(module, name), []

    def patched(*args, **kwargs):
        calls.append(1)
        if len(calls) == number and not after:
            kill()
        result = function(*args, **kwargs)
        if len(calls) == number:
            kill()
        return result

    setattr(module, name, patched)


def kill_in_the_middle_of_an_array(number):
    write, calls = npy.write_array, []

    def patched(file, array, *args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            write(file, array[:1], *args, **kwargs)
            kill()
        write(file, array, *args, **kwargs)

    npy.write_array = patched


MOMENTS = {
    "before the first write": lambda: kill_in(os, "replace", 1),
    "after the first write": lambda: kill_in(os, "replace", 1, after=True),
    "before a later write": lambda: kill_in(os, "replace", 4),
    "before the last write": lambda: kill_in(os, "replace", 8),
    "after the last write": lambda: kill_in(os, "replace", 8, after=True),
    "before the file is on the disk": lambda: kill_in(os, "fsync", 3),
    "within an array": lambda: kill_in_the_middle_of_an_array(60),
    "within an epoch": lambda: kill_in(learning, "gibbs", 12),
    "before the first epoch ends": lambda: kill_in(learning, "gibbs", 2),
    "between reading and writing": lambda: kill_in(checkpoint, "read_value", 3, after=True),
    "never": lambda: None,
}


def fit_in_a_process(model, X, moment, seed):
    checkpoint.PAUSE, checkpoint.SHARE = 0, 1
    np.random.seed(seed)  # noqa: NPY002
    MOMENTS[moment]()
    fitted(model, X)


@pytest.fixture(scope="module")
def processes():
    """Processes that have imported this module and computed nothing, in no time."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        context.set_forkserver_preload([__name__, "mmgraph.backend.kernels.sampling"])
        forkserver.ensure_running()
    return context


def start(processes, model, X, moment="never", seed=0):
    process = processes.Process(target=fit_in_a_process, args=(model, X, moment, seed))
    process.start()
    return process


@posix
@pytest.mark.parametrize("moment", list(MOMENTS)[:-1])
def test_killed_at(moment, processes, path, tmp_path):
    process = start(processes, dbm(path), X, moment)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert_same_fit(dbm(path).fit(X), dbm().fit(X))
    assert os.listdir(tmp_path) == ["fit.checkpoint"]  # and nothing half-written


@posix
@pytest.mark.parametrize("name", ["MultimodalDBM", "early stopping", *list(NETWORKS)[:3]])
def test_killed_at_any_time_again_and_again(name, processes, path, tmp_path):
    model, X = {**FITS, **NETWORKS}[name]
    n_epochs = 100 if name in FITS else 25
    model = clone(model).set_params(max_iter=n_epochs, n_iter_no_change=100)
    rng = np.random.default_rng()
    n_killed = 0
    again = clone(model).set_params(checkpoint=path)
    for _ in range(3):
        before = os.stat(path).st_mtime_ns if n_killed else None
        process = start(processes, again, X)
        while process.is_alive() and not (
            os.path.exists(path) and os.stat(path).st_mtime_ns != before
        ):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
    assert n_killed
    assert_same_fit(fitted(again, X), fitted(clone(model), X))
    assert os.listdir(tmp_path) == ["fit.checkpoint"]


@posix
def test_killed_without_a_seed(processes, path):
    process = start(processes, dbm(path, random_state=None), X, "within an epoch", seed=7)
    process.join()
    np.random.seed(7)  # noqa: NPY002
    whole = dbm(random_state=None).fit(X)
    np.random.seed(8)  # noqa: NPY002
    assert_same_fit(dbm(path, random_state=None).fit(X), whole)
    assert bits(dbm(random_state=None).fit(X)) != bits(whole)


# The other ways to stop, in this process


class Stopped(BaseException):
    """What nothing catches."""


def stop_after(monkeypatch, n_epochs, error):
    """Raise an error in the n-th epoch from now on, after the n - 1 before it were saved."""
    save, calls = checkpoint.Checkpoint.save, []

    def patched(self, course, **final):
        calls.extend([1] * (self.path is not None))  # a machine within has a fit of its own
        if len(calls) == n_epochs and not final:
            raise error
        return save(self, course, **final)

    monkeypatch.setattr(checkpoint.Checkpoint, "save", patched)


@every
def test_stopped_after_each_epoch(fit, path, monkeypatch):
    model, X = fit
    whole = fitted(clone(model), X)
    n_fits = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 2, Stopped())
            try:
                resumed = fitted(clone(model).set_params(checkpoint=path), X)
            except Stopped:
                n_fits += 1
            else:
                break
    assert n_fits == len(whole.history_["epoch"]) - 1
    assert_same_fit(resumed, whole)


@every
def test_a_checkpoint_changes_nothing(fit, path):
    model, X = fit
    assert_same_fit(
        fitted(clone(model).set_params(checkpoint=Path(path)), X), fitted(clone(model), X)
    )


def test_early_stopping_remembers_the_best_epoch(path, monkeypatch):
    model, X = FITS["early stopping"]
    whole = clone(model).fit(X)
    n_epochs = len(whole.history_["epoch"])
    assert whole.n_iter_ == n_epochs - 3 < 5  # it does stop early
    stop_after(monkeypatch, n_epochs, Stopped())
    with pytest.raises(Stopped):
        clone(model).set_params(checkpoint=path).fit(X)
    monkeypatch.undo()
    course = persistence.read_value(path, checkpoint.Saved, "checkpoint").course
    assert (course.last.number, course.best.number, course.waited) == (
        n_epochs - 1,
        n_epochs - 3,
        2,
    )
    assert_same_fit(clone(model).set_params(checkpoint=path).fit(X), whole)


@boltzmann
def test_a_finished_fit_is_not_repeated(fit, path, monkeypatch):
    model, X = fit
    whole = clone(model).set_params(checkpoint=path).fit(X)
    written = os.stat(path).st_mtime_ns, os.stat(path).st_ino
    monkeypatch.setattr(learning, "gibbs", None)  # no more learning
    again = clone(model).set_params(checkpoint=path).fit(X)
    monkeypatch.undo()
    assert_same_fit(again, whole)
    assert (os.stat(path).st_mtime_ns, os.stat(path).st_ino) == written
    np.testing.assert_array_equal(again.sample(3), whole.sample(3))


def fail_in_epoch(patch, number, error):
    """Raise an error in the epoch of that number from now on."""
    calls = []

    def failing(*args):
        calls.append(1)
        if len(calls) == number:
            raise error
        return 0.0

    patch.setattr(machine, "reconstruction", failing)


def test_ctrl_c_writes_the_checkpoint(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "PAUSE", 1e9)  # so it is written after the first epoch only
        fail_in_epoch(patch, 4, KeyboardInterrupt())
        with pytest.warns(ConvergenceWarning, match=r"interrupted after 3 epoch\(s\)"):
            interrupted = dbm(path).fit(X)
    course = persistence.read_value(path, checkpoint.Saved, "checkpoint").course
    assert digest(course.last) == digest(interrupted.training_state_)
    assert course.n_epochs == interrupted.n_iter_ == 3
    whole, resumed = dbm().fit(X), dbm(path).fit(X)
    whole.history_["reconstruction"][:3] = [0.0] * 3
    assert_same_fit(resumed, whole)


def test_ctrl_c_while_writing(path, monkeypatch):
    def interrupt(*args):
        monkeypatch.setattr(os, "replace", replace)
        raise KeyboardInterrupt

    replace = os.replace
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.warns(ConvergenceWarning, match=r"interrupted after 1 epoch\(s\)"):
        dbm(path).fit(X)
    assert_same_fit(dbm(path).fit(X), dbm().fit(X))


def test_divergence_is_the_same_again(path, monkeypatch):
    results = []
    for left in (4, 1):
        fail_in_epoch(monkeypatch, left, FloatingPointError("nan"))
        with pytest.warns(ConvergenceWarning, match=r"diverged \(nan\) after 3 epoch\(s\)"):
            results.append(dbm(path).fit(X))
    assert_same_fit(*results)


def test_a_bar_starts_where_the_fit_goes_on(path, monkeypatch, capsys):
    stop_after(monkeypatch, 6, Stopped())
    with pytest.raises(Stopped):
        dbm(path).fit(X)
    monkeypatch.undo()
    dbm(path, verbose=1).fit(X)
    shown = capsys.readouterr().err
    assert "5/8" in shown
    assert "8/8" in shown


def test_a_generator_as_a_seed(path, monkeypatch):
    stop_after(monkeypatch, 3, Stopped())
    with pytest.raises(Stopped):
        dbm(path, random_state=np.random.default_rng(3)).fit(X)
    monkeypatch.undo()
    resumed = dbm(path, random_state=np.random.default_rng(3)).fit(X)
    assert_same_fit(resumed, dbm(random_state=np.random.default_rng(3)).fit(X))
    with pytest.raises(ValueError, match="the key of random_state is"):
        dbm(path, random_state=np.random.default_rng(4)).fit(X)


def test_a_warm_start_is_another_fit(path, monkeypatch):
    model = dbm(path, warm_start=True).fit(X)
    with pytest.raises(ValueError, match=r"the start of the warm start is None there and 'SHA-256"):
        model.fit(X)
    os.remove(path)
    start = clone(model).set_params(checkpoint=None).fit(X)
    persistence.save(start, path + ".start")
    whole = start.fit(X)
    stop_after(monkeypatch, 3, Stopped())
    with pytest.raises(Stopped):
        persistence.load(path + ".start").set_params(checkpoint=path).fit(X)
    monkeypatch.undo()
    assert_same_fit(persistence.load(path + ".start").set_params(checkpoint=path).fit(X), whole)


def test_partial_fit_ignores_it(path):
    dbm(path).partial_fit(X)
    assert not os.path.exists(path)


# What is of another fit is refused

OTHER = {
    "class": (
        mg.RBM(4, modalities=MODALITIES),
        X,
        "the class is 'mmgraph.joint.dbm.MultimodalDBM' there and 'mmgraph",
    ),
    "number": (dbm(max_iter=9), X, "max_iter is 8 there and 9 here. Delete the file to start"),
    "two": (dbm(l2=0.1, joint=5), X, "joint is 4 there and 5 here; l2 is 0.0 there and 0.1 here"),
    "layers": (dbm(hidden={"text": (5,)}), X, "hidden is"),
    "seed": (dbm(random_state=1), X, "the key of random_state is"),
    "no seed": (dbm(random_state=None), X, r"the key of random_state is \(.* there and None here"),
    "other values": (dbm(), rows(seed=1), "the content of X is 'SHA-256 "),
    "one value": (dbm(), X + 1e-9 * (np.arange(len(X)) == 1)[:, None], "the content of X is"),
    "order": (dbm(), X[::-1], "the content of X is"),
    "precision": (dbm(), X.astype(np.float32), "the content of X is"),
    "length": (dbm(), X[:-1], r"the shape of X is \(50, 9\) there and \(49, 9\) here"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The bytes of a checkpoint."""
    path = tmp_path_factory.mktemp("finished") / "fit"
    dbm(path, max_iter=8).fit(X)
    return path.read_bytes()


@pytest.mark.parametrize(("model", "X", "message"), OTHER.values(), ids=OTHER)
def test_another_fit_is_refused(model, X, message, finished, path):
    Path(path).write_bytes(finished)
    with pytest.raises(
        ValueError, match=r"^checkpoint '.*fit\.checkpoint' is of another fit: .*" + message
    ):
        clone(model).set_params(checkpoint=path).fit(X)
    assert Path(path).read_bytes() == finished


def test_another_version_is_refused(finished, path, monkeypatch):
    Path(path).write_bytes(finished)
    monkeypatch.setattr(checkpoint, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"the version of mmgraph is '.*' there and '9.9' here"):
        dbm(path).fit(X)


def test_what_does_not_matter(finished, path):
    Path(path).write_bytes(finished)
    free = {"verbose": 0, "n_particles": 30, "n_mean_chains": 2, "sampling_sweeps": 3}
    free["min_effective_particles"] = 5.0
    np.testing.assert_equal(dbm(path, **free).fit(X.copy()).history_, dbm().fit(X).history_)


def test_two_fits_at_a_time_do_not_mix(path):
    views = dbm()._check(X, reset=True)
    model = dbm(path, random_state=None).fit(X)
    os.remove(path)
    one, two = (checkpoint.Checkpoint(model, views, key(seed)) for seed in range(2))
    three = checkpoint.Checkpoint(model.set_params(l2=1.0), views, key(0))
    course = Course(model.training_state_, None, 0, model.history_)
    one.save(course)
    with pytest.raises(ValueError, match="another fit writes to it too"):
        two.save(course)
    with pytest.raises(ValueError, match=r"of another fit: l2 is 0\.0 there and 1\.0 here"):
        three.save(course, final=True)
    one.save(course, final=True)


def test_model_selection_does_not_mix(path):
    search = GridSearchCV(dbm(path, max_iter=2), {"joint": [2, 3]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="is of another fit: the content of X is"):
        search.fit(X)
    search = GridSearchCV(dbm(max_iter=2), {"checkpoint": [None]}, cv=2).fit(X)
    assert search.best_params_ == {"checkpoint": None}


# Files that are no checkpoints


def test_every_damage_is_found(finished, path):
    step = len(finished) // 50
    for position in range(0, len(finished), step):
        damaged = bytearray(finished)
        damaged[position] ^= 0x10
        for content in (damaged, finished[:position]):
            Path(path).write_bytes(content)
            with pytest.raises(ModelFileError, match=r"^checkpoint '.*fit\.checkpoint' .* Delete"):
                dbm(path).fit(X)
    assert Path(path).read_bytes() == finished[:position]


def test_a_model_is_no_checkpoint(path):
    mg.save(dbm().fit(X), path)
    with pytest.raises(ModelFileError, match=r"holds no checkpoint of a fit\. Delete the file"):
        dbm(path).fit(X)
    assert isinstance(mg.load(path), mg.MultimodalDBM)


def test_a_checkpoint_is_no_model(finished, path):
    Path(path).write_bytes(finished)
    with pytest.raises(ModelFileError, match="holds no estimator"):
        mg.load(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "checkpoint=3: it must be the path of a file, or None"),
        ("", "checkpoint='': it must be the path"),
        (True, "checkpoint=True: it must be the path"),
        (".", "that is a directory"),
        ("no/such/directory/file", "there is no such directory"),
    ],
)
def test_no_path(value, message):
    with pytest.raises(ValueError, match=message):
        dbm(value).fit(X)


def test_parameters_that_no_file_can_hold(path):
    model = dbm(path, modalities={"image": range(4), "text": range(4, 9)})
    with pytest.raises(TypeError, match=r"^modalities\['image'\] cannot be saved: .*range"):
        model.fit(X)


# How often it is written


@pytest.mark.parametrize(
    ("pause", "share", "cost", "expected"),
    [
        (0, 1, 1.0, [1, 2, 3, 4, 5, 6, 7, 8]),
        (5, 0.1, 0.01, [1, 6]),
        (5, 0.1, 0.6, [1, 7]),
        (0, 0.5, 1.0, [1, 2, 3, 4, 5, 6, 7, 8]),
        (0, 0.25, 1.0, [1, 4, 7]),
    ],
)
def test_how_often(pause, share, cost, expected, path, monkeypatch):
    """Epochs of one second."""
    clock, written, write = [0.0], [], checkpoint.write_value

    def timed(saved, path):
        clock[0] += cost
        written.append(saved.course.n_epochs)
        write(saved, path)

    monkeypatch.setattr(checkpoint, "PAUSE", pause)
    monkeypatch.setattr(checkpoint, "SHARE", share)
    monkeypatch.setattr(checkpoint, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoint, "write_value", timed)
    views = (model := dbm(path, max_iter=1))._check(X, reset=True)
    state = dbm(max_iter=1).fit(X).training_state_
    saver, course = checkpoint.Checkpoint(model, views, key(0)), Course()
    for _ in range(8):
        clock[0] += 1.0
        course = course.after(state)
        saver.save(course)
    assert written == expected
    saver.save(course, final=True)
    saver.save(course, final=True)
    assert written == expected + [8] * (expected[-1] != 8)


def test_a_finished_training_of_a_network_is_not_repeated(path, monkeypatch):
    for name in ("BimodalDeepAutoencoder", "DBMClassifier", "ContrastiveEmbedding"):
        model, X = NETWORKS[name]
        again = clone(model).set_params(checkpoint=f"{path} of {name}")
        whole = fitted(clone(again), X)
        with monkeypatch.context() as patch:
            patch.setattr(network, "backward", None)  # no more learning
            patch.setattr(encoders, "backward", None)
            assert_same_fit(fitted(again, X), whole)


def test_a_frozen_machine_is_known_again(path, monkeypatch):
    machine = mg.RBM(4, **SMALL).fit(BINARY)
    whole = fitted(mg.DBMClassifier(FrozenEstimator(machine), **NETWORK), BINARY)
    stop_after(monkeypatch, 3, Stopped())
    model = mg.DBMClassifier(FrozenEstimator(machine), checkpoint=path, **NETWORK)
    with pytest.raises(Stopped):
        fitted(model, BINARY)
    monkeypatch.undo()
    assert_same_fit(fitted(clone(model), BINARY), whole)
    machine = mg.RBM(4, **{**SMALL, "random_state": 1}).fit(BINARY)
    other = mg.DBMClassifier(FrozenEstimator(machine), checkpoint=path, **NETWORK)
    with pytest.raises(ValueError, match="of another fit: dbm is FrozenEstimator"):
        fitted(other, BINARY)


def test_other_labels_are_another_fit(path):
    model = clone(NETWORKS["DBMClassifier"][0]).set_params(checkpoint=path)
    fitted(model, X)
    with pytest.raises(ValueError, match=r"of another fit: the content of y is 'SHA-256"):
        model.fit(X, np.arange(len(X)) % 3)


def test_a_machine_without_a_seed_is_the_same_again(path, monkeypatch):
    model = mg.DBMClassifier(dbm(max_iter=2, random_state=None), max_iter=4)
    np.random.seed(7)  # noqa: NPY002
    whole = fitted(clone(model), X)
    np.random.seed(7)  # noqa: NPY002
    stop_after(monkeypatch, 2, Stopped())
    with pytest.raises(Stopped):
        fitted(clone(model).set_params(checkpoint=path), X)
    monkeypatch.undo()
    np.random.seed(8)  # noqa: NPY002
    assert_same_fit(fitted(clone(model).set_params(checkpoint=path), X), whole)
