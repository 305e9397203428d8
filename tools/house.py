"""Measures the house and compares it with its goals: `make house`.

Modules, lines, the share of lines that are headers, names directly under `src/whodid`, and import circles between
modules; imports inside functions and under `TYPE_CHECKING` count, too.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "whodid"
GOALS = {"modules": 190, "names": 30, "circles": 0, "header share": 0.12}
"""The most that each measure may be."""


def modules(source: Path) -> dict[str, Path]:
    """The name of each module below `source`, with its file."""
    found = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


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


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that this module imports, anywhere in it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in known:
                    yield inner
                elif base in known:
                    yield base


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected groups of more than one module (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


def measure(source: Path = SOURCE) -> dict[str, Any]:
    """The measures of the package below `source`."""
    known = modules(source)
    texts = {name: path.read_text() for name, path in known.items()}
    graph = {name: set(imports(name, path, known)) - {name} for name, path in known.items()}
    # A package's own `__init__` gathers its modules: who imports the package by a submodule's name is no circle.
    lines = sum(len(text.splitlines()) for text in texts.values())
    headers = sum(header(text) for text in texts.values())
    top = {path.name for path in (source / PACKAGE).iterdir()} - {"__init__.py", "__pycache__", "py.typed"}
    return {
        "modules": len(known),
        "names": len(top),
        "circles": circles(graph),
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
