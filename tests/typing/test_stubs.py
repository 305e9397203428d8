"""The stubs: mypy and pyright let every right call pass, and object to each wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import whodid
from tests import catalogs
from tests.catalog.test_event_types import TYPES, valid
from tests.typing.checkers import CHECKERS, Lines, mypy
from whodid.catalog import Catalog
from whodid.cli.events import events
from whodid.settings import Settings

DOOR = (
    catalogs.DOOR
    + """\
requires = ["status", "client_ip", "target_name", "outcome"]
status = ["key", "card"]
forbids = ["after"]
details.properties = { by = { type = "string" }, ok = { const = true }, side = { enum = ["in", "out"] } }
details.required = ["by", "ok", "side"]
outcome = "success"

[types.door_open]
resource = "door"
event = "open"
about = "A door was opened."
replaced_by = "door_opened"
"""
)
RIGHT = """
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
import whodid

if TYPE_CHECKING:
    from whodid import EventType

log: whodid.AuditLogger = whodid.get_logger("app")
receipt: whodid.Receipt = log.audit("team_created", target="9")
entry_id: str = receipt.entry_id
log.audit("team_created", target="9", details={"by": "hand"}, before={"a": 1})
log.audit("team_created", target="9", once="a")
log.audit("team_created", target="9", status=None, phase="intent", operation="o")
log.audit("user_sign_in", target="9", status="okta", principal="anonymous", outcome="failure", principal_name="Ada")


def changed(target: str, details: Mapping[str, object]) -> None:
    with log.auditing("data_link_deleted", target=target, details=details) as operation:
        operation.add(status="done")


async def changed_too() -> str:
    async with log.aauditing("team_deleted", target="9"):
        return (await log.aaudit("team_deleted", target="9")).entry_id


class Logger(whodid.AuditMixin, structlog.stdlib.BoundLogger):
    pass


log.audit("team_created", target="9", targets=[{"id": "1", "name": "Ada"}], roles=["admin"], on_behalf_of=("1", "2"))
log.audit("team_created", target="9", occurred_at=datetime.now(UTC), on_behalf_of="1", roles=None)
slog: Logger = structlog.get_logger()
slog.bind(organization_id="7").audit("team_created", target="9")
names: list["EventType"] = ["team_created", "user_sign_in"]
with whodid.context(principal="42"), whodid.system():
    whodid.configure(service="x")
"""

WRONG = [
    'log.audit("team_craeted", target="9")',
    'log.audit("user_sign_in", target="9", status="passwd")',
    'log.audit("user_sign_in", target="9")',
    'log.audit("data_link_created", target="9")',
    'log.audit("compute_environment_updated", target="9", details={"a": 1})',
    'log.audit("team_created", target=9)',
    'log.audit("team_created", target="9", once=9)',
    'log.auditing("team_created", target="9", once="a")',
    'log.audit("team_created", target="9", outcome="succes")',
    'log.audit("team_created", target="9", details="a")',
    'log.audit("team_created")',
    'log.audit("team_created", target="9", targets=[{"name": "Ada"}])',
    'log.audit("team_created", target="9", roles=[1])',
    'log.audit("team_created", target="9", occurred_at=1.5)',
    'log.audit("team_created", target="9", colour="red")',
    'log.audit("team_created", target="9", creation_date="2026-11-23")',
    '_ = log.aaudit("team_craeted", target="9")',
    'log.auditing("team_craeted", target="9")',
    'log.auditing("team_created", target="9", colour=1)',
    'log.auditing("team_created", target="9", outcome="success")',
    'log.aauditing("team_craeted", target="9")',
    'slog.audit("team_craeted", target="9")',
    'names.append("team_craeted")',
]


def written(folder: Path, *options: str) -> Path:
    stub = folder / "typings" / "whodid" / "__init__.pyi"
    stub.parent.mkdir(parents=True)
    done = CliRunner().invoke(events, ["stubs", *options], obj=Settings())
    assert (done.exit_code, done.stderr) == (0, "")
    stub.write_text(done.stdout, encoding="utf-8")
    return stub


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default catalog's stubs; mypy's cache makes each further look a quick one."""
    folder = tmp_path_factory.mktemp("project")
    written(folder)
    return folder


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    (folder / "events.toml").write_text(DOOR, encoding="utf-8")
    written(folder, "--catalog", str(folder / "events.toml"), "--closed-details")
    return folder


