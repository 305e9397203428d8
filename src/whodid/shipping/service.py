"""The shipping service: a shipper connected to a cluster, as `whodid ship` and `configure(ship=True)` run it.

It also records a closing entry when a shipper is stopped after everything was shipped. A journal that ends with one may
stay silent without an alarm; recording again continues the chain after it.

Once an hour it enforces retention as far as this user may: holds, destruction records, and deletion on clusters without
ISM. Failures never stop shipping: each is reported once while it stays the same, and retried an hour later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from ..cluster.bulk import Cause, Document, Verdict, send_bulk
from ..cluster.clock import ClusterClock, deletion_time
from ..cluster.connection import connect, translated
from ..cluster.ledger import CheckpointIndex
from ..cluster.template import Partition, find_partition, losses, simulated, template_name
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
from ..retention.enforcement import destroy, expired, record_upcoming
from ..retention.holds import apply_holds
from ..retention.ism import Ism
from ..settings import Settings, retention_days
from .checkpoint_delivery import CheckpointDelivery, Destination
from .delivery import Observer
from .guard import Guard
from .loop import Shipper
from .partitioning import Dates

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["CLOSED", "Cluster", "Enforcer", "close_journal", "connected_shipper", "dates_of"]

CLOSED = "audit_log_journal_closed"


def close_journal(settings: Settings) -> bool:
    """Records that the current journal is shipped completely; `False` if there was nothing to record."""
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
        return False  # a full or failing disk: the journal is unchanged
    return True


def _is_closed(directory: JournalDirectory, journal: str, shipped: Acknowledged) -> bool:
    """Whether the last entry is a closing record already."""
    lines = JournalReader(directory.journal(journal), shipped.seq - 1).read()
    return any(
        isinstance(line, Line) and line.seq == shipped.seq and line.entry.get("type") == CLOSED for line in lines
    )


_HOUR = 3600.0
_SOON = 60.0


class Enforcer:
    """Enforces retention once an hour; may be called often.

    `client` returns the client in use; `notify` gets what was deleted, and what could not be.
    """

    def __init__(
        self,
        client: Callable[[], OpenSearch],
        settings: Settings,
        notify: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[OpenSearch], datetime] = deletion_time,
    ) -> None:
        self._client = client
        self._settings = settings
        self._notify = notify
        self._monotonic = monotonic
        self._now = now
        self._next = monotonic()
        self._reported = ""

    def __call__(self) -> None:
        if retention_days(self._settings.retention) is None or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + _HOUR
        try:
            self._enforce()
            self._reported = ""
        except _Left as error:
            self._once(f"holds and destruction records need an administrator's `whodid retention enforce`: {error}")
        except OpenSearchUnavailable:
            self._next = self._monotonic() + _SOON  # the shipper reports it already
        except WhodidError as error:
            self._once(f"retention is not enforced: {error}")

    def _once(self, text: str) -> None:
        if text != self._reported:
            self._notify(text)
        self._reported = text

    def _enforce(self) -> None:
        client = self._client()
        now = self._now(client)
        if Ism(client).available():
            try:
                self._hold(client)
                record_upcoming(client, self._settings, now)
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
            except OpenSearchError as error:  # the others are deleted all the same
                problems.append(str(error))
                continue
            if record:
                self._record(record)
        if problems:
            raise OpenSearchError("; ".join(problems))

    def _record(self, record: Destruction) -> None:
        record_own(self._settings, DESTROYED, principal="system", target=record.partition, details=record.brief())
        self._notify(f"retention: {record.partition} expired and was deleted with {record.account.entries:,} entries")

    def _hold(self, client: OpenSearch) -> None:
        for name, why in apply_holds(client, self._settings).problems.items():
            self._notify(f"retention: {name} could not be held or released: {why}")


class _Left(OpenSearchError):
    """This user may not do whodid's part on a cluster where ISM deletes."""


