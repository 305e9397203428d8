"""The service: a shipper connected to a real cluster, as `whodid ship` and `configure(ship=True)` run it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import (
    NotAuthenticated,
    NotTrusted,
    OpenSearchError,
    OpenSearchUnavailable,
    SettingsError,
    WhodidError,
    WitnessError,
)
from ..journal import JournalDirectory
from ..opensearch.bulk import Document, Verdict, send_bulk
from ..opensearch.checkpoints import CheckpointIndex
from ..opensearch.clock import ClusterClock
from ..opensearch.connection import connect, translated
from ..opensearch.template import template_name
from ..proof.checkpoint import Sealed
from ..settings import Settings, retention_days
from ..warning import warn
from ..witness import Witness, witnesses_of
from .closing import close_journal
from .courier import Courier, Destination
from .dates import Dates
from .enforcer import Enforcer
from .guard import Guard
from .loop import Shipper
from .observation import Observe

__all__ = ["Cluster", "connected_shipper", "dates_of"]


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

    def keep(sealed: Sealed) -> None:
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
