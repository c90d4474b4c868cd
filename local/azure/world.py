"""What this Azure knows and remembers: role assignments, network rules, power states.

The configuration says how it began; changes are kept in one JSON file. A change shows in ARM at once, and
acts when its delay has passed, as in the real one. Nothing here speaks HTTP.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from local.azure.settings import parse_behaviour

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from local.azure.settings import Behaviour, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A storage account's firewall, as ARM shows it."""

    public_access: str = ""
    """Empty on an account older than the switch, where nobody ever touched it: then it is on."""
    default_action: str = "Allow"
    bypass: str = "AzureServices"
    ip_rules: tuple[str, ...] = ()
    subnet_ids: tuple[str, ...] = ()
    kept_rules: dict[str, Any] = field(default_factory=dict)
    """Rules of further kinds, by their ARM names: shown as they were sent, admitting nobody here."""

    def admits(self, subnet_id: str | None) -> bool:
        """Whether a caller in that subnet (or in none) comes through.

        IP rules admit nobody: everybody here is in the account's region, and those they never match.
        """
        if self.public_access not in ("Enabled", ""):
            return False
        if self.default_action == "Allow":
            return True
        return subnet_id is not None and subnet_id.lower() in {each.lower() for each in self.subnet_ids}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A role that somebody has on a scope; `acts_at` is when the data plane begins to know."""

    name: str
    scope: str
    principal_id: str
    principal_type: str
    role_definition_id: str
    created_at: float
    acts_at: float

    @property
    def id(self) -> str:
        """The ARM resource id."""
        return f"{self.scope}/providers/Microsoft.Authorization/roleAssignments/{self.name}"

    @property
    def role_id(self) -> str:
        """The GUID at the end of the definition's id."""
        return self.role_definition_id.rpartition("/")[2].lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChange:
    """A firewall, and when it begins to act."""

    acts_at: float
    network: Network


class World:
    """The mutable state, changed by ARM and asked by the blob gate."""

    settings: Settings
    behaviour: Behaviour

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.behaviour = settings.behaviour
        self._file = settings.files.state
        self._assignments: dict[str, Assignment] = {}
        self._networks: dict[str, list[NetworkChange]] = {}
        self._power: dict[str, str] = {}
        self._begin()
        self._restore()

    def network(self, account: str) -> Network:
        """What ARM shows: the latest, whether it acts yet or not."""
        return self._networks[account][-1].network

    def network_in_force(self, account: str) -> Network:
        """What the data plane goes by at this moment."""
        now = time.time()
        return next(each.network for each in reversed(self._networks[account]) if each.acts_at <= now)

    def change_network(self, account: str, network: Network) -> None:
        """Show it now, let it act after the delay."""
        if network == self.network(account):
            return
        acts_at = time.time() + self.behaviour.network_delay_seconds
        acting = NetworkChange(acts_at=0.0, network=self.network_in_force(account))
        coming = [each for each in self._networks[account] if each.acts_at > time.time()]
        self._networks[account] = [acting, *coming, NetworkChange(acts_at=acts_at, network=network)]
        self._keep()

    def assignments(self) -> tuple[Assignment, ...]:
        """Every role assignment, in the order of their making."""
        return tuple(self._assignments.values())

    def assignment(self, assignment_id: str) -> Assignment | None:
        """The assignment with that resource id."""
        return self._assignments.get(assignment_id.lower())

    def grant(self, assignment: Assignment) -> None:
        """Show it now; it says itself when it acts."""
        self._assignments[assignment.id.lower()] = assignment
        self._keep()

    def revoke(self, assignment_id: str) -> Assignment | None:
        """Take it back, at once."""
        gone = self._assignments.pop(assignment_id.lower(), None)
        self._keep()
        return gone

    def has_role(self, principal_id: str, role_ids: Collection[str], scope: str) -> bool:
        """Whether one of the roles acts for the principal, on the scope or above it."""
        now, below = time.time(), f"{scope}/".lower()
        return any(
            each.principal_id == principal_id
            and each.role_id in role_ids
            and each.acts_at <= now
            and below.startswith(f"{each.scope}/".lower())
            for each in self._assignments.values()
        )

    def power(self, cluster_id: str) -> str:
        """`Running` or `Stopped`."""
        return self._power.get(cluster_id, "Running")

    def set_power(self, cluster_id: str, state: str) -> None:
        """Start or stop a cluster."""
        self._power[cluster_id] = state
        self._keep()

    def behave(self, changes: dict[str, Any]) -> Behaviour:
        """Change how slow or strict it is, from now on; raises SettingsError."""
        self.behaviour = parse_behaviour(changes, self.behaviour)
        return self.behaviour

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes, as JSON."""
        return {
            "assignments": [asdict(each) for each in self._assignments.values()],
            "networks": {
                name: [asdict(each) for each in changes] for name, changes in self._networks.items()
            },
            "power": self._power,
        }

    def _begin(self) -> None:
        for account in self.settings.accounts:
            network = (
                Network() if account.is_open else Network(public_access="Disabled", default_action="Deny")
            )
            self._networks[account.name] = [NetworkChange(acts_at=0.0, network=network)]
        for number, grant in enumerate(self.settings.grants):
            assignment = Assignment(
                name=f"00000000-0000-4000-8000-{number:012d}",
                scope=grant.scope,
                principal_id=grant.principal_id,
                principal_type="ServicePrincipal",
                role_definition_id=f"/providers/Microsoft.Authorization/roleDefinitions/{grant.role_id}",
                created_at=0.0,
                acts_at=0.0,
            )
            self._assignments[assignment.id.lower()] = assignment

    def _restore(self) -> None:
        if not self._file.exists():
            return
        try:
            kept = _parse_snapshot(json.loads(self._file.read_text()))
        except (ValueError, TypeError, KeyError) as error:
            aside = self._file.with_suffix(".damaged")
            self._file.replace(aside)
            print(f"{self._file} could not be read ({error}); set aside as {aside}, begun anew", flush=True)
            return
        assignments, networks, self._power = kept
        self._assignments = {each.id.lower(): each for each in assignments}
        self._networks.update({name: changes for name, changes in networks.items() if name in self._networks})

    def _keep(self) -> None:
        _replace_file(self._file, json.dumps(self.snapshot(), indent=1))


def _parse_snapshot(
    raw: dict[str, Any],
) -> tuple[list[Assignment], dict[str, list[NetworkChange]], dict[str, str]]:
    networks = {
        name: [
            NetworkChange(acts_at=each["acts_at"], network=_parse_network(each["network"]))
            for each in changes
        ]
        for name, changes in raw["networks"].items()
    }
    return [Assignment(**each) for each in raw["assignments"]], networks, dict(raw["power"])


def _parse_network(raw: dict[str, Any]) -> Network:
    return Network(**{**raw, "ip_rules": tuple(raw["ip_rules"]), "subnet_ids": tuple(raw["subnet_ids"])})


def _replace_file(path: Path, content: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(content)
    draft.replace(path)
