"""Connections to a real cluster with accounts: whom it lets in, what a person is told, and that no secret gets out."""

from __future__ import annotations

import logging
import shutil
import socket
from base64 import b64encode
from pathlib import Path

import pytest

from tests.commands import whodid
from tests.opensearch_node import SecuredNode
from whodid.cluster.connection import connect, translated
from whodid.devserver.security import issue, make_authority
from whodid.errors import NotAuthenticated, NotAuthorized, OpenSearchUnavailable, WhodidError
from whodid.settings import Settings

pytestmark = pytest.mark.live

WRONG = "wrong-Passphrase-42"


def ask(settings: Settings) -> str:
    client = connect(settings)
    try:
        with translated("the cluster"):
            return str(client.info()["version"]["number"])
    finally:
        client.close()


def failure(settings: Settings) -> WhodidError:
    with pytest.raises(WhodidError) as raised:
        ask(settings)
    return raised.value


def test_by_name_as_by_address(secured_node: SecuredNode) -> None:
    by_name = secured_node.url.replace("127.0.0.1", "localhost")
    assert ask(Settings(**secured_node.settings(opensearch_hosts=(by_name,)))) == "3.4.0"


def test_another_authority_is_refused_before_a_password_is_sent(secured_node: SecuredNode, tmp_path: Path) -> None:
    make_authority(tmp_path)
    error = failure(Settings(**secured_node.settings(opensearch_ca=str(tmp_path / "ca.pem"))))
    assert isinstance(error, OpenSearchUnavailable)
    assert "was not accepted" in str(error)
    assert "name its authority in opensearch_ca" in str(error)


def test_plain_http_is_told_to_be_unreachable(secured_node: SecuredNode) -> None:
    plain = Settings(**secured_node.settings(opensearch_hosts=(secured_node.url.replace("https:", "http:"),)))
    assert "check opensearch_hosts" in str(failure(plain))


def test_a_dead_host_of_two_is_passed_over(secured_node: SecuredNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dead = f"https://127.0.0.1:{listening.getsockname()[1]}"
    for hosts in ((dead, secured_node.url), (secured_node.url, dead)):
        client = connect(Settings(**secured_node.settings(opensearch_hosts=hosts)))
        assert [client.info()["version"]["number"] for _ in range(4)] == ["3.4.0"] * 4
        client.close()


def test_a_certificate_of_somebody_without_a_role_is_somebody_without_rights(
    secured_node: SecuredNode, tmp_path: Path
) -> None:
    for name in ("ca.pem", "ca-key.pem"):
        shutil.copy(secured_node.ca_file.with_name(name), tmp_path)
    certificate, key = issue(tmp_path, "nobody")
    names = {"opensearch_client_cert": str(certificate), "opensearch_client_key": str(key)}
    error = failure(Settings(**secured_node.settings(**names)))
    assert isinstance(error, NotAuthorized)
    assert "nobody" in str(error)


def test_a_certificate_of_another_authority_is_nobody(secured_node: SecuredNode, tmp_path: Path) -> None:
    make_authority(tmp_path)
    certificate, key = issue(tmp_path, "admin")
    names = {"opensearch_client_cert": str(certificate), "opensearch_client_key": str(key)}
    assert isinstance(failure(Settings(**secured_node.settings(**names))), NotAuthenticated | OpenSearchUnavailable)


def test_a_wrong_password_is_told_and_never_shown(
    secured_node: SecuredNode, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "password"
    file.write_text(WRONG + "\n")
    file.chmod(0o600)
    for given in ({"opensearch_password": WRONG}, {"opensearch_password_file": str(file)}):
        settings = Settings(**secured_node.settings(opensearch_user="admin", **given))
        error = failure(settings)
        assert isinstance(error, NotAuthenticated)
        assert "check opensearch_user and its password" in str(error)
        shown = f"{settings!r} {connect(settings)!r} {error!r} {error} {error.__cause__!r} {caplog.text}"
        assert caplog.text
        assert WRONG not in shown
        assert b64encode(f"admin:{WRONG}".encode()).decode() not in shown


def test_the_right_password_is_in_no_log(secured_node: SecuredNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask(Settings(**secured_node.settings()))
    password = secured_node.password_file.read_text()
    assert caplog.text
    assert password not in caplog.text
    assert b64encode(f"admin:{password}".encode()).decode() not in caplog.text


def test_the_program_takes_no_password_where_others_would_see_it(secured_node: SecuredNode) -> None:
    for option in (["--opensearch-password", WRONG], [f"--opensearch-password={WRONG}"]):
        result = whodid("stats", "--total", *option)
        assert result.returncode == 2
        assert "No such option: --opensearch-password" in result.stderr
        assert WRONG not in result.stderr


def test_the_program_takes_the_password_from_a_file(secured_node: SecuredNode, tmp_path: Path) -> None:
    settings = {
        **secured_node.settings(),
        "opensearch_hosts": secured_node.url,
        "index_prefix": f"never-{tmp_path.name[-8:].strip('_').lower()}",
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    result = whodid("stats", "--total", *options)
    assert (result.returncode, result.stdout.strip()) == (0, "0"), result.stderr
