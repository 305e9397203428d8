"""Builds the site of these pages: `make docs`."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

project = "whodid"
author = "the whodid developers"
copyright = author
release = importlib.metadata.version("whodid")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"
myst_heading_anchors = 4

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = "whodid"
html_theme_options = {
    "source_repository": "https://github.com/whodid/whodid/",
    "source_branch": "main",
    "source_directory": "docs/",
}


def setup(app: Any) -> None:
    app.connect("source-read", _add_navigation)
    app.connect("autodoc-process-docstring", _mark_code, priority=400)  # before napoleon


def _add_navigation(app: Any, page: str, source: list[str]) -> None:
    """The sections of the index page are the navigation, so that it stays plain Markdown for its other readers."""
    if page == "index":
        for section in source[0].split("\n## ")[1:]:
            door, pages = section.partition("\n")[0], re.findall(r"^- \[.+?\]\((\S+)\.md\)", section, re.M)
            source[0] += "\n".join(("\n```{toctree}", ":hidden:", f":caption: {door}", "", *pages, "```\n"))


def _mark_code(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """An indented block after a blank line is code: in our docstrings it needs no `::` before it."""
    if lines and lines[0].startswith("Alias for field number"):  # what Python says of a named tuple's fields
        lines.clear()
    marked: list[str] = []
    before = ""  # the last line with text
    for line in lines:
        if line.startswith("    ") and marked and not marked[-1].strip() and before and not before.startswith(" "):
            marked += ["::", ""]
        marked.append(line)
        before = line if line.strip() else before
    lines[:] = marked
