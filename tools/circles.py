"""The import circles of src/whodid: modules that import each other, directly or by way of others.

Every `import` counts, also one inside a function or under `if TYPE_CHECKING:`: a reader has to follow it all the same.

Usage: `python -m tools.circles` prints a circle a line, and ends with 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["circles", "imports"]

SOURCE = Path(__file__).parents[1] / "src"


def imports(package: Path) -> dict[str, set[str]]:
    """What each module of a package imports of it, by dotted name."""
    files = {_name(package, file): file for file in package.rglob("*.py")}
    return {name: set(_imported(file, name, files)) - {name} for name, file in files.items()}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that each lead to one another (Tarjan's strongly connected components), sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            group = sorted(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(found)


def _name(package: Path, file: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(file: Path, name: str, known: Mapping[str, Path]) -> Iterator[str]:
    here = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = here.split(".")[: len(here.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                if f"{base}.{alias.name}" in known:
                    yield f"{base}.{alias.name}"
                elif base in known:
                    yield base


def main() -> int:
    found = circles(imports(SOURCE / "whodid"))
    for group in found:
        print(" ↔ ".join(group))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
