"""The hub on disk: every change in one SQLite transaction, so that a killed host resumes.

A transaction holds all instances that changed, taken under the hub's lock: the file always shows
one consistent moment. Clients are answered after their change is in it; what workers do follows
within a fraction of a second, and is done again after a kill (activities run at least once).

Each instance carries a digest of itself: damage in a row is seen, also where what is left still
reads well, and costs that instance alone. A damaged file is set aside whole, and a new one begins
with what it still tells.
"""

import dataclasses
import hashlib
import json
import logging
import operator
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from local.host.engine.hub import Hub
from local.host.engine.instances import InstanceView, Snapshot
from local.host.protocol.history import Identity, ParentLink

# What a kill may undo: short beside any activity, long enough to batch a burst of episodes.
_WRITE_PAUSE_SECONDS = 0.05
# After a long write a longer pause: a burst is not to spend its time on being written down again and again.
_PAUSE_PER_WRITE = 4
# Between two complaints about a full disk.
_RETRY_PAUSE_SECONDS = 5

# A host that is just ending still holds the file.
_LOCK_PATIENCE_SECONDS = 1

_logger = logging.getLogger(__name__)

# Of what goes into a row as JSON.
_FIELDS = {
    kind: tuple(field.name for field in dataclasses.fields(kind))
    for kind in (InstanceView, Identity, ParentLink)
}
_SCHEMA = """
create table if not exists instance(
    id text primary key, view text not null, identity text not null,
    history blob not null, pending blob not null, failure blob not null, digest text not null);
create table if not exists secret(name text primary key, value text not null);
"""


