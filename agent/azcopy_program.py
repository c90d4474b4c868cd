"""The azcopy of the image: found, new enough, and given an environment of its own."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from .crew import cores
from .errors import Internal
from .programs import environment_of, version_of

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import IdentitySettings

# Before that, a file had its name, and its full size, as soon as it was begun.
OLDEST = (10, 10)
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
