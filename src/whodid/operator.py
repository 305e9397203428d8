"""The operator: who does something to the log, and why, as the entries of whodid itself say it."""

from __future__ import annotations

import os
import pwd
from typing import Any

from .context import current_fields
from .errors import InvalidEntry

__all__ = ["check_reason", "operator", "who"]

_WHO = ("principal", "principal_name", "principal_email", "on_behalf_of", "client_ip", "user_agent", "request_id")


def who() -> dict[str, Any]:
    """The principal of the context with what is known of them, else the user of the operating system."""
    fields = current_fields()
    if "principal" not in fields:
        return {"principal": operator()}
    return {name: fields[name] for name in _WHO if name in fields}


def operator() -> str:
    """The name of the user of the operating system."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user without a name
        return str(uid)


def check_reason(reason: str) -> None:
    """Raises `InvalidEntry` for one that can't be read: white space and invisible characters alone say nothing."""
    if not any(character.isprintable() and not character.isspace() for character in reason):
        raise InvalidEntry("reason must not be empty; it is recorded in the audit log")
