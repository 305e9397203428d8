"""The connection to OpenSearch: a client made from the settings, its errors, the cluster's features, and sign-in.

TLS is verified, with the system's authorities or `opensearch_ca`. Unreachable hosts are skipped; nothing else is
retried here, since the caller knows best when.

If a user may not read a feature of the cluster (codecs, versions, snapshot repositories), the safe default is assumed.

A person is never signed in with the credentials of the settings: those belong to the program.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import NotAuthenticated, NotAuthorized, NotTrusted, OpenSearchError, OpenSearchUnavailable, SettingsError
from ..files import read_bytes, read_secret
from ..settings import Settings
from ..text import FOREIGN

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = [
    "authorization",
    "cause",
    "check_repository",
    "codec",
    "connect",
    "has_accounts",
    "is_missing_plugin",
    "restores_sorted",
    "settings_of",
    "tls_context",
    "translated",
    "versions",
]


def connect(settings: Settings) -> OpenSearch:
    """A client for the cluster in the settings; it sends nothing yet. Raises `SettingsError`."""
    from opensearchpy import OpenSearch

    from .answers import AnswerSerializer

    options: dict[str, Any] = {}
    if any(host.startswith("https:") for host in settings.opensearch_hosts):
        options["ssl_context"] = tls_context(settings)
    if settings.opensearch_aws_region:
        options["http_auth"] = _signer(settings)
    elif header := authorization(settings):
        options["headers"] = {"authorization": header}
    return OpenSearch(
        hosts=list(settings.opensearch_hosts),
        timeout=settings.opensearch_timeout,
        max_retries=len(settings.opensearch_hosts) - 1,  # unreachable hosts are skipped
        retry_on_timeout=False,
        serializer=AnswerSerializer(),
        **options,
    )


def tls_context(settings: Settings) -> ssl.SSLContext:
    """A context that verifies certificate and host name. Every file is read here, to report a wrong one at once."""
    authority, certificate, key = (
        settings.opensearch_ca,
        settings.opensearch_client_cert,
        settings.opensearch_client_key,
    )
    if authority:
        read_bytes("opensearch_ca", authority)
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except ssl.SSLError as error:
        raise SettingsError(f"opensearch_ca: {authority!r} holds no certificate (PEM)") from error
    if key and not certificate:
        raise SettingsError("opensearch_client_key is set without opensearch_client_cert")
    if certificate:
        read_bytes("opensearch_client_cert", certificate)
        if key:
            read_bytes("opensearch_client_key", key)
        try:
            # With an empty password an encrypted key is an error instead of a prompt.
            context.load_cert_chain(certificate, key or None, password="")
        except ssl.SSLError as error:
            raise SettingsError(
                f"opensearch_client_cert: {certificate!r} and its key {key or certificate!r} are not a certificate and "
                f"its unencrypted key (PEM): {error.reason or error}"
            ) from error
    return context


def authorization(settings: Settings) -> str:
    """The header for a token, or for user and password, made here since the client library supports only Latin-1."""
    if token := _token(settings):
        return f"Bearer {token}"
    user, password = settings.opensearch_user, _password(settings)
    if not user:
        if password:
            raise SettingsError("a password is set without opensearch_user")
        return ""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _signer(settings: Settings) -> Any:
    """Signs each request for Amazon. Raises `SettingsError` if botocore or its credentials are missing."""
    try:
        from botocore.session import Session
    except ImportError as error:
        raise SettingsError("opensearch_aws_region needs the extra: pip install 'whodid[aws]'") from error
    from opensearchpy import Urllib3AWSV4SignerAuth

    credentials = Session().get_credentials()
    if credentials is None:
        raise SettingsError(
            "opensearch_aws_region is set, and botocore finds no credentials: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, a profile, or a role of this machine"
        )
    return Urllib3AWSV4SignerAuth(credentials, settings.opensearch_aws_region, settings.opensearch_aws_service)


def _token(settings: Settings) -> str:
    name, token = "opensearch_token", settings.opensearch_token
    if settings.opensearch_token_file:
        name, token = "opensearch_token_file", read_secret("opensearch_token_file", settings.opensearch_token_file)
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise SettingsError(f"{name} holds no valid token: it must be one word of ASCII characters, without `Bearer`")
    return token


def _password(settings: Settings) -> str:
    if not settings.opensearch_password_file:
        return settings.opensearch_password
    return read_secret("opensearch_password_file", settings.opensearch_password_file)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns every error of the client library inside the block into an `OpenSearchError` about `what`.

    It also does so with errors from reading an answer that is not OpenSearch's, so code that reads answers belongs in
    the block. Can be used as a decorator.
    """
    from opensearchpy import ConnectionError as NoConnection
    from opensearchpy import ConnectionTimeout, OpenSearchException, SSLError, TransportError

    try:
        yield
    except ConnectionTimeout as error:
        raise OpenSearchUnavailable(
            f"{what}: OpenSearch{_at(error)} gave no answer in time; raise opensearch_timeout"
        ) from error
    except SSLError as error:
        raise NotTrusted(
            f"{what}: the certificate of OpenSearch{_at(error)} was not accepted ({cause(error)}); "
            "name its authority in opensearch_ca"
        ) from error
    except NoConnection as error:
        raise OpenSearchUnavailable(
            f"{what}: OpenSearch{_at(error)} can't be reached ({cause(error)}); check opensearch_hosts, or start one "
            "for development with `whodid dev up`"
        ) from error
    except TransportError as error:
        raise _refused(what, error) from error
    except OpenSearchException as error:
        raise OpenSearchError(f"{what}: {error}") from error
    except RecursionError as error:
        raise OpenSearchError(f"{what}: the answer is nested too deeply to be read") from error
    except FOREIGN as error:
        raise OpenSearchError(
            f"{what}: the answer is not one that OpenSearch gives ({type(error).__name__}); is a proxy in between?"
        ) from error


