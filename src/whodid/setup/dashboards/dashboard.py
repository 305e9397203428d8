"""The dashboards: three pages of panels, each with a text that says what Dashboards does not check.

A dashboard restores its own time span; a saved search or a visualization opened by itself shows the last 15 minutes. So
the text links to the searches with a time span.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...settings import Settings
from .saved_object import (
    EVERYTHING,
    QUESTIONS,
    SavedObject,
    dql,
    index_pattern_object,
    object_id,
    saved_searches,
    titled,
)
from .visualizations import visualizations

__all__ = ["saved_objects"]

_TIME_SPAN = "now-30d"

_PANEL_VERSION = "3.3.0"
"""The version of Dashboards whose panel format is used."""

Place = tuple[int, int, int, int]
"""Column, row, width and height, on a grid of 48 columns. Ten rows of a table need a height of 18."""


class _Page(NamedTuple):
    title: str
    about: str
    searches: tuple[str, ...]
    """The searches that its text links to."""
    panels: Mapping[str, Place]


_TEXT: Place = (0, 0, 48, 6)

_PAGES: Mapping[str, _Page] = {
    "overview": _Page(
        "overview",
        "Who did what, when and from where.",
        (EVERYTHING,),
        {
            "numbers": (0, 6, 48, 7),
            "over-time": (0, 13, 34, 18),
            "event-types": (34, 13, 14, 18),
            "failures-over-time": (0, 31, 48, 15),
            "top-principals": (0, 46, 20, 18),
            "top-targets": (20, 46, 28, 18),
            "client-ips": (0, 64, 24, 18),
            "organizations": (24, 64, 24, 18),
            EVERYTHING: (0, 82, 48, 24),
        },
    ),
    "sign-ins-and-failures": _Page(
        "sign-ins and failures",
        "Who signed in, who could not, from where; and what else failed.",
        ("sign-ins", "failed-sign-ins", "failures"),
        {
            "sign-in-methods": (0, 6, 20, 18),
            "principals-per-address": (20, 6, 28, 18),
            "failed-sign-ins-from": (0, 24, 48, 18),
            "failing-principals": (0, 42, 48, 18),
            "failures": (0, 60, 48, 24),
        },
    ),
    "changes-and-deletions": _Page(
        "changes and deletions",
        "Who changed rights, who deleted, who read credentials, and on whose behalf.",
        ("rights", "deletions", "credentials-access", "on-behalf"),
        {
            "rights-by": (0, 6, 48, 18),
            "deletions-by": (0, 24, 48, 18),
            "credentials-by": (0, 42, 48, 18),
            "on-behalf-of": (0, 60, 48, 18),
            "deletions": (0, 78, 48, 24),
        },
    ),
}


def saved_objects(settings: Settings, tab_url: str = "") -> tuple[SavedObject, ...]:
    """All objects, each after those that it refers to; `tab_url` is the address of the tab that entries link to."""
    pattern = index_pattern_object(settings, tab_url)
    parts = (
        pattern,
        *saved_searches(settings, tab_url),
        *visualizations(settings),
        *(_text(settings, name, tab_url) for name in _PAGES),
    )
    return (*parts, *(_dashboard(settings, name, parts) for name in _PAGES))


def _text(settings: Settings, name: str, tab_url: str) -> SavedObject:
    """The text of a page: what it does not check, and links, which are relative to the address of Dashboards."""
    page = _PAGES[name]
    title = titled(settings, f"about {page.title}")
    searches = [
        f"[{QUESTIONS[one].title}](data-explorer/discover#/view/{object_id(settings, one)}"
        f"?_g=(time:(from:{_TIME_SPAN},to:now)))"
        for one in page.searches
    ]
    others = [
        f"[{other.title}](dashboards#/view/{object_id(settings, key)})" for key, other in _PAGES.items() if key != name
    ]
    tab = f"[the Audit logs tab]({tab_url}/)" if tab_url else "the Audit logs tab"
    state = {
        "title": title,
        "type": "markdown",
        "params": {
            "fontSize": 10,
            "openLinksInNewTab": False,
            "markdown": (
                f"{page.about} Dashboards checks no hash and no signature, so it does not notice a changed or deleted "
                "entry: run `whodid verify`. It also shows entries whose retention has ended until they are deleted, "
                f"and it does not record who read what; {tab} hides such entries and can record who reads.\n\n"
                f"Entries: {', '.join(searches)}. See also: {', '.join(others)}."
            ),
        },
        "aggs": [],
    }
    attributes = {"title": title, "description": "", "uiStateJSON": {}, "visState": state, "version": 1, **_search()}
    return SavedObject("visualization", object_id(settings, f"{name}-text"), attributes)


def _dashboard(settings: Settings, name: str, parts: tuple[SavedObject, ...]) -> SavedObject:
    page = _PAGES[name]
    places = {f"{name}-text": _TEXT, **page.panels}
    known = {part.id: part for part in parts}
    shown = [known[object_id(settings, one)] for one in places]
    headings = [part.attributes["title"].removeprefix(titled(settings, "")) for part in shown]
    attributes = {
        "title": titled(settings, page.title),
        "description": page.about,
        "hits": 0,
        "version": 1,
        "panelsJSON": [
            _panel(number, heading, *place)
            for number, (heading, place) in enumerate(zip(headings, places.values(), strict=True))
        ],
        "optionsJSON": {"hidePanelTitles": False, "useMargins": True},
        "timeRestore": True,
        "timeFrom": _TIME_SPAN,
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 0},
        **_search(),
    }
    references = tuple(
        {"name": _panel_name(number), "type": part.type, "id": part.id} for number, part in enumerate(shown)
    )
    return SavedObject("dashboard", object_id(settings, name), attributes, references)


def _search() -> dict[str, Any]:
    """The search of an object that has no query."""
    return {"kibanaSavedObjectMeta": {"searchSourceJSON": {"query": dql(""), "filter": []}}}


def _panel(number: int, heading: str, column: int, row: int, width: int, height: int) -> dict[str, Any]:
    index, title = str(number + 1), heading[:1].upper() + heading[1:]
    return {
        "version": _PANEL_VERSION,
        "gridData": {"x": column, "y": row, "w": width, "h": height, "i": index},
        "panelIndex": index,
        "title": title,
        "embeddableConfig": {"title": title, "hidePanelTitles": False},
        "panelRefName": _panel_name(number),
    }


def _panel_name(number: int) -> str:
    return f"panel_{number}"
