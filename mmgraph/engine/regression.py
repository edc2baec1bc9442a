"""Linear models of classes: softmax regression, and compatibility with attributes."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from ..backend.arrays import namespace
from .spectral import cho_solve, cholesky

__all__ = ["SoftmaxRegression", "compatibility", "fit_softmax"]

NEWTON = 500  # coefficients up to which Newton's method is quick


class SoftmaxRegression(NamedTuple):
    """Class probabilities that are the softmax of a linear function.

    Attributes
    ----------
    coefficients : array of shape (n_columns, n_classes)
    intercepts : array of shape (n_classes,)
        Minus infinity for a class that was never seen.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray

    def probabilities(self, X):
        """Probability of each class, of shape (n_rows, n_classes)."""
        return softmax(X @ self.coefficients + self.intercepts, axis=1)


def fit_softmax(X, codes, n_classes, C=1.0, *, max_iter=1000):
    """Fit a softmax regression with an L2 penalty.

    Parameters
    ----------
    X : array or CSR array of shape (n_rows, n_columns)
    codes : array of int, shape (n_rows,)
        The class of each row, from 0.
    n_classes : int
        Some of them may have no row.
    C : float
        Inverse strength of the penalty. The columns count as if divided by the root of the mean of
        their variances, so that C means the same at any scale of X.
    max_iter : int

    Returns
    -------
    SoftmaxRegression
    """
    X = X.astype(np.float64)
    mean, spread = _centre_and_spread(X)
    seen = np.unique(codes)
    coefficients = np.zeros((X.shape[1], n_classes))
    intercepts = np.full(n_classes, -np.inf)
    if len(seen) == 1:
        intercepts[seen] = 0
        return SoftmaxRegression(coefficients, intercepts)
    if sp.issparse(X):
        X = X / spread
    else:
        X = (X - mean) / spread
    few = not sp.issparse(X) and X.shape[1] * len(seen) <= NEWTON
    solver = "newton-cholesky" if few else "lbfgs"
    model = LogisticRegression(C=C, solver=solver, max_iter=max_iter, tol=1e-6).fit(X, codes)
    w, b = model.coef_, model.intercept_
    if len(seen) == 2:  # scikit-learn gives the log-odds of the second
        w, b = np.vstack([0 * w, w]), np.r_[0 * b, b]
    coefficients[:, seen] = w.T / spread
    intercepts[seen] = b if sp.issparse(X) else b - mean @ coefficients[:, seen]
    return SoftmaxRegression(coefficients, intercepts)


def _centre_and_spread(X):
    """Column means, and the root of the mean variance of the columns (1 if all are constant)."""
    mean = np.asarray(X.mean(axis=0)).ravel()
    if sp.issparse(X):
        variances = np.asarray(X.multiply(X).mean(axis=0)).ravel() - mean**2
        spread = np.sqrt(max(variances.mean(), 0.0))
    else:
        largest = np.abs(X - mean).max()
        spread = largest * np.sqrt((((X - mean) / (largest or 1)) ** 2).mean())
    return mean, (spread if spread > 8 * np.finfo(float).eps * np.abs(mean).max() else 1.0)


def compatibility(gram, codes, attributes, gamma, penalty):
    r"""Weights of training rows under which rows and classes are compatible.

    The closed form of the bilinear model of features :math:`\Phi` and attributes S,

    .. math:: V = (\Phi^\top \Phi + \gamma I)^{-1} \Phi^\top Y S (S^\top S + \lambda I)^{-1},

    in terms of the training rows: :math:`V = \Phi^\top A` with :math:`A = (K + \gamma I)^{-1} Y S
    (S^\top S + \lambda I)^{-1}`, where :math:`K = \Phi \Phi^\top`. Y is 1 for a row's class and -1
    for the others.

    Parameters
    ----------
    gram : array of shape (n_rows, n_rows)
        K.
    codes : array of int, shape (n_rows,)
        The class of each row.
    attributes : array of shape (n_classes, n_attributes)
        S, of the classes of the rows.
    gamma, penalty : float
        :math:`\gamma` and :math:`\lambda`, both positive.

    Returns
    -------
    array of shape (n_rows, n_attributes)
        A. The scores of classes with attributes s are ``k @ A @ s.T`` of a row whose kernel with
        the training rows is k.

    References
    ----------
    Romera-Paredes, B. & Torr, P. H. S. (2015). An embarrassingly simple approach to zero-shot
    learning. ICML, 2152-2161. Equation 4.
    """
    xp = namespace(gram)
    labels = xp.full((len(codes), len(attributes)), -1.0)
    labels[xp.arange(len(codes)), xp.asarray(codes)] = 1.0
    inner = attributes.T @ attributes + penalty * xp.eye(attributes.shape[1])
    sides = cho_solve(cholesky(inner), (labels @ attributes).T).T
    return cho_solve(cholesky(gram + gamma * xp.eye(len(gram))), sides)
