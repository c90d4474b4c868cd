"""ARM, asked by the unmodified management libraries and, where they hide an answer, by plain HTTP."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.mgmt.storage.models import (
    IPRule,
    NetworkRuleSet,
    ResourceAccessRule,
    VirtualNetworkRule,
)
from testkit.azure import (
    DATA_ACCOUNT,
    HEADER,
    KUBELET,
    READER,
    TENANT,
    account_change,
    account_id,
    refusal_of,
    role_grant,
)

if TYPE_CHECKING:
    from azure.mgmt.authorization import AuthorizationManagementClient
    from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.storage import StorageManagementClient
    from testkit.azure import LaptopAzure

SCOPE = account_id(DATA_ACCOUNT)


def test_a_cluster_says_its_power_its_pools_and_its_kubelet_identity(
    clusters: ContainerServiceClient,
) -> None:
    cluster = clusters.managed_clusters.get("rg-blast", "blast_aks-1")
    kubelet = cluster.identity_profile["kubeletidentity"]

    assert (cluster.power_state.code, cluster.provisioning_state) == ("Running", "Succeeded")
    assert (kubelet.object_id, kubelet.client_id) == (KUBELET["object_id"], KUBELET["client_id"])
    assert kubelet.resource_id.endswith("blast_aks-1-agentpool")
    assert [(pool.name, pool.count) for pool in cluster.agent_pool_profiles] == [("blastpool", 3)]
    assert cluster.api_server_access_profile.enable_private_cluster is False


def test_clusters_and_pools_are_listed(clusters: ContainerServiceClient) -> None:
    assert [each.name for each in clusters.managed_clusters.list()] == ["blast_aks-1"]
    assert [each.name for each in clusters.managed_clusters.list_by_resource_group("RG-BLAST")] == [
        "blast_aks-1"
    ]
    assert [each.name for each in clusters.agent_pools.list("rg-blast", "blast_aks-1")] == ["blastpool"]


def test_a_stopped_cluster_says_so(azure: LaptopAzure, clusters: ContainerServiceClient) -> None:
    azure.operate("PUT", "/power/blast_aks-1", {"state": "Stopped"})
    try:
        assert clusters.managed_clusters.get("rg-blast", "blast_aks-1").power_state.code == "Stopped"
    finally:
        azure.operate("PUT", "/power/blast_aks-1", {"state": "Running"})


def test_the_users_credential_is_the_clusters_kubeconfig(
    azure: LaptopAzure, clusters: ContainerServiceClient
) -> None:
    credential = clusters.managed_clusters.list_cluster_user_credentials("rg-blast", "blast_aks-1")

    (kubeconfig,) = credential.kubeconfigs or []
    assert kubeconfig.name == "clusterUser"
    assert kubeconfig.value == (azure.folder / "kubeconfig").read_bytes()


@pytest.mark.parametrize(
    ("group", "name", "code"),
    [("rg-blast", "nobody", "ResourceNotFound"), ("rg-nowhere", "blast_aks-1", "ResourceGroupNotFound")],
)
def test_what_is_not_there_is_refused_by_name(
    clusters: ContainerServiceClient, group: str, name: str, code: str
) -> None:
    with pytest.raises(HttpResponseError) as refused:
        clusters.managed_clusters.get(group, name)

    assert refusal_of(refused.value) == (404, code)


def test_an_account_is_found_by_listing_the_subscription(
    azure: LaptopAzure, storage: StorageManagementClient
) -> None:
    found = {each.name: each for each in storage.storage_accounts.list()}

    assert set(found) == {"warmdata", "warmapp"}
    assert found["warmdata"].id == SCOPE
    assert found["warmdata"].primary_endpoints.blob == f"{azure.blob}/warmdata/"
    assert found["warmdata"].public_network_access == "Disabled"
    assert found["warmapp"].public_network_access is None


def test_an_accounts_rules_are_written_and_read_back_whole(storage: StorageManagementClient) -> None:
    rules = NetworkRuleSet(
        default_action="Deny",
        bypass="None",
        ip_rules=[IPRule(ip_address_or_range="203.0.113.7", action="Allow")],
        virtual_network_rules=[VirtualNetworkRule(virtual_network_resource_id="/subnet", action="Allow")],
        resource_access_rules=[ResourceAccessRule(tenant_id=TENANT, resource_id="/workspace")],
    )
    update = account_change(public_network_access="Enabled", network_rule_set=rules)
    storage.storage_accounts.update("rg-storage", "warmdata", update)

    account = storage.storage_accounts.get_properties("rg-storage", "warmdata")
    kept = account.network_rule_set
    assert account.public_network_access == "Enabled"
    assert (kept.default_action, kept.bypass) == ("Deny", "None")
    assert [each.resource_id for each in kept.resource_access_rules] == ["/workspace"]
    assert [each.ip_address_or_range for each in kept.ip_rules] == ["203.0.113.7"]
    assert [each.virtual_network_resource_id for each in kept.virtual_network_rules] == ["/subnet"]


def test_rules_that_are_not_sent_are_gone(storage: StorageManagementClient) -> None:
    full = NetworkRuleSet(
        default_action="Deny",
        virtual_network_rules=[VirtualNetworkRule(virtual_network_resource_id="/subnet", action="Allow")],
    )
    update = storage.storage_accounts.update
    update("rg-storage", "warmdata", account_change(network_rule_set=full))
    bare = account_change(network_rule_set=NetworkRuleSet(default_action="Deny"))

    assert update("rg-storage", "warmdata", bare).network_rule_set.virtual_network_rules == []


def test_the_app_may_be_forbidden_to_change_the_network(
    azure: LaptopAzure, storage: StorageManagementClient
) -> None:
    azure.operate("PATCH", "/behaviour", {"may_change_network": False})

    with pytest.raises(HttpResponseError) as refused:
        storage.storage_accounts.update(
            "rg-storage", "warmdata", account_change(public_network_access="Enabled")
        )
    assert refusal_of(refused.value) == (403, "AuthorizationFailed")
    assert "Microsoft.Storage/storageAccounts/write" in refused.value.message


def test_a_role_is_granted_found_and_taken_back(roles: AuthorizationManagementClient) -> None:
    container = f"{SCOPE}/blobServices/default/containers/blast-db"
    name = str(uuid.uuid4())
    made = roles.role_assignments.create(container, name, role_grant(KUBELET["object_id"], READER))
    again = roles.role_assignments.create(container, name, role_grant(KUBELET["object_id"], READER))

    mine = f"principalId eq '{KUBELET['object_id']}'"
    assert made.id == again.id == f"{container}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert roles.role_assignments.get(container, name).principal_id == KUBELET["object_id"]
    assert [each.name for each in roles.role_assignments.list_for_scope(SCOPE, filter=mine)] == [name]
    assert name not in [
        each.name for each in roles.role_assignments.list_for_scope(SCOPE, filter="atScope()")
    ]
    assert roles.role_assignments.delete(container, name).name == name
    assert roles.role_assignments.delete(container, name) is None
    with pytest.raises(HttpResponseError) as refused:
        roles.role_assignments.get(container, name)
    assert refusal_of(refused.value)[1] == "RoleAssignmentNotFound"


def test_the_same_role_under_another_name_exists_already(roles: AuthorizationManagementClient) -> None:
    first = str(uuid.uuid4())
    roles.role_assignments.create(SCOPE, first, role_grant(KUBELET["object_id"], READER))

    with pytest.raises(ResourceExistsError) as refused:
        roles.role_assignments.create(SCOPE, str(uuid.uuid4()), role_grant(KUBELET["object_id"], READER))
    assert refusal_of(refused.value) == (409, "RoleAssignmentExists")
    roles.role_assignments.delete(SCOPE, first)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (role_grant(str(uuid.uuid4()), READER), "PrincipalNotFound"),
        (role_grant(KUBELET["object_id"], str(uuid.uuid4())), "RoleDefinitionDoesNotExist"),
    ],
)
def test_a_grant_that_names_nothing_is_refused(
    roles: AuthorizationManagementClient, wanted: RoleAssignmentCreateParameters, code: str
) -> None:
    with pytest.raises(HttpResponseError) as refused:
        roles.role_assignments.create(SCOPE, str(uuid.uuid4()), wanted)

    assert refusal_of(refused.value) == (400, code)


def test_the_app_may_be_forbidden_to_grant_roles(
    azure: LaptopAzure, roles: AuthorizationManagementClient
) -> None:
    azure.operate("PATCH", "/behaviour", {"may_grant_roles": False})

    with pytest.raises(HttpResponseError) as refused:
        roles.role_assignments.create(SCOPE, str(uuid.uuid4()), role_grant(KUBELET["object_id"], READER))
    assert refusal_of(refused.value) == (403, "AuthorizationFailed")


def test_an_expired_token_is_refused(azure: LaptopAzure, clusters: ContainerServiceClient) -> None:
    azure.operate("PATCH", "/behaviour", {"token_life_seconds": -1})

    with pytest.raises(ClientAuthenticationError) as refused:
        clusters.managed_clusters.get("rg-blast", "blast_aks-1")
    assert refusal_of(refused.value)[1] == "ExpiredAuthenticationToken"


def ask(azure: LaptopAzure, path: str, token: str | None, body: bytes | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(  # noqa: S310 - https on loopback
        f"{azure.arm}{path}", headers=headers, data=body, method="PATCH" if body else "GET"
    )
    trust = ssl.create_default_context(cafile=str(azure.ca))
    try:
        with urllib.request.urlopen(request, context=trust, timeout=5) as answer:  # noqa: S310 - same
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())["error"]["code"]


def token_of(azure: LaptopAzure, path: str, resource: str) -> str:
    request = urllib.request.Request(  # noqa: S310 - http on loopback
        f"{azure.identity}{path}?resource={resource}&api-version=2019-08-01",
        headers={"X-IDENTITY-HEADER": HEADER},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - same
        token: str = json.loads(answer.read())["access_token"]
        return token


def test_without_a_good_token_or_an_api_version_nothing_is_said(azure: LaptopAzure) -> None:
    token = token_of(azure, "/msi/token", azure.arm)
    for_storage = token_of(azure, "/msi/token", "https://storage.azure.com/")

    assert ask(azure, f"{SCOPE}?api-version=1", None) == (401, "AuthenticationFailed")
    assert ask(azure, f"{SCOPE}?api-version=1", "not.a.token") == (401, "InvalidAuthenticationToken")
    assert ask(azure, f"{SCOPE}?api-version=1", for_storage) == (401, "InvalidAuthenticationToken")
    assert ask(azure, SCOPE, token) == (400, "MissingApiVersionParameter")
    assert ask(azure, f"{SCOPE}?api-version=1", token)[0] == 200


def test_a_node_has_no_rights_in_arm(azure: LaptopAzure) -> None:
    token = token_of(azure, "/nodes/node-1/msi/token", azure.arm)

    assert ask(azure, f"{SCOPE}?api-version=1", token) == (403, "AuthorizationFailed")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"properties": 3}',
        b'{"properties": {"publicNetworkAccess": "Maybe"}}',
        b'{"properties": {"networkAcls": 3}}',
        b'{"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [{}]}}}',
    ],
)
def test_a_malformed_body_is_refused(azure: LaptopAzure, body: bytes) -> None:
    token = token_of(azure, "/msi/token", azure.arm)

    assert ask(azure, f"{SCOPE}?api-version=1", token, body)[0] == 400


def test_what_is_not_served_says_so(azure: LaptopAzure) -> None:
    token = token_of(azure, "/msi/token", azure.arm)

    assert ask(azure, "/subscriptions/x/providers/Microsoft.Web/sites?api-version=1", token) == (
        404,
        "InvalidResourceType",
    )


def test_each_call_stands_in_the_log_without_its_token(azure: LaptopAzure) -> None:
    token = token_of(azure, "/msi/token", azure.arm)
    ask(azure, f"{SCOPE}?api-version=1", token)

    assert azure.has_logged("arm", area="arm", method="GET", path=SCOPE, status=200)
    assert token not in (azure.folder / "logs/arm.jsonl").read_text()
