"""One modality from another, by example."""
