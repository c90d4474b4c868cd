"""The doors that look at clusters and containers, whoever warmed or filled them; and the app's pulse."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import azure.durable_functions as df
import azure.functions as func

from entrypoints import presenting
from entrypoints.answering import Answer, refused
from entrypoints.authorising import Gate
from entrypoints.binding import bind_door
from entrypoints.generations import staged_generation
from entrypoints.waiting import Budget, SharedReadings
from shared.domain.model import Account, Cluster, Database
from shared.domain.refusals import Reason, Refusal
from shared.domain.requests import parse_account, parse_cluster
from shared.domain.runs import AccountQuery, CatalogEntry
from shared.domain.warmth import Warmth, staged_places, unseen, warmth_of, with_staged
from shared.ports import Accounts, Catalog, FinalError, Monitor, PassingError

# The dashboard is promised ten seconds for a whole card: the cluster has most of them, the containers of
# its databases the rest, and a little is HTTP.
CLUSTER_SECONDS = 8.3
STAGED_SECONDS = 1.2
STAGED_FOR_SECONDS = 60.0  # a new generation is staged once a month
CATALOG_SECONDS = 9.5

Sights = SharedReadings[Cluster, "Seen | Refusal"]
Generations = SharedReadings[tuple[AccountQuery, Database], str | None]
Catalogs = SharedReadings[AccountQuery, tuple[CatalogEntry, ...] | Refusal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A cluster's card, and where the databases on it came from."""

    warmth: Warmth
    places: tuple[tuple[Database, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorPorts:
    """What looking needs."""

    gate: Gate
    monitor: Monitor
    accounts: Accounts
    catalog: Catalog
    clock: Callable[[], datetime]
    sights: Sights = field(
        default_factory=lambda: SharedReadings("the cluster", Budget(seconds=CLUSTER_SECONDS))
    )
    catalogs: Catalogs = field(
        default_factory=lambda: SharedReadings("the storage account", Budget(seconds=CATALOG_SECONDS))
    )
    generations: Generations = field(
        default_factory=lambda: SharedReadings(
            "the container", Budget(seconds=STAGED_SECONDS, shared_seconds=STAGED_FOR_SECONDS)
        )
    )


def monitor_doors(ports: MonitorPorts) -> df.Blueprint:
    """Register them."""
    doors = df.Blueprint()
    bind_door(doors, "GET monitor/aks/warmup-status", read_cluster_warmth, ports)
    bind_door(doors, "GET blast/databases", list_databases, ports)
    bind_door(doors, "GET health", read_health, None)
    return doors


async def read_cluster_warmth(req: func.HttpRequest, ports: MonitorPorts) -> Answer:
    """Tell how warm a cluster is."""
    await ports.gate.reader(req)
    cluster = parse_cluster(dict(req.params))
    ports.gate.admit_cluster(cluster)
    return Answer(body=presenting.card_of(await _seen(cluster, ports)))


async def list_databases(req: func.HttpRequest, ports: MonitorPorts) -> Answer:
    """Tell which databases are staged in an account."""
    await ports.gate.reader(req)
    query = parse_account(dict(req.params))
    ports.gate.admit_account(query.name)
    found = await ports.catalogs.get(query, lambda: _staged(query, ports))
    if isinstance(found, Refusal):
        raise refused(found)
    return Answer(body=presenting.catalog_of(found))


async def read_health(_: func.HttpRequest, __: None) -> Answer:
    """Tell that the app lives; asks nobody, so that nobody's fault is taken for its own."""
    return Answer(body={"status": "ok"})


async def _seen(cluster: Cluster, ports: MonitorPorts) -> Warmth:
    """What is to be seen; a cluster that cannot be read is degraded, which is not cold."""
    try:
        seen = await ports.sights.get(cluster, lambda: _look(cluster, ports))
    except PassingError as silent:
        return unseen(str(silent))
    if isinstance(seen, Seen):
        return with_staged(seen.warmth, await _generations(cluster, seen, ports))
    if seen.reason is Reason.CLUSTER_NOT_FOUND:
        raise refused(seen)
    return unseen(seen.sentence)


def _look(cluster: Cluster, ports: MonitorPorts) -> Seen | Refusal:
    """Summed up here, once for all who ask and off the loop: that of a thousand pods takes 30 ms."""
    sight = ports.monitor.sight(cluster)
    if isinstance(sight, Refusal):
        return sight
    return Seen(warmth=warmth_of(sight, ports.clock()), places=staged_places(sight))


async def _generations(cluster: Cluster, seen: Seen, ports: MonitorPorts) -> dict[str, str]:
    """What the containers hold now, by database; one that cannot be read in time says nothing."""
    allowed = ports.gate.permissions.covers_account
    places = [(database, name) for database, name in seen.places if allowed(name)]
    found = await asyncio.gather(*(_generation(cluster, *place, ports) for place in places))
    return {database.name: known for (database, _), known in zip(places, found, strict=True) if known}


async def _generation(cluster: Cluster, database: Database, account: str, ports: MonitorPorts) -> str | None:
    query = AccountQuery(
        subscription_id=cluster.subscription_id, name=account, resource_group=None, run_id=""
    )

    def read() -> str | None:
        return staged_generation(query, database, ports.accounts, ports.catalog)

    try:
        return await ports.generations.get((query, database), read)
    except (PassingError, FinalError):
        return None


def _staged(query: AccountQuery, ports: MonitorPorts) -> tuple[CatalogEntry, ...] | Refusal:
    account: Account | Refusal = ports.accounts.find(query)
    return account if isinstance(account, Refusal) else ports.catalog.databases(account)
