"""What these tests share: certificates, and a stand-in for a cluster with ISM."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.opensearch.ism_stand_in import IsmStandIn


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two authorities, a server certificate for 127.0.0.1 of the first, and a client certificate."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs the openssl program to make certificates")
    folder = tmp_path_factory.mktemp("keys")

    def make(*arguments: str) -> None:
        done = subprocess.run([openssl, *arguments], cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:  # LibreSSL and OpenSSL before 3 don't know `req -CA`
            pytest.skip(f"this openssl makes no such certificates: {done.stderr}")

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    for name in ("ours", "other"):
        make(*new, "-subj", f"/CN={name}", *usage, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    for name, more in (("server", ("-addext", "subjectAltName=IP:127.0.0.1")), ("client", ())):
        signed = ("-CA", "ours.pem", "-CAkey", "ours.key", "-addext", "basicConstraints=critical,CA:FALSE")
        make(*new, "-subj", f"/CN={name}", *signed, *more, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return folder


@pytest.fixture
def cluster() -> Iterator[IsmStandIn]:
    """A stand-in for a cluster with ISM."""
    with closing(IsmStandIn()) as stand_in:
        yield stand_in
