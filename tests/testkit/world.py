"""A small world with a memory, for the real hands, claims and janitor to act upon.

Its accounts open and close, its clusters keep DaemonSets whose pods warm up as time passes, and every
effect is checked where it happens: nothing is opened before the way back was written down, nothing is
closed under an owner.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.durable_functions as df
from testkit import builders as a
from testkit.memory_ports import MemoryCatalog, MemoryClaims, MemoryMonitor, MemoryRoles, Stage
from testkit.telling import NOON, Clock, Story

from activities.hands import hands
from entrypoints.claiming import Bid, claim_databases
from entrypoints.janitor import JanitorPorts, Rounds, make_round
from entrypoints.task_hub import WARM_UP, TaskHub
from shared.domain.claims import Claimed, Conflict, HeldBy
from shared.domain.daemonset import PodRules, Rollout
from shared.domain.leases import AccountLedger, Ledger, NetworkState
from shared.domain.model import (
    AccessMode,
    AccessTerms,
    Account,
    Cluster,
    ClusterFacts,
    Database,
    Engine,
    Mode,
    WarmupRequest,
)
from shared.domain.observing import NodeState, daemonset_gone
from shared.domain.refusals import Refusal
from shared.domain.runs import AccountQuery, ClusterLook, DatabaseLook, LookOrder, Probe, Remains
from shared.domain.staging import Listing, Manifest
from shared.ports import Callers, LedgerPage, PassingError

RULES = '{"ipRules": [{"value": "192.0.2.7"}], "virtualNetworkRules": [], "defaultAction": "Deny"}'
FOUND = NetworkState(public_network_access="Disabled", default_action="Deny", rules=RULES)
OPENED = replace(FOUND, public_network_access="Enabled", default_action="Allow")
WARM_AFTER = timedelta(seconds=7)  # three looks
NODES = ("node0", "node1", "node2")
BYTES = 300  # what MemoryCatalog stages of every database
RETENTION = timedelta(days=30)


class Books:
    """Access ledgers; a page is held by one at a time."""

    def __init__(self) -> None:
        self.pages: dict[str, Ledger] = {}
        self._held: set[str] = set()

    @contextmanager
    def held(self, account: Account) -> Iterator[LedgerPage]:
        if account.name in self._held:
            raise PassingError(f"another writer holds the ledger of {account.name}")
        self._held.add(account.name)
        try:
            yield Page(self.pages, account.name)
        finally:
            self._held.discard(account.name)

    def account(self, name: str) -> Account | None:
        return replace(a.ACCOUNT, name=name) if name in self.pages else None

    def all(self) -> tuple[AccountLedger, ...]:
        return tuple(
            AccountLedger(account=replace(a.ACCOUNT, name=name), ledger=page)
            for name, page in self.pages.items()
        )

    def of(self, account: str) -> Ledger:
        return self.pages.get(account, Ledger())


@dataclass
class Page:
    """One account's ledger, while it is held."""

    pages: dict[str, Ledger]
    name: str

    def read(self) -> Ledger:
        return self.pages.get(self.name, Ledger())

    def write(self, ledger: Ledger) -> None:
        self.pages[self.name] = ledger


class Accounts:
    """Storage accounts of any name, closed as found until somebody opens them."""

    terms = AccessTerms(mode=AccessMode.WINDOW)

    def __init__(self, books: Books) -> None:
        self.states: dict[str, NetworkState] = {}
        self.openings = 0
        self._books = books

    def find(self, query: AccountQuery) -> Account | Refusal:
        return replace(a.ACCOUNT, name=query.name)

    def network(self, account: Account) -> NetworkState:
        return self.states.get(account.name, FOUND)

    def must_open(self, found: NetworkState) -> bool:
        return not found.is_public

    def open(self, account: Account, found: NetworkState) -> Refusal | None:
        ledger = self._books.of(account.name)
        assert ledger.before == FOUND, "opened before the way back was written down"
        assert ledger.owners, "opened for nobody"
        self.openings += not found.is_public
        self.states[account.name] = OPENED
        return None

    def restore(self, account: Account, before: NetworkState, *, overdue: bool = False) -> tuple[str, ...]:
        del overdue
        assert not self._books.of(account.name).owners, "closed under an owner"
        self.states[account.name] = before
        return ()


