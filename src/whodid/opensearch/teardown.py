"""The teardown: what setup made, taken away again: index template, ISM policy, roles; never an entry.

Only what carries our mark goes, and nothing that somebody changed by hand unless told to. Partitions, their holds and
the ledger stay. ISM goes on with the copies of the policy that its jobs have (recorded): what is due is still deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..settings import Settings
from .connection import translated
from .drift import OWNER
from .ism import Ism, policy_by_hand, policy_name
from .security import delete_role, role_by_hand, roles, stored_role
from .template import MARK, template_by_hand, template_name

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Removal", "removals"]


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing of ours, or why it stays: `foreign` (not ours), `by hand` (somebody changed it)."""

    what: str
    stays: Literal["", "foreign", "by hand"] = ""
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
                lambda: _delete_template(client, name),
            )
    yield from _policy(client, settings)
    for role in roles(settings):
        body = stored_role(client, role)
        if body is not None:
            ours = str(body.get("description")).startswith(OWNER)
            stays = _stays(ours, role_by_hand(body))
            yield Removal(f"role {role}", stays, partial(delete_role, client, role))


def _policy(client: OpenSearch, settings: Settings) -> Iterator[Removal]:
    ism, name = Ism(client), policy_name(settings)
    stored = ism.policy(name) if ism.available() else None
    if stored is not None:
        ours = str(stored.policy.get("description")).startswith(OWNER)
        yield Removal(f"ISM policy {name}", _stays(ours, policy_by_hand(stored)), lambda: ism.delete_policy(name))


def _stays(ours: bool, by_hand: bool) -> Literal["", "foreign", "by hand"]:
    return "foreign" if not ours else "by hand" if by_hand else ""


def _delete_template(client: OpenSearch, name: str) -> None:
    with translated(f"the index template {name}"):
        client.indices.delete_index_template(name=name)
