"""The roles for the Security plugin: who may write, read one organization's entries, read all, set up and erase.

| role | may |
| --- | --- |
| writer | store entries and checkpoints (the shipper) |
| reader | read the entries of the organization in their user attribute `organization_id` |
| auditor | read all entries, the checkpoints and the ledger |
| admin | run `whodid setup`, `retention` and `hold`, delete whole partitions, read all entries, write to the ledger |
| eraser | run `whodid erase`: read all entries, overwrite them, write to the ledger |

Facts, each tried on a real cluster: a role that may create documents may also overwrite those whose ID it knows
(OpenSearch has no right to create only). A bulk request needs a right on the cluster besides that on the index, and one
to a missing index needs `indices:admin/create`, which `indices:admin/auto_create` does not replace. A user with that
right can also prepare the next partition, so administrators create partitions. Templates and ISM policies have no
owners: who may write one may write all. The filter of the reader is not applied to global aggregations, which return
whole entries of others, nor to suggesters (docs/explanation/security.md).

`opensearch/roles/` has the roles under default settings, for people to read; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..cluster.connection import is_missing_plugin, translated
from ..cluster.ledger import checkpoint_index_name, ledger_name
from ..cluster.template import OWNER, Change, changed_by_hand, compared, index_pattern, with_fingerprint
from ..errors import NotAuthorized, OpenSearchError
from ..settings import Settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["NO_ACCOUNTS", "delete_role", "plan_roles", "role_by_hand", "role_name", "roles", "stored_role"]

_OF_ONE_ORGANIZATION = json.dumps(
    {"term": {"organization_id": "${attr.internal.organization_id}"}}, separators=(",", ":")
)
_READ = ["read", "indices:monitor/settings/get", "indices:admin/opensearch/ism/managedindex"]
"""The last right changes nothing: without it, ISM's `explain` silently omits indices (`TransportExplainAction` of
opensearch-project/index-management)."""
_ADD = ["indices:admin/get", "indices:data/write/index", "indices:data/write/bulk*"]
"""The rights to see an index and create documents in it."""
_CREATE = ["indices:admin/create", *_ADD]
"""The rights to create an index as well."""
NO_ACCOUNTS = "this cluster has no Security plugin"
_SEE_RETENTION = [
    "cluster:admin/opendistro/ism/policy/get",
    "cluster:admin/opendistro/ism/policy/search",
    "cluster:admin/opendistro/ism/managedindex/explain",
]

_MERGE = (
    "indices:admin/settings/update",
    "indices:admin/flush*",
    "indices:admin/forcemerge*",
    "indices:monitor/stats",
)
"""The rights to remove a replaced document from the files of OpenSearch."""


def role_name(settings: Settings, kind: str) -> str:
    """The name of a role, such as `whodid_writer`; another index prefix gives other names."""
    owner = "whodid" if settings.index_prefix == "whodid-audit" else settings.index_prefix
    return f"{owner}_{kind}"


def roles(settings: Settings) -> dict[str, dict[str, Any]]:
    """Each role's name and the body of `PUT _plugins/_security/api/roles/<name>`."""
    pattern, ledger, checkpoints = index_pattern(settings), ledger_name(settings), checkpoint_index_name(settings)
    bodies = {
        "writer": _role(
            "stores audit entries and checkpoints, and reads none",
            ["indices:data/write/bulk", "indices:admin/index_template/get", "cluster:monitor/health"],
            pattern,
            _ADD,
            others={checkpoints: _ADD},
        ),
        "reader": _role(
            "reads the audit entries of the organization in the user's attribute organization_id; OpenSearch's filter "
            "can be got round by who asks the cluster directly: see `whodid help security`",
            _SEE_RETENTION,
            pattern,
            _READ,
            _OF_ONE_ORGANIZATION,
        ),
        "auditor": _role(
            "reads all audit entries, checkpoints, holds and destruction records",
            [*_SEE_RETENTION, "cluster:monitor/health"],
            pattern,
            [*_READ, "indices:admin/mappings/get"],
            others={ledger: ["read"], checkpoints: ["read"]},
        ),
        "admin": _role(
            "runs whodid setup, retention and hold, deletes whole partitions, reads all audit entries",
            [
                "cluster:monitor/health",
                "cluster:monitor/nodes/info",
                "cluster:monitor/state",
                "indices:admin/index_template/get",
                "indices:admin/index_template/put",
                "indices:admin/index_template/simulate_index",
                "indices:admin/index_template/delete",
                "cluster:admin/opendistro/ism/*",
                "cluster:admin/repository/get",
                "cluster:admin/snapshot/create",
                "cluster:admin/snapshot/get",
                "indices:data/write/bulk",
            ],
            pattern,
            [
                *_READ,
                "indices:monitor/*",
                "indices:admin/create",
                "indices:admin/get",
                "indices:admin/mappings/get",
                "indices:admin/mapping/put",
                "indices:admin/settings/update",
                "indices:admin/refresh*",
                "indices:admin/delete",
            ],
            others={ledger: ["read", *_CREATE, "indices:admin/refresh*"], checkpoints: ["read", *_CREATE]},
        ),
        "eraser": _role(
            "runs whodid erase: reads all audit entries, and may overwrite each of them",
            ["indices:data/write/bulk", "indices:data/read/mget", "cluster:admin/snapshot/get", *_SEE_RETENTION],
            pattern,
            [
                *_READ,
                "indices:admin/mappings/get",
                "indices:data/write/index",
                "indices:data/write/bulk*",
                "indices:admin/refresh*",
                *_MERGE,
            ],
            others={ledger: ["read", *_CREATE, "indices:admin/refresh*"]},
        ),
    }
    return {role_name(settings, kind): with_fingerprint(body, "description") for kind, body in bodies.items()}