def is_missing_plugin(error: Any) -> bool:
    """Whether an error of the client library says that the cluster lacks the plugin of the request (recorded)."""
    info = getattr(error, "info", None)
    return isinstance(info, dict) and str(info.get("error", "")).startswith("no handler found")


def _at(error: Any) -> str:
    """` at HOST:PORT` if the failed connection names them."""
    info = getattr(error, "info", None)
    place = getattr(info, "conn", None) or getattr(info, "pool", None)
    host, port = getattr(place, "host", None), getattr(place, "port", None)
    return f" at {host}:{port}" if host else ""


def _refused(what: str, error: Any) -> OpenSearchError:
    status = error.status_code
    if status == 401:
        return NotAuthenticated(
            f"{what}: OpenSearch does not accept this user and password; check opensearch_user and its password, or "
            "the token"
        )
    if _is_block(error):
        return _blocked(what, status, _reason(error))
    if status == 403:
        return NotAuthorized(f"{what}: this user lacks the right ({_reason(error)}); ask an administrator for the role")
    if status == 500 and "DLS/FLS" in _reason(error):
        return NotAuthorized(
            f"{what}: this user's role reads the entries of one organization, and the user has no attribute "
            "organization_id that says which; ask an administrator for it"
        )
    if status in {429, 502, 503, 504}:
        return OpenSearchUnavailable(
            f"{what}: OpenSearch is busy, starting or short of a shard (HTTP {status}: {_reason(error)}); try again"
        )
    return OpenSearchError(f"{what}: OpenSearch answered HTTP {status}: {_reason(error)}")


def _is_block(error: Any) -> bool:
    info = getattr(error, "info", None)
    body = info.get("error") if isinstance(info, dict) else None
    return isinstance(body, dict) and body.get("type") == "cluster_block_exception"


def _blocked(what: str, status: int, reason: str) -> OpenSearchError:
    """The error for a block, which comes from a setting or a full disk and not from a missing right."""
    if "disk usage" in reason:
        return OpenSearchUnavailable(
            f"{what}: blocked, since the disk is almost full ({reason}); free space, and OpenSearch removes the block"
        )
    if status in {429, 503}:
        return OpenSearchUnavailable(f"{what}: blocked for now ({reason}); try again")
    return OpenSearchError(f"{what}: blocked ({reason}); set the setting of the block to null to remove it")


def _reason(error: Any) -> str:
    """OpenSearch's reason on one line."""
    try:
        return _words(error)
    except FOREIGN:
        return "the reason is not readable"


def _words(error: Any) -> str:
    info = getattr(error, "info", None)
    body = info.get("error") if isinstance(info, dict) else None
    if isinstance(body, dict):
        causes = [*(body.get("root_cause") or []), body.get("caused_by") or {}, body]
        reasons = (cause.get("reason") for cause in causes)
        return str(next((reason for reason in reasons if reason), body.get("type")))[:300].replace("\n", " ")
    return str(body or error.error)[:200].replace("\n", " ")


