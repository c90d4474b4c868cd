"""Looks that copy nothing: `check` compares sizes and times, `verify` reads every byte."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from .errors import Damaged
from .locking import locked
from .publishing import PUBLISHED
from .records import doubt, read_marker
from .surveying import as_present, remembered, stat_of, survey
from .verifying import Question, database_digest, hash_files, vouched_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .looking import Look

# An error names so many files; the log need not hold a thousand.
NAMED_FILES = 3


def check(look: Look) -> str:
    """The digest of a database that looks as it did when it was verified.

    Raises:
        Damaged: it does not, or never was whole here.
    """
    found = survey(look.manifest, look.places)
    touched = [file.name for file in (*found.missing, *found.doubtful)] + [
        record.name for record in found.staged
    ]
    _refuse(look, touched, "missing, or touched since they were verified")
    marker = read_marker(look.places.private)
    if marker is None or marker.generation != look.manifest.generation:
        raise Damaged(f"{look.manifest.database} was not published whole in this generation")
    return marker.digest


def verify(look: Look) -> str:
    """The digest of a database whose every byte was read and found right.

    What is not right is doubted, so that the next look that warms reads it, and fetches it again.

    Raises:
        Damaged: bytes are missing or wrong, or nothing is known that could confirm them.
    """
    with locked(look.places.private / "lock", look.manifest.database):
        look.reporter.keep_in(look.places.private / "report.json")
        look.reporter.enter("verifying")
        return _read_everything(look)


def _read_everything(look: Look) -> str:
    known = remembered(look.places)
    questions = [
        Question(file=as_present(file, known.get(file.name, ())), path=look.places.published(file.name))
        for file in look.manifest.files
    ]
    whole = [question for question in questions if _size(question) == question.file.size]
    hashed = hash_files(whole, look.reporter.progress)
    right = {
        q.file.name for q in whole if vouched_for(q.file, hashed[q.file.name], known.get(q.file.name, ()))
    }
    wrong = [file.name for file in look.manifest.files if file.name not in right]
    if wrong:
        doubt(look.places.private, set(wrong))
        with locked(look.places.shared / "lock", PUBLISHED):
            doubt(look.places.shared, set(wrong))
    _refuse(look, wrong, "missing or damaged")
    return database_digest(look.manifest.files, {name: hashed[name].digest for name in right})


def _size(question: Question) -> int | None:
    found = stat_of(question.path)
    return found.st_size if found and stat.S_ISREG(found.st_mode) else None


def _refuse(look: Look, names: Sequence[str], what: str) -> None:
    if not names:
        return
    named = ", ".join(names[:NAMED_FILES]) + (", …" if len(names) > NAMED_FILES else "")
    raise Damaged(
        f"{len(names)} of {len(look.manifest.files)} files of {look.manifest.database} are {what}: {named}"
    )
