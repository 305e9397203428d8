"""What the doctor finds in a real cluster, and on the way to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.doctor.examined import examined, of, worst
from tests.faults.kit import FaultProxy, answer, drip, hang, unavailable
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch_node import SecuredNode
from whodid.cluster.connection import connect, restores_sorted
from whodid.cluster.template import index_pattern, index_template, template_name
from whodid.devserver.security import issue, make_authority
from whodid.retention.ism import Ism, policy_body, policy_name
from whodid.settings import Settings
from whodid.setup.setup import apply, plan

pytestmark = pytest.mark.live

CLUSTER = ("clock", "connection", "rights", "template", "retention", "versions")
NO_ISM = "this cluster has no Index State Management: whodid deletes old partitions itself"


def test_a_cluster_that_is_set_up_has_no_problem(place: Corner) -> None:
    place.record(1)
    place.ship()
    found = of(place, *CLUSTER)
    assert worst(found) == [("warning", NO_ISM)]
    assert {one.area for one in found} == set(CLUSTER)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", "no connection: Connection refused"),
        ("https://nosuch.invalid", "no address for nosuch.invalid"),
    ],
)
def test_without_a_cluster_the_rest_is_examined_and_the_missing_is_named(tmp_path: Path, url: str, said: str) -> None:
    settings = Settings(journal_dir=str(tmp_path / "journal"), opensearch_hosts=(url,))
    found = worst(examined(settings))
    assert any(severity == "problem" and what.startswith(said) for severity, what in found)
    assert (
        "warning",
        "could not be examined without a connection: clock, rights, template, retention, versions",
    ) in found
    assert ("warning", "does not exist yet") in found


def test_one_host_of_two_that_is_away_is_a_warning(place: Corner) -> None:
    hosts = (place.settings.opensearch_hosts[0], "http://127.0.0.1:1")
    found = examined(replace(place.settings, opensearch_hosts=hosts), "connection")
    assert worst(found) == [("warning", "no connection: Connection refused")]


def test_a_cluster_that_hangs_is_told_in_time(place: Corner) -> None:
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        proxy.inject(hang())
        settings = replace(place.settings, opensearch_hosts=(proxy.url,))
        found = examined(settings, "connection", "template", timeout=1.0)
    assert worst(found)[0] == ("problem", "is connected, but did not answer in time")


def test_an_area_that_hangs_is_named_and_the_others_are_told(place: Corner) -> None:
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        proxy.inject(drip(20), path="/_index_template")  # each byte in time, and the answer never
        settings = replace(place.settings, opensearch_hosts=(proxy.url,))
        found = examined(settings, "template", "versions", timeout=5.0)
    assert [one.what for one in found if one.area == "template"] == ["did not finish within 5 s"]
    assert [one.what for one in found if one.area == "versions" and one.on == "the cluster"] == ["OpenSearch 3.4.0"]


def test_a_cluster_that_is_starting_is_a_problem(place: Corner) -> None:
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        proxy.inject(unavailable())
        found = worst(examined(replace(place.settings, opensearch_hosts=(proxy.url,)), "connection"))
    assert [(severity, "busy, starting" in what) for severity, what in found] == [("problem", True)]


@contextmanager
def certified(place: Corner, folder: Path, lasts: timedelta) -> Iterator[Settings]:
    """The cluster behind a certificate that is good for so long."""
    folder.mkdir()
    make_authority(folder)
    certificate, key = issue(folder, "server", server=True)
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer: Any = load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    valid = x509.load_pem_x509_certificate(certificate.read_bytes())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        authority.subject, valid.subject, valid.public_key(), valid.serial_number, now - timedelta(days=2),
        now + lasts, list(valid.extensions),
    )  # fmt: skip
    (folder / "made.pem").write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    with FaultProxy(place.settings.opensearch_hosts[0], certificate=(folder / "made.pem", key)) as proxy:
        yield replace(place.settings, opensearch_hosts=(proxy.url,), opensearch_ca=str(folder / "ca.pem"))


@pytest.mark.parametrize(
    ("lasts", "found"),
    [
        (timedelta(days=40), []),
        (timedelta(days=20, hours=1), [("warning", "the certificate expires in 20 days")]),
        (timedelta(days=3, hours=1), [("problem", "the certificate expires in 3 days")]),
        (timedelta(hours=-1), [("problem", "its certificate is not accepted: certificate has expired")]),
    ],
)
def test_a_certificate_that_ends_is_told_before(
    place: Corner, tmp_path: Path, lasts: timedelta, found: list[tuple[str, str]]
) -> None:
    with certified(place, tmp_path / "own", lasts) as settings:
        assert worst(examined(settings, "connection")) == found


def test_an_authority_that_is_not_known_is_told_with_its_setting(place: Corner, tmp_path: Path) -> None:
    with certified(place, tmp_path / "own", timedelta(days=40)) as settings:
        [found] = examined(replace(settings, opensearch_ca=""), "connection")
        assert (found.severity, found.advice) == ("problem", "set opensearch_ca to the file of its authority")
        [missing] = examined(replace(settings, opensearch_ca=str(tmp_path / "nowhere")), "connection")
        assert (missing.severity, "opensearch_ca" in missing.what) == ("problem", True)
        http = settings.opensearch_hosts[0].replace("127.0.0.1", "localhost")
        assert worst(examined(replace(settings, opensearch_hosts=(http,)), "connection")) in (
            [],
            [
                (
                    "problem",
                    "its certificate is not accepted: Hostname mismatch, certificate is not valid for 'localhost'.",
                )
            ],
        )


def test_each_role_is_told_what_it_may_and_a_stranger_that_he_may_nothing(
    secured_node: SecuredNode, tmp_path: Path
) -> None:
    with secured_corner(secured_node, tmp_path) as place:

        def rights(user: str, password: str = PASSWORD, hosts: str = "") -> list[tuple[str, str]]:
            theirs = replace(
                place.settings,
                opensearch_hosts=(hosts,) if hosts else place.settings.opensearch_hosts,
                opensearch_user=user,
                opensearch_password=password,
                opensearch_password_file="",
            )
            found = examined(theirs, "connection", "rights")
            told = [one for one in found if one.what.startswith(("may ", "may not ", "the cluster rejected"))]
            return [(str(one.severity), one.what.partition(":")[0]) for one in told]

        def may(severity: str, read: str, store: str) -> list[tuple[str, str]]:
            return [
                (severity, f"{read} read entries (whodid search)"), (severity, f"{store} store entries (whodid ship)")
            ]  # fmt: skip

        before = place.client.indices.get(index=index_pattern(place.settings))
        writer = account(place, "writer")
        assert rights(writer) == may("ok", "may not", "may")
        with FaultProxy(place.settings.opensearch_hosts[0], upstream_ca=place.settings.opensearch_ca) as proxy:
            # An older cluster does not tell rights: then the roles say it, and writing is not even asked about.
            proxy.inject(answer(400, {"error": {"reason": "unrecognized"}}), path="perform_permission_check")
            assert rights(writer, hosts=proxy.url) == may("ok", "may not", "may")
            assert proxy.count("_create") == 0
        auditor = account(place, "auditor")
        assert rights("admin", secured_node.password_file.read_text().strip()) == may("ok", "may", "may")
        place.record(1)  # this host records, so the user is there to ship
        assert rights(auditor) == [*may("ok", "may", "")[:1], ("warning", "may not store entries (whodid ship)")]
        stranger = f"{place.settings.index_prefix}-stranger"
        body = {"password": PASSWORD}
        path = f"/_plugins/_security/api/internalusers/{stranger}"
        place.client.transport.perform_request("PUT", path, body=body)
        assert rights(stranger) == may("problem", "may not", "may not")
        assert rights(auditor, "Wrong-Pass-Phrase-1!") == [
            ("problem", "the cluster rejected this user name or password")
        ]
        assert place.client.indices.get(index=index_pattern(place.settings)) == before  # nothing was made


def templates(place: Corner) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in of(place, "template") if one.area == "template"]


def test_a_template_that_is_missing_differs_or_is_shadowed_is_told(place: Corner) -> None:
    name, put = template_name(place.settings), place.client.indices.put_index_template
    ours = index_template(place.settings, sort=restores_sorted(place.client))
    assert templates(place) == [("ok", "the index template is that of whodid")]
    put(name=name, body={**ours, "priority": 400})
    assert templates(place) == [("warning", "the index template was changed by hand, and differs in priority")]
    put(name=name, body={**ours, "template": {**ours["template"], "mappings": {"dynamic": "strict"}}})
    assert templates(place) == [
        ("problem", "the index template has a different mapping: new partitions may reject entries")
    ]
    put(name=name, body=index_template(place.settings))
    if not restores_sorted(place.client):
        [(severity, what), _] = sorted(templates(place), reverse=True)
        assert (severity, "can't restore sorted ones" in what) == ("problem", True)
    put(name=name, body=ours)
    other = f"{name}-other"
    put(name=other, body={"index_patterns": [f"{name}-2*"], "priority": 501})
    try:
        [_, (severity, what)] = templates(place)
        assert (severity, what.startswith(f"overrides the index template {name}: priority 501 over 500")) == (
            "problem",
            True,
        )
        put(name=other, body={"index_patterns": [f"{name}x-*"], "priority": 501})
        assert templates(place) == [("ok", "the index template is that of whodid")]
    finally:
        place.client.indices.delete_index_template(name=other)
    place.client.indices.delete_index_template(name=name)
    assert templates(place)[0][0] == "problem"


def test_partitions_of_others_and_of_older_versions_are_told(place: Corner) -> None:
    name = template_name(place.settings)
    place.client.indices.delete_index_template(name=name)
    place.client.indices.create(index=f"{name}-2020.01", body={"mappings": {"_meta": {"managed_by": "whodid"}}})
    place.client.indices.create(index=f"{name}-2020.02")
    found = [(one.severity, one.on) for one in of(place, "template") if one.area == "template"]
    assert found == [("problem", name), ("problem", f"{name}-2020.01"), ("problem", f"{name}-2020.02")]


def test_a_clock_that_is_an_hour_off_is_a_problem_and_a_minute_a_warning(place: Corner) -> None:
    for off, severity in ((60, "warning"), (-7200, "problem")):
        with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
            told = b'[{"epoch":"%d"}]' % (time.time() + off)
            proxy.inject(answer(200, told, content_type="application/json"), path="_cat/health")
            found = examined(replace(place.settings, opensearch_hosts=(proxy.url,)), "clock")
            assert [one[0] for one in worst(found)] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("number", "distribution", "severity"),
    [
        ("1.3.0", "opensearch", "problem"),
        ("2.18.0", "opensearch", "warning"),
        ("2.19.1", "opensearch", None),
        ("8.1.0", None, "problem"),
    ],
)
def test_other_versions_of_the_cluster_are_told(
    place: Corner, number: str, distribution: str | None, severity: str | None
) -> None:
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        about = {"version": {"number": number, **({"distribution": distribution} if distribution else {})}}
        proxy.inject(answer(400, {"error": "no handler found for uri"}), path="authinfo")
        proxy.inject(answer(200, about))
        found = examined(replace(place.settings, opensearch_hosts=(proxy.url,)), "versions")
        assert [one[0] for one in worst(found)] == ([severity] if severity else [])


def test_a_policy_that_is_missing_or_another_one_is_told(cluster: IsmStandIn, tmp_path: Path) -> None:
    settings = Settings(opensearch_hosts=(cluster.url,), journal_dir=str(tmp_path / "journal"))

    def policy(chosen: Settings = settings) -> list[tuple[str, str]]:
        return [(one.severity, one.what) for one in examined(chosen, "retention") if one.area == "retention"]

    assert policy()[0] == ("problem", "the cluster has no retention policy of whodid: old entries are kept")
    client = connect(settings)
    ism = Ism(client)
    ism.put_policy(policy_name(settings), policy_body(settings), None)
    assert [severity for severity, _ in policy()] == ["ok"]
    other = replace(settings, retention="30d")
    assert policy(other) == [
        ("problem", "the policy deletes a partition 398 days after its creation; the settings say 63 days")
    ]
    client.close()


def test_setup_cures_what_it_can(place: Corner) -> None:
    place.client.indices.delete_index_template(name=template_name(place.settings))
    assert [one[0] for one in templates(place)] == ["problem"]
    apply(plan(place.client, place.settings))
    assert templates(place) == [("ok", "the index template is that of whodid")]
