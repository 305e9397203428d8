"""The versions: of the journal's format, of Python and the libraries, and of OpenSearch.

The clock: ours beside the cluster's, and entries that claim to be of a later time than now.
"""

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
"""The first OpenSearch whose `flat_object`, points in time and ISM are as whodid uses them."""
_TRIED = ((2, 19), (3,))
"""The releases that the tests are run on."""
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*?\])?>=([\d.]+)")


def examine(subject: Subject) -> Iterator[Finding]:
    yield from _format(subject)
    found = list(too_old(requires("whodid") or []))
    for name, installed, least in found:
        yield problem(
            name, f"{installed} is installed, and whodid needs {least} or newer", f'pip install "{name}>={least}"'
        )
    if not found:
        yield ok("whodid", f"{version('whodid')} on Python {platform.python_version()}, with libraries new enough")


def examine_cluster(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    try:
        with translated("the version of OpenSearch"):
            about = client.info()["version"]
    except NotAuthorized:
        known = versions(client)  # of its nodes, which the role whodid_admin may ask for
        if not known:
            yield ok("the cluster", "does not tell this user its version")
            return
        about = {"number": min(known, key=_numbers), "distribution": "opensearch"}
    number = str(about["number"])
    if about.get("distribution") != "opensearch":
        yield problem(
            "the cluster",
            f"is no OpenSearch, but {about.get('distribution', 'another')} {number}",
            "name an OpenSearch in opensearch_hosts",
        )
    elif _numbers(number) < _OLDEST:
        least = ".".join(map(str, _OLDEST))
        yield problem("the cluster", f"OpenSearch {number} is too old", f"upgrade it to {least} or newer")
    elif not any(_numbers(number)[: len(tried)] == tried for tried in _TRIED):
        yield warning(
            "the cluster",
            f"whodid is tried on OpenSearch 2.19 and 3, not on {number}",
            "try an upgrade on a test cluster first",
        )
    else:
        yield ok("the cluster", f"OpenSearch {number}")


def too_old(requirements: list[str]) -> Iterator[tuple[str, str, str]]:
    """Name, version installed and version needed of libraries that are there, but too old."""
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            name, least = match.groups()
            try:
                installed = version(name)
            except PackageNotFoundError:  # of an extra that nobody asked for
                continue
            if _numbers(installed) < _numbers(least):
                yield name, installed, least


def _format(subject: Subject) -> Iterator[Finding]:
    try:
        found = json_of(read_file(subject.journal_dir / "current"))["format"]
    except (FileNotFoundError, NotADirectoryError, *FOREIGN):
        return  # nothing there yet, or damaged: the area `journal` says so
    if not isinstance(found, int) or found > FORMAT:
        yield problem(
            subject.journal_dir,
            f"was written by a newer whodid (format {found}, this one knows {FORMAT})",
            "upgrade whodid",
        )
    elif found < FORMAT:
        yield ok(subject.journal_dir, f"format {found} of an older whodid, which this one reads")
    else:
        yield ok(subject.journal_dir, f"format {found}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3])


_NOTABLE = timedelta(seconds=10)
_WRONG = timedelta(hours=1)
_REFUSED = timedelta(days=1)
_ADVICE = "set this host's clock, and have a time service such as chrony keep it"


def examine_clock(subject: Subject) -> Iterator[Finding]:
    directory = JournalDirectory(subject.journal_dir)
    for journal in directory.journals():
        for segment in segments(directory.journal(journal)):
            last = last_moment(segment)
            ahead = last - datetime.now(UTC) if last else timedelta(0)
            if ahead > _REFUSED:
                what = f"has entries of {last}, more than a day from now: they become dead letters"
                yield problem(segment, what, _ADVICE)
            elif ahead > _NOTABLE:
                yield warning(segment, f"has entries of {last}, later than now: the clock was set back", _ADVICE)


def examine_cluster_clock(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    try:
        ahead = clock_ahead(client)
    except NotAuthorized:
        yield ok("this host", "the cluster does not tell this user its time")
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
