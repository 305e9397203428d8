"""What ISM says of an index, and what must be done with it, on answers as they were recorded."""

from __future__ import annotations

from typing import Any

import pytest

from whodid.retention.ism import Managed, StoredPolicy, managed, policy_body
from whodid.retention.moves import Move, moves
from whodid.settings import Settings

NAME = "whodid-audit-retention"
STORED = StoredPolicy(policy_body(Settings())["policy"], 8, 1)
JOB: dict[str, Any] = {
    "index": "ver-1",
    "policy_id": NAME,
    "policy_seq_no": 8,
    "policy_primary_term": 1,
    "index_creation_date": 1795409080090,
    "state": {"name": "live", "start_time": 1795409140362},
    "action": {"name": "transition", "start_time": 1, "index": -1, "failed": False, "consumed_retries": 0},
    "retry_info": {"failed": False, "consumed_retries": 0},
    "info": {"message": "Evaluating transition conditions [index=ver-1]"},
    "enabled": True,
}
UNMANAGED = {"index.plugins.index_state_management.policy_id": None, "enabled": None}
NOT_RUN_YET = {"index": "ver-1", "policy_id": NAME, "enabled": True, "policy": STORED.policy}
LONGER = policy_body(Settings(retention="400d"))["policy"]
BEFORE_ITS_FIRST_RUN = {**NOT_RUN_YET, "policy": LONGER}
RETRYING = {
    "state": {"name": "delete"},
    "step": {"name": "attempt_delete", "step_status": "failed"},
    "action": {"name": "delete", "failed": False, "consumed_retries": 1},
    "info": {"message": "Failed to delete index", "cause": "blocked"},
}
COMPLETED = {
    "policy_id": NAME,
    "policy_seq_no": 8,
    "policy_primary_term": 1,
    "policy_completed": True,
    "enabled": False,
}
LOST_STATE = {"retry_info": {"failed": True}, "info": {"message": "Failed to find state=hot"}, "enabled": False}
FAILED_ACTION = {
    "action": {"name": "delete", "failed": True},
    "info": {"message": "no", "cause": "x"},
    "enabled": False,
}


def one(about: dict[str, Any]) -> Managed:
    [found] = managed({"ver-1": about})
    return found


@pytest.mark.parametrize(
    ("about", "problem", "move"),
    [
        (JOB, "", None),
        (UNMANAGED, "not under any policy: ISM will not delete it", "attach"),
        (NOT_RUN_YET, "", None),
        (BEFORE_ITS_FIRST_RUN, "will start with an old version of the policy", "change"),
        ({**JOB, "policy": LONGER}, "runs an old version of the policy", "change"),
        ({**JOB, "policy_seq_no": 7, "policy": {**STORED.policy, "description": "as before"}}, "", None),
        ({**JOB, **RETRYING}, "ISM failed and is retrying: Failed to delete index: blocked", None),
        (COMPLETED, "", None),
        ({**COMPLETED, "policy_seq_no": 7}, "runs an old version of the policy", "restart"),
        ({**JOB, "policy_seq_no": 7}, "runs an old version of the policy", "change"),
        ({**JOB, "policy_primary_term": 2}, "runs an old version of the policy", "change"),
        ({**JOB, "policy_id": "theirs"}, "under another policy, theirs", "leave"),
        ({**JOB, **LOST_STATE}, "its ISM job has failed for good: Failed to find state=hot", "restart"),
        ({**JOB, **FAILED_ACTION}, "its ISM job has failed for good: no: x", "restart"),
        (
            {**JOB, "enabled": False},
            "its ISM job has failed for good: Evaluating transition conditions [index=ver-1]",
            "restart",
        ),
        ({**JOB, "policy_seq_no": 7, "state": {"name": "hot"}}, "runs an old version of the policy", "restart"),
    ],
)
def test_each_state_of_an_index_has_its_problem_and_its_move(
    about: dict[str, Any], problem: str, move: str | None
) -> None:
    found = one(about)
    assert found.problem(NAME, STORED) == problem
    works = not problem or problem.startswith("ISM failed and is retrying")
    assert found.runs(NAME, STORED) == (works and "policy_seq_no" in about)
    assert [each.kind for each in moves([found], NAME, STORED, STORED.policy)] == ([move] if move else [])


def test_what_others_manage_is_moved_only_when_told() -> None:
    theirs = one({**JOB, "policy_id": "theirs"})
    assert moves([theirs], NAME, STORED, STORED.policy, take_over=True) == [
        Move("ver-1", "restart", "under another policy, theirs")
    ]


def test_before_a_new_version_exists_every_job_is_to_be_moved_also_one_that_has_not_run() -> None:
    jobs = managed({"a": JOB, "b": NOT_RUN_YET, "c": COMPLETED, "d": UNMANAGED})
    kinds = {move.index: move.kind for move in moves(jobs, NAME, None, STORED.policy)}
    assert kinds == {"a": "change", "b": "change", "c": "restart", "d": "attach"}


def test_an_index_that_is_being_deleted_begins_anew_when_retention_is_switched_off() -> None:
    off = policy_body(Settings(retention="off"))["policy"]
    deleting = one({**JOB, "state": {"name": "delete"}})
    assert [move.kind for move in moves([deleting], NAME, None, off)] == ["restart"]
