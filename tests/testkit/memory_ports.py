"""The ports in memory, for an app whose doors are under test: real classes, one small world.

A test steers the world by writing `world.json` into a folder, and reads what was done to it in
`acts.jsonl` there; the app runs in another process.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testkit import builders as a

from shared.domain import naming
from shared.domain.claims import Claim, Holder, given_back
from shared.domain.daemonset import PodRules, Rollout
from shared.domain.leases import AccountLedger, Ledger, NetworkState
from shared.domain.model import AccessTerms, Account, Cluster, ClusterFacts, Database, Engine, RoleGrant
from shared.domain.observing import NodeState
from shared.domain.refusals import Reason, Refusal
from shared.domain.runs import (
    AccountQuery,
    CatalogEntry,
    ClusterLook,
    DatabaseLook,
    LookOrder,
    Probe,
    Remains,
    RoleQuery,
)
from shared.domain.staging import Listing, Manifest, StagedBlob
from shared.domain.warmth import Sighting
from shared.ports import Callers, LedgerPage, PassingError

CLOSED = NetworkState(public_network_access="Disabled", default_action="Deny", rules="{}")
STAGED_AT = datetime(2026, 5, 26, 1, 5, 1, tzinfo=UTC)
FROZEN_SECONDS = 30  # longer than any budget
NODES = ("node0", "node1", "node2")


class Stage:
    """What all ports of one app see, and where they note what they did."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def says(self, key: str, default: Any) -> Any:
        file = self._folder / "world.json"
        return json.loads(file.read_text()).get(key, default) if file.exists() else default

    def note(self, act: str, **fields: object) -> None:
        with self._lock, (self._folder / "acts.jsonl").open("a") as acts:
            acts.write(json.dumps({"act": act, **fields}) + "\n")

    def answer_as(self, port: str) -> None:
        """Behave as the test wants this port to: at once, never, or not now."""
        if port in self.says("frozen", []):
            time.sleep(FROZEN_SECONDS)
        if port in self.says("silent", []):
            raise PassingError(f"{port} does not answer")


class MemoryClaims:
    """Claims in a dictionary; taking one is atomic."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self._held: dict[str, Claim] = {}

    def take(self, claim: Claim, over: Claim | None) -> bool:
        with self._lock:
            name = naming.claim_name(claim.cluster, claim.database)
            if self._held.get(name) != over:
                return False
            self._held[name] = claim
            return True

    def read(self, cluster: Cluster, database: Database) -> Claim | None:
        self._stage.answer_as("claims")
        return self._held.get(naming.claim_name(cluster, database))

    def all(self) -> tuple[Claim, ...]:
        return tuple(self._held.values())

    def drop(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> None:
        with self._lock:
            for name in self._meant(cluster, databases, holder):
                back = given_back(self._held.pop(name))
                if back is not None:
                    self._held[name] = back

    def end(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> bool:
        with self._lock:
            meant = self._meant(cluster, databases, holder)
            self._held |= {name: replace(self._held[name], ended=True) for name in meant}
            return bool(meant)

    def cancel(self, cluster: Cluster, database: Database, run_id: str, by: str) -> bool:
        with self._lock:
            name = naming.claim_name(cluster, database)
            held = self._held.get(name)
            if held is None or held.run_id != run_id:
                return False
            self._held[name] = replace(held, cancelled_by=by)
            return True

    def _meant(self, cluster: Cluster, databases: tuple[Database, ...], holder: Holder) -> list[str]:
        names = [naming.claim_name(cluster, database) for database in databases]
        return [name for name in names if name in self._held and holder.holds(self._held[name])]


class MemoryLedgers:
    """Access ledgers in a dictionary; held by one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[str, Ledger] = {}

    @contextmanager
    def held(self, account: Account) -> Iterator[LedgerPage]:
        with self._lock:
            yield MemoryPage(self._pages, account.name)

    def account(self, name: str) -> Account | None:
        return next((book.account for book in self.all() if book.account.name == name), None)

    def all(self) -> tuple[AccountLedger, ...]:
        return tuple(AccountLedger(account=account(name), ledger=page) for name, page in self._pages.items())


class MemoryPage:
    """One account's ledger."""

    def __init__(self, pages: dict[str, Ledger], name: str) -> None:
        self._pages = pages
        self._name = name

    def read(self) -> Ledger:
        return self._pages.get(self._name, Ledger())

    def write(self, ledger: Ledger) -> None:
        self._pages[self._name] = ledger


class MemoryAccounts:
    """Closed storage accounts of any name but `absent`."""

    terms = AccessTerms()

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def find(self, query: AccountQuery) -> Account | Refusal:
        self._stage.answer_as("accounts")
        if query.name == "absent":
            return Refusal(
                reason=Reason.ACCOUNT_NOT_FOUND,
                message="account 'absent' is not there",
                remedy="name another",
            )
        return account(query.name)

    def network(self, account: Account) -> NetworkState:
        del account
        return CLOSED

    def must_open(self, found: NetworkState) -> bool:
        return not found.is_public

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        self._stage.note("opened", account=account.name, before=found.public_network_access)
        return None

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        del overdue
        self._stage.note("restored", account=account.name, to=before.public_network_access)
        return ()


