"""Fusion: one prediction from several modalities."""
"""Fusion of modalities by combining estimators: of their columns, or of their predictions."""
