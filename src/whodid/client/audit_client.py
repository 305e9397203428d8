"""The query client: finds entries in OpenSearch.

Searches page by a point in time and `search_after`, so they see one consistent state however long they take, skip and
double nothing, and need the memory of one page. They touch only the partitions that their times allow.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from heapq import nlargest
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..entry import Entry
from ..errors import OpenSearchUnavailable, QueryError
from ..opensearch.connection import connect
from ..opensearch.retention import RetentionView, retention_in_force
from ..opensearch.template import index_pattern
from ..query import Filter, Window, query_body, window_of
from ..query.filter import ordered
from ..query.names import OtherNames
from ..query.value import can_be_asked, literal
from ..reads import Reads
from ..settings import Settings, load_settings
from . import asking, stats
from .asking import Asking
from .expiry import Expiry
from .follow import follow as following
from .order import NEWEST, OLDEST, cursor_of, is_long, nanoseconds_of, sort_of, sort_values
from .reach import indices_of
from .stats import Stats

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["AuditClient", "Entry", "Page", "Where"]

_LONGEST_ID = 512
"""Bytes of an ID that OpenSearch takes."""

Where = Filter | str | None
"""What entries must be: a filter, a text of the search language (`whodid help search`), or nothing."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in order; `next` is the cursor of the page behind it, `None` at the end.

    `ids` are those under which they are stored, which `get` takes. An entry that was altered may say another of itself.
    """

    entries: list[Entry]
    next: str | None
    ids: list[str]


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, made ready: OpenSearch's query, the partitions to ask, and all of it as text."""

    body: dict[str, Any]
    indices: str
    window: Window
    text: str


