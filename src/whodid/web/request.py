"""A request of the tab: its access, its user, the query in its URL, and the pages and JSON that answer it.

In a URL, `q` is a text of the search language. The other parameters are fields, which may be repeated, `since` and
`until`. All of them must match; empty ones are ignored.
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
from ..search.value import compares, quoted, unknown_field
from ..settings import Settings
from ..text import json_bytes, json_text, printable

__all__ = [
    "ANY_TIME",
    "LINKED",
    "MAX_CONDITIONS",
    "RANGES",
    "VERSIONS",
    "Access",
    "Frame",
    "IsRootUser",
    "OrganizationsOf",
    "Question",
    "Reader",
    "UserOf",
    "access_of",
    "access_or_none",
    "call",
    "grant",
    "json_answer",
    "page",
    "refusal",
    "wants_page",
]

_KEY = "whodid.access"


@dataclass(frozen=True, slots=True)
class Access:
    """The access that a request was granted.

    `client` reads with the rights of the user. `viewer` and `token` are set if the user signed in to the tab. If
    `organizations` is not empty, only their entries are shown.
    """

    client: AuditClient
    viewer: str = ""
    token: str = ""
    organizations: tuple[str, ...] = ()


def grant(scope: Scope, access: Access) -> None:
    scope[_KEY] = access


def access_or_none(request: Request) -> Access | None:
    """Return the access of a request; `None` if it was refused, or needs none."""
    access: Access | None = request.scope.get(_KEY)
    return access


def access_of(request: Request) -> Access:
    """Return the access of a request. Raises `KeyError` if none was granted, so that no data can be shown."""
    access: Access = request.scope[_KEY]
    return access


IsRootUser = Callable[[Request], "bool | Awaitable[bool]"]
"""Returns whether the user of a request is a root user."""

OrganizationsOf = Callable[[Request], "Collection[str] | Awaitable[Collection[str]]"]
"""Returns the IDs of the organizations that the user of a request administers."""

UserOf = Callable[[Request], "str | Awaitable[str]"]
"""Returns the ID of the user of a request."""


async def call(function: Callable[[Request], Any], request: Request) -> Any:
    """Call a function of the application with a request; a synchronous one runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(request)
    answer = await run_in_threadpool(function, request)
    return await answer if inspect.isawaitable(answer) else answer


NOBODY = "anonymous"


class Reader:
    """Puts the user and the address of a request into the context, for the record of reads."""

    def __init__(self, settings: Settings, user_of: UserOf | None = None) -> None:
        self._proxies = Proxies.of(settings.trusted_proxies, settings.forwarded_header)
        self._user_of = user_of

    def address(self, request: Request) -> str:
        """Return the address of the client, behind trusted proxies; empty if it is unknown."""
        peer = request.client.host if request.client else None
        forwarded = ",".join(request.headers.getlist(self._proxies.header))
        return client_ip(peer, forwarded, self._proxies) or ""

    async def of(self, request: Request) -> AbstractContextManager[None]:
        """Use the user that the application returns, or else the principal that is already in the context."""
        if self._user_of is None:
            return self.named(request, str(current_fields().get("principal", NOBODY)))
        return self.named(request, str(await call(self._user_of, request)))

    def named(self, request: Request, user: str) -> AbstractContextManager[None]:
        """Use a user of this name."""
        fields: dict[str, Any] = {"client_ip": self.address(request), "user_agent": request.headers.get("user-agent")}
        return context(principal=user or NOBODY, **{name: value for name, value in fields.items() if value})

    def operator(self, request: Request) -> AbstractContextManager[None]:
        """Use the user of the operating system who runs this process."""
        return self.named(request, operator())


MAX_CONDITIONS = 100
"""Maximum number of parameters of a URL."""

LINKED = 20
"""Maximum number of filters with a link to remove them; each link is as long as all filters together."""

ANY_TIME = "any"
"""Value of `since` that ignores all times in the URL."""

RANGES = {"-1h": "hour", "-24h": "24 hours", "-7d": "7 days", "-30d": "30 days", "-90d": "90 days", "-365d": "year"}
"""Time spans offered as buttons, with their names."""

_TIMES = ("since", "until")


