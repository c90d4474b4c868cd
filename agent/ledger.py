"""Which blocks of a staged file have landed, on disk, so that a killed agent resumes inside files.

One ledger per staged file: a head that says which blob this is about, then a fixed record per block with
the bytes written so far and, once the block is complete, its digest. A mark is made after its bytes were
handed to the kernel, so it survives SIGKILL. A power cut may lose bytes that a mark speaks of: complete
blocks are re-hashed when work resumes, and marks of incomplete ones count within one boot only.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from .manifest import File

# Part of what a digest means: changing it makes digests of different agents incomparable.
BLOCK_BYTES = 8 * 1024 * 1024
RECORD = struct.Struct("<Q32s")
HEAD_BYTES = 64
DIGEST_BYTES = 32
NO_DIGEST = bytes(DIGEST_BYTES)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a file that is fetched and digested as one."""

    file: File
    index: int

    @property
    def start(self) -> int:
        """Offset in the file."""
        return self.index * BLOCK_BYTES

    @property
    def length(self) -> int:
        """Bytes; only a file's last block is shorter than the others."""
        return min(BLOCK_BYTES, self.file.size - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a block is."""

    written: int
    digest: bytes | None


def blocks_of(file: File) -> list[Block]:
    """The blocks of a file; an empty file has none."""
    return [Block(file=file, index=index) for index in range(-(-file.size // BLOCK_BYTES))]


def file_digest(block_digests: list[bytes]) -> str:
    """A file's digest: the SHA-256 of its blocks' SHA-256, so that blocks can be hashed in any order."""
    return hashlib.sha256(b"".join(block_digests)).hexdigest()


def sealed_digests(path: Path, file: File) -> list[bytes] | None:
    """The digests of all blocks; None as long as one is missing, or if the ledger is of another blob."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    blob, _ = _head(file)
    records = content[HEAD_BYTES:]
    if content[:DIGEST_BYTES] != blob or len(records) != RECORD.size * len(blocks_of(file)):
        return None
    digests = [digest for _, digest in RECORD.iter_unpack(records)]
    return None if NO_DIGEST in digests else digests


class Ledger:
    """The ledger of one staged file. Several processes may write to it, each to blocks of its own."""

    def __init__(self, path: Path, file: File) -> None:
        """Open it; one that speaks of another blob is begun anew."""
        self._file = file
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        head = os.pread(self._descriptor, HEAD_BYTES, 0)
        blob, boot = _head(file)
        if head[:DIGEST_BYTES] != blob:
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, HEAD_BYTES + RECORD.size * len(blocks_of(file)))
        elif head[DIGEST_BYTES:] != boot:
            self._forget_incomplete()
        os.pwrite(self._descriptor, blob + boot, 0)

    def __enter__(self) -> Ledger:  # noqa: PYI034 - typing.Self is of Python 3.11
        """Be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def mark(self, index: int) -> Mark:
        """How far block `index` is."""
        record = os.pread(self._descriptor, RECORD.size, _offset(index))
        written, digest = RECORD.unpack(record.ljust(RECORD.size, b"\0"))
        return Mark(written=written, digest=None if digest == NO_DIGEST else digest)

    def landed(self, index: int, written: int) -> None:
        """So many bytes of the block are in the file."""
        self._write(index, written, NO_DIGEST)

    def seal(self, index: int, digest: bytes) -> None:
        """The whole block is in the file."""
        self._write(index, Block(file=self._file, index=index).length, digest)

    def _write(self, index: int, written: int, digest: bytes) -> None:
        os.pwrite(self._descriptor, RECORD.pack(written, digest), _offset(index))

    def _forget_incomplete(self) -> None:
        for block in blocks_of(self._file):
            if self.mark(block.index).digest is None:
                self.landed(block.index, 0)


def _offset(index: int) -> int:
    return HEAD_BYTES + index * RECORD.size


def _head(file: File) -> tuple[bytes, bytes]:
    blob = hashlib.sha256(f"{file.blob}\n{file.size}\n{file.etag}\n{BLOCK_BYTES}".encode()).digest()
    boot = hashlib.sha256(BOOT_ID.read_bytes()).digest()
    return blob, boot