class Catalog(MemoryCatalog):
    """Readable while the account is open, and only then."""

    def __init__(self, stage: Stage, accounts: Accounts) -> None:
        super().__init__(stage)
        self._accounts = accounts

    def probe(self, account: Account) -> Probe:
        return Probe(outcome="reachable" if self._accounts.network(account).is_public else "blocked")

    def listing(self, account: Account, database: Database) -> Listing:
        assert self._accounts.network(account).is_public, "read while it was closed"
        return super().listing(account, database)


@dataclass(frozen=True)
class Rolled:
    """A DaemonSet as it was last written."""

    run_id: str
    mode: Mode
    since: datetime
    nodes: tuple[str, ...] = NODES  # on which it has pods


@dataclass
class Clusters:
    """Clusters of three nodes; a DaemonSet's pods are at work for a while, then warm or broken."""

    clock: Clock
    broken: frozenset[str]
    silent: bool = False  # no change gets through once all is rolled out
    power_state: str = "Running"
    warm_after: timedelta = WARM_AFTER
    meanwhile: Callable[[], object] = lambda: None  # what happens while a DaemonSet is on its way
    daemon_sets: dict[str, Rolled] = field(default_factory=dict)

    def facts(self, cluster: Cluster) -> ClusterFacts | Refusal:
        del cluster
        return a.facts(power_state=self.power_state)

    def apply(self, rollout: Rollout, manifest: Manifest) -> Refusal | None:
        """Write it; pods start anew only where their template is another."""
        self.meanwhile()
        name, mode = manifest.database.name, rollout.plan.mode
        there = self.daemon_sets.get(name)
        if there is None or (there.run_id, there.mode) != (rollout.run_id, mode):
            self.daemon_sets[name] = Rolled(rollout.run_id, mode, self.clock.now)
        return None

    def look(self, order: LookOrder) -> ClusterLook:
        databases = tuple(staged.database for staged in order.databases)
        looks = tuple(
            DatabaseLook(database=each, settled=True, states=self._states(each, order)) for each in databases
        )
        return ClusterLook(databases=looks, logs=())

    def stop_verifying(self, cluster: Cluster, database: Database, run_id: str) -> bool:
        if self.silent:
            raise PassingError(f"{cluster.name} does not answer")
        there = self.daemon_sets.get(database.name)
        if there is None or there.run_id != run_id:
            return False
        self.daemon_sets[database.name] = replace(there, mode=Mode.WARM)
        return True

    def narrow(self, remains: Remains) -> bool:
        there = self.daemon_sets.get(remains.database.name)
        if there is None or there.run_id != remains.run_id:
            return False
        narrowed = replace(there, nodes=remains.warm_nodes, mode=Mode.WARM)
        self.daemon_sets[remains.database.name] = narrowed
        return True

    def remove(self, cluster: Cluster, database: Database, run_id: str | None) -> bool:
        if self.silent:
            raise PassingError(f"{cluster.name} does not answer")
        there = self.daemon_sets.get(database.name)
        if there is None or run_id not in (None, there.run_id):
            return False
        del self.daemon_sets[database.name]
        return True

    def _states(self, database: Database, order: LookOrder) -> tuple[NodeState, ...]:
        there = self.daemon_sets.get(database.name)
        if there is None:
            return (daemonset_gone(),)
        return tuple(self._state(node, there, order) for node in there.nodes)

    def _state(self, node: str, there: Rolled, order: LookOrder) -> NodeState:
        age = self.clock.now - there.since
        if age < self.warm_after or there.run_id != order.run_id:
            return a.copying(node, done=int(BYTES * min(0.9, age / self.warm_after)))
        if node in self.broken:
            return a.broken(node)
        return a.state(node, report=a.report(run_id=there.run_id, bytes_done=BYTES, bytes_total=BYTES))


class HubClient:
    """What doors and janitor ask Durable's client for, answered from the stories told here."""

    def __init__(self, name: str = "hub") -> None:
        self.stories: dict[str, Story] = {}
        self.failing = False  # as while its storage throttles
        self.deaf = False  # to whoever wants a run ended
        self.ended: list[str] = []
        self._orchestration_bindings = SimpleNamespace(rpc_base_url="hub/", task_hub_name=name)

    async def _get_async_request(self, url: str) -> list[Any]:
        if self.failing:
            return [500, {"Message": "Something went wrong while processing your request"}]
        found = await self.instance(url.rpartition("/")[2].partition("?")[0])
        return [404, ""] if found is None else [200, found]

    async def terminate(self, run_id: str, why: str) -> None:
        self.ended.append(why)
        if self.deaf:
            raise RuntimeError("The operation failed with an unexpected status code 500")
        self.stories[run_id].terminate()

    async def instance(self, run_id: str) -> Mapping[str, object] | None:
        story = self.stories.get(run_id)
        return _status(story) if story else None


