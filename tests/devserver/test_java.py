"""The node's command line and configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.devserver.folder import DataDir
from whodid.devserver.home import OPENSEARCH_VERSION, RELEASES, find_release, java_command, java_program, write_config
from whodid.errors import DevServerError


def test_node_listens_on_loopback_only_and_ignores_a_full_disk(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path / 'a "quoted": folder')
    data_dir.claim()
    write_config(data_dir, 9201)
    lines = (data_dir.config / "opensearch.yml").read_text().splitlines()
    assert 'network.host: "127.0.0.1"' in lines
    assert "http.port: 9201" in lines
    assert "cluster.routing.allocation.disk.threshold_enabled: false" in lines
    assert f'path.data: "{tmp_path}/a \\"quoted\\": folder/data"' in lines


def test_heap_goes_to_java(tmp_path: Path) -> None:
    command = java_command(tmp_path / "home", DataDir(tmp_path / "data"), 256, Path("java"), RELEASES[0])
    assert {"-Xms256m", "-Xmx256m"} <= set(command)


def test_heap_too_small_to_start_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match="too small"):
        java_command(tmp_path / "home", DataDir(tmp_path / "data"), 64, Path("java"), RELEASES[0])


def test_an_older_release_needs_an_older_java_than_the_extra_brings(tmp_path: Path) -> None:
    older = find_release("2.19")
    with pytest.raises(DevServerError, match=r"OpenSearch 2\.19\.4 needs Java 11 to 23, .*--java"):
        java_program(older)
    with pytest.raises(DevServerError, match="does not exist; set --java"):
        java_program(older, tmp_path / "java")
    (tmp_path / "java").touch()
    assert java_program(older, tmp_path / "java") == tmp_path / "java"
    assert java_program(find_release(OPENSEARCH_VERSION)).is_file()


@pytest.mark.parametrize(("asked", "found"), [("3", "3.4.0"), ("3.4.0", "3.4.0"), ("2", "2.19.4"), ("2.19", "2.19.4")])
def test_release_is_found_by_the_beginning_of_its_version(asked: str, found: str) -> None:
    assert find_release(asked).version == found


@pytest.mark.parametrize("asked", ["2.1", "1", "", "latest"])
def test_release_that_is_not_there_is_refused_with_those_that_are(asked: str) -> None:
    with pytest.raises(DevServerError, match=r"choose one of 3\.4\.0, 2\.19\.4"):
        find_release(asked)
