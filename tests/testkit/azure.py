"""An Azurite and a `local.azure` of a test's own, on free ports, in a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters
from azure.mgmt.storage.models import (
    NetworkRuleSet,
    StorageAccountPropertiesUpdateParameters,
    StorageAccountUpdateParameters,
)

from local import azurite
from local.azurite import AzuritePlan
from local.certificates import ensure_certificates
from local.ports import held_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from azure.core.exceptions import HttpResponseError

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
TENANT = "22222222-2222-4222-8222-222222222222"
APP = {
    "object_id": "aaaaaaaa-0000-4000-8000-000000000001",
    "client_id": "aaaaaaaa-0000-4000-8000-000000000002",
}
KUBELET = {
    "object_id": "bbbbbbbb-0000-4000-8000-000000000001",
    "client_id": "bbbbbbbb-0000-4000-8000-000000000002",
}
DATA_ACCOUNT, APP_ACCOUNT = "warmdata", "warmapp"
HEADER = "header-of-the-test"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
START_SECONDS = 20.0
AZCOPY_SECONDS = 30.0
SOON_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaptopAzure:
    """Where everything is."""

    folder: Path
    ca: Path
    arm: str
    identity: str
    authority: str
    blob: str
    injection: str | None
    control: str
    azurite: AzuritePlan
    process: subprocess.Popen[bytes]

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines of `arm.jsonl` or `blob.jsonl`."""
        return [
            json.loads(line) for line in (self.folder / "logs" / f"{name}.jsonl").read_text().splitlines()
        ]

    def has_logged(self, name: str, **fields: object) -> bool:
        """Whether a line with these fields is there, or comes before long."""
        return eventually(lambda: any(fields.items() <= line.items() for line in self.log(name)))

    def operate(self, method: str, path: str, body: object = None) -> Any:
        """Speak to the control listener."""
        request = urllib.request.Request(  # noqa: S310 - http on loopback
            f"{self.control}{path}", method=method, data=None if body is None else json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - same
            return json.loads(answer.read() or b"null")

    def fault(self, **rule: object) -> None:
        """One fault rule in place of all."""
        self.operate("PUT", "/faults", {"seed": 1, "rules": [rule]})


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true before long: a log line is written after its answer."""
    deadline = time.monotonic() + SOON_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def refusal_of(error: HttpResponseError) -> tuple[int | None, str | None]:
    """The status and Azure's own code, of a management library's error or a storage one's."""
    code = error.error.code if error.error else getattr(error, "error_code", None)
    return error.status_code, code


def account_change(
    *, public_network_access: str | None = None, network_rule_set: NetworkRuleSet | None = None
) -> StorageAccountUpdateParameters:
    """A PATCH of a storage account's network."""
    return StorageAccountUpdateParameters(
        properties=StorageAccountPropertiesUpdateParameters(
            public_network_access=public_network_access, network_rule_set=network_rule_set
        )
    )


def role_grant(principal: str, role: str) -> RoleAssignmentCreateParameters:
    """A PUT of a role assignment."""
    definitions = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
    return RoleAssignmentCreateParameters(
        role_definition_id=f"{definitions}/{role}", principal_id=principal, principal_type="ServicePrincipal"
    )


def account_id(name: str) -> str:
    """The ARM id of one of the two accounts."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-storage"
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"


@contextmanager
def laptop_azure(folder: Path) -> Iterator[LaptopAzure]:
    """Start both, yield, stop both."""
    with held_port() as port, _azurite(folder, port) as plan, _azure(folder, plan) as azure:
        yield azure


@contextmanager
def _azurite(folder: Path, port: int) -> Iterator[AzuritePlan]:
    plan = AzuritePlan(
        folder=folder / "azurite",
        port=port,
        certificates=ensure_certificates(folder / "tls", "azurite"),
        accounts=(DATA_ACCOUNT, APP_ACCOUNT),
    )
    blobs = subprocess.Popen(azurite.command(plan), env=azurite.environment(plan), stdout=subprocess.DEVNULL)
    try:
        azurite.wait_until_ready(plan, seconds=START_SECONDS)
        yield plan
    finally:
        blobs.terminate()
        blobs.wait(timeout=START_SECONDS)


@contextmanager
def _azure(folder: Path, plan: AzuritePlan) -> Iterator[LaptopAzure]:
    certificates = ensure_certificates(folder / "tls", "azure")
    config = folder / "azure.json"
    config.write_text(json.dumps(configuration(folder, plan.port)))
    process = start(config)
    try:
        endpoints = await_ready(folder / "endpoints.json", process)
        yield LaptopAzure(
            folder=folder, ca=certificates.authority, azurite=plan, process=process, **endpoints
        )
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)
    assert process.returncode == 0, "local.azure did not end cleanly"
    # A traceback in the server is a defect even where the client was content.
    errors = (folder / "stderr").read_text()
    assert not errors, errors


def start(config: Path) -> subprocess.Popen[bytes]:
    """`python -m local.azure`, from the repository's root."""
    root = Path(__file__).parents[2]
    with (config.parent / "stderr").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "local.azure", "--config", str(config)], cwd=root, stderr=errors
        )


