"""From all blobs of the container to the databases among them, complete or not.

What is not a database: build scratch, shard layouts, and whatever nobody could ask for by name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.model import Database
from shared.domain.requests import BadRequestError, parse_database
from shared.domain.staging import SHARED_FILES, StagedBlob

_FILE = re.compile(r"(?P<name>.+?)(?:\.\d{2,4})?\.[np](?:hd|hi|hr|in|nd|ni|og|sq|xm|al|db|js|os|ot|tf|to)")
_SCRATCH = re.compile(r"(custom-db-build|metadata|custom_db/\.staging|\d+shards)(/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One database, and every blob of its folder that may be its."""

    database: Database
    own: tuple[StagedBlob, ...]  # its recognised files
    folder: tuple[StagedBlob, ...]  # all files of its folder


def find_databases(blobs: Iterable[StagedBlob]) -> tuple[Found, ...]:
    """Group the container's blobs by database, in the order of their paths."""
    folders: dict[str, list[StagedBlob]] = {}
    for blob in blobs:
        folder = blob.name.rpartition("/")[0]
        if folder and not _SCRATCH.match(folder):
            folders.setdefault(folder, []).append(blob)
    return tuple(found for folder in sorted(folders) for found in _in_folder(folder, tuple(folders[folder])))


def prefix_of(database: Database) -> str:
    """How a dashboard asks for a database again.

    >>> prefix_of(Database(name="core_nt", folder="core_nt"))
    'core_nt'
    >>> prefix_of(Database(name="nt_euk", folder="nt"))
    'nt/nt_euk'
    """
    return database.folder if database.folder.rpartition("/")[2] == database.name else database.path


def _in_folder(folder: str, blobs: tuple[StagedBlob, ...]) -> list[Found]:
    names = {blob: _base(blob.name.rpartition("/")[2]) for blob in blobs}
    databases = {name: _askable(folder, name) for name in sorted(set(names.values()) - {""})}
    return [
        Found(
            database=database,
            own=tuple(blob for blob, owner in names.items() if owner == name),
            folder=blobs,
        )
        for name, database in databases.items()
        if database is not None
    ]


def _base(file: str) -> str:
    match = _FILE.fullmatch(file)
    return match["name"] if match and file not in SHARED_FILES else ""


def _askable(folder: str, name: str) -> Database | None:
    """The database, if somebody could ask for it and would get this folder."""
    database = Database(name=name, folder=folder)
    try:
        return database if parse_database(prefix_of(database)) == database else None
    except BadRequestError:
        return None