def _status(story: Story) -> Mapping[str, object]:
    word = "Terminated" if story.terminated else "Completed" if story.over else "Running"
    seen = instance(story.run_id, word, story.heard_at)
    return seen | {"input": json.dumps(story.given), "output": story.output}


def instance(run_id: str, word: str, heard_at: datetime) -> dict[str, object]:
    """A warm-up as the hub's own JSON has it."""
    return {
        "name": WARM_UP,
        "instanceId": run_id,
        "runtimeStatus": word,
        "createdTime": NOON.isoformat(),
        "lastUpdatedTime": heard_at.isoformat(),
    }


class World:
    """All ports over one state, the hands bound to them, the stories told in it, and its janitor."""

    def __init__(self, folder: Path, broken: frozenset[str] = frozenset()) -> None:
        stage = Stage(folder)
        self.clock = Clock()
        self.ledgers = Books()
        self.accounts = Accounts(self.ledgers)
        self.catalog = Catalog(stage, self.accounts)
        self.callers: Callers | None = None
        self.claims = MemoryClaims(stage)
        self.clusters = Clusters(self.clock, broken)
        self.monitor = MemoryMonitor(stage)
        self.roles = MemoryRoles()
        self.pod_rules = PodRules(
            node_directory="/workspace",
            pause_image="pause:3.9",
            engine=Engine.RANGED,
            memory_limit="1Gi",
            ca_pem=None,
        )
        self.hub = HubClient()
        self.janitor = JanitorPorts(
            ledgers=self.ledgers,
            accounts=self.accounts,
            claims=self.claims,
            clusters=self.clusters,
            retention=RETENTION,
            clock=self.clock,
            rounds=Rounds(purged_at=NOON),  # old runs are another story
        )
        self.hands = _bound(self)
        self._happenings: list[tuple[datetime, Callable[[], object]]] = []
        self._failing: set[str] = set()

    @property
    def network(self) -> NetworkState:
        """How the account of all runs here stands."""
        return self.accounts.network(a.ACCOUNT)

    @property
    def ledger(self) -> Ledger:
        """Its ledger."""
        return self.ledgers.of(a.ACCOUNT.name)

    def later(self, after: timedelta, happens: Callable[[], object]) -> None:
        """Something else happens to the world, once that much time has passed."""
        self._happenings.append((self.clock.now + after, happens))

    def fail_once(self, name: str) -> None:
        """The next activity of that name fails, as what may pass does."""
        self._failing.add(name)

    def perform(self, name: str, value: Any) -> Any:
        """One activity, as the worker runs it."""
        if name in self._failing:
            self._failing.remove(name)
            raise PassingError(f"{name} got no answer")
        due = [happening for happening in self._happenings if happening[0] <= self.clock.now]
        for happening in due:
            self._happenings.remove(happening)
            happening[1]()
        return self.hands[name](value)

    def claim(
        self, run_id: str, request: WarmupRequest, hub: HubClient | None = None
    ) -> Claimed | HeldBy | Conflict:
        """Ask for the databases of a request, as the door does before it starts a run."""
        bid = Bid(run_id=run_id, request=request, now=self.clock.now)
        return asyncio.run(claim_databases(bid, self.claims, TaskHub(hub or self.hub)))

    def begin(self, **changes: Any) -> Story:
        """Start a run as the door does."""
        run = a.run(**changes)
        if not run.request.dry_run:
            assert isinstance(self.claim("run1", run.request), Claimed)
        story = Story(run, self.perform, self.clock)
        self.hub.stories[story.run_id] = story
        return story

    def send_janitor(self, *, rounds: int, hub: HubClient | None = None) -> None:
        """Each minute the janitor makes its round; another hub's may come to the same accounts."""
        asyncio.run(self._make_rounds(rounds, TaskHub(hub or self.hub)))

    async def _make_rounds(self, rounds: int, hub: TaskHub) -> None:
        for _ in range(rounds):
            self.clock.now += timedelta(minutes=1)
            await make_round(hub, self.janitor)


def _bound(world: World) -> Mapping[str, Callable[[Any], Any]]:
    app = df.DFApp()
    app.register_functions(hands(world, world.clock))
    return {function.get_function_name(): function.get_user_function() for function in app.get_functions()}
