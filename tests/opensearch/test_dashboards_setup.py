"""`whodid setup --dashboards`, against a stand-in for the server: what it installs, mends, leaves alone and refuses."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.opensearch.dashboards_fake import DashboardsFake, Reply, dashboards_fake
from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.errors import (
    NotAuthenticated,
    NotAuthorized,
    OpenSearchError,
    OpenSearchUnavailable,
    SettingsError,
)
from whodid.opensearch.change import Change
from whodid.opensearch.dashboards import Dashboards, plan
from whodid.opensearch.setup import apply
from whodid.resources import resource_text
from whodid.settings import Settings


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in resource_text("opensearch/dashboards/audit.ndjson").splitlines()]


@pytest.fixture
def fake() -> Iterator[DashboardsFake]:
    with dashboards_fake() as made:
        yield made


def planned(fake: DashboardsFake, settings: Settings, tenant: str = "", url: str = "") -> tuple[Change, ...]:
    with closing(Dashboards(url or fake.url, settings, tenant)) as dashboards:
        return plan(dashboards, settings)


def kinds(fake: DashboardsFake, settings: Settings, tenant: str = "") -> list[str]:
    return [change.kind for change in planned(fake, settings, tenant)]


def install(fake: DashboardsFake, settings: Settings, tenant: str = "") -> None:
    with closing(Dashboards(fake.url, settings, tenant)) as dashboards:
        apply(plan(dashboards, settings))


def refusal(fake: DashboardsFake, settings: Settings | None = None, tenant: str = "", url: str = "") -> OpenSearchError:
    with pytest.raises(OpenSearchError) as raised:
        planned(fake, settings or Settings(), tenant, url)
    return raised.value


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
    assert "has no tenants (HTTP 404); leave --dashboards-tenant out" in str(refusal(fake, tenant="audit"))


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


# What is no Dashboards, or none that answers


PAGE = "<!doctype html><title>Sign in</title>"


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (Reply(200, PAGE), OpenSearchError, "answered with a page, not as the API of Dashboards"),
        (Reply(200, []), OpenSearchError, "answered with a page"),
        (Reply(200, "[" * 100_000), OpenSearchError, "answered with a page"),
        (Reply(200, {}), OpenSearchError, "not one of OpenSearch Dashboards; check --dashboards"),
        (Reply(200, {"saved_objects": [7]}), OpenSearchError, "not one of OpenSearch Dashboards"),
        (Reply(200, {"saved_objects": 7}), OpenSearchError, "not one of OpenSearch Dashboards"),
        (
            Reply(302, PAGE, {"Location": "https://login.example/authorize?state=s3cret#x"}),
            OpenSearchError,
            "redirects to https://login.example/authorize; if that is a page to sign in at",
        ),
        (Reply(302, PAGE, {"Location": "/app/login?nextUrl=%2F"}), OpenSearchError, "redirects to /app/login; "),
        (Reply(401, PAGE), NotAuthenticated, "wants a user"),
        (Reply(403, {"message": "no\x1b[2J permission"}), NotAuthorized, "no�\\[2J permission"),
        (Reply(404, PAGE), OpenSearchError, "give its address with the base path and without /app/"),
        (
            Reply(503, "OpenSearch Dashboards server is not ready yet"),
            OpenSearchUnavailable,
            "not ready yet.*try again",
        ),
        (Reply(502, PAGE), OpenSearchUnavailable, "HTTP 502: a page"),
        (Reply(500, {"message": "An internal error"}), OpenSearchError, "HTTP 500: An internal error"),
    ],
)
def test_each_other_answer_is_an_error_that_says_what_to_do(
    fake: DashboardsFake, reply: Reply, kind: type[OpenSearchError], says: str
) -> None:
    fake.instead = lambda method, path: reply
    with pytest.raises(OpenSearchError, match=says) as raised:
        planned(fake, Settings())
    assert type(raised.value) is kind
    assert "s3cret" not in str(raised.value)


def test_a_refused_connection_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(OpenSearchUnavailable, match=r"can't be reached \(.*refused.*\); check --dashboards"):
        planned_at(f"http://127.0.0.1:{port}")


def test_an_unknown_host_is_an_error() -> None:
    with pytest.raises(OpenSearchUnavailable, match="can't be reached"):
        planned_at("https://dashboards.invalid")


def test_silence_is_an_error_that_names_the_setting() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(OpenSearchUnavailable, match="gave no answer in time; raise opensearch_timeout"),
    ):
        planned_at(f"http://127.0.0.1:{listening.getsockname()[1]}", opensearch_timeout=0.2)


def test_https_to_a_server_without_it_is_an_error(fake: DashboardsFake) -> None:
    with pytest.raises(OpenSearchUnavailable, match=r"certificate|can't be reached"):
        planned_at(fake.url.replace("http:", "https:"))


def planned_at(url: str, **settings: Any) -> None:
    with closing(Dashboards(url, Settings(**settings))) as dashboards:
        plan(dashboards, Settings())


# What an import says


def imported(errors: object = None, **answer: object) -> Reply:
    return Reply(
        200, {"success": errors is None, "successCount": 1, **({"errors": errors} if errors else {}), **answer}
    )


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (imported([{"error": {"type": "conflict"}}]), "did not overwrite it; delete it there"),
        (imported([{"error": {"type": "ambiguous_conflict"}}]), "did not overwrite it"),
        (
            imported([{"error": {"type": "missing_references", "references": [{"type": "index-pattern", "id": "x"}]}}]),
            r"needs what is not there \(index-pattern x\); run setup again",
        ),
        (imported([{"error": {"type": "unsupported_type"}}]), "is the plugin for them switched off"),
        (imported([{"error": {"type": "unknown", "message": "strict"}}]), r"refused it \(strict\)"),
        (imported([{"error": {"type": "missing_data_source"}}]), r"refused it \(missing_data_source\)"),
        (imported(success=False), "does not say that it was imported"),
        (imported(success="true"), "does not say that it was imported"),
        (imported(successCount=0), "does not say that it was imported"),
        (imported(successResults=[{"id": "x", "destinationId": "b7c1"}]), "imported it as b7c1; delete both"),
        (imported([7]), "not one of OpenSearch Dashboards"),
        (Reply(200, {"success": True}), "not one of OpenSearch Dashboards"),
        (Reply(200, PAGE), "answered with a page"),
        (Reply(422, {"message": "belongs to a more recent version"}), "older than whodid's objects .*; upgrade it"),
        (Reply(413, {"message": "Payload content length greater"}), "HTTP 413"),
    ],
)
def test_an_import_is_claimed_only_when_dashboards_says_so(fake: DashboardsFake, reply: Reply, says: str) -> None:
    fake.instead = lambda method, path: reply if path.endswith("_import") else None
    with pytest.raises(OpenSearchError, match=f"the index-pattern whodid-audit.entries: .*{says}"):
        install(fake, Settings())


def test_an_object_that_may_not_be_looked_at_is_an_error(fake: DashboardsFake) -> None:
    error = {"statusCode": 403, "message": "Saved object does not belong to the workspace"}
    fake.instead = lambda method, path: Reply(200, {"saved_objects": [{"id": "x", "type": "search", "error": error}]})
    assert "the search x: Dashboards refused it (Saved object does not belong" in str(refusal(fake))


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
