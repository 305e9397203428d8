"""Accounts and TLS of a node: its certificates, the configuration of the Security plugin, and authenticated requests.

The Security plugin reads these files at the first start, and then keeps its state in an index. The administrator
`admin` is created through the API of the node with the administrator's certificate, so that the password is on no
command line and the plugin hashes it. The password is in `admin-password` (mode 0600).

Certificates are PEM files (mode 0600), with unencrypted PKCS#8 keys on the elliptic curve P-256, signed by a local
authority. They are valid for a year, starting the day before in case clocks differ. The key of the authority is kept,
so that tests can issue certificates for users.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whodid.devserver.folder import DataDir, missing_extra
from whodid.errors import DevServerError
from whodid.files import write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = [
    "ADMIN",
    "ORGANIZATION",
    "Access",
    "issue",
    "make_authority",
    "prepare_security",
    "security_settings",
    "valid_until",
]

ORGANIZATION = "whodid-dev"
VALID = timedelta(days=365)
AUTHORITY = "ca"


def make_authority(folder: Path) -> None:
    """Create `ca.pem` and `ca-key.pem`."""
    certificate, key = _signed(f"{ORGANIZATION} authority", None, None, authority=True)
    _write(folder, AUTHORITY, certificate, key)


def issue(folder: Path, name: str, *, server: bool = False) -> tuple[Path, Path]:
    """Issue a certificate for a common name, signed by the authority of the folder: `NAME.pem` and `NAME-key.pem`.

    A `server` certificate is also valid for 127.0.0.1, ::1 and localhost.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    issuer = x509.load_pem_x509_certificate((folder / f"{AUTHORITY}.pem").read_bytes())
    signer = load_pem_private_key((folder / f"{AUTHORITY}-key.pem").read_bytes(), None)
    if not isinstance(signer, EllipticCurvePrivateKey):
        raise TypeError("the key of the authority is not an elliptic curve key")
    return _write(folder, name, *_signed(name, issuer, signer, server=server))


def valid_until(certificate: Path) -> datetime:
    """Return when the certificate expires (UTC)."""
    try:
        from cryptography import x509
    except ImportError as error:
        raise missing_extra("cryptography") from error
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _signed(
    name: str,
    issuer: x509.Certificate | None,
    signer: EllipticCurvePrivateKey | None,
    *,
    authority: bool = False,
    server: bool = False,
) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise missing_extra("cryptography") from error
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(issuer.subject if issuer else own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key((signer or key).public_key()), critical=False)
        .add_extension(_usage(authority), critical=True)
    )
    if server:
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), False)
    return builder.sign(signer or key, hashes.SHA256()), key


def _usage(authority: bool) -> x509.KeyUsage:
    """Return the key usage (RFC 5280, 4.2.1.3), which Python 3.13 and later require of an authority."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, name: str, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    file, key_file = folder / f"{name}.pem", folder / f"{name}-key.pem"
    file.unlink(missing_ok=True)  # an existing certificate always has its key
    write_private(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_private(file, certificate.public_bytes(Encoding.PEM))
    return file, key_file


ADMIN = "admin"
RENEW = timedelta(days=30)
REQUEST_SECONDS = 5.0
_FILES = ("ca", "node", ADMIN)


def security_settings(data_dir: DataDir) -> dict[str, Any]:
    """Return the settings for `opensearch.yml`; empty if the node has no accounts."""
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
    """Create password, certificates and the initial configuration of the plugin if they are missing.

    Raises `DevServerError` if the node had no accounts until now.
    """
    if not data_dir.password.exists():
        if any(data_dir.data.iterdir()):
            raise DevServerError(f"{data_dir.path} belongs to a node without accounts; choose another --data-dir")
        write_private(data_dir.password, secrets.token_urlsafe(24).encode())
    if not all(_is_fresh(data_dir.config / f"{name}.pem") for name in _FILES):
        make_authority(data_dir.config)
        issue(data_dir.config, "node", server=True)
        issue(data_dir.config, ADMIN)
    folder = data_dir.config / "opensearch-security"
    folder.mkdir(mode=0o700, exist_ok=True)
    for kind, content in _CONFIGURATION.items():
        # JSON is valid YAML.
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
    """Requests to a node with accounts, as its administrator."""

    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir

    def get(self, port: int, path: str) -> bytes | None:
        """Return the body of a response 200, or `None`; create the administrator if it is missing."""
        password = self._data_dir.password.read_text()
        header = "Basic " + base64.b64encode(f"{ADMIN}:{password}".encode()).decode()
        status, body = self._request(port, "GET", path, {"authorization": header})
        if status == http.client.UNAUTHORIZED:
            self._create_administrator(port, password)
        return body if status == http.client.OK else None

    def _create_administrator(self, port: int, password: str) -> None:
        """Create the administrator; this fails until the plugin has started, and is then retried."""
        user = json.dumps({"password": password})
        content = {"content-type": "application/json"}
        self._request(port, "PUT", f"/_plugins/_security/api/internalusers/{ADMIN}", content, user, certificate=True)

    def _request(
        self, port: int, method: str, path: str, headers: dict[str, str], body: str = "", certificate: bool = False
    ) -> tuple[int, bytes]:
        """Return status and body; status 0 if the node does not answer."""
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
