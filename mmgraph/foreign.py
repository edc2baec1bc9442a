"""Estimators of scikit-learn that a model file may hold within one of mmgraph's.

They are those whose fitted state is arrays and plain values, read by NumPy alone or by code of
scikit-learn whose demands on them can be checked. Others, such as trees, keep objects of compiled
code, and have no form here. What scikit-learn keeps within an estimator may change with any minor
version, so a file holds the version, and is read by no other.
"""

from importlib import import_module

import sklearn
from sklearn.svm._base import BaseLibSVM

__all__ = ["check_safe", "check_version", "kind_of"]

HOMES = {
    "decomposition": ("PCA", "TruncatedSVD"),
    "discriminant_analysis": ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    "kernel_ridge": ("KernelRidge",),
    "linear_model": (
        *("ElasticNet", "Lasso", "LinearRegression", "LogisticRegression"),
        *("LogisticRegressionCV", "Ridge", "RidgeCV", "RidgeClassifier"),
    ),
    "naive_bayes": ("BernoulliNB", "GaussianNB", "MultinomialNB"),
    "pipeline": ("Pipeline",),
    "preprocessing": (
        *("LabelBinarizer", "MaxAbsScaler", "MinMaxScaler", "Normalizer", "RobustScaler"),
        "StandardScaler",
    ),
    "svm": ("LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SVC", "SVR"),
}


def kind_of(name):
    """The class of scikit-learn of that name, if it is one of these, or None."""
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f"sklearn.{home}"), name)
    return None


def check_version(version):
    """Raise ValueError if another minor version of scikit-learn wrote an estimator."""
    if version.split(".")[:2] != sklearn.__version__.split(".")[:2]:
        minor = ".".join(version.split(".")[:2])
        raise ValueError(
            f"holds an estimator of scikit-learn {version}, which may not work in "
            f"{sklearn.__version__}: load it with scikit-learn {minor}, or fit it anew"
        )


def check_safe(estimator):
    """Raise ValueError for an estimator that scikit-learn could not use safely.

    A pipeline with a memory reads pickles, and the library behind support vector machines takes
    the sizes of arrays from each other.
    """
    name = type(estimator).__name__
    if getattr(estimator, "memory", None) is not None:
        raise ValueError(f"a {name} with a memory, which is a folder of pickles")
    if not isinstance(estimator, BaseLibSVM):
        return
    if estimator.kernel == "precomputed":
        raise ValueError(f"a {name} of precomputed kernels")
    if not hasattr(estimator, "support_"):
        return
    n, n_classes = len(estimator.support_), len(getattr(estimator, "classes_", "ab"))
    n_pairs = n_classes * (n_classes - 1) // 2
    counts = estimator._n_support if hasattr(estimator, "classes_") else estimator._n_support[:1]
    fits = (
        estimator._n_support.shape == (n_classes,)
        and counts.min() >= 0
        and counts.sum() == n
        and estimator.support_vectors_.shape == (n, estimator.n_features_in_)
        and estimator._dual_coef_.shape == (n_classes - 1, n)
        and estimator._intercept_.shape == (n_pairs,)
        and estimator._probA.shape == estimator._probB.shape
        and estimator._probA.shape in {(0,), (n_pairs,)}
    )
    if not fits:
        raise ValueError(f"a {name} whose arrays do not fit together")
