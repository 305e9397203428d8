"""The examination: the areas, each looked at in a thread of its own, so that one that hangs holds up no other.

Two rounds, each of at most `timeout` seconds: what lies on this host, with the connection; then, through the
connection, what lies in the cluster. An area that hangs (a dead network file system) is named and left behind.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.connection import connect
from ..errors import NotAuthorized, SettingsError, WhodidError
from . import connection, journal, retention, secrets, template, versions
from .finding import Finding, Subject, problem, warning

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["AREAS", "examine"]

_HERE: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "disk": journal.examine_disk,
    "journal": journal.examine,
    "shipping": journal.examine_shipping,
    "clock": versions.examine_clock,
    "versions": versions.examine,
    "settings": secrets.examine_variables,
    "secrets": secrets.examine,
}
_THERE: dict[str, Callable[[Subject, OpenSearch], Iterator[Finding]]] = {
    "clock": versions.examine_cluster_clock,
    "versions": versions.examine_cluster,
    "rights": connection.examine_rights,
    "template": template.examine,
    "retention": retention.examine,
}
_CONNECTION = "connection"
AREAS = (
    "disk",
    "journal",
    "shipping",
    "clock",
    _CONNECTION,
    "rights",
    "template",
    "retention",
    "versions",
    "settings",
    "secrets",
)
"""In the order in which they are told."""

Look = Callable[[], Iterator[Finding]]


def examine(subject: Subject, only: Collection[str] = ()) -> tuple[Finding, ...]:
    """What was found in all areas, or in those of `only`, in the order of `AREAS`. Never raises, and always ends."""
    chosen = [area for area in AREAS if not only or area in only]
    first = {area: _bound(_HERE[area], subject) for area in chosen if area in _HERE}
    there = [area for area in chosen if area in _THERE]
    client: OpenSearch | None = None
    if there or _CONNECTION in chosen:
        try:
            client = _connect(subject)
        except SettingsError as error:
            first[_CONNECTION] = _failing(error)
        else:
            first[_CONNECTION] = _bound(connection.examine, subject, client)
    try:
        found = _round(first, subject.timeout)
        if client and there:
            found += _in_cluster(subject, client, there, found)
    finally:
        if client:
            client.close()
    return tuple(sorted(found, key=lambda finding: AREAS.index(finding.area)))


def _in_cluster(subject: Subject, client: OpenSearch, areas: list[str], found: list[Finding]) -> list[Finding]:
    if any(finding.area == _CONNECTION and finding.severity == "problem" for finding in found):
        missed = f"could not be examined without a connection: {', '.join(areas)}"
        return [replace(warning("the cluster", missed, "mend the connection, then run this again"), area=_CONNECTION)]
    return _round({area: _bound(_THERE[area], subject, client) for area in areas}, subject.timeout)


def _connect(subject: Subject) -> OpenSearch:
    """With a time-out of ours: whoever asks a doctor has no half minute for each host."""
    hosts = len(subject.settings.opensearch_hosts)
    quick = replace(subject.settings, opensearch_timeout=subject.timeout * 0.7 / hosts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a secret that others may read: the area `secrets` says so
        return connect(quick)


def _bound(look: Callable[..., Iterator[Finding]], *arguments: object) -> Look:
    return lambda: look(*arguments)


def _failing(error: SettingsError) -> Look:
    return lambda: iter([problem("the connection", str(error), "mend that setting or its file")])


def _round(looks: dict[str, Look], timeout: float) -> list[Finding]:
    """All at once; what one area found before it hung is told, too."""
    deadline = time.monotonic() + timeout
    found: dict[str, list[Finding]] = {area: [] for area in looks}
    threads = {
        area: threading.Thread(target=_look, args=(area, look, found[area]), name=f"doctor-{area}", daemon=True)
        for area, look in looks.items()
    }
    for thread in threads.values():
        thread.start()
    told: list[Finding] = []
    for area, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        told += found[area].copy()
        if thread.is_alive():
            slow = problem(
                area, f"did not end within {timeout:g} s", f"try again: whodid doctor --only {area} --timeout 60"
            )
            told.append(replace(slow, area=area))
    return told


def _look(area: str, look: Look, found: list[Finding]) -> None:
    try:
        for finding in look():
            found.append(replace(finding, area=area))
    except NotAuthorized as error:
        found.append(replace(warning(area, _not_examined(error), _ASK), area=area))
    except OSError as error:
        what = f"can't be examined: {error.strerror or error}"
        found.append(replace(problem(error.filename or area, what, "run this as the owner of the journal"), area=area))
    except WhodidError as error:
        found.append(replace(problem(area, str(error), "do what it says, then run this again"), area=area))
    except Exception as error:  # noqa: BLE001 (whatever an installation looks like, the other areas are told)
        what = f"could not be examined: {type(error).__name__}: {error}"[:300]
        found.append(replace(problem(area, what, "this is a fault of whodid: please report it"), area=area))


_ASK = "run this with an account that has this right: the role whodid_admin, or an administrator of the cluster"


def _not_examined(error: NotAuthorized) -> str:
    """Without the plugin's long words about who the user is."""
    lacks = re.search(r"no permissions for \[([^\]]+)\]", str(error))
    return f"not examined: this user lacks {lacks[1]}" if lacks else f"not examined: {error}"
