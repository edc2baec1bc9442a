"""Fusion of modalities: of their kernels, their columns, or predictions from each."""
