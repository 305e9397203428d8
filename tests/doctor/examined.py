"""What tests of the doctor share: findings of an area, in short."""

from __future__ import annotations

from typing import Any

from tests.live.corner import Corner
from whodid.doctor import Finding, Subject, examine
from whodid.settings import Settings

__all__ = ["examined", "of", "worst"]


def examined(settings: Settings, *only: str, **subject: Any) -> tuple[Finding, ...]:
    return examine(Subject(settings, **{"environ": {}, "timeout": 60.0, **subject}), only)


def of(place: Corner, *only: str) -> tuple[Finding, ...]:
    return examined(place.settings, *only)


def worst(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    """Severity and words of what is not in order; each such finding names a thing and says what to do."""
    found = [finding for finding in findings if finding.severity != "ok"]
    assert all(finding.on and finding.advice for finding in found)
    return [(finding.severity, finding.what) for finding in found]
