"""Fusion of modalities: of their kernels, their columns, or predictions from each."""
"""Fusion of modalities by combining estimators: of their columns, or of their predictions."""
