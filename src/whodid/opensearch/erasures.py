"""The records of erasures: a page in the ledger says which entries, and an entry of the log vouches for the page.

Who only has rights on the cluster could write such a page, but not the entry: its hash of the page is in the chain.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..entry import Stamp, ranges
from ..integrity import canonical
from ..settings import Settings
from .ledger import Ledger

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["ERASED", "Erasure", "erased_places", "erasures", "write_erasure"]

ERASED = "audit_log_person_erased"


@dataclass(frozen=True, slots=True)
class Erasure:
    """`places` are ranges of `seq` by journal: `{"8f14e45fceea167a": "3-5,9"}`."""

    id: str
    principal: str
    reason: str
    by: str
    time: str
    fields: tuple[str, ...]
    places: Mapping[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """As it is kept."""
        return {**asdict(self), "fields": list(self.fields), "places": dict(self.places)}

    @property
    def digest(self) -> str:
        """SHA-256 of its RFC 8785 bytes, which the entry that records it names."""
        return sha256(canonical(self.body)).hexdigest()


def write_erasure(
    client: OpenSearch,
    settings: Settings,
    principal: str,
    reason: str,
    by: str,
    fields: Iterable[str],
    places: Mapping[str, str],
) -> Erasure:
    """Writes the page. Raises `OpenSearchError`."""
    time = Stamp.now().creation_date
    one = Erasure(f"e-{secrets.token_hex(6)}", principal, reason, by, time, tuple(sorted(fields)), places)
    Ledger(client, settings).write(f"erasure-{one.id}", "erasure", one.body, known=None)
    return one


def erasures(client: OpenSearch, settings: Settings) -> list[Erasure]:
    """All pages, by time; what somebody else wrote there is left out. Raises `OpenSearchError`."""
    found = []
    for page in Ledger(client, settings).pages("erasure"):
        try:
            one = Erasure(**{**page.body, "fields": tuple(page.body["fields"])})
            one.digest  # noqa: B018 (raises where it is of other values)
        except (TypeError, KeyError, ValueError):
            continue
        found.append(one)
    return sorted(found, key=lambda one: str(one.time))


def erased_places(found: Iterable[Erasure], vouched: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """Ranges of `seq` by journal, of those pages whose digest is among `vouched`."""
    known, result = set(vouched), defaultdict[str, list[tuple[int, int]]](list)
    for one in found:
        if one.digest not in known:
            continue
        for journal, text in one.places.items():
            result[journal] += ranges(text)
    return dict(result)
