"""Which blocks of a staged file have landed, on disk, so that a killed agent resumes inside files.

One ledger per staged file: a head that says which blob this is about, then a fixed record per block with
the bytes written so far and their digest. A mark is made after its bytes were handed to the kernel, so it
survives SIGKILL. A power cut may lose bytes that a mark speaks of, and somebody may have touched them:
marked bytes are re-hashed when work resumes, and count only if the digest agrees.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from .manifest import File

# Part of what a digest means: changing it makes digests of different agents incomparable.
BLOCK_BYTES = 32 * 1024 * 1024
RECORD = struct.Struct("<Q32s")
HEAD_BYTES = 32
DIGEST_BYTES = 32


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
    digest: bytes
    """Of the bytes written so far."""


def blocks_of(file: File) -> list[Block]:
    """The blocks of a file; an empty file has none."""
    return [Block(file=file, index=index) for index in range(-(-file.size // BLOCK_BYTES))]


def file_digest(block_digests: list[bytes]) -> str:
    """A file's digest: the SHA-256 of its blocks' SHA-256, so that blocks can be hashed in any order."""
    return hashlib.sha256(b"".join(block_digests)).hexdigest()


def sealed_digests(path: Path, file: File) -> list[bytes] | None:
    """The digests of all blocks; None as long as one is not complete, or if the ledger is of another blob."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    blocks = blocks_of(file)
    if content[:HEAD_BYTES] != _head(file) or len(content) != HEAD_BYTES + RECORD.size * len(blocks):
        return None
    marks = list(RECORD.iter_unpack(content[HEAD_BYTES:]))
    complete = all(written == block.length for block, (written, _) in zip(blocks, marks, strict=True))
    return [digest for _, digest in marks] if complete else None


class Ledger:
    """The ledger of one staged file. Several processes may write to it, each to blocks of its own."""

    def __init__(self, path: Path, file: File) -> None:
        """Open it; one that speaks of another blob, or was cut short, is begun anew."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        head, length = _head(file), HEAD_BYTES + RECORD.size * len(blocks_of(file))
        found = os.fstat(self._descriptor).st_size
        if found != length or os.pread(self._descriptor, HEAD_BYTES, 0) != head:
            os.ftruncate(self._descriptor, 0)
            # Taken at once: a mark that finds no room would lose what it speaks of.
            os.posix_fallocate(self._descriptor, 0, length)
            os.pwrite(self._descriptor, head, 0)

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
        written, digest = RECORD.unpack(os.pread(self._descriptor, RECORD.size, _offset(index)))
        return Mark(written=written, digest=digest)

    def set_mark(self, index: int, mark: Mark) -> None:
        """So much of block `index` is in the file."""
        os.pwrite(self._descriptor, RECORD.pack(mark.written, mark.digest), _offset(index))


def _offset(index: int) -> int:
    return HEAD_BYTES + index * RECORD.size


def _head(file: File) -> bytes:
    return hashlib.sha256(f"{file.blob}\n{file.size}\n{file.etag}\n{BLOCK_BYTES}".encode()).digest()
