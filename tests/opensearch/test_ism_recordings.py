"""The stand-in replays the recordings of a real ISM: the same requests in the same order get answers of the same form.

`recordings/ism.jsonl` holds one recorded call a line; `recordings/indices.jsonl` calls on indices of an OpenSearch
3.4.0 without plugins. Compared are the status, the keys and JSON types of the whole body, and every value but times,
UUIDs and sequence numbers, which are the probe's own. Those from 135 on are stories apart from each other, each on a
stand-in of its own. The recordings of security/ are not copied: they are of the Security plugin, whose roles
tests/live/test_rights.py tries on a real node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.retention.ism import policy_body
from whodid.settings import Settings

FOLDER = Path(__file__).with_name("recordings")
Recording = dict[str, Any]


def _numbers(*ranges: tuple[int, int], of: str = "") -> set[str]:
    return {f"{of}{number:02}" for first, last in ranges for number in range(first, last + 1)}


REPLAYED = {
    *_numbers((2, 44), (47, 57), (59, 60), (62, 62), (64, 69), (73, 74), (76, 107), (109, 109), (113, 123)),
    *_numbers((58, 58), (126, 126), (129, 131), (135, 192)),
    *_numbers((1, 8), of="no-plugin-"),
    *_numbers((1, 59), of="index-"),
}

NOT_REPLAYED = {
    "01": "the node itself",
    "45": "settings of the cluster",
    "46": "settings of the cluster",
    "61": "data streams",
    "63": "data streams",
    "70": "snapshots",
    "71": "data streams",
    "72": "data streams",
    "75": "a filter that whodid does not use, over indices of data streams and snapshots",
    "108": "actions that whodid does not use",
    "110": "snapshots",
    "111": "snapshots",
    "112": "snapshots",
    "124": "data streams",
    "125": "data streams",
    "127": "data streams",
    "128": "the history, which whodid does not read",
    "133": "settings of the cluster",
    "134": "settings of the cluster",
}
"""Number → why the stand-in does not cover it."""

_OWN = {
    "last_updated_time",
    "start_time",
    "index_creation_date",
    "creation_date",
    "index.creation_date",
    "index.uuid",
    "epoch",
    "index_uuid",
    "uuid",
    "node",
    "_seq_no",
    "_primary_term",
    "policy_seq_no",
    "policy_primary_term",
    "last_retry_time",
    "snapshot",
    "snapshot_name",
    "cluster_name",
    "active_primary_shards",
    "active_shards",
    "unassigned_shards",
    "active_shards_percent_as_number",
}
"""Keys whose values are the probe's own: times (also in names), UUIDs and numbers that count what else it did or had.

