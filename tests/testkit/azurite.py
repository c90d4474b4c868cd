"""Azurite with TLS and OAuth on loopback: Microsoft's own emulator as the account that blobs come from."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.blob_server import CONTAINER

from local.ports import held_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parents[2] / "local/npm/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "devstoreaccount1"
VERSION = "2021-12-02"
PATIENCE_SECONDS = 30
POLL_SECONDS = 0.05
TOKEN_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """A running account."""

    port: int
    certificate: Path

    @property
    def endpoint(self) -> str:
        """Its blob endpoint."""
        return f"https://127.0.0.1:{self.port}/{ACCOUNT}/"

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> dict[str, str]:
        """One request with a token; answers with the response's headers."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context)
        sent = {"Authorization": f"Bearer {token()}", "x-ms-version": VERSION, **(headers or {})}
        try:
            connection.request(method, f"/{ACCOUNT}/{path}", body, sent)
            response = connection.getresponse()
            answer = response.read()
            assert response.status < http.HTTPStatus.BAD_REQUEST, answer
            return {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()

    def put(self, name: str, content: bytes) -> dict[str, Any]:
        """Store a blob; answers with its entry in a manifest."""
        self.ask("PUT", f"{CONTAINER}/{name}", content, {"x-ms-blob-type": "BlockBlob"})
        head = self.ask("HEAD", f"{CONTAINER}/{name}")
        return {
            "name": name.rsplit("/", 1)[-1],
            "blob": name,
            "size": int(head["content-length"]),
            "etag": head["etag"],
            "md5": head.get("content-md5"),
            "modified": "2026-05-26T01:05:01Z",
            "shared": False,
        }


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """An account with an empty container, stopped at the end."""
    certificate, key = certificate_for_loopback(folder)
    with held_port() as port:
        process = subprocess.Popen(
            [
                *("node", str(PROGRAM), "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
                *("--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", str(folder / "azurite")),
                *("--oauth", "basic", "--cert", str(certificate), "--key", str(key)),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            account = Azurite(port=port, certificate=certificate)
            account.ask("PUT", f"{CONTAINER}?restype=container")
            yield account
        finally:
            process.terminate()
            process.wait()


def token() -> str:
    """A token as Entra would give it; Azurite looks at its claims, not at its signature."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000001/",
        "nbf": now - 60,
        "iat": now - 60,
        "exp": now + TOKEN_SECONDS,
    }
    return ".".join([_encoded({"alg": "RS256", "typ": "JWT"}), _encoded(claims), "c2lnbmF0dXJl"])


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def certificate_for_loopback(folder: Path) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key, as files in `folder`."""
    certificate, key = folder / "account.pem", folder / "account.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < deadline, "Azurite did not start"
        time.sleep(POLL_SECONDS)
