"""The archive: a plugin's zip, kept in the home and unpacked beside it, with the one line in it that is changed.

The descriptor's `extended.plugins` is emptied: the Security plugin names one that Maven does not have and that it can
do without. Every other file is as it was in the zip, which whoever verifies the home compares by size and CRC-32.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

from whodid.devserver.lockfile import LockedJar

__all__ = ["ARCHIVES", "is_unpacked", "unpack"]

ARCHIVES = "archives"
_DESCRIPTOR = "plugin-descriptor.properties"
_EXTENDED = re.compile(rb"^extended\.plugins=.*$", re.MULTILINE)


def unpack(home: Path, jar: LockedJar) -> None:
    """Unpacks the archive, which lies in its place already."""
    folder = home / jar.folder
    with zipfile.ZipFile(home / ARCHIVES / jar.filename) as archive:
        archive.extractall(folder)
    descriptor = folder / _DESCRIPTOR
    descriptor.write_bytes(_changed(descriptor.read_bytes()))


def is_unpacked(home: Path, jar: LockedJar) -> bool:
    """Whether each file of the archive is there as it should be."""
    with zipfile.ZipFile(home / ARCHIVES / jar.filename) as archive:
        for member in archive.infolist():
            file = home / jar.folder / member.filename
            if member.is_dir():
                continue
            if not file.is_file():
                return False
            content = file.read_bytes()
            if member.filename == _DESCRIPTOR:
                if content != _changed(archive.read(member)):
                    return False
            elif len(content) != member.file_size or zlib.crc32(content) != member.CRC:
                return False
    return True


def _changed(descriptor: bytes) -> bytes:
    return _EXTENDED.sub(b"extended.plugins=", descriptor)
