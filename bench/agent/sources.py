"""Where the bytes come from: a plain file server, with TLS or without, or Azurite."""

from __future__ import annotations

import json
import os
import random
import shutil
import ssl
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testkit.azurite import azurite, certificate_for_loopback, token
from testkit.blob_server import CONTAINER, blob_server

from agent.crew import die_with
from bench.agent.file_server import ETAG

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
VOLUMES = 8
MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Source:
    """A running server, and what its readers have to know."""

    name: str
    folder: Path
    manifest: Path
    endpoint: str
    environment: dict[str, str]
    server: int | None = None
    """Its process, whose time is taken from the same cores."""
    curl_options: tuple[str, ...] = ()
    azcopy_query: str = ""
    """A signature, where there is no identity that azcopy could use."""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return "/".join(self.endpoint.split("/")[:3])

    @property
    def names(self) -> list[str]:
        """The files to bring."""
        return sorted(path.name for path in self.folder.iterdir())

    @property
    def total_bytes(self) -> int:
        """Of one database."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @property
    def trust(self) -> ssl.SSLContext | None:
        """Whose certificates to believe; None without TLS."""
        file = self.environment.get("SSL_CERT_FILE")
        return ssl.create_default_context(cafile=file) if file else None


def make_database(folder: Path, *, megabytes: int = 0, files: int = 0) -> None:
    """Volumes of bytes that do not compress, or many small files."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)  # noqa: S311 - the same bytes every time
    for volume in range(VOLUMES if megabytes else 0):
        with (folder / f"db.{volume:02}.nsq").open("wb") as stream:
            for _ in range(megabytes // VOLUMES):
                stream.write(chance.randbytes(MEGABYTE))
    for number in range(files):
        (folder / f"db.{number:04}.nsq").write_bytes(chance.randbytes(number))


@contextmanager
def file_source(
    workdir: Path,
    folder: Path,
    *,
    tls: bool = False,
    faults: float = 0,
    bytes_per_second: float | None = None,
) -> Iterator[Source]:
    """The file server, as a process of its own; with a rate, behind a wire that all its readers share."""
    certificate, key = certificate_for_loopback(workdir)
    secure = ["--certificate", str(certificate), "--key", str(key)] if tls else []
    wire = ["--bytes-per-second", str(bytes_per_second), "--pace", str(workdir / "pace")]
    command = [sys.executable, "-m", "bench.agent.file_server", str(folder), "--faults", str(faults)]
    command += [*secure, *(wire if bytes_per_second else [])]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - no thread of ours holds a lock
    ) as process:
        assert process.stdout
        origin = f"{'https' if tls else 'http'}://127.0.0.1:{process.stdout.readline().strip()}"
        trust = {"SSL_CERT_FILE": str(certificate)} if tls else {}
        try:
            yield Source(
                name=f"file server with{'' if tls else 'out'} TLS"
                + (f", behind a wire of {bytes_per_second / 1e6:.0f} MB/s" if bytes_per_second else ""),
                folder=folder,
                manifest=_manifest(workdir, [_entry(path) for path in sorted(folder.iterdir())]),
                endpoint=f"{origin}/account/",
                environment={"IDENTITY_ENDPOINT": f"{origin}/msi", **trust},
                server=process.pid,
                curl_options=("--cacert", str(certificate)) if tls else (),
                azcopy_query="?sv=2021-12-02&sr=c&sp=rl&sig=c2ln",
            )
        finally:
            process.terminate()


@contextmanager
def azurite_source(workdir: Path, folder: Path) -> Iterator[Source]:
    """Microsoft's emulator, over TLS with tokens."""
    with blob_server() as identity, azurite(workdir) as account:
        identity.accepted_token = token()
        files = [account.put(f"db/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]
        yield Source(
            name="Azurite with TLS and tokens",
            folder=folder,
            manifest=_manifest(workdir, [{**file, "md5": None} for file in files]),
            endpoint=account.endpoint,
            environment={
                "IDENTITY_ENDPOINT": identity.identity_endpoint,
                "SSL_CERT_FILE": str(account.certificate),
            },
            curl_options=(
                *("--cacert", str(account.certificate)),
                *("-H", f"Authorization: Bearer {identity.accepted_token}", "-H", "x-ms-version: 2021-12-02"),
            ),
        )
    shutil.rmtree(workdir / "azurite")


def _entry(path: Path) -> dict[str, Any]:
    return {
        "name": path.name,
        "blob": f"db/{path.name}",
        "size": path.stat().st_size,
        "etag": ETAG,
        "md5": None,
        "modified": "2026-05-26T01:05:01Z",
    }


def _manifest(workdir: Path, files: list[dict[str, Any]]) -> Path:
    path = workdir / "manifest.json"
    document = {"schema": 1, "database": "db", "container": CONTAINER, "generation": "g", "molecule": "nucl"}
    path.write_text(json.dumps({**document, "bytes": sum(file["size"] for file in files), "files": files}))
    return path
