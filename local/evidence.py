"""Evidence that nobody in the chain can forge: the blob server's own log, the files, BLAST's answers."""

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

QUERIES = 3  # sequences searched for, spread over the database
QUERY_BASES = 400  # of each: long enough to be found, short enough to be quick
_BLAST_SECONDS = 120.0  # BLAST over a damaged index may never end
_GRANTED = (200, 201)


class EvidenceError(Exception):
    """BLAST could not be asked; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What the blob server sent to one node."""

    bytes: int
    files: frozenset[str]


class BlobLog:
    """The blob server's request log, read from where it was left."""

    def __init__(self, file: Path) -> None:
        """Begin at what is there already: it was somebody else's doing."""
        self._file = file
        self._offset = file.stat().st_size if file.exists() else 0

    def since(self) -> dict[str, Fetched]:
        """What each node was sent since the last time this was asked."""
        volumes: Counter[str] = Counter()
        names: dict[str, set[str]] = {}
        for line in self._new_lines():
            entry = json.loads(line)
            caller, sent = str(entry["caller"]), int(entry["bytes"])
            if entry["method"] == "GET" and sent and caller.startswith("node"):
                volumes[caller] += sent
                names.setdefault(caller, set()).add(str(entry["path"]).partition("?")[0].rpartition("/")[2])
        return {node: Fetched(bytes=volumes[node], files=frozenset(names[node])) for node in sorted(names)}

    def _new_lines(self) -> Iterator[str]:
        if not self._file.exists():
            return
        with self._file.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if line.endswith(b"\n"):
                    self._offset += len(line)
                    yield line.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What ARM was asked to change, by its own log."""

    networks: int  # of storage accounts
    roles: int


def arm_changes(log: Path) -> Changes:
    """Count the changes that ARM granted."""
    lines = log.read_text().splitlines() if log.exists() else []
    granted = [entry for entry in map(json.loads, lines) if entry["status"] in _GRANTED]
    return Changes(
        networks=sum(entry["method"] == "PATCH" for entry in granted),
        roles=sum(entry["method"] == "PUT" and "roleAssignments" in entry["path"] for entry in granted),
    )


def is_closed(state: Path, account: str) -> bool:
    """Whether ARM's own record says that the account admits nobody; without a change it is as it was made."""
    if not state.exists():
        return True
    networks = json.loads(state.read_text()).get("networks", {})
    return account not in networks or networks[account][-1]["network"]["public_access"] == "Disabled"


def differing_files(source: Path, node: Path, names: frozenset[str]) -> list[str]:
    """The files of `source` that `node` holds differently, or not at all."""
    return sorted(name for name in names if digest(source / name) != digest(node / name))


def digest(file: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def database_files(folder: Path) -> frozenset[str]:
    """What a staged database's folder holds."""
    return frozenset(file.name for file in folder.iterdir() if not file.name.startswith("."))


def make_queries(folder: Path, database: str) -> str:
    """A few real sequences of the database, cut short, as FASTA."""
    listed = _run(["blastdbcmd", "-db", str(folder / database), "-entry", "all", "-outfmt", "%a"]).split()
    step = max(1, len(listed) // QUERIES)
    picked = ",".join(listed[::step][:QUERIES])
    ranged = ["-range", f"1-{QUERY_BASES}"]
    return _run(["blastdbcmd", "-db", str(folder / database), "-entry", picked, *ranged])


def search(folder: Path, database: str, queries: str) -> tuple[str, ...]:
    """The hits of blastn, one line each."""
    fields = "6 qseqid sseqid pident length evalue bitscore"
    hits = _run(
        ["blastn", "-db", str(folder / database), "-outfmt", fields, "-max_target_seqs", "50"], queries
    )
    return tuple(hits.splitlines())


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_BLAST_SECONDS, check=True
        )
    except subprocess.CalledProcessError as failed:
        raise EvidenceError(f"{command[0]} failed on {command[2]}: {failed.stderr.strip()[:256]}") from failed
    except subprocess.TimeoutExpired as endless:
        raise EvidenceError(f"{command[0]} did not end on {command[2]}: the index is damaged") from endless
    return done.stdout
