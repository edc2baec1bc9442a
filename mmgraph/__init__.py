"""Probabilistic graphical models for multimodal data, with scikit-learn's contract.

Names load the module that defines them when they are first used, so that ``import mmgraph`` is
quick.
"""

from importlib import import_module

from ._version import __version__

_HOMES = {
    "BimodalDeepAutoencoder": "joint.autoencoder",
    "CCA": "coordinated.cca",
    "CanonicalTimeWarping": "alignment.canonical_time_warping",
    "CoTraining": "colearning.co_training",
    "ContrastiveEmbedding": "coordinated.contrastive",
    "CoupledHMM": "fusion.coupled_hmm",
    "DBM": "joint.dbm",
    "DBMClassifier": "joint.classifier",
    "DynamicTimeWarping": "alignment.time_warping",
    "ESZSLClassifier": "colearning.zero_shot",
    "EarlyFusionClassifier": "fusion.early",
    "EarlyFusionRegressor": "fusion.early",
    "FactorialHMM": "fusion.factorial_hmm",
    "ForcedAligner": "alignment.forced_aligner",
    "HMMClassifier": "fusion.hmm_classifier",
    "HybridFusionClassifier": "fusion.hybrid",
    "HybridFusionRegressor": "fusion.hybrid",
    "KernelCCA": "coordinated.kernel_cca",
    "LateFusionClassifier": "fusion.late",
    "LateFusionRegressor": "fusion.late",
    "LatentAligner": "alignment.latent_aligner",
    "MKLClassifier": "fusion.mkl",
    "MKLRegressor": "fusion.mkl",
    "MKLTransformer": "fusion.mkl_transformer",
    "MetricTimeWarping": "alignment.metric_time_warping",
    "MultiStreamHMM": "fusion.hmm",
    "MultimodalDBM": "joint.dbm",
    "ProbabilisticCCA": "coordinated.probabilistic_cca",
    "RBM": "joint.rbm",
    "Retriever": "translation.retriever",
    "SemanticMatcher": "translation.semantic",
    "SparseCCA": "coordinated.sparse_cca",
    "StreamSearch": "alignment.stream_search",
    "TrajectoryHMM": "translation.trajectory_hmm",
    "ZeroShotClassifier": "colearning.zero_shot",
    "datasets": "datasets",
    "load": "persistence",
    "metrics": "metrics",
    "pack": "modalities",
    "pack_sequences": "modalities",
    "plotting": "plotting",
    "save": "persistence",
    "to_device": "placement",
    "unpack": "modalities",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    module = import_module(f".{home}", __name__)
    value = module if home == name else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
