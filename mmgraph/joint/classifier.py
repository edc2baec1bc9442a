"""Deep Boltzmann machines fine-tuned to classify."""

import warnings
from os import PathLike
from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from ..backend import random
from ..backend.arrays import to_numpy
from ..backend.random import derive
from ..checkpoint import Checkpoint
from ..engine.boltzmann import begin, mean_field
from ..engine.network import Batch, forward
from ..engine.network import loss as mean_loss
from ..engine.unrolling import classifier, evidence
from ..hints import Seed
from ..predictors import PosteriorClassifier
from ..targets import check_classes
from .dbm import MultimodalDBM
from .machine import CHAINS_AT_ONCE, BoltzmannEstimator, _chunks
from .network import NetworkEstimator

__all__ = ["DBMClassifier"]

FIT, MACHINE = range(2)  # what a derived key is used for


class DBMClassifier(PosteriorClassifier, NetworkEstimator):
    r"""Classifier that starts at the representation of a Boltzmann machine and fine-tunes it.

    The machine is fitted to the rows without their labels, then unrolled into a feed-forward
    network whose hidden layers see what they saw in the machine: the layers below, and the
    mean-field means :math:`\mu` of those above, which are inputs beside the data. For two hidden
    layers,

    .. math:: h_1 = \sigma(W_1^\top t + W_2 \mu_2 + c_1), \quad h_2 = \sigma(W_2^\top h_1 + c_2),
       \quad p(y \mid t) = \mathrm{softmax}(V^\top h_2 + b),

    and likewise for each pathway of a :class:`MultimodalDBM` and its joint layer. Then all weights,
    two copies of :math:`W_2` among them, follow the gradient of the log-probability of the labels.
    A modality that a row lacks enters as the machine's mean-field mean of it, in `fit` and after.

    Parameters
    ----------
    dbm : RBM, DBM, MultimodalDBM or FrozenEstimator of one, default=None
        The machine. `fit` fits a clone of it; to use one that is fitted already, wrap it in
        scikit-learn's :class:`~sklearn.frozen.FrozenEstimator`. Its parameter ``modalities`` says
        which columns are whose. None: ``MultimodalDBM()``.
    optimizer : {"adam", "nesterov"}, default="adam"
        Adam, or stochastic gradient descent with Nesterov's momentum.
    learning_rate : float, default=0.003
        Step size at the start.
    learning_rate_schedule : {"linear", "constant", "inverse"}, default="linear"
        Falling linearly to zero over `max_iter`, constant, or as 1 / (1 + 10 t / max_iter).
    momentum : float, default=0.9
        Share of the last step, or with Adam of the last mean gradient, that the next one keeps.
    batch_size : int, default=20
        Rows a gradient step.
    max_iter : int, default=50
        Passes of the fine-tuning over the rows (fewer with early stopping).
    dropout : float, default=0.0
        Probability that a hidden unit, or an input that is a hidden unit's mean, is left out of a
        step.
    input_dropout : float, default=0.0
        Probability that a column of X is left out of a step.
    max_norm : float, default=None
        Largest norm of the weights into a hidden unit; None: no limit.
    l2 : float, default=0.0
        Weight decay.
    early_stopping : bool, default=False
        Hold out rows from the fine-tuning (the machine sees them, without labels), and stop when
        the log-probability of their labels gets no better. The best epoch is kept.
    validation_fraction : float, default=0.1
        Share of rows held out.
    n_iter_no_change : int, default=10
        Epochs without improvement after which to stop.
    tol : float, default=0.0
        What counts as an improvement, in nats.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the fine-tuning.
    random_state : int, RandomState, Generator or None, default=None
        Seed. A machine without a seed of its own takes one from it.
    verbose : int, default=0
        1 shows a progress bar of the fine-tuning.
    checkpoint : str or Path, default=None
        File that the fine-tuning writes every few seconds, and goes on from if it exists. The
        machine has a parameter of that name for its own fit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    dbm_ : RBM, DBM or MultimodalDBM
        The fitted machine.
    network_ : Network
        The fine-tuned network.
    history_ : dict of str to list
        Course of the fine-tuning by epoch: ``epoch``, ``learning_rate``, ``weight_norm``, ``loss``
        (minus the log-probability of the labels of some training rows, without dropout) and, with
        `early_stopping`, ``validation_score`` (the log-probability of the labels held out).
    n_iter_ : int
        Passes done.
    layout_ : Layout
        Columns of each modality.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it had any.

    See Also
    --------
    MultimodalDBM : The machine; ``make_pipeline(dbm, LogisticRegression())`` leaves it as it is.

    References
    ----------
    .. [1] Salakhutdinov & Hinton (2009), Deep Boltzmann machines. AISTATS, section 3.3.
    .. [2] Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), Dropout: a simple way
       to prevent neural networks from overfitting. JMLR 15, 1929-1958.

    Examples
    --------
    >>> import mmgraph as mg
    >>> digits = mg.datasets.load_digit_captions()
    >>> dbm = mg.DBM((64, 32), max_iter=10, random_state=0)
    >>> classifier = mg.DBMClassifier(dbm, max_iter=20, random_state=0)
    >>> _ = classifier.fit(digits.image[digits.train], digits.target[digits.train])
    >>> accuracy = classifier.score(digits.image[digits.test], digits.target[digits.test])
    >>> bool(accuracy > 0.9)
    True
    """

    def __init__(
        self,
        dbm: Any = None,
        *,
        optimizer: Literal["adam", "nesterov"] = "adam",
        learning_rate: float = 0.003,
        learning_rate_schedule: Literal["linear", "constant", "inverse"] = "linear",
        momentum: float = 0.9,
        batch_size: int = 20,
        max_iter: int = 50,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        l2: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 0.0,
        dtype: Literal["float32", "float64"] = "float32",
        random_state: Seed = None,
        verbose: int = 0,
        checkpoint: str | PathLike | None = None,
    ):
        self.dbm = dbm
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.max_norm = max_norm
        self.l2 = l2
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.checkpoint = checkpoint

    @property
    def modalities(self):
        """Columns of each modality, as the machine has them."""
        return self._machine().modalities

    def fit(self, X, y):
        """Fit the machine to the rows and fine-tune it to their labels.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Training rows, NaN where a modality is absent.
        y : array-like of shape (n_rows,)
            Labels: numbers or strings.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, X does not suit the machine, or y has one class only.
        TypeError
            If `dbm` is no Boltzmann machine of mmgraph.
        """
        self._check_parameters()
        self._machine()
        views = self._check(X, reset=True)
        classes, codes = check_classes(self, y, views.n_rows)
        key = derive(random.key(self.random_state), FIT)
        checkpoint = Checkpoint(self, views, key, y=codes)
        machine = self._fitted_machine(X, checkpoint.key)
        inputs = _evidence(machine, views, np.dtype(self.dtype))
        targets = np.eye(len(classes), dtype=self.dtype)

        def source(rows, rng=None):
            return Batch([x[rows] for x in inputs], [targets[codes[rows]]], [None])

        model = machine.training_state_.model.to("cpu").astype(np.dtype(self.dtype))
        network = classifier(model, len(classes), checkpoint.key)
        self.network_ = self._train(
            network,
            source,
            np.arange(views.n_rows),
            self._settings(network, n_plain=model.n_visible),
            checkpoint,
            lambda network, rows: mean_loss(network, source(rows)),
        )
        self.dbm_, self.classes_ = machine, classes
        return self

    def decision_function(self, X):
        """Log-odds of the classes, up to a constant a row.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            NaN marks absent modalities.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows,) of two classes
            With two classes, the log-odds of the second one.
        """
        eta = self._opinion(self._check(X))
        return eta[:, 1] - eta[:, 0] if len(self.classes_) == 2 else eta

    def _opinion(self, views):
        """Natural parameters of the classes, shape (n_rows, n_classes)."""
        network = self.network_.astype(views.dtype)
        parts = []
        for rows in _chunks(views.n_rows, CHAINS_AT_ONCE):
            inputs = _evidence(self.dbm_, views.take(rows), views.dtype)
            parts.append(forward(network, inputs)[-1])
        return np.concatenate(parts)

    def _machine(self):
        """The machine that the parameter `dbm` means."""
        machine = MultimodalDBM() if self.dbm is None else self.dbm
        machine = machine.estimator if isinstance(machine, FrozenEstimator) else machine
        if not isinstance(machine, BoltzmannEstimator):
            raise TypeError(
                f"dbm={self.dbm!r}: it must be an RBM, a DBM or a MultimodalDBM, or a "
                "FrozenEstimator of one that is fitted."
            )
        return machine

    def _fitted_machine(self, X, key):
        machine = self._machine()
        if isinstance(self.dbm, FrozenEstimator):
            machine._check(X)
            return machine
        machine = clone(machine)
        if machine.random_state is None:
            machine.set_params(random_state=derive(key, MACHINE).low)
        with warnings.catch_warnings():  # has been said of this X
            warnings.filterwarnings("ignore", message="modality .* is NaN in part")
            return machine.fit(X)


def _evidence(machine, views, dtype):
    """Inputs of the network: what rows show, or what the machine infers of it, and its means."""
    model, parts = machine.model_.astype(dtype), []
    for rows in _chunks(views.n_rows, CHAINS_AT_ONCE):
        shown, present = machine._shown(views.take(rows), model)
        state = begin(model, shown, rows.stop - rows.start, present=present)
        inferred = mean_field(model, state, max_sweeps=machine.mean_field_sweeps, tol=0.0)
        parts.append([to_numpy(x) for x in evidence(model, inferred.state.values)])
    return [np.concatenate(blocks).astype(dtype, copy=False) for blocks in zip(*parts, strict=True)]
