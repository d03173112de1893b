"""Sphinx configuration; built with warnings as errors by `make docs`."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import oceanrecon

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "oceanrecon"
author = "The oceanrecon developers"
copyright = "The oceanrecon developers"
version = release = oceanrecon.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"oceanrecon {version}"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False


def _keep_whole(_app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    if what in {"attribute", "data", "property"}:
        # napoleon takes "Centres, degrees: [height]" for a type and a text, unless a comment comes first
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Hook in before napoleon."""
    app.connect("autodoc-process-docstring", _keep_whole, priority=100)
