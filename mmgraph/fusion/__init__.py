"""Fusion: one prediction from several modalities."""
