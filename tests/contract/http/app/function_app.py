"""The doors, the real story and its real hands, over ports in memory."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import azure.durable_functions as df
from testkit.memory_ports import (
    MemoryAccounts,
    MemoryCatalog,
    MemoryClaims,
    MemoryClusters,
    MemoryLedgers,
    MemoryMonitor,
    MemoryRoles,
    World,
)

from activities import catalog, claims, cluster, endings, roles, storage
from activities.binding import bind
from entrypoints.authorising import Gate
from entrypoints.janitor import JanitorPorts, janitor_doors
from entrypoints.monitor import MonitorPorts, monitor_doors
from entrypoints.warmup import WarmupPorts, warmup_doors
from entrypoints.watching import WatchingPorts, watching_doors
from orchestrators.warm_databases import warm_databases
from shared.adapters.entra_identity import EntraIdentity, Tenant
from shared.domain.callers import Permissions
from shared.domain.daemonset import PodRules
from shared.domain.model import Engine
from shared.domain.requests import RequestDefaults


def _now() -> datetime:
    """The time, as far on as the test has set it: what is young is old in a moment."""
    return datetime.now(UTC) + timedelta(seconds=WORLD.says("seconds_ahead", 0))


def _identity() -> EntraIdentity | None:
    authority = os.environ.get("TEST_AUTHORITY")
    if authority is None:
        return None
    tenant = Tenant(
        authority_host=authority,
        tenant_id=os.environ["TEST_TENANT"],
        client_id=os.environ["TEST_CLIENT"],
        ca_bundle=Path(os.environ["TEST_CA"]),
    )
    return EntraIdentity(tenant)


def _words(name: str) -> tuple[str, ...]:
    return tuple(os.environ.get(name, "*").split(","))


WORLD = World(Path(os.environ["WORLD_FOLDER"]))
CLAIMS, LEDGERS, ACCOUNTS = MemoryClaims(WORLD), MemoryLedgers(), MemoryAccounts(WORLD)
CLUSTERS, CATALOG, MONITOR = MemoryClusters(WORLD), MemoryCatalog(WORLD), MemoryMonitor(WORLD)
GATE = Gate(
    permissions=Permissions(
        reader_role=os.environ.get("TEST_READER"),
        operator_role=os.environ.get("TEST_OPERATOR"),
        clusters=_words("TEST_CLUSTERS"),
        accounts=_words("TEST_ACCOUNTS"),
    ),
    callers=_identity(),
    development_bypass="TEST_AUTHORITY" not in os.environ,
)
DEFAULTS = RequestDefaults(
    repository="ncbi/elb:1.4.0",
    registry_suffix="azurecr.io",
    image="elbacr.azurecr.io/ncbi/elb:1.4.0",
    deadline_minutes=None,
)
RULES = PodRules(
    node_directory="/workspace",
    pause_image="pause:3.9",
    engine=Engine.RANGED,
    memory_limit="1Gi",
    ca_pem=None,
)


def _hands() -> df.Blueprint:
    hands = df.Blueprint()
    bind(hands, cluster.read_cluster, clusters=CLUSTERS)
    bind(hands, cluster.apply_daemonset, clusters=CLUSTERS, catalog=CATALOG, rules=RULES)
    bind(hands, cluster.observe_nodes, clusters=CLUSTERS, claims=CLAIMS)
    bind(hands, cluster.retire_daemonsets, clusters=CLUSTERS)
    bind(hands, storage.inspect_access, accounts=ACCOUNTS)
    bind(hands, storage.open_access, accounts=ACCOUNTS, ledgers=LEDGERS, clock=_now)
    bind(hands, storage.close_access, accounts=ACCOUNTS, ledgers=LEDGERS)
    bind(hands, catalog.probe_access, catalog=CATALOG)
    bind(hands, catalog.describe_database, catalog=CATALOG)
    bind(hands, roles.grant_roles, roles=MemoryRoles())
    bind(hands, claims.release_claims, claims=CLAIMS)
    bind(hands, endings.record_ending)
    hands.orchestration_trigger(context_name="context")(warm_databases)
    return hands


app = df.DFApp()
app.register_functions(_hands())
app.register_functions(
    warmup_doors(WarmupPorts(gate=GATE, claims=CLAIMS, monitor=MONITOR, defaults=DEFAULTS, clock=_now))
)
app.register_functions(watching_doors(WatchingPorts(gate=GATE, clusters=CLUSTERS, clock=_now)))
app.register_functions(
    monitor_doors(MonitorPorts(gate=GATE, monitor=MONITOR, accounts=ACCOUNTS, catalog=CATALOG, clock=_now))
)
app.register_functions(
    janitor_doors(
        JanitorPorts(
            ledgers=LEDGERS,
            accounts=ACCOUNTS,
            claims=CLAIMS,
            clusters=CLUSTERS,
            retention=timedelta(days=30),
            clock=_now,
        )
    )
)
