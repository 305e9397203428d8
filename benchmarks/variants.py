"""The ways to write one event to a file, each ready to be called over and over.

The plain ones are set up as their own documentation recommends for speed, and are handed every field in the call: the
cheapest form there is. `structlog-contextvars` gets the request's fields the way an application hands them around, as
whodid does in all of its variants.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import structlog
from pythonjsonlogger.orjson import OrjsonFormatter

import whodid
from whodid.resources import resource_text

from .case import EVENT, FIXED, IN_CALL, REQUEST

__all__ = ["COMMITTING", "EVERY", "VARIANTS", "Variant"]

Call = Callable[[], object]


@dataclass(frozen=True)
class Variant:
    """`ready(folder)` yields the function to be measured; what it writes lies in `folder` afterwards."""

    about: str
    ready: Callable[[Path], Iterator[Call]]
    waits_for_disk: bool = False

    def open(self, folder: Path, stack: ExitStack) -> Call:
        return stack.enter_context(contextmanager(self.ready)(folder))


def _structlog_plain(folder: Path) -> Iterator[Call]:
    with (folder / "plain.ndjson").open("wb") as file:
        _configure_structlog(file)
        log = structlog.get_logger()
        yield lambda: log.info(EVENT, **IN_CALL, **REQUEST, **FIXED)


def _structlog_contextvars(folder: Path) -> Iterator[Call]:
    with (folder / "plain.ndjson").open("wb") as file:
        _configure_structlog(file, structlog.contextvars.merge_contextvars)
        log = structlog.get_logger()
        with structlog.contextvars.bound_contextvars(**REQUEST):
            yield lambda: log.info(EVENT, **IN_CALL, **FIXED)


def _stdlib_plain(folder: Path) -> Iterator[Call]:
    log = _stdlib_logger(logging.FileHandler(folder / "plain.ndjson"))
    yield lambda: log.info(EVENT, extra={**IN_CALL, **REQUEST, **FIXED})


def _whodid_structlog(folder: Path, *, durability: str, echo: bool) -> Iterator[Call]:
    whodid.configure(settings=_settings(folder, durability, echo))
    with Path(os.devnull).open("wb") as nothing, whodid.context(**REQUEST):
        _configure_structlog(nothing, whodid.AuditProcessor(), wrap=whodid.audited)
        log = structlog.get_logger()
        yield lambda: log.audit(EVENT, **IN_CALL)


def _committing(folder: Path, *, fields: dict[str, Any], personal: bool) -> Iterator[Call]:
    """With `fields` more in the context. If they are not `personal`, nothing is committed to by a salt."""
    catalog = resource_text("config/events.toml")
    if not personal:
        catalog, found = re.subn(r"(?m)^personal = .*$", "personal = []", catalog)
        assert found == 1, "the catalog says no more what is personal"
    (folder / "events.toml").write_text(catalog)
    (folder / "journal").mkdir(mode=0o700)
    settings = _settings(folder / "journal", "process", echo=False)
    whodid.configure(settings=replace(settings, catalog=str(folder / "events.toml")))
    with whodid.context(**REQUEST, **fields):
        log = whodid.get_logger()
        yield lambda: log.audit(EVENT, **IN_CALL)


def _whodid_stdlib(folder: Path, *, durability: str, echo: bool) -> Iterator[Call]:
    whodid.configure(settings=_settings(folder, durability, echo))
    with whodid.context(**REQUEST):
        log: Any = _stdlib_logger(whodid.AuditHandler(), logging.FileHandler(os.devnull))
        yield lambda: log.audit(EVENT, **IN_CALL)


def _settings(folder: Path, durability: Any, echo: bool) -> whodid.Settings:
    return whodid.Settings(journal_dir=str(folder), durability=durability, echo=echo, host=FIXED["host"])


def _configure_structlog(
    file: Any, *first: Any, wrap: Callable[[type[Any]], type[Any]] = lambda wrapper: wrapper
) -> None:
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=wrap(structlog.make_filtering_bound_logger(logging.INFO)),
        processors=[
            *first,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
            _creation_date,
            structlog.processors.EventRenamer("type"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=file),
    )


def _creation_date(_logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event_dict["creation_date"] = event_dict["@timestamp"][:19] + "Z"
    return event_dict


class _Formatter(OrjsonFormatter):
    """python-json-logger's, with the second notation of the moment."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        moment = log_data["@timestamp"].isoformat()
        log_data["@timestamp"], log_data["creation_date"] = moment, moment[:19] + "Z"
        return log_data


def _stdlib_logger(*handlers: logging.Handler) -> logging.Logger:
    log = logging.getLogger("benchmarks.events")
    log.setLevel(logging.INFO)
    log.propagate = False
    formatter = _Formatter("%(message)s", rename_fields={"message": "type"}, timestamp="@timestamp")
    for handler in handlers:
        handler.setFormatter(formatter)
        log.addHandler(handler)
    return log


def _whodid(path: str, ready: Callable[..., Iterator[Call]]) -> dict[str, Variant]:
    def variant(durability: str, echo: bool) -> Variant:
        about = f"whodid, {path} path, {durability}" + (", with its ordinary log line" if echo else "")
        return Variant(about, partial(ready, durability=durability, echo=echo), durability == "disk")

    return {
        f"whodid-{path}-process": variant("process", False),
        f"whodid-{path}-process-echo": variant("process", True),
        f"whodid-{path}-disk": variant("disk", False),
    }


VARIANTS = {
    "structlog": Variant("structlog → orjson → file", _structlog_plain),
    "structlog-contextvars": Variant("the same, request fields from contextvars", _structlog_contextvars),
    "stdlib": Variant("logging → python-json-logger (orjson) → file", _stdlib_plain),
    **_whodid("structlog", _whodid_structlog),
    **_whodid("stdlib", _whodid_stdlib),
}
"""By name. The first and the third are what the others are compared with."""

_MORE = {
    "principal_name": "Ada Lovelace",
    "principal_email": "ada@example.org",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}


def _pair(name: str, about: str, fields: dict[str, Any]) -> dict[str, Variant]:
    return {
        f"{name}-plain": Variant(f"{about}, as plain values", partial(_committing, fields=fields, personal=False)),
        name: Variant(f"{about}, committed to", partial(_committing, fields=fields, personal=True)),
    }


COMMITTING = {**_pair("one", "one personal value", {}), **_pair("four", "four personal values", _MORE)}
"""By name, in pairs: without commitments and with them."""

EVERY = {**VARIANTS, **COMMITTING}
