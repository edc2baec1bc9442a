# Every target that needs packages makes its own virtual environment, once.

PYTHON ?= python3
SPHINXOPTS ?=
# of BLAS and of mmgraph
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
KERNEL_TESTS = $(addprefix tests/test_, \
  sampling.py ascent.py gram.py trajectories.py markov.py warping.py)
# test,ptx also compiles the CUDA kernels, without a GPU
TEST_EXTRA ?= test

.PHONY: help demo test lint docs bench bench-quick coverage test-oldest test-dist clean

help:
	@echo "make demo   train a small model and write what it generates to demo/"
	@echo "make test   lint, then all tests and doctests"
	@echo "make lint   rules, format and types alone"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make bench  time mmgraph beside its peers (hours); make bench-quick: under five minutes"
	@echo "make coverage  which lines the tests run (twenty minutes)"
	@echo "make test-oldest, test-dist  the tests with the oldest dependencies; of what is packed"
	@echo "make clean  remove all of the above"

demo: .venv-demo/ready
	.venv-demo/bin/python -m mmgraph

test: lint
	.venv-test/bin/python -m pytest

lint: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

docs: .venv-docs/ready
	.venv-docs/bin/sphinx-build -W --keep-going -b html $(SPHINXOPTS) docs docs/_build/html
	.venv-docs/bin/python docs/check_links.py docs/_build/html

bench: .venv-bench/ready
	$(ONE_THREAD) .venv-bench/bin/python -m benchmarks

bench-quick: .venv-bench/ready
	$(ONE_THREAD) .venv-bench/bin/python -m benchmarks --quick

# Compiled kernels are counted as the Python that they are written in, where some tests of rounding fail.
coverage: .venv-test/ready
	.venv-test/bin/python -m coverage run -m pytest
	-NUMBA_DISABLE_JIT=1 .venv-test/bin/python -m coverage run --append -m pytest --quiet --tb=no \
	  $(KERNEL_TESTS) -k "not 4194304 and not long and not large and not many"
	.venv-test/bin/python -m coverage report

test-oldest: .venv-oldest/ready
	.venv-oldest/bin/python -m pytest

# The wheel in an environment of its own, under the tests of the source archive.
test-dist: .venv-dist/ready
	rm -rf dist build/dist
	.venv-dist/bin/python -m build
	.venv-dist/bin/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	mkdir -p build/dist && tar xzf dist/*.tar.gz -C build/dist --strip-components 1
	rm -r build/dist/mmgraph
	cd build/dist && ../../.venv-dist/bin/python -m pytest tests

clean:
	rm -rf .venv-* demo build dist *.egg-info
	rm -rf docs/_build docs/gallery docs/generated docs/sg_execution_times.rst
	rm -rf .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find mmgraph tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

.venv-demo/ready: EXTRA = plot
.venv-test/ready: EXTRA = $(TEST_EXTRA)
.venv-docs/ready: EXTRA = docs
.venv-bench/ready: EXTRA = bench
.venv-oldest/ready: EXTRA = test
.venv-oldest/ready: CONSTRAINTS = --constraint constraints-oldest.txt
.venv-dist/ready: EXTRA = test,dist

.venv-%/ready: pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet $(CONSTRAINTS) --editable '.[$(EXTRA)]'
	touch $@
