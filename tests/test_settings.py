"""Settings: one name everywhere, checked at the edge, no secret in sight."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import whodid
from whodid import settings as settings_module
from whodid.cli import program
from whodid.devserver import folder
from whodid.errors import DevServerError, SettingsError, WhodidError
from whodid.journal import JournalDirectory
from whodid.recording.recorder import Recorder
from whodid.resources import resource_text
from whodid.settings import Settings, load_settings, parse_age, retention_days
from whodid.web import create_app


def test_the_defaults_are_in_force_without_any_file() -> None:
    settings = load_settings(environ={})
    assert settings.retention == "365d"
    assert settings.durability == "disk"
    assert settings.on_failure == "raise"


def test_the_documented_file_holds_every_setting_with_its_default() -> None:
    text = resource_text("config/whodid.toml")
    documented = {**tomllib.loads(text), **dict.fromkeys(re.findall(r"^# (\w+) = ", text, re.M))}
    assert set(documented) == {field.name for field in dataclasses.fields(Settings)}
    defaults = Settings()
    for name, value in documented.items():
        if value is not None:
            default = getattr(defaults, name)
            assert (tuple(value) if isinstance(value, list) else value) == default, name


def test_first_wins_keyword_then_variable_then_file(tmp_path: Path) -> None:
    file = tmp_path / "whodid.toml"
    file.write_text('service = "file"\nhost = "file"\nindex_prefix = "file"')
    settings = load_settings(file, environ={"WHODID_HOST": "variable", "WHODID_SERVICE": "variable"}, service="keyword")
    assert (settings.service, settings.host, settings.index_prefix) == ("keyword", "variable", "file")


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "whodid.toml"
    file.write_text('service = "file"')
    assert load_settings(environ={"WHODID_CONFIG": str(file)}).service == "file"


def test_variables_are_parsed_by_the_setting_s_type() -> None:
    settings = load_settings(
        environ={
            "WHODID_TRUSTED_PROXIES": "10.0.0.0/8, 192.168.0.0/16",
            "WHODID_ECHO": "false",
            "WHODID_MAX_BYTES": "5",
            "WHODID_SEGMENT_AGE": "7.5",
        }
    )
    assert settings.trusted_proxies == ("10.0.0.0/8", "192.168.0.0/16")
    assert (settings.echo, settings.max_bytes, settings.segment_age) == (False, 5, 7.5)


def test_an_unknown_variable_is_only_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"WHODID_SERVICE_HOST is ignored"):
        load_settings(environ={"WHODID_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"journal_dri": "/x"}, "unknown setting 'journal_dri' .did you mean 'journal_dir'"),
        ({"journal_dir": ""}, "journal_dir is empty; set it to a directory"),
        ({"durability": "none"}, "durability must be one of disk, process"),
        ({"echo": "yes"}, "echo must be of type bool"),
        ({"retention": "1y"}, "retention must be a number of days such as 365d"),
        ({"retention": "12h"}, "retention must be a number of days"),
        ({"retention": "0d"}, "not an age"),
        ({"retention": "100000d"}, "retention must be less than 100,000 days"),
        ({"index_prefix": "Audit"}, "index_prefix 'Audit' must"),
        ({"index_prefix": "a*"}, "index_prefix"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies must hold networks"),
        ({"forwarded_header": "Forwarded"}, "forwarded_header must be one of x-forwarded-for, forwarded"),
        ({"trusted_proxies": [1]}, "trusted_proxies must be a list of strings"),
        ({"opensearch_hosts": []}, "opensearch_hosts is empty"),
        ({"opensearch_hosts": "search.example:9200"}, "must hold URLs"),
        ({"opensearch_hosts": "http://search.example:9200"}, "would send the audit log unencrypted"),
        ({"opensearch_hosts": "https://u:hunter2@search.example"}, "must not contain a password"),
        ({"opensearch_hosts": "https://u:hunter2@search.example:port"}, "must not contain a password"),
        ({"opensearch_hosts": "https://search.example:port"}, "must hold URLs"),
        ({"opensearch_hosts": "https://[::1"}, "must hold URLs"),
        ({"opensearch_password": "a", "opensearch_password_file": "b"}, "not both"),
        ({"lock_timeout": 0}, "lock_timeout must be more than 0"),
        ({"bulk_entries": 0}, "bulk_entries must be at least 1"),
        ({"max_bytes": -1}, "max_bytes must not be negative"),
        ({"max_bytes": "many"}, "max_bytes must be of type int"),
    ],
)
def test_a_bad_value_is_an_error_that_says_what_to_change(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings(environ={}, **keywords)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("content", "says"), [("x = ", "is not TOML"), ("nope = 1", "unknown setting 'nope'")])
def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "whodid.toml").write_text(content)
    with pytest.raises(SettingsError, match=says):
        load_settings(tmp_path / "whodid.toml", environ={})


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml can't be read"):
        load_settings(tmp_path / "nowhere.toml", environ={})


@pytest.mark.parametrize("host", ["http://127.0.0.1:9200", "http://localhost:9200", "http://[::1]:9200", "https://x"])
def test_plain_http_is_for_this_machine_only(host: str) -> None:
    assert load_settings(environ={}, opensearch_hosts=host).opensearch_hosts == (host,)


def test_the_password_is_in_no_representation() -> None:
    assert "hunter2" not in repr(Settings(opensearch_password="hunter2"))


def test_ages() -> None:
    assert [parse_age(text) for text in ("365d", "12h", "90m", "30s")] == [31_536_000, 43_200, 5_400, 30]
    assert (retention_days("400d"), retention_days("off")) == (400, None)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has neither HOME nor an entry in passwd."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "WHODID_JOURNAL_DIR", "WHODID_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


_NAMED = ("journal_dir", "catalog", "hash_key_file", "opensearch_ca", "opensearch_client_cert", "opensearch_client_key")


@pytest.mark.parametrize(
    "name", [*_NAMED, "opensearch_password_file", "opensearch_token_file", "signing_key_file", "signing_public_key"]
)
def test_a_path_is_absolute_from_where_settings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/whodid.toml").write_text(f'{name} = "place"')
    given: dict[str, Any] = {name: "place"}
    as_path: dict[str, Any] = {name: Path("place")}
    read = [
        load_settings(environ={}, **given),
        load_settings(environ={}, **as_path),
        load_settings(environ={f"WHODID_{name.upper()}": "place"}),
        load_settings(environ={}, from_text={name: "place"}),
        load_settings("etc/whodid.toml", environ={}),
        Settings(**given),
    ]
    assert [getattr(settings, name) for settings in read] == [str(tmp_path / "place")] * len(read)
    at_home: dict[str, Any] = {name: "~/place"}
    assert getattr(load_settings(environ={}, **at_home), name) == "/home/ada/place"
    monkeypatch.chdir("/")
    assert getattr(dataclasses.replace(read[0], service="other"), name) == str(tmp_path / "place")


def test_settings_that_name_a_file_or_directory_are_all_known() -> None:
    known = {field.name for field in dataclasses.fields(Settings)}
    named = {name for name in known if name.endswith(("_file", "_dir", "_ca", "_cert", "_key"))}
    keys_themselves = {"hash_key", "signing_key"}
    assert set(settings_module.PATHS) == (named - keys_themselves) | {"catalog", "signing_public_key"}


def test_the_home_directory_is_expanded_in_witnesses_and_in_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "whodid.toml").write_text('witnesses = ["~/worm", "s3://bucket", "package.module:factory"]')
    settings = load_settings(environ={"WHODID_CONFIG": "~/whodid.toml"})
    assert settings.witnesses == (str(tmp_path / "worm"), "s3://bucket", "package.module:factory")


@pytest.mark.usefixtures("homeless")
def test_without_a_home_only_the_journal_is_missing_and_the_error_says_what_to_set(tmp_path: Path) -> None:
    settings = load_settings(environ={})
    needs: list[Callable[[], object]] = [
        whodid.configure,
        lambda: Recorder(settings),
        lambda: JournalDirectory(settings.journal_dir),
        lambda: whodid.AuditClient(opensearch_hosts="http://127.0.0.1:9", audit_reads=True),
        lambda: create_app(is_root_user=lambda request: True),
    ]
    for need in needs:
        with pytest.raises(SettingsError, match=r"set journal_dir \(the variable WHODID_JOURNAL_DIR"):
            need()
    create_app(is_root_user=lambda request: True, audit_reads=False)
    whodid.AuditClient(opensearch_hosts="http://127.0.0.1:9")
    assert load_settings(environ={}, journal_dir=tmp_path).journal_dir == str(tmp_path)
    with pytest.raises(SettingsError, match=r"catalog: '~/events.toml' has no absolute path here"):
        load_settings(environ={}, catalog="~/events.toml")


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    "command", ["status", "search", "doctor --timeout 1", "web --help", "ship --once", "dev status"]
)
def test_without_a_home_a_command_ends_with_an_error_of_ours(command: str) -> None:
    done = CliRunner().invoke(program, ["--opensearch-hosts", "http://127.0.0.1:9", *command.split()])
    assert isinstance(done.exception, WhodidError | SystemExit | None), done.exception
    if command.startswith("doctor"):
        assert "journal_dir is not set" in done.output


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_development_server_says_which_directory_to_give() -> None:
    with pytest.raises(DevServerError, match="set WHODID_CACHE_DIR to a directory"):
        folder.cache_dir()
    with pytest.raises(DevServerError, match="choose one with --data-dir"):
        folder.DataDir.of(None)
    with pytest.raises(DevServerError, match="choose another --data-dir"):
        folder.DataDir.of(Path("~/data"))
