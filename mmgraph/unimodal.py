"""One scikit-learn estimator a modality: their parameters, fits and out-of-fold opinions."""

from collections.abc import Mapping

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

__all__ = ["ByModality", "fit_one", "fit_with_folds", "folds", "spread", "weight_arguments"]


class ByModality:
    """Parameters that hold one estimator a modality, addressed by the modality's name.

    The parameters named in ``_by_modality`` may be a dict or a list of pairs of name and estimator.
    Its entries are parameters then: ``set_params(image=..., text__C=1)``.
    """

    _by_modality = ("estimators",)

    def get_params(self, deep=True):
        """Parameters of this estimator, and if `deep` of those that it holds, by modality.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params = super().get_params(deep=deep)
        if deep:
            for name, held in self._held().items():
                params[name] = held
                if hasattr(held, "get_params"):
                    params.update({f"{name}__{k}": v for k, v in held.get_params().items()})
        return params

    def set_params(self, **params):
        """Set parameters of this estimator, or of those that it holds: ``image__C=1``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self
        """
        own = {name: params.pop(name) for name in list(params) if name in self._parameter_names()}
        super().set_params(**own)
        for parameter in self._by_modality:
            held = getattr(self, parameter)
            entries = _entries(held)
            new = {name: params.pop(name) for name in list(params) if name in entries}
            if new:
                entries = {**entries, **new}
                pairs = isinstance(held, list | tuple)
                setattr(self, parameter, list(entries.items()) if pairs else entries)
        super().set_params(**params)
        return self

    def _held(self):
        return {
            name: held
            for parameter in self._by_modality
            for name, held in _entries(getattr(self, parameter)).items()
        }

    @classmethod
    def _parameter_names(cls):
        return cls._get_param_names()


def _entries(held):
    """Estimators by name, where a parameter holds such; else nothing."""
    if isinstance(held, list | tuple):
        pairs = [isinstance(p, list | tuple) and len(p) == 2 for p in held]
        if not all(pairs) or not all(isinstance(name, str) for name, _ in held):
            return {}
        held = dict(held)
    if not isinstance(held, Mapping):
        return {}
    return {k: v for k, v in held.items() if isinstance(k, str)}


def spread(owner, parameter, names, default):
    """One unfitted estimator a modality.

    Parameters
    ----------
    owner : estimator
        Whose parameter it is.
    parameter : str
        Its name. It is None, one estimator for all, or a dict or list of pairs by modality.
    names : sequence of str
        The modalities.
    default : estimator
        For None.

    Returns
    -------
    dict of str to estimator
    """
    held = getattr(owner, parameter)
    if held is None:
        return {name: clone(default) for name in names}
    if isinstance(held, BaseEstimator):
        return {name: clone(held) for name in names}
    entries = _entries(held)
    if not entries:
        raise TypeError(
            f"{parameter}={held!r}: give one estimator for all modalities, a dict such as "
            "{'image': SVC()}, or a list of pairs of name and estimator."
        )
    if isinstance(held, list | tuple) and len(held) != len(entries):
        raise ValueError(f"{parameter} names a modality twice: {[name for name, _ in held]}.")
    for name in entries:
        if name not in names:
            raise ValueError(f"{parameter}: unknown modality {name!r}, they are {list(names)}.")
        if name in owner._parameter_names():
            raise ValueError(
                f"modality {name!r} has the name of a parameter of {type(owner).__name__}: rename "
                f"it, or give one estimator for all in {parameter}."
            )
    absent = [name for name in names if name not in entries]
    if absent:
        raise ValueError(f"{parameter} has no estimator for {absent}: give each modality one.")
    for name, estimator in entries.items():
        if not hasattr(estimator, "fit") or isinstance(estimator, type):
            raise TypeError(f"{parameter}: {name!r} is {estimator!r}, which is no estimator.")
    return {name: clone(entries[name]) for name in names}


def weight_arguments(estimator, weights):
    """Arguments that pass row weights to ``fit``: to all steps of a pipeline that take them."""
    if weights is None:
        return {}
    if isinstance(estimator, Pipeline):
        steps = [
            name
            for name, step in estimator.steps
            if hasattr(step, "fit") and has_fit_parameter(step, "sample_weight")
        ]
        if estimator.steps[-1][0] in steps:
            return {f"{name}__sample_weight": weights for name in steps}
    elif has_fit_parameter(estimator, "sample_weight"):
        return {"sample_weight": weights}
    raise TypeError(
        f"sample_weight was given, but {type(estimator).__name__} takes none: leave it out, or "
        "choose an estimator whose fit has it."
    )


def fit_one(estimator, columns, y, weights, task, what):
    """Fit a clone of an estimator; None where there is nothing to learn.

    Parameters
    ----------
    estimator : estimator
    columns : array or CSR array of shape (n_rows, n_columns)
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    weights : ndarray of shape (n_rows,) or None
    task : Classes or Numbers
    what : str
        Named in errors, such as "modality 'image'".

    Returns
    -------
    estimator or None
    """
    if not task.teaches(y):
        return None
    arguments = weight_arguments(estimator, weights)
    try:
        return clone(estimator).fit(columns, task.labels(y), **arguments)
    except Exception as error:
        error.add_note(f"This happened in a fit to {len(y)} rows of {what}.")
        raise


def folds(cv, y, present, *, classifier):
    """Splits of the rows for out-of-fold opinions.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        A number of folds spreads the classes, and what rows show, evenly over them.
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    present : ndarray of bool, shape (n_rows, n_modalities)
        What each row shows.
    classifier : bool
        Whether `y` are classes.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
    """
    n = len(y)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if cv < 2:
            raise ValueError(f"cv={cv!r}: it must be an int at least 2, a splitter or splits.")
        if n < 2:
            raise ValueError(f"n_samples={n}: out-of-fold predictions need 2 rows or more.")
        shown = present @ (1 << np.arange(present.shape[1]) % 62)
        order = np.lexsort((shown, y)) if classifier else np.argsort(shown, kind="stable")
        fold = np.empty(n, int)
        fold[order] = np.arange(n) % min(cv, n)
        return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(min(cv, n))]
    try:
        splitter = check_cv(cv, y, classifier=classifier)
    except ValueError as error:
        raise ValueError(
            f"cv={cv!r}: it must be an int at least 2, a splitter or splits."
        ) from error
    return [tuple(map(np.asarray, split)) for split in splitter.split(np.zeros((n, 1)), y)]


def among(splits, used):
    """Splits in terms of the rows that a mask says are in use, where any are left to learn from."""
    place = np.cumsum(used) - 1
    parts = [[place[part[used[part]]] for part in split] for split in splits]
    return [(train, test) for train, test in parts if len(train)]


def fit_with_folds(estimators, views, y, weights, task, splits, n_jobs=None):
    """Fit each modality's estimator, and hear it about rows that it has not seen.

    Parameters
    ----------
    estimators : dict of str to estimator
    views : Views
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    weights : ndarray of shape (n_rows,) or None
        Rows of weight 0 teach nothing.
    task : Classes or Numbers
    splits : list of (train, test)
        Empty: no opinions are wanted.
    n_jobs : int, optional
        Fits at a time.

    Returns
    -------
    fitted : dict of str to estimator or None
        On all rows that show the modality. None: there was nothing to learn.
    opinions : ndarray of shape (n_rows, n_modalities, n_values)
        The prior where there is none.
    heard : ndarray of bool, shape (n_rows, n_modalities)
        Where there is an opinion.
    """
    n, names = views.n_rows, list(estimators)
    jobs = [(name, *split) for name in names for split in [(np.arange(n), None), *splits]]
    found = Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_hear)(
            estimators[name],
            views.blocks[name],
            views.present[name],
            y,
            weights,
            task,
            train,
            test,
            f"modality {name!r}",
        )
        for name, train, test in jobs
    )
    fitted = {}
    opinions = np.tile(task.prior, (n, len(names), 1))
    heard = np.zeros((n, len(names)), bool)
    for (name, _, test), (model, rows, said) in zip(jobs, found, strict=True):
        if test is None:
            fitted[name] = model
        else:
            opinions[rows, names.index(name)] = said
            heard[rows, names.index(name)] = True
    return fitted, opinions, heard


def _fit_and_hear(estimator, block, shown, y, weights, task, train, test, what):
    """Fit to the training rows that show the modality; opinions of the test rows that do."""
    rows = train[shown[train] & (True if weights is None else weights[train] > 0)]
    held = np.arange(0) if test is None else test[shown[test]]
    if test is not None and not len(held):
        return None, held, np.empty((0, len(task.prior)))
    kept = None if weights is None else weights[rows]
    fitted = fit_one(estimator, block[rows], y[rows], kept, task, what)
    if test is None:
        return fitted, held, None
    return None, held, task.opinions(fitted, block[held])
