"""Who is told what: the files and environments that make four servers one stack.

The app gets nothing but settings that any cloud needs: endpoints, an identity endpoint as on App Service,
a certificate bundle. The pods get their identity endpoint injected, as a webhook does on AKS.
"""

import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local import azurite
from local.azurite import AzuritePlan
from local.certificates import ensure_certificates
from local.clusters import REGISTRY, Cluster, Embedded, Given
from local.hosts import Host, Post
from local.places import Places
from local.processes import Program
from local.staging import BlobServer

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
TENANT = "22222222-2222-4222-8222-222222222222"
RESOURCE_GROUP = "rg-elb"
CLUSTER = "elb-cluster"
DATA_ACCOUNT = "blastdata"  # closed to the public until a run opens it
STATE_ACCOUNT = "warmupstate"  # the app's own
# The network that the app is joined to, as a mode without a public window needs.
APP_SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    "/providers/Microsoft.Network/virtualNetworks/app-vnet/subnets/app-subnet"
)
IMAGES = (f"{REGISTRY}.azurecr.io/ncbi/elb:*", "mcr.microsoft.com/oss/kubernetes/pause:*")

_APP = {
    "object_id": "aaaaaaaa-0000-4000-8000-000000000001",
    "client_id": "aaaaaaaa-0000-4000-8000-000000000002",
}
_KUBELET = {
    "object_id": "bbbbbbbb-0000-4000-8000-000000000001",
    "client_id": "bbbbbbbb-0000-4000-8000-000000000002",
}
_BLOB_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
_BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
# Seconds that a new role assignment takes to act here; minutes in Azure.
_ROLE_DELAY_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where each server listens."""

    host: int
    rpc: int
    cluster: int
    azurite: int
    queue: int
    table: int
    arm: int
    identity: int
    authority: int
    blob: int
    injection: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """One stack's places and ports, its host and its cluster."""

    places: Places
    ports: Ports
    host: Host
    cluster: Cluster
    address: str = "127.0.0.1"  # of this machine, where nodes reach blobs and the identity endpoint
    control: bool = False  # whether host, cluster and azure can be made to fail

    @property
    def app_url(self) -> str:
        """Where the Functions host serves."""
        return f"http://127.0.0.1:{self.ports.host}"

    @property
    def blob_url(self) -> str:
        """The blob endpoint of the account that holds the databases."""
        return f"https://{self.address}:{self.ports.blob}/{DATA_ACCOUNT}/"

    @property
    def node_names(self) -> tuple[str, ...]:
        """The cluster's nodes."""
        return self.cluster.facts.node_names

    @property
    def sees_nodes(self) -> bool:
        """Whether the nodes' folders are known on this machine."""
        return isinstance(self.cluster, Embedded) or self.places.node_folders is not None

    @property
    def azurite(self) -> AzuritePlan:
        """How Azurite is started."""
        return AzuritePlan(
            folder=self.places.blobs,
            port=self.ports.azurite,
            certificates=ensure_certificates(self.places.tls, "azurite"),
            accounts=(DATA_ACCOUNT, STATE_ACCOUNT),
            queue_port=self.ports.queue if self.host.needs_queues else None,
            table_port=self.ports.table if self.host.needs_queues else None,
        )

    @property
    def post(self) -> Post:
        """What the host is told."""
        return Post(
            places=self.places,
            port=self.ports.host,
            rpc_port=self.ports.rpc,
            settings=app_environment(self),
            control=self.control,
            storage=azurite.connection_string(self.azurite, STATE_ACCOUNT),
        )

    @property
    def injection_url(self) -> str:
        """Where a given cluster asks about its pods."""
        return f"https://{self.address}:{self.ports.injection}/inject"

    @property
    def staging_server(self) -> BlobServer:
        """Where an operator puts databases, by the account's own key."""
        return BlobServer(
            endpoint=self.azurite.endpoint,
            account=DATA_ACCOUNT,
            key=azurite.account_keys(self.azurite)[DATA_ACCOUNT],
            authority=self.places.tls / "ca.pem",
        )


def write_files(wiring: Wiring) -> None:
    """Write what the servers read at their start."""
    places = wiring.places
    for folder in (places.root, places.tls, places.logs, places.cluster):
        folder.mkdir(parents=True, exist_ok=True)
    for stale in (places.root / "azure-ready.json", places.kubeconfig):
        stale.unlink(missing_ok=True)
    header = _identity_header(places)
    _write(places.root / "images.json", list(IMAGES))
    _write(places.root / "pod-env.json", _pod_environment(wiring, header))
    _write(places.root / "azure.json", _azure(wiring, header))
    wiring.host.prepare(wiring.post)
    if isinstance(wiring.cluster, Given):
        _write_private(places.kubeconfig, wiring.cluster.kubeconfig)


def programs(wiring: Wiring) -> tuple[Program, ...]:
    """The servers; none waits for another at its start."""
    blobs = Program(
        name="azurite",
        command=azurite.command(wiring.azurite),
        environment=azurite.environment(wiring.azurite),
    )
    azure = Program(
        name="azure",
        command=[*_python("local.azure"), "--config", str(wiring.places.root / "azure.json")],
        environment={},
    )
    return (blobs, *_cluster_programs(wiring), azure, wiring.host.program(wiring.post))