class MemoryCatalog:
    """Every database is staged, but one called `absent`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def listing(self, account: Account, database: Database) -> Listing:
        del account
        names = (
            ()
            if database.name == "absent"
            else tuple(f"{database.name}.{end}" for end in ("nhr", "nin", "nsq"))
        )
        return Listing(
            database=database,
            container="blast-db",
            blobs=tuple(_blob(f"{database.folder}/{name}") for name in names),
            dashboard_metadata={"source_version": "2026-05-26-01-05-01"},
            ncbi_metadata=None,
        )

    def probe(self, account: Account) -> Probe:
        del account
        return Probe(outcome="reachable")

    def databases(self, account: Account) -> tuple[CatalogEntry, ...]:
        self._stage.answer_as("catalog")
        return (
            CatalogEntry(
                name="core_nt",
                container=f"https://{account.name}/blast-db",
                prefix="core_nt",
                source="ncbi",
                file_count=2,
                total_bytes=200,
                last_modified=STAGED_AT,
                source_version="2026-05-26-01-05-01",
                downloaded_at=None,
                ready=True,
            ),
        )


class MemoryRoles:
    """Whoever asks has what they need."""

    def grant(self, query: RoleQuery) -> tuple[RoleGrant, ...]:
        return (RoleGrant(role="Storage Blob Data Reader", scope=query.account.name, outcome="present"),)

    def look_for(self, query: RoleQuery) -> tuple[RoleGrant, ...]:
        return self.grant(query)


class MemoryClusters:
    """Three nodes; `nodes` in the world says how each stands: ready, copying or failed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def facts(self, cluster: Cluster) -> ClusterFacts | Refusal:
        del cluster
        return a.facts(power_state=self._stage.says("power", "Running"))

    def apply(self, rollout: Rollout, manifest: Manifest) -> Refusal | None:
        self._stage.note(
            "applied",
            run_id=rollout.run_id,
            database=manifest.database.name,
            mode=rollout.plan.mode.value,
            image=rollout.plan.image,
            account=rollout.plan.account.name if rollout.plan.account else None,
            files=len(manifest.files),
        )
        return None

    def look(self, order: LookOrder) -> ClusterLook:
        self._stage.answer_as("clusters")
        return ClusterLook(
            databases=tuple(
                DatabaseLook(
                    database=staged.database,
                    settled=True,
                    states=tuple(self._state(node, order.run_id) for node in NODES),
                )
                for staged in order.databases
            ),
            logs=(),
        )

    def stop_verifying(self, cluster: Cluster, database: Database, run_id: str) -> bool:
        self._stage.note("set to warm", cluster=cluster.name, database=database.name, run_id=run_id)
        return True

    def narrow(self, remains: Remains) -> bool:
        self._stage.note("narrowed", database=remains.database.name, to=remains.warm_nodes)
        return True

    def remove(self, cluster: Cluster, database: Database, run_id: str | None) -> bool:
        self._stage.note("removed", cluster=cluster.name, database=database.name, run_id=run_id)
        return True

    def _state(self, node: str, run_id: str) -> NodeState:
        standing = self._stage.says("nodes", {}).get(node, "ready")
        if standing == "copying":
            return a.copying(node, done=50)
        if standing == "failed":
            return a.broken(node)
        return a.state(node, report=a.report(run_id=run_id, bytes_done=300, bytes_total=300))


class MemoryMonitor:
    """What the world's `sight` shows; nothing by default."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def sight(self, cluster: Cluster) -> Sighting | Refusal:
        self._stage.note("sighted", cluster=cluster.name)
        self._stage.answer_as("monitor")
        if cluster.name == "absent":
            return Refusal(
                reason=Reason.CLUSTER_NOT_FOUND,
                message="cluster 'absent' is not there",
                remedy="name another",
            )
        shown = self._stage.says("sight", {})
        return Sighting(
            workspace=shown.get("workspace"),
            vmtouch=None,
            daemon_sets=tuple(shown.get("daemon_sets", ())),
            pods=tuple(shown.get("pods", ())),
            nodes={},
            jobs=tuple(shown.get("jobs", ())),
            namespaces=(),
            faults=tuple(shown.get("faults", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWorld:
    """Implements `World`."""

    accounts: MemoryAccounts
    catalog: MemoryCatalog
    callers: Callers | None
    claims: MemoryClaims
    clusters: MemoryClusters
    ledgers: MemoryLedgers
    monitor: MemoryMonitor
    roles: MemoryRoles
    pod_rules: PodRules


def memory_world(stage: Stage, callers: Callers | None) -> MemoryWorld:
    """All ports, over one stage."""
    return MemoryWorld(
        accounts=MemoryAccounts(stage),
        catalog=MemoryCatalog(stage),
        callers=callers,
        claims=MemoryClaims(stage),
        clusters=MemoryClusters(stage),
        ledgers=MemoryLedgers(),
        monitor=MemoryMonitor(stage),
        roles=MemoryRoles(),
        pod_rules=PodRules(
            node_directory="/workspace",
            pause_image="pause:3.9",
            engine=Engine.RANGED,
            memory_limit="1Gi",
            ca_pem=None,
        ),
    )


def account(name: str) -> Account:
    """An account by name."""
    return replace(a.ACCOUNT, name=name, blob_endpoint=f"https://{name}.blob.core.windows.net/")


def _blob(name: str) -> StagedBlob:
    return StagedBlob(
        name=name, bytes=100, etag=f'"{name}"', md5=None, modified=STAGED_AT, copy_pending=False
    )
