"""azcopy as the engine, for those who trust it more: same staging, same verification afterwards.

Its grain is the file: a killed azcopy loses the files it was in. Whatever it says, only sizes, ETags and
digests count, which are looked at when it has ended. It is told nothing secret: it gets its own token.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .blobs import Account, BlobReader
from .errors import BadManifest, DiskFull, Internal, Network, quoted
from .reporting import log
from .surveying import stat_of
from .tally import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .manifest import File
    from .places import Places
    from .settings import Settings

WATCH_SECONDS = 0.2
FAREWELL_SECONDS = 1.0
VERSION_TIMEOUT_SECONDS = 10
# azcopy takes 0.5 GB per core whatever the container has: a quarter of its memory leaves room for the rest.
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
BUFFER_SHARE = 0.25
LEAST_BUFFER_GB, MOST_BUFFER_GB = 0.1, 2.0
CONNECTIONS_PER_CORE = 16
MOST_CONNECTIONS = 64
PATTERN_CHARACTERS = frozenset("*?;")
LAST_WORDS_BYTES = 4096


class Azcopy:
    """Fetches files by running azcopy, once per folder of blobs."""

    def __init__(self, account: Account, places: Places, settings: Settings) -> None:
        self._account = account
        self._places = places
        self._settings = settings
        self._transferred = 0
        self._output = places.private / "azcopy.log"

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch what is not yet whole in staging; safe to repeat, file by file."""
        program = _program()
        folders: dict[str, list[str]] = defaultdict(list)
        for file in files:
            folder, _, name = file.blob.rpartition("/")
            if name != file.name or PATTERN_CHARACTERS & set(name):
                raise BadManifest(
                    f"azcopy cannot fetch {file.blob!r} as {file.name!r}", "use the engine ranged"
                )
            if not self._is_whole(file):
                self._places.staged(name).unlink(missing_ok=True)
                self._places.ledger(name).write_bytes(_note(file))
                folders[folder].append(name)
        for folder, names in folders.items():
            self._run(self._command(program, folder, names), lambda: watch(self._counts(files)))
        self._check_unchanged(files)
        watch(self._counts(files))

    def _is_whole(self, file: File) -> bool:
        """Azcopy gives a file its name when it is complete; the note says that it is of this blob."""
        found = stat_of(self._places.staged(file.name))
        note = self._places.ledger(file.name)
        return bool(
            found and found.st_size == file.size and note.exists() and note.read_bytes() == _note(file)
        )

    def _command(self, program: str, folder: str, names: list[str]) -> list[str]:
        endpoint = self._account.endpoint
        source = f"{endpoint.origin}{endpoint.path}/{self._account.container}/{folder}/*"
        ceiling = self._settings.ceiling_bytes_per_second
        return [
            *(program, "cp", source, f"{self._places.staging}/", "--include-pattern", ";".join(names)),
            *(
                "--from-to",
                "BlobLocal",
                "--skip-version-check",
                "--output-type",
                "json",
                "--overwrite",
                "true",
            ),
            *("--trusted-microsoft-suffixes", f"{endpoint.host};{endpoint.host}:{endpoint.port}"),
            *(("--cap-mbps", str(ceiling * 8 / 1e6)) if ceiling else ()),
        ]

    def _run(self, command: list[str], watch: Callable[[], None]) -> None:
        with (
            self._output.open("wb") as output,
            _running(command, output.fileno(), self._environment()) as process,
        ):
            while process.poll() is None:
                self._follow()
                watch()
                time.sleep(WATCH_SECONDS)
        if process.returncode:
            last = quoted(self._output.read_text(errors="replace")[-LAST_WORDS_BYTES:])
            kind = DiskFull if "no space left" in last else Network
            raise kind(f"azcopy ended with {process.returncode}: {last}")

    def _follow(self) -> None:
        for line in self._output.read_text(errors="replace").splitlines():
            try:
                message = json.loads(line)
                if message["MessageType"] == "Progress":
                    self._transferred = int(json.loads(message["MessageContent"])["TotalBytesTransferred"])
            except (ValueError, KeyError, TypeError):
                continue

    def _counts(self, files: Sequence[File]) -> Counts:
        whole = [file.size for file in files if self._is_whole(file)]
        bytes_seen = max(self._transferred, sum(whole))
        return Counts(
            files=len(whole), landed=bytes_seen, fetched=bytes_seen, retries=0, disk_bytes_per_second=None
        )

    def _check_unchanged(self, files: Sequence[File]) -> None:
        reader = BlobReader(self._account)
        for file in files:
            if not self._is_whole(file):
                raise Network(f"azcopy said it was done, but {file.name} did not arrive")
            reader.probe(file)
        reader.close()

    def _environment(self) -> dict[str, str]:
        identity = self._settings.identity
        workload = identity.federated_token_file and not identity.endpoint
        cores = len(os.sched_getaffinity(0))
        return {
            **os.environ,
            "AZCOPY_AUTO_LOGIN_TYPE": "WORKLOAD" if workload else "MSI",
            "AZCOPY_BUFFER_GB": str(_buffer_gb()),
            "AZCOPY_CONCURRENCY_VALUE": str(min(MOST_CONNECTIONS, CONNECTIONS_PER_CORE * cores)),
            "AZCOPY_JOB_PLAN_LOCATION": str(self._places.private / "azcopy"),
            "AZCOPY_LOG_LOCATION": str(self._places.private / "azcopy"),
            "GOMAXPROCS": str(cores),
            **({"AZCOPY_MSI_CLIENT_ID": identity.client_id} if identity.client_id else {}),
        }


def _program() -> str:
    program = shutil.which("azcopy")
    if program is None:
        raise Internal("azcopy is not installed here", "use the engine ranged")
    command = [program, "--version"]
    answer = subprocess.run(
        command, capture_output=True, check=False, timeout=VERSION_TIMEOUT_SECONDS, text=True
    )
    log(quoted(answer.stdout))
    return program


def _note(file: File) -> bytes:
    """In the place of a ledger: which blob azcopy was told to fetch."""
    return hashlib.sha256(f"azcopy\n{file.blob}\n{file.size}\n{file.etag}".encode()).digest()


def _buffer_gb() -> float:
    try:
        limit = int(MEMORY_LIMIT.read_text()) / 1e9
    except (OSError, ValueError):
        limit = MOST_BUFFER_GB
    return round(max(LEAST_BUFFER_GB, min(MOST_BUFFER_GB, limit * BUFFER_SHARE)), 2)


@contextmanager
def _running(
    command: list[str], output: int, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Azcopy asks questions on a terminal and spins when told to stop: no terminal, and little patience."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(FAREWELL_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
