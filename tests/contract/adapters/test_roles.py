"""The port `Roles`."""

import pytest
from testkit.azure import DATA_ACCOUNT, KUBELET, READER, SUBSCRIPTION, LaptopAzure, account_id

from shared.adapters.azure_clients import AzureClients
from shared.adapters.azure_roles import AzureRoles
from shared.domain.model import Account, Cluster, Registry, RoleGrant
from shared.domain.runs import RoleQuery
from shared.ports import PassingError

CLUSTER = Cluster(subscription_id=SUBSCRIPTION, resource_group="rg-blast", name="blast_aks-1")
ACCOUNT = Account(
    resource_id=account_id(DATA_ACCOUNT), name=DATA_ACCOUNT, blob_endpoint="https://unused.example/"
)
REGISTRY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-blast"
    "/providers/Microsoft.ContainerRegistry/registries/warmacr"
)


def query(registry: Registry | None = None) -> RoleQuery:
    return RoleQuery(principal_id=KUBELET["object_id"], account=ACCOUNT, registry=registry, cluster=CLUSTER)


def container(name: str) -> str:
    return f"{ACCOUNT.resource_id}/blobServices/default/containers/{name}"


def outcomes(grants: tuple[RoleGrant, ...]) -> list[tuple[str, str]]:
    return [(grant.role, grant.outcome) for grant in grants]


def test_the_nodes_get_to_read_blobs_and_images_and_nothing_else(clients: AzureClients) -> None:
    roles = AzureRoles(clients, "granted")
    registry = Registry(name="warmacr", resource_group="rg-blast")
    grants = roles.grant(query(registry))

    assert outcomes(grants) == [("Storage Blob Data Reader", "granted"), ("AcrPull", "granted")]
    assert [grant.scope for grant in grants] == [container("granted"), REGISTRY]
    assert outcomes(roles.grant(query(registry))) == [
        ("Storage Blob Data Reader", "present"),
        ("AcrPull", "present"),
    ]


def test_who_only_looks_tells_what_is_lacking_and_grants_nothing(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    roles, before = AzureRoles(clients, "looked-for"), azure.operate("GET", "/state")["assignments"]
    unnamed = query(Registry(name="warmacr", resource_group=None))

    assert outcomes(roles.look_for(unnamed)) == [
        ("Storage Blob Data Reader", "lacking"),
        ("AcrPull", "left_to_owner"),
    ]
    assert azure.operate("GET", "/state")["assignments"] == before
    roles.grant(query())
    assert outcomes(roles.look_for(query())) == [("Storage Blob Data Reader", "present")]


def test_a_registry_with_permissions_by_repository_gets_the_role_that_pulls_there(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    registry = Registry(name="abacacr", resource_group="rg-blast")
    grants = AzureRoles(clients, "by-repository").grant(query(registry))
    assigned = azure.operate("GET", "/state")["assignments"]

    assert grants[1].role == "Container Registry Repository Reader"
    (mine,) = [each for each in assigned if each["scope"].endswith("/abacacr")]
    assert mine["role_definition_id"].endswith("/b93aa761-3e63-49ed-ac28-beffa264f7ac")


def test_a_registry_that_cannot_be_read_is_thought_a_usual_one(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    azure.fault(area="arm", kind="status", status=403, method="GET", path="registries/abacacr")
    registry = Registry(name="abacacr", resource_group="rg-blast")

    assert AzureRoles(clients, "unread").grant(query(registry))[1].role == "AcrPull"


def test_a_registry_whose_group_nobody_named_is_left_alone(clients: AzureClients) -> None:
    grants = AzureRoles(clients, "no-registry").grant(query(Registry(name="warmacr", resource_group=None)))

    assert outcomes(grants) == [("Storage Blob Data Reader", "granted"), ("AcrPull", "left_to_owner")]


def test_a_role_that_somebody_gave_by_hand_is_present(azure: LaptopAzure, clients: AzureClients) -> None:
    azure.fault(area="arm", kind="status", status=409, code="RoleAssignmentExists", method="PUT")

    assert outcomes(AzureRoles(clients, "by-hand").grant(query())) == [
        ("Storage Blob Data Reader", "present")
    ]


def test_whoever_may_not_grant_names_the_command_that_does(azure: LaptopAzure, clients: AzureClients) -> None:
    azure.operate("PATCH", "/behaviour", {"may_grant_roles": False})
    (grant,) = AzureRoles(clients, "refused").grant(query())

    assert grant.outcome == "refused"
    assert grant.remedy == (
        f"az role assignment create --assignee-object-id {KUBELET['object_id']} "
        f'--assignee-principal-type ServicePrincipal --role "Storage Blob Data Reader" '
        f"--scope {container('refused')}"
    )


def test_whoever_may_not_grant_still_sees_what_others_granted(
    azure: LaptopAzure, clients: AzureClients
) -> None:
    roles = AzureRoles(clients, "seen")
    roles.grant(query())
    azure.operate("PATCH", "/behaviour", {"may_grant_roles": False})

    assert outcomes(roles.grant(query())) == [("Storage Blob Data Reader", "present")]


@pytest.mark.parametrize(("status", "code"), [(429, ""), (503, ""), (400, "PrincipalNotFound")])
def test_a_directory_that_lags_behind_is_waited_for(
    azure: LaptopAzure, clients: AzureClients, status: int, code: str
) -> None:
    azure.fault(area="arm", kind="status", status=status, code=code, method="PUT", retry_after_seconds=0)

    with pytest.raises(PassingError, match="granting Storage Blob Data Reader"):
        AzureRoles(clients, "lagging").grant(query())


def test_the_role_is_the_one_that_azure_calls_reader(azure: LaptopAzure, clients: AzureClients) -> None:
    AzureRoles(clients, "named").grant(query())
    assigned = azure.operate("GET", "/state")["assignments"]

    mine = [each for each in assigned if each["scope"] == container("named")]
    assert [each["role_definition_id"].rpartition("/")[2] for each in mine] == [READER]
    assert [each["principal_type"] for each in mine] == ["ServicePrincipal"]
