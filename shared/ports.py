"""What the hands and doors need of the world, in the words of the domain.

Each port raises `PassingError` for what a retry may cure, and returns a `Refusal` for what it cannot,
or raises it as `FinalError` where it can return none.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from shared.domain.callers import Caller, Stranger
from shared.domain.claims import Claim, Holder
from shared.domain.daemonset import PodRules, Rollout
from shared.domain.leases import AccountLedger, Ledger, NetworkState
from shared.domain.model import AccessTerms, Account, Cluster, ClusterFacts, Database, RoleGrant
from shared.domain.refusals import Refusal
from shared.domain.runs import AccountQuery, CatalogEntry, ClusterLook, LookOrder, Probe, Remains, RoleQuery
from shared.domain.staging import Listing, Manifest
from shared.domain.warmth import Sighting


class PassingError(Exception):
    """Something that may pass: a time-out, a throttle, a service that is down. Worth a retry."""


class FinalError(Exception):
    """Something that a retry will not cure, raised where a port can return no `Refusal`; carries it."""

    def __init__(self, refusal: Refusal) -> None:
        """Say it as the refusal does."""
        super().__init__(refusal.sentence)
        self.refusal = refusal


class Clusters(Protocol):
    """AKS clusters: ARM's word on them, and their Kubernetes API."""

    def facts(self, cluster: Cluster) -> ClusterFacts | Refusal:
        """Power state, kubelet identity and the nodes that a warm-up targets."""

    def apply(self, rollout: Rollout, manifest: Manifest) -> Refusal | None:
        """Write ConfigMap and DaemonSet; repeating it changes nothing."""

    def look(self, order: LookOrder) -> ClusterLook:
        """Read every pod of these databases once, with the logs that are worth reading."""

    def stop_verifying(self, cluster: Cluster, database: Database, run_id: str) -> bool:
        """Let pods that verify warm; on others it changes nothing. False: not this run's, or none there."""

    def narrow(self, remains: Remains) -> bool:
        """Leave pods on the nodes that are warm only; repeating it changes nothing. False: not this run's."""

    def remove(self, cluster: Cluster, database: Database, run_id: str | None) -> bool:
        """Delete the DaemonSet if it is of this run (of any run where None); False where none was there."""


class Catalog(Protocol):
    """The container of databases."""

    def listing(self, account: Account, database: Database) -> Listing:
        """Everything it says about one database; being shut out of the network may pass."""

    def probe(self, account: Account) -> Probe:
        """Whether it can be read from here."""

    def databases(self, account: Account) -> tuple[CatalogEntry, ...]:
        """Everything that looks like a database, complete or not."""


class Accounts(Protocol):
    """Storage accounts as ARM sees them."""

    @property
    def terms(self) -> AccessTerms:
        """How accounts are opened."""

    def find(self, query: AccountQuery) -> Account | Refusal:
        """Find an account by its name, which is global; its group need not be known."""

    def network(self, account: Account) -> NetworkState:
        """Who may reach it now."""

    def must_open(self, found: NetworkState) -> bool:
        """Whether opening in the configured mode would change anything."""

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        """Open it in the configured mode; repeating it changes nothing."""

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        """Make it exactly as it was; one that is no more needs nothing. The subnets that Azure refuses.

        Where that must wait and is overdue, the account is closed to all meanwhile.
        """


class Roles(Protocol):
    """Role assignments."""

    def grant(self, query: RoleQuery) -> tuple[RoleGrant, ...]:
        """Grant what the nodes need to read blobs and images; one result for each role."""

    def look_for(self, query: RoleQuery) -> tuple[RoleGrant, ...]:
        """Which of them are there, and which would be granted; nothing is changed."""


class Ledgers(Protocol):
    """Access ledgers: one small document per account, one writer at a time."""

    def held(self, account: Account) -> AbstractContextManager["LedgerPage"]:
        """Hold an account's document; raises PassingError when another writer holds it too long."""

    def account(self, name: str) -> Account | None:
        """The account of that name, as its document knows it; None without one."""

    def all(self) -> tuple[AccountLedger, ...]:
        """Every document as it is written now, read without holding it: enough to see what is to be done."""


class LedgerPage(Protocol):
    """An account's document, while it is held."""

    def read(self) -> Ledger:
        """What it says."""

    def write(self, ledger: Ledger) -> None:
        """Write it down, before anything is done about it."""


class Claims(Protocol):
    """Claims: one small document per cluster and database."""

    def take(self, claim: Claim, over: Claim | None) -> bool:
        """Write a claim where there is none, or in place of exactly `over`; False if somebody won."""

    def read(self, cluster: Cluster, database: Database) -> Claim | None:
        """Who holds it."""

    def all(self) -> tuple[Claim, ...]:
        """Every claim there is, whether its run lives or not."""

    def drop(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> None:
        """Give up what is the holder's and no other's; what was taken from a dead run is its again."""

    def end(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> bool:
        """Let a run write no more pods of what it holds: what is under way takes away what it wrote.

        False where none of it is the holder's.
        """

    def cancel(self, cluster: Cluster, database: Database, run_id: str, by: str) -> bool:
        """Ask the run to end; False when it no longer holds the database."""


class Monitor(Protocol):
    """What a cluster shows of its warmth, whoever warmed it."""

    def sight(self, cluster: Cluster) -> Sighting | Refusal:
        """Read all that a dashboard's card shows, at once; parts that do not answer are named in it."""


class Callers(Protocol):
    """Bearer tokens, judged."""

    def recognise(self, token: str) -> Caller | Stranger | None:
        """Judge a token from what is known, without I/O; None: `learn` first, then ask again.

        Raises:
            PassingError: when the token cannot be judged now, since the keys cannot be had.
        """

    def learn(self) -> None:
        """Fetch the tenant's signing keys; blocks, and remembers a failure instead of raising it."""


class World(Protocol):
    """All ports together, as the composition root hands them on, and the rules that pods follow."""

    @property
    def accounts(self) -> Accounts:
        """Storage accounts."""

    @property
    def catalog(self) -> Catalog:
        """Databases."""

    @property
    def callers(self) -> Callers | None:
        """Who calls; None only where nobody needs a token."""

    @property
    def claims(self) -> Claims:
        """Who warms what."""

    @property
    def clusters(self) -> Clusters:
        """AKS clusters."""

    @property
    def ledgers(self) -> Ledgers:
        """Who holds which account open."""

    @property
    def monitor(self) -> Monitor:
        """How warm a cluster is."""

    @property
    def roles(self) -> Roles:
        """Role assignments."""

    @property
    def pod_rules(self) -> PodRules:
        """What an operator has set for all pods."""
