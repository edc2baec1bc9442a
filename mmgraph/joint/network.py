"""What the estimators that train a network of the layers of a Boltzmann machine share."""

from .. import training
from .machine import BoltzmannEstimator

__all__ = ["NetworkEstimator"]


class NetworkEstimator(training.NetworkEstimator):
    """Base of the estimators whose network reads unit types."""

    _kinds = BoltzmannEstimator._kinds
    _data = BoltzmannEstimator._data

    def _train(self, network, source, rows, settings, checkpoint, loss):
        """Drive a training, and return its result; `loss` is a function (network, rows)."""

        def measure(network, watched, held_out):
            found = {"loss": loss(network, watched)}
            if held_out is not None:
                found["validation_score"] = -loss(network, held_out)
            return found

        return super()._train(network, source, rows, settings, checkpoint, measure)