def app_environment(wiring: Wiring) -> dict[str, str]:
    """The app's settings: the ones that a sovereign cloud needs too, and nothing else."""
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING": "1",
        "AzureWebJobsStorage__blobServiceUri": f"https://{wiring.address}:{wiring.ports.blob}/{STATE_ACCOUNT}",
        "AZURE_ARM_ENDPOINT": f"https://127.0.0.1:{wiring.ports.arm}",
        "AZURE_AUTHORITY_HOST": f"https://127.0.0.1:{wiring.ports.authority}",
        "AZURE_TENANT_ID": TENANT,
        "API_CLIENT_ID": _APP["client_id"],
        "CA_BUNDLE_FILE": str(wiring.places.tls / "ca.pem"),
        "IDENTITY_ENDPOINT": f"http://{wiring.address}:{wiring.ports.identity}/msi/token",
        "IDENTITY_HEADER": _identity_header(wiring.places),
        "AUTH_DEV_BYPASS": "true",
        "ALLOWED_CLUSTERS": "*",
        "ALLOWED_STORAGE_ACCOUNTS": "*",
        "STORAGE_ACCESS_MODE": "window",
        **wiring.cluster.app_settings,
    }


def _pod_environment(wiring: Wiring, header: str) -> dict[str, str]:
    endpoint = f"http://{wiring.address}:{wiring.ports.identity}/nodes/{{node}}/msi/token"
    return {"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": header}


def _cluster_programs(wiring: Wiring) -> tuple[Program, ...]:
    if not isinstance(wiring.cluster, Embedded):
        return ()
    places, nodes = wiring.places, wiring.cluster.nodes
    certificates = ensure_certificates(places.tls, "cluster")
    command = [
        *_python("local.cluster"),
        *("--root", str(places.cluster), "--port", str(wiring.ports.cluster), "--nodes", str(nodes)),
        *("--cert", str(certificates.certificate), "--key", str(certificates.key)),
        *("--ca", str(certificates.authority), "--kubeconfig", str(places.kubeconfig)),
        *("--images", str(places.root / "images.json"), "--pod-env", str(places.root / "pod-env.json")),
        *(["--control"] if wiring.control else []),
    ]
    return (Program(name="cluster", command=command, environment={}),)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _azure(wiring: Wiring, header: str) -> dict[str, object]:
    places = wiring.places
    certificates = ensure_certificates(places.tls, "azure", wiring.address)
    ports = asdict(wiring.ports)
    where = {"subscription_id": SUBSCRIPTION, "resource_group": RESOURCE_GROUP, "location": "koreacentral"}
    return {
        "tenant_id": TENANT,
        "identity_header": header,
        "azurite_port": wiring.ports.azurite,
        "app": _APP,
        "kubelet": _KUBELET,
        "ports": {
            **{name: ports[name] for name in ("arm", "identity", "authority", "blob")},
            "injection": ports["injection"] if isinstance(wiring.cluster, Given) else None,
            "control": 0 if wiring.control else None,  # a free one; `azure-ready.json` tells which
        },
        "files": {
            "certificate": str(certificates.certificate),
            "key": str(certificates.key),
            "authority": str(certificates.authority),
            "state": str(places.root / "azure-state.json"),
            "signing_key": str(places.tls / "tenant.key"),
            "logs": str(places.logs),
            "ready": str(places.root / "azure-ready.json"),
        },
        "clusters": [{**where, **_azure_cluster(wiring)}],
        "accounts": [
            {**where, "name": DATA_ACCOUNT, "is_open": False},
            {**where, "name": STATE_ACCOUNT, "is_open": True},
        ],
        "registries": [{**where, "name": REGISTRY}],
        "grants": [_grant(_BLOB_CONTRIBUTOR, STATE_ACCOUNT), _grant(_BLOB_READER, DATA_ACCOUNT)],
        "behaviour": {"role_delay_seconds": _ROLE_DELAY_SECONDS},
        "mints_user_tokens": True,
        "app_subnet_id": APP_SUBNET,
        "address": wiring.address,
    }


def _azure_cluster(wiring: Wiring) -> dict[str, object]:
    facts = wiring.cluster.facts
    return {
        "name": CLUSTER,
        "kubeconfig": str(wiring.places.kubeconfig),
        "node_count": len(facts.node_names),
        "api_server": facts.server,
        "kubernetes_version": facts.version,
        "vm_size": facts.vm_size,
    }


def _grant(role_id: str, account: str) -> dict[str, str]:
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    scope = f"{group}/providers/Microsoft.Storage/storageAccounts/{account}"
    return {"principal_id": _APP["object_id"], "role_id": role_id, "scope": scope}


def _identity_header(places: Places) -> str:
    """The secret between an identity endpoint and those who may ask it, drawn once per stack."""
    file = places.tls / "identity-header"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file.read_text()


def _write(file: Path, document: Mapping[str, object] | list[str] | dict[str, str]) -> None:
    _write_private(file, json.dumps(document, indent=1))


def _write_private(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)
