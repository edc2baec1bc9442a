"""Knowledge of one modality that serves another."""
