"""A secured node: accounts and TLS, and nothing of it readable by others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.x509 import load_pem_x509_certificate

from tests.opensearch_node import SecuredNode
from whodid import devserver
from whodid.cli.dev import dev
from whodid.cluster.connection import connect, translated
from whodid.devserver.folder import DataDir, NodeRecord, ProcessMark, write_record
from whodid.devserver.security import prepare_security
from whodid.errors import DevServerError, NotAuthenticated, OpenSearchUnavailable
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


@pytest.mark.live
@pytest.mark.parametrize("command", [["up", "--security"], ["status"]])
def test_the_commands_tell_how_to_enter_and_not_the_password(secured_node: SecuredNode, command: list[str]) -> None:
    folder = secured_node.password_file.parent
    result = CliRunner().invoke(dev, [*command, "--data-dir", str(folder)])
    assert result.exit_code == 0
    for setting in (
        f"WHODID_OPENSEARCH_HOSTS={secured_node.url}",
        "WHODID_OPENSEARCH_USER=admin",
        f"WHODID_OPENSEARCH_PASSWORD_FILE={secured_node.password_file}",
        f"WHODID_OPENSEARCH_CA={secured_node.ca_file}",
    ):
        assert setting in result.output
    assert secured_node.password_file.read_text() not in result.output
    if command[0] == "up":
        assert result.stdout == f"{secured_node.url}\n"


def test_up_with_security_is_refused_where_a_node_without_accounts_runs(tmp_path: Path) -> None:
    folder = DataDir(tmp_path)
    folder.claim()
    this_process = ProcessMark.of(os.getpid())
    assert this_process
    write_record(folder.record, NodeRecord(this_process, this_process, 1, "3.4.0", detached=True))
    result = CliRunner().invoke(dev, ["up", "--security", "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, DevServerError)
    assert "was started without --security; choose another --data-dir" in str(result.exception)


def test_a_directory_stays_with_accounts_or_without(tmp_path: Path) -> None:
    plain = DataDir(tmp_path / "plain")
    plain.claim()
    (plain.data / "nodes").mkdir()
    with pytest.raises(DevServerError, match="without accounts; choose another --data-dir"):
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


@pytest.mark.parametrize("missing", ["ca.pem", "node.pem", "admin.pem"])
def test_what_a_killed_first_start_left_undone_is_done_by_the_next(tmp_path: Path, missing: str) -> None:
    folder = DataDir(tmp_path / "node")
    folder.claim()
    prepare_security(folder)
    password = folder.password.read_text()
    (folder.config / missing).unlink()
    prepare_security(folder)
    assert folder.password.read_text() == password
    authority = load_pem_x509_certificate(folder.authority.read_bytes())
    for name in ("node.pem", "admin.pem"):
        load_pem_x509_certificate((folder.config / name).read_bytes()).verify_directly_issued_by(authority)
