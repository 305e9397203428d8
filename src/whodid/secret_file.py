"""The secret in a file: what a setting such as `opensearch_password_file` names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import SettingsError
from .warning import warn

__all__ = ["read_bytes", "read_secret"]


def read_secret(setting: str, name: str) -> str:
    """The text of the file, without the newline at its end. Warns when others may read it. Raises `SettingsError`."""
    data, about = _read(setting, name)
    if about.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{name} can be read by others; set its mode to 0600", stacklevel=4)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {name!r} is not UTF-8 text") from None


def read_bytes(setting: str, name: str) -> bytes:
    """The content of the file that a setting names. Raises `SettingsError`, also where any user may write to it."""
    return _read(setting, name)[0]


def _read(setting: str, name: str) -> tuple[bytes, os.stat_result]:
    """And what the file is, which is looked at once it is open. It may be a link, as those of Kubernetes are."""
    try:
        with Path(name).open("rb") as file:
            about, data = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise SettingsError(f"{setting}: {name!r} can't be read ({error.strerror})") from error
    if about.st_mode & stat.S_IWOTH:
        raise SettingsError(f"{setting}: any user may write to {name!r}; set its mode to 0600, and replace its content")
    return data, about
