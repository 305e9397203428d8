"""The public face: what `whodid` exports, and that nothing else's errors escape it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import whodid
from whodid import errors, testing
from whodid.integrations.methods import AuditMethods
from whodid.recording.operation import Operation
from whodid.search import Filter, Page, Stats

EXPORTED = [
    "AuditClient",
    "AuditHandler",
    "AuditJsonFormatter",
    "AuditLogger",
    "AuditMixin",
    "AuditProcessor",
    "CatalogError",
    "EntryTooLarge",
    "InvalidEntry",
    "JournalDamaged",
    "JournalFull",
    "JournalLocked",
    "NotRecorded",
    "OpenSearchError",
    "QueryError",
    "Receipt",
    "Settings",
    "SettingsError",
    "WhodidError",
    "audited",
    "bind",
    "carried",
    "changes",
    "configure",
    "context",
    "get_logger",
    "system",
]


def test_the_exported_names_are_these() -> None:
    assert whodid.__all__ == EXPORTED
    for name in EXPORTED:
        assert getattr(whodid, name) is not None


def test_the_names_for_tests_of_applications_are_these() -> None:
    assert testing.__all__ == ["AuditEntries", "MemoryJournal", "audit_entries"]
    for name in testing.__all__:
        assert getattr(testing, name) is not None


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, whodid.WhodidError)
        [line] = [line for line in drawn.splitlines() if line.split("── ")[-1].split(" ")[0] == name]
        depth = len(error.__mro__) - len(whodid.WhodidError.__mro__)
        assert len(line) - len(line.lstrip("│├└─ ")) == 4 * depth


def documented() -> Iterator[tuple[str, Any]]:
    """What applications call: public names, and the methods that a public class does not have from a base."""
    exported = [getattr(module, name) for module in (whodid, testing) for name in module.__all__]
    yield "Operation.add", Operation.add
    for one in (*exported, AuditMethods, Filter):
        if inspect.isclass(one) and issubclass(one, whodid.WhodidError):
            continue
        yield one.__name__, one
        for name, method in vars(one).items() if inspect.isclass(one) else ():
            inherited = any(hasattr(base, name) for base in one.__bases__)
            method = getattr(method, "__func__", method)
            if inspect.isfunction(method) and not name.startswith("_") and not inherited:
                yield f"{one.__name__}.{name}", method


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_applications_call_says_its_parameters_result_and_an_example(name: str) -> None:
    said = inspect.getdoc(DOCUMENTED[name]) or ""
    if not inspect.isclass(DOCUMENTED[name]):
        signature = inspect.signature(DOCUMENTED[name])
        parameters = [one for one in signature.parameters.values() if one.name != "self"]
        args = re.findall(r"^    (\*{0,2}\w+): ", said.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
        assert args == [str(one).partition(":")[0].partition("=")[0] for one in parameters]
        assert ("Returns:\n" in said) == (signature.return_annotation != "None")
    if name not in {"AuditClient.close", "AuditMethods"}:
        assert "Example:\n    >>> " in said
    assert re.match(r"[A-Z][^\n]*[.:]$", said.partition("\n\n")[0].splitlines()[0])


@pytest.mark.parametrize("cls", [whodid.Settings, whodid.Receipt, Page, Stats])
def test_each_attribute_of_a_public_value_has_a_docstring_for_editors(cls: type) -> None:
    undocumented = re.findall(r'^    (\w+): [\w\[\]|, .]+(?: = .*)?\n(?!    """)', inspect.getsource(cls), re.MULTILINE)
    assert undocumented == []
