"""The variables: `WHODID_…` of the environment that name no setting, and so do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ..settings import unknown_variables
from .finding import Finding, ok, warning
from .subject import Subject

__all__ = ["examine"]


def examine(subject: Subject) -> Iterator[Finding]:
    for variable, meant in unknown_variables(subject.environ).items():
        advice = (
            "config/whodid.toml lists the settings; one that Kubernetes injects goes with enableServiceLinks: false"
        )
        yield warning(variable, f"names no setting of whodid and is ignored{meant}", advice)
    if subject.config_file:
        yield ok(subject.config_file, "is the settings file")
