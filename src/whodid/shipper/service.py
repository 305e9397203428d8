"""The service: a shipper connected to a real cluster, as `whodid ship` and `configure(ship=True)` run it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..errors import (
    NotAuthenticated,
    NotTrusted,
    OpenSearchError,
    OpenSearchUnavailable,
    SettingsError,
    WhodidError,
)
from ..journal import JournalDirectory
from ..opensearch.bulk import Document, Verdict, send_bulk
from ..opensearch.checkpoints import CheckpointIndex
from ..opensearch.clock import ClusterClock
from ..opensearch.connection import connect, translated
from ..opensearch.template import template_name
from ..settings import Settings, retention_days
from ..warning import warn
from ..witness import Witness, witnesses_of
from .closing import close_journal
from .courier import Courier, Destination
from .dates import Dates
from .enforcer import Enforcer
from .loop import Shipper
from .observation import Observe

__all__ = ["Cluster", "connected_shipper", "dates_of", "ship_in_background", "stop_background_shipping"]


class Cluster:
    """The cluster a shipper sends to: a partition gets nothing before the template was seen, and the clock asked.

    When it does not accept who we are, or we don't trust who it is, password and certificates are read again from their
    files: they can be corrected without a restart.
    """

    def __init__(self, settings: Settings) -> None:
        self.client = connect(settings)
        self._settings = settings
        self.clock = ClusterClock(lambda: self.client)
        self._seen: set[str] = set()

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
        unseen = {partition for _, partition, _ in documents} - self._seen
        if unseen:  # OpenSearch may be about to make it, which must not happen without the template
            waits = self._why_not_ready()
            if waits:
                return [waits] * len(documents)
            self._seen |= unseen
        return send_bulk(self.client, documents, self._settings.opensearch_timeout)

    def _why_not_ready(self) -> Verdict | None:
        name = template_name(self._settings)
        try:
            with translated(f"the index template {name}"):
                if not self.client.indices.exists_index_template(name=name):
                    return Verdict("wait", f"the cluster has no index template {name}: run `whodid setup`", "blocked")
        except NotTrusted as error:
            return Verdict("wait", str(error), "no_trust")
        except OpenSearchUnavailable as error:
            return Verdict("wait", str(error), "no_connection")
        except NotAuthenticated as error:
            return Verdict("wait", str(error), "no_rights")
        except OpenSearchError:
            pass  # whodid_writer may not look at templates; whoever made that role ran the setup
        self.clock.ask()
        return None


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
) -> Shipper:
    """A shipper for the cluster in the settings. Raises `SettingsError`; an unreachable cluster is waited for.

    While it runs, it enforces retention where the cluster doesn't; `tell` gets what a person should know of that.
    With `closing`, a stop that found everything shipped is recorded.
    """
    cluster = Cluster(settings)
    enforcer = Enforcer(lambda: cluster.client, settings, tell or _warn)
    courier = Courier(
        JournalDirectory(settings.journal_dir, create=True),
        [
            Destination(
                "the cluster", lambda sealed: CheckpointIndex(cluster.client, settings).keep(sealed), quiet=True
            ),
            *(_destination(witness) for witness in witnesses_of(settings)),
        ],
        tell or _warn,
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
        tell=tell or _warn,
    )


def _destination(witness: Witness) -> Destination:
    return Destination(
        f"the witness {witness.name}", lambda sealed: witness.put(f"{sealed.key}.dsse.json", sealed.line())
    )


def _warn(message: str) -> None:
    warn(message, RuntimeWarning, stacklevel=2)


_background: dict[str, tuple[threading.Event, threading.Thread]] = {}
_lock = threading.Lock()


def ship_in_background(settings: Settings) -> None:
    """Runs a shipper in a daemon thread of this process, one for each journal directory."""
    with _lock:
        if settings.journal_dir in _background:
            return
        stop = threading.Event()
        thread = threading.Thread(target=_ship_patiently, args=(settings, stop), name="whodid-ship", daemon=True)
        _background[settings.journal_dir] = stop, thread
        thread.start()


def stop_background_shipping(journal_dir: str, timeout: float = 10.0) -> None:
    """Ends what `ship_in_background` began, after the request under way; what remains is safe in the journal."""
    with _lock:
        stop, thread = _background.pop(journal_dir, (None, None))
    if stop is not None and thread is not None:
        stop.set()
        thread.join(timeout)


def _ship_patiently(settings: Settings, stop: threading.Event) -> None:
    """A failure of the shipper must not end the application's shipping: it is said, and tried again."""
    while not stop.is_set():
        try:
            connected_shipper(settings, stop=stop).run()
        except (WhodidError, OSError) as error:
            warn(f"shipping of {settings.journal_dir} paused: {error}", RuntimeWarning, stacklevel=1)
            stop.wait(settings.poll_interval)