@dataclass(frozen=True, slots=True)
class Question:
    """The query of a URL. `filters` maps a field to values of which any may match; times are as typed."""

    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: str = ""
    until: str = ""
    text: str = ""

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> Question:
        """Read the parameters of a URL, of which the last `since` and `until` count, without checking the fields.

        Raises `QueryError` for too many parameters.
        """
        parameters = list(parameters)
        if len(parameters) > MAX_CONDITIONS:
            raise QueryError(f"the URL has {len(parameters):,} filters; the maximum is {MAX_CONDITIONS}")
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
        """Return the filter for entries. Raises `QueryError`."""
        for name in self.filters:
            if kind_of(name) is None:
                raise unknown_field(name)
        fields = {name: list(values) for name, values in self.filters.items()}
        times = {"since": self.since or None, "until": self.until or None}
        return ordered(Filter.parse(self.text) & filter_of({**fields, **times}))

    def parameters(self) -> list[tuple[str, str]]:
        pairs = [("q", self.text)] if self.text else []
        pairs += [(name, value) for name, values in self.filters.items() for value in values]
        return pairs + [(name, value) for name in _TIMES if (value := getattr(self, name))]

    def url(self, **more: str) -> str:
        """Return the query string, including the `?`."""
        pairs = self.parameters() + list(more.items())
        return "?" + urlencode(pairs, errors="replace") if pairs else "?"

    def without(self, name: str, value: str) -> Question:
        """Return the question without one of its filters."""
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
        """Return the question restricted to exactly this value of a field, even if it ends in `*`."""
        if value == value.strip() and not (value.endswith("*") or compares(value)):
            return replace(self, filters={**self.filters, name: (value,)})
        others = {key: given for key, given in self.filters.items() if key != name}
        term = f"{name}:{quoted(value)}"
        return replace(self, filters=others, text=f"({self.text}) {term}" if self.text else term)

    def within(self, start: datetime, end: datetime) -> Question:
        """Return the question restricted to this time span, which lies within the present one."""
        return replace(self, since=_stamp(start), until=_stamp(end))

    def picked(self, name: str) -> str:
        """Return a time in the format of a date-and-time input (UTC); empty if it is relative to now, or invalid."""
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
"""Static file → version in its URL, which depends on its content."""

_ENVIRONMENT.globals["version"] = VERSIONS
_ENVIRONMENT.globals["search_url"] = lambda field, value: (
    Question().also(field, value if isinstance(value, str) else json_text(value)).url()
)
_ENVIRONMENT.filters["printable"] = printable
_ENVIRONMENT.filters["several"] = lambda value: value if isinstance(value, list) else [] if value is None else [value]
_ENVIRONMENT.filters["breakable"] = lambda text: escape(text).replace("_", Markup("_<wbr>"))
_ENVIRONMENT.filters["json"] = lambda value: json_text(value, indent=2)


@dataclass(frozen=True, slots=True)
class Frame:
    """The panel around the tab: its title, and labels and links of its other tabs. `signs_in`: users sign in here."""

    title: str
    tabs: tuple[tuple[str, str], ...] = ()
    signs_in: bool = False
    notice: str = ""


def page(request: Request, template: str, code: int = 200, /, **values: Any) -> HTMLResponse:
    """Render a template; it also gets the frame, `root` (the mount path of the application) and the access."""
    access = access_or_none(request)
    text = _ENVIRONMENT.get_template(template).render(
        frame=request.app.state.frame,
        root=request.scope.get("root_path", ""),
        viewer=access.viewer if access else "",
        token=access.token if access else "",
        organizations=access.organizations if access else (),
        entry_id=entry_id,
        **values,
    )
    return HTMLResponse(text.encode(errors="replace"), code)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as a JSON response."""
    return Response(json_bytes(value), status, dict(headers or {}), "application/json")


def wants_page(request: Request) -> bool:
    """Return whether the answer is a page, and not a file or JSON."""
    return not request.url.path.endswith((".json", ".ndjson", ".csv"))


def refusal(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as a page or as JSON."""
    phrase = HTTPStatus(status).phrase
    if not wants_page(request):
        return json_answer({"error": phrase, "message": message}, status, headers)
    answer = page(request, "refusal.html", status, status=status, phrase=phrase, message=message)
    answer.headers.update(headers or {})
    return answer
