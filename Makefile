# Every target that needs packages makes its own virtual environment, once.

PYTHON ?= python3
SPHINXOPTS ?=
# test,ptx also compiles the CUDA kernels, without a GPU
TEST_EXTRA ?= test

.PHONY: help demo test lint docs bench clean

help:
	@echo "make demo   train a small model and write what it generates to demo/"
	@echo "make test   lint, then all tests and doctests"
	@echo "make lint   rules, format and types alone"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make bench  time mmgraph beside its peers"
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

bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks

clean:
	rm -rf .venv-demo .venv-test .venv-docs .venv-bench demo build *.egg-info
	rm -rf docs/_build docs/gallery docs/generated docs/sg_execution_times.rst
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find mmgraph tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

.venv-demo/ready: EXTRA = plot
.venv-test/ready: EXTRA = $(TEST_EXTRA)
.venv-docs/ready: EXTRA = docs
.venv-bench/ready: EXTRA = bench

.venv-%/ready: pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --editable '.[$(EXTRA)]'
	touch $@
