"""Checks of versions (journal format, libraries, OpenSearch) and of clocks (this host's, the cluster's, entries')."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from ..cluster.clock import clock_ahead
from ..cluster.connection import translated, versions
from ..errors import NotAuthorized
from ..files import read_file
from ..journal import JournalDirectory
from ..journal.directory import FORMAT, segments
from ..text import FOREIGN, json_of
from .finding import Finding, Subject, last_moment, ok, problem, warning

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["examine", "examine_cluster", "too_old"]

_OLDEST = (2, 11)
"""The first OpenSearch with the `flat_object`, points in time and ISM that whodid needs."""
_TRIED = ((2, 19), (3,))
"""The releases that whodid is tested with."""
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*?\])?>=([\d.]+)")


def examine(subject: Subject) -> Iterator[Finding]:
    yield from _format(subject)
    found = list(too_old(requires("whodid") or []))
    for name, installed, least in found:
        yield problem(
            name, f"{installed} is installed, but whodid needs {least} or newer", f'pip install "{name}>={least}"'
        )
    if not found:
        yield ok("whodid", f"{version('whodid')} on Python {platform.python_version()}, with supported libraries")


def examine_cluster(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    try:
        with translated("the version of OpenSearch"):
            about = client.info()["version"]
    except NotAuthorized:
        known = versions(client)  # of the nodes, which the role whodid_admin may query
        if not known:
            yield ok("the cluster", "does not show its version to this user")
            return
        about = {"number": min(known, key=_numbers), "distribution": "opensearch"}
    number = str(about["number"])
    if about.get("distribution") != "opensearch":
        yield problem(
            "the cluster",
            f"is not OpenSearch, but {about.get('distribution', 'unknown')} {number}",
            "set opensearch_hosts to an OpenSearch cluster",
        )
    elif _numbers(number) < _OLDEST:
        least = ".".join(map(str, _OLDEST))
        yield problem("the cluster", f"OpenSearch {number} is too old", f"upgrade it to {least} or newer")
    elif not any(_numbers(number)[: len(tried)] == tried for tried in _TRIED):
        yield warning(
            "the cluster",
            f"whodid is tested with OpenSearch 2.19 and 3, not with {number}",
            "test on another cluster first",
        )
    else:
        yield ok("the cluster", f"OpenSearch {number}")


def too_old(requirements: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, installed version and required version of installed libraries that are too old."""
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            name, least = match.groups()
            try:
                installed = version(name)
            except PackageNotFoundError:  # belongs to an extra that is not installed
                continue
            if _numbers(installed) < _numbers(least):
                yield name, installed, least


def _format(subject: Subject) -> Iterator[Finding]:
    try:
        found = json_of(read_file(subject.journal_dir / "current"))["format"]
    except (FileNotFoundError, NotADirectoryError, *FOREIGN):
        return  # missing or damaged; the area `journal` reports that
    if not isinstance(found, int) or found > FORMAT:
        yield problem(
            subject.journal_dir,
            f"was written by a newer whodid (format {found}; this version supports {FORMAT})",
            "upgrade whodid",
        )
    elif found < FORMAT:
        yield ok(subject.journal_dir, f"format {found} of an older whodid, which is supported")
    else:
        yield ok(subject.journal_dir, f"format {found}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3])


_NOTABLE = timedelta(seconds=10)
_WRONG = timedelta(hours=1)
_REFUSED = timedelta(days=1)
_ADVICE = "set the clock of this host, and synchronize it with a time service such as chrony"


def examine_clock(subject: Subject) -> Iterator[Finding]:
    directory = JournalDirectory(subject.journal_dir)
    for journal in directory.journals():
        for segment in segments(directory.journal(journal)):
            last = last_moment(segment)
            ahead = last - datetime.now(UTC) if last else timedelta(0)
            if ahead > _REFUSED:
                what = f"has entries of {last}, more than a day in the future: they become dead letters"
                yield problem(segment, what, _ADVICE)
            elif ahead > _NOTABLE:
                yield warning(segment, f"has entries of {last}, in the future: the clock was set back", _ADVICE)


def examine_cluster_clock(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    try:
        ahead = clock_ahead(client)
    except NotAuthorized:
        yield ok("this host", "the cluster does not show its time to this user")
        return
    off = abs(ahead)
    side = "behind" if ahead > timedelta(0) else "ahead of"
    here = f"its clock is {off.total_seconds():,.0f} s {side} the cluster's"
    if off > _WRONG:
        yield problem("this host", here, _ADVICE)
    elif off > _NOTABLE:
        yield warning("this host", here, _ADVICE)
    else:
        yield ok("this host", here)
