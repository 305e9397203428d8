"""Verification: whether the log stored in OpenSearch is complete, and unchanged since it was recorded.

`verification` runs the steps: survey, plan, walk, judge. `walk` checks each entry against its hash and the chain,
`checkpoints` decides which checkpoints are trusted, `absence` explains missing entries, and `verdict` has the results.
Nothing here writes to the cluster, and read rights are enough.
"""

from __future__ import annotations

from .checkpoints import Source
from .evidence import LocalJournal
from .resume_state import ResumeState
from .verdict import Completeness, Finding, JournalVerdict, Stretch, Verification
from .verification import verify_stored

__all__ = [
    "Completeness",
    "Finding",
    "JournalVerdict",
    "LocalJournal",
    "ResumeState",
    "Source",
    "Stretch",
    "Verification",
    "verify_stored",
]
