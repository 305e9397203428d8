"""A cluster in a state in which it takes nothing: the shipper waits, says why, and goes on when that is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.faults.kit import FaultProxy
from tests.faults.shipping import all_stored_once, shipping
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner, eventually
from tests.opensearch_node import SecuredNode
from whodid.cluster.template import template_name
from whodid.devserver.security import issue, make_authority
from whodid.files import write_private
from whodid.setup.roles import role_name

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.shipping.delivery.random.uniform", lambda _low, high: min(high, 0.05))


def settings_of(place: Corner, **settings: Any) -> Callable[[], object]:
    return lambda: place.client.indices.put_settings(index=f"{place.settings.index_prefix}-*", body=settings)


STATES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "read-only": ({"index.blocks.write": True}, {"index.blocks.write": None}, "index write (api)"),
    "read-only, allow delete": (
        {"index.blocks.read_only_allow_delete": True},
        {"index.blocks.read_only_allow_delete": None},
        "disk usage exceeded flood-stage watermark",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_a_block_is_waited_for(place: Corner, name: str) -> None:
    blocked, free, reason = STATES[name]
    entries = place.record(20)
    place.ship()
    settings_of(place, **blocked)()
    entries += place.record(120)
    with shipping(replace(place.settings, bulk_entries=50)) as running:
        eventually(lambda: reason in running.reasons())
        assert running.causes() == {"blocked"}
        settings_of(place, **free)()
        all_stored_once(place, entries, running, already=20)


def test_a_closed_index_is_waited_for(place: Corner) -> None:
    entries = place.record(20)
    place.ship()
    [index] = place.client.indices.get(index=f"{place.settings.index_prefix}-*")
    place.client.indices.close(index=index)
    entries += place.record(120)
    with shipping(replace(place.settings, bulk_entries=50)) as running:
        eventually(lambda: "index_closed_exception" in running.reasons())
        assert running.causes() == {"blocked"}
        place.client.indices.open(index=index)
        all_stored_once(place, entries, running, already=20)


def test_a_template_that_is_gone_is_missed_before_the_next_partition_is_made(place: Corner) -> None:
    entries = place.record(3)
    with shipping(place.settings) as running:
        eventually(lambda: running.shipper.progress.shipped == 3)
        place.client.indices.delete_index_template(name=template_name(place.settings))
        place.client.indices.delete(index=f"{place.settings.index_prefix}-*")
    later = place.record(3)
    with shipping(place.settings) as running:
        eventually(lambda: "run `whodid setup`" in running.reasons())
        place.set_up()
        all_stored_once(place, later, running)
    assert entries


@pytest.fixture
def secured(secured_node: SecuredNode, tmp_path: Path) -> Iterator[Corner]:
    with secured_corner(secured_node, tmp_path) as place:
        yield place


def test_a_wrong_password_is_corrected_in_its_file(secured: Corner, tmp_path: Path) -> None:
    right = Path(secured.settings.opensearch_password_file)
    file = tmp_path / "password"
    write_private(file, b"not the password")
    entries = secured.record(120)
    with shipping(replace(secured.settings, opensearch_password_file=str(file), bulk_entries=50)) as running:
        eventually(lambda: "does not accept this user and password" in running.reasons())
        assert running.causes() == {"no_rights"}
        assert "not the password" not in running.reasons()
        file.unlink()
        eventually(lambda: "opensearch_password_file" in running.reasons())
        write_private(file, right.read_bytes())
        all_stored_once(secured, entries, running)


def test_a_password_that_was_changed_is_waited_for_and_read_again(secured: Corner, tmp_path: Path) -> None:
    user, right = account(secured, "writer"), tmp_path / "password"
    write_private(right, PASSWORD.encode())
    entries = secured.record(10)
    theirs = replace(secured.settings, opensearch_user=user, opensearch_password_file=str(right))
    with shipping(theirs) as running:
        eventually(lambda: running.shipper.progress.shipped == 10)
        body = {"password": "second-" + PASSWORD, "opendistro_security_roles": [role_name(secured.settings, "writer")]}
        secured.client.transport.perform_request("PUT", f"/_plugins/_security/api/internalusers/{user}", body=body)
        entries += secured.record(50)
        eventually(lambda: running.causes() == {"no_rights"})
        right.write_text("second-" + PASSWORD)
        all_stored_once(secured, entries, running)


def make_certificates(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    make_authority(folder)
    return issue(folder, "server", server=True)


def expired(folder: Path, certificate: Path) -> Path:
    """The same certificate, ended an hour ago."""
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer: Any = load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    valid = x509.load_pem_x509_certificate(certificate.read_bytes())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        authority.subject, valid.subject, valid.public_key(), valid.serial_number, now - timedelta(days=2),
        now - timedelta(hours=1), list(valid.extensions),
    )  # fmt: skip
    made = folder / "expired.pem"
    made.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    return made


@pytest.mark.parametrize("wrong", ["expired", "unknown"])
def test_a_certificate_that_is_not_accepted_is_replaced(place: Corner, tmp_path: Path, wrong: str) -> None:
    certificate, key = make_certificates(tmp_path / "own")
    other, other_key = make_certificates(tmp_path / "other")
    first = (expired(tmp_path / "own", certificate), key) if wrong == "expired" else (other, other_key)
    entries = place.record(120)
    with FaultProxy(place.settings.opensearch_hosts[0], certificate=first) as proxy:
        theirs = replace(
            place.settings,
            opensearch_hosts=(proxy.url,),
            opensearch_ca=str(tmp_path / "own" / "ca.pem"),
            bulk_entries=50,
        )
        with shipping(theirs) as running:
            said = "certificate has expired" if wrong == "expired" else "certificate verify failed"
            eventually(lambda: said in running.reasons())
            assert running.causes() == {"no_trust"}
            proxy.present(certificate, key)
            all_stored_once(place, entries, running)


def test_an_authority_that_was_missing_is_added_to_its_file(place: Corner, tmp_path: Path) -> None:
    certificate, key = make_certificates(tmp_path / "own")
    make_certificates(tmp_path / "other")
    file = tmp_path / "ca.pem"
    file.write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
    entries = place.record(120)
    with FaultProxy(place.settings.opensearch_hosts[0], certificate=(certificate, key)) as proxy:
        theirs = replace(place.settings, opensearch_hosts=(proxy.url,), opensearch_ca=str(file), bulk_entries=50)
        with shipping(theirs) as running:
            eventually(lambda: running.causes() == {"no_trust"})
            file.write_bytes((tmp_path / "own" / "ca.pem").read_bytes())
            all_stored_once(place, entries, running)
