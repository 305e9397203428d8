"""200,000 entries over two years, stored fast, and a brute-force answer to any filter over the same entries.

The brute force shares nothing with the client but the filter itself: it looks at the entries, one distinct value at a
time, and keeps which entries have it as the bits of one large number.
"""

from __future__ import annotations

import ipaddress
import random
import re
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, reduce
from operator import or_
from typing import Any

import orjson
from opensearchpy import OpenSearch

from whodid.entry import FREE_FIELDS, document_id, partition_name
from whodid.integrity import canonical
from whodid.search.body import OtherNames
from whodid.search.filter import (
    All,
    AnyOf,
    Beginning,
    Compared,
    Everything,
    Filter,
    Has,
    Match,
    Not,
    Range,
    Time,
    Words,
)
from whodid.search.grammar import ID_FIELDS
from whodid.search.value import Value, moment, period

__all__ = ["END", "START", "BruteForce", "entries_of_two_years", "store", "values_of"]

END = datetime(2026, 11, 23, tzinfo=UTC)
START = END - timedelta(days=730)
_JOURNALS = [f"{number:016x}" for number in range(4)]
_TYPES = [f"{thing}_{done}" for thing in ("team", "credentials", "pipeline", "user") for done in ("created", "deleted")]
_TYPES += ["member_added", "member_created", "user_sign_in"]
_WORDS = ("Ada", "Grace", "naïve", "O'Hara", "ΣΑΣ", "100%", "a*b", "C:\\temp", "x,y", "(z)")

Entry = dict[str, Any]


def entries_of_two_years(count: int, seed: int) -> list[Entry]:
    """Of four journals, several at a moment, fields absent at random."""
    picks = random.Random(seed)
    microseconds = (0, 0, 1, 999_999)
    times = sorted((picks.randrange(730 * 86_400), picks.choice(microseconds)) for _ in range(count))
    seqs = dict.fromkeys(_JOURNALS, 0)
    found = []
    for second, microsecond in times:
        journal = picks.choice(_JOURNALS)
        seqs[journal] += 1
        at = START + timedelta(seconds=second, microseconds=microsecond)
        entry: Entry = {
            "type": picks.choice(_TYPES),
            "target": f"{picks.choice('abc')}{picks.randrange(500)}",
            "principal": "system" if picks.random() < 0.1 else str(picks.randrange(40)),
            "creation_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "@timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "schema_version": "2.0",
            "journal": journal,
            "seq": seqs[journal],
            "prev": f"{picks.getrandbits(64):064x}",
            "hash": f"{picks.getrandbits(64):016x}".ljust(64, "0"),
        }
        if picks.random() < 0.6:
            entry["status"] = picks.choice(["ok", "failed", "oidc", "two words", "OK*"])
        if picks.random() < 0.7:
            entry["client_ip"] = picks.choice(["10.0.0.7", "10.200.0.1", "192.0.2.7", "2001:db8::7", "::1"])
        if picks.random() < 0.5:
            entry["organization_id"] = str(picks.randrange(9))
            entry["organization_name"] = picks.choice(_WORDS)
        if picks.random() < 0.3:
            entry["target_name"] = f"{picks.choice(_WORDS)} {picks.choice(_WORDS)}"
        if picks.random() < 0.2:
            chain = [str(picks.randrange(40)) for _ in range(picks.randrange(1, 4))]
            entry["on_behalf_of"] = chain if len(chain) > 1 else chain[0]
        if picks.random() < 0.3:
            entry["session_id"] = str(uuid.UUID(int=picks.getrandbits(128), version=4))
            entry["request_id"] = f"req-{picks.getrandbits(40):010x}"
            entry["trace_id"] = f"{picks.getrandbits(128):032x}"
        if picks.random() < 0.2:
            entry["correlation_id"] = f"job/{picks.randrange(3000)}"
            entry["access_token_id"] = f"tok_{picks.randrange(900)}"
        if picks.random() < 0.1:
            more = range(picks.randrange(1, 4))
            entry["targets"] = [{"id": f"t{picks.randrange(900)}", "name": picks.choice(_WORDS)} for _ in more]
        if picks.random() < 0.4:
            entry["details"] = {
                "rows": picks.choice([1, 2.5, True, "5"]),
                "deep": {"region": picks.choice(["eu-west", "EU-east", "us"])},
                "amount": picks.choice(
                    [picks.randrange(-500, 500), round(picks.uniform(-2, 2), 3), picks.uniform(-1e3, 1e3), 1e21, 0]
                ),
                "due": picks.choice(["2026-12-31", "2027-01-01", "2026-06-30T23:59:59.5Z", "soon", 2027, 20]),
                **({"list": [picks.choice(_WORDS), "z"]} if picks.random() < 0.5 else {}),
            }
        found.append(entry)
    return found


