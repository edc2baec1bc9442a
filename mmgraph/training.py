"""What the estimators that train a feed-forward network share."""

import numbers

import numpy as np

from .base import MultimodalEstimator, drive
from .engine.network import Settings, train
from .parameters import choose, require
from .placement import placed

__all__ = ["NetworkEstimator", "hold_out"]

WATCHED = 500  # training rows whose loss is recorded after each epoch


class NetworkEstimator(MultimodalEstimator):
    """Base of the estimators that train a network; they have parameters of :data:`_RANGES`."""

    def _check_parameters(self):
        for name, (low, high, kind) in _RANGES.items():
            if hasattr(self, name) and not (name == "max_norm" and self.max_norm is None):
                require(name, getattr(self, name), low, high, kind)
        for name, allowed in _CHOICES.items():
            if hasattr(self, name):
                choose(name, getattr(self, name), allowed)

    def _settings(self, network, n_plain):
        """The engine's settings; the first `n_plain` inputs have the rate of inputs."""
        hidden = network.n_layers - n_plain
        return Settings(
            optimizer=getattr(self, "optimizer", "adam"),
            learning_rate=self.learning_rate,
            decay=self.learning_rate_schedule,
            momentum=getattr(self, "momentum", 0.9),
            batch_size=self.batch_size,
            max_epochs=self.max_iter,
            dropout=(self.input_dropout,) * n_plain + (self.dropout,) * hidden,
            max_norm=getattr(self, "max_norm", None),
            l2=self.l2,
        )

    def _train(self, network, source, rows, settings, checkpoint, measure, **options):
        """Drive a training, and return its result: the network.

        `measure`, a function (network, rows, held_out) -> dict of str to float, finds the metrics
        of an epoch: ``loss`` on some training rows, and ``validation_score`` on the rows held out,
        if there are any. `options` go to the engine's `train`.
        """
        key, course = checkpoint.key, placed(checkpoint.course, self._device)
        held_out = None
        if self.early_stopping:
            held_out, rows = hold_out(rows, self.validation_fraction, key)
        epochs = train(network, source, rows, settings, key, resume=course.last, **options)
        watched = rows[:: max(1, len(rows) // WATCHED)]
        best, self.history_ = drive(
            _watch(epochs, lambda network: measure(network, watched, held_out)),
            total=settings.max_epochs,
            verbose=self.verbose,
            description=type(self).__name__,
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            course=course,
            save=checkpoint.save,
        )
        self.n_iter_ = best.number
        return best.network


def hold_out(rows, fraction, key):
    """Rows held out, and those that are left."""
    n = max(1, round(fraction * len(rows)))
    if n >= len(rows):
        raise ValueError(
            f"validation_fraction={fraction} of {len(rows)} rows leaves none "
            "to learn from: lower it, or set early_stopping=False."
        )
    order = np.random.default_rng([*key, 1]).permutation(rows)
    return np.sort(order[:n]), np.sort(order[n:])


def _watch(epochs, measure):
    """Add to each epoch's metrics what is measured after it."""
    for epoch in epochs:
        metrics = {**epoch.metrics, **measure(epoch.network)}
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
