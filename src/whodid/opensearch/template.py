"""The index template: the mapping and settings of every partition, made from the table of fields.

`opensearch/index-template.json` is this template under default settings, for people to read; a test compares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..entry import FIELDS, SCHEMA_VERSION
from ..settings import Settings
from .drift import changed_by_hand, signed

__all__ = ["FIELD_TYPES", "MARK", "as_made", "index_pattern", "index_template", "template_by_hand", "template_name"]

MARK = {"managed_by": "whodid", "schema_version": SCHEMA_VERSION}
"""`_meta` of the template and of each index: what has it is ours."""

_SIGNED_AT = ("_meta", "setup")
"""Where the template carries its fingerprint."""

_TYPES: dict[str, dict[str, Any]] = {
    "keyword": {"type": "keyword"},
    "ip": {"type": "ip"},
    "date": {"type": "date", "format": "strict_date_time_no_millis"},
    "date_nanos": {"type": "date_nanos", "format": "strict_date_optional_time_nanos"},
    "long": {"type": "long"},
    "flat_object": {"type": "flat_object"},
    "stored": {"type": "object", "enabled": False},
}


FIELD_TYPES: dict[str, dict[str, Any]] = {name: _TYPES[field.kind] for name, field in FIELDS.items()}
"""The mapping of each field."""


def template_name(settings: Settings) -> str:
    return settings.index_prefix


def index_pattern(settings: Settings) -> str:
    """All partitions, and nothing else."""
    return f"{settings.index_prefix}-*"


def index_template(settings: Settings, *, codec: str = "best_compression", sort: bool = True) -> dict[str, Any]:
    """The body of `PUT _index_template/<template_name>`; `codec` and `sort` as `features` finds them."""
    newest_first = {"sort": {"field": ["@timestamp"], "order": ["desc"]}} if sort else {}
    body: dict[str, Any] = {
        "index_patterns": [index_pattern(settings)],
        "priority": 500,
        "_meta": MARK,
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": str(settings.number_of_shards),
                    "auto_expand_replicas": "0-1",
                    "codec": codec,
                    **newest_first,
                }
            },
            "mappings": {
                "_meta": MARK,
                "dynamic": "strict",
                "properties": FIELD_TYPES,
            },
        },
    }
    return signed(body, *_SIGNED_AT)


def as_made(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A template as the cluster gives it back, without the empty things that it adds of its own."""
    return {name: value for name, value in stored.items() if value}


def template_by_hand(stored: Mapping[str, Any]) -> bool:
    """Whether somebody changed the template since `whodid setup` made it, or somebody else made it."""
    ours = (stored.get("_meta") or {}).get("managed_by") == MARK["managed_by"]
    return changed_by_hand(as_made(stored), *_SIGNED_AT, ours=ours)
