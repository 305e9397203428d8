"""The service: a shipper connected to a real cluster, as `whodid ship` and `configure(ship=True)` run it.

The closing record: the last entry of a journal whose shipper was stopped when all of it was shipped.

A journal that ends with one may be silent without alarm. Nothing is closed for good: when somebody records again, the
chain goes on behind it.

The enforcer: once an hour, whodid's part in retention, if this user may: holds, records, deletion without ISM.

It never stops shipping: what goes wrong is told, once as long as it stays the same, and tried again an hour later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from ..cluster.bulk import Cause, Document, Verdict, send_bulk
from ..cluster.clock import ClusterClock, deletion_time
from ..cluster.connection import connect, translated
from ..cluster.ledger import CheckpointIndex
from ..cluster.template import foreseen, inspected, losses, template_name
from ..errors import (
    JournalDamaged,
    NotAuthenticated,
    NotAuthorized,
    NotRecorded,
    NotTrusted,
    OpenSearchError,
    OpenSearchUnavailable,
    SettingsError,
    WhodidError,
    WitnessError,
)
from ..journal import Acknowledged, JournalDirectory, JournalReader, Line
from ..process import warn
from ..proof.checkpoint import SignedCheckpoint
from ..proof.witness import Witness, witnesses_of
from ..recording.own import record_own
from ..retention.destruction import DESTROYED, Destruction
from ..retention.enforcement import destroy, expired, record_ahead
from ..retention.holds import apply_holds
from ..retention.ism import Ism
from ..settings import Settings, retention_days
from .delivery import Observe
from .guard import Guard
from .loop import Shipper
from .partitioning import Dates
from .witnesses import Courier, Destination

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["CLOSED", "Cluster", "Enforcer", "close_journal", "connected_shipper", "dates_of"]

CLOSED = "audit_log_journal_closed"


def close_journal(settings: Settings) -> bool:
    """Records that the current journal is shipped up to here; whether there was anything to close."""
    directory = JournalDirectory(settings.journal_dir)
    journal = directory.current()
    if journal is None:
        return False
    shipped = Acknowledged.read(directory.journal(journal))
    if shipped.seq == 0 or _is_closed(directory, journal, shipped):
        return False
    try:
        record_own(
            settings,
            CLOSED,
            principal="system",
            target=journal,
            details={"shipped": shipped.seq, "hash": shipped.hash},
        )
    except (NotRecorded, JournalDamaged):
        return False  # a full or failing disk: the journal is as it was, and nothing is claimed
    return True


def _is_closed(directory: JournalDirectory, journal: str, shipped: Acknowledged) -> bool:
    """Whether the last entry is a closing record, so that another would say nothing new."""
    lines = JournalReader(directory.journal(journal), shipped.seq - 1).read()
    return any(
        isinstance(line, Line) and line.seq == shipped.seq and line.entry.get("type") == CLOSED for line in lines
    )


_HOUR = 3600.0
_SOON = 60.0


class Enforcer:
    """Called whenever there is time; `client` gives the one in use, `tell` gets what was deleted or couldn't be."""

    def __init__(
        self,
        client: Callable[[], OpenSearch],
        settings: Settings,
        tell: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[OpenSearch], datetime] = deletion_time,
    ) -> None:
        self._client = client
        self._settings = settings
        self._tell = tell
        self._monotonic = monotonic
        self._now = now
        self._next = monotonic()
        self._told = ""

    def __call__(self) -> None:
        if retention_days(self._settings.retention) is None or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + _HOUR
        try:
            self._enforce()
            self._told = ""
        except _Left as error:
            self._once(f"holds and records are left to `whodid retention enforce`: {error}")
        except OpenSearchUnavailable:
            self._next = self._monotonic() + _SOON  # the shipper says so already
        except WhodidError as error:
            self._once(f"retention is not enforced: {error}")

    def _once(self, text: str) -> None:
        if text != self._told:
            self._tell(text)
        self._told = text

    def _enforce(self) -> None:
        client = self._client()
        now = self._now(client)
        if Ism(client).available():
            try:
                self._hold(client)
                record_ahead(client, self._settings, now)
            except NotAuthorized as error:
                raise _Left(str(error)) from error
            return
        self._hold(client)
        problems = []
        for partition in expired(client, self._settings, now):
            try:
                record = destroy(client, self._settings, partition)
            except OpenSearchUnavailable:
                raise
            except OpenSearchError as error:  # which keeps the others from nothing
                problems.append(str(error))
                continue
            if record:
                self._record(record)
        if problems:
            raise OpenSearchError("; ".join(problems))

    def _record(self, record: Destruction) -> None:
        record_own(self._settings, DESTROYED, principal="system", target=record.partition, details=record.brief())
        self._tell(f"retention: {record.partition} deleted with {record.account.entries:,} entries, past their time")

    def _hold(self, client: OpenSearch) -> None:
        for name, why in apply_holds(client, self._settings).problems.items():
            self._tell(f"retention: {name} should be held, but {why}")