class StateError(Exception):
    """A checkpoint that cannot be used, though it is not corrupt; the message names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file tells; `lost` names the instances that it knows of and no longer tells."""

    is_sound: bool
    instances: Mapping[str, Snapshot] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Nothing is damaged."""
        return self.is_sound and not self.lost


class Checkpoint:
    """The file that a hub is kept in."""

    def __init__(self, path: Path | Literal[":memory:"]) -> None:
        """Open the file or create it; sqlite3.DatabaseError if it is none of ours."""
        # Client threads and the saver's thread take turns under the saver's lock.
        self._database = sqlite3.connect(path, timeout=_LOCK_PATIENCE_SECONDS, check_same_thread=False)
        try:
            # One host per file: a second one is refused instead of writing over the first.
            self._database.execute("pragma locking_mode=exclusive")
            # A killed process loses nothing that was committed; only a power cut could.
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=normal")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error:
            self._database.close()
            raise

    def read(self) -> Contents:
        """Give all that the file tells, each row by itself: damage costs only what it hit."""
        instances: dict[str, Snapshot] = {}
        lost = []
        for number, instance_id in self._listed().items():
            snapshot = self._instance(number)
            if snapshot is None:
                lost.append(instance_id)
            else:
                instances[snapshot.view.instance_id] = snapshot
        return Contents(
            is_sound=self._is_sound(),
            instances=instances,
            secrets=self._secrets(),
            lost=tuple(sorted(set(lost) - instances.keys())),
        )

    def begin_with(self, contents: Contents) -> None:
        """Write what another file told."""
        self.save(contents.instances)
        for name, value in contents.secrets.items():
            self.secret(name, value)

    def save(self, changes: Mapping[str, Snapshot | None]) -> None:
        """Write changed instances and delete those that are gone, in one transaction."""
        kept = [(key, *_row(snapshot)) for key, snapshot in changes.items() if snapshot is not None]
        gone = [(key,) for key, snapshot in changes.items() if snapshot is None]
        with self._database:
            self._database.executemany("insert or replace into instance values(?, ?, ?, ?, ?, ?, ?)", kept)
            self._database.executemany("delete from instance where id = ?", gone)

    def secret(self, name: str, fresh: str) -> str:
        """Give the secret kept under a name; `fresh` becomes it when there is none."""
        with self._database:
            self._database.execute("insert or ignore into secret values(?, ?)", (name, fresh))
        row = self._database.execute("select value from secret where name = ?", (name,)).fetchone()
        return str(row[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _is_sound(self) -> bool:
        try:
            return list(self._database.execute("pragma integrity_check")) == [("ok",)]
        except sqlite3.DatabaseError:
            return False

    def _listed(self) -> dict[int, str]:
        """Give row numbers and ids; table and index both list them, and damage hits one at a time."""
        found: dict[int, str] = {}
        for source in ("instance", "instance not indexed"):
            with suppress(sqlite3.DatabaseError):
                rows = self._database.execute(f"select rowid, id from {source}")  # noqa: S608 - ours
                found |= {number: str(instance_id) for number, instance_id in rows}
        return found

    def _instance(self, number: int) -> Snapshot | None:
        query = "select view, identity, history, pending, failure, digest from instance where rowid = ?"
        try:
            *row, digest = self._database.execute(query, (number,)).fetchone()
            return _snapshot(*row) if digest == _digest(row) else None
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError):
            return None

    def _secrets(self) -> dict[str, str]:
        with suppress(sqlite3.DatabaseError):
            return dict(self._database.execute("select name, value from secret"))
        return {}


class Saver:
    """Writes a hub's changes to its checkpoint."""

    def __init__(self, hub: Hub, checkpoint: Checkpoint) -> None:
        """Nothing is written before `start` or `flush`."""
        self._hub = hub
        self._checkpoint = checkpoint
        self._writing = threading.Lock()

    def start(self) -> None:
        """Write in the background from now on."""
        threading.Thread(target=self._run, daemon=True, name="checkpoint").start()

    def flush(self) -> None:
        """Return when every change made before the call is on disk; sqlite3.Error if it cannot be."""
        with self._writing:
            changes = self._hub.take_changes()
            try:
                self._checkpoint.save(changes)
            except sqlite3.Error:
                self._hub.put_back(changes)
                raise

    def _run(self) -> None:
        while True:
            self._hub.changed.wait()
            began = time.monotonic()
            try:
                self.flush()
                pause = max(_WRITE_PAUSE_SECONDS, _PAUSE_PER_WRITE * (time.monotonic() - began))
            except sqlite3.Error as error:
                _logger.warning("the checkpoint cannot be written, runs go on in memory: %s", error)
                pause = _RETRY_PAUSE_SECONDS
            time.sleep(pause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A checkpoint ready for use; `aside` is where its damaged forerunner lies now."""

    checkpoint: Checkpoint
    contents: Contents
    aside: Path | None

    @property
    def snapshots(self) -> Iterable[Snapshot]:
        """What a hub takes up."""
        return self.contents.instances.values()


def open_checkpoint(path: Path) -> Opened:
    """Open a checkpoint and read it; a damaged one is set aside, and a new one takes over what it tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = _open(path)
    contents = Contents(is_sound=False) if checkpoint is None else checkpoint.read()
    if checkpoint is not None and contents.is_whole:
        return Opened(checkpoint=checkpoint, contents=contents, aside=None)
    if checkpoint is not None:
        # Before the file moves: SQLite finds the log that it removes at the end by name.
        checkpoint.close()
    aside = _set_aside(path)
    fresh = Checkpoint(path)
    fresh.begin_with(contents)
    return Opened(checkpoint=fresh, contents=contents, aside=aside)


def _open(path: Path) -> Checkpoint | None:
    """Open the file; None if it is no database."""
    if _log_of(path).exists() and not (path.exists() and path.stat().st_size):
        # SQLite would take the file for a new one, and drop its log, with all that was written last.
        return None
    try:
        return Checkpoint(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise StateError(f"{path} is in use by another host: stop it, or name another file") from error
        raise StateError(f"{path} cannot be used ({error}): name a file that can be written") from error
    except sqlite3.DatabaseError:
        return None


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
    # A write-ahead log belongs to the file it was written for, and holds what was written last.
    for source, target in ((path, aside), (_log_of(path), _log_of(aside))):
        with suppress(FileNotFoundError):
            source.rename(target)
    return aside


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _row(snapshot: Snapshot) -> tuple[str, str, bytes, bytes, bytes, str]:
    view, identity = json.dumps(snapshot.view, default=_plain), json.dumps(snapshot.identity, default=_plain)
    columns = (view, identity, snapshot.history, snapshot.pending, snapshot.failure)
    return *columns, _digest(columns)


def _plain(value: Any) -> object:
    """Say in JSON what is none: `dataclasses.asdict` takes longer than all else about a row."""
    if isinstance(value, datetime):
        return value.isoformat()
    names = _FIELDS[type(value)]
    return dict(zip(names, operator.attrgetter(*names)(value), strict=True))


def _digest(columns: Iterable[str | bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for column in columns:
        content = column.encode() if isinstance(column, str) else column
        digest.update(len(content).to_bytes(8))
        digest.update(content)
    return digest.hexdigest()


def _snapshot(view: str, identity: str, history: bytes, pending: bytes, failure: bytes) -> Snapshot:
    return Snapshot(
        view=_view(view), identity=_identity(identity), history=history, pending=pending, failure=failure
    )


def _view(text: str) -> InstanceView:
    fields = json.loads(text)
    for name in ("created_at", "last_updated_at"):
        fields[name] = datetime.fromisoformat(fields[name])
    return InstanceView(**fields)


def _identity(text: str) -> Identity:
    fields = json.loads(text)
    parent = fields.pop("parent")
    return Identity(parent=ParentLink(**parent) if parent else None, **fields)
