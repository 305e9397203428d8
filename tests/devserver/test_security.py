"""A secured node: accounts and TLS, and nothing of it readable by others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.opensearch_node import SecuredNode
from whodid import devserver
from whodid.devserver.folder import DataDir
from whodid.devserver.security import prepare_security
from whodid.errors import DevServerError, NotAuthenticated, OpenSearchUnavailable
from whodid.opensearch.connection import connect, translated
from whodid.settings import Settings


def ask(settings: Settings) -> str:
    with translated("asking"):
        return str(connect(settings).info()["version"]["number"])


@pytest.mark.live
def test_the_administrator_enters_and_nobody_else(secured_node: SecuredNode) -> None:
    assert ask(Settings(**secured_node.settings())) == devserver.OPENSEARCH_VERSION
    others = [{"opensearch_user": ""}]
    others += [{"opensearch_user": name, "opensearch_password": name} for name in ("admin", "kibanaserver")]
    for other in others:
        with pytest.raises(NotAuthenticated):
            ask(Settings(**secured_node.settings(**other)))


@pytest.mark.live
def test_without_its_authority_nothing_is_sent(secured_node: SecuredNode) -> None:
    with pytest.raises(OpenSearchUnavailable, match="name its authority in opensearch_ca"):
        ask(Settings(**secured_node.settings(opensearch_ca="")))


@pytest.mark.live
def test_a_certificate_of_the_authority_is_its_user(secured_node: SecuredNode) -> None:
    config = secured_node.ca_file.parent
    certificate = {
        "opensearch_client_cert": str(config / "admin.pem"),
        "opensearch_client_key": str(config / "admin-key.pem"),
    }
    assert ask(Settings(**secured_node.settings(**certificate))) == devserver.OPENSEARCH_VERSION


@pytest.mark.live
def test_secrets_are_readable_by_their_owner_only_and_in_no_command_line(secured_node: SecuredNode) -> None:
    folder = secured_node.password_file.parent
    secret = [secured_node.password_file, *folder.glob("config/*.pem"), *folder.glob("config/opensearch-security/*")]
    assert len(secret) == 13
    assert {file.stat().st_mode & 0o777 for file in secret} == {0o600}
    password = secured_node.password_file.read_text()
    assert len(password) >= 32
    assert password not in subprocess.run(["/bin/ps", "axww"], capture_output=True, text=True, check=True).stdout
    assert password not in (folder / "opensearch.log").read_text()


def test_a_directory_stays_with_accounts_or_without(tmp_path: Path) -> None:
    plain = DataDir(tmp_path / "plain")
    plain.claim()
    (plain.data / "nodes").mkdir()
    with pytest.raises(DevServerError, match="without accounts; give another folder"):
        prepare_security(plain)
    secured = DataDir(tmp_path / "secured")
    secured.claim()
    prepare_security(secured)
    with pytest.raises(DevServerError, match="with accounts; add --security"):
        devserver.start(port=0, data_dir=secured.path, detached=False)


def test_password_and_certificates_stay_from_one_start_to_the_next(tmp_path: Path) -> None:
    folder = DataDir(tmp_path / "node")
    folder.claim()
    prepare_security(folder)
    before = [file.read_bytes() for file in (folder.password, folder.authority, folder.config / "node.pem")]
    prepare_security(folder)
    assert [file.read_bytes() for file in (folder.password, folder.authority, folder.config / "node.pem")] == before
