"""The rights: what the user in the settings may do in the cluster, found out without doing it.

The Security plugin answers a request with `perform_permission_check` by saying what is missing, and does nothing else
(OpenSearch 3.4.0; one without it refuses the unknown parameter). The requests below would fail if they were run all the
same. Where the cluster can't be asked so, the names of the user's roles say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import OpenSearchError
from ..opensearch.connection import is_missing_plugin, translated
from ..opensearch.security import role_name
from .finding import Finding, ok, problem, warning
from .subject import Subject

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["examine"]

_NO_SHARDS = {"settings": {"number_of_shards": -1}}
_READ = [("GET", "/{index}/_search", None)]
_STORE: list[tuple[str, str, Any]] = [
    ("POST", "/_bulk", b'{"create":{"_index":"{index}"}}\n{"not":"an entry"}\n'),
    ("PUT", "/{index}/_create/probe", {"not": "an entry"}),
    ("PUT", "/{index}", _NO_SHARDS),
]
_JOBS = {"store entries (whodid ship)": ("writer", _STORE), "read entries (whodid search)": ("auditor", _READ)}


def examine(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    from opensearchpy import RequestError

    with translated("who we are"):
        try:
            account = client.transport.perform_request("GET", "/_plugins/_security/authinfo")
        except RequestError as error:
            if not is_missing_plugin(error):
                raise
            yield ok("the cluster", "has no accounts: every right is everybody's")
            return
    user = str(account.get("user_name"))
    lacks = {job: _lacks(subject, client, account, *about) for job, about in _JOBS.items()}
    for job, missing in lacks.items():
        role = role_name(subject.settings, _JOBS[job][0])
        if not missing:
            yield ok(user, f"may {job}")
            continue
        found = problem if all(lacks.values()) else warning
        yield found(
            user,
            f"may not {job}: lacks {', '.join(missing)}",
            f"if it is this user's task, map the role {role} to {user}",
        )


def _lacks(
    subject: Subject, client: OpenSearch, account: Mapping[str, Any], kind: str, requests: list[tuple[str, str, Any]]
) -> list[str]:
    """What is missing for a task; empty when nothing is."""
    index = f"{subject.settings.index_prefix}-rights-probe"
    missing: dict[str, None] = {}
    try:
        for method, path, body in requests:
            sent = body.replace(b"{index}", index.encode()) if isinstance(body, bytes) else body
            missing |= dict.fromkeys(_asked(client, method, path.replace("{index}", index), sent))
    except OpenSearchError:
        wanted = role_name(subject.settings, kind)
        return [] if {wanted, "all_access"} & set(account.get("roles", ())) else [f"the role {wanted}"]
    return list(missing)


def _asked(client: OpenSearch, method: str, path: str, body: Any) -> list[str]:
    with translated("the rights of this user"):
        answer = client.transport.perform_request(method, path, params={"perform_permission_check": "true"}, body=body)
    if not isinstance(answer, dict) or "accessAllowed" not in answer:
        raise OpenSearchError("this cluster does not tell the rights of a user")
    return [] if answer["accessAllowed"] else [str(each) for each in answer.get("missingPrivileges", ["a right"])]
