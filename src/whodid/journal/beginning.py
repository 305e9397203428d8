"""The beginning of a journal: its directory, its marker, and the files that must be there before the disk is full.

Crash behaviour: `current` is replaced last, when all the rest is durable. A crash before that leaves an unused, empty
journal, which is harmless; an error leaves nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from ..entry import Stamp
from ..files import dump, identity, make_directory, open_new, sync_above, sync_directory, write_all, write_file
from .counter import reserve_counter
from .directory import FORMAT, JournalDirectory
from .position import Acknowledged

__all__ = ["begin_journal"]


def begin_journal(directory: JournalDirectory) -> str:
    """Makes a new, empty journal the current one and returns its ID. The caller holds the lock. Raises `OSError`."""
    journal = secrets.token_hex(8)
    made = directory.journal(journal)
    try:
        make_directory(made)
        _mark(made)
        Acknowledged().reserve(made)  # which syncs the directory
        reserve_counter(directory.path)
        sync_directory(directory.path)
        sync_above(directory.path)  # whoever made it may have been killed before doing so
        write_file(directory.path / "current", dump({"format": FORMAT, "journal": journal}))
    except OSError:
        if directory.current() != journal:
            shutil.rmtree(made, ignore_errors=True)  # else each call on a full disk would leave one more
        raise
    return journal


def _mark(made: Path) -> None:
    created = Stamp.now().creation_date
    with open_new(made / "journal.json") as fd:
        write_all(fd, dump({"format": FORMAT, "journal": made.name, "created": created, **identity(fd)}))
        os.fsync(fd)
