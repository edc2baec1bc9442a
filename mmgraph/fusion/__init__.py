"""Fusion of modalities: of their kernels, columns, predictions or streams."""
