"""The stand-in replays the recordings of a real ISM: the same requests in the same order get answers of the same form.

`recordings/ism.jsonl` holds one recorded call a line; `recordings/indices.jsonl` calls on indices of an OpenSearch
3.4.0 without plugins. Compared are the status, the keys and JSON types of the whole body, and every value but times,
UUIDs and sequence numbers, which are the probe's own. The 78 recordings of security/ are not copied: they are of the
Security plugin, whose roles tests/live/test_rights.py tries on a real node.
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

FOLDER = Path(__file__).with_name("recordings")
Recording = dict[str, Any]


def _numbers(*ranges: tuple[int, int], of: str = "") -> set[str]:
    return {f"{of}{number:02}" for first, last in ranges for number in range(first, last + 1)}


REPLAYED = {
    *_numbers((2, 44), (47, 57), (59, 60), (62, 62), (64, 69), (73, 74), (76, 107), (109, 109), (113, 123)),
    *_numbers((126, 126), (129, 131)),
    *_numbers((1, 8), of="no-plugin-"),
    *_numbers((1, 33), of="index-"),
}

NOT_REPLAYED = {
    "01": "the node itself",
    "45": "settings of the cluster",
    "46": "settings of the cluster",
    "58": "snapshots",
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
    "epoch",
    "index_uuid",
    "uuid",
    "node",
    "_seq_no",
    "_primary_term",
    "policy_seq_no",
    "policy_primary_term",
}
"""Keys whose values are the probe's own: times, UUIDs and numbers that count what else it did. The type is compared."""

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


@cache
def _replayed() -> dict[str, list[str]]:
    """What comes of the whole replay: differences, by the number of the recording."""
    with closing(IsmStandIn()) as probed, closing(IsmStandIn(plugin=False)) as plain:
        probed.lazy, probed.now = True, 1_795_408_985_000
        return {**_replay(probed, ISM.values()), **_replay(plain, INDICES.values())}


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
    job = stand_in.indices["badrepo-1"].job
    assert job
    job.action, job.enabled = {"name": "snapshot", "failed": True}, False


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
}
"""What happened between the recordings: indices that were made, and ISM's sweeps and runs."""


@pytest.mark.parametrize("number", sorted(REPLAYED & ALL.keys()))
def test_the_stand_in_answers_as_recorded(number: str) -> None:
    assert _replayed()[number] == []
