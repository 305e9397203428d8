"""Sessions, with a clock of the test's own."""

from __future__ import annotations

from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.web.access import IDLE, LIFETIME, PER_USER, Sessions


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def client() -> AuditClient:
    return AuditClient(Settings(opensearch_user="anna", opensearch_password="top-secret-word"))


def test_a_session_is_found_by_its_id_only_and_shows_no_secret() -> None:
    sessions = Sessions(Clock())
    secret = sessions.start("anna", client())
    found = sessions.find(secret)
    assert found
    assert found.user == "anna"
    assert sessions.find(secret + "x") is None
    assert sessions.find("") is None
    assert secret not in repr(vars(sessions))
    assert found.token not in repr(found)
    assert "top-secret-word" not in repr(vars(sessions)) + repr(found)


def test_a_session_ends_when_it_is_idle_or_old_or_left() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    idle, left, old = (sessions.start("anna", client()) for _ in range(3))
    sessions.end(left)
    assert sessions.find(left) is None
    for _ in range(int(LIFETIME / IDLE)):
        clock.now += IDLE
        assert sessions.find(old)
    assert sessions.find(idle) is None
    clock.now += 1
    assert sessions.find(old) is None


def test_the_most_idle_session_makes_room() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    shared = client()
    secrets = []
    for number in range(501):
        clock.now += 1
        secrets.append(sessions.start(f"user{number}", shared))
        sessions.find(secrets[0])
    assert sessions.find(secrets[0])
    assert sessions.find(secrets[1]) is None
    assert sessions.find(secrets[2])


def test_one_user_has_ten_sessions_at_most_and_ends_only_their_own() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    shared = client()
    other = sessions.start("bert", shared)
    secrets = []
    for _ in range(PER_USER + 1):
        clock.now += 1
        secrets.append(sessions.start("anna", shared))
    assert [sessions.find(secret) is None for secret in secrets] == [True] + [False] * PER_USER
    assert sessions.find(other)
