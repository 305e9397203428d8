"""The catalog: what an events.toml may hold, when it extends the platform's, and what a refused entry is told."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.catalog import Catalog
from whodid.entry import FIELDS
from whodid.errors import CatalogError, InvalidEntry

INVOICE = """
[resources.invoice]
label = "Invoices"
target = "the invoice's number"
"""
REFUND = """
[types.invoice_refunded]
resource = "invoice"
event = "refund"
about = "An invoice was refunded."
"""
OWN = INVOICE + REFUND
EXTENDS = 'extends = "platform"\n'
CANARY = "hunter2-canary"
_DEFAULT = Catalog.load()


def entry_of(name: str = "invoice_refunded", **fields: Any) -> dict[str, Any]:
    return {
        "type": name,
        "target": "2026-17",
        "principal": "42",
        "target_type": "invoice",
        "creation_date": "2026-11-23T08:15:30Z",
        "@timestamp": "2026-11-23T08:15:30.000001Z",
        "schema_version": "2.0",
        **fields,
    }


def refusal(rules: str, **fields: Any) -> str:
    """What is said of an entry of a type with these rules."""
    with pytest.raises(InvalidEntry) as caught:
        Catalog.parse(OWN + rules).check(entry_of(**fields))
    return str(caught.value)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "events.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_catalog_is_loaded_where_no_file_is_named() -> None:
    assert len(Catalog.load().types) == 54


def test_an_own_catalog_stands_alone(tmp_path: Path) -> None:
    catalog = Catalog.load(written(tmp_path, OWN))
    assert (list(catalog.types), list(catalog.resources)) == (["invoice_refunded"], ["invoice"])
    assert not Catalog.parse("").types
    catalog.check(entry_of())
    with pytest.raises(InvalidEntry, match="there is no event type 'user_sign_in'"):
        catalog.event_type("user_sign_in")


def test_an_own_catalog_extends_the_platform_s_where_it_says_so(tmp_path: Path) -> None:
    catalog = Catalog.load(written(tmp_path, EXTENDS + OWN))
    assert list(catalog.types) == [*Catalog.load().types, "invoice_refunded"]
    catalog.check(entry_of())


@pytest.mark.parametrize("value", ['"plattform"', '""', "true", "[]", '["platform"]', "{}"])
def test_a_catalog_can_extend_no_other(value: str) -> None:
    with pytest.raises(CatalogError) as caught:
        Catalog.parse(f"extends = {value}\n" + OWN, name="own/events.toml")
    told = 'extends must be "platform" or "platform-2"; leave it out for a catalog that stands alone'
    assert str(caught.value) == f"own/events.toml, the top level: {told}"


def test_an_own_type_may_be_of_a_resource_of_the_platform_and_inherits_its_rules(tmp_path: Path) -> None:
    own = '[types.data_link_pinned]\nresource = "data_link"\nevent = "pin"\nabout = "A bucket was pinned."'
    with pytest.raises(
        CatalogError, match=r'\[resources.data_link\]; add it, or write `extends = "platform"` at the top'
    ):
        Catalog.load(written(tmp_path, own))
    known = Catalog.load(written(tmp_path, EXTENDS + own)).event_type("data_link_pinned")
    assert known.target == "the data link's ID"
    assert known.rules.details == {
        "type": "object",
        "properties": {"visibility": {"enum": ["public", "private"]}},
        "required": ["visibility"],
    }


def test_a_type_of_the_platform_is_redefined_only_on_purpose(tmp_path: Path) -> None:
    own = (
        EXTENDS
        + '[types.team_created]\nresource = "team"\nevent = "add"\nabout = "A team began."\nrequires = ["status"]\n'
    )
    with pytest.raises(CatalogError, match=r"\[types.team_created\].*`override = true`"):
        Catalog.load(written(tmp_path, own))
    known = Catalog.load(written(tmp_path, own + "override = true\n")).event_type("team_created")
    assert (known.about, known.rules.requires) == ("A team began.", ("status",))


def test_an_own_catalog_says_which_fields_are_personal_or_they_are_the_platform_s() -> None:
    platform = Catalog.load().personal
    assert {"client_ip", "forwarded_for", "user_agent", "principal_name", "principal_email"} == platform
    assert Catalog.parse(OWN).personal == Catalog.parse(EXTENDS + OWN).personal == platform
    assert Catalog.parse("personal = []\n" + OWN).personal == frozenset()
    assert Catalog.parse('personal = ["on_behalf_of"]').personal == {"on_behalf_of"}
    assert Catalog.parse(EXTENDS + 'personal = ["on_behalf_of"]').personal == platform | {"on_behalf_of"}


def test_where_the_address_is_personal_so_is_the_chain_that_holds_it() -> None:
    assert Catalog.parse('personal = ["client_ip"]').personal == {"client_ip", "forwarded_for"}
    assert Catalog.parse('personal = ["user_agent"]').personal == {"user_agent"}


def test_rules_of_a_type_come_on_top_of_its_resource_s() -> None:
    details = "details.properties.{} = {{}}\ndetails.required = ['{}']\n"
    resource = INVOICE + 'requires = ["status"]\nnot_status = ["draft"]\n' + details.format("reason", "reason")
    rules = 'requires = ["organization_id"]\nnot_status = ["void"]\nbecause = "of law"\n' + details.format("ok", "ok")
    known = Catalog.parse(resource + REFUND + rules).event_type("invoice_refunded").rules
    assert known.requires == ("status", "organization_id")
    assert known.not_status == ("draft", "void")
    assert known.details == {"type": "object", "properties": {"reason": {}, "ok": {}}, "required": ["reason", "ok"]}
    assert known.because == "of law"


def test_a_type_may_choose_its_durability_and_what_a_failure_does() -> None:
    known = Catalog.parse(OWN + 'durability = "process"\non_failure = "warn"\noutcome = "unknown"\n')
    chosen = known.event_type("invoice_refunded")
    assert (chosen.durability, chosen.on_failure, chosen.outcome) == ("process", "warn", "unknown")


TYPE, RESOURCE = "[types.invoice_refunded]", "[resources.invoice]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ]", ["not TOML", "line 1"]),
        ("type = 1", ["the top level", "'type'", "did you mean 'types'?"]),
        ("types = 1", ["types must be a table"]),
        ("[types]\nx = 1", ["[types.x]", "must be a table"]),
        ("[types.Invoice]", ["[types.Invoice]", "lower-case letters"]),
        ('[resources."in-voice"]', ["[resources.in-voice]", "lower-case letters"]),
        ("[resources.invoice]\ntarget = 'x'", [RESOURCE, 'add label = "…"']),
        ("[resources.invoice]\nlabel = 'x'", [RESOURCE, 'add target = "…"']),
        (INVOICE + "colour = 'red'", [RESOURCE, "'colour'", "keys are"]),
        (INVOICE + "[types.paid]\nevent = 'pay'\nabout = 'x'", ["[types.paid]", 'add resource = "…"']),
        (INVOICE + "[types.paid]\nresource = 'invoice'\nabout = 'x'", ["[types.paid]", 'add event = "…"']),
        (INVOICE + "[types.paid]\nresource = 'invoice'\nevent = 'pay'", ["[types.paid]", 'add about = "…"']),
        (INVOICE + "[types.paid]\nresource = 'invoces'", ["no [resources.invoces]", "did you mean 'invoice'?"]),
        (OWN + "require = ['status']", [TYPE, "'require'", "did you mean 'requires'?"]),
        (OWN + "requires = 'status'", [TYPE, "requires must be a list of strings"]),
        (OWN + "requires = ['clientip']", [TYPE, "'clientip'", "did you mean 'client_ip'?"]),
        (OWN + "forbids = ['creation_date']", [TYPE, "'creation_date' is not a field that a rule can name"]),
        (OWN + "forbids = ['principal']", [TYPE, "'principal' is not a field that a rule can name"]),
        (OWN + "status = 'paid'", [TYPE, "status must be a list of strings"]),
        (OWN + "status = [1]", [TYPE, "status must be a list of strings"]),
        (OWN + "not_status = ['']", [TYPE, "not_status must be a list of strings"]),
        (OWN + "principal = ['system']", [TYPE, "principal must be a string"]),
        (OWN + "details = ['reason']", [TYPE, "details must be a JSON Schema: a table, or the name of a JSON file"]),
        (
            OWN + "details = { reason = 'text' }",
            [TYPE, "unknown keyword 'reason'", "written properties.reason = { … }"],
        ),
        (OWN + "outcome = 'ok'", [TYPE, "outcome must be one of success, failure, unknown"]),
        (OWN + "durability = 'ram'", [TYPE, "durability must be one of disk, process"]),
        (OWN + "on_failure = 'ignore'", [TYPE, "on_failure must be one of raise, warn"]),
        (OWN + "requires = ['status']\nforbids = ['status']", [TYPE, "status", "both required and forbidden"]),
        (OWN + "details.required = ['a']\nforbids = ['details']", [TYPE, "details has rules and is forbidden"]),
        (OWN + "requires = ['client_ip']\nprincipal = 'system'", [TYPE, "client_ip", "the system has no address"]),
        (OWN + "status = ['Draft']\nnot_status = ['draft']", [TYPE, "no allowed status"]),
        ("personal = 'client_ip'", ["personal must be a list of strings"]),
        ("personal = ['client-ip']", ["personal", "'client-ip'", "did you mean 'client_ip'?"]),
        ("personal = ['details']", ["personal", "'details' is not a text field"]),
        ("personal = ['host']", ["personal", "'host' is not a text field that a caller fills"]),
        ("personal = ['principal']", ["personal", "'principal' identifies the entry"]),
    ],
)
def test_a_catalog_that_can_t_be_used_is_told_file_table_key_and_fix(text: str, said: list[str]) -> None:
    with pytest.raises(CatalogError) as caught:
        Catalog.parse(text, name="own/events.toml")
    assert str(caught.value).startswith("own/events.toml")
    for words in said:
        assert words in str(caught.value)


def test_override_is_true_or_false(tmp_path: Path) -> None:
    own = EXTENDS + '[types.team_created]\nresource = "team"\nevent = "add"\nabout = "x"\noverride = "yes"\n'
    with pytest.raises(CatalogError, match="override must be true or false"):
        Catalog.load(written(tmp_path, own))


def test_a_file_that_can_t_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"missing\.toml can't be read: No such file"):
        Catalog.load(tmp_path / "missing.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'personal = ["\xe9"]')
    with pytest.raises(CatalogError, match=r"latin\.toml is not UTF-8"):
        Catalog.load(latin)


def test_an_unknown_type_is_told_what_is_near() -> None:
    with pytest.raises(InvalidEntry, match=r"'credential_created'.*Did you mean credentials_created"):
        Catalog.load().event_type("credential_created")


def test_a_process_that_can_not_reach_its_modules_any_more_is_told_without_what_is_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "difflib", None)  # as in a process that has changed its user or its root
    with pytest.raises(InvalidEntry, match="user_sing_in"):
        Catalog.load().event_type("user_sing_in")


@pytest.mark.parametrize("before", [None, OWN, EXTENDS + OWN])
@pytest.mark.parametrize("name", ["team_renamed", "invoice_line_added", "invoice_sent"])
def test_the_toml_printed_for_an_unknown_type_adds_it(tmp_path: Path, before: str | None, name: str) -> None:
    catalog = Catalog.load() if before is None else Catalog.parse(before)
    with pytest.raises(InvalidEntry) as caught:
        catalog.event_type(name)
    stanza = str(caught.value).partition("\n\n")[2]
    assert name in Catalog.load(written(tmp_path, (before or "") + stanza)).types


def test_a_type_of_the_platform_that_a_catalog_lacks_is_told_how_to_have_it() -> None:
    told = 'The platform has it: write `extends = "platform"` at the top of events.toml to use its types.'
    with pytest.raises(InvalidEntry) as caught:
        Catalog.parse(OWN).event_type("user_sign_in")
    assert told in str(caught.value)
    with pytest.raises(InvalidEntry) as caught:
        Catalog.parse(OWN).event_type("user_signed_in")
    assert told not in str(caught.value)


@pytest.mark.parametrize("name", [None, 5, ["a"], f"password is {CANARY}"])
def test_what_is_no_name_at_all_is_not_repeated(name: Any) -> None:
    with pytest.raises(InvalidEntry, match="must be a name such as") as caught:
        Catalog.load().event_type(name)
    assert CANARY not in str(caught.value)


def test_a_missing_field_is_told_how_to_give_it() -> None:
    bare = entry_of()
    del bare["target"], bare["principal"]
    with pytest.raises(InvalidEntry) as caught:
        Catalog.parse(OWN + 'requires = ["client_ip", "status"]\nbecause = "of law"').check(bare)
    assert str(caught.value) == (
        "invoice_refunded: target is missing; pass target=…: the invoice's number; "
        "principal is missing; bind the user's ID with whodid.context(principal=…) around the request, or pass "
        "principal='system' for actions of the system itself; "
        "client_ip is required (of law); bind it with whodid.context(client_ip=…) or pass client_ip=…; "
        "status is required (of law); pass status=…"
    )


def test_a_forbidden_field_is_told_why() -> None:
    rules = 'forbids = ["before"]\nbecause = "images are secret"'
    assert "before is not allowed (images are secret); leave it out" in refusal(rules, before={"a": CANARY})


def test_a_status_that_is_not_allowed_is_told_which_are() -> None:
    assert "status must be one of full, partial" in refusal('status = ["full", "partial"]', status=CANARY)
    assert "status must not be one of draft; record" in refusal('not_status = ["draft"]', status="DRAFT")


def test_a_principal_other_than_the_only_one_is_told_which() -> None:
    assert "principal must be 'system'" in refusal('principal = "system"', principal=CANARY)


@pytest.mark.parametrize(
    ("rule", "said", "wrong"),
    [
        ('type = "string"', "a string", [5, None, True]),
        ("const = true", "true", [False, 1, "true"]),
        ("const = false", "false", [True, 0, None]),
        ('enum = ["EUR", "USD"]', "one of EUR, USD", [CANARY, ["EUR"], 1]),
    ],
)
def test_a_detail_is_told_its_form(rule: str, said: str, wrong: list[object]) -> None:
    rules = f"details.properties.key = {{ {rule} }}\ndetails.required = ['key']\nbecause = 'of law'"
    cases: list[dict[str, Any]] = [{}, {"details": {}}]
    for missing in cases:
        told = f"invoice_refunded: details.key is required (of law): {said}; pass details={{'key': …}}"
        assert refusal(rules, **missing) == told
    for value in wrong:
        message = refusal(rules, details={"key": value})
        assert f"details.key must be {said}" in message
        assert CANARY not in message


def test_an_unknown_field_is_told_to_be_a_detail() -> None:
    assert "colour is not a field of an entry; pass details={'colour': …}" in refusal("", colour=CANARY)


def test_a_wrong_type_is_named_and_its_value_is_not() -> None:
    assert "organization_id must be a string, not int; pass str(…)" in refusal("", organization_id=4711)
    assert "details must be a dict, not list" in refusal("", details=[CANARY])
    assert "status must be a string, not object" in refusal("", status=object())
    assert "before must be a dict, not set" in refusal("", before={CANARY})


def test_a_length_is_named() -> None:
    limit = FIELDS["target"].max_length
    assert f"target has {limit + 1} characters, the limit is {limit}" in refusal("", target="x" * (limit + 1))
    assert "target is empty; leave it out" in refusal("", target="")


@pytest.mark.parametrize("address", ["", "localhost", "203.0.113.9:443", "[2001:db8::7]", "fe80::1%eth0", "1.2.3"])
def test_a_client_ip_that_is_no_address_is_told_what_one_is(address: str) -> None:
    assert "client_ip is not an IPv4 or IPv6 address" in refusal("", client_ip=address)


def test_the_system_has_no_address() -> None:
    said = refusal("", principal="system", client_ip="203.0.113.9")
    assert "client_ip must be absent when principal is 'system'" in said


def test_a_phase_belongs_to_an_operation() -> None:
    assert "phase needs operation" in refusal("", phase="intent")
    assert "phase must be one of intent, outcome" in refusal("", phase=CANARY, operation="o1")
    Catalog.parse(OWN).check(entry_of(phase="intent", operation="o1"))


_VALUES = st.sampled_from(
    [CANARY, f"{CANARY}\ud800", "", 7, 7.5, None, True, [CANARY], {CANARY: CANARY}, {CANARY}, b"x"]
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS.keys() - {"type", "seq"})), _VALUES, max_size=6))
def test_a_refusal_never_repeats_a_value(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntry) as refused:  # no entry to be recorded has a seq
        _DEFAULT.check(entry_of("user_sign_in", seq=1, **fields))
    assert CANARY not in str(refused.value)


def test_the_catalog_page_names_every_key_and_its_toml_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "catalog.md").read_text(encoding="utf-8")
    for text in ("x = 1", "[resources.a]\nx = 1", "[types.a]\nx = 1"):
        with pytest.raises(CatalogError) as caught:
            Catalog.parse(text)
        for key in str(caught.value).partition("keys are ")[2].split(", "):
            assert f"| `{key}` |" in page
    invoice, data_link, aliases = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert Catalog.load(written(tmp_path, invoice)).types.keys() == {"invoice_refunded"}
    assert Catalog.load(written(tmp_path, data_link)).types.keys() == Catalog.load().types.keys() | {"data_link_pinned"}
    assert Catalog.load(written(tmp_path, aliases)).types.keys() == {"door_opened", "door_open"}
