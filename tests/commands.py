"""The program, run in the test's process: starting Python for each command would take most of such a test's time."""

from __future__ import annotations

import logging
import sys
from subprocess import CompletedProcess
from unittest.mock import patch

from click.testing import CliRunner

from whodid.cli import run

__all__ = ["whodid"]


def whodid(*arguments: str, given: str = "") -> CompletedProcess[str]:
    """What `whodid ARGUMENTS` writes, and its exit code; `given` is on standard input. No terminal is there.

    Logging is as a program has it that configures none: what pytest's handlers would take is on standard error.
    """
    code: object = 0
    with (
        patch.object(logging.getLogger(), "handlers", list[logging.Handler]()),
        CliRunner().isolation(given) as written,
    ):
        try:
            run(list(arguments))
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
    assert isinstance(code, int)
    output, errors = (one.getvalue().decode() for one in written[:2])
    assert "Traceback" not in errors
    return CompletedProcess(arguments, code, output, errors)
