"""The operator: the user of the operating system who runs this."""

from __future__ import annotations

import os
import pwd

__all__ = ["operator"]


def operator() -> str:
    """The user's name."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user without a name
        return str(uid)
