"""Checks of the connection to the cluster (name, address, certificate, account), and of the rights of the user.

The Security plugin answers a request with `perform_permission_check` with the missing rights, and does not execute it
(OpenSearch 3.4.0; older versions reject the unknown parameter). A search is checked first. The requests that write
would fail and store nothing even if a proxy removed the parameter. If the cluster does not support the check, the names
of the user's roles decide.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..cluster.connection import cause, is_missing_plugin, tls_context, translated
from ..errors import NotAuthenticated, NotAuthorized, OpenSearchError, OpenSearchUnavailable
from ..journal import JournalDirectory
from ..setup.roles import role_name
from .finding import Finding, Subject, ok, problem, warning

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["examine"]

_SOON = 30
_VERY_SOON = 7
_DAY = 86400


def examine(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    """Check each host; an unreachable one is a problem only if all are unreachable."""
    hosts = subject.settings.opensearch_hosts
    findings = [list(_host(subject, host, subject.timeout * 0.7 / len(hosts))) for host in hosts]
    reachable = any(not _failed(each) for each in findings)
    for finding in (finding for each in findings for finding in each):
        if reachable and finding.severity == "problem":
            yield warning(finding.on, finding.what, finding.advice)
        else:
            yield finding
    if subject.settings.opensearch_ca:
        yield from _authorities(subject)
    if reachable:
        yield from _account(subject, client)


def _failed(findings: list[Finding]) -> bool:
    return any(finding.severity == "problem" for finding in findings)


def _host(subject: Subject, url: str, timeout: float) -> Iterator[Finding]:
    parts = urlsplit(url)
    name, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 9200)
    try:
        connected = socket.create_connection((name, port), timeout)
    except socket.gaierror as error:
        yield problem(
            url,
            f"no address for {name}: {error.strerror}",
            "check the name in opensearch_hosts, and this host's DNS",
        )
    except TimeoutError:
        yield problem(
            url, f"no connection within {timeout:.1f} s", "check address and port; a firewall may drop the packets"
        )
    except OSError as error:
        yield problem(
            url,
            f"no connection: {error.strerror or error}",
            "start OpenSearch there (`whodid dev up` for development), or correct address and port",
        )
    else:
        with connected:
            yield from (
                _certificate(subject, url, name, connected)
                if parts.scheme == "https"
                else [ok(url, "is connected, without TLS")]
            )


def _certificate(subject: Subject, url: str, name: str, connected: socket.socket) -> Iterator[Finding]:
    try:
        with tls_context(subject.settings).wrap_socket(connected, server_hostname=name) as secured:
            until = str((secured.getpeercert() or {}).get("notAfter", ""))
    except ssl.SSLCertVerificationError as error:
        yield problem(url, f"its certificate is not accepted: {error.verify_message}", _advice(error))
    except TimeoutError:
        yield problem(
            url,
            "is connected, but does not answer the TLS handshake",
            "check that OpenSearch, and not another service, listens there with TLS",
        )
    except OSError as error:
        yield problem(
            url,
            f"TLS failed: {cause(error)}",
            "check that OpenSearch listens there with TLS, and opensearch_client_cert if it asks for one",
        )
    else:
        yield _lasts(url, "the certificate", until)


def _advice(error: ssl.SSLCertVerificationError) -> str:
    text = error.verify_message
    if "expired" in text or "not yet valid" in text:
        return "renew the certificate of the cluster; if it is valid, check the clock of this host"
    if "mismatch" in text or "not valid for" in text:
        return "use the host name of the certificate in opensearch_hosts"
    return "set opensearch_ca to the file of its authority"


def _authorities(subject: Subject) -> Iterator[Finding]:
    for authority in tls_context(subject.settings).get_ca_certs():
        yield _lasts(subject.settings.opensearch_ca, "an authority in it", str(authority.get("notAfter", "")))


def _lasts(on: str, whose: str, until: str) -> Finding:
    if not until:
        return ok(on, f"{whose} is accepted")
    days = int((ssl.cert_time_to_seconds(until) - time.time()) // _DAY)
    what = f"{whose} expires in {days} days" if days >= 0 else f"{whose} has expired"
    if days < _VERY_SOON:
        return problem(on, what, "renew it now: shipping stops that day")
    return warning(on, what, "renew it") if days < _SOON else ok(on, what)


def _account(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    from opensearchpy import ConnectionTimeout, RequestError

    on = subject.settings.opensearch_user or "the cluster"
    try:
        with translated("the account of this user"):
            try:
                client.transport.perform_request("GET", "/_plugins/_security/authinfo")
            except RequestError as error:
                if not is_missing_plugin(error):
                    raise
                yield ok(on, "the cluster has no accounts: anyone who can connect may do everything")
                return
    except NotAuthenticated:
        yield problem(
            on,
            "the cluster rejected this user name or password",
            "check opensearch_user and the file of its password",
        )
    except NotAuthorized as error:
        yield problem(on, str(error), "ask an administrator of the cluster")
    except OpenSearchUnavailable as error:
        if isinstance(error.__cause__, ConnectionTimeout):
            yield problem(
                on,
                "is connected, but did not answer in time",
                "check the load and the log of the cluster; --timeout 30 waits longer",
            )
        else:
            yield problem(on, str(error), "check that OpenSearch has started, and check its log")
    else:
        yield ok(on, "is accepted")


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


def examine_rights(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    from opensearchpy import RequestError

    with translated("the account of this user"):
        try:
            account = client.transport.perform_request("GET", "/_plugins/_security/authinfo")
        except RequestError as error:
            if not is_missing_plugin(error):
                raise
            yield ok("the cluster", "has no accounts: everyone has all rights")
            return
    user = str(account.get("user_name"))
    lacks = _lacks(subject, client, account)
    records_here = any(JournalDirectory(subject.journal_dir).journals())
    for job, missing in lacks.items():
        if not missing:
            yield ok(user, f"may {job}")
            continue
        what = f"may not {job}: lacks {', '.join(missing)}"
        advice = f"if this user needs it, map the role {role_name(subject.settings, _JOBS[job][0][0])} to the user"
        if all(lacks.values()):
            yield problem(user, what, advice)
        elif records_here and job.startswith("store"):
            yield warning(user, what, advice)
        else:
            yield ok(user, what)


def _lacks(subject: Subject, client: OpenSearch, account: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the missing rights for each task."""
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
        raise OpenSearchError("this cluster does not report the rights of a user")
    return [] if answer["accessAllowed"] else [str(each) for each in answer.get("missingPrivileges", ["a right"])]
