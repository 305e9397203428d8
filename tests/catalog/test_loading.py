"""Loading: the corners of an events.toml; test_catalog.py has the table of all complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from whodid.catalog import Catalog
from whodid.errors import CatalogError, InvalidEntry
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

OWN = """
[resources.invoice]
label = "Invoices"
target = "the invoice's number"
{of_resource}

[types.invoice_refunded]
resource = "invoice"
event = "refund"
about = "An invoice was refunded."
{of_type}
"""


def own(of_type: str = "", of_resource: str = "") -> str:
    return OWN.format(of_type=of_type, of_resource=of_resource)


def complaint(text: str) -> str:
    with pytest.raises(CatalogError) as caught:
        Catalog.parse(text, name="own/events.toml")
    assert str(caught.value).startswith("own/events.toml, [types.invoice_refunded]: ")
    return str(caught.value)


def extension(tmp_path: Path, text: str) -> Catalog:
    path = tmp_path / "events.toml"
    path.write_text('extends = "platform"\n' + text, encoding="utf-8")
    return Catalog.load(path)


def recorder(tmp_path: Path, text: str) -> Recorder:
    return Recorder(Settings(journal_dir=str(tmp_path / "journal")), catalog=Catalog.parse(text))


@pytest.mark.parametrize(
    ("of_resource", "of_type", "says"),
    [
        ('requires = ["status"]', 'forbids = ["status"]', "status is both required and forbidden"),
        ('forbids = ["status"]', 'requires = ["status"]', "status is both required and forbidden"),
        ("details.required = ['a']", 'forbids = ["details"]', "details has rules and is forbidden"),
        ('requires = ["client_ip"]', 'principal = "system"', "the system has no address"),
        ('not_status = ["DONE"]', 'status = ["done"]', "not_status leaves no allowed status"),
        ('forbids = ["outcome"]', 'outcome = "success"', "outcome is both set and forbidden"),
    ],
)
def test_a_type_that_contradicts_its_resource_is_refused(of_resource: str, of_type: str, says: str) -> None:
    assert says in complaint(own(of_type, of_resource))


@pytest.mark.parametrize("key", ["größe", "", "a\\nb"])
def test_a_detail_that_no_entry_can_have_can_t_be_asked_for(key: str) -> None:
    told = "a key in details.properties is not a string of printable ASCII characters; rename it"
    assert told in complaint(own(f'details.properties = {{ "{key}" = {{}} }}'))


def test_a_detail_whose_key_is_too_long_for_an_entry_can_t_be_asked_for() -> None:
    assert "is longer than 512 characters" in complaint(own(f"details.properties = {{ {'k' * 513} = {{}} }}"))


def test_override_is_true_or_false_of_a_new_type_too() -> None:
    assert "override must be true or false" in complaint(own('override = "yes"'))


def test_a_type_can_t_take_the_name_that_the_schema_has_for_all() -> None:
    with pytest.raises(CatalogError, match=r"\[types.entry\].*such as entry_created"):
        Catalog.parse(own().replace("invoice_refunded", "entry"))


@pytest.mark.parametrize(
    "status", ["in.progress", "a+b", "a|b", "x[1]", "c\\d", "(draft)", "^", "100 %", "a-b", "geprüft"]
)
def test_a_status_never_allowed_is_taken_to_the_letter(tmp_path: Path, status: str) -> None:
    recording = recorder(tmp_path, own(f"not_status = ['{status}']"))
    who = {"target": "1", "principal": "42"}
    with pytest.raises(InvalidEntry, match="status must not be one of"):
        recording.record("invoice_refunded", {**who, "status": status.upper()})
    for other in ("in-progress", "ab", "a", "b", "x1", "c7", "draft", "x"):
        recording.record("invoice_refunded", {**who, "status": other})


def test_details_with_rules_may_be_required_by_name_too(tmp_path: Path) -> None:
    recording = recorder(tmp_path, own('requires = ["details"]\ndetails.required = ["reason"]'))
    who = {"target": "1", "principal": "42"}
    assert recording.record("invoice_refunded", {**who, "details": {"reason": "late"}})[0].recorded
    with pytest.raises(InvalidEntry, match="details is required"):
        recording.record("invoice_refunded", who)


def test_a_redefined_type_has_nothing_of_the_rules_it_had(tmp_path: Path) -> None:
    text = '[types.user_sign_in]\nresource = "user_session"\nevent = "login"\nabout = "x"\noverride = true\n'
    rules = extension(tmp_path, text).event_type("user_sign_in").rules
    assert (rules.requires, rules.status, rules.because) == ((), (), "")


def test_a_redefined_resource_is_for_own_types_and_leaves_the_platform_s_as_they_are(tmp_path: Path) -> None:
    text = (
        '[resources.team]\nlabel = "Crews"\ntarget = "the crew\'s ID"\nrequires = ["status"]\n'
        '[types.team_renamed]\nresource = "team"\nevent = "rename"\nabout = "A crew was renamed."\n'
    )
    catalog = extension(tmp_path, text)
    assert catalog.event_type("team_renamed").rules.requires == ("status",)
    assert catalog.event_type("team_created") == Catalog.load().event_type("team_created")


def test_reading_an_own_catalog_changes_nothing_of_the_platform_s(tmp_path: Path) -> None:
    extension(
        tmp_path, own() + '\n[types.team_created]\nresource = "invoice"\nevent = "x"\nabout = "x"\noverride = true'
    )
    assert Catalog.load().event_type("team_created").resource == "team"
    assert "invoice" not in Catalog.load().resources


def test_a_folder_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="can't be read: Is a directory"):
        Catalog.load(tmp_path)
