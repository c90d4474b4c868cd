"""An Entra authority on loopback: discovery and keys over TLS, and tokens of every kind, forged ones too."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from local.certificates import ensure_certificates

TENANT = "22222222-2222-4222-8222-222222222222"
CLIENT = "33333333-3333-4333-8333-333333333333"
SOMEBODY = "44444444-4444-4444-8444-444444444444"
_BITS = 2048


class Authority:
    """One tenant's authority; `keys` is what it publishes, `down` makes it refuse."""

    def __init__(self, url: str, ca: Path) -> None:
        self.url = url
        self.ca = ca
        self.keys: dict[str, rsa.RSAPrivateKey] = {"first": new_key()}
        self.down = False
        self.fetches = 0
        self.issuer: str | None = f"{url}/{TENANT}/v2.0"

    def token(self, kid: str = "first", **changes: Any) -> str:
        """A good token, but for the changes; a claim set to None is left out."""
        return jwt.encode(self.claims(**changes), self.keys[kid], "RS256", headers={"kid": kid})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "oid": SOMEBODY,
            "iat": now,
            "exp": now + 3600,
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def answer(self, path: str) -> dict[str, Any] | None:
        """What a GET finds."""
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.url}/{TENANT}/discovery/v2.0/keys"}
        if path == f"/{TENANT}/discovery/v2.0/keys":
            self.fetches += 1
            return {"keys": [_published(kid, key) for kid, key in self.keys.items()]}
        return None


def new_key() -> rsa.RSAPrivateKey:
    """A signing key that nobody knows yet."""
    return rsa.generate_private_key(public_exponent=65537, key_size=_BITS)


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """Serve one until the end of the block."""
    certificates = ensure_certificates(folder, "authority")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served = Authority(f"https://127.0.0.1:{server.server_port}", certificates.authority)
    server.tenant = served  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        tenant: Authority = self.server.tenant  # type: ignore[attr-defined]
        found = None if tenant.down else tenant.answer(self.path)
        body = json.dumps(found).encode()
        self.send_response(503 if tenant.down else 200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _published(kid: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    public: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return public | {"kid": kid, "use": "sig"}
