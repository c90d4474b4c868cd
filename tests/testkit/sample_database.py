"""Databases of meaningless bytes under meaningful names, for whatever does not ask BLAST."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testkit.blob_server import BlobServer

VOLUME_BYTES = 9_000_000


def put_database(
    server: BlobServer, database: str, *, seed: int = 1, volumes: int = 2, volume_bytes: int = VOLUME_BYTES
) -> None:
    """Store a database; as in Azure only small blobs have an MD5."""
    chance = random.Random(f"{database} {seed}")  # noqa: S311 - the same bytes every time
    for volume in range(volumes):
        server.put(f"{database}/{database}.{volume:02}.nsq", chance.randbytes(volume_bytes))
        server.put(f"{database}/{database}.{volume:02}.nin", chance.randbytes(70_000), md5=True)
    server.put(f"{database}/{database}.nal", chance.randbytes(200), md5=True)
    server.put(f"{database}/{database}.nto", b"", md5=True)
    server.put(f"{database}/taxdb.btd", b"taxa of 2026", md5=True)


def contents(server: BlobServer, *databases: str) -> dict[str, bytes]:
    """What a node should have when these databases are on it."""
    return {
        name.rsplit("/", 1)[1]: blob.content
        for name, blob in server.blobs.items()
        if name.split("/", 1)[0] in databases
    }
