"""The rendering: templates to pages, and the frame that surrounds each page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from ..display import json_text, printable
from ..entry import entry_id
from .question import Question
from .visit import visit_if_any

__all__ = ["Frame", "page", "refusal", "wants_page"]

_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_STATIC = files(__package__) / "static"
_ENVIRONMENT.globals["version"] = {
    file.name: sha256(file.read_bytes()).hexdigest()[:16] for file in _STATIC.iterdir() if file.is_file()
}
_ENVIRONMENT.globals["asking"] = lambda field, value: Question().also(field, str(value)).url()
_ENVIRONMENT.filters["printable"] = printable
_ENVIRONMENT.filters["breakable"] = lambda text: escape(text).replace("_", Markup("_<wbr>"))
_ENVIRONMENT.filters["json"] = lambda value: json_text(value, indent=2)


@dataclass(frozen=True, slots=True)
class Frame:
    """The panel around the tab: its title and its other tabs, as labels and links. `signs_in`: people sign in here."""

    title: str
    tabs: tuple[tuple[str, str], ...] = ()
    signs_in: bool = False
    notice: str = ""


def page(request: Request, template: str, code: int = 200, /, **values: Any) -> HTMLResponse:
    """The template as a page; `frame`, `root` (the path that the application is mounted at) and `viewer` are given."""
    visit = visit_if_any(request)
    text = _ENVIRONMENT.get_template(template).render(
        frame=request.app.state.frame,
        root=request.scope.get("root_path", ""),
        viewer=visit.viewer if visit else "",
        token=visit.token if visit else "",
        organizations=visit.organizations if visit else (),
        entry_id=entry_id,
        **values,
    )
    return HTMLResponse(text, code)


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer, rather than a program or a spreadsheet."""
    return not request.url.path.endswith((".json", ".ndjson", ".csv"))


def refusal(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that holds no data: a page for people, JSON for programs."""
    phrase = HTTPStatus(status).phrase
    if not wants_page(request):
        return JSONResponse({"error": phrase, "message": message}, status, headers=dict(headers or {}))
    answer = page(request, "refusal.html", status, status=status, phrase=phrase, message=message)
    answer.headers.update(headers or {})
    return answer