class _Left(OpenSearchError):
    """ISM deletes; the rest is not this user's."""


class Cluster:
    """The cluster a shipper sends to: a partition gets nothing before it was inspected, and the clock asked.

    It is inspected again every few minutes, and before an entry that it refuses becomes a dead letter.

    When it does not accept who we are, or we don't trust who it is, password and certificates are read again from their
    files: they can be corrected without a restart.
    """

    def __init__(self, settings: Settings) -> None:
        self.client = connect(settings)
        self._settings = settings
        self.clock = ClusterClock(lambda: self.client)
        self._inspected: dict[str, float] = {}

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        """A verdict for each document; without the template all wait, as a guessed mapping can't be mended."""
        verdicts = self._send(documents)
        if verdicts[0].cause in {"no_rights", "no_trust"}:
            try:
                self.client = connect(self._settings)
            except SettingsError as error:  # a file that is just being replaced
                return [Verdict("wait", str(error), verdicts[0].cause)] * len(documents)
        return verdicts

    def _send(self, documents: Sequence[Document]) -> list[Verdict]:
        waits = {name: why for name in {document.partition for document in documents} if (why := self._unfit(name))}
        if not waits:
            return self._bulk(documents)
        fit = [document for document in documents if document.partition not in waits]
        verdicts = iter(self._bulk(fit) if fit else ())
        return [waits.get(document.partition) or next(verdicts) for document in documents]

    def _bulk(self, documents: Sequence[Document]) -> list[Verdict]:
        verdicts = send_bulk(self.client, documents, self._settings.opensearch_timeout)
        judged = zip(documents, verdicts, strict=True)
        unfit: dict[str, Verdict | None] = {}
        for name in {document.partition for document, verdict in judged if verdict.kind == "refused"}:
            self._inspected.pop(name, None)  # its mapping may be another by now
            unfit[name] = self._unfit(name)
        if not unfit:
            return verdicts
        return [
            (verdict.kind == "refused" and unfit[document.partition]) or verdict
            for document, verdict in zip(documents, verdicts, strict=True)
        ]

    def _unfit(self, partition: str) -> Verdict | None:
        """Why nothing may be sent to that partition now; `None` where it is as it should be, or was so lately."""
        now = time.monotonic()
        if now - self._inspected.get(partition, float("-inf")) < _INSPECTED_FOR:
            return None
        try:
            found = inspected(self.client, partition)
            if found is None:
                if waits := self._why_not_ready():
                    return waits
                found = foreseen(self.client, partition)
            else:
                self._inspected[partition] = now  # one that is still to be made is inspected when it is there
                self.clock.ask()
        except NotAuthorized as error:
            return Verdict("wait", _not_seen(partition, error), "configuration")
        except OpenSearchError as error:
            return Verdict("wait", str(error), _cause(error))
        if lost := losses(found):
            self._inspected.pop(partition, None)
            return Verdict(
                "wait", f"entries would be lost in {partition}: {lost}; see `whodid doctor`", "configuration"
            )
        return None

    def _why_not_ready(self) -> Verdict | None:
        name = template_name(self._settings)
        try:
            with translated(f"the index template {name}"):
                if not self.client.indices.exists_index_template(name=name):
                    return Verdict("wait", f"the cluster has no index template {name}: run `whodid setup`", "blocked")
        except (NotTrusted, OpenSearchUnavailable, NotAuthenticated) as error:
            return Verdict("wait", str(error), _cause(error))
        except OpenSearchError:
            pass  # whodid_writer may not look at templates; whoever made that role ran the setup
        self.clock.ask()
        return None


