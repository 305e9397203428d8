"""The client that finds entries in OpenSearch.

Searches page with a point in time and `search_after`: they see one consistent state however long they take, skip and
repeat nothing, and need the memory of one page. They touch only partitions that can hold entries of the given times.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from heapq import nlargest
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..cluster.connection import connect
from ..cluster.template import index_pattern
from ..entry import Entry
from ..errors import OpenSearchUnavailable, QueryError
from ..recording.own import Reads
from ..retention.schedule import RetentionView, retention_in_force
from ..settings import Settings, load_settings
from . import requests, stats
from .body import OtherNames, query_body, window_of
from .filter import Filter, filter_of, match, near_misses, ordered, without_times
from .follow import follow as following
from .partitions import Expiry, indices_of
from .requests import NEWEST, OLDEST, Searcher, cursor_of, is_long, nanoseconds_of, sort_of, sort_values
from .stats import Stats
from .value import Window, can_be_asked, literal

if TYPE_CHECKING:
    from typing import Unpack

    from opensearchpy import OpenSearch

    from ..typing import FilterFields, SearchKeywords, SettingsKeywords

__all__ = ["AuditClient", "Entry", "Nothing", "Page", "Where"]

_LONGEST_ID = 512
"""Maximum length of an ID in OpenSearch, in bytes."""

Where = Filter | str | None
"""Which entries: a filter, a query in the search language (`whodid help search`), or `None` for all."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of entries, returned by `AuditClient.page`."""

    entries: list[Entry]
    """The entries as they were recorded."""
    next: str | None
    """The cursor of the next page; `None` on the last page."""
    ids: list[str]
    """The IDs under which the entries are stored, for `get`. An altered entry may state another ID."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A question as OpenSearch takes it: the query, the partitions and the time window; `text` identifies it."""

    body: dict[str, Any]
    indices: str
    window: Window
    text: str