The type is compared.
"""

_OWN_TEXTS = re.compile(r"seqNo \[\d+\],? (and )?primary term \[\d+\]|startTime=\d+|/[^/\]]+\] already exists")


def _recordings(name: str) -> Iterator[tuple[str, Recording]]:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        recording = json.loads(line)
        yield recording["number"], recording


ISM = dict(_recordings("ism.jsonl"))
INDICES = dict(_recordings("indices.jsonl"))
ALL = ISM | INDICES


def _differences(recorded: Any, answered: Any, path: str = "", own: bool = False) -> Iterator[str]:
    if type(recorded) is not type(answered):
        yield f"{path}: {recorded!r} was recorded, {answered!r} answered"
    elif isinstance(recorded, dict):
        for key in recorded.keys() | answered.keys():
            if key not in recorded or key not in answered:
                yield f"{path}.{key}: only {'recorded' if key in recorded else 'answered'}"
            else:
                yield from _differences(recorded[key], answered[key], f"{path}.{key}", key in _OWN)
    elif isinstance(recorded, list):
        if len(recorded) != len(answered):
            yield f"{path}: {len(recorded)} were recorded, {len(answered)} answered"
        for number, (one, other) in enumerate(zip(recorded, answered, strict=False)):
            yield from _differences(one, other, f"{path}[{number}]", own)
    elif not own and _without_own(recorded) != _without_own(answered):
        yield f"{path}: {recorded!r} was recorded, {answered!r} answered"


def _without_own(value: Any) -> Any:
    return _OWN_TEXTS.sub("…", value) if isinstance(value, str) else value


def test_every_recording_is_replayed_or_named_with_the_reason() -> None:
    assert set(ALL) == REPLAYED | NOT_REPLAYED.keys()
    assert not REPLAYED & NOT_REPLAYED.keys()
    told = [number for story in STORIES for number in story]
    assert {number for number in ISM if number in REPLAYED} <= set(told)
    assert len(told) == len(set(told))


STORIES = [
    [*_numbers((1, 134)), *_numbers((1, 8), of="no-plugin-")],
    [*_numbers((135, 143), (147, 155))],
    [*_numbers((144, 146), (163, 173))],
    [*_numbers((156, 159))],
    [*_numbers((160, 162))],
    [*_numbers((174, 177))],
    [*_numbers((178, 181))],
    [*_numbers((182, 185))],
    [*_numbers((186, 192))],
]
"""Recordings of one and the same cluster each."""


@cache
def _replayed() -> dict[str, list[str]]:
    """What comes of the whole replay: differences, by the number of the recording."""
    found: dict[str, list[str]] = {}
    for story in STORIES:
        with closing(IsmStandIn()) as probed:
            probed.lazy, probed.lag, probed.now = True, 1000, 1_795_408_985_000
            found |= _replay(probed, [ISM[number] for number in ISM if number in story])
    with closing(IsmStandIn(plugin=False)) as plain:
        return found | _replay(plain, INDICES.values())


def _replay(stand_in: IsmStandIn, recordings: Iterable[Recording]) -> dict[str, list[str]]:
    found = {}
    for recording in recordings:
        number, request, recorded = recording["number"], recording["request"], recording["response"]
        if number not in REPLAYED:
            continue
        BEFORE.get(number, _nothing)(stand_in)
        if not recording["plugin"]:
            stand_in.plugin = False
        status, body = stand_in.answer(request["method"], request["path"], request.get("body"))
        answered = {"status": status, "body": json.loads(json.dumps(body))}
        found[number] = list(_differences(recorded, answered))
    return found


def _nothing(_: IsmStandIn) -> None:
    pass


def _tick(stand_in: IsmStandIn) -> None:
    stand_in.now += 1000


Step = Callable[[IsmStandIn], None]


def _make(*names: str) -> Step:
    def step(stand_in: IsmStandIn) -> None:
        for name in names:
            stand_in.now += 1000
            stand_in.create_index(name)

    return step


def _run(name: str, times: int = 1, *, seconds: int = 60, sweep: bool = False) -> Step:
    def step(stand_in: IsmStandIn) -> None:
        for _ in range(times):
            stand_in.now += seconds * 1000
            if sweep:
                stand_in.sweep()
            stand_in.run(name)

    return step


def _together(*steps: Step) -> Step:
    def step(stand_in: IsmStandIn) -> None:
        for each in steps:
            each(stand_in)

    return step


def _sweep(stand_in: IsmStandIn) -> None:
    stand_in.now += 3000
    stand_in.sweep()


def _versions(stand_in: IsmStandIn) -> None:
    """The four indices of the probe under ver-p, made between the recordings 56 and 68 and waiting."""
    _make("ver-0", "ver-1", "ver-1c", "ver-1b")(stand_in)
    stand_in.sweep()
    for name in ("ver-0", "ver-1", "ver-1c", "ver-1b"):
        _run(name, 2)(stand_in)


def _broken_repository(stand_in: IsmStandIn) -> None:
    """An index whose snapshot failed, as the recording 70 shows it."""
    stand_in.create_index("badrepo-1", policy="badrepo-p")
    _run("badrepo-1", 2)(stand_in)


def _later(then: Step) -> Step:
    """After the moment that the probe's client gave its policy's template (recording 17)."""

    def step(stand_in: IsmStandIn) -> None:
        stand_in.now = 1_795_408_995_000
        then(stand_in)

    return step


def _numbered(name: str, seq_no: int, primary_term: int = 1) -> Step:
    """Gives a policy the version of the probe, which the next request asks for; jobs count up as well there."""

    def step(stand_in: IsmStandIn) -> None:
        stand_in.policies.stored[name] |= {"_seq_no": seq_no, "_primary_term": primary_term}

    return step


def _put(name: str, pattern: str, *, age: str = "398d", snapshot: str = "") -> Step:
    """A policy like that of `whodid setup`."""

    def step(stand_in: IsmStandIn) -> None:
        settings = Settings(snapshot_repository=snapshot)
        body = policy_body(settings)["policy"]
        body["states"][0]["transitions"][0]["conditions"]["min_index_age"] = age
        body["ism_template"][0]["index_patterns"] = [pattern]
        body["description"] = re.sub(r"\[\w+\]", "[3c9b44ee]", body["description"])
        stand_in.answer("PUT", f"/_plugins/_ism/policies/{name}", {"policy": body})

    return step


def _begin(name: str) -> Step:
    """A run that is under way as `explain` is asked."""
    return lambda stand_in: stand_in.indices[name].begin()


def _red(stand_in: IsmStandIn) -> None:
    """An index of another name is red, and jobs are due."""
    _together(_put("imm-retention", "imm-*"), _make("imm-2026.11", "restored-2026.11"), _sweep)(stand_in)
    stand_in.indices["restored-2026.11"].health = "red"
    _run("imm-2026.11", 3)(stand_in)


def _immutable(stand_in: IsmStandIn) -> None:
    stand_in.indices["imm-2026.11"].immutable = True
    stand_in.policies.stored["imm-retention"] |= {"_seq_no": 47, "_version": 3}


def _flooded(stand_in: IsmStandIn) -> None:
    """An index whose snapshot can't be named: the probe's node had no Mustache."""
    _put("noperm-retention", "noperm-*", age="1m", snapshot="backups")(stand_in)
    _together(_make("noperm-2026.11"), _sweep, _run("noperm-2026.11", 3))(stand_in)
    index = stand_in.indices["noperm-2026.11"]
    assert index.job
    assert index.job.action
    index.job.action["action_properties"], index.job.cause = {}, "script_lang not supported [mustache]"
    shape = {"auto_expand_replicas": "0-1", "codec": "best_compression", "number_of_replicas": "0"}
    rest = {"number_of_shards": "1", "provided_name": index.name, "replication.type": "DOCUMENT"}
    index.settings |= {f"index.{name}": value for name, value in (shape | rest).items()}
    index.settings["index.version.created"] = "137257827"


def _timeline(stand_in: IsmStandIn) -> None:
    """A partition of `whodid setup` on the day before it is due, with a snapshot to come."""
    stand_in.repositories["backups"] = {}
    _put("whodid-audit-retention", "whodid-audit-*", snapshot="backups")(stand_in)
    _together(_tick, _make("whodid-audit-2025.08"), _run("whodid-audit-2025.08", 2))(stand_in)
    stand_in.now += 397 * 86_400_000
    stand_in.run("whodid-audit-2025.08")


def _restorable(stand_in: IsmStandIn) -> None:
    """ISM has deleted it; its snapshot has the name of the probe's."""
    _run("whodid-audit-2025.08")(stand_in)
    assert stand_in.indices == {}
    [kept] = stand_in.snapshots.values()
    stand_in.snapshots["backups", "whodid-audit-2025.08-2026.09.19-23:14:35.024"] = kept


