"""The doors that look at clusters and containers, whoever warmed or filled them; and the app's pulse."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import azure.durable_functions as df
import azure.functions as func

from entrypoints import presenting
from entrypoints.answering import Answer, refused
from entrypoints.authorising import Gate
from entrypoints.binding import bind_door
from entrypoints.waiting import SharedReadings
from shared.domain.model import Account, Cluster
from shared.domain.refusals import Reason, Refusal
from shared.domain.requests import parse_account, parse_cluster
from shared.domain.runs import AccountQuery, CatalogEntry
from shared.domain.warmth import Sighting, Warmth, unseen, warmth_of
from shared.ports import Accounts, Catalog, Monitor, PassingError

# The dashboard is promised ten seconds for the whole answer; a little of it is HTTP.
BUDGET_SECONDS = 9.5

Sights = SharedReadings[Cluster, Sighting | Refusal]
Catalogs = SharedReadings[AccountQuery, tuple[CatalogEntry, ...] | Refusal]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorPorts:
    """What looking needs."""

    gate: Gate
    monitor: Monitor
    accounts: Accounts
    catalog: Catalog
    clock: Callable[[], datetime]
    sights: Sights = field(default_factory=lambda: SharedReadings("the cluster", BUDGET_SECONDS))
    catalogs: Catalogs = field(default_factory=lambda: SharedReadings("the storage account", BUDGET_SECONDS))


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
        sight = await ports.sights.get(cluster, lambda: ports.monitor.sight(cluster))
    except PassingError as silent:
        return unseen(str(silent))
    if not isinstance(sight, Refusal):
        return warmth_of(sight, ports.clock())
    if sight.reason is Reason.CLUSTER_NOT_FOUND:
        raise refused(sight)
    return unseen(sight.sentence)


def _staged(query: AccountQuery, ports: MonitorPorts) -> tuple[CatalogEntry, ...] | Refusal:
    account: Account | Refusal = ports.accounts.find(query)
    return account if isinstance(account, Refusal) else ports.catalog.databases(account)
