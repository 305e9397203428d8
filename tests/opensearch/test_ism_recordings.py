"""The stand-in replays the recordings of a real ISM: the same requests in the same order get answers of the same form.

`recordings/ism.jsonl` holds one recorded call a line. Compared are the status, the keys and JSON types of the whole
body, and exactly what says what happened: errors, reasons, states, steps, flags and counts. Not times, UUIDs and
versions, which are the probe's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.opensearch.ism_stand_in import IsmStandIn

RECORDINGS = Path(__file__).with_name("recordings") / "ism.jsonl"
Recording = dict[str, Any]

NOT_REPLAYED = {
    "01": "the node itself",
    "02": "the node itself",
    "07": "makes an index: done by the replay",
    "08": "makes an index: done by the replay",
    "38": "an index template",
    "40": "makes an index: done by the replay",
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
    "no-plugin-08": "settings of an index",
}
"""Number → why the stand-in does not cover it."""

_EXACT = {
    "type",
    "reason",
    "status",
    "updated_indices",
    "failures",
    "index_name",
    "total_managed_indices",
    "total_policies",
    "_id",
    "_version",
    "policy_id",
    "name",
    "step_status",
    "failed",
    "enabled",
    "message",
    "transition_to",
    "policy_completed",
    "description",
    "default_state",
    "validation_message",
    "validation_status",
    "result",
}
_ANY_NUMBER = ("required seqNo", "current document has", "startTime=")
"""Texts that hold a number of the probe's own."""


def _recordings() -> Iterator[tuple[str, Recording]]:
    for line in RECORDINGS.read_text(encoding="utf-8").splitlines():
        recording = json.loads(line)
        yield recording["number"], recording


ALL = dict(_recordings())


def _difference(recorded: Any, answered: Any, path: str = "", exact: bool = False) -> Iterator[str]:
    if type(recorded) is not type(answered):
        yield f"{path}: {recorded!r} was recorded, {answered!r} answered"
    elif isinstance(recorded, dict):
        for key in recorded.keys() | answered.keys():
            if key not in recorded or key not in answered:
                yield f"{path}.{key}: only {'recorded' if key in recorded else 'answered'}"
            else:
                yield from _difference(recorded[key], answered[key], f"{path}.{key}", key in _EXACT)
    elif isinstance(recorded, list):
        if len(recorded) != len(answered):
            yield f"{path}: {len(recorded)} were recorded, {len(answered)} answered"
        for number, (one, other) in enumerate(zip(recorded, answered, strict=False)):
            yield from _difference(one, other, f"{path}[{number}]", exact)
    elif exact and recorded != answered and not any(text in str(recorded) for text in _ANY_NUMBER):
        yield f"{path}: {recorded!r} was recorded, {answered!r} answered"


def test_every_recording_is_replayed_or_named_with_the_reason() -> None:
    assert len(ALL) > 120
    assert set(NOT_REPLAYED) <= set(ALL)
    assert set(ALL) == set(NOT_REPLAYED) | {number for number in ALL if number in _replayed()}


def _replayed() -> dict[str, list[str]]:
    """What comes of the whole replay: differences, by the number of the recording."""
    if not _RESULT:
        with closing(IsmStandIn()) as stand_in:
            stand_in.lazy, stand_in.now = True, 1_795_408_985_000
            for number, recording in ALL.items():
                if number in NOT_REPLAYED:
                    continue
                BEFORE.get(number, _nothing)(stand_in)
                if not recording["plugin"]:
                    stand_in.plugin = False
                request = recording["request"]
                status, body = stand_in.answer(request["method"], request["path"], request.get("body"))
                recorded = recording["response"]
                body = json.loads(json.dumps(body))
                found = (
                    [] if status == recorded["status"] else [f"HTTP {recorded['status']} recorded, {status} answered"]
                )
                _RESULT[number] = found + list(_difference(recorded["body"], body))
    return _RESULT


_RESULT: dict[str, list[str]] = {}


def _nothing(_: IsmStandIn) -> None:
    pass


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
    "09": _make("audit-old", "age-probe"),
    "41": _later(_make("audit-000001")),
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


@pytest.mark.parametrize("number", [number for number in ALL if number not in NOT_REPLAYED])
def test_the_stand_in_answers_as_recorded(number: str) -> None:
    assert _replayed()[number] == []