def plan_roles(client: OpenSearch, settings: Settings) -> tuple[Change, ...]:
    """The changes that the roles need. Raises `OpenSearchError`, but not for a user who may not manage roles."""
    changes = []
    for name, wanted in roles(settings).items():
        try:
            stored = _stored(client, name)
        except _NoPlugin:
            return (Change("roles", "unavailable", note=NO_ACCOUNTS),)
        except NotAuthorized:
            note = "this user may not manage roles: let an administrator of the cluster run the setup once"
            return (Change("roles", "unavailable", note=note),)
        known = stored and {key: stored.get(key) for key in wanted}
        by_hand = stored is not None and role_by_hand(stored)
        make = partial(_put, client, name, wanted)
        changes.append(compared(f"role {name}", known, wanted, make, by_hand=by_hand))
    return tuple(changes)


def stored_role(client: OpenSearch, name: str) -> dict[str, Any] | None:
    """The stored role; `None` if there is none, or no Security plugin. Raises `OpenSearchError`."""
    try:
        return _stored(client, name)
    except _NoPlugin:
        return None


def role_by_hand(stored: dict[str, Any]) -> bool:
    """Whether somebody changed the role since `whodid setup` made it, or somebody else made it."""
    known = {name: stored.get(name) for name in _role("", [], "", [])}
    return changed_by_hand(known, "description", ours=str(known["description"]).startswith(OWNER))


def delete_role(client: OpenSearch, name: str) -> None:
    """Deletes a role. Raises `OpenSearchError`."""
    with translated(f"the role {name}"):
        _call(client, "DELETE", name)


class _NoPlugin(OpenSearchError):
    """The cluster has no Security plugin."""


def _stored(client: OpenSearch, name: str) -> dict[str, Any] | None:
    from opensearchpy import NotFoundError, RequestError

    with translated(f"the role {name}"):
        try:
            found: dict[str, Any] = _call(client, "GET", name)[name]
        except NotFoundError:
            return None
        except RequestError as error:
            if is_missing_plugin(error):
                raise _NoPlugin("this cluster has no Security plugin") from error
            raise
    return found


def _put(client: OpenSearch, name: str, wanted: dict[str, Any]) -> None:
    with translated(f"the role {name}"):
        _call(client, "PUT", name, wanted)


def _role(
    description: str,
    cluster: list[str],
    pattern: str,
    allowed: list[str],
    only: str | None = None,
    *,
    others: Mapping[str, list[str]] = {},
) -> dict[str, Any]:
    """A role in the form in which the plugin returns it; `others` are further indices and their rights."""
    of_index = _of_index(pattern, allowed)
    if only:
        of_index["dls"] = only
    return {
        "description": f"{OWNER}{description}",
        "cluster_permissions": cluster,
        "index_permissions": [of_index, *(_of_index(*other) for other in others.items())],
        "tenant_permissions": [],
    }


def _of_index(pattern: str, allowed: list[str]) -> dict[str, Any]:
    return {"index_patterns": [pattern], "fls": [], "masked_fields": [], "allowed_actions": allowed}


def _call(client: OpenSearch, method: str, name: str, body: Any = None) -> Any:
    return client.transport.perform_request(method, f"/_plugins/_security/api/roles/{name}", body=body)
