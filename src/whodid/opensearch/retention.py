"""The retention in force: how long entries live, who sees to it, and what that means for each partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..settings import Settings, parse_age, retention_days
from .ism import CLOCK_SKEW_DAYS, PARTITION_DAYS, Ism, policy_name
from .template import index_pattern

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["RetentionView", "retention_in_force"]


@dataclass(frozen=True, slots=True)
class RetentionView:
    """`floor_days`: each entry lives at least so long; `ceiling_days`: at most. `None` means for ever.

    `asked_days` is the setting; `partitions` maps each partition to whether it is under the policy.
    """

    asked_days: int | None
    floor_days: int | None
    ceiling_days: int | None
    enforced_by: Literal["ism", "nothing"]
    partitions: dict[str, bool]

    def __str__(self) -> str:
        if self.enforced_by == "nothing":
            if self.asked_days is None:
                return "retention: off; entries are kept until someone deletes them"
            return (
                f"retention: {self.asked_days} days are asked for, but this cluster has no Index State Management or "
                "no policy: nothing deletes old entries by itself"
            )
        if self.floor_days is None:
            return "retention: off; the ISM policy deletes nothing"
        return f"retention: entries live {self.floor_days} to {self.ceiling_days} days, deleted by ISM" + self._strays()

    def _strays(self) -> str:
        strays = [name for name, managed in self.partitions.items() if not managed]
        return f"; not yet under the policy: {', '.join(sorted(strays))}" if strays else ""


def retention_in_force(client: OpenSearch, settings: Settings) -> RetentionView:
    """Asks the cluster. Raises `OpenSearchError`."""
    asked = retention_days(settings.retention)
    ism = Ism(client)
    stored = ism.policy(policy_name(settings)) if ism.available() else None
    if stored is None:
        return RetentionView(asked, None, None, "nothing", {})
    age = _deletion_age_days(stored.policy)
    length = PARTITION_DAYS[settings.partition]
    partitions = {
        name: about.get("policy_id") == policy_name(settings)
        for name, about in ism.explain(index_pattern(settings)).items()
    }
    floor = None if age is None else age - length - CLOCK_SKEW_DAYS
    return RetentionView(asked, floor, age, "ism", partitions)


def _deletion_age_days(policy: dict[str, Any]) -> int | None:
    for state in policy["states"]:
        for transition in state["transitions"]:
            age = transition.get("conditions", {}).get("min_index_age")
            if transition["state_name"] == "delete" and age:
                return parse_age(age) // 86400
    return None
