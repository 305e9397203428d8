"""The visit: on whose behalf a request reads, as the gate of the application found out.

The host: what the application around the tab is asked about a request; plain or async functions of its own.

The reader: who asks, from where, for the record of reads (`whodid.recording.own`).

The question: what a URL of the tab asks for, and the URLs of questions near it.

`q` is a text of the search language. The other parameters are fields, each any number of times, with `since` and
`until`; all of it must match, and what is empty was not asked. The same URL always means the same question, so it can
be passed on.

The rendering: templates to pages, and the frame that surrounds each page.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from ..entry import entry_id
from ..errors import QueryError
from ..recording.client_ip import Proxies, client_ip
from ..recording.context import context, current_fields, operator
from ..search import AuditClient, Filter, moment
from ..search.filter import filter_of, ordered
from ..search.grammar import kind_of
from ..search.value import quoted, unknown_field
from ..settings import Settings
from ..text import json_bytes, json_text, printable

__all__ = [
    "ANY_TIME",
    "LINKED",
    "MOST_CONDITIONS",
    "RANGES",
    "VERSIONS",
    "Frame",
    "IsRootUser",
    "OrganizationsOf",
    "Question",
    "Reader",
    "UserOf",
    "Visit",
    "json_answer",
    "let_in",
    "page",
    "refusal",
    "told",
    "visit_if_any",
    "visit_of",
    "wants_page",
]

_KEY = "whodid.visit"


@dataclass(frozen=True, slots=True)
class Visit:
    """`client` reads with the rights of whoever asks; `viewer` and `token` are of who signed in here, else empty.

    `organizations` are the only ones whose entries are shown, where there is such a bound.
    """

    client: AuditClient
    viewer: str = ""
    token: str = ""
    organizations: tuple[str, ...] = ()


def let_in(scope: Scope, visit: Visit) -> None:
    scope[_KEY] = visit


def visit_if_any(request: Request) -> Visit | None:
    """The visit; `None` for a request that was refused, or that needs none."""
    visit: Visit | None = request.scope.get(_KEY)
    return visit


def visit_of(request: Request) -> Visit:
    """The visit of a request that came through a gate. Raises `KeyError` for any other, so that none shows data."""
    visit: Visit = request.scope[_KEY]
    return visit


IsRootUser = Callable[[Request], "bool | Awaitable[bool]"]
"""Whether the user of a request is a root user."""

OrganizationsOf = Callable[[Request], "Collection[str] | Awaitable[Collection[str]]"]
"""IDs of the organizations that the user of a request administers; none for anybody else."""

UserOf = Callable[[Request], "str | Awaitable[str]"]
"""The ID of the user of a request."""


async def told(function: Callable[[Request], Any], request: Request) -> Any:
    """What the function says of the request. A plain one runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(request)
    answer = await run_in_threadpool(function, request)
    return await answer if inspect.isawaitable(answer) else answer


NOBODY = "anonymous"


class Reader:
    """Puts who asks into the context. The address is the client's, behind proxies that the settings trust."""

    def __init__(self, settings: Settings, user_of: UserOf | None = None) -> None:
        self._proxies = Proxies.of(settings.trusted_proxies, settings.forwarded_header)
        self._user_of = user_of

    def address(self, request: Request) -> str:
        """The client's address; empty where it is not known."""
        peer = request.client.host if request.client else None
        forwarded = ",".join(request.headers.getlist(self._proxies.header))
        return client_ip(peer, forwarded, self._proxies) or ""

    async def of(self, request: Request) -> AbstractContextManager[None]:
        """For the user that the host names, or whoever its own middleware has put into the context."""
        if self._user_of is None:
            return self.named(request, str(current_fields().get("principal", NOBODY)))
        return self.named(request, str(await told(self._user_of, request)))

    def named(self, request: Request, user: str) -> AbstractContextManager[None]:
        """For a user of that name."""
        from_where: dict[str, Any] = {
            "client_ip": self.address(request) or None,
            "user_agent": request.headers.get("user-agent"),
        }
        return context(principal=user or NOBODY, **{name: value for name, value in from_where.items() if value})

    def operator(self, request: Request) -> AbstractContextManager[None]:
        """For the user of the operating system who runs this, where nobody signs in."""
        return self.named(request, operator())


