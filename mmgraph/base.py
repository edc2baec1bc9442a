"""The contract of every estimator: one check of X, and the generative verbs, written once.

A family derives from :class:`MultimodalEstimator`, which turns X into
:class:`~mmgraph.modalities.Views`. A generative family adds :class:`GenerativeMixin` and implements
as little as one conditional, ``_complete``; `impute`, `sample` and `generate` follow. A family with
a representation adds :class:`RepresentationMixin`.
"""

import warnings
from collections.abc import Mapping
from contextlib import closing
from types import MappingProxyType
from typing import NamedTuple

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_array,
    check_is_fitted,
    validate_data,
)

from .backend import random
from .backend.arrays import beside, namespace, resolve_device, to_device, to_numpy
from .hints import Array, Seed
from .modalities import Layout

__all__ = [
    "Course",
    "GenerativeMixin",
    "MultimodalEstimator",
    "RepresentationMixin",
    "drive",
    "warn_of_second_view",
]


class MultimodalEstimator(BaseEstimator):
    """Base of all estimators. Its subclasses have a parameter ``modalities``.

    Those that compute on a GPU too have a parameter ``device``. What is fitted stays where it was
    computed, and from then on that is where the estimator computes; results are returned where X
    is.
    """

    _device = "cpu"  # where it was fitted, and computes
    _streams = False  # whether rows stay on the CPU, from where they are taken a batch at a time

    def _check(self, X, *, reset=False):
        """Validate X and split it into modalities.

        Parameters
        ----------
        X : array-like, CSR matrix or DataFrame of shape (n_rows, n_features)
            Rows, with NaN where a modality is absent.
        reset : bool
            Learn the layout (in `fit`) instead of asking for the learnt one.

        Returns
        -------
        Views
        """
        if not reset:
            check_is_fitted(self)
        _refuse_parts(X)
        device = self._where(X, reset)
        if namespace(X) is np:
            X = validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan",
            )
        else:
            X = self._check_on_gpu(X, reset)
        X = self._moved(X, device)
        if reset:
            self._device = device
            names = getattr(self, "feature_names_in_", None)
            self.layout_ = Layout.resolve(
                n_features=X.shape[1], feature_names=names, **self._layout_parameters()
            )
        views = self.layout_.views(X)
        if reset:
            for name, mask in views.present.items():
                if not mask.any():
                    raise ValueError(
                        f"modality {name!r} is absent (NaN) in all {len(mask)} rows: nothing can "
                        "be learnt about it. Drop its columns, or add rows that show it."
                    )
        return views

    def _layout_parameters(self, model=None):
        """Where the modalities and the sequence ids stand, as said here or in a model inside."""
        inner = {} if model is None else model._layout_parameters()
        return {name: self._agreed(name, inner.get(name)) for name in ("modalities", "sequence")}

    def _agreed(self, name, inner):
        """A parameter that may be given here or to a model inside, and to both only if equal."""
        own = getattr(self, name, None)
        if own is not None and inner is not None and joblib.hash(own) != joblib.hash(inner):
            raise ValueError(
                f"{name}={own!r}, but the model inside this {type(self).__name__} has "
                f"{name}={inner!r}: give it once."
            )
        return inner if own is None else own

    def _where(self, X, reset):
        """Where to compute: what the parameter `device` says in a fit, later where the model is."""
        on_gpu = namespace(X) is not np
        if not hasattr(self, "device"):
            if on_gpu:
                raise TypeError(
                    f"X is a CuPy array, but {type(self).__name__} computes on the CPU only: pass "
                    "cupy.asnumpy(X)."
                )
            return "cpu"
        if reset:
            return resolve_device(self.device, X)
        device = self._device
        if on_gpu and device == "cpu" and self.device != "cpu":
            raise TypeError(
                f"X is a CuPy array, but this {type(self).__name__} is on the CPU: move it with "
                "mmgraph.to_device(model, 'cuda'), or pass cupy.asnumpy(X)."
            )
        return device

    def _moved(self, X, device):
        """Rows where they are computed with."""
        if self._streams:
            return to_numpy(X)
        if device == "cuda" and sp.issparse(X):
            raise TypeError(
                f"X is sparse, but {type(self).__name__} computes on the GPU with dense rows only: "
                "pass X.toarray() if it fits into memory, or fit with device='cpu'."
            )
        return to_device(X, device)

    def _check_on_gpu(self, X, reset):
        """What validate_data checks, of a CuPy array."""
        xp = namespace(X)
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead: reshape your data.")
        if not len(X) or not X.shape[1]:
            raise ValueError(f"Found array with shape={X.shape} while a minimum of 1 is required.")
        if X.dtype not in (np.float64, np.float32):
            X = X.astype(np.float64)
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        if bool(xp.isinf(X).any()):
            raise ValueError("Input X contains infinity or a value too large for its type.")
        return X

    def __sklearn_is_fitted__(self):
        learnt = {name for name in vars(self) if name.endswith("_") and not name.startswith("__")}
        return bool(learnt - {"feature_names_in_", "layout_", "n_features_in_"})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


