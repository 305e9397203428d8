"""The node's command line and configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.devserver.folder import DataDir
from whodid.devserver.java import java_command, write_config
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
    command = java_command(tmp_path / "home", DataDir(tmp_path / "data"), 256)
    assert {"-Xms256m", "-Xmx256m"} <= set(command)


def test_heap_too_small_to_start_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevServerError, match="too small"):
        java_command(tmp_path / "home", DataDir(tmp_path / "data"), 64)
