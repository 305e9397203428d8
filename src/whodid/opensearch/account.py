"""The account: whether a cluster has accounts, and whose a user name and password are.

Nobody is ever let in by the credentials of the settings: those belong to the program, not to the person in front of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import NotAuthenticated, NotAuthorized
from ..settings import Settings
from .connection import connect, is_missing_plugin, translated

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["has_accounts", "settings_of"]

_NOBODY: dict[str, Any] = {
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

    client = connect(replace(settings, **_NOBODY))
    try:
        with translated("the cluster's accounts"):
            try:
                _who_am_i(client)
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
    """The settings of a connection as that user. Raises `NotAuthenticated` where the cluster does not know them."""
    if not user or not password or ":" in user:
        raise NotAuthenticated("signing in: user and password are needed")
    theirs = replace(settings, **{**_NOBODY, "opensearch_user": user, "opensearch_password": password})
    client = connect(theirs)
    try:
        with translated("signing in"):
            _who_am_i(client)
    finally:
        client.close()
    return theirs


def _who_am_i(client: OpenSearch) -> None:
    client.transport.perform_request("GET", "/_plugins/_security/authinfo")
