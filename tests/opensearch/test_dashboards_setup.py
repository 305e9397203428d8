"""`whodid setup --dashboards`, also with `--remove`, against a stand-in for the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.commands import whodid
from tests.opensearch.dashboards_fake import DashboardsFake, Reply, dashboards_fake
from tests.opensearch.dashboards_runs import install, kinds, planned, refusal
from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.errors import NotAuthenticated, NotAuthorized, SettingsError
from whodid.resources import resource_text
from whodid.settings import Settings
from whodid.setup.dashboards import Dashboards, removals


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in resource_text("opensearch/dashboards/audit.ndjson").splitlines()]


ALL = len(lines())


@pytest.fixture
def fake() -> Iterator[DashboardsFake]:
    with dashboards_fake() as made:
        yield made


def test_the_first_run_creates_everything_and_the_second_nothing(fake: DashboardsFake) -> None:
    assert kinds(fake, Settings()) == ["create"] * ALL
    install(fake, Settings())
    assert [line["id"] for line in lines()] == fake.imports
    assert kinds(fake, Settings()) == ["unchanged"] * ALL
    install(fake, Settings())
    assert len(fake.imports) == ALL


def test_what_is_installed_is_the_committed_file(fake: DashboardsFake) -> None:
    install(fake, Settings())
    assert list(fake.stored().values()) == lines()


def test_a_list_of_fields_that_a_browser_wrote_again_is_no_difference(fake: DashboardsFake) -> None:
    install(fake, Settings())
    fake.refresh_fields("whodid-audit.entries")
    assert kinds(fake, Settings()) == ["unchanged"] * ALL


def changed_fields(fake: DashboardsFake, change: Callable[[list[Any]], object]) -> None:
    attributes = fake.stored()["index-pattern", "whodid-audit.entries"]["attributes"]
    fields = json.loads(attributes["fields"])
    change(fields)
    attributes["fields"] = json.dumps(fields)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda fields: fields.remove(*(one for one in fields if one["name"] == "host")), '+      "host": "string",'),
        (
            lambda fields: next(one for one in fields if one["name"] == "host").update(type="conflict"),
            '-      "host": "conflict",',
        ),
        (lambda fields: fields.clear(), '+      "seq": "number",'),
        (lambda fields: fields.insert(0, "host"), '-      "host",'),
    ],
    ids=["a new field", "another type", "none", "no list of fields"],
)
def test_a_field_that_is_missing_or_of_another_type_is_added(
    fake: DashboardsFake, change: Callable[[list[Any]], object], shown: str
) -> None:
    install(fake, Settings())
    fake.refresh_fields("whodid-audit.entries")
    install(fake, Settings())
    changed_fields(fake, change)
    [update] = [each for each in planned(fake, Settings()) if each.kind != "unchanged"]
    assert update.what == "Dashboards index-pattern whodid-audit.entries"
    assert shown in update.difference.splitlines()
    install(fake, Settings())
    assert kinds(fake, Settings()) == ["unchanged"] * ALL


def test_the_address_of_the_tab_is_part_of_what_is_installed(fake: DashboardsFake) -> None:
    install(fake, Settings())
    changed = [
        each.what for each in planned(fake, Settings(), tab_url="https://audit.example") if each.kind == "update"
    ]
    assert changed[0] == "Dashboards index-pattern whodid-audit.entries"
    assert {each.split()[1] for each in changed} == {"index-pattern", "search", "visualization"}


@pytest.mark.parametrize("kind", ["index-pattern", "search", "visualization", "dashboard"])
def test_a_changed_title_is_shown_and_mended_and_nothing_else_is_touched(fake: DashboardsFake, kind: str) -> None:
    install(fake, Settings())
    [name, *_] = [line["id"] for line in lines() if line["type"] == kind]
    fake.imports.clear()
    fake.stored()[kind, name]["attributes"]["title"] = "mine"
    [change] = [change for change in planned(fake, Settings()) if change.kind != "unchanged"]
    assert (change.what, change.kind) == (f"Dashboards {kind} {name}", "update")
    assert '-    "title": "mine"' in change.difference
    install(fake, Settings())
    assert fake.imports == [name]
    assert kinds(fake, Settings()) == ["unchanged"] * ALL


def test_a_difference_inside_json_text_is_shown_as_a_line_of_its_own(fake: DashboardsFake) -> None:
    install(fake, Settings())
    attributes = fake.stored()["search", "whodid-audit.failures"]["attributes"]
    changed = attributes["kibanaSavedObjectMeta"]["searchSourceJSON"].replace("outcome: failure", "outcome: unknown")
    attributes["kibanaSavedObjectMeta"]["searchSourceJSON"] = changed
    [change] = [change for change in planned(fake, Settings()) if change.kind != "unchanged"]
    assert [line[0] for line in change.difference.splitlines()[3:] if line[0] != " "] == ["-", "+"]


@pytest.mark.parametrize("broken", ["references", "searchSourceJSON"])
def test_an_object_that_would_not_draw_is_mended(fake: DashboardsFake, broken: str) -> None:
    install(fake, Settings())
    kept = fake.stored()["search", "whodid-audit.failures"]
    if broken == "references":
        kept["references"] = []
    else:
        kept["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"] = "{"
    assert kinds(fake, Settings()).count("update") == 1
    install(fake, Settings())
    assert kinds(fake, Settings()) == ["unchanged"] * ALL


def test_two_installations_live_side_by_side(fake: DashboardsFake) -> None:
    for prefix in ("whodid-audit", "other-audit"):
        install(fake, Settings(index_prefix=prefix))
    assert len(fake.stored()) == 2 * ALL
    assert kinds(fake, Settings()) == ["unchanged"] * ALL


@pytest.mark.parametrize("base_path", ["", "/dashboards", "/w/a1b2"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_base_path_is_kept(base_path: str, slash: str) -> None:
    with dashboards_fake(base_path=base_path) as fake:
        notes = [change.note for change in planned(fake, Settings(), url=fake.url + slash) if change.note]
        assert notes[0] == f"{fake.url}/app/dashboards#/view/whodid-audit.overview"
        assert len(notes) == 3


# Who may


SIGNED_IN = Settings(opensearch_user="anna", opensearch_password="пароль €")


def test_user_and_password_of_opensearch_are_those_of_dashboards() -> None:
    with dashboards_fake(users={"anna": "пароль €"}) as fake:
        install(fake, SIGNED_IN)
        assert len(fake.stored()) == ALL


def test_a_wrong_password_is_told_from_none() -> None:
    with dashboards_fake(users={"anna": "another"}) as fake:
        wrong, none = refusal(fake, SIGNED_IN), refusal(fake)
    assert isinstance(wrong, NotAuthenticated)
    assert "does not accept this user and password; check opensearch_user and its password" in str(wrong)
    assert isinstance(none, NotAuthenticated)
    assert "set opensearch_user and opensearch_password_file" in str(none)


def test_objects_go_into_the_tenant_that_is_named() -> None:
    with dashboards_fake(users={"anna": "пароль €"}, tenants={"audit & co": True}) as fake:
        for tenant, kept in (("audit & co", "audit & co"), ("global", ""), ("private", "__user__")):
            install(fake, SIGNED_IN, tenant)
            assert len(fake.stored(kept)) == ALL
            assert kinds(fake, SIGNED_IN, tenant) == ["unchanged"] * ALL


def test_a_tenant_that_dashboards_would_exchange_ends_the_setup_before_anything_is_changed() -> None:
    with dashboards_fake(tenants={"audit": True}) as fake:
        error = refusal(fake, tenant="adit")
        assert "takes the tenant __user__ instead; this one does not exist" in str(error)
        assert fake.imports == []


def test_a_tenant_where_there_are_none_is_an_error(fake: DashboardsFake) -> None:
    assert "has no tenants; leave --dashboards-tenant out" in str(refusal(fake, tenant="audit"))


def test_a_tenant_that_nobody_confirms_is_an_error() -> None:
    with dashboards_fake(tenants={"audit": True}) as fake:
        fake.instead = lambda method, path: Reply(400, {"message": "Invalid cookie."}) if "tenant" in path else None
        assert "does not say whether it takes this one (HTTP 400)" in str(refusal(fake, tenant="audit"))
        assert fake.imports == []


def test_a_tenant_that_may_only_be_read_is_an_error() -> None:
    with dashboards_fake(tenants={"audit": False}) as fake:
        with pytest.raises(NotAuthorized, match=r"no permissions for .* write access to the tenant"):
            install(fake, Settings(), "audit")
        assert fake.stored("audit") == {}


@pytest.mark.parametrize("tenant", ["tenant\r\nx: y", "größe"])
def test_a_tenant_that_is_no_header_is_refused(fake: DashboardsFake, tenant: str) -> None:
    with pytest.raises(SettingsError, match="--dashboards-tenant must be a name"):
        planned(fake, Settings(), tenant)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://dashboards.example:5601", "use https://"),
        ("dashboards.example:5601", "--dashboards must hold URLs such as https://dashboards.example:5601"),
        ("https://anna:hunter2@dashboards.example", "must not contain a password"),
        ("http://localhost:5601/app/home#/", "must be the address before /app/"),
        ("http://localhost:5601/app", "must be the address before /app/"),
        ("http://localhost:5601?security_tenant=global", "must be the address before /app/"),
    ],
)
def test_an_address_that_is_none_of_dashboards_is_refused_before_anything_is_sent(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        Dashboards(url, Settings())
    assert "hunter2" not in str(raised.value)


# The program


@pytest.fixture
def cluster() -> Iterator[IsmStandIn]:
    with closing(IsmStandIn()) as made:
        yield made


def run(cluster: IsmStandIn, command: str, *options: str) -> CompletedProcess[str]:
    return whodid(command, f"--opensearch-hosts={cluster.url}", *options)


def setup(cluster: IsmStandIn, *options: str) -> CompletedProcess[str]:
    return run(cluster, "setup", *options)


def test_the_program_shows_installs_and_then_says_unchanged(cluster: IsmStandIn, fake: DashboardsFake) -> None:
    dry = setup(cluster, "--dashboards", fake.url, "--dry-run")
    assert (dry.returncode, dry.stderr, fake.imports) == (1, "", [])
    assert "Dashboards search whodid-audit.deletions: to create\n" in dry.stdout
    done = setup(cluster, "--dashboards", fake.url)
    assert (done.returncode, done.stderr) == (0, "")
    overview = f"{fake.url}/app/dashboards#/view/whodid-audit.overview"
    assert f"Dashboards dashboard whodid-audit.overview: created ({overview})\n" in done.stdout
    again = setup(cluster, "--dashboards", fake.url, "--dry-run", "--json")
    assert again.returncode == 0
    told = [json.loads(line) for line in again.stdout.splitlines()]
    assert [one["kind"] for one in told if one["what"].startswith("Dashboards ")] == ["unchanged"] * ALL


def test_a_dashboards_that_refuses_ends_the_setup_before_the_cluster_is_changed(cluster: IsmStandIn) -> None:
    with dashboards_fake(users={"anna": "right"}) as fake:
        done = setup(cluster, "--dashboards", fake.url)
    assert (done.returncode, done.stdout, cluster.writes) == (1, "", [])
    assert done.stderr.startswith("whodid: the saved objects: Dashboards wants a user; set opensearch_user")


def test_what_was_made_before_an_error_is_told(cluster: IsmStandIn, fake: DashboardsFake) -> None:
    fake.known_types.discard("visualization")
    done = setup(cluster, "--dashboards", fake.url)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Dashboards search whodid-audit.on-behalf: created"
    assert "the visualization whodid-audit.numbers: this Dashboards does not know such objects" in done.stderr


def test_wrong_use_is_told_as_such(cluster: IsmStandIn) -> None:
    for options, says in (
        (["--dashboards-tenant", "audit"], "--dashboards-tenant needs --dashboards"),
        (["--tab-url", "https://audit.example"], "--tab-url needs --dashboards"),
        (["--dashboards", "http://dashboards.example"], "use https://"),
        (["--dashboards", "https://dashboards.example", "--tab-url", "http://audit.example"], "use https://"),
    ):
        done = setup(cluster, *options)
        assert (done.returncode, done.stdout, cluster.writes) == (2, "", [])
        assert says in done.stderr


# Removal


def removed(fake: DashboardsFake, settings: Settings, tenant: str = "") -> list[str]:
    with closing(Dashboards(fake.url, settings, tenant)) as dashboards:
        found = list(removals(dashboards, settings))
        for one in found:
            one.make()
    return [one.what for one in found]


def test_what_setup_installed_is_removed_each_before_what_it_refers_to(fake: DashboardsFake) -> None:
    install(fake, Settings())
    fake.stored()["search", "whodid-audit.failures"]["attributes"]["title"] = "mine"
    expected = [f"Dashboards {line['type']} {line['id']}" for line in reversed(lines())]
    assert removed(fake, Settings()) == expected
    assert fake.stored() == {}
    assert removed(fake, Settings()) == []


def test_objects_of_others_and_of_another_installation_stay(fake: DashboardsFake) -> None:
    for prefix in ("whodid-audit", "other-audit"):
        install(fake, Settings(index_prefix=prefix))
    mine = {"type": "search", "id": "whodid-audit.mine", "attributes": {}}
    fake.stored()["search", "whodid-audit.mine"] = mine
    assert len(removed(fake, Settings())) == ALL
    assert {name.partition(".")[0] for _, name in fake.stored()} == {"other-audit", "whodid-audit"}
    assert len(fake.stored()) == ALL + 1


def test_an_object_that_somebody_else_deletes_meanwhile_is_no_error(fake: DashboardsFake) -> None:
    install(fake, Settings())
    with closing(Dashboards(fake.url, Settings())) as dashboards:
        found = list(removals(dashboards, Settings()))
        fake.stored().clear()
        for one in found:
            one.make()


def test_a_tenant_that_may_only_be_read_is_an_error_of_removal_too() -> None:
    with dashboards_fake(tenants={"audit": False}) as fake:
        fake.stored("audit").update({(line["type"], line["id"]): line for line in lines()})
        with pytest.raises(NotAuthorized, match="write access to the tenant"):
            removed(fake, Settings(), "audit")
        assert len(fake.stored("audit")) == ALL


def test_the_program_removes_them_when_asked_to(cluster: IsmStandIn, fake: DashboardsFake) -> None:
    install(fake, Settings())
    dry = run(cluster, "setup", "--remove", "--dashboards", fake.url, "--dry-run")
    assert (dry.returncode, dry.stderr, len(fake.stored())) == (1, "", ALL)
    assert (
        "Dashboards index-pattern whodid-audit.entries: would be removed (objects of yours that use it need another "
        "one)\n" in dry.stdout
    )
    assert run(cluster, "setup", "--remove").returncode == 0
    assert len(fake.stored()) == ALL
    done = run(cluster, "setup", "--remove", "--dashboards", fake.url)
    assert (done.returncode, done.stderr, fake.stored()) == (0, "", {})
    wrong = run(cluster, "setup", "--remove", "--dashboards-tenant", "audit")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--dashboards-tenant needs --dashboards" in wrong.stderr