_INSPECTED_FOR = 300.0
"""Seconds for which an inspection counts."""


def _cause(error: OpenSearchError) -> Cause:
    if isinstance(error, NotTrusted):
        return "no_trust"
    if isinstance(error, OpenSearchUnavailable):
        return "no_connection"
    return "no_rights" if isinstance(error, NotAuthenticated) else "unavailable"


def _not_seen(partition: str, error: NotAuthorized) -> str:
    if "simulate" in str(error):
        return (
            f"there is no partition {partition}, and this user may not create it: run `whodid setup` as an "
            f"administrator, daily, or once with --create {partition}"
        )
    return f"{error}; `whodid setup` gives the role of the shipper this right, which it needs before it sends anything"


def dates_of(settings: Settings, cluster: Cluster) -> Dates:
    """Which entries may go into that cluster now."""
    return Dates(retention_days(settings.retention), cluster.clock.now)


def connected_shipper(
    settings: Settings,
    *,
    stop: threading.Event | None = None,
    observe: Observe = lambda observation: None,
    tell: Callable[[str], None] | None = None,
    closing: bool = False,
    guard: Guard | None = None,
) -> Shipper:
    """A shipper for the cluster in the settings. Raises `SettingsError`; an unreachable cluster is waited for.

    While it runs, it enforces retention where the cluster doesn't; `tell` gets what a person should know of that.
    With `closing`, a stop that found everything shipped is recorded. `guard` may outlive the shipper.
    """
    cluster = Cluster(settings)
    tell = _careful(tell or _warn)
    directory = JournalDirectory(settings.journal_dir, create=True)
    guard = guard or Guard(directory.path, tell)
    enforcer = Enforcer(lambda: cluster.client, settings, tell)
    courier = Courier(
        directory,
        [
            Destination(
                "the cluster", lambda sealed: CheckpointIndex(cluster.client, settings).keep(sealed), quiet=True
            ),
            *(_destination(witness) for witness in witnesses_of(settings)),
        ],
        tell,
        guard,
    )
    return Shipper(
        settings,
        cluster.send,
        dates=dates_of(settings, cluster),
        stop=stop,
        observe=observe,
        chores=enforcer,
        farewell=(lambda: close_journal(settings)) if closing else lambda: False,
        courier=courier,
        tell=tell,
        guard=guard,
    )


def _destination(witness: Witness) -> Destination:
    """What a witness of the application's own raises becomes a `WitnessError`."""

    def keep(sealed: SignedCheckpoint) -> None:
        try:
            witness.put(f"{sealed.key}.dsse.json", sealed.line())
        except WhodidError:
            raise
        except Exception as error:
            raise WitnessError(f"the witness {witness.name} failed with {type(error).__name__}: {error}") from error

    return Destination(f"the witness {witness.name}", keep)


def _careful(tell: Callable[[str], None]) -> Callable[[str], None]:
    """What can't be told stops nothing: a warning that is an error, standard error that was closed."""

    def told(text: str) -> None:
        with suppress(Exception):
            tell(text)

    return told


def _warn(message: str) -> None:
    warn(message, RuntimeWarning, stacklevel=2)
