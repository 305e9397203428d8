"""The reading commands on a terminal: as wide as it is, in colours, through a pager; and none of that in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.live.corner import Corner, corner
from whodid.cli.output import print_counts, print_entries
from whodid.entry import entry_id

pytestmark = pytest.mark.live

LONG = "x" * 300
WIDE = "組織" * 10
STYLES = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("terminal")) as made:
        made.set_up()
        made.record(30, status="aws", client_ip="203.0.113.9", organization_name=WIDE)
        made.ship()
        yield made


def on_terminal(place: Corner, width: int, *command: str, **environ: str) -> str:
    """What a terminal of that width, 20 lines high, is sent."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 20, width, 0, 0))
    program = [sys.executable, "-m", "whodid", *place.arguments(*command)]
    given = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    given |= {"TERM": "xterm-256color", "PAGER": "false", **environ}
    with subprocess.Popen(program, stdin=inside, stdout=inside, stderr=inside, env=given):
        os.close(inside)
        shown = bytearray()
        with suppress(OSError):  # how the other end is closed
            while piece := os.read(outside, 65536):
                shown += piece
    os.close(outside)
    return shown.decode().replace("\r\n", "\n")


def in_a_pipe(place: Corner, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "whodid", *place.arguments(*command)], capture_output=True, timeout=60, check=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize("width", [12, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_said(place: Corner, width: int) -> None:
    from rich.cells import cell_len

    shown = STYLES.sub("", on_terminal(place, width, "search", "--limit", "3"))
    table, told = shown.split("not shown at this width: ") if width < 200 else (shown.rpartition("3 of")[0], "")
    assert max(map(cell_len, table.splitlines())) <= width
    assert table.splitlines()[0].split()[0] == "when"
    headings = {12: 1, 40: 1, 80: 5, 200: 8}[width]
    assert len(re.split(r" {2,}", table.splitlines()[0].strip())) == headings
    assert told == "" or "choose with --columns" in told


def test_long_values_leave_room_for_who_and_what(opensearch_url: str, place: Corner) -> None:
    other = place.recorder()
    other.record("team_created", {"target": LONG, "principal": LONG})
    other.journal.close()
    place.ship()
    shown = STYLES.sub("", on_terminal(place, 90, "search", f"target:{LONG}"))
    assert shown.splitlines()[0].split() == ["when", "type", "target", "principal"]
    assert max(map(len, shown.partition("not shown")[0].splitlines())) <= 90
    assert shown.count("x") == 2 * len(LONG)
    [_, line] = in_a_pipe(place, "search", f"target:{LONG}").splitlines()
    assert line.split()[2:4] == [LONG, LONG]


def test_in_a_pipe_there_is_every_column_and_no_style(place: Corner) -> None:
    heading, *lines = in_a_pipe(place, "search", "--limit", "3", "type:credentials_created").splitlines()
    assert heading.endswith("workspace")
    assert [line.count(WIDE) for line in lines] == [1, 1, 1]
    assert "\x1b" not in heading


def test_colours_are_for_terminals_that_want_them(place: Corner) -> None:
    assert "\x1b[1m" in on_terminal(place, 80, "search", "--limit", "1")
    assert "\x1b" not in on_terminal(place, 80, "search", "--limit", "1", TERM="dumb")
    assert re.search(r"\x1b\[[\d;]*3\d", on_terminal(place, 80, "stats", "--group-by", "type", NO_COLOR="1")) is None


def test_what_is_longer_than_the_screen_goes_through_the_pager(place: Corner) -> None:
    pager = "sed s/^/paged:/"
    long = STYLES.sub("", on_terminal(place, 80, "search", "type:credentials_created", PAGER=pager))
    assert sum(line.startswith("paged:2") for line in long.splitlines()) == 30
    assert "paged" not in on_terminal(place, 80, "search", "--limit", "3", PAGER=pager)


@pytest.mark.parametrize("width", [24, 50, 120])
def test_bars_fit_beside_their_counts(place: Corner, width: int) -> None:
    shown = STYLES.sub("", on_terminal(place, width, "stats", "--group-by", "type", "--interval", "day"))
    bars = [line for line in shown.splitlines() if "█" in line]
    assert len(bars) >= 2
    assert max(map(len, bars)) <= width
    if width > 24:
        assert all(line[0].isalnum() for line in bars)  # no bar goes on in the next line


def test_the_id_of_an_entry_is_a_column_too(place: Corner) -> None:
    first = place.journalled()[0]
    heading, line = in_a_pipe(place, "search", "seq:1", "--columns", "seq,entry_id").splitlines()
    assert (heading.split(), line.split()) == (["seq", "entry_id"], ["1", entry_id(first)])
    assert '"seq": 1,' in in_a_pipe(place, "get", "--json", line.split()[1])


def test_one_long_value_does_not_widen_each_line_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_entries([{"target": "1"}] * 50 + [{"target": "x" * 100_000}])
    print_counts("target", {"1": 1, "x" * 100_000: 1})
    assert len(capsys.readouterr().out) < 60 * 1200
