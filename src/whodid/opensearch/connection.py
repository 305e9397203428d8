"""The connection: an OpenSearch client made from the settings, and its errors in our words.

TLS is verified, with the system's authorities or `opensearch_ca`. Nothing here retries: who calls knows better when.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OpenSearchError, OpenSearchUnavailable, SettingsError
from ..settings import Settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["connect", "translated"]


def connect(settings: Settings) -> OpenSearch:
    """A client of the cluster in the settings; nothing is sent yet. Raises `SettingsError`."""
    from opensearchpy import OpenSearch

    options: dict[str, Any] = {}
    if settings.opensearch_ca:
        options["ca_certs"] = _existing("opensearch_ca", settings.opensearch_ca)
    if settings.opensearch_client_cert:
        options["client_cert"] = _existing("opensearch_client_cert", settings.opensearch_client_cert)
        options["client_key"] = _existing("opensearch_client_key", settings.opensearch_client_key)
    password = _password(settings)
    if settings.opensearch_user:
        options["http_auth"] = (settings.opensearch_user, password)
    return OpenSearch(
        hosts=list(settings.opensearch_hosts),
        timeout=settings.opensearch_timeout,
        max_retries=0,
        retry_on_timeout=False,
        **options,
    )


def _password(settings: Settings) -> str:
    if not settings.opensearch_password_file:
        return settings.opensearch_password
    path = Path(_existing("opensearch_password_file", settings.opensearch_password_file))
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.warn(f"{path} can be read by others; set its mode to 0600", stacklevel=3)
    return path.read_text(encoding="utf-8").strip()


def _existing(setting: str, name: str) -> str:
    try:
        Path(name).open("rb").close()
    except OSError as error:
        raise SettingsError(f"{setting}: {name!r} can't be read ({error.strerror})") from error
    return name


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns every error of the client library inside the block into an `OpenSearchError` about `what`."""
    from opensearchpy import ConnectionError as NoConnection
    from opensearchpy import ConnectionTimeout, OpenSearchException, SSLError, TransportError

    try:
        yield
    except ConnectionTimeout as error:
        raise OpenSearchUnavailable(f"{what}: OpenSearch gave no answer in time; raise opensearch_timeout") from error
    except SSLError as error:
        raise OpenSearchUnavailable(
            f"{what}: the certificate of OpenSearch was not accepted ({_cause(error)}); "
            "name its authority in opensearch_ca"
        ) from error
    except NoConnection as error:
        raise OpenSearchUnavailable(
            f"{what}: OpenSearch can't be reached ({_cause(error)}); check opensearch_hosts, or start one for "
            "development with `whodid dev up`"
        ) from error
    except TransportError as error:
        raise _refused(what, error) from error
    except OpenSearchException as error:
        raise OpenSearchError(f"{what}: {error}") from error


def _refused(what: str, error: Any) -> OpenSearchError:
    status = error.status_code
    if status == 401:
        return OpenSearchError(f"{what}: OpenSearch knows neither user nor password; check opensearch_user")
    if status == 403:
        return OpenSearchError(
            f"{what}: this user lacks the right ({_reason(error)}); ask an administrator for the role"
        )
    if status in {429, 502, 503, 504}:
        return OpenSearchUnavailable(f"{what}: OpenSearch is busy or starting (HTTP {status}); try again")
    return OpenSearchError(f"{what}: OpenSearch answered HTTP {status}: {_reason(error)}")


def _reason(error: Any) -> str:
    """OpenSearch's own words, on one line."""
    info = getattr(error, "info", None)
    body = info.get("error") if isinstance(info, dict) else None
    if isinstance(body, dict):
        causes = body.get("root_cause") or [body]
        return str(causes[0].get("reason") or body.get("reason") or body.get("type"))
    return str(body or error.error)[:200].replace("\n", " ")


def _cause(error: Any) -> str:
    """The innermost reason of a failed connection, without addresses of objects."""
    cause = getattr(error, "info", None) or error
    while isinstance(cause, BaseException) and (inner := getattr(cause, "reason", None) or cause.__cause__):
        cause = inner
    text = str(cause)
    return text.split(": ", 1)[-1] if "object at 0x" in text else text
