"""What the README says works: its Python runs, and its make targets exist.

All ``python`` blocks run, in order and in one namespace, except those with the line
``<!-- not run -->`` before them. A block with prompts is run as a doctest, any other as a script.
"""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK = re.compile(r"(<!-- not run -->\s*\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


# How well log Z is known is not what the README is about: its model is fitted for seconds.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_python_blocks_run(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__readme__"}
    blocks = list(BLOCK.finditer(readme))
    assert len(blocks) == readme.count("```python"), "a python block has no end or is indented"
    for block in blocks:
        skipped, code = block.groups()
        if skipped:
            continue
        line = readme.count("\n", 0, block.start(2))
        if code.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(code, names, "README", "README.md", line)
            failures = []
            doctest.DocTestRunner(optionflags=FLAGS).run(
                test, out=failures.append, clear_globs=False
            )
            assert not failures, "".join(failures)
            names.update(test.globs)
        else:
            exec(compile("\n" * line + code, "README.md", "exec"), names)


def test_make_targets_exist(readme):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", readme, re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z]+)", code))
    assert named, "the README names no make target"
    assert named <= targets
