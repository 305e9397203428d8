"""The inspection: what is in force in a partition, compared with the template, before entries are trusted to it.

Whoever may create a partition can prepare it, and a template of a higher priority can win over ours: with `_source` off
entries lose their content, with another mapping they are not found or are found by others, a pipeline drops or changes
them. The shipper asks here before its first request to a partition, and `whodid setup` and `whodid doctor` for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings import Settings
from .connection import is_missing_plugin, translated
from .template import FIELD_TYPES, index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Difference", "foreseen", "inspected", "inspected_all", "losses"]


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
