"""Azurite, the blob server: how it is started and when it is ready.

Over TLS, OAuth on; queues and tables beside the blobs only where a host keeps its task hub in them. Its
accounts and their keys are this stack's own, drawn at random and kept in the data folder; the keys serve
staging, which is the operator's act, and such a host; they are given to no app and no pod.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.certificates import Certificates

FOLDER = Path(__file__).parent / "npm/node_modules/azurite/dist/src"
BLOBS_ONLY = FOLDER / "blob/main.js"
ALL_SERVICES = FOLDER / "azurite.js"

KEY_BYTES = 64
"""Storage account keys are 512 bits."""

PROBE_INTERVAL_SECONDS = 0.05
"""Azurite takes about a second to listen; a probe is one TLS handshake."""

PROBE_SECONDS = 1.0
"""A handshake on loopback that takes longer is a server that does not answer."""


class AzuriteError(Exception):
    """Azurite cannot be started, or did not listen; the message names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzuritePlan:
    """One Azurite: where it listens, what it keeps and for which accounts."""

    folder: Path
    port: int
    certificates: Certificates
    accounts: Sequence[str]
    queue_port: int | None = None
    table_port: int | None = None

    @property
    def endpoint(self) -> str:
        """The origin; an account's blobs lie under `{endpoint}/{account}`."""
        return f"https://127.0.0.1:{self.port}"


def command(plan: AzuritePlan) -> list[str]:
    """The program and its arguments."""
    others = {"queue": plan.queue_port, "table": plan.table_port}
    program = ALL_SERVICES if any(others.values()) else BLOBS_ONLY
    if not program.exists():
        raise AzuriteError(f"{program} is missing; run `npm ci --ignore-scripts` in {FOLDER.parents[3]}")
    tls = ["--cert", str(plan.certificates.certificate), "--key", str(plan.certificates.key)]
    return [
        *("node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(plan.port)),
        *(
            option
            for service, port in others.items()
            if port
            for option in (f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port))
        ),
        *("--location", str(plan.folder), *tls, "--oauth", "basic"),
        # SDKs of today send API versions that are newer than Azurite.
        *("--skipApiVersionCheck", "--disableTelemetry", "--silent"),
        # `localhost` in an endpoint is no account name.
        "--disableProductStyleUrl",
    ]


def environment(plan: AzuritePlan) -> dict[str, str]:
    """What Azurite gets to see: a path to find node, and its accounts."""
    accounts = ";".join(f"{name}:{key}" for name, key in account_keys(plan).items())
    return {"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": accounts}


def account_keys(plan: AzuritePlan) -> Mapping[str, str]:
    """The key of each account, drawn once per data folder."""
    file = plan.folder / "keys.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in plan.accounts if name not in known]
    if missing:
        fresh = {name: base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() for name in missing}
        known = {**known, **fresh}
        _keep(file, json.dumps(known))
    return {name: known[name] for name in plan.accounts}


def connection_string(plan: AzuritePlan, account: str) -> str:
    """What opens all of an account, in the words that a Functions host takes; a secret."""
    ports = {"Blob": plan.port, "Queue": plan.queue_port, "Table": plan.table_port}
    endpoints = [f"{name}Endpoint=https://127.0.0.1:{port}/{account}" for name, port in ports.items()]
    known = ("DefaultEndpointsProtocol=https", f"AccountName={account}")
    return ";".join([*known, f"AccountKey={account_keys(plan)[account]}", *endpoints])


def is_ready(plan: AzuritePlan) -> bool:
    """Whether each of its services completes a TLS handshake with the certificate it was given."""
    ports = (plan.port, plan.queue_port, plan.table_port)
    return all(_answers(plan, port) for port in ports if port)


def _answers(plan: AzuritePlan, port: int) -> bool:
    context = ssl.create_default_context(cafile=str(plan.certificates.authority))
    address = ("127.0.0.1", port)
    try:
        with (
            socket.create_connection(address, timeout=PROBE_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1"),
        ):
            return True
    except OSError:
        return False


def wait_until_ready(plan: AzuritePlan, *, seconds: float) -> None:
    """Return when it listens; raises AzuriteError when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_ready(plan):
        if time.monotonic() > deadline:
            raise AzuriteError(
                f"Azurite did not listen on 127.0.0.1:{plan.port} within {seconds:g} s; "
                f"is the port taken? Its data lie in {plan.folder}"
            )
        time.sleep(PROBE_INTERVAL_SECONDS)


def _keep(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(content)
    draft.replace(file)
