"""What comes with the code: files (`config/`, `opensearch/`, `docs/`), modules imported late, and the version.

The files are at the top of the repository, for operators to read. A wheel has them in `whodid/_files`; an editable
install finds them at the top of the checkout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["__version__", "at_first_use", "resource_path", "resource_text"]

_PACKAGE = Path(__file__).resolve().parent


def resource_path(name: str) -> Path:
    """The path of `config/…`, `opensearch/…` or `docs/…`. Raises `FileNotFoundError` for a broken installation."""
    for root in (_PACKAGE / "_files", _PACKAGE.parent.parent):
        path = root / name
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} is not part of this installation of whodid; reinstall it: pip install whodid")


def resource_text(name: str) -> str:
    """The text of `config/…`, `opensearch/…` or `docs/…`."""
    return resource_path(name).read_text(encoding="utf-8")


def at_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for `package` that imports a name on first use, from the module that `modules` gives for it.

    For packages of which most commands use a part: what a command does not use costs its start nothing.
    """

    def load(name: str) -> Any:
        if name in modules:
            return getattr(import_module(modules[name], package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load


__version__ = "0.1.0"
