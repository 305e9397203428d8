"""The HTML page of a report: one file without scripts or network access, for light, dark and paper.

`markup` escapes, and `evidence` and `activity` have the sections; this is the frame around them.
"""

from __future__ import annotations

import base64
from datetime import time
from hashlib import sha256
from importlib.resources import files

from ..period import Period
from ..report import Report
from .activity import actions, activity
from .evidence import evidence, findings, retention
from .markup import Html, join, section, tag

__all__ = ["page"]

_STYLE = Html(files(__package__).joinpath("style.css").read_text("utf-8"))


def page(report: Report, name: str, digest: str) -> str:
    """Returns the whole file. `name` is that of the pack, and `digest` that of its JSON, which the page shows."""
    title = f"Audit log report, {_span(report.period)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", _STYLE),
    )
    top = tag(
        "header", tag("p", f"whodid · {report.made.index_prefix}", class_="log"), tag("h1", title), _verdict(report)
    )
    parts = (_summary(report), findings(report), activity(report), evidence(report), retention(report), actions(report))
    body = tag("body", top, tag("main", *parts, _making(report, name, digest)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _span(period: Period) -> str:
    """Whole days as days."""
    ends = (period.since, period.until)
    shape = "%Y-%m-%d" if all(at.time() == time() for at in ends) else "%Y-%m-%d %H:%M"
    return f"{period.since.strftime(shape)} to {period.until.strftime(shape)} UTC"


def _policy() -> str:
    """The content security policy: nothing may be loaded or run, except the style sheet with this hash."""
    digest = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _verdict(report: Report) -> Html:
    look = "bad" if report.findings else "good" if report.proven else ""
    return tag("p", report.verdict[:1].upper() + report.verdict[1:], class_=f"verdict {look}".strip())


def _summary(report: Report) -> Html:
    found = report.summary()
    tiles = [(name, found[key]) for key, name in _TILES.items()]
    return section("summary", "In numbers", tag("dl", *(_tile(*tile) for tile in tiles), class_="tiles"))


_TILES = {
    "entries": "entries stored",
    "journals": "journals",
    "missing": "entries missing",
    "checkpoints": "checkpoints",
    "holds": "holds",
    "destructions": "partitions deleted",
    "erasures": "persons erased",
}


def _tile(name: str, value: int | None) -> Html:
    return tag("div", tag("dt", name), tag("dd", "unknown" if value is None else f"{value:,}"))


def _making(report: Report, name: str, digest: str) -> Html:
    made = report.made
    user = f" as {made.user}" if made.user else ""
    signed = f"by key {made.signed_by}, in {name}.dsse" if made.signed_by else ""
    facts = [
        ("Made", f"{made.at} by {made.by} on {made.host}, whodid {made.whodid}"),
        ("Of", f"{made.index_prefix} at {', '.join(made.hosts)}{user}"),
        ("Signed", signed or "no: anyone who can replace this file can replace the JSON, too"),
        ("JSON", join(f"{name}.json, digest ", tag("span", digest, class_="code"))),
        ("Check it", tag("code", _command(name, made.signed_by))),
    ]
    listed = tag("dl", *(tag("div", tag("dt", term), tag("dd", value)) for term, value in facts))
    return section("making", "How this was made, and how to check it", listed)


def _command(name: str, signed_by: str) -> str:
    return f"whodid report {name} --check{' --public-key signing.pem.pub' if signed_by else ''}"
