"""Threads: small matrix products take one, and loops over rows are split without a trace."""

import pytest
from threadpoolctl import threadpool_info

from mmgraph.backend.kernels import threads


def blas_threads():
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


def test_small_products_take_one_blas_thread():
    before = blas_threads()
    with threads.for_products(1e3):
        assert blas_threads() == {1}
    assert blas_threads() == before
    with threads.for_products(1e12):
        assert blas_threads() == before


def test_the_number_of_threads_follows_the_environment(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    available = threads.n_threads()
    assert available >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads.n_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    assert threads.n_threads() == available


def test_calls_in_parallel_keep_their_order(monkeypatch):
    for n in (1, 3):
        monkeypatch.setattr(threads, "n_threads", lambda n=n: n)
        assert threads.in_parallel(lambda i: i * i, range(7)) == [i * i for i in range(7)]
        assert threads.in_parallel(abs, []) == []
        with pytest.raises(ZeroDivisionError):
            threads.in_parallel(lambda i: 1 / i, [1, 0])
    assert set().union(*threads.in_parallel(lambda i: blas_threads(), range(3))) == {1}
