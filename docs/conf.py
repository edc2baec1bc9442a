"""Configuration of Sphinx."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mmgraph import __version__

project = "mmgraph"
author = "The mmgraph developers"
copyright = "2026, The mmgraph developers"
version = release = __version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulae without a network: after sphinx.ext.mathjax
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["templates"]
exclude_patterns = ["_build", "results/*"]

default_role = "literal"
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL06", "GL07", "PR01", "PR02", "PR03", "PR05", "RT01"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("mmgraph",),
    "filename_pattern": r"plot_",
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "mmgraph"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
ALONE = ("install", "reproduction", "migration", "design", "glossary")
html_sidebars = {page: [] for page in ALONE}
html_theme_options = {"show_toc_level": 2, "show_prev_next": False}


def unlink(app, what, name, obj, options, lines):
    """Take links to scikit-learn's own pages out of methods that come from there."""
    if name.endswith((".score", "_request")):
        text = "\n".join(lines)
        text = re.sub(r":(?:ref|term):`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
        lines[:] = text.split("\n")


def setup(app):
    """Connect the hook above, before numpydoc's."""
    app.connect("autodoc-process-docstring", unlink, priority=100)