def warn_of_second_view(estimator, y):
    """Warn whoever gives the second modality as y, as scikit-learn's cross decomposition does."""
    shape = getattr(y, "shape", ())
    if len(shape) == 2 and shape[1] > 1:
        warnings.warn(
            f"y is ignored: {type(estimator).__name__} takes all modalities from X. If y is one, "
            "put it beside the others with X, modalities = mmgraph.pack(x=X, y=y); sequences that "
            "differ in length, with mmgraph.pack_sequences.",
            UserWarning,
            stacklevel=3,
        )


def _refuse_parts(X):
    """Raise where X is a dict or list of modalities."""
    parts = isinstance(X, Mapping) and not sp.issparse(X)  # SciPy's DOK arrays are mappings too
    if parts or (isinstance(X, list | tuple) and np.ndim(X[:1]) == 3):
        raise ValueError(
            f"X is a {type(X).__name__} of modalities, but must be one 2-D array: put them side by "
            "side with X, modalities = mmgraph.pack(image=images, text=counts)."
        )


def _has(hook):
    def check(self):
        return hasattr(self, hook)

    return available_if(check)


class RepresentationMixin(TransformerMixin, ClassNamePrefixFeaturesOutMixin):
    """What a family with a representation gets.

    ==================================  =============================================
    a family implements                 and gets
    ==================================  =============================================
    ``_represent(views)``               `transform`, `fit_transform`, `embed`, names out
    ``_reconstruct(Z)``, if it can      `inverse_transform`
    ``_n_features_out``                 (the number of components, which both need)
    ==================================  =============================================
    """

    def transform(self, X: Array) -> Array:
        """Representation of each row, inferred from the modalities that it shows.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        Z : ndarray of shape (n_rows, n_components)
            In the floating type of X.
        """
        views = self._check(X)
        return beside(self._represent(views).astype(views.dtype, copy=False), X)

    def embed(self, X: Array, modality: str) -> Array:
        """Representation of each row from one of its modalities alone, whatever else it shows.

        Rows of different modalities are compared in this space: it is what retrieval and zero-shot
        classification ask an estimator for.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        modality : str
            Name of the modality to look at.

        Returns
        -------
        Z : ndarray of shape (n_rows, n_components)
            NaN where the row lacks the modality.
        """
        check_is_fitted(self)
        self.layout_.require(modality)
        return beside(self._embed(self._check(X), modality), X)

    def _embed(self, views, modality):
        """What :meth:`embed` gives, of checked rows."""
        shown = views.present[modality]
        others = [name for name in self.layout_.names if name != modality]
        if shown.all():
            return self._represent(views.hide(*others)).astype(views.dtype, copy=False)
        xp = views.xp
        Z = xp.full((views.n_rows, self._n_features_out), np.nan, views.dtype)
        if shown.any():
            Z[xp.asarray(shown)] = self._represent(views.take(shown).hide(*others))
        return Z

    @_has("_reconstruct")
    def inverse_transform(self, Z: Array) -> Array:
        """Expected columns given representations.

        Parameters
        ----------
        Z : array-like of shape (n_rows, n_components)
            What `transform` returns.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
            All modalities filled in.
        """
        check_is_fitted(self)
        given = Z
        if namespace(Z) is np:
            Z = check_array(Z, dtype=np.float64, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has shape {Z.shape}, but transform gives (n_rows, {self._n_features_out}): "
                "pass what it returned."
            )
        Z = self._moved(Z, self._device).astype(np.float64, copy=False)
        return beside(self.layout_.join(self._reconstruct(Z), len(Z)), given)


