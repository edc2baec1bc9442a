"""Displays of fitted models, in the manner of scikit-learn.

Each display computes what it shows in ``from_estimator``, keeps it in attributes, and draws it with
``plot``, as often as wanted. Matplotlib is loaded when something is drawn.
"""

from ._display import words_of
from .alignment_matrix import AlignmentMatrixDisplay
from .borders import BorderPosteriorDisplay
from .chains import ChainDisplay
from .correlation import (
    CorrelationCircleDisplay,
    RegularisationPathDisplay,
    ScoresDisplay,
)
from .dropped_modalities import DroppedModalitiesDisplay
from .generated_stream import GeneratedStreamDisplay
from .generation import GenerationDisplay
from .joint_space import JointSpaceDisplay
from .kernel_weights import KernelWeightsDisplay
from .receptive_fields import ReceptiveFieldsDisplay
from .reliability import ReliabilityDisplay
from .retrieval import RetrievalDisplay, SimilarityMatrixDisplay
from .search import SearchHitsDisplay
from .state_timeline import StateTimelineDisplay
from .training import TrainingDisplay
from .transition_graph import TransitionGraphDisplay
from .warping import WarpedStreamsDisplay, WarpingPathDisplay

__all__ = [
    "AlignmentMatrixDisplay",
    "BorderPosteriorDisplay",
    "ChainDisplay",
    "CorrelationCircleDisplay",
    "DroppedModalitiesDisplay",
    "GeneratedStreamDisplay",
    "GenerationDisplay",
    "JointSpaceDisplay",
    "KernelWeightsDisplay",
    "ReceptiveFieldsDisplay",
    "RegularisationPathDisplay",
    "ReliabilityDisplay",
    "RetrievalDisplay",
    "ScoresDisplay",
    "SearchHitsDisplay",
    "SimilarityMatrixDisplay",
    "StateTimelineDisplay",
    "TrainingDisplay",
    "TransitionGraphDisplay",
    "WarpedStreamsDisplay",
    "WarpingPathDisplay",
    "words_of",
]
