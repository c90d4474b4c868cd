"""Container logs on disk: one file per attempt, in the format of the container runtime interface.

`FOLDER/POD_UID/CONTAINER/ATTEMPT.log`, each line `TIME STREAM F|P TEXT`. An attempt is named by its
container id. As on a real node, what is older than the attempt before the last one is gone.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

LINE_BYTES = 16 * 1024
"""Container runtimes cut longer lines into parts of this size, marked P."""

READ_BYTES = 64 * 1024
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFolder:
    """Where all logs of a cluster lie."""

    folder: Path

    def path(self, pod_uid: str, container: str, attempt: str) -> Path:
        """The file of one attempt."""
        return self.folder / pod_uid / container / f"{attempt.rpartition('/')[2]}.log"

    def read(self, pod_uid: str, container: str, attempt: str, *, timestamps: bool) -> str | None:
        """What the attempt has said so far; None when its log is pruned."""
        path = self.path(pod_uid, container, attempt)
        if not path.exists():
            return None
        lines = path.read_text(errors="replace").splitlines(keepends=True)
        return "".join(_shown(line, timestamps=timestamps) for line in lines)

    def prune(self, pod_uid: str, container: str, attempt: str) -> None:
        """Forget one attempt."""
        self.path(pod_uid, container, attempt).unlink(missing_ok=True)

    def forget(self, pod_uid: str) -> None:
        """Forget a pod that is gone."""
        shutil.rmtree(self.folder / pod_uid, ignore_errors=True)


async def pump(source: asyncio.StreamReader, stream: str, target: BinaryIO) -> None:
    """Copy one stream of a process into its log until it ends."""
    rest = b""
    while chunk := await source.read(READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _write(target, stream, line, whole=True)
        while len(rest) > LINE_BYTES:
            _write(target, stream, rest[:LINE_BYTES], whole=False)
            rest = rest[LINE_BYTES:]
        target.flush()
    if rest:
        _write(target, stream, rest, whole=False)
        target.flush()


def _write(target: BinaryIO, stream: str, line: bytes, *, whole: bool) -> None:
    while len(line) > LINE_BYTES:
        _write(target, stream, line[:LINE_BYTES], whole=False)
        line = line[LINE_BYTES:]
    target.write(f"{_now()} {stream} {'F' if whole else 'P'} ".encode() + line + b"\n")


def _shown(line: str, *, timestamps: bool) -> str:
    moment, _, flag, text = line.split(" ", 3)
    text = text if flag == "F" else text.removesuffix("\n")
    return f"{moment} {text}" if timestamps else text


def _now() -> str:
    seconds, rest = divmod(time.time_ns(), NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
