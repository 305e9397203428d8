"""The examination: runs the checks of all areas, each in its own thread, so that one that hangs does not block others.

There are two rounds of at most `timeout` seconds each: this host and the connection, then the cluster. An area that
does not finish in time (for example because of an unreachable network file system) is reported and abandoned.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
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
"""All areas, in the order of their findings."""

Check = Callable[[], Iterator[Finding]]


def examine(subject: Subject, only: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return the findings in all areas, or those of `only`, in the order of `AREAS`. Never raises or hangs."""
    chosen = [area for area in AREAS if not only or area in only]
    first: dict[str, Check] = {area: partial(_HERE[area], subject) for area in chosen if area in _HERE}
    there = [area for area in chosen if area in _THERE]
    client: OpenSearch | None = None
    if there or _CONNECTION in chosen:
        try:
            client = _connect(subject)
        except SettingsError as error:
            first[_CONNECTION] = _failing(error)
        else:
            first[_CONNECTION] = partial(connection.examine, subject, client)
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
        return [replace(warning("the cluster", missed, "fix the connection, then run this again"), area=_CONNECTION)]
    return _round({area: partial(_THERE[area], subject, client) for area in areas}, subject.timeout)


def _connect(subject: Subject) -> OpenSearch:
    """Connect with a timeout that fits into a round, instead of the one in the settings."""
    hosts = len(subject.settings.opensearch_hosts)
    quick = replace(subject.settings, opensearch_timeout=subject.timeout * 0.7 / hosts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the area `secrets` reports secrets that others may read
        return connect(quick)


def _failing(error: SettingsError) -> Check:
    return lambda: iter([problem("the connection", str(error), "fix that setting or its file")])


def _round(checks: dict[str, Check], timeout: float) -> list[Finding]:
    """Run the checks concurrently; findings of an area that hangs later are included."""
    deadline = time.monotonic() + timeout
    found: dict[str, list[Finding]] = {area: [] for area in checks}
    threads = {
        area: threading.Thread(target=_run, args=(area, check, found[area]), name=f"doctor-{area}", daemon=True)
        for area, check in checks.items()
    }
    for thread in threads.values():
        thread.start()
    findings: list[Finding] = []
    for area, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        findings += found[area].copy()
        if thread.is_alive():
            slow = problem(
                area, f"did not finish within {timeout:g} s", f"try again: whodid doctor --only {area} --timeout 60"
            )
            findings.append(replace(slow, area=area))
    return findings


def _run(area: str, check: Check, found: list[Finding]) -> None:
    try:
        for finding in check():
            found.append(replace(finding, area=area))
    except NotAuthorized as error:
        found.append(replace(warning(area, _not_examined(error), _ASK), area=area))
    except OSError as error:
        what = f"can't be examined: {error.strerror or error}"
        found.append(replace(problem(error.filename or area, what, "run this as the owner of the journal"), area=area))
    except WhodidError as error:
        found.append(replace(problem(area, str(error), "follow the message, then run this again"), area=area))
    except Exception as error:  # noqa: BLE001 (reported, so that the other areas are not affected)
        what = f"could not be examined: {type(error).__name__}: {error}"[:300]
        found.append(replace(problem(area, what, "this is a bug of whodid: please report it"), area=area))


_ASK = "run this with an account that has this right: the role whodid_admin, or an administrator of the cluster"


def _not_examined(error: NotAuthorized) -> str:
    """Shorten the message of the plugin, which describes the user at length."""
    lacks = re.search(r"no permissions for \[([^\]]+)\]", str(error))
    return f"not examined: this user lacks {lacks[1]}" if lacks else f"not examined: {error}"
