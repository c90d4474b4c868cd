"""azcopy as the engine, for those who trust it more: same staging, same verification afterwards.

Its grain is the file: what it was about when it was killed is fetched again, since a file has its name only
when it is whole. Whatever it says, only sizes, ETags and digests count. It is told nothing secret.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import closing, nullcontext
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from .blobs import Account, BlobReader, refusal
from .crew import cores
from .errors import QUOTED_CHARACTERS, AgentError, BadManifest, DiskFull, Network, quoted
from .flushing import flush
from .locking import locked
from .programs import FOR_IDENTITY, environment_of, find, running, version_of
from .surveying import stat_of
from .tally import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .manifest import File
    from .places import Places
    from .settings import Settings

OLDEST = (10, 10)  # Before that, a file had its name, and its full size, as soon as it was begun.
# Left alone it takes 0.5 GB per core; ten nodes of unlimited connections have saturated accounts and disks.
BOUNDS = {"AZCOPY_BUFFER_GB": "0.25", "AZCOPY_CONCURRENCY_VALUE": "64", "GOMEMLIMIT": "400MiB"}
SETTINGS = {**BOUNDS, "AZCOPY_DOWNLOAD_TO_TEMP_PATH": "true"}
NO_ROOM = "no space left on device"


class Azcopy:
    """Fetches files by running azcopy, once per folder of the container."""

    def __init__(self, account: Account, places: Places, settings: Settings) -> None:
        self._account, self._places, self._identity = account, places, settings.identity
        self._ceiling = settings.ceiling_bytes_per_second
        self._output, self._job = places.private / "azcopy.log", places.private / "azcopy"

    @property
    def name(self) -> str:
        """With its version: it is whatever the image has."""
        return version_of("azcopy")

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch what is not yet whole in staging; safe to repeat, file by file."""
        program = find("azcopy", OLDEST, "use the engine ranged")
        missing = [file for file in files if not self._is_whole(file)]
        found = before = sum(file.size for file in files) - sum(file.size for file in missing)

        def report(transferred: int = 0) -> None:
            whole = [file.size for file in files if self._is_there(file)]
            landed = max(sum(whole), before + transferred)
            watch(Counts(files=len(whole), landed=landed, fetched=landed - found))

        # A ceiling is the node's, and each azcopy knows only its own: they take turns.
        with locked(self._places.shared / "azcopy", "azcopy", report) if self._ceiling else nullcontext():
            for folder, group in groupby(missing, lambda file: file.blob.rpartition("/")[0]):
                wanted = list(group)
                self._run([program, *self._arguments(folder, wanted)], wanted, report)
                before += sum(file.size for file in wanted)
        with closing(BlobReader(self._account)) as reader:
            for file in files:
                reader.probe(file)  # azcopy asks for no ETag.
        report()

    def _run(self, command: list[str], wanted: Sequence[File], report: Callable[[int], None]) -> None:
        for file in wanted:
            self._places.ledger(file.name).unlink(missing_ok=True)
            self._places.staged(file.name).unlink(missing_ok=True)
        with running(command, self._output, self._environment()) as process:
            while process.poll() is None:
                self._note_arrived(wanted)
                report(int((re.findall(r"TotalBytesTransferred\W+(\d+)", self._said()) or [0])[-1]))
                time.sleep(0.2)  # often enough for a person who watches
        if process.returncode:
            raise failure(process.returncode, self._said())
        self._note_arrived(wanted)
        if absent := [file.name for file in wanted if not self._is_there(file)]:
            raise Network(f"azcopy said it was done, but {absent[0]} did not arrive")

    def _said(self) -> str:
        return self._output.read_text(errors="replace")

    def _arguments(self, folder: str, wanted: Sequence[File]) -> list[str]:
        for file in wanted:
            if file.blob.rpartition("/")[2] != file.name or set("*?;") & set(file.name):
                raise BadManifest(f"azcopy cannot fetch {file.blob!r} as {file.name!r}", "use engine ranged")
        endpoint, names = self._account.endpoint, ";".join(file.name for file in wanted)
        source = f"{endpoint.origin}{endpoint.path}/{self._account.container}/{quote(folder)}/*"
        return [
            *("cp", source, f"{self._places.staging}/", "--include-pattern", names),
            *("--from-to", "BlobLocal", "--skip-version-check", "--output-type", "json"),
            *("--trusted-microsoft-suffixes", f"{endpoint.host};{endpoint.host}:{endpoint.port}"),
            # A block must pass within a second; its cap holds on average only, hence three quarters of it.
            *(("--cap-mbps", f"{self._ceiling * 6e-6}", "--block-size-mb", "0.5") if self._ceiling else ()),
        ]

    def _environment(self) -> dict[str, str]:
        return {
            **environment_of(*FOR_IDENTITY),
            **SETTINGS,
            **({"AZCOPY_CONCURRENCY_VALUE": "4"} if self._ceiling else {}),
            "AZCOPY_AUTO_LOGIN_TYPE": "WORKLOAD" if self._identity.is_federated else "MSI",
            **dict.fromkeys(("AZCOPY_JOB_PLAN_LOCATION", "AZCOPY_LOG_LOCATION"), str(self._job)),
            "AZCOPY_MSI_CLIENT_ID": self._identity.client_id or "",
            "GOMAXPROCS": str(cores()),
        }

    def _is_whole(self, file: File) -> bool:
        """The note says that azcopy brought this blob, and the size that nobody touched it since."""
        note = self._places.ledger(file.name)
        return self._is_there(file) and note.exists() and note.read_bytes() == _note(file)

    def _is_there(self, file: File) -> bool:
        return getattr(stat_of(self._places.staged(file.name)), "st_size", None) == file.size

    def _note_arrived(self, wanted: Sequence[File]) -> None:
        for file in wanted:
            if self._is_there(file) and not self._is_whole(file):
                # On the disk before the note: a power cut must not leave the note alone.
                flush(self._places.staged(file.name))
                self._places.ledger(file.name).write_bytes(_note(file))


def _note(file: File) -> bytes:
    return hashlib.sha256(f"azcopy\n{file.blob}\n{file.size}\n{file.etag}".encode()).digest()


def failure(code: int, output: str) -> AgentError:
    """Why azcopy failed: what it prints tells of refusals, the log of its job names the rest."""
    log = re.search(r'LogFileLocation\\":\\"([^"\\]+)', output)
    text = output + (Path(log[1]).read_text(errors="replace") if log and Path(log[1]).is_file() else "")
    failed = re.search(r"FAILED: \S*?([^/\s]+) : (\d{3}) : (.*?)(?:\. When|$)", text, re.MULTILINE)
    status, named = re.search(r"RESPONSE (\d{3}):", text), re.search(r"ERROR CODE: (\w+)", text)
    number = int(failed[2] if failed else status[1] if status else 0)
    if number and NO_ROOM not in text:
        headers = {"x-ms-error-code": named[1]} if named else {}
        return refusal(failed[1] if failed else "azcopy", number, headers, "")
    reason = failed[3] if failed else output[-QUOTED_CHARACTERS:]
    return (DiskFull if NO_ROOM in text else Network)(f"azcopy ended with {code}: {quoted(reason)}")
