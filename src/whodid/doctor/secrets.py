"""Checks of passwords and keys, whose values are never shown, and of unknown `WHODID_…` variables."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from ..settings import unknown_variables
from .finding import Finding, Subject, ok, problem, warning

__all__ = ["examine"]

_FILES = ("opensearch_password_file", "opensearch_token_file", "hash_key_file", "opensearch_client_key")
_VALUES = ("opensearch_password", "opensearch_token", "hash_key")


def examine(subject: Subject) -> Iterator[Finding]:
    settings = subject.settings
    for name in _FILES:
        if path := getattr(settings, name):
            yield from _file(name, Path(path))
    for name in _VALUES:
        if not getattr(settings, name):
            continue
        if variable := next((one for one in subject.environ if one == f"WHODID_{name.upper()}"), ""):
            what = f"{name} is set in a variable, which child processes inherit and crash reports show"
            yield warning(variable, what, f"put it into a file of mode 0600, and set {name}_file to its path")
        elif subject.config_file:
            yield from _in_config(name, Path(subject.config_file))


def _file(name: str, path: Path) -> Iterator[Finding]:
    try:
        about = path.stat()
        empty = not path.read_bytes().strip()
    except OSError as error:
        yield problem(
            path, f"{name} can't be read: {error.strerror}", f"check {name}, and run this as the user who ships"
        )
        return
    if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(about.st_mode)
        yield problem(
            path, f"{name} is accessible to other users (mode {mode:04o})", f"chmod go= {path}; then change the secret"
        )
    elif empty:
        yield problem(path, f"{name} is empty", "write the secret into it")
    else:
        yield ok(path, f"{name} is accessible to its owner only")


def _in_config(name: str, path: Path) -> Iterator[Finding]:
    advice = f"put it into a file of mode 0600, and set {name}_file to its path"
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield problem(path, f"contains {name}, and is accessible to other users", advice)
    else:
        yield warning(path, f"contains {name} together with settings that are not secret", advice)


def examine_variables(subject: Subject) -> Iterator[Finding]:
    for variable, meant in unknown_variables(subject.environ).items():
        advice = (
            "config/whodid.toml lists the settings; enableServiceLinks: false removes variables that Kubernetes injects"
        )
        yield warning(variable, f"is not a setting of whodid and is ignored{meant}", advice)
    if subject.config_file:
        yield ok(subject.config_file, "is the settings file")
