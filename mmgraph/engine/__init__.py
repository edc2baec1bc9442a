"""Pure functions and small records: arrays in, records out. Knows no estimator."""
