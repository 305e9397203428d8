"""Where `whodid web` may listen, and what it refuses."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.live.corner import Corner
from whodid.devserver.security import issue, make_authority
from whodid.errors import SettingsError
from whodid.web.server import Address


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    make_authority(tmp_path)
    certificate, key = issue(tmp_path, "audit.example", server=True)
    return str(certificate), str(key)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_tls(host: str) -> None:
    assert Address(host, 0).names == ["127.0.0.1", "localhost", "[::1]"]


@pytest.mark.parametrize("host", ["10.0.0.5", "0.0.0.0", "::", "audit.example"])  # noqa: S104 (that it is refused)
def test_anything_else_does(host: str) -> None:
    with pytest.raises(SettingsError, match="would send passwords and entries unencrypted"):
        Address(host, 0)


def test_every_address_needs_the_name_that_people_use(pair: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match="set the public one"):
        Address("0.0.0.0", 0, None, *pair)  # noqa: S104
    assert Address("0.0.0.0", 0, "https://audit.example/", *pair).names == ["audit.example"]  # noqa: S104


@pytest.mark.parametrize("url", ["http://audit.example", "audit.example", "https://", "https://a:b@audit.example", ""])
def test_a_public_address_is_an_https_url_without_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match="must be an address such as") as raised:
        Address("127.0.0.1", 0, url)
    assert "a:b" not in str(raised.value)


def test_a_certificate_that_is_none_is_told_at_once(tmp_path: Path, pair: tuple[str, str]) -> None:
    (tmp_path / "no.pem").write_text("no")
    for certificate, key in ((str(tmp_path / "no.pem"), None), ("/nowhere.pem", None), (pair[0], None)):
        with pytest.raises(SettingsError, match="is not a certificate with an unencrypted key"):
            Address("127.0.0.1", 0, None, certificate, key)
    with pytest.raises(SettingsError, match="--tls-key needs --tls-cert"):
        Address("127.0.0.1", 0, None, None, pair[1])


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"can't listen on 127.0.0.1:{port} \(.*\); choose another --port"):
            Address("127.0.0.1", port).listen()


def web(place: Corner, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whodid", *place.arguments("web"), "--port=0", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.live
def test_a_cluster_without_accounts_is_shown_on_this_machine_only(place: Corner, pair: tuple[str, str]) -> None:
    refused = web(place, "--url=https://audit.example/")
    assert refused.returncode == 2
    assert (
        "this OpenSearch has no accounts, so anyone who can access the tab could read the audit log" in refused.stderr
    )
    tls = web(place, "--host=0.0.0.0", "--url=https://audit.example/", f"--tls-cert={pair[0]}", f"--tls-key={pair[1]}")
    assert (tls.returncode, "no accounts" in tls.stderr) == (2, True)


@pytest.mark.live
def test_it_ends_by_itself_when_nobody_looks(place: Corner) -> None:
    done = web(place, "--idle-exit=1s")
    assert done.returncode == 0
    assert done.stderr == f"reads are recorded in {place.settings.journal_dir}; `whodid ship` stores the entries\n"
    assert done.stdout.startswith("Audit logs: http://127.0.0.1:")


@pytest.mark.live
def test_over_tls_it_answers_with_its_certificate(place: Corner, pair: tuple[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "whodid", *place.arguments("web"), "--port=0", "--idle-exit=60s"]
    command += [f"--tls-cert={pair[0]}", f"--tls-key={pair[1]}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[2]
        try:
            import ssl

            answer = httpx.get(url, verify=ssl.create_default_context(cafile=tmp_path / "ca.pem"))
        finally:
            process.terminate()
    assert url.startswith("https://")
    assert answer.status_code == 200
    assert "This OpenSearch has no accounts" in answer.text
    assert answer.headers["strict-transport-security"]


def test_a_cluster_that_does_not_answer_is_told_without_a_traceback() -> None:
    command = [sys.executable, "-m", "whodid", "web", "--opensearch-hosts=http://127.0.0.1:1", "--port=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "can't be reached" in done.stderr
    assert "Traceback" not in done.stderr
