"""The kubeconfig that ARM hands out, read as a stranger's: data only, no file is opened, nothing is run."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

MAX_KUBECONFIG_BYTES = 1 << 20  # AKS's has a few KB

Json = Mapping[str, object]


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where an API server is, how it is known, and how one signs in."""

    server: str
    authority_pem: str | None
    token: str | None
    certificate: bytes | None
    key: bytes | None

    @property
    def wants_entra_token(self) -> bool:
        """Whether one signs in by Entra ID, which a kubeconfig leaves to a program."""
        return self.token is None and self.certificate is None


def parse_kubeconfig(text: bytes) -> Access:
    """Read the current context's cluster and user.

    Raises:
        KubeconfigError: when it is no kubeconfig, or one that cannot be trusted.
    """
    document = _document(text)
    context = _entry(document, "contexts", _text(document, "current-context"), "context")
    cluster = _entry(document, "clusters", _text(context, "cluster"), "cluster")
    user = _entry(document, "users", _text(context, "user"), "user")
    server = _text(cluster, "server").rstrip("/")
    if not server.startswith("https://"):
        raise KubeconfigError(f"its server is {server[:80]!r}, which is no https address")
    authority = _data(cluster, "certificate-authority-data")
    return Access(
        server=server,
        authority_pem=authority.decode("ascii", "replace") if authority else None,
        token=_text(user, "token") or None,
        certificate=_data(user, "client-certificate-data"),
        key=_data(user, "client-key-data"),
    )


def tls_context(access: Access) -> ssl.SSLContext:
    """Trust exactly the cluster's own authority; show the client certificate, where there is one."""
    try:
        context = ssl.create_default_context(cadata=access.authority_pem)
        if access.certificate is not None and access.key is not None:
            _load(context, access.certificate + b"\n" + access.key)
    except (ssl.SSLError, ValueError) as unfit:
        raise KubeconfigError(f"its certificates cannot be read ({unfit})") from unfit
    return context


def _load(context: ssl.SSLContext, chain_and_key: bytes) -> None:
    """OpenSSL takes a key from a file only: one that nobody else may read, gone at once."""
    handle, path = tempfile.mkstemp(prefix="kube-")  # 0600 from birth
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(chain_and_key)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()


def _document(text: bytes) -> Json:
    if len(text) > MAX_KUBECONFIG_BYTES:
        raise KubeconfigError(f"it has {len(text)} bytes")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as unfit:
        raise KubeconfigError("it is no YAML") from unfit
    if not isinstance(document, dict):
        raise KubeconfigError("it is no object")
    return cast("Json", document)


def _entry(document: Json, group: str, name: str, kind: str) -> Json:
    entries = document.get(group)
    for entry in cast("Sequence[object]", entries) if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            return cast("Json", entry[kind])
    raise KubeconfigError(f"it names no {kind} {name[:80]!r}")


def _text(value: Json, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _data(value: Json, key: str) -> bytes | None:
    try:
        return base64.b64decode(_text(value, key), validate=True) or None
    except (binascii.Error, ValueError) as unfit:
        raise KubeconfigError(f"its {key} is no base64") from unfit
