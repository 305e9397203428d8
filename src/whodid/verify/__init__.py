"""Verification: is the log as it was recorded, as it stands in OpenSearch, and is it complete?

`verification` goes from the survey over the walk of each slice to the verdicts. `walk` judges entries by themselves and
by the chain; `statements` are the checkpoints and what they vouch for; `absence` explains what is not there; `verdict`
has the words. Nothing here writes, and nothing needs more than read rights.
"""

from __future__ import annotations

from .checkpoints import Source
from .evidence import LocalJournal
from .resume_state import Notebook
from .verdict import Completeness, Finding, JournalVerdict, Stretch, Verification
from .verification import verify_stored

__all__ = [
    "Completeness",
    "Finding",
    "JournalVerdict",
    "LocalJournal",
    "Notebook",
    "Source",
    "Stretch",
    "Verification",
    "verify_stored",
]
