"""Own entries: what whodid records itself, of what is done to the audit log.

They stand in the same journal as the application's entries, and are part of its chain. Their types, in
config/own-events.toml, are there whatever catalog the application has.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from typing import Any

from .catalog import Catalog
from .context import scope
from .operator import who
from .receipt import Receipt
from .recorder import Recorder
from .settings import Settings

__all__ = ["record_operation", "record_own"]


def record_own(settings: Settings, event_type: str, **fields: Any) -> Receipt:
    """Records an own entry into the journal of these settings, on disk when it returns.

    Raises `NotRecorded` or `JournalDamaged`, whatever `on_failure` says: what can't be recorded must not be done.
    """
    strict = replace(settings, on_failure="raise", on_invalid="raise", durability="disk")
    recorder = Recorder(strict, catalog=Catalog.own())
    with closing(recorder.journal), scope({}, alone=True):
        return recorder.record(event_type, fields)[0]


def record_operation(settings: Settings, event_type: str, target: str, details: dict[str, Any]) -> Receipt:
    """As `record_own`, by the principal of the context, else the user of the operating system.

    Who became that user by sudo is in the details.
    """
    sudo = {"sudo_user": os.environ["SUDO_USER"]} if os.environ.get("SUDO_USER") else {}
    return record_own(settings, event_type, target=target, details={**details, **sudo}, **who())
