"""The index template: the mapping and settings of every partition, made from the table of fields.

`opensearch/index-template.json` is this template under default settings, for people to read; a test compares it.

The drift: whether somebody changed by hand what `whodid setup` made.

What setup makes carries a fingerprint of itself, in a text that the cluster keeps as it is: `… [1f2e3d4c]`. If it no
longer fits the rest, somebody else changed it. What has none was made by an older version, or by somebody else.

A change: one thing the cluster must have, how what it has differs, and how to make it so.

The inspection: what is in force in a partition, compared with the template, before entries are trusted to it.

Whoever may create a partition can prepare it, and a template of a higher priority can win over ours: with `_source` off
entries lose their content, with another mapping they are not found or are found by others, a pipeline drops or changes
them. The shipper asks here before its first request to a partition, and `whodid setup` and `whodid doctor` for all.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from ..entry import FIELDS, SCHEMA_VERSION
from ..settings import Settings
from .connection import is_missing_plugin, translated

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "FIELD_TYPES",
    "MARK",
    "OWNER",
    "Change",
    "Difference",
    "as_made",
    "changed_by_hand",
    "compared",
    "foreseen",
    "index_pattern",
    "index_template",
    "inspected",
    "inspected_all",
    "losses",
    "signed",
    "template_by_hand",
    "template_name",
]

OWNER = "whodid: "
"""How the descriptions of what setup makes begin."""

_FINGERPRINT = re.compile(r" ?\[([0-9a-f]{8})\]$")


def signed(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy of `body` with its fingerprint at the end of the text at `path`, which may be empty or missing."""
    plain, _ = _taken_out(body, path)
    text = _at(plain, path)[path[-1]]
    copy = _copy(plain)
    _at(copy, path)[path[-1]] = f"{text} [{_fingerprint(plain)}]".lstrip()
    return copy


def changed_by_hand(body: dict[str, Any], *path: str, ours: bool) -> bool:
    """Whether `body`, as the cluster has it, is another one than setup made; `ours` is whether it has our mark."""
    plain, found = _taken_out(body, path)
    return not ours if found is None else found != _fingerprint(plain)