@pytest.mark.parametrize("check", CHECKERS)
def test_right_calls_pass_and_each_wrong_one_is_an_error(project: Path, check: Callable[[Path, str], Lines]) -> None:
    calls = [f"log.audit({name!r}, {', '.join(f'{k}={v!r}' for k, v in valid(name).items())})" for name in TYPES]
    right = RIGHT + "\n".join([*calls, *(f"print(whodid.{name})" for name in [*whodid.__all__, "__version__"]), ""])
    wrong = dict(enumerate(WRONG, right.count("\n") + 1))
    found = check(project, right + "\n".join(WRONG))
    assert {line: said for line, said in found.items() if line not in wrong} == {}
    assert [call for line, call in wrong.items() if line not in found] == []


@pytest.mark.parametrize("check", CHECKERS)
def test_what_a_type_requires_and_the_keys_of_closed_details_are_checked(
    door: Path, check: Callable[[Path, str], Lines]
) -> None:
    """What the context may fill, `client_ip` here, is optional."""
    call = 'whodid.get_logger().audit("door_opened", target="1", '
    given = f'{call}status="key", target_name="front", '
    details = 'details={"by": "hand", "ok": True, "side": "in"}'
    wrong = [
        f'{call}status="key", {details})',
        f'{call}target_name="front", {details})',
        f"{given[:-2]})",
        f"{given}after=None, {details})",
        f'{given}details={{"by": "hand", "ok": True}})',
        f'{given}details={{"by": "hand", "ok": False, "side": "in"}})',
        f'{given}details={{"by": 5, "ok": True, "side": "in"}})',
        f'{given}details={{"by": "hand", "ok": True, "side": "up"}})',
        f'{given}details={{"by": "hand", "ok": True, "side": "in", "colour": "red"}})',
        'whodid.get_logger().audit("door_open", target="1")  # it is replaced',
    ]
    found = check(door, "\n".join(["import whodid", f"{given}{details})", *wrong]))
    assert sorted(found) == [number for number, _ in enumerate(wrong, 3)]


NESTED = (
    catalogs.DOOR
    + """\
requires = ["after"]
before.properties.free = { type = "string" }

[types.door_opened.details]
additionalProperties = false
required = ["angle"]

[types.door_opened.details.properties]
angle = { type = "number" }
side = { enum = ["in", "out", 3, true] }
note = { anyOf = [{ type = "string" }, { type = "null" }] }
no = false
hinges.type = "array"

[types.door_opened.details.properties.hinges.items]
type = "object"
required = ["n"]
additionalProperties = false
properties = { n = { type = "integer" }, free = { type = "object" }, odd = { enum = [[1]] } }

[types.door_opened.after]
required = ["open"]
properties.open = { type = "boolean" }
additionalProperties = false
"""
)


@pytest.mark.parametrize("check", CHECKERS)
def test_a_closed_schema_is_a_typed_dict_of_typed_dicts(tmp_path: Path, check: Callable[[Path, str], Lines]) -> None:
    (tmp_path / "events.toml").write_text(NESTED)
    written(tmp_path, "--catalog", str(tmp_path / "events.toml"))
    call = 'whodid.get_logger().audit("door_opened", target="1", before={"x": 1}, after={"open": True}, details='
    right = ['{"angle": 3.5}', '{"angle": 3, "side": "in", "note": None, "error": "E"}', '{"angle": 1, "side": 3}']
    right += ['{"angle": 3, "hinges": [{"n": 1, "free": {"a": 1}, "odd": [1]}]}']
    wrong = ['{"angle": "3"}', '{"side": "in"}', '{"angle": 3, "side": "up"}', '{"angle": 3, "no": 1}']
    wrong += ['{"angle": 3, "hinges": [{}]}', '{"angle": 3, "hinges": [{"n": "1"}]}', '{"angle": 3, "hinges": 5}']
    lines = ["import whodid", *(f"{call}{details})" for details in (*right, *wrong))]
    lines += [f"{call.partition(', after=')[0]}, details={right[0]})", f"{call.replace('True', '1')}{right[0]})"]
    found = check(tmp_path, "\n".join(lines))
    assert sorted(found) == list(range(len(right) + 2, len(lines) + 1))


def test_types_that_ask_for_the_same_share_an_overload_so_that_mypy_stays_quick() -> None:
    text = Catalog.load().stubs({})
    assert text.count("    def audit(") == 6


def test_a_catalog_of_one_type_or_none_makes_stubs_too(tmp_path: Path) -> None:
    for number, (types, wrong) in enumerate([("", [2, 3]), (DOOR, [2])]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "events.toml").write_text(types, encoding="utf-8")
        written(folder, "--catalog", str(folder / "events.toml"))
        known = 'audit("door_opened", target="1", status="key", target_name="front", details={})'
        code = f'import whodid\nwhodid.get_logger().audit("door_open", target="1")\nwhodid.get_logger().{known}\n'
        assert sorted(mypy(folder, code)) == wrong
