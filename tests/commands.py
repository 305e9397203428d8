"""The program, run in the test's process: starting Python for each command would take most of such a test's time."""

from __future__ import annotations

import sys
from subprocess import CompletedProcess

from click.testing import CliRunner

from whodid.cli import run

__all__ = ["whodid"]


def whodid(*arguments: str, given: str = "") -> CompletedProcess[str]:
    """What `whodid ARGUMENTS` writes, and its exit code; `given` is on standard input. No terminal is there."""
    code: object = 0
    with CliRunner().isolation(input=given) as (out, err, _):
        try:
            run(list(arguments))
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
    assert isinstance(code, int)
    return CompletedProcess(arguments, code, out.getvalue().decode(), err.getvalue().decode())
