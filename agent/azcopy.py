"""azcopy as the engine, for those who trust it more: same staging, same verification afterwards.

Its grain is the batch: a killed azcopy loses what it was asked for, since only its end says that a file
is whole. Whatever it says, only sizes, ETags and digests count. It is told nothing secret.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from itertools import groupby, islice
from typing import TYPE_CHECKING

from .azcopy_program import environment_for, failure, find_azcopy
from .blobs import Account, BlobReader
from .errors import BadManifest, Network
from .programs import running, version_of
from .surveying import stat_of
from .tally import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .manifest import File
    from .places import Places
    from .settings import Settings

WATCH_SECONDS = 0.2
PATTERN_CHARACTERS = frozenset("*?;")
# What a kill can cost: of core_nt 2 %.
BATCH_FILES = 20


class Azcopy:
    """Fetches files by running azcopy, once per batch."""

    def __init__(self, account: Account, places: Places, settings: Settings) -> None:
        self._account = account
        self._places = places
        self._settings = settings
        self._finished = self._transferred = 0
        self._output = places.private / "azcopy.log"
        self._environment = environment_for(settings.identity, places.private / "azcopy")

    @property
    def name(self) -> str:
        """With its version: it is whatever the image has."""
        return version_of("azcopy")

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch what is not yet whole in staging; safe to repeat, file by file."""
        program = find_azcopy()
        for batch in _batches([file for file in files if not self._is_whole(file)]):
            for file in batch:
                self._begin(file)
            self._run([program, *self._arguments(batch)], lambda: watch(self._counts(files)))
            for file in batch:
                self._note_whole(file)
            self._finished += sum(file.size for file in batch)
            self._transferred = 0
        self._check_unchanged(files)
        watch(self._counts(files))

    def _is_whole(self, file: File) -> bool:
        """The note says that azcopy ended well with this blob, and the size that nobody touched it since."""
        note = self._places.ledger(file.name)
        return self._is_there(file) and note.exists() and note.read_bytes() == _note(file)

    def _is_there(self, file: File) -> bool:
        found = stat_of(self._places.staged(file.name))
        return found is not None and found.st_size == file.size

    def _begin(self, file: File) -> None:
        if file.blob.rpartition("/")[2] != file.name or PATTERN_CHARACTERS & set(file.name):
            raise BadManifest(f"azcopy cannot fetch {file.blob!r} as {file.name!r}", "use the engine ranged")
        self._places.ledger(file.name).unlink(missing_ok=True)
        self._places.staged(file.name).unlink(missing_ok=True)

    def _note_whole(self, file: File) -> None:
        """Its bytes are on the disk before the note: a power cut must not leave the note alone."""
        if not self._is_there(file):
            raise Network(f"azcopy said it was done, but {file.name} did not arrive")
        with self._places.staged(file.name).open("rb") as stream:
            os.fsync(stream.fileno())
        self._places.ledger(file.name).write_bytes(_note(file))

    def _arguments(self, batch: Sequence[File]) -> list[str]:
        folder, names = _folder(batch[0]), [file.name for file in batch]
        endpoint = self._account.endpoint
        source = f"{endpoint.origin}{endpoint.path}/{self._account.container}/{folder}/*"
        ceiling = self._settings.ceiling_bytes_per_second
        options = ["--from-to", "BlobLocal", "--skip-version-check", "--output-type", "json"]
        return [
            *("cp", source, f"{self._places.staging}/", "--include-pattern", ";".join(names), *options),
            *("--trusted-microsoft-suffixes", f"{endpoint.host};{endpoint.host}:{endpoint.port}"),
            # A block must pass within a second.
            *(("--cap-mbps", str(ceiling * 8e-6), "--block-size-mb", "0.5") if ceiling else ()),
        ]

    def _run(self, command: list[str], watch: Callable[[], None]) -> None:
        with running(command, self._output, self._environment) as process:
            while process.poll() is None:
                self._follow()
                watch()
                time.sleep(WATCH_SECONDS)
        if process.returncode:
            raise failure(process.returncode, self._output.read_text(errors="replace"))

    def _follow(self) -> None:
        for line in self._output.read_text(errors="replace").splitlines():
            try:
                message = json.loads(line)
                if message["MessageType"] == "Progress":
                    self._transferred = int(json.loads(message["MessageContent"])["TotalBytesTransferred"])
            except (ValueError, KeyError, TypeError):
                continue

    def _counts(self, files: Sequence[File]) -> Counts:
        whole = [file.size for file in files if self._is_there(file)]
        seen = max(self._finished + self._transferred, sum(whole))
        return Counts(files=len(whole), landed=seen, fetched=seen, retries=0, disk_bytes_per_second=None)

    def _check_unchanged(self, files: Sequence[File]) -> None:
        reader = BlobReader(self._account)
        for file in files:
            reader.probe(file)
        reader.close()


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    for _, group in groupby(files, _folder):
        while batch := list(islice(group, BATCH_FILES)):
            yield batch


def _folder(file: File) -> str:
    return file.blob.rpartition("/")[0]


def _note(file: File) -> bytes:
    """In the place of a ledger: which blob azcopy was told to fetch."""
    return hashlib.sha256(f"azcopy\n{file.blob}\n{file.size}\n{file.etag}".encode()).digest()
