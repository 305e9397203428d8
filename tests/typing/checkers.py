"""The type checkers: which lines of a program they object to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["CHECKERS", "mypy", "pyright"]

Lines = dict[int, str]
"""Number of a line → what the checker says of it first."""

_CACHE = Path(__file__).parents[2] / ".mypy_cache" / "tests"
"""What mypy knows of the libraries, which is most of its time."""


def mypy(folder: Path, code: str) -> Lines:
    """What mypy objects to, in its strict mode."""
    (folder / "app.py").write_text(code, encoding="utf-8")
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\nmypy_path = typings\npretty = false\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", f"--cache-dir={_CACHE}", "app.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    found = re.findall(r"^app\.py:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    assert found or not done.stdout, done.stdout
    return {int(line): text for line, text in reversed(found)}


def pyright(folder: Path, code: str) -> Lines:
    """What pyright objects to, in its strict mode. basedpyright is pyright in a wheel that needs no download."""
    (folder / "app.py").write_text(code, encoding="utf-8")
    settings = {"include": ["app.py"], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [(one["range"]["start"]["line"] + 1, one["message"]) for one in found if one["severity"] == "error"]
    return dict(reversed(errors))


CHECKERS: tuple[Callable[[Path, str], Lines], ...] = (mypy, pyright)
