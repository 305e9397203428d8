"""`whodid search --follow` as a terminal runs it: each new entry once, and Ctrl-C ends it well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.faults.kit import FaultProxy
from tests.live.corner import Corner, eventually

pytestmark = pytest.mark.live


@contextmanager
def following(place: Corner, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The running command, and its lines so far."""
    command = [sys.executable, "-m", "whodid", *place.arguments("search", "--follow", "--poll-interval=0.1", *options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines: list[str] = []
        assert process.stdout
        reading = threading.Thread(target=lines.extend, args=(process.stdout,))
        reading.start()
        try:
            yield process, lines
        finally:
            process.kill()
            reading.join()


@pytest.mark.parametrize("options", [["--json"], ["--json", "--local"]], ids=" ".join)
def test_new_entries_come_once_and_ctrl_c_ends_it_well(place: Corner, options: list[str]) -> None:
    recorded = place.record(2)
    place.ship()
    with following(place, *options) as (process, lines):
        eventually(lambda: len(lines) == 2)
        recorded += place.record(3)
        place.ship()
        eventually(lambda: len(lines) == 5)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read() == ""
    assert [json.loads(line) for line in lines] == recorded


def test_a_line_is_of_the_columns_asked_for_and_of_entries_that_match(place: Corner) -> None:
    place.record(3)
    place.ship()
    with following(place, "-n", "1", "--columns", "target,organization_id,seq", "-target:1") as (_, lines):
        eventually(lambda: lines == ["2  -  3\n"])
        place.record(2)
        place.ship()
        eventually(lambda: lines == ["2  -  3\n", "0  -  4\n"])


def test_a_cluster_that_goes_away_is_told_once_and_its_news_are_shown_when_it_is_back(place: Corner) -> None:
    place.record(1)
    place.ship()
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        behind = replace(place, settings=replace(place.settings, opensearch_hosts=(proxy.url,)))
        with following(behind, "--json") as (process, lines):
            eventually(lambda: len(lines) == 1)
            proxy.refuse()
            proxy.drop()
            assert process.stderr
            assert "can't be reached" in process.stderr.readline()
            place.record(2)
            place.ship()
            proxy.accept()
            eventually(lambda: len(lines) == 3)
            assert process.stderr.readline() == "OpenSearch is available again\n"


def test_a_reader_that_goes_away_ends_it_without_a_traceback(place: Corner) -> None:
    place.record(1)
    place.ship()
    command = [sys.executable, "-m", "whodid", *place.arguments("search", "-f", "--json", "--poll-interval=0.1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        place.record(1)
        place.ship()
        try:
            assert process.wait(30) == 1
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
