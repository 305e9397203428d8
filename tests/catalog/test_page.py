"""The page: what is recorded, and by which rules, in words."""

from __future__ import annotations

from whodid.catalog import Catalog

TEXT = """
personal = ["user_agent", "client_ip"]

[resources.door]
label = "Doors"
target = "the door's ID"
because = "a door | a gate"

[resources.unused]
label = "Unused"
target = "the unused thing's ID"

[types.door_opened]
resource = "door"
event = "open"
about = '''
A door was
opened | unlocked.'''
requires = ["client_ip", "status"]
forbids = ["before"]
status = ["key", "card"]
not_status = ["a`b"]
details.properties = { by = { type = "string" }, ok = { const = true }, side = { enum = ["in", "out"] } }
details.required = ["ok", "key"]
outcome = "success"
durability = "process"
on_failure = "warn"

[types.door_open]
resource = "door"
event = "open"
about = "A door was opened."
principal = "system"
replaced_by = "door_opened"
"""


def test_it_has_resources_types_rules_personal_fields_and_old_names() -> None:
    assert Catalog.parse(TEXT).page() == (
        "# Event types\n\n"
        "Event types: 2, resources: 1. Made from the catalog by `whodid events docs`.\n\n"
        "Personal, so hashed in a way that lets them be erased later: `client_ip`, `forwarded_for`, `user_agent`.\n\n"
        "## Doors\n\n"
        "`target_type` is `door`, `target` is the door's ID.\n\n"
        "| type | event | what happened | rules |\n| --- | --- | --- | --- |\n"
        r"| `door_opened` | open | A door was opened \| unlocked. | needs `client_ip`, `status`; never with `before`; "
        "`status` one of `key`, `card`; `status` none of `a'b`; `details.ok`: true; "
        "`details.key`: anything; `details.by` (optional): a string; `details.side` (optional): one of in, out; "
        r"because a door \| a gate; `outcome` is `success` by default; "
        "durability `process`; on failure `warn` |\n"
        "| `door_open` | open | A door was opened. | replaced by `door_opened` |\n\n"
        "## Replaced types\n\nEntries under the old names are still valid; new ones are refused.\n\n"
        "| stored as | recorded as |\n| --- | --- |\n| `door_open` | `door_opened` |\n"
    )


def test_old_names_are_listed_apart_and_are_no_types() -> None:
    page = Catalog.parse(TEXT + '[aliases]\ndoor_unlocked = "door_opened"\n').page()
    assert "\nEvent types: 2, resources: 1." in page
    assert page.endswith("\n\n| old name | now |\n| --- | --- |\n| `door_unlocked` | `door_opened` |\n")
    assert page.count("door_unlocked") == 1


def test_the_default_catalog_s_page_has_every_type_and_every_resource_once() -> None:
    catalog = Catalog.load()
    page = catalog.page()
    assert page.startswith("# Event types\n\nEvent types: 54, resources: 17.")
    for name in catalog.types:
        assert page.count(f"| `{name}` |") == 1
    for resource in catalog.resources.values():
        assert page.count(f"## {resource.label}\n") == 1


def test_a_catalog_without_types_has_a_page() -> None:
    assert Catalog.parse("").page().startswith("# Event types\n\nEvent types: 0, resources: 0.")
