"""What a failed start's log is boiled down to."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.devserver.folder import diagnose


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory"),
        ("Error occurred during initialization of VM: Could not reserve enough space", "ran out of memory"),
        ("BindHttpException: Failed to bind to 127.0.0.1:9200", "--port 0"),
        ("java.io.IOException: No space left on device", "its disk is full"),
        ("failed to obtain node locks, tried [/x]", "another process uses its data directory"),
        ("java.nio.file.AccessDeniedException: /x", "may not write to its data directory"),
    ],
)
def test_cause_is_named_with_what_to_do(tmp_path: Path, line: str, said: str) -> None:
    log = tmp_path / "log"
    log.write_text("[INFO ] starting\n" * 500 + line + "\n\tat org.opensearch.X\n")
    assert said in diagnose(log).splitlines()[0]
    assert line in diagnose(log)
    assert str(log) in diagnose(log)


def test_unknown_cause_shows_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(20)))
    assert "  | line 19" in diagnose(log).splitlines()
    assert "  | line 1" not in diagnose(log).splitlines()


def test_absent_log_is_no_error(tmp_path: Path) -> None:
    assert diagnose(tmp_path / "log") == f"the last lines of the log:\nfull log: {tmp_path / 'log'}"
