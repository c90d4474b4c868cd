"""What azcopy 10.32.2 said when it failed, and what that stands for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from agent.azcopy import failure

if TYPE_CHECKING:
    from pathlib import Path

BLOB = "https://127.0.0.1:45735/devstoreaccount1/blast-db/nt/nt.01.nsq"
FAILED = f"2026/11/26 00:41:53 ERR: [P#0-T#0] DOWNLOADFAILED: {BLOB} : "
REQUEST = " When Downloading response body. X-Ms-Request-Id: \n\n   Dst: /staging/nt.01.nsq\n"
PACER = "request size greater than pacer target. ensure --block-size-mb is smaller than --cap-mbps and retry"
REFUSED = "Authentication failed, GET {}\n---\nRESPONSE 403: 403 Forbidden\nERROR CODE: {}\n---\n"


def message(kind: str, content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    return json.dumps(
        {"MessageType": kind, "MessageContent": text, "PromptDetails": {}}, separators=(",", ":")
    )


def told(folder: Path, log: str, *messages: str) -> str:
    """The output of a job with this log."""
    (folder / "job.log").write_text(log)
    init = message("Init", {"LogFileLocation": str(folder / "job.log"), "JobID": "a8c045be"})
    end = message("EndOfJob", {"ErrorMsg": "", "JobStatus": "Failed", "TransfersFailed": "2"})
    return "\n".join([message("Info", "INFO: Scanning..."), init, *messages, end])


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        ("AuthorizationPermissionMismatch", "access_denied", 23),
        ("AuthorizationFailure", "storage_closed", 22),
    ],
)
def test_a_refusal_midway_is_the_one_that_is_waited_for(
    tmp_path: Path, code: str, kind: str, exit_code: int
) -> None:
    log = FAILED + "403 : 403 Forbidden." + REQUEST

    error = failure(1, told(tmp_path, log, message("Info", REFUSED.format(BLOB, code))))

    assert (error.kind, error.exit_code) == (kind, exit_code)
    assert "nt.01.nsq" in str(error)


def test_a_refusal_to_list_is_known_without_a_job(tmp_path: Path) -> None:
    said = "Cannot perform copy due to error: cannot list files due to reason " + REFUSED

    error = failure(1, told(tmp_path, "", message("Error", said.format(BLOB, "AuthorizationFailure"))))

    assert error.kind == "storage_closed"


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        ("404 : 404 Not Found.", "not_found", "there is no such blob"),
        (f"000 : {PACER}.", "network", "pacer target"),
        ("000 : write /staging/nt.01.nsq: no space left on device.", "disk_full", "no space left"),
    ],
)
def test_the_log_of_the_job_tells_why(tmp_path: Path, reason: str, kind: str, words: str) -> None:
    error = failure(1, told(tmp_path, FAILED + reason + REQUEST))

    assert error.kind == kind
    assert words in str(error)


def test_words_that_nobody_knows_are_quoted() -> None:
    error = failure(2, "panic: runtime error")

    assert (error.kind, str(error)) == ("network", "azcopy ended with 2: panic: runtime error")
