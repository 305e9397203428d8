"""The secret in a file: what a setting such as `opensearch_password_file` names."""

from __future__ import annotations

import stat
from pathlib import Path

from .errors import SettingsError
from .warning import warn

__all__ = ["read_bytes", "read_secret"]


def read_secret(setting: str, name: str) -> str:
    """The text of the file, without the newline at its end. Warns when others may read it. Raises `SettingsError`."""
    data = read_bytes(setting, name)
    if Path(name).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{name} can be read by others; set its mode to 0600", stacklevel=4)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {name!r} is not UTF-8 text") from None


def read_bytes(setting: str, name: str) -> bytes:
    """The content of the file that a setting names. Raises `SettingsError`."""
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {name!r} can't be read ({error.strerror})") from error
