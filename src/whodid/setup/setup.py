"""Setup: creates and removes the index template, the ISM policy and the roles in the cluster.

Setup is idempotent: `plan` compares and returns the differences, `apply` makes exactly these changes. An index of our
pattern without our mark is somebody else's, and aborts the setup before anything is changed. Partitions are moved only
to the policy that the settings want: if a policy that was changed by hand is kept, they are not moved.

Teardown removes only what carries our mark, and what was changed by hand only with `--force`. Entries, partitions,
holds and the ledger are kept. ISM continues with the copies of the policy in its jobs (recorded), so partitions are
still deleted when they are due.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..cluster.clock import cluster_now
from ..cluster.connection import check_repository, codec, restores_sorted, translated
from ..cluster.ledger import CheckpointIndex
from ..cluster.template import (
    FIELD_TYPES,
    MARK,
    OWNER,
    Change,
    compared,
    index_pattern,
    index_template,
    inspected_all,
    losses,
    simulated,
    template_by_hand,
    template_name,
    without_empty,
)
from ..entry import FIELDS, Stamp, partition_name, partition_start
from ..errors import NotAuthorized, OpenSearchError
from ..retention.holds import Step, make_step, steps
from ..retention.ism import Ism, policy_body, policy_by_hand, policy_name
from ..retention.moves import Move, deletions_by_moves, in_words, make_move, moves
from ..retention.schedule import DeletionSchedule, deletion_schedule
from ..settings import Settings
from .roles import NO_ACCOUNTS, delete_role, plan_roles, role_by_hand, roles, stored_role

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Removal", "apply", "plan", "plan_partitions", "removals"]


def plan(client: OpenSearch, settings: Settings) -> tuple[Change, ...]:
    """The changes that the cluster needs. Raises `OpenSearchError`, also for an index that is not ours."""
    mappings = _mappings(client, settings)
    _refuse_foreign_indices(mappings, settings)
    check_repository(client, settings.snapshot_repository)
    due = steps(client, settings)
    return (
        (template := _template(client, settings)),
        *_simulated(client, settings, template.kind),
        *_partitions(client, mappings),
        *_inspected(client, settings),
        *(_step(client, settings, step) for step in due if step.wanted),
        *_retention(client, settings),
        *(changes := plan_roles(client, settings)),
        *(plan_partitions(client, settings) if changes[0].note != NO_ACCOUNTS else ()),
        *(_step(client, settings, step) for step in due if not step.wanted),  # last, since a release needs the policy
    )


def plan_partitions(client: OpenSearch, settings: Settings, more: Collection[str] = ()) -> tuple[Change, ...]:
    """The missing indices that are due or in `more`: on a cluster with accounts, shippers may not create them.

    Raises `OpenSearchError`, also for a name that is not that of a partition, or of one that is not due yet.
    """
    now = cluster_now(client)
    for name in more:
        start = partition_start(settings.index_prefix, name)
        if start is None:
            raise OpenSearchError(f"{name} is not the name of a partition; `whodid ship` shows the one it waits for")
        if start > now + _AHEAD:
            raise OpenSearchError(
                f"{name} begins on {start:%Y-%m-%d}, more than a day from now: ISM would delete it too early, and "
                "`whodid ship` sends no entry that far ahead; create it a day before it begins"
            )
    due = {
        partition_name(settings.index_prefix, settings.partition, f"{when:%Y-%m-%dT%H:%M:%SZ}")
        for when in (now, now + _AHEAD)
    }
    missing = sorted({*more, *due} - {*_mappings(client, settings)})
    checkpoints = CheckpointIndex(client, settings)
    index = () if checkpoints.exists() else (Change(f"index {checkpoints.name}", "create", make=checkpoints.create),)
    return (*(Change(f"partition {one}", "create", make=partial(_create, client, one)) for one in missing), *index)


def apply(changes: tuple[Change, ...]) -> None:
    """Makes the changes, in order. Raises `OpenSearchError`."""
    for change in changes:
        change.make()


def _mappings(client: OpenSearch, settings: Settings) -> dict[str, Any]:
    """The mapping of each index of our pattern, by its name."""
    pattern = index_pattern(settings)
    with translated(f"the indices {pattern}"):
        answer = client.indices.get_mapping(
            index=pattern, params={"allow_no_indices": "true", "expand_wildcards": "all"}
        )
        return {name: about["mappings"] for name, about in answer.items()}


def _refuse_foreign_indices(mappings: Mapping[str, Any], settings: Settings) -> None:
    foreign = [
        name for name, mapping in mappings.items() if mapping.get("_meta", {}).get("managed_by") != MARK["managed_by"]
    ]
    if foreign:
        raise OpenSearchError(
            f"{', '.join(sorted(foreign))} match {index_pattern(settings)} but were not created by whodid, and "
            "retention would delete them. Choose another index_prefix, or rename or delete them"
        )


def _template(client: OpenSearch, settings: Settings) -> Change:
    name = template_name(settings)
    wanted = index_template(settings, codec=codec(client), sort=restores_sorted(client))
    with translated(f"the index template {name}"):
        there = client.indices.exists_index_template(name=name)
        stored = client.indices.get_index_template(name=name)["index_templates"][0]["index_template"] if there else None

    def make() -> None:
        with translated(f"the index template {name}"):
            client.indices.put_index_template(name=name, body=wanted)

    known = without_empty(stored) if stored else None  # other settings, such as `data_stream`, count too
    by_hand = stored is not None and template_by_hand(stored)
    return compared(f"index template {name}", known, wanted, make, by_hand=by_hand)


def _simulated(client: OpenSearch, settings: Settings, ours: str) -> Iterator[Change]:
    """Whether another template takes precedence; if ours is to be updated, the next run reports it."""
    if ours == "update":
        return
    name = partition_name(settings.index_prefix, settings.partition, Stamp.now().creation_date)
    try:
        found = simulated(client, name, index_template(settings) if ours == "create" else None)
    except NotAuthorized:
        yield Change(f"what would be in force in {name}", "unavailable", note="this user may not simulate templates")
        return
    if lost := losses(found):
        note = f"another template takes precedence: lower its priority, or narrow its patterns. With it, {lost}"
        yield Change(f"what would be in force in {name}", "differs", note=note)


def _inspected(client: OpenSearch, settings: Settings) -> Iterator[Change]:
    """Partitions in which entries would be lost, and to which the shipper therefore sends nothing."""
    for name, found in inspected_all(client, settings).items():
        if lost := losses(found):
            yield Change(f"partition {name}", "differs", note=f"nothing is shipped to it: {lost}")


_AHEAD = timedelta(days=1)
"""How long before its first day a partition is created; if it were earlier, ISM would delete it too early."""


def _create(client: OpenSearch, name: str) -> None:
    """Creates a partition from the template."""
    from opensearchpy import RequestError

    with translated(f"the partition {name}"):
        try:
            client.indices.create(index=name)
        except RequestError as error:
            if error.error != "resource_already_exists_exception":
                raise


def _partitions(client: OpenSearch, mappings: Mapping[str, Any]) -> tuple[Change, ...]:
    """Fields of a newer whodid, added to existing partitions, which would otherwise refuse entries with them."""
    old = {
        name: (mapping.get("_meta", {}) | MARK, missing)
        for name, mapping in sorted(mappings.items())
        if (missing := {field: FIELD_TYPES[field] for field in FIELDS if field not in mapping.get("properties", {})})
    }
    if not old:
        return ()

    def make() -> None:
        for name, (meta, missing) in old.items():
            with translated(f"the mapping of {name}"):
                client.indices.put_mapping(index=name, body={"_meta": meta, "properties": missing})

    stored: dict[str, list[str]] = {name: [] for name in old}
    wanted = {name: sorted(missing) for name, (_, missing) in old.items()}
    return (compared(f"new fields in {len(old)} partitions", stored, wanted, make),)


def _step(client: OpenSearch, settings: Settings, step: Step) -> Change:
    """A partition created since a hold over its days was set, a held one that somebody put under a policy again, or a
    released one that is still marked."""
    return Change(f"{step.partition} {step}", "update", make=partial(make_step, client, settings, step))


def _retention(client: OpenSearch, settings: Settings) -> tuple[Change, ...]:
    ism = Ism(client)
    name = policy_name(settings)
    if not ism.available():
        note = (
            "this cluster has no Index State Management; `whodid ship` deletes expired partitions if its user may, and "
            "so does `whodid retention enforce`"
        )
        return (Change(f"ISM policy {name}", "unavailable", note="" if settings.retention == "off" else note),)
    found = deletion_schedule(client, settings, strict=True)
    wanted = policy_body(settings, [one.name for one in found.partitions])
    policy = _policy(ism, name, found, wanted)
    jobs = [one.job for one in found.partitions if one.job and not one.holds]
    stored = found.policy if policy.kind == "unchanged" else None
    needed = moves(jobs, name, stored, wanted["policy"])
    now = cluster_now(client)
    if policy.kind != "unchanged":
        policy = replace(policy, loses=in_words(deletions_by_moves(client, found, needed, wanted["policy"], now)))
    changes = [_moved(ism, name, move, wanted["policy"], by_hand=policy.by_hand) for move in needed]
    if policy.kind == "unchanged":
        lost = (in_words(deletions_by_moves(client, found, [move], wanted["policy"], now)) for move in needed)
        changes = [replace(change, loses=loses) for change, loses in zip(changes, lost, strict=True)]
    return (policy, *changes)


def _policy(ism: Ism, name: str, found: DeletionSchedule, wanted: dict[str, Any]) -> Change:
    stored = found.policy

    def make() -> None:
        ism.put_policy(name, wanted, stored)

    known = stored and stored.policy
    return compared(f"ISM policy {name}", known, wanted["policy"], make, by_hand=policy_by_hand(stored))


def _moved(ism: Ism, name: str, move: Move, wanted: Mapping[str, Any], *, by_hand: bool) -> Change:
    """An index put under the policy, or moved to its new version; indices under other policies are only reported.

    `by_hand`: the policy was changed by hand. Without `--force` it is kept, and no index is moved to it.
    """
    if move.kind == "leave":
        return Change(move.index, "unavailable", note=f"{move.why}; `whodid retention set --take-over` would move it")
    what, make = f"{move.index} under {name}", partial(make_move, ism, move, name, wanted)
    return Change(what, "update", note=move.why, by_hand=by_hand, make=make)


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing to remove, or why it is kept: `foreign` (not ours), `by hand` (changed), `refused` (no right).

    `note` is for people.
    """

    what: str
    stays: Literal["", "foreign", "by hand", "refused"] = ""
    note: str = ""
    make: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


