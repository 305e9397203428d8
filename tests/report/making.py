"""What these tests share: `whodid report` as a person gives it, and the pack that it makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.attacks.scene import NOW
from tests.live.corner import Corner
from whodid.cli import program

__all__ = ["Made", "days_ago", "make", "whodid_report"]


@dataclass(frozen=True)
class Made:
    """`code` is the exit code; `path` what the files of the pack have in common."""

    path: Path
    code: int
    output: str
    errors: str

    @property
    def html(self) -> str:
        return Path(f"{self.path}.html").read_text()

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(f"{self.path}.json").read_bytes())
        return found


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def whodid_report(place: Corner, *words: str) -> Result:
    signing = [f"--signing-key-file={place.settings.signing_key_file}"] if place.settings.signing_key_file else []
    return CliRunner().invoke(program, [*place.arguments("report", *words), *signing])


def make(place: Corner, path: Path, *options: str, since: str = "", until: str = "") -> Made:
    """A report of everything up to now, if nothing else is said."""
    span = ["--since", since or days_ago(100), *(["--until", until] if until else [])]
    place.refresh()
    done = whodid_report(place, str(path), *span, *options)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Made(path, done.exit_code, done.stdout, done.stderr)
