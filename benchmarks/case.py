"""The event that every variant writes: the same 14 fields, whoever fills them."""

from __future__ import annotations

from typing import Any

__all__ = ["EVENT", "FIELDS", "FIXED", "IN_CALL", "REQUEST"]

EVENT = "credentials_created"

IN_CALL: dict[str, Any] = {"target": "6Yk2w0gq1bTnXr5pH8dZ3a", "status": "aws"}
"""What only the line that logs knows."""

REQUEST: dict[str, Any] = {
    "principal": "1842",
    "organization_id": "7308",
    "organization_name": "Example Genomics",
    "workspace_id": "51402",
    "workspace_name": "production",
    "client_ip": "203.0.113.9",
}
"""What is the same for all lines of one request."""

FIXED = {"target_type": "credentials", "host": "web-1.example.org", "schema_version": "2.0"}
"""What whodid fills in by itself; plain loggers are handed it."""

FIELDS = frozenset({"type", "creation_date", "@timestamp", *IN_CALL, *REQUEST, *FIXED})
