"""The stack's own certificate authority, and the certificates of its servers.

One authority per stack folder. Its certificate (`ca.pem`) is what a client is told to trust; what it signs
is good for 127.0.0.1, ::1 and localhost, and for one further address where that is asked for.
Keys are readable by their owner alone.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE_LIFE = timedelta(days=397)
"""Go and Node on some systems refuse leaves that are good for longer than 398 days."""

CLOCK_SKEW = timedelta(hours=1)
"""A machine that woke up with its clock behind still trusts what was signed just now."""

RENEW_BEFORE = timedelta(days=7)
"""Less left than this, and the stack's next start signs anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Where one server's certificate lies, and the authority that a client must trust."""

    authority: Path
    certificate: Path
    key: Path


def ensure_certificates(folder: Path, server: str, address: str = "127.0.0.1") -> Certificates:
    """Sign a certificate for `server` at `address`, once.

    A later call returns the same files until they near their end, or the address is another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    if not (authority_key.exists() and _is_fresh(authority)):
        _make_authority(authority, authority_key)
    certificate, key = folder / f"{server}.pem", folder / f"{server}.key"
    files = Certificates(authority=authority, certificate=certificate, key=key)
    names = _names({"127.0.0.1", "::1", address})
    if not (key.exists() and _is_fresh(certificate) and _is_signed_by(certificate, authority, names)):
        _make_leaf(server, files, authority_key, names)
    return files


def _make_authority(certificate: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # The folder in the name keeps the authorities of two stacks apart in a browser's store.
    name = _name(f"Laptop stack {certificate.parent.resolve()}"[:64])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    signed = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, SHA256())
    )
    _write_key(key_file, key)
    _write(certificate, signed.public_bytes(Encoding.PEM), mode=0o644)


def _make_leaf(
    server: str, files: Certificates, authority_key: Path, names: x509.SubjectAlternativeName
) -> None:
    issuer = x509.load_pem_x509_certificate(files.authority.read_bytes())
    issuer_key = load_pem_private_key(authority_key.read_bytes(), password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    signed = (
        _builder(_name(server), issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        # Python 3.13 verifies strictly and wants the issuer's key named.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, SHA256())
    )
    _write_key(files.key, key)
    _write(files.certificate, signed.public_bytes(Encoding.PEM), mode=0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _names(addresses: set[str]) -> x509.SubjectAlternativeName:
    listed = [x509.IPAddress(ipaddress.ip_address(each)) for each in sorted(addresses)]
    return x509.SubjectAlternativeName([x509.DNSName("localhost"), *listed])


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _is_fresh(certificate: Path) -> bool:
    if not certificate.exists():
        return False
    try:
        ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except ValueError:  # cut short by a kill: signed anew
        return False
    return ends - datetime.now(UTC) > RENEW_BEFORE


def _is_signed_by(certificate: Path, authority: Path, names: x509.SubjectAlternativeName) -> bool:
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return identifier.key_identifier == own.key_identifier and found == names


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(path, pem, mode=0o600)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    # A sibling, then a rename: a killed start leaves the old file or the new one, never half a key.
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
