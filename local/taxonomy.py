"""The taxonomy files that every BLAST database shares: `taxdb.btd`, `taxdb.bti`, `taxonomy4blast.sqlite3`.

No package ships NCBI's own, so these are made here in the same formats, for the few taxa that the stack's
databases name.
"""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SHARED_FILES = ("taxdb.btd", "taxdb.bti", "taxonomy4blast.sqlite3")

INDEX_MAGIC = 0x8739
"""What BLAST+ looks for at the head of `taxdb.bti`."""

INDEX_HEAD = struct.Struct(">6I")
"""Magic, number of taxa, four unused words; big-endian like all of it."""

INDEX_ENTRY = struct.Struct(">2I")
"""A taxon's id and where its line begins in `taxdb.btd`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxon:
    """One taxon as BLAST prints it."""

    id: int
    parent: int
    scientific_name: str
    common_name: str
    blast_name: str
    kingdom: str

    @property
    def line(self) -> bytes:
        """Its line in `taxdb.btd`."""
        names = (self.scientific_name, self.common_name, self.blast_name, self.kingdom)
        return "\t".join(names).encode() + b"\n"


CELLULAR = Taxon(
    id=131567,
    parent=1,
    scientific_name="cellular organisms",
    common_name="cellular organisms",
    blast_name="cellular organisms",
    kingdom="N/A",
)
"""All that is certain of a sequence whose title names no domain."""

ARCHAEA = Taxon(
    id=2157,
    parent=131567,
    scientific_name="Archaea",
    common_name="archaea",
    blast_name="archaea",
    kingdom="Archaea",
)

TAXA = (ARCHAEA, CELLULAR)


def write_taxonomy(folder: Path) -> None:
    """Write the three files."""
    names, index = folder / SHARED_FILES[0], folder / SHARED_FILES[1]
    entries, offset = [], 0
    for taxon in sorted(TAXA, key=lambda each: each.id):
        entries.append(INDEX_ENTRY.pack(taxon.id, offset))
        offset += len(taxon.line)
    names.write_bytes(b"".join(taxon.line for taxon in sorted(TAXA, key=lambda each: each.id)))
    index.write_bytes(INDEX_HEAD.pack(INDEX_MAGIC, len(TAXA), 0, 0, 0, 0) + b"".join(entries))
    _write_tree(folder / SHARED_FILES[2])


def _write_tree(path: Path) -> None:
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    try:
        with database:
            database.execute("CREATE TABLE TaxidInfo (taxid INTEGER PRIMARY KEY, parent INTEGER)")
            database.execute("CREATE INDEX TaxidInfoCompositeIdx_parent ON TaxidInfo(parent,taxid)")
            rows = [(1, 1), *((taxon.id, taxon.parent) for taxon in TAXA)]
            database.executemany("INSERT INTO TaxidInfo VALUES (?,?)", rows)
    finally:
        database.close()
