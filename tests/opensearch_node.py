"""A pytest plugin with two fixtures: a real OpenSearch, and one with accounts; each started once when first needed.

Load it with `pytest_plugins = ["tests.opensearch_node"]`. The nodes have free ports and their own data directories, and
end with the test run, Ctrl-C and `kill -9` included. To save their start, name nodes that run already: the URL of one
in `WHODID_TEST_DEV_URL`, the data directory of the other in `WHODID_TEST_SECURED_DIR`. Three tests need the settings
that the fixtures give: `path.repo` and `SECURITY`.

The workers of one run share the node without accounts: the worker that needs it first starts it, and stops it once no
other worker uses it. Tests on it keep to an index prefix of their own. A node with accounts belongs to one worker, as
roles and users have the same names in all tests; all files that use one go to the same worker.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from whodid.devserver import RunningNode

__all__ = [
    "SecuredNode",
    "in_memory",
    "opensearch_url",
    "secured",
    "secured_node",
    "shared_by_workers",
    "uses_accounts",
]

RUNNING_NODE_VARIABLE = "WHODID_TEST_DEV_URL"
RUNNING_SECURED_VARIABLE = "WHODID_TEST_SECURED_DIR"

SECURITY = {
    "plugins.security.compliance.immutable_indices": ["immutable-*"],
    "plugins.security.unsupported.restapi.allow_securityconfig_modification": True,
    "plugins.security.password.hashing.bcrypt.rounds": 4,
}
"""For tests of indices that nobody may write to, and of ways to sign in; and passwords are checked in no time, as each
change of a role or an account has all of them checked again.
"""


@dataclass(frozen=True)
class SecuredNode:
    """A node with the Security plugin, and how its administrator enters."""

    url: str
    ca_file: Path
    password_file: Path

    def settings(self, **more: Any) -> dict[str, Any]:
        """Keywords for `Settings`: the administrator's, unless `opensearch_user` and another password are given."""
        given = {"opensearch_hosts": (self.url,), "opensearch_ca": str(self.ca_file), **more}
        if "opensearch_user" in more or "opensearch_client_cert" in more:
            return given
        return {**given, "opensearch_user": "admin", "opensearch_password_file": str(self.password_file)}


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`http://127.0.0.1:PORT` of an OpenSearch 3.4.0 without the Security plugin, which may write snapshots."""
    running = os.environ.get(RUNNING_NODE_VARIABLE)
    if running:
        yield running
        return
    from whodid import devserver

    def start(folder: Path) -> RunningNode:
        snapshots = {"path.repo": str(folder.with_name("snapshots"))}
        return devserver.start(port=0, data_dir=folder, settings=snapshots, detached=False)

    with shared_by_workers(tmp_path_factory, "opensearch", start) as url:
        yield url


@contextmanager
def shared_by_workers(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: Callable[[Path], RunningNode]
) -> Iterator[str]:
    """The URL of a node that all workers of this run use. Whoever started it stops it once the others are done."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    folder.mkdir(exist_ok=True)
    node: RunningNode | None = None
    with (folder / "users").open("a") as users, (folder / "url").open("a+") as url, ExitStack() as ours:
        flock(users, LOCK_SH)
        flock(url, LOCK_EX)  # the others wait here while the first one starts it
        url.seek(0)
        known = url.read()
        if not known:
            node = start(ours.enter_context(in_memory(folder)) / "node")
            url.write(node.url)
            url.flush()
        flock(url, LOCK_UN)
        try:
            yield known or node.url  # type: ignore[union-attr]
        finally:
            if node is not None:
                flock(users, LOCK_EX)  # waits until nobody uses it
                node.stop()


_MEMORY = Path("/dev/shm")


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """A folder for what is not to survive the tests, such as a node's data: on a disk, each change would be waited for.

    Without 2 GB of shared memory it is `otherwise`. What a killed run left is removed a day later.
    """
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < 2e9:
        yield otherwise
        return
    for left in _MEMORY.glob("whodid-test-*"):
        if time.time() - left.stat().st_mtime > 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="whodid-test-", dir=_MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Files go to whichever worker is free, in their order, but all that use a node with accounts to one of them."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # it would put the files with few and long tests last
    return _OneWorkerForAccounts(config, log)


class _OneWorkerForAccounts(LoadFileScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "accounts" if uses_accounts(self.config.rootpath / file) else file


@cache
def uses_accounts(file: Path) -> bool:
    text = file.read_text()
    return "older" not in file.parts and any(word in text for word in ("secured_node", "SecuredNode", "live.accounts"))


@pytest.fixture(scope="session")
def secured_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredNode]:
    """An OpenSearch 3.4.0 with the Security plugin: TLS and accounts."""
    from whodid import devserver

    running = os.environ.get(RUNNING_SECURED_VARIABLE)
    if running:
        yield secured(Path(running))
        return
    with (
        in_memory(tmp_path_factory.mktemp("secured")) as folder,
        devserver.start(port=0, data_dir=folder, detached=False, security=True, settings=SECURITY),
    ):
        yield secured(folder)


def secured(folder: Path) -> SecuredNode:
    from whodid import devserver

    now = devserver.status(folder)
    if not (now.url and now.ca_file and now.password_file):
        raise RuntimeError(f"no secured node runs on {folder}")
    return SecuredNode(now.url, now.ca_file, now.password_file)