class GenerativeMixin:
    """The generative verbs, in terms of what a family implements.

    ==================================  =============================================
    a family implements                 and gets
    ==================================  =============================================
    ``_complete(views, n_draws, key)``  `impute`, `sample`, `generate`
    ``_log_density(views)``             `score_samples`, `log_conditional`, `score`
    ==================================  =============================================

    ``_complete`` returns a dict with one block a modality: the conditional mean given what each row
    shows, of shape (n_rows, n_columns), when `n_draws` is None, else draws of shape (n_draws,
    n_rows, n_columns). What it says of observed blocks is not used.
    """

    @_has("_complete")
    def impute(self, X: Array) -> Array:
        """Fill in every absent modality with its conditional mean; the same at every call.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
            Without NaN, in the floating type of X; observed blocks are kept as they are.
        """
        return beside(self._merge(self._check(X)), X)

    @_has("_complete")
    def sample(
        self, n_samples: int = 1, *, given: Array = None, random_state: Seed = None
    ) -> Array:
        """Draw rows from the joint distribution, or completions of given rows.

        Parameters
        ----------
        n_samples : int
            How many draws (of each given row).
        given : array-like or CSR matrix of shape (n_rows, n_features), optional
            What is observed stays; what is NaN is drawn.
        random_state : int, RandomState, Generator or None
            Seed of the draws. None takes the estimator's own.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or (n_samples, n_rows, n_features) with `given`
        """
        check_is_fitted(self)
        n_samples = _count(n_samples)
        key = self._key(random_state)
        if given is None:
            nothing = self.layout_.join({}, n_samples, ids=np.zeros(n_samples))
            device = self._device
            drawn = self._merge(self.layout_.views(self._moved(nothing, device)), 1, key)[0]
            followed = device == "cuda" and self.device == "auto"
            return to_device(drawn, "cuda") if followed else to_numpy(drawn)
        return beside(self._merge(self._check(given), n_samples, key), given)

    @_has("_complete")
    def generate(
        self, X: Array, target: str, *, n_samples: int | None = None, random_state: Seed = None
    ) -> Array:
        """Generate one modality from the others: p(target | rest).

        The columns of `target` are hidden, whatever they hold, and inferred from what the row
        shows of the other modalities.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Rows; other modalities may be absent too.
        target : str
            Name of the modality to generate.
        n_samples : int, optional
            Number of draws; None gives the conditional mean.
        random_state : int, RandomState, Generator or None
            Seed of the draws. None takes the estimator's own.

        Returns
        -------
        ndarray of shape (n_rows, n_target), or (n_samples, n_rows, n_target) when drawn
        """
        views = self._check_beside(X, target)
        if n_samples is None:
            completed = self._complete(views)
        else:
            completed = self._complete(views, _count(n_samples), self._key(random_state))
        return beside(completed[target].astype(views.dtype, copy=False), X)

    def _check_beside(self, X, target):
        """Validate X without one modality, whatever it holds of that, and split it."""
        check_is_fitted(self)
        columns = self.layout_.columns[self.layout_.require(target)]
        return self._check(_hidden(X, columns, self.n_features_in_)).hide(target)

    @_has("_log_density")
    def score_samples(self, X: Array) -> Array:
        """Log-density of what each row shows, in nats (an estimate where the class says so).

        For ``log p(target | rest)`` see :meth:`log_conditional`.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities. A row without any has log-density 0.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        return beside(self._log_density(self._check(X)).astype(float, copy=False), X)

    @_has("_log_density")
    def log_conditional(self, X: Array, target: str) -> Array:
        """Log-density of one modality given the others that each row shows, in nats.

        The difference of the log-densities with and without the target: an estimate where these
        are.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        target : str
            Name of the modality.

        Returns
        -------
        ndarray of shape (n_rows,)
            0 where the target is absent.
        """
        check_is_fitted(self)
        self.layout_.require(target)
        views = self._check(X)
        found = self._log_density(views) - self._log_density_beside(views, target)
        xp = namespace(found)
        return beside(xp.where(xp.asarray(views.present[target]), found, 0.0), X)

    def _log_density_beside(self, views, target):
        """Log-density of what the rows show beside the target."""
        return self._log_density(views.hide(target))

    @_has("_log_density")
    def score(self, X: Array, y: Array = None) -> float:
        """Mean of :meth:`score_samples`: higher is better, so that model selection works.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : ignored

        Returns
        -------
        float
        """
        return float(self.score_samples(X).mean())

    def _key(self, random_state=None):
        """Random streams from a seed, or from the estimator's own."""
        if random_state is None:
            random_state = getattr(self, "random_state", None)
        return random.key(random_state)

    def _merge(self, views, n_draws=None, key=None):
        """Observed blocks as they are, the others completed."""
        lead = () if n_draws is None else (n_draws,)
        missing = [name for name, mask in views.present.items() if not mask.all()]
        completed = self._complete(views, n_draws, key) if missing else {}
        xp, blocks = views.xp, {}
        for name, block in views.blocks.items():
            block = block.toarray() if sp.issparse(block) else block
            block = xp.broadcast_to(block, (*lead, *block.shape))
            if name in missing:
                mask = xp.asarray(views.present[name])[:, None]
                block = xp.where(mask, block, completed[name])
            blocks[name] = block
        return self.layout_.join(blocks, views.n_rows, views.dtype, ids=views.ids)


