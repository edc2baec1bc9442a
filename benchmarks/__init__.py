"""Benchmarks and reproductions. Each module is a command: ``python -m benchmarks.<module>``."""
