"""The rights: what the user in the settings may do in the cluster, found out without doing it.

The Security plugin answers a request with `perform_permission_check` by saying what is missing, and does nothing else
(OpenSearch 3.4.0; one without it refuses the unknown parameter). A search is asked about first, and only where that is
answered so, writing; and those requests would fail, and make nothing, if something on the way took the parameter out.
Where the cluster can't be asked so, the names of the user's roles say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..cluster.connection import is_missing_plugin, translated
from ..errors import OpenSearchError
from ..journal import JournalDirectory
from ..setup.roles import role_name
from .finding import Finding, ok, problem, warning
from .subject import Subject

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["examine"]

_READ = [("GET", "/{index}/_search", None)]
_STORE: list[tuple[str, str, Any]] = [
    ("POST", "/{index}/_bulk?require_alias=true", b'{"create":{}}\n{"not":"an entry"}\n'),
    ("PUT", "/{index}/_create/probe?require_alias=true", {"not": "an entry"}),
    ("GET", "/{index}", None),
]
_CHECK = "perform_permission_check=true"
_JOBS = {
    "read entries (whodid search)": (("auditor", "reader", "admin"), _READ),
    "store entries (whodid ship)": (("writer",), _STORE),
}


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
    lacks = _lacks(subject, client, account)
    records_here = any(JournalDirectory(subject.journal_dir).journals())
    for job, missing in lacks.items():
        if not missing:
            yield ok(user, f"may {job}")
            continue
        what = f"may not {job}: lacks {', '.join(missing)}"
        advice = f"where it is to do that, map the role {role_name(subject.settings, _JOBS[job][0][0])} to it"
        if all(lacks.values()):
            yield problem(user, what, advice)
        elif records_here and job.startswith("store"):
            yield warning(user, what, advice)
        else:
            yield ok(user, what)


def _lacks(subject: Subject, client: OpenSearch, account: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is missing for each task; empty when nothing is."""
    index = f"{subject.settings.index_prefix}-rights-probe"
    try:
        return {
            job: [
                each for method, path, body in asked for each in _asked(client, method, path.format(index=index), body)
            ]
            for job, (_, asked) in _JOBS.items()
        }
    except OpenSearchError:
        held = set(account.get("roles", ()))
        wanted = {job: [role_name(subject.settings, kind) for kind in kinds] for job, (kinds, _) in _JOBS.items()}
        return {job: [] if held & {*names, "all_access"} else [f"the role {names[0]}"] for job, names in wanted.items()}


def _asked(client: OpenSearch, method: str, path: str, body: Any) -> list[str]:
    with translated("the rights of this user"):
        answer = client.transport.perform_request(method, f"{path}{'&' if '?' in path else '?'}{_CHECK}", body=body)
    if not isinstance(answer, dict) or "accessAllowed" not in answer:
        raise OpenSearchError("this cluster does not tell the rights of a user")
    return [] if answer["accessAllowed"] else [str(each) for each in answer.get("missingPrivileges", ["a right"])]
