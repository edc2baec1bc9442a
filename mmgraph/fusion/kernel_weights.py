"""What estimators of kernel weights share: parameters, kernels from a specification, the bank."""

import inspect
import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigvalsh
from sklearn.exceptions import ConvergenceWarning

from ..backend.arrays import namespace, pick, to_numpy
from ..base import MultimodalEstimator
from ..engine.bank import NORMALISATIONS, build, inverse
from ..engine.combination import SOLVERS
from ..engine.kernels import NAMES, Kernel, automatic, gram
from ..parameters import choose, require
from ..predictors import shown

__all__ = ["KernelWeights", "as_targets", "documented", "filled", "standardised", "teaching"]

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the automatic kernels, relative to the median heuristic
ITERATIVE = {"simple", "lp", "ridge", "bayes", "cardinality"}  # these profit from a cache
PSD_ROWS = 1000  # rows of a Gram matrix whose smallest eigenvalue is looked at
NOT_ALWAYS_PSD = {"sigmoid", "precomputed"}

SHARED = """\
kernels : "auto", list, or dict of str to list, default="auto"
    Kernels of every modality, or by modality. A kernel is a name of
    :func:`sklearn.metrics.pairwise.pairwise_kernels`, a pair of name and parameters such as
    ``("rbf", {"gamma": .1})``, a function of two rows, or an array of shape (n, n), a ready Gram
    matrix: the modality is then one column that holds row numbers of it. Without a ``gamma``,
    radial kernels take the median heuristic. ``"auto"`` is five radial kernels a modality, from a
    quarter to four times that ``gamma``.
solver : {"alignf", "align", "mean", "single", "easy", "simple", "lp", "cardinality", "ridge", \
"bayes"}, default="alignf"
    How the weights are found; see :doc:`/user_guide/mkl`.
solver_params : dict, default=None
    Settings of the solver, such as ``{"p": 1.5}`` of ``"lp"`` or ``{"k": 3}`` of
    ``"cardinality"``.
C : float, default=10.0
    Penalty of the support vector machine, and one over the ridge of ``"ridge"``.
center : bool, default=True
    Whether the mean of the training rows is the origin of feature space. A support vector machine
    does not see it, but absent modalities do: they count as the mean.
normalize : {"none", "cosine", "trace", "variance"}, default="none"
    ``"cosine"``: rows have unit length in feature space; ``"trace"``, ``"variance"``: Gram
    matrices have mean diagonal, or mean squared distance to the mean, 1.
cache_size : float, default=500
    Megabytes within which the Gram matrices of iterative solvers are kept. Beyond, they are
    computed anew each time, and memory does not grow with the number of kernels.
device : {"auto", "cpu", "cuda"}, default="auto"
    Where kernels are computed, aligned and combined: ``"auto"`` follows X. The weights, and the
    support vector machine of the combination, are found on the CPU."""

RANK = """\
rank : int, default=None
    None: the machine is exact, of the whole Gram matrix. Else it is linear in so many features, so
    that time and memory are linear in the rows: weights are found on ``max(2 * rank, 1000)`` rows
    drawn at random, landmarks among these by pivoted Cholesky of their combined Gram matrix, and
    the features of all rows are those of Nystroem. New rows need the kernels with the landmarks
    alone, whose mean is the origin then.
random_state : int, RandomState, Generator or None, default=None
    Of these draws."""

FITTED = """\
kernel_weights_ : ndarray of shape (n_kernels,)
    Weights, of the sum 1 (but of ``"lp"`` and ``"bayes"``). With ``weights="per-class"`` and three
    or more classes it has a row for each, and so has the next; what follows are means over the
    classes, or the worst, and a history has a list of each.
kernel_weights_std_ : ndarray of shape (n_kernels,) or None
    Their uncertainty, of ``"bayes"``.
kernels_ : list of (str, Kernel)
    Modality, name and parameters of each kernel.
modality_weights_ : dict of str to float
    Share of each modality in the variance of the rows in the combined feature space.
alignment_ : dict of str to float
    Centred alignment with the targets of the learnt combination (``"learnt"``), of equal weights
    (``"mean"``) and of the best single kernel (``"best"``).
alignments_ : ndarray of shape (n_kernels + 1, n_kernels + 1)
    Centred alignments of all kernels with each other and, last, with the targets.
history_ : dict of str to list
    Course of the solver, with ``objective`` and ``gap`` where it has them.
gap_ : float
    Its last duality gap, relative to the objective; NaN where the method has none.
n_iter_ : int
    Its iterations; 1 of a closed form.
bank_ : Bank
    The kernels over the training rows.
layout_ : Layout
    Columns of each modality.
n_features_in_ : int
    Number of columns of X.
feature_names_in_ : ndarray of str
    Names of the columns of X, if it had any."""