def store(client: OpenSearch, prefix: str, entries: list[Entry]) -> None:
    """As they are, partition by partition: this is about finding them."""
    lines: list[bytes] = []
    for number, entry in enumerate(entries, 1):
        id_ = document_id(entry["journal"], entry["seq"], entry["hash"])
        index = partition_name(prefix, "month", entry["creation_date"])
        lines += [orjson.dumps({"create": {"_index": index, "_id": id_}}), canonical(entry)]
        if number % 5000 == 0 or number == len(entries):
            answer = client.bulk(body=b"\n".join(lines) + b"\n", params={"filter_path": "errors"}, request_timeout=120)
            assert answer == {"errors": False}
            lines.clear()
    client.indices.refresh(index=f"{prefix}-*")


class BruteForce:
    """Answers filters by looking at every entry."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._values: dict[str, dict[Any, int]] = {}

    @cached_property
    def _all(self) -> int:
        return (1 << len(self.entries)) - 1

    def find(self, asked: Filter, now: datetime, also: OtherNames) -> list[Entry]:
        """Newest first."""
        bits = self._bits(asked, now, also)
        found = [entry for number, entry in enumerate(self.entries) if bits >> number & 1] if bits else []
        return sorted(found, key=lambda entry: (entry["@timestamp"], entry["journal"], entry["seq"]), reverse=True)

    def count(self, asked: Filter, now: datetime, also: OtherNames) -> int:
        return self._bits(asked, now, also).bit_count()

    def _bits(self, asked: Filter, now: datetime, also: OtherNames) -> int:
        match asked:
            case Everything():
                return self._all
            case Not(part):
                return self._all & ~self._bits(part, now, also)
            case All(parts):
                bits = self._all
                for part in parts:
                    bits &= self._bits(part, now, also)
                return bits
            case AnyOf(parts):
                bits = 0
                for part in parts:
                    bits |= self._bits(part, now, also)
                return bits
            case Time(name, text):
                return self._at(name, text, now)
        return self._by_values(asked, also)

    def _by_values(self, asked: Filter, also: OtherNames) -> int:
        match asked:
            case Has("by" | "about" as name) | Match("by" | "about" as name):
                meant = ["principal", "on_behalf_of"] if name == "by" else ["target", "targets.id"]
                return reduce(or_, (self._by_values(replace(asked, field=field), also) for field in meant))
            case Has(field):
                return self._with(field, lambda _value: True)
            case Range(field, low, high):
                return self._with(field, lambda seq: (low is None or seq >= low) and (high is None or seq <= high))
            case Compared(field, text):
                return self._with(field, lambda stored: _compared(str(stored), text))
            case Beginning(text):
                begins = Value(text, "prefix")
                return reduce(or_, (self._by_values(Match(field, (begins,)), also) for field in ID_FIELDS))
            case Words(text):
                fields = (
                    "target_name",
                    "targets.name",
                    "principal_name",
                    "principal_email",
                    "organization_name",
                    "workspace_name",
                )
                bits = reduce(or_, (self._by_values(Match(field, (Value(text),)), also) for field in ID_FIELDS))
                if _is_address(text) or text in also.types:
                    return bits | self._with("details", text.__eq__) | self._with("client_ip", text.__eq__)
                for field in (*fields, "status", "details"):
                    bits |= self._with(field, lambda value: _folded(text) in _folded(str(value)))
                return bits
            case Match(field, values):
                return self._with(field, lambda stored: any(_fits(field, stored, value, also) for value in values))
        raise TypeError(asked)

    def _at(self, name: str, text: str, now: datetime) -> int:
        """The entries are in the order of their times."""
        window = period(text, now=now) if name == "time" else None
        start = window.start if window else moment(text, name, now) if name == "since" else None
        end = window.end if window else moment(text, name, now) if name == "until" else None
        first = bisect_left(self._times, start) if start else 0
        last = bisect_left(self._times, end) if end else len(self._times)
        return ((1 << last) - 1) & ~((1 << first) - 1) if last > first else 0

    @cached_property
    def _times(self) -> list[datetime]:
        return [datetime.fromisoformat(entry["@timestamp"]) for entry in self.entries]

    def _with(self, field: str, wanted: Callable[[Any], bool]) -> int:
        found = 0
        for value, bits in self._of(field).items():
            if wanted(value):
                found |= bits
        return found

    def _of(self, field: str) -> dict[Any, int]:
        """Each distinct value of a field, and which entries have it."""
        if field not in self._values:
            numbers: dict[Any, list[int]] = defaultdict(list)
            for number, entry in enumerate(self.entries):
                for value in set(values_of(entry, field)):
                    numbers[value].append(number)
            self._values[field] = {value: _as_bits(found, len(self.entries)) for value, found in numbers.items()}
        return self._values[field]


def _as_bits(numbers: list[int], length: int) -> int:
    bits = bytearray(length // 8 + 1)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")


def values_of(entry: Entry, field: str) -> Iterator[Any]:
    name, *keys = field.split(".")
    value = entry.get(name)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if name in {"details", "before", "after", "shortened"}:
        if not (keys and isinstance(value, dict)):
            yield from _leaves(value)
    elif name == "targets":
        yield from (one[keys[0]] if keys else "any" for one in entry.get(name, ()))
    elif isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case None:
            return
        case dict():
            for inner in value.values():
                yield from _leaves(inner)
        case list():
            for inner in value:
                yield from _leaves(inner)
        case bool():
            yield "true" if value else "false"
        case _:
            yield str(value)


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(text)
        return True
    return False


def _compared(stored: str, text: str) -> bool:
    """By the numbers or the dates that both are; the generated bounds are decimals or whole days."""
    sign = re.match("[<>]?=?", text)[0]  # type: ignore[index]
    low, dots, high = text[len(sign) :].partition("..")
    if not dots:
        low, high = (low, "") if ">" in sign else ("", low)
    kind: Callable[[str], Any] = _day if re.match(r"\d{4}-\d\d-\d\d", low or high) else Decimal
    try:
        value = kind(stored)
    except (ValueError, ArithmeticError):
        return False
    strict = sign in {"<", ">"}
    above = not low or value > kind(low) or (value == kind(low) and not strict)
    return above and (not high or value < kind(high) or (value == kind(high) and not strict))


def _day(text: str) -> date:
    return datetime.fromisoformat(text).date()


def _folded(text: str) -> str:
    """Of the Latin alphabet's letters alone, as OpenSearch does."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def _fits(field: str, stored: Any, value: Value, also: OtherNames) -> bool:
    if field == "client_ip":
        return ipaddress.ip_address(stored) in ipaddress.ip_network(value.text)
    text = str(stored)
    if field.partition(".")[0] in FREE_FIELDS and value.kind != "literal":
        text, value = _folded(text), replace(value, text=_folded(value.text))
    others = also(value.text + "*" * (value.kind == "prefix")) if field == "type" and value.kind != "literal" else ()
    return text in others or (text.startswith(value.text) if value.kind == "prefix" else text == value.text)
