"""The index template of all partitions, detection of changes by hand, and the inspection of partitions.

The template is made from the table of fields. `opensearch/index-template.json` is the one under default settings, for
people to read; a test compares it.

Everything that setup creates has a fingerprint of itself in a text that the cluster stores unchanged: `… [1f2e3d4c]`.
If the fingerprint no longer matches, somebody changed it. Without one it comes from an older version or somebody else.

A partition is inspected before entries are sent to it. Anyone who may create a partition can prepare it, and another
template may have a higher priority: without `_source` entries lose their content, with another mapping they are not
found or found by others, and a pipeline may drop or change them. The shipper inspects a partition before its first
request to it, and after each request; `whodid setup` and `whodid doctor` inspect all.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import orjson

from ..entry import FIELDS, SCHEMA_VERSION, TARGET_KEYS
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
    "Partition",
    "changed_by_hand",
    "compared",
    "find_partition",
    "index_pattern",
    "index_template",
    "inspected_all",
    "losses",
    "simulated",
    "template_by_hand",
    "template_name",
    "with_fingerprint",
    "without_empty",
]

OWNER = "whodid: "
"""The start of every description that setup writes."""

_FINGERPRINT = re.compile(r" ?\[([0-9a-f]{8})\]$")


def with_fingerprint(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy of `body` with its fingerprint appended to the text at `path`, which may be empty or missing."""
    plain, _ = _taken_out(body, path)
    text = _at(plain, path)[path[-1]]
    copy = _copy(plain)
    _at(copy, path)[path[-1]] = f"{text} [{_fingerprint(plain)}]".lstrip()
    return copy


def changed_by_hand(body: dict[str, Any], *path: str, ours: bool) -> bool:
    """Whether `body`, as stored in the cluster, differs from what setup made; `ours` is whether it has our mark."""
    plain, found = _taken_out(body, path)
    return not ours if found is None else found != _fingerprint(plain)


