"""The azcopy of the image: found, new enough, given its own environment, and understood when it fails."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .blobs import refusal
from .crew import cores
from .errors import QUOTED_CHARACTERS, AgentError, DiskFull, Internal, Network, quoted
from .programs import environment_of, version_of

if TYPE_CHECKING:
    from .settings import IdentitySettings

# Before that, a file had its name, and its full size, as soon as it was begun.
OLDEST = (10, 10)
# By itself azcopy takes 0.5 GB per core, whatever the container's limit is.
BUFFER_GB = "0.25"
# Ten nodes of unlimited connections each have saturated accounts and disks.
CONNECTIONS = "64"
MEMORY = "400MiB"
NO_ROOM = "no space left on device"
# What it needs to get its own token, and to trust the account.
IDENTITY = (
    *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"),
    *("AZURE_FEDERATED_TOKEN_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY"),
)


def find_azcopy() -> str:
    """Where it is, if it is new enough."""
    program = shutil.which("azcopy")
    if program is None:
        raise Internal("azcopy is not installed here", "use the engine ranged")
    said = version_of(program)
    found = re.search(r"(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < OLDEST:
        raise Internal(f"{said} is too old: it names files before they are whole", "use 10.10 or later")
    return program


def environment_for(identity: IdentitySettings, folder: Path) -> dict[str, str]:
    """What azcopy is told beside its arguments; `folder` is for its logs and plans."""
    return {
        **environment_of(*IDENTITY),
        "AZCOPY_AUTO_LOGIN_TYPE": "WORKLOAD" if identity.is_federated else "MSI",
        "AZCOPY_BUFFER_GB": BUFFER_GB,
        "AZCOPY_CONCURRENCY_VALUE": CONNECTIONS,
        "AZCOPY_DOWNLOAD_TO_TEMP_PATH": "true",
        "AZCOPY_JOB_PLAN_LOCATION": str(folder),
        "AZCOPY_LOG_LOCATION": str(folder),
        "GOMAXPROCS": str(cores()),
        "GOMEMLIMIT": MEMORY,
        **({"AZCOPY_MSI_CLIENT_ID": identity.client_id} if identity.client_id else {}),
    }


def failure(code: int, output: str) -> AgentError:
    """Why azcopy failed: what it prints tells of refusals, the log of its job names the rest."""
    log = re.search(r'LogFileLocation\\":\\"([^"\\]+)', output)
    text = output + (_read(Path(log[1])) if log else "")
    failed = re.search(r"FAILED: (\S+) : (\d{3}) : (.*?)(?:\. When|$)", text, re.MULTILINE)
    said = re.search(r'"MessageType":"Error","MessageContent":"(.*?)",', text)
    reason = failed[3] if failed else said[1] if said else output[-QUOTED_CHARACTERS:]
    message = f"azcopy ended with {code}: {quoted(reason)}"
    if NO_ROOM in text:
        return DiskFull(message)
    status = re.search(r"RESPONSE (\d{3}):", text)
    number = int(failed[2] if failed else status[1] if status else 0)
    if not number:
        return Network(message)
    named = re.search(r"ERROR CODE: (\w+)", text)
    blob = failed[1].rpartition("/")[2] if failed else "azcopy"
    return refusal(blob, number, {"x-ms-error-code": named[1] if named else ""}, "")


def _read(log: Path) -> str:
    with suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")
    return ""