def await_ready(file: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """The endpoints, as soon as all listeners are up."""
    deadline = time.monotonic() + START_SECONDS
    while not file.exists():
        assert process.poll() is None, "local.azure ended at its start"
        assert time.monotonic() < deadline, "local.azure did not get ready"
        time.sleep(0.02)
    endpoints: dict[str, str] = json.loads(file.read_text())
    return endpoints


def configuration(folder: Path, azurite_port: int) -> dict[str, Any]:
    """A cluster, the databases' account (closed), the app's own (open), a registry."""
    (folder / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    where = {"subscription_id": SUBSCRIPTION, "location": "koreacentral"}
    return {
        "tenant_id": TENANT,
        "identity_header": HEADER,
        "azurite_port": azurite_port,
        "app": APP,
        "kubelet": KUBELET,
        "ports": {"control": 0},
        "files": {
            "certificate": str(folder / "tls/azure.pem"),
            "key": str(folder / "tls/azure.key"),
            "authority": str(folder / "tls/ca.pem"),
            "state": str(folder / "state.json"),
            "signing_key": str(folder / "signing.key"),
            "logs": str(folder / "logs"),
            "ready": str(folder / "endpoints.json"),
        },
        "clusters": [
            {
                **where,
                "resource_group": "rg-blast",
                "name": "blast_aks-1",
                "kubeconfig": str(folder / "kubeconfig"),
                "node_count": 3,
                "api_server": "127.0.0.1",
            }
        ],
        "accounts": [
            {**where, "resource_group": "rg-storage", "name": DATA_ACCOUNT, "is_open": False},
            {**where, "resource_group": "rg-storage", "name": APP_ACCOUNT, "is_open": True},
        ],
        "registries": [
            {**where, "resource_group": "rg-blast", "name": "warmacr"},
            {
                **where,
                "resource_group": "rg-blast",
                "name": "abacacr",
                "role_assignment_mode": "AbacRepositoryPermissions",
            },
        ],
        "grants": [
            {"principal_id": APP["object_id"], "role_id": CONTRIBUTOR, "scope": account_id(APP_ACCOUNT)},
            {"principal_id": APP["object_id"], "role_id": READER, "scope": account_id(DATA_ACCOUNT)},
        ],
        "mints_user_tokens": True,
    }


def azcopy(azure: LaptopAzure, node: str, url: str, target: Path) -> subprocess.CompletedProcess[str]:
    """The real azcopy on a node: it logs in by the identity endpoint and trusts the stack's authority."""
    program = (
        Path(__file__).parents[2]
        / "local/npm/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64"
    )
    program.chmod(0o755)  # npm leaves it unexecutable
    host = azure.blob.removeprefix("https://")
    return subprocess.run(
        [
            *(str(program), "cp", url, str(target), "--recursive", "--from-to", "BlobLocal"),
            *("--skip-version-check", "--trusted-microsoft-suffixes", f"127.0.0.1;{host}"),
        ],
        env={
            "HOME": str(azure.folder),
            "AZCOPY_AUTO_LOGIN_TYPE": "MSI",
            "IDENTITY_ENDPOINT": f"{azure.identity}/nodes/{node}/msi/token",
            "IDENTITY_HEADER": HEADER,
            "SSL_CERT_FILE": str(azure.ca),
        },
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=AZCOPY_SECONDS,
    )
