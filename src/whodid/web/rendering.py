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
from starlette.responses import HTMLResponse, Response

from ..entry import entry_id
from ..text import json_bytes, json_text, printable
from .question import Question
from .visit import visit_if_any

__all__ = ["VERSIONS", "Frame", "json_answer", "page", "refusal", "wants_page"]

_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_STATIC = files(__package__) / "static"
VERSIONS = {file.name: sha256(file.read_bytes()).hexdigest()[:16] for file in _STATIC.iterdir() if file.is_file()}
"""Our own files → what their content is called in a URL, so that another content has another one."""

_ENVIRONMENT.globals["version"] = VERSIONS
_ENVIRONMENT.globals["asking"] = lambda field, value: (
    Question().also(field, value if isinstance(value, str) else json_text(value)).url()
)
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
    return HTMLResponse(text.encode(errors="replace"), code)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as JSON, whatever it holds."""
    return Response(json_bytes(value), status, dict(headers or {}), "application/json")


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer, rather than a program or a spreadsheet."""
    return not request.url.path.endswith((".json", ".ndjson", ".csv"))


def refusal(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that holds no data: a page for people, JSON for programs."""
    phrase = HTTPStatus(status).phrase
    if not wants_page(request):
        return json_answer({"error": phrase, "message": message}, status, headers)
    answer = page(request, "refusal.html", status, status=status, phrase=phrase, message=message)
    answer.headers.update(headers or {})
    return answer
