"""The checkpoint of a fit: what a killed fit leaves behind, and how the next one goes on from it.

The file holds all that decides how the fit goes on (the :class:`~mmgraph.base.Course` and the
random key) and what the fit was of (its job). A fit whose job is not the file's is refused, both
when it starts and when it writes: no file ever holds a mixture of two fits.
"""

from pathlib import Path
from time import monotonic
from typing import NamedTuple

from ._version import __version__
from .backend.random import Key
from .base import Course
from .persistence import ModelFileError, digest, read_value, remove_leftovers, write_value

__all__ = ["Checkpoint"]

PAUSE = 5.0  # seconds between two writes, at least
SHARE = 0.1  # of the time that is spent writing, at most
ADVICE = "Delete the file to start anew, or choose another path."
NEVER_MATTER = {"checkpoint", "random_state", "verbose", "warm_start"}


class Saved(NamedTuple):
    """What the file holds.

    Attributes
    ----------
    job : dict
        What the fit is of: values by the name that an error calls them.
    key : Key
        Its random streams.
    course : Course
        How far it has come.
    """

    job: dict
    key: Key
    course: Course


class Checkpoint:
    """The checkpoint of one call of `fit`.

    Parameters
    ----------
    estimator : estimator
        Its parameter ``checkpoint`` names the file; None: there is nothing to go on from, and
        nothing is written.
    views : Views
        All rows of X.
    key : Key
        The random streams of a fit that starts anew.
    y : ndarray, optional
        What a supervised fit is to learn.
    start : record, optional
        Where a warm start begins.
    ignored : iterable of str
        Parameters that do not matter to the fit.

    Attributes
    ----------
    key : Key
        The random streams to use: those in the file if there is one, so that a fit without a seed
        goes on as it began.
    course : Course
        Where to go on; at its start if there is no file.

    Raises
    ------
    ModelFileError
        If the file is damaged or no checkpoint.
    ValueError
        If the file is the checkpoint of another fit, or cannot be a file.
    TypeError
        If a parameter is none of the types that files can hold.
    """

    def __init__(self, estimator, views, key, *, y=None, start=None, ignored=()):
        self.key, self.course, self.path = key, Course(), _path(estimator.checkpoint)
        if self.path is None:
            return
        self._job = _job(estimator, views, key, y, start, ignored)
        self._marks = {name: digest(value, name) for name, value in self._job.items()}
        self._due = 0.0
        saved = self._read()
        if saved is not None:
            self.key, self.course = saved.key, saved.course
            remove_leftovers(self.path)
        self._written = self.course.n_epochs

    def save(self, course, *, final=False):
        """Write the course if it is time, or if it is final and not written yet."""
        if self.path is None or course.last is None:
            return
        if course.n_epochs > self._written and (final or monotonic() >= self._due):
            start = monotonic()
            saved = self._read()
            if saved is not None and saved.key != self.key:
                raise ValueError(f"checkpoint {str(self.path)!r}: another fit writes to it too.")
            write_value(Saved(self._job, self.key, course), self.path)
            self._written, now = course.n_epochs, monotonic()
            self._due = now + max(PAUSE, (now - start) * (1 / SHARE - 1))
        if final:
            remove_leftovers(self.path)

    def _read(self):
        """What the file holds, or None if there is none; it must be of this fit."""
        try:
            saved = read_value(self.path, Saved, "checkpoint of a fit")
        except FileNotFoundError:
            return None
        except ModelFileError as error:
            raise ModelFileError(f"checkpoint {error}. {ADVICE}") from error
        different = [
            f"{name} is {saved.job.get(name)!r:.90} there and {self._job.get(name)!r:.90} here"
            for name in {**self._job, **saved.job}
            if digest(saved.job.get(name), name) != self._marks.get(name)
        ]
        if different:
            raise ValueError(
                f"checkpoint {str(self.path)!r} is of another fit: {'; '.join(different)}. {ADVICE}"
            )
        return saved


def _path(checkpoint):
    """The parameter `checkpoint`, checked, as an absolute path or None."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | Path) or not str(checkpoint):
        raise ValueError(f"checkpoint={checkpoint!r}: it must be the path of a file, or None.")
    path = Path(checkpoint).resolve()
    if path.is_dir() or not path.parent.is_dir():
        problem = "that is a directory" if path.is_dir() else "there is no such directory"
        raise ValueError(f"checkpoint={checkpoint!r}: {problem}. Name a file in one that exists.")
    return path


def _job(estimator, views, key, y, start, ignored):
    """What must be the same for a fit to go on where another stopped."""
    kind = type(estimator)
    params = estimator.get_params(deep=False)
    matter = params.keys() - NEVER_MATTER - set(ignored)
    unseeded = params.get("random_state") is None
    return {
        "the class": f"{kind.__module__}.{kind.__qualname__}",
        "the version of mmgraph": __version__,
        **{name: params[name] for name in sorted(matter)},
        "the key of random_state": None if unseeded else tuple(key),
        "the start of the warm start": None if start is None else f"SHA-256 {digest(start)}",
        "the shape of X": (views.n_rows, estimator.n_features_in_),
        "the content of X": f"SHA-256 {digest(views)}",
        **({} if y is None else {"the content of y": f"SHA-256 {digest(y)}"}),
    }
