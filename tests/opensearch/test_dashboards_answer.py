"""What Dashboards, or whatever answers in its place, says: each answer becomes success or an error that helps."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.opensearch.dashboards_fake import DashboardsFake, Reply, dashboards_fake
from tests.opensearch.dashboards_runs import install, kinds, planned, refusal
from whodid.errors import NotAuthenticated, NotAuthorized, OpenSearchError, OpenSearchUnavailable
from whodid.settings import Settings
from whodid.setup.dashboards import Dashboards, plan


@pytest.fixture
def fake() -> Iterator[DashboardsFake]:
    with dashboards_fake() as made:
        yield made


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


@pytest.mark.parametrize(("authority", "trusted"), [("ours.pem", True), ("other.pem", False)])
def test_only_the_named_authority_is_trusted(keys: Path, authority: str, trusted: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.pem", keys / "server.key")
    with dashboards_fake(tls=context) as fake:
        settings = Settings(opensearch_ca=str(keys / authority))
        if trusted:
            assert set(kinds(fake, settings)) == {"create"}
        else:
            assert "was not accepted (" in str(refusal(fake, settings))


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
