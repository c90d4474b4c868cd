"""What a run is given, what it carries from one generation of its history to the next, what it returns."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.leases import NetworkState
from shared.domain.model import (
    AS_FOUND,
    AccessTerms,
    Account,
    Cluster,
    Database,
    Registry,
    RoleGrant,
    StagedDatabase,
    WarmupPlan,
    WarmupRequest,
)
from shared.domain.observing import MissingPods, NodeState
from shared.domain.phases import Journal
from shared.domain.progress import Blind, NodeLog, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A run whose DaemonSets are applied: what the watch needs to go on after continue-as-new."""

    plan: WarmupPlan
    looks: int
    last: Observation | None
    blind: Blind | None = None  # while nobody answers
    stretched_to: datetime | None = None  # where a measured rate has moved the deadline

    @property
    def deadline(self) -> datetime:
        """When the run gives up, as far as is known now."""
        return self.stretched_to or self.plan.deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The orchestration's input: the request, and what earlier generations have reached."""

    request: WarmupRequest
    started_at: datetime | None = None
    journal: Journal = field(default_factory=Journal)
    grants: tuple[RoleGrant, ...] = ()
    watching: Watching | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuery:
    """Which account, and which run asks."""

    subscription_id: str
    name: str
    resource_group: str | None
    run_id: str
    cluster: str = ""  # for which; the logs say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The account to use, and what it was like before any run opened it."""

    account: Account
    before: NetworkState
    would_open: bool = False  # whether the nodes need it changed: a dry run leaves it at that
    terms: AccessTerms = AS_FOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Whether the data plane answers the app: `reachable`, or how it refuses."""

    outcome: str  # reachable | blocked | denied | not_found | network
    message: str = ""

    @property
    def reachable(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.outcome == "reachable"

    @property
    def is_final(self) -> bool:
        """Whether no network change will cure it."""
        return self.outcome == "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseQuery:
    """One database in one account."""

    account: Account
    database: Database


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingQuery:
    """Which nodes shall hold what."""

    cluster: Cluster
    nodes: tuple[str, ...]
    databases: tuple[StagedDatabase, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleQuery:
    """Who must be able to read what."""

    principal_id: str
    account: Account
    registry: Registry | None
    cluster: Cluster  # its subscription holds the registry


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutOrder:
    """Put one database of a plan onto the nodes."""

    plan: WarmupPlan
    staged: StagedDatabase
    run_id: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOrder:
    """Look at the nodes once."""

    cluster: Cluster
    databases: tuple[StagedDatabase, ...]
    run_id: str
    applied_at: datetime
    now: datetime
    missing: tuple[MissingPods, ...] = ()  # as the look before found them
    terms: AccessTerms = AS_FOUND  # what they are shut out of, should the account not let them in


def missing_in(last: Observation | None) -> tuple[MissingPods, ...]:
    """What the next look must know of this one."""
    seen = last.databases if last else ()
    return tuple(each.missing for each in seen if each.missing is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What one run holds on a cluster: its claims, and the DaemonSets that carry its id."""

    cluster: Cluster
    databases: tuple[Database, ...]
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of a run's DaemonSet when not every node became warm."""

    cluster: Cluster
    database: Database
    run_id: str
    warm_nodes: tuple[str, ...]  # by name, at least one
    left_out: int  # how many others there were


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningOrder:
    """Open the account for a run, as long as the run holds its databases."""

    query: AccountQuery
    holdings: Holdings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOrder:
    """Probe the account for a run, as long as nobody asks the run to end."""

    account: Account
    holdings: Holdings


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLook:
    """Every targeted node's state, for one database."""

    database: Database
    settled: bool  # the DaemonSet controller has seen the newest template
    states: tuple[NodeState, ...]
    missing: MissingPods | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLook:
    """All of one look, before it is summed up."""

    databases: tuple[DatabaseLook, ...]
    logs: tuple[NodeLog, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One row of the list of databases, as the dashboard shows it."""

    name: str
    container: str
    prefix: str
    source: str  # ncbi | custom
    file_count: int
    total_bytes: int
    last_modified: datetime
    source_version: str | None
    downloaded_at: str | None
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """How one run ended, in the fields that an alert and a query need."""

    run_id: str
    status: str
    cluster: str
    databases: str
    error: str
    bytes_fetched: int
    seconds: float
