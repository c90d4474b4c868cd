"""The hub on disk: every change in one SQLite transaction, so that a killed host resumes.

A transaction holds all instances that changed, taken under the hub's lock: the file always shows
one consistent moment. Clients are answered after their change is in it; what workers do follows
within a fraction of a second, and is done again after a kill (activities run at least once).
"""

import dataclasses
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from google.protobuf.message import DecodeError

from local.host.engine.hub import Hub
from local.host.engine.instances import InstanceView, Snapshot, check_whole
from local.host.protocol.history import Identity, ParentLink

# What a kill may undo: short beside any activity, long enough to batch a burst of episodes.
_WRITE_PAUSE_SECONDS = 0.05
# Between two complaints about a full disk.
_RETRY_PAUSE_SECONDS = 5

# A host that is just ending still holds the file.
_LOCK_PATIENCE_SECONDS = 1

# What reading a damaged row may raise.
_UNREADABLE = (DecodeError, ValueError, TypeError, KeyError, AttributeError)

_logger = logging.getLogger(__name__)

_SCHEMA = """
create table if not exists instance(
    id text primary key, view text not null, identity text not null,
    history blob not null, pending blob not null, failure blob not null);
create table if not exists secret(name text primary key, value text not null);
"""


class StateError(Exception):
    """A checkpoint that cannot be used, though it is not corrupt; the message names the remedy."""


class Checkpoint:
    """The file that a hub is kept in."""

    def __init__(self, path: Path | Literal[":memory:"]) -> None:
        """Open the file or create it; sqlite3.DatabaseError if it is none of ours."""
        # Client threads and the saver's thread take turns under the saver's lock.
        self._database = sqlite3.connect(path, timeout=_LOCK_PATIENCE_SECONDS, check_same_thread=False)
        # One host per file: a second one is refused instead of writing over the first.
        self._database.execute("pragma locking_mode=exclusive")
        # A killed process loses nothing that was committed; only a power cut could.
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=normal")
        self._database.executescript(_SCHEMA)

    def load(self) -> tuple[list[Snapshot], list[str]]:
        """Give all instances that can be read, and the ids of those that cannot."""
        rows = self._database.execute("select id, view, identity, history, pending, failure from instance")
        snapshots, damaged = [], []
        for instance_id, *row in rows:
            try:
                snapshots.append(_snapshot(row))
            except _UNREADABLE:
                damaged.append(instance_id)
        return snapshots, damaged

    def copy_to(self, path: Path) -> None:
        """Write the whole of it into another file."""
        with sqlite3.connect(path) as copy:
            self._database.backup(copy)
        copy.close()

    def save(self, changes: Mapping[str, Snapshot | None]) -> None:
        """Write changed instances and delete those that are gone, in one transaction."""
        kept = [(key, *_row(snapshot)) for key, snapshot in changes.items() if snapshot is not None]
        gone = [(key,) for key, snapshot in changes.items() if snapshot is None]
        with self._database:
            self._database.executemany("insert or replace into instance values(?, ?, ?, ?, ?, ?)", kept)
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
            try:
                self.flush()
            except sqlite3.Error as error:
                _logger.warning("the checkpoint cannot be written, runs go on in memory: %s", error)
                time.sleep(_RETRY_PAUSE_SECONDS)
            time.sleep(_WRITE_PAUSE_SECONDS)


def open_checkpoint(path: Path) -> tuple[Checkpoint, list[Snapshot], str]:
    """Open a checkpoint and read it; what is corrupt is set aside, alone if it can be, and said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        checkpoint = Checkpoint(path)
        snapshots, damaged = checkpoint.load()
        return checkpoint, snapshots, _without(checkpoint, damaged, path) if damaged else ""
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise StateError(f"{path} is in use by another host: stop it, or name another file") from error
        raise StateError(f"{path} cannot be used ({error}): name a file that can be written") from error
    except sqlite3.DatabaseError:
        aside = _set_aside(path)
        return Checkpoint(path), [], f"{path} could not be read; set aside as {aside}, starting empty"


def _without(checkpoint: Checkpoint, damaged: list[str], path: Path) -> str:
    aside = _beside(path)
    checkpoint.copy_to(aside)
    checkpoint.save(dict.fromkeys(damaged))
    return f"{path}: {', '.join(damaged)} could not be read; set aside as {aside}, the others go on"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")


def _set_aside(path: Path) -> Path:
    aside = _beside(path)
    path.rename(aside)
    # A write-ahead log belongs to the file it was written for.
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


def _row(snapshot: Snapshot) -> tuple[str, str, bytes, bytes, bytes]:
    view = json.dumps(dataclasses.asdict(snapshot.view), default=datetime.isoformat)
    identity = json.dumps(dataclasses.asdict(snapshot.identity))
    return view, identity, snapshot.history, snapshot.pending, snapshot.failure


def _snapshot(row: Sequence[Any]) -> Snapshot:
    view, identity, history, pending, failure = row
    snapshot = Snapshot(
        view=_view(view), identity=_identity(identity), history=history, pending=pending, failure=failure
    )
    check_whole(snapshot)
    return snapshot


def _view(text: str) -> InstanceView:
    fields = json.loads(text)
    for name in ("created_at", "last_updated_at"):
        fields[name] = datetime.fromisoformat(fields[name])
    return InstanceView(**fields)


def _identity(text: str) -> Identity:
    fields = json.loads(text)
    parent = fields.pop("parent")
    return Identity(parent=ParentLink(**parent) if parent else None, **fields)