def removals(client: OpenSearch, settings: Settings) -> Iterator[Removal]:
    """Everything in the cluster that setup created. Raises `OpenSearchError`."""
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
    yield from _policy_changes(client, settings)
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


def _policy_changes(client: OpenSearch, settings: Settings) -> Iterator[Removal]:
    ism, name = Ism(client), policy_name(settings)
    stored = ism.policy(name) if ism.available() else None
    if stored is not None:
        ours = str(stored.policy.get("description")).startswith(OWNER)
        stays = _stays(ours, policy_by_hand(stored))
        yield Removal(f"ISM policy {name}", stays, _still(client, settings), make=lambda: ism.delete_policy(name))


def _still(client: OpenSearch, settings: Settings) -> str:
    """A note on the partitions that ISM deletes without the policy."""
    left = sum(one.due is not None for one in deletion_schedule(client, settings).partitions)
    return f"ISM still deletes {left} partitions by the copies in its jobs; a hold protects one" if left else ""


def _stays(ours: bool, by_hand: bool) -> Literal["", "foreign", "by hand"]:
    return "foreign" if not ours else "by hand" if by_hand else ""


def _delete_template(client: OpenSearch, name: str) -> None:
    with translated(f"the index template {name}"):
        client.indices.delete_index_template(name=name)
