"""Whether bytes are the manifest's: read back, digested in parallel, compared with what is known of them.

What is known: the digest from when the file was fetched, or the MD5 that the blob carries, or both.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .blobs import Range
from .crew import Crew, Shift, crew_size
from .ledger import DIGEST_BYTES, Block, blocks_of, file_digest, sealed_digests
from .manifest import MD5_BYTES
from .records import Record, add_receipts, record_of
from .tally import Counts, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .manifest import File
    from .places import Places

# Hashing is bound by cores and disk: more threads than this per node only compete with searches.
MOST_WORKERS = 16
READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """What a file's bytes amount to."""

    digest: str
    md5: bytes | None
    """Computed only where the manifest has one to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A file to read, and where it lies."""

    file: File
    path: Path


def hash_files(questions: Sequence[Question], watch: Callable[[Counts], None]) -> dict[str, Hashed]:
    """Read every byte of every file; a file that is too short for its blocks gets a digest nothing has."""
    digests = _hash_blocks(questions, watch)
    sums = md5s(questions, watch)
    return {name: Hashed(digest=digest, md5=sums.get(name)) for name, digest in digests.items()}


def md5s(questions: Sequence[Question], watch: Callable[[Counts], None]) -> dict[str, bytes]:
    """The MD5 of each file whose blob has one; MD5 knows no blocks, so a file is one core's work."""
    asked = [question for question in questions if question.file.md5]
    results = _Results(len(asked))
    size = crew_size(MOST_WORKERS)

    def work(task: tuple[int, Question], shift: Shift) -> None:
        index, question = task
        hasher = hashlib.md5(usedforsecurity=False)
        _feed(question.path, Range(start=0, length=question.file.size), hasher, shift)
        results.put(index, hasher.digest())

    nothing_landed = Tally(size.workers).counts(files=0)
    Crew(list(enumerate(asked)), work, size).run(lambda: watch(nothing_landed))
    return {question.file.name: results.get(index)[:MD5_BYTES] for index, question in enumerate(asked)}


def verify_staged(files: Sequence[File], places: Places, watch: Callable[[Counts], None]) -> tuple[File, ...]:
    """Hold staged files against the manifest and write receipts for them; returns those that are damaged.

    Ranges were digested while they were written, so only what another engine brought, and MD5s, need reading.
    """
    landed = {file.name: _landed_digest(file, places) for file in files}
    unread = [file for file in files if landed[file.name] is None]
    hashed = _hash_blocks([_staged_question(file, places) for file in unread], watch)
    sums = md5s([_staged_question(file, places) for file in files], watch)
    damaged: list[File] = []
    receipts: list[Record] = []
    for file in files:
        found = _synced(places.staged(file.name))
        if found.st_size != file.size or file.md5 != sums.get(file.name):
            damaged.append(file)
        else:
            receipts.append(record_of(file, landed[file.name] or hashed[file.name], found))
    add_receipts(places.private, receipts)
    return tuple(damaged)


def drop_staged(files: Sequence[File], places: Places) -> None:
    """Forget what was fetched of these files."""
    for file in files:
        places.staged(file.name).unlink(missing_ok=True)
        places.ledger(file.name).unlink(missing_ok=True)


def vouched_for(file: File, hashed: Hashed, known: Sequence[Record]) -> bool:
    """Does something that is known of the blob confirm the bytes?"""
    if file.md5 is not None:
        return file.md5 == hashed.md5
    return any(record.digest == hashed.digest for record in known if record.speaks_of(file))


def database_digest(files: Sequence[File], digests: dict[str, str]) -> str:
    """One digest for a whole database, equal on all nodes that hold the same bytes.

    Shared files are left out: which generation of them a node has depends on its other databases.
    """
    lines = sorted(f"{file.name} {file.size} {digests[file.name]}\n" for file in files if not file.shared)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hash_blocks(questions: Sequence[Question], watch: Callable[[Counts], None]) -> dict[str, str]:
    paths = {question.file.name: question.path for question in questions}
    blocks = [block for question in questions for block in blocks_of(question.file)]
    results = _Results(len(blocks))
    size = crew_size(MOST_WORKERS)
    tally = Tally(size.workers)

    def work(task: tuple[int, Block], shift: Shift) -> None:
        index, block = task
        hasher = hashlib.sha256()
        _feed(paths[block.file.name], Range(start=block.start, length=block.length), hasher, shift)
        results.put(index, hasher.digest())
        tally.add(shift.worker, "landed", block.length)

    Crew(list(enumerate(blocks)), work, size).run(lambda: watch(tally.counts(files=0)))
    found: dict[str, list[bytes]] = {name: [] for name in paths}
    for index, block in enumerate(blocks):
        found[block.file.name].append(results.get(index))
    return {name: file_digest(digests) for name, digests in found.items()}


def _landed_digest(file: File, places: Places) -> str | None:
    digests = sealed_digests(places.ledger(file.name), file)
    return None if digests is None else file_digest(digests)


def _staged_question(file: File, places: Places) -> Question:
    return Question(file=file, path=places.staged(file.name))


def _synced(path: Path) -> os.stat_result:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


class _Results:
    """A digest per task, in memory that the workers share with the agent."""

    def __init__(self, count: int) -> None:
        self._map = mmap.mmap(-1, max(1, count * DIGEST_BYTES))

    def put(self, index: int, digest: bytes) -> None:
        self._map[index * DIGEST_BYTES : index * DIGEST_BYTES + len(digest)] = digest

    def get(self, index: int) -> bytes:
        return self._map[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]


def _feed(path: Path, part: Range, hasher: hashlib._Hash, shift: Shift) -> None:
    length = part.length
    with path.open("rb", buffering=0) as stream:
        stream.seek(part.start)
        while length > 0 and (chunk := stream.read(min(READ_BYTES, length))):
            shift.check()
            hasher.update(chunk)
            length -= len(chunk)