def _taken_out(body: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
    """A copy without the fingerprint, and that, if there is one."""
    copy = _copy(body)
    inner = _at(copy, path)
    text = str(inner.get(path[-1]) or "")
    found = _FINGERPRINT.search(text)
    inner[path[-1]] = text[: found.start()] if found else text
    return copy, found[1] if found else None


def _copy(body: dict[str, Any]) -> dict[str, Any]:
    """Of which no part is another's, as in `deepcopy` one that stands in it twice would stay."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    return copy


def _at(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object that has the last of `path`; made where it is missing."""
    for name in path[:-1]:
        body = body.setdefault(name, {})
    return body


def _fingerprint(body: dict[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]


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


@dataclass(frozen=True, slots=True)
class Change:
    """One thing the cluster must have. `difference` is a unified diff; `note` says what a person should know.

    What `differs` is not for the setup to change: a person has to.
    """

    what: str
    kind: Literal["create", "update", "unchanged", "unavailable", "differs"]
    difference: str = ""
    note: str = ""
    loses: str = ""
    """Which entries the change would delete; a person is asked first."""
    by_hand: bool = False
    """Whether somebody changed it since `whodid setup` made it: it is overwritten only with `--force`."""
    make: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


def compared(what: str, stored: Any, wanted: Any, make: Callable[[], None], *, by_hand: bool = False) -> Change:
    """The change that makes `stored` (`None`: nothing there) into `wanted`."""
    if stored == wanted:
        return Change(what, "unchanged")
    old, new = (_lines(value) if value is not None else [] for value in (stored, wanted))
    difference = "\n".join(difflib.unified_diff(old, new, "in the cluster", "wanted", lineterm="", n=2))
    return Change(what, "update" if stored is not None else "create", difference, by_hand=by_hand, make=make)


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True).splitlines()


@dataclass(frozen=True, slots=True)
class Difference:
    """How a partition differs from the template; `loses` where entries in it would be lost, changed or shown."""

    what: str
    loses: bool = True


def inspected(client: OpenSearch, partition: str) -> tuple[Difference, ...] | None:
    """How a partition differs; `None` where there is none. Raises `OpenSearchError`."""
    from opensearchpy import NotFoundError

    with translated(f"what is in force in {partition}"):
        try:
            [(name, about)] = client.indices.get(index=partition, params={"flat_settings": "true"}).items()
        except NotFoundError:
            return None
        return tuple(_differences(partition, name, about))


def inspected_all(client: OpenSearch, settings: Settings) -> dict[str, tuple[Difference, ...]]:
    """The same of every index that our pattern matches, by its name; but for aliases, which not all may see.

    Raises `OpenSearchError`.
    """
    pattern, params = index_pattern(settings), {"allow_no_indices": "true", "expand_wildcards": "all"}
    with translated(f"the indices {pattern}"):
        mappings = client.indices.get_mapping(index=pattern, params=params)
        stored = client.indices.get_settings(index=pattern, params={**params, "flat_settings": "true"})
        return {
            name: tuple(_differences(name, name, {**about, "settings": stored[name]["settings"]}))
            for name, about in sorted(mappings.items())
            if name in stored  # else it was deleted in between
        }


def foreseen(client: OpenSearch, partition: str, template: Mapping[str, Any] | None = None) -> tuple[Difference, ...]:
    """How a partition that is not there would differ; `template` is taken to be stored. Raises `OpenSearchError`.

    A cluster that can't simulate tells nothing: there a partition is inspected as soon as it is there.
    """
    from opensearchpy import RequestError

    with translated(f"what would be in force in {partition}"):
        try:
            answer = client.indices.simulate_index_template(name=partition, body=template)
        except RequestError as error:
            if is_missing_plugin(error):
                return ()
            raise
        about = answer.get("template") or {}
        flat = dict(_flat(about.get("settings") or {}))
        return tuple(_differences(partition, partition, {**about, "settings": flat}))


def losses(found: tuple[Difference, ...]) -> str:
    """Those by which entries would be lost, in words."""
    return "; ".join(one.what for one in found if one.loses)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _differences(partition: str, name: str, about: Mapping[str, Any]) -> Iterator[Difference]:
    if name != partition:
        yield Difference(f"the name is an alias of the index {name}")
    yield from _of_mapping(about.get("mappings") or {})
    yield from _of_settings(about.get("settings") or {})
    if aliases := sorted(about.get("aliases") or {}):
        yield Difference(f"who may read {', '.join(aliases)} reads its entries: these are aliases of it", loses=False)


def _of_mapping(mapping: Mapping[str, Any]) -> Iterator[Difference]:
    for name, value in sorted(mapping.items()):
        if name not in ("_meta", "dynamic", "properties") and (name, value) != ("_source", {"enabled": True}):
            yield Difference(f"{name} is {_short(value)}, and the template has none")
    if mapping.get("dynamic") != "strict":
        yield Difference(f"dynamic is {_short(mapping.get('dynamic'))} instead of strict")
    stored = mapping.get("properties") or {}
    for name in sorted(FIELD_TYPES.keys() & stored.keys()):
        if stored[name] != FIELD_TYPES[name]:
            yield Difference(f"the field {name} is {_short(stored[name])} instead of {_short(FIELD_TYPES[name])}")
    if missing := sorted(FIELD_TYPES.keys() - stored.keys()):
        # As one of an older version: what has such a field is a dead letter, until the setup has added it.
        yield Difference(f"it lacks the fields {', '.join(missing)}", loses=not stored.keys() >= _IN_EACH)


_IN_EACH = {"@timestamp", "creation_date", "hash", "journal", "prev", "schema_version", "seq", "type"}
"""Fields of every entry: without one of them, all would be dead letters."""

_HARMFUL: dict[str, tuple[tuple[Any, ...], bool]] = {
    "index.final_pipeline": ((None, "_none"), True),
    "index.mapping.ignore_malformed": ((None, "false"), True),
    "index.hidden": ((None, "false"), True),
    "index.default_pipeline": ((None, "_none"), False),
    "index.search.default_pipeline": ((None, "_none"), False),
    "index.translog.durability": ((None, "request", "REQUEST"), False),
}
"""Settings, their harmless values, and whether entries would be lost by others. A `default_pipeline` is passed by."""


def _of_settings(settings: Mapping[str, Any]) -> Iterator[Difference]:
    for name, (harmless, loses) in _HARMFUL.items():
        value = settings.get(name)
        if value not in harmless:
            yield Difference(f"{name} is {_short(value)}, and the template has none", loses)


def _short(value: object) -> str:
    return json.dumps(value, sort_keys=True)[:100]
