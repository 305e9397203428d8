"""The verbs: what the last words of an event type say was done, in the few words that the standards know.

`credentials_created` is a creation, `workflow_relaunched` something that no standard has a word for. An application's
own types follow the same words, so that they need no mapping of their own.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["Verb", "verb_of"]

Verb = Literal[
    "create", "read", "update", "delete", "start", "stop", "sign_in", "download", "upload", "preview", "assign", "other"
]

_WORDS: dict[str, Verb] = {
    "sign_in": "sign_in",
    "logged_in": "sign_in",
    "role_updated": "assign",
    "build_started": "other",
    "build_succeeded": "other",
    "build_failed": "other",
    "file_download": "download",
    "file_upload": "upload",
    "file_preview": "preview",
    "downloaded": "download",
    "uploaded": "upload",
    "previewed": "preview",
    "created": "create",
    "added": "create",
    "updated": "update",
    "changed": "update",
    "edited": "update",
    "set": "update",
    "deleted": "delete",
    "removed": "delete",
    "dropped": "delete",
    "destroyed": "delete",
    "accessed": "read",
    "read": "read",
    "viewed": "read",
    "searched": "read",
    "exported": "read",
    "started": "start",
    "stopped": "stop",
}


def verb_of(event_type: str) -> Verb:
    """What an event type says was done."""
    words = event_type.split("_")
    for count in (2, 1):
        if verb := _WORDS.get("_".join(words[-count:])):
            return verb
    return "other"
