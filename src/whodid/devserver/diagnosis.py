"""Why a node did not start, read from its log."""

from __future__ import annotations

from pathlib import Path

from whodid.devserver.log import last_lines

__all__ = ["diagnose"]

READ_LINES = 400
SHOWN_LINES = 8

# What the log says, and what to do about it.
CAUSES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("java.lang.OutOfMemoryError", "Could not reserve enough space", "insufficient memory", "errno=12"),
        "it ran out of memory: end other programs, or give it another heap size",
    ),
    (
        ("BindHttpException", "BindTransportException", "Address already in use"),
        "its port is taken: give another with --port, or --port 0 for a free one",
    ),
    (("No space left on device", "Disk quota exceeded"), "its disk is full: free some space"),
    (
        ("failed to obtain node locks", "LockObtainFailedException"),
        "another process uses its data directory: end that one, or give another with --data-dir",
    ),
    (
        ("AccessDeniedException", "Permission denied"),
        "it may not write its data directory: give another with --data-dir",
    ),
    (
        ("cannot downgrade a node", "cannot upgrade a node"),
        "its data were written by another OpenSearch version: `whodid dev reset`, or give another --data-dir",
    ),
)
TELLING = ("ERROR", "FATAL", "Exception", "Error:", "Caused by", "uncaught", "# ")


def diagnose(file: Path) -> str:
    """One line that says why, where the log tells, and under it the lines that matter."""
    lines = last_lines(file, READ_LINES)
    text = "\n".join(lines)
    advice = [say for signs, say in CAUSES if any(sign in text for sign in signs)]
    telling = [line for line in lines if any(sign in line for sign in TELLING)]
    shown = [f"  | {line[:300]}" for line in (telling or lines)[-SHOWN_LINES:]]
    return "\n".join([advice[0] if advice else "the log's last lines:", *shown, f"all of it: {file}"])
