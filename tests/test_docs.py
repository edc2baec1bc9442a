"""The documentation as a whole: what its pages must name, and that their examples are run."""

from configparser import ConfigParser
from pathlib import Path

import pytest
from estimators import all_estimators

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", ["api", "user_guide/choosing", "user_guide/missing_modalities"])
def test_a_page_names_every_estimator(page):
    text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
    sought = "   {}\n" if page == "api" else "`~mmgraph.{}`"
    names = [kind.__name__ for kind in all_estimators()]
    assert not [name for name in names if sought.format(name) not in text]


def test_examples_of_every_page_are_run():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    tested = [ROOT / path for path in config["tool:pytest"]["testpaths"].split()]
    pages = [path for path in DOCS.glob("**/*.rst") if "_build" not in path.parts]
    pages = [path for path in pages if not {"gallery", "generated"} & set(path.parts)]
    shown = [path for path in pages if ">>> " in path.read_text(encoding="utf-8")]
    assert shown
    assert not [path for path in shown if not {path, *path.parents} & set(tested)]
