"""What estimators share that compare rows in the space of another one."""

import warnings

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from ..base import MultimodalEstimator, RepresentationMixin
from ..engine.retrieval import Geometry
from .cca import CCA

__all__ = ["SIMILARITIES", "EmbeddingUser", "geometry"]

SIMILARITIES = "cosine", "centred_cosine", "correlation"


class EmbeddingUser(MultimodalEstimator):
    """Base of estimators with a parameter ``embedding``, an estimator that is fitted or frozen."""

    @property
    def modalities(self):
        """Columns of each modality, as the embedding has them."""
        return self._template().modalities

    @property
    def device(self):
        """Where the embedding computes."""
        return "cpu" if self._template()._streams else self._device_of_embedding()

    def _device_of_embedding(self):
        template = self._template()
        frozen = isinstance(self.embedding, FrozenEstimator)
        return template._device if frozen else template.device

    def _template(self):
        """The estimator that the parameter `embedding` means."""
        template = CCA() if self.embedding is None else self.embedding
        template = template.estimator if isinstance(template, FrozenEstimator) else template
        if not isinstance(template, RepresentationMixin):
            raise TypeError(
                f"embedding={self.embedding!r}: it must be an estimator of mmgraph that has embed, "
                "such as mmgraph.CCA(), or a FrozenEstimator of one that is fitted."
            )
        return template

    def _fitted_embedding(self, X, y):
        """A clone of the embedding, fitted to rows that have been checked, or the frozen one."""
        template = self._template()
        on_gpu = hasattr(template, "device") and self._device_of_embedding() == "cuda"
        if on_gpu and not hasattr(self, "device"):
            raise ValueError(
                f"{type(self).__name__} computes on the CPU only, but its embedding on the GPU: "
                "set its device to 'cpu', or move it with mmgraph.to_device(embedding, 'cpu')."
            )
        with warnings.catch_warnings():  # has been said of this X
            warnings.filterwarnings("ignore", message="modality .* is NaN in part")
            if isinstance(self.embedding, FrozenEstimator):
                template._check(X)
                return template
            return clone(template).fit(X, y)


def geometry(similarity, embedding, representations):
    """The geometry in which the representations that an embedding gives are compared.

    Parameters
    ----------
    similarity : {"cosine", "centred_cosine", "correlation"}
    embedding : estimator
        Fitted; ``canonical_correlations_``, if it has them, are the weights of ``"correlation"``.
    representations : dict of str to ndarray of shape (n_rows, n_components)
        Of training rows, by modality.

    Returns
    -------
    Geometry
    """
    correlations = getattr(embedding, "canonical_correlations_", None)
    return Geometry.of(similarity, representations, correlations)
