"""The text that whodid shows or documents uses none of the words and phrases that native readers stumble over.

Checked are docstrings, messages and help texts of `src`, the `--help` of every command, the settings file, and the
documentation. The replacements are in the messages of a failing test.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from whodid.cli import program

ROOT = Path(__file__).parents[1]

BANNED = {
    r"all gone on": "deleted by",
    r"begun": "started",
    r"anew": "again; a new one",
    r"goes on|gone on|going on|go on from": "resumes; continues; is deleted on",
    r"mend(?:s|ed|ing)?": "fix",
    r"(?<!untold )told": "reported; delivered; recorded; shown",
    r"tells? of": "reports",
    r"so many|so long after": "this many; a maximum of",
    r"of its own|of their own": "its own; separate",
    r"which see|whoever|whosoever": "anyone who; the user who",
    r"is there already|come into being": "already exists",
    r"couriers?": "delivery",
    r"crews?": "workers",
    r"notebooks?": "resume state",
    r"testimony|testimonies": "checkpoint sources",
    r"(?<!chain of )custody": "retention and holds",
    r"deeds?": "administrative actions",
    r"standstill": "stalled",
    r"never speak|will speak": "is retired",
    r"nobody signs": "no signing key is configured",
    r"fits? (?:its|their) hash|hash (?:does not|doesn't|did not) fit": "hash verified; hash mismatch",
    r"belongs? together": "related entries",
    r"takes? away|taken away|taking away|took \w+ away": "remove",
    r"of very many": "approximate",
    r"that is all": "no more entries",
    r"are then nowhere": "are lost for good",
    r"gives? \w+ up": "discard",
    r"(?<!there )is no (?:time|schema|signature|file|field|address|type|json|journal|entry|hash|number)": "is not a",
    r"yet to come": "in the future",
    r"with another question": "with a different query",
    r"others than (?:their|its) owner": "other users",
    r"can't be told|nothing can be said": "unknown",
    r"the seed": "the platform's documented fields",
    r"to get along|get at": "work together; access",
}
"""Pattern (whole words, any case) → what to write instead."""

_PATTERNS = {
    re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE): better for pattern, better in BANNED.items()
}


def found(text: str) -> list[str]:
    """The banned phrases in a text, each with what to write instead; a name such as `begun` in code is not prose."""
    text = " ".join(re.sub(r"`\w+`", "…", text).split())
    return [
        f"…{text[max(0, hit.start() - 30) : hit.end() + 20]}…: write {better}"
        for pattern, better in _PATTERNS.items()
        for hit in pattern.finditer(text)
    ]


def _prose_of(source: str) -> Iterator[str]:
    """Docstrings, messages and help texts of a module: its string literals with a blank in them."""
    inside = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            inside |= {id(part) for part in parts}
            yield " … ".join(str(part.value) for part in parts)
        elif isinstance(node, ast.Constant) and id(node) not in inside and " " in str(node.value).strip():
            yield str(node.value)


def _texts(path: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _prose_of(source)
    else:
        yield re.sub(r"^ *#", "", source, flags=re.MULTILINE)


@cache
def _files() -> tuple[str, ...]:
    folders = [
        *(ROOT / "src/whodid").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "config").glob("*.toml"),
    ]
    single = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    paths = [*folders, *(path for path in single if path.exists())]
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in paths))


@pytest.mark.parametrize("name", _files())
def test_a_file_speaks_plain_english(name: str) -> None:
    hits = [hit for text in _texts(ROOT / name) for hit in found(text)]
    assert hits == []


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if below := command.get_command(context, name):
                yield from _commands(below, (*path, name))


def test_the_help_of_every_command_speaks_plain_english() -> None:
    hits = {
        name: wrong
        for name, command in _commands(program)
        if (wrong := found(command.get_help(click.Context(command, info_name=f"whodid {name}"))))
    }
    assert hits == {}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("A new one is begun at once", False),
        ("It goes\n  on there", False),
        ("The amendment, an old courier-like recommendation", True),
        ("Indeed, it was continued", True),
        ("Mend it", False),
    ],
)
def test_phrases_are_found_as_whole_words_over_line_ends(text: str, clean: bool) -> None:
    assert (found(text) == []) == clean
