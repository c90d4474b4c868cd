"""All hands, each bound to the ports it acts through."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import azure.durable_functions as df

from activities.binding import bind
from activities.catalog import describe_database, probe_access
from activities.claims import release_claims
from activities.cluster import apply_daemonset, observe_nodes, read_cluster, retire_daemonsets
from activities.endings import record_ending
from activities.roles import grant_roles
from activities.storage import close_access, inspect_access, open_access
from shared.domain.daemonset import PodRules
from shared.ports import Accounts, Catalog, Claims, Clusters, Ledgers, Roles


@dataclass(frozen=True, slots=True, kw_only=True)
class HandPorts:
    """What the hands reach for."""

    clusters: Clusters
    catalog: Catalog
    accounts: Accounts
    roles: Roles
    ledgers: Ledgers
    claims: Claims
    rules: PodRules
    clock: Callable[[], datetime]


def hands(ports: HandPorts) -> df.Blueprint:
    """Register every activity that a story may call."""
    blueprint = df.Blueprint()
    bind(blueprint, read_cluster, clusters=ports.clusters)
    bind(blueprint, inspect_access, accounts=ports.accounts)
    bind(blueprint, open_access, accounts=ports.accounts, ledgers=ports.ledgers, clock=ports.clock)
    bind(blueprint, probe_access, catalog=ports.catalog)
    bind(blueprint, describe_database, catalog=ports.catalog)
    bind(blueprint, grant_roles, roles=ports.roles)
    bind(blueprint, apply_daemonset, clusters=ports.clusters, catalog=ports.catalog, rules=ports.rules)
    bind(blueprint, observe_nodes, clusters=ports.clusters, claims=ports.claims)
    bind(blueprint, retire_daemonsets, clusters=ports.clusters)
    bind(blueprint, close_access, accounts=ports.accounts, ledgers=ports.ledgers)
    bind(blueprint, release_claims, claims=ports.claims)
    bind(blueprint, record_ending)
    return blueprint