def cause(error: Any) -> str:
    """The innermost reason of a failed connection, without addresses of objects."""
    found = getattr(error, "info", None) or error
    while isinstance(found, BaseException) and (inner := getattr(found, "reason", None) or found.__cause__):
        found = inner
    text = str(found)
    return text.split(": ", 1)[-1] if "object at 0x" in text else text


def codec(client: OpenSearch) -> str:
    """zstd if the cluster has the codecs plugin, otherwise Lucene's best compression."""
    try:
        with translated("the cluster's plugins"):
            plugins = client.cat.plugins(params={"format": "json"})
    except OpenSearchError:
        return "best_compression"
    has_zstd = any(plugin.get("component") == "opensearch-custom-codecs" for plugin in plugins)
    return "zstd" if has_zstd else "best_compression"


def versions(client: OpenSearch) -> frozenset[str]:
    """The versions of the cluster's nodes; empty if unknown. Raises `OpenSearchUnavailable`.

    The role `whodid_admin` may not read the cluster's version, but may read those of its nodes.
    """
    nodes = "/_nodes?filter_path=nodes.*.version"
    found = _versions_from(client, nodes, lambda answer: {str(node["version"]) for node in answer["nodes"].values()})
    return found or _versions_from(client, "/", lambda answer: {str(answer["version"]["number"])})


def _versions_from(client: OpenSearch, path: str, read: Callable[[Any], set[str]]) -> frozenset[str]:
    """The versions in one answer; empty if the cluster refuses or answers something else."""
    try:
        with translated("the cluster's version"):
            return frozenset(read(client.transport.perform_request("GET", path)))
    except OpenSearchUnavailable:
        raise
    except (OpenSearchError, KeyError, TypeError, AttributeError):
        return frozenset()


def restores_sorted(client: OpenSearch) -> bool:
    """Whether a sorted index can be restored from a snapshot: not if any node is of OpenSearch 3.3 or 3.4, or unknown.

    There the restored shard fails with "can't add field [__nested_parent] as parent document field" (tried on 3.4.0;
    opensearch-project/OpenSearch issue 20073, fixed in 3.5.0). Restorable backups matter more than the space that
    sorting saves.
    """
    found = [re.match(r"(\d+)\.(\d+)\.", number) for number in versions(client)]
    numbers = [(int(one[1]), int(one[2])) for one in found if one]
    return bool(numbers) and not {(3, 3), (3, 4)}.intersection(numbers)


def check_repository(client: OpenSearch, name: str) -> None:
    """Raises `OpenSearchError` if the repository is missing: partitions to be saved there would never be deleted."""
    from opensearchpy import NotFoundError

    if not name:
        return
    with translated(f"the snapshot repository {name}"):
        try:
            client.snapshot.get_repository(repository=name)
        except NotFoundError as error:
            raise OpenSearchError(
                f"the cluster has no snapshot repository {name!r}, and no partition is deleted before it is saved "
                "there. Register the repository, or change snapshot_repository"
            ) from error


_NO_CREDENTIALS: dict[str, Any] = {
    "opensearch_user": "",
    "opensearch_password": "",
    "opensearch_password_file": "",
    "opensearch_token": "",
    "opensearch_token_file": "",
    "opensearch_aws_region": "",
    "opensearch_client_cert": "",
    "opensearch_client_key": "",
}


def has_accounts(settings: Settings) -> bool:
    """False only for a cluster without the Security plugin that answers everyone. Raises `OpenSearchError`."""
    from opensearchpy import RequestError

    client = connect(replace(settings, **_NO_CREDENTIALS))
    try:
        with translated("the cluster's accounts"):
            try:
                _authenticate(client)
            except RequestError as error:
                if is_missing_plugin(error):
                    return False
                raise
    except (NotAuthenticated, NotAuthorized):
        return True
    finally:
        client.close()
    return True


def settings_of(settings: Settings, user: str, password: str) -> Settings:
    """The settings to connect as that user. Raises `NotAuthenticated` if the cluster does not accept the password."""
    if not user or not password or ":" in user:
        raise NotAuthenticated("signing in: user and password are needed")
    theirs = replace(settings, **{**_NO_CREDENTIALS, "opensearch_user": user, "opensearch_password": password})
    client = connect(theirs)
    try:
        with translated("signing in"):
            _authenticate(client)
    finally:
        client.close()
    return theirs


def _authenticate(client: OpenSearch) -> None:
    client.transport.perform_request("GET", "/_plugins/_security/authinfo")
