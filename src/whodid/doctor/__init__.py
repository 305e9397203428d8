"""The doctor: checks an installation, and reports problems and how to fix them, without changing anything."""

from __future__ import annotations

from .examination import AREAS, examine
from .finding import Finding, Subject

__all__ = ["AREAS", "Finding", "Subject", "examine"]
