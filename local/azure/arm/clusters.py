"""Microsoft.ContainerService: managed clusters, their node pools and the user's credential."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from local.azure.arm.envelope import ArmError, Call
from local.azure.arm.finding import in_group, in_subscription, require_app, the_one

if TYPE_CHECKING:
    from local.azure.settings import Cluster

KIND = "Microsoft.ContainerService/managedClusters"

POOL = "blastpool"


def get_cluster(call: Call) -> Response:
    """GET managedClusters/{name}."""
    cluster = the_one(call, call.world.settings.clusters, KIND)
    require_app(call, f"{KIND}/read", cluster.id)
    return JSONResponse(_cluster(call, cluster))


def list_clusters(call: Call) -> Response:
    """GET managedClusters, of a group or of the subscription."""
    find = in_group if "group" in call.path else in_subscription
    found = find(call, call.world.settings.clusters)
    require_app(call, f"{KIND}/read", f"/subscriptions/{call.path['subscription']}")
    return JSONResponse({"value": [_cluster(call, each) for each in found]})


def list_pools(call: Call) -> Response:
    """GET managedClusters/{name}/agentPools."""
    cluster = the_one(call, call.world.settings.clusters, KIND)
    require_app(call, f"{KIND}/agentPools/read", cluster.id)
    resource = {
        "id": f"{cluster.id}/agentPools/{POOL}",
        "name": POOL,
        "type": f"{KIND}/agentPools",
        "properties": _pool(call, cluster),
    }
    return JSONResponse({"value": [resource]})


def list_user_credentials(call: Call) -> Response:
    """POST managedClusters/{name}/listClusterUserCredential."""
    cluster = the_one(call, call.world.settings.clusters, KIND)
    require_app(call, f"{KIND}/listClusterUserCredential/action", cluster.id)
    if not cluster.kubeconfig.exists():
        message = f"The cluster has no kubeconfig yet: {cluster.kubeconfig} does not exist. Is it started?"
        raise ArmError(409, "OperationNotAllowed", message)
    value = base64.b64encode(cluster.kubeconfig.read_bytes()).decode()
    return JSONResponse({"kubeconfigs": [{"name": "clusterUser", "value": value}]})


def _cluster(call: Call, cluster: Cluster) -> dict[str, Any]:
    kubelet = call.world.settings.kubelet
    identity_id = (
        f"/subscriptions/{cluster.subscription_id}/resourcegroups/{cluster.node_resource_group}"
        f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{cluster.name}-agentpool"
    )
    return {
        "id": cluster.id,
        "name": cluster.name,
        "type": KIND,
        "location": cluster.location,
        "sku": {"name": "Base", "tier": "Free"},
        "identity": {"type": "SystemAssigned", "tenantId": call.world.settings.tenant_id},
        "properties": {
            "provisioningState": "Succeeded",
            "powerState": {"code": call.world.power(cluster.id)},
            "kubernetesVersion": cluster.kubernetes_version,
            "fqdn": cluster.api_server,
            "nodeResourceGroup": cluster.node_resource_group,
            "enableRBAC": True,
            "disableLocalAccounts": cluster.uses_entra,
            "aadProfile": {"managed": True, "enableAzureRBAC": True} if cluster.uses_entra else None,
            "apiServerAccessProfile": {"enablePrivateCluster": False, "authorizedIPRanges": []},
            "agentPoolProfiles": [{"name": POOL, **_pool(call, cluster)}],
            "identityProfile": {
                "kubeletidentity": {
                    "resourceId": identity_id,
                    "clientId": kubelet.client_id,
                    "objectId": kubelet.object_id,
                }
            },
        },
    }


def _pool(call: Call, cluster: Cluster) -> dict[str, Any]:
    return {
        "count": cluster.node_count,
        "vmSize": cluster.vm_size,
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "mode": "User",
        "type": "VirtualMachineScaleSets",
        "enableAutoScaling": False,
        "provisioningState": "Succeeded",
        "powerState": {"code": call.world.power(cluster.id)},
        "orchestratorVersion": cluster.kubernetes_version,
        "vnetSubnetID": cluster.node_subnet_id,
        "nodeLabels": {"workload": "blast"},
        "nodeTaints": ["workload=blast:NoSchedule"],
    }