class Cluster:
    """The cluster that a shipper sends to.

    Invariant: an entry counts as stored or refused only after an inspection of its partition that followed the answer,
    and found it fit and the same as before the request. Otherwise it waits and is sent again, which replaces what was
    stored wrongly (`cluster.bulk`). So that little is stored wrongly, nothing is sent to a partition that was not found
    fit within the last minutes. A change that is undone before that inspection is not noticed.

    If authentication or verification of the certificate fails, password and certificates are read again from their
    files, so that they can be corrected without a restart.
    """

    def __init__(self, settings: Settings) -> None:
        self.client = connect(settings)
        self._settings = settings
        self.clock = ClusterClock(lambda: self.client)
        self._inspected: dict[str, tuple[float, Partition]] = {}

    def send(self, documents: Sequence[Document]) -> list[Verdict]:
        """Returns a verdict for each document; without the index template all wait, since a mapping is final."""
        verdicts = self._send(documents)
        if verdicts[0].cause in {"no_rights", "no_trust"}:
            try:
                self.client = connect(self._settings)
            except SettingsError as error:  # a file may be incomplete while it is replaced
                return [Verdict("wait", str(error), verdicts[0].cause)] * len(documents)
        return verdicts

    def _send(self, documents: Sequence[Document]) -> list[Verdict]:
        found = {name: self._recent(name) for name in {document.partition for document in documents}}
        waits = {name: why for name, why in found.items() if isinstance(why, Verdict)}
        before = {name: state for name, state in found.items() if not isinstance(state, Verdict)}
        if not waits:
            return self._bulk(documents, before)
        fit = [document for document in documents if document.partition not in waits]
        verdicts = iter(self._bulk(fit, before) if fit else ())
        return [waits.get(document.partition) or next(verdicts) for document in documents]

    def _bulk(self, documents: Sequence[Document], before: Mapping[str, Partition | None]) -> list[Verdict]:
        verdicts = send_bulk(self.client, documents, self._settings.opensearch_timeout)
        judged = list(zip(documents, verdicts, strict=True))
        doubts: dict[str, Verdict] = {}
        for name in {document.partition for document, verdict in judged if verdict.kind != "wait"}:
            if doubt := self._doubt(name, before[name]):
                doubts[name] = doubt
        if not doubts:
            return verdicts
        return [
            verdict if verdict.kind == "wait" else doubts.get(document.partition, verdict)
            for document, verdict in judged
        ]

    def _doubt(self, name: str, before: Partition | None) -> Verdict | None:
        """Why what was just stored in a partition, or refused by it, must be sent again; `None` if it need not."""
        after = self._inspect(name)
        if isinstance(after, Verdict):
            return after
        if before in (None, after):  # it was created now, though a cluster may not show it yet, or is unchanged
            return None
        return Verdict("wait", f"{name} was changed while entries were sent to it: they are sent again", "blocked")

    def _recent(self, name: str) -> Partition | Verdict | None:
        """What `_inspect` returned within the last minutes, or returns now."""
        at, known = self._inspected.get(name, (float("-inf"), None))
        if time.monotonic() - at < _INSPECTED_FOR:
            return known
        found = self._inspect(name)
        if not isinstance(found, Verdict):
            self.clock.ask()
        return found

    def _inspect(self, name: str) -> Partition | Verdict | None:
        """The partition as it is now, `None` if it can be created, or why nothing may be sent to it."""
        now, found = time.monotonic(), self._found(name)
        if isinstance(found, Partition):
            self._inspected[name] = now, found
        else:  # it is inspected before the next request
            self._inspected.pop(name, None)
        return found

    def _found(self, name: str) -> Partition | Verdict | None:
        try:
            found = find_partition(self.client, name)
            if found is None and (waits := self._why_not_ready()):
                return waits
            lost = losses(simulated(self.client, name) if found is None else found.differences)
        except NotAuthorized as error:
            return Verdict("wait", _not_seen(name, error), "configuration")
        except OpenSearchError as error:
            return Verdict("wait", str(error), _cause(error))
        if lost:
            return Verdict("wait", f"entries would be lost in {name}: {lost}; see `whodid doctor`", "configuration")
        return found

    def _why_not_ready(self) -> Verdict | None:
        name = template_name(self._settings)
        try:
            with translated(f"the index template {name}"):
                if not self.client.indices.exists_index_template(name=name):
                    return Verdict("wait", f"the cluster has no index template {name}: run `whodid setup`", "blocked")
        except (NotTrusted, OpenSearchUnavailable, NotAuthenticated) as error:
            return Verdict("wait", str(error), _cause(error))
        except OpenSearchError:
            pass  # the role whodid_writer may not read templates, and the setup created both
        return None


_INSPECTED_FOR = 300.0
"""Seconds after which a partition is inspected before the next request, too."""


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
    return f"{error}; the shipper needs this right before it sends anything: `whodid setup` adds it to its role"


def dates_of(settings: Settings, cluster: Cluster) -> Dates:
    """The dates of entries that the cluster accepts now."""
    return Dates(retention_days(settings.retention), cluster.clock.now)


def connected_shipper(
    settings: Settings,
    *,
    stop: threading.Event | None = None,
    observe: Observer = lambda observation: None,
    notify: Callable[[str], None] | None = None,
    closing: bool = False,
    guard: Guard | None = None,
) -> Shipper:
    """A shipper for the cluster in the settings. Raises `SettingsError`; waits while the cluster is unreachable.

    It enforces retention if the cluster doesn't, and reports to `notify`. With `closing`, it records a stop after which
    everything was shipped. `guard` may be shared with later shippers.
    """
    cluster = Cluster(settings)
    notify = _suppressing(notify or _warn)
    directory = JournalDirectory(settings.journal_dir, create=True)
    guard = guard or Guard(directory.path, notify)
    enforcer = Enforcer(lambda: cluster.client, settings, notify)
    checkpoint_delivery = CheckpointDelivery(
        directory,
        [
            Destination(
                "the cluster", lambda sealed: CheckpointIndex(cluster.client, settings).keep(sealed), quiet=True
            ),
            *(_destination(witness) for witness in witnesses_of(settings)),
        ],
        notify,
        guard,
    )
    return Shipper(
        settings,
        cluster.send,
        dates=dates_of(settings, cluster),
        stop=stop,
        observe=observe,
        maintenance=enforcer,
        on_drained=(lambda: close_journal(settings)) if closing else lambda: False,
        checkpoint_delivery=checkpoint_delivery,
        notify=notify,
        guard=guard,
    )


def _destination(witness: Witness) -> Destination:
    """Turns every error of a witness, which may be the application's own, into a `WitnessError`."""

    def keep(sealed: SignedCheckpoint) -> None:
        try:
            witness.put(f"{sealed.key}.dsse.json", sealed.line())
        except WhodidError:
            raise
        except Exception as error:
            raise WitnessError(f"the witness {witness.name} failed with {type(error).__name__}: {error}") from error

    return Destination(f"the witness {witness.name}", keep)


def _suppressing(notify: Callable[[str], None]) -> Callable[[str], None]:
    """Ignores errors of `notify`: warnings may be errors, and standard error may be closed."""

    def suppressed(text: str) -> None:
        with suppress(Exception):
            notify(text)

    return suppressed


def _warn(message: str) -> None:
    warn(message, RuntimeWarning, stacklevel=2)
