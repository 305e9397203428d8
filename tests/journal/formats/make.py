"""Makes a journal directory for `tests/journal/test_formats.py`: `python tests/journal/formats/make.py DIRECTORY`.

To be run once for each change of what lies in the directory, with the version before it; the result is committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from whodid.integrity import Draft
from whodid.journal import Acknowledged, Journal, JournalDirectory
from whodid.journal.directory import count_not_recorded
from whodid.shipping.dead_letters import DeadLetter, keep_dead_letters


def make(path: Path) -> None:
    """Five entries in two segments, two of them acknowledged; a dead letter, a rejected call, one not recorded."""
    journal = Journal(path, segment_bytes=1000)
    drafts = [Draft({"type": "t", "target": str(n), "client_ip": "203.0.113.9"}, {"client_ip"}) for n in range(1, 6)]
    positions = [journal.append(draft) for draft in drafts]
    journal.quarantine({"error": "no such type", "type": "x", "fields": {}})
    journal.close()
    Acknowledged(2, positions[1].hash).write(path / positions[1].journal)
    keep_dead_letters(JournalDirectory(path), [DeadLetter("id", "index", "reason", positions[0].line.decode())])
    count_not_recorded(path)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