MOST_CONDITIONS = 100
"""Parameters of a URL."""

LINKED = 20
"""Conditions that have a link to the question without them: each link is as long as all of them together."""

ANY_TIME = "any"
"""As `since`: whatever was given as a time does not count."""

RANGES = {"-1h": "hour", "-24h": "24 hours", "-7d": "7 days", "-30d": "30 days", "-90d": "90 days", "-365d": "year"}
"""Spans offered as buttons, with their names."""

_TIMES = ("since", "until")


@dataclass(frozen=True, slots=True)
class Question:
    """`filters` maps a field to the values of which any may match; times are as a person wrote them."""

    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: str = ""
    until: str = ""
    text: str = ""

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> Question:
        """The question in a URL's parameters, of which a later `since` or `until` wins. Checked when it is asked.

        Raises `QueryError` for more conditions than anybody writes.
        """
        parameters = list(parameters)
        if len(parameters) > MOST_CONDITIONS:
            raise QueryError(f"the address has {len(parameters):,} conditions; {MOST_CONDITIONS} are the most")
        filters: dict[str, tuple[str, ...]] = {}
        text = ""
        times = dict.fromkeys(_TIMES, "")
        for name, given in parameters:
            value = given.strip()
            if name == "since" and value == ANY_TIME:
                times = dict.fromkeys(_TIMES, "")
            elif name in _TIMES:
                times[name] = value or times[name]
            elif name == "q":
                text = value or text
            elif value and value not in filters.get(name, ()):
                filters[name] = (*filters.get(name, ()), value)
        return cls(filters, times["since"], times["until"], text)

    def filter(self) -> Filter:
        """What entries must be. Raises `QueryError`."""
        for name in self.filters:
            if kind_of(name) is None:
                raise unknown_field(name)
        fields = {name: list(values) for name, values in self.filters.items()}
        return ordered(Filter.parse(self.text) & filter_of(fields, self.since or None, self.until or None))

    def parameters(self) -> list[tuple[str, str]]:
        pairs = [("q", self.text)] if self.text else []
        pairs += [(name, value) for name, values in self.filters.items() for value in values]
        return pairs + [(name, value) for name in _TIMES if (value := getattr(self, name))]

    def url(self, **more: str) -> str:
        """The query string, `?` included; empty for everything."""
        pairs = self.parameters() + list(more.items())
        return "?" + urlencode(pairs, errors="replace") if pairs else "?"

    def without(self, name: str, value: str) -> Question:
        """The same without one of its conditions."""
        if name == "since":
            return replace(self, since="")
        if name == "until":
            return replace(self, until="")
        if name == "q":
            return replace(self, text="")
        values = tuple(kept for kept in self.filters.get(name, ()) if kept != value)
        filters = {key: given for key, given in {**self.filters, name: values}.items() if given}
        return replace(self, filters=filters)

    def also(self, name: str, value: str) -> Question:
        """The same, and only entries with exactly that value of a field: a `*` at its end would be a beginning."""
        if value == value.strip() and not value.endswith("*"):
            return replace(self, filters={**self.filters, name: (value,)})
        others = {key: given for key, given in self.filters.items() if key != name}
        term = f"{name}:{quoted(value)}"
        return replace(self, filters=others, text=f"({self.text}) {term}" if self.text else term)

    def within(self, start: datetime, end: datetime) -> Question:
        """The same within that time, as it was cut from the time asked for."""
        return replace(self, since=_stamp(start), until=_stamp(end))

    def picked(self, name: str) -> str:
        """A time as a date-and-time input shows it (UTC); empty for a span back from now, and for what is no time."""
        text = getattr(self, name)
        if not text or text.startswith("-"):
            return ""
        try:
            time = moment(text, name)
        except QueryError:
            return ""
        return time.strftime("%Y-%m-%dT%H:%M:%S") if time else ""


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


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
