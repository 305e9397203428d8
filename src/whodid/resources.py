"""Files shipped with the code (`config/`, `opensearch/` and the pages of `docs/`), and the version of this software.

The files are at the top of the repository, for operators to read. A wheel has them in `whodid/_files`; an editable
install finds them at the top of the checkout.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["__version__", "resource_path", "resource_text"]

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


__version__ = "0.1.0"
