"""The saved searches: questions an auditor asks each week.

Queries are in DQL, the language that Dashboards offers. They name event types by how they begin or end, so that an
application's own types are found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...settings import Settings
from .saved_object import SavedObject, dql, over_entries, titled

__all__ = ["COLUMNS", "EVERYTHING", "QUESTIONS", "Question", "saved_searches"]

COLUMNS = (
    "type",
    "outcome",
    "principal",
    "principal_name",
    "target",
    "target_name",
    "status",
    "organization_name",
    "workspace_name",
    "client_ip",
)


class Question(NamedTuple):
    title: str
    about: str
    query: str


EVERYTHING = "all-entries"
"""The name of the search that leaves nothing out."""

QUESTIONS: Mapping[str, Question] = {
    EVERYTHING: Question("all entries", "Every entry, newest first.", ""),
    "sign-ins": Question("sign-ins", "Who signed in, or tried to; status is the method.", "type: *_sign_in"),
    "failed-sign-ins": Question(
        "failed sign-ins", "Who could not sign in; target is who tried.", "type: *_sign_in and outcome: failure"
    ),
    "failures": Question(
        "failures",
        "What failed, by outcome, status or event type.",
        "outcome: failure or status: (failed or Failed or FAILED) or type: *_failed",
    ),
    "rights": Question(
        "changes of rights",
        "Members, their roles, teams and access tokens.",
        "type: (participant_* or team_* or access_token_* or *_role_*)",
    ),
    "deletions": Question(
        "deletions", "What was deleted, removed or dropped.", "type: (*_deleted or *_removed or *_dropped)"
    ),
    "credentials-access": Question("credentials access", "Each reading of credentials.", "type: credentials_accessed"),
    "on-behalf": Question("on behalf of others", "What one user did as another.", "on_behalf_of: *"),
}


def saved_searches(settings: Settings, tab_url: str = "") -> tuple[SavedObject, ...]:
    """All searches; with `tab_url` the ID of an entry is a column, as it is a link then."""
    columns = [*COLUMNS, *(["_id"] if tab_url else [])]
    return tuple(_search(settings, name, question, columns) for name, question in QUESTIONS.items())


def _search(settings: Settings, name: str, question: Question, columns: list[str]) -> SavedObject:
    attributes = {
        "title": titled(settings, question.title),
        "description": question.about,
        "hits": 0,
        "columns": columns,
        "sort": [["@timestamp", "desc"]],
    }
    source = {"query": dql(question.query), "highlightAll": True, "version": True}
    return over_entries(settings, "search", name, attributes, source)
