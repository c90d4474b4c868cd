"""What the database consists of, as the control plane described it: the only truth about names and sizes.

A manifest comes from outside: its names become paths, so nothing is trusted before `parse_manifest`.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .errors import BadManifest, quoted

SCHEMA = 1
# A name plus the agent's own suffixes must fit into the 255 bytes of a directory entry.
NAME_BYTES = 200
MD5_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of the database, and the blob it comes from."""

    name: str
    blob: str
    size: int
    etag: str
    """Without quotes: listings and response headers differ in them."""
    md5: bytes | None
    modified: float
    """Seconds since the epoch, by the account's clock."""
    shared: bool
    """True for the taxonomy files, which all databases on a node have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One generation of one database; without files only a release can obey it."""

    database: str
    container: str
    generation: str
    molecule: str
    files: tuple[File, ...]

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files)


def parse_manifest(text: str) -> Manifest:
    """The manifest of `manifest.json`.

    Raises:
        BadManifest: it is not one, or names something that must not become a path.
    """
    try:
        return _parse(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise BadManifest(f"the manifest cannot be read: {type(error).__name__}: {error}") from error


def nothing_of(database: str) -> Manifest:
    """A manifest without files: enough to release what the node remembers of `database`.

    Raises:
        BadManifest: the name must not become a path.
    """
    return Manifest(database=safe_name(database), container="", generation="", molecule="", files=())


def safe_name(name: object) -> str:
    """`name`, if it may become an entry of the database folder.

    >>> safe_name("core_nt.00.nsq")
    'core_nt.00.nsq'

    Raises:
        BadManifest: it could lead elsewhere, hide, or break a line of a log.
    """
    if not isinstance(name, str) or not name or name.startswith((".", "-")):
        raise BadManifest(f"{name!r} cannot be a file's name")
    if "/" in name or "\\" in name or not name.isprintable() or len(name.encode()) > NAME_BYTES:
        raise BadManifest(f"{name!r} cannot be a file's name")
    return name


def etag_of(header: str) -> str:
    """An ETag without the quotes around it.

    >>> etag_of('"0x8D"')
    '0x8D'
    """
    return header.strip().removeprefix("W/").strip('"')


def _parse(document: dict[str, Any]) -> Manifest:
    if document["schema"] != SCHEMA:
        raise BadManifest(f"the manifest's schema is {document['schema']!r}; this agent knows {SCHEMA}")
    files = tuple(_parse_file(entry) for entry in document["files"])
    manifest = Manifest(
        database=safe_name(document["database"]),
        container=safe_name(document["container"]),
        generation=_generation(document["generation"]),
        molecule=str(document["molecule"]),
        files=files,
    )
    _check_whole(manifest, document["bytes"])
    return manifest


def _check_whole(manifest: Manifest, declared_bytes: object) -> None:
    names = [file.name for file in manifest.files]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise BadManifest(f"the manifest names {twice[0]!r} twice")
    if manifest.total_bytes != declared_bytes:
        raise BadManifest(
            f"the manifest declares {declared_bytes} bytes; its files have {manifest.total_bytes}"
        )


def _parse_file(entry: dict[str, Any]) -> File:
    size = entry["size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadManifest(f"{entry['name']!r} has the size {size!r}")
    return File(
        name=safe_name(entry["name"]),
        blob=_blob_name(entry["blob"]),
        size=size,
        etag=_etag(entry["etag"]),
        md5=_md5(entry.get("md5")),
        modified=_seconds(entry["modified"]),
        shared=bool(entry.get("shared", False)),
    )


def _generation(value: object) -> str:
    """It becomes part of every report; a release may name none."""
    if not isinstance(value, str) or not value.isprintable() or len(value.encode()) > NAME_BYTES:
        raise BadManifest(f"a generation cannot be {quoted(repr(value))}")
    return value


def _blob_name(name: object) -> str:
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or any(p in {"", ".", ".."} for p in name.split("/"))
    ):
        raise BadManifest(f"{name!r} cannot be a blob's name")
    return name


def _etag(value: object) -> str:
    etag = etag_of(value) if isinstance(value, str) else ""
    if not etag or not etag.isascii() or not etag.isprintable() or '"' in etag:
        raise BadManifest(f"{value!r} cannot be an ETag")
    return etag


def _md5(value: str | None) -> bytes | None:
    if not value:
        return None
    digest = base64.b64decode(value, validate=True)
    if len(digest) != MD5_BYTES:
        raise BadManifest(f"{value!r} is not an MD5")
    return digest


def _seconds(text: str) -> float:
    # Python 3.10 reads neither "Z" nor a second's fraction of other than three or six digits.
    plain = re.sub(r"\.\d+", "", text.replace("Z", "+00:00"))
    moment = datetime.fromisoformat(plain)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017 - datetime.UTC is of Python 3.11
    return moment.timestamp()
