"""Every adapter, made from the settings: what `function_app` hands to hands and doors."""

from dataclasses import dataclass
from pathlib import Path

from shared.adapters.agent_files import read_agent_files
from shared.adapters.azure_clients import AzureClients
from shared.adapters.azure_roles import AzureRoles
from shared.adapters.azure_storage import AzureStorageAccounts
from shared.adapters.blob_catalog import BlobCatalog
from shared.adapters.claims import BlobClaims
from shared.adapters.documents import Documents
from shared.adapters.entra_identity import EntraIdentity, Tenant
from shared.adapters.kubernetes_clusters import KubernetesClusters
from shared.adapters.kubernetes_monitor import KubernetesMonitor
from shared.adapters.kubernetes_session import KubernetesSessions
from shared.adapters.ledger import BlobLedgers
from shared.domain.daemonset import PodRules
from shared.domain.selecting import NodeRules
from shared.settings import PodSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureWorld:
    """Implements `World` on Azure and Kubernetes."""

    accounts: AzureStorageAccounts
    catalog: BlobCatalog
    callers: EntraIdentity | None
    claims: BlobClaims
    clusters: KubernetesClusters
    ledgers: BlobLedgers
    monitor: KubernetesMonitor
    roles: AzureRoles
    pod_rules: PodRules


def open_world(settings: Settings, root: Path) -> AzureWorld:
    """Make every adapter; `root` holds the agent. Nothing is contacted before the first call."""
    clients = AzureClients(settings.azure)
    documents = Documents(clients, settings.azure)
    sessions = KubernetesSessions(clients)
    nodes = NodeRules(labels=settings.pods.node_labels, tolerated_taints=settings.pods.tolerations)
    return AzureWorld(
        accounts=AzureStorageAccounts(clients, settings.access),
        catalog=BlobCatalog(clients, settings.access.container),
        callers=_callers(settings),
        claims=BlobClaims(documents),
        clusters=KubernetesClusters(clients, sessions, nodes, read_agent_files(root / "agent")),
        ledgers=BlobLedgers(documents),
        monitor=KubernetesMonitor(sessions),
        roles=AzureRoles(clients, settings.access.container),
        pod_rules=_pod_rules(settings.pods, settings.azure.ca_bundle),
    )


def _callers(settings: Settings) -> EntraIdentity | None:
    tenant, client = settings.auth.tenant_id, settings.auth.client_id
    if tenant is None or client is None:
        return None  # the settings allow that only where callers need no token
    return EntraIdentity(
        Tenant(
            authority_host=settings.azure.authority_host,
            tenant_id=tenant,
            client_id=client,
            ca_bundle=settings.azure.ca_bundle,
        )
    )


def _pod_rules(pods: PodSettings, ca_bundle: Path | None) -> PodRules:
    return PodRules(
        node_directory=pods.node_directory,
        pause_image=pods.pause_image,
        engine=pods.engine,
        memory_limit=pods.memory_limit,
        ca_pem=None if ca_bundle is None else ca_bundle.read_text(encoding="ascii"),
    )
