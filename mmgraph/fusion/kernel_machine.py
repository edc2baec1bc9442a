"""Support vector machines on a learnt combination of kernels, exact or of low rank."""

import numbers

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv, cross_val_score

from ..backend import random
from ..backend.arrays import beside, pick, to_numpy
from ..engine.combination import support_vectors
from ..engine.linear_machine import linear_support_vectors
from ..engine.lowrank import nystroem, pivoted_cholesky
from ..engine.spectral import solve_triangular
from ..parameters import require
from .kernel_weights import KernelWeights

__all__ = ["KernelMachine"]

SAMPLE = 1000  # rows, at least, among which weights and landmarks are found


class KernelMachine(KernelWeights):
    """Machines in the feature space that the weights of the kernels span."""

    def _check_parameters(self):
        super()._check_parameters()
        if self.rank is not None:
            require("rank", self.rank, "1", "inf", numbers.Integral)

    def baseline_scores(self, X, y, cv=5):
        """Cross-validated scores beside those of equal weights and of the best single kernel.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.
        y : array-like of shape (n_rows,)
        cv : int, splitter or iterable of splits
            As in :func:`sklearn.model_selection.cross_val_score`; all see the same folds.

        Returns
        -------
        dict of str to ndarray of shape (n_folds,)
            Of the solver (``"learnt"``), of equal weights (``"mean"``) and of the kernel that is
            best aligned with the targets of each fold's training rows (``"single"``). The estimator
            itself is left as it is.
        """
        models = {"learnt": clone(self)}
        for name in ("mean", "single"):
            models[name] = clone(self).set_params(solver=name, solver_params=None)
        if "probability" in self.get_params():
            models = {name: model.set_params(probability=False) for name, model in models.items()}
        folds = list(check_cv(cv, y, classifier=is_classifier(self)).split(X, y))
        return {name: cross_val_score(model, X, y, cv=folds) for name, model in models.items()}

    def _fit_machine(self, views, problem, splits=()):
        """Fit the weights and the machine.

        Returns decision values by machines that have not seen the row, as `splits` have it, at the
        weights of all rows; NaN where there are none.
        """
        key = random.key(self.random_state)
        if self.rank is not None:
            return self._fit_low_rank(views, problem, splits, key)
        bank = self._find_weights(views, problem)
        shape = problem.targets.shape
        dual, intercept = np.zeros(shape), np.zeros(shape[1])
        scores = np.full(shape, np.nan)
        for columns, weights in self._machines(shape[1]):
            K = to_numpy(self._balanced(bank.combined(weights), views.present, weights))
            part = problem.columns(columns)
            found = support_vectors(K, part)
            dual[:, columns], intercept[columns] = found.dual, found.intercept
            for rest, out in splits:
                found = support_vectors(K[np.ix_(rest, rest)], part.take(rest))
                said = K[np.ix_(out, rest)] @ found.dual + found.intercept
                scores[np.ix_(out, columns)] = said
        self._keep(dual, intercept)
        return scores

    def _keep(self, dual, intercept):
        """Set the machine, where the kernels are."""
        rows = next(iter(self.bank_.blocks.values()))
        self.dual_coef_, self.intercept_ = beside(dual, rows), beside(intercept, rows)

    def _machines(self, n_columns):
        """Columns of the targets whose machines share weights of the kernels, and these."""
        every = np.arange(n_columns)
        if self.kernel_weights_.ndim == 1:
            return [(every, self.kernel_weights_)]
        return [(every[[c]], weights) for c, weights in enumerate(self.kernel_weights_)]

    def _fit_low_rank(self, views, problem, splits, key):
        rng = np.random.Generator(np.random.Philox(key=list(key)))
        sample = _sample(views, problem, max(2 * self.rank, SAMPLE), rng)
        bank = self._find_weights(views.take(sample), problem.take(sample))
        weights = self.kernel_weights_
        K = self._balanced(bank.combined(weights), bank.present, weights)
        K += K.diagonal().mean()  # so that n landmarks span n - 1 dimensions about their mean
        found = pivoted_cholesky(lambda at: pick(K.T, at).T, K.diagonal(), self.rank, seed=rng)
        pivots = found.pivots
        pivots = np.sort(pivots)
        self.bank_ = self.bank_.among(pivots)
        landmarks = nystroem(lambda _: self._gram(views), sample[pivots])
        F = to_numpy(landmarks.features)
        found = linear_support_vectors(F, problem)
        dual = np.zeros((len(pivots), problem.targets.shape[1]))
        used = np.searchsorted(sample[pivots], landmarks.pivots)
        dual[used] = solve_triangular(to_numpy(landmarks.root), found.dual, transposed=True)
        self._keep(dual, found.intercept)
        scores = np.full(problem.targets.shape, np.nan)
        for rest, out in splits:
            found = linear_support_vectors(F[rest], problem.take(rest))
            scores[out] = F[out] @ found.dual + found.intercept
        return scores

    def _decision(self, views):
        """Values of the machines, of shape (n_rows, n_columns), on the CPU."""
        xp, n_columns = views.xp, self.dual_coef_.shape[1]
        parts = [
            self._gram(views, weights) @ self.dual_coef_[:, xp.asarray(columns)]
            for columns, weights in self._machines(n_columns)
        ]
        return to_numpy(xp.hstack(parts) + self.intercept_)


def _sample(views, problem, size, rng):
    """Random rows, ascending, with one at least of each class and of each modality."""
    order = rng.permutation(views.n_rows)
    groups = [shown[order] for shown in views.present.values()]
    if problem.epsilon is None:
        groups += list((problem.targets[order] > 0).T) + list((problem.targets[order] < 0).T)
    firsts = [int(np.argmax(group)) for group in groups]
    return np.sort(order[np.union1d(np.arange(min(size, len(order))), firsts).astype(int)])
