"""Measures the house and compares it with its goals: `make house`.

Modules, lines, the share of lines that are headers, names directly under `src/whodid`, and import circles between
modules; imports inside functions and under `TYPE_CHECKING` count, too.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path
from typing import Any

from tools.circles import circles, imports

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "whodid"
GOALS = {"modules": 190, "names": 30, "circles": 0, "header share": 0.12}
"""The most that each measure may be."""


def header(text: str) -> int:
    """How many lines come before the first statement that is neither a docstring nor an import."""
    tree = ast.parse(text)
    last = 0
    for node in tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        guards_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if not (is_docstring or guards_types or isinstance(node, ast.Import | ast.ImportFrom)):
            break
        last = node.end_lineno or last
    return last


def measure(source: Path = SOURCE) -> dict[str, Any]:
    """The measures of the package below `source`."""
    package = source / PACKAGE
    texts = [path.read_text() for path in package.rglob("*.py")]
    lines = sum(len(text.splitlines()) for text in texts)
    headers = sum(header(text) for text in texts)
    top = {path.name for path in package.iterdir()} - {"__init__.py", "__pycache__", "py.typed"}
    return {
        "modules": len(texts),
        "names": len(top),
        "circles": circles(imports(package)),
        "header share": round(headers / lines, 3),
        "lines": lines,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the measures as JSON")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps(found))
        return 0
    missed = False
    for name, value in found.items():
        amount = len(value) if isinstance(value, list) else value
        goal = GOALS.get(name)
        verdict = "" if goal is None else ("ok" if amount <= goal else "MISSED")
        missed |= verdict == "MISSED"
        print(f"{name:14} {amount:>8,}   {'' if goal is None else f'at most {goal:,}':16} {verdict}")
    for circle in found["circles"]:
        print("  circle: " + ", ".join(circle))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
