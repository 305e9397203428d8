"""The stubs: real mypy lets every right call pass, and says of each wrong one in a line what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import whodid
from tests.catalog.test_event_types import TYPES, valid
from whodid.catalog import Catalog
from whodid.cli.events import events
from whodid.settings import Settings

DOOR = """
[resources.door]
label = "Doors"
target = "the door's ID"

[types.door_opened]
resource = "door"
event = "open"
about = "A door was opened."
requires = ["status", "client_ip", "target_name", "outcome"]
status = ["key", "card"]
forbids = ["after"]
details = { by = "string", ok = true, side = ["in", "out"] }
outcome = "success"

[types.door_open]
resource = "door"
event = "open"
about = "A door was opened."
replaced_by = "door_opened"
"""
KNOWN = "an_event_type_with_what_it_needs__see_whodid_events_show"
AIMED = "a_call_with_a_target"
NAMED = "an_event_type_with_fields_of_an_entry__others_go_into_details"

RIGHT = """
from collections.abc import Mapping

import whodid

log: whodid.AuditLogger = whodid.get_logger("app")
receipt: whodid.Receipt = log.audit("team_created", target="9")
entry_id: str = receipt.entry_id
log.audit("team_created", target="9", details={"by": "hand"}, before={"a": 1})
log.audit("team_created", target="9", status=None, phase="intent", operation="o")
log.audit("user_sign_in", target="9", status="okta", principal="anonymous", outcome="failure", principal_name="Ada")


def changed(target: str, details: Mapping[str, object]) -> None:
    with log.auditing("data_link_deleted", target=target, details=details) as operation:
        operation.add(status="done")


async def changed_too() -> str:
    async with log.aauditing("team_deleted", target="9"):
        return (await log.aaudit("team_deleted", target="9")).entry_id


with whodid.context(principal="42"), whodid.system():
    whodid.configure(service="x")
"""

WRONG = {
    'log.audit("team_craeted", target="9")': KNOWN,
    'log.audit("user_sign_in", target="9", status="passwd")': KNOWN,
    'log.audit("user_sign_in", target="9")': KNOWN,
    'log.audit("data_link_created", target="9")': KNOWN,
    'log.audit("compute_environment_updated", target="9", details={"a": 1})': KNOWN,
    'log.audit("team_created", target=9)': KNOWN,
    'log.audit("team_created", target="9", outcome="succes")': KNOWN,
    'log.audit("team_created", target="9", details="a")': KNOWN,
    'log.audit("team_created")': AIMED,
    'log.audit("team_created", target="9", colour="red")': NAMED,
    'log.audit("team_created", target="9", creation_date="2026-11-23")': NAMED,
    'log.auditing("team_craeted", target="9")': KNOWN,
    'log.auditing("team_created", target="9", colour=1)': NAMED,
}


def written(folder: Path, *options: str) -> Path:
    stub = folder / "typings" / "whodid" / "__init__.pyi"
    stub.parent.mkdir(parents=True)
    done = CliRunner().invoke(events, ["stubs", *options], obj=Settings())
    assert (done.exit_code, done.stderr) == (0, "")
    stub.write_text(done.stdout, encoding="utf-8")
    return stub


def mypy(folder: Path, code: str) -> list[str]:
    """What mypy says of the code, a line each."""
    (folder / "app.py").write_text(code, encoding="utf-8")
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\nmypy_path = typings\npretty = false\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "app.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


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


def test_right_calls_pass(project: Path) -> None:
    assert mypy(project, RIGHT) == []


def test_a_right_call_of_each_event_type_passes(project: Path) -> None:
    calls = [f"log.audit({name!r}, {', '.join(f'{k}={v!r}' for k, v in valid(name).items())})" for name in TYPES]
    assert mypy(project, "import whodid\nlog = whodid.get_logger()\n" + "\n".join(calls)) == []


def test_each_wrong_call_is_one_line_that_says_what_is_wrong(project: Path) -> None:
    said = mypy(project, "import whodid\nlog = whodid.get_logger()\n" + "\n".join(WRONG))
    method = {call: call.partition("(")[0].removeprefix("log.") for call in WRONG}
    assert said == [
        f'app.py:{number}: error: Argument 1 to "{method[call]}" of "AuditLogger" has incompatible type "str"; '
        f'expected "Sequence[{expected}]"  [arg-type]'
        for number, (call, expected) in enumerate(WRONG.items(), start=3)
    ]


def test_every_public_name_of_the_package_is_still_there(project: Path) -> None:
    names = [*whodid.__all__, "__version__"]
    assert (
        mypy(project, "import whodid\nimport whodid.integrations.asgi\n" + "\n".join(f"whodid.{n}" for n in names))
        == []
    )


def test_what_the_context_fills_is_optional_and_the_rest_is_not(door: Path) -> None:
    call = 'import whodid\nwhodid.get_logger().audit("door_opened", target="1", '
    details = 'details={"by": "hand", "ok": True, "side": "in"}'
    assert mypy(door, f'{call}status="key", target_name="front", {details})') == []
    for wrong in (f'status="key", {details}', f'target_name="front", {details}', 'status="key", target_name="front"'):
        [line] = mypy(door, f"{call}{wrong})")
        assert KNOWN in line
    [line] = mypy(door, f'{call}status="key", target_name="front", after=None, {details})')
    assert KNOWN in line


@pytest.mark.parametrize(
    "details",
    [
        '{"by": "hand", "ok": True}',
        '{"by": "hand", "ok": False, "side": "in"}',
        '{"by": 5, "ok": True, "side": "in"}',
        '{"by": "hand", "ok": True, "side": "up"}',
        '{"by": "hand", "ok": True, "side": "in", "colour": "red"}',
    ],
)
def test_closed_details_have_their_keys_and_no_others(door: Path, details: str) -> None:
    call = 'whodid.get_logger().audit("door_opened", target="1", status="key", target_name="front"'
    [line] = mypy(door, f"import whodid\n{call}, details={details})")
    assert KNOWN in line


def test_a_replaced_type_is_no_type_to_record(door: Path) -> None:
    [line] = mypy(door, 'import whodid\nwhodid.get_logger().audit("door_open", target="1")')
    assert KNOWN in line


def test_types_that_ask_for_the_same_share_an_overload_so_that_mypy_stays_quick() -> None:
    text = Catalog.load().stubs({})
    assert text.count("    def audit(") == 9


def test_a_catalog_without_types_makes_stubs_too(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text("", encoding="utf-8")
    written(tmp_path, "--catalog", str(tmp_path / "events.toml"), "--replace")
    [line] = mypy(tmp_path, 'import whodid\nwhodid.get_logger().audit("door_open", target="1")')
    assert KNOWN in line
