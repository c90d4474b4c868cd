"""The agent's report, read as a stranger's: whatever does not fit is as if it were not there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from shared.domain.causes import Kind
from shared.domain.foreign import moment

MAX_REPORT_BYTES = 4_096  # Kubernetes keeps no more of a termination message
_MAX_BYTES = 1 << 60
_HEX = re.compile(r"[0-9a-f]{8,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What an agent says of one database on its node."""

    run_id: str
    generation: str
    phase: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    bytes_fetched: int
    files_fetched: int
    bytes_per_second: int
    eta_seconds: int | None
    retries: int
    seconds: float
    digest: str | None
    error: Kind | None
    message: str
    remedy: str
    updated_at: datetime | None = None  # by the node's clock


def parse_report(text: str) -> AgentReport | None:
    """Read a termination message; None when it is no report.

    >>> parse_report("Killed") is None
    True
    """
    if len(text) > MAX_REPORT_BYTES:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _read(document) if isinstance(document, dict) and document.get("schema") == 1 else None


def last_report(log: str) -> AgentReport | None:
    """The last report among the lines of an agent's log."""
    for line in reversed(log.splitlines()):
        if line.startswith('{"report":') and line.endswith("}"):
            report = parse_report(line.removeprefix('{"report":')[:-1].strip())
            if report is not None:
                return report
    return None


def _read(document: Mapping[str, object]) -> AgentReport:
    error = document.get("error")
    fault = cast("Mapping[str, object]", error) if isinstance(error, dict) else {}
    digest = document.get("digest")
    return AgentReport(
        run_id=_text(document, "run_id"),
        generation=_text(document, "generation"),
        phase=_text(document, "phase"),
        files_done=_count(document, "files_done"),
        files_total=_count(document, "files_total"),
        bytes_done=_count(document, "bytes_done"),
        bytes_total=_count(document, "bytes_total"),
        bytes_fetched=_count(document, "bytes_fetched"),
        files_fetched=_count(document, "files_fetched"),
        bytes_per_second=_count(document, "bytes_per_second"),
        eta_seconds=_known_count(document, "eta_seconds"),
        retries=_count(document, "retries"),
        seconds=_seconds(document),
        digest=digest if isinstance(digest, str) and _HEX.fullmatch(digest) else None,
        error=_kind(fault) if fault else None,
        message=_text(fault, "message"),
        remedy=_text(fault, "remedy"),
        updated_at=moment(_text(document, "updated_at")),
    )


def _count(document: Mapping[str, object], key: str) -> int:
    return _known_count(document, key) or 0


def _known_count(document: Mapping[str, object], key: str) -> int | None:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_BYTES:
        return None
    return int(value)


def _seconds(document: Mapping[str, object]) -> float:
    value = document.get("seconds")
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MAX_BYTES
    return round(float(cast("float", value)), 2) if sane else 0.0


def _text(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in value[:400])


def _kind(fault: Mapping[str, object]) -> Kind:
    try:
        return Kind(_text(fault, "kind"))
    except ValueError:
        return Kind.INTERNAL
