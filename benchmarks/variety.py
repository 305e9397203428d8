"""The variety: a month of a platform's entries, or more, as different from each other as real ones, in a journal.

`python -m benchmarks.variety FOLDER ENTRIES SEED FIRST_SECOND DAYS` records them: every event type of the catalog,
2,000 users of 40 organizations, changing addresses, browsers and targets. The same seed gives the same calls; hashes
and salts differ.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import whodid
from whodid.catalog import Catalog, EventType
from whodid.recording.recorder import Recorder

__all__ = ["FIRST_SECOND", "calls", "make_variety"]

FIRST_SECOND = 1_793_491_200
"""2026-11-01T00:00:00Z: unless others are asked for, all entries are of the month, and so the partition, begun here."""

_MONTH = 30
_USERS, _ORGANIZATIONS, _HOSTS = 2_000, 40, 400
_LETTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_OFTEN = {"workflow_status_changed": 30, "credentials_accessed": 30, "user_sign_in": 12, "data_link_file_download": 12}
"""Weights of event types; the others count 1 to 4."""
_NAMES = ("Ada", "Lin", "Kim", "Noor", "Iván", "Zoë", "Ravi", "Mei", "Olga", "Tom", "Sana", "Jörg", "Aïcha", "Ben")
_WORDS = ("rnaseq", "sarek", "nightly", "batch", "imaging", "proteome", "panel", "exome", "archive", "training", "qc")
_ROLES = ("owner", "admin", "maintain", "launch", "view")


def make_variety(folder: Path, entries: int, seed: int, first_second: int = FIRST_SECOND, days: int = _MONTH) -> None:
    """Records that many entries into a new journal directory, in a process of its own."""
    numbers = (str(number) for number in (entries, seed, first_second, days))
    command = [sys.executable, "-m", "benchmarks.variety", str(folder), *numbers]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)


def calls(
    entries: int, seed: int, first_second: int = FIRST_SECOND, days: int = _MONTH
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The moment (nanoseconds), event type and arguments of each call, in the order of time."""
    chance = random.Random(seed)
    types = list(Catalog.load().types.values())
    weights = [_OFTEN.get(known.name, 1 + number % 4) for number, known in enumerate(types)]
    moments = sorted(chance.randrange(days * 86_400_000_000) for _ in range(entries))
    platform = _Platform(chance)
    every = [*types, *chance.choices(types, weights, k=max(0, entries - len(types)))][:entries]
    chance.shuffle(every)
    for moment, known in zip(moments, every, strict=True):
        yield first_second * 1_000_000_000 + moment * 1000, known.name, platform.call(known)


class _Platform:
    """Its users, where they come from, and what they do."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._users = [self._user(number) for number in range(_USERS)]
        self._addresses = [_address(chance) for _ in range(_HOSTS)]
        self._browsers = [_browser(chance) for _ in range(60)]
        self._recent: list[str] = [self._id() for _ in range(500)]

    def call(self, known: EventType) -> dict[str, Any]:
        """Arguments that fit the event type's rules."""
        chance, rules = self._chance, known.rules
        fields: dict[str, Any] = {"target": self._target(), "request_id": f"{chance.getrandbits(128):032x}"}
        if chance.random() < 0.2 and "client_ip" not in rules.requires:
            fields["principal"] = "system"
        else:
            fields |= self._users[min(int(chance.paretovariate(0.6)), _USERS) - 1]
            fields["client_ip"] = chance.choice(self._addresses)
            fields["user_agent"] = chance.choice(self._browsers)
        if known.resource not in {"user", "access_token"}:
            fields |= self._place(fields)
        if "status" in rules.requires or chance.random() < 0.1:
            fields["status"] = chance.choice(rules.status) if rules.status else "running"
        if chance.random() < 0.5:
            fields["target_name"] = f"{chance.choice(_WORDS)}-{chance.choice(_WORDS)}-{chance.randrange(1000)}"
        if chance.random() < 0.3:
            fields["trace_id"] = f"{chance.getrandbits(128):032x}"
        return fields | self._changed(known)

    def _changed(self, known: EventType) -> dict[str, Any]:
        """State images of what was changed, and details: those that the catalog asks for, and a few more."""
        if "details" in known.rules.forbids:
            return {}
        chance = self._chance
        properties = known.rules.details.get("properties", {})
        details = {key: self._detail(properties.get(key, {})) for key in known.rules.details.get("required", ())}
        if "file" in known.name:
            details["path"] = f"{chance.choice(_WORDS)}/{chance.choice(_WORDS)}/s{chance.randrange(100_000)}.fq.gz"
            details["size"] = chance.randrange(1, 5_000_000_000)
        changed: dict[str, Any] = {"details": details} if details else {}
        if "updated" in known.name:
            before, after = chance.sample(_ROLES, 2)
            revision = chance.randrange(1, 200)
            changed["before"] = {"role": before, "revision": revision, "active": True}
            changed["after"] = {"role": after, "revision": revision + 1, "active": chance.random() < 0.9}
        return changed

    def _detail(self, rule: dict[str, Any]) -> object:
        if "enum" in rule:
            return self._chance.choice(rule["enum"])
        return rule.get("const", self._id())

    def _target(self) -> str:
        """One that was seen lately, or another."""
        if self._chance.random() < 0.4:
            self._recent[self._chance.randrange(len(self._recent))] = self._id()
        return self._chance.choice(self._recent)

    def _id(self) -> str:
        return "".join(self._chance.choices(_LETTERS, k=22))

    def _user(self, number: int) -> dict[str, str]:
        name = self._chance.choice(_NAMES)
        email = f"user{number}@org{number % _ORGANIZATIONS}.example"
        return {"principal": str(1000 + number), "principal_name": f"{name} {number}", "principal_email": email}

    def _place(self, fields: dict[str, Any]) -> dict[str, str]:
        principal = fields["principal"]
        number = (self._chance.randrange(_ORGANIZATIONS) if principal == "system" else int(principal)) % _ORGANIZATIONS
        workspace = number * 10 + self._chance.randrange(5)
        return {
            "organization_id": str(7000 + number),
            "organization_name": f"Organization {number}",
            "workspace_id": str(50_000 + workspace),
            "workspace_name": f"{_WORDS[workspace % len(_WORDS)]} {workspace}",
        }


def _address(chance: random.Random) -> str:
    if chance.random() < 0.2:
        return f"2001:db8:{chance.getrandbits(16):x}::{chance.randrange(1, 65536):x}"
    return f"{chance.randrange(11, 223)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"


def _browser(chance: random.Random) -> str:
    system = chance.choice(("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"))
    version = chance.randrange(110, 141)
    return f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"


def _record(folder: str, *numbers: int) -> None:
    settings = whodid.Settings(journal_dir=folder, service="platform", host="web-1.example.org", durability="process")
    moment = 0
    recorder = Recorder(settings, clock_ns=lambda: moment)
    for moment, event_type, fields in calls(*numbers):  # noqa: B007 (the clock reads it)
        recorder.record(event_type, fields)


if __name__ == "__main__":
    _record(sys.argv[1], *map(int, sys.argv[2:]))
