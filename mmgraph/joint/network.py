"""What the estimators that train a feed-forward network share."""

import numbers

import numpy as np

from ..base import MultimodalEstimator, drive
from ..engine.network import Settings, train
from .machine import BoltzmannEstimator, require

__all__ = ["NetworkEstimator"]

WATCHED = 500  # training rows whose loss is recorded after each epoch


class NetworkEstimator(MultimodalEstimator):
    """Base of the estimators that train a network; they have the parameters of :data:`_RANGES`."""

    _kinds = BoltzmannEstimator._kinds
    _data = BoltzmannEstimator._data
    _split = BoltzmannEstimator._split

    def _check_parameters(self):
        for name, (low, high, kind) in _RANGES.items():
            if hasattr(self, name) and not (name == "max_norm" and self.max_norm is None):
                require(name, getattr(self, name), low, high, kind)
        for name, allowed in _CHOICES.items():
            value = getattr(self, name, allowed[0])
            if not isinstance(value, str | bool | np.bool_) or value not in allowed:
                raise ValueError(f"{name}={value!r}: choose one of {list(allowed)}.")

    def _settings(self, network, n_plain):
        """The engine's settings; the first `n_plain` inputs have the rate of inputs."""
        hidden = network.n_layers - n_plain
        return Settings(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            decay=self.learning_rate_schedule,
            momentum=self.momentum,
            batch_size=self.batch_size,
            max_epochs=self.max_iter,
            dropout=(self.input_dropout,) * n_plain + (self.dropout,) * hidden,
            max_norm=self.max_norm,
            l2=self.l2,
        )

    def _train(self, network, source, rows, settings, checkpoint, loss):
        """Drive a training, and return its result: the network.

        `loss`, a function (network, rows) of the mean loss of rows, is what is watched.
        """
        key, last = checkpoint.key, checkpoint.course.last
        held_out = None
        if self.early_stopping:
            held_out, rows = self._split(rows, key)
        epochs = train(network, source, rows, settings, key, resume=last)
        watched = rows[:: max(1, len(rows) // WATCHED)]
        best, self.history_ = drive(
            _watch(epochs, loss, watched, held_out),
            total=settings.max_epochs,
            verbose=self.verbose,
            description=type(self).__name__,
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            course=checkpoint.course,
            save=checkpoint.save,
        )
        self.n_iter_ = best.number
        return best.network


def _watch(epochs, loss, watched, held_out):
    """Add to each epoch's metrics its loss on training rows, and its score on rows held out."""
    for epoch in epochs:
        metrics = dict(epoch.metrics)
        metrics["loss"] = loss(epoch.network, watched)
        if held_out is not None:
            metrics["validation_score"] = -loss(epoch.network, held_out)
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise FloatingPointError(f"{name} became {value} in epoch {epoch.number}")
        yield epoch._replace(metrics=metrics)


# Smallest and largest value of the numeric parameters; "<" leaves the bound out.
_RANGES = {
    "learning_rate": ("<0", "<inf", numbers.Real),
    "momentum": ("0", "<1", numbers.Real),
    "batch_size": ("1", "inf", numbers.Integral),
    "max_iter": ("1", "inf", numbers.Integral),
    "init_max_iter": ("1", "inf", numbers.Integral),
    "dropout": ("0", "<1", numbers.Real),
    "input_dropout": ("0", "<1", numbers.Real),
    "max_norm": ("<0", "inf", numbers.Real),
    "l2": ("0", "inf", numbers.Real),
    "validation_fraction": ("<0", "<1", numbers.Real),
    "n_iter_no_change": ("1", "inf", numbers.Integral),
    "tol": ("0", "inf", numbers.Real),
}
_CHOICES = {
    "optimizer": ("adam", "nesterov"),
    "learning_rate_schedule": ("linear", "constant", "inverse"),
    "dtype": ("float32", "float64"),
    "early_stopping": (True, False),
}
