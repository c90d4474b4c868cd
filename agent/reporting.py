"""What a look says of itself: one JSON object as log line, as file and as termination message.

Nobody has to parse prose: the check activity reads the object, people read the lines beside it. Progress
never goes backwards within an attempt, and reads 100 % only once everything is verified.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from .errors import AgentError
    from .tally import Counts

Phase = Literal["waiting_for_access", "checking", "copying", "verifying", "publishing", "ready", "failed"]

SCHEMA = 1
# Half of the 2 s that readers may rely on.
EVERY_SECONDS = 1.0
# The rate is that of the last ten seconds: long enough to be calm, short enough to notice a throttle.
RATE_SECONDS = 10.0
LINE_BYTES = 1000
# {"report":…,"error":…} and a newline around the rest.
FRAME_BYTES = 32
SHORTEST_MESSAGE_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What all reports of one look have in common."""

    run_id: str
    database: str
    node: str
    generation: str
    mode: str
    engine: str
    files_total: int
    bytes_total: int


class Reporter:
    """Collects what happens and says it, not more often than is of use."""

    def __init__(self, subject: Subject, termination_log: Path) -> None:
        self._subject = subject
        self._termination_log = termination_log
        self._file: Path | None = None
        self._began = self._said = time.monotonic()
        self._phase: Phase = "checking"
        self._progress = _Progress()
        self._window: deque[tuple[float, int]] = deque()
        self._error: AgentError | None = None
        self._digest: str | None = None
        self._cached_bytes: int | None = None

    def keep_in(self, file: Path) -> None:
        """Write reports to this file too, from now on; only the holder of the database's lock may."""
        self._file = file

    def enter(self, phase: Phase) -> None:
        """A new phase begins."""
        self._phase = phase
        self._error = None
        self._say()

    def waiting(self, error: AgentError) -> None:
        """The account does not let this node in, for this reason."""
        self._phase = "waiting_for_access"
        self._error = error
        log(f"waiting: {error}")
        self._say()

    def sound(self, files: int, size: int) -> None:
        """So much is on the node already, verified."""
        self._progress.begin(files, size)

    def progress(self, counts: Counts) -> None:
        """What the engine has done so far; said when it is time to."""
        self._progress.follow(counts)
        now = time.monotonic()
        self._window.append((now, self._progress.fetched))
        while now - self._window[0][0] > RATE_SECONDS:
            self._window.popleft()
        # Of a copy that gets on, nobody needs to know what single answers it asks for again.
        self._error = None if self._rate() else counts.trouble
        if now - self._said >= EVERY_SECONDS:
            self._say()

    def cached(self, size: int | None) -> None:
        """So many of the database's bytes are in memory, as far as somebody looked."""
        self._cached_bytes = size

    def ready(self, digest: str | None) -> None:
        """Every byte is verified."""
        self._digest = digest
        self._progress.begin(self._subject.files_total, self._subject.bytes_total)
        self.enter("ready")

    def failed(self, error: AgentError) -> None:
        """The look ends without success."""
        self._phase = "failed"
        self._error = error
        log(f"failed: {error}; {error.remedy}")
        self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        document = self._document()
        text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
        sys.stdout.write(f'{{"report":{text}}}\n')
        sys.stdout.flush()
        # A full disk must not silence the log. By hand on a node there is no termination log: none is made.
        with suppress(OSError):
            if self._termination_log.exists():
                self._termination_log.write_text(text, encoding="utf-8")
            if self._file:
                beside = self._file.with_name(self._file.name + ".new")
                beside.write_text(text, encoding="utf-8")
                beside.replace(self._file)

    def _document(self) -> dict[str, Any]:
        subject, progress = self._subject, self._progress
        complete = self._phase == "ready"
        rate = self._rate()
        landed = progress.landed if complete else min(progress.landed, max(0, subject.bytes_total - 1))
        files = progress.files if complete else min(progress.files, max(0, subject.files_total - 1))
        left = subject.bytes_total - landed
        document = {
            "schema": SCHEMA,
            "run_id": subject.run_id,
            "database": subject.database,
            "node": subject.node,
            "generation": subject.generation,
            "mode": subject.mode,
            "engine": subject.engine,
            "phase": self._phase,
            "files_done": files,
            "files_total": subject.files_total,
            "bytes_done": landed,
            "bytes_total": subject.bytes_total,
            "bytes_fetched": progress.fetched,
            "files_fetched": progress.files_fetched,
            "bytes_per_second": rate,
            "eta_seconds": round(left / rate) if rate and self._phase == "copying" else None,
            "retries": progress.retries,
            "disk_bytes_per_second": progress.disk_bytes_per_second,
            "cached_bytes": self._cached_bytes,
            "seconds": round(time.monotonic() - self._began, 2),
            "digest": self._digest,
            "updated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        return {**document, "error": _told(self._error, LINE_BYTES - FRAME_BYTES - len(json.dumps(document)))}

    def _rate(self) -> int:
        if len(self._window) < 2:  # noqa: PLR2004 - a rate takes two moments
            return 0
        (first_at, first), (last_at, last) = self._window[0], self._window[-1]
        return round((last - first) / (last_at - first_at)) if last_at > first_at else 0


class _Progress:
    """Counts that only ever grow."""

    def __init__(self) -> None:
        self.files = self.landed = 0
        self.fetched = self.files_fetched = self.retries = 0
        self.disk_bytes_per_second: int | None = None
        self._files_before = self._landed_before = 0

    def begin(self, files: int, size: int) -> None:
        """So much is there before the engine begins."""
        self._files_before, self._landed_before = files, size
        self.files, self.landed = max(self.files, files), max(self.landed, size)

    def follow(self, counts: Counts) -> None:
        self.files = max(self.files, self._files_before + counts.files)
        self.landed = max(self.landed, self._landed_before + counts.landed)
        self.fetched = max(self.fetched, counts.fetched)
        self.files_fetched = max(self.files_fetched, counts.files if counts.fetched else 0)
        self.retries = max(self.retries, counts.retries)
        self.disk_bytes_per_second = counts.disk_bytes_per_second or self.disk_bytes_per_second


def log(line: str) -> None:
    """A line for people, on stdout beside the reports."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {line}\n")
    sys.stdout.flush()


def _told(error: AgentError | None, room: int) -> dict[str, str] | None:
    """The error, cut so that a line stays within its limit: a log's reader cuts longer ones anywhere."""
    if error is None:
        return None
    told = {"kind": error.kind, "message": str(error), "remedy": error.remedy}
    excess = len(json.dumps(told)) - room
    if excess > 0:
        kept = max(SHORTEST_MESSAGE_CHARACTERS, len(told["message"]) - excess)
        told["message"] = told["message"][: kept - 3] + "..."
    return told
