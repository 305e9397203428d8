"""Certificates of a secured node: an authority of its own, made on the spot, and what it signs.

Format: PEM, keys as PKCS#8 without a password (what OpenSearch reads), mode 0600; elliptic curve P-256; valid for a
year from the day before, so that a clock that is a little off does no harm. The authority's key stays beside its
certificate, so that tests can have certificates for users.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from whodid.devserver.folder import missing_extra
from whodid.files import write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["ORGANIZATION", "issue", "make_authority", "valid_until"]

ORGANIZATION = "whodid-dev"
VALID = timedelta(days=365)
AUTHORITY = "ca"


def make_authority(folder: Path) -> None:
    """Writes `ca.pem` and `ca-key.pem`."""
    certificate, key = _signed(f"{ORGANIZATION} authority", None, None, authority=True)
    _write(folder, AUTHORITY, certificate, key)


def issue(folder: Path, name: str, *, server: bool = False) -> tuple[Path, Path]:
    """Certificate and key for the common name, signed by the folder's authority: `NAME.pem` and `NAME-key.pem`.

    A `server` certificate is also good for 127.0.0.1, ::1 and localhost.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    issuer = x509.load_pem_x509_certificate((folder / f"{AUTHORITY}.pem").read_bytes())
    signer = load_pem_private_key((folder / f"{AUTHORITY}-key.pem").read_bytes(), None)
    if not isinstance(signer, EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not one of ours")
    return _write(folder, name, *_signed(name, issuer, signer, server=server))


def valid_until(certificate: Path) -> datetime:
    """When the certificate ends, UTC."""
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
    """What the key is for (RFC 5280, 4.2.1.3). Python 3.13 and later trust no authority that does not say so."""
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
    file.unlink(missing_ok=True)  # a certificate that is there has its key
    write_private(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_private(file, certificate.public_bytes(Encoding.PEM))
    return file, key_file
