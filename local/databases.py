"""Real BLAST databases for the stack, made from the 16S rRNA sequences that Debian's `ncbi-rrna-data` ships.

Three: `rrna16s` (all of them, five volumes and an alias), `rrna16s_archaea` (whose name begins with the
first's, one volume) and `rrna16s_frame1` (a protein database: the archaeal sequences translated in their
first frame, so no real proteins, and labelled so). They lie in a cache folder exactly as in a `blast-db`
container and are made once; each is made beside its place and moved there when complete, so that a killed
run leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from local.taxonomy import ARCHAEA, CELLULAR, write_taxonomy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SOURCE = Path("/usr/share/ncbi/data/Combined16SrRNA")

SOURCE_SEQUENCES = 220_243
"""In version 6.1.20170106 of the package; only the progress bar depends on it."""

PROGRESS_EVERY = 10_000
"""Sequences between two reports of progress."""

RECIPE = "1"
"""Raised when what is made here changes: caches of an older recipe are made anew."""

BASES = "TCAG"
CODONS = dict(
    zip(
        map("".join, product(BASES, repeat=3)),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)
"""The standard genetic code in NCBI's order."""


class DatabaseError(Exception):
    """A database cannot be made or read; the message names the remedy."""


class Progress(Protocol):
    """Told what is being done, and how far it is."""

    def __call__(self, step: str, done: int, total: int, /) -> None:
        """`done` of `total`, in the step's own unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One 16S rRNA: its number in the source, its title, its bases."""

    number: int
    title: str
    bases: str

    @property
    def is_archaeal(self) -> bool:
        """Whether its title says so."""
        return "rchae" in self.title

    @property
    def accession(self) -> str:
        """The source's own ids break `makeblastdb -parse_seqids`."""
        return f"RR{self.number:06d}.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one database is made."""

    name: str
    title: str
    molecule: str
    volume_size: str
    picks: Callable[[Sequence], bool]
    writes: Callable[[Sequence], str]


RECIPES = (
    Recipe(
        name="rrna16s",
        title="16S ribosomal RNA (ncbi-rrna-data)",
        molecule="nucl",
        volume_size="20MB",
        picks=lambda _sequence: True,
        writes=lambda sequence: sequence.bases,
    ),
    Recipe(
        name="rrna16s_archaea",
        title="16S ribosomal RNA, archaea (ncbi-rrna-data)",
        molecule="nucl",
        volume_size="1GB",
        picks=lambda sequence: sequence.is_archaeal,
        writes=lambda sequence: sequence.bases,
    ),
    Recipe(
        name="rrna16s_frame1",
        title="16S ribosomal RNA, archaea, translated in the first frame: no real proteins",
        molecule="prot",
        volume_size="1MB",
        picks=lambda sequence: sequence.is_archaeal,
        writes=lambda sequence: translate(sequence.bases),
    ),
)


def prepare(data: Path, progress: Progress, recipes: tuple[Recipe, ...] = RECIPES) -> list[Path]:
    """The folders of the databases under `data`, made now where they are not there yet."""
    data.mkdir(parents=True, exist_ok=True)
    with _alone(data):
        missing = [recipe for recipe in recipes if not _is_complete(data / recipe.name)]
        if missing:
            _require_tools()
            for recipe in missing:
                _make(recipe, data, progress)
    return [data / recipe.name for recipe in recipes]


def translate(bases: str) -> str:
    """The first frame, `X` where a base is not certain.

    >>> translate("ATGGCNTAAC")
    'MX*'
    """
    codons = (bases[start : start + 3] for start in range(0, len(bases) - 2, 3))
    return "".join(CODONS.get(codon, "X") for codon in codons)


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Let one process make databases at a time; the lock ends with its holder, however it ends."""
    with (data / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_complete(folder: Path) -> bool:
    mark = folder / ".recipe"
    return mark.exists() and mark.read_text() == RECIPE


def _require_tools() -> None:
    if not SOURCE.with_suffix(".nsq").exists() or shutil.which("makeblastdb") is None:
        raise DatabaseError(
            "the data or BLAST+ are missing; run `apt-get install ncbi-rrna-data ncbi-blast+`"
        )


def _make(recipe: Recipe, data: Path, progress: Progress) -> None:
    draft = data / f".making-{recipe.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    taxids = draft / "taxids"
    fasta = draft / "fasta"
    _write_fasta(recipe, fasta, taxids, partial(progress, f"reading sequences for {recipe.name}"))
    progress(f"building {recipe.name}", 0, 1)
    _run_makeblastdb(recipe, draft)
    fasta.unlink()
    taxids.unlink()
    write_taxonomy(draft)
    (draft / ".recipe").write_text(RECIPE)
    shutil.rmtree(data / recipe.name, ignore_errors=True)
    draft.rename(data / recipe.name)
    progress(f"building {recipe.name}", 1, 1)


def _write_fasta(recipe: Recipe, fasta: Path, taxids: Path, progress: Callable[[int, int], None]) -> None:
    with fasta.open("w") as sequences, taxids.open("w") as taxonomy:
        for sequence in _counted(_sequences(), progress):
            if recipe.picks(sequence):
                accession = sequence.accession
                sequences.write(f">{accession} {sequence.title}\n{recipe.writes(sequence)}\n")
                taxon = ARCHAEA if sequence.is_archaeal else CELLULAR
                taxonomy.write(f"{accession} {taxon.id}\n")


def _sequences() -> Iterator[Sequence]:
    command = ["blastdbcmd", "-db", str(SOURCE), "-entry", "all", "-outfmt", "%s\t%t"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        for number, line in enumerate(reader.stdout, start=1):
            bases, _, title = line.rstrip("\n").partition("\t")
            yield Sequence(number=number, title=title, bases=bases)
    if reader.returncode:
        raise DatabaseError(f"blastdbcmd could not read {SOURCE}; reinstall ncbi-rrna-data")


def _counted(sequences: Iterable[Sequence], progress: Callable[[int, int], None]) -> Iterator[Sequence]:
    for sequence in sequences:
        yield sequence
        if sequence.number % PROGRESS_EVERY == 0:
            progress(sequence.number, SOURCE_SEQUENCES)


def _run_makeblastdb(recipe: Recipe, folder: Path) -> None:
    command = [
        *("makeblastdb", "-in", "fasta", "-out", recipe.name, "-dbtype", recipe.molecule),
        *("-title", recipe.title, "-parse_seqids", "-blastdb_version", "5"),
        *("-taxid_map", "taxids", "-max_file_sz", recipe.volume_size),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DatabaseError(f"makeblastdb could not make {recipe.name}: {done.stderr.strip()[:256]}")
