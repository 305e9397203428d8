"""Security: what a node needs to have accounts and TLS, and how we speak to one that does.

The Security plugin begins with these files and keeps the state in an index from then on. The administrator `admin` is
made through the node itself, at the first start, in the name of the administrator's certificate, so that the password
passes no command line and is hashed by whoever checks it. It lies in `admin-password` (mode 0600).
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from whodid.devserver.certificates import ORGANIZATION, issue, make_authority, valid_until
from whodid.devserver.folder import DataDir
from whodid.errors import DevServerError
from whodid.files import write_private

__all__ = ["ADMIN", "Access", "prepare_security", "security_settings"]

ADMIN = "admin"
RENEW = timedelta(days=30)
REQUEST_SECONDS = 5.0
_FILES = ("ca", "node", ADMIN)


def security_settings(data_dir: DataDir) -> dict[str, Any]:
    """The lines of `opensearch.yml` for a secured data directory; none for another."""
    if not data_dir.password.exists():
        return {}
    files = {"pemcert": "node.pem", "pemkey": "node-key.pem", "pemtrustedcas": "ca.pem"}
    ssl_files = {f"{side}.{name}_filepath": file for side in ("transport", "http") for name, file in files.items()}
    return {
        **{f"plugins.security.ssl.{name}": file for name, file in ssl_files.items()},
        "plugins.security.ssl.transport.enforce_hostname_verification": False,
        "plugins.security.ssl.http.enabled": True,
        "plugins.security.ssl.http.clientauth_mode": "OPTIONAL",
        "plugins.security.authcz.admin_dn": [f"CN={ADMIN},O={ORGANIZATION}"],
        "plugins.security.allow_default_init_securityindex": True,
        "plugins.security.audit.type": "noop",
        "plugins.security.restapi.roles_enabled": ["all_access"],
    }


def prepare_security(data_dir: DataDir) -> None:
    """Makes password, certificates and the plugin's first configuration, as far as they are missing.

    Raises `DevServerError` for a directory whose node had no accounts: its indices would suddenly be under lock.
    """
    if not data_dir.password.exists():
        if any(data_dir.data.iterdir()):
            raise DevServerError(
                f"{data_dir.path} belongs to a node without accounts; give another folder with --data-dir"
            )
        write_private(data_dir.password, secrets.token_urlsafe(24).encode())
    if not all(_is_fresh(data_dir.config / f"{name}.pem") for name in _FILES):
        make_authority(data_dir.config)
        issue(data_dir.config, "node", server=True)
        issue(data_dir.config, ADMIN)
    folder = data_dir.config / "opensearch-security"
    folder.mkdir(mode=0o700, exist_ok=True)
    for kind, content in _CONFIGURATION.items():
        # A YAML reader takes JSON as it is.
        meta = {"_meta": {"type": kind.replace("_", ""), "config_version": 2}}
        write_private(folder / f"{kind}.yml", json.dumps({**meta, **content}).encode())


def _domain(order: int, kind: str, backend: str, **config: str) -> dict[str, Any]:
    return {
        "http_enabled": True,
        "order": order,
        "http_authenticator": {"type": kind, "challenge": False, "config": config},
        "authentication_backend": {"type": backend},
    }


_CONFIGURATION: dict[str, dict[str, Any]] = {
    "config": {
        "config": {
            "dynamic": {
                "http": {"anonymous_auth_enabled": False},
                "authc": {
                    "certificate": _domain(0, "clientcert", "noop", username_attribute="cn"),
                    "password": _domain(1, "basic", "intern"),
                },
            }
        }
    },
    "internal_users": {},
    "roles": {},
    "roles_mapping": {"all_access": {"users": [ADMIN]}},
    "action_groups": {},
    "tenants": {},
}


class Access:
    """Requests to a secured node of this machine, as its administrator."""

    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir

    def get(self, port: int, path: str) -> bytes | None:
        """The body of a 200 for the administrator, who is made where missing; `None` for anything else."""
        password = self._data_dir.password.read_text()
        header = "Basic " + base64.b64encode(f"{ADMIN}:{password}".encode()).decode()
        status, body = self._request(port, "GET", path, {"authorization": header})
        if status == http.client.UNAUTHORIZED:
            self._make_administrator(port, password)
        return body if status == http.client.OK else None

    def _make_administrator(self, port: int, password: str) -> None:
        """The node refuses until the plugin has started; whoever waits asks again."""
        user = json.dumps({"password": password})
        content = {"content-type": "application/json"}
        self._request(port, "PUT", f"/_plugins/_security/api/internalusers/{ADMIN}", content, user, certificate=True)

    def _request(
        self, port: int, method: str, path: str, headers: dict[str, str], body: str = "", certificate: bool = False
    ) -> tuple[int, bytes]:
        """Status and body; 0 for a node that does not answer."""
        config = self._data_dir.config
        try:
            context = ssl.create_default_context(cafile=str(self._data_dir.authority))
            if certificate:
                context.load_cert_chain(config / f"{ADMIN}.pem", config / f"{ADMIN}-key.pem")
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=REQUEST_SECONDS, context=context)
            try:
                connection.request(method, path, body or None, headers)
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return 0, b""


def _is_fresh(certificate: Path) -> bool:
    return certificate.exists() and valid_until(certificate) - datetime.now(UTC) > RENEW
