"""Kubeconfigs, read as a stranger's."""

import base64
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.certificates import ensure_certificates
from shared.adapters.kubeconfig import KubeconfigError, parse_kubeconfig, tls_context


def kubeconfig(user: dict[str, Any], **cluster: Any) -> bytes:
    return yaml.safe_dump(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://k.azmk8s.io:443", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
    ).encode()


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def test_a_token_is_taken_as_it_is() -> None:
    access = parse_kubeconfig(kubeconfig({"token": "abc"}))

    assert (access.server, access.token, access.wants_entra_token) == (
        "https://k.azmk8s.io:443",
        "abc",
        False,
    )


def test_a_cluster_of_entra_id_wants_a_token_and_no_program_is_run(tmp_path: Path) -> None:
    proof = tmp_path / "was-run"
    exec_user = {"exec": {"command": "touch", "args": [str(proof)]}}
    access = parse_kubeconfig(kubeconfig(exec_user))

    assert access.wants_entra_token
    assert not proof.exists()


def test_a_client_certificate_is_loaded_and_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ensure_certificates(tmp_path, "client")
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    access = parse_kubeconfig(
        kubeconfig(
            {
                "client-certificate-data": encoded(made.certificate.read_bytes()),
                "client-key-data": encoded(made.key.read_bytes()),
            },
            **{"certificate-authority-data": encoded(made.authority.read_bytes())},
        )
    )
    context = tls_context(access)

    assert not access.wants_entra_token
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert [each["subject"] for each in context.get_ca_certs()]
    assert list(folder.iterdir()) == []


def test_no_file_that_a_kubeconfig_names_is_opened() -> None:
    access = parse_kubeconfig(
        kubeconfig(
            {"tokenFile": "/etc/passwd", "client-certificate": "/etc/passwd", "client-key": "/etc/passwd"},
            **{"certificate-authority": "/etc/passwd", "insecure-skip-tls-verify": True},
        )
    )

    assert (access.token, access.certificate, access.authority_pem) == (None, None, None)
    assert tls_context(access).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"a: !!python/object/apply:os.system ['true']",
        b"current-context: nowhere",
        b"x" * (2 << 20),
        kubeconfig({}, server="http://plain.example"),
        kubeconfig({"client-certificate-data": "%%%"}),
    ],
)
def test_what_cannot_be_trusted_is_refused(text: bytes) -> None:
    with pytest.raises(KubeconfigError):
        parse_kubeconfig(text)


def test_certificates_that_are_none_are_refused() -> None:
    with pytest.raises(KubeconfigError, match="certificates"):
        tls_context(parse_kubeconfig(kubeconfig({}, **{"certificate-authority-data": encoded(b"none")})))