class Course(NamedTuple):
    """How far a training has come: all that :func:`drive` needs to go on.

    Attributes
    ----------
    last : record or None
        The last epoch; None before the first.
    best : record or None
        The epoch that early stopping returns; None where it is the last one.
    waited : int
        Epochs since the best one.
    history : dict of str to list
        The metrics of all epochs.
    """

    last: object = None
    best: object = None
    waited: int = 0
    history: Mapping = MappingProxyType({})

    @property
    def result(self):
        """The best epoch under early stopping, else the last one."""
        return self.last if self.best is None else self.best

    @property
    def n_epochs(self):
        """Number of epochs done."""
        return max(map(len, self.history.values()), default=0)

    def after(self, epoch, tol=None):
        """The course with one more epoch, which must be better by `tol` to be the best."""
        history = dict(self.history)
        for name, value in epoch.metrics.items():
            history[name] = [*history.get(name, ()), value]
        if tol is not None and self.last is not None:
            score = self.result.metrics["validation_score"]
            if not epoch.metrics["validation_score"] > score + tol:
                return Course(epoch, self.result, self.waited + 1, history)
        return Course(epoch, None, 0, history)


def drive(
    epochs,
    *,
    total,
    verbose=0,
    description="fit",
    patience=None,
    tol=0.0,
    course=None,
    save=None,
):
    """Drive a training generator: progress bar, history, Ctrl-C, divergence, early stopping.

    Parameters
    ----------
    epochs : generator
        Yields immutable records with a dict ``metrics``. The metric ``validation_score``, higher is
        better, is what early stopping watches.
    total : int
        Largest number of epochs, for the bar.
    verbose : int
        1 shows a bar.
    description : str
        Label of the bar.
    patience : int, optional
        Stop after this many epochs without a better validation score, and return the best epoch.
    tol : float
        What counts as better.
    course : Course, optional
        Where to go on; `epochs` then starts after its last epoch.
    save : callable, optional
        Called with the course after each epoch, and with ``final=True`` at the end, also when
        interrupted or diverged.

    Returns
    -------
    best : record or None
        The last record, or the best one under early stopping. None when there was none.
    history : dict of str to list
        The metrics of all epochs.

    Warns
    -----
    ConvergenceWarning
        When interrupted (Ctrl-C) or when learning diverged: the last good record is returned.
    """
    course = Course() if course is None else course
    least, most = (None, np.inf) if patience is None else (tol, patience)
    # An overflow on the way to divergence is said once, by the warning below.
    quiet = np.errstate(over="ignore", invalid="ignore")
    with quiet, closing(epochs), _bar(total, description, verbose, course.n_epochs) as bar:
        try:
            while course.waited < most and (epoch := next(epochs, None)) is not None:
                course = course.after(epoch, least)
                shown = {k: f"{v:.4g}" for k, v in epoch.metrics.items() if k != "epoch"}
                bar.set_postfix(shown, refresh=False)
                bar.update()
                if save is not None:
                    save(course)
        except KeyboardInterrupt:
            if course.last is None:
                raise
            _warn("interrupted", course, "kept the model so far.")
        except MemoryError as error:
            raise MemoryError(f"{error}; lower batch_size, or fit with device='cpu'.") from error
        except FloatingPointError as error:
            if course.last is None:
                raise ValueError(
                    f"learning diverged in its first epoch ({error}): lower learning_rate, and "
                    "check the scale of X."
                ) from error
            _warn(
                f"learning diverged ({error})",
                course,
                "kept the last good parameters. Lower learning_rate, or raise batch_size.",
            )
    if save is not None:
        save(course, final=True)
    return course.result, dict(course.history)


def _warn(what, course, then):
    message = f"{what} after {course.n_epochs} epoch(s): {then}"
    warnings.warn(message, ConvergenceWarning, stacklevel=4)


def _bar(total, description, verbose, done):
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, desc=description, disable=not verbose, leave=True)


def _count(n_samples):
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer) or n_samples < 1:
        raise ValueError(f"n_samples must be an int >= 1; got {n_samples!r}.")
    return int(n_samples)


def _hidden(X, columns, n_features):
    """X with some columns NaN, of the kind that it was: what they held is not even looked at."""
    _refuse_parts(X)
    if not hasattr(X, "shape"):
        X = np.array(X)
    if X.shape[1:] != (n_features,):
        return X  # and the check of X says what is wrong
    if hasattr(X, "isetitem"):
        X = X.copy()
        for column in columns:
            X.isetitem(column, np.nan)
    elif sp.issparse(X):
        X = sp.csr_array(X, copy=True)
        X.data[np.isin(X.indices, columns)] = 0
        X.eliminate_zeros()
    else:
        X = X.astype(np.float64) if X.dtype.kind in "biu" else X.copy()
        if X.dtype.kind in "fO":
            X[:, namespace(X).asarray(columns)] = np.nan
    return X