class AuditClient:
    """Searches, counts and gets entries. Settings as for `whodid.configure`; `client` replaces the connection.

    `where` and the keywords say which entries: `client.search("type:user_* -status:ok", principal="42", since="-7d")`.
    Keywords are fields, each with one value or a list of which any may match; `prefix*` matches a beginning,
    `client_ip` takes networks. `since` is included, `until` is not: aware datetimes, ISO 8601, periods (`2026-11`,
    `yesterday`), or spans such as `-24h`. Entries past their promised time that are not deleted yet are left out unless
    `expired` is true.

    `within` is what entries must be in any case: of one organization, say. Whatever is asked, no other entry is found,
    counted or shown.

    With the setting `audit_reads`, each question is recorded in the audit log before it is answered, and raises
    `NotRecorded` or `JournalDamaged` where that can't be done.

    Every method raises `QueryError` for a question that can't be asked and `OpenSearchError` for a cluster that can't
    answer. Where nothing was shipped yet, nothing is found.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        client: OpenSearch | None = None,
        within: Filter | None = None,
        **keywords: Any,
    ) -> None:
        self.settings = settings or load_settings(**keywords)
        self._within = within
        self._client = client or connect(self.settings)
        self._asking = Asking(self._client, self.settings.opensearch_timeout)
        self._expiry = Expiry(self.retention)
        self._reads = Reads(self.settings) if self.settings.audit_reads else None

    def __enter__(self) -> AuditClient:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        self.close()

    @property
    def connection(self) -> OpenSearch:
        """The client of OpenSearch behind this one; what is asked by it is not recorded, nor kept `within` anything."""
        return self._client

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def search(
        self,
        where: Where = None,
        /,
        *,
        since: object = None,
        until: object = None,
        sort: str = NEWEST,
        limit: int | None = None,
        expired: bool = False,
        **filters: object,
    ) -> Generator[Entry, None, None]:
        """Entries that match, as they are needed; `limit` at most. `close()` ends the search before its end, and what
        the cluster keeps ready for it.

        `sort` is `newest`, `oldest`, or a field (`-field` from the last value to the first).
        """
        question = self._question(where, filters, since, until, expired=expired)
        _check_limit(limit)
        return _sources(self._asking.hits(question.body, question.indices, sort_of(sort), limit=limit))

    def page(
        self,
        where: Where = None,
        /,
        *,
        after: str | None = None,
        size: int = 50,
        since: object = None,
        until: object = None,
        sort: str = NEWEST,
        expired: bool = False,
        **filters: object,
    ) -> Page:
        """At most `size` entries that match, behind those of the page whose `next` is `after`.

        Each page is a search of its own, and its cursor may be kept for as long as one likes: entries that arrive
        between two pages are met where their time puts them.
        """
        if not 1 <= size <= asking.PAGE:
            raise QueryError(f"size must be 1 to {asking.PAGE}")
        question = self._question(where, filters, since, until, expired=expired)
        asked = f"{question.text}\n{sort}"
        body = {"size": size + 1, "query": question.body, "sort": sort_of(sort), "track_total_hits": False}
        if after is not None:
            body["search_after"] = sort_values(after, asked, sort)
        hits = self._asking.ask(body, question.indices)["hits"]["hits"]
        more = len(hits) > size
        shown = hits[:size]
        following_page = cursor_of(shown[-1]["sort"], asked) if more else None
        return Page([hit["_source"] for hit in shown], following_page, [hit["_id"] for hit in shown])

    def count(
        self,
        where: Where = None,
        /,
        *,
        since: object = None,
        until: object = None,
        expired: bool = False,
        **filters: object,
    ) -> int:
        """How many entries match."""
        question = self._question(where, filters, since, until, expired=expired)
        body = {"size": 0, "query": question.body, "track_total_hits": True}
        return int(self._asking.ask(body, question.indices)["hits"]["total"]["value"])

    def counts_by(
        self,
        field: str,
        where: Where = None,
        /,
        *,
        since: object = None,
        until: object = None,
        limit: int = 1000,
        expired: bool = False,
        **filters: object,
    ) -> dict[str, int]:
        """How many entries match for each value of a field, most first, `limit` values at most."""
        stats.check_countable(field)
        return self._counts_by(field, self._question(where, filters, since, until, expired=expired), limit)

    def _counts_by(self, field: str, question: _Question, limit: int) -> dict[str, int]:
        body = {"size": 0, "query": question.body, "aggs": {"by": stats.most_frequent(field, limit)}}
        found = self._asking.ask(body, question.indices).get("aggregations")
        if not found:
            return {}
        counts, sure = stats.counts_of(found["by"])
        if sure:
            return counts
        every = self._asking.values(question.body, question.indices, field)
        return dict(nlargest(limit, every, key=lambda one: one[1]))

    def stats(
        self,
        where: Where = None,
        /,
        *,
        by: Sequence[str] = ("type", "principal"),
        top: int = 10,
        interval: str = "auto",
        since: object = None,
        until: object = None,
        expired: bool = False,
        **filters: object,
    ) -> Stats:
        """How many entries match, when (a histogram in UTC), and the `top` most frequent values of the fields `by`.

        `interval` is `second`, `minute`, `hour`, `day`, `week`, `month`, or `auto`: about 60 bars.
        """
        question = self._question(where, filters, since, until, expired=expired)
        interval_of = stats.interval_of
        interval_of(interval, question.window)
        body = {"size": 0, "query": question.body, "track_total_hits": True, "aggs": stats.aggregations(by, top)}
        answer = self._asking.ask(body, question.indices)
        total = int(answer["hits"]["total"]["value"])
        found = answer.get("aggregations")
        if not total or not found:
            return Stats(0, None, None, 0, interval_of(interval, question.window), (), {field: {} for field in by})
        window = Window(stats.time_of(found["first"]["value"]), stats.time_of(found["last"]["value"]))
        chosen = interval_of(interval, window)
        body = {"size": 0, "query": question.body, "aggs": {"when": stats.histogram(chosen)}}
        bars = self._asking.ask(body, question.indices)["aggregations"]["when"]["buckets"]
        return stats.stats_of(total, found, chosen, bars)

    def follow(
        self,
        where: Where = None,
        /,
        *,
        last: int = 10,
        pause: Callable[[], None] | None = None,
        on_away: Callable[[OpenSearchUnavailable], None] | None = None,
        **filters: object,
    ) -> Iterator[list[Entry]]:
        """The `last` entries that match, oldest first; then, if there is a `pause` to make, each time the new ones.

        New is what comes after the last seen `seq` of its journal, whatever its time: entries that another host shipped
        late are there, and none twice. Without a `pause` it ends after the first list. With `on_away`, which is told,
        a cluster that can't be asked for a while doesn't end it, and what came meanwhile is in the next list.
        """
        if last < 0:
            raise QueryError("last must not be negative")
        asked = self._asked(where, filters, None, None)
        if self._reads:
            self._reads.searched(str(asked))
        pattern = index_pattern(self.settings)
        return following(self._asking, pattern, asked, self.search, last, pause, self._also, on_away)

    def orphans(
        self,
        where: Where = None,
        /,
        *,
        since: object = None,
        until: object = None,
        limit: int | None = None,
        **filters: object,
    ) -> Iterator[Entry]:
        """Intents without an outcome, newest first: actions that were cut off, or are still under way.

        The outcome is looked for in all partitions. `until="-1h"` leaves out what began within the last hour.
        """
        _check_limit(limit)
        intents = self.search(self._asked(where, filters, since, until) & Filter.of(phase="intent"))
        found = (entry for entries in _batched(intents, asking.PAGE) for entry in self._without_outcome(entries))
        return islice(found, limit)

    def _without_outcome(self, intents: Sequence[Entry]) -> list[Entry]:
        operations = [one for entry in intents if can_be_asked(one := entry.get("operation"))]
        if not operations:  # what something else wrote or altered may have none
            return list(intents)
        outcomes = Filter.of(phase="outcome", operation=[literal(operation) for operation in operations])
        question = self._question(outcomes, {}, None, None, expired=True, noted=False)
        ended = self._counts_by("operation", question, len(operations))
        return [entry for entry in intents if str(entry.get("operation")) not in ended]

    def history(self, target: str, *, sort: str = OLDEST, limit: int | None = None, **more: Any) -> Iterator[Entry]:
        """What happened to a target, oldest first. `more` as for `search`."""
        return self.search(**{**more, "target": [literal(target)]}, sort=sort, limit=limit)

    def trail(self, principal: str, *, sort: str = OLDEST, limit: int | None = None, **more: Any) -> Iterator[Entry]:
        """What a principal did, or had done in their name, oldest first. `more` as for `search`."""
        theirs = Filter.of(principal=[literal(principal)]) | Filter.of(on_behalf_of=[literal(principal)])
        return self.search(theirs, **more, sort=sort, limit=limit)

    def correlated(self, entry: Mapping[str, Any], *, sort: str = OLDEST, limit: int | None = None) -> Iterator[Entry]:
        """The other entries of the same cascade, operation, request or trace, oldest first."""
        belongs = [
            Filter.of(**{name: [literal(value)]})
            for name in ("correlation_id", "operation", "request_id", "trace_id")
            if can_be_asked(value := entry.get(name))
        ]
        if not belongs:
            return iter(())
        together = belongs[0]
        for one in belongs[1:]:
            together |= one
        if can_be_asked(hash_ := entry.get("hash")):
            together &= ~Filter.of(hash=[literal(hash_)])
        return self.search(together, sort=sort, limit=limit)

    def around(self, entry: Mapping[str, Any]) -> tuple[Entry | None, Entry | None]:
        """The entries of the same target right before and right after one; `None` where there is none."""
        target, journal, seq = entry.get("target"), entry.get("journal"), entry.get("seq")
        at = nanoseconds_of(str(entry.get("@timestamp")))
        if not (can_be_asked(target) and can_be_asked(journal) and is_long(seq)) or at is None:
            return None, None  # something else wrote it, or altered it
        same = Filter.of(target=[literal(target)])
        place = [at, journal, seq]
        before, after = (
            next((hit["_source"] for hit in self.hits(same, sort_of(order), limit=1, after=place)), None)
            for order in (NEWEST, OLDEST)
        )
        return before, after

    def get(self, entry_id: str, *, expired: bool = False) -> Entry | None:
        """The entry of that ID (a receipt's `entry_id`), or `None`."""
        hit = self.hit(entry_id, expired=expired)
        return hit["_source"] if hit else None

    def hit(self, entry_id: str, *, expired: bool = False) -> dict[str, Any] | None:
        """The search hit of that entry: with `_index`, its partition."""
        if not can_be_asked(entry_id) or len(entry_id.encode()) > _LONGEST_ID:
            return None
        if self._reads:
            self._reads.viewed(entry_id)
        question = self._question(None, {}, None, None, expired=expired, noted=False)
        query = {"bool": {"filter": [{"ids": {"values": [entry_id]}}, question.body]}}
        answer = self._asking.ask({"size": 1, "query": query}, index_pattern(self.settings))
        return next(iter(answer["hits"]["hits"]), None)

    def note_export(self, where: Where = None, /, *, form: str, **more: Any) -> None:
        """Records that what is found is about to be taken away as `form` (`csv`), where `audit_reads` is on.

        `more` as for `search`. Raises `NotRecorded`.
        """
        if self._reads:
            since, until = more.pop("since", None), more.pop("until", None)
            self._reads.exported(str(self._asked(where, more, since, until)), form)

    def hidden(self, where: Where = None, /, *, since: object = None, until: object = None, **filters: object) -> int:
        """How many entries match that searches leave out, as their time is over."""
        if self._expiry.kept() is None:
            return 0
        shown, all_of_them = (
            self.count(where, since=since, until=until, expired=expired, **filters) for expired in (False, True)
        )
        return max(all_of_them - shown, 0)

    def retention(self) -> RetentionView:
        """The retention in force, as far as this user may see it."""
        return retention_in_force(self._client, self.settings)

    def known_retention(self) -> RetentionView | None:
        """The same as searches go by: at most a minute old, and `None` where this user may not see it."""
        return self._expiry.view()

    def hits(
        self,
        asked: Filter,
        sort: list[dict[str, Any]],
        *,
        limit: int | None = None,
        after: list[Any] | None = None,
        expired: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Search hits (`_id`, `_index`, `_source`, `sort`) in order, from behind `after` on; not recorded as a read."""
        question = self._question(asked, {}, None, None, expired=expired, noted=False)
        return self._asking.hits(question.body, question.indices, sort, limit=limit, after=after)

    def query_of(self, where: Where = None, /, *, since: object = None, until: object = None) -> dict[str, Any]:
        """The question as OpenSearch takes it, expired entries included; it is not recorded as a read."""
        return self._question(where, {}, since, until, expired=True, noted=False).body

    def _question(
        self,
        where: Where,
        filters: Mapping[str, object],
        since: object,
        until: object,
        *,
        expired: bool,
        noted: bool = True,
    ) -> _Question:
        asked = self._asked(where, filters, since, until)
        if self._reads and noted:
            self._reads.searched(str(asked))
        now = datetime.now(UTC)
        window = window_of(asked, now)
        body = self._unexpired(query_body(asked, now, self._also), expired=expired)
        return _Question(body, indices_of(self.settings.index_prefix, window), window, f"{asked}\n{expired}")

    def _asked(self, where: Where, filters: Mapping[str, object], since: object, until: object) -> Filter:
        asked = Filter.of(since, until, **filters)
        if isinstance(where, str | Filter):
            asked = (Filter.parse(where) if isinstance(where, str) else where) & asked
        elif where is not None:
            raise QueryError(f"where must be a text of the search language or a Filter, not {type(where).__name__}")
        if isinstance(where, str) or since is not None or until is not None:
            ordered(asked)
        return asked if self._within is None else asked & self._within

    def _unexpired(self, body: dict[str, Any], *, expired: bool) -> dict[str, Any]:
        kept = None if expired else self._expiry.kept()
        return body if kept is None else {"bool": {"filter": [body, kept]}}

    def _also(self, name: str) -> tuple[str, ...]:
        """Other names of an event type; the catalog is read where a question names one."""
        return self._names(name)

    @cached_property
    def _names(self) -> OtherNames:
        return OtherNames.of(self.settings)


def _sources(hits: Generator[dict[str, Any], None, None]) -> Generator[Entry, None, None]:
    """The entries of hits; closed, it closes the point in time that they are read over."""
    with closing(hits):
        for hit in hits:
            yield hit["_source"]


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise QueryError("limit must be at least 1")


def _batched(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """The entries in lists of `size` (`itertools.batched` comes with Python 3.12)."""
    rest = iter(entries)
    while batch := list(islice(rest, size)):
        yield batch
