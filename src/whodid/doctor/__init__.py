"""The doctor: looks at what whodid rests on, and says what is wrong and what to do. It changes and writes nothing."""

from __future__ import annotations

from .examination import AREAS, examine
from .finding import Finding, Subject

__all__ = ["AREAS", "Finding", "Subject", "examine"]
