"""Coordinated representations: one space a modality, tied by correlation or by contrast."""
