"""Imports go down only, and ``import mmgraph`` is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmgraph

ROOT = Path(mmgraph.__file__).parent

# From the bottom up. Packages and modules on one line do not import each other.
LAYERS = [
    {"_version", "hints"},
    {"backend"},
    {"engine"},
    {"modalities", "parameters", "foreign"},
    {"base"},
    {"plotting", "persistence", "placement", "datasets", "metrics"},
    {"checkpoint", "training", "targets"},
    {"predictors", "unimodal"},
    {"joint", "coordinated"},
    {"translation", "fusion", "colearning"},
    {"alignment"},
    {"demo"},
    {"", "__main__"},  # "" is mmgraph/__init__.py
]
LEVELS = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def modules():
    """Dotted name, relative to mmgraph, and path of every module."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def exists(name):
    path = ROOT.joinpath(*name.split("."))
    return not name or path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imported(name, path):
    """Dotted name, relative to mmgraph, and line of every module of mmgraph that a file imports."""
    package = name.split(".") if path.name == "__init__.py" and name else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            bases = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join(["mmgraph", *above, *filter(None, [base])])
            bases = [(base, alias.name) for alias in node.names]
        else:
            continue
        for base, member in bases:
            head, _, target = base.partition(".")
            if head == "mmgraph":
                inner = ".".join(filter(None, [target, member]))
                yield (inner if member and exists(inner) else target), node.lineno


def violations(name, path):
    """Imports of a module that do not go down, as messages."""
    part = name.split(".")[0]
    for target, line in imported(name, path):
        other = target.split(".")[0]
        if part not in LEVELS or other not in LEVELS:
            yield f"{path}:{line}: {part if part not in LEVELS else other!r} has no layer: add it"
        elif part != other and LEVELS[other] >= LEVELS[part]:
            yield f"{path}:{line}: {name or 'mmgraph'} imports {target or 'mmgraph'}"


def test_imports_go_down():
    found = [message for module in modules() for message in violations(*module)]
    assert not found, "\n".join(found)


def test_every_module_has_a_layer():
    assert {name.split(".")[0] for name, _ in modules()} <= set(LEVELS)


@pytest.mark.parametrize(
    ("name", "code", "target"),
    [
        ("engine.new", "from ..base import check", "base"),
        ("engine.new", "def f():\n    from mmgraph.joint import rbm", "joint"),
        ("joint.new", "import mmgraph.fusion.late", "fusion.late"),
        ("backend.kernels.new", "from ...engine.units import Bernoulli", "engine.units"),
        ("persistence", "import mmgraph", ""),
        ("metrics", "from . import plotting", None),
        ("joint.new", "from .rbm import RBM\nfrom ..engine import units\nimport numpy", None),
        ("base", "from ._version import __version__", None),
    ],
)
def test_the_test_sees(tmp_path, name, code, target):
    path = tmp_path / "new.py"
    path.write_text(code)
    if code == "from . import plotting":  # an import of a neighbour, once that module exists
        target = "plotting" if exists("plotting") else ""
    messages = list(violations(name, path))
    assert len(messages) == (target is not None)
    assert all(f"imports {target or 'mmgraph'}" in message for message in messages)


def python(code):
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_import_is_quick():
    code = (
        "from time import perf_counter; start = perf_counter(); import mmgraph; "
        "print(perf_counter() - start)"
    )
    assert min(float(python(code)) for _ in range(3)) < 0.5


def test_import_is_lazy():
    heavy = {"cupy", "llvmlite", "matplotlib", "numba", "numpy", "pandas", "scipy", "sklearn"}
    loaded = python("import sys, mmgraph; print(*sys.modules)").split()
    assert not heavy & set(loaded)


def test_public_names_resolve():
    assert len(set(mmgraph.__all__)) == len(mmgraph.__all__)
    assert set(mmgraph.__all__) <= set(dir(mmgraph))
    for name in mmgraph.__all__:
        assert getattr(mmgraph, name) is not None


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mmgraph.nonsense  # noqa: B018
