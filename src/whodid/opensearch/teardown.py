"""The teardown: what setup created is removed again: index template, ISM policy, roles; never an entry.

Only what carries our mark is removed, and nothing that somebody changed by hand unless told to. Partitions, their holds
and the ledger stay. ISM continues with the copies of the policy that its jobs have (recorded): what is due is still
deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..errors import NotAuthorized
from ..settings import Settings
from .connection import translated
from .drift import OWNER
from .ism import Ism, policy_by_hand, policy_name
from .retention import outlook
from .security import delete_role, role_by_hand, roles, stored_role
from .template import MARK, template_by_hand, template_name

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Removal", "removals"]


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing of ours, or why it stays: `foreign` (not ours), `by hand` (changed), `refused` (this user may not).

    `note` says what a person should know.
    """

    what: str
    stays: Literal["", "foreign", "by hand", "refused"] = ""
    note: str = ""
    make: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


def removals(client: OpenSearch, settings: Settings) -> Iterator[Removal]:
    """What is there. Raises `OpenSearchError`."""
    name = template_name(settings)
    with translated(f"the index template {name}"):
        if client.indices.exists_index_template(name=name):
            stored = client.indices.get_index_template(name=name)["index_templates"][0]["index_template"]
            ours = (stored.get("_meta") or {}).get("managed_by") == MARK["managed_by"]
            yield Removal(
                f"index template {name}",
                _stays(ours, template_by_hand(stored)),
                make=lambda: _delete_template(client, name),
            )
    yield from _policy(client, settings)
    yield from _roles(client, settings)


def _roles(client: OpenSearch, settings: Settings) -> Iterator[Removal]:
    for role in roles(settings):
        try:
            body = stored_role(client, role)
        except NotAuthorized:
            yield Removal("roles", "refused", "an administrator of the cluster may remove them")
            return
        if body is not None:
            ours = str(body.get("description")).startswith(OWNER)
            stays = _stays(ours, role_by_hand(body))
            yield Removal(f"role {role}", stays, make=partial(delete_role, client, role))


def _policy(client: OpenSearch, settings: Settings) -> Iterator[Removal]:
    ism, name = Ism(client), policy_name(settings)
    stored = ism.policy(name) if ism.available() else None
    if stored is not None:
        ours = str(stored.policy.get("description")).startswith(OWNER)
        stays = _stays(ours, policy_by_hand(stored))
        yield Removal(f"ISM policy {name}", stays, _still(client, settings), make=lambda: ism.delete_policy(name))


def _still(client: OpenSearch, settings: Settings) -> str:
    """What ISM deletes without the policy."""
    left = sum(fate.due is not None for fate in outlook(client, settings).fates)
    return f"ISM still deletes {left} partitions by the copies that its jobs have; a hold keeps one" if left else ""


def _stays(ours: bool, by_hand: bool) -> Literal["", "foreign", "by hand"]:
    return "foreign" if not ours else "by hand" if by_hand else ""


def _delete_template(client: OpenSearch, name: str) -> None:
    with translated(f"the index template {name}"):
        client.indices.delete_index_template(name=name)
