"""Arrays on CPU or GPU, counter-based random streams, and the few loops that are not BLAS.

Nothing here knows a model. Importing this package imports neither Numba nor CuPy.
"""
