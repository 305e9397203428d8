"""The report for auditors: the log in a period, as HTML and JSON, signed.

`period` is what it covers, `retention` has its parts, and `report` the whole; `page` makes the HTML for people,
`statement` the JSON for programs, and `pack` writes both. Nothing here writes to the cluster, and read rights are
enough.
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