class AuditClient:
    """Searches, counts and gets the entries in OpenSearch. Before anything is shipped, nothing is found.

    `where` and the keywords of a method select entries. Keywords are fields, each with one value or several of which
    any may match; `prefix*` matches a prefix, and `client_ip` takes networks. `by` is what a principal did, or others
    did on their behalf, and `about` what happened to a target. `since` is inclusive and `until` exclusive: aware
    datetimes, ISO 8601, periods (`2026-11`, `yesterday`), or spans such as `-24h`. Entries whose retention is over and
    that are not deleted yet are left out unless `expired` is true.

    With the setting `audit_reads`, each query is recorded in the audit log before it is answered.

    Args:
        settings: The settings; by default, they come from keywords, environment variables, file and defaults.
        client: The OpenSearch client to use; by default, one is made from the settings.
        within: A filter that is added to every query, such as for one organization. No other entry is found or counted.
        **keywords: Settings by name, as for `whodid.configure`.

    Raises:
        SettingsError: A setting is unknown, malformed or contradicts another.
        QueryError: Raised by every method for an invalid query.
        OpenSearchError: Raised by every method if the cluster can't answer.
        NotRecorded: Raised by every method if `audit_reads` is on and the query can't be recorded;
            `JournalDamaged`, too.

    Example:
        >>> with whodid.AuditClient(opensearch_hosts=["https://search.example:9200"]) as client:
        ...     for entry in client.search("type:user_* -status:ok", by="42", since="-7d"):
        ...         print(entry["type"], entry["target"])
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        client: OpenSearch | None = None,
        within: Filter | None = None,
        **keywords: Unpack[SettingsKeywords],
    ) -> None:
        self.settings = settings or load_settings(**keywords)
        self._within = within
        self._client = client or connect(self.settings)
        self._searcher = Searcher(self._client, self.settings.opensearch_timeout)
        self._expiry = Expiry(self.retention)
        self._reads = Reads(self.settings) if self.settings.audit_reads else None

    def __enter__(self) -> AuditClient:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        self.close()

    @property
    def connection(self) -> OpenSearch:
        """The OpenSearch client behind this one; its requests are not recorded, and not limited by `within`."""
        return self._client

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def search(
        self,
        where: Where = None,
        /,
        *,
        sort: str = NEWEST,
        limit: int | None = None,
        **keywords: Unpack[SearchKeywords],
    ) -> Generator[Entry, None, None]:
        """Finds entries, and fetches them as they are needed.

        Args:
            where: A query in the search language, or a `Filter`.
            sort: `newest`, `oldest`, or a field (`-field` from the last value to the first).
            limit: Maximum number of entries.
            **keywords: Fields, `since`, `until` and `expired`; see `whodid.typing.SearchKeywords`.

        Returns:
            A generator of entries. Its `close()` ends the search, and frees its point in time in the cluster.

        Example:
            >>> for entry in client.search(principal="42", client_ip="10.0.0.0/8", since="2026-11"):
            ...     print(entry["type"])
        """
        question = self._question(where, keywords)
        _check_limit(limit)
        return _sources(self._searcher.hits(question.body, question.indices, sort_of(sort), limit=limit))

    def page(
        self,
        where: Where = None,
        /,
        *,
        cursor: str | None = None,
        size: int = 50,
        sort: str = NEWEST,
        **keywords: Unpack[SearchKeywords],
    ) -> Page:
        """Finds one page of entries.

        Each page is an independent search, and a cursor never expires. Entries that arrive between two pages appear in
        the order of their times.

        Args:
            where: A query in the search language, or a `Filter`.
            cursor: The `next` of the previous page, for the same query and `sort`; `None` for the first page.
            size: Maximum number of entries.
            sort: As for `search`.
            **keywords: Fields, `since`, `until` and `expired`; see `whodid.typing.SearchKeywords`.

        Returns:
            The page; its `next` is the cursor of the next one.

        Example:
            >>> page = client.page(type="user_*", size=20)
            >>> following = client.page(type="user_*", size=20, cursor=page.next)
        """
        if not 1 <= size <= requests.PAGE:
            raise QueryError(f"size must be 1 to {requests.PAGE}")
        question = self._question(where, keywords)
        asked = f"{question.text}\n{sort}"
        body = {"size": size + 1, "query": question.body, "sort": sort_of(sort), "track_total_hits": False}
        if cursor is not None:
            body["search_after"] = sort_values(cursor, asked, sort)
        hits = self._searcher.search(body, question.indices)["hits"]["hits"]
        more = len(hits) > size
        shown = hits[:size]
        following_page = cursor_of(shown[-1]["sort"], asked) if more else None
        return Page([hit["_source"] for hit in shown], following_page, [hit["_id"] for hit in shown])

    def count(self, where: Where = None, /, **keywords: Unpack[SearchKeywords]) -> int:
        """Counts the entries that match.

        Args:
            where: A query in the search language, or a `Filter`.
            **keywords: Fields, `since`, `until` and `expired`; see `whodid.typing.SearchKeywords`.

        Returns:
            The exact number.

        Example:
            >>> client.count(type="user_sign_in", outcome="failure", since="-24h")
        """
        return self._counted(self._question(where, keywords))

    def _counted(self, question: _Question) -> int:
        body = {"size": 0, "query": question.body, "track_total_hits": True}
        return int(self._searcher.search(body, question.indices)["hits"]["total"]["value"])

    def counts_by(
        self, field: str, where: Where = None, /, *, limit: int = 1000, **keywords: Unpack[SearchKeywords]
    ) -> dict[str, int]:
        """Counts the entries that match for each value of a field, exactly.

        Args:
            field: A field with one value, such as `type`, `target` or `principal`.
            where: A query in the search language, or a `Filter`.
            limit: Maximum number of values.
            **keywords: Fields, `since`, `until` and `expired`; see `whodid.typing.SearchKeywords`.

        Returns:
            Value → number of entries, most frequent first.

        Example:
            >>> client.counts_by("principal", type="credentials_*", since="this-month")
        """
        stats.check_countable(field)
        return self._counts_by(field, self._question(where, keywords), limit)

    def _counts_by(self, field: str, question: _Question, limit: int) -> dict[str, int]:
        body = {"size": 0, "query": question.body, "aggs": {"by": stats.most_frequent(field, limit)}}
        found = self._searcher.search(body, question.indices).get("aggregations")
        if not found:
            return {}
        counts, sure = stats.counts_of(found["by"])
        return counts if sure else self._every_value(field, question, limit)

    def _every_value(self, field: str, question: _Question, limit: int) -> dict[str, int]:
        every = self._searcher.values(question.body, question.indices, field)
        return dict(nlargest(limit, every, key=lambda one: one[1]))

    def stats(
        self,
        where: Where = None,
        /,
        *,
        group_by: Sequence[str] = ("type", "principal"),
        top: int = 10,
        exact: bool = False,
        interval: str = "auto",
        **keywords: Unpack[SearchKeywords],
    ) -> Stats:
        """Counts the entries that match: in all, over time (a histogram in UTC), and by the values of fields.

        Args:
            where: A query in the search language, or a `Filter`.
            group_by: The fields whose most frequent values are counted.
            top: How many values of each.
            exact: Count every value of a field that has too many for exact counts, which takes longer.
            interval: The length of a bar: `second`, `minute`, `hour`, `day`, `week`, `month`, or `auto` for about 60
                bars.
            **keywords: Fields, `since`, `until` and `expired`; see `whodid.typing.SearchKeywords`.

        Returns:
            The numbers; see `Stats`.

        Example:
            >>> client.stats(since="-30d", group_by=["type"]).top["type"]
        """
        question = self._question(where, keywords)
        stats.check_interval(interval, question.window)
        body = {"size": 0, "query": question.body, "track_total_hits": True, "aggs": stats.aggregations(group_by, top)}
        answer = self._searcher.search(body, question.indices)
        total = int(answer["hits"]["total"]["value"])
        found = answer.get("aggregations")
        if not total or not found:
            chosen = stats.interval_of(interval, question.window)
            return Stats(0, None, None, 0, chosen, (), {field: {} for field in group_by})
        window = Window(stats.time_of(found["first"]["value"]), stats.time_of(found["last"]["value"]))
        chosen = stats.interval_of(interval, window)
        body = {"size": 0, "query": question.body, "aggs": {"when": stats.histogram(chosen)}}
        bars = self._searcher.search(body, question.indices)["aggregations"]["when"]["buckets"]
        counted = stats.stats_of(total, found, chosen, bars)
        if not exact:
            return counted
        slow = {field: self._every_value(field, question, top) for field in counted.approximate}
        return replace(counted, top={**counted.top, **slow}, approximate=())

    def follow(
        self,
        where: Where = None,
        /,
        *,
        last: int = 10,
        pause: Callable[[], None] | None = None,
        on_away: Callable[[OpenSearchUnavailable], None] | None = None,
        **keywords: Unpack[FilterFields],
    ) -> Iterator[list[Entry]]:
        """Finds the last entries, and then new ones as they arrive.

        An entry is new if it comes after the last seen `seq` of its journal, whatever its time. Entries that a host
        shipped late are found, and none twice.

        Args:
            where: A query in the search language, or a `Filter`.
            last: How many entries to start with.
            pause: Called before each further request, to wait; without it, only the first list is returned.
            on_away: Called with the error if the cluster is unavailable; entries that arrive meanwhile are in the next
                list. Without it, the error is raised.
            **keywords: Fields, `since` and `until`; see `whodid.typing.FilterFields`.

        Returns:
            An iterator of lists of entries, oldest first.

        Example:
            >>> for entries in client.follow(type="user_*", pause=lambda: time.sleep(1)):
            ...     print(len(entries))
        """
        if last < 0:
            raise QueryError("last must not be negative")
        asked = self._asked(where, keywords)
        if self._reads:
            self._reads.searched(str(asked))
        pattern = index_pattern(self.settings)
        return following(self._searcher, pattern, asked, self.search, last, pause, self._also, on_away)

    def orphans(
        self, where: Where = None, /, *, limit: int | None = None, **keywords: Unpack[FilterFields]
    ) -> Iterator[Entry]:
        """Finds intents without an outcome: actions that were interrupted, or are still running.

        Outcomes are searched for in all partitions.

        Args:
            where: A query in the search language, or a `Filter`.
            limit: Maximum number of entries.
            **keywords: Fields, `since` and `until`; see `whodid.typing.FilterFields`.

        Returns:
            An iterator of the intents, newest first.

        Example:
            >>> for intent in client.orphans(until="-1h"):
            ...     print(intent["type"], intent["target"])
        """
        _check_limit(limit)
        intents = self.search(self._asked(where, keywords) & Filter.of(phase="intent"))
        found = (entry for entries in _batched(intents, requests.PAGE) for entry in self._without_outcome(entries))
        return islice(found, limit)

    def _without_outcome(self, intents: Sequence[Entry]) -> list[Entry]:
        operations = [one for entry in intents if can_be_asked(one := entry.get("operation"))]
        if not operations:  # foreign or altered entries may have none
            return list(intents)
        outcomes = Filter.of(phase="outcome") & match("operation", [literal(operation) for operation in operations])
        question = self._question(outcomes, {"expired": True}, recorded=False)
        ended = self._counts_by("operation", question, len(operations))
        return [entry for entry in intents if str(entry.get("operation")) not in ended]

    def correlated(self, entry: Mapping[str, Any], *, sort: str = OLDEST, limit: int | None = None) -> Iterator[Entry]:
        """Finds the other entries of the same cascade, operation, request or trace.

        Args:
            entry: The entry whose related entries are searched for.
            sort: As for `search`, but oldest first by default.
            limit: Maximum number of entries.

        Returns:
            An iterator of entries.

        Example:
            >>> related = list(client.correlated(entry))
        """
        belongs = [
            match(name, literal(value))
            for name in ("correlation_id", "operation", "request_id", "trace_id")
            if can_be_asked(value := entry.get(name))
        ]
        if not belongs:
            return iter(())
        together = belongs[0]
        for one in belongs[1:]:
            together |= one
        if can_be_asked(hash_ := entry.get("hash")):
            together &= ~match("hash", literal(hash_))
        return self.search(together, sort=sort, limit=limit)

    def around(self, entry: Mapping[str, Any]) -> tuple[Entry | None, Entry | None]:
        """Finds the previous and the next entry of the same target.

        Args:
            entry: The entry in the middle.

        Returns:
            The previous and the next entry; `None` for one that does not exist.

        Example:
            >>> before, after = client.around(entry)
        """
        target, journal, seq = entry.get("target"), entry.get("journal"), entry.get("seq")
        at = nanoseconds_of(str(entry.get("@timestamp")))
        if not (can_be_asked(target) and can_be_asked(journal) and is_long(seq)) or at is None:
            return None, None  # foreign or altered
        same = match("target", literal(target))
        place = [at, journal, seq]
        before, after = (
            next((hit["_source"] for hit in self.hits(same, sort_of(order), limit=1, after=place)), None)
            for order in (NEWEST, OLDEST)
        )
        return before, after

    def get(self, entry_id: str, *, expired: bool = False) -> Entry | None:
        """Gets one entry.

        Args:
            entry_id: The ID of the entry, such as the `entry_id` of a receipt.
            expired: Return it even if its retention is over.

        Returns:
            The entry, or `None`.

        Example:
            >>> client.get(receipt.entry_id)
        """
        hit = self.hit(entry_id, expired=expired)
        return hit["_source"] if hit else None

    def hit(self, entry_id: str, *, expired: bool = False) -> dict[str, Any] | None:
        """Gets the search hit of one entry: with `_index`, its partition.

        Args:
            entry_id: As for `get`.
            expired: As for `get`.

        Returns:
            The hit, or `None`.

        Example:
            >>> hit = client.hit(receipt.entry_id)
        """
        if not can_be_asked(entry_id) or len(entry_id.encode()) > _LONGEST_ID:
            return None
        if self._reads:
            self._reads.viewed(entry_id)
        question = self._question(None, {"expired": expired}, recorded=False)
        query = {"bool": {"filter": [{"ids": {"values": [entry_id]}}, question.body]}}
        answer = self._searcher.search({"size": 1, "query": query}, index_pattern(self.settings))
        return next(iter(answer["hits"]["hits"]), None)

    def note_export(self, where: Where = None, /, *, form: str, **keywords: Unpack[FilterFields]) -> None:
        """Records that matching entries are about to be exported, if `audit_reads` is on.

        Args:
            where: A query in the search language, or a `Filter`.
            form: The format of the export, such as `csv`.
            **keywords: Fields, `since` and `until`; see `whodid.typing.FilterFields`.

        Raises:
            NotRecorded: The export could not be recorded; `JournalDamaged`, too.

        Example:
            >>> client.note_export(form="csv", since="2026-11")
        """
        if self._reads:
            self._reads.exported(str(self._asked(where, keywords)), form)

    def why_nothing(self, where: Where = None, /, **keywords: Unpack[FilterFields]) -> Nothing:
        """Says what was asked by a query that finds nothing, and what would find something.

        Args:
            where: A query in the search language, or a `Filter`.
            **keywords: Fields, `since` and `until`; see `whodid.typing.FilterFields`.

        Returns:
            The query, the number of entries that match at another time, and terms that were perhaps meant.

        Example:
            >>> str(client.why_nothing("type:credential_updated"))
            'no entry matches type:credential_updated; did you mean type:credentials_updated?'
        """
        asked = self._asked(where, keywords)
        always = without_times(asked)
        meant = tuple(islice(dict.fromkeys(near_misses(asked, self._names.types)), 3))
        then = 0 if always == asked else self._counted(self._question(always, recorded=False))
        return Nothing(str(asked), str(always), then, meant)

    def hidden(self, where: Where = None, /, **keywords: Unpack[FilterFields]) -> int:
        """Counts matching entries that searches leave out because their retention is over.

        Args:
            where: A query in the search language, or a `Filter`.
            **keywords: Fields, `since` and `until`; see `whodid.typing.FilterFields`.

        Returns:
            The number.

        Example:
            >>> client.hidden(since="2025")
        """
        if self._expiry.kept() is None:
            return 0
        shown, all_of_them = (self.count(where, expired=expired, **keywords) for expired in (False, True))
        return max(all_of_them - shown, 0)

    def retention(self) -> RetentionView:
        """Reads the retention in force, as far as this user may read it.

        Returns:
            The retention of entries and of each partition, and the holds.

        Example:
            >>> client.retention()
        """
        return retention_in_force(self._client, self.settings)

    def known_retention(self) -> RetentionView | None:
        """The retention that searches apply, at most a minute old.

        Returns:
            The retention; `None` if this user may not read it.

        Example:
            >>> client.known_retention()
        """
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
        """Finds search hits: `_id`, `_index`, `_source` and `sort`. It is not recorded as a read.

        Args:
            asked: Which entries.
            sort: The order, as OpenSearch takes it.
            limit: Maximum number of hits.
            after: The `sort` of the hit before the first.
            expired: Include entries whose retention is over.

        Returns:
            An iterator of hits, in order.

        Example:
            >>> hits = client.hits(Filter.of(type="user_*"), [{"@timestamp": "asc"}])
        """
        question = self._question(asked, {"expired": expired}, recorded=False)
        return self._searcher.hits(question.body, question.indices, sort, limit=limit, after=after)

    def query_of(self, where: Where = None, /, **keywords: Unpack[FilterFields]) -> dict[str, Any]:
        """Converts a query to OpenSearch's query DSL, expired entries included. It is not recorded as a read.

        Args:
            where: A query in the search language, or a `Filter`.
            **keywords: Fields, `since` and `until`; see `whodid.typing.FilterFields`.

        Returns:
            The query DSL.

        Example:
            >>> client.query_of("type:user_* -status:ok")
        """
        return self._question(where, {**keywords, "expired": True}, recorded=False).body

    def _question(
        self, where: Where = None, keywords: Mapping[str, object] = {}, *, recorded: bool = True
    ) -> _Question:
        fields = dict(keywords)
        expired = fields.pop("expired", False)
        asked = self._asked(where, fields)
        if self._reads and recorded:
            self._reads.searched(str(asked))
        now = datetime.now(UTC)
        window = window_of(asked, now)
        body = query_body(asked, now, self._also)
        if not expired and (kept := self._expiry.kept()):
            body = {"bool": {"filter": [body, kept]}}
        return _Question(body, indices_of(self.settings.index_prefix, window), window, f"{asked}\n{expired}")

    def _asked(self, where: Where, fields: Mapping[str, object]) -> Filter:
        asked = filter_of(fields)
        if isinstance(where, str | Filter):
            asked = (Filter.parse(where) if isinstance(where, str) else where) & asked
        elif where is not None:
            raise QueryError(f"where must be a query in the search language or a Filter, not {type(where).__name__}")
        if isinstance(where, str) or fields.keys() & {"since", "until"}:
            ordered(asked)
        return asked if self._within is None else asked & self._within

    def _also(self) -> OtherNames:
        return self._names

    @cached_property
    def _names(self) -> OtherNames:
        """The catalog is read once a query needs it."""
        return OtherNames.of(self.settings)


@dataclass(frozen=True, slots=True)
class Nothing:
    """An answer of nothing, explained: what was asked, and what matches without its times; terms perhaps meant."""

    asked: str
    without_times: str
    at_other_times: int
    meant: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = "no entry matches" + (f" {self.asked}" if self.asked != "*" else "")
        if self.at_other_times:
            entries = "entry matches" if self.at_other_times == 1 else "entries match"
            said += f"; {self.at_other_times:,} {entries} {self.without_times} at other times"
        return said + (f"; did you mean {' or '.join(self.meant)}?" if self.meant else "")


def _sources(hits: Generator[dict[str, Any], None, None]) -> Generator[Entry, None, None]:
    """The entries of hits; closing it closes the point in time, too."""
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