BEFORE: dict[str, Step] = {
    "07": _tick,
    "08": _tick,
    "40": _later(_tick),
    "42": _sweep,
    "44": _run("audit-000001"),
    "66": _run("audit-000001"),
    "67": _run("audit-000001"),
    "68": _versions,
    "77": _make("delx-1", "delx-2"),
    "78": _sweep,
    "81": _numbered("ver-p", 8),
    "94": _broken_repository,
    "105": _run("ver-1b", 2),
    "106": _run("ver-1", 4),
    "107": _run("delx-1", 2),
    "114": _make("fast-1"),
    "115": _run("ver-0", 2),
    "117": _together(_make("vv-1", "vv-2"), _sweep, _run("vv-1", 2), _run("vv-2", 2), _numbered("vv-p", 277, 2)),
    "118": _run("vv-1"),
    "121": _run("vv-1"),
    "122": _run("vv-1"),
    "129": _together(_make("retro-1"), _sweep, _run("retro-1", 2)),
    "135": _tick,
    "136": _tick,
    "138": _sweep,
    "139": _numbered("fresh-p", 86),
    "143": _together(_numbered("fresh-p", 89), _run("fresh-1"), _run("fresh-2")),
    "153": _run("fresh-1"),
    "144": _red,
    "163": _together(_run("imm-2026.11", 0), _immutable),
    "164": _numbered("imm-retention", 48),
    "165": _run("imm-2026.11"),
    "166": _run("imm-2026.11"),
    "167": _run("imm-2026.11"),
    "168": _run("imm-2026.11"),
    "169": _run("imm-2026.11"),
    "170": _run("imm-2026.11"),
    "156": _flooded,
    "160": _together(_put("fail-retention", "fail-*", age="1m"), _make("fail-2026.11"), _sweep),
    "161": _run("fail-2026.11", 2),
    "162": _run("fail-2026.11"),
    "174": _together(_put("whodid-audit-retention", "whodid-audit-*"), _tick),
    "176": _tick,
    "177": _sweep,
    "178": _together(
        _put("torn-retention", "torn-*", age="2m"), _make("torn-2026.11"), _sweep, _run("torn-2026.11", seconds=1)
    ),
    "179": lambda stand_in: stand_in.policies.stored.clear(),
    "180": _run("torn-2026.11"),
    "181": _run("torn-2026.11", 2),
    "182": _together(
        _put("whodid-audit-retention", "whodid-audit-*"), _make("whodid-audit-2026.11"), _run("whodid-audit-2026.11")
    ),
    "185": _sweep,
    "186": _timeline,
    "187": _together(_run("whodid-audit-2025.08", 0), _begin("whodid-audit-2025.08")),
    "188": _run("whodid-audit-2025.08", seconds=86_400),
    "189": _begin("whodid-audit-2025.08"),
    "190": _run("whodid-audit-2025.08"),
    "191": _restorable,
    "192": _sweep,
}
"""What happened between the recordings: indices that were made, and ISM's sweeps and runs."""


@pytest.mark.parametrize("number", sorted(REPLAYED & ALL.keys()))
def test_the_stand_in_answers_as_recorded(number: str) -> None:
    assert _replayed()[number] == []
