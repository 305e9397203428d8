"""Runs the tests that need no server on every CPython from 3.12 on that this machine has: `make test-versions`.

Looked for on PATH and among pyenv's versions. Each gets its own `.venv-3.N` from the same lock file, hashes checked.
What is slow and does not depend on the version of Python is left out: `make test` has run it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = 12
"""The lowest minor version that is tried here; the one that `make` itself runs on has the whole suite."""

NOT_HERE = "not live and not ism and not soak"
LEFT_OUT = (
    "tests/cli/test_import.py",
    "tests/devserver",
    "tests/export/test_official.py",
    "tests/faults/test_foreign_content.py",
    "tests/faults/test_journal_bytes.py",
    "tests/faults/test_journal_power.py",
    "tests/faults/test_journal_syscalls.py",
    "tests/faults/test_kill_while_recording.py",
    "tests/integrations/test_celery_example.py",
    "tests/integrations/test_never_lost.py",
    "tests/integrations/test_origin.py",
    "tests/integrations/test_web_examples.py",
    "tests/opensearch",
    "tests/report",
    "tests/test_benchmarks.py",
    "tests/test_packaging.py",
    "tests/testing/test_plugin.py",
    "tests/typing",
)
"""Slow, and about files, servers, clusters and type checkers rather than about Python."""

PROBE = """
import ensurepip, json, platform, sys, sysconfig, venv
usable = platform.python_implementation() == "CPython" and sys.version_info.releaselevel == "final"
print(json.dumps([usable and not sysconfig.get_config_var("Py_GIL_DISABLED"), sys.version_info[:3]]))
"""

Version = tuple[int, int, int]


def promised() -> list[int]:
    """The minor versions that pyproject.toml promises, from `OLDEST` on."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    found = (re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line) for line in classifiers)
    return [minor for match in found if match and (minor := int(match[1])) >= OLDEST]


def candidates(search_path: str, pyenv: Path) -> Iterator[Path]:
    """What looks like an interpreter by its name, pyenv's stand-ins on PATH included."""
    for folder in filter(None, search_path.split(os.pathsep)):
        yield from (path for path in Path(folder).glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name))
    yield from pyenv.glob("versions/3.*/bin/python3")


def version_of(python: Path) -> Version | None:
    """The version of a released CPython that can make virtual environments; `None` for anything else."""
    try:
        answer = subprocess.run([python, "-Ic", PROBE], capture_output=True, check=True, timeout=60).stdout
        fits, version = json.loads(answer)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return tuple(version) if fits else None


def usable(search_path: str, pyenv: Path) -> dict[int, Path]:
    """Minor version → its interpreter, of several the newest."""
    newest: dict[int, tuple[Version, Path]] = {}
    for python in candidates(search_path, pyenv):
        version = version_of(python)
        if version and version[1] >= OLDEST and version > newest.get(version[1], ((0, 0, 0), python))[0]:
            newest[version[1]] = version, python
    return {minor: newest[minor][1] for minor in sorted(newest)}


def prepare(minor: int, python: Path) -> Path:
    """The interpreter of `.venv-3.N`, made where it is missing or older than the lock file."""
    venv = ROOT / f".venv-3.{minor}"
    own, ready = venv / "bin" / "python", venv / ".ready"
    inputs = [ROOT / "requirements-dev.lock", ROOT / "pyproject.toml"]
    if own.exists() and ready.exists() and ready.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
        return own
    uv: list[str | Path] = [Path(sys.executable).with_name("uv"), "--quiet"]
    commands: list[list[str | Path]] = [
        ["venv", "--clear", "--python", python, venv],
        ["pip", "sync", "--require-hashes", "--python", own, inputs[0]],
        ["pip", "install", "--no-deps", "--no-build-isolation", "--python", own, "--editable", ROOT],
    ]
    for command in commands:
        subprocess.run([*uv, *command], check=True)
    ready.touch()
    return own


def passes(python: Path) -> bool:
    """Whether all tests pass that are for this place."""
    options = ["-q", "-n", "3", "-m", NOT_HERE, *(f"--ignore={path}" for path in LEFT_OUT)]
    return subprocess.run([python, "-m", "pytest", *options], cwd=ROOT).returncode == 0


def pyenv_root() -> Path:
    """Where pyenv keeps its versions, as it says itself if it is there to be asked."""
    if known := os.environ.get("PYENV_ROOT"):
        return Path(known)
    try:
        answer = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return Path.home() / ".pyenv"
    return Path(answer.stdout.strip())


def main() -> int:
    """The exit code: 0 if no test failed. Versions that are promised and not here are named at the end."""
    pythons = usable(os.environ.get("PATH", ""), pyenv_root())
    failed = []
    for minor, python in pythons.items():
        print(f"=== Python 3.{minor}: {python}", flush=True)
        if not passes(prepare(minor, python)):
            failed.append(f"3.{minor}")
    tried = [f"3.{minor}" for minor in pythons]
    print(f"=== tested: {', '.join(tried) or 'nothing'}; failed: {', '.join(failed) or 'none'}")
    for minor in promised():
        if minor not in pythons:
            where = f"no python3.{minor} on PATH, none in {pyenv_root() / 'versions'}"
            print(f"=== NOT TESTED: Python 3.{minor} ({where}). Install it, such as with `pyenv install 3.{minor}`")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
