"""Rights, on OpenSearch 2.19, whose Security plugin differs in one thing: a reader whose account names no organization
is not refused, but finds nothing.
"""

from __future__ import annotations

import pytest

from tests.live.rights import ATTEMPTS, ROLES, Attempt
from tests.live.test_rights import *  # noqa: F403
from tests.live.test_rights import Cluster, _outcome
from whodid.search import AuditClient

WITHOUT = "reader without organization"


@pytest.mark.parametrize(  # type: ignore[no-redef]
    "attempt", ATTEMPTS, ids=lambda attempt: attempt.what
)
def test_each_role_gets_what_the_matrix_says(cluster: Cluster, attempt: Attempt) -> None:
    found = {}
    for role in ROLES:
        cluster.victims()
        found[role] = _outcome(cluster, role, attempt)
    expected = dict(zip(ROLES, attempt.expected, strict=True))
    harmless = {"no", "none"} | ({expected["reader"]} - {"own"})  # what is no entry of theirs, any reader gets
    assert found.pop(WITHOUT) in harmless
    del expected[WITHOUT]
    assert found == expected


def test_a_reader_without_an_organization_is_told_what_is_missing(  # type: ignore[no-redef]
    cluster: Cluster,
) -> None:
    """It is not told here, and sees nothing."""
    with AuditClient(cluster.users[WITHOUT]) as reader:
        assert (reader.count(), list(reader.search()), reader.page().entries, reader.get("x")) == (0, [], [], None)
