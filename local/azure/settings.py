"""The configuration file of the Azure that runs here, parsed once into value objects.

A JSON object with the fields of `Settings`; paths are absolute. A missing or odd field is named.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """The file cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A managed identity: what Entra calls its object, and the client id that asks for it."""

    object_id: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where each listener is; 0 takes a free one. `injection` and `control` are None unless asked for."""

    arm: int
    identity: int
    authority: int
    blob: int
    injection: int | None
    control: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What is read and written outside the process."""

    certificate: Path
    key: Path
    authority: Path
    """The certificates this process trusts when it calls Azurite."""
    state: Path
    """Role assignments, network rules and power states, kept over restarts."""
    signing_key: Path
    """The Entra tenant's key; made when absent."""
    logs: Path
    """Folder of `arm.jsonl` and `blob.jsonl`."""
    ready: Path
    """Written when every listener is up: the endpoints, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A managed cluster: `kubeconfig` is handed out as the user's credential."""

    subscription_id: str
    resource_group: str
    name: str
    kubeconfig: Path
    node_count: int
    location: str
    api_server: str
    kubernetes_version: str = "1.34"
    vm_size: str = "Standard_E16s_v5"
    uses_entra: bool = False
    """Whether its API server takes Entra tokens."""

    @property
    def id(self) -> str:
        """The ARM resource id."""
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.ContainerService/managedClusters/{self.name}"

    @property
    def node_resource_group(self) -> str:
        """The group that AKS makes for what the cluster owns."""
        return f"MC_{self.resource_group}_{self.name}_{self.location}"

    @property
    def node_subnet_id(self) -> str:
        """Where the nodes are: a virtual network rule for it admits them to a closed account."""
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.node_resource_group}"
        return f"{group}/providers/Microsoft.Network/virtualNetworks/aks-vnet/subnets/aks-subnet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A storage account; `is_open` is its network state before anybody changed it."""

    subscription_id: str
    resource_group: str
    name: str
    location: str
    is_open: bool

    @property
    def id(self) -> str:
        """The ARM resource id."""
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.Storage/storageAccounts/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A container registry."""

    subscription_id: str
    resource_group: str
    name: str
    location: str
    role_assignment_mode: str = "LegacyRegistryPermissions"
    """Or `AbacRepositoryPermissions`, in which AcrPull is worth nothing."""

    @property
    def id(self) -> str:
        """The ARM resource id."""
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.ContainerRegistry/registries/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role that somebody had from the start: it acts at once."""

    principal_id: str
    role_id: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What can be changed while it runs: how slow Azure is and what the app may do."""

    role_delay_seconds: float = 0.0
    network_delay_seconds: float = 0.0
    may_grant_roles: bool = True
    may_change_network: bool = True
    deleted_subnets: str = ""
    """Resource ids, by commas: a rule for one stays, is shown as deleted, and refuses any set it is in."""
    updating_subnets: str = ""
    """Those that somebody is changing: a set of rules with one is refused for as long."""
    token_life_seconds: int = 86_400
    """A managed identity's token lives for a day."""
    nodes_have_several_identities: bool = False
    """If so, a node's request for a token must name its client id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything `python -m local.azure` needs to know."""

    tenant_id: str
    identity_header: str
    azurite_port: int
    app: Identity
    kubelet: Identity
    ports: Ports
    files: Files
    clusters: tuple[Cluster, ...]
    accounts: tuple[Account, ...]
    registries: tuple[Registry, ...]
    grants: tuple[Grant, ...]
    behaviour: Behaviour
    mints_user_tokens: bool
    app_subnet_id: str | None = None
    """The subnet that the app is joined to, if any: a rule for it admits the app."""
    address: str = "127.0.0.1"
    """Where blobs, the identity endpoint and the injection listen: nodes must reach it."""

    @property
    def resources(self) -> tuple[Cluster | Account | Registry, ...]:
        """All that has an ARM id."""
        return (*self.clusters, *self.accounts, *self.registries)


def read_settings(path: Path) -> Settings:
    """Read the file; raises SettingsError."""
    try:
        return parse_settings(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist; name a configuration with --config") from error
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error


def parse_settings(raw: dict[str, Any]) -> Settings:
    """Validate the whole; raises SettingsError naming what is missing."""
    try:
        return Settings(
            tenant_id=raw["tenant_id"],
            identity_header=raw["identity_header"],
            azurite_port=int(raw["azurite_port"]),
            app=Identity(**raw["app"]),
            kubelet=Identity(**raw["kubelet"]),
            ports=_ports(raw.get("ports", {})),
            files=Files(**{name: Path(path) for name, path in raw["files"].items()}),
            clusters=tuple(_cluster(each) for each in raw["clusters"]),
            accounts=tuple(Account(**each) for each in raw["accounts"]),
            registries=tuple(Registry(**each) for each in raw.get("registries", [])),
            grants=tuple(Grant(**each) for each in raw.get("grants", [])),
            behaviour=parse_behaviour(raw.get("behaviour", {}), Behaviour()),
            mints_user_tokens=raw.get("mints_user_tokens", False),
            app_subnet_id=raw.get("app_subnet_id"),
            address=raw.get("address", "127.0.0.1"),
        )
    except KeyError as missing:
        raise SettingsError(f"the configuration lacks {missing}") from missing
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the configuration has an odd field: {error}") from error


def parse_behaviour(raw: dict[str, Any], before: Behaviour) -> Behaviour:
    """Change the named fields; raises SettingsError for one that is unknown or of another type."""
    for name, value in raw.items():
        expected = type(getattr(Behaviour(), name, None))
        # A whole number of seconds is fine, True is not.
        fits = type(value) in (int, float) if expected is float else type(value) is expected
        if not fits:
            raise SettingsError(f"behaviour has no {name} = {value!r}; see local/azure/settings.py")
    return replace(before, **raw)


def _ports(raw: dict[str, int]) -> Ports:
    free: dict[str, Any] = dict.fromkeys(("arm", "identity", "authority", "blob"), 0)
    return Ports(**{**free, "injection": None, "control": None, **raw})


def _cluster(raw: dict[str, Any]) -> Cluster:
    return Cluster(**{**raw, "kubeconfig": Path(raw["kubeconfig"])})
