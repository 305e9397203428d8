"""The report: what an auditor asks of a period of the log, as one pack of HTML and JSON, signed.

`period` is what it is about; `journals`, `keeping` and `deeds` are its parts and `report` the whole; `page` is the HTML
for people, `statement` the JSON for programs, `pack` both on disk. Nothing here writes to the cluster, and nothing
needs more than read rights.
"""

from __future__ import annotations

from .pack import Checked, Pack, check_pack, write_pack
from .period import Period, period_of
from .report import Report, ReportFinding, make_report

__all__ = [
    "Checked",
    "Pack",
    "Period",
    "Report",
    "ReportFinding",
    "check_pack",
    "make_report",
    "period_of",
    "write_pack",
]
