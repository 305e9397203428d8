"""The application that is killed: it makes numbered calls at a steady pace, and notes each that returned.

`python -m benchmarks.application HOW WHERE CALLS PACE NOTES`, where HOW is `whodid` (WHERE is the journal directory) or
`opensearch-logger` (WHERE is `URL,INDEX`). Started again, it leaves out the number that it was killed in: whether that
call was recorded is not known.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import whodid

from .case import EVENT, FIXED, IN_CALL, REQUEST

__all__ = ["noted", "numbers"]

_WIDTH = 10
"""Of a note: nine digits and a newline, so that a torn one is seen."""


def noted(notes: Path) -> int:
    """How many calls returned so far."""
    return notes.stat().st_size // _WIDTH if notes.exists() else 0


def numbers(notes: Path) -> list[str]:
    """The numbers of the calls that returned."""
    return [str(int(note)) for note in notes.read_text().splitlines()]


def _main(how: str, where: str, calls: int, pace: int, notes: Path) -> None:
    call, close = {"whodid": _whodid, "opensearch-logger": _opensearch_logger}[how](where)
    first = int(numbers(notes)[-1]) + 2 if noted(notes) else 0
    begin = time.monotonic()
    with notes.open("ab", buffering=0) as file:
        for number in range(first, calls):
            time.sleep(max(0.0, begin + (number - first) / pace - time.monotonic()))
            call(str(number))
            file.write(b"%09d\n" % number)
    close()


def _whodid(where: str) -> tuple[Callable[[str], object], Callable[[], None]]:
    whodid.configure(settings=whodid.Settings(journal_dir=where, echo=False))
    log = whodid.get_logger()

    def call(number: str) -> object:
        with whodid.context(**REQUEST):
            return log.audit(EVENT, **{**IN_CALL, "target": number})

    return call, lambda: None


def _opensearch_logger(where: str) -> tuple[Callable[[str], object], Callable[[], None]]:
    from .opensearch_logger import logger_of

    log, handler = logger_of(*where.split(","))
    return lambda number: log.info(EVENT, extra={**IN_CALL, **REQUEST, **FIXED, "target": number}), handler.close


if __name__ == "__main__":
    how, where, calls, pace, notes = sys.argv[1:]
    _main(how, where, int(calls), int(pace), Path(notes))
