"""The retention policy: whether there is one, whether it is ours, and what does not keep to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..opensearch.ism import Ism, policy_body, policy_name
from ..opensearch.partitions import creation_dates
from ..opensearch.retention import retention_in_force
from .finding import Finding, ok, problem, warning
from .subject import Subject

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["examine"]


def examine(subject: Subject, client: OpenSearch) -> Iterator[Finding]:
    settings = subject.settings
    name = policy_name(settings)
    view = retention_in_force(client, settings)
    if view.enforced_by == "nothing":
        found = warning if settings.retention == "off" else problem
        yield found(
            name, "the cluster has no retention policy of ours: nothing deletes old entries", "run `whodid setup`"
        )
        return
    for what in view.problems:
        yield problem(name, what, "`whodid retention show` tells more; `whodid retention set` puts it right")
    if view.enforced_by == "ism":
        stored = Ism(client).policy(name)
        wanted = policy_body(settings, creation_dates(client, settings))["policy"]
        if stored and stored.policy != wanted:
            yield warning(
                name, "the policy in the cluster differs from the settings", "`whodid setup --dry-run` shows how"
            )
    elif settings.retention != "off":
        advice = "let `whodid ship` run as a user who may delete partitions, or `whodid retention enforce` daily"
        yield warning(name, "this cluster has no Index State Management: whodid itself deletes old partitions", advice)
    yield ok(name, str(view))
