"""The sessions: who is signed in, in the memory of this process, for eight hours at most and 30 minutes of silence.

A session's ID is random and known only to the browser; here it is kept as its SHA-256. The password is kept nowhere but
in the connection that reads with it, which ends with the session.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..search import AuditClient

__all__ = ["Session", "Sessions"]

LIFETIME = 8 * 3600.0
IDLE = 30 * 60.0
PER_USER = 10
_AT_MOST = 500


@dataclass(slots=True)
class Session:
    """`token` is what a form must send back, so that no other site can send one in the user's name."""

    user: str
    client: AuditClient
    begun: float
    seen: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class Sessions:
    """`clock` in seconds, only going forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, user: str, client: AuditClient) -> str:
        """Opens a session; returns its ID. Beyond 10 of this user, or 500 of all, the one silent for longest ends."""
        secret, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._end_old(now)
            theirs = [key for key, session in self._sessions.items() if session.user == user]
            for keys, most in ((theirs, PER_USER), (list(self._sessions), _AT_MOST)):
                if len(keys) >= most:
                    self._end(min(keys, key=lambda key: self._sessions[key].seen))
            self._sessions[_key(secret)] = Session(user, client, now, now)
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of that ID, if it still lasts."""
        now = self._clock()
        with self._lock:
            self._end_old(now)
            session = self._sessions.get(_key(secret))
            if session:
                session.seen = now
        return session

    def end(self, secret: str) -> None:
        with self._lock:
            self._end(_key(secret))

    def _end_old(self, now: float) -> None:
        for key, session in list(self._sessions.items()):
            if now - session.begun > LIFETIME or now - session.seen > IDLE:
                self._end(key)

    def _end(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        if session:
            session.client.close()


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
