from __future__ import annotations

import ssl
import stat
import subprocess
from typing import TYPE_CHECKING

from local.certificates import ensure_certificates

if TYPE_CHECKING:
    from pathlib import Path


def test_a_certificate_is_good_for_loopback_and_openssl_trusts_it(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, "azure")

    for name in ("-verify_ip=127.0.0.1", "-verify_hostname=localhost"):
        option, value = name.split("=")
        subprocess.run(
            [
                "openssl",
                "verify",
                "-x509_strict",
                "-CAfile",
                files.authority,
                option,
                value,
                files.certificate,
            ],
            check=True,
            capture_output=True,
        )
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, "azure")

    assert {stat.S_IMODE(each.stat().st_mode) for each in (files.key, tmp_path / "ca.key")} == {0o600}


def test_a_second_start_finds_the_same_certificates(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, "azure").certificate.read_bytes()
    authority = (tmp_path / "ca.pem").read_bytes()

    assert ensure_certificates(tmp_path, "azure").certificate.read_bytes() == first
    ensure_certificates(tmp_path, "cluster")
    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_an_authority_made_anew_signs_its_servers_anew(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, "azure").certificate.read_bytes()
    (tmp_path / "ca.pem").write_text("cut short")

    assert ensure_certificates(tmp_path, "azure").certificate.read_bytes() != first
