"""Staging: a BLAST database from a folder into the `blast-db` container, laid out as NCBI does.

This is the operator's act, so it uses the blob server's own account key, straight on the blob server's
port. The database's metadata at the root say `copying` until the last file is there.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings

from local.databases import DatabaseError, Progress
from local.taxonomy import SHARED_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTAINER = "blast-db"

MOLECULES = {"n": "nucl", "p": "prot"}
DATABASE_TYPES = {"nucl": "Nucleotide", "prot": "Protein"}

CACHED_EXTENSIONS = ("hr", "in", "sq")
"""What a search reads all of: NCBI's `bytes-to-cache` counts these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobServer:
    """Where to put databases, and by what right."""

    endpoint: str
    account: str
    key: str
    authority: Path
    """The certificates to trust."""

    def client(self) -> BlobServiceClient:
        """A client with the account's key; close it."""
        return BlobServiceClient(
            f"{self.endpoint}/{self.account}", credential=self.key, connection_verify=str(self.authority)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What `blastdbcmd -info` and the folder say of a database."""

    name: str
    molecule: str
    title: str
    sequences: int
    letters: int
    files: tuple[Path, ...]

    @property
    def volumes(self) -> int:
        """How many pieces it has."""
        return sum(1 for file in self.files if file.suffix in (".nsq", ".psq"))

    @property
    def size_bytes(self) -> int:
        """All its files together."""
        return sum(file.stat().st_size for file in self.files)


def stage(server: BlobServer, folder: Path, name: str, progress: Progress) -> Description:
    """Put the database `name` that lies in `folder` into the container; what is there already stays.

    Raises DatabaseError when BLAST cannot read it.
    """
    description = describe(folder, name)
    with server.client() as account:
        container = account.get_container_client(CONTAINER)
        with suppress(ResourceExistsError):
            container.create_container()
        _put_json(container, f"{name}-metadata.json", _dashboard_metadata(description, is_complete=False))
        _upload(container, description, progress)
        ncbi_name = f"{name}/{name}-{description.molecule}-metadata.json"
        _put_json(container, ncbi_name, _ncbi_metadata(description))
        _put_json(container, f"{name}-metadata.json", _dashboard_metadata(description, is_complete=True))
    return description


def describe(folder: Path, name: str) -> Description:
    """Find a database's files and ask BLAST what it is; raises DatabaseError."""
    if not folder.is_dir():
        raise DatabaseError(f"{folder} is no folder; name the one that holds the database's files")
    files = tuple(sorted(_files_of(folder, name)))
    molecules = {MOLECULES[file.suffix[1]] for file in files if file.suffix in (".nsq", ".psq")}
    if len(molecules) != 1:
        raise DatabaseError(
            f"{folder} holds no BLAST database named {name!r}; name its folder and its base name"
        )
    info = subprocess.run(
        ["blastdbcmd", "-db", str(folder / name), "-info"], capture_output=True, text=True, check=False
    )
    counted = re.search(r"([\d,]+) sequences; ([\d,]+) total (?:bases|residues)", info.stdout)
    if info.returncode or counted is None:
        raise DatabaseError(f"BLAST cannot read {folder / name}: {info.stderr.strip()[:256]}")
    return Description(
        name=name,
        molecule=molecules.pop(),
        title=info.stdout.partition("Database: ")[2].partition("\n")[0],
        sequences=_number(counted[1]),
        letters=_number(counted[2]),
        files=files,
    )


def _files_of(folder: Path, name: str) -> Iterable[Path]:
    # `name.00.nsq`, `name.nal`; never `name_other.nsq`.
    own = re.compile(rf"{re.escape(name)}(\.\d+)?\.[np][a-z]{{2}}")
    return (each for each in folder.iterdir() if own.fullmatch(each.name) or each.name in SHARED_FILES)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _upload(container: ContainerClient, description: Description, progress: Progress) -> None:
    prefix, step = f"{description.name}/", f"staging {description.name}"
    there = {
        blob.name: (blob.size, blob.content_settings.content_md5)
        for blob in container.list_blobs(name_starts_with=prefix)
    }
    done, total = 0, description.size_bytes
    for file in description.files:

        def told(sent: int, _size: int | None = None, before: int = done) -> None:
            progress(step, before + sent, total)

        size, digest = file.stat().st_size, _md5(file)
        if there.get(prefix + file.name) != (size, digest):
            # Given here, as what is uploaded in blocks would have no MD5.
            settings = ContentSettings(content_md5=digest)
            with file.open("rb") as content:
                container.upload_blob(
                    prefix + file.name,
                    content,
                    length=size,
                    overwrite=True,
                    content_settings=settings,
                    progress_hook=told,
                )
        told(size)
        done += size


def _md5(file: Path) -> bytearray:
    with file.open("rb") as content:
        return bytearray(hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).digest())


def _put_json(container: ContainerClient, name: str, document: dict[str, Any]) -> None:
    """Write it unless it says so already: another ETag would be another generation."""
    text = json.dumps(document, indent=1).encode()
    with suppress(ResourceNotFoundError):
        if container.download_blob(name).readall() == text:
            return
    settings = ContentSettings(content_type="application/json")
    container.upload_blob(name, text, overwrite=True, content_settings=settings)


def _ncbi_metadata(description: Description) -> dict[str, Any]:
    cached = sum(file.stat().st_size for file in description.files if file.suffix[2:] in CACHED_EXTENSIONS)
    version = _source_version(description)
    return {
        "version": "1.1",
        "dbname": description.name,
        "dbtype": DATABASE_TYPES[description.molecule],
        "description": description.title,
        "number-of-letters": description.letters,
        "number-of-sequences": description.sequences,
        "files": [
            f"s3://ncbi-blast-databases/{version}/{file.name}"
            for file in description.files
            if file.name not in SHARED_FILES
        ],
        "last-updated": _newest(description).date().isoformat(),
        "bytes-total": sum(f.stat().st_size for f in description.files if f.name not in SHARED_FILES),
        "bytes-to-cache": cached,
        "number-of-volumes": description.volumes,
    }


def _dashboard_metadata(description: Description, *, is_complete: bool) -> dict[str, Any]:
    count = len(description.files)
    return {
        "db_name": description.name,
        "source_version": _source_version(description),
        "downloaded_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "file_count": count,
        "total_bytes": description.size_bytes,
        "update_in_progress": not is_complete,
        "copy_status": {
            "phase": "completed" if is_complete else "copying",
            "success": count if is_complete else 0,
            "total_files": count,
            "failed": 0,
            "pending": 0 if is_complete else count,
        },
    }


def _newest(description: Description) -> datetime:
    return datetime.fromtimestamp(max(file.stat().st_mtime for file in description.files), UTC)


def _source_version(description: Description) -> str:
    return f"{_newest(description):%Y-%m-%d-%H-%M-%S}"
