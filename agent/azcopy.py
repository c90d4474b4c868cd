"""azcopy as the engine, for those who trust it more: same staging, same verification afterwards.

Its grain is the file: a killed azcopy loses the files it was in. Whatever it says, only sizes, ETags and
digests count, which are looked at when it has ended. It is told nothing secret: it gets its own token.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from .blobs import Account, BlobReader
from .crew import cores
from .errors import BadManifest, DiskFull, Internal, Network, quoted
from .programs import environment_of, running, version_of
from .surveying import stat_of
from .tally import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .manifest import File
    from .places import Places
    from .settings import Settings

WATCH_SECONDS = 0.2
# By itself azcopy takes 0.5 GB per core, whatever the container's limit is.
BUFFER_GB = "0.25"
# Ten nodes of unlimited connections each have saturated accounts and disks.
CONNECTIONS = "64"
MEMORY = "400MiB"
# What it needs to get its own token, and to trust the account.
IDENTITY = (
    *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"),
    *("AZURE_FEDERATED_TOKEN_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY"),
)
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

    @property
    def name(self) -> str:
        """With its version: it is whatever the image has."""
        program = shutil.which("azcopy")
        return version_of(program) if program else "azcopy"

    def copy(self, files: Sequence[File], watch: Callable[[Counts], None]) -> None:
        """Fetch what is not yet whole in staging; safe to repeat, file by file."""
        program = shutil.which("azcopy")
        if program is None:
            raise Internal("azcopy is not installed here", "use the engine ranged")
        folders: dict[str, list[str]] = defaultdict(list)
        for file in files:
            if not self._is_whole(file):
                self._begin(file)
                folders[file.blob.rpartition("/")[0]].append(file.name)
        for folder, names in folders.items():
            self._run([program, *self._arguments(folder, names)], lambda: watch(self._counts(files)))
        self._check_unchanged(files)
        watch(self._counts(files))

    def _is_whole(self, file: File) -> bool:
        """Azcopy gives a file its name when it is complete; the note says that it is of this blob."""
        found = stat_of(self._places.staged(file.name))
        note = self._places.ledger(file.name)
        whole = found is not None and found.st_size == file.size
        return whole and note.exists() and note.read_bytes() == _note(file)

    def _begin(self, file: File) -> None:
        if file.blob.rpartition("/")[2] != file.name or PATTERN_CHARACTERS & set(file.name):
            raise BadManifest(f"azcopy cannot fetch {file.blob!r} as {file.name!r}", "use the engine ranged")
        self._places.staged(file.name).unlink(missing_ok=True)
        self._places.ledger(file.name).write_bytes(_note(file))

    def _arguments(self, folder: str, names: list[str]) -> list[str]:
        endpoint = self._account.endpoint
        source = f"{endpoint.origin}{endpoint.path}/{self._account.container}/{folder}/*"
        ceiling = self._settings.ceiling_bytes_per_second
        options = ["--from-to", "BlobLocal", "--skip-version-check", "--output-type", "json"]
        return [
            *("cp", source, f"{self._places.staging}/", "--include-pattern", ";".join(names), *options),
            *("--trusted-microsoft-suffixes", f"{endpoint.host};{endpoint.host}:{endpoint.port}"),
            *(("--cap-mbps", str(ceiling * 8 / 1e6)) if ceiling else ()),
        ]

    def _run(self, command: list[str], watch: Callable[[], None]) -> None:
        with running(command, self._output, self._environment()) as process:
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
        seen = max(self._transferred, sum(whole))
        return Counts(files=len(whole), landed=seen, fetched=seen, retries=0, disk_bytes_per_second=None)

    def _check_unchanged(self, files: Sequence[File]) -> None:
        reader = BlobReader(self._account)
        for file in files:
            if not self._is_whole(file):
                raise Network(f"azcopy said it was done, but {file.name} did not arrive")
            reader.probe(file)
        reader.close()

    def _environment(self) -> dict[str, str]:
        identity = self._settings.identity
        return {
            **environment_of(*IDENTITY),
            "AZCOPY_AUTO_LOGIN_TYPE": "WORKLOAD" if identity.is_federated else "MSI",
            "AZCOPY_BUFFER_GB": BUFFER_GB,
            "AZCOPY_CONCURRENCY_VALUE": CONNECTIONS,
            "AZCOPY_JOB_PLAN_LOCATION": str(self._places.private / "azcopy"),
            "AZCOPY_LOG_LOCATION": str(self._places.private / "azcopy"),
            "GOMAXPROCS": str(cores()),
            "GOMEMLIMIT": MEMORY,
            **({"AZCOPY_MSI_CLIENT_ID": identity.client_id} if identity.client_id else {}),
        }


def _note(file: File) -> bytes:
    """In the place of a ledger: which blob azcopy was told to fetch."""
    return hashlib.sha256(f"azcopy\n{file.blob}\n{file.size}\n{file.etag}".encode()).digest()
