"""From a listing of blobs and two metadata files to one manifest, or the reason there is none.

A database may be absent, half copied, being replaced, or at odds with NCBI's own word on it; only a
manifest of one complete generation may reach a node. Names are hostile until they pass here.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.model import Database, StagedDatabase
from shared.domain.refusals import Reason, Refusal

# Shared by all databases of a node: the newest wins, and no release removes them.
SHARED_FILES = frozenset({"taxdb.btd", "taxdb.bti", "taxonomy4blast.sqlite3"})

# One ConfigMap holds the manifest beside the agent and perhaps certificates; Kubernetes takes 1 MiB of it.
MAX_MANIFEST_BYTES = 600_000

_UNREAD_CONTAINER = "blast-db"  # a manifest names one; nobody opens it
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_SEQUENCES = {".nsq": "nucl", ".psq": "prot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedBlob:
    """One blob below a database's folder, as the listing has it."""

    name: str  # the whole blob name
    bytes: int
    etag: str
    md5: str | None  # base64, where the service has one
    modified: datetime
    copy_pending: bool  # a server-side copy that has not succeeded
    archived: bool = False  # in the Archive tier: listed, and not to be read
    rehydrating: bool = False  # archived, and on its way back


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Everything the container says about one database."""

    database: Database
    container: str
    blobs: tuple[StagedBlob, ...]
    dashboard_metadata: Mapping[str, object] | None  # `{db}-metadata.json` at the root
    ncbi_metadata: Mapping[str, object] | None  # `{db}/{db}-nucl-metadata.json`


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """One file as every node must hold it."""

    name: str
    blob: str
    bytes: int
    etag: str
    md5: str | None
    modified: datetime
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a node must hold, byte for byte, to be warm."""

    database: Database
    container: str
    molecule: str
    source_version: str | None
    generation: str
    files: tuple[ManifestFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes on a node once warm."""
        return sum(file.bytes for file in self.files)

    def describe(self) -> StagedDatabase:
        """The few figures of it that a run keeps."""
        return StagedDatabase(
            database=self.database,
            molecule=self.molecule,
            source_version=self.source_version,
            generation=self.generation,
            files=len(self.files),
            bytes=self.bytes,
            volumes=sum(file.name.endswith(tuple(_SEQUENCES)) for file in self.files),
        )

    def to_json(self) -> str:
        """The document the agent reads; its keys are the agent's, see `agent/manifest.py`."""
        files = [
            {
                "name": file.name,
                "blob": file.blob,
                "size": file.bytes,
                "etag": file.etag,
                "md5": file.md5,
                "modified": file.modified.isoformat().replace("+00:00", "Z"),
                "shared": file.shared,
            }
            for file in self.files
        ]
        head = {
            "schema": 1,
            "database": self.database.name,
            "container": self.container,
            "source_version": self.source_version,
            "generation": self.generation,
            "molecule": self.molecule,
            "bytes": self.bytes,
            "files": files,
        }
        return json.dumps(head, separators=(",", ":"))


def as_remembered(database: Database) -> Manifest:
    """What a release hands to the nodes: no files, which stands for all that they remember of it."""
    return Manifest(
        database=database,
        container=_UNREAD_CONTAINER,
        molecule="",
        source_version=None,
        generation="",
        files=(),
    )


def judge_staging(listing: Listing) -> Manifest | Refusal:
    """Decide whether what is staged is one complete database."""
    files = tuple(
        _file(blob) for blob in sorted(listing.blobs, key=lambda b: b.name) if _belongs(listing, blob)
    )
    own = tuple(file for file in files if not file.shared)
    molecule = next((_SEQUENCES[f.name[-4:]] for f in own if f.name[-4:] in _SEQUENCES), None)
    refusal = (
        _updating(listing)
        or _half_copied(listing)
        or _archived(listing)
        or _absent(listing, own, molecule)
        or _at_odds_with_ncbi(listing, files)
        or _too_few_volumes(listing, own)
        or _gaps(listing, own)
    )
    if refusal is not None:
        return refusal
    assert molecule is not None  # else it was absent
    manifest = Manifest(
        database=listing.database,
        container=listing.container,
        molecule=molecule,
        source_version=_source_version(listing),
        generation=_generation(files),
        files=files,
    )
    return _too_many_files(manifest) or manifest


def _belongs(listing: Listing, blob: StagedBlob) -> bool:
    folder, _, name = blob.name.rpartition("/")
    if folder != listing.database.folder or not _SAFE_NAME.fullmatch(name):
        return False
    return name in SHARED_FILES or _is_of(listing.database.name, name)


def _is_of(database: str, name: str) -> bool:
    """Whether a file is this database's: `core_nt.00.nsq` is of core_nt, `core_nt_x.nsq` is not."""
    rest = name.removeprefix(database)
    if rest == name:
        return False
    metadata = rest in ("-nucl-metadata.json", "-prot-metadata.json")
    return metadata or re.fullmatch(r"(\.\d{2,4})?\.[np][a-z]{2}", rest) is not None


def _file(blob: StagedBlob) -> ManifestFile:
    name = blob.name.rpartition("/")[2]
    return ManifestFile(
        name=name,
        blob=blob.name,
        bytes=blob.bytes,
        etag=blob.etag,
        md5=blob.md5,
        modified=blob.modified,
        shared=name in SHARED_FILES,
    )


def _generation(files: tuple[ManifestFile, ...]) -> str:
    own = "\n".join(f"{f.name} {f.bytes} {f.etag} {f.md5}" for f in files if not f.shared)
    return hashlib.sha256(own.encode()).hexdigest()[:16]


def _source_version(listing: Listing) -> str | None:
    value = (listing.dashboard_metadata or {}).get("source_version")
    return value[:64] if isinstance(value, str) and value.isprintable() and value else None


def _absent(listing: Listing, own: tuple[ManifestFile, ...], molecule: str | None) -> Refusal | None:
    path = f"{listing.container}/{listing.database.path}"
    if not own:
        return Refusal(
            reason=Reason.DATABASE_NOT_FOUND,
            message=f"database {listing.database.name!r} is not staged: nothing lies under {path}",
            remedy="download it from the dashboard's storage page, or check the name",
        )
    if molecule is None:
        return Refusal(
            reason=Reason.DATABASE_INCOMPLETE,
            message=f"database {listing.database.name!r} has no sequence file (.nsq or .psq) under {path}",
            remedy="download it again; its copy was never finished",
        )
    return None


def _updating(listing: Listing) -> Refusal | None:
    if (listing.dashboard_metadata or {}).get("update_in_progress") is not True:
        return None
    return Refusal(
        reason=Reason.DATABASE_UPDATING,
        message=f"database {listing.database.name!r} is being replaced by a newer version",
        remedy="start again when the update is over",
    )


def _half_copied(listing: Listing) -> Refusal | None:
    pending = [blob.name for blob in listing.blobs if blob.copy_pending and _belongs(listing, blob)]
    status = (listing.dashboard_metadata or {}).get("copy_status")
    phase = status.get("phase") if isinstance(status, Mapping) else None
    if not pending and phase in (None, "completed"):
        return None
    what = f"{len(pending)} files are still being copied" if pending else f"its copy is {str(phase)[:32]!r}"
    return Refusal(
        reason=Reason.DATABASE_INCOMPLETE,
        message=f"database {listing.database.name!r} is half copied: {what}",
        remedy="wait for the copy to finish, or download it again",
    )


def _archived(listing: Listing) -> Refusal | None:
    """Listed like any other, with its size, and no node could read a byte of it."""
    found = [blob for blob in listing.blobs if blob.archived and _belongs(listing, blob)]
    if not found:
        return None
    coming = all(blob.rehydrating for blob in found)
    state = "on their way back from" if coming else "in"
    by_hand = (
        f"az storage blob set-tier --tier Hot --container-name {listing.container} --name <each of them>, "
        "wait some hours, then start again"
    )
    return Refusal(
        reason=Reason.DATABASE_ARCHIVED,
        message=(
            f"database {listing.database.name!r} cannot be read: {len(found)} of its files are {state} "
            f"the Archive tier, {found[0].name!r} among them"
        ),
        remedy="wait until they are back, which takes hours, then start again" if coming else by_hand,
    )


def _at_odds_with_ncbi(listing: Listing, files: tuple[ManifestFile, ...]) -> Refusal | None:
    """NCBI's metadata lists every file: a second word on completeness, where it is there."""
    listed = (listing.ncbi_metadata or {}).get("files")
    if not isinstance(listed, list):
        return None
    names = {str(entry).rpartition("/")[2] for entry in listed}
    expected = {name for name in names if _is_of(listing.database.name, name)}  # not the archives it may list
    missing = sorted(expected - {file.name for file in files})
    if not missing:
        return _too_few_bytes(listing, sum(file.bytes for file in files if file.name in names), expected)
    return _inconsistent(
        listing,
        f"lacks {len(missing)} of the {len(expected)} files its own metadata lists: {missing[0][:80]!r}",
    )


def _too_few_bytes(listing: Listing, found: int, expected: set[str]) -> Refusal | None:
    total = (listing.ncbi_metadata or {}).get("bytes-total")
    if not expected or not isinstance(total, int) or found >= total:
        return None
    return _inconsistent(
        listing,
        f"holds {found} bytes where its own metadata says {total}: a file is cut short or of another version",
    )


def _too_few_volumes(listing: Listing, own: tuple[ManifestFile, ...]) -> Refusal | None:
    """The last volumes leave no gap where they are missing; only their number tells."""
    told = (listing.ncbi_metadata or {}).get("number-of-volumes")
    found = len(_volumes(own))
    if not isinstance(told, int) or found >= told:
        return None
    return _inconsistent(listing, f"holds {found} volumes where its own metadata says {told}")


def _inconsistent(listing: Listing, what: str) -> Refusal:
    return Refusal(
        reason=Reason.DATABASE_INCONSISTENT,
        message=f"database {listing.database.name!r} {what}",
        remedy="download it again",
    )


def _gaps(listing: Listing, own: tuple[ManifestFile, ...]) -> Refusal | None:
    """A file without which BLAST fails, or worse, is missing or empty."""
    names = {file.name: file.bytes for file in own}
    database, kind = listing.database.name, "p" if any(name.endswith(".psq") for name in names) else "n"
    row = _full_row(database, _volumes(own))
    wanted = [f"{volume}.{kind}{part}" for volume in row for part in ("sq", "in", "hr")]
    if row != [database]:
        wanted.append(f"{database}.{kind}al")  # what makes one database of numbered volumes
    if f"{database}.{kind}to" in names:
        wanted.append(f"{database}.{kind}db")  # version 5 comes with both
    bad = next((name for name in wanted if not names.get(name)), None)
    if bad is None:
        return None
    return Refusal(
        reason=Reason.DATABASE_INCOMPLETE,
        message=f"database {listing.database.name!r} has {'an empty' if bad in names else 'no'} {bad!r}",
        remedy="download it again",
    )


def _volumes(own: tuple[ManifestFile, ...]) -> list[str]:
    return sorted(file.name[:-4] for file in own if file.name[-4:] in _SEQUENCES)


def _full_row(database: str, volumes: list[str]) -> list[str]:
    """The volumes there must be when these are there: numbered ones leave no gap."""
    numbers = [(int(volume.rpartition(".")[2]), volume) for volume in volumes if volume != database]
    if not numbers:
        return volumes
    width = len(numbers[0][1].rpartition(".")[2])
    return [f"{database}.{number:0{width}d}" for number in range(max(numbers)[0] + 1)]


def _too_many_files(manifest: Manifest) -> Refusal | None:
    size = len(manifest.to_json())
    if size <= MAX_MANIFEST_BYTES:
        return None
    return Refusal(
        reason=Reason.DATABASE_TOO_MANY_FILES,
        message=(
            f"database {manifest.database.name!r} has {len(manifest.files)} files; "
            f"their manifest of {size} bytes does not fit into a ConfigMap (1 MiB)"
        ),
        remedy="stage it with larger volumes",
    )
