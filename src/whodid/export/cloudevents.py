"""CloudEvents 1.0 in JSON: an entry as an event; `data` is the entry as it was journalled, whole.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, with the extensions `authid` and
`authtype` (auth context), `sequence` (as text that sorts) and own ones for organization, workspace and correlation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..entry import entry_id

__all__ = ["cloudevents"]

_AUTH = {"system": "system", "anonymous": "unauthenticated"}
"""Principal → `authtype`; `user` for others."""


def cloudevents(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The event of an entry."""
    principal = entry.get("principal")
    seq = entry.get("seq")
    event = {
        "specversion": "1.0",
        "id": entry_id(entry) or None,
        "source": f"urn:whodid:journal:{entry['journal']}" if entry.get("journal") else None,
        "type": entry.get("type"),
        "subject": entry.get("target"),
        "time": entry.get("@timestamp"),
        "datacontenttype": "application/json",
        "dataschema": f"urn:whodid:entry:{entry['schema_version']}" if entry.get("schema_version") else None,
        "authid": principal,
        "authtype": _AUTH.get(str(principal), "user") if principal else None,
        "sequence": f"{seq:012d}" if isinstance(seq, int) else None,
        "correlationid": entry.get("correlation_id"),
        "orgid": entry.get("organization_id"),
        "orgname": entry.get("organization_name"),
        "workspaceid": entry.get("workspace_id"),
        "workspacename": entry.get("workspace_name"),
        "data": entry,
    }
    return {name: value for name, value in event.items() if value is not None}
