"""Joint representations: Boltzmann machines over one or many modalities."""
