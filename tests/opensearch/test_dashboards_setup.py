"""`whodid setup --dashboards`, against a stand-in for the server: what it installs, mends, leaves alone and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.opensearch.dashboards_fake import DashboardsFake, Reply, dashboards_fake
from tests.opensearch.dashboards_runs import install, kinds, planned, refusal
from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.errors import NotAuthenticated, NotAuthorized, SettingsError
from whodid.opensearch.dashboards import Dashboards
from whodid.resources import resource_text
from whodid.settings import Settings


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in resource_text("opensearch/dashboards/audit.ndjson").splitlines()]


@pytest.fixture
def fake() -> Iterator[DashboardsFake]:
    with dashboards_fake() as made:
        yield made


def test_the_first_run_creates_everything_and_the_second_nothing(fake: DashboardsFake) -> None:
    assert kinds(fake, Settings()) == ["create"] * 12
    install(fake, Settings())
    assert [line["id"] for line in lines()] == fake.imports
    assert kinds(fake, Settings()) == ["unchanged"] * 12
    install(fake, Settings())
    assert len(fake.imports) == 12


def test_what_is_installed_is_the_committed_file(fake: DashboardsFake) -> None:
    install(fake, Settings())
    assert list(fake.stored().values()) == lines()


def test_fields_that_dashboards_filled_in_are_no_difference(fake: DashboardsFake) -> None:
    install(fake, Settings())
    fake.stored()["index-pattern", "whodid-audit.entries"]["attributes"]["fields"] = "[]"
    assert kinds(fake, Settings()) == ["unchanged"] * 12


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
    assert kinds(fake, Settings()) == ["unchanged"] * 12


def test_a_difference_inside_json_text_is_shown_as_a_line_of_its_own(fake: DashboardsFake) -> None:
    install(fake, Settings())
    attributes = fake.stored()["search", "whodid-audit.failures"]["attributes"]
    changed = attributes["kibanaSavedObjectMeta"]["searchSourceJSON"].replace("outcome:failure", "outcome:unknown")
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
    assert kinds(fake, Settings()) == ["unchanged"] * 12


def test_two_installations_live_side_by_side(fake: DashboardsFake) -> None:
    for prefix in ("whodid-audit", "other-audit"):
        install(fake, Settings(index_prefix=prefix))
    assert len(fake.stored()) == 24
    assert kinds(fake, Settings()) == ["unchanged"] * 12


@pytest.mark.parametrize("base_path", ["", "/dashboards", "/w/a1b2"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_base_path_is_kept(base_path: str, slash: str) -> None:
    with dashboards_fake(base_path=base_path) as fake:
        [*_, overview] = planned(fake, Settings(), url=fake.url + slash)
        assert overview.note == f"{fake.url}/app/dashboards#/view/whodid-audit.overview"


# Who may


SIGNED_IN = Settings(opensearch_user="anna", opensearch_password="пароль €")


def test_user_and_password_of_opensearch_are_those_of_dashboards() -> None:
    with dashboards_fake(users={"anna": "пароль €"}) as fake:
        install(fake, SIGNED_IN)
        assert len(fake.stored()) == 12


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
            assert len(fake.stored(kept)) == 12
            assert kinds(fake, SIGNED_IN, tenant) == ["unchanged"] * 12


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
        ("https://anna:hunter2@dashboards.example", "must not carry a password"),
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


def setup(cluster: IsmStandIn, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whodid", "setup", f"--opensearch-hosts={cluster.url}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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
    assert [one["kind"] for one in told if one["what"].startswith("Dashboards ")] == ["unchanged"] * 12


def test_a_dashboards_that_refuses_ends_the_setup_before_the_cluster_is_changed(cluster: IsmStandIn) -> None:
    with dashboards_fake(users={"anna": "right"}) as fake:
        done = setup(cluster, "--dashboards", fake.url)
    assert (done.returncode, done.stdout, cluster.writes) == (1, "", [])
    assert done.stderr.startswith("whodid: the saved objects: Dashboards wants a user; set opensearch_user")


def test_what_was_made_before_an_error_is_told(cluster: IsmStandIn, fake: DashboardsFake) -> None:
    fake.known_types.discard("visualization")
    done = setup(cluster, "--dashboards", fake.url)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Dashboards search whodid-audit.failures: created"
    assert "the visualization whodid-audit.over-time: this Dashboards does not know such objects" in done.stderr


def test_wrong_use_is_told_as_such(cluster: IsmStandIn) -> None:
    for options, says in (
        (["--dashboards-tenant", "audit"], "--dashboards-tenant needs --dashboards"),
        (["--dashboards", "http://dashboards.example"], "use https://"),
    ):
        done = setup(cluster, *options)
        assert (done.returncode, done.stdout, cluster.writes) == (2, "", [])
        assert says in done.stderr
