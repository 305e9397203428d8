"""Every form of an entry keeps the rules of its standard's official schema, whatever the entry holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.export import official
from tests.export.foreign import DOCUMENTS
from tests.export.samples import EVENT_TYPES, FULL, full, least
from tests.export.test_foreign import parsed
from whodid.entry import FIELDS
from whodid.export import FORMS
from whodid.export.ecs import cef, cloudevents, ecs, opentelemetry
from whodid.export.ocsf import ocsf

Faults = Callable[[str], list[str]]

STANDARDS: dict[str, Faults] = {
    "ecs": lambda line: official.ecs_faults(json.loads(line)),
    "ocsf": lambda line: official.ocsf_faults(json.loads(line)),
    "cloudevents": lambda line: official.cloudevents_faults(json.loads(line)),
    "otlp": official.otlp_faults,
    "cef": official.cef_faults,
}
CONVERTERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "ecs": ecs,
    "ocsf": ocsf,
    "cloudevents": cloudevents,
    "otlp": opentelemetry,
    "cef": cef,
}

NEW: list[dict[str, Any]] = [
    {"on_behalf_of": "17"},
    {"on_behalf_of": ["17", "agent-2", "42"]},
    {"roles": "owner"},
    {"roles": ["owner", "launch"]},
    {"targets": [{"id": "3", "type": "user", "name": "Zoë"}, {"id": "4"}]},
    {"targets": [{"id": "3", "type": "participant"}, {"id": "4", "type": "user"}]},
    {"occurred_at": "2026-11-20T07:00:00.5Z"},
    {"occurred_at": "2026-11-20T07:00:00.123456789+01:00"},
    {"occurred_at": "1969-07-20T20:17:40Z"},
    {"occurred_at": "9999-12-31T23:59:59Z"},
    {"occurred_at": "in the morning"},
    {"imported_from": "legacy-audit.csv"},
    {"method": "POST", "route": "/teams/{id}", "session_id": "s-1"},
    {"method": "BREW"},
    {"client_ip": "192.0.2.7", "principal_email": "zoe@example.com"},
    *({"auth_method": method} for method in ("password", "oidc", "SAML", "ldap", "kerberos")),
    *(
        {"principal_type": kind, **more}
        for kind in FIELDS["principal_type"].values
        for more in ({}, {"on_behalf_of": "17"}, {"on_behalf_of": ["17", "18"]}, {"principal_name": "The Name"})
    ),
    *({"outcome": outcome} for outcome in FIELDS["outcome"].values),
]
"""What entries of format 2.1 may have, too."""

HOSTILE = [
    "a|b",
    "\\",
    "\\\\|x",
    "x\\",
    "x=y",
    "x\\=y suid=root",
    "a\nCEF:0|evil|evil|1|x|x|9|suid=root",
    "a\r\nsuid=root",
    " suid=root ",
    "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g",
    "a\x00b\x1b[31mc\tz",
    "\u202egnp.exe",
    '{"a": "b"}',
    "<script>",
    "é" * 600,
    "x" * 5000,
    "\ud800x\udc00",
    "\ufffe\U0001ffff",
    "",
    " ",
]


def _entries() -> Iterator[dict[str, Any]]:
    yield from FULL
    for event_type, target_type in [*EVENT_TYPES.items(), ("invoice_refunded", "bucket"), ("x", "")]:
        yield from ({**least(event_type, target_type), **more} for more in NEW)
    yield from ({**full("user_sign_in", "user_session"), **more} for more in NEW)


ENTRIES = list(_entries())


def _line(form: str, entry: Mapping[str, Any]) -> str:
    """The line of an export."""
    lines = FORMS[form].lines
    assert lines is not None
    text = lines([entry]).decode()
    assert text.endswith("\n")
    return text[:-1]


def _converted(form: str, entry: Mapping[str, Any]) -> str:
    """The line of an entry whose fields are all known."""
    made = CONVERTERS[form](entry)
    return made if isinstance(made, str) else json.dumps(made)


@pytest.mark.parametrize("form", STANDARDS)
def test_what_whodid_records_keeps_the_rules_of_the_standard(form: str) -> None:
    for entry in ENTRIES:
        assert STANDARDS[form](_converted(form, entry)) == [], entry


@pytest.mark.parametrize("form", STANDARDS)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_no_value_makes_a_form_invalid(form: str, value: str) -> None:
    texts = [name for name, field in FIELDS.items() if field.kind in {"keyword", "ip", "date", "date_nanos"}]
    kinds = [
        ("user_sign_in", "user_session"),
        ("participant_created", "participant"),
        ("x", "y"),
        ("user_created", "user"),
    ]
    for event_type, target_type in kinds:
        entry = full(event_type, target_type)
        for name in [*texts, "roles", "occurred_at", "imported_from"] if event_type == "x" else []:
            assert STANDARDS[form](_line(form, {**entry, name: value})) == [], name
        everything = {**entry, **dict.fromkeys(texts, value), "on_behalf_of": [value], "roles": [value, value]}
        everything |= {"targets": [{"id": value, "name": value, "type": value}], "details": {value: value}}
        assert STANDARDS[form](_line(form, everything)) == []


@pytest.mark.parametrize("form", STANDARDS)
def test_what_something_else_stored_keeps_the_rules_as_well(form: str) -> None:
    for what, document in DOCUMENTS.items():
        if "00 l" not in what:
            assert STANDARDS[form](_line(form, parsed(document))) == [], what


_TEXTS = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(HOSTILE)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
_TARGETS = st.lists(st.fixed_dictionaries({"id": _TEXTS}, optional={"type": _TEXTS, "name": _TEXTS}), max_size=3)
_FIELDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(FIELDS, _TEXTS | _VALUES)
    | {"on_behalf_of": _TEXTS | st.lists(_TEXTS), "roles": _TEXTS | st.lists(_TEXTS), "targets": _TARGETS | _VALUES},
)


@pytest.mark.parametrize("form", STANDARDS)
@given(document=_FIELDS, event=st.sampled_from(sorted(EVENT_TYPES.items())), named=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_document_makes_a_form_invalid(
    form: str, document: dict[str, Any], event: tuple[str, str], named: bool
) -> None:
    known = {"type": event[0], "target_type": event[1]} if named else {}
    assert STANDARDS[form](_line(form, {**document, **known})) == []
