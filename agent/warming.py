"""One look that warms: find out what is missing, fetch exactly that, verify it, publish it.

Ends with the digest of a database whose every byte on this node is the manifest's, or with an error that
says why not; however it ends, BLAST sees a whole generation or none, and the next look continues here.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .access import Access
from .caching import bring_into_memory
from .errors import Damaged, DeadlinePassed, IdentityBusy, RoleMissing, StorageClosed
from .locking import locked
from .probing import probe
from .publishing import publish, refuse_foreign_files, refuse_what_is_no_file, withdraw
from .records import Marker, Record, add_receipts, read_marker, read_receipts, record_of
from .reporting import log
from .space import FULL, check_room, give_back, giving_back, reserve_for_notes
from .surveying import Survey, as_present, own_names, remembered, stat_of, survey
from .verifying import (
    Hashed,
    Question,
    database_digest,
    drop_staged,
    hash_files,
    verify_staged,
    vouched_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .looking import Look
    from .manifest import File
    from .tally import Counts

# A second try cures what was damaged on the way; what is damaged at its source stays so.
ATTEMPTS = 2


def warm(look: Look) -> str:
    """Make the database whole on this node; returns its digest.

    Raises:
        AgentError: it is not whole, and why.
    """
    try:
        with locked(look.places.private / "lock", look.manifest.database):
            before, digest = _warm(look)
    except OSError as error:
        if error.errno in FULL:  # not even a folder had room: how much is wanting is known all the same
            check_room(survey(look.manifest, look.places).missing, look.places)
        raise
    if not before.missing:
        paths = [look.places.published(file.name) for file in look.manifest.files]
        look.reporter.cached(bring_into_memory(paths, look.manifest.total_bytes))
    return digest


def _warm(look: Look) -> tuple[Survey, str]:
    look.reporter.keep_in(look.places.private / "report.json")
    look.reporter.enter("checking")
    look.places.prepare()
    refuse_foreign_files(look.manifest, look.places)
    refuse_what_is_no_file(look.manifest, look.places)
    before = _withdraw_harmed(look, _settle_doubts(look, survey(look.manifest, look.places)))
    with giving_back(before.missing, look.places):
        return before, _make_whole(look, before)


def _make_whole(look: Look, found: Survey) -> str:
    if found.missing:
        _fetch_and_verify(look, found)
        found = survey(look.manifest, look.places)
    digest = _digest_of(look, found)
    if found.staged or not _is_marked(look, digest):
        _publish(look, found, digest)
    return digest


def _settle_doubts(look: Look, found: Survey) -> Survey:
    """Files of the right size that somebody touched: their bytes decide, before any is fetched again."""
    if not found.doubtful:
        return found
    log(f"{len(found.doubtful)} files were touched since they were verified; reading them")
    known = remembered(look.places)
    questions = [
        Question(file=as_present(file, known[file.name]), path=look.places.published(file.name))
        for file in found.doubtful
    ]
    before = {question.file.name: stat_of(question.path) for question in questions}
    # Said again and again, but not counted: bytes that turn out wrong would have to be taken back.
    hashed = hash_files(questions, lambda counts: look.reporter.progress(replace(counts, landed=0)))
    sound = [
        record
        for question in questions
        if vouched_for(question.file, hashed[question.file.name], known[question.file.name])
        and (record := _record_of(question, hashed[question.file.name], before[question.file.name]))
    ]
    shared = {file.name for file in found.doubtful if file.shared}
    add_receipts(look.places.private, [record for record in sound if record.name not in shared])
    add_receipts(look.places.shared, [record for record in sound if record.name in shared])
    return found.settled(tuple(sound))


def _record_of(question: Question, hashed: Hashed, before: os.stat_result | None) -> Record | None:
    """None where somebody wrote while it was read: what was read may not be what is there now."""
    if before is None:
        return None
    record = record_of(question.file, hashed.digest, before)
    return record if record.agrees_with(stat_of(question.path)) else None


def _withdraw_harmed(look: Look, found: Survey) -> Survey:
    """BLAST must not enter what was whole here and is not any more, however long it takes to mend."""
    marker, sound = read_marker(look.places.private), {record.name for record in found.sound}
    published = marker.records if marker else read_receipts(look.places.private)
    records = [record for record in published if record.name not in sound and not record.shared]
    if all(record.agrees_with(stat_of(look.places.published(record.name))) for record in records):
        return found
    names = own_names(look.places)
    if marker:
        names.update(file.name for file in look.manifest.files if not file.shared)
    if names:
        log("not as it was published: BLAST finds it when it is whole again")
    return found.withdrawn(withdraw(look.places, names, sound))


def _fetch_and_verify(look: Look, found: Survey) -> None:
    _report_sound(look, (*found.sound, *found.staged))
    missing = found.missing
    # What an abandoned generation left in staging is of no use any more.
    keep = {file.name for file in missing} | {record.name for record in found.staged}
    give_back(look.places, keep=frozenset(keep))
    for _ in range(ATTEMPTS):
        log(f"fetching {len(missing)} of {len(look.manifest.files)} files")
        check_room(missing, look.places)
        reserve_for_notes(look.places)
        _fetch(look, missing)
        look.places.reserve.unlink()
        look.reporter.enter("verifying")
        missing = verify_staged(missing, look.places, look.reporter.progress)
        if not missing:
            return
        drop_staged(missing, look.places)
    raise Damaged(
        f"{missing[0].name} arrives with another MD5 than its blob declares",
        remedy="stage the database again, then start the warm-up again",
    )


def _fetch(look: Look, files: Sequence[File]) -> None:
    """Copy, and wait wherever the account closes on the way."""
    left = look.settings.deadline_seconds
    access = Access(look.account, look.settings.role_patience_seconds, look.reporter.waiting)
    _spread_out(look.settings.start_jitter_seconds)
    while True:
        look.reporter.enter("waiting_for_access")
        access.wait_for(files[0])
        look.reporter.enter("copying")
        began = time.monotonic()
        allowed = _until_the_runs_deadline(look) or left
        try:
            look.engine.copy(files, _watching(look, access, allowed))
        except (StorageClosed, RoleMissing, IdentityBusy) as error:
            log(f"lost access while copying: {error}")
            left -= time.monotonic() - began
            access.refused(error)
        else:
            return


def _until_the_runs_deadline(look: Look) -> float | None:
    """Seconds; None where no run waits any more, as for a node that joined after its end."""
    deadline = look.settings.deadline
    ahead = deadline.timestamp() - time.time() if deadline else 0
    return ahead if ahead > 0 else None


def _watching(look: Look, access: Access, allowed: float) -> Callable[[Counts], None]:
    deadline = time.monotonic() + allowed

    def watch(counts: Counts) -> None:
        look.reporter.progress(counts)
        access.fetched(counts.fetched)
        if time.monotonic() > deadline:
            raise DeadlinePassed(f"copying was not done after {allowed:.0f} s")

    return watch


def _spread_out(seconds: float) -> None:
    time.sleep(random.uniform(0, seconds))  # noqa: S311 - spreads nodes, hides nothing


def _report_sound(look: Look, records: Sequence[Record]) -> None:
    look.reporter.sound(len(records), sum(record.size for record in records))


def _digest_of(look: Look, found: Survey) -> str:
    if found.missing or found.doubtful:
        names = [file.name for file in (*found.missing, *found.doubtful)]
        raise Damaged(f"{names[0]} changed under the agent's hands")
    digests = {record.name: record.digest for record in (*found.sound, *found.staged)}
    return database_digest(look.manifest.files, digests)


def _is_marked(look: Look, digest: str) -> bool:
    marker = read_marker(look.places.private)
    return marker is not None and (marker.generation, marker.digest) == (look.manifest.generation, digest)


def _publish(look: Look, found: Survey, digest: str) -> None:
    look.reporter.enter("publishing")
    # What another generation left half-done in staging must not be published with this one.
    give_back(look.places, keep=frozenset(record.name for record in found.staged))
    probe(look.manifest, look.places, log)
    shared = {file.name for file in look.manifest.files if file.shared}
    records = tuple(record for record in (*found.sound, *found.staged) if record.name not in shared)
    publish(
        look.manifest,
        look.places,
        Marker(generation=look.manifest.generation, digest=digest, records=records),
    )
