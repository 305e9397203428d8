"""The erasure on this host, in the segments of its journals and in the dead letters; and in a single entry.

The caller holds the shipper lock, so that no reader has a position in a segment, and has closed the current segment:
closed segments are replaced whole, and writers only look at the last line of those. In an entry, the commitments stay
where the values were, and the hash is the same.

Crash behaviour: a segment is unchanged or erased. Running the erasure again does the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from ..entry import PERSONAL_FIELDS, Places
from ..files import is_there, names_in, read_file, write_parts
from ..integrity import commitments, line_of, salts_of
from ..journal import JournalDirectory
from ..journal.directory import segments
from ..journal.segment import is_closed
from ..shipping.dead_letters import DeadLetter, each_dead_letter, replace_dead_letters
from ..text import texts_of

__all__ = ["HostErased", "erase_on_host", "erased_entry", "erased_line", "is_of", "personal_values", "what_else_holds"]


def is_of(entry: Mapping[str, Any], principal: str) -> bool:
    """Whether the person did it, or it was done in their name."""
    return principal in (entry.get("principal"), *texts_of(entry.get("on_behalf_of")))


def personal_values(entry: Mapping[str, Any], fields: Collection[str] = PERSONAL_FIELDS) -> list[str]:
    """The names of the committed fields, among `fields`, whose values are still there."""
    names = entry.get("committed")
    return [name for name in names if name in entry and name in fields] if isinstance(names, list) else []


def erased_entry(entry: Mapping[str, Any], fields: Collection[str] = PERSONAL_FIELDS) -> dict[str, Any] | None:
    """The entry without the personal values of these fields, by default all; `None` where none is left to remove.

    Raises `ValueError` for an entry whose salts are malformed.
    """
    going = personal_values(entry, fields)
    if not going:
        return None
    kept = {name: value for name, value in entry.items() if name not in {"salt", "salts", "erased", *going}}
    left = {name: salt for name, salt in salts_of(entry).items() if name in kept}
    erased = {name: hidden for name, hidden in commitments(entry).items() if name not in kept}
    return {**kept, **({"salts": left} if left else {}), "erased": erased}


def erased_line(line: bytes) -> bytes | None:
    """The same for a journal line, without its newline."""
    entry = erased_entry(orjson.loads(line))
    return None if entry is None else line_of(entry)


@dataclass(frozen=True, slots=True)
class HostErased:
    """The entries that were erased, and how many dead letters; `open` are segments that are still written to."""

    entries: Places
    letters: int
    open: tuple[str, ...]


def erase_on_host(directory: JournalDirectory, principal: str) -> HostErased:
    """Raises `OSError`; what was done by then stays done."""
    done = Places()
    still_open: list[str] = []
    for journal in directory.journals():
        for path in segments(directory.journal(journal)):
            lines = read_file(path).splitlines(keepends=True)
            changed = dict(_erased(lines, principal))
            if not changed:
                continue
            if not is_closed(path.stat()):
                still_open.append(str(path))
                continue
            _replace(path, [changed.get(number, line) for number, line in enumerate(lines)])
            for number in changed:
                entry = orjson.loads(lines[number])
                done.add(entry["journal"], entry["seq"])
    return HostErased(done, _erase_letters(directory, principal), tuple(still_open))


def _erased(lines: list[bytes], principal: str) -> Iterator[tuple[int, bytes]]:
    name = orjson.dumps(principal)
    for number, line in enumerate(lines):
        if name not in line or not line.endswith(b"\n"):
            continue
        try:
            entry = orjson.loads(line)
            if isinstance(entry, dict) and is_of(entry, principal) and (erased := erased_line(line[:-1])):
                yield number, erased + b"\n"
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # damaged: `what_else_holds` names the file


def _replace(path: Path, lines: list[bytes]) -> None:
    """Puts other lines in the place of a closed segment, which stays closed and as old as it was."""
    write_parts(path, [b"".join(lines)], like=path.stat())


def _erase_letters(directory: JournalDirectory, principal: str) -> int:
    def meant(letter: DeadLetter) -> bool:
        return is_of(orjson.loads(letter.line), principal)

    changed = {}
    for letter in each_dead_letter(directory, meant):
        erased = erased_line(letter.line.encode())
        if erased is not None:
            changed[letter.id] = replace(letter, line=erased.decode(), reason="erased: the reason may quote the entry")
    replace_dead_letters(directory, (), changed)
    return len(changed)


def what_else_holds(directory: JournalDirectory, principal: str) -> list[str]:
    """Other files of the directory in which the ID stands, and so perhaps what belongs to it: nothing rewrites them.

    And the directories of journals that this user may not read. Raises `OSError`.
    """
    name = orjson.dumps(principal)
    journals, unreadable = directory.folders()
    folders = [directory.journal(journal) for journal in journals]
    torn = [folder / file for folder in folders for file in names_in(folder) if file.endswith(".torn")]
    files = [path for path in (directory.rejected, directory.damaged, *torn) if is_there(path)]
    holding = [path for path in files if name in read_file(path) or path == directory.damaged]
    return [str(path) for path in (*holding, *map(directory.journal, unreadable))]
