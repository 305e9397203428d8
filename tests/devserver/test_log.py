"""Reading and following a node's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.devserver import logs
from whodid.devserver.folder import follow_lines, last_lines
from whodid.errors import DevServerError


def test_last_lines_are_the_last(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthr\xffee\n")
    assert last_lines(log, 2) == ["two", "thr�ee"]
    assert last_lines(log, 0) == []


@pytest.mark.timeout(30)
def test_following_yields_whole_lines_added_until_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    pieces = iter(["new", " line\nnext\n", "last\n"])

    def write_next() -> bool:
        piece = next(pieces)
        with log.open("a") as stream:
            stream.write(piece)
        return piece == "last\n"

    assert list(follow_lines(log, write_next)) == ["new line", "next", "last"]


def test_following_a_node_that_has_ended_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "opensearch.log").write_text("one\ntwo\n")
    assert list(logs(tmp_path, lines=1, follow=True)) == ["two"]


def test_absent_log_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match=r"does not exist: .*whodid dev up"):
        list(logs(tmp_path))
