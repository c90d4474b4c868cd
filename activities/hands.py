"""All hands, each bound to the ports it acts through."""

from collections.abc import Callable
from datetime import datetime

import azure.durable_functions as df

from activities.binding import bind
from activities.catalog import describe_database, probe_access
from activities.claims import release_claims
from activities.cluster import (
    apply_daemonset,
    find_missing,
    keep_warm_nodes,
    observe_nodes,
    read_cluster,
    retire_daemonsets,
    stop_verifying,
)
from activities.endings import record_ending
from activities.roles import grant_roles, look_for_roles
from activities.storage import close_access, inspect_access, open_access
from shared.ports import World


def hands(world: World, clock: Callable[[], datetime]) -> df.Blueprint:
    """Register every activity that a story may call."""
    blueprint = df.Blueprint()
    bind(blueprint, read_cluster, clusters=world.clusters)
    bind(blueprint, inspect_access, accounts=world.accounts)
    account_book = {"accounts": world.accounts, "ledgers": world.ledgers, "clock": clock}
    bind(blueprint, open_access, claims=world.claims, **account_book)
    bind(blueprint, probe_access, catalog=world.catalog, claims=world.claims)
    bind(blueprint, describe_database, catalog=world.catalog)
    bind(blueprint, find_missing, monitor=world.monitor)
    bind(blueprint, look_for_roles, roles=world.roles)
    bind(blueprint, grant_roles, roles=world.roles)
    bind(
        blueprint,
        apply_daemonset,
        clusters=world.clusters,
        catalog=world.catalog,
        claims=world.claims,
        rules=world.pod_rules,
    )
    bind(blueprint, observe_nodes, clusters=world.clusters, claims=world.claims)
    bind(blueprint, keep_warm_nodes, clusters=world.clusters, claims=world.claims)
    bind(blueprint, stop_verifying, clusters=world.clusters, claims=world.claims)
    bind(blueprint, retire_daemonsets, clusters=world.clusters, claims=world.claims)
    bind(blueprint, close_access, **account_book)
    bind(blueprint, release_claims, claims=world.claims)
    bind(blueprint, record_ending)
    return blueprint
