"""The resume state: a stopped verification resumes, and no slice passes that would be judged by something else."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from tests.live.corner import Corner, corner
from whodid.cli import program
from whodid.errors import WhodidError
from whodid.search import AuditClient
from whodid.verify import ResumeState, Verification, verify_stored
from whodid.verify.plan import Part, Task
from whodid.verify.verdict import Finding
from whodid.verify.walk import Anchor, Missing, Run, Slice, Walked, walk

PARTS = (Part("j", "p-2026.10", 5, 5, 1, 5, 0.0), Part("j", "p-2026.11", 5, 5, 6, 10, 0.0))
TASK = Task(Slice("j", 1, 4, {2: Anchor(frozenset({"a"}), "checkpoint 1", "t")}, {}, (), frozenset(), "p"), PARTS)
WALKED = Walked(
    "j", 1, 4, 3, 3, "p-2026.10", [Finding("altered", "j", 2, "x", 2, ("id",))], [Missing(3, 3, "a", "b")],
    [Run("", 1, 2), Run("held", 4, 4)], [2], [4],
)  # fmt: skip


def changed(**fields: object) -> Task:
    return replace(TASK, job=replace(TASK.job, **fields))  # type: ignore[arg-type]


def test_what_was_put_is_got_again(tmp_path: Path) -> None:
    path = tmp_path / "verify.part"
    with ResumeState(path, "p") as resume_state:
        assert (resume_state.get(TASK), resume_state.about) == (None, "")
        resume_state.put(TASK, WALKED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with ResumeState(path, "p") as resume_state:
        assert resume_state.get(TASK) == WALKED
        assert resume_state.about == f"resumed: slices verified since {resume_state.started} were not verified again"
        resume_state.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    "other",
    [
        changed(first=2),
        changed(last=5),
        changed(journal="k"),
        changed(anchors={}),
        changed(anchors={2: Anchor(frozenset({"b"}), "checkpoint 1", "t")}),
        changed(letters={3: "c"}),
        changed(erased=((1, 1),)),
        changed(held=frozenset({"p-2026.10"})),
        replace(TASK, parts=PARTS[1:]),
    ],
)
def test_what_would_be_judged_by_something_else_is_walked_again(tmp_path: Path, other: Task) -> None:
    with ResumeState(tmp_path / "verify.part", "p") as resume_state:
        resume_state.put(TASK, WALKED)
    with ResumeState(tmp_path / "verify.part", "p") as resume_state:
        assert resume_state.get(other) is None
        unlike_but_elsewhere = changed(held=frozenset({"p-2026.11"}))
        assert resume_state.get(unlike_but_elsewhere) == WALKED


def test_a_line_that_was_cut_off_costs_that_slice_only(tmp_path: Path) -> None:
    path = tmp_path / "verify.part"
    second, result = changed(first=5, last=8), replace(WALKED, first=5, last=8)
    with ResumeState(path, "p") as resume_state:
        resume_state.put(TASK, WALKED)
        resume_state.put(second, result)
    path.write_bytes(path.read_bytes()[:-9])
    with ResumeState(path, "p") as resume_state:
        assert (resume_state.get(TASK), resume_state.get(second)) == (WALKED, None)
        resume_state.put(second, result)
    with ResumeState(path, "p") as resume_state:
        assert resume_state.get(second) == result


@pytest.mark.parametrize("content", ["", "important notes\n", '{"format": 1, "index_prefix": "other"}\n', "\0\0"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "verify.part"
    path.write_text(content)
    with pytest.raises(WhodidError, match="is not the resume state of a verification"):
        ResumeState(path, "p")
    assert path.read_text() == content


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path, tmp_path / "nowhere" / "x", tmp_path / "link"):
        with pytest.raises(WhodidError, match="name another file"):
            ResumeState(path, "p")
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def place(opensearch_url: str, tmp_path: Path) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path) as made, patch("whodid.verify.plan.SLICE", 10):
        made.set_up()
        made.record(100)
        made.ship()
        yield made


def verified(place: Corner, resume_state: ResumeState) -> Verification:
    return verify_stored(AuditClient(place.settings, client=place.client), resume_state=resume_state)


@pytest.mark.live
@pytest.mark.parametrize("kept", [0, 3, 9])
def test_gone_on_with_it_says_the_same(place: Corner, tmp_path: Path, kept: int) -> None:
    hits = place.stored()
    [hit] = [hit for hit in hits.values() if hit["_source"]["seq"] == 5]
    place.client.index(index=hit["_index"], id=hit["_id"], body={**hit["_source"], "principal": "43"})
    place.client.delete(index=hit["_index"], id=next(key for key, one in hits.items() if one["_source"]["seq"] == 50))
    place.refresh()
    whole = verify_stored(AuditClient(place.settings, client=place.client))
    path = tmp_path / "verify.part"
    with ResumeState(path, place.settings.index_prefix) as resume_state:
        assert verified(place, resume_state).findings == whole.findings
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    path.write_bytes(b"".join(lines[: 1 + kept]))
    with (
        ResumeState(path, place.settings.index_prefix) as resume_state,
        patch("whodid.verify.plan.walk", wraps=walk) as walking,
    ):
        again = verified(place, resume_state)
    assert (again.findings, again.journals) == (whole.findings, whole.journals)
    assert walking.call_count == 10 - kept
    assert {one.kind for one in again.findings} == {"altered", "gap"}


@pytest.mark.live
def test_the_command_goes_on_after_a_kill_and_removes_it_at_the_end(place: Corner, tmp_path: Path) -> None:
    path = tmp_path / "verify.part"
    command = [*place.arguments("verify", "--resume", str(path), "--workers", "1", "--json")]
    script = """
import os, signal, sys
import whodid.verify.plan as plan
from whodid.verify import ResumeState
plan.SLICE = 10
put = ResumeState.put
def killed(self, task, walked):
    put(self, task, walked)
    if task.job.first == 31:
        os.kill(os.getpid(), signal.SIGKILL)
ResumeState.put = killed
from whodid.__main__ import main
sys.argv = ["whodid", *sys.argv[1:]]
main()
"""
    done = subprocess.run([sys.executable, "-c", script, *command], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.exists()
    again = CliRunner().invoke(program, command)
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    assert (found["entries"], found["intact"]) == (100, True)
    assert any("resumed: slices verified since" in note for note in found["notes"])
    assert not os.path.lexists(path)