def documented(kind):
    """Write what all estimators of kernel weights share into the docstring of one."""
    for mark, text in (("{shared}", SHARED), ("{rank}", RANK), ("{fitted}", FITTED)):
        indented = text.replace("\n", "\n    ")
        kind.__doc__ = kind.__doc__.replace(mark, indented)
    return kind


class KernelWeights(MultimodalEstimator):
    """Kernels of the modalities, and weights that a solver finds for targets."""

    _on_host = frozenset({"alignments_", "class_prior_", "kernel_weights_", "kernel_weights_std_"})

    def _check_parameters(self):
        choose("solver", self.solver, SOLVERS)
        choose("normalize", self.normalize, NORMALISATIONS)
        choose("center", self.center, (True, False))
        require("C", self.C, "<0", "inf", numbers.Real)
        require("cache_size", self.cache_size, "0", "inf", numbers.Real)
        params = self.solver_params or {}
        known = list(inspect.signature(SOLVERS[self.solver]).parameters)[2:]
        known = [name for name in known if name != "solve"]
        for name in params:
            if name not in known:
                raise ValueError(
                    f"solver_params has {name!r}, but the settings of solver={self.solver!r} are "
                    f"{known}."
                )

    def _find_weights(self, views, problem):
        """Fit the weights of the kernels; returns the bank."""
        kernels, weight = self._kernels(views, problem.sample_weight), problem.row_weights
        bank, alignments = build(
            filled(views),
            views.present,
            kernels,
            weight,
            targets=problem.centred_targets,
            center=self.center,
            normalize=self.normalize,
            megabytes=self.cache_size if self.solver in ITERATIVE else 0,
        )
        problem = problem._replace(alignments=alignments)
        solve, params = SOLVERS[self.solver], self.solver_params or {}
        found = [solve(bank, part, **params) for part in self._parts(problem)]
        slowest = max(found, key=lambda one: (not one.converged, _length(one)))
        if not slowest.converged:
            warnings.warn(
                f"solver={self.solver!r} stopped after {_length(slowest)} iterations with a gap of "
                f"{slowest.gap:.2g}: raise max_iter or tol in solver_params.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.kernels_ = kernels
        self._found(found)
        self._describe(bank, problem, [one.weights for one in found])
        self.bank_ = bank.without_cache()
        return bank

    def _parts(self, problem):
        """Problems of which each has weights of its own."""
        return [problem]

    def _found(self, found):
        """Set what the solver found."""
        (one,) = found
        self.kernel_weights_, self.kernel_weights_std_ = one.weights, one.std
        self.history_, self.gap_ = one.history, float(one.gap)
        self.n_iter_ = max(1, _length(one))

    def _describe(self, bank, problem, weights):
        """Weights by modality, and alignments beside those of the baselines: means of the parts."""
        traces = np.mean(np.abs(weights), axis=0) * [map_.trace for map_ in bank.maps]
        traces = np.maximum(traces, 0.0)
        total = traces.sum() or 1.0
        self.modality_weights_ = dict.fromkeys(self.layout_.names, 0.0)
        for (modality, _), trace in zip(self.kernels_, traces, strict=True):
            self.modality_weights_[modality] += float(trace / total)
        self.alignments_ = _alignments(problem)
        every, equal = np.eye(bank.n_kernels), np.full(bank.n_kernels, 1 / bank.n_kernels)
        parts = []
        for part, learnt in zip(self._parts(problem), weights, strict=True):
            single = max(_alignment(part, one) for one in every)
            parts.append((_alignment(part, learnt), _alignment(part, equal), single))
        means = np.mean(parts, axis=0).tolist()
        self.alignment_ = dict(zip(("learnt", "mean", "best"), means, strict=True))

    def _kernels(self, views, weight):
        """Modality and kernel, in order, from the parameter `kernels`."""
        spec = self.kernels
        if isinstance(spec, Mapping):
            for name in spec:
                self.layout_.require(name)
            missing = [name for name in self.layout_.names if name not in spec]
            if missing:
                raise ValueError(
                    f"kernels has none for the modalities {missing}: give each a list of kernels, "
                    "or drop its columns."
                )
        found = []
        for name in self.layout_.names:
            shown = views.present[name]
            rows = pick(views.blocks[name], shown)
            counts = None if weight is None else weight[shown]
            own = spec[name] if isinstance(spec, Mapping) else spec
            kernels = _as_kernels(own, rows, counts, f"modality {name!r}")
            found += [(name, kernel) for kernel in kernels]
        return found

    def _gram(self, views, weights=None):
        """Combined Gram matrix of new rows with the training rows."""
        weights = self.kernel_weights_ if weights is None else weights
        K = self.bank_.between(filled(views), views.present, weights)
        return self._balanced(K, views.present, weights)

    def _balanced(self, K, present, weights):
        """Rows scaled up for the modalities that they lack, so that all are of one size."""
        cover, own = (
            namespace(K).asarray(inverse(np.sqrt(self.bank_.coverage(p, weights))))
            for p in (present, self.bank_.present)
        )
        return K * cover[:, None] * own


def as_targets(codes, n_classes):
    """Columns of -1 and 1: one for two classes, else one a class."""
    targets = 2.0 * (codes[:, None] == np.arange(n_classes)) - 1
    return targets[:, 1:] if n_classes == 2 else targets


def teaching(views, weight):
    """Which rows there is something to learn from: they show something, and have a weight."""
    some = (weight > 0) & shown(views).any(axis=1)
    return some if some.any() else weight > 0


def standardised(y, weight):
    """Numbers as a column of mean 0 and variance 1, and the mean and standard deviation."""
    mean = float(np.average(y, weights=weight))
    scale = float(np.sqrt(np.average((y - mean) ** 2, weights=weight))) or 1.0
    return ((y - mean) / scale)[:, None], mean, scale


def _as_kernels(spec, rows, weight, label):
    """Kernels of a modality from what the parameter says."""
    if isinstance(spec, str) and spec == "auto":
        base = automatic("rbf", rows, {}, weight)
        gamma = base.params["gamma"]
        return [base._replace(params={"gamma": gamma * width}) for width in WIDTHS]
    if isinstance(spec, str | Mapping) or not isinstance(spec, Iterable):
        raise ValueError(
            f"kernels={spec!r} of {label}: give a list such as ['rbf', ('poly', {{'degree': 2}})], "
            "or 'auto'."
        )
    kernels = [_as_kernel(one, rows, weight, label) for one in spec]
    if not kernels:
        raise ValueError(f"kernels of {label} is an empty list: give one kernel at least.")
    return kernels


def _as_kernel(spec, rows, weight, label):
    name, params = spec if isinstance(spec, tuple) and len(spec) == 2 else (spec, {})
    if isinstance(name, np.ndarray):
        kernel = _ready(name, rows, label)
    elif isinstance(name, Callable) or (isinstance(name, str) and name in NAMES):
        kernel = automatic(name, rows, params, weight)
    else:
        raise ValueError(
            f"{name!r} among the kernels of {label}: choose a name of {list(NAMES)}, a pair of "
            "name and parameters, a function of two rows, or a Gram matrix."
        )
    if not isinstance(kernel.name, str) or kernel.name in NOT_ALWAYS_PSD:
        K = to_numpy(gram(kernel, rows[:PSD_ROWS]))
        values = eigvalsh(K) if np.allclose(K, K.T, rtol=1e-6) else [-np.inf]
        if values[0] < -1e-6 * max(np.abs(values).max(), 1e-300):
            raise ValueError(
                f"kernel {name if isinstance(name, str) else type(name).__name__!r} of {label} is "
                "not symmetric and positive semi-definite between the training rows (smallest "
                f"eigenvalue {values[0]:.2g}): choose another kernel, or add the absolute value of "
                "that to its diagonal."
            )
    return kernel


def _ready(array, rows, label):
    """A ready Gram matrix, which row numbers look up."""
    if namespace(rows) is not np:
        raise TypeError(
            f"a Gram matrix of {label} is looked up on the CPU only: fit with device='cpu'."
        )
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(
            f"a Gram matrix of {label} has shape {array.shape}, but must be square: kernels "
            "between all rows that there are, in training and later."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"a Gram matrix of {label} has values that are not finite.")
    if rows.shape[1] != 1:
        raise ValueError(
            f"{label} has {rows.shape[1]} columns, but with a ready Gram matrix it must be one "
            "column of row numbers."
        )
    return Kernel("precomputed", {"gram": array})


def filled(views):
    """Blocks of the views in float64, zero where they are absent."""
    blocks = {}
    for name, block in views.blocks.items():
        absent = ~views.present[name]
        if sp.issparse(block):
            block = sp.csr_array(block, dtype=np.float64, copy=True)
            block.data[np.isnan(block.data)] = 0.0
        else:
            if absent.any():
                block = views.xp.where(views.xp.asarray(absent)[:, None], 0.0, block)
            block = block.astype(np.float64, copy=False)
        blocks[name] = block
    return blocks


def _alignments(problem):
    """Centred alignments of all kernels with each other and, last, with the targets."""
    forms, moments = problem.alignments
    targets = problem.centred_targets
    size = np.square(targets.T @ (problem.row_weights[:, None] * targets)).sum()
    forms = forms.sum(axis=1)
    found = np.block([[moments, forms[:, None]], [forms, size]])
    scale = inverse(np.sqrt(np.maximum(np.diag(found), 0)))
    return found * scale[:, None] * scale


def _alignment(problem, weights):
    """Centred alignment of a combination with the targets."""
    forms, moments = problem.alignments
    targets = problem.centred_targets
    size = np.linalg.norm(targets.T @ (problem.row_weights[:, None] * targets))
    norm = np.sqrt(max(float(weights @ moments @ weights), 0.0)) * size
    return float(weights @ forms.sum(axis=1) / norm) if norm > 1e-300 else 0.0


def _length(found):
    return max(map(len, found.history.values()), default=0)
