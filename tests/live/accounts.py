"""People with OpenSearch accounts and whodid's roles, in a corner of the secured cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest import mock

from opensearchpy import OpenSearch

from tests.live.corner import Corner, corner
from tests.opensearch_node import SecuredNode
from whodid.setup.roles import role_name, roles

__all__ = ["PASSWORD", "account", "secured_corner"]

PASSWORD = "Str0ng-Pass-Phrase-9!"


@contextmanager
def secured_corner(node: SecuredNode, folder: Path) -> Iterator[Corner]:
    """A corner, set up with roles of its own; roles and accounts go with it."""
    administrator = node.settings()
    host = administrator.pop("opensearch_hosts")[0]
    with corner(host, folder, **administrator) as place:
        try:
            with mock.patch("whodid.setup.setup._AHEAD", timedelta(0)):  # one partition, also on a month's last day
                place.set_up()
                yield place
        finally:
            for kind, ours in (("internalusers", place.settings.index_prefix), ("roles", tuple(roles(place.settings)))):
                made = [name for name in _security(place.client, "GET", kind) if name.startswith(ours)]
                if made:
                    _security(place.client, "PATCH", kind, [{"op": "remove", "path": f"/{name}"} for name in made])


def account(place: Corner, kind: str, name: str = "", also: Sequence[str] = (), **attributes: str) -> str:
    """The name of a new user with that role, those of `also`, and `PASSWORD`."""
    user = f"{place.settings.index_prefix}-{name or kind}"
    held = [role_name(place.settings, one) for one in (kind, *also)]
    body = {"password": PASSWORD, "opendistro_security_roles": held, "attributes": attributes}
    _security(place.client, "PUT", f"internalusers/{user}", body)
    return user


def _security(client: OpenSearch, method: str, path: str, body: object = None) -> dict[str, object]:
    answer: dict[str, object] = client.transport.perform_request(method, f"/_plugins/_security/api/{path}", body=body)
    return answer
