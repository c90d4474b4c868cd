"""What was read of a file that somebody touched, and what may be remembered of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.manifest import parse_manifest
from agent.surveying import stat_of
from agent.verifying import Hashed, Question
from agent.warming import _record_of

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """{"schema": 1, "database": "nt", "container": "blast-db", "generation": "a1b2c3d4",
 "molecule": "nucl", "bytes": 4, "files": [{"name": "nt.nsq", "blob": "nt/nt.nsq", "size": 4,
 "etag": "e", "md5": null, "modified": "2026-05-26T01:05:01.1234567Z", "shared": false}]}"""
HASHED = Hashed(digest="0" * 64, md5=None)


def test_a_file_that_was_written_to_while_it_was_read_is_not_believed(tmp_path: Path) -> None:
    (file,) = parse_manifest(MANIFEST).files
    path = tmp_path / "nt.nsq"
    path.write_bytes(b"ACGT")
    question, before = Question(file=file, path=path), stat_of(path)
    assert before is not None

    undisturbed = _record_of(question, HASHED, before)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    assert undisturbed is not None
    assert undisturbed.agrees_with(before)
    assert _record_of(question, HASHED, before) is None
    assert _record_of(question, HASHED, None) is None