def _taken_out(body: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
    """A copy without the fingerprint, and the fingerprint if there is one."""
    copy = _copy(body)
    inner = _at(copy, path)
    text = str(inner.get(path[-1]) or "")
    found = _FINGERPRINT.search(text)
    inner[path[-1]] = text[: found.start()] if found else text
    return copy, found[1] if found else None


def _copy(body: dict[str, Any]) -> dict[str, Any]:
    """A copy without shared parts; `deepcopy` would keep a part that occurs twice shared."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    return copy


def _at(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object that contains the last name of `path`; missing objects are created."""
    for name in path[:-1]:
        body = body.setdefault(name, {})
    return body


def _fingerprint(body: dict[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]


MARK = {"managed_by": "whodid", "schema_version": SCHEMA_VERSION}
"""`_meta` of the template and of each index, which marks them as ours."""

_FINGERPRINT_AT = ("_meta", "setup")
"""The place of the template's fingerprint."""

_TYPES: dict[str, dict[str, Any]] = {
    "keyword": {"type": "keyword"},
    "ip": {"type": "ip"},
    "date": {"type": "date", "format": "strict_date_time_no_millis"},
    "date_nanos": {"type": "date_nanos", "format": "strict_date_optional_time_nanos"},
    "long": {"type": "long"},
    "flat_object": {"type": "flat_object"},
    "objects": {"properties": {key: {"type": "keyword"} for key in TARGET_KEYS}},
    "stored": {"type": "object", "enabled": False},
}


FIELD_TYPES: dict[str, dict[str, Any]] = {name: _TYPES[field.kind] for name, field in FIELDS.items()}
"""The mapping of each field."""


def template_name(settings: Settings) -> str:
    return settings.index_prefix


def index_pattern(settings: Settings) -> str:
    """The pattern of all partitions."""
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
    return with_fingerprint(body, *_FINGERPRINT_AT)


def without_empty(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A template without the empty values that the cluster adds."""
    return {name: value for name, value in stored.items() if value}


def template_by_hand(stored: Mapping[str, Any]) -> bool:
    """Whether somebody changed the template since `whodid setup` made it, or somebody else made it."""
    ours = (stored.get("_meta") or {}).get("managed_by") == MARK["managed_by"]
    return changed_by_hand(without_empty(stored), *_FINGERPRINT_AT, ours=ours)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that the cluster must have. `difference` is a unified diff; `note` is for people.

    A person has to change what `differs`; the setup does not.
    """

    what: str
    kind: Literal["create", "update", "unchanged", "unavailable", "differs"]
    difference: str = ""
    note: str = ""
    loses: str = ""
    """Which entries the change would delete; it then needs a confirmation."""
    by_hand: bool = False
    """Whether somebody changed it since `whodid setup` made it; then only `--force` overwrites it."""
    make: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


def compared(what: str, stored: Any, wanted: Any, make: Callable[[], None], *, by_hand: bool = False) -> Change:
    """The change from `stored` (`None` if missing) to `wanted`."""
    if stored == wanted:
        return Change(what, "unchanged")
    old, new = (_lines(value) if value is not None else [] for value in (stored, wanted))
    difference = "\n".join(difflib.unified_diff(old, new, "in the cluster", "wanted", lineterm="", n=2))
    return Change(what, "update" if stored is not None else "create", difference, by_hand=by_hand, make=make)


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True).splitlines()


@dataclass(frozen=True, slots=True)
class Difference:
    """How a partition differs from the template; `loses` if entries would be lost, changed or not found."""

    what: str
    loses: bool = True


@dataclass(frozen=True, slots=True)
class Partition:
    """How an index differs from the template; equal only to the same index (by its UUID) with nothing changed."""

    state: bytes
    differences: tuple[Difference, ...]


def find_partition(client: OpenSearch, name: str) -> Partition | None:
    """A partition as it is now; `None` if it doesn't exist. Raises `OpenSearchError`."""
    from opensearchpy import NotFoundError

    with translated(f"what is in force in {name}"):
        try:
            [(index, about)] = client.indices.get(index=name, params={"flat_settings": "true"}).items()
        except NotFoundError:
            return None
        state = orjson.dumps([index, about], option=orjson.OPT_SORT_KEYS)
        return Partition(state, tuple(_differences(name, index, about)))


def inspected_all(client: OpenSearch, settings: Settings) -> dict[str, tuple[Difference, ...]]:
    """How every index of our pattern differs, by its name, without aliases, which not every user may read.

    Raises `OpenSearchError`.
    """
    pattern, params = index_pattern(settings), {"allow_no_indices": "true", "expand_wildcards": "all"}
    with translated(f"the indices {pattern}"):
        mappings = client.indices.get_mapping(index=pattern, params=params)
        stored = client.indices.get_settings(index=pattern, params={**params, "flat_settings": "true"})
        return {
            name: tuple(_differences(name, name, {**about, "settings": stored[name]["settings"]}))
            for name, about in sorted(mappings.items())
            if name in stored  # otherwise it was deleted in between
        }


def simulated(client: OpenSearch, partition: str, template: Mapping[str, Any] | None = None) -> tuple[Difference, ...]:
    """How a missing partition would differ once created, with `template` stored. Raises `OpenSearchError`.

    Empty on a cluster that can't simulate templates: there a partition is inspected after its creation.
    """
    from opensearchpy import NotFoundError, RequestError

    with translated(f"what would be in force in {partition}"):
        try:
            answer = client.indices.simulate_index_template(name=partition, body=template)
        except NotFoundError:  # as a service answers to what it doesn't offer
            return ()
        except RequestError as error:
            if is_missing_plugin(error):
                return ()
            raise
        about = answer.get("template") or {}
        flat = dict(_flat(about.get("settings") or {}))
        return tuple(_differences(partition, partition, {**about, "settings": flat}))


def losses(found: tuple[Difference, ...]) -> str:
    """The differences by which entries would be lost, in words."""
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
        # A partition of an older version: entries with a new field are dead letters until setup adds the field.
        yield Difference(f"it lacks the fields {', '.join(missing)}", loses=not stored.keys() >= _IN_EACH)


_IN_EACH = {"@timestamp", "creation_date", "hash", "journal", "prev", "schema_version", "seq", "type"}
"""The fields of every entry: without one of them in the mapping, all entries would be dead letters."""

_HARMFUL: dict[str, tuple[tuple[Any, ...], bool]] = {
    "index.final_pipeline": ((None, "_none"), True),
    "index.mapping.ignore_malformed": ((None, "false"), True),
    "index.hidden": ((None, "false"), True),
    "index.default_pipeline": ((None, "_none"), False),
    "index.search.default_pipeline": ((None, "_none"), False),
    "index.translog.durability": ((None, "request", "REQUEST"), False),
}
"""Settings, their harmless values, and whether others lose entries. Bulk requests bypass a `default_pipeline`."""


def _of_settings(settings: Mapping[str, Any]) -> Iterator[Difference]:
    for name, (harmless, loses) in _HARMFUL.items():
        value = settings.get(name)
        if value not in harmless:
            yield Difference(f"{name} is {_short(value)}, and the template has none", loses)
    if settings.get("index.refresh_interval") == "-1":  # as some set while they load much
        yield Difference("index.refresh_interval is -1: new entries are stored, and not found", loses=False)


def _short(value: object) -> str:
    return json.dumps(value, sort_keys=True)[:100]
