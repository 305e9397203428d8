"""Checks of the index template and its partitions: missing, different, overridden by another, or not of whodid."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..cluster.connection import restores_sorted, translated
from ..cluster.template import (
    FIELD_TYPES,
    MARK,
    index_pattern,
    index_template,
    inspected_all,
    losses,
    simulated,
    template_by_hand,
    template_name,
)
from ..entry import FIELDS, Stamp, partition_name
from ..errors import NotAuthorized
from .finding import Finding, Subject, ok, problem, warning

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ..settings import Settings

__all__ = ["examine"]


def examine(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    settings = subject.settings
    with translated("the index templates"):
        stored = {one["name"]: one["index_template"] for one in client.indices.get_index_template()["index_templates"]}
    name = template_name(settings)
    if name not in stored:
        yield problem(
            name,
            "the cluster has no index template: nothing is shipped until it exists",
            "run `whodid setup` as an administrator",
        )
    else:
        yield from _differences(settings, name, stored[name])
        shadows = list(_shadows(settings, stored))
        yield from shadows
        if not shadows and _maps_as_ours(stored[name]):  # otherwise already reported
            yield from _simulated(settings, client)
        yield from _sorting(name, stored[name], client)
    try:
        found = list(_partitions(settings, client))
        yield from found
        yield from _inspected(settings, client, {one.on for one in found})
    except NotAuthorized:
        yield ok(index_pattern(settings), "this user may not see the mappings of the partitions")


def _differences(settings: Settings, name: str, stored: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the template, except for codec and sorting, which depend on plugins and version of the cluster."""
    inner = stored.get("template", {})
    index = inner.get("settings", {}).get("index", {})
    wanted = index_template(settings, codec=index.get("codec", "best_compression"), sort="sort" in index)
    advice = "`whodid setup --dry-run` shows the difference, `whodid setup` fixes it"
    if inner.get("mappings") != wanted["template"]["mappings"]:
        yield problem(name, "the index template has a different mapping: new partitions may reject entries", advice)
    differing = [
        key
        for key in sorted({*wanted, *stored} - {"template"})
        if stored.get(key) != wanted.get(key) and stored.get(key, True)
    ]
    if inner.get("settings") != wanted["template"]["settings"]:
        differing.append("settings")
    if differing:
        who = "was changed by hand, and differs" if template_by_hand(stored) else "differs"
        yield warning(name, f"the index template {who} in {', '.join(differing)}", advice)
    elif inner.get("mappings") == wanted["template"]["mappings"]:
        yield ok(name, "the index template is that of whodid")


def _sorting(name: str, stored: Mapping[str, Any], client: OpenSearch) -> Iterator[Finding]:
    sorted_ = "sort" in stored.get("template", {}).get("settings", {}).get("index", {})
    if sorted_ and not restores_sorted(client):
        what = "sorts new partitions, but this version of OpenSearch can't restore sorted ones from a snapshot"
        yield problem(name, what, "run `whodid setup`; OpenSearch 3.5 or newer can restore existing partitions")


def _shadows(settings: Settings, stored: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Find templates of higher priority; a new partition uses only the template of the highest priority."""
    name = template_name(settings)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    next_one = partition_name(settings.index_prefix, settings.partition, now)
    ours = stored[name].get("priority", 0)
    for other, about in stored.items():
        matches = any(fnmatchcase(next_one, pattern) for pattern in about.get("index_patterns", ()))
        if other != name and matches and about.get("priority", 0) > ours:
            what = f"overrides the index template {name}: priority {about['priority']} over {ours} for {next_one}"
            yield problem(other, what, "lower its priority below that of whodid, or narrow its patterns")


def _maps_as_ours(stored: Mapping[str, Any]) -> bool:
    mappings: dict[str, Any] = stored.get("template", {}).get("mappings", {})
    return mappings.get("properties") == FIELD_TYPES and mappings.get("dynamic") == "strict"


def _simulated(settings: Settings, client: OpenSearch) -> Iterator[Finding]:
    """Check the settings that the next partition would get, whichever template is used."""
    name = partition_name(settings.index_prefix, settings.partition, Stamp.now().creation_date)
    try:
        found = simulated(client, name)
    except NotAuthorized:
        return
    if lost := losses(found):
        yield problem(name, f"if it were created now, entries in it would be lost or exposed: {lost}", _ADVICE)


_ADVICE = "find out who changed it; `whodid setup --dry-run` compares. Nothing is shipped to it until it is fixed"


def _inspected(settings: Settings, client: OpenSearch, reported: Collection[str]) -> Iterator[Finding]:
    for name, found in inspected_all(client, settings).items():
        if name in reported:
            continue
        if lost := losses(found):
            yield problem(name, f"entries in it are lost, changed or exposed: {lost}", _ADVICE)
        for one in found:
            if not one.loses and not one.what.startswith("it lacks"):
                yield warning(name, f"differs from the template: {one.what}", "revert it unless it is needed")


def _partitions(settings: Settings, client: OpenSearch) -> Iterator[Finding]:
    pattern = index_pattern(settings)
    with translated(f"the indices {pattern}"):
        answer = client.indices.get_mapping(
            index=pattern, params={"allow_no_indices": "true", "expand_wildcards": "all"}
        )
    for name, about in sorted(answer.items()):
        mapping = about["mappings"]
        if mapping.get("_meta", {}).get("managed_by") != MARK["managed_by"]:
            yield problem(
                name,
                f"matches {pattern} but was not created by whodid, or without its template",
                "choose another index_prefix, or rename or delete that index",
            )
        elif missing := [field for field in FIELDS if field not in mapping.get("properties", {})]:
            yield problem(
                name,
                f"lacks the fields {', '.join(missing)}, and rejects entries that have them",
                "run `whodid setup`, which adds them",
            )
