"""One hidden Markov model a label."""

import numpy as np
from sklearn.base import clone

from ..base import MultimodalEstimator
from .hmm import MultiStreamHMM

__all__ = ["ModelByLabel"]


class ModelByLabel(MultimodalEstimator):
    """What estimators share that learn a hidden Markov model of each label from its examples.

    The models are clones of the parameter ``hmm``, and share the units of the streams.
    """

    _label = "class"  # what a label is called
    _default, _default_is = MultiStreamHMM(), "one with its defaults"  # where hmm is None

    def _check_model(self):
        """Refuse a parameter `hmm` of another kind."""
        if not isinstance(self.hmm, MultiStreamHMM | None):
            raise TypeError(
                f"hmm={self.hmm!r}: it must be a MultiStreamHMM, or None for {self._default_is}."
            )

    def _layout_parameters(self):
        return super()._layout_parameters(self.hmm)

    def _exponents(self):
        """The parameter `stream_weights`, as given here or to the model."""
        return self._agreed("stream_weights", getattr(self.hmm, "stream_weights", None))

    def _model(self):
        """A model of one label, with the columns of the estimator."""
        model = clone(self._default if self.hmm is None else self.hmm)
        model.set_params(**self._layout_parameters(), stream_weights=None)
        if self.random_state is not None:
            model.set_params(random_state=self.random_state)
        model._device = self._device
        model._check_parameters()
        for name in ("layout_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model

    def _learn_each(self, views, classes, codes, offsets):
        """Learn a model of each label.

        Parameters
        ----------
        views : Views
        classes : ndarray of shape (n_classes,)
        codes : ndarray of int, shape (n_examples,)
            Number of each example's label.
        offsets : ndarray of int, shape (n_examples + 1,)
            First row of each example, and the number of rows.

        Yields
        ------
        model : MultiStreamHMM
            Of each label in turn.
        own : Views
            The rows of its examples.
        offsets : ndarray of int
            First row of each of these examples, and the number of rows.
        """
        lengths, streams = np.diff(offsets), self._model()._blank_streams(views)
        for k, label in enumerate(classes):
            own = views.take(np.repeat(codes == k, lengths))
            for name, present in own.present.items():
                if not present.any():
                    raise ValueError(
                        f"modality {name!r} is absent (NaN) in all rows of {self._label} {label}: "
                        "nothing can be learnt about it. Add rows that show it."
                    )
            own_offsets = np.cumsum([0, *lengths[codes == k]])
            model = self._model()._learn(own, own_offsets, streams=streams)
            yield model, own, own_offsets
