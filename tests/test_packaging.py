"""The package as users get it: the wheel in a new environment, and with it what README and tutorial tell to run."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch

from tests import independent
from tests.live.corner import eventually

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(target.glob("whodid-*.whl"))


network = pytest.mark.live
"""For tests that install the wheel's dependencies: no server, but more than `make test-fast` promises to need."""


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new virtual environment with the wheel, as the README installs it."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
    install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python")]
    subprocess.run([*install, f"whodid[cli,fastapi] @ {wheel.as_uri()}", "uvicorn"], check=True)
    return folder / "bin"


def test_the_wheel_carries_the_files_that_an_operator_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("config", "opensearch"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                assert f"whodid/_files/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "docs").rglob("*.md"):
        assert f"whodid/_files/{path.relative_to(ROOT)}" in names
    assert not [name for name in names if name.endswith((".png", "conf.py"))]
    assert "whodid/py.typed" in names
    assert {"whodid/devserver/jars-3.4.0.lock", "whodid/devserver/jars-2.19.4.lock"} <= names


def test_the_wheel_carries_the_pytest_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        assert "pytest_whodid.py" in files.namelist()
        [name] = [name for name in files.namelist() if name.endswith("entry_points.txt")]
        assert "[pytest11]\nwhodid = pytest_whodid" in files.read(name).decode()


@pytest.mark.parametrize("before", ["", "import whodid; "], ids=["pytest first", "whodid first"])
def test_the_installed_plugin_works_without_a_warning_whatever_is_imported_first(
    wheel: Path, tmp_path: Path, before: str
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "test_it.py").write_text(
        "import whodid\ndef test_it(audit_entries):\n    assert 'installed' in whodid.__file__\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{before}import pytest; pytest.main(['-W', 'error', 'test_it.py'])"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@network
def test_without_pytest_what_is_for_tests_can_be_used(environment: Path, tmp_path: Path) -> None:
    code = "import sys, whodid.testing; assert 'pytest' not in sys.modules; print(*whodid.testing.__all__)"
    done = subprocess.run(
        [environment / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "AuditEntries MemoryJournal audit_entries\n"


@network
def test_files_are_found_from_wheel_and_checkout_alike(environment: Path, tmp_path: Path) -> None:
    code = "from whodid.resources import resource_text; print(resource_text('config/events.toml'), end='')"
    for python in (environment / "python", Path(sys.executable)):
        done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == (ROOT / "config" / "events.toml").read_text()


@network
def test_the_pages_are_shown_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [environment / "whodid", "help", "glossary"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "docs" / "reference" / "glossary.md").read_text()


@network
def test_importing_whodid_imports_no_network_library_and_no_command_line(environment: Path, tmp_path: Path) -> None:
    code = "import sys, whodid; print(*sys.modules)"
    done = subprocess.run(
        [environment / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    heavy = {"opensearchpy", "urllib3", "requests", "click", "starlette", "fastapi", "whodid.search"}
    assert heavy & set(done.stdout.split()) == set()


def test_without_the_extra_the_command_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['click'] = None; from whodid.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'The command line needs an extra: pip install "whodid[cli]"\n'


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


@pytest.fixture
def variables(tmp_path: Path, opensearch_url: str) -> dict[str, str]:
    """The environment of what a page tells to run: a journal and indices of its own."""
    return {
        **os.environ,
        "WHODID_JOURNAL_DIR": str(tmp_path / "journal"),
        "WHODID_OPENSEARCH_HOSTS": opensearch_url,
        "WHODID_INDEX_PREFIX": f"r{uuid.uuid4().hex}",
        "WHODID_HOST": "web-1",
    }


def whodid(environment: Path, variables: dict[str, str], *arguments: str, exit_code: int = 0) -> str:
    command = [str(environment / "whodid"), *arguments]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == exit_code
    return done.stdout


def found(environment: Path, variables: dict[str, str], *query: str) -> list[dict[str, Any]]:
    """The entries, as soon as there are any: OpenSearch shows them within a second."""
    lines = eventually(lambda: whodid(environment, variables, "search", *query, "--json"))
    return [json.loads(line) for line in lines.splitlines()]


@pytest.mark.live
def test_the_readme_does_what_it_says(environment: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    whodid(environment, variables, "setup")
    [catalog], [program] = blocks("README.md", "toml"), blocks("README.md", "python")
    (tmp_path / "events.toml").write_text(catalog)
    subprocess.run([environment / "python", "-c", program], cwd=tmp_path, env=variables, check=True)
    whodid(environment, variables, "ship", "--once")
    page = (ROOT / "README.md").read_text()
    [(query, shown)] = re.findall(r"^whodid search (.*) --json \| jq -c '\{(.*)\}'$", page, re.M)
    [entry] = found(environment, variables, *query.split())
    [line] = blocks("README.md", "json")
    assert len(line) <= 160
    assert json.loads(line) | {"creation_date": entry["creation_date"]} == {
        name: entry[name] for name in shown.split(", ")
    }


@pytest.mark.live
def test_the_tutorial_does_what_it_says(environment: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    page = "docs/tutorial.md"
    (tmp_path / "events.toml").write_text(blocks(page, "toml")[0])
    (tmp_path / "app.py").write_text(blocks(page, "python")[0])
    whodid(environment, variables, "setup")
    answer = refund(environment, tmp_path, variables)
    whodid(environment, variables, "ship", "--once")
    [entry] = found(environment, variables, "principal:42")
    [line] = next((tmp_path / "journal").glob("*/*.ndjson")).read_text().splitlines()
    assert entry == json.loads(line)
    assert answer["entry"].endswith(entry["hash"][:16])
    assert independent.problems([entry]) == []
    shown = json.loads(blocks(page, "json")[0])
    assert set(entry) == set(shown)
    same = {"client_ip", "details", "principal", "schema_version", "seq", "service", "target", "target_type", "type"}
    assert {name: entry[name] for name in same} == {name: shown[name] for name in same}

    intact, altered = (text.replace(shown["journal"], entry["journal"]) for text in blocks(page, "text"))
    assert whodid(environment, variables, "verify").startswith(intact)
    [change] = re.findall(r"-d '(.*)'$", (ROOT / page).read_text(), re.M)
    with OpenSearch(variables["WHODID_OPENSEARCH_HOSTS"]) as client:
        index = f"{variables['WHODID_INDEX_PREFIX']}-*"
        assert client.update_by_query(index=index, body=json.loads(change), refresh=True)["updated"] == 1
    assert whodid(environment, variables, "verify", exit_code=1).startswith(altered)


def refund(environment: Path, folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Runs the README's application and makes its request."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(environment / "uvicorn"), "app:app", "--port", str(port)]
    with subprocess.Popen(command, env=variables, cwd=folder, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for_port(port)
            url = f"http://127.0.0.1:{port}/invoices/2026-117/refund?amount=30"
            headers = {"X-User": "42", "User-Agent": "curl/8.5.0"}
            with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers)) as answer:
                said: dict[str, Any] = json.load(answer)
                return said
        finally:
            server.terminate()


def wait_for_port(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(listens)


@network
def test_the_record_page_s_python_runs(environment: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [environment / "python", "-c", "".join(blocks("docs/how-to/record.md", "python"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entries = [
        json.loads(line) for f in tmp_path.glob("audit-journal/*/*.ndjson") for line in f.read_text().splitlines()
    ]
    assert [entry["type"] for entry in entries] == [
        "credentials_created",
        "credentials_updated",
        "credentials_accessed",
        "workflow_completed",
        "credentials_updated",
        "workflow_deleted",
        "team_deleted",
        "team_deleted",
    ]
