"""BLAST finds on a warmed node what it finds at the source: one volume, several volumes, protein."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.blob_server import BlobServer
    from testkit.warm_node import WarmNode

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(shutil.which("makeblastdb") is None, reason="BLAST+ is not installed"),
]
SEQUENCES = 3000
LETTERS = {"nucl": "ACGT", "prot": "ACDEFGHIKLMNPQRSTVWY"}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What sort of database to make."""

    name: str
    molecule: str = "nucl"
    volume_size: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A real BLAST database at its source."""

    name: str
    molecule: str
    folder: Path

    @property
    def program(self) -> str:
        return "blastn" if self.molecule == "nucl" else "blastp"

    def hits(self, folder: Path) -> str:
        """What a search for one of its own sequences finds in `folder`."""
        query = self.folder.parent / f"{self.name}.query.fa"
        command = [self.program, "-db", str(folder / self.name), "-query", str(query), "-outfmt", "6"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make(folder: Path, kind: Kind) -> Sample:
    name, molecule = kind.name, kind.molecule
    chance = random.Random(name)  # noqa: S311 - the same sequences every time
    records = [
        f">S{number}\n{''.join(chance.choices(LETTERS[molecule], k=1500))}\n" for number in range(SEQUENCES)
    ]
    fasta = folder / f"{name}.fa"
    fasta.write_text("".join(records))
    (folder / f"{name}.query.fa").write_text("".join(records[:: SEQUENCES // 5]))
    target = folder / name
    target.mkdir()
    limit = ["-max_file_sz", kind.volume_size] if kind.volume_size else []
    made = ["makeblastdb", "-in", str(fasta), "-dbtype", molecule, "-parse_seqids", *limit]
    subprocess.run(
        [*made, "-blastdb_version", "5", "-out", str(target / name)], check=True, capture_output=True
    )
    return Sample(name=name, molecule=molecule, folder=target)


@pytest.mark.parametrize(
    "kind",
    [
        Kind(name="single"),
        Kind(name="several", volume_size="500KB"),
        Kind(name="protein", molecule="prot", volume_size="2MB"),
    ],
    ids=lambda kind: kind.name,
)
def test_a_search_on_the_node_finds_what_it_finds_at_the_source(
    node: WarmNode, server: BlobServer, tmp_path: Path, kind: Kind
) -> None:
    sample = make(tmp_path, kind)
    for path in sample.folder.iterdir():
        server.put(f"{kind.name}/{path.name}", path.read_bytes(), md5=True)

    outcome = node.look(server.manifest(kind.name, molecule=kind.molecule))

    assert outcome.exit_code == 0
    assert "blastdbcmd -info ended with 0" in outcome.output
    assert sample.hits(node.blast) == sample.hits(sample.folder) != ""


def test_a_source_that_mixes_two_generations_is_refused_at_every_look_and_never_published(
    node: WarmNode, server: BlobServer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    sample = make(tmp_path, Kind(name="mixed", volume_size="500KB"))
    other = make(tmp_path / "other", Kind(name="mixed"))
    for path in sample.folder.iterdir():
        server.put(f"mixed/{path.name}", path.read_bytes())
    server.put("mixed/mixed.ndb", (other.folder / "mixed.ndb").read_bytes())
    manifest = server.manifest("mixed")

    outcomes = [node.look(manifest) for _ in range(2)]

    assert [(outcome.exit_code, outcome.error["kind"]) for outcome in outcomes] == [(16, "damaged")] * 2
    assert node.files() == {}
    assert server.served_bytes == manifest["bytes"]
    assert node.look(manifest, "--check").exit_code == 16
